/*
 * The one follower of a memtable: whoever has to see all that becomes durable, each worker's in its order, and not only
 * what happens to be there when it looks (memtable_view_take).
 *
 * A generation is the follower's from its opening until it is passed. Retired meanwhile, it is in no view any more, for
 * its rows are in segments, but keeps its chunks. So a follower that stalls misses nothing and takes no more memory
 * than the pool has: when that is exhausted, workers push back.
 *
 * Without a follower a memtable is as if this were not there. Nothing here allocates, or waits for a disk: what is
 * passed is freed by the keeper.
 */
#ifndef GANTRY_STORAGE_MEMTABLE_FOLLOW_H
#define GANTRY_STORAGE_MEMTABLE_FOLLOW_H

#include <stdbool.h>

struct generation;
struct memtable;

/* Control, before workers run: what is open now and what comes is followed; what is closed, the recovered, is not. */
void memtable_follow(struct memtable *memtable);
/* Control: there is no follower any more, whatever it has not passed. Also without one. */
void memtable_unfollow(struct memtable *memtable);

unsigned memtable_workers(const struct memtable *memtable);

/*
 * Follower: a worker's oldest generation that is not passed, valid until it is; NULL: none. *ret_final: nothing more of
 * it becomes durable. It is closed, or the worker, whose frames become durable strictly in their order (journal.h), has
 * durable rows in a later one. All that did become durable is visible to the caller then.
 */
struct generation *memtable_following(struct memtable *memtable, unsigned worker, bool *ret_final);
/* Follower: is through with that one; the next one is the oldest. */
void memtable_pass(struct memtable *memtable, unsigned worker);

#endif
