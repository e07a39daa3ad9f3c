/*
 * Recovery: a child process fills journals and ends at once, as a power cut would end it, once all it appended is
 * durable; then this process opens the store with an empty page cache and takes the time until store_open returns,
 * which is when the appliance accepts reads again. What comes back must be what the child had durable.
 *
 * The child opens the store without threads: nothing seals behind its back.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "appliance/base/clock.h"
#include "bench/suite_append.h"
#include "bench/suite_commands.h"
#include "bench/suite_options.h"
#include "bench/suite_progress.h"
#include "bench/suite_reads.h"
#include "bench/suite_report.h"
#include "bench/suite_room.h"
#include "storage/io.h"
#include "storage/journal.h"
#include "storage/memtable.h"
#include "storage/store.h"

#define BLOCK_READS 8192
#define STALL_NS INT64_C(1000000000) /* no room for so long: the memtable is full */
#define DIRECTORY "recovery"
#define MASTER "recovery.key"
#define JOURNAL_BYTES_READ 72
#define CHUNKS_SPARE 8

struct recovery {
	const struct suite_options *options;
	const struct suite_fleet *fleet;
	const struct suite_room *room;
	int32_t day;
	size_t memtable_bytes;
	char directory[SUITE_PATH_SIZE + 32];
	char master[SUITE_PATH_SIZE + 32];
};

static void options_fill(const struct recovery *recovery, struct store_options *ret_options)
{
	suite_append_options(ret_options, recovery->memtable_bytes);
	ret_options->directory = recovery->directory;
	ret_options->master_path = recovery->master;
}

/* ---- the child */

/* Until `unsealed` are appended or the memtable takes no more. */
static int fill(const struct recovery *recovery, struct store *store, struct suite_appender *appender,
		uint64_t unsealed)
{
	struct read *reads = malloc(BLOCK_READS * sizeof(*reads));
	struct suite_progress progress;
	struct suite_day *day = NULL;
	int64_t moved_ns = clock_mono_ns();
	size_t count = 0;
	size_t at = 0;

	if (reads == NULL || suite_day_new(recovery->fleet, recovery->day, unsealed + BLOCK_READS, &day) < 0) {
		free(reads);
		return -ENOMEM;
	}
	suite_progress_start(&progress, "journals", unsealed);
	while (appender->appended < unsealed && clock_mono_ns() - moved_ns < STALL_NS && !suite_room_stopped()) {
		size_t given;

		if (at == count) {
			count = suite_day_next(day, reads, BLOCK_READS);
			at = 0;
		}
		given = count - at < unsealed - appender->appended ? count - at
								   : (size_t)(unsealed - appender->appended);
		given = suite_appender_give(appender, reads + at, given);
		at += given;
		suite_progress_add(&progress, given);
		if (given > 0)
			moved_ns = clock_mono_ns();
		(void)store_keep(store);
	}
	while (!suite_appender_settled(appender))
		(void)store_keep(store);
	suite_progress_end(&progress);
	suite_day_free(day);
	free(reads);
	return 0;
}

/* Does not return; the reads that are durable go through the pipe, or nothing when it failed. */
static void child_run(const struct recovery *recovery, uint64_t unsealed, int out)
{
	struct journal_hooks journal = {.durable = suite_append_durable};
	struct store_hooks hooks = {.journal = &journal};
	struct suite_appender appender;
	struct store_options options;
	struct err err = {""};
	struct store *store;
	struct io *io;
	int r = io_real_new(&io);

	options_fill(recovery, &options);
	options.threads_off = true;
	options.memtable_prefault = false;
	if (r == 0)
		r = store_open(&options, &hooks, io, &err, &store);
	if (r == 0)
		r = suite_appender_init(&appender, store, recovery->fleet, &err);
	if (r == 0)
		r = fill(recovery, store, &appender, unsealed);
	if (r < 0)
		fprintf(stderr, "gantry-bench: filling journals: %s\n", err.text[0] != '\0' ? err.text : strerror(-r));
	else if (write(out, &appender.appended, sizeof(appender.appended)) != sizeof(appender.appended))
		r = -EIO;
	_exit(r < 0);
}

static int journals_fill(const struct recovery *recovery, uint64_t unsealed, uint64_t *ret_durable, struct err *err)
{
	uint64_t durable = 0;
	int ends[2];
	int status = 0;
	pid_t child;
	ssize_t n;

	if (pipe(ends) < 0)
		return err_set(err, -errno, "pipe: %s", strerror(errno));
	fflush(NULL);
	child = fork();
	if (child == 0) {
		close(ends[0]);
		child_run(recovery, unsealed, ends[1]);
	}
	close(ends[1]);
	n = child < 0 ? -1 : read(ends[0], &durable, sizeof(durable));
	close(ends[0]);
	if (child < 0 || waitpid(child, &status, 0) < 0 || n != sizeof(durable) || status != 0)
		return err_set(err, -EIO, "the process that fills the journals failed");
	*ret_durable = durable;
	return 0;
}

/* ---- the next start */

struct recovered {
	double open_s;
	double cpu_s; /* of all threads meanwhile: what the wall clock would be on one idle core */
	double journals_s;
	uint64_t reads;
	uint64_t damage;
	const char *cache;
};

static double cpu_seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static int reopen(const struct recovery *recovery, struct err *err, struct recovered *ret_recovered)
{
	struct journal_hooks journal = {.durable = suite_append_durable};
	struct store_hooks hooks = {.journal = &journal};
	struct store_status *status = malloc(sizeof(*status));
	struct store_options options;
	struct store *store = NULL;
	struct io *io = NULL;
	int64_t start_ns;
	int r = status == NULL ? -ENOMEM : io_real_new(&io);

	if (r < 0) {
		free(status);
		return err_set(err, r, "I/O: %s", strerror(-r));
	}
	options_fill(recovery, &options);
	ret_recovered->cache = suite_cache_empty(recovery->options->cache, recovery->directory);
	ret_recovered->cpu_s = -cpu_seconds();
	start_ns = clock_mono_ns();
	r = store_open(&options, &hooks, io, err, &store);
	ret_recovered->open_s = (double)(clock_mono_ns() - start_ns) / 1e9;
	ret_recovered->cpu_s += cpu_seconds();
	if (r == 0) {
		r = store_status(store, status);
		ret_recovered->journals_s = (double)status->recovery_ns / 1e9;
		ret_recovered->reads = status->recovery_reads;
		ret_recovered->damage = status->damage_count;
		(void)store_close(store, false);
	}
	io_real_free(io);
	free(status);
	return r;
}

static int measure_one(struct recovery *recovery, const char *what, uint64_t unsealed, json_t *rows, bool *ok,
		       struct err *err)
{
	struct recovered recovered = {0};
	uint64_t durable = 0;
	json_t *row = json_object();
	int r = suite_room_check(recovery->room->path, unsealed * JOURNAL_BYTES_READ, err);

	if (r == 0)
		r = journals_fill(recovery, unsealed, &durable, err);
	if (r == 0 && suite_room_stopped())
		r = err_set(err, -ECANCELED, "stopped");
	if (r == 0)
		r = reopen(recovery, err, &recovered);
	if (r == 0 && recovered.cache == NULL)
		r = err_set(err, -EPERM, "the page cache could not be emptied: --cold advise");
	(void)suite_room_remove(recovery->room, DIRECTORY);
	(void)suite_room_remove(recovery->room, MASTER);
	suite_report_text(row, "journals", what);
	suite_report_integer(row, "unsealed", (long long)durable);
	suite_report_integer(row, "recovered", (long long)recovered.reads);
	suite_report_real(row, "open_ms", recovered.open_s * 1e3);
	suite_report_real(row, "recovery_ms", recovered.journals_s * 1e3);
	suite_report_real(row, "cpu_ms", recovered.cpu_s * 1e3);
	suite_report_real(row, "reads_per_s", (double)recovered.reads / recovered.open_s);
	(void)json_array_append_new(rows, row);
	*ok = *ok && recovered.reads == durable && durable > 0 && recovered.damage == 0;
	return r;
}

/* How many the memtable holds; a worker's chunks are not all full at the end. */
static uint64_t memtable_reads(size_t bytes)
{
	uint64_t chunks = bytes / sizeof(struct chunk);

	return (chunks > CHUNKS_SPARE ? chunks - CHUNKS_SPARE : 1) * CHUNK_ROWS;
}

static int measure_all(struct recovery *recovery, int *ret_status, struct err *err)
{
	const struct suite_options *options = recovery->options;
	uint64_t most = memtable_reads(recovery->memtable_bytes);
	uint64_t asked = options->unsealed < most ? options->unsealed : most;
	json_t *report = suite_report_new(options, recovery->room->path);
	json_t *rows = json_array();
	bool ok = true;
	int r = measure_one(recovery, "as asked", asked, rows, &ok, err);

	if (r == 0) {
		suite_report_real(report, "recovery_ms",
				  json_real_value(json_object_get(json_array_get(rows, 0), "open_ms")));
		suite_report_integer(report, "reads", (long long)asked);
	}
	if (r == 0 && !options->quick)
		r = measure_one(recovery, "memtable full", most, rows, &ok, err);
	(void)json_object_set_new(report, "runs", rows);
	suite_report_integer(report, "memtable_bytes", (long long)recovery->memtable_bytes);
	(void)json_object_set_new(report, "complete", json_boolean(ok));
	suite_report_text(
		report, "clock",
		"open_ms: store_open, page cache empty, memory for the memtable included; recovery_ms: of it, "
		"journals");
	if (r == 0)
		r = suite_report_print(report, options->json);
	json_decref(report);
	*ret_status = ok ? 0 : 1;
	if (r == 0 && !ok)
		fputs("gantry-bench: what was recovered is not what was durable\n", stderr);
	return r;
}

int suite_recovery(const struct suite_options *options, int *ret_status, struct err *err)
{
	const struct suite_fleet_options fleet_options = {.seed = options->seed,
							  .cameras = options->cameras,
							  .vehicles = options->vehicles,
							  .feeds = options->feeds};
	struct recovery recovery = {.options = options, .day = read_day(clock_wall_us())};
	struct suite_fleet *fleet = calloc(1, sizeof(*fleet));
	struct suite_room room;
	int r = fleet == NULL ? err_set(err, -ENOMEM, "no memory")
			      : suite_room_take(options->data, options->keep, suite_options_bytes(options), &room, err);

	if (r < 0) {
		free(fleet);
		return r;
	}
	recovery.room = &room;
	recovery.fleet = fleet;
	recovery.memtable_bytes = suite_append_memtable(options->memtable_mib);
	snprintf(recovery.directory, sizeof(recovery.directory), "%s/" DIRECTORY, room.path);
	snprintf(recovery.master, sizeof(recovery.master), "%s/" MASTER, room.path);
	fprintf(stderr, "recovery: %.1f M reads unsealed, up to %.1f GB in %s\n", (double)options->unsealed / 1e6,
		(double)suite_options_bytes(options) / 1e9, room.path);
	r = suite_fleet_init(fleet, &fleet_options);
	if (r < 0) {
		(void)err_set(err, r, "the fleet could not be made: %s", strerror(-r));
	} else {
		r = measure_all(&recovery, ret_status, err);
		suite_fleet_fini(fleet);
	}
	free(fleet);
	suite_room_leave(&room);
	return r;
}
