#include "bench/suite_ingest.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "appliance/base/clock.h"
#include "bench/suite_append.h"
#include "bench/suite_reads.h"
#include "bench/suite_room.h"
#include "matcher/vrm.h"
#include "storage/io.h"
#include "storage/journal.h"
#include "storage/memtable.h"
#include "storage/search.h"
#include "storage/store.h"

#define BLOCK_READS 8192 /* generated at a time */
#define IDLE_NS 100000
#define RATE_TOLERANCE 0.98
#define MEMTABLE_FULL 0.9
#define SEAL_WAIT_NS INT64_C(60000000000)
#define HEAVY "*7*K*" /* no prefix, no length: every key of the day is looked at */

struct ingest {
	const struct suite_ingest_options *options;
	struct store *store;
	struct suite_appender appender;
	struct suite_day *day;
	struct read *reads; /* generated, [at, count) not appended */
	size_t at;
	size_t count;
	uint64_t offered;
	uint64_t memtable_rows; /* not sealed, as last seen */
	struct suite_ingest result;
};

/* ---- the searching thread */

struct searching {
	struct store *store;
	int32_t day;
	atomic_bool stop;
	uint64_t answered; /* its own until it is joined */
	pthread_t thread;
	bool runs;
};

static bool searching_cancelled(void *context)
{
	struct searching *searching = context;

	return atomic_load(&searching->stop);
}

static void *searching_main(void *argument)
{
	struct searching *searching = argument;
	struct search_result *result = malloc(sizeof(*result));
	struct glob glob;
	struct search_query query = {.key_glob = &glob,
				     .from_us = searching->day * DAY_US,
				     .to_us = (searching->day + 1) * DAY_US,
				     .cancelled = searching_cancelled,
				     .context = searching,
				     .count_only = true,
				     .limit = 1};

	if (result == NULL || vrm_pattern_key(HEAVY, sizeof(HEAVY) - 1, NULL, &glob) < 0) {
		free(result);
		return NULL;
	}
	while (!atomic_load(&searching->stop)) {
		if (search_run(store_views(searching->store), &query, NULL, NULL, NULL, result) < 0)
			break;
		searching->answered += result->stop == SEARCH_DONE;
	}
	free(result);
	return NULL;
}

static void searching_start(struct searching *searching, struct store *store, int32_t day)
{
	*searching = (struct searching){.store = store, .day = day};
	searching->runs = pthread_create(&searching->thread, NULL, searching_main, searching) == 0;
}

static uint64_t searching_stop(struct searching *searching)
{
	atomic_store(&searching->stop, true);
	if (searching->runs)
		(void)pthread_join(searching->thread, NULL);
	searching->runs = false;
	return searching->answered;
}

/* ---- the worker */

static double worker_seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void idle(void)
{
	const struct timespec pause = {.tv_nsec = IDLE_NS};

	(void)nanosleep(&pause, NULL);
}

static void watch(struct ingest *ingest)
{
	struct memtable_info info;
	double share;

	memtable_info(store_memtable(ingest->store), &info);
	share = (double)info.bytes_used / (double)info.bytes_max;
	ingest->memtable_rows = info.rows;
	if (share > ingest->result.memtable_peak)
		ingest->result.memtable_peak = share;
}

/* Appends what is due at this moment; false when nothing was, or nothing could be taken. */
static bool step(struct ingest *ingest, uint64_t due)
{
	size_t room;
	size_t given;

	if (ingest->at == ingest->count) {
		ingest->count = suite_day_next(ingest->day, ingest->reads, BLOCK_READS);
		ingest->at = 0;
	}
	room = ingest->count - ingest->at;
	if (room > due - ingest->offered)
		room = due - ingest->offered;
	given = suite_appender_give(&ingest->appender, ingest->reads + ingest->at, room);
	ingest->at += given;
	ingest->offered += given;
	return given > 0;
}

static void drive(struct ingest *ingest)
{
	uint64_t total = (uint64_t)ingest->options->seconds * ingest->options->reads_per_s;
	int64_t start_ns = clock_mono_ns();
	int64_t give_up_ns = start_ns + 4 * (int64_t)ingest->options->seconds * 1000000000;
	int64_t watched_ns = start_ns;
	int64_t before_ns = start_ns;
	double worker_s = worker_seconds();

	while (ingest->offered < total) {
		int64_t now_ns = clock_mono_ns();
		uint64_t due = (uint64_t)((double)(now_ns - start_ns) / 1e9 * ingest->options->reads_per_s);

		if ((double)(now_ns - before_ns) / 1e6 > ingest->result.pause_ms)
			ingest->result.pause_ms = (double)(now_ns - before_ns) / 1e6;
		before_ns = now_ns;
		if (now_ns >= give_up_ns || suite_room_stopped())
			break;
		if (due > total)
			due = total;
		if (now_ns - watched_ns >= 10000000) {
			watch(ingest);
			watched_ns = now_ns;
		}
		if (due == ingest->offered || !step(ingest, due))
			idle();
	}
	while (!suite_appender_settled(&ingest->appender))
		idle();
	ingest->result.seconds = (double)(clock_mono_ns() - start_ns) / 1e9;
	ingest->result.worker_ns = (worker_seconds() - worker_s) * 1e9 / (double)(ingest->offered + 1);
	watch(ingest);
}

static int drain(struct ingest *ingest, struct err *err)
{
	struct store_status *status = malloc(sizeof(*status));
	struct suite_ingest *result = &ingest->result;
	int64_t start_ns = clock_mono_ns();
	int r = status == NULL ? -ENOMEM : 0;

	result->appended = ingest->appender.appended;
	result->pushed_back = ingest->appender.pushed_back;
	result->reads_per_s = (double)result->appended / result->seconds;
	result->sealed_per_s = (double)(result->appended - ingest->memtable_rows) / result->seconds;
	/* The worker has to answer, and this thread is the worker. */
	journal_roll(store_journal(ingest->store, 0));
	while (r == 0 && journal_roll_pending(store_journal(ingest->store, 0))) {
		(void)suite_appender_settled(&ingest->appender);
		idle();
	}
	for (bool left = true; r == 0 && left;) {
		struct memtable_info info;

		r = store_seal_all(ingest->store, 0);
		memtable_info(store_memtable(ingest->store), &info);
		left = info.rows > 0 && clock_mono_ns() - start_ns < SEAL_WAIT_NS;
		(void)suite_appender_settled(&ingest->appender);
	}
	result->drain_s = (double)(clock_mono_ns() - start_ns) / 1e9;
	if (r == 0)
		r = store_status(ingest->store, status);
	if (r == 0) {
		result->kept_up = result->reads_per_s >= RATE_TOLERANCE * ingest->options->reads_per_s &&
				  result->memtable_peak < MEMTABLE_FULL;
		result->complete = status->stored_total + status->collapsed_total == result->appended &&
				   status->reads_memtable == 0;
	}
	free(status);
	return r < 0 ? err_set(err, r, "sealing what was left: %s", strerror(-r)) : 0;
}

static int ingest_prepare(struct ingest *ingest, struct io *io, struct err *err)
{
	const struct suite_ingest_options *options = ingest->options;
	struct journal_hooks journal = {.durable = suite_append_durable};
	struct store_hooks hooks = {.journal = &journal};
	struct store_options store_options;
	int r;

	suite_append_options(&store_options, options->memtable_bytes);
	store_options.directory = options->directory;
	store_options.master_path = options->master_path;
	r = store_open(&store_options, &hooks, io, err, &ingest->store);
	if (r < 0)
		return r;
	r = suite_appender_init(&ingest->appender, ingest->store, options->fleet, err);
	if (r < 0)
		return r;
	ingest->reads = malloc(BLOCK_READS * sizeof(*ingest->reads));
	/* A little more than is asked for: the last block is never short. */
	r = suite_day_new(options->fleet, options->day, (uint64_t)options->seconds * options->reads_per_s + BLOCK_READS,
			  &ingest->day);
	return r < 0 || ingest->reads == NULL ? err_set(err, -ENOMEM, "no memory for the fleet") : 0;
}

int suite_ingest_run(const struct suite_ingest_options *options, struct err *err, struct suite_ingest *ret_ingest)
{
	struct ingest ingest = {.options = options};
	struct searching searching;
	struct io *io;
	int r = io_real_new(&io);

	if (r < 0)
		return err_set(err, r, "I/O: %s", strerror(-r));
	r = ingest_prepare(&ingest, io, err);
	if (r == 0) {
		if (options->search)
			searching_start(&searching, ingest.store, options->day);
		drive(&ingest);
		if (options->search)
			ingest.result.searches = searching_stop(&searching);
		r = drain(&ingest, err);
	}
	if (r == 0 && suite_room_stopped())
		r = err_set(err, -ECANCELED, "stopped");
	if (r == 0)
		*ret_ingest = ingest.result;
	free(ingest.reads);
	suite_day_free(ingest.day);
	suite_appender_fini(&ingest.appender);
	if (ingest.store != NULL)
		(void)store_close(ingest.store, false);
	io_real_free(io);
	return r;
}
