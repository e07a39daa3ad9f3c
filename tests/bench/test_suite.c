/*
 * The capacity planner's suite: its reads are the same for the same seed and lie on their day; its counting agrees with
 * the pattern matcher; every command runs whole at a tiny scale, tells what it has to, and finds wrong answers.
 * GANTRY_BENCH names the program.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <jansson.h>

#include "bench/suite_entropy.h"
#include "bench/suite_options.h"
#include "bench/suite_query.h"
#include "bench/suite_reads.h"
#include "bench/suite_room.h"
#include "tests/check.h"

#define DAY 20779
#define READS 30000
#define TINY " --cameras 1000 --vehicles 2000 --feeds 5 --memtable 64 --cold advise"
#define TINY_YEAR "search --days 4 --year-reads 3000 --day-reads 20000" TINY

static void fleet_make(uint64_t seed, struct suite_fleet *ret_fleet)
{
	const struct suite_fleet_options options = {.seed = seed, .cameras = 1000, .vehicles = 2000, .feeds = 5};

	CHECK_INT(0, suite_fleet_init(ret_fleet, &options));
}

/* All of a day, in steps of `step`; the caller frees. */
static struct read *day_make(const struct suite_fleet *fleet, int32_t number, size_t step, size_t *ret_count)
{
	struct read *reads = malloc((READS + 2 * step) * sizeof(*reads));
	struct suite_day *day = NULL;
	size_t count = 0;
	size_t made;

	CHECK_INT(0, suite_day_new(fleet, number, READS, &day));
	while ((made = suite_day_next(day, reads + count, step)) > 0)
		count += made;
	suite_day_free(day);
	*ret_count = count;
	return reads;
}

static void test_same_seed_same_reads(void)
{
	struct suite_fleet fleet, other;
	size_t count, again_count, other_count;
	struct read *reads, *again, *others;

	fleet_make(check_seed(), &fleet);
	fleet_make(check_seed() + 1, &other);
	reads = day_make(&fleet, DAY, SUITE_DAY_READS_MIN, &count);
	again = day_make(&fleet, DAY, 5000, &again_count);
	others = day_make(&other, DAY, 5000, &other_count);
	CHECK_INT(READS, count);
	CHECK_INT(READS, again_count);
	CHECK_INT(READS, other_count);
	CHECK_MEM(reads, again, count * sizeof(*reads));
	CHECK(memcmp(reads, others, count * sizeof(*reads)) != 0);
	free(again);
	again = day_make(&fleet, DAY + 1, 5000, &again_count);
	CHECK(memcmp(reads, again, count * sizeof(*reads)) != 0);
	free(reads);
	free(again);
	free(others);
	suite_fleet_fini(&fleet);
	suite_fleet_fini(&other);
}

static int compare_sightings(const void *a, const void *b)
{
	const struct read *x = a;
	const struct read *y = b;

	if (x->camera != y->camera)
		return x->camera < y->camera ? -1 : 1;
	return (x->capture_us > y->capture_us) - (x->capture_us < y->capture_us);
}

static void test_a_day_holds_its_own(void)
{
	struct suite_fleet fleet;
	size_t count;
	struct read *reads;
	size_t late = 0, backlog = 0, copies = 0, twice = 0;

	fleet_make(check_seed(), &fleet);
	reads = day_make(&fleet, DAY, 4096, &count);
	for (size_t i = 0; i < count; i++) {
		int64_t delay_us = reads[i].receipt_us - reads[i].capture_us;

		CHECK_INT(DAY, read_day(reads[i].capture_us));
		CHECK(delay_us > 20000 && delay_us < INT64_C(46) * 3600 * 1000000);
		CHECK(reads[i].feed >= 1 && reads[i].feed <= 5);
		CHECK_INT(fleet.epochs[reads[i].feed - 1], reads[i].epoch);
		CHECK((reads[i].kind == READ_KIND_NOT_READ) == (reads[i].text[0] == 0));
		late += delay_us > 60000000;
		backlog += (reads[i].flags & READ_FLAG_BACKLOG) != 0;
		copies += suite_fleet_copy(&fleet, &reads[i]);
	}
	CHECK(late > count / 100 && late < count / 20);
	CHECK(backlog > count / 100 && backlog < late);
	CHECK(copies > 0 && copies < count / 20);
	/* A camera sees one thing at a time; what is there twice came by two feeds. */
	qsort(reads, count, sizeof(*reads), compare_sightings);
	for (size_t i = 1; i < count; i++)
		if (compare_sightings(&reads[i - 1], &reads[i]) == 0) {
			CHECK(reads[i - 1].feed != reads[i].feed);
			twice++;
		}
	CHECK(twice >= copies);
	free(reads);
	suite_fleet_fini(&fleet);
}

static void test_counts_agree_with_globs(void)
{
	struct suite_fleet fleet;
	struct suite_queries *queries = calloc(1, sizeof(*queries));
	struct suite_counts counts = {0};
	struct suite_counts plain = {0};
	uint64_t scene_rows = 0;
	size_t count;
	struct read *reads;

	fleet_make(check_seed(), &fleet);
	CHECK_INT(0, suite_queries_init(queries, &fleet));
	reads = day_make(&fleet, DAY, 4096, &count);
	suite_queries_count(queries, &fleet, reads, count, &counts);
	for (size_t i = 0; i < count; i++) {
		if (suite_fleet_copy(&fleet, &reads[i]) || reads[i].kind != READ_KIND_VRM)
			continue;
		for (unsigned kind = 0; kind < SUITE_SCENE; kind++)
			for (unsigned q = 0; q < SUITE_QUERIES; q++)
				plain.of[kind][q] += glob_match(&queries->globs[kind][q], reads[i].key);
	}
	for (unsigned kind = 0; kind < SUITE_SCENE; kind++)
		for (unsigned q = 0; q < SUITE_QUERIES; q++)
			CHECK_INT(plain.of[kind][q], counts.of[kind][q]);
	for (unsigned q = 0; q < SUITE_QUERIES; q++)
		scene_rows += counts.of[SUITE_SCENE][q];
	CHECK(scene_rows > 0);
	free(reads);
	free(queries);
	suite_fleet_fini(&fleet);
}

static void test_entropy_of_known_rows(void)
{
	struct suite_entropy *entropy = NULL;
	struct read rows[1024];

	memset(rows, 0, sizeof(rows));
	for (unsigned i = 0; i < 1024; i++) {
		memcpy(rows[i].key, "AB12CDE", 7);
		memcpy(rows[i].text, "AB12CDE", 7);
		rows[i].confidence = (uint8_t)(i % 64);
		rows[i].camera = 1 + i % 2;
		rows[i].feed = 1 + i % 2;
		rows[i].capture_us = INT64_C(1000000) * i;
		rows[i].receipt_us = rows[i].capture_us + 7;
	}
	CHECK_INT(0, suite_entropy_new(&entropy));
	CHECK(suite_entropy_bits(entropy, SUITE_COLUMN_CAMERA) == 0);
	CHECK_INT(0, suite_entropy_add(entropy, rows, 1024));
	CHECK_INT(1024, suite_entropy_rows(entropy));
	CHECK(fabs(suite_entropy_bits(entropy, SUITE_COLUMN_CONFIDENCE) - 6) < 0.001);
	CHECK(fabs(suite_entropy_bits(entropy, SUITE_COLUMN_CAMERA) - 1) < 0.001);
	CHECK(suite_entropy_bits(entropy, SUITE_COLUMN_FEED) < 0.001);
	CHECK(suite_entropy_bits(entropy, SUITE_COLUMN_RECEIPT) < 0.001);
	CHECK(suite_entropy_bits(entropy, SUITE_COLUMN_KEY) < 0.001);
	CHECK(suite_entropy_bits(entropy, SUITE_COLUMN_GROUPS) < 0.001);
	CHECK(suite_entropy_bits(entropy, SUITE_COLUMN_FORM) < 0.001);
	CHECK(suite_entropy_bits(entropy, SUITE_COLUMN_TEXT) < 0.02);
	suite_entropy_free(entropy);
}

static void test_room(void)
{
	const char *directory = check_directory();
	char path[256];
	struct suite_room room;
	struct err err = {""};
	FILE *file;

	CHECK_INT(-ENOSPC, suite_room_take(NULL, false, UINT64_C(1) << 60, &room, &err));
	snprintf(path, sizeof(path), "%s/room", directory);
	CHECK_INT(-ENOSPC, suite_room_take(path, false, UINT64_C(1) << 60, &room, &err));
	CHECK(strstr(err.text, "are free") != NULL);
	CHECK(access(path, F_OK) < 0);
	CHECK_INT(0, suite_room_take(path, false, 1000, &room, &err));
	suite_room_leave(&room);
	CHECK(access(path, F_OK) < 0);
	CHECK_INT(0, suite_room_take(path, true, 1000, &room, &err));
	suite_room_leave(&room);
	CHECK_INT(0, suite_room_take(path, false, 1000, &room, &err));
	suite_room_leave(&room);
	CHECK(access(path, F_OK) == 0);
	/* Somebody else's directory is not touched. */
	snprintf(path, sizeof(path), "%s/foreign", directory);
	CHECK_INT(0, mkdir(path, 0700));
	strcat(path, "/file");
	file = fopen(path, "w");
	CHECK(file != NULL);
	fclose(file);
	*strrchr(path, '/') = '\0';
	CHECK_INT(-ENOTEMPTY, suite_room_take(path, false, 1000, &room, &err));
}

static void test_bad_command_lines(void)
{
	static const char *const lines[][4] = {{"gantry-bench"},
					       {"gantry-bench", "conquer"},
					       {"gantry-bench", "search", "--measure"},
					       {"gantry-bench", "storage", "--days"},
					       {"gantry-bench", "storage", "--day-reads", "many"},
					       {"gantry-bench", "search", "--cold", "ice"},
					       {"gantry-bench", "search", "file"}};

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		struct suite_options options;
		struct err err = {""};
		int count = 0;

		while (count < 4 && lines[i][count] != NULL)
			count++;
		CHECK_INT(-EINVAL, suite_options_parse(count, (char **)(uintptr_t)lines[i], &options, &err));
		CHECK(err.text[0] != '\0');
	}
}

/* ---- the program */

/* Runs it with these arguments and a seed; its exit status, and its JSON when there is any. */
static int run(const char *arguments, json_t **ret_report)
{
	const char *directory = check_directory();
	char command[1024];
	FILE *out;
	json_t *report;
	int status;

	snprintf(command, sizeof(command), "TMPDIR='%s' '%s' %s --seed %llu --json 2>'%s/errors'", directory,
		 getenv("GANTRY_BENCH"), arguments, (unsigned long long)check_seed(), directory);
	out = popen(command, "r");
	CHECK(out != NULL);
	report = json_loadf(out, JSON_DISABLE_EOF_CHECK, NULL);
	status = pclose(out);
	CHECK(WIFEXITED(status));
	if (ret_report != NULL)
		*ret_report = report;
	else
		json_decref(report);
	return WEXITSTATUS(status);
}

static double number(const json_t *report, const char *name)
{
	const json_t *value = json_object_get(report, name);

	if (!json_is_number(value))
		check_note("%s is missing", name);
	CHECK(json_is_number(value));
	return json_number_value(value);
}

static void check_conditions(const json_t *report)
{
	const json_t *conditions = json_object_get(report, "conditions");
	static const char *const names[] = {"cpu", "kernel", "file_system", "io", "build"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		CHECK(json_is_string(json_object_get(conditions, names[i])));
	CHECK(number(conditions, "cores") >= 1);
	CHECK(number(conditions, "memory_bytes") > 0);
	CHECK(json_is_object(json_object_get(report, "scale")));
}

static void test_storage(void)
{
	json_t *report = NULL;
	const json_t *column;
	double bytes = 0;
	size_t i;

	CHECK_INT(0, run("storage --day-reads 40000 --piece 8192 --ingest 1 --rate 20000" TINY, &report));
	check_conditions(report);
	CHECK(number(report, "reads") + number(report, "collapsed") == 40000);
	CHECK_INT(1, (int)number(report, "segments"));
	CHECK(number(report, "pieces") > 1);
	CHECK(number(report, "merge_reads_per_s") > 0);
	json_array_foreach(json_object_get(report, "columns"), i, column)
	{
		CHECK(json_is_string(json_object_get(column, "name")));
		CHECK(number(column, "entropy") >= 0);
		/* What the format codes cannot be less than what is in it. */
		if (number(column, "bytes") > 0 && number(column, "entropy") > number(column, "bytes_per_read")) {
			check_note("%s", json_string_value(json_object_get(column, "name")));
			CHECK(false);
		}
		bytes += number(column, "bytes");
	}
	CHECK(i > 10);
	CHECK(bytes == number(report, "bytes"));
	CHECK(fabs(number(report, "bytes_per_read") - bytes / number(report, "reads")) < 0.001);
	CHECK(number(report, "entropy_per_read") < number(report, "bytes_per_read"));
	CHECK(json_is_true(json_object_get(json_object_get(report, "ingest"), "complete")));
	CHECK(json_is_true(json_object_get(json_object_get(report, "ingest_beside_search"), "complete")));
	CHECK(number(json_object_get(report, "ingest_beside_search"), "searches") > 0);
	json_decref(report);
}

static const char *const search_figures[] = {"exact_day_ms",    "exact_year_ms", "partial_day_ms",
					     "partial_year_ms", "scene_ms",      "reads_held"};

/* One more than there are in the year's count of every question. */
static void counts_falsify(const char *path)
{
	json_t *year = json_load_file(path, 0, NULL);
	json_t *counts = json_object_get(year, "all_counts");

	CHECK(json_is_array(counts));
	for (size_t i = 0; i < json_array_size(counts); i++)
		json_array_set_new(counts, i, json_integer(json_integer_value(json_array_get(counts, i)) + 1));
	CHECK_INT(0, json_dump_file(year, path, JSON_COMPACT));
	json_decref(year);
}

static void test_search(void)
{
	char arguments[512];
	char path[256];
	const char *directory = check_directory();
	struct stat built, again;
	json_t *report = NULL;

	snprintf(arguments, sizeof(arguments), TINY_YEAR " --data '%s/year' --keep", directory);
	CHECK_INT(0, run(arguments, &report));
	check_conditions(report);
	CHECK(json_is_string(json_object_get(json_object_get(report, "conditions"), "cache")));
	for (size_t i = 0; i < sizeof(search_figures) / sizeof(search_figures[0]); i++)
		CHECK(number(report, search_figures[i]) > 0);
	CHECK_INT(4, (int)number(report, "days"));
	CHECK_INT(0, (int)number(report, "wrong_answers"));
	CHECK_INT(7, json_array_size(json_object_get(report, "questions")));
	json_decref(report);
	/* The year stays, is asked again, and does not pass for another. */
	snprintf(path, sizeof(path), "%s/year/year.json", directory);
	CHECK_INT(0, stat(path, &built));
	CHECK_INT(0, run(arguments, NULL));
	CHECK_INT(0, stat(path, &again));
	CHECK(built.st_ino == again.st_ino);
	strcat(arguments, " --days 5");
	CHECK_INT(1, run(arguments, NULL));
	/* An answer that is not what the generator knows is told. */
	counts_falsify(path);
	*strstr(arguments, " --days 5") = '\0';
	CHECK_INT(1, run(arguments, NULL));
}

static void test_match(void)
{
	static const char *const figures[] = {
		"vrms_per_s", "patterns_30k_vrms_per_s", "delta_alarm_p99_ms",    "mass_replace_ms",
		"restart_ms", "mass_replace_socket_ms",  "mass_replace_status_ms"};
	json_t *report = NULL;
	const json_t *scale;

	CHECK_INT(0, run("match --quick --mass 3000 --literals 1000 --patterns 50 --many 3000" TINY, &report));
	check_conditions(report);
	for (size_t i = 0; i < sizeof(figures) / sizeof(figures[0]); i++)
		CHECK(number(report, figures[i]) > 0);
	CHECK(number(report, "reads_checked") > 100);
	CHECK(number(report, "hits_checked") > 0);
	CHECK_INT(0, (int)number(report, "wrong"));
	/* As many as were asked for: what repeats is drawn again. */
	scale = json_object_get(report, "scale");
	CHECK_INT(3000, (int)number(scale, "mass"));
	CHECK_INT(1000, (int)number(scale, "literals"));
	CHECK_INT(50, (int)number(scale, "patterns"));
	CHECK_INT(3000, (int)number(scale, "many"));
	json_decref(report);
}

static void test_clones(void)
{
	json_t *report = NULL;
	const json_t *row;
	size_t i;

	CHECK_INT(0, run("clones --quick --day-reads 100000 --clones 100 --cameras 4000 --vehicles 3000", &report));
	check_conditions(report);
	CHECK_INT(100000, (int)number(report, "reads"));
	CHECK(number(report, "catchable") > 20);
	CHECK(number(report, "found_percent") > 50);
	CHECK(number(report, "ns_per_read") > 0);
	/* Who trusts only what cameras are sure of raises nothing wrongly here: vehicles drive as vehicles can. */
	json_array_foreach(json_object_get(report, "detectors"), i, row)
		CHECK(number(row, "confidence") < 80 || number(row, "false_hits") < 1);
	json_decref(report);
}

static void test_recovery(void)
{
	json_t *report = NULL;

	CHECK_INT(0, run("recovery --quick --unsealed 50000" TINY, &report));
	check_conditions(report);
	CHECK(number(report, "recovery_ms") > 0);
	CHECK_INT(50000, (int)number(report, "reads"));
	CHECK(json_is_true(json_object_get(report, "complete")));
	json_decref(report);
}

/* Told to stop, it leaves nothing behind. */
static void test_stop(void)
{
	const char *directory = check_directory();
	char command[1024];
	int status;

	snprintf(command, sizeof(command),
		 "TMPDIR='%s' timeout -s INT 1 '%s' search --vehicles 2000 >/dev/null 2>&1; "
		 "test -z \"$(ls -A '%s')\"",
		 directory, getenv("GANTRY_BENCH"), directory);
	status = system(command);
	CHECK(WIFEXITED(status));
	CHECK_INT(0, WEXITSTATUS(status));
}

static void test_no_room(void)
{
	CHECK_INT(3, run("search --days 366 --year-reads 4000000000" TINY, NULL));
	CHECK_INT(2, run("storage --nonsense", NULL));
}

int main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{"the same seed makes the same reads", test_same_seed_same_reads},
		{"a day holds what was captured on it", test_a_day_holds_its_own},
		{"counts agree with the pattern matcher", test_counts_agree_with_globs},
		{"entropy of known rows", test_entropy_of_known_rows},
		{"a room is the suite's own, large enough, and left behind clean", test_room},
		{"bad command lines are refused", test_bad_command_lines},
		{"storage, whole", test_storage},
		{"search, whole, and again, and falsified", test_search},
		{"recovery, whole", test_recovery},
		{"match, whole", test_match},
		{"clones, whole", test_clones},
		{"told to stop, it leaves nothing", test_stop},
		{"no room, no run", test_no_room},
		{NULL, NULL},
	};

	return check_main(argc, argv, "gantry-bench", tests);
}
