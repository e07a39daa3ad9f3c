/*
 * Searchers ask all the time while days are sealed into, merged and rewritten under them: every answer is the one
 * answer. Meant for ThreadSanitizer as well. Also how fast a merge is.
 */
#include "storage/rewrite.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LOG_MODULE "test"
#include "appliance/base/clock.h"
#include "appliance/base/log.h"
#include "storage/io.h"
#include "storage/search.h"
#include "storage/segment_write.h"
#include "storage/store_internal.h"
#include "storage/tidier.h"
#include "tests/check.h"
#include "tests/storage/segment_fixture.h"
#include "tests/storage/store_rig.h"

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define SPEED_ROWS 60000
#define TURNS 12
#else
#define SPEED_ROWS 1000000
#define TURNS 40
#endif
#define SPEED_PARENTS 8
#define ROWS 4000
#define DAYS 2

struct stage {
	struct rig rig;
	struct io *io;
	struct read *rows; /* all that are ever in; without copies */
	size_t count;
	atomic_bool stop;
	atomic_uint searches;
	atomic_uint wrong;
	char what[200]; /* the first thing that was wrong; its writer is who made `wrong` 1 */
	uint64_t next_id;
};

static void stage_open(struct stage *stage)
{
	struct key_change identity = {.id = {.id = 0, .day = KEY_DAY_NONE, .kind = KEY_IDENTITY}};
	char directory[512];

	CHECK_INT(0, io_real_new_plain(&stage->io));
	snprintf(directory, sizeof(directory), "%s/data", check_directory());
	rig_init(&stage->rig, stage->io, directory, directory, check_seed());
	stage->rig.options.db_directory = NULL;
	stage->rig.options.workers = 1;
	stage->next_id = 1;
	if (rig_open(&stage->rig) != 0)
		check_note("%s", stage->rig.err.text);
	CHECK(stage->rig.store != NULL);
	CHECK_INT(0, keyring_change(store_keyring(stage->rig.store), &identity, 1));
}

static void stage_close(struct stage *stage)
{
	CHECK_INT(0, rig_close(&stage->rig, true));
	io_real_free(stage->io);
	free(stage->rows);
	free(stage);
}

/* As the sealer does it, under the lock that a view takes. */
static void put_segment(struct stage *stage, int32_t day, const struct read *rows, size_t count)
{
	struct store *store = stage->rig.store;
	const struct read **pointers = calloc(count + 1, sizeof(const struct read *));
	uint64_t lineage = stage->next_id + 1000000;
	struct segment_input input = {.id = stage->next_id++,
				      .day = day,
				      .key_version = 1,
				      .lineage_kind = SEGMENT_FROM_JOURNALS,
				      .lineage = &lineage,
				      .lineage_count = 1,
				      .rows = pointers};
	struct key_change make = {.id = {.id = input.id, .day = day, .kind = KEY_SEGMENT}};
	struct segment_summary *summary = malloc(sizeof(*summary));
	struct catalog_seal seal = {.journal_id = lineage, .segments = summary, .segment_count = 1};

	CHECK(pointers != NULL && summary != NULL);
	for (size_t i = 0; i < count; i++)
		if (read_day(rows[i].capture_us) == day)
			pointers[input.row_count++] = &rows[i];
	if (input.row_count > 0) {
		CHECK_INT(0, keyring_change(store->keyring, &make, 1));
		CHECK_INT(0, segment_write(store->io, store->keyring, store->segments_directory, &input,
					   &stage->rig.err, summary));
		memtable_lock(store->memtable);
		CHECK_INT(0, catalog_seal(store->catalog, &seal));
		memtable_unlock(store->memtable);
	}
	free(summary);
	free(pointers);
}

struct answer {
	uint64_t hash; /* order counts */
	uint64_t count;
};

static int hash_row(void *context, const struct read *read, const char public_id[SEARCH_PUBLIC_ID_SIZE])
{
	struct answer *answer = context;

	for (size_t i = 0; i < 32; i++)
		answer->hash = (answer->hash ^ (uint8_t)public_id[i]) * 1099511628211u;
	for (size_t i = 0; i < sizeof(*read); i++)
		answer->hash = (answer->hash ^ ((const uint8_t *)read)[i]) * 1099511628211u;
	answer->count++;
	return 0;
}

static bool ask(struct stage *stage, struct answer *ret_answer, char what[200])
{
	struct search_query query = {.from_us = INT64_MIN, .to_us = INT64_MAX, .limit = SEARCH_LIMIT_MAX};
	struct search_result *result = calloc(1, sizeof(*result));
	struct err err = {""};
	bool well;

	if (result == NULL)
		return false;
	*ret_answer = (struct answer){0};
	well = search_run(store_views(stage->rig.store), &query, &err, hash_row, ret_answer, result) == 0 &&
	       !result->incomplete;
	if (!well)
		snprintf(what, 200, "%.90s %.90s", err.text, result->faults > 0 ? result->fault[0].err.text : "");
	free(result);
	return well;
}

struct searcher {
	struct stage *stage;
	struct answer expected;
};

static void *search_on(void *context)
{
	struct searcher *searcher = context;
	struct stage *stage = searcher->stage;
	struct answer answer;
	char what[200] = "another answer";

	while (!atomic_load(&stage->stop)) {
		bool well = ask(stage, &answer, what) && answer.count == searcher->expected.count &&
			    answer.hash == searcher->expected.hash;

		if (!well && atomic_fetch_add(&stage->wrong, 1) == 0)
			memcpy(stage->what, what, sizeof(what));
		atomic_fetch_add(&stage->searches, 1);
	}
	return NULL;
}

/* Copies of what is there already, by another feed: they collapse, whatever they meet. */
static void put_copies(struct stage *stage, struct prng *prng)
{
	struct read copies[60];

	for (unsigned i = 0; i < 60; i++) {
		do
			copies[i] = stage->rows[prng_below(prng, stage->count)];
		while (copies[i].kind != READ_KIND_VRM);
		copies[i].feed = 99;
	}
	for (int32_t day = 0; day < DAYS; day++)
		put_segment(stage, stage->rig.first_day + day, copies, 60);
}

static int keep(void *context, const struct read *row)
{
	(void)context;
	(void)row;
	return 0;
}

static void rewrite_one(struct stage *stage, struct prng *prng)
{
	struct rewrite_rule rule = {.row = keep};
	struct rewrite_result done;
	struct catalog_segment *segments;
	size_t count;

	rewrite_lock(stage->rig.store);
	CHECK_INT(0, catalog_segments(store_catalog(stage->rig.store), INT32_MIN, INT32_MAX, &segments, &count));
	if (count > 0) {
		const struct catalog_segment *which = &segments[prng_below(prng, count)];

		CHECK(rewrite_segments(stage->rig.store, which->day, &which->id, 1, &rule, &stage->rig.err, &done) >=
		      0);
	}
	free(segments);
	rewrite_unlock(stage->rig.store);
}

static void searches_do_not_notice(void)
{
	struct stage *stage = calloc(1, sizeof(*stage));
	struct prng prng = {check_seed()};
	struct searcher searchers[2];
	pthread_t threads[2];
	char what[200];

	CHECK(stage != NULL);
	stage_open(stage);
	stage->rows = calloc(ROWS, sizeof(*stage->rows));
	for (size_t i = 0; i < ROWS; i++) {
		stage->rows[i] = fixture_read(&prng, stage->rig.first_day + (int32_t)prng_below(&prng, DAYS));
		stage->rows[i].capture_us += (int64_t)prng_below(&prng, 2000000000);
	}
	stage->count = fixture_collapse(stage->rows, ROWS);
	for (unsigned part = 0; part < 6; part++)
		for (int32_t day = 0; day < DAYS; day++)
			put_segment(stage, stage->rig.first_day + day, &stage->rows[part * (stage->count / 6)],
				    part == 5 ? stage->count - 5 * (stage->count / 6) : stage->count / 6);
	for (unsigned t = 0; t < 2; t++) {
		searchers[t].stage = stage;
		CHECK(ask(stage, &searchers[t].expected, what));
		CHECK_INT(stage->count, searchers[t].expected.count);
		CHECK_INT(0, pthread_create(&threads[t], NULL, search_on, &searchers[t]));
	}
	for (unsigned turn = 0;
	     (turn < TURNS || (turn < 500 && atomic_load(&stage->searches) < 20)) && atomic_load(&stage->wrong) == 0;
	     turn++) {
		if (turn % 3 == 0)
			put_copies(stage, &prng);
		if (turn % 3 == 1)
			rewrite_one(stage, &prng);
		CHECK(tidier_round(stage->rig.store) >= 0);
		CHECK_INT(0, store_seal_all(stage->rig.store, 0)); /* the sealer's round pays what views let go of */
		usleep(3000);
	}
	atomic_store(&stage->stop, true);
	for (unsigned t = 0; t < 2; t++)
		CHECK_INT(0, pthread_join(threads[t], NULL));
	if (atomic_load(&stage->wrong) > 0)
		check_note("%s", stage->what);
	CHECK_INT(0, atomic_load(&stage->wrong));
	CHECK(atomic_load(&stage->searches) >= 20);
	CHECK(stage->rig.store->tidy.rewrites > 3);
	printf("\n    %u searches beside %llu rewritings ", atomic_load(&stage->searches),
	       (unsigned long long)stage->rig.store->tidy.rewrites);
	stage_close(stage);
}

struct preempt {
	struct stage *stage;
	int64_t waited_ns;
};

static void *purger(void *context)
{
	struct preempt *preempt = context;
	int64_t start_ns = clock_mono_ns();

	usleep(20000);
	start_ns = clock_mono_ns();
	rewrite_preempt(preempt->stage->rig.store);
	preempt->waited_ns = clock_mono_ns() - start_ns;
	rewrite_unlock(preempt->stage->rig.store);
	return NULL;
}

/* A purge that comes in the middle of a merge has the mutex at once; the merge is done later. */
static void merges_are_fast_and_give_way(void)
{
	struct stage *stage = calloc(1, sizeof(*stage));
	struct prng prng = {check_seed()};
	struct preempt preempt = {.stage = stage};
	struct read *rows = calloc(SPEED_ROWS / SPEED_PARENTS, sizeof(*rows));
	struct store_status *status = calloc(1, sizeof(*status));
	pthread_t thread;
	int result;

	CHECK(stage != NULL && rows != NULL && status != NULL);
	stage_open(stage);
	for (unsigned parent = 0; parent < SPEED_PARENTS; parent++) {
		for (size_t i = 0; i < SPEED_ROWS / SPEED_PARENTS; i++) {
			uint64_t vehicle = prng_below(&prng, 400000);

			rows[i] = (struct read){.camera = 1 + (uint32_t)prng_below(&prng, 8000),
						.feed = 1 + (uint32_t)prng_below(&prng, 40),
						.epoch = 1,
						.confidence = (uint8_t)prng_below(&prng, 101),
						.direction = 1,
						.country = 'G' | 'B' << 8,
						.capture_us = (int64_t)stage->rig.first_day * DAY_US +
							      (int64_t)prng_below(&prng, (uint64_t)DAY_US)};
			rows[i].receipt_us = rows[i].capture_us + 200000 + (int64_t)prng_below(&prng, 1000000);
			for (unsigned c = 0; c < 7; c++, vehicle /= 7)
				rows[i].key[c] = rows[i].text[c] = (uint8_t)('A' + (vehicle * 7 + c) % 26);
		}
		put_segment(stage, stage->rig.first_day, rows, SPEED_ROWS / SPEED_PARENTS);
	}
	CHECK_INT(0, pthread_create(&thread, NULL, purger, &preempt));
	result = tidier_round(stage->rig.store);
	CHECK_INT(0, pthread_join(thread, NULL));
	CHECK(result == -ECANCELED || result == TIDIER_MORE);
	CHECK(preempt.waited_ns < INT64_C(2000000000));
	if (result == -ECANCELED)
		CHECK_INT(TIDIER_MORE, tidier_round(stage->rig.store));
	CHECK_INT(0, store_status(stage->rig.store, status));
	CHECK_INT(SPEED_ROWS, status->tidy.last_rows);
	CHECK_INT(SPEED_PARENTS, status->tidy.last_parents);
	printf("\n    %d reads of %d segments: %.2f s, %.1f M reads/s, %.1f bytes/read; a purge waited %.1f ms ",
	       SPEED_ROWS, SPEED_PARENTS, (double)status->tidy.last_ns / 1e9,
	       SPEED_ROWS * 1e3 / (double)status->tidy.last_ns, (double)status->tidy.last_bytes / SPEED_ROWS,
	       (double)preempt.waited_ns / 1e6);
	free(status);
	free(rows);
	stage_close(stage);
}

/* The thread does it by itself. */
static void the_thread_merges(void)
{
	struct stage *stage = calloc(1, sizeof(*stage));
	struct prng prng = {check_seed()};
	struct read rows[100];
	struct catalog_info info = {0};

	CHECK(stage != NULL);
	stage_open(stage);
	for (unsigned part = 0; part < 3; part++) {
		for (unsigned i = 0; i < 100; i++)
			rows[i] = fixture_read(&prng, stage->rig.first_day);
		put_segment(stage, stage->rig.first_day, rows, 100);
	}
	CHECK_INT(0, rig_close(&stage->rig, false));
	stage->rig.options.threads_off = false;
	CHECK_INT(0, rig_open(&stage->rig));
	for (unsigned i = 0; i < 3000 && info.segments != 1; i++) {
		usleep(1000);
		CHECK_INT(0, catalog_info(store_catalog(stage->rig.store), &info));
	}
	CHECK_INT(1, info.segments);
	stage_close(stage);
}

int main(int argc, char **argv)
{
	static const struct check_test tests[] = {{"searches do not notice merges", searches_do_not_notice},
						  {"merges are fast and give way", merges_are_fast_and_give_way},
						  {"the thread merges", the_thread_merges},
						  {NULL, NULL}};

	log_level_set(LOG_LEVEL_ERROR);
	return check_main(argc, argv, "storage rewrite, searched", tests);
}
