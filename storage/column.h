/*
 * Columns of small integers: the smallest value once, then each value's distance from it in as many bits as the largest
 * distance needs; trailing zero bits that all distances share can be left out. Up to 32 bits lie in one row of bits;
 * wider ones as the low 32 bits of all values, then the high bits of all. Every row of bits begins at a byte. Pure
 * functions, any thread.
 */
#ifndef GANTRY_STORAGE_COLUMN_H
#define GANTRY_STORAGE_COLUMN_H

#include <stddef.h>
#include <stdint.h>

#define COLUMN_SLACK 8 /* bytes readable behind a packed column, writable behind the place it is packed to */

struct column {
	uint64_t base;
	unsigned width; /* bits, 0 … 64 */
	unsigned shift; /* 0 … 63: trailing zero bits of every distance, left out */
};

struct column column_plan(const uint64_t *values, unsigned count);

/* Bytes of `count` values of that width. */
static inline size_t column_size(unsigned width, unsigned count)
{
	if (width <= 32)
		return ((size_t)width * count + 7) / 8;
	return (size_t)4 * count + ((size_t)(width - 32) * count + 7) / 8;
}

/* Returns the bytes used: column_size. */
size_t column_pack(struct column column, const uint64_t *values, unsigned count, uint8_t *bytes);
size_t column_unpack(struct column column, const uint8_t *bytes, unsigned count, uint64_t *ret_values);

#endif
