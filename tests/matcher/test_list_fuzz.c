/*
 * Files of lists made wrong in every way: header lines, quotes, fields beyond their size, zeros, bytes that are no
 * UTF-8, dates, flags, hostile patterns; loaded, added and dropped, strictly or not. Whatever the bytes: nothing is
 * read beyond them, counts add up, what comes out keeps the rules, what fails changes nothing, and no text says what a
 * row held.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/err.h"
#include "appliance/base/glob.h"
#include "appliance/base/prng.h"
#include "matcher/list.h"
#include "matcher/list_edit.h"
#include "matcher/vrm.h"
#include "tests/check.h"

enum { TURNS = 20000, PATTERNS = 200000 };

/* In every plate, so that it is found again in whatever tells of one. */
#define SECRET "QJ7"

static struct list_result result;
static struct err err;

static const char *const columns[] = {"vrm",    "pattern", "reason",      "action", "make",    "model",
				      "colour", "expires", "as-received", "VRM",    "tolerant"};
/* Fields, good and bad, for any column. */
static const char *const fields[] = {
	SECRET "1",
	SECRET "1?",
	SECRET "*",
	"*" SECRET "*",
	"****",
	"?",
	"",
	" " SECRET " 2 ",
	"\"" SECRET "\"",
	"\"" SECRET,
	SECRET "\"",
	"\"" SECRET "\"\"3\"",
	SECRET ",4",
	SECRET "\xc3\x84",
	SECRET "\xc3",
	"\xff" SECRET,
	SECRET "\x01",
	"yes",
	"no",
	"1",
	"0",
	"2026-12-31",
	"2026-02-30",
	"2026-12-31T12:00:00Z",
	"never",
	SECRET "????????*?",
	"A?B?C?D?E?F?G?H?I?",
	SECRET "\r",
	"\"" SECRET "\n5\"",
	"1970-01-01",
};

static char *field_add(struct prng *prng, char *at)
{
	uint64_t what = prng_below(prng, 1000);

	if (what < 10) { /* about the size of what may stand there */
		static const size_t sizes[] = {16, 24, 25, 63, 64, 65, 255, 256, 257, 1023, 1024, 1025, 4096};
		size_t size = sizes[prng_below(prng, sizeof(sizes) / sizeof(sizes[0]))];

		memset(at, 'a', size);
		return at + size;
	}
	if (what < 20) {
		*at = '\0';
		return at + 1;
	}
	if (what < 400)
		return at + sprintf(at, SECRET "%u", (unsigned)prng_below(prng, 40));
	return stpcpy(at, fields[prng_below(prng, sizeof(fields) / sizeof(fields[0]))]);
}

/* What belongs into that column, mostly. */
static char *column_add(struct prng *prng, const char *column, char *at)
{
	static const char *const flags[] = {"", "", "yes", "no"};

	if (prng_chance(prng, 80))
		return field_add(prng, at);
	switch (column[0]) {
	case 'v':
	case 'V':
	case 'p':
		return at +
		       sprintf(at, SECRET "%u%s", (unsigned)prng_below(prng, 40), prng_chance(prng, 200) ? "?" : "");
	case 'e':
		return stpcpy(at, prng_chance(prng, 500) ? "2026-12-31" : "");
	case 't':
		return stpcpy(at, flags[prng_below(prng, 4)]);
	case 'r':
		return stpcpy(at, prng_chance(prng, 500) ? "stolen" : "\"stolen, \"\"again\"\"\"");
	default:
		return at;
	}
}

struct header {
	const char *columns[32];
	size_t count;
};

static char *header_add(struct prng *prng, struct header *header, char *at)
{
	static const struct header good[] = {{{"vrm", "reason", "expires", "tolerant"}, 4}, {{"pattern", "reason"}, 2}};

	if (prng_chance(prng, 100))
		at = stpcpy(at, "\xef\xbb\xbf");
	*header = good[prng_below(prng, 2)];
	if (prng_chance(prng, 200)) {
		header->count = prng_below(prng, prng_chance(prng, 900) ? 6 : 30);
		for (size_t i = 0; i < header->count; i++)
			header->columns[i] = columns[prng_below(prng, sizeof(columns) / sizeof(columns[0]))];
	}
	for (size_t i = 0; i < header->count; i++)
		at = stpcpy(stpcpy(at, i > 0 ? "," : ""), header->columns[i]);
	return at;
}

static char *row_add(struct prng *prng, const struct header *header, char *at)
{
	size_t count = prng_chance(prng, 980) ? header->count : prng_below(prng, 20);

	for (size_t i = 0; i < count; i++) {
		if (i > 0)
			*at++ = ',';
		at = column_add(prng, i < header->count ? header->columns[i] : "", at);
	}
	return at;
}

/* A file of a few rows, in memory of its very size. */
static char *file_make(struct prng *prng, size_t *ret_size)
{
	static const char *const ends[] = {"\n", "\n", "\n", "\r\n", "\r\n", "\r", "\n\n"};
	static char text[1 << 18];
	struct header header;
	char *at = header_add(prng, &header, text), *exact;

	at = stpcpy(at, ends[prng_below(prng, 5)]);
	for (uint64_t rows = prng_below(prng, 8); rows > 0; rows--)
		at = stpcpy(row_add(prng, &header, at), ends[prng_below(prng, prng_chance(prng, 900) ? 5 : 7)]);
	for (uint64_t hurt = prng_chance(prng, 300) ? prng_below(prng, 4) : 0; hurt > 0 && at > text; hurt--)
		text[prng_below(prng, (uint64_t)(at - text))] = (char)prng_next(prng);
	*ret_size = prng_chance(prng, 100) ? prng_below(prng, (uint64_t)(at - text) + 1) : (size_t)(at - text);
	exact = malloc(*ret_size > 0 ? *ret_size : 1);
	memcpy(exact, text, *ret_size);
	return exact;
}

static void says_nothing(const char *text)
{
	if (strstr(text, SECRET) != NULL)
		check_note("told: %s", text);
	CHECK(strstr(text, SECRET) == NULL);
}

static void result_holds(void)
{
	CHECK_INT(result.rows, result.loaded + result.bad + result.duplicates);
	for (uint32_t i = 0; i < result.report_count; i++) {
		CHECK(result.reports[i].line >= 1 && result.reports[i].reason[0] != '\0');
		says_nothing(result.reports[i].reason);
	}
}

static void list_holds(const struct list *list)
{
	uint32_t living = 0;

	for (uint32_t i = 0; i < list_count(list); i++) {
		struct list_entry entry;
		size_t fixed;

		list_entry(list, i, &entry);
		living += (entry.flags & LIST_FLAG_REMOVED) == 0;
		fixed = strlen(entry.pattern);
		for (const char *c = entry.pattern; *c != '\0'; c++)
			fixed -= *c == '?' || *c == '*';
		CHECK(fixed >= 1 && fixed <= 16 && strlen(entry.pattern) - fixed <= LIST_WILDCARDS_MAX);
		CHECK_INT(strlen(entry.pattern), strspn(entry.pattern, VRM_KEY_ALPHABET "?*"));
		CHECK_INT(strlen(entry.pattern) != fixed, (entry.flags & LIST_FLAG_WILDCARD) != 0);
		CHECK(strlen(entry.reason) <= LIST_TEXT_SIZE_MAX && strlen(entry.action) <= LIST_TEXT_SIZE_MAX);
		CHECK((entry.flags & LIST_FLAG_AS_RECEIVED) == 0 || strlen(entry.text) <= 16);
	}
	CHECK_INT(living, list_living(list));
}

/* One step with the next file. The list that goes on: `list`, or what came of it. */
static struct list *step(struct prng *prng, struct list *list, unsigned taken[3])
{
	struct list_options options = {.strict = prng_chance(prng, 200)};
	struct list_info info = *list_info(list), before = info;
	uint32_t count = list_count(list), living = list_living(list);
	struct list *next = NULL;
	uint64_t what = prng_chance(prng, 100) ? 0 : 1 + prng_below(prng, 2);
	size_t size;
	char *text = file_make(prng, &size);
	int status;

	info.version++;
	err.text[0] = '\0';
	memset(&result, 0, sizeof(result));
	if (what == 0) {
		info.generation = info.version;
		status = list_load_csv(&info, text, size, &options, &result, &err, &next);
	} else if (what == 1) {
		status = list_add(list, &info, text, size, &options, NULL, NULL, &result, &err, &next);
	} else {
		status = list_drop(list, &info, text, size, &options, NULL, NULL, &result, &err, &next);
	}
	free(text);
	CHECK_INT(count, list_count(list));
	CHECK_INT(living, list_living(list));
	CHECK_MEM(&before, list_info(list), sizeof(before));
	says_nothing(err.text);
	if (status != 0) {
		CHECK(next == NULL && err.text[0] != '\0');
		CHECK(status == -EINVAL || status == -E2BIG);
		return list;
	}
	result_holds();
	CHECK(!options.strict || result.bad == 0);
	list_holds(next);
	taken[what] += result.loaded > 0;
	list_free(list);
	return next;
}

static void any_file_is_safe(void)
{
	struct list_info info = {.id = 1, .version = 1, .generation = 1, .name = "fuzz"};
	struct prng prng = {check_seed()};
	unsigned taken[3] = {0};
	struct list *list;

	CHECK_INT(0, list_load_csv(&info, "vrm\n", 4, NULL, NULL, &err, &list));
	for (unsigned turn = 0; turn < TURNS; turn++)
		list = step(&prng, list, taken);
	list_free(list);

	CHECK(taken[0] > TURNS / 30 && taken[1] > TURNS / 30 && taken[2] > TURNS / 60);
}

/* Any bytes as a pattern: refused with a reason that does not name it, or a glob that a key can match. */
static void any_pattern_is_safe(void)
{
	static const char likely[] = "??**AB1OI0 -\xc3\x84\xd0\x96\xe2\x82\xac";
	struct prng prng = {check_seed()};
	unsigned taken = 0, refused = 0;

	for (unsigned turn = 0; turn < PATTERNS; turn++) {
		size_t size = prng_chance(&prng, 20) ? 60 + prng_below(&prng, 10) : prng_below(&prng, 24);
		char *pattern = malloc(size + 1);
		struct glob glob, folded, text, key;
		int status;

		for (size_t i = 0; i < size; i++)
			pattern[i] = prng_chance(&prng, 950) ? likely[prng_below(&prng, sizeof(likely) - 1)]
							     : (char)prng_next(&prng);
		pattern = realloc(pattern, size > 0 ? size : 1); /* of its size, for ASan */
		err.text[0] = '\0';
		status = vrm_pattern_key(pattern, size, &err, &glob);
		CHECK(status == 0 || (status == -EINVAL && err.text[0] != '\0'));
		CHECK(status != 0 || glob.size_min <= READ_TEXT_SIZE);
		CHECK_INT(status, vrm_pattern_folded(pattern, size, &err, &folded));
		status = vrm_pattern_text(pattern, size, &err, &text, &key);
		CHECK(status == 0 || status == VRM_NO_LETTER || status == -EINVAL);
		taken += status == 0;
		refused += status < 0;
		free(pattern);
	}
	CHECK(taken > PATTERNS / 20 && refused > PATTERNS / 20);
}

int main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{"any file is safe", any_file_is_safe}, {"any pattern is safe", any_pattern_is_safe}, {NULL, NULL}};

	return check_main(argc, argv, "list_fuzz", tests);
}
