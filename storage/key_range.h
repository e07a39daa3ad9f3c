/* Sorted keys from `low` to `high`, both inclusive: VRM keys, or those of another section's fences. */
#ifndef GANTRY_STORAGE_KEY_RANGE_H
#define GANTRY_STORAGE_KEY_RANGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct key_range {
	uint8_t low[16];
	uint8_t high[16];
};

/* Does the key lie in one of the ranges, which ascend and are apart from each other? */
static inline bool key_ranges_hold(const struct key_range *ranges, size_t count, const uint8_t key[16])
{
	size_t low = 0;
	size_t high = count;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (memcmp(ranges[middle].high, key, 16) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low < count && memcmp(ranges[low].low, key, 16) <= 0;
}

#endif
