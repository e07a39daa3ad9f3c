#include "matcher/matchset.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/read.h"
#include "matcher/list.h"
#include "matcher/list_build.h"
#include "matcher/masktable.h"
#include "tests/check.h"
#include "tests/matcher/matchset_world.h"

static void every_kind_of_entry(void)
{
	struct list *lists[] = {
		list_make(1, 50,
			  "vrm,tolerant,as-received,expires\n"
			  "AB12CDE,,,\n"                       /* 0 */
			  "AB1?CDE,,,\n"                       /* 1 */
			  "*CDE,,,\n"                          /* 2 */
			  "B8 Z0D,yes,,\n"                     /* 3: folds to 88200 */
			  "AB-12-CDE,,yes,\n"                  /* 4 */
			  "XY99XYZ,,,1970-01-01T00:00:01Z\n"), /* 5: from 1,000,000 µs on no more */
		list_make(2, 90, "vrm\nab12 cde\n"),
	};
	struct read reads[] = {
		read_of("AB12CDE"), read_of("AB-12-CDE"), read_of("AB1CDE"),   read_of("B8ZOD"),    read_of("8B20Q"),
		read_of("88200X"),  read_of("XY99XYZ"),   read_of("AB12CDEF"), read_of("XAB12CDE"),
	};
	static const struct match_limits literal = {.mass_entries_min = 1000};
	struct matchset *set = set_make(lists, 2, &literal);
	struct match_scratch *scratch;
	struct matchset_stats stats;

	matchset_stats(set, &stats);
	CHECK_INT(2, stats.lists);
	CHECK_INT(7, stats.entries);
	CHECK_INT(2, stats.literals);
	CHECK_INT(2, stats.patterns);
	CHECK_INT(1, stats.tolerant);
	CHECK_INT(0, stats.mass);
	CHECK(stats.database_size > 0);
	list_free(lists[0]);
	list_free(lists[1]);
	CHECK_INT(0, match_scratch_new(set, &scratch));
	match_all(set, scratch, reads, 9, HITS_MAX);
	CHECK_INT(13, hit_count);
	hit_is(0, 0, 1, 0, HIT_EXACT);
	hit_is(1, 0, 2, 0, HIT_EXACT);
	CHECK_INT(50, hits[0].priority);
	CHECK_INT(90, hits[1].priority);
	hit_is(2, 0, 1, 2, HIT_PATTERN);
	hit_is(3, 0, 1, 1, HIT_PATTERN);
	hit_is(4, 1, 1, 0, HIT_EXACT);
	hit_is(5, 1, 1, 4, HIT_EXACT);
	hit_is(6, 1, 2, 0, HIT_EXACT);
	hit_is(7, 1, 1, 2, HIT_PATTERN);
	hit_is(8, 1, 1, 1, HIT_PATTERN);
	hit_is(9, 2, 1, 2, HIT_PATTERN);
	hit_is(10, 3, 1, 3, HIT_EXACT);
	hit_is(11, 4, 1, 3, HIT_TOLERANT);
	hit_is(12, 8, 1, 2, HIT_PATTERN);
	reads[6].receipt_us--;
	match_all(set, scratch, reads + 6, 1, HITS_MAX);
	CHECK_INT(1, hit_count);
	hit_is(0, 0, 1, 5, HIT_EXACT);
	match_scratch_free(scratch);
	matchset_free(set);
}

static void not_read_and_test_reads_never_hit(void)
{
	struct list *list = list_make(1, 0, "vrm,tolerant\nAB12CDE,\nAB12CDE,yes\nAB1*,\n");
	struct read reads[4] = {
		read_of("AB12CDE"), read_of("AB12CDE"), {.kind = READ_KIND_NOT_READ}, {.kind = READ_KIND_VRM}};
	struct matchset *set = set_make(&list, 1, NULL);
	struct match_scratch *scratch;

	reads[0].flags = READ_FLAG_TEST;
	reads[1].kind = READ_KIND_NOT_READ;
	CHECK_INT(0, match_scratch_new(set, &scratch));
	match_all(set, scratch, reads, 4, 1);
	CHECK_INT(0, hit_count);
	reads[0].flags = READ_FLAG_BACKLOG | READ_FLAG_CLOCK_UNSURE;
	match_all(set, scratch, reads, 4, 1);
	CHECK_INT(3, hit_count);
	match_scratch_free(scratch);
	matchset_free(set);
	list_free(list);
}

static void a_set_without_lists(void)
{
	struct list *empty = list_make(1, 0, "vrm\n");
	struct read reads[2] = {read_of("AB12CDE"), read_of("A")};
	struct match_scratch *scratch;
	struct matchset *set;

	for (size_t count = 0; count < 2; count++) {
		set = set_make(&empty, count, NULL);
		CHECK_INT(0, match_scratch_new(set, &scratch));
		match_all(set, scratch, reads, 2, 1);
		CHECK_INT(0, hit_count);
		match_all(set, scratch, reads, 0, 1);
		CHECK_INT(0, hit_count);
		match_scratch_free(scratch);
		matchset_free(set);
	}
	CHECK(matchset_free(NULL) == NULL);
	CHECK(match_scratch_free(NULL) == NULL);
	list_free(empty);
}

static void what_cannot_be_built_is_refused(void)
{
	struct list *lists[] = {list_make(1, 0, "vrm\nAB1?CDE\nAB2?CDE\nAB3*\n"), list_make(1, 0, "vrm\nA1\n")};
	struct matchbase_options options = {.limits = {.patterns_max = 2}};
	struct matchbase *base = NULL;
	struct matchset *set = NULL;

	CHECK_INT(-EINVAL, matchset_new((const struct list *const *)lists, 2, NULL, NULL, &err, &set));
	CHECK(strstr(err.text, "id 1") != NULL);
	CHECK_INT(-EINVAL, matchbase_new((const struct list *const *)lists, 2, NULL, &err, &base));
	CHECK_INT(-E2BIG, matchset_new((const struct list *const *)lists, 1, NULL, &options.limits, &err, &set));
	CHECK(strstr(err.text, "3 patterns") != NULL);
	CHECK_INT(-E2BIG, matchbase_new((const struct list *const *)lists, 1, &options, &err, &base));
	CHECK(strstr(err.text, "3 patterns") != NULL);
	CHECK(set == NULL && base == NULL);
	list_free(lists[0]);
	list_free(lists[1]);
}

/* What matchset_stale counts, and that the newest version stands on hits of the base's entries. */
static void a_set_upon_an_older_base(void)
{
	struct list_info info = {.id = 7, .version = 1, .generation = 3, .name = "edited"};
	static const char first[] = "vrm\nAB12CDE\nXY99XYZ\nQQ1*\n",
			  second[] = "vrm\nAB12CDE\nXY99XYZ\nQQ1*\nAB1?CDE\n";
	struct read reads[] = {read_of("AB12CDE"), read_of("XY99XYZ"), read_of("QQ1A")};
	struct list *old, *new;
	struct match_scratch *scratch;
	struct matchset_stats stats;
	struct matchbase *base;
	struct matchset *set;

	CHECK_INT(0, list_load_csv(&info, first, strlen(first), NULL, NULL, &err, &old));
	base = base_make(&old, 1, NULL);
	info.version = 2;
	info.priority = 9;
	CHECK_INT(0, list_load_csv(&info, second, strlen(second), NULL, NULL, &err, &new));
	new->slots[1].flags |= LIST_FLAG_REMOVED;
	set = set_on(base, &new, 1);
	matchbase_free(base);
	matchset_stats(set, &stats);
	CHECK_INT(3, stats.entries);
	CHECK_INT(2, stats.base_entries);
	CHECK_INT(1, stats.delta_entries);
	CHECK_INT(1, stats.tombstones);
	CHECK_INT(2, matchset_stale(set));
	CHECK_INT(0, match_scratch_new(set, &scratch));
	match_all(set, scratch, reads, 3, 2);
	CHECK_INT(3, hit_count);
	for (size_t i = 0; i < hit_count; i++) {
		CHECK_INT(2, hits[i].version);
		CHECK_INT(9, hits[i].priority);
	}
	CHECK_INT(0, hits[0].entry);
	CHECK_INT(3, hits[1].entry);
	CHECK_INT(2, hits[2].entry);
	match_scratch_free(scratch);
	matchset_free(set);
	list_free(old);
	list_free(new);
}

static struct list *tolerant_list(enum list_tolerance tolerance, const char *text)
{
	struct list_info info = {.id = 1, .version = 10, .name = "tolerant", .tolerance = tolerance};
	struct list *list;

	CHECK_INT(0, list_load_csv(&info, text, strlen(text), NULL, NULL, &err, &list));
	return list;
}

static void what_tolerances_accept(void)
{
	static const struct {
		enum list_tolerance tolerance;
		const char *entry, *read;
		int kind; /* -1: no hit */
	} cases[] = {
		{LIST_TOLERANCE_OFF, "B8Z0D", "8BZ0D", -1},
		{LIST_TOLERANCE_CLASSES, "B8Z0D", "88200", HIT_TOLERANT},
		{LIST_TOLERANCE_CLASSES, "B8Z0D", "B8ZOD", HIT_EXACT}, /* O and 0 are one already in the key */
		{LIST_TOLERANCE_CLASSES, "HX51ABC", "11X51ABC", HIT_TOLERANT},
		{LIST_TOLERANCE_CLASSES, "AB11CDE", "ABHCDE", HIT_TOLERANT},
		{LIST_TOLERANCE_CLASSES, "AB1HCDE", "ABH1CDE", HIT_TOLERANT},
		{LIST_TOLERANCE_CLASSES, "AB12CDE", "AB12CDF", -1},
		{LIST_TOLERANCE_SUBSTITUTION, "AB12CDE", "AB12CDF", HIT_TOLERANT},
		{LIST_TOLERANCE_SUBSTITUTION, "AB12CDE", "XB12CDE", HIT_TOLERANT},
		{LIST_TOLERANCE_SUBSTITUTION, "AB12CDE", "AB12CDE", HIT_EXACT},
		{LIST_TOLERANCE_SUBSTITUTION, "AB12CDE", "A812CDE", HIT_TOLERANT}, /* also by its class: once */
		{LIST_TOLERANCE_SUBSTITUTION, "AB12CDE", "XB12CDF", -1},
		{LIST_TOLERANCE_SUBSTITUTION, "AB12CDE", "AB12CD", -1},
		{LIST_TOLERANCE_SUBSTITUTION, "AB12CDE", "AB12CDEF", -1},
		{LIST_TOLERANCE_SUBSTITUTION, "AB12", "AB13", -1}, /* too short */
		{LIST_TOLERANCE_SUBSTITUTION, "ABCDEFGHJKLM", "ABCDEFGHJKLX", -1},
		{LIST_TOLERANCE_SUBSTITUTION, "ABCDEFGHJKL", "ABCDEFGHJKX", HIT_TOLERANT},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct read read = read_of(cases[i].read);
		char text[64];
		struct list *list;

		(void)snprintf(text, sizeof(text), "vrm\n%s\n", cases[i].entry);
		list = tolerant_list(cases[i].tolerance, text);
		for (int delta = 0; delta < 2; delta++) {
			struct matchset *set = delta ? set_on(NULL, &list, 1) : set_make(&list, 1, NULL);
			struct match_scratch *scratch;

			CHECK_INT(0, match_scratch_new(set, &scratch));
			match_all(set, scratch, &read, 1, 4);
			CHECK_INT(cases[i].kind < 0 ? 0 : 1, hit_count);
			if (cases[i].kind >= 0)
				hit_is(0, 0, 1, 0, (enum hit_kind)cases[i].kind);
			match_scratch_free(scratch);
			matchset_free(set);
		}
		list_free(list);
	}
}

static void substitutions_have_a_limit(void)
{
	struct list *list = tolerant_list(LIST_TOLERANCE_SUBSTITUTION, "vrm\nAB12CDE\nAB13CDE\n");
	struct matchbase_options options = {.limits = {.substitutions_max = 1}};
	struct matchbase *base;
	struct matchset *set;

	CHECK_INT(-E2BIG, matchbase_new((const struct list *const *)&list, 1, &options, &err, &base));
	CHECK_INT(-E2BIG, matchset_new((const struct list *const *)&list, 1, NULL, &options.limits, &err, &set));
	CHECK(strstr(err.text, "substitution") != NULL);
	list_free(list);
}

/* Of every shape there is, so that the mask table runs out of masks and Hyperscan takes what is left, until that too is
 * full. */
static void a_delta_takes_so_many_shapes(void)
{
	char *text = malloc(1 << 20), *at = stpcpy(text, "vrm\n");
	struct read read = read_of("ABCDEFGHJKLM");
	struct match_scratch *scratch;
	struct matchset_stats stats;
	struct matchset *set;
	struct list *list;

	for (unsigned shape = 1, made = 0; made < MASKTABLE_MASKS_MAX + 100; shape++) {
		char vrm[] = "ABCDEFGHJKLM";

		if (__builtin_popcount(shape) > LIST_WILDCARDS_MAX)
			continue;
		for (unsigned i = 0; i < 12; i++)
			if (shape >> i & 1)
				vrm[i] = '?';
		at = text_add(at, "%s\n", vrm);
		made++;
	}
	list = tolerant_list(LIST_TOLERANCE_OFF, text);
	set = set_on(NULL, &list, 1);
	matchset_stats(set, &stats);
	CHECK_INT(MASKTABLE_MASKS_MAX, stats.masked);
	CHECK_INT(100, stats.patterns);
	CHECK_INT(0, match_scratch_new(set, &scratch));
	match_all(set, scratch, &read, 1, 50);
	CHECK_INT(MASKTABLE_MASKS_MAX + 100, hit_count);
	match_scratch_free(scratch);
	matchset_free(set);
	list_free(list);
	at = stpcpy(text, "vrm\n");
	for (unsigned i = 0; i < MATCHSET_SMALL_PATTERNS_MAX + 1; i++)
		at = text_add(at, "A*B*%u\n", i);
	list = tolerant_list(LIST_TOLERANCE_OFF, text);
	CHECK_INT(-E2BIG, matchset_new((const struct list *const *)&list, 1, NULL, NULL, &err, &set));
	CHECK(strstr(err.text, "at once") != NULL);
	set = set_make(&list, 1, NULL);
	matchset_free(set);
	list_free(list);
	free(text);
}

/*
 * Patterns that all match every read: a burst finds more than the scratch has room for, so that it is halved down to
 * single reads, and each read has more hits than the caller's room.
 */
static void more_hits_than_room_are_all_told(void)
{
	enum { PATTERNS = 300, READS = 100 };
	char *text = malloc(PATTERNS * 32), *at = text;
	uint8_t *seen = calloc(PATTERNS, READS);
	struct read reads[READS];
	struct match_cursor cursor = {0};
	struct match_scratch *scratch;
	struct matchset *set;
	struct list *list;
	size_t total = 0;
	int status;

	/* Every place of two wildcards among "ABCDEFGHJKLMNPQR", and stars at the ends. */
	at = text_add(at, "vrm\n");
	for (int i = 0, made = 0; i < 16 && made < PATTERNS; i++) {
		for (int j = 0; j < 16 && made < PATTERNS; j++) {
			char vrm[] = "ABCDEFGHJKLMNPQR";

			vrm[i] = '?';
			vrm[j] = j > i ? '*' : '?';
			at = text_add(at, "%s\n", vrm);
			made++;
		}
	}
	list = list_make(1, 0, "vrm\nA1\n");
	list_free(list);
	{
		struct list_info info = {.id = 1, .version = 10, .name = "many"};

		CHECK_INT(0, list_load_csv(&info, text, (size_t)(at - text), NULL, NULL, &err, &list));
	}
	set = set_make(&list, 1, NULL);
	CHECK(list_count(list) > 200);
	CHECK_INT(0, match_scratch_new(set, &scratch));
	for (int i = 0; i < READS; i++)
		reads[i] = read_of("ABCDEFGHJKLMNPQR");
	do {
		struct hit part[37];
		size_t got;

		status = match_burst(set, scratch, reads, READS, &cursor, part, 37, &got);
		CHECK(status == 0 || (status == MATCH_MORE && got == 37));
		for (size_t i = 0; i < got; i++) {
			CHECK(part[i].entry < list_count(list) && part[i].row < READS);
			CHECK_INT(0, seen[part[i].row * PATTERNS + part[i].entry]);
			seen[part[i].row * PATTERNS + part[i].entry] = 1;
		}
		total += got;
	} while (status == MATCH_MORE);
	CHECK_INT(READS * list_count(list), total);
	CHECK_INT(0, cursor.read);
	CHECK_INT(0, cursor.hit);
	match_scratch_free(scratch);
	matchset_free(set);
	list_free(list);
	free(seen);
	free(text);
}

/* Bursts beyond what is scanned at once, of every size about that bound. */
static void any_burst_size_works(void)
{
	static const size_t counts[] = {1, 63, 64, 65, 1023, 1024, 1025, 2048, 3000};
	struct list *list = list_make(1, 0, "vrm\nAB12CDE\nXY*99\n");
	struct matchset *set = set_make(&list, 1, NULL);
	struct read *reads = malloc(3000 * sizeof(*reads));
	struct match_scratch *scratch;

	CHECK_INT(0, match_scratch_new(set, &scratch));
	for (size_t i = 0; i < 3000; i++)
		reads[i] = read_of(i % 7 == 0 ? "AB12CDE" : i % 7 == 3 ? "XYABCDEFGHJKLM99" : "QQ11QQQ");
	for (size_t c = 0; c < sizeof(counts) / sizeof(counts[0]); c++) {
		size_t expected = 0;

		match_all(set, scratch, reads, counts[c], 100);
		for (uint32_t i = 0; i < counts[c]; i++) {
			if (i % 7 != 0 && i % 7 != 3)
				continue;
			CHECK(expected < hit_count);
			CHECK_INT(i, hits[expected].row);
			CHECK_INT(i % 7 == 0 ? HIT_EXACT : HIT_PATTERN, hits[expected].kind);
			expected++;
		}
		CHECK_INT(expected, hit_count);
	}
	match_scratch_free(scratch);
	matchset_free(set);
	list_free(list);
	free(reads);
}

/* The tiers have to agree: one list as literals, and the same one as mass. */
static void a_large_list_hits_alike_in_either_tier(void)
{
	enum { ENTRIES = 5000 };
	struct match_limits options[2] = {{.mass_entries_min = ENTRIES + 1}, {.mass_entries_min = ENTRIES}};
	char *text = malloc(ENTRIES * 16), *at = stpcpy(text, "vrm\n");
	struct list_info info = {.id = 5, .version = 1, .name = "large"};
	struct list *list;

	for (int i = 0; i < ENTRIES; i++)
		at = text_add(at, "AB%04dX\n", 2 * i);
	CHECK_INT(0, list_load_csv(&info, text, (size_t)(at - text), NULL, NULL, &err, &list));
	CHECK_INT(ENTRIES, list_count(list));
	for (int tier = 0; tier < 2; tier++) {
		struct matchset *set = set_make(&list, 1, &options[tier]);
		struct match_scratch *scratch;
		struct matchset_stats stats;

		matchset_stats(set, &stats);
		CHECK_INT(tier == 0 ? ENTRIES : 0, stats.literals);
		CHECK_INT(tier == 0 ? 0 : ENTRIES, stats.mass);
		CHECK_INT(0, match_scratch_new(set, &scratch));
		for (int i = 0; i < 2 * ENTRIES; i += 50) {
			struct read reads[50];

			for (int j = 0; j < 50; j++) {
				char vrm[16];

				(void)snprintf(vrm, sizeof(vrm), "AB%04dX", i + j);
				reads[j] = read_of(vrm);
			}
			match_all(set, scratch, reads, 50, HITS_MAX);
			CHECK_INT(25, hit_count);
			for (size_t j = 0; j < 25; j++) {
				CHECK_INT(2 * j, hits[j].row);
				CHECK_INT((size_t)i / 2 + j, hits[j].entry);
			}
		}
		match_scratch_free(scratch);
		matchset_free(set);
	}
	list_free(list);
	free(text);
}

int main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{"every kind of entry", every_kind_of_entry},
		{"not-read and test reads never hit", not_read_and_test_reads_never_hit},
		{"a set without lists", a_set_without_lists},
		{"what cannot be built is refused", what_cannot_be_built_is_refused},
		{"a set upon an older base", a_set_upon_an_older_base},
		{"what tolerances accept", what_tolerances_accept},
		{"substitutions have a limit", substitutions_have_a_limit},
		{"a delta takes so many shapes", a_delta_takes_so_many_shapes},
		{"more hits than room are all told", more_hits_than_room_are_all_told},
		{"any burst size works", any_burst_size_works},
		{"a large list hits alike in either tier", a_large_list_hits_alike_in_either_tier},
		{NULL, NULL},
	};

	return check_main(argc, argv, "matchset", tests);
}
