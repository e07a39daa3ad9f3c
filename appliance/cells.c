#include "appliance/cells.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "appliance/base/digest.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#define PAGE_HUGE ((size_t)2 << 20)

struct cells {
	struct cell *table;
	uint64_t mask; /* of sets */
	uint8_t secret[XXH3_SECRET_SIZE_MIN];
};

int cells_new(size_t size, struct cells **ret_cells)
{
	struct cells *cells = calloc(1, sizeof(*cells));
	size_t sets = 1;

	if (cells == NULL)
		return -ENOMEM;
	while (2 * sets * CELLS_SET_SIZE <= size)
		sets *= 2;
	cells->mask = sets - 1;
	/* Every look goes somewhere else: with small pages it would miss the TLB as well. */
	cells->table =
		aligned_alloc(sets * CELLS_SET_SIZE < PAGE_HUGE ? CELLS_SET_SIZE : PAGE_HUGE, sets * CELLS_SET_SIZE);
	if (cells->table == NULL) {
		free(cells);
		return -ENOMEM;
	}
	(void)madvise(cells->table, sets * CELLS_SET_SIZE, MADV_HUGEPAGE);
	memset(cells->table, 0, sets * CELLS_SET_SIZE);
	random_bytes(cells->secret, sizeof(cells->secret));
	*ret_cells = cells;
	return 0;
}

struct cells *cells_free(struct cells *cells)
{
	if (cells == NULL)
		return NULL;
	free(cells->table);
	free(cells);
	return NULL;
}

size_t cells_size(const struct cells *cells)
{
	return (cells->mask + 1) * CELLS_SET_SIZE;
}

/* One to one, and 0 stays 0. */
static uint64_t mix(uint64_t value)
{
	value ^= value >> 32;
	value *= UINT64_C(0x9fb21c651e98df25);
	return value ^ value >> 29;
}

struct cell_key cells_key(const struct cells *cells, const void *bytes, size_t size)
{
	XXH128_hash_t hash = XXH3_128bits_withSecret(bytes, size, cells->secret, sizeof(cells->secret));

	return (struct cell_key){.set = hash.high64 & cells->mask, .tag = hash.low64};
}

void cells_prefetch(const struct cells *cells, struct cell_key key)
{
	const struct cell *set = &cells->table[key.set * CELLS_WAYS];

	__builtin_prefetch(set);
	__builtin_prefetch(set + CELLS_WAYS / 2);
}

/* What of a cell is this key's: 0, or its value. */
static uint64_t value_of(const struct cell *cell, uint64_t tag)
{
	uint64_t value = atomic_load_explicit(&cell->value, memory_order_relaxed);
	uint64_t mixed = atomic_load_explicit(&cell->mixed, memory_order_relaxed);

	return (mixed ^ mix(value)) == tag ? value : 0;
}

static void write_cell(struct cell *cell, uint64_t tag, uint64_t value)
{
	atomic_store_explicit(&cell->value, value, memory_order_relaxed);
	atomic_store_explicit(&cell->mixed, value == 0 ? 0 : tag ^ mix(value), memory_order_relaxed);
}

uint64_t cells_get(const struct cells *cells, struct cell_key key)
{
	const struct cell *set = &cells->table[key.set * CELLS_WAYS];

	for (unsigned way = 0; way < CELLS_WAYS; way++) {
		uint64_t value = value_of(&set[way], key.tag);

		if (value != 0)
			return value;
	}
	return 0;
}

bool cells_put(struct cells *cells, struct cell_key key, uint64_t value, uint64_t living_from)
{
	struct cell *set = &cells->table[key.set * CELLS_WAYS];
	struct cell *lowest = NULL;
	uint64_t low = UINT64_MAX;

	for (unsigned way = 0; way < CELLS_WAYS; way++) {
		uint64_t there = atomic_load_explicit(&set[way].value, memory_order_relaxed);

		if (there != 0 && value_of(&set[way], key.tag) != 0) {
			write_cell(&set[way], key.tag, value);
			return false;
		}
		if (lowest == NULL || there < low) {
			lowest = &set[way];
			low = there;
		}
	}
	write_cell(lowest, key.tag, value);
	return low != 0 && low >= living_from;
}

void cells_remove(struct cells *cells, struct cell_key key)
{
	struct cell *set = &cells->table[key.set * CELLS_WAYS];

	for (unsigned way = 0; way < CELLS_WAYS; way++)
		if (value_of(&set[way], key.tag) != 0)
			write_cell(&set[way], key.tag, 0);
}
