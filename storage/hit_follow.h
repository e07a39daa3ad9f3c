/*
 * Follows hits as they become durable in the memtable: every one is given once, with its read, those of each worker in
 * the order of their numbers; so that an alarm can always be found again by search.
 *
 * A hit is given in the first round after its commit, whatever becomes of its file: that a write failed there, that the
 * file waits for its last name or for the sealer, or was sealed already (memtable_follow.h).
 *
 * Threads: one control thread after another, never a worker. A round allocates nothing and waits for no disk.
 */
#ifndef GANTRY_STORAGE_HIT_FOLLOW_H
#define GANTRY_STORAGE_HIT_FOLLOW_H

#include <stddef.h>

struct hit_follower;
struct hit_found;
struct memtable;

/* Borrowed during the call. On the thread of the round. */
typedef void hit_follow_fn(void *context, const struct hit_found *found, size_t count);

/* Before workers run; the memtable's one follower from now on. Hits that were recovered are not given. -ENOMEM. */
int hit_follower_new(struct memtable *memtable, hit_follow_fn *give, void *context, struct hit_follower **ret_follower);
/* NULL is fine; returns NULL. */
struct hit_follower *hit_follower_free(struct hit_follower *follower);

/* One round: gives what has become durable since the last. */
void hit_follow(struct hit_follower *follower);

#endif
