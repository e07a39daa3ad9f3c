/* Texts that name a plate, and texts that do not. */
#include "matcher/vrm_named.h"

#include <stdio.h>
#include <string.h>

#include "appliance/base/prng.h"
#include "matcher/vrm.h"
#include "tests/check.h"

static bool named(const char *text, const char *plate)
{
	uint8_t key[READ_TEXT_SIZE] = {0};

	memcpy(key, plate, strlen(plate));
	CHECK_INT(0, vrm_key(key, key));
	return vrm_named(text, key);
}

static void test_texts(void)
{
	CHECK(named("AB12 CDE is a taxi", "AB12CDE"));
	CHECK(named("plate: ab-12-cde.", "AB12CDE"));
	CHECK(named("it was aab12cde", "AB12CDE"));
	CHECK(named("ABI2CDE", "AB12CDE")); /* I and 1 are drawn alike */
	CHECK(named("Ä812 CDE", "A812CDE"));
	CHECK(named("AB12C\xff", "ZZ99ZZZ")); /* not UTF-8: nobody can say */
	CHECK(!named("AB12 CD, the last letter is covered", "AB12CDE"));
	CHECK(!named("the image shows a B, read as 8", "AB12CDE"));
	CHECK(!named("", "AB12CDE"));
	CHECK(!named("a 1 here", "A1")); /* too short to tell from words */
}

/* Against the obvious way: the whole text's key characters, then a search. */
static void test_random(void)
{
	static const char alphabet[] = "AB12 -.";
	struct prng prng = {.state = check_seed()};

	for (unsigned round = 0; round < 20000; round++) {
		char text[40] = "", plain[40] = "", plate[8] = "";
		size_t size = (size_t)prng_below(&prng, 30), kept = 0;

		for (size_t i = 0; i < size; i++) {
			text[i] = alphabet[prng_below(&prng, 7)];
			if (text[i] >= '0')
				plain[kept++] = text[i];
		}
		for (size_t i = 0; i < 4 + round % 3; i++)
			plate[i] = alphabet[prng_below(&prng, 4)];
		CHECK_INT(strstr(plain, plate) != NULL, named(text, plate));
	}
}

int main(int argc, char **argv)
{
	static const struct check_test tests[] = {{"texts", test_texts}, {"random texts", test_random}, {NULL, NULL}};

	return check_main(argc, argv, "named plates", tests);
}
