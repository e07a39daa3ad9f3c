#include "storage/column.h"

#include "appliance/base/bytes.h"

struct column column_plan(const uint64_t *values, unsigned count)
{
	uint64_t low = values[0];
	uint64_t high = values[0];

	for (unsigned i = 1; i < count; i++) {
		low = values[i] < low ? values[i] : low;
		high = values[i] > high ? values[i] : high;
	}
	return (struct column){low, high == low ? 0 : 64 - (unsigned)__builtin_clzll(high - low), 0};
}

/* Bits `shift` … shift + width − 1 of each distance; width 1 … 32. */
static size_t pack_bits(struct column column, unsigned shift, unsigned width, const uint64_t *values, unsigned count,
			uint8_t *bytes)
{
	uint64_t mask = (UINT64_C(1) << width) - 1;
	uint64_t bits = 0;
	unsigned fill = 0;
	uint8_t *at = bytes;

	for (unsigned i = 0; i < count; i++) {
		bits |= (((values[i] - column.base) >> shift) & mask) << fill;
		fill += width;
		if (fill >= 32) {
			le32_put(at, (uint32_t)bits);
			at += 4;
			bits >>= 32;
			fill -= 32;
		}
	}
	le32_put(at, (uint32_t)bits);
	return ((size_t)width * count + 7) / 8;
}

size_t column_pack(struct column column, const uint64_t *values, unsigned count, uint8_t *bytes)
{
	size_t size;

	if (column.width == 0)
		return 0;
	if (column.width <= 32)
		return pack_bits(column, column.shift, column.width, values, count, bytes);
	size = pack_bits(column, column.shift, 32, values, count, bytes);
	return size + pack_bits(column, column.shift + 32, column.width - 32, values, count, bytes + size);
}

/* Values of up to eight bits: eight of them begin at a byte and lie in one load. Returns how many it took. */
static unsigned unpack_narrow(struct column column, const uint8_t *bytes, unsigned count, uint64_t *ret_values)
{
	uint64_t mask = (UINT64_C(1) << column.width) - 1;
	unsigned i = 0;

	for (; i + 8 <= count; i += 8, bytes += column.width) {
		uint64_t word = le64_get(bytes);

		for (unsigned j = 0; j < 8; j++, word >>= column.width)
			ret_values[i + j] = column.base + ((word & mask) << column.shift);
	}
	return i;
}

size_t column_unpack(struct column column, const uint8_t *bytes, unsigned count, uint64_t *ret_values)
{
	unsigned width = column.width <= 32 ? column.width : 32;
	uint64_t mask = (UINT64_C(1) << width) - 1;
	size_t size = ((size_t)width * count + 7) / 8;
	size_t done;

	if (width == 0) {
		for (unsigned i = 0; i < count; i++)
			ret_values[i] = column.base;
		return 0;
	}
	done = width <= 8 ? unpack_narrow(column, bytes, count, ret_values) : 0;
	for (size_t i = done, bit = done * width; i < count; i++, bit += width)
		ret_values[i] = column.base + (((le64_get(bytes + bit / 8) >> (bit % 8)) & mask) << column.shift);
	if (column.width <= 32)
		return size;
	bytes += size;
	width = column.width - 32;
	mask = (UINT64_C(1) << width) - 1;
	for (size_t i = 0, bit = 0; i < count; i++, bit += width)
		ret_values[i] += ((le64_get(bytes + bit / 8) >> (bit % 8)) & mask) << column.shift << 32;
	return size + ((size_t)width * count + 7) / 8;
}
