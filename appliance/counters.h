/*
 * Counters of a worker: written by that worker alone, read by anyone. A relaxed load and store of one's own counter is
 * a plain add in memory; readers get each value to within a store, not a snapshot of one instant.
 */
#ifndef GANTRY_APPLIANCE_COUNTERS_H
#define GANTRY_APPLIANCE_COUNTERS_H

#include <stdatomic.h>
#include <stdint.h>

#include "dpdk/feed/outcome.h"

/*
 * What became of each record of an authentic DATA datagram: exactly one of these, so that their sum is the number of
 * records received. A read counts again whenever it is sent again.
 */
#define READ_COUNTERS(X)                                                                                               \
	X(taken, "new: given to the journal")                                                                          \
	X(refused_malformed, "refused for good: a field out of its bounds")                                            \
	X(refused_too_old, "refused for good: captured before the retention, or on a purged day")                      \
	X(refused_future, "refused for good: captured in the future")                                                  \
	X(refused_camera_suspended, "refused for good: its camera is suspended")                                       \
	X(deferred_unknown_camera, "not acknowledged: camera not registered yet")                                      \
	X(deferred_not_bound, "not acknowledged: camera not bound to this feed yet")                                   \
	X(repeated_pending, "sent again while the first is on its way to the disk")                                    \
	X(repeated_durable, "sent again though stored: acknowledged once more")                                        \
	X(beyond_window, "dropped: more than the lane's window ahead")                                                 \
	X(lane_closed, "dropped: this spool epoch's lanes are not open (yet)")                                         \
	X(pushed_back, "dropped: no room in slabs, memtable or on the disk")

/* What became of each datagram beside the feed protocol's own outcomes (dpdk/feed/outcome.h). */
#define CROSS_COUNTERS(X)                                                                                              \
	X(crossed, "handed to the worker that owns its feed")                                                          \
	X(cross_dropped, "dropped: that worker's ring was full")

/* What the gate between match and journal did (gate.h). */
#define GATE_COUNTERS(X)                                                                                               \
	X(hits_outside, "hits that their lists' hours, areas, directions or camera types rule out: not kept")          \
	X(hits_repeated, "hits journalled as repeats: delivered to nobody")                                            \
	X(repeats_forgotten, "hits told of lately that had to be forgotten: raise lists.repeats")                      \
	X(clones_looked, "reads held against the last sightings of their VRM")                                         \
	X(clones_raised, "clone hits that are no repeats")                                                             \
	X(clones_evicted, "sightings of the last hour that had to be forgotten: raise clones.memory")

#define COUNTER_FIELD(name, help) _Atomic uint64_t name;
struct worker_counters {
	_Atomic uint64_t feed[FEED_OUTCOME_COUNT];
	_Atomic uint64_t received;
	READ_COUNTERS(COUNTER_FIELD)
	CROSS_COUNTERS(COUNTER_FIELD)
	GATE_COUNTERS(COUNTER_FIELD)
	_Atomic uint64_t lost; /* sequences that their sender no longer holds and this store never had */
	_Atomic uint64_t hits;
	_Atomic uint64_t hits_withheld; /* of reads that are erased, restricted or amended */
	_Atomic uint64_t hits_lost;     /* of reads whose hits outnumbered all room: see worker_reads.c */
	_Atomic uint64_t unmatched;     /* new reads, taken while not all lists were loaded: see unmatched.h */
	_Atomic uint64_t durable_reads;
	_Atomic uint64_t durable_refusals;
	_Atomic uint64_t acks;
};
#undef COUNTER_FIELD

static inline void counter_add(_Atomic uint64_t *counter, uint64_t count)
{
	atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + count,
			      memory_order_relaxed);
}

static inline uint64_t counter_get(const _Atomic uint64_t *counter)
{
	return atomic_load_explicit((_Atomic uint64_t *)(uintptr_t)counter, memory_order_relaxed);
}

#endif
