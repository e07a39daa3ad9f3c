/*
 * A table of bounded size that all workers share without a lock: 128-bit keys, each with one 64-bit value, the newest
 * kept. For what may be forgotten, but never mistaken: hits told lately (repeats.h), last sightings (clones.h).
 *
 * A cell is two words, the value and the key's tag mixed with it (Hyatt's lockless hashing). A reader that meets one
 * word of one writer and one of another finds a tag that is nobody's: a torn pair is an empty cell. So every word is
 * written with a plain relaxed store, no writer waits for another, and what two writers of one cell lose between them
 * is an entry, never the truth. A key lives in one set of eight cells, two cache lines; a full set gives up its lowest
 * value, so a value has the time in its upper bits.
 *
 * The hash is keyed afresh at every start: nobody can choose VRMs that fall into one set. Nothing outlives the process.
 */
#ifndef GANTRY_APPLIANCE_CELLS_H
#define GANTRY_APPLIANCE_CELLS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CELLS_WAYS 8
#define CELLS_SET_SIZE (CELLS_WAYS * 16)

struct cell {
	_Atomic uint64_t mixed; /* tag ^ cell_mix(value) */
	_Atomic uint64_t value; /* 0: empty */
};

struct cells;

/* Which set, and the tag in it. */
struct cell_key {
	uint64_t set;
	uint64_t tag;
};

/* As many sets as a power of two has in `size` bytes, one at least; prefaulted. -ENOMEM. Control thread. */
int cells_new(size_t size, struct cells **ret_cells);
struct cells *cells_free(struct cells *cells); /* accepts NULL */
size_t cells_size(const struct cells *cells);

/* Any thread, as all below. */
struct cell_key cells_key(const struct cells *cells, const void *bytes, size_t size);
void cells_prefetch(const struct cells *cells, struct cell_key key);

/* 0 when it is not there: no value is. */
uint64_t cells_get(const struct cells *cells, struct cell_key key);

/* True: an entry of another key, not below `living_from`, was given up for it. value != 0. */
bool cells_put(struct cells *cells, struct cell_key key, uint64_t value, uint64_t living_from);

/* Nothing, when it is not there. */
void cells_remove(struct cells *cells, struct cell_key key);

#endif
