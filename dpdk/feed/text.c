#include "dpdk/feed/text.h"

#include "appliance/base/bytes.h"

struct traits {
	bool valid;
	bool named; /* holds a letter or digit */
};

#define EACH(byte) (UINT64_C(0x0101010101010101) * (byte))
#define HIGH EACH(0x80)

/*
 * Eight ASCII bytes at once, for nearly every VRM is ASCII: in a word whose bytes are all below 0x80, adding 0x80 - n
 * to each byte sets its high bit exactly when it is at least n, and never carries. *used_before has the high bits of
 * the bytes of the word before that are not zero: behind a zero byte no other may follow.
 */
static inline struct traits ascii_word(uint64_t word, uint64_t *used_before)
{
	uint64_t lower = word | EACH(0x20);
	uint64_t used = (word + EACH(0x7f)) & HIGH;
	uint64_t printable = (word + EACH(0x60)) & ~(word + EACH(0x01));
	uint64_t digit = (word + EACH(0x50)) & ~(word + EACH(0x46));
	uint64_t letter = (lower + EACH(0x1f)) & ~(lower + EACH(0x05));
	uint64_t before = used << 8 | *used_before >> 56; /* of each byte: is the one before it used? */

	*used_before = used;
	return (struct traits){.valid = (used & ~printable) == 0 && (used & ~before) == 0,
			       .named = ((digit | letter) & HIGH) != 0};
}

/* *ret_ascii false: the answer means nothing and the text has to be read as UTF-8. `size` is a multiple of 8. */
static inline struct traits ascii_traits(const uint8_t *text, size_t size, bool *ret_ascii)
{
	struct traits all = {.valid = true};
	uint64_t used_before = HIGH;
	uint64_t any = 0;

	for (size_t i = 0; i < size; i += 8) {
		uint64_t word = le64_get(text + i);
		struct traits traits = ascii_word(word, &used_before);

		any |= word;
		all.valid &= traits.valid;
		all.named |= traits.named;
	}
	*ret_ascii = (any & HIGH) == 0;
	return all;
}

/* Length of the code point at `text`, 0 when it is not well-formed UTF-8 (RFC 3629, section 4). */
static size_t code_point(const uint8_t *text, size_t size, uint32_t *ret_point)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	uint8_t c = text[0];
	size_t length = c < 0x80                ? 1
			: c >= 0xc0 && c < 0xe0 ? 2
			: c >= 0xe0 && c < 0xf0 ? 3
			: c >= 0xf0 && c < 0xf8 ? 4
						: 0;
	uint32_t point = length == 1 ? c : c & (0x7fu >> length);

	if (length == 0 || length > size)
		return 0;
	for (size_t i = 1; i < length; i++) {
		if ((text[i] & 0xc0) != 0x80)
			return 0;
		point = point << 6 | (text[i] & 0x3f);
	}
	if (point < least[length] || point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff))
		return 0;
	*ret_point = point;
	return length;
}

static bool point_named(uint32_t point)
{
	if (point < 0x80)
		return (point >= '0' && point <= '9') || ((point | 0x20) >= 'a' && (point | 0x20) <= 'z');
	return point >= 0xc0 && point != 0xd7 && point != 0xf7 && !(point >= 0x2000 && point <= 0x2bff) &&
	       !(point >= 0x3000 && point <= 0x303f) && !(point >= 0xe000 && point <= 0xf8ff) &&
	       !(point >= 0xfff0 && point <= 0xffff);
}

static struct traits utf8_traits(const uint8_t *text, size_t size)
{
	struct traits traits = {.valid = true};
	size_t at = 0;

	while (at < size && text[at] != 0) {
		uint32_t point;
		size_t length = code_point(text + at, size - at, &point);

		if (length == 0 || point < 0x20 || (point >= 0x7f && point <= 0x9f))
			return (struct traits){.valid = false};
		traits.named |= point_named(point);
		at += length;
	}
	for (; at < size; at++)
		if (text[at] != 0)
			return (struct traits){.valid = false};
	return traits;
}

bool feed_text_valid(const uint8_t *text, size_t size)
{
	bool ascii;
	struct traits traits = ascii_traits(text, size, &ascii);

	return (ascii ? traits : utf8_traits(text, size)).valid;
}

bool feed_text_vrm(const uint8_t text[16])
{
	bool ascii;
	struct traits traits = ascii_traits(text, 16, &ascii);

	if (__builtin_expect(!ascii, 0))
		traits = utf8_traits(text, 16);
	return traits.valid & traits.named;
}
