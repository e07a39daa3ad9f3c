/* Contents: what is seen, what is safe, and what a crash makes of both. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/prng.h"
#include "tests/storage/sim_internal.h"

struct inode *sim_inode_new(struct sim *sim)
{
	struct inode *inode = sim_must(calloc(1, sizeof(*inode)));

	inode->next = sim->inodes;
	sim->inodes = inode;
	return inode;
}

static uint64_t blocks(uint64_t size)
{
	return (size + SIM_BLOCK - 1) / SIM_BLOCK * SIM_BLOCK;
}

static bool inode_is_ghost(const struct inode *inode)
{
	return inode->open_count == 0 && inode->name_count == 0;
}

uint64_t sim_used(const struct sim *sim)
{
	uint64_t used = 0;

	for (const struct inode *inode = sim->inodes; inode != NULL; inode = inode->next)
		if (!inode_is_ghost(inode))
			used += inode->room;
	return used;
}

int sim_inode_grow(struct sim *sim, struct inode *inode, uint64_t size)
{
	uint64_t room = blocks(size);

	if (room <= inode->room)
		return 0;
	if (sim->capacity > 0 && sim_used(sim) + room - inode->room > sim->capacity)
		return -ENOSPC;
	inode->now = sim_must(realloc(inode->now, room));
	inode->safe = sim_must(realloc(inode->safe, room));
	inode->dirty = sim_must(realloc(inode->dirty, room / SIM_SECTOR));
	memset(inode->now + inode->room, 0, room - inode->room);
	memset(inode->safe + inode->room, 0, room - inode->room);
	memset(inode->dirty + inode->room / SIM_SECTOR, 0, (room - inode->room) / SIM_SECTOR);
	inode->room = room;
	return 0;
}

void sim_inode_write(struct inode *inode, uint64_t offset, const uint8_t *bytes, size_t size)
{
	if (size == 0)
		return;
	memcpy(inode->now + offset, bytes, size);
	memset(inode->dirty + offset / SIM_SECTOR, 1, (offset + size - 1) / SIM_SECTOR - offset / SIM_SECTOR + 1);
	if (offset + size > inode->size)
		inode->size = offset + size;
}

static void inode_save_sector(struct inode *inode, uint64_t sector)
{
	memcpy(inode->safe + sector * SIM_SECTOR, inode->now + sector * SIM_SECTOR, SIM_SECTOR);
	inode->dirty[sector] = 0;
}

static void inode_lose_sector(struct inode *inode, uint64_t sector)
{
	memcpy(inode->now + sector * SIM_SECTOR, inode->safe + sector * SIM_SECTOR, SIM_SECTOR);
	inode->dirty[sector] = 0;
}

void sim_inode_save(struct inode *inode, uint64_t offset, uint64_t size)
{
	if (size == 0)
		return;
	for (uint64_t sector = offset / SIM_SECTOR; sector <= (offset + size - 1) / SIM_SECTOR; sector++)
		if (inode->dirty[sector])
			inode_save_sector(inode, sector);
	if (offset + size > inode->size_safe)
		inode->size_safe = offset + size < inode->size ? offset + size : inode->size;
}

void sim_inode_write_torn(struct sim *sim, struct inode *inode, uint64_t offset, const uint8_t *bytes, size_t size)
{
	unsigned mode = (unsigned)prng_below(&sim->prng, 4);
	size_t cut = prng_below(&sim->prng, size + 1);

	for (size_t at = 0; at < size;) {
		size_t part = SIM_SECTOR - (offset + at) % SIM_SECTOR;
		bool kept = mode == 1 || (mode == 2 && at < cut) || (mode == 3 && prng_chance(&sim->prng, 500));

		if (part > size - at)
			part = size - at;
		if (kept)
			sim_inode_write(inode, offset + at, bytes + at, part);
		at += part;
	}
}

void sim_inode_sync(struct inode *inode)
{
	sim_inode_save(inode, 0, inode->size);
	inode->size_safe = inode->size;
}

void sim_inode_free(struct inode *inode)
{
	free(inode->now);
	free(inode->safe);
	free(inode->dirty);
	free(inode);
}

/* Both contents beyond the end that the crash left: what was there never was. */
static void inode_cut(struct inode *inode, uint64_t size)
{
	if (inode->room > size) {
		memset(inode->now + size, 0, inode->room - size);
		memset(inode->safe + size, 0, inode->room - size);
	}
}

void sim_inode_crash(struct sim *sim, struct inode *inode)
{
	unsigned mode = (unsigned)prng_below(&sim->prng, 4);
	bool longer = mode == 1 || (mode > 1 && prng_chance(&sim->prng, 500));
	uint64_t sectors = inode->room / SIM_SECTOR;
	const uint8_t *next = inode->dirty;

	while (sectors > 0 && (next = memchr(next, 1, inode->dirty + sectors - next)) != NULL) {
		uint64_t sector = (uint64_t)(next - inode->dirty);

		if (mode == 1 || (mode > 1 && prng_chance(&sim->prng, 500)))
			inode_save_sector(inode, sector);
		else
			inode_lose_sector(inode, sector);
	}
	if (longer)
		inode->size_safe = inode->size;
	if (inode->size_safe < inode->size)
		inode_cut(inode, inode->size_safe);
	inode->size = inode->size_safe;
	inode->open_count = 0;
}
