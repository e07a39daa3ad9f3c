#include "storage/segment_keys.h"

#include <errno.h>
#include <string.h>

#include "appliance/base/bytes.h"
#include "storage/segment_keys_class.h"
#include "storage/segment_keys_lanes.h"

bool key_numbers_plan(struct key_numbers *numbers)
{
	unsigned bits = 0;

	for (unsigned p = numbers->positions; p-- > 0;) {
		unsigned symbols = (unsigned)__builtin_popcountll(numbers->at[p].set);

		numbers->at[p].bits = (uint8_t)(symbols <= 1 ? 0 : 32 - __builtin_clz(symbols - 1));
		numbers->at[p].shift = (uint8_t)bits;
		bits += numbers->at[p].bits;
		if (bits > KEY_BITS_MAX)
			return false;
	}
	numbers->bits = (uint8_t)bits;
	return true;
}

static int class_open(const uint8_t *at, uint32_t size, uint32_t count, struct key_class_bytes *ret_class)
{
	if (count == 0 && size == 0) {
		*ret_class = (struct key_class_bytes){.at = at};
		return 0;
	}
	if (count == 0 || size == 0 || (*at != KEY_FORM_PACKED && *at != KEY_FORM_RAW) ||
	    (*at == KEY_FORM_RAW && size != 1 + 16 * count))
		return -EBADMSG;
	*ret_class =
		(struct key_class_bytes){.at = at + 1, .size = size - 1, .count = count, .form = (enum key_form) * at};
	return 0;
}

static uint32_t bits_set(const uint8_t *bits, uint32_t count)
{
	uint32_t set = 0;

	for (uint32_t i = 0; i < count; i += 8)
		set += (unsigned)__builtin_popcount(bits[i / 8] & (count - i < 8 ? (1u << (count - i)) - 1 : 0xff));
	return set;
}

int keys_page_open(const uint8_t *page, size_t size, struct keys_page *ret_page)
{
	struct keys_page open = {.end = page + size};
	const uint8_t *at = page + KEYS_FIXED;
	uint32_t common, rest, bits_size, common_size, rest_size;

	if (size < KEYS_FIXED)
		return -EBADMSG;
	open.count = le16_get(page + KEYS_AT_COUNT);
	open.first_row = le32_get(page + KEYS_AT_FIRST_ROW);
	common = le16_get(page + KEYS_AT_COMMON);
	common_size = le16_get(page + KEYS_AT_COMMON_SIZE);
	rest_size = le16_get(page + KEYS_AT_REST_SIZE);
	if (open.count == 0 || open.count > SEGMENT_PAGE_KEYS || common > open.count)
		return -EBADMSG;
	rest = open.count - common;
	bits_size = common > 0 && rest > 0 ? (open.count + 7) / 8 : 0;
	if (size - KEYS_FIXED < (size_t)bits_size + common_size + rest_size)
		return -EBADMSG;
	if (bits_size > 0) {
		open.rest_bits = at;
		if (bits_set(at, open.count) != rest)
			return -EBADMSG;
	}
	at += bits_size;
	open.counts = at + common_size + rest_size;
	if (class_open(at, common_size, common, &open.classes[KEY_COMMON]) < 0 ||
	    class_open(at + common_size, rest_size, rest, &open.classes[KEY_REST]) < 0)
		return -EBADMSG;
	*ret_page = open;
	return 0;
}

int key_class_numbers(const struct key_class_bytes *class, struct key_numbers *ret_numbers)
{
	const uint8_t *at = class->at + 1;

	if (class->size < 1 || class->at[0] > 16 || class->size < 1 + (uint32_t)KEY_SET_SIZE * class->at[0])
		return -EBADMSG;
	ret_numbers->positions = class->at[0];
	for (unsigned p = 0; p < ret_numbers->positions; p++, at += KEY_SET_SIZE) {
		ret_numbers->at[p].set = le32_get(at) | (uint64_t)at[4] << 32;
		if (ret_numbers->at[p].set == 0 || ret_numbers->at[p].set >> KEY_SYMBOLS != 0)
			return -EBADMSG;
	}
	return key_numbers_plan(ret_numbers) ? 0 : -EBADMSG;
}

/* The block at `at`, checked: its end, or NULL. */
static const uint8_t *block_end(const uint8_t *at, const uint8_t *end, unsigned steps)
{
	size_t size;

	if (end - at < KEY_BLOCK_FIXED || at[0] > KEY_BITS_MAX)
		return NULL;
	size = KEY_BLOCK_FIXED + (size_t)key_words(steps, at[0]) * 8 * KEY_LANES + (size_t)at[1] * KEY_EXCEPTION_SIZE;
	return (size_t)(end - at) < size ? NULL : at + size;
}

/* Adds to the numbers of a block, from the exception's step on, what its distance has above the width. */
static int add_exceptions(const uint8_t *block, const uint8_t *end, unsigned steps, uint64_t (*values)[KEY_LANES])
{
	for (const uint8_t *at = end - (size_t)block[1] * KEY_EXCEPTION_SIZE; at < end; at += KEY_EXCEPTION_SIZE) {
		uint64_t exception = le64_get(at);
		unsigned lane = exception % KEY_LANES;
		uint64_t more = exception >> 16 << block[0];

		if ((exception & 0xffff) / KEY_LANES >= steps)
			return -EBADMSG;
		for (unsigned step = (unsigned)(exception & 0xffff) / KEY_LANES; step < steps; step++)
			values[step][lane] += more;
	}
	return 0;
}

int key_class_values(const struct key_class_bytes *class, const struct key_numbers *numbers,
		     struct key_values *ret_values)
{
	const uint8_t *at = class->at + 1 + (size_t)KEY_SET_SIZE * numbers->positions;
	const uint8_t *end = class->at + class->size;
	unsigned base_size = (numbers->bits + 7u) / 8;
	unsigned steps = key_steps(class->count);

	if ((size_t)(end - at) < (size_t)KEY_LANES * base_size)
		return -EBADMSG;
	for (unsigned lane = 0; lane < KEY_LANES; lane++, at += base_size) {
		uint8_t bytes[8] = {0};

		memcpy(bytes, at, base_size);
		ret_values->at[0][lane] = le64_get(bytes);
	}
	for (unsigned step = 1; step < steps; step += KEY_BLOCK_STEPS) {
		unsigned of_block = steps - step < KEY_BLOCK_STEPS ? steps - step : KEY_BLOCK_STEPS;
		const uint8_t *next = block_end(at, end, of_block);

		if (next == NULL)
			return -EBADMSG;
		key_lanes_unpack(at + KEY_BLOCK_FIXED, at[0], of_block, &ret_values->at[step]);
		if (at[1] > 0 && add_exceptions(at, next, of_block, &ret_values->at[step]) < 0)
			return -EBADMSG;
		at = next;
	}
	return at == end ? 0 : -EBADMSG;
}

static void refill(struct key_counts *counts)
{
	while (counts->fill <= 56 && counts->at < counts->end) {
		counts->bits |= (uint64_t)*counts->at++ << counts->fill;
		counts->fill += 8;
	}
}

uint32_t key_counts_next(struct key_counts *counts)
{
	unsigned behind;
	uint32_t count;

	if (counts->fill < 32)
		refill(counts);
	behind = counts->bits == 0 ? 64 : (unsigned)__builtin_ctzll(counts->bits);
	if (behind > 31 || behind >= counts->fill)
		return 0;
	counts->bits >>= behind + 1;
	counts->fill -= behind + 1;
	refill(counts);
	if (counts->fill < behind)
		return 0;
	count = UINT32_C(1) << behind | (uint32_t)(counts->bits & ((UINT64_C(1) << behind) - 1));
	counts->bits >>= behind;
	counts->fill -= behind;
	return count;
}

/* The symbol of each rank, as bytes. */
static void rank_bytes(uint64_t set, uint8_t ret_bytes[KEY_SYMBOLS])
{
	static const char symbols[] = "\0"
				      "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";

	for (unsigned rank = 0; set != 0; set &= set - 1, rank++)
		ret_bytes[rank] = (uint8_t)symbols[__builtin_ctzll(set)];
}

int key_class_decode(const struct key_class_bytes *class, uint8_t (*ret_keys)[16])
{
	struct key_numbers numbers;
	struct key_values values;
	unsigned steps = key_steps(class->count);

	if (class->form == KEY_FORM_RAW) {
		memcpy(ret_keys, class->at, (size_t)16 * class->count);
		return 0;
	}
	if (key_class_numbers(class, &numbers) < 0 || key_class_values(class, &numbers, &values) < 0)
		return -EBADMSG;
	memset(ret_keys, 0, (size_t)16 * class->count);
	for (unsigned p = 0; p < numbers.positions; p++) {
		uint64_t mask = (UINT64_C(1) << numbers.at[p].bits) - 1;
		uint8_t bytes[KEY_SYMBOLS];

		rank_bytes(numbers.at[p].set, bytes);
		for (uint32_t i = 0; i < class->count; i++) {
			uint64_t rank = values.at[i % steps][i / steps] >> numbers.at[p].shift & mask;

			if (rank >= (unsigned)__builtin_popcountll(numbers.at[p].set))
				return -EBADMSG;
			ret_keys[i][p] = bytes[rank];
		}
	}
	return 0;
}

static int decode_counts(const struct keys_page *page, uint32_t *ret_first_rows)
{
	struct key_counts counts = key_counts_of(page);
	uint64_t row = page->first_row;

	for (uint32_t i = 0; i < page->count; i++) {
		uint32_t count = key_counts_next(&counts);

		ret_first_rows[i] = (uint32_t)row;
		row += count;
		if (count == 0 || row > SEGMENT_ROWS_MAX)
			return -EBADMSG;
	}
	ret_first_rows[page->count] = (uint32_t)row;
	/* Less than a byte may be left, and it is zero. */
	return counts.at == counts.end && counts.fill < 8 && counts.bits == 0 ? 0 : -EBADMSG;
}

int segment_keys_decode(const uint8_t *page, size_t size, uint8_t (*ret_keys)[16], uint32_t *ret_first_rows,
			uint32_t *ret_count)
{
	uint8_t keys[KEY_CLASSES][SEGMENT_PAGE_KEYS][16];
	uint32_t next[KEY_CLASSES] = {0};
	struct keys_page open;

	if (keys_page_open(page, size, &open) < 0 || decode_counts(&open, ret_first_rows) < 0)
		return -EBADMSG;
	for (unsigned class = 0; class < KEY_CLASSES; class ++)
		if (open.classes[class].count > 0 && key_class_decode(&open.classes[class], keys[class]) < 0)
			return -EBADMSG;
	for (uint32_t i = 0; i < open.count; i++) {
		unsigned class = keys_page_class(&open, i);

		memcpy(ret_keys[i], keys[class][next[class]++], 16);
	}
	*ret_count = open.count;
	return 0;
}
