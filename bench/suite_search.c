/*
 * gantry-bench search. Every question is asked by a process of its own, started after the page cache was emptied, and
 * its answer compared with what the generator counted.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "appliance/base/clock.h"
#include "bench/suite_commands.h"
#include "bench/suite_options.h"
#include "bench/suite_question.h"
#include "bench/suite_reads.h"
#include "bench/suite_report.h"
#include "bench/suite_room.h"
#include "bench/suite_year.h"
#include "storage/search.h"

#define NATIONAL_DAY_READS 40000000

enum round { EXACT_DAY, EXACT_YEAR, LEADING_DAY, LEADING_YEAR, INNER_DAY, INNER_YEAR, SCENE_DAY, ROUNDS };

static const struct {
	const char *name;
	enum suite_kind kind;
	bool year;
} rounds[ROUNDS] = {
	[EXACT_DAY] = {"exact, day", SUITE_EXACT, false},
	[EXACT_YEAR] = {"exact, year", SUITE_EXACT, true},
	[LEADING_DAY] = {"??12CDE, day", SUITE_LEADING, false},
	[LEADING_YEAR] = {"??12CDE, year", SUITE_LEADING, true},
	[INNER_DAY] = {"A?12C?E, day", SUITE_INNER, false},
	[INNER_YEAR] = {"A?12C?E, year", SUITE_INNER, true},
	[SCENE_DAY] = {"scene", SUITE_SCENE, false},
};

/* The figures of one round, over its questions. */
struct figures {
	unsigned asked;
	unsigned wrong;
	double cold[SUITE_QUERIES];
	double warm[SUITE_QUERIES];
	double start[SUITE_QUERIES];
	double rows[SUITE_QUERIES];
	double pages[SUITE_QUERIES];
	double bytes[SUITE_QUERIES];
	struct suite_spread cold_ms;
	struct suite_spread warm_ms;
	struct suite_spread start_ms;
	double rows_mid;
	double pages_mid;
	double bytes_mid;
};

struct search {
	const struct suite_options *options;
	const struct suite_queries *queries;
	const struct suite_room *room;
	const char *program;
	const char *cache;
	struct suite_year year;
	struct figures figures[ROUNDS];
};

/* ---- the fresh process */

static void child_exec(const struct search *search, int in, int out)
{
	const char *const argv[] = {"gantry-bench", "search", "--measure", "--data", search->room->path, NULL};

	if (dup2(in, STDIN_FILENO) >= 0 && dup2(out, STDOUT_FILENO) >= 0)
		(void)execv(search->program, (char *const *)(uintptr_t)argv);
	_exit(127);
}

static int exchange(int to, int from, const struct suite_question *question, struct err *err,
		    struct suite_answer *ret_answer)
{
	FILE *out = fdopen(to, "w");
	FILE *in = fdopen(from, "r");
	int r = out == NULL || in == NULL ? -ENOMEM : suite_question_write(question, out);

	if (out != NULL)
		fclose(out);
	else
		close(to);
	r = r < 0 ? err_set(err, r, "the question could not be handed over") : suite_answer_read(in, err, ret_answer);
	if (in != NULL)
		fclose(in);
	else
		close(from);
	return r;
}

static int ask(const struct search *search, struct suite_question *question, struct err *err,
	       struct suite_answer *ret_answer)
{
	int to[2];
	int from[2];
	int status = 0;
	pid_t child;
	int r;

	if (pipe(to) < 0 || pipe(from) < 0)
		return err_set(err, -errno, "pipe: %s", strerror(errno));
	question->started_ns = clock_mono_ns();
	child = fork();
	if (child == 0) {
		close(to[1]);
		close(from[0]);
		child_exec(search, to[0], from[1]);
	}
	close(to[0]);
	close(from[1]);
	r = exchange(to[1], from[0], question, err, ret_answer);
	if (child < 0 || waitpid(child, &status, 0) < 0 || status != 0)
		return err_set(err, -EIO, "the process that asks failed");
	return r;
}

/* ---- rounds */

static void question_make(const struct search *search, enum round round, unsigned index,
			  struct suite_question *ret_question)
{
	const struct suite_year *year = &search->year;
	enum suite_kind kind = rounds[round].kind;
	struct suite_question question = {
		.from_us = (rounds[round].year ? year->first_day : year->full_day) * DAY_US,
		.to_us = (year->full_day + 1) * DAY_US,
	};

	if (kind == SUITE_SCENE) {
		const struct suite_scene *scene = &search->queries->scenes[index];

		memcpy(question.cameras, scene->cameras, sizeof(question.cameras));
		question.from_us = year->full_day * DAY_US + scene->from_us;
		question.to_us = question.from_us + SUITE_SCENE_US;
	} else {
		memcpy(question.pattern, search->queries->patterns[kind][index], sizeof(question.pattern));
	}
	*ret_question = question;
}

static void figures_add(struct figures *figures, const struct suite_answer *answer)
{
	unsigned at = figures->asked++;

	figures->cold[at] = answer->cold_ms;
	figures->warm[at] = answer->warm_ms;
	figures->start[at] = answer->start_ms;
	figures->rows[at] = (double)answer->rows;
	figures->pages[at] = (double)answer->pages_read;
	figures->bytes[at] = (double)answer->bytes_read;
}

static void figures_close(struct figures *figures)
{
	if (figures->asked == 0)
		return;
	figures->cold_ms = suite_spread_of(figures->cold, figures->asked);
	figures->warm_ms = suite_spread_of(figures->warm, figures->asked);
	figures->start_ms = suite_spread_of(figures->start, figures->asked);
	figures->rows_mid = suite_spread_of(figures->rows, figures->asked).median;
	figures->pages_mid = suite_spread_of(figures->pages, figures->asked).median;
	figures->bytes_mid = suite_spread_of(figures->bytes, figures->asked).median;
}

/* A question with more rows than one answer may have would not be answered whole. */
static int round_run(struct search *search, enum round round, struct err *err)
{
	const struct suite_counts *counts = rounds[round].year ? &search->year.all : &search->year.full;
	struct figures *figures = &search->figures[round];

	for (unsigned i = 0; i < SUITE_QUERIES && figures->asked < search->options->repeat; i++) {
		uint64_t expected = counts->of[rounds[round].kind][i];
		struct suite_question question;
		struct suite_answer answer;
		int r;

		if (suite_room_stopped())
			return err_set(err, -ECANCELED, "stopped");
		if (expected >= SEARCH_LIMIT_MAX)
			continue;
		question_make(search, round, i, &question);
		search->cache = suite_cache_empty(search->options->cache, search->room->path);
		if (search->cache == NULL)
			return err_set(err, -EPERM, "the page cache could not be emptied: --cold advise");
		r = ask(search, &question, err, &answer);
		if (r < 0)
			return r;
		if (answer.rows != expected || answer.wrong > 0 || answer.incomplete) {
			figures->wrong++;
			fprintf(stderr,
				"gantry-bench: %s, question %u: %llu rows, %llu of them wrong, %llu expected%s\n",
				rounds[round].name, i, (unsigned long long)answer.rows,
				(unsigned long long)answer.wrong, (unsigned long long)expected,
				answer.incomplete ? ", incomplete" : "");
		}
		figures_add(figures, &answer);
	}
	figures_close(figures);
	fprintf(stderr, "%-14s cold %.2f ms (%.2f to %.2f), warm %.2f ms, %u questions\n", rounds[round].name,
		figures->cold_ms.median, figures->cold_ms.min, figures->cold_ms.max, figures->warm_ms.median,
		figures->asked);
	return 0;
}

/* ---- report */

static json_t *questions_new(const struct search *search)
{
	json_t *rows = json_array();

	for (unsigned i = 0; i < ROUNDS; i++) {
		const struct figures *figures = &search->figures[i];
		json_t *row = json_object();

		suite_report_text(row, "question", rounds[i].name);
		suite_report_real(row, "cold_ms", figures->cold_ms.median);
		suite_report_real(row, "cold_min_ms", figures->cold_ms.min);
		suite_report_real(row, "cold_max_ms", figures->cold_ms.max);
		suite_report_real(row, "warm_ms", figures->warm_ms.median);
		suite_report_real(row, "from_start_ms", figures->start_ms.median);
		suite_report_integer(row, "asked", figures->asked);
		suite_report_integer(row, "wrong", figures->wrong);
		suite_report_real(row, "rows", figures->rows_mid);
		suite_report_real(row, "pages", figures->pages_mid);
		suite_report_real(row, "bytes", figures->bytes_mid);
		(void)json_array_append_new(rows, row);
	}
	return rows;
}

static double cold_of(const struct search *search, enum round round)
{
	return search->figures[round].cold_ms.median;
}

static double start_of(const struct search *search, enum round round)
{
	return search->figures[round].start_ms.median;
}

static double worse(double a, double b)
{
	return a > b ? a : b;
}

/* Both clocks of every figure: "conditions" says what each includes. */
static void figure_put(json_t *object, const char *name, double cold_ms, double start_ms)
{
	char key[64];

	(void)snprintf(key, sizeof(key), "%s_ms", name);
	suite_report_real(object, key, cold_ms);
	(void)snprintf(key, sizeof(key), "%s_from_start_ms", name);
	suite_report_real(object, key, start_ms);
}

/*
 * What a year of days as full as the newest one would change: a dictionary's scan costs what the full day's costs, day
 * by day; an exact question reads as many pages more a segment as it does on the full day.
 */
static json_t *national_new(const struct search *search)
{
	const struct suite_year *year = &search->year;
	const struct suite_options *options = search->options;
	const struct figures *day = &search->figures[EXACT_DAY];
	const struct figures *all = &search->figures[EXACT_YEAR];
	double segment_pages = all->pages_mid / options->days;
	double scale = (double)NATIONAL_DAY_READS / (double)options->day_reads;
	json_t *object = json_object();

	suite_report_integer(object, "reads_held", (long long)NATIONAL_DAY_READS * options->days);
	suite_report_real(object, "bytes",
			  (double)year->full_bytes / (double)year->full_rows * NATIONAL_DAY_READS * options->days);
	suite_report_real(object, "exact_year_ms",
			  segment_pages > 0 ? cold_of(search, EXACT_YEAR) * day->pages_mid / segment_pages : NAN);
	suite_report_real(object, "partial_year_ms",
			  worse(cold_of(search, LEADING_DAY), cold_of(search, INNER_DAY)) * scale * options->days);
	suite_report_text(
		object, "how",
		"exact_year_ms: the year's, times pages read a segment on the full day over those on a lesser "
		"one; partial_year_ms: the full day's, times days");
	return object;
}

static int report(const struct search *search, int *ret_status)
{
	const struct suite_year *year = &search->year;
	json_t *object = suite_report_new(search->options, search->room->path);
	unsigned wrong = 0;
	unsigned unasked = 0;
	int r;

	for (unsigned i = 0; i < ROUNDS; i++) {
		wrong += search->figures[i].wrong;
		unasked += search->figures[i].asked == 0;
	}
	suite_report_text(json_object_get(object, "conditions"), "cache", search->cache);
	suite_report_text(
		json_object_get(object, "conditions"), "clock",
		"..._ms, cold: a fresh process, its own code in memory, keyring, catalog and views open, from the "
		"question to the last row, as in an appliance that runs; ..._from_start_ms: the whole process, "
		"from its start to the same row: loading the program, keyring, catalog and views too");
	suite_report_integer(object, "reads_held", (long long)year->rows);
	suite_report_integer(object, "days", search->options->days);
	suite_report_real(object, "bytes_per_read", (double)year->bytes / (double)year->rows);
	figure_put(object, "exact_day", cold_of(search, EXACT_DAY), start_of(search, EXACT_DAY));
	figure_put(object, "exact_year", cold_of(search, EXACT_YEAR), start_of(search, EXACT_YEAR));
	figure_put(object, "partial_day", worse(cold_of(search, LEADING_DAY), cold_of(search, INNER_DAY)),
		   worse(start_of(search, LEADING_DAY), start_of(search, INNER_DAY)));
	figure_put(object, "partial_year", worse(cold_of(search, LEADING_YEAR), cold_of(search, INNER_YEAR)),
		   worse(start_of(search, LEADING_YEAR), start_of(search, INNER_YEAR)));
	figure_put(object, "scene", cold_of(search, SCENE_DAY), start_of(search, SCENE_DAY));
	(void)json_object_set_new(object, "questions", questions_new(search));
	(void)json_object_set_new(object, "year_of_national_days", national_new(search));
	suite_report_integer(object, "full_day_reads", (long long)year->full_rows);
	suite_report_integer(object, "full_day_keys", (long long)year->full_keys);
	suite_report_integer(object, "other_day_keys", (long long)year->other_keys);
	suite_report_real(object, "build_s", year->build_s);
	suite_report_integer(object, "wrong_answers", wrong);
	r = suite_report_print(object, search->options->json);
	json_decref(object);
	*ret_status = wrong + unasked > 0 ? 1 : 0;
	if (unasked > 0)
		fputs("gantry-bench: some questions were not asked: no vehicle answers them\n", stderr);
	return r;
}

static int search_all(struct search *search, const struct suite_fleet_options *fleet_options, struct err *err)
{
	struct suite_fleet *fleet = calloc(1, sizeof(*fleet));
	struct suite_queries *queries = calloc(1, sizeof(*queries));
	int r = fleet == NULL || queries == NULL ? -ENOMEM : suite_fleet_init(fleet, fleet_options);

	if (r < 0) {
		(void)err_set(err, r, "the fleet could not be made: %s", strerror(-r));
		goto out;
	}
	r = suite_queries_init(queries, fleet);
	if (r < 0)
		(void)err_set(err, r, "too few vehicles to ask for: raise --vehicles");
	else
		r = suite_year_take(search->options, fleet, queries, search->room, err, &search->year);
	/* Its memory is not needed to ask, and what is free caches what is asked for. */
	suite_fleet_fini(fleet);
	search->queries = queries;
	for (unsigned i = 0; r == 0 && i < ROUNDS; i++)
		r = round_run(search, (enum round)i, err);
out:
	free(fleet);
	search->queries = NULL;
	free(queries);
	return r;
}

int suite_search(const struct suite_options *options, const char *program, int *ret_status, struct err *err)
{
	const struct suite_fleet_options fleet_options = {.seed = options->seed,
							  .cameras = options->cameras,
							  .vehicles = options->vehicles,
							  .feeds = options->feeds};
	struct search *search = calloc(1, sizeof(*search));
	struct suite_room room;
	int r = search == NULL ? err_set(err, -ENOMEM, "no memory")
			       : suite_room_take(options->data, options->keep, 0, &room, err);

	if (r < 0) {
		free(search);
		return r;
	}
	search->options = options;
	search->room = &room;
	search->program = program;
	fprintf(stderr, "search: %u days of %.2f M reads, the newest of %.1f M: up to %.1f GB in %s, about %.0f min\n",
		options->days, (double)options->year_reads / 1e6, (double)options->day_reads / 1e6,
		(double)suite_options_bytes(options) / 1e9, room.path,
		1 + (double)(options->day_reads + (options->days - 1) * options->year_reads) / 2e8);
	r = search_all(search, &fleet_options, err);
	if (r == 0)
		r = report(search, ret_status);
	free(search);
	suite_room_leave(&room);
	return r;
}
