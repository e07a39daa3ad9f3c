/* The journal on the real disk, with a worker thread and a keeper thread, over both kinds of queue; then it is read
 * again. */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "appliance/base/clock.h"
#include "appliance/base/prng.h"
#include "storage/io.h"
#include "storage/journal.h"
#include "storage/journal_ahead.h"
#include "storage/journal_file.h"
#include "storage/keyring.h"
#include "storage/lane.h"
#include "storage/lane_map.h"
#include "storage/memtable.h"
#include "tests/check.h"

#define READS 400000
#define RUN 25
#define SECONDS_MAX 60

struct rig {
	char directory[600];
	struct io *io;
	struct keyring *keyring;
	struct memtable *memtable;
	struct journal *journal;
	struct lane_map *map;
	struct lane_window *window;
	_Atomic bool stop;
	_Atomic uint64_t searched; /* rows the searcher looked at */
	_Atomic unsigned wrong;
	uint64_t durable; /* worker's */
	uint64_t sent;
	uint64_t found;
};

static void rig_durable(void *context, const struct journal_commit *commit)
{
	struct rig *rig = context;

	for (unsigned i = 0; i < commit->run_count; i++) {
		rig->durable += commit->runs[i].count;
		if (commit->rows[i]->camera != (uint32_t)commit->runs[i].first)
			atomic_fetch_add(&rig->wrong, 1);
	}
}

/* Seals by letting go, keeps, and searches beside the worker: what is published is whole. */
static void *keeper_main(void *context)
{
	struct rig *rig = context;
	const struct timespec pause = {.tv_nsec = 500000};

	while (!atomic_load(&rig->stop)) {
		struct memtable_view view;

		(void)memtable_keep(rig->memtable);
		(void)journal_keep(rig->journal, true);
		if (memtable_view_take(rig->memtable, &view) < 0)
			continue;
		for (size_t i = 0; i < view.count; i++) {
			struct chunk *chunk = atomic_load_explicit(&view.generations[i]->first, memory_order_acquire);

			for (; chunk != NULL; chunk = atomic_load_explicit(&chunk->next, memory_order_acquire)) {
				uint32_t rows = atomic_load_explicit(&chunk->rows_durable, memory_order_acquire);

				for (uint32_t j = 0; j < rows; j++)
					if (chunk->rows[j].capture_us != (int64_t)chunk->rows[j].camera * 3)
						atomic_fetch_add(&rig->wrong, 1);
				atomic_fetch_add(&rig->searched, rows);
			}
		}
		memtable_lock(rig->memtable);
		for (size_t i = 0; i < view.count; i++)
			if (atomic_load(&view.generations[i]->state) == GENERATION_CLOSED)
				memtable_retire(rig->memtable, view.generations[i]);
		memtable_unlock(rig->memtable);
		memtable_view_release(rig->memtable, &view);
		(void)nanosleep(&pause, NULL);
	}
	return NULL;
}

static void burst_append(struct rig *rig)
{
	struct run run = {.first = rig->sent + 1, .feed = 1, .epoch = 1, .count = RUN};
	struct read reads[RUN];
	struct lane_fates fates;

	memset(reads, 0, sizeof(reads));
	for (unsigned i = 0; i < RUN; i++) {
		reads[i].camera = (uint32_t)(run.first + i);
		reads[i].capture_us = (int64_t)(run.first + i) * 3;
		reads[i].feed = 1;
		reads[i].epoch = 1;
		snprintf((char *)reads[i].key, sizeof(reads[i].key), "REAL%06u", (unsigned)((run.first + i) % 1000000));
	}
	lane_judge(rig->window, run.first, RUN, &fates);
	if (fates.fresh == (1u << RUN) - 1 && journal_append(rig->journal, rig->window, &run, reads, NULL, 0) == 0)
		rig->sent += RUN;
}

static void *worker_main(void *context)
{
	struct rig *rig = context;
	int64_t end = clock_mono_ns() + SECONDS_MAX * INT64_C(1000000000);

	while (rig->durable < READS && clock_mono_ns() < end) {
		for (unsigned i = 0; i < 32 && rig->sent < READS; i++)
			burst_append(rig);
		journal_poll(rig->journal, clock_mono_ns());
	}
	return NULL;
}

static int key_give(void *context, uint64_t file_id, uint8_t ret_key[32])
{
	struct rig *rig = context;

	return keyring_get(rig->keyring, (struct key_id){.id = file_id, .day = KEY_DAY_NONE, .kind = KEY_JOURNAL},
			   ret_key);
}

static int file_read(void *context, const char *name)
{
	struct rig *rig = context;
	char path[700];
	struct journal_scan_options options = {.path = path, .key = key_give, .context = rig};
	struct journal_scan *scan;
	struct journal_frame frame;
	struct journal_run run;
	uint64_t id;

	snprintf(path, sizeof(path), "%s/journal/%s", rig->directory, name);
	CHECK_INT(0, journal_scan_new(&options, rig->io, NULL, &scan, &id));
	while (journal_scan_next(scan, NULL, &frame) == 1) {
		while (journal_frame_next(&frame, &run)) {
			for (unsigned i = 0; i < run.run.count; i++)
				CHECK_INT(run.run.first + i, run.reads[i].camera);
			rig->found += run.run.count;
			CHECK_INT(0, lane_map_apply(rig->map, &run.run));
		}
	}
	CHECK(journal_scan_result(scan)->ended);
	CHECK(!journal_scan_result(scan)->damaged);
	journal_scan_free(scan);
	return 0;
}

static void rig_open(struct rig *rig, const char *name)
{
	struct memtable_options memory = {
		.bytes_max = 24 * (sizeof(struct chunk) + 4096), .workers = 1, .prefault = true};
	struct journal_hooks hooks = {.durable = rig_durable, .context = rig};
	struct lane_id lane = {.feed = 1, .epoch = 1};
	char a[700];
	char b[700];
	char master[700];
	char journal[700];
	struct keyring_options ring = {.master_path = master, .copy_a_path = a, .copy_b_path = b, .create = true};
	struct journal_options options = {
		.directory = journal,
		.file_size = 8 << 20,
		.slab_size = 256 << 10,
		.slab_count = 6,
		.commit_interval_ns = 1000000,
		.roll_age_ns = INT64_MAX,
	};

	snprintf(rig->directory, sizeof(rig->directory), "%s/%s", check_directory(), name);
	snprintf(a, sizeof(a), "%s/a/keyring", rig->directory);
	snprintf(b, sizeof(b), "%s/b/keyring", rig->directory);
	snprintf(master, sizeof(master), "%s/k/master", rig->directory);
	snprintf(journal, sizeof(journal), "%s/journal", rig->directory);
	CHECK_INT(0, rig->io->ops->mkdir(rig->io, rig->directory));
	CHECK_INT(0, rig->io->ops->mkdir(rig->io, journal));
	CHECK_INT(0, keyring_open(&ring, rig->io, NULL, &rig->keyring));
	CHECK_INT(0, memtable_new(&memory, &rig->memtable));
	CHECK_INT(0, lane_map_new(&rig->map));
	CHECK_INT(0, lane_map_window_new(rig->map, &lane, 65536, &rig->window));
	CHECK_INT(0, journal_new(&options, &hooks, rig->io, rig->keyring, rig->memtable, &rig->journal));
}

static void life(struct io *io)
{
	struct rig *rig = calloc(1, sizeof(*rig));
	struct lane_id lane = {.feed = 1, .epoch = 1};
	struct lane_state state;
	char journal[700];
	pthread_t keeper;
	pthread_t worker;

	CHECK(rig != NULL);
	rig->io = io;
	rig_open(rig, io->ops->name);
	CHECK_INT(0, pthread_create(&keeper, NULL, keeper_main, rig));
	CHECK_INT(0, pthread_create(&worker, NULL, worker_main, rig));
	CHECK_INT(0, pthread_join(worker, NULL));
	atomic_store(&rig->stop, true);
	CHECK_INT(0, pthread_join(keeper, NULL));
	CHECK_INT(READS, rig->durable);
	CHECK_INT(0, atomic_load(&rig->wrong));
	CHECK(atomic_load(&rig->searched) > 0);
	journal_free(rig->journal);
	snprintf(journal, sizeof(journal), "%s/journal", rig->directory);
	CHECK_INT(0, io->ops->list(io, journal, file_read, rig));
	CHECK_INT(READS, rig->found);
	CHECK(lane_map_get(rig->map, &lane, &state));
	CHECK_INT(READS, state.cumulative);
	memtable_free(rig->memtable);
	lane_map_free(rig->map);
	keyring_free(rig->keyring);
	free(rig);
}

static void test_native(void)
{
	struct io *io;

	CHECK_INT(0, io_real_new(&io));
	life(io);
	io_real_free(io);
}

static void test_helper(void)
{
	struct io *io;

	CHECK_INT(0, io_real_new_plain(&io));
	life(io);
	io_real_free(io);
}

/* Whatever is asked for, in order or not, the helper gives what the file holds. */
static void test_read_ahead(void)
{
	const size_t size = ((size_t)9 << 20) + 777;
	struct prng prng = {check_seed()};
	uint8_t *bytes = malloc(size);
	uint8_t *got = malloc(size);
	struct journal_ahead *ahead = NULL;
	struct io_file *file = NULL;
	struct io *io = NULL;
	char path[600];
	uint64_t offset = 0;

	for (size_t i = 0; i < size; i++)
		bytes[i] = (uint8_t)prng_next(&prng);
	CHECK_INT(0, io_real_new(&io));
	snprintf(path, sizeof(path), "%s/ahead", check_directory());
	CHECK_INT(0, io->ops->open(io, path, IO_WRITE | IO_CREATE, &file));
	CHECK_INT(0, file->ops->write(file, 0, bytes, size));
	CHECK_INT(0, journal_ahead_new(file, size, &ahead));
	for (unsigned i = 0; i < 200; i++) {
		size_t wanted = (size_t)prng_below(&prng, (uint64_t)1 << prng_below(&prng, 23));
		size_t there;

		if (prng_chance(&prng, 100))
			offset = prng_below(&prng, size);
		there = wanted < size - offset ? wanted : size - offset;
		CHECK_INT(there, journal_ahead_read(ahead, offset, got, wanted));
		CHECK_MEM(bytes + offset, got, there);
		offset = offset + there == size ? 0 : offset + there;
	}
	journal_ahead_free(ahead);
	file->ops->close(file);
	io_real_free(io);
	free(got);
	free(bytes);
}

int main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{"worker, keeper and search over the native queue", test_native},
		{"worker, keeper and search over the helper thread", test_helper},
		{"reading ahead gives the file's bytes", test_read_ahead},
		{NULL, NULL},
	};

	return check_main(argc, argv, "journal on a real disk", tests);
}
