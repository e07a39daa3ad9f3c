/*
 * Latencies in buckets an eighth of a power of two wide (error under 13 %), from 1 µs to 2^40 µs. One writer, any
 * readers (relaxed counters).
 */
#ifndef GANTRY_APPLIANCE_HISTOGRAM_H
#define GANTRY_APPLIANCE_HISTOGRAM_H

#include <stdatomic.h>
#include <stdint.h>

#define HISTOGRAM_BUCKETS (41 * 8)

struct histogram {
	_Atomic uint64_t buckets[HISTOGRAM_BUCKETS];
	_Atomic uint64_t count;
};

void histogram_add(struct histogram *histogram, int64_t us);

/* Adds another's values; neither has a writer meanwhile. */
void histogram_merge(struct histogram *histogram, const struct histogram *other);

/* Upper bound of the bucket in which that share (permille) of the values lies; 0 when there is none. */
uint64_t histogram_quantile(const struct histogram *histogram, unsigned permille);

/* How many were at most `us`, to within a bucket. */
uint64_t histogram_within(const struct histogram *histogram, int64_t us);

#endif
