/* UTF-8 (RFC 3629), one code point at a time. Any thread. */
#ifndef GANTRY_BASE_UTF8_H
#define GANTRY_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/*
 * The code point at the front of `bytes`: its size, 1..4. 0 and ret untouched when there is none: no bytes, a stray or
 * missing continuation, an overlong form, a surrogate, beyond U+10FFFF. A NUL byte is a code point like any other.
 */
static inline size_t utf8_next(const uint8_t *bytes, size_t size, uint32_t *ret_point)
{
	static const uint32_t point_min[5] = {0, 0, 0x80, 0x800, 0x10000};
	uint32_t point;
	size_t count;

	if (size == 0)
		return 0;
	if (bytes[0] < 0x80) {
		*ret_point = bytes[0];
		return 1;
	}
	count = bytes[0] >= 0xf0 ? 4 : bytes[0] >= 0xe0 ? 3 : 2;
	if (bytes[0] < 0xc2 || bytes[0] > 0xf4 || count > size)
		return 0;
	point = bytes[0] & (0x7fu >> count);
	for (size_t i = 1; i < count; i++) {
		if ((bytes[i] & 0xc0) != 0x80)
			return 0;
		point = point << 6 | (bytes[i] & 0x3f);
	}
	if (point < point_min[count] || point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff))
		return 0;
	*ret_point = point;
	return count;
}

/* Are these whole characters and no zero byte? Plain ASCII is looked at eight bytes at a time. */
static inline bool utf8_is_text(const void *text, size_t size)
{
	const uint64_t ones = UINT64_C(0x0101010101010101), tops = UINT64_C(0x8080808080808080);
	const uint8_t *bytes = text;
	size_t step;

	for (size_t i = 0; i < size; i += step) {
		uint32_t point = 0;
		uint64_t word;

		step = 8;
		if (size - i >= 8) {
			memcpy(&word, bytes + i, sizeof(word));
			if (((word | ((word - ones) & ~word)) & tops) == 0)
				continue;
		}
		step = utf8_next(bytes + i, size - i, &point);
		if (step == 0 || point == 0)
			return false;
	}
	return true;
}

#endif
