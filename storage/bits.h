/*
 * A stream of bits, least significant first, for codes whose widths change from one to the next. The writer puts up to
 * eight bytes behind its place; the reader looks at up to eight behind the bit it reads.
 */
#ifndef GANTRY_STORAGE_BITS_H
#define GANTRY_STORAGE_BITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "appliance/base/bytes.h"

#define BITS_FAST 56 /* widths up to it are read by one load */

/* Without a branch: in a column it would often be mispredicted. */
static inline unsigned bits_of(uint64_t value)
{
	return 64 - (unsigned)__builtin_clzll(value | 1) - (value == 0);
}

struct bits_writer {
	uint8_t *at;
	uint64_t waiting;
	unsigned fill; /* bits of it, below 8 between two calls */
};

/* width ≤ BITS_FAST; value has no more bits. */
static inline void bits_put_fast(struct bits_writer *writer, uint64_t value, unsigned width)
{
	writer->waiting |= value << writer->fill;
	writer->fill += width;
	le64_put(writer->at, writer->waiting);
	writer->at += writer->fill / 8;
	writer->waiting >>= writer->fill & ~7u;
	writer->fill %= 8;
}

static inline void bits_put(struct bits_writer *writer, uint64_t value, unsigned width)
{
	if (width > 32) {
		bits_put_fast(writer, value & UINT32_MAX, 32);
		value >>= 32;
		width -= 32;
	}
	bits_put_fast(writer, value, width);
}

/* Fills the last byte with zeros; returns where the stream ends. */
static inline uint8_t *bits_end(struct bits_writer *writer)
{
	return writer->at + (writer->fill > 0 ? 1 : 0);
}

struct bits_reader {
	const uint8_t *bytes;
	size_t at;  /* in bits */
	size_t end; /* in bits */
};

static inline bool bits_left(const struct bits_reader *reader, size_t width)
{
	return reader->end - reader->at >= width;
}

/* width ≤ BITS_FAST, and bits_left. */
static inline uint64_t bits_get_fast(struct bits_reader *reader, unsigned width)
{
	uint64_t value = le64_get(reader->bytes + reader->at / 8) >> (reader->at % 8);

	reader->at += width;
	return value & ((UINT64_C(1) << width) - 1);
}

static inline uint64_t bits_get(struct bits_reader *reader, unsigned width)
{
	uint64_t low;

	if (width <= 32)
		return bits_get_fast(reader, width);
	low = bits_get_fast(reader, 32);
	return low | bits_get_fast(reader, width - 32) << 32;
}

#endif
