#include "matcher/list.h"

#include <endian.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "appliance/base/clock.h"
#include "appliance/base/err.h"
#include "appliance/base/glob.h"
#include "appliance/base/prng.h"
#include "matcher/list_edit.h"
#include "matcher/vrm.h"
#include "tests/check.h"

static const struct list_info info_sample = {
	.id = 7,
	.version = 3,
	.class = LIST_CLASS_MMC,
	.purpose = LIST_PURPOSE_RESPOND,
	.priority = 80,
	.revised_us = 1795000000000000,
	.name = "Stolen vehicles",
	.owner = "Example Constabulary",
};

static struct list_result result;
static struct err err;

/* With everything that a head can hold. */
static struct list_info info_full(void)
{
	struct list_info info = info_sample;

	info.generation = 4;
	info.tolerance = LIST_TOLERANCE_SUBSTITUTION;
	info.suppress_minutes = 30;
	info.suppress_scope = LIST_SCOPE_AREA;
	info.subscriber_count = LIST_SUBSCRIBERS_MAX;
	for (unsigned i = 0; i < LIST_SUBSCRIBERS_MAX; i++)
		(void)snprintf(info.subscribers[i], LIST_NAME_SIZE,
			       "Force %u of the sixty-three bytes that fit a name of ours ....", i);
	strcpy(info.marking, "SECRET");
	info.conditions.directions = 1 << 1;
	info.conditions.camera_types = 5;
	info.conditions.window_count = 2;
	CHECK_INT(0, list_window_parse("mon-fri 07:00-09:30", &err, &info.conditions.windows[0]));
	CHECK_INT(0, list_window_parse("sat,sun 22:00-06:00", &err, &info.conditions.windows[1]));
	CHECK_INT(0, list_area_add(&info.conditions, "circle 51.5,-0.12,500", &err));
	CHECK_INT(0, list_area_add(&info.conditions, "polygon 51.5,-0.14 51.6,-0.14 51.6,-0.1", &err));
	return info;
}

/* Writes at `at`, whose room the caller has seen to; returns the end. */
static __attribute__((noinline, format(printf, 2, 3))) char *text_add(char *at, const char *format, ...)
{
	va_list args;
	int size;

	va_start(args, format);
	size = vsprintf(at, format, args);
	va_end(args);
	CHECK(size >= 0);
	return at + size;
}

static struct list *load_text(const char *text, bool strict)
{
	struct list_options options = {.strict = strict};
	struct list *list = NULL;

	CHECK_INT(0, list_load_csv(&info_sample, text, strlen(text), &options, &result, &err, &list));
	CHECK_INT(result.rows, result.loaded + result.bad + result.duplicates);
	CHECK_INT(result.loaded, list_count(list));
	return list;
}

static int load_fails(const char *text, const char *word)
{
	struct list_options options = {.strict = true};
	struct list *list = (struct list *)&info_sample;
	int status;

	err.text[0] = '\0';
	status = list_load_csv(&info_sample, text, strlen(text), &options, &result, &err, &list);
	CHECK(list == (struct list *)&info_sample);
	CHECK(strstr(err.text, word) != NULL);
	return status;
}

static void a_list_with_every_column(void)
{
	struct list_entry entry;
	int64_t expires;
	const char *text = "VRM,reason,action,make,model,colour,expires,tolerant,As-Received\r\n"
			   "ab12 cde,\"stolen, armed\",stop,Ford,Focus,blue,2026-12-01T12:00:00Z,yes,\r\n"
			   "AB1?C*,,,,,,,,\r\n"
			   "AB-12,r,,,,,,0,1\r\n";
	struct list *list = load_text(text, true);

	CHECK_INT(3, list_count(list));
	list_entry(list, 0, &entry);
	CHECK_STR("AB12CDE", entry.pattern);
	CHECK_STR("ab12 cde", entry.text);
	CHECK_STR("stolen, armed", entry.reason);
	CHECK_STR("stop", entry.action);
	CHECK_STR("Ford", entry.make);
	CHECK_STR("Focus", entry.model);
	CHECK_STR("blue", entry.colour);
	CHECK_INT(0, clock_parse("2026-12-01T12:00:00Z", &expires));
	CHECK_INT(expires, entry.expires_us);
	CHECK_INT(2, entry.line);
	CHECK_INT(LIST_FLAG_TOLERANT, entry.flags);
	list_entry(list, 1, &entry);
	CHECK_STR("AB1?C*", entry.pattern);
	CHECK_INT(LIST_FLAG_WILDCARD, entry.flags);
	CHECK_INT(INT64_MAX, entry.expires_us);
	list_entry(list, 2, &entry);
	CHECK_STR("AB12", entry.pattern);
	CHECK_STR("AB-12", entry.text);
	CHECK_INT(LIST_FLAG_AS_RECEIVED, entry.flags);
	CHECK_STR("Stolen vehicles", list_info(list)->name);
	CHECK_STR(LIST_MARKING_DEFAULT, list_info(list)->marking);
	CHECK_INT(info_sample.version, entry.since);
	CHECK(list_free(list) == NULL);
	CHECK(list_free(NULL) == NULL);
}

static void header_lines(void)
{
	list_free(load_text("pattern\nAB12\n", true));
	list_free(load_text("\xef\xbb\xbf Vrm , reason\nAB12,x\n", true));
	list_free(load_text("vrm\n", true));
	CHECK_INT(-EINVAL, load_fails("", "empty"));
	CHECK_INT(-EINVAL, load_fails("reason,make\n", "vrm"));
	CHECK_INT(-EINVAL, load_fails("vrm,vrm\n", "column 2"));
	CHECK_INT(-EINVAL, load_fails("vrm,pattern\n", "column 2"));
	CHECK_INT(-EINVAL, load_fails("vrm,tolerent\n", "column 2"));
	CHECK_INT(-EINVAL, load_fails("vrm,\"x\n", "line 1"));
	/* A file without a header line: its first VRM is not repeated into a log. */
	CHECK_INT(-EINVAL, load_fails("XY98ZZZ\nAB12CDE\n", "line 1"));
	CHECK(strstr(err.text, "XY98") == NULL);
}

static const struct {
	const char *row;
	uint16_t column;
	const char *word;
} bad_rows[] = {
	{"\"\",,,", 1, "letter"},
	{"---,,,", 1, "letter"},
	{"*,,,", 1, "two letters"},
	{"???,,,", 1, "two letters"},
	{"A*,,,", 1, "two letters"},
	{"*A?,,,", 1, "two letters"},
	{"AB?C?D?E?F?G?H?I?J?,,,", 1, "16"},
	{"A*B*C*D*E*F*G*H*J*,,,", 1, "8 wildcards"},
	{"AB?????????,,,", 1, "8 wildcards"},
	{"ABCDEFGH123456789,,,", 1, "16"},
	{"AB12CDE AB12CDE AB12CDE AB12CDE AB12CDE AB12CDE AB12CDE AB12CDE AB,,,", 1, "64"},
	{"AB1?,,yes,", 1, "neither tolerant"},
	{"AB1*,,,yes", 1, "neither tolerant"},
	{"AB12,,yes,yes", 1, "at once"},
	{"A  B  1  2  C  D ,,,yes", 1, "16 bytes"},
	{"AB12,soon,,", 2, "time"},
	{"AB12,2026-13-01,,", 2, "time"},
	{"AB12,,maybe,", 3, "yes nor no"},
	{"AB12,,,2", 4, "yes nor no"},
	{"AB12,,", 0, "fields"},
	{"AB12,,,,", 0, "fields"},
	{"AB\x01,,,", 1, "control"},
	{"A\xff,,,", 1, "UTF-8"},
};

static void bad_rows_are_left_out_and_named(void)
{
	for (size_t i = 0; i < sizeof(bad_rows) / sizeof(bad_rows[0]); i++) {
		char text[512];
		struct list_entry entry;
		struct list *list;

		(void)snprintf(text, sizeof(text), "vrm,expires,tolerant,as-received\nXX11,,,\n%s\nYY22,,,\n",
			       bad_rows[i].row);
		list = load_text(text, false);
		if (result.bad != 1)
			check_note("bad row %zu was taken", i);
		CHECK_INT(1, result.bad);
		CHECK_INT(2, result.loaded);
		CHECK_INT(1, result.report_count);
		CHECK_INT(3, result.reports[0].line);
		CHECK_INT(bad_rows[i].column, result.reports[0].column);
		CHECK(strstr(result.reports[0].reason, bad_rows[i].word) != NULL);
		list_entry(list, 1, &entry);
		CHECK_STR("YY22", entry.pattern);
		list_free(list);
		CHECK_INT(-EINVAL, load_fails(text, "line 3"));
		CHECK_INT(1, result.bad);
	}
}

static void repeated_rows_are_kept_once(void)
{
	struct list_entry entry;
	struct list *list = load_text("vrm,reason,tolerant,as-received\n"
				      "AB12CDE,first,,\n"
				      "ab12 cde,second,,\n"
				      "AB12CDE,tolerant is another entry,yes,\n"
				      "AB12CDE,as received another,,yes\n"
				      "AB12 CDE,and with a space again,,yes\n"
				      "AB12 CDE,but this repeats it,,yes\n"
				      "ABI2CDE,I and 1 are one,,\n"
				      "AB*?1,pattern,,\n"
				      "AB?*1,the same pattern,,\n",
				      true);

	CHECK_INT(5, result.loaded);
	CHECK_INT(4, result.duplicates);
	CHECK_INT(4, result.report_count);
	CHECK(result.reports[0].duplicate);
	CHECK_INT(3, result.reports[0].line);
	CHECK_INT(7, result.reports[1].line);
	CHECK_INT(8, result.reports[2].line);
	CHECK_INT(10, result.reports[3].line);
	list_entry(list, 0, &entry);
	CHECK_STR("first", entry.reason);
	list_free(list);
}

/* Only rows that are taken: neither bad ones nor what repeats. */
static void expired_rows_are_counted(void)
{
	static const char text[] = "vrm,expires\nAB1,2026-01-01\nAB1,2026-01-01\n*,2026-01-01\nAB2,2026-01-02\nAB3,\n";
	struct list_options options = {0};
	struct list *list;

	for (int64_t late = -1; late <= 1; late++) {
		CHECK_INT(0, clock_parse("2026-01-01", &options.now_us));
		options.now_us += late;
		CHECK_INT(0, list_load_csv(&info_sample, text, strlen(text), &options, &result, &err, &list));
		CHECK_INT(late < 0 ? 0 : 1, result.expired);
		CHECK_INT(3, result.loaded);
		list_free(list);
	}
	options.now_us = 0;
	CHECK_INT(0, list_load_csv(&info_sample, text, strlen(text), &options, &result, &err, &list));
	CHECK_INT(0, result.expired);
	list_free(list);
}

static void limits(void)
{
	static char text[16 * 2000];
	struct list_options options = {.rows_max = 2};
	struct list *list;
	char *at;

	CHECK_INT(-E2BIG, list_load_csv(&info_sample, "vrm\nA1\nA2\nA3\n", sizeof("vrm\nA1\nA2\nA3\n") - 1, &options,
					&result, &err, &list));
	CHECK(strstr(err.text, "line 4") != NULL);
	CHECK_INT(0, list_load_csv(&info_sample, "vrm\nA1\nA2\n", sizeof("vrm\nA1\nA2\n") - 1, &options, &result, &err,
				   &list));
	list_free(list);
	options = (struct list_options){.bytes_max = 9};
	CHECK_INT(-E2BIG, list_load_csv(&info_sample, "vrm\nA1\nA2\n", sizeof("vrm\nA1\nA2\n") - 1, &options, NULL,
					NULL, &list));
	/* More faults than reports: all are counted. */
	at = text_add(text, "vrm\n");
	for (int i = 0; i < 1000; i++)
		at = text_add(at, "-\nAB%03d\n", i);
	list = load_text(text, false);
	CHECK_INT(1000, result.bad);
	CHECK_INT(1000, result.loaded);
	CHECK_INT(LIST_REPORTS_MAX, result.report_count);
	list_free(list);
}

static void bad_heads_are_refused(void)
{
	struct list_info bad[13];
	struct list *list;

	for (size_t i = 0; i < 13; i++)
		bad[i] = info_sample;
	bad[0].name[0] = '\0';
	memset(bad[1].name, 'x', sizeof(bad[1].name));
	strcpy(bad[2].owner, "a\nb");
	bad[3].class = LIST_CLASS_COUNT;
	bad[4].purpose = (enum list_purpose)99;
	bad[5].priority = 101;
	bad[6].tolerance = LIST_TOLERANCE_COUNT;
	bad[7].suppress_scope = LIST_SCOPE_COUNT;
	bad[8].suppress_minutes = LIST_SUPPRESS_MINUTES_MAX + 1;
	bad[9].subscriber_count = 1;
	bad[10].subscriber_count = LIST_SUBSCRIBERS_MAX + 1;
	bad[11].conditions.window_count = 1;
	strcpy(bad[12].marking, "a\tb");
	for (size_t i = 0; i < 13; i++)
		CHECK_INT(-EINVAL, list_load_csv(&bad[i], "vrm\n", sizeof("vrm\n") - 1, NULL, NULL, &err, &list));
}

static void names(void)
{
	enum list_tolerance tolerance;
	enum list_purpose purpose;
	enum list_scope scope;
	enum list_class class;

	for (int i = 0; i < LIST_CLASS_COUNT; i++) {
		CHECK_INT(0, list_class_parse(list_class_name((enum list_class)i), &class));
		CHECK_INT(i, class);
	}
	for (int i = 0; i < LIST_PURPOSE_COUNT; i++) {
		CHECK_INT(0, list_purpose_parse(list_purpose_name((enum list_purpose)i), &purpose));
		CHECK_INT(i, purpose);
	}
	for (int i = 0; i < LIST_TOLERANCE_COUNT; i++) {
		CHECK_INT(0, list_tolerance_parse(list_tolerance_name((enum list_tolerance)i), &tolerance));
		CHECK_INT(i, tolerance);
	}
	for (int i = 0; i < LIST_SCOPE_COUNT; i++) {
		CHECK_INT(0, list_scope_parse(list_scope_name((enum list_scope)i), &scope));
		CHECK_INT(i, scope);
	}
	CHECK(list_class_name(LIST_CLASS_COUNT) == NULL);
	CHECK(list_tolerance_name(LIST_TOLERANCE_COUNT) == NULL);
	CHECK_INT(-EINVAL, list_scope_parse("camera ", &scope));
	CHECK_INT(-EINVAL, list_class_parse("", &class));
}

static void lists_are_equal(const struct list *a, const struct list *b)
{
	struct list_entry one, other;

	CHECK_INT(list_count(a), list_count(b));
	CHECK_STR(list_info(a)->name, list_info(b)->name);
	CHECK_STR(list_info(a)->owner, list_info(b)->owner);
	CHECK_INT(list_info(a)->id, list_info(b)->id);
	CHECK_INT(list_info(a)->version, list_info(b)->version);
	CHECK_INT(list_info(a)->generation_since, list_info(b)->generation_since);
	CHECK_INT(list_info(a)->class, list_info(b)->class);
	CHECK_INT(list_info(a)->purpose, list_info(b)->purpose);
	CHECK_INT(list_info(a)->priority, list_info(b)->priority);
	CHECK_INT(list_info(a)->revised_us, list_info(b)->revised_us);
	CHECK_MEM(list_info(a)->sha256, list_info(b)->sha256, SHA256_SIZE);
	for (uint32_t i = 0; i < list_count(a); i++) {
		list_entry(a, i, &one);
		list_entry(b, i, &other);
		CHECK_STR(one.pattern, other.pattern);
		CHECK_STR(one.text, other.text);
		CHECK_STR(one.reason, other.reason);
		CHECK_STR(one.action, other.action);
		CHECK_STR(one.make, other.make);
		CHECK_STR(one.model, other.model);
		CHECK_STR(one.colour, other.colour);
		CHECK_INT(one.expires_us, other.expires_us);
		CHECK_INT(one.line, other.line);
		CHECK_INT(one.since, other.since);
		CHECK_INT(one.flags, other.flags);
	}
}

static int report_count;

static int count_report(void *context, const struct list_report *report)
{
	CHECK(context == &report_count);
	CHECK_INT(2 + 2 * report_count, report->line);
	CHECK_INT(1, report->column);
	return ++report_count == 700 ? -ECANCELED : 0;
}

/* The report tells of every bad row, also beyond those that the result keeps, and may end it all. */
static void every_bad_row_is_reported(void)
{
	static char text[16 * 2000];
	struct list_options options = {.report = count_report, .context = &report_count};
	struct list *list = NULL;
	char *at = text_add(text, "vrm\n");

	for (int i = 0; i < 500; i++)
		at = text_add(at, "****\nAB%03d\n", i);
	report_count = 0;
	CHECK_INT(0, list_load_csv(&info_sample, text, strlen(text), &options, &result, &err, &list));
	list_free(list);
	CHECK_INT(500, report_count);
	CHECK_INT(500, result.bad);
	report_count = 0;
	for (int i = 0; i < 500; i++)
		at = text_add(at, "****\nAC%03d\n", i);
	list = NULL;
	CHECK_INT(-ECANCELED, list_load_csv(&info_sample, text, strlen(text), &options, &result, &err, &list));
	CHECK(list == NULL);
}

static void same_digest(bool same, const struct list_info *info, const char *one, const char *other)
{
	struct list *a, *b;

	CHECK_INT(0, list_load_csv(&info_sample, one, strlen(one), NULL, NULL, &err, &a));
	CHECK_INT(0, list_load_csv(info, other, strlen(other), NULL, NULL, &err, &b));
	CHECK_INT(same, memcmp(list_info(a)->sha256, list_info(b)->sha256, SHA256_SIZE) == 0);
	list_free(a);
	list_free(b);
}

static void a_digest_is_of_what_a_list_says(void)
{
	struct list_info info = info_sample;

	same_digest(true, &info, "vrm,reason\nAB12CDE,x\nXY1?,\n", "reason,vrm\r\n,xy-1?\r\nx,ab12 cde\r\n");
	same_digest(true, &info, "vrm\n", "pattern\n");
	same_digest(false, &info, "vrm,reason\nAB12CDE,x\n", "vrm,reason\nAB12CDE,y\n");
	same_digest(false, &info, "vrm,reason,action\nAB12CDE,x,\n", "vrm,reason,action\nAB12CDE,,x\n");
	same_digest(false, &info, "vrm,tolerant\nAB12CDE,\n", "vrm,tolerant\nAB12CDE,yes\n");
	same_digest(false, &info, "vrm,tolerant\nAB12CDE,\n", "vrm,tolerant\nAB12CDE,no\n");
	same_digest(false, &info, "vrm,expires\nAB12CDE,\n", "vrm,expires\nAB12CDE,2027-01-01\n");
	same_digest(false, &info, "vrm,as-received\nAB12CDE,1\n", "vrm,as-received\nAB12 CDE,1\n");
	info.version++;
	info.generation++;
	info.id++;
	info.revised_us++;
	same_digest(true, &info, "vrm\nAB12CDE\n", "vrm\nAB12CDE\n");
	info.priority--;
	same_digest(false, &info, "vrm\nAB12CDE\n", "vrm\nAB12CDE\n");
}

/* So many that they are put into another order in memory: each keeps what it says and its line. */
static void many_rows_keep_what_they_say(void)
{
	enum { COUNT = 9000 };
	struct prng prng = {check_seed()};
	unsigned *numbers = calloc(COUNT, sizeof(*numbers));
	bool *seen = calloc(COUNT, sizeof(*seen));
	char *text = malloc(COUNT * 32 + 32);
	uint8_t digest[SHA256_SIZE];

	for (unsigned i = 0; i < COUNT; i++)
		numbers[i] = i;
	for (int round = 0; round < 2; round++) {
		char *at = text + sprintf(text, "vrm,reason\n");
		struct list *list;

		for (unsigned i = COUNT - 1; i > 0; i--) {
			unsigned other = (unsigned)prng_below(&prng, i + 1);
			unsigned number = numbers[i];

			numbers[i] = numbers[other];
			numbers[other] = number;
		}
		for (unsigned i = 0; i < COUNT; i++)
			at += sprintf(at, "%s%u,r%u\n", numbers[i] % 3 == 0 ? "SAMEFIRST" : "AB", numbers[i],
				      numbers[i]);
		CHECK_INT(0, list_load_csv(&info_sample, text, strlen(text), NULL, &result, &err, &list));
		CHECK_INT(COUNT, list_count(list));
		memset(seen, 0, COUNT * sizeof(*seen));
		for (uint32_t i = 0; i < COUNT; i++) {
			struct list_entry entry;
			unsigned number;

			list_entry(list, i, &entry);
			CHECK(entry.line >= 2 && entry.line < COUNT + 2);
			number = numbers[entry.line - 2];
			CHECK(!seen[number]);
			seen[number] = true;
			CHECK_INT(number, strtoul(entry.reason + 1, NULL, 10));
			CHECK_INT(number, strtoul(entry.text + (number % 3 == 0 ? 9 : 2), NULL, 10));
		}
		CHECK(round == 0 || memcmp(digest, list_info(list)->sha256, sizeof(digest)) == 0);
		memcpy(digest, list_info(list)->sha256, sizeof(digest));
		list_free(list);
	}
	free(text);
	free(seen);
	free(numbers);
}

static void tolerance_is_the_lists_or_the_rows(void)
{
	static const uint8_t flags[4] = {0, LIST_FLAG_TOLERANT, LIST_FLAG_EXACT, LIST_FLAG_WILDCARD};
	static const enum list_tolerance expected[LIST_TOLERANCE_COUNT][4] = {
		[LIST_TOLERANCE_OFF] = {LIST_TOLERANCE_OFF, LIST_TOLERANCE_CLASSES},
		[LIST_TOLERANCE_CLASSES] = {LIST_TOLERANCE_CLASSES, LIST_TOLERANCE_CLASSES},
		[LIST_TOLERANCE_SUBSTITUTION] = {LIST_TOLERANCE_SUBSTITUTION, LIST_TOLERANCE_SUBSTITUTION},
	};
	const char *text = "vrm,tolerant\nAB1,\nAB2,yes\nAB3,no\nAB4?,no\nAB3,\n";
	struct list_info info = info_sample;

	for (int i = 0; i < LIST_TOLERANCE_COUNT; i++) {
		struct list *list;

		info.tolerance = (enum list_tolerance)i;
		CHECK_INT(0, list_load_csv(&info, text, strlen(text), NULL, &result, &err, &list));
		CHECK_INT(1, result.duplicates);
		for (uint32_t j = 0; j < 4; j++) {
			struct list_entry entry;

			list_entry(list, j, &entry);
			CHECK_INT(flags[j], entry.flags);
			CHECK_INT(expected[i][j], list_tolerance_of(&info, entry.flags));
		}
		list_free(list);
	}
}

static const char image_text[] = "vrm,reason,colour,expires,tolerant,as-received\n"
				 "AB12 CDE,stolen,blue,2026-12-01,yes,\n"
				 "M\xc3\x9c-1,,,,,yes\n"
				 "AB1?*,\"a, b\",,,,\n";

static void an_image_gives_the_list_back(void)
{
	struct list *list = load_text(image_text, true), *again;
	void *bytes, *bytes_again;
	size_t size, size_again;

	CHECK_INT(0, list_image(list, &bytes, &size));
	CHECK_INT(0, list_parse(bytes, size, &err, &again));
	lists_are_equal(list, again);
	CHECK_INT(0, list_image(again, &bytes_again, &size_again));
	CHECK_INT(size, size_again);
	CHECK_MEM(bytes, bytes_again, size);
	free(bytes);
	free(bytes_again);
	list_free(list);
	list_free(again);
	list = load_text("vrm\n", true);
	CHECK_INT(0, list_image(list, &bytes, &size));
	CHECK_INT(0, list_parse(bytes, size, &err, &again));
	lists_are_equal(list, again);
	free(bytes);
	list_free(list);
	list_free(again);
}

static void an_image_keeps_head_and_removed_slots(void)
{
	struct list_info info = info_full();
	struct list *list, *edited, *again;
	struct list_entry entry;
	void *bytes;
	size_t size;

	CHECK_INT(0, list_load_csv(&info, image_text, strlen(image_text), NULL, NULL, &err, &list));
	info.version++;
	CHECK_INT(0, list_drop(list, &info, "vrm\nAB12CDE\n", sizeof("vrm\nAB12CDE\n") - 1, NULL, NULL, NULL, NULL,
			       &err, &edited));
	CHECK_INT(0, list_image(edited, &bytes, &size));
	CHECK_INT(0, list_parse(bytes, size, &err, &again));
	lists_are_equal(edited, again);
	CHECK_MEM(list_info(edited), list_info(again), sizeof(struct list_info));
	CHECK_INT(3, list_count(again));
	CHECK_INT(2, list_living(again));
	list_entry(again, 0, &entry);
	CHECK((entry.flags & LIST_FLAG_REMOVED) != 0);
	free(bytes);
	list_free(list);
	list_free(edited);
	list_free(again);
}

static int parse_exact(const uint8_t *bytes, size_t size, struct list **ret_list)
{
	uint8_t *copy = malloc(size > 0 ? size : 1); /* so that ASan sees a byte too far */
	int status;

	memcpy(copy, bytes, size);
	status = list_parse(copy, size, &err, ret_list);
	free(copy);
	return status;
}

static void damaged_images_are_refused(void)
{
	struct list *list = load_text(image_text, true), *none = NULL;
	uint8_t *bytes;
	size_t size;

	CHECK_INT(0, list_image(list, (void **)&bytes, &size));
	for (size_t cut = 0; cut < size; cut++)
		CHECK_INT(-EBADMSG, parse_exact(bytes, cut, &none));
	for (size_t bit = 0; bit < 8 * size; bit++) {
		bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
		CHECK_INT(-EBADMSG, parse_exact(bytes, size, &none));
		bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	CHECK(none == NULL);
	free(bytes);
	list_free(list);
}

static void checksum_put(uint8_t *image, size_t size)
{
	uint64_t sum = htole64(XXH3_64bits(image + 24, size - 24));

	memcpy(image + 16, &sum, sizeof(sum));
}

/* The image of the version before: that field is missing, and the generation is taken to begin with this list. */
static void images_of_before_are_read(void)
{
	struct list_info info = info_full();
	struct list *list, *later, *again;
	uint8_t *bytes;
	size_t size;

	CHECK_INT(0, list_load_csv(&info, image_text, strlen(image_text), NULL, NULL, &err, &list));
	info.version += 2;
	CHECK_INT(0, list_restate(list, &info, &err, &later));
	CHECK_INT(info.version - 2, list_info(later)->generation_since);
	CHECK_INT(0, list_image(later, (void **)&bytes, &size));
	bytes[80]++;
	bytes[80]++;
	bytes[80]++; /* it cannot begin after the list */
	checksum_put(bytes, size);
	CHECK_INT(-EBADMSG, parse_exact(bytes, size, &again));
	memmove(bytes + 80, bytes + 84, size - 84);
	bytes[8] = 2;
	checksum_put(bytes, size - 4);
	CHECK_INT(0, parse_exact(bytes, size - 4, &again));
	CHECK_INT(info.version, list_info(again)->generation_since);
	CHECK_INT(list_count(later), list_count(again));
	bytes[8] = 4;
	checksum_put(bytes, size - 4);
	CHECK_INT(-EBADMSG, parse_exact(bytes, size - 4, &again));
	free(bytes);
	list_free(list);
	list_free(later);
	list_free(again);
}

/* Past the checksum, which is no secret: whatever the bytes say, no byte beyond them is read, and a list that comes
 * out is one that could have been loaded. */
static void forged_images_are_safe(void)
{
	struct list_info info = info_full();
	struct list *list, *forged;
	struct prng prng = {check_seed()};
	unsigned taken = 0;
	uint8_t *bytes;
	size_t size;

	CHECK_INT(0, list_load_csv(&info, image_text, strlen(image_text), NULL, NULL, &err, &list));
	CHECK_INT(0, list_image(list, (void **)&bytes, &size));
	for (int turn = 0; turn < 100000; turn++) {
		uint8_t image[4096];
		size_t forged_size = prng_chance(&prng, 200) ? 80 + prng_below(&prng, size - 80) : size;

		CHECK(size <= sizeof(image));
		memcpy(image, bytes, size);
		for (uint64_t i = 1 + prng_below(&prng, 4); i > 0; i--)
			image[12 + prng_below(&prng, forged_size - 12)] = (uint8_t)prng_next(&prng);
		checksum_put(image, forged_size);
		if (parse_exact(image, forged_size, &forged) != 0)
			continue;
		taken++;
		CHECK(list_count(forged) <= 3);
		list_free(forged);
	}
	CHECK(taken > 1000 && taken < 99000);
	free(bytes);
	list_free(list);
}

/* Mutations of a valid file: counts add up, every entry that comes out keeps the rules, nothing is read too far. */
static void mutated_files_are_safe(void)
{
	static const char seed_text[] = "vrm,reason,expires,tolerant,as-received\r\n"
					"AB12CDE,\"stolen \"\"again\"\"\",2026-12-01,yes,\r\n"
					"AB1?C*,x,,,\r\n\"M\xc3\x9c 1\",,,,1\r\n";
	static const char likely[] = ",\"\r\n*?A1 \xc3\x9c\0";
	struct prng prng = {check_seed()};
	unsigned loaded = 0, failed = 0;

	for (int turn = 0; turn < 100000; turn++) {
		size_t size = sizeof(seed_text) - 1 - (prng_chance(&prng, 300) ? prng_below(&prng, 60) : 0);
		size_t keep = prng_chance(&prng, 800) ? 41 : 0; /* mostly leave the header line alone */
		char *text = malloc(size);
		struct list *list;

		memcpy(text, seed_text, size);
		for (uint64_t i = 1 + prng_below(&prng, 4); i > 0; i--)
			text[keep + prng_below(&prng, size - keep)] =
				prng_chance(&prng, 700) ? likely[prng_below(&prng, sizeof(likely) - 1)]
							: (char)prng_next(&prng);
		if (list_load_csv(&info_sample, text, size, NULL, &result, &err, &list) != 0) {
			failed++;
			free(text);
			continue;
		}
		CHECK_INT(result.rows, result.loaded + result.bad + result.duplicates);
		CHECK_INT(result.loaded, list_count(list));
		for (uint32_t i = 0; i < list_count(list); i++) {
			struct list_entry entry;

			list_entry(list, i, &entry);
			CHECK(strlen(entry.pattern) >= 1 && strlen(entry.pattern) <= 24);
			CHECK_INT(strlen(entry.pattern), strspn(entry.pattern, "0123456789ABCDEFGHJKLMNPQRSTUVWXYZ?*"));
			CHECK_INT(strpbrk(entry.pattern, "?*") != NULL, (entry.flags & LIST_FLAG_WILDCARD) != 0);
		}
		loaded++;
		list_free(list);
		free(text);
	}
	CHECK(loaded > 10000 && failed > 1000);
}

/* A row's pattern is what vrm_pattern_key makes of its VRM, however it is written; what that refuses, a list refuses.
 */
static void patterns_are_keys_however_written(void)
{
	static const char *const pieces[] = {
		"A",        "b", "O", "i", "0", "7", " ", "-", "\xc3\x84", "\xc3\x9f", "\xd0\x92", "?", "\xe4\xb8\xad",
		"\xd0\x96", ".", "Z"};
	struct prng prng = {check_seed()};
	unsigned taken = 0;

	for (unsigned round = 0; round < 20000; round++) {
		char text[128] = "vrm\n";
		char *vrm = text + 4, *end = vrm;
		const char *reason = NULL;
		struct list_entry entry;
		struct list *list;
		struct glob glob;
		bool is_key;

		for (uint64_t count = 1 + prng_below(&prng, 18); count > 0; count--)
			end = stpcpy(end, pieces[prng_below(&prng, 16)]);
		is_key = end > vrm && vrm_pattern_key(vrm, (size_t)(end - vrm), NULL, &glob) == 0;
		CHECK_INT(0, list_load_csv(&info_sample, text, (size_t)(end - text), NULL, &result, &err, &list));
		if (list_count(list) == 1) {
			CHECK(is_key);
			list_entry(list, 0, &entry);
			CHECK_INT(glob.pattern_size, strlen(entry.pattern));
			CHECK_MEM(glob.pattern, entry.pattern, glob.pattern_size);
			CHECK_INT(glob.wildcards > 0, (entry.flags & LIST_FLAG_WILDCARD) != 0);
			taken++;
		} else if (result.report_count == 1) {
			reason = result.reports[0].reason;
			CHECK(!is_key || strstr(reason, "two letters") != NULL || strstr(reason, "64 bytes") != NULL ||
			      strstr(reason, "wildcards") != NULL);
		}
		(void)list_free(list);
	}
	CHECK(taken > 1000);
}

int main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{"a list with every column", a_list_with_every_column},
		{"header lines", header_lines},
		{"bad rows are left out and named", bad_rows_are_left_out_and_named},
		{"repeated rows are kept once", repeated_rows_are_kept_once},
		{"expired rows are counted", expired_rows_are_counted},
		{"patterns are keys however written", patterns_are_keys_however_written},
		{"limits", limits},
		{"bad heads are refused", bad_heads_are_refused},
		{"every bad row is reported", every_bad_row_is_reported},
		{"a digest is of what a list says", a_digest_is_of_what_a_list_says},
		{"many rows keep what they say", many_rows_keep_what_they_say},
		{"tolerance is the list's or the row's", tolerance_is_the_lists_or_the_rows},
		{"names of classes and purposes", names},
		{"an image gives the list back", an_image_gives_the_list_back},
		{"an image keeps head and removed slots", an_image_keeps_head_and_removed_slots},
		{"damaged images are refused", damaged_images_are_refused},
		{"images of before are read", images_of_before_are_read},
		{"forged images are safe", forged_images_are_safe},
		{"mutated files are safe", mutated_files_are_safe},
		{NULL, NULL},
	};

	return check_main(argc, argv, "list", tests);
}
