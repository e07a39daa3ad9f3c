/* A stable radix sort of (key, index) pairs, least significant byte first; bytes that never differ cost nothing. */
#ifndef GANTRY_STORAGE_RADIX_H
#define GANTRY_STORAGE_RADIX_H

#include <stddef.h>
#include <stdint.h>

struct radix_item {
	uint64_t key;
	uint32_t index;
};

/* `spare` has room for count items too; the result is in items. */
void radix_sort(struct radix_item *items, struct radix_item *spare, size_t count);

#endif
