/* The test's hands on the medium: rot, what is put there, what stands anywhere on it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/storage/sim_internal.h"

int sim_rot(struct io *io, const char *path, uint64_t offset, uint8_t mask)
{
	struct sim *sim = sim_of(io);
	struct name *name;

	sim_lock(sim);
	name = sim_names_find(&sim->names, path);
	if (name == NULL)
		return sim_unlock(sim, -ENOENT);
	if (offset >= name->inode->size)
		return sim_unlock(sim, -EINVAL);
	name->inode->now[offset] ^= mask;
	name->inode->safe[offset] ^= mask;
	return sim_unlock(sim, 0);
}

int sim_truncate(struct io *io, const char *path, uint64_t size)
{
	struct sim *sim = sim_of(io);
	struct name *name;

	sim_lock(sim);
	name = sim_names_find(&sim->names, path);
	if (name == NULL)
		return sim_unlock(sim, -ENOENT);
	if (size > name->inode->size)
		return sim_unlock(sim, -EINVAL);
	if (name->inode->room > 0) {
		memset(name->inode->now + size, 0, name->inode->room - size);
		memset(name->inode->safe + size, 0, name->inode->room - size);
	}
	name->inode->size = size;
	name->inode->size_safe = size;
	return sim_unlock(sim, 0);
}

int sim_bad_block(struct io *io, const char *path, uint64_t offset)
{
	struct sim *sim = sim_of(io);
	struct name *name;

	sim_lock(sim);
	name = sim_names_find(&sim->names, path);
	if (name == NULL)
		return sim_unlock(sim, -ENOENT);
	name->inode->bad = true;
	name->inode->bad_offset = offset;
	return sim_unlock(sim, 0);
}

int sim_deny(struct io *io, const char *path, int error)
{
	struct sim *sim = sim_of(io);
	struct name *name;

	sim_lock(sim);
	name = sim_names_find(&sim->names, path);
	if (name != NULL)
		name->inode->deny_error = error;
	return sim_unlock(sim, name != NULL ? 0 : -ENOENT);
}

int sim_expose(struct io *io, const char *path)
{
	struct sim *sim = sim_of(io);
	struct name *name;

	sim_lock(sim);
	name = sim_names_find(&sim->names, path);
	if (name != NULL)
		name->inode->exposed = true;
	return sim_unlock(sim, name != NULL ? 0 : -ENOENT);
}

int sim_put(struct io *io, const char *path, const void *bytes, size_t size)
{
	struct sim *sim = sim_of(io);
	struct inode *inode;

	sim_lock(sim);
	inode = sim_inode_new(sim);
	if (sim_inode_grow(sim, inode, size) < 0)
		return sim_unlock(sim, -ENOSPC);
	sim_inode_write(inode, 0, bytes, size);
	sim_inode_sync(inode);
	sim_names_put(&sim->names, path, inode);
	sim_names_put(&sim->names_safe, path, inode);
	return sim_unlock(sim, 0);
}

uint8_t *sim_get(struct io *io, const char *path, size_t *ret_size)
{
	struct sim *sim = sim_of(io);
	struct name *name;
	uint8_t *copy = NULL;

	sim_lock(sim);
	name = sim_names_find(&sim->names, path);
	if (name != NULL) {
		copy = sim_must(malloc(name->inode->size + 1));
		if (name->inode->size > 0)
			memcpy(copy, name->inode->now, name->inode->size);
		*ret_size = name->inode->size;
	}
	(void)sim_unlock(sim, 0);
	return copy;
}

int sim_medium_each(struct io *io, int (*each)(void *context, const uint8_t *bytes, size_t size), void *context)
{
	struct sim *sim = sim_of(io);
	int r = 0;

	sim_lock(sim);
	for (const struct inode *inode = sim->inodes; inode != NULL && r == 0; inode = inode->next) {
		if (inode->room == 0)
			continue;
		r = each(context, inode->safe, inode->room);
		if (r == 0)
			r = each(context, inode->now, inode->room);
	}
	return sim_unlock(sim, r);
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
