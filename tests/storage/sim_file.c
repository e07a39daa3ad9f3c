/* Files as storage/io.h has them: opened, read, written, synced. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/storage/sim_internal.h"

static int do_open(struct sim *sim, const char *path, int flags, struct io_file **ret_file)
{
	struct name *name = sim_names_find(&sim->names, path);
	char dir[SIM_PATH_MAX];
	struct sim_file *file;
	struct inode *inode;
	int r = sim_gate(sim, flags & IO_CREATE ? SIM_CREATE : SIM_READ);

	sim_names_dir(path, dir);
	if (r < 0)
		return r;
	if (!sim_dir_exists(sim, dir))
		return -ENOENT;
	if (flags & IO_CREATE ? name != NULL : name == NULL)
		return flags & IO_CREATE ? -EEXIST : -ENOENT;
	if (name != NULL && (flags & IO_PRIVATE) && name->inode->exposed)
		return -EPERM;
	if (name != NULL && name->inode->deny_error != 0)
		return -name->inode->deny_error;
	inode = name != NULL ? name->inode : sim_inode_new(sim);
	if (name == NULL)
		sim_names_change(sim, CHANGE_CREATE, path, "", inode);
	if (r == SIM_GATE_CUT)
		return -EIO;
	file = sim_must(calloc(1, sizeof(*file)));
	*file = (struct sim_file){
		.file.ops = &sim_ops_table,
		.sim = sim,
		.inode = inode,
		.epoch = sim->epoch,
		.direct = flags & IO_DIRECT,
		.writable = flags & IO_WRITE,
	};
	inode->open_count++;
	*ret_file = &file->file;
	return 0;
}

int sim_open(struct io *io, const char *path, int flags, struct io_file **ret_file)
{
	sim_lock(sim_of(io));
	return sim_unlock(sim_of(io), do_open(sim_of(io), path, flags, ret_file));
}

void sim_close(struct io_file *io_file)
{
	struct sim_file *file = sim_file_of(io_file);
	struct sim *sim;

	if (file == NULL)
		return;
	sim = file->sim;
	sim_lock(sim);
	if (file->epoch == sim->epoch)
		file->inode->open_count--;
	free(file);
	(void)sim_unlock(sim, 0);
}

int sim_size(struct io_file *io_file, uint64_t *ret_size)
{
	struct sim_file *file = sim_file_of(io_file);
	int r;

	sim_lock(file->sim);
	r = sim_gate_file(file, SIM_READ);
	if (r == 0)
		*ret_size = file->inode->size;
	return sim_unlock(file->sim, r);
}

static int do_preallocate(struct sim_file *file, uint64_t size)
{
	int r = sim_gate_file(file, SIM_PREALLOCATE);
	int grown;

	if (r < 0)
		return r;
	grown = sim_inode_grow(file->sim, file->inode, size);
	if (grown < 0)
		return grown;
	if (file->inode->size < size)
		file->inode->size = size;
	if (r == 0)
		file->inode->size_safe = file->inode->size;
	return sim_gate_result(r);
}

int sim_preallocate(struct io_file *io_file, uint64_t size)
{
	sim_lock(sim_file_of(io_file)->sim);
	return sim_unlock(sim_file_of(io_file)->sim, do_preallocate(sim_file_of(io_file), size));
}

int64_t sim_do_read(struct sim_file *file, uint64_t offset, void *buffer, size_t size)
{
	int r = sim_gate_file(file, SIM_READ);

	if (r < 0)
		return r;
	if (offset >= file->inode->size)
		return 0;
	if (size > file->inode->size - offset)
		size = file->inode->size - offset;
	if (file->inode->bad && offset < file->inode->bad_offset + SIM_BLOCK && offset + size > file->inode->bad_offset)
		return -EIO;
	if (size > 0)
		memcpy(buffer, file->inode->now + offset, size);
	return (int64_t)size;
}

int64_t sim_read(struct io_file *io_file, uint64_t offset, void *buffer, size_t size)
{
	struct sim *sim = sim_file_of(io_file)->sim;
	int64_t n;

	sim_lock(sim);
	n = sim_do_read(sim_file_of(io_file), offset, buffer, size);
	(void)sim_unlock(sim, 0);
	return n;
}

bool sim_misaligned(const struct sim_file *file, uint64_t offset, const void *buffer, size_t size)
{
	return file->direct && (offset % IO_ALIGN != 0 || size % IO_ALIGN != 0 || (uintptr_t)buffer % IO_ALIGN != 0);
}

static int do_write(struct sim_file *file, uint64_t offset, const void *buffer, size_t size, bool durable)
{
	bool was_off = file->sim->off;
	int r = sim_gate_file(file, SIM_WRITE);
	int grown;

	if (!file->writable)
		return -EBADF;
	if (sim_misaligned(file, offset, buffer, size))
		return -EINVAL;
	if (file->epoch != file->sim->epoch || was_off)
		return -EIO;
	grown = sim_inode_grow(file->sim, file->inode, offset + size);
	if (grown < 0)
		return grown;
	if (r != 0) {
		sim_inode_write_torn(file->sim, file->inode, offset, buffer, size);
		return sim_gate_result(r);
	}
	sim_inode_write(file->inode, offset, buffer, size);
	if (durable)
		sim_inode_save(file->inode, offset, size);
	return 0;
}

int sim_write_sync(struct io_file *io_file, uint64_t offset, const void *buffer, size_t size)
{
	sim_lock(sim_file_of(io_file)->sim);
	return sim_unlock(sim_file_of(io_file)->sim, do_write(sim_file_of(io_file), offset, buffer, size, true));
}

int sim_write(struct io_file *io_file, uint64_t offset, const void *buffer, size_t size)
{
	sim_lock(sim_file_of(io_file)->sim);
	return sim_unlock(sim_file_of(io_file)->sim, do_write(sim_file_of(io_file), offset, buffer, size, false));
}

int sim_sync(struct io_file *io_file)
{
	struct sim_file *file = sim_file_of(io_file);
	int r;

	sim_lock(file->sim);
	r = sim_gate_file(file, SIM_SYNC);
	if (r >= 0)
		sim_inode_sync(file->inode);
	return sim_unlock(file->sim, sim_gate_result(r));
}

int sim_punch(struct io_file *io_file)
{
	struct sim_file *file = sim_file_of(io_file);
	int r;

	sim_lock(file->sim);
	r = sim_gate_file(file, SIM_PUNCH);
	if (r >= 0 && file->inode->room > 0) {
		memset(file->inode->now, 0, file->inode->room);
		memset(file->inode->safe, 0, file->inode->room);
		memset(file->inode->dirty, 0, file->inode->room / SIM_SECTOR);
	}
	return sim_unlock(file->sim, sim_gate_result(r));
}

bool sim_direct(struct io_file *file)
{
	return sim_file_of(file)->direct;
}
