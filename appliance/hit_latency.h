/*
 * How long hits take from the receipt of their read to the subscriber's acknowledgement, by camera type (R20): the last
 * hour in buckets of a minute, the last day in buckets of an hour. Bounded memory; begins anew with the appliance.
 *
 * Threads: any control thread; a lock inside.
 */
#ifndef GANTRY_APPLIANCE_HIT_LATENCY_H
#define GANTRY_APPLIANCE_HIT_LATENCY_H

#include <stdint.h>

#include "storage/register_records.h"

#define HIT_LATENCY_GOAL_US 2000000                    /* R20: the appliance's share */
#define HIT_LATENCY_TYPE_UNKNOWN REG_CAMERA_TYPE_COUNT /* the register has no such camera */
#define HIT_LATENCY_TYPES (REG_CAMERA_TYPE_COUNT + 1)

enum hit_latency_span { HIT_LATENCY_HOUR, HIT_LATENCY_DAY };

struct hit_latency;

int hit_latency_new(struct hit_latency **ret_latency); /* -ENOMEM */
struct hit_latency *hit_latency_free(struct hit_latency *latency);

/* `now_s`: monotonic, not below that of an earlier call by more than a bucket. Types beyond the known count as unknown.
 */
void hit_latency_add(struct hit_latency *latency, int64_t now_s, unsigned camera_type, int64_t us);

struct hit_latency_share {
	uint64_t count;
	uint64_t within; /* at most HIT_LATENCY_GOAL_US, to within a bucket of the histogram */
	uint64_t p50_us;
	uint64_t p99_us;
};
void hit_latency_share(struct hit_latency *latency, int64_t now_s, unsigned camera_type, enum hit_latency_span span,
		       struct hit_latency_share *ret_share);

#endif
