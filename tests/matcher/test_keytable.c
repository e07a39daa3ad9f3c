#include "matcher/keytable.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/prng.h"
#include "tests/check.h"

static void make_key(uint8_t key[READ_TEXT_SIZE], uint32_t number)
{
	char text[READ_TEXT_SIZE] = {0};

	(void)snprintf(text, sizeof(text), "K%u", number);
	memcpy(key, text, sizeof(text));
}

static void find_all(const struct keytable *table, uint32_t count)
{
	struct prng prng = {check_seed()};

	for (uint32_t at = 0; at < 2 * count + KEYTABLE_BURST;) {
		uint8_t keys[KEYTABLE_BURST][READ_TEXT_SIZE];
		uint32_t found[KEYTABLE_BURST];
		size_t burst = 1 + prng_below(&prng, KEYTABLE_BURST);

		for (size_t i = 0; i < burst; i++)
			make_key(keys[i], at + (uint32_t)i);
		keytable_find(table, (const uint8_t(*)[READ_TEXT_SIZE])keys, burst, found);
		for (size_t i = 0; i < burst; i++)
			CHECK_INT(at + i < count ? at + i : KEYTABLE_NONE, found[i]);
		at += (uint32_t)burst;
	}
}

/* Sizes about the powers of two, where a table is fullest; the largest one has buckets that run over. */
static void finds_what_is_there_and_nothing_else(void)
{
	static const uint32_t counts[] = {0, 1, 2, 7, 8, 9, 15, 16, 17, 63, 64, 65, 1023, 1024, 1025, 131072};

	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		uint8_t(*keys)[READ_TEXT_SIZE] = malloc((counts[i] + 1) * sizeof(*keys));
		struct keytable *table;

		for (uint32_t j = 0; j < counts[i]; j++)
			make_key(keys[j], j);
		CHECK_INT(0, keytable_new((const uint8_t(*)[READ_TEXT_SIZE])keys, counts[i], &table));
		free(keys);
		find_all(table, counts[i]);
		CHECK(keytable_free(table) == NULL);
	}
	CHECK(keytable_free(NULL) == NULL);
}

int main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{"finds what is there and nothing else", finds_what_is_there_and_nothing_else},
		{NULL, NULL},
	};

	return check_main(argc, argv, "keytable", tests);
}
