#include "matcher/vrm.h"

#include <errno.h>
#include <string.h>

#include "appliance/base/err.h"
#include "appliance/base/glob.h"
#include "appliance/base/prng.h"
#include "appliance/base/utf8.h"
#include "matcher/vrm_table.h"
#include "tests/check.h"

static void text_pad(const char *string, uint8_t text[READ_TEXT_SIZE])
{
	CHECK(strlen(string) <= READ_TEXT_SIZE);
	memset(text, 0, READ_TEXT_SIZE);
	memcpy(text, string, strlen(string));
}

/* The key as a string; "" when there is none. */
static const char *key_of(const char *string)
{
	static char key[READ_TEXT_SIZE + 1];
	uint8_t text[READ_TEXT_SIZE];

	memset(key, 0, sizeof(key));
	text_pad(string, text);
	(void)vrm_key(text, (uint8_t *)key);
	return key;
}

static void plain_texts(void)
{
	CHECK_STR("AB12CDE", key_of("AB12CDE"));
	CHECK_STR("AB12CDE", key_of("ab12 cde"));
	CHECK_STR("AB12CDE", key_of(" AB-12.CDE "));
	CHECK_STR("AB12CDE", key_of("A\tB12\xc2\xa0"
				    "CDE"));
	CHECK_STR("A1", key_of("a1"));
	CHECK_STR("ABCDEFGHJKLMNPQR", key_of("abcdefghjklmnpqr"));
	CHECK_STR("STUVWXYZ23456789", key_of("stuvwxyz23456789"));
}

static void letters_that_plates_draw_like_digits(void)
{
	CHECK_STR("0000", key_of("0OoO"));
	CHECK_STR("1111", key_of("1IiI"));
	CHECK_STR("B010XY1", key_of("BO1O XYI"));
	CHECK_STR("0", key_of("О"));   /* Cyrillic */
	CHECK_STR("01", key_of("ΟΙ")); /* Greek */
	CHECK_STR("0", key_of("Ö"));
	CHECK_STR("1J", key_of("Ĳ"));
}

/* As their countries' plates are written; the keys are what a person with a Latin keyboard would type. */
static void plates_of_other_countries(void)
{
	static const struct {
		const char *text, *key;
	} samples[] = {
		{"MÜ-XY 1234", "MUXY1234"}, /* Germany */
		{"LÖ Ä 77", "L0A77"},       /* Germany */
		{"1-ABC-234", "1ABC234"},   /* Belgium */
		{"AA-229-AA", "AA229AA"},   /* France */
		{"ČK·123-ŠŽ", "CK123SZ"},   /* Croatia-like, with a middle dot */
		{"ŽĐĆ 12", "ZDC12"},        /* Serbia */
		{"ΥΖΑ-1234", "YZA1234"},    /* Greece */
		{"СА 1234 ВХ", "CA1234BX"}, /* Bulgaria */
		{"АВ1234СЕ", "AB1234CE"},   /* Ukraine */
		{"1234 АВ-7", "1234AB7"},   /* Belarus */
		{"ТХ12ІЇ", "TX1211"},       /* Ukrainian letters */
		{"ØÅ 12 345", "0A12345"},   /* Denmark */
		{"ＡＢ１", "AB1"},          /* full width */
	};

	for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++)
		CHECK(strcmp(samples[i].key, key_of(samples[i].text)) == 0);
}

/* The table of docs/, row for row: what is left of each character before O and I are folded. */
static const struct {
	const char *letters, *characters;
} rows[] = {
	{"A", "ÀÁÂÃÄÅàáâãäåĀāĂăĄąǍǎǞǟǠǡǺǻȀȁȂȃȦȧ"},
	{"AE", "ÆæǢǣǼǽ"},
	{"C", "ÇçĆćĈĉĊċČč"},
	{"D", "ÐðĎďĐđ"},
	{"DZ", "ǄǅǆǱǲǳ"},
	{"E", "ÈÉÊËèéêëĒēĔĕĖėĘęĚěƏəȄȅȆȇȨȩ"},
	{"G", "ĜĝĞğĠġĢģǤǥǦǧǴǵ"},
	{"H", "ĤĥĦħȞȟ"},
	{"I", "ÌÍÎÏìíîïĨĩĪīĬĭĮįİıǏǐȈȉȊȋ"},
	{"IJ", "Ĳĳ"},
	{"J", "Ĵĵǰ"},
	{"K", "ĶķĸǨǩ"},
	{"L", "ĹĺĻļĽľĿŀŁł"},
	{"LJ", "Ǉǈǉ"},
	{"N", "ÑñŃńŅņŇňŉŊŋǸǹ"},
	{"NJ", "Ǌǋǌ"},
	{"O", "ÒÓÔÕÖØòóôõöøŌōŎŏŐőƠơǑǒǪǫǬǭǾǿȌȍȎȏȪȫȬȭȮȯȰȱ"},
	{"OE", "Œœ"},
	{"R", "ŔŕŖŗŘřȐȑȒȓ"},
	{"S", "ŚśŜŝŞşŠšſȘș"},
	{"SS", "ßẞ"},
	{"T", "ŢţŤťŦŧȚț"},
	{"TH", "Þþ"},
	{"U", "ÙÚÛÜùúûüŨũŪūŬŭŮůŰűŲųƯưǓǔǕǖǗǘǙǚǛǜȔȕȖȗ"},
	{"W", "ŴŵẀẁẂẃẄẅẆẇẈẉẘ"},
	{"Y", "ÝýÿŶŷŸȲȳẎẏẙỲỳỴỵỶỷỸỹ"},
	{"Z", "ŹźŻżŽžẐẑẒẓẔẕ"},
	{"A", "ΑαΆά"},
	{"B", "Ββ"},
	{"G", "Γγ"},
	{"D", "Δδ"},
	{"E", "ΕεΈέ"},
	{"Z", "Ζζ"},
	{"H", "ΗηΉή"},
	{"TH", "Θθ"},
	{"I", "ΙιΊίΪϊΐ"},
	{"K", "Κκ"},
	{"L", "Λλ"},
	{"M", "Μμ"},
	{"N", "Νν"},
	{"X", "ΞξΧχ"},
	{"O", "ΟοΌόΩωΏώ"},
	{"P", "ΠπΡρ"},
	{"S", "Σσς"},
	{"T", "Ττ"},
	{"Y", "ΥυΎύΫϋΰ"},
	{"F", "Φφ"},
	{"PS", "Ψψ"},
	{"A", "Аа"},
	{"B", "БбВв"},
	{"G", "ГгЃѓҐґ"},
	{"D", "ДдЂђ"},
	{"E", "ЕеЀѐЁёЄєЭэ"},
	{"ZH", "Жж"},
	{"Z", "Зз"},
	{"I", "ИиЙйІіЇїЍѝ"},
	{"J", "Јј"},
	{"K", "КкЌќ"},
	{"L", "Лл"},
	{"LJ", "Љљ"},
	{"M", "Мм"},
	{"H", "Нн"},
	{"NJ", "Њњ"},
	{"O", "Оо"},
	{"P", "ПпРр"},
	{"C", "СсЋћ"},
	{"S", "Ѕѕ"},
	{"T", "Тт"},
	{"Y", "УуЎўЫы"},
	{"F", "Фф"},
	{"X", "Хх"},
	{"TS", "Цц"},
	{"CH", "Чч"},
	{"SH", "ШшЩщ"},
	{"IU", "Юю"},
	{"IA", "Яя"},
	{"DZ", "Џџ"},
};

static void every_row_of_the_table(void)
{
	static bool told[0x530];
	uint32_t point = 0;
	size_t step;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const uint8_t *at = (const uint8_t *)rows[i].characters;

		for (; *at != 0; at += step) {
			char letters[3] = {0};

			step = utf8_next(at, strlen((const char *)at), &point);
			CHECK(step > 0);
			CHECK(vrm_letters(point) != NULL);
			memcpy(letters, vrm_letters(point), 2);
			CHECK(strcmp(rows[i].letters, letters) == 0);
			CHECK(strlen(letters) <= step);
			if (point < 0x530)
				told[point] = true;
		}
	}
	/* And no other: what the docs do not print, keys do not know. */
	for (point = 0x80; point < 0x530; point++)
		CHECK_INT(told[point], vrm_letters(point) != NULL);
}

static void composed_and_decomposed_are_one(void)
{
	CHECK_STR(key_of("MÜ1"), key_of("MU\xcc\x88"
					"1"));
	CHECK_STR(key_of("ČŠ"), key_of("C\xcc\x8cS\xcc\x8c"));
}

static void texts_without_a_letter(void)
{
	static const char *const none[] = {"", " ", "---", "Ъь", "漢字", "\xd8\xa8\xd8\xac", "?*"};
	uint8_t text[READ_TEXT_SIZE], key[READ_TEXT_SIZE], before[READ_TEXT_SIZE];

	memset(before, 0x5a, sizeof(before));
	for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
		text_pad(none[i], text);
		memcpy(key, before, sizeof(key));
		CHECK_INT(VRM_NO_LETTER, vrm_key(text, key));
		CHECK_MEM(before, key, sizeof(key));
	}
}

static void texts_that_are_not_utf8(void)
{
	static const char *const bad[] = {"\x80",
					  "AB\xff",
					  "A\xc3",
					  "\xc0\xaf",
					  "\xe0\x80\x80",
					  "\xed\xa0\x80",
					  "\xf4\x90\x80\x80",
					  "\xf8\x88\x80\x80\x80",
					  "012345678901234\xc3"};
	uint8_t text[READ_TEXT_SIZE], key[READ_TEXT_SIZE] = {0x5a};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		text_pad(bad[i], text);
		CHECK_INT(VRM_NOT_UTF8, vrm_key(text, key));
		CHECK_INT(0x5a, key[0]);
	}
	/* A zero ends the text, wherever it stands. */
	for (size_t zero = 0; zero + 1 < READ_TEXT_SIZE; zero++) {
		for (size_t after = zero + 1; after < READ_TEXT_SIZE; after++) {
			memset(text, 0, sizeof(text));
			memset(text, 'A', zero);
			text[after] = 'A';
			CHECK_INT(VRM_NOT_UTF8, vrm_key(text, key));
		}
	}
}

/* Character by character through the table: what the vector path has to agree with. */
static int key_reference(const uint8_t text[READ_TEXT_SIZE], uint8_t key[READ_TEXT_SIZE])
{
	size_t size = strnlen((const char *)text, READ_TEXT_SIZE), key_size = 0, step;
	uint32_t point;

	memset(key, 0, READ_TEXT_SIZE);
	for (size_t i = size; i < READ_TEXT_SIZE; i++)
		if (text[i] != 0)
			return VRM_NOT_UTF8;
	for (size_t i = 0; i < size; i += step) {
		const char *letters;

		step = utf8_next(text + i, size - i, &point);
		if (step == 0)
			return VRM_NOT_UTF8;
		letters = vrm_letters(point);
		for (int j = 0; letters != NULL && j < 2 && letters[j] != 0; j++)
			key[key_size++] = (uint8_t)(letters[j] == 'O' ? '0' : letters[j] == 'I' ? '1' : letters[j]);
	}
	return key_size > 0 ? 0 : VRM_NO_LETTER;
}

static void random_text(struct prng *prng, uint8_t text[READ_TEXT_SIZE])
{
	static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789@[`{/: -";
	bool any = prng_chance(prng, 300);
	size_t size = prng_below(prng, READ_TEXT_SIZE + 1);

	memset(text, 0, READ_TEXT_SIZE);
	for (size_t i = 0; i < size; i++) {
		text[i] = any ? (uint8_t)prng_next(prng) : (uint8_t)plain[prng_below(prng, sizeof(plain) - 1)];
		if (!any && prng_chance(prng, 30) && i + 1 < size) {
			text[i] = (uint8_t)(0xc3 + prng_below(prng, 16));
			text[++i] = (uint8_t)(0x80 + prng_below(prng, 64));
		}
	}
}

static void keys_are_keys_of_themselves(void)
{
	struct prng prng = {check_seed()};
	unsigned good = 0, plain = 0;

	for (int turn = 0; turn < 500000; turn++) {
		uint8_t text[READ_TEXT_SIZE], key[READ_TEXT_SIZE] = {0}, again[READ_TEXT_SIZE],
					      expected[READ_TEXT_SIZE];
		int status;

		random_text(&prng, text);
		status = vrm_key(text, key);
		CHECK_INT(key_reference(text, expected), status);
		if (status != 0)
			continue;
		CHECK_MEM(expected, key, READ_TEXT_SIZE);
		for (size_t i = 0; i < strnlen((char *)key, READ_TEXT_SIZE); i++)
			CHECK(strchr("0123456789ABCDEFGHJKLMNPQRSTUVWXYZ", key[i]) != NULL);
		CHECK_INT(0, vrm_key(key, again));
		CHECK_MEM(key, again, READ_TEXT_SIZE);
		CHECK_INT(0, vrm_key(text, text)); /* in place */
		CHECK_MEM(key, text, READ_TEXT_SIZE);
		good++;
		plain += memcmp(key, text, READ_TEXT_SIZE) == 0;
	}
	CHECK(good > 100000 && plain > 1000);
}

static void misread_classes_partition_the_alphabet(void)
{
	static const char *const classes[] = {"0ODQ", "1I", "2Z", "5S", "8B", "6G", "3", "4", "7", "9",
					      "A",    "C",  "E",  "F",  "H",  "J",  "K", "L", "M", "N",
					      "P",    "R",  "T",  "U",  "V",  "W",  "X", "Y"};
	uint8_t folded[READ_TEXT_SIZE], one[READ_TEXT_SIZE];
	int letters = 0;
	bool used[256] = {false};

	for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++) {
		for (const char *c = classes[i]; *c != 0; c++, letters++) {
			memset(one, 0, sizeof(one));
			one[15] = (uint8_t)*c;
			vrm_fold(one, folded);
			CHECK_INT(classes[i][0], folded[15]);
			CHECK_INT(0, folded[0]);
			vrm_fold(folded, folded);
			CHECK_INT(classes[i][0], folded[15]);
		}
		CHECK(!used[(uint8_t)classes[i][0]]);
		used[(uint8_t)classes[i][0]] = true;
	}
	CHECK_INT(36, letters);
}

/* Against the long way: folded, and every H written 11, which here has room. */
static void alike_is_folded_with_h_as_11(void)
{
	struct prng prng = {check_seed()};
	char forms[2][2 * READ_TEXT_SIZE + 1];
	uint8_t keys[2][READ_TEXT_SIZE], canonical[2][READ_TEXT_SIZE], folded[READ_TEXT_SIZE];
	unsigned alike = 0;

	for (unsigned turn = 0; turn < 200000; turn++) {
		for (int k = 0; k < 2; k++) {
			size_t size = turn % 8 == 0 ? READ_TEXT_SIZE : 1 + prng_below(&prng, 6);
			char *at = forms[k];

			memset(keys[k], 0, READ_TEXT_SIZE);
			for (size_t i = 0; i < size; i++)
				keys[k][i] = (uint8_t) "1H1HQ0"[prng_below(&prng, turn % 8 == 0 ? 2 : 6)];
			vrm_fold(keys[k], folded);
			for (size_t i = 0; i < size; i++)
				at = stpcpy(at, folded[i] == 'H' ? "11" : (char[]){(char)folded[i], 0});
			vrm_alike(keys[k], canonical[k]);
			CHECK(vrm_key_size(canonical[k]) <= size);
			vrm_alike(canonical[k], folded);
			CHECK_MEM(canonical[k], folded, READ_TEXT_SIZE);
		}
		CHECK_INT(strcmp(forms[0], forms[1]) == 0, memcmp(canonical[0], canonical[1], READ_TEXT_SIZE) == 0);
		alike += strcmp(forms[0], forms[1]) == 0;
	}
	CHECK(alike > 100);
}

static int pattern_matches(const char *pattern, const char *text)
{
	uint8_t key[READ_TEXT_SIZE] = {0};
	struct glob glob;
	struct err err = {""};

	memcpy(key, key_of(text), READ_TEXT_SIZE);
	CHECK_INT(0, vrm_pattern_key(pattern, strlen(pattern), &err, &glob));
	return glob_match(&glob, key);
}

static void patterns_become_globs_over_keys(void)
{
	CHECK(pattern_matches("ab1? cde", "AB12 CDE"));
	CHECK(pattern_matches("AB1?CDE", "ab19cde"));
	CHECK(!pattern_matches("AB1?CDE", "AB1CDE"));
	CHECK(pattern_matches("*o1", "XYZ01"));
	CHECK(pattern_matches("мв*", "MB-123"));
	CHECK(pattern_matches("MÜ*4", "MU 1234"));
	CHECK(pattern_matches("  A?  ", "AI"));
	CHECK(!pattern_matches("A?", "ABC"));
}

static bool tolerant_matches(const char *pattern, const char *text)
{
	uint8_t folded[READ_TEXT_SIZE];
	struct glob glob;
	struct err err = {""};

	vrm_fold(key_of(text), folded);
	CHECK_INT(0, vrm_pattern_folded(pattern, strlen(pattern), &err, &glob));
	return glob_match(&glob, folded);
}

static void tolerant_patterns_match_misreads(void)
{
	CHECK(tolerant_matches("AB12 CDE", "A81ZCQE"));
	CHECK(tolerant_matches("ab12cde", "AB12C0E"));
	CHECK(!tolerant_matches("AB12CDE", "AB13CDE"));
	CHECK(tolerant_matches("?s*G", "X5QQ6"));
	CHECK(!tolerant_matches("?S", "5"));
	CHECK_INT(VRM_NO_LETTER, vrm_key((const uint8_t[16]){'-'}, (uint8_t[16]){0}));
	for (const char *at = VRM_KEY_ALPHABET; *at != '\0'; at++) {
		uint8_t key[READ_TEXT_SIZE] = {(uint8_t)*at};

		CHECK_INT(0, vrm_key(key, key));
		CHECK_INT(*at, key[0]);
		CHECK(at[1] == '\0' || at[0] < at[1]);
	}
}

/* Some of the text's characters become wildcards. */
static size_t pattern_of(struct prng *prng, const uint8_t text[READ_TEXT_SIZE], char pattern[GLOB_PATTERN_SIZE_MAX])
{
	size_t text_size = strnlen((const char *)text, READ_TEXT_SIZE);
	size_t size = 0, step;
	uint32_t point;

	for (size_t i = 0; i < text_size; i += step) {
		step = utf8_next(text + i, text_size - i, &point);
		if (prng_chance(prng, 200))
			pattern[size++] = '?';
		else if (prng_chance(prng, 150))
			pattern[size++] = '*';
		else
			for (size_t j = 0; j < step; j++)
				pattern[size++] = (char)text[i + j];
	}
	if (size == 0)
		pattern[size++] = '*';
	return size;
}

/* What a strict pattern says of the key never loses a text that the pattern matches. */
static void strict_patterns_know_their_keys(void)
{
	struct prng prng = {check_seed()};
	unsigned keyless = 0;

	for (unsigned i = 0; i < 100000; i++) {
		char pattern[GLOB_PATTERN_SIZE_MAX];
		uint8_t text[READ_TEXT_SIZE], key[READ_TEXT_SIZE] = {0};
		struct glob of_text, of_key;
		struct err err = {""};
		size_t size;
		int has_key, outcome;

		random_text(&prng, text);
		has_key = vrm_key(text, key);
		if (has_key == VRM_NOT_UTF8)
			continue;
		size = pattern_of(&prng, text, pattern);
		outcome = vrm_pattern_text(pattern, size, &err, &of_text, &of_key);
		CHECK(outcome == 0 || outcome == VRM_NO_LETTER);
		CHECK(glob_match(&of_text, text));
		CHECK(outcome == VRM_NO_LETTER ? has_key == VRM_NO_LETTER : glob_match(&of_key, key));
		keyless += outcome == VRM_NO_LETTER;
	}
	CHECK(keyless > 10);
}

static void bad_patterns_are_refused(void)
{
	static const char *const bad[] = {"", "  ", "--", "漢", "A\xff", "ABCDEFGH123456789", "?????????????????"};
	char longest[GLOB_PATTERN_SIZE_MAX + 1];
	struct glob glob = {.size_min = 77};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct err err = {""};

		CHECK_INT(-EINVAL, vrm_pattern_key(bad[i], strlen(bad[i]), &err, &glob));
		CHECK(err.text[0] != '\0');
		CHECK(strstr(err.text, "ABCDEFGH") == NULL);
	}
	CHECK_INT(-EINVAL, vrm_pattern_key("A\0B", 3, NULL, &glob));
	memset(longest, '*', sizeof(longest));
	CHECK_INT(-EINVAL, vrm_pattern_key(longest, sizeof(longest), NULL, &glob));
	CHECK_INT(77, glob.size_min);
	CHECK_INT(0, vrm_pattern_key(longest, GLOB_PATTERN_SIZE_MAX, NULL, &glob));
}

int main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{"plain texts: case, spaces, dashes, dots", plain_texts},
		{"letters that plates draw like digits", letters_that_plates_draw_like_digits},
		{"plates of other countries", plates_of_other_countries},
		{"every row of the transliteration table", every_row_of_the_table},
		{"composed and decomposed letters are one", composed_and_decomposed_are_one},
		{"texts without a letter", texts_without_a_letter},
		{"texts that are not UTF-8", texts_that_are_not_utf8},
		{"keys are keys of themselves, on random texts", keys_are_keys_of_themselves},
		{"misread classes partition the alphabet", misread_classes_partition_the_alphabet},
		{"alike is folded with H as 11", alike_is_folded_with_h_as_11},
		{"patterns become globs over keys", patterns_become_globs_over_keys},
		{"tolerant patterns match misreads", tolerant_patterns_match_misreads},
		{"strict patterns know their keys", strict_patterns_know_their_keys},
		{"bad patterns are refused, unquoted", bad_patterns_are_refused},
		{NULL, NULL},
	};

	return check_main(argc, argv, "vrm", tests);
}
