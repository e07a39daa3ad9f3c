/* Radix sorts; bytes that never differ cost nothing. Pure functions, any thread. */
#ifndef GANTRY_BASE_RADIX_H
#define GANTRY_BASE_RADIX_H

#include <stddef.h>
#include <stdint.h>

struct radix_item {
	uint64_t key;
	uint32_t index;
};

/* Stable, least significant byte first. `spare` has room for count items too; the result is in items. */
void radix_sort(struct radix_item *items, struct radix_item *spare, size_t count);

/*
 * The same by items of which key holds the first eight bytes, big-endian, of something longer: those that share them
 * are put in order by `compare` (< 0, 0, > 0, of two indexes). -ENOMEM, nothing is changed.
 */
int radix_sort_compared(struct radix_item *items, size_t count,
			int (*compare)(const void *context, uint32_t a, uint32_t b), const void *context);

/* Ascending, without a second copy: most significant byte first, each value swapped into its place. */
void radix_sort_in_place(uint64_t *values, size_t count);
/*
 * The same for who may be called off: `pace` is asked before every part of more than a few thousand values. What it
 * says other than 0 is returned at once, and the values are left in any order.
 */
int radix_sort_in_place_paced(uint64_t *values, size_t count, int (*pace)(void *context), void *context);

#endif
