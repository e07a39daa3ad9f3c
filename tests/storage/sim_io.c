/*
 * Overview. An inode has two contents: `now`, which reads see, and `safe`, which survives; `dirty` marks the sectors
 * that differ or may. Names are a list too (`names`, what open sees), a durable list (`names_safe`) and a log of
 * changes between the two, which dir_sync applies for its directory. An inode without names and open files becomes a
 * ghost: its safe content is still on the medium.
 */
#include "tests/storage/sim_io.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/prng.h"

#define SECTOR 512
#define BLOCK 4096
#define SIM_PATH_MAX 512
#define QUEUE_MAX 64

struct inode {
	struct inode *next;
	uint8_t *now;
	uint8_t *safe;
	uint8_t *dirty; /* a byte a sector */
	uint64_t room;  /* allocated bytes of each, whole blocks */
	uint64_t size;
	uint64_t size_safe;
	unsigned open_count;
	unsigned name_count; /* of `names`, not the durable ones */
	bool exposed;
	bool bad;
	uint64_t bad_offset;
	int deny_error;
};

struct name {
	char path[SIM_PATH_MAX];
	struct inode *inode;
};

struct names {
	struct name *all;
	size_t count;
	bool seen; /* what open sees: counted in the inodes */
};

enum change_kind { CHANGE_CREATE, CHANGE_RENAME, CHANGE_UNLINK };

struct change {
	enum change_kind kind;
	char path[SIM_PATH_MAX];
	char to[SIM_PATH_MAX];
	struct inode *inode;
};

struct sim {
	struct io io;
	pthread_mutex_t lock;
	struct prng prng;
	struct inode *inodes;
	struct names names;
	struct names names_safe;
	struct change *log;
	size_t log_count;
	char (*dirs)[SIM_PATH_MAX];
	size_t dir_count;
	uint64_t capacity;
	uint64_t ops;
	uint64_t cut_at;
	bool off;
	unsigned epoch; /* grows with each crash */
	unsigned fail_kinds;
	uint64_t fail_skip;
	uint64_t fail_count;
	int fail_error;
	struct sim_queue *queues;
};

struct sim_file {
	struct io_file file;
	struct sim *sim;
	struct inode *inode;
	unsigned epoch;
	bool direct;
	bool writable;
};

struct sim_write {
	struct inode *inode;
	const void *buffer;
	uint8_t *copy;
	uint64_t offset;
	size_t size;
	uint64_t token;
	int error;
	bool lost; /* submitted when the power was off already */
};

struct sim_queue {
	struct io_queue queue;
	struct sim *sim;
	struct sim_queue *next;
	unsigned depth;
	unsigned epoch;
	unsigned count;
	struct sim_write writes[QUEUE_MAX];
};

static const struct io_ops sim_ops_table;

static struct sim *sim_of(struct io *io)
{
	return (struct sim *)io;
}

static struct sim_file *file_of(struct io_file *file)
{
	return (struct sim_file *)file;
}

static void lock(struct sim *sim)
{
	(void)pthread_mutex_lock(&sim->lock);
}

static int unlock(struct sim *sim, int result)
{
	(void)pthread_mutex_unlock(&sim->lock);
	return result;
}

static void *must(void *memory)
{
	if (memory == NULL)
		abort();
	return memory;
}

/* ---- faults */

#define GATE_CUT 1 /* the power goes during this operation: it may have had its effect, the caller learns nothing */

/* Lock held. 0: go on; GATE_CUT; -errno: it fails. */
static int gate(struct sim *sim, enum sim_kind kind)
{
	if (sim->off)
		return -EIO;
	if (kind != SIM_READ && ++sim->ops == sim->cut_at) {
		sim->off = true;
		return prng_chance(&sim->prng, 500) ? GATE_CUT : -EIO;
	}
	if (!(sim->fail_kinds & kind) || sim->fail_count == 0)
		return 0;
	if (sim->fail_skip > 0) {
		sim->fail_skip--;
		return 0;
	}
	sim->fail_count--;
	return -sim->fail_error;
}

static int gate_file(struct sim_file *file, enum sim_kind kind)
{
	return file->epoch != file->sim->epoch ? -EIO : gate(file->sim, kind);
}

static int gate_result(int gated)
{
	return gated == GATE_CUT ? -EIO : gated;
}

/* ---- inodes */

static struct inode *inode_new(struct sim *sim)
{
	struct inode *inode = must(calloc(1, sizeof(*inode)));

	inode->next = sim->inodes;
	sim->inodes = inode;
	return inode;
}

static uint64_t blocks(uint64_t size)
{
	return (size + BLOCK - 1) / BLOCK * BLOCK;
}

static bool inode_is_ghost(const struct inode *inode)
{
	return inode->open_count == 0 && inode->name_count == 0;
}

static uint64_t sim_used(const struct sim *sim)
{
	uint64_t used = 0;

	for (const struct inode *inode = sim->inodes; inode != NULL; inode = inode->next)
		if (!inode_is_ghost(inode))
			used += inode->room;
	return used;
}

static int inode_grow(struct sim *sim, struct inode *inode, uint64_t size)
{
	uint64_t room = blocks(size);

	if (room <= inode->room)
		return 0;
	if (sim->capacity > 0 && sim_used(sim) + room - inode->room > sim->capacity)
		return -ENOSPC;
	inode->now = must(realloc(inode->now, room));
	inode->safe = must(realloc(inode->safe, room));
	inode->dirty = must(realloc(inode->dirty, room / SECTOR));
	memset(inode->now + inode->room, 0, room - inode->room);
	memset(inode->safe + inode->room, 0, room - inode->room);
	memset(inode->dirty + inode->room / SECTOR, 0, (room - inode->room) / SECTOR);
	inode->room = room;
	return 0;
}

static void inode_write(struct inode *inode, uint64_t offset, const uint8_t *bytes, size_t size)
{
	if (size == 0)
		return;
	memcpy(inode->now + offset, bytes, size);
	memset(inode->dirty + offset / SECTOR, 1, (offset + size - 1) / SECTOR - offset / SECTOR + 1);
	if (offset + size > inode->size)
		inode->size = offset + size;
}

static void sector_save(struct inode *inode, uint64_t sector)
{
	memcpy(inode->safe + sector * SECTOR, inode->now + sector * SECTOR, SECTOR);
	inode->dirty[sector] = 0;
}

static void sector_lose(struct inode *inode, uint64_t sector)
{
	memcpy(inode->now + sector * SECTOR, inode->safe + sector * SECTOR, SECTOR);
	inode->dirty[sector] = 0;
}

static void inode_save(struct inode *inode, uint64_t offset, uint64_t size)
{
	if (size == 0)
		return;
	for (uint64_t sector = offset / SECTOR; sector <= (offset + size - 1) / SECTOR; sector++)
		if (inode->dirty[sector])
			sector_save(inode, sector);
	if (offset + size > inode->size_safe)
		inode->size_safe = offset + size < inode->size ? offset + size : inode->size;
}

/* Any subset of the sectors; all, none and prefixes come more often than chance would have them. */
static void inode_write_torn(struct sim *sim, struct inode *inode, uint64_t offset, const uint8_t *bytes, size_t size)
{
	unsigned mode = (unsigned)prng_below(&sim->prng, 4);
	size_t cut = prng_below(&sim->prng, size + 1);

	for (size_t at = 0; at < size;) {
		size_t part = SECTOR - (offset + at) % SECTOR;
		bool kept = mode == 1 || (mode == 2 && at < cut) || (mode == 3 && prng_chance(&sim->prng, 500));

		if (part > size - at)
			part = size - at;
		if (kept)
			inode_write(inode, offset + at, bytes + at, part);
		at += part;
	}
}

/* ---- names */

static struct name *names_find(const struct names *names, const char *path)
{
	for (size_t i = 0; i < names->count; i++)
		if (strcmp(names->all[i].path, path) == 0)
			return &names->all[i];
	return NULL;
}

static void names_remove(struct names *names, const char *path)
{
	struct name *name = names_find(names, path);

	if (name == NULL)
		return;
	name->inode->name_count -= names->seen;
	*name = names->all[--names->count];
}

static void names_put(struct names *names, const char *path, struct inode *inode)
{
	names_remove(names, path);
	names->all = must(realloc(names->all, (names->count + 1) * sizeof(*names->all)));
	snprintf(names->all[names->count].path, SIM_PATH_MAX, "%s", path);
	names->all[names->count++].inode = inode;
	inode->name_count += names->seen;
}

static void names_apply(struct names *names, const struct change *change)
{
	struct name *name;

	switch (change->kind) {
	case CHANGE_CREATE:
		names_put(names, change->path, change->inode);
		break;
	case CHANGE_RENAME:
		name = names_find(names, change->path);
		if (name != NULL) {
			names_remove(names, change->path);
			names_put(names, change->to, change->inode);
		}
		break;
	case CHANGE_UNLINK:
		names_remove(names, change->path);
		break;
	}
}

static void names_change(struct sim *sim, enum change_kind kind, const char *path, const char *to, struct inode *inode)
{
	struct change *change;

	sim->log = must(realloc(sim->log, (sim->log_count + 1) * sizeof(*sim->log)));
	change = &sim->log[sim->log_count++];
	*change = (struct change){.kind = kind, .inode = inode};
	snprintf(change->path, SIM_PATH_MAX, "%s", path);
	snprintf(change->to, SIM_PATH_MAX, "%s", to);
	names_apply(&sim->names, change);
}

static void dir_of(const char *path, char ret_dir[SIM_PATH_MAX])
{
	const char *slash = strrchr(path, '/');

	if (slash == NULL)
		snprintf(ret_dir, SIM_PATH_MAX, ".");
	else if (slash == path)
		snprintf(ret_dir, SIM_PATH_MAX, "/");
	else
		snprintf(ret_dir, SIM_PATH_MAX, "%.*s", (int)(slash - path), path);
}

static bool path_in(const char *path, const char *dir)
{
	const char *slash = strrchr(path, '/');

	if (slash == NULL || slash == path)
		return strcmp(dir, slash == NULL ? "." : "/") == 0;
	return strncmp(dir, path, (size_t)(slash - path)) == 0 && dir[slash - path] == '\0';
}

static bool dir_exists(const struct sim *sim, const char *dir)
{
	if (strcmp(dir, ".") == 0 || strcmp(dir, "/") == 0)
		return true;
	for (size_t i = 0; i < sim->dir_count; i++)
		if (strcmp(sim->dirs[i], dir) == 0)
			return true;
	return false;
}

/* Applies the directory's changes to the durable names: all, or at a crash a prefix of them. */
static void dir_save(struct sim *sim, const char *dir, size_t count_max)
{
	size_t kept = 0;

	for (size_t i = 0; i < sim->log_count; i++) {
		if (!path_in(sim->log[i].path, dir)) {
			sim->log[kept++] = sim->log[i];
		} else if (count_max > 0) {
			names_apply(&sim->names_safe, &sim->log[i]);
			count_max--;
		}
	}
	sim->log_count = kept;
}

/* ---- operations */

static int do_open(struct sim *sim, const char *path, int flags, struct io_file **ret_file)
{
	struct name *name = names_find(&sim->names, path);
	char dir[SIM_PATH_MAX];
	struct sim_file *file;
	struct inode *inode;
	int r = gate(sim, flags & IO_CREATE ? SIM_CREATE : SIM_READ);

	dir_of(path, dir);
	if (r < 0)
		return r;
	if (!dir_exists(sim, dir))
		return -ENOENT;
	if (flags & IO_CREATE ? name != NULL : name == NULL)
		return flags & IO_CREATE ? -EEXIST : -ENOENT;
	if (name != NULL && (flags & IO_PRIVATE) && name->inode->exposed)
		return -EPERM;
	if (name != NULL && name->inode->deny_error != 0)
		return -name->inode->deny_error;
	inode = name != NULL ? name->inode : inode_new(sim);
	if (name == NULL)
		names_change(sim, CHANGE_CREATE, path, "", inode);
	if (r == GATE_CUT)
		return -EIO;
	file = must(calloc(1, sizeof(*file)));
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

static int sim_open(struct io *io, const char *path, int flags, struct io_file **ret_file)
{
	lock(sim_of(io));
	return unlock(sim_of(io), do_open(sim_of(io), path, flags, ret_file));
}

static void sim_close(struct io_file *io_file)
{
	struct sim_file *file = file_of(io_file);
	struct sim *sim;

	if (file == NULL)
		return;
	sim = file->sim;
	lock(sim);
	if (file->epoch == sim->epoch)
		file->inode->open_count--;
	free(file);
	(void)unlock(sim, 0);
}

static int sim_size(struct io_file *io_file, uint64_t *ret_size)
{
	struct sim_file *file = file_of(io_file);
	int r;

	lock(file->sim);
	r = gate_file(file, SIM_READ);
	if (r == 0)
		*ret_size = file->inode->size;
	return unlock(file->sim, r);
}

static int do_preallocate(struct sim_file *file, uint64_t size)
{
	int r = gate_file(file, SIM_PREALLOCATE);
	int grown;

	if (r < 0)
		return r;
	grown = inode_grow(file->sim, file->inode, size);
	if (grown < 0)
		return grown;
	if (file->inode->size < size)
		file->inode->size = size;
	if (r == 0)
		file->inode->size_safe = file->inode->size;
	return gate_result(r);
}

static int sim_preallocate(struct io_file *io_file, uint64_t size)
{
	lock(file_of(io_file)->sim);
	return unlock(file_of(io_file)->sim, do_preallocate(file_of(io_file), size));
}

static int64_t do_read(struct sim_file *file, uint64_t offset, void *buffer, size_t size)
{
	int r = gate_file(file, SIM_READ);

	if (r < 0)
		return r;
	if (offset >= file->inode->size)
		return 0;
	if (size > file->inode->size - offset)
		size = file->inode->size - offset;
	if (file->inode->bad && offset < file->inode->bad_offset + BLOCK && offset + size > file->inode->bad_offset)
		return -EIO;
	if (size > 0)
		memcpy(buffer, file->inode->now + offset, size);
	return (int64_t)size;
}

static int64_t sim_read(struct io_file *io_file, uint64_t offset, void *buffer, size_t size)
{
	struct sim *sim = file_of(io_file)->sim;
	int64_t n;

	lock(sim);
	n = do_read(file_of(io_file), offset, buffer, size);
	(void)unlock(sim, 0);
	return n;
}

static bool misaligned(const struct sim_file *file, uint64_t offset, const void *buffer, size_t size)
{
	return file->direct && (offset % IO_ALIGN != 0 || size % IO_ALIGN != 0 || (uintptr_t)buffer % IO_ALIGN != 0);
}

static int do_write(struct sim_file *file, uint64_t offset, const void *buffer, size_t size, bool durable)
{
	bool was_off = file->sim->off;
	int r = gate_file(file, SIM_WRITE);
	int grown;

	if (!file->writable)
		return -EBADF;
	if (misaligned(file, offset, buffer, size))
		return -EINVAL;
	if (file->epoch != file->sim->epoch || was_off)
		return -EIO;
	grown = inode_grow(file->sim, file->inode, offset + size);
	if (grown < 0)
		return grown;
	if (r != 0) {
		inode_write_torn(file->sim, file->inode, offset, buffer, size);
		return gate_result(r);
	}
	inode_write(file->inode, offset, buffer, size);
	if (durable)
		inode_save(file->inode, offset, size);
	return 0;
}

static int sim_write_sync(struct io_file *io_file, uint64_t offset, const void *buffer, size_t size)
{
	lock(file_of(io_file)->sim);
	return unlock(file_of(io_file)->sim, do_write(file_of(io_file), offset, buffer, size, true));
}

static int sim_write(struct io_file *io_file, uint64_t offset, const void *buffer, size_t size)
{
	lock(file_of(io_file)->sim);
	return unlock(file_of(io_file)->sim, do_write(file_of(io_file), offset, buffer, size, false));
}

static void inode_sync(struct inode *inode)
{
	inode_save(inode, 0, inode->size);
	inode->size_safe = inode->size;
}

static int sim_sync(struct io_file *io_file)
{
	struct sim_file *file = file_of(io_file);
	int r;

	lock(file->sim);
	r = gate_file(file, SIM_SYNC);
	if (r >= 0)
		inode_sync(file->inode);
	return unlock(file->sim, gate_result(r));
}

static int sim_punch(struct io_file *io_file)
{
	struct sim_file *file = file_of(io_file);
	int r;

	lock(file->sim);
	r = gate_file(file, SIM_PUNCH);
	if (r >= 0 && file->inode->room > 0) {
		memset(file->inode->now, 0, file->inode->room);
		memset(file->inode->safe, 0, file->inode->room);
		memset(file->inode->dirty, 0, file->inode->room / SECTOR);
	}
	return unlock(file->sim, gate_result(r));
}

static int do_rename(struct sim *sim, const char *from, const char *to)
{
	struct name *name = names_find(&sim->names, from);
	char dir[SIM_PATH_MAX];
	int r = gate(sim, SIM_NAME);

	if (r < 0)
		return r;
	dir_of(to, dir);
	if (name == NULL || !dir_exists(sim, dir))
		return -ENOENT;
	assert(path_in(from, dir)); /* the log knows one directory an operation */
	names_change(sim, CHANGE_RENAME, from, to, name->inode);
	return gate_result(r);
}

static int sim_rename(struct io *io, const char *from, const char *to)
{
	lock(sim_of(io));
	return unlock(sim_of(io), do_rename(sim_of(io), from, to));
}

static int do_unlink(struct sim *sim, const char *path)
{
	struct name *name = names_find(&sim->names, path);
	int r = gate(sim, SIM_NAME);

	if (r < 0)
		return r;
	if (name == NULL)
		return -ENOENT;
	names_change(sim, CHANGE_UNLINK, path, "", name->inode);
	return gate_result(r);
}

static int sim_unlink(struct io *io, const char *path)
{
	lock(sim_of(io));
	return unlock(sim_of(io), do_unlink(sim_of(io), path));
}

static int do_mkdir(struct sim *sim, const char *path)
{
	int r = gate(sim, SIM_NAME);

	if (r < 0 || dir_exists(sim, path))
		return gate_result(r);
	sim->dirs = must(realloc(sim->dirs, (sim->dir_count + 1) * sizeof(*sim->dirs)));
	snprintf(sim->dirs[sim->dir_count++], SIM_PATH_MAX, "%s", path);
	return gate_result(r);
}

static int sim_mkdir(struct io *io, const char *path)
{
	lock(sim_of(io));
	return unlock(sim_of(io), do_mkdir(sim_of(io), path));
}

static int sim_dir_sync(struct io *io, const char *path)
{
	struct sim *sim = sim_of(io);
	int r;

	lock(sim);
	r = gate(sim, SIM_SYNC);
	if (r >= 0 && !dir_exists(sim, path))
		return unlock(sim, -ENOENT);
	if (r >= 0)
		dir_save(sim, path, SIZE_MAX);
	return unlock(sim, gate_result(r));
}

/* The callback may use the disk: names are copied out first. */
static int sim_list(struct io *io, const char *path, int (*each)(void *context, const char *name), void *context)
{
	struct sim *sim = sim_of(io);
	char(*found)[SIM_PATH_MAX];
	size_t count = 0;
	int r;

	lock(sim);
	r = gate(sim, SIM_READ);
	if (r == 0 && !dir_exists(sim, path))
		r = -ENOENT;
	if (r < 0)
		return unlock(sim, r);
	found = must(calloc(sim->names.count + 1, sizeof(*found)));
	for (size_t i = 0; i < sim->names.count; i++)
		if (path_in(sim->names.all[i].path, path))
			memcpy(found[count++], sim->names.all[i].path, SIM_PATH_MAX);
	(void)unlock(sim, 0);
	for (size_t i = 0; i < count && r == 0; i++) {
		const char *slash = strrchr(found[i], '/');

		r = each(context, slash == NULL ? found[i] : slash + 1);
	}
	free(found);
	return r;
}

static int sim_space(struct io *io, const char *path, struct io_space *ret_space)
{
	struct sim *sim = sim_of(io);
	uint64_t used;

	(void)path;
	lock(sim);
	used = sim_used(sim);
	ret_space->total_bytes = sim->capacity > 0 ? sim->capacity : UINT64_C(1) << 50;
	ret_space->free_bytes = used < ret_space->total_bytes ? ret_space->total_bytes - used : 0;
	return unlock(sim, 0);
}

/* ---- queues */

static int sim_queue_new(struct io *io, unsigned depth, void *buffers, size_t buffers_size, struct io_queue **ret_queue)
{
	struct sim *sim = sim_of(io);
	struct sim_queue *queue;

	(void)buffers;
	(void)buffers_size;
	if (depth == 0 || depth > QUEUE_MAX)
		return -EINVAL;
	queue = must(calloc(1, sizeof(*queue)));
	lock(sim);
	queue->queue.ops = &sim_ops_table;
	queue->sim = sim;
	queue->depth = depth;
	queue->epoch = sim->epoch;
	queue->next = sim->queues;
	sim->queues = queue;
	*ret_queue = &queue->queue;
	return unlock(sim, 0);
}

static void sim_queue_free(struct io_queue *io_queue)
{
	struct sim_queue *queue = (struct sim_queue *)io_queue;
	struct sim *sim;
	struct sim_queue **at;

	if (queue == NULL)
		return;
	sim = queue->sim;
	lock(sim);
	for (at = &sim->queues; *at != queue; at = &(*at)->next)
		;
	*at = queue->next;
	for (unsigned i = 0; i < queue->count; i++)
		free(queue->writes[i].copy);
	free(queue);
	(void)unlock(sim, 0);
}

static int do_submit(struct sim_queue *queue, struct sim_file *file, const struct sim_write *write)
{
	struct sim *sim = queue->sim;
	struct sim_write *slot = &queue->writes[queue->count];
	bool lost = sim->off || file->epoch != sim->epoch;
	int r;

	if (queue->count == queue->depth)
		return -EAGAIN;
	if (misaligned(file, write->offset, write->buffer, write->size))
		return -EINVAL;
	r = gate_file(file, SIM_SUBMIT);
	*slot = *write;
	slot->inode = file->inode;
	slot->lost = lost;
	slot->copy = must(malloc(write->size));
	memcpy(slot->copy, write->buffer, write->size);
	slot->error = gate_result(r);
	if (!lost && inode_grow(sim, file->inode, write->offset + write->size) < 0)
		slot->error = -ENOSPC;
	queue->count++;
	return 0;
}

static int sim_submit(struct io_queue *io_queue, struct io_file *io_file, uint64_t offset, const void *buffer,
		      size_t size, uint64_t token)
{
	struct sim_queue *queue = (struct sim_queue *)io_queue;
	struct sim_write write = {.buffer = buffer, .offset = offset, .size = size, .token = token};

	lock(queue->sim);
	return unlock(queue->sim, do_submit(queue, file_of(io_file), &write));
}

static int write_complete(struct sim *sim, struct sim_write *write, unsigned epoch)
{
	if (sim->off || epoch != sim->epoch)
		return -EIO;
	if (memcmp(write->buffer, write->copy, write->size) != 0) {
		fprintf(stderr, "sim_io: a buffer was changed while its write was in flight\n");
		abort();
	}
	if (write->error == 0)
		inode_write(write->inode, write->offset, write->copy, write->size);
	else if (write->error != -ENOSPC)
		inode_write_torn(sim, write->inode, write->offset, write->copy, write->size);
	inode_save(write->inode, write->offset, write->size);
	return write->error;
}

/* In any order, now or later; with a single write in flight it may be asked for twice or thrice. */
static int sim_reap(struct io_queue *io_queue, struct io_completion *ret_completions, unsigned max)
{
	struct sim_queue *queue = (struct sim_queue *)io_queue;
	struct sim *sim = queue->sim;
	unsigned done = 0;

	lock(sim);
	for (unsigned i = 0; i < queue->count && done < max;) {
		struct sim_write *write = &queue->writes[i];

		if (!sim->off && prng_chance(&sim->prng, 400)) {
			i++;
			continue;
		}
		ret_completions[done++] = (struct io_completion){.token = write->token,
								 .result = write_complete(sim, write, queue->epoch)};
		free(write->copy);
		*write = queue->writes[--queue->count];
	}
	return unlock(sim, (int)done);
}

/* ---- readers */

struct sim_read {
	struct io_file *file;
	void *buffer;
	uint64_t offset;
	size_t size;
	uint64_t token;
};

struct sim_reader {
	struct io_reader reader;
	struct sim *sim;
	unsigned depth;
	unsigned count;
	struct sim_read reads[IO_READER_DEPTH_MAX];
};

static int sim_reader_new(struct io *io, unsigned depth, struct io_reader **ret_reader)
{
	struct sim_reader *reader;

	if (depth == 0 || depth > IO_READER_DEPTH_MAX)
		return -EINVAL;
	reader = must(calloc(1, sizeof(*reader)));
	reader->reader.ops = &sim_ops_table;
	reader->sim = sim_of(io);
	reader->depth = depth;
	*ret_reader = &reader->reader;
	return 0;
}

/* What is in flight lands before the reader goes, as a real disk would do it. */
static void sim_reader_free(struct io_reader *io_reader)
{
	struct sim_reader *reader = (struct sim_reader *)io_reader;

	if (reader == NULL)
		return;
	for (unsigned i = 0; i < reader->count; i++)
		memset(reader->reads[i].buffer, 0xa5, reader->reads[i].size);
	free(reader);
}

static int sim_reader_submit(struct io_reader *io_reader, struct io_file *file, uint64_t offset, void *buffer,
			     size_t size, uint64_t token)
{
	struct sim_reader *reader = (struct sim_reader *)io_reader;

	if (reader->count == reader->depth)
		return -EAGAIN;
	if (misaligned(file_of(file), offset, buffer, size))
		return -EINVAL;
	memset(buffer, 0xa5, size); /* who looks too early sees that nothing is there */
	reader->reads[reader->count++] = (struct sim_read){file, buffer, offset, size, token};
	return 0;
}

/* In any order, now or later. */
static int sim_reader_reap(struct io_reader *io_reader, struct io_completion *ret_completions, unsigned max,
			   unsigned wait)
{
	struct sim_reader *reader = (struct sim_reader *)io_reader;
	unsigned done = 0;

	lock(reader->sim);
	while (reader->count > 0 && done < max && (done < wait || prng_chance(&reader->sim->prng, 500))) {
		struct sim_read *read = &reader->reads[prng_below(&reader->sim->prng, reader->count)];

		ret_completions[done++] = (struct io_completion){
			.token = read->token,
			.result = (int)do_read(file_of(read->file), read->offset, read->buffer, read->size)};
		*read = reader->reads[--reader->count];
	}
	return unlock(reader->sim, (int)done);
}

static bool sim_direct(struct io_file *file)
{
	return file_of(file)->direct;
}

static const struct io_ops sim_ops_table = {
	.open = sim_open,
	.close = sim_close,
	.size = sim_size,
	.preallocate = sim_preallocate,
	.read = sim_read,
	.write_sync = sim_write_sync,
	.write = sim_write,
	.sync = sim_sync,
	.punch = sim_punch,
	.rename = sim_rename,
	.unlink = sim_unlink,
	.mkdir = sim_mkdir,
	.dir_sync = sim_dir_sync,
	.list = sim_list,
	.space = sim_space,
	.queue_new = sim_queue_new,
	.queue_free = sim_queue_free,
	.submit = sim_submit,
	.reap = sim_reap,
	.reader_new = sim_reader_new,
	.reader_free = sim_reader_free,
	.reader_submit = sim_reader_submit,
	.reader_reap = sim_reader_reap,
	.direct = sim_direct,
	.name = "simulated",
};

/* ---- the test's side */

struct io *sim_new(uint64_t seed)
{
	struct sim *sim = must(calloc(1, sizeof(*sim)));

	sim->io.ops = &sim_ops_table;
	sim->prng.state = seed;
	sim->names.seen = true;
	(void)pthread_mutex_init(&sim->lock, NULL);
	return &sim->io;
}

static void inode_free(struct inode *inode)
{
	free(inode->now);
	free(inode->safe);
	free(inode->dirty);
	free(inode);
}

struct io *sim_free(struct io *io)
{
	struct sim *sim = sim_of(io);

	if (sim == NULL)
		return NULL;
	while (sim->inodes != NULL) {
		struct inode *next = sim->inodes->next;

		inode_free(sim->inodes);
		sim->inodes = next;
	}
	free(sim->names.all);
	free(sim->names_safe.all);
	free(sim->log);
	free(sim->dirs);
	(void)pthread_mutex_destroy(&sim->lock);
	free(sim);
	return NULL;
}

uint64_t sim_ops(struct io *io)
{
	uint64_t ops;

	lock(sim_of(io));
	ops = sim_of(io)->ops;
	(void)unlock(sim_of(io), 0);
	return ops;
}

void sim_cut_at(struct io *io, uint64_t op)
{
	lock(sim_of(io));
	sim_of(io)->cut_at = op;
	(void)unlock(sim_of(io), 0);
}

bool sim_is_cut(struct io *io)
{
	bool off;

	lock(sim_of(io));
	off = sim_of(io)->off;
	(void)unlock(sim_of(io), 0);
	return off;
}

/* Both contents beyond the end that the crash left: what was there never was. */
static void inode_cut(struct inode *inode, uint64_t size)
{
	if (inode->room > size) {
		memset(inode->now + size, 0, inode->room - size);
		memset(inode->safe + size, 0, inode->room - size);
	}
}

/* Only dirty sectors can differ, and a disk has many clean ones by the time its power goes. */
static void inode_crash(struct sim *sim, struct inode *inode)
{
	unsigned mode = (unsigned)prng_below(&sim->prng, 4);
	bool longer = mode == 1 || (mode > 1 && prng_chance(&sim->prng, 500));
	uint64_t sectors = inode->room / SECTOR;
	const uint8_t *next = inode->dirty;

	while (sectors > 0 && (next = memchr(next, 1, inode->dirty + sectors - next)) != NULL) {
		uint64_t sector = (uint64_t)(next - inode->dirty);

		if (mode == 1 || (mode > 1 && prng_chance(&sim->prng, 500)))
			sector_save(inode, sector);
		else
			sector_lose(inode, sector);
	}
	if (longer)
		inode->size_safe = inode->size;
	if (inode->size_safe < inode->size)
		inode_cut(inode, inode->size_safe);
	inode->size = inode->size_safe;
	inode->open_count = 0;
}

static void names_crash(struct sim *sim)
{
	while (sim->log_count > 0) {
		char dir[SIM_PATH_MAX];

		dir_of(sim->log[0].path, dir);
		dir_save(sim, dir, prng_below(&sim->prng, sim->log_count + 1));
	}
	sim->names.all = must(realloc(sim->names.all, (sim->names_safe.count + 1) * sizeof(*sim->names.all)));
	if (sim->names_safe.count > 0)
		memcpy(sim->names.all, sim->names_safe.all, sim->names_safe.count * sizeof(*sim->names.all));
	sim->names.count = sim->names_safe.count;
	for (struct inode *inode = sim->inodes; inode != NULL; inode = inode->next)
		inode->name_count = 0;
	for (size_t i = 0; i < sim->names.count; i++)
		sim->names.all[i].inode->name_count++;
}

void sim_crash(struct io *io)
{
	struct sim *sim = sim_of(io);

	lock(sim);
	for (struct sim_queue *queue = sim->queues; queue != NULL; queue = queue->next) {
		for (unsigned i = 0; i < queue->count && queue->epoch == sim->epoch; i++) {
			const struct sim_write *write = &queue->writes[i];

			if (!write->lost && write->offset + write->size <= write->inode->room)
				inode_write_torn(sim, write->inode, write->offset, write->copy, write->size);
		}
	}
	for (struct inode *inode = sim->inodes; inode != NULL; inode = inode->next)
		inode_crash(sim, inode);
	names_crash(sim);
	sim->epoch++;
	sim->off = false;
	sim->cut_at = 0;
	sim->fail_count = 0;
	(void)unlock(sim, 0);
}

void sim_fail(struct io *io, unsigned kinds, uint64_t nth, uint64_t count, int error)
{
	struct sim *sim = sim_of(io);

	lock(sim);
	sim->fail_kinds = kinds;
	sim->fail_skip = nth > 0 ? nth - 1 : 0;
	sim->fail_count = count;
	sim->fail_error = error;
	(void)unlock(sim, 0);
}

void sim_capacity(struct io *io, uint64_t bytes)
{
	lock(sim_of(io));
	sim_of(io)->capacity = bytes;
	(void)unlock(sim_of(io), 0);
}

int sim_rot(struct io *io, const char *path, uint64_t offset, uint8_t mask)
{
	struct sim *sim = sim_of(io);
	struct name *name;

	lock(sim);
	name = names_find(&sim->names, path);
	if (name == NULL)
		return unlock(sim, -ENOENT);
	if (offset >= name->inode->size)
		return unlock(sim, -EINVAL);
	name->inode->now[offset] ^= mask;
	name->inode->safe[offset] ^= mask;
	return unlock(sim, 0);
}

int sim_truncate(struct io *io, const char *path, uint64_t size)
{
	struct sim *sim = sim_of(io);
	struct name *name;

	lock(sim);
	name = names_find(&sim->names, path);
	if (name == NULL)
		return unlock(sim, -ENOENT);
	if (size > name->inode->size)
		return unlock(sim, -EINVAL);
	if (name->inode->room > 0) {
		memset(name->inode->now + size, 0, name->inode->room - size);
		memset(name->inode->safe + size, 0, name->inode->room - size);
	}
	name->inode->size = size;
	name->inode->size_safe = size;
	return unlock(sim, 0);
}

int sim_bad_block(struct io *io, const char *path, uint64_t offset)
{
	struct sim *sim = sim_of(io);
	struct name *name;

	lock(sim);
	name = names_find(&sim->names, path);
	if (name == NULL)
		return unlock(sim, -ENOENT);
	name->inode->bad = true;
	name->inode->bad_offset = offset;
	return unlock(sim, 0);
}

int sim_deny(struct io *io, const char *path, int error)
{
	struct sim *sim = sim_of(io);
	struct name *name;

	lock(sim);
	name = names_find(&sim->names, path);
	if (name != NULL)
		name->inode->deny_error = error;
	return unlock(sim, name != NULL ? 0 : -ENOENT);
}

int sim_expose(struct io *io, const char *path)
{
	struct sim *sim = sim_of(io);
	struct name *name;

	lock(sim);
	name = names_find(&sim->names, path);
	if (name != NULL)
		name->inode->exposed = true;
	return unlock(sim, name != NULL ? 0 : -ENOENT);
}

int sim_put(struct io *io, const char *path, const void *bytes, size_t size)
{
	struct sim *sim = sim_of(io);
	struct inode *inode;

	lock(sim);
	inode = inode_new(sim);
	if (inode_grow(sim, inode, size) < 0)
		return unlock(sim, -ENOSPC);
	inode_write(inode, 0, bytes, size);
	inode_sync(inode);
	names_put(&sim->names, path, inode);
	names_put(&sim->names_safe, path, inode);
	return unlock(sim, 0);
}

uint8_t *sim_get(struct io *io, const char *path, size_t *ret_size)
{
	struct sim *sim = sim_of(io);
	struct name *name;
	uint8_t *copy = NULL;

	lock(sim);
	name = names_find(&sim->names, path);
	if (name != NULL) {
		copy = must(malloc(name->inode->size + 1));
		if (name->inode->size > 0)
			memcpy(copy, name->inode->now, name->inode->size);
		*ret_size = name->inode->size;
	}
	(void)unlock(sim, 0);
	return copy;
}

int sim_medium_each(struct io *io, int (*each)(void *context, const uint8_t *bytes, size_t size), void *context)
{
	struct sim *sim = sim_of(io);
	int r = 0;

	lock(sim);
	for (const struct inode *inode = sim->inodes; inode != NULL && r == 0; inode = inode->next) {
		if (inode->room == 0)
			continue;
		r = each(context, inode->safe, inode->room);
		if (r == 0)
			r = each(context, inode->now, inode->room);
	}
	return unlock(sim, r);
}

struct needle {
	const void *bytes;
	size_t size;
};

static int needle_find(void *context, const uint8_t *bytes, size_t size)
{
	const struct needle *needle = context;

	return memmem(bytes, size, needle->bytes, needle->size) != NULL;
}

bool sim_medium_holds(struct io *io, const void *bytes, size_t size)
{
	struct needle needle = {.bytes = bytes, .size = size};

	return sim_medium_each(io, needle_find, &needle) != 0;
}
