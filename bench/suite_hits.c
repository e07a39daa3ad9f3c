/*
 * gantry-bench hits: how soon a hit is on its subscriber's socket, from the receipt of its read, through a whole
 * appliance: port, commit, attendant, courier, socket. Three kinds of traffic, each on a fresh appliance:
 *
 *	calm   a nation's average hour; few hits
 *	busy   as fast as the appliance is meant to go; 4 % of the reads hit a mass list
 *	flood  the same, and 42 % do
 *
 * In each some hundred hits a second are of an urgent list, with a subscriber of its own.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "appliance/base/clock.h"
#include "bench/fleet.h"
#include "bench/population.h"
#include "bench/suite_appliance.h"
#include "bench/suite_commands.h"
#include "bench/suite_options.h"
#include "bench/suite_report.h"
#include "bench/suite_subscriber.h"

#define TICK_MS 50
#define SECOND_NS INT64_C(1000000000)
#define DRAIN_NS (30 * SECOND_NS) /* without any progress */
#define URGENT_PER_S 200
#define CALM_RATE 5000
#define BYTES_HIT_SUBSCRIBER 5 /* a bit and a wait */

enum { URGENT, MASS, SUBSCRIBERS };
static const char *const names[SUBSCRIBERS] = {"urgent", "mass"};
static const char *const owners[SUBSCRIBERS] = {"Bench Crime", "Bench Traffic"};
static const char *const priorities[SUBSCRIBERS] = {"90", "20"};

struct traffic {
	const char *name;
	uint32_t rate;
	unsigned mass_permille; /* of the reads */
};

struct hits_run {
	const struct suite_options *options;
	const struct traffic *traffic;
	const struct population *population;
	struct suite_room *room;
	struct err *err;
	struct suite_appliance appliance;
	struct suite_subscriber *subscribers[SUBSCRIBERS];
	struct suite_told told[SUBSCRIBERS];
	json_t *fleet;        /* gantry-load's report */
	json_t *status;       /* the appliance's, when all was told */
	uint64_t behind;      /* mass hits not told yet when the fleet ended */
	uint64_t mass_at_end; /* told by then */
	double load_s;
	double catch_up_s;
	bool stuck; /* no progress, and not all was told */
};

/* ---- lists */

static int list_open(const struct hits_run *run, unsigned which, char ret_path[SUITE_PATH_SIZE + 64], FILE **ret_file)
{
	(void)snprintf(ret_path, SUITE_PATH_SIZE + 64, "%s/%s.csv", run->appliance.directory, names[which]);
	*ret_file = fopen(ret_path, "w");
	if (*ret_file == NULL)
		return err_set(run->err, -errno, "%s: %s", ret_path, strerror(errno));
	(void)fputs("vrm,reason,action\n", *ret_file);
	return 0;
}

static void list_row(FILE *file, const struct plate *plate)
{
	(void)fprintf(file, "%.*s,bench,none\n", READ_TEXT_SIZE, (const char *)plate->text);
}

/* Vehicles of the head are seen alike often: as many as make the hits a second that are wanted. */
static void list_urgent(const struct hits_run *run, FILE *file)
{
	double one_per_s = (double)run->traffic->rate / run->population->bands / POPULATION_HEAD;
	unsigned count = (unsigned)(URGENT_PER_S / one_per_s);

	for (unsigned i = 0; i <= count && i < POPULATION_HEAD; i++)
		list_row(file, &run->population->plates[i]);
}

/* The vehicles that are seen least, so that the list is long: whole bands of the population, and a part of one. */
static void list_mass(const struct hits_run *run, FILE *file)
{
	const struct population *population = run->population;
	double bands = run->traffic->mass_permille / 1000.0 * population->bands;
	uint32_t end = population->count;

	for (unsigned band = population->bands; band-- > 1 && bands > 0; bands -= 1) {
		uint32_t first = (uint32_t)POPULATION_HEAD << (band - 1);
		uint32_t from = bands >= 1 ? first : end - (uint32_t)(bands * (end - first));

		for (uint32_t i = from; i < end; i++)
			list_row(file, &population->plates[i]);
		end = first;
	}
}

static int list_load(struct hits_run *run, unsigned which)
{
	char path[SUITE_PATH_SIZE + 64];
	const char *const load[] = {"lists",
				    "load",
				    path,
				    "--name",
				    names[which],
				    "--priority",
				    priorities[which],
				    "--owner",
				    owners[which],
				    "--purpose",
				    "serious",
				    "--case",
				    "BENCH-1",
				    "--reason",
				    "measuring how soon hits reach a subscriber",
				    NULL};
	const char *const subscribe[] = {"subscriptions", "add", names[which], "--organisation", owners[which], NULL};
	json_t *answer = NULL, *subscribed = NULL;
	FILE *file;
	int result = list_open(run, which, path, &file);

	if (result < 0)
		return result;
	(which == URGENT ? list_urgent : list_mass)(run, file);
	if (fclose(file) != 0)
		return err_set(run->err, -errno, "%s: %s", path, strerror(errno));
	result = suite_appliance_ctl(&run->appliance, load, &answer, run->err);
	if (result == 0)
		result = suite_appliance_ctl(&run->appliance, subscribe, &subscribed, run->err);
	json_decref(answer);
	json_decref(subscribed);
	return result;
}

/* ---- status */

static int status_get(struct hits_run *run, json_t **ret_status)
{
	static const char *const status[] = {"status", NULL};

	return suite_appliance_ctl(&run->appliance, status, ret_status, run->err);
}

static uint64_t number_of(const json_t *object, const char *area, const char *name)
{
	return (uint64_t)json_integer_value(json_object_get(json_object_get(object, area), name));
}

/* What a list is compiled into is made in the background: no part of what is measured. */
static int wait_until_folded(struct hits_run *run)
{
	bool folding = true;

	while (folding) {
		json_t *status = NULL;
		int result = status_get(run, &status);

		if (result < 0)
			return result;
		folding = json_is_true(json_object_get(json_object_get(status, "matching"), "folding"));
		json_decref(status);
		if (folding)
			(void)poll(NULL, 0, 4 * TICK_MS);
	}
	return 0;
}

/* ---- one traffic */

static uint64_t hits_max(const struct hits_run *run)
{
	double reads = (double)run->traffic->rate * run->options->hits_s;

	return (uint64_t)(reads * (run->traffic->mass_permille / 1000.0 + 0.01) * 1.5) + 100000;
}

static int prepare(struct hits_run *run)
{
	char directory[SUITE_PATH_SIZE];
	int result;

	if ((size_t)snprintf(directory, sizeof(directory), "%s/%s", run->room->path, run->traffic->name) >=
	    sizeof(directory))
		return err_set(run->err, -ENAMETOOLONG, "%s: too long a path", run->room->path);
	fprintf(stderr, "hits: %s: starting an appliance\n", run->traffic->name);
	(void)suite_room_remove(run->room, run->traffic->name); /* one that was kept: its hits are not these */
	result = suite_appliance_start(run->options, directory, &run->appliance, run->err);
	if (result == 0)
		result = suite_appliance_register(&run->appliance, run->err);
	for (unsigned i = 0; i < SUBSCRIBERS && result == 0; i++)
		result = list_load(run, i);
	if (result == 0)
		result = wait_until_folded(run);
	for (unsigned i = 0; i < SUBSCRIBERS && result == 0; i++)
		result = suite_subscriber_start(run->appliance.socket, names[i], hits_max(run), &run->subscribers[i],
						run->err);
	return result;
}

static uint64_t told_of(const struct hits_run *run)
{
	return suite_subscriber_hits(run->subscribers[URGENT]) + suite_subscriber_hits(run->subscribers[MASS]);
}

static int send_reads(struct hits_run *run)
{
	const struct traffic *traffic = run->traffic;
	uint64_t before[SUBSCRIBERS] = {0};
	int64_t shown_ns = clock_mono_ns();
	int result;

	fprintf(stderr, "hits: %s: %u reads/s for %u s\n", traffic->name, traffic->rate, run->options->hits_s);
	result = suite_appliance_fleet_start(&run->appliance, traffic->rate, run->options->hits_s, run->err);
	while (result == 0 && (result = suite_appliance_fleet_poll(&run->appliance, &run->fleet, run->err)) == 1) {
		int64_t now_ns = clock_mono_ns();

		result = 0;
		if (suite_room_stopped())
			return err_set(run->err, -ECANCELED, "interrupted");
		(void)poll(NULL, 0, TICK_MS);
		if (now_ns - shown_ns < SECOND_NS)
			continue;
		for (unsigned i = 0; i < SUBSCRIBERS; i++) {
			uint64_t now = suite_subscriber_hits(run->subscribers[i]);

			fprintf(stderr, "%s %9.0f hits/s%s", names[i],
				(double)(now - before[i]) * 1e9 / (double)(now_ns - shown_ns),
				i + 1 < SUBSCRIBERS ? "  " : "\n");
			before[i] = now;
		}
		shown_ns = now_ns;
	}
	return result;
}

/* Until the subscribers have been told of every hit, or nothing moves any more. */
static int drain(struct hits_run *run)
{
	int64_t started_ns = clock_mono_ns(), moved_ns = started_ns, shown_ns = started_ns;
	uint64_t told = 0, total = 0;
	int result = status_get(run, &run->status);

	if (result < 0)
		return result;
	total = number_of(run->status, "hits", "total") - number_of(run->status, "hits", "repeats");
	run->mass_at_end = suite_subscriber_hits(run->subscribers[MASS]);
	run->behind = total - told_of(run);
	while ((told = told_of(run)) < total && clock_mono_ns() - moved_ns < DRAIN_NS) {
		if (suite_room_stopped())
			return err_set(run->err, -ECANCELED, "interrupted");
		(void)poll(NULL, 0, TICK_MS);
		if (told_of(run) > told)
			moved_ns = clock_mono_ns();
		if (clock_mono_ns() - shown_ns < SECOND_NS)
			continue;
		shown_ns = clock_mono_ns();
		fprintf(stderr, "hits: %s: %llu hits to catch up with\n", run->traffic->name,
			(unsigned long long)(total - told));
	}
	run->catch_up_s = (double)(moved_ns - started_ns) / 1e9;
	run->stuck = told < total;
	json_decref(run->status);
	run->status = NULL;
	return status_get(run, &run->status);
}

static void show(const struct hits_run *run)
{
	fprintf(stderr, "hits: %s: urgent p99 %.1f ms; mass list told %llu hits, %llu of them afterwards in %.1f s\n",
		run->traffic->name, run->told[URGENT].p99_ms, (unsigned long long)run->told[MASS].hits,
		(unsigned long long)run->behind, run->catch_up_s);
}

static int measure(struct hits_run *run)
{
	int result = prepare(run);

	if (result == 0)
		result = send_reads(run);
	if (result == 0)
		result = drain(run);
	for (unsigned i = 0; i < SUBSCRIBERS; i++) {
		int ended = 0;

		run->subscribers[i] = suite_subscriber_end(run->subscribers[i], &run->told[i], &ended);
		if (result == 0 && ended < 0)
			result = err_set(run->err, ended, "%s: its subscriber %s was cut off: %s", run->traffic->name,
					 names[i], strerror(-ended));
	}
	suite_appliance_end(&run->appliance);
	if (result == 0)
		show(run);
	if (!run->room->keep)
		(void)suite_room_remove(run->room, run->traffic->name);
	return result;
}

/* ---- what it tells */

/* R20: of all that were acknowledged in the last hour. */
static double within_2s(const json_t *status)
{
	double count = 0, within = 0;
	const json_t *row;
	size_t i;

	json_array_foreach(json_object_get(json_object_get(status, "hits"), "r20"), i, row)
	{
		const json_t *hour = json_object_get(row, "hour");
		double hits = (double)json_integer_value(json_object_get(hour, "hits"));

		count += hits;
		within += hits * json_number_value(json_object_get(hour, "within_2s_percent"));
	}
	return count > 0 ? within / count : 0.0 / 0.0;
}

/* Hits that nobody was told of, and numbers that cannot be. */
static uint64_t wrong_of(const struct hits_run *run)
{
	uint64_t total = number_of(run->status, "hits", "total") - number_of(run->status, "hits", "repeats");
	uint64_t told = run->told[URGENT].hits + run->told[MASS].hits;

	return (told > total ? told - total : total - told) + run->told[URGENT].alien + run->told[MASS].alien;
}

static void row_add(struct hits_run *run, json_t *rows, uint64_t *wrong)
{
	double seconds = json_number_value(json_object_get(run->fleet, "seconds"));
	double total = (double)number_of(run->status, "hits", "total");
	const struct suite_told *urgent = &run->told[URGENT], *mass = &run->told[MASS];
	json_t *row = json_object();

	suite_report_text(row, "traffic", run->traffic->name);
	suite_report_real(row, "reads_per_s", json_number_value(json_object_get(run->fleet, "reads_per_s")));
	suite_report_real(row, "hits_per_s", total / seconds);
	suite_report_integer(row, "urgent_hits", (long long)urgent->hits);
	suite_report_real(row, "p50_ms", urgent->p50_ms);
	suite_report_real(row, "p99_ms", urgent->p99_ms);
	suite_report_real(row, "max_ms", urgent->max_ms);
	suite_report_integer(row, "mass_hits", (long long)mass->hits);
	suite_report_real(row, "mass_p99_ms", mass->p99_ms);
	suite_report_real(row, "mass_told_per_s", (double)run->mass_at_end / seconds);
	suite_report_integer(row, "mass_behind", (long long)run->behind);
	suite_report_real(row, "catch_up_s", run->catch_up_s);
	suite_report_real(row, "within_2s_pc", within_2s(run->status));
	suite_report_integer(row, "again", (long long)(urgent->again + mass->again));
	suite_report_integer(row, "not_told", (long long)wrong_of(run));
	(void)json_array_append_new(rows, row);
	*wrong += wrong_of(run);
}

/* The figures that are asked for, by name, from the rows. */
static void summary_add(json_t *report, const json_t *rows)
{
	const json_t *row;
	size_t i;

	json_array_foreach(rows, i, row)
	{
		const char *traffic = json_string_value(json_object_get(row, "traffic"));
		char name[64];

		(void)snprintf(name, sizeof(name), "%s_p99_ms", traffic);
		suite_report_real(report, name, json_number_value(json_object_get(row, "p99_ms")));
		(void)snprintf(name, sizeof(name), "%s_hits_per_s", traffic);
		suite_report_real(report, name, json_number_value(json_object_get(row, "hits_per_s")));
	}
}

static int run_all(const struct suite_options *options, const struct population *population, struct suite_room *room,
		   json_t *rows, uint64_t *wrong, struct err *err)
{
	const struct traffic traffics[] = {
		{"calm", CALM_RATE < options->ingest_rate ? CALM_RATE : options->ingest_rate, 40},
		{"busy", options->ingest_rate, 40},
		{"flood", options->ingest_rate, 420}};
	int result = 0;

	for (size_t i = 0; i < sizeof(traffics) / sizeof(traffics[0]) && result == 0; i++) {
		struct hits_run run = {.options = options,
				       .traffic = &traffics[i],
				       .population = population,
				       .room = room,
				       .err = err};

		result = measure(&run);
		if (result == 0)
			row_add(&run, rows, wrong);
		json_decref(run.fleet);
		json_decref(run.status);
	}
	return result;
}

int suite_hits(const struct suite_options *options, int *ret_status, struct err *err)
{
	struct fleet_settings settings;
	struct population population;
	struct suite_room room;
	uint64_t wrong = 0;
	json_t *report, *rows;
	int result = suite_room_take(options->data, options->keep, suite_options_bytes(options), &room, err);

	if (result < 0)
		return result;
	fleet_settings_init(&settings);
	result = population_init(&population, options->vehicles, settings.foreign_permille, options->seed);
	if (result < 0) {
		suite_room_leave(&room);
		return err_set(err, result, "vehicles: %s", strerror(-result));
	}
	fprintf(stderr, "hits: working in %s, up to %.1f GB\n", room.path, (double)suite_options_bytes(options) / 1e9);
	report = suite_report_new(options, room.path);
	rows = json_array();
	(void)json_object_set_new(report, "traffics", rows);
	result = run_all(options, &population, &room, rows, &wrong, err);
	if (result == 0) {
		summary_add(report, rows);
		suite_report_integer(report, "wrong", (long long)wrong);
		result = suite_report_print(report, options->json);
		*ret_status = wrong > 0;
	}
	json_decref(report);
	population_fini(&population);
	suite_room_leave(&room);
	return result;
}
