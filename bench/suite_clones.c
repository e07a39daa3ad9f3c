/*
 * gantry-bench clones: how many planted clones the detector (appliance/clones.h) finds in a day, what else it raises,
 * and what a read costs. Several detectors look at the same reads, so that rows are comparable.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "appliance/cells.h"
#include "appliance/clones.h"
#include "bench/suite_clones_truth.h"
#include "bench/suite_commands.h"
#include "bench/suite_options.h"
#include "bench/suite_reads.h"
#include "bench/suite_report.h"
#include "storage/register_records.h"

#define DAY 20779
#define READS_ROOM 4096
#define BURST 896 /* 32 datagrams of 28: what a worker meets under load */

/* The appliance's defaults (clones.* of appliance/config.c). */
#define SPEED_KMH 250
#define SLACK_S 60
#define DISTANCE_M 10000

/* They, and what they are compared with. */
static const struct {
	uint8_t sightings;
	uint8_t confidence;
	size_t size;
} kinds[] = {
	{2, 0, (size_t)64 << 20},  {2, 80, (size_t)64 << 20}, {1, 0, (size_t)64 << 20},
	{1, 80, (size_t)64 << 20}, {2, 0, (size_t)1 << 20},
};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))
#define KIND_DEFAULT 0

struct detector {
	struct clones clones;
	struct clones_counts counts;
	int64_t ns;
	uint64_t of[3];          /* hits, by enum clone_truth */
	uint64_t vehicles_of[3]; /* keys that were raised, by the same */
	uint8_t *raised;         /* by plate of the world */
	uint64_t strangers;      /* false hits of keys that no vehicle bears: both sides were read wrongly alike */
};

struct bench {
	const struct suite_options *options;
	struct suite_fleet fleet;
	struct clone_world world;
	struct places places;
	struct detector detectors[KINDS];
	uint64_t reads;
	struct hit hits[BURST];
	uint32_t at[READS_ROOM];
	struct read batch[READS_ROOM];
};

static int places_make(struct bench *bench)
{
	static const uint8_t types[CAMERA_TYPES] = {REG_CAMERA_FIXED, REG_CAMERA_FIXED, REG_CAMERA_PORTABLE,
						    REG_CAMERA_MOBILE};
	const struct cameras *cameras = &bench->fleet.fleet.cameras;
	int result = places_init(&bench->places, cameras->count);

	for (uint32_t i = 0; i < cameras->count && result == 0; i++)
		places_add(&bench->places, i + 1,
			   (struct area_point){cameras->table[i].lat_e7, cameras->table[i].lon_e7},
			   types[cameras->table[i].type], 0);
	return result;
}

static int detectors_make(struct bench *bench)
{
	int result = 0;

	for (size_t i = 0; i < KINDS && result == 0; i++) {
		struct detector *detector = &bench->detectors[i];

		detector->clones.settings = (struct clones_settings){.speed_kmh = SPEED_KMH,
								     .slack_s = SLACK_S,
								     .distance_m = DISTANCE_M,
								     .confidence = kinds[i].confidence,
								     .sightings = kinds[i].sightings};
		detector->raised = calloc(bench->world.count, 1);
		result = detector->raised != NULL ? cells_new(kinds[i].size, &detector->clones.cells) : -ENOMEM;
	}
	return result;
}

static int bench_init(struct bench *bench, const struct suite_options *options)
{
	const struct suite_fleet_options fleet = {.seed = options->seed,
						  .cameras = options->cameras,
						  .vehicles = options->vehicles,
						  .feeds = options->feeds,
						  .clones = options->planted};
	int result = suite_fleet_init(&bench->fleet, &fleet);

	bench->options = options;
	if (result == 0)
		result = clone_world_init(&bench->world, &bench->fleet.fleet);
	if (result == 0)
		result = places_make(bench);
	return result == 0 ? detectors_make(bench) : result;
}

static struct bench *bench_free(struct bench *bench)
{
	for (size_t i = 0; i < KINDS; i++) {
		(void)cells_free(bench->detectors[i].clones.cells);
		free(bench->detectors[i].raised);
	}
	places_fini(&bench->places);
	clone_world_fini(&bench->world);
	suite_fleet_fini(&bench->fleet);
	free(bench);
	return NULL;
}

static void count_hit(const struct bench *bench, struct detector *detector, const struct read *read)
{
	const struct clone_plate *plate = clone_world_find(&bench->world, read->key);
	enum clone_truth truth = clone_world_judge(plate);

	detector->of[truth]++;
	detector->strangers += plate == NULL;
	if (plate == NULL || detector->raised[plate - bench->world.plates] != 0)
		return;
	detector->raised[plate - bench->world.plates] = 1;
	detector->vehicles_of[truth]++;
}

/* Of this thread: what else the machine does is not counted. */
static int64_t processor_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void look(struct bench *bench, struct detector *detector, size_t count)
{
	for (size_t first = 0; first < count; first += BURST) {
		size_t burst = count - first < BURST ? count - first : BURST;
		int64_t started_ns = processor_ns();
		size_t found = clones_judge(&detector->clones, &bench->places, bench->batch + first, bench->at + first,
					    burst, bench->hits, &detector->counts);

		detector->ns += processor_ns() - started_ns;
		for (size_t i = 0; i < found; i++)
			count_hit(bench, detector, &bench->batch[first + bench->hits[i].row]);
	}
}

static int day_run(struct bench *bench)
{
	struct suite_day *day;
	int result = suite_day_new(&bench->fleet, DAY, bench->options->day_reads, &day);
	size_t count;

	if (result < 0)
		return result;
	while (result == 0 && (count = suite_day_next(day, bench->batch, READS_ROOM)) > 0) {
		bench->reads += count;
		for (size_t i = 0; i < count; i++) {
			const struct read *read = &bench->batch[i];

			bench->at[i] = places_find(&bench->places, read->camera);
			/* As the detector does: a camera that moves is not remembered. */
			if (result == 0 && read->kind == READ_KIND_VRM && (read->flags & READ_FLAG_POSITION) == 0)
				result = clone_world_saw(&bench->world, read);
		}
		for (size_t i = 0; i < KINDS; i++)
			look(bench, &bench->detectors[i], count);
	}
	(void)suite_day_free(day);
	return result;
}

static double percent(uint64_t part, uint64_t of)
{
	return of > 0 ? 100.0 * (double)part / (double)of : 0.0 / 0.0;
}

/* Of the planted that can be caught: how many the detector raised, in percent. */
static double found_of(const struct bench *bench, const struct detector *detector)
{
	uint64_t catchable = 0, found = 0;

	for (size_t i = 0; i < bench->world.count; i++) {
		catchable += bench->world.plates[i].catchable;
		found += bench->world.plates[i].catchable && detector->raised[i] != 0;
	}
	return percent(found, catchable);
}

static void row_add(const struct bench *bench, const struct detector *detector, size_t kind, json_t *rows)
{
	uint64_t hits = detector->of[CLONE_FALSE] + detector->of[CLONE_PLANTED] + detector->of[CLONE_CHANCE];
	uint64_t vehicles = detector->vehicles_of[CLONE_FALSE] + detector->vehicles_of[CLONE_PLANTED] +
			    detector->vehicles_of[CLONE_CHANCE];
	json_t *row = json_object();

	suite_report_integer(row, "sightings", kinds[kind].sightings);
	suite_report_integer(row, "confidence", kinds[kind].confidence);
	suite_report_integer(row, "memory_mib", (long long)(kinds[kind].size >> 20));
	suite_report_real(row, "found_percent", found_of(bench, detector));
	suite_report_integer(row, "hits", (long long)hits);
	suite_report_integer(row, "false_hits", (long long)detector->of[CLONE_FALSE]);
	suite_report_real(row, "false_percent", percent(detector->of[CLONE_FALSE], hits));
	suite_report_integer(row, "false_vrms", (long long)detector->vehicles_of[CLONE_FALSE]);
	suite_report_real(row, "of_vrms_pc", percent(detector->vehicles_of[CLONE_FALSE], vehicles));
	suite_report_integer(row, "no_vehicle", (long long)detector->strangers);
	suite_report_integer(row, "chance_vrms", (long long)detector->vehicles_of[CLONE_CHANCE]);
	suite_report_real(row, "ns_per_read", (double)detector->ns / (double)bench->reads);
	suite_report_integer(row, "evicted", (long long)detector->counts.evicted);
	(void)json_array_append_new(rows, row);
}

static int tell(struct bench *bench)
{
	const struct detector *usual = &bench->detectors[KIND_DEFAULT];
	json_t *report = suite_report_new(bench->options, ".");
	json_t *rows = json_array();
	int result;

	suite_report_integer(report, "reads", (long long)bench->reads);
	suite_report_integer(report, "planted", bench->world.planted);
	suite_report_integer(report, "catchable",
			     (long long)clone_world_catchable(&bench->world, SPEED_KMH, SLACK_S, DISTANCE_M));
	for (size_t i = 0; i < KINDS; i++)
		row_add(bench, &bench->detectors[i], i, rows);
	(void)json_object_set_new(report, "detectors", rows);
	suite_report_real(report, "found_percent", found_of(bench, usual));
	suite_report_real(report, "false_percent",
			  percent(usual->of[CLONE_FALSE],
				  usual->of[CLONE_FALSE] + usual->of[CLONE_PLANTED] + usual->of[CLONE_CHANCE]));
	suite_report_real(report, "ns_per_read", (double)usual->ns / (double)bench->reads);
	suite_report_real(report, "reads_per_s", (double)bench->reads * 1e9 / (double)usual->ns);
	result = suite_report_print(report, bench->options->json);
	json_decref(report);
	return result;
}

int suite_clones(const struct suite_options *options, int *ret_status, struct err *err)
{
	struct bench *bench = calloc(1, sizeof(*bench));
	int result = -ENOMEM;

	fprintf(stderr, "clones: making vehicles that drive; nothing is written to disk\n");
	if (bench != NULL)
		result = bench_init(bench, options);
	if (result == 0)
		result = day_run(bench);
	if (result == 0)
		result = tell(bench);
	else
		(void)err_set(err, result, "clones: %s", strerror(-result));
	if (bench != NULL)
		(void)bench_free(bench);
	*ret_status = 0;
	return result;
}
