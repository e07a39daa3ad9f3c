/* Radix sorts; bytes that never differ cost nothing. Pure functions, any thread. */
#ifndef GANTRY_STORAGE_RADIX_H
#define GANTRY_STORAGE_RADIX_H

#include <stddef.h>
#include <stdint.h>

struct radix_item {
	uint64_t key;
	uint32_t index;
};

/* Stable, least significant byte first. `spare` has room for count items too; the result is in items. */
void radix_sort(struct radix_item *items, struct radix_item *spare, size_t count);

/* Ascending, without a second copy: most significant byte first, each value swapped into its place. */
void radix_sort_in_place(uint64_t *values, size_t count);
/*
 * The same for who may be called off: `pace` is asked before every part of more than a few thousand values. What it
 * says other than 0 is returned at once, and the values are left in any order.
 */
int radix_sort_in_place_paced(uint64_t *values, size_t count, int (*pace)(void *context), void *context);

#endif
