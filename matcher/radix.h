/*
 * Sorting by a number first: what comes by the million is put in order by the leading eight bytes of its key, in passes
 * that walk memory straight, and only what shares those is compared.
 */
#ifndef GANTRY_MATCHER_RADIX_H
#define GANTRY_MATCHER_RADIX_H

#include <stdint.h>

struct radix_place {
	uint64_t first; /* the key's first bytes, big-endian */
	uint32_t index; /* whose key it is */
};

/* < 0, 0, > 0, as of two different indexes whose first bytes are the same. */
typedef int radix_compare_fn(const void *context, uint32_t a, uint32_t b);

/* Sorts in place. -ENOMEM, nothing is changed. */
int radix_sort(struct radix_place *places, uint32_t count, radix_compare_fn *compare, const void *context);

#endif
