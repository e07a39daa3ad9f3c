/* Sums over workers and store, for status and telemetry: one place that says what adds up to what. Control threads. */
#ifndef GANTRY_APPLIANCE_TOTALS_H
#define GANTRY_APPLIANCE_TOTALS_H

#include <stdbool.h>
#include <stdint.h>

#include "appliance/base/read.h"
#include "dpdk/feed/outcome.h"
#include "dpdk/frame.h"

struct gantry;

struct totals {
	/* Since the start, summed over workers. */
	struct frame_counters frames;
	uint64_t frames_received;
	uint64_t feed[FEED_OUTCOME_COUNT];
	uint64_t datagrams; /* that passed the frame checks */
	uint64_t reads;     /* records of authentic DATA, each time they came */
	uint64_t taken;
	uint64_t refusals;
	uint64_t deferred;
	uint64_t repeated;
	uint64_t pushed_back; /* and beyond the window, and lanes not open */
	uint64_t lost;        /* neither here nor at their senders: the store was damaged */
	uint64_t hits;
	uint64_t hits_lost;
	uint64_t acks;
	uint64_t crossed;
	uint64_t cross_dropped;
	uint64_t durable_reads;
	uint64_t durable_refusals;
	/* Since the data directory was made: acknowledged = stored + collapsed + refused + erased. */
	uint64_t acknowledged;
	uint64_t stored; /* kept apart, collapsed ones not counted; purged ones are */
	uint64_t collapsed;
	uint64_t refused[REFUSAL_COUNT];
	uint64_t refused_total;
	uint64_t erased; /* removed singly */
	uint64_t purged;
	bool balanced; /* every frame, datagram and record of this run is in exactly one counter */
};

int totals_get(struct gantry *gantry, struct totals *ret_totals);

/* Calls each for every counter by name, in a fixed order. `group` is "frames", "feed", "reads", "store" … */
typedef void counter_visit(void *context, const char *group, const char *name, uint64_t value, const char *help);
void counters_each(struct gantry *gantry, counter_visit *visit, void *context);

#endif
