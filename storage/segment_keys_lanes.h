/*
 * Inside of dictionary pages: the two loops that a scan lives on, eight numbers at a time, in the widest vectors that
 * the CPU has (AVX-512, AVX2, or what every x86-64 has). Pure functions, any thread.
 */
#ifndef GANTRY_STORAGE_SEGMENT_KEYS_LANES_H
#define GANTRY_STORAGE_SEGMENT_KEYS_LANES_H

#include <stdint.h>

#include "storage/segment_keys_class.h"

/*
 * Distances of `steps` steps of `width` bits (at most KEY_BITS_MAX) to numbers: values[-1] is what they begin at,
 * values[0] … values[steps − 1] are filled. Reads nothing behind the block's words.
 */
void key_lanes_unpack(const uint8_t *words, unsigned width, unsigned steps, uint64_t (*values)[KEY_LANES]);

/* A number passes when its fixed fields have their values and one bit of `some` is set; `some` 0: no such wish. */
struct key_test {
	uint64_t mask;
	uint64_t value;
	uint64_t some;
};
/*
 * Sets bit `lane × steps + step` for each number that passes a test; others are left alone. Returns whether any was
 * set.
 */
bool key_lanes_test(const struct key_values *values, unsigned steps, const struct key_test *tests, unsigned count,
		    uint64_t *bits);

#endif
