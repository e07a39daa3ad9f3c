/*
 * Latencies in µs: eight buckets for every doubling, so that a percentile is right to about a twelfth. One owner.
 */
#ifndef GANTRY_BENCH_HISTOGRAM_H
#define GANTRY_BENCH_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_BUCKETS 320

struct histogram {
	uint64_t counts[HISTOGRAM_BUCKETS];
	uint64_t total;
};

static inline unsigned histogram_bucket(uint64_t us)
{
	unsigned power;

	if (us < 8)
		return (unsigned)us;
	power = 63 - (unsigned)__builtin_clzll(us);
	power = power > 40 ? 40 : power;
	return (power - 2) * 8 + (unsigned)(us >> (power - 3) & 7);
}

static inline void histogram_add(struct histogram *histogram, uint64_t us, uint64_t weight)
{
	histogram->counts[histogram_bucket(us)] += weight;
	histogram->total += weight;
}

/* The upper end of the bucket below which `permille` of a thousand lie; 0 when there are none. */
uint64_t histogram_at(const struct histogram *histogram, unsigned permille);

#endif
