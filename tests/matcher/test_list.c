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
#include "appliance/base/prng.h"
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
	uint8_t digest[SHA256_SIZE];
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
	sha256(text, strlen(text), digest);
	CHECK_MEM(digest, list_info(list)->sha256, sizeof(digest));
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

static void limits(void)
{
	static char text[16 * 2000];
	struct list_options options = {.rows_max = 2};
	struct list *list;
	char *at;

	CHECK_INT(-E2BIG, list_load_csv(&info_sample, "vrm\nA1\nA2\nA3\n", 13, &options, &result, &err, &list));
	CHECK(strstr(err.text, "line 4") != NULL);
	CHECK_INT(0, list_load_csv(&info_sample, "vrm\nA1\nA2\n", 10, &options, &result, &err, &list));
	list_free(list);
	options = (struct list_options){.bytes_max = 9};
	CHECK_INT(-E2BIG, list_load_csv(&info_sample, "vrm\nA1\nA2\n", 10, &options, NULL, NULL, &list));
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
	struct list_info bad[6];
	struct list *list;

	for (size_t i = 0; i < 6; i++)
		bad[i] = info_sample;
	bad[0].name[0] = '\0';
	memset(bad[1].name, 'x', sizeof(bad[1].name));
	strcpy(bad[2].owner, "a\nb");
	bad[3].class = LIST_CLASS_COUNT;
	bad[4].purpose = (enum list_purpose)99;
	bad[5].priority = 101;
	for (size_t i = 0; i < 6; i++)
		CHECK_INT(-EINVAL, list_load_csv(&bad[i], "vrm\n", 4, NULL, NULL, &err, &list));
}

static void names(void)
{
	enum list_purpose purpose;
	enum list_class class;

	for (int i = 0; i < LIST_CLASS_COUNT; i++) {
		CHECK_INT(0, list_class_parse(list_class_name((enum list_class)i), &class));
		CHECK_INT(i, class);
	}
	for (int i = 0; i < LIST_PURPOSE_COUNT; i++) {
		CHECK_INT(0, list_purpose_parse(list_purpose_name((enum list_purpose)i), &purpose));
		CHECK_INT(i, purpose);
	}
	CHECK(list_class_name(LIST_CLASS_COUNT) == NULL);
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
		CHECK_INT(one.flags, other.flags);
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

/* Past the checksum, which is no secret: whatever the bytes say, no byte beyond them is read, and a list that comes
 * out is one that could have been loaded. */
static void forged_images_are_safe(void)
{
	struct list *list = load_text(image_text, true), *forged;
	struct prng prng = {check_seed()};
	unsigned taken = 0;
	uint8_t *bytes;
	size_t size;

	CHECK_INT(0, list_image(list, (void **)&bytes, &size));
	for (int turn = 0; turn < 100000; turn++) {
		uint8_t image[1024];
		size_t forged_size = prng_chance(&prng, 200) ? 208 + prng_below(&prng, size - 208) : size;
		uint64_t sum;

		CHECK(size <= sizeof(image));
		memcpy(image, bytes, size);
		for (uint64_t i = 1 + prng_below(&prng, 4); i > 0; i--)
			image[12 + prng_below(&prng, forged_size - 12)] = (uint8_t)prng_next(&prng);
		sum = htole64(XXH3_64bits(image + 24, forged_size - 24));
		memcpy(image + 16, &sum, sizeof(sum));
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

int main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{"a list with every column", a_list_with_every_column},
		{"header lines", header_lines},
		{"bad rows are left out and named", bad_rows_are_left_out_and_named},
		{"repeated rows are kept once", repeated_rows_are_kept_once},
		{"limits", limits},
		{"bad heads are refused", bad_heads_are_refused},
		{"names of classes and purposes", names},
		{"an image gives the list back", an_image_gives_the_list_back},
		{"damaged images are refused", damaged_images_are_refused},
		{"forged images are safe", forged_images_are_safe},
		{"mutated files are safe", mutated_files_are_safe},
		{NULL, NULL},
	};

	return check_main(argc, argv, "list", tests);
}
