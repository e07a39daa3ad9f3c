/*
 * The newest hits of one lane, each with its read, for those who follow: a bounded ring in memory that new hits
 * overwrite. Nobody waits for its readers. A reader that is overtaken knows it, and by the mark of what was overwritten
 * (source by source) where it has to go on from the store (storage/hit_scan.h) until it meets the ring again.
 *
 * Entries are counted from 0 since the start: `at` is such a count. Holds VRMs: wiped when freed.
 *
 * Threads: any control thread, never a worker. One lock inside, held for the copying of a batch.
 */
#ifndef GANTRY_APPLIANCE_HIT_RING_H
#define GANTRY_APPLIANCE_HIT_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hit_found;
struct hit_positions;
struct hit_ring;

#define HIT_RING_ENTRIES_MIN 16

enum hit_ring_outcome {
	HIT_RING_OVERTAKEN = 1, /* what the reader wanted is overwritten */
};

/* `behind`: hits up to there were never in the ring and count as overwritten. -ENOMEM, -EINVAL: fewer than the least.
 */
int hit_ring_new(size_t entries, const struct hit_positions *behind, struct hit_ring **ret_ring);
struct hit_ring *hit_ring_free(struct hit_ring *ring);

/* Of each source in the order of their numbers. Wakes who waits. Never fails, waits for no reader. */
void hit_ring_put(struct hit_ring *ring, const struct hit_found *found, size_t count);

/* Up to `max` entries from `at` on. 0 with their count, which is 0 at the end; HIT_RING_OVERTAKEN: nothing is copied.
 */
int hit_ring_get(struct hit_ring *ring, uint64_t at, size_t max, struct hit_found *ret_found, size_t *ret_count);

/*
 * Does one who has seen everything up to `seen` miss nothing when it goes on in the ring? Then true and where to begin:
 * it meets some that it has seen. Else false and what was overwritten: it has to be fetched up to there first.
 */
bool hit_ring_join(struct hit_ring *ring, const struct hit_positions *seen, uint64_t *ret_at,
		   struct hit_positions *ret_overwritten);

/* The highest number of each source that was put, or that it was made with. */
void hit_ring_newest(struct hit_ring *ring, struct hit_positions *ret_newest);

/* Returns when there is something at `at`, when it was woken (since it last returned), or when the time is over. For
 * one waiting thread, the lane's courier. */
void hit_ring_wait(struct hit_ring *ring, uint64_t at, int64_t timeout_ns);
void hit_ring_wake(struct hit_ring *ring);

struct hit_ring_info {
	size_t entries;       /* room */
	size_t fill;          /* of it */
	uint64_t put;         /* since the start */
	uint64_t overwritten; /* of them */
};
void hit_ring_info(struct hit_ring *ring, struct hit_ring_info *ret_info);

#endif
