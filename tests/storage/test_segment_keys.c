/* Dictionary pages: every key comes back, a scan answers like glob_match, and no bytes are too strange to be looked at.
 */
#include "storage/segment_keys.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/glob.h"
#include "appliance/base/prng.h"
#include "storage/segment_keys_lanes.h"
#include "storage/segment_page.h"
#include "tests/check.h"

struct dictionary {
	uint8_t keys[SEGMENT_PAGE_KEYS][16];
	uint32_t counts[SEGMENT_PAGE_KEYS];
	uint32_t first[SEGMENT_PAGE_KEYS + 1];
	uint32_t count;
};

static char letter(struct prng *prng)
{
	return "ABCDEFGHJKLMNPQRSTUVWXYZ"[prng_below(prng, 24)];
}

static char digit(struct prng *prng)
{
	return (char)('0' + prng_below(prng, 10));
}

/* 'A' a letter, '9' a digit, others as they are. */
static void make(struct prng *prng, const char *shape, uint8_t key[16])
{
	memset(key, 0, 16);
	for (unsigned i = 0; shape[i] != '\0'; i++)
		key[i] = (uint8_t)(shape[i] == 'A' ? letter(prng) : shape[i] == '9' ? digit(prng) : shape[i]);
}

/* 0: plates as in the street, misreads among them; 1: few characters, any size; 2: any bytes; 3: long; 4: one. */
static void random_key(struct prng *prng, unsigned kind, uint8_t key[16])
{
	static const char *const shapes[] = {"AA99AAA", "AA99AAA", "AA99AAA", "A999AAA", "AAA999", "LL9A9", "999A999"};
	unsigned size;

	memset(key, 0, 16);
	switch (kind) {
	case 0:
		make(prng, shapes[prng_below(prng, 7)], key);
		if (prng_chance(prng, 60))
			key[prng_below(prng, 6)] = (uint8_t)digit(prng);
		break;
	case 1:
		size = (unsigned)prng_below(prng, 8);
		for (unsigned i = 0; i < size; i++)
			key[i] = (uint8_t) "01AB"[prng_below(prng, 4)];
		break;
	case 2:
		size = (unsigned)prng_below(prng, 17);
		for (unsigned i = 0; i < size; i++)
			key[i] = (uint8_t)prng_next(prng);
		break;
	case 3:
		make(prng, "AAAA9999AAAA9999", key);
		break;
	default:
		make(prng, "AB12CD9", key);
	}
}

static int compare_keys(const void *a, const void *b)
{
	return memcmp(a, b, 16);
}

/* Kind 5: all of them mixed. */
static void fill(struct prng *prng, unsigned kind, unsigned count, struct dictionary *dictionary)
{
	uint32_t row = (uint32_t)prng_below(prng, 1000000);
	unsigned kept = 0;

	for (unsigned i = 0; i < count; i++)
		random_key(prng, kind < 5 ? kind : (unsigned)prng_below(prng, 5), dictionary->keys[i]);
	qsort(dictionary->keys, count, 16, compare_keys);
	for (unsigned i = 0; i < count; i++)
		if (kept == 0 || memcmp(dictionary->keys[kept - 1], dictionary->keys[i], 16) != 0)
			memmove(dictionary->keys[kept++], dictionary->keys[i], 16);
	dictionary->count = kept;
	for (unsigned i = 0; i < kept; i++) {
		dictionary->counts[i] = 1 + (uint32_t)prng_below(prng, prng_chance(prng, 20) ? 2000000 : 4);
		dictionary->first[i] = row;
		row += dictionary->counts[i];
	}
	dictionary->first[kept] = row;
}

/* The page at its exact size, with what is always behind it: a tag. */
static uint8_t *encode(const struct dictionary *dictionary, size_t *ret_size)
{
	uint8_t *page = malloc(SEGMENT_PAGE_ROOM);
	size_t size = segment_keys_encode((const uint8_t(*)[16])dictionary->keys, dictionary->counts, dictionary->count,
					  dictionary->first[0], page);
	uint8_t *exact = malloc(size + AEAD_TAG_SIZE);

	CHECK(size <= SEGMENT_PAGE_SIZE_MAX - AEAD_TAG_SIZE);
	memcpy(exact, page, size);
	memset(exact + size, 0xff, AEAD_TAG_SIZE);
	free(page);
	*ret_size = size;
	return exact;
}

static void every_key_comes_back(void)
{
	struct prng prng = {check_seed()};
	struct dictionary *in = calloc(1, sizeof(*in));
	struct dictionary *out = calloc(1, sizeof(*out));

	for (unsigned round = 0; round < 400; round++) {
		unsigned most = prng_chance(&prng, 500) ? 40 : SEGMENT_PAGE_KEYS;
		size_t size;
		uint8_t *page;

		fill(&prng, round % 6, 1 + (unsigned)prng_below(&prng, most), in);
		page = encode(in, &size);
		memset(out, 0xee, sizeof(*out));
		CHECK_INT(0, segment_keys_decode(page, size, out->keys, out->first, &out->count));
		CHECK_INT(in->count, out->count);
		CHECK_MEM(in->keys, out->keys, (size_t)16 * in->count);
		CHECK_MEM(in->first, out->first, 4 * ((size_t)in->count + 1));
		for (size_t cut = size > 40 ? size - 40 : 0; cut < size; cut++)
			CHECK_INT(-EBADMSG, segment_keys_decode(page, cut, out->keys, out->first, &out->count));
		free(page);
	}
	free(in);
	free(out);
}

/* A full page of the largest keys and counts fits. */
static void the_worst_page_fits(void)
{
	struct dictionary *in = calloc(1, sizeof(*in));
	struct dictionary *out = calloc(1, sizeof(*out));
	size_t size;
	uint8_t *page;

	in->count = SEGMENT_PAGE_KEYS;
	for (unsigned i = 0; i < in->count; i++) {
		memset(in->keys[i], 0xfe, 16);
		in->keys[i][0] = (uint8_t)(i >> 8);
		in->keys[i][1] = (uint8_t)i;
		in->counts[i] = SEGMENT_ROWS_MAX / SEGMENT_PAGE_KEYS;
	}
	page = encode(in, &size);
	CHECK_INT(0, segment_keys_decode(page, size, out->keys, out->first, &out->count));
	CHECK_MEM(in->keys, out->keys, (size_t)16 * in->count);
	CHECK_INT(out->first[out->count], SEGMENT_ROWS_MAX / SEGMENT_PAGE_KEYS * SEGMENT_PAGE_KEYS);
	free(page);
	free(in);
	free(out);
}

/* A pattern that may well match one of the keys. */
static void random_glob(struct prng *prng, const struct dictionary *dictionary, struct glob *ret_glob)
{
	const uint8_t *key = dictionary->keys[prng_below(prng, dictionary->count)];
	char pattern[40];
	size_t size = 0;

	do {
		size = 0;
		for (unsigned i = 0; i < 16 && key[i] != 0; i++) {
			unsigned dice = (unsigned)prng_below(prng, 10);

			if (dice == 0)
				pattern[size++] = '*';
			if (dice == 1 && i % 2 == 0)
				continue;
			pattern[size++] = (char)(dice < 5 ? '?' : dice == 6 ? letter(prng) : key[i] & 0x7f);
			if (pattern[size - 1] == 0)
				pattern[size - 1] = '?';
		}
		if (size == 0 || prng_chance(prng, 150))
			pattern[size++] = '*';
	} while (glob_compile(pattern, size, ret_glob) < 0);
}

static bool even_end(const void *context, const uint8_t key[16])
{
	(void)context;
	return key[strnlen((const char *)key, 16) / 2] % 2 == 0;
}

static void check_scan(struct prng *prng, const struct dictionary *dictionary, const uint8_t *page, size_t size)
{
	struct segment_row_range ranges[SEGMENT_PAGE_KEYS];
	struct segment_keys_query query = {.wanted = prng_chance(prng, 300) ? even_end : NULL};
	uint32_t count = UINT32_MAX, keys = 0, next = 0;
	struct glob glob;

	random_glob(prng, dictionary, &glob);
	query.glob = &glob;
	CHECK_INT(0, segment_keys_scan(page, size, &query, ranges, &count, &keys));
	CHECK_INT(dictionary->count, keys);
	for (uint32_t i = 0; i < dictionary->count; i++) {
		if (!glob_match(&glob, dictionary->keys[i]) ||
		    (query.wanted != NULL && !even_end(NULL, dictionary->keys[i])))
			continue;
		CHECK(next < count);
		CHECK_INT(dictionary->first[i], ranges[next].first);
		CHECK_INT(dictionary->first[i + 1], ranges[next].end);
		next++;
	}
	CHECK_INT(next, count);
}

static void a_scan_answers_like_the_glob(void)
{
	struct prng prng = {check_seed()};
	struct dictionary *dictionary = calloc(1, sizeof(*dictionary));

	for (enum key_lanes_width width = KEY_LANES_PLAIN; width <= KEY_LANES_AVX512; width++) {
		key_lanes_limit(width);
		for (unsigned round = 0; round < 120; round++) {
			size_t size;
			uint8_t *page;

			fill(&prng, round % 6, 1 + (unsigned)prng_below(&prng, round % 2 ? 60 : SEGMENT_PAGE_KEYS),
			     dictionary);
			page = encode(dictionary, &size);
			for (unsigned query = 0; query < 25; query++)
				check_scan(&prng, dictionary, page, size);
			free(page);
		}
	}
	key_lanes_limit(KEY_LANES_AVX512);
	free(dictionary);
}

/* Damaged pages, and bytes that never were one: an error or an answer, and nothing out of bounds. */
static void any_bytes_are_safe(void)
{
	struct prng prng = {check_seed()};
	struct dictionary *dictionary = calloc(1, sizeof(*dictionary));
	struct dictionary *out = calloc(1, sizeof(*out));
	struct segment_row_range ranges[SEGMENT_PAGE_KEYS];
	unsigned refused = 0;

	for (unsigned round = 0; round < 4000; round++) {
		struct segment_keys_query query = {.wanted = round % 3 == 0 ? even_end : NULL};
		uint32_t count, keys;
		struct glob glob;
		size_t size;
		uint8_t *page;

		fill(&prng, round % 6, 1 + (unsigned)prng_below(&prng, round % 5 == 0 ? 1500 : 100), dictionary);
		page = encode(dictionary, &size);
		for (unsigned flips = 1 + (unsigned)prng_below(&prng, 4); flips > 0; flips--)
			page[prng_below(&prng, prng_chance(&prng, 600) && size > 60 ? 60 : size)] ^=
				(uint8_t)(1u << prng_below(&prng, 8));
		if (round % 50 == 0)
			for (size_t i = 0; i < size; i++)
				page[i] = (uint8_t)prng_next(&prng);
		random_glob(&prng, dictionary, &glob);
		query.glob = &glob;
		refused += segment_keys_decode(page, size, out->keys, out->first, &out->count) < 0;
		if (segment_keys_scan(page, size, &query, ranges, &count, &keys) == 0)
			for (uint32_t i = 0; i < count; i++)
				CHECK(ranges[i].first < ranges[i].end &&
				      (i == 0 || ranges[i - 1].end <= ranges[i].first));
		free(page);
	}
	check_note("%u of 4000 refused", refused);
	CHECK(refused > 1000);
	free(dictionary);
	free(out);
}

/* What the dictionary of a national day has to come to, or a year of them cannot be read in time. */
static void a_key_takes_three_bytes(void)
{
	struct prng prng = {7};
	struct dictionary *dictionary = calloc(1, sizeof(*dictionary));
	size_t size;
	uint8_t *page;

	dictionary->count = SEGMENT_PAGE_KEYS;
	for (unsigned i = 0; i < dictionary->count; i++) {
		unsigned at = i * 2048 + (unsigned)prng_below(&prng, 2048); /* of 17,576 × 240 behind "AB" */

		make(&prng, "AB00000", dictionary->keys[i]);
		dictionary->keys[i][2] = (uint8_t)('0' + at / 1000000);
		dictionary->keys[i][3] = (uint8_t)('0' + at / 100000 % 10);
		for (unsigned p = 6; p >= 4; p--, at /= 26)
			dictionary->keys[i][p] = (uint8_t)('A' + at % 26);
	}
	qsort(dictionary->keys, dictionary->count, 16, compare_keys);
	for (unsigned i = 0; i < dictionary->count; i++)
		dictionary->counts[i] = 1 + i % 3;
	page = encode(dictionary, &size);
	check_note("%.2f bytes a key", (double)size / dictionary->count);
	CHECK(size < (size_t)3 * dictionary->count);
	free(page);
	free(dictionary);
}

int main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{"every key comes back", every_key_comes_back},
		{"the worst page fits", the_worst_page_fits},
		{"a scan answers like the glob, in vectors of any width", a_scan_answers_like_the_glob},
		{"any bytes are safe", any_bytes_are_safe},
		{"a key takes three bytes", a_key_takes_three_bytes},
		{NULL, NULL},
	};

	return check_main(argc, argv, "segment_keys", tests);
}
