/*
 * The insides of a memtable (memtable.h), for memtable.c and memtable_append.c.
 *
 * A chunk is free (in the pool), ready (in one worker's ring), or part of a generation's chain. Keeper: free → ready.
 * Worker: ready → chain. Last release of a retired generation: chain → free.
 */
#ifndef GANTRY_STORAGE_MEMTABLE_INTERNAL_H
#define GANTRY_STORAGE_MEMTABLE_INTERNAL_H

#include <pthread.h>

#include "storage/memtable_pool.h"

struct sort_space;

struct memtable {
	pthread_mutex_t lock; /* recursive; guards the free list, the live list, references and the retired flag */
	struct chunk_pool pool;
	struct generation *live;
	struct sort_space *sort; /* keeper's */
	unsigned workers;
	unsigned ready_target;
	struct ready_ring ready[];
};

#endif
