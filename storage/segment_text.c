#include "storage/segment_text.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "appliance/base/bytes.h"

/* Six-bit characters: ASCII from the space to the underscore. */
#define SIX_FIRST 0x20
#define SIX_BITS 6

/* First byte of a text: its size when whole; one byte and where it goes; or a mask of bytes. */
#define TEXT_MASK 0x20
#define TEXT_ONE 0x40

static unsigned difference_mask(const uint8_t *a, const uint8_t *b)
{
	unsigned mask = 0;

	for (unsigned i = 0; i < READ_TEXT_SIZE; i++)
		mask |= (unsigned)(a[i] != b[i]) << i;
	return mask;
}

static bool all_six(const uint8_t *bytes, unsigned size)
{
	for (unsigned i = 0; i < size; i++)
		if (bytes[i] < SIX_FIRST || bytes[i] >= SIX_FIRST + (1 << SIX_BITS))
			return false;
	return true;
}

void segment_key_put(struct bits_writer *writer, const uint8_t *key, const uint8_t *previous)
{
	unsigned mask = difference_mask(key, previous);
	unsigned shared = mask != 0 ? (unsigned)__builtin_ctz(mask) : 0;
	unsigned size = segment_text_size(key);
	bool plain = size != segment_text_size(previous) || shared >= size || !all_six(key + shared, size - shared);
	/* A key that differs ends behind what it shares, be it with a zero byte. */
	unsigned rest = size > shared ? size - shared : 1;

	bits_put_fast(writer, shared, 4);
	bits_put_fast(writer, plain, 1);
	if (plain)
		bits_put_fast(writer, rest - 1, 4);
	for (unsigned i = shared; i < shared + rest; i++) {
		if (plain)
			bits_put_fast(writer, key[i], 8);
		else
			bits_put_fast(writer, key[i] - SIX_FIRST, SIX_BITS);
	}
}

int segment_key_get(struct bits_reader *reader, uint8_t key[READ_TEXT_SIZE])
{
	unsigned end = segment_text_size(key);
	unsigned width = SIX_BITS;
	unsigned first = SIX_FIRST;
	unsigned shared;

	if (!bits_left(reader, 9))
		return -EBADMSG;
	shared = (unsigned)bits_get_fast(reader, 4);
	if (bits_get_fast(reader, 1) != 0) {
		end = shared + (unsigned)bits_get_fast(reader, 4) + 1;
		width = 8;
		first = 0;
	}
	if (end <= shared || end > READ_TEXT_SIZE || !bits_left(reader, (size_t)width * (end - shared)))
		return -EBADMSG;
	memset(key + shared, 0, READ_TEXT_SIZE - shared);
	for (unsigned i = shared; i < end; i++)
		key[i] = (uint8_t)(bits_get_fast(reader, width) + first);
	return 0;
}

static bool digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}

/* A letter, or a digit that keys put in a letter's place. */
static bool letter_place(uint8_t c)
{
	return (c >= 'A' && c <= 'Z') || c == '0' || c == '1';
}

void segment_text_expect(const uint8_t key[READ_TEXT_SIZE], uint8_t ret_text[READ_TEXT_SIZE])
{
	static const uint8_t letters[] = {0, 1, 4, 5, 6};

	memcpy(ret_text, key, READ_TEXT_SIZE);
	if (key[6] == 0 || key[7] != 0 || le64_get(key + 8) != 0 || !digit(key[2]) || !digit(key[3]))
		return;
	for (unsigned i = 0; i < sizeof(letters); i++)
		if (!letter_place(key[letters[i]]))
			return;
	for (unsigned i = 0; i < sizeof(letters); i++) {
		uint8_t *c = &ret_text[letters[i]];

		*c = *c == '0' ? 'O' : *c == '1' ? 'I' : *c;
	}
}

uint8_t *segment_text_put(uint8_t *at, const uint8_t *text, const uint8_t *expected)
{
	unsigned mask = difference_mask(text, expected);
	unsigned size = segment_text_size(text);
	unsigned count = (unsigned)__builtin_popcount(mask);

	if (count == 1) {
		*at++ = (uint8_t)(TEXT_ONE | __builtin_ctz(mask));
		*at++ = text[__builtin_ctz(mask)];
		return at;
	}
	if (2 + count >= size) {
		*at++ = (uint8_t)size;
		memcpy(at, text, READ_TEXT_SIZE);
		return at + size;
	}
	*at++ = TEXT_MASK;
	le16_put(at, (uint16_t)mask);
	at += 2;
	for (; mask != 0; mask &= mask - 1)
		*at++ = text[__builtin_ctz(mask)];
	return at;
}

static int get_masked(struct segment_cursor *cursor, unsigned mask, uint8_t text[READ_TEXT_SIZE])
{
	const uint8_t *bytes = segment_cursor_take(cursor, (unsigned)__builtin_popcount(mask));

	if (bytes == NULL)
		return -EBADMSG;
	for (; mask != 0; mask &= mask - 1)
		text[__builtin_ctz(mask)] = *bytes++;
	return 0;
}

int segment_text_get(struct segment_cursor *cursor, uint8_t text[READ_TEXT_SIZE])
{
	const uint8_t *head = segment_cursor_take(cursor, 1);
	const uint8_t *bytes;

	if (head == NULL)
		return -EBADMSG;
	if (*head <= READ_TEXT_SIZE) {
		bytes = segment_cursor_take(cursor, *head);
		if (bytes == NULL)
			return -EBADMSG;
		memset(text, 0, READ_TEXT_SIZE);
		memcpy(text, bytes, *head);
		return 0;
	}
	if (*head == TEXT_MASK) {
		bytes = segment_cursor_take(cursor, 2);
		return bytes == NULL ? -EBADMSG : get_masked(cursor, le16_get(bytes), text);
	}
	if (*head < TEXT_ONE || *head >= TEXT_ONE + READ_TEXT_SIZE)
		return -EBADMSG;
	return get_masked(cursor, 1u << (*head - TEXT_ONE), text);
}
