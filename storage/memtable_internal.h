/*
 * The insides of a memtable (memtable.h), for memtable.c, memtable_append.c and memtable_follow.c.
 *
 * A chunk is free (in the pool), ready (in one worker's ring), or part of a generation's chain. Keeper: free → ready.
 * Worker: ready → chain. Last release of a retired generation: chain → free.
 *
 * A generation has a reference of the live list, one of each view, and one of the follower from its opening until the
 * keeper has seen that the follower passed it.
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

	/* memtable_follow.c. The lock is taken inside `lock` by whoever has both, and held for a few pointers only. */
	pthread_mutex_t follow_lock;
	bool followed;
	struct generation **following; /* of each worker: not passed by the follower, oldest first, by follow_next */
	struct generation *passed;     /* by follow_next; the keeper lets go of them */

	struct ready_ring ready[];
};

/* One reference less; without any its chunks go back to the pool. Lock held. */
void memtable_let_go(struct memtable *memtable, struct generation *generation);

/* memtable_follow.c. A new generation, and, each turn of the keeper, those that were passed. Lock held. */
void memtable_follow_opened(struct memtable *memtable, struct generation *generation);
void memtable_follow_keep(struct memtable *memtable);

#endif
