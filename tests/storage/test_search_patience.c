/* Searches that take long, of any kind: cancelled, told of, and those that are not begun at all. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/area.h"
#include "appliance/base/glob.h"
#include "storage/search.h"
#include "tests/check.h"
#include "tests/storage/search_plates.h"
#include "tests/storage/search_world.h"

struct patience {
	unsigned asked;
	unsigned given; /* looks before it is cancelled */
	uint64_t done;
	uint64_t reads;
	unsigned told;
};

static bool lose_patience(void *context)
{
	struct patience *patience = context;

	return patience->asked++ >= patience->given;
}

static void note_progress(void *context, uint64_t done, uint64_t reads)
{
	struct patience *patience = context;

	CHECK(done > patience->done && done <= reads);
	patience->done = done;
	patience->reads = reads;
	patience->told++;
}

/* A long search of any plan ends soon after it is cancelled, wherever it is; until then it tells how far it is. */
static void long_searches_are_cancelled(void)
{
	struct prng prng = {check_seed()};
	struct search_result *result = calloc(1, sizeof(*result));
	struct read *rows = calloc(ROWS_MAX, sizeof(*rows));
	uint32_t cameras[] = {1, 2, 3};
	struct patience patience = {0};
	struct search_query query = {.from_us = INT64_MIN,
				     .to_us = INT64_MAX,
				     .count_only = true,
				     .cancelled = lose_patience,
				     .progress = note_progress,
				     .context = &patience,
				     .fold = &plate_misreads};
	struct world world;
	struct err err = {""};
	struct glob glob;

	world_init(&world);
	for (size_t i = 0; i < ROWS_MAX; i++) {
		rows[i] = plate_read(&prng, FIXTURE_DAY + (int32_t)(i % DAYS));
		rows[i].receipt_us += (int64_t)i;
	}
	put_segments(&world, rows, ROWS_MAX);
	(void)put_memory(&world, rows, ROWS_MAX / 2);
	CHECK_INT(0, glob_compile("*1*", 3, &glob));
	for (unsigned kind = 0; kind < 4; kind++) {
		query.key_glob = kind == 1 ? &glob : NULL;
		query.folded_glob = kind == 2 ? &glob : NULL;
		query.cameras = kind == 3 ? cameras : NULL;
		query.camera_count = kind == 3 ? 3 : 0;
		for (patience.given = 0; patience.given < 3; patience.given++) {
			patience.asked = 0;
			patience.done = 0;
			CHECK_INT(0, search_run(world.views, &query, &err, NULL, NULL, result));
			if (result->stop == SEARCH_DONE)
				break; /* it was over before */
			CHECK_INT(SEARCH_CANCELLED, result->stop);
			CHECK(result->incomplete);
			CHECK_INT(patience.given + 1, patience.asked);
			CHECK(result->rows_seen < 10000 * (uint64_t)(patience.given + 2));
		}
		CHECK(patience.given > 0);
		patience.given = UINT32_MAX;
		patience.asked = patience.told = 0;
		patience.done = 0;
		CHECK_INT(0, search_run(world.views, &query, &err, NULL, NULL, result));
		CHECK_INT(SEARCH_DONE, result->stop);
		CHECK_INT(patience.reads, patience.done);
		CHECK(patience.told >= DAYS);
	}
	free(rows);
	free(result);
	world_fini(&world);
}

/* A day may be 40 M reads: it is not all or nothing, whatever is looked at to get through it. */
static void progress_is_told_within_a_day(void)
{
	struct prng prng = {check_seed()};
	struct patience patience = {.given = UINT32_MAX};
	struct search_query query = {.from_us = (int64_t)FIXTURE_DAY * DAY_US,
				     .to_us = (int64_t)(FIXTURE_DAY + 1) * DAY_US,
				     .count_only = true,
				     .cancelled = lose_patience,
				     .progress = note_progress,
				     .context = &patience,
				     .fold = &plate_misreads};
	struct glob globs[2];
	struct trial trial;

	trial_init(&trial);
	for (size_t i = 0; i < ROWS_MAX; i++) {
		trial.rows[i] = plate_read(&prng, FIXTURE_DAY);
		trial.rows[i].receipt_us += (int64_t)i;
	}
	put_segments(&trial.world, trial.rows, ROWS_MAX);
	CHECK_INT(0, glob_compile("*1*", 3, &globs[0]));
	CHECK_INT(0, glob_compile("*", 1, &globs[1]));
	for (unsigned kind = 0; kind < 3; kind++) {
		query.key_glob = kind > 0 ? &globs[kind - 1] : NULL;
		patience.told = 0;
		patience.done = 0;
		CHECK_INT(0, trial_search(&trial, &query));
		CHECK_INT(SEARCH_DONE, trial.result->stop);
		CHECK(patience.reads > ROWS_MAX / 2); /* equal ones collapse */
		CHECK_INT(patience.reads, patience.done);
		CHECK(patience.told >= 3);
	}
	trial_fini(&trial);
}

static void questions_out_of_bounds_are_refused(void)
{
	struct search_query query = {.from_us = 0, .to_us = 1, .count_only = true, .fold = &plate_misreads};
	struct search_result *result = calloc(1, sizeof(*result));
	struct world world;
	struct err err = {""};
	struct area area;
	struct glob glob;

	world_init(&world);
	CHECK_INT(0, glob_compile("A", 1, &glob));
	CHECK_INT(0, area_circle_parse("0,0,1", &err, &area));
	query.folded_glob = query.key_glob = &glob;
	CHECK_INT(-EINVAL, search_run(world.views, &query, &err, NULL, NULL, result));
	query.key_glob = NULL;
	query.not_read = true;
	CHECK_INT(-EINVAL, search_run(world.views, &query, &err, NULL, NULL, result));
	query.not_read = false;
	query.keyless = true;
	CHECK_INT(-EINVAL, search_run(world.views, &query, &err, NULL, NULL, result));
	query.keyless = false;
	query.fold = NULL;
	CHECK_INT(-EINVAL, search_run(world.views, &query, &err, NULL, NULL, result));
	query.folded_glob = NULL;
	query.area = &area;
	CHECK_INT(-EINVAL, search_run(world.views, &query, &err, NULL, NULL, result));
	query.area = NULL;
	CHECK_INT(0, search_run(world.views, &query, &err, NULL, NULL, result));
	free(result);
	world_fini(&world);
}

int main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{"long searches are cancelled", long_searches_are_cancelled},
		{"progress is told within a day", progress_is_told_within_a_day},
		{"questions out of bounds are refused", questions_out_of_bounds_are_refused},
		{NULL, NULL},
	};

	return check_main(argc, argv, "search patience", tests);
}
