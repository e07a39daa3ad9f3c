/* The variants of a key are those that the matcher calls alike: no more, no fewer. */
#include "matcher/vrm_variants.h"

#include <stdlib.h>
#include <string.h>

#include "appliance/base/prng.h"
#include "matcher/vrm.h"
#include "tests/check.h"

#define KEYS_MAX 4096

static uint8_t keys[KEYS_MAX][READ_TEXT_SIZE];

static void variants_of_a_plate(void)
{
	uint8_t key[READ_TEXT_SIZE] = "AB12H";
	size_t count;

	/* B or 8, 1, 2 or Z, 11 or H */
	CHECK_INT(8, vrm_variants_alike(key, KEYS_MAX, keys, &count));
	CHECK_INT(8, count);
	CHECK_STR("A81211", (const char *)keys[0]);
	CHECK_STR("A812H", (const char *)keys[1]);
	CHECK_STR("AB1ZH", (const char *)keys[7]);
	CHECK_INT(8, vrm_variants_alike(key, 3, keys, &count));
	CHECK_INT(3, count);
	memset(key, 0, sizeof(key));
	CHECK_INT(0, vrm_variants_alike(key, KEYS_MAX, keys, &count));
	CHECK_INT(0, count);
}

/* Runs that outgrow a key when every H is written 11. */
static void a_run_has_to_fit(void)
{
	uint8_t key[READ_TEXT_SIZE], alike[READ_TEXT_SIZE], other[READ_TEXT_SIZE];
	size_t count;
	uint64_t total;

	memset(key, 'H', sizeof(key));
	CHECK_INT(1, vrm_variants_alike(key, KEYS_MAX, keys, &count));
	memset(key, 'H', 10);
	memset(key + 10, 0, 6);
	total = vrm_variants_alike(key, KEYS_MAX, keys, &count);
	CHECK(total > KEYS_MAX);
	CHECK_INT(KEYS_MAX, count);
	vrm_alike(key, alike);
	for (size_t i = 0; i < count; i++) {
		vrm_alike(keys[i], other);
		CHECK_MEM(alike, other, sizeof(alike));
	}
}

static int compare(const void *a, const void *b)
{
	return memcmp(a, b, READ_TEXT_SIZE);
}

/* Every key of up to five characters over a small alphabet: it is a variant exactly when it is alike. */
static void variants_are_what_is_alike(void)
{
	static const char alphabet[] = "1HB8A";
	struct prng prng = {check_seed()};

	for (int turn = 0; turn < 300; turn++) {
		uint8_t key[READ_TEXT_SIZE] = {0}, alike[READ_TEXT_SIZE];
		uint64_t size = 1 + prng_below(&prng, 4);
		size_t count, expected = 0;

		for (uint64_t i = 0; i < size; i++)
			key[i] = (uint8_t)alphabet[prng_below(&prng, 5)];
		CHECK(vrm_variants_alike(key, KEYS_MAX, keys, &count) == count);
		for (size_t i = 1; i < count; i++)
			CHECK(memcmp(keys[i - 1], keys[i], READ_TEXT_SIZE) < 0);
		vrm_alike(key, alike);
		for (uint32_t number = 0; number < 6 * 6 * 6 * 6 * 6; number++) {
			uint8_t other[READ_TEXT_SIZE] = {0}, form[READ_TEXT_SIZE];
			uint32_t rest = number;
			unsigned at = 0;

			for (; rest > 0 && rest % 6 > 0; rest /= 6)
				other[at++] = (uint8_t)alphabet[rest % 6 - 1];
			if (rest > 0 || at == 0)
				continue;
			vrm_alike(other, form);
			if (memcmp(alike, form, sizeof(form)) != 0)
				continue;
			expected++;
			CHECK(bsearch(other, keys, count, READ_TEXT_SIZE, compare) != NULL);
		}
		for (size_t i = 0; i < count; i++)
			expected += strnlen((const char *)keys[i], READ_TEXT_SIZE) > 5;
		CHECK_INT(expected, count);
	}
}

static void one_character_stands_open(void)
{
	uint8_t patterns[VRM_SUBSTITUTION_MAX][16];
	uint8_t key[READ_TEXT_SIZE] = "AB12CDE";

	CHECK_INT(7, vrm_variants_substitution(key, patterns));
	CHECK_STR("?B12CDE", (const char *)patterns[0]);
	CHECK_STR("AB12CD?", (const char *)patterns[6]);
	CHECK_INT(0, vrm_variants_substitution((const uint8_t[READ_TEXT_SIZE]){"AB12"}, patterns));
	CHECK_INT(0, vrm_variants_substitution((const uint8_t[READ_TEXT_SIZE]){"AB12CDE12345"}, patterns));
}

int main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{"variants of a plate", variants_of_a_plate},
		{"a run has to fit", a_run_has_to_fit},
		{"variants are what is alike", variants_are_what_is_alike},
		{"one character stands open", one_character_stands_open},
		{NULL, NULL},
	};

	return check_main(argc, argv, "vrm_variants", tests);
}
