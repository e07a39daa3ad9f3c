#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/bytes.h"
#include "storage/column_code.h"
#include "appliance/base/radix.h"
#include "storage/segment_page.h"
#include "storage/segment_text.h"
#include "storage/varint.h"
#include "tests/check.h"
#include "tests/storage/segment_fixture.h"

#define TAIL 16 /* readable behind a page: the tag's place */

/* A copy with nothing but the promised bytes behind it, so that ASan sees a step too far. */
static uint8_t *copy_exactly(const uint8_t *bytes, size_t size)
{
	uint8_t *copy = malloc(size + TAIL);

	if (size > 0)
		memcpy(copy, bytes, size);
	memset(copy + size, 0xff, TAIL);
	return copy;
}

static uint64_t random_of_bits(struct prng *prng, unsigned bits)
{
	return bits == 0 ? 0 : prng_next(prng) >> (64 - bits);
}

static void varints_come_back(void)
{
	struct prng prng = {check_seed()};

	for (unsigned i = 0; i < 20000; i++) {
		uint64_t value = random_of_bits(&prng, (unsigned)prng_below(&prng, 65)), back = 0;
		uint8_t bytes[VARINT_SIZE_MAX];
		uint8_t *end = varint_put(bytes, value);
		struct segment_cursor cursor = {bytes, end};
		struct segment_cursor cut = {bytes, end - 1};

		CHECK(end <= bytes + sizeof(bytes));
		CHECK(varint_get(&cursor, &back));
		CHECK(back == value && cursor.at == end);
		CHECK(!varint_get(&cut, &back));
		CHECK(varint_unfold(varint_fold(value)) == value);
	}
}

static void more_than_64_bits_are_refused(void)
{
	static const uint8_t most[] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01};
	static const uint8_t more[] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02};
	static const uint8_t longer[] = {0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00};
	struct segment_cursor cursor = {most, most + sizeof(most)};
	uint64_t value;

	CHECK(varint_get(&cursor, &value));
	CHECK(value == UINT64_MAX);
	cursor = (struct segment_cursor){more, more + sizeof(more)};
	CHECK(!varint_get(&cursor, &value));
	cursor = (struct segment_cursor){longer, longer + sizeof(longer)};
	CHECK(!varint_get(&cursor, &value));
}

/* Columns as life makes them: constant, narrow, with outliers, in runs, with common zero bits, wild. */
static unsigned make_column(struct prng *prng, uint64_t *values)
{
	unsigned count = 1 + (unsigned)prng_below(prng, prng_chance(prng, 100) ? COLUMN_CODE_VALUES_MAX : 600);
	unsigned bits = (unsigned)prng_below(prng, 65);
	unsigned outlier_bits = (unsigned)prng_below(prng, 65);
	unsigned outliers = prng_chance(prng, 500) ? 0 : (unsigned)prng_below(prng, 300);
	unsigned again = prng_chance(prng, 500) ? 0 : (unsigned)prng_below(prng, 1000);
	unsigned shift = prng_chance(prng, 700) ? 0 : (unsigned)prng_below(prng, 64);
	uint64_t base = random_of_bits(prng, (unsigned)prng_below(prng, 65));

	for (unsigned i = 0; i < count; i++) {
		if (i > 0 && prng_chance(prng, again))
			values[i] = values[i - 1];
		else
			values[i] = base +
				    (random_of_bits(prng, prng_chance(prng, outliers) ? outlier_bits : bits) << shift);
	}
	return count;
}

static void columns_come_back(void)
{
	struct prng prng = {check_seed()};
	static uint64_t values[COLUMN_CODE_VALUES_MAX], back[COLUMN_CODE_VALUES_MAX];
	static uint8_t bytes[8 * COLUMN_CODE_VALUES_MAX + 128];

	for (unsigned round = 0; round < 8000; round++) {
		unsigned count = make_column(&prng, values);
		const uint8_t *end = column_code_put(values, count, bytes);
		size_t size = (size_t)(end - bytes);
		uint8_t *copy = copy_exactly(bytes, size);
		struct segment_cursor cursor = {copy, copy + size};

		CHECK(size <= 32 + 8 * (size_t)count);
		CHECK_INT(0, column_code_get_all(&cursor, count, back));
		CHECK(cursor.at == cursor.end);
		CHECK_MEM(values, back, count * sizeof(*values));
		for (unsigned flips = (unsigned)prng_below(&prng, 4); flips > 0; flips--)
			copy[prng_below(&prng, prng_chance(&prng, 500) ? 3 : size)] ^=
				(uint8_t)(1u << prng_below(&prng, 8));
		cursor = (struct segment_cursor){copy, copy + prng_below(&prng, size + 1)};
		(void)column_code_get_all(&cursor, count, back);
		CHECK(cursor.at <= cursor.end);
		free(copy);
	}
}

static size_t size_of_column(const uint64_t *values, unsigned count)
{
	static uint8_t bytes[8 * COLUMN_CODE_VALUES_MAX + 128];

	return (size_t)(column_code_put(values, count, bytes) - bytes);
}

/* What the codes are for, in bytes. */
static void columns_are_short(void)
{
	struct prng prng = {check_seed()};
	uint64_t values[512];

	for (unsigned i = 0; i < 512; i++)
		values[i] = 7;
	CHECK_INT(2, size_of_column(values, 512));
	for (unsigned i = 0; i < 512; i++)
		values[i] = prng_chance(&prng, 940) ? 3 : 1;
	CHECK(size_of_column(values, 512) <= 64 + 3); /* one bit each though they differ by two */
	for (unsigned i = 0; i < 512; i++)
		values[i] = 100000 + prng_below(&prng, 900000);
	values[100] += UINT64_C(162000000000); /* 45 hours late */
	CHECK(size_of_column(values, 512) <= 512 * 20 / 8 + 12);
	values[101] -= UINT64_C(500000000); /* and one before its time, by a clock that is ahead */
	CHECK(size_of_column(values, 512) <= 512 * 20 / 8 + 24);
	for (unsigned i = 0; i < 512; i++)
		values[i] = i < 200 ? 0x4247 : i < 230 ? 0x4544 : 0x4247;
	CHECK(size_of_column(values, 512) <= 16);
}

static int compare_values(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a;
	uint64_t y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static void sorted_in_place(void)
{
	struct prng prng = {check_seed()};

	for (unsigned round = 0; round < 200; round++) {
		size_t count = prng_below(&prng, 1 << prng_below(&prng, 16));
		unsigned bits = (unsigned)prng_below(&prng, 65);
		unsigned shift = (unsigned)prng_below(&prng, 64);
		uint64_t *values = malloc((count + 1) * sizeof(*values));
		uint64_t *expected = malloc((count + 1) * sizeof(*expected));

		for (size_t i = 0; i < count; i++)
			expected[i] = values[i] = random_of_bits(&prng, bits) << shift;
		qsort(expected, count, sizeof(*expected), compare_values);
		radix_sort_in_place(values, count);
		CHECK_MEM(expected, values, count * sizeof(*values));
		free(expected);
		free(values);
	}
}

static void keys_come_back(void)
{
	static const uint8_t none[READ_TEXT_SIZE];
	struct prng prng = {check_seed()};
	uint8_t keys[64][READ_TEXT_SIZE];
	uint8_t bytes[64 * 20 + 16];

	for (unsigned round = 0; round < 2000; round++) {
		struct bits_writer writer = {.at = bytes};
		uint8_t key[READ_TEXT_SIZE] = {0};
		struct bits_reader reader;
		uint8_t *copy;

		for (unsigned k = 0; k < 64; k++) {
			struct read read = prng_chance(&prng, 300) ? fixture_wild_read(&prng, FIXTURE_DAY)
								   : fixture_read(&prng, FIXTURE_DAY);

			memcpy(keys[k], read.key, READ_TEXT_SIZE);
			if (k > 0 && prng_chance(&prng, 300)) { /* what a sorted list never has, and a page may */
				memcpy(keys[k], keys[k - 1], READ_TEXT_SIZE);
				memset(keys[k] + prng_below(&prng, 16), 0, 1);
			}
			if (k > 0 && memcmp(keys[k], keys[k - 1], READ_TEXT_SIZE) == 0)
				keys[k][3] ^= 1;
			segment_key_put(&writer, keys[k], k > 0 ? keys[k - 1] : none);
		}
		copy = copy_exactly(bytes, (size_t)(bits_end(&writer) - bytes));
		reader = (struct bits_reader){copy, 0, (size_t)(bits_end(&writer) - bytes) * 8};
		for (unsigned k = 0; k < 64; k++) {
			CHECK_INT(0, segment_key_get(&reader, key));
			CHECK_MEM(keys[k], key, READ_TEXT_SIZE);
		}
		CHECK(reader.end - reader.at < 8);
		CHECK_INT(-EBADMSG, segment_key_get(&reader, key));
		free(copy);
	}
}

static void expect(const char *text, const char *key)
{
	uint8_t padded[READ_TEXT_SIZE] = {0}, expected[READ_TEXT_SIZE];

	memcpy(padded, key, strlen(key));
	segment_text_expect(padded, expected);
	CHECK_INT(strlen(text), segment_text_size(expected));
	CHECK_MEM(text, expected, strlen(text));
}

static void letters_are_expected_at_their_places(void)
{
	expect("OI10OIX", "0110"
			  "01X");
	expect("AB12CDE", "AB12CDE");
	expect("AB1OCDE", "AB1OCDE"); /* no key has an O; whatever it is, it stays */
	expect("0123456", "0123456");
	expect("AI23BOC", "A123B0C"); /* of an odd plate a patch tells otherwise */
	expect("AB10CD0X", "AB10CD0X");
	expect("AB10C0", "AB10C0");
	expect("", "");
}

/* Every field at its extremes, in any order: a page takes rows as they are. */
static struct read extreme_read(struct prng *prng)
{
	static const int64_t times[] = {INT64_MIN, INT64_MIN + 1, -1, 0, 1, INT64_MAX - 1, INT64_MAX};
	struct read read = fixture_wild_read(prng, FIXTURE_DAY);

	if (prng_chance(prng, 300))
		memset(&read, prng_chance(prng, 500) ? 0xff : 0, sizeof(read));
	if (prng_chance(prng, 500))
		read.capture_us = times[prng_below(prng, 7)];
	if (prng_chance(prng, 500))
		read.receipt_us = times[prng_below(prng, 7)];
	if (prng_chance(prng, 300))
		read.lat_e7 = read.lon_e7 = 0;
	if (prng_chance(prng, 300))
		read.camera = prng_chance(prng, 500) ? UINT32_MAX : 0;
	return read;
}

static struct read any_read(struct prng *prng, unsigned kind)
{
	switch (kind) {
	case 0:
		return fixture_wild_read(prng, FIXTURE_DAY);
	case 1:
		return fixture_read(prng, FIXTURE_DAY);
	case 2:
		return extreme_read(prng);
	default:
		return any_read(prng, (unsigned)prng_below(prng, 3));
	}
}

static int decode_rows(const uint8_t *page, size_t size, void *ret_rows, uint32_t *ret_count)
{
	return segment_rows_decode(page, size, ret_rows, ret_count);
}

static int decode_scenes(const uint8_t *page, size_t size, void *ret_scenes, uint32_t *ret_count)
{
	return segment_scenes_decode(page, size, ret_scenes, ret_count);
}

/* The page gives back these items, and a byte less of it nothing. */
static void check_page(const uint8_t *page, size_t size,
		       int (*decode)(const uint8_t *page, size_t size, void *ret_items, uint32_t *ret_count),
		       void *back, const void *items, unsigned count, size_t item_size)
{
	uint32_t got = 0;
	uint8_t *copy;

	CHECK(size + TAIL <= SEGMENT_PAGE_SIZE_MAX);
	copy = copy_exactly(page, size);
	CHECK_INT(0, decode(copy, size, back, &got));
	CHECK_INT(count, got);
	CHECK_MEM(items, back, count * item_size);
	CHECK_INT(-EBADMSG, decode(copy, size - 1, back, &got));
	free(copy);
}

static void any_rows_come_back(void)
{
	struct prng prng = {check_seed()};
	static struct read rows[SEGMENT_PAGE_ROWS], back[SEGMENT_PAGE_ROWS];
	uint8_t *page = malloc(SEGMENT_PAGE_ROOM);

	for (unsigned round = 0; round < 1500; round++) {
		unsigned count = prng_chance(&prng, 200) ? SEGMENT_PAGE_ROWS
							 : 1 + (unsigned)prng_below(&prng, SEGMENT_PAGE_ROWS);
		unsigned kind = (unsigned)prng_below(&prng, 4);
		size_t size;

		for (unsigned i = 0; i < count; i++)
			rows[i] = i > 0 && prng_chance(&prng, 100) ? rows[i - 1] : any_read(&prng, kind);
		size = segment_rows_encode(rows, count, page);
		check_page(page, size, decode_rows, back, rows, count, sizeof(*rows));
	}
	free(page);
}

static int compare_scenes(const void *a, const void *b)
{
	const struct segment_scene *x = a;
	const struct segment_scene *y = b;

	if (x->camera != y->camera)
		return x->camera < y->camera ? -1 : 1;
	if (x->unit != y->unit)
		return x->unit < y->unit ? -1 : 1;
	return x->page < y->page ? -1 : x->page > y->page;
}

static void scenes_come_back(void)
{
	struct prng prng = {check_seed()};
	static struct segment_scene scenes[SEGMENT_PAGE_SCENES], back[SEGMENT_PAGE_SCENES];
	uint8_t *page = malloc(SEGMENT_PAGE_ROOM);

	for (unsigned round = 0; round < 400; round++) {
		unsigned count = 1 + (unsigned)prng_below(&prng, SEGMENT_PAGE_SCENES);
		uint64_t cameras = UINT64_C(1) << prng_below(&prng, 33);
		uint64_t pages = UINT64_C(1) << prng_below(&prng, 33);
		size_t size;

		for (unsigned i = 0; i < count; i++)
			scenes[i] = (struct segment_scene){(uint32_t)prng_below(&prng, cameras),
							   (uint32_t)prng_below(&prng, 5400),
							   (uint32_t)prng_below(&prng, pages)};
		qsort(scenes, count, sizeof(scenes[0]), compare_scenes);
		size = segment_scenes_encode(scenes, count, page);
		check_page(page, size, decode_scenes, back, scenes, count, sizeof(*scenes));
	}
	free(page);
}

/* A dense camera costs little: steps of mostly one cell, and pages in as many bits as they need. */
static void scenes_are_short(void)
{
	struct prng prng = {check_seed()};
	static struct segment_scene scenes[SEGMENT_PAGE_SCENES];
	uint8_t *page = malloc(SEGMENT_PAGE_ROOM);
	uint32_t cell = 0;
	size_t size;

	for (unsigned i = 0; i < SEGMENT_PAGE_SCENES; i++) {
		cell += (uint32_t)prng_below(&prng, 4);
		scenes[i] = (struct segment_scene){1000 + cell / 5400, cell % 5400, (uint32_t)prng_below(&prng, 78125)};
	}
	size = segment_scenes_encode(scenes, SEGMENT_PAGE_SCENES, page);
	CHECK(size < SEGMENT_PAGE_SCENES * (17 + 3) / 8);
	free(page);
}

/* Mutated, cut and random pages: refused or decoded, never a step outside (ASan watches). */
static void pages_of_any_bytes_are_survived(void)
{
	struct prng prng = {check_seed()};
	static struct read rows[SEGMENT_PAGE_ROWS];
	static struct segment_scene scenes[SEGMENT_PAGE_SCENES];
	static struct hit hits[SEGMENT_PAGE_HITS];
	uint8_t *page = malloc(SEGMENT_PAGE_ROOM);

	for (unsigned round = 0; round < 12000; round++) {
		unsigned count = 1 + (unsigned)prng_below(&prng, 60);
		unsigned kind = (unsigned)prng_below(&prng, 4);
		size_t size;
		uint32_t got;
		uint8_t *copy;

		for (unsigned i = 0; i < count; i++)
			rows[i] = any_read(&prng, kind);
		if (prng_chance(&prng, 700)) {
			size = segment_rows_encode(rows, count, page);
		} else if (prng_chance(&prng, 500)) {
			for (unsigned i = 0; i < count; i++)
				scenes[i] = (struct segment_scene){i / 3, i, (uint32_t)prng_next(&prng)};
			size = segment_scenes_encode(scenes, count, page);
		} else {
			size = prng_below(&prng, 4000);
			for (size_t i = 0; i < size; i++)
				page[i] = (uint8_t)prng_next(&prng);
			le16_put(page, (uint16_t)count);
		}
		for (unsigned flips = (unsigned)prng_below(&prng, 6); size > 0 && flips > 0; flips--)
			page[prng_below(&prng, prng_chance(&prng, 500) && size > 60 ? 60 : size)] ^=
				(uint8_t)(1u << prng_below(&prng, 8));
		if (prng_chance(&prng, 200))
			size = prng_below(&prng, size + 1);
		copy = copy_exactly(page, size);
		(void)segment_rows_decode(copy, size, rows, &got);
		(void)segment_scenes_decode(copy, size, scenes, &got);
		(void)segment_hits_decode(copy, size, hits, &got);
		free(copy);
	}
	free(page);
}

int main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{"varints come back", varints_come_back},
		{"more than 64 bits are refused", more_than_64_bits_are_refused},
		{"columns of any values come back, damaged ones do no harm", columns_come_back},
		{"columns are short where they should be", columns_are_short},
		{"values are sorted in place", sorted_in_place},
		{"keys come back", keys_come_back},
		{"letters are expected at their places", letters_are_expected_at_their_places},
		{"any rows come back, bit for bit", any_rows_come_back},
		{"scenes come back", scenes_come_back},
		{"scenes are short", scenes_are_short},
		{"pages of any bytes are survived", pages_of_any_bytes_are_survived},
		{NULL, NULL},
	};

	return check_main(argc, argv, "segment pages", tests);
}
