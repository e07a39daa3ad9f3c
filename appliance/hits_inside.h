/* What hits*.c and courier*.c share. */
#ifndef GANTRY_APPLIANCE_HITS_INSIDE_H
#define GANTRY_APPLIANCE_HITS_INSIDE_H

#include <pthread.h>
#include <stdatomic.h>

#include "appliance/courier.h"
#include "appliance/hit_latency.h"
#include "appliance/hit_ring.h"
#include "appliance/hits.h"
#include "appliance/subscription.h"
#include "appliance/subscriptions.h"

/* How a lane of a connection is served from the store. Of the courier that catches up alone, while it has a turn. */
struct behind {
	unsigned source_next;   /* with which the next look at the store begins */
	int64_t retry_ns;       /* the store could not say: not asked before then; 0: it could */
	unsigned failed_source; /* of which it could not last */
	bool failing;           /* since then */
	bool told;              /* and its client knows */
};

/* A connection that follows a subscription. */
struct connection {
	struct follower follower; /* first */
	struct call *call;
	struct hits *hits;
	struct behind behind[HIT_LANE_COUNT];
};

struct hits {
	struct gantry *gantry;
	uint8_t urgent_priority;
	struct hit_ring *rings[HIT_LANE_COUNT];
	struct subscriptions *subscriptions;
	struct hit_latency *latency; /* receipt to acknowledgement */
	_Atomic uint64_t repeats;
	pthread_mutex_t late_lock; /* from the numbering of late hits to their publication */
	struct courier *lanes[HIT_LANE_COUNT];
	struct courier *catcher;
};

static inline enum hit_lane hits_lane_of(const struct hits *hits, uint8_t priority)
{
	return priority >= hits->urgent_priority ? HIT_LANE_URGENT : HIT_LANE_MASS;
}

/*
 * hits_waiting.c: hits in the urgent ring (its newest 65,536) whose read came more than 2 s ago and that a subscription
 * which may have them has not acknowledged, sent or not, connected or not; two such subscriptions count twice, late
 * hits never. -1: out of memory. Holds a lock for a batch at most; costs nothing when all have acknowledged everything.
 */
int64_t hits_waiting(struct hits *hits, int64_t now_us);

/* hits_alarm.c: a standing alarm while a list with entries has nobody who is told of its hits. The catching-up courier.
 */
struct hits_watch {
	uint64_t lists_generation;
	uint64_t subscriptions_generation;
	bool looked;
};
void hits_watch_lists(struct hits *hits, struct hits_watch *watch);

#endif
