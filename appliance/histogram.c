#include "appliance/histogram.h"

#include "appliance/counters.h"

static unsigned bucket_of(int64_t us)
{
	uint64_t value = us < 1 ? 1 : (uint64_t)us;
	unsigned power = 63 - (unsigned)__builtin_clzll(value);
	unsigned eighth = power >= 3 ? (unsigned)(value >> (power - 3)) & 7 : (unsigned)(value << (3 - power)) & 7;
	unsigned bucket = power * 8 + eighth;

	return bucket < HISTOGRAM_BUCKETS ? bucket : HISTOGRAM_BUCKETS - 1;
}

/* Largest value that falls into the bucket. */
static uint64_t bucket_end(unsigned bucket)
{
	unsigned power = bucket / 8;
	uint64_t next = 8 + bucket % 8 + 1;

	return (power >= 3 ? next << (power - 3) : (next + (1u << (3 - power)) - 1) >> (3 - power)) - 1;
}

void histogram_add(struct histogram *histogram, int64_t us)
{
	counter_add(&histogram->buckets[bucket_of(us)], 1);
	counter_add(&histogram->count, 1);
}

void histogram_merge(struct histogram *histogram, const struct histogram *other)
{
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
		counter_add(&histogram->buckets[i], counter_get(&other->buckets[i]));
	counter_add(&histogram->count, counter_get(&other->count));
}

uint64_t histogram_quantile(const struct histogram *histogram, unsigned permille)
{
	uint64_t total = 0;
	uint64_t seen = 0;

	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
		total += counter_get(&histogram->buckets[i]);
	if (total == 0)
		return 0;
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
		seen += counter_get(&histogram->buckets[i]);
		if (seen * 1000 >= total * permille)
			return bucket_end(i);
	}
	return bucket_end(HISTOGRAM_BUCKETS - 1);
}

uint64_t histogram_within(const struct histogram *histogram, int64_t us)
{
	uint64_t seen = 0;

	for (unsigned i = 0; i <= bucket_of(us); i++)
		seen += counter_get(&histogram->buckets[i]);
	return seen;
}
