#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "storage/catalog.h"
#include "tests/check.h"

static struct catalog *open_in(const char *parent, uint64_t map_size)
{
	char directory[600];
	struct catalog_options options = {directory, map_size};
	struct catalog *catalog;
	struct err err = {""};

	(void)snprintf(directory, sizeof(directory), "%s/catalog", parent);
	CHECK_INT(0, catalog_open(&options, &err, &catalog));
	return catalog;
}

/* A summary that decodes: its counts and sizes agree with each other. */
static struct segment_summary *make_summary(int32_t day, uint64_t id, uint64_t rows)
{
	struct segment_summary *summary = calloc(1, sizeof(*summary));

	summary->id = id;
	summary->day = day;
	summary->lineage_kind = SEGMENT_FROM_JOURNALS;
	summary->lineage_count = 2;
	summary->lineage[0] = id + 1000;
	summary->lineage[1] = id + 1001;
	summary->row_count = rows;
	summary->collapsed_count = 3;
	summary->capture_first_us = day * DAY_US + 5;
	summary->capture_last_us = day * DAY_US + 6;
	for (unsigned s = SEGMENT_ROWS; s < SEGMENT_SECTIONS; s++)
		summary->sections[s] = (struct segment_section_info){rows, 1, 1, 64};
	summary->top_size = SEGMENT_FENCES_AT + 4 * SEGMENT_FENCE_SIZE + 16;
	memset(summary->top, 0xa5, summary->top_size);
	summary->file_size = 100000 + rows;
	summary->top_offset = summary->file_size - SEGMENT_END_SIZE - summary->top_size;
	return summary;
}

struct seen {
	unsigned lanes;
	unsigned days;
	uint64_t sum;
	struct catalog_day day;
};

static int see_lane(void *context, const struct catalog_lane *lane)
{
	struct seen *seen = context;

	seen->lanes++;
	seen->sum += lane->feed * 1000000 + lane->epoch * 1000 + lane->lane * 100 + *(const uint8_t *)lane->bytes +
		     lane->size;
	return 0;
}

static int see_day(void *context, const struct catalog_day *day)
{
	struct seen *seen = context;

	CHECK(seen->days == 0 || seen->day.day < day->day);
	seen->days++;
	seen->day = *day;
	return 0;
}

static void a_seal_is_one_change(void)
{
	const char *directory = check_directory();
	struct catalog *catalog = open_in(directory, 1 << 20);
	struct segment_summary *first = make_summary(-3, 7, 100);
	struct segment_summary *second = make_summary(20000, 9, 50);
	struct segment_summary *both = calloc(2, sizeof(*both));
	struct segment_summary *back = calloc(1, sizeof(*back));
	struct catalog_lane lanes[] = {{.feed = 1, .epoch = 2, .lane = 1, .bytes = "x", .size = 1},
				       {.feed = 3, .epoch = 4, .lane = 0, .bytes = "yz", .size = 2}};
	struct catalog_seal seal = {
		.journal_id = 77, .segments = both, .segment_count = 2, .lanes = lanes, .lane_count = 2};
	struct catalog_segment *list;
	struct catalog_totals totals;
	struct seen seen = {0};
	size_t count;
	bool sealed;

	both[0] = *first;
	both[1] = *second;
	seal.refused[REFUSAL_TOO_OLD] = 4;
	CHECK_INT(0, catalog_seal(catalog, &seal));
	CHECK_INT(-EEXIST, catalog_seal(catalog, &seal));
	seal.journal_id = 78; /* the same segments again: nothing of it may stay */
	lanes[0].bytes = "w";
	CHECK_INT(-EEXIST, catalog_seal(catalog, &seal));
	CHECK_INT(0, catalog_journal_sealed(catalog, 78, &sealed));
	CHECK(!sealed);
	catalog_free(catalog);

	catalog = open_in(directory, 1 << 20);
	CHECK_INT(0, catalog_journal_sealed(catalog, 77, &sealed));
	CHECK(sealed);
	CHECK_INT(0, catalog_segment(catalog, -3, 7, back));
	CHECK_MEM(first, back, sizeof(*back));
	CHECK_INT(-ENOENT, catalog_segment(catalog, -3, 9, back));
	CHECK_INT(0, catalog_segments(catalog, -100, 30000, &list, &count));
	CHECK_INT(2, count);
	CHECK_INT(-3, list[0].day);
	CHECK_INT(20000, list[1].day);
	free(list);
	CHECK_INT(0, catalog_segments(catalog, -2, 19999, &list, &count));
	CHECK_INT(0, count);
	free(list);
	CHECK_INT(0, catalog_totals(catalog, &totals));
	CHECK_INT(150, totals.stored);
	CHECK_INT(6, totals.collapsed);
	CHECK_INT(4, totals.refused[REFUSAL_TOO_OLD]);
	CHECK_INT(0, catalog_each_lane(catalog, see_lane, &seen));
	CHECK_INT(2, seen.lanes);
	CHECK_INT(1002100 + 'x' + 1 + 3004000 + 'y' + 2, seen.sum);
	CHECK_INT(0, catalog_each_day(catalog, see_day, &seen));
	CHECK_INT(2, seen.days);
	CHECK_INT(20000, seen.day.day);
	CHECK_INT(50, seen.day.rows);
	CHECK_INT(1, seen.day.segments);
	CHECK_INT(0, catalog_journal_forget(catalog, 77));
	CHECK_INT(0, catalog_journal_forget(catalog, 77));
	CHECK_INT(0, catalog_journal_sealed(catalog, 77, &sealed));
	CHECK(!sealed);
	catalog_free(catalog);
	free(back);
	free(both);
	free(second);
	free(first);
}

/* The map is too small for what is to be put: all of it is refused, and what was there is untouched and usable. */
static void a_full_map_changes_nothing(void)
{
	const char *directory = check_directory();
	struct catalog *catalog = open_in(directory, 256 << 10);
	struct segment_summary *summary = make_summary(5, 1, 10);
	static uint8_t big[512 << 10];
	struct catalog_lane lane = {.feed = 1, .bytes = big, .size = sizeof(big)};
	struct catalog_seal seal = {.journal_id = 1, .segments = summary, .segment_count = 1};
	struct catalog_totals totals;
	bool sealed;

	CHECK_INT(0, catalog_seal(catalog, &seal));
	summary->id = 2;
	seal.journal_id = 2;
	seal.lanes = &lane;
	seal.lane_count = 1;
	CHECK_INT(-ENOSPC, catalog_seal(catalog, &seal));
	CHECK_INT(0, catalog_journal_sealed(catalog, 2, &sealed));
	CHECK(!sealed);
	CHECK_INT(-ENOENT, catalog_segment(catalog, 5, 2, summary));
	CHECK_INT(0, catalog_totals(catalog, &totals));
	CHECK_INT(10, totals.stored);
	lane.size = 100;
	summary->id = 2;
	CHECK_INT(0, catalog_seal(catalog, &seal));
	CHECK_INT(0, catalog_totals(catalog, &totals));
	CHECK_INT(20, totals.stored);
	catalog_free(catalog);
	free(summary);
}

/* Parents out, child in; books that add up; and whatever is refused changes nothing. */
static void replacing_keeps_the_books(void)
{
	struct catalog *catalog = open_in(check_directory(), 1 << 20);
	struct segment_summary *summaries[5];
	struct catalog_seal seal = {.journal_id = 1, .segment_count = 1, .erased = 4, .now_us = 77};
	uint64_t parents[2] = {1, 2};
	struct catalog_replace replace = {.day = 5, .parents = parents, .parent_count = 2};
	struct catalog_totals totals;
	struct catalog_segment *list;
	struct catalog_day day;
	size_t count;

	for (unsigned i = 0; i < 5; i++)
		summaries[i] = make_summary(5, i + 1, 10 * (i + 1));
	for (unsigned i = 0; i < 3; i++, seal.journal_id++, seal.erased = 0, seal.now_us++) {
		seal.segments = summaries[i];
		CHECK_INT(0, catalog_seal(catalog, &seal));
	}
	/* Of 30 rows the child has 20, and collapsed 3: 7 were erased. */
	summaries[3]->row_count = 20;
	summaries[3]->sections[SEGMENT_ROWS].item_count = 20;
	summaries[3]->lineage_kind = SEGMENT_FROM_SEGMENTS;
	replace.child = summaries[3];
	parents[1] = 99;
	CHECK_INT(-ENOENT, catalog_replace(catalog, &replace));
	parents[1] = 2;
	CHECK_INT(0, catalog_day(catalog, 5, &day));
	CHECK_INT(60, day.rows);
	CHECK_INT(79, day.sealed_us);
	CHECK_INT(0, catalog_replace(catalog, &replace));
	CHECK_INT(-EEXIST, catalog_replace(catalog, &replace));
	CHECK_INT(0, catalog_day(catalog, 5, &day));
	CHECK_INT(50, day.rows);
	CHECK_INT(2, day.segments);
	CHECK_INT(12, day.collapsed);
	CHECK_INT(79, day.sealed_us);
	CHECK_INT(summaries[2]->file_size + summaries[3]->file_size, day.bytes);
	CHECK_INT(0, catalog_totals(catalog, &totals));
	CHECK_INT(50, totals.stored);
	CHECK_INT(12, totals.collapsed);
	CHECK_INT(4 + 7, totals.erased);
	CHECK_INT(0, catalog_segments(catalog, 5, 5, &list, &count));
	CHECK_INT(2, count);
	CHECK(list[0].id == 3 && list[1].id == 4);
	free(list);
	/* Nothing is left of both: the day is forgotten. A day being purged is not touched. */
	parents[0] = 3;
	parents[1] = 4;
	replace.child = NULL;
	CHECK_INT(0, catalog_replace(catalog, &replace));
	CHECK_INT(-ENOENT, catalog_replace(catalog, &replace));
	CHECK_INT(-ENOENT, catalog_day(catalog, 5, &day));
	CHECK_INT(0, catalog_totals(catalog, &totals));
	CHECK_INT(0, totals.stored);
	CHECK_INT(12 + 61, totals.collapsed + totals.erased);
	seal.segments = summaries[4];
	CHECK_INT(0, catalog_seal(catalog, &seal));
	CHECK_INT(0, catalog_purge_intend(catalog, 5, 1, "", 0));
	parents[0] = 5;
	replace.parent_count = 1;
	CHECK_INT(-ESTALE, catalog_replace(catalog, &replace));
	catalog_free(catalog);
	for (unsigned i = 0; i < 5; i++)
		free(summaries[i]);
}

/* All of it or nothing; and only while the catalog is new. */
static void a_rebuild_is_one_change(void)
{
	struct catalog *catalog = open_in(check_directory(), 1 << 20);
	struct segment_summary *summaries[3];
	const struct segment_summary *given[] = {NULL, NULL, NULL};
	struct catalog_restore restore = {.segments = given, .segment_count = 3};
	struct catalog_info info;
	struct catalog_totals totals;
	bool sealed;

	for (unsigned i = 0; i < 3; i++)
		given[i] = summaries[i] = make_summary(5 + (int32_t)i, i + 1, 10);
	given[2] = summaries[0];
	CHECK(catalog_is_new(catalog));
	CHECK_INT(-EEXIST, catalog_restore(catalog, &restore)); /* the first one twice */
	CHECK_INT(0, catalog_info(catalog, &info));
	CHECK_INT(0, info.segments);
	CHECK(catalog_is_new(catalog));
	given[2] = summaries[2];
	CHECK_INT(0, catalog_restore(catalog, &restore));
	CHECK(!catalog_is_new(catalog));
	CHECK_INT(0, catalog_info(catalog, &info));
	CHECK_INT(3, info.segments);
	CHECK_INT(0, catalog_totals(catalog, &totals));
	CHECK_INT(30, totals.stored);
	CHECK_INT(0, catalog_journal_sealed(catalog, summaries[1]->lineage[1], &sealed));
	CHECK(sealed);
	catalog_free(catalog);
	for (unsigned i = 0; i < 3; i++)
		free(summaries[i]);
}

static void a_purge_forgets_rows_and_keeps_counts(void)
{
	struct catalog *catalog = open_in(check_directory(), 1 << 20);
	struct catalog_day day;
	struct catalog_segment *list;
	size_t count;

	for (uint64_t id = 1; id <= 3; id++) {
		struct segment_summary *summary = make_summary(id == 3 ? 43 : 42, id, 10);
		struct catalog_seal seal = {.journal_id = id, .segments = summary, .segment_count = 1};

		CHECK_INT(0, catalog_seal(catalog, &seal));
		free(summary);
	}
	CHECK_INT(-ENOENT, catalog_day(catalog, 44, &day));
	CHECK_INT(-E2BIG, catalog_purge_intend(catalog, 42, 1, "", CATALOG_NOTE_SIZE + 1));
	CHECK_INT(0, catalog_purge_intend(catalog, 42, 11, "who", 3));
	CHECK_INT(0, catalog_purge_intend(catalog, 42, 12, "whom", 4));
	CHECK_INT(0, catalog_day(catalog, 42, &day));
	CHECK_INT(CATALOG_DAY_PURGE_INTENDED, day.state);
	CHECK_INT(12, day.changed_us);
	CHECK_INT(4, day.note_size);
	CHECK_MEM("whom", day.note, 4);
	for (unsigned again = 0; again < 2; again++) {
		CHECK_INT(0, catalog_purge_forget(catalog, 42, 13 + again));
		CHECK_INT(0, catalog_day(catalog, 42, &day));
		CHECK_INT(CATALOG_DAY_PURGED, day.state);
		CHECK_INT(20, day.rows);
		CHECK_INT(2, day.segments);
		CHECK_INT(13, day.changed_us);
		CHECK_MEM("whom", day.note, 4);
	}
	CHECK_INT(-EALREADY, catalog_purge_intend(catalog, 42, 14, "x", 1));
	CHECK_INT(0, catalog_segments(catalog, INT32_MIN, INT32_MAX, &list, &count));
	CHECK_INT(1, count);
	CHECK_INT(43, list[0].day);
	free(list);
	CHECK_INT(0, catalog_purge_forget(catalog, 99, 1)); /* a day of which nothing is known */
	CHECK_INT(0, catalog_day(catalog, 99, &day));
	CHECK_INT(CATALOG_DAY_PURGED, day.state);
	catalog_free(catalog);
}

/* A child seals and seals until it is killed; each journal that is marked has its segment, its lane and its counts. */
static void a_killed_writer_leaves_whole_seals(void)
{
	const char *directory = check_directory();
	struct segment_summary *summary = make_summary(1, 1, 10);
	uint64_t whole = 0;

	for (unsigned round = 0; round < 5; round++) {
		struct catalog_totals totals;
		struct catalog *catalog;
		pid_t child = fork();

		CHECK(child >= 0);
		if (child == 0) {
			catalog = open_in(directory, 16 << 20);
			for (uint64_t id = round * 100000 + 1;; id++) {
				struct catalog_lane lane = {.feed = (uint32_t)id, .bytes = "l", .size = 1};
				struct catalog_seal seal = {.journal_id = id,
							    .segments = summary,
							    .segment_count = 1,
							    .lanes = &lane,
							    .lane_count = 1};

				summary->id = id;
				if (catalog_seal(catalog, &seal) != 0)
					_exit(1);
			}
		}
		usleep(30000 + 7000 * round);
		(void)kill(child, SIGKILL);
		CHECK_INT(child, waitpid(child, NULL, 0));
		catalog = open_in(directory, 16 << 20);
		whole = 0;
		for (unsigned r = 0; r <= round; r++) {
			bool sealed = true;

			for (uint64_t id = r * 100000 + 1; sealed; id++) {
				CHECK_INT(0, catalog_journal_sealed(catalog, id, &sealed));
				CHECK_INT(sealed ? 0 : -ENOENT, catalog_segment(catalog, 1, id, summary));
				whole += sealed;
			}
		}
		CHECK_INT(0, catalog_totals(catalog, &totals));
		CHECK_INT(10 * whole, totals.stored);
		catalog_free(catalog);
	}
	CHECK(whole > 0);
	free(summary);
}

static void damage_is_refused_not_trusted(void)
{
	const char *directory = check_directory();
	struct catalog *catalog = open_in(directory, 1 << 20);
	struct segment_summary *summary = make_summary(5, 1, 10);
	char parent[600], path[700];
	struct catalog_options options = {parent, 1 << 20};
	struct err err = {""};
	struct catalog_seal seal = {.journal_id = 1, .segments = summary, .segment_count = 1};
	static char rubbish[9000];
	struct stat status;
	int fd;

	CHECK_INT(0, catalog_seal(catalog, &seal));
	catalog_free(catalog);
	(void)snprintf(parent, sizeof(parent), "%s/catalog", directory);
	(void)snprintf(path, sizeof(path), "%s/data.mdb", parent);
	CHECK_INT(0, stat(path, &status));
	CHECK_INT(0, truncate(path, status.st_size - 4096));
	CHECK_INT(-EBADMSG, catalog_open(&options, &err, &catalog));
	CHECK(strstr(err.text, "move it away") != NULL);
	fd = open(path, O_WRONLY | O_TRUNC);
	CHECK(fd >= 0);
	memset(rubbish, 'x', sizeof(rubbish));
	CHECK_INT(sizeof(rubbish), write(fd, rubbish, sizeof(rubbish)));
	close(fd);
	CHECK_INT(-EBADMSG, catalog_open(&options, &err, &catalog));
	free(summary);
}

/* A changed byte anywhere in a row is refused by its checksum. */
static void a_summary_survives_and_damage_does_not(void)
{
	struct segment_summary *summary = make_summary(-7, 3, 10);
	struct segment_summary *back = calloc(1, sizeof(*back));
	static uint8_t bytes[SEGMENT_SUMMARY_SIZE_MAX];
	size_t size = segment_summary_encode(summary, bytes);

	CHECK_INT(0, segment_summary_decode(bytes, size, NULL, back));
	CHECK_MEM(summary, back, sizeof(*back));
	for (size_t i = 0; i < size; i++) {
		bytes[i] ^= 0x40;
		CHECK(segment_summary_decode(bytes, size, NULL, back) < 0);
		bytes[i] ^= 0x40;
		CHECK(segment_summary_decode(bytes, i, NULL, back) < 0);
	}
	free(back);
	free(summary);
}

int main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{"a seal is one change", a_seal_is_one_change},
		{"a full map changes nothing", a_full_map_changes_nothing},
		{"replacing keeps the books", replacing_keeps_the_books},
		{"a rebuild is one change", a_rebuild_is_one_change},
		{"a purge forgets rows and keeps counts", a_purge_forgets_rows_and_keeps_counts},
		{"a killed writer leaves whole seals", a_killed_writer_leaves_whole_seals},
		{"damage is refused, not trusted", damage_is_refused_not_trusted},
		{"a summary survives, damage does not", a_summary_survives_and_damage_does_not},
		{NULL, NULL},
	};

	return check_main(argc, argv, "catalog", tests);
}
