#include "bench/histogram.h"

uint64_t histogram_at(const struct histogram *histogram, unsigned permille)
{
	uint64_t wanted = (histogram->total * permille + 999) / 1000;
	uint64_t sum = 0;

	for (unsigned i = 0; i < HISTOGRAM_BUCKETS && wanted > 0; i++) {
		sum += histogram->counts[i];
		if (sum < wanted)
			continue;
		return i < 8 ? i : (uint64_t)(i % 8 + 9) << (i / 8 - 1);
	}
	return 0;
}
