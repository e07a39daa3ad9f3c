/* The store on the simulated disk: through restarts, power cuts, failing writes and a full disk. */
#include "storage/store.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOG_MODULE "test"
#include "appliance/base/clock.h"
#include "appliance/base/log.h"
#include "storage/io.h"
#include "storage/journal.h"
#include "storage/keyring.h"
#include "storage/lane.h"
#include "storage/purge.h"
#include "storage/register.h"
#include "storage/store_internal.h"
#include "storage/view.h"
#include "tests/check.h"
#include "tests/storage/sim_io.h"
#include "tests/storage/store_rig.h"

#define SIM_DIRECTORY "/gantry"

static void db_directory(char path[600])
{
	static unsigned number;

	snprintf(path, 600, "%s/db%u", check_directory(), number++);
}

static struct rig *rig_new(struct io *io, uint64_t seed)
{
	struct rig *rig = malloc(sizeof(*rig));
	char path[600];

	CHECK(rig != NULL);
	db_directory(path);
	rig_init(rig, io, SIM_DIRECTORY, path, seed);
	return rig;
}

static void check_rig(struct rig *rig)
{
	bool well = rig_verify(rig);

	if (!well)
		check_note("%s", rig->problem);
	CHECK(well);
}

static void check_tidy(struct rig *rig)
{
	bool tidy = rig_verify_tidy(rig);

	if (!tidy)
		check_note("%s", rig->problem);
	CHECK(tidy);
}

static void check_open(struct rig *rig)
{
	int result = rig_open(rig);

	if (result != 0)
		check_note("%s", rig->err.text);
	CHECK_INT(0, result);
}

static void send_some(struct rig *rig, unsigned runs)
{
	for (unsigned i = 0; i < runs; i++) {
		(void)rig_send(rig);
		if (i % 4 == 3)
			rig_settle(rig, 2);
	}
}

/* What a day of work is made of: sends, commits, rolls, seals, a purge. Goes on whatever fails. */
static void scenario(struct rig *rig)
{
	for (unsigned round = 0; round < 6; round++) {
		send_some(rig, 25);
		if (round % 2 == 1)
			(void)store_seal_all(rig->store, INT64_C(30000000));
		if (round == 3)
			(void)rig_purge(rig, 0);
	}
	(void)rig_resend(rig);
	rig_settle(rig, 10);
}

static void test_restarts(void)
{
	struct io *io = sim_new(check_seed());
	struct rig *rig = rig_new(io, check_seed());

	for (unsigned round = 0; round < 6; round++) {
		rig->options.workers = 1 + round % 3; /* their number may change */
		check_open(rig);
		check_rig(rig);
		send_some(rig, 60);
		rig_settle(rig, 1000);
		check_rig(rig);
		if (round % 3 == 1)
			CHECK_INT(0, store_seal_all(rig->store, INT64_C(5000000000)));
		check_rig(rig);
		CHECK_INT(0, rig_close(rig, round % 2 == 1));
	}
	check_open(rig);
	check_rig(rig);
	CHECK(rig->acked > 1000);
	CHECK_INT(0, rig_close(rig, true));
	/* After a clean stop nothing is left to recover. */
	check_open(rig);
	{
		struct store_status *status = malloc(sizeof(*status));

		CHECK(status != NULL);
		CHECK_INT(0, store_status(rig->store, status));
		CHECK_INT(0, status->recovery_reads);
		CHECK_INT(0, status->damage_count);
		CHECK_INT(rig->acked, status->stored_total);
		CHECK_INT(rig->acked, status->reads_segments);
		CHECK_INT(0, status->reads_memtable);
		CHECK(status->credit_open);
		CHECK_INT(STORE_RUNNING, status->state);
		free(status);
	}
	CHECK_INT(0, rig_close(rig, false));
	sim_free(io);
	free(rig);
}

/* A store is one process's; a foreign directory is refused; a lost keyring is not replaced by a new one. */
static void test_refusals(void)
{
	struct io *io = sim_new(check_seed());
	struct rig *rig = rig_new(io, check_seed());
	struct rig *other = malloc(sizeof(*other));

	CHECK(other != NULL);
	check_open(rig);
	*other = *rig;
	other->options.directory = other->directory;
	CHECK_INT(-EBUSY, rig_open(other));
	send_some(rig, 10);
	rig_settle(rig, 1000);
	CHECK_INT(0, rig_close(rig, false));
	CHECK_INT(0, io->ops->unlink(io, SIM_DIRECTORY "/keyring.a"));
	CHECK_INT(0, io->ops->unlink(io, SIM_DIRECTORY "/keyring.b"));
	CHECK(rig_open(rig) < 0);
	CHECK(rig->err.text[0] != '\0');
	sim_free(io);
	io = sim_new(1);
	CHECK_INT(0, io->ops->mkdir(io, SIM_DIRECTORY));
	CHECK_INT(0, sim_put(io, SIM_DIRECTORY "/thesis.tex", "x", 1));
	free(other);
	other = rig_new(io, 1);
	CHECK_INT(-ENOTEMPTY, rig_open(other));
	sim_free(io);
	free(other);
	free(rig);
}

static void test_epochs(void)
{
	struct io *io = sim_new(check_seed());
	struct rig *rig = rig_new(io, check_seed());
	struct lane_window *window;
	struct lane_window *again;

	check_open(rig);
	for (uint32_t epoch = 10; epoch < 10 + STORE_LANE_EPOCHS_MAX; epoch++)
		CHECK_INT(0, store_lane(rig->store, 1, epoch, FEED_LANE_LIVE, &window));
	CHECK_INT(0, store_lane(rig->store, 1, 17, FEED_LANE_LIVE, &again));
	CHECK(again == window);
	CHECK_INT(STORE_EPOCH_OLD, store_lane(rig->store, 1, 9, FEED_LANE_LIVE, &again));
	CHECK_INT(0, store_lane(rig->store, 2, 9, FEED_LANE_LIVE, &again));
	CHECK_INT(0, store_lane(rig->store, 1, 18, FEED_LANE_LIVE, &again));
	CHECK_INT(STORE_EPOCH_OLD, store_lane(rig->store, 1, 9, FEED_LANE_BACKLOG, &again));
	CHECK_INT(0, rig_close(rig, false));
	sim_free(io);
	free(rig);
}

static void test_purge(void)
{
	struct io *io = sim_new(check_seed());
	struct rig *rig = rig_new(io, check_seed());
	struct purge_day *days;
	size_t count;
	uint64_t reads = 0;

	check_open(rig);
	send_some(rig, 60);
	rig_settle(rig, 1000);
	CHECK_INT(0, store_seal_all(rig->store, INT64_C(5000000000)));
	send_some(rig, 60);
	rig_settle(rig, 1000);
	CHECK_INT(0, purge_plan(rig->store, INT32_MAX, &days, &count));
	CHECK_INT(RIG_DAYS, count);
	for (size_t i = 0; i < count; i++)
		reads += days[i].reads;
	free(days);
	CHECK_INT(rig->acked, reads);
	CHECK_INT(PURGE_NOTHING, rig_purge(rig, 0) == 0 ? rig_purge(rig, 0) : -1);
	CHECK(rig->purged[0]);
	check_rig(rig);
	/* What is resent of the purged day is refused; the rest goes on. */
	CHECK(!store_day_open(rig->store, rig->first_day));
	CHECK(store_day_open(rig->store, rig->first_day + 1));
	send_some(rig, 60);
	(void)rig_resend(rig);
	rig_settle(rig, 1000);
	check_rig(rig);
	CHECK_INT(0, rig_close(rig, false));
	check_open(rig);
	CHECK(!store_day_open(rig->store, rig->first_day));
	check_rig(rig);
	CHECK_INT(0, rig_close(rig, true));
	sim_free(io);
	free(rig);
}

/* Segments of the day that the views still give out. */
static unsigned day_readable(struct rig *rig, int32_t day)
{
	struct views *views = store_views(rig->store);
	unsigned readable = 0;
	struct view view;

	CHECK_INT(0, view_take(views, day, day, &view));
	for (size_t i = 0; i < view.segment_count; i++) {
		struct segment *segment;

		if (view_segment_get(views, &view.segments[i], &rig->err, &segment) != 0)
			continue;
		readable++;
		view_segment_put(views, segment);
	}
	view_release(&view);
	return readable;
}

/* Wherever a purge fails: once the day's keys are gone, no segment that was open before is readable. */
static void test_purge_fails(void)
{
	unsigned between = 0;
	bool reached = true;

	for (unsigned nth = 1; reached; nth++) {
		struct io *io = sim_new(check_seed());
		struct rig *rig = rig_new(io, check_seed());
		uint64_t ops;

		check_open(rig);
		send_some(rig, 40);
		rig_settle(rig, 1000);
		CHECK_INT(0, store_seal_all(rig->store, INT64_C(5000000000)));
		CHECK(day_readable(rig, rig->first_day) > 0);
		ops = sim_ops(io);
		sim_fail(io, SIM_ALL, nth, 1, EIO);
		(void)rig_purge(rig, 0);
		reached = sim_ops(io) - ops >= nth;
		sim_fail(io, SIM_ALL, 0, 0, EIO);
		if (keyring_day_destroyed(store_keyring(rig->store), rig->first_day)) {
			between += !rig->purged[0];
			CHECK_INT(0, day_readable(rig, rig->first_day));
		}
		CHECK(rig_purge(rig, 0) >= 0);
		CHECK(keyring_day_destroyed(store_keyring(rig->store), rig->first_day));
		rig->purged[0] = true; /* a resumed purge does not tell the step again */
		check_rig(rig);
		CHECK_INT(0, rig_close(rig, true));
		sim_free(io);
		free(rig);
	}
	CHECK(between > 0);
}

/* The power goes at a random operation; again while recovering; then all acknowledged is there, once. */
static void test_power_cuts(void)
{
	struct prng prng = {check_seed()};
	int64_t start_ns = clock_mono_ns();
	unsigned cuts = 0;
	uint64_t ops;

	{
		struct io *io = sim_new(check_seed());
		struct rig *rig = rig_new(io, check_seed());

		check_open(rig);
		scenario(rig);
		CHECK_INT(0, rig_close(rig, true));
		ops = sim_ops(io);
		sim_free(io);
		free(rig);
	}
	while (cuts < 150 && clock_mono_ns() - start_ns < INT64_C(5000000000)) {
		uint64_t seed = prng_next(&prng);
		struct io *io = sim_new(seed);
		struct rig *rig = rig_new(io, seed);

		sim_cut_at(io, 1 + prng_below(&prng, ops));
		if (rig_open(rig) == 0) {
			scenario(rig);
			(void)rig_close(rig, prng_chance(&prng, 500));
		}
		sim_crash(io);
		sim_cut_at(io, sim_ops(io) + 1 + prng_below(&prng, 60));
		if (rig_open(rig) == 0) {
			send_some(rig, 5);
			(void)rig_close(rig, prng_chance(&prng, 500));
		}
		sim_crash(io);
		sim_cut_at(io, 0);
		check_open(rig);
		if (!rig_verify(rig))
			check_note("seed %llu: %s", (unsigned long long)seed, rig->problem);
		check_rig(rig);
		if (rig->purge_begun[0])
			(void)rig_purge(rig, 0);
		else
			check_tidy(rig);
		(void)rig_resend(rig);
		rig_settle(rig, 1000);
		check_rig(rig);
		CHECK_INT(0, rig_close(rig, true));
		check_open(rig);
		check_tidy(rig);
		check_rig(rig);
		CHECK_INT(0, rig_close(rig, false));
		sim_free(io);
		free(rig);
		cuts++;
	}
	printf("\n    %u power cuts over %llu operations ", cuts, (unsigned long long)ops);
}

static struct lane_window *gap_window(struct rig *rig)
{
	struct lane_window *window = NULL;

	CHECK_INT(0, store_lane(rig->store, 1, 1, FEED_LANE_LIVE, &window));
	CHECK(window != NULL);
	return window;
}

static void gap_send(struct rig *rig, struct lane_window *window, uint64_t first)
{
	struct run run = {.first = first, .feed = 1, .epoch = 1, .lane = FEED_LANE_LIVE, .count = 1};
	struct read read = {.feed = 1, .epoch = 1, .kind = READ_KIND_NOT_READ, .camera = 1};

	read.capture_us = (int64_t)rig->first_day * DAY_US;
	read.receipt_us = read.capture_us;
	CHECK_INT(0, journal_append(store_journal(rig->store, 1 % rig->options.workers), window, &run, &read, NULL, 0));
}

static int lost_find(void *context, const struct catalog_lane *lane)
{
	struct lane_map *map;
	struct lane_id id = {.feed = lane->feed, .epoch = lane->epoch, .lane = lane->lane};
	struct lane_state state;

	CHECK_INT(0, lane_map_new(&map));
	CHECK_INT(0, lane_map_load(map, &id, lane->bytes, lane->size));
	CHECK(lane_map_get(map, &id, &state));
	*(uint64_t *)context += state.lost_total;
	lane_map_free(map);
	return 0;
}

static uint64_t sealed_lost(struct rig *rig)
{
	uint64_t lost = 0;

	CHECK_INT(0, store_seal_all(rig->store, INT64_C(5000000000)));
	CHECK_INT(0, catalog_each_lane(rig->store->catalog, lost_find, &lost));
	return lost;
}

/* A base that a sender's word moved is kept through a stop or a power cut, at once, however far it went. */
static void gap_survives(uint64_t gap, bool clean, bool early)
{
	struct io *io = sim_new(check_seed());
	struct rig *rig = rig_new(io, check_seed());
	struct lane_window *window;
	int64_t start_ns;
	uint64_t base;

	check_open(rig);
	window = gap_window(rig);
	gap_send(rig, window, 1);
	rig_settle(rig, 1000);
	if (early)
		CHECK_INT(0, store_seal_all(rig->store, INT64_C(5000000000)));
	CHECK_INT(gap, lane_take_up(window, 2 + gap));
	gap_send(rig, window, 2 + gap);
	rig_settle(rig, 1000);
	base = window->base;
	CHECK_INT(3 + gap, base);
	if (clean)
		CHECK_INT(0, rig_close(rig, true));
	else
		(void)rig_close(rig, false);
	sim_crash(io);
	for (unsigned round = 0; round < 3; round++) {
		start_ns = clock_mono_ns();
		check_open(rig);
		window = gap_window(rig);
		CHECK(clock_mono_ns() - start_ns < INT64_C(1000000000));
		CHECK_INT(base, window->base);
		CHECK_INT(2, window->stored_total);
		CHECK_INT(0, window->refused_total);
		CHECK_INT(0, lane_take_up(window, base));
		CHECK_INT(gap, sealed_lost(rig));
		CHECK_INT(0, rig_close(rig, round == 1));
		sim_crash(io);
	}
	sim_free(io);
	free(rig);
}

static void test_gaps(void)
{
	const uint64_t gaps[] = {1, (1 << 24) + 1, UINT64_C(1) << 44, UINT64_C(1) << 62, INT64_MAX - 2};

	for (size_t i = 0; i < sizeof(gaps) / sizeof(gaps[0]); i++)
		for (unsigned how = 0; how < 4; how++)
			gap_survives(gaps[i], (how & 1) != 0, (how & 2) != 0);
}

static void failing_count(void *context, const char *text)
{
	*(unsigned *)context += strncmp(text, "sealing fails", 13) == 0;
}

/* Is it an alarm that sealing fails? */
static unsigned failing_told(struct store *store)
{
	unsigned count = 0;

	store_alarms_each(store, failing_count, &count);
	return count;
}

/* The Nth write, creation or sync fails while sealing: said, tried again, nothing lost. */
static void test_seal_fails(void)
{
	static const int errors[] = {EIO, ENOSPC};

	for (unsigned nth = 1; nth < 24; nth++) {
		struct io *io = sim_new(check_seed() + nth);
		struct rig *rig = rig_new(io, check_seed() + nth);
		struct store_status *status = malloc(sizeof(*status));
		int result;

		CHECK(status != NULL);
		check_open(rig);
		send_some(rig, 40);
		rig_settle(rig, 1000);
		for (unsigned i = 0; i < RIG_WORKERS; i++)
			journal_roll(store_journal(rig->store, i));
		for (unsigned i = 0; i < 20; i++) {
			for (unsigned worker = 0; worker < RIG_WORKERS; worker++)
				journal_poll(store_journal(rig->store, worker), clock_mono_ns());
			(void)store_keep(rig->store);
		}
		sim_fail(io, SIM_ALL, nth, 1 + nth % 3, errors[nth % 2]);
		result = store_seal_all(rig->store, 0);
		check_rig(rig);
		CHECK_INT(0, store_status(rig->store, status));
		CHECK_INT(rig->acked, status->stored_total);
		if (result < 0)
			CHECK_INT(STORE_SEAL_FAILING, status->state);
		CHECK_INT(result < 0, failing_told(rig->store));
		sim_fail(io, SIM_ALL, 0, 0, EIO);
		CHECK_INT(0, store_seal_all(rig->store, 0));
		CHECK_INT(0, store_status(rig->store, status));
		CHECK_INT(STORE_RUNNING, status->state);
		CHECK_INT(0, failing_told(rig->store));
		CHECK_INT(rig->acked, status->reads_segments);
		check_rig(rig);
		CHECK_INT(0, rig_close(rig, false));
		check_open(rig);
		check_rig(rig);
		CHECK_INT(0, rig_close(rig, true));
		sim_free(io);
		free(rig);
		free(status);
	}
}

/* A full disk closes credit and says why; a purge makes room; service resumes by itself. */
static void test_disk_full(void)
{
	struct io *io = sim_new(check_seed());
	struct rig *rig = rig_new(io, check_seed());
	struct store_status *status = malloc(sizeof(*status));
	bool full = false;
	uint64_t acked;

	CHECK(status != NULL);
	check_open(rig);
	/* Room for the journals that exist, their sealing and a little. */
	for (unsigned turn = 0; turn < 400 && !full; turn++) {
		send_some(rig, 4);
		rig_settle(rig, 50);
		(void)store_seal_all(rig->store, INT64_C(5000000000));
		if (turn == 3) {
			CHECK_INT(0, store_status(rig->store, status));
			sim_capacity(io, status->disk_total_bytes != 0 ? 0 : 0);
		}
		if (turn == 4) {
			struct io_space space;

			sim_capacity(io, UINT64_C(1) << 30);
			CHECK_INT(0, io->ops->space(io, SIM_DIRECTORY, &space));
			CHECK_INT(0, store_status(rig->store, status));
			sim_capacity(io, space.total_bytes - space.free_bytes + status->disk_reserve_bytes +
						 2 * rig->options.journal_file_size + (96 << 10));
		}
		if (turn > 4) {
			usleep(1000);
			rig->options.threads_off = true;
			CHECK_INT(0, store_status(rig->store, status));
			full = status->state == STORE_DISK_FULL;
		}
		if (turn > 4 && !full && turn % 8 == 0)
			usleep(210000); /* the keeper measures five times a second */
	}
	CHECK(full);
	CHECK(strstr(status->why, "disk is full") != NULL);
	rig_settle(rig, 200);
	check_rig(rig);
	acked = rig->acked;
	for (unsigned day = 0; day < 2; day++) {
		int result = rig_purge(rig, day);

		if (result != 0)
			check_note("purge: %d %s", result, rig->err.text);
		CHECK_INT(0, result);
	}
	CHECK_INT(0, store_status(rig->store, status));
	CHECK_INT(STORE_RUNNING, status->state);
	CHECK(store_credit_open(rig->store));
	send_some(rig, 30);
	rig_settle(rig, 1000);
	CHECK(rig->acked > acked);
	check_rig(rig);
	CHECK_INT(0, rig_close(rig, true));
	sim_free(io);
	free(rig);
	free(status);
}

/* The first name in a directory that ends so. */
struct name_search {
	const char *ending;
	char name[256];
};

static int name_see(void *context, const char *name)
{
	struct name_search *search = context;
	size_t size = strlen(name);
	size_t ending = strlen(search->ending);

	if (search->name[0] == '\0' && size >= ending && strcmp(name + size - ending, search->ending) == 0)
		snprintf(search->name, sizeof(search->name), "%s", name);
	return 0;
}

/* A byte rots in an acknowledged frame: said, with what it cost; later frames are kept; the lanes go on. */
static void test_rot(void)
{
	struct io *io = sim_new(check_seed());
	struct rig *rig = rig_new(io, check_seed());
	struct store_status *status = malloc(sizeof(*status));
	struct name_search search = {.ending = "-0000000001.closed"};
	char path[600];
	uint64_t acked;
	uint64_t before;

	CHECK(status != NULL);
	rig->options.workers = 1;
	check_open(rig);
	for (unsigned i = 0; i < 60; i++) {
		(void)rig_send(rig);
		rig_settle(rig, 1000);
	}
	acked = rig->acked;
	CHECK_INT(0, rig_close(rig, false));
	CHECK(io->ops->list(io, SIM_DIRECTORY "/journal", name_see, &search) == 0);
	CHECK(search.name[0] != '\0');
	snprintf(path, sizeof(path), SIM_DIRECTORY "/journal/%s", search.name);
	for (uint64_t frame = 10; frame < 15; frame++) /* one may hold refusals only */
		CHECK_INT(0, sim_rot(io, path, 4096 * frame + 140, 0x08));
	check_open(rig);
	CHECK_INT(0, store_status(rig->store, status));
	CHECK(status->damage_count > 0);
	CHECK(strstr(status->damage[0], search.name) != NULL);
	CHECK(status->stored_total < acked);
	CHECK(status->stored_total + 5 * LANE_RUN_MAX >= acked);
	before = status->stored_total;
	/* No sender sends it again, and no window waits for it: what is resent is taken for what it is. */
	(void)rig_resend(rig);
	rig_settle(rig, 1000);
	CHECK_INT(0, store_seal_all(rig->store, INT64_C(5000000000)));
	CHECK_INT(0, store_status(rig->store, status));
	CHECK(status->stored_total >= before);
	CHECK_INT(0, rig_close(rig, true));
	check_open(rig);
	CHECK_INT(0, store_status(rig->store, status));
	CHECK_INT(0, status->damage_count);
	CHECK_INT(0, rig_close(rig, false));
	sim_free(io);
	free(rig);
	free(status);
}

/* One start's worth of acknowledged reads that stay in their journal: nobody seals. */
static void send_unsealed(struct rig *rig)
{
	int64_t due_ns;

	check_open(rig);
	for (unsigned i = 0; i < 40; i++) {
		(void)rig_send(rig);
		for (unsigned turn = 0; turn < 1000 && !journal_idle(store_journal(rig->store, 0), &due_ns); turn++)
			journal_poll(store_journal(rig->store, 0), clock_mono_ns());
	}
	CHECK_INT(0, rig_close(rig, false));
}

/*
 * A journal that cannot be opened, or of which no frame can be read, stops the start, as often as it is tried; when it
 * can be read again all is there, though the later journal's watermarks lie beyond it.
 */
static void test_journal_unreadable(void)
{
	static const int errors[] = {EACCES, EMFILE, EIO, ENOMEM};
	struct io *io = sim_new(check_seed());
	struct rig *rig = rig_new(io, check_seed());
	struct name_search search = {.ending = "-0000000001.closed"};
	char path[600];
	uint64_t acked;

	rig->options.workers = 1;
	send_unsealed(rig);
	acked = rig->acked;
	CHECK(acked > 0);
	send_unsealed(rig);
	CHECK(rig->acked > acked);
	CHECK_INT(0, io->ops->list(io, SIM_DIRECTORY "/journal", name_see, &search));
	CHECK(search.name[0] != '\0');
	snprintf(path, sizeof(path), SIM_DIRECTORY "/journal/%s", search.name);
	for (unsigned i = 0; i < 4; i++) {
		CHECK_INT(0, sim_deny(io, path, errors[i]));
		CHECK_INT(-EIO, rig_open(rig));
		CHECK(strstr(rig->err.text, search.name) != NULL);
		CHECK(strstr(rig->err.text, "start again") != NULL);
	}
	CHECK_INT(0, sim_deny(io, path, 0));
	check_open(rig);
	check_rig(rig);
	CHECK_INT(0, rig_close(rig, false));
	check_open(rig);
	check_rig(rig);
	CHECK_INT(0, rig_close(rig, true));
	check_open(rig);
	check_rig(rig);
	check_tidy(rig);
	CHECK_INT(0, rig_close(rig, false));
	sim_free(io);
	free(rig);
}

/* The only frame of a journal cannot be read: it is not taken for an empty one, nor removed. */
static void test_frame_unreadable(void)
{
	struct io *io = sim_new(check_seed());
	struct rig *rig = rig_new(io, check_seed());
	struct name_search search = {.ending = "-0000000001.closed"};
	char path[600];
	uint8_t *bytes;
	size_t size;

	rig->options.workers = 1;
	check_open(rig);
	CHECK(rig_send(rig));
	for (unsigned turn = 0; turn < 1000; turn++)
		journal_poll(store_journal(rig->store, 0), clock_mono_ns());
	CHECK_INT(0, rig_close(rig, false));
	CHECK_INT(0, io->ops->list(io, SIM_DIRECTORY "/journal", name_see, &search));
	CHECK(search.name[0] != '\0');
	snprintf(path, sizeof(path), SIM_DIRECTORY "/journal/%s", search.name);
	CHECK_INT(0, sim_bad_block(io, path, 4096));
	for (unsigned i = 0; i < 2; i++) {
		CHECK_INT(-EIO, rig_open(rig));
		CHECK(strstr(rig->err.text, search.name) != NULL);
		bytes = sim_get(io, path, &size);
		CHECK(bytes != NULL);
		free(bytes);
	}
	sim_free(io);
	free(rig);
}

static int audit_refuse(void *context, const struct purge_certificate *intended)
{
	(void)context;
	(void)intended;
	return -EIO;
}

/* Of two purges that stand half done the first's intent rots: it is told, and the other is finished. */
static void test_purge_intent_damaged(void)
{
	struct purge_hooks refusing = {.audit_intent = audit_refuse};
	struct purge_hooks hooks = {.context = NULL};
	struct io *io = sim_new(check_seed());
	struct rig *rig = rig_new(io, check_seed());
	struct name_search search = {.ending = ".intent"};
	struct purge_certificate certificate;
	char path[600];

	check_open(rig);
	send_some(rig, 60);
	rig_settle(rig, 1000);
	CHECK_INT(-EIO, purge_run(rig->store, rig->first_day, "rule", 1, &refusing, &rig->err, &certificate));
	CHECK_INT(0, io->ops->list(io, SIM_DIRECTORY "/purge", name_see, &search));
	CHECK(search.name[0] != '\0');
	CHECK_INT(-EIO, purge_run(rig->store, rig->first_day + 1, "rule", 1, &refusing, &rig->err, &certificate));
	snprintf(path, sizeof(path), SIM_DIRECTORY "/purge/%s", search.name);
	CHECK_INT(0, sim_rot(io, path, 20, 1));
	CHECK_INT(-EBADMSG, purge_resume(rig->store, &hooks, &rig->err));
	CHECK(strstr(rig->err.text, search.name) != NULL);
	CHECK(!keyring_day_destroyed(store_keyring(rig->store), rig->first_day));
	CHECK(keyring_day_destroyed(store_keyring(rig->store), rig->first_day + 1));
	/* Purged anew, it is through, and nothing stands any more. */
	CHECK_INT(0, purge_run(rig->store, rig->first_day, "rule", 1, &hooks, &rig->err, &certificate));
	CHECK_INT(0, purge_resume(rig->store, &hooks, &rig->err));
	CHECK_INT(0, rig_close(rig, true));
	sim_free(io);
	free(rig);
}

/* The catalog is lost: the segments are adopted, those whose journal is still there are sealed anew; each read once. */
static void test_catalog_lost(void)
{
	for (unsigned round = 0; round < 4; round++) {
		struct io *io = sim_new(check_seed() + round);
		struct rig *rig = rig_new(io, check_seed() + round);
		struct store_status *status = malloc(sizeof(*status));
		char path[700];

		CHECK(status != NULL);
		check_open(rig);
		send_some(rig, 50);
		rig_settle(rig, 1000);
		CHECK_INT(0, store_seal_all(rig->store, INT64_C(5000000000)));
		if (round % 2 == 1)
			CHECK_INT(0, rig_purge(rig, 1));
		send_some(rig, 50);
		rig_settle(rig, 1000);
		CHECK_INT(0, rig_close(rig, round < 2));
		snprintf(path, sizeof(path), "%s/catalog/data.mdb", rig->db_directory);
		CHECK_INT(0, unlink(path));
		check_open(rig);
		CHECK_INT(0, store_status(rig->store, status));
		CHECK(status->damage_count > 0);
		/* Rows only: windows of sealed lanes are lost with the catalog. */
		CHECK(rig_verify_rows(rig));
		CHECK_INT(0, rig_close(rig, true));
		check_open(rig);
		CHECK(rig_verify_rows(rig));
		CHECK_INT(0, rig_close(rig, false));
		sim_free(io);
		free(rig);
		free(status);
	}
}

/* The change log is damaged: journalling goes on, search, match and purge are told why not. */
static void test_register_incomplete(void)
{
	struct io *io = sim_new(check_seed());
	struct rig *rig = rig_new(io, check_seed());
	struct reg_feed feed = {.feed = 1, .name = "force"};
	uint8_t buffer[REG_RECORD_SIZE_MAX];
	struct reg_change change = reg_feed_put(&feed, buffer);
	const char *why = NULL;

	check_open(rig);
	CHECK_INT(0, reg_change(store_register(rig->store, &why), &change, 1, 0, "first", &rig->err));
	CHECK_INT(0, reg_change(store_register(rig->store, &why), &change, 1, 0, "second", &rig->err));
	CHECK_INT(0, rig_close(rig, true));
	CHECK_INT(0, sim_rot(io, SIM_DIRECTORY "/register/changes.log", 100, 1));
	check_open(rig);
	CHECK(store_register(rig->store, &why) == NULL);
	CHECK(strstr(why, "changes.log") != NULL);
	send_some(rig, 30);
	rig_settle(rig, 1000);
	CHECK(rig->acked > 100);
	CHECK_INT(-ENOKEY, rig_purge(rig, 0));
	check_rig(rig);
	CHECK_INT(0, rig_close(rig, true));
	sim_free(io);
	free(rig);
}

int main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{"reads survive restarts", test_restarts},
		{"what must not be opened is refused", test_refusals},
		{"old epochs are refused", test_epochs},
		{"a purged day stays purged", test_purge},
		{"a purge that fails leaves nothing readable", test_purge_fails},
		{"failing writes delay sealing", test_seal_fails},
		{"a full disk pushes back until a purge", test_disk_full},
		{"rot is told and closed over", test_rot},
		{"a lane taken up keeps its base, however far", test_gaps},
		{"a journal that cannot be read stops the start", test_journal_unreadable},
		{"a damaged intent holds up no other day", test_purge_intent_damaged},
		{"a journal without a readable frame stops the start", test_frame_unreadable},
		{"a lost catalog is made anew", test_catalog_lost},
		{"an incomplete register stops only what needs it", test_register_incomplete},
		{"power cuts lose nothing", test_power_cuts},
		{NULL, NULL}};

	log_level_set(getenv("GANTRY_TEST_LOG") != NULL ? LOG_LEVEL_DEBUG : LOG_LEVEL_ERROR);
	return check_main(argc, argv, "storage store", tests);
}
