/*
 * Integers that are mostly small: seven bits a byte, least significant first, the top bit says that more follow.
 * Signed ones are folded first (0, -1, 1, -2 … become 0, 1, 2, 3 …).
 */
#ifndef GANTRY_STORAGE_VARINT_H
#define GANTRY_STORAGE_VARINT_H

#include <stdbool.h>
#include <stdint.h>

#include "storage/segment_cursor.h"

#define VARINT_SIZE_MAX 10

static inline uint64_t varint_fold(uint64_t value)
{
	return value << 1 ^ (uint64_t)((int64_t)value >> 63);
}

static inline uint64_t varint_unfold(uint64_t folded)
{
	return folded >> 1 ^ (0 - (folded & 1));
}

/* Bytes of a value of so many bits. */
static inline unsigned varint_size(unsigned bits)
{
	return bits == 0 ? 1 : (bits + 6) / 7;
}

/* Returns where it ends. */
static inline uint8_t *varint_put(uint8_t *at, uint64_t value)
{
	for (; value >= 0x80; value >>= 7)
		*at++ = (uint8_t)(value | 0x80);
	*at++ = (uint8_t)value;
	return at;
}

/* False, with ret untouched, when the bytes end first or hold more than 64 bits. */
static inline bool varint_get(struct segment_cursor *cursor, uint64_t *ret_value)
{
	uint64_t value = 0;

	for (unsigned shift = 0; shift < 70 && cursor->at < cursor->end; shift += 7) {
		uint8_t byte = *cursor->at++;

		if (shift == 63 && byte > 1)
			return false;
		value |= (uint64_t)(byte & 0x7f) << shift;
		if (byte < 0x80) {
			*ret_value = value;
			return true;
		}
	}
	return false;
}

#endif
