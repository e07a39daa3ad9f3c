#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "appliance/base/glob.h"
#include "appliance/base/prng.h"
#include "appliance/base/utf8.h"
#include "tests/check.h"

static int matches(const char *pattern, const char *text)
{
	uint8_t string[GLOB_STRING_SIZE] = {0};
	struct glob glob;

	memcpy(string, text, strlen(text));
	CHECK_INT(0, glob_compile(pattern, strlen(pattern), &glob));
	return glob_match(&glob, string);
}

/* The definition, word for word, over the pattern as written. */
static int naive(const uint8_t *p, size_t p_size, const uint8_t *s, size_t s_size)
{
	uint32_t point;
	size_t step;

	if (p_size == 0)
		return s_size == 0;
	if (p[0] == '*')
		return naive(p + 1, p_size - 1, s, s_size) ||
		       ((step = utf8_next(s, s_size, &point)) > 0 && naive(p, p_size, s + step, s_size - step));
	if (p[0] == '?')
		return (step = utf8_next(s, s_size, &point)) > 0 && naive(p + 1, p_size - 1, s + step, s_size - step);
	return s_size > 0 && p[0] == s[0] && naive(p + 1, p_size - 1, s + 1, s_size - 1);
}

static void known_answers(void)
{
	CHECK(matches("AB12CDE", "AB12CDE"));
	CHECK(!matches("AB12CDE", "AB12CDF"));
	CHECK(!matches("AB12CDE", "AB12CD"));
	CHECK(!matches("AB12CD", "AB12CDE"));
	CHECK(matches("AB1?CDE", "AB19CDE"));
	CHECK(!matches("AB1?CDE", "AB1CDE"));
	CHECK(!matches("AB?", "AB"));
	CHECK(!matches("AB?", "ABCD"));
	CHECK(matches("*", ""));
	CHECK(matches("*CDE", "CDE"));
	CHECK(matches("*CDE", "CDCDE"));
	CHECK(!matches("*CDE", "CDEF"));
	CHECK(matches("A*B*C", "AXBXBXC"));
	CHECK(matches("?", "Ж"));
	CHECK(matches("A?B", "AÄB"));
	CHECK(!matches("A?B", "AÄÄB"));
	CHECK(matches("*Ä*", "XÄ"));
	CHECK(matches("0123456789ABCDE?", "0123456789ABCDEF"));
	CHECK(!matches("0123456789ABCDEF?", "0123456789ABCDEF"));
	CHECK(!matches("0123456789ABCDEFG", "0123456789ABCDEF"));
}

static void plan_is_usable_by_a_search(void)
{
	struct glob glob;

	CHECK_INT(0, glob_compile("AB1?C*", 6, &glob));
	CHECK_INT(3, glob.prefix_size);
	CHECK_MEM("AB1", glob.prefix, 4);
	CHECK_INT(5, glob.size_min);
	CHECK_INT(16, glob.size_max);
	CHECK(!glob.exact && !glob.masked);
	CHECK_INT(0, glob_compile("AB12", 4, &glob));
	CHECK(glob.exact && glob.masked);
	CHECK_MEM("AB12\0\0\0\0\0\0\0\0\0\0\0\0", glob.prefix, 16);
	CHECK_INT(0, glob_compile("*?*?*", 5, &glob));
	CHECK_INT(3, glob.pattern_size);
	CHECK_MEM("\?\?*", glob.pattern, 3);
	CHECK_INT(0, glob_compile("Ä?", 3, &glob));
	CHECK(!glob.masked);
	CHECK_INT(6, glob.size_max);
}

static void bad_patterns_are_refused(void)
{
	static const struct {
		const char *bytes;
		size_t size;
	} bad[] = {{"", 0},
		   {"A\0B", 3},
		   {"\x80", 1},
		   {"\xc3", 1},
		   {"A\xc0\xaf", 3},
		   {"\xed\xa0\x80", 3},
		   {"\xf4\x90\x80\x80", 4}};
	char big[GLOB_PATTERN_SIZE_MAX + 1];
	struct glob glob, before;

	memset(&glob, 0x5a, sizeof(glob));
	before = glob;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		CHECK_INT(-EINVAL, glob_compile(bad[i].bytes, bad[i].size, &glob));
	memset(big, '*', sizeof(big));
	CHECK_INT(-EINVAL, glob_compile(big, sizeof(big), &glob));
	CHECK_MEM(&before, &glob, sizeof(glob));
	CHECK_INT(0, glob_compile(big, GLOB_PATTERN_SIZE_MAX, &glob));
	CHECK_INT(1, glob.pattern_size);
}

static size_t random_string(struct prng *prng, uint8_t string[GLOB_STRING_SIZE], bool ascii)
{
	size_t length = prng_below(prng, 9), size = 0;

	memset(string, 0, GLOB_STRING_SIZE);
	for (size_t i = 0; i < length; i++) {
		if (ascii || prng_chance(prng, 700)) {
			string[size++] = (uint8_t)('A' + prng_below(prng, 2));
		} else {
			string[size++] = 0xc3;
			string[size++] = (uint8_t)(0x84 + prng_below(prng, 2));
		}
	}
	return size;
}

static size_t random_pattern(struct prng *prng, char *pattern, bool ascii)
{
	size_t length = 1 + prng_below(prng, 9), size = 0;

	for (size_t i = 0; i < length; i++) {
		uint64_t kind = prng_below(prng, 10);

		if (kind < 2) {
			pattern[size++] = '*';
		} else if (kind < 4) {
			pattern[size++] = '?';
		} else if (kind < 9 || ascii) {
			pattern[size++] = (char)('A' + prng_below(prng, 2));
		} else {
			pattern[size++] = (char)0xc3;
			pattern[size++] = (char)(0x84 + prng_below(prng, 2));
		}
	}
	return size;
}

static void agrees_with_the_definition(void)
{
	struct prng prng = {check_seed()};
	unsigned hits = 0;

	for (int turn = 0; turn < 400000; turn++) {
		bool ascii = prng_chance(&prng, 500);
		uint8_t string[GLOB_STRING_SIZE];
		char pattern[GLOB_PATTERN_SIZE_MAX];
		size_t s_size = random_string(&prng, string, ascii);
		size_t p_size = random_pattern(&prng, pattern, ascii);
		struct glob glob;
		int expected = naive((const uint8_t *)pattern, p_size, string, s_size);

		CHECK_INT(0, glob_compile(pattern, p_size, &glob));
		CHECK_INT(expected, glob_match(&glob, string));
		if (ascii && glob.masked)
			CHECK_INT(expected, glob_match_masked(&glob, string));
		if (expected)
			CHECK(s_size >= glob.size_min && s_size <= glob.size_max &&
			      memcmp(string, glob.prefix, glob.prefix_size) == 0);
		if (glob.exact)
			CHECK_INT(expected, memcmp(string, glob.prefix, GLOB_STRING_SIZE) == 0);
		hits += (unsigned)expected;
	}
	CHECK(hits > 10000); /* a test in which nothing matches shows nothing */
}

/* Any bytes: no answer is promised, only that it comes, and that nothing outside the string is read (ASan). */
static void any_bytes_are_safe(void)
{
	struct prng prng = {check_seed()};

	for (int turn = 0; turn < 200000; turn++) {
		uint8_t string[GLOB_STRING_SIZE];
		char pattern[GLOB_PATTERN_SIZE_MAX];
		size_t size = random_pattern(&prng, pattern, false);
		struct glob glob;

		for (size_t i = 0; i < sizeof(string); i++)
			string[i] = (uint8_t)prng_next(&prng);
		CHECK_INT(0, glob_compile(pattern, size, &glob));
		(void)glob_match(&glob, string);
	}
}

/* What makes a backtracking matcher need 2^32 steps. */
static void hostile_patterns_are_quick(void)
{
	char pattern[GLOB_PATTERN_SIZE_MAX];
	uint8_t string[GLOB_STRING_SIZE];
	struct glob glob;

	memset(string, 'A', sizeof(string));
	for (size_t i = 0; i < sizeof(pattern); i++)
		pattern[i] = i % 2 == 0 ? '*' : i < 30 ? 'A' : '*';
	pattern[sizeof(pattern) - 1] = 'B';
	CHECK_INT(0, glob_compile(pattern, sizeof(pattern), &glob));
	for (int turn = 0; turn < 100000; turn++)
		CHECK(!glob_match(&glob, string));
}

int main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{"known answers", known_answers},
		{"the plan is usable by a search", plan_is_usable_by_a_search},
		{"bad patterns are refused", bad_patterns_are_refused},
		{"agrees with the definition on random patterns", agrees_with_the_definition},
		{"any bytes are safe", any_bytes_are_safe},
		{"hostile patterns are quick", hostile_patterns_are_quick},
		{NULL, NULL},
	};

	return check_main(argc, argv, "glob", tests);
}
