/* Sorted keys from `low` to `high`, both inclusive: VRM keys, or those of another section's fences. */
#ifndef GANTRY_STORAGE_KEY_RANGE_H
#define GANTRY_STORAGE_KEY_RANGE_H

#include <stdint.h>

struct key_range {
	uint8_t low[16];
	uint8_t high[16];
};

#endif
