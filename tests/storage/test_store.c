/* The store on the simulated disk: through restarts, power cuts, failing writes and a full disk. */
#include "storage/store.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "appliance/base/clock.h"
#include "appliance/base/log.h"
#include "storage/io.h"
#include "storage/journal.h"
#include "storage/keyring.h"
#include "storage/lane.h"
#include "storage/purge.h"
#include "storage/store_internal.h"
#include "storage/view.h"
#include "tests/check.h"
#include "tests/storage/rig_check.h"
#include "tests/storage/sim_io.h"
#include "tests/storage/store_rig.h"
#include "tests/storage/store_world.h"

static void test_restarts(void)
{
	struct io *io = sim_new(check_seed());
	struct rig *rig = rig_new(io, check_seed());

	for (unsigned round = 0; round < 6; round++) {
		rig->options.workers = 1 + round % 3; /* their number may change */
		rig_check_open(rig, "open");
		rig_check_reads(rig);
		rig_send_some(rig, 60);
		rig_settle(rig, 1000);
		rig_check_reads(rig);
		if (round % 3 == 1)
			CHECK_INT(0, store_seal_all(rig->store, INT64_C(5000000000)));
		rig_check_reads(rig);
		CHECK_INT(0, rig_close(rig, round % 2 == 1));
	}
	rig_check_open(rig, "open");
	rig_check_reads(rig);
	CHECK(rig->acked > 1000);
	CHECK_INT(0, rig_close(rig, true));
	/* After a clean stop nothing is left to recover. */
	rig_check_open(rig, "open");
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
	rig_done(rig, io);
}

/* A store is one process's; a foreign directory is refused; a lost keyring is not replaced by a new one. */
static void test_refusals(void)
{
	struct io *io = sim_new(check_seed());
	struct rig *rig = rig_new(io, check_seed());
	struct rig *other = malloc(sizeof(*other));

	CHECK(other != NULL);
	rig_check_open(rig, "open");
	*other = *rig;
	other->options.directory = other->directory;
	CHECK_INT(-EBUSY, rig_open(other));
	rig_send_some(rig, 10);
	rig_settle(rig, 1000);
	CHECK_INT(0, rig_close(rig, false));
	CHECK_INT(0, io->ops->unlink(io, RIG_DIRECTORY "/keyring.a"));
	CHECK_INT(0, io->ops->unlink(io, RIG_DIRECTORY "/keyring.b"));
	CHECK(rig_open(rig) < 0);
	CHECK(rig->err.text[0] != '\0');
	sim_free(io);
	io = sim_new(1);
	CHECK_INT(0, io->ops->mkdir(io, RIG_DIRECTORY));
	CHECK_INT(0, sim_put(io, RIG_DIRECTORY "/thesis.tex", "x", 1));
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

	rig_check_open(rig, "open");
	for (uint32_t epoch = 10; epoch < 10 + STORE_LANE_EPOCHS_MAX; epoch++)
		CHECK_INT(0, store_lane(rig->store, 1, epoch, FEED_LANE_LIVE, &window));
	CHECK_INT(0, store_lane(rig->store, 1, 17, FEED_LANE_LIVE, &again));
	CHECK(again == window);
	CHECK_INT(STORE_EPOCH_OLD, store_lane(rig->store, 1, 9, FEED_LANE_LIVE, &again));
	CHECK_INT(0, store_lane(rig->store, 2, 9, FEED_LANE_LIVE, &again));
	CHECK_INT(0, store_lane(rig->store, 1, 18, FEED_LANE_LIVE, &again));
	CHECK_INT(STORE_EPOCH_OLD, store_lane(rig->store, 1, 9, FEED_LANE_BACKLOG, &again));
	rig_done(rig, io);
}

static void test_purge(void)
{
	struct io *io = sim_new(check_seed());
	struct rig *rig = rig_new(io, check_seed());
	struct purge_day *days;
	size_t count;
	uint64_t reads = 0;

	rig_check_open(rig, "open");
	rig_send_some(rig, 60);
	rig_settle(rig, 1000);
	CHECK_INT(0, store_seal_all(rig->store, INT64_C(5000000000)));
	rig_send_some(rig, 60);
	rig_settle(rig, 1000);
	CHECK_INT(0, purge_plan(rig->store, INT32_MAX, &days, &count));
	CHECK_INT(RIG_DAYS, count);
	for (size_t i = 0; i < count; i++)
		reads += days[i].reads;
	free(days);
	CHECK_INT(rig->acked, reads);
	CHECK_INT(PURGE_NOTHING, rig_purge(rig, 0) == 0 ? rig_purge(rig, 0) : -1);
	CHECK(rig->purged[0]);
	rig_check_reads(rig);
	/* What is resent of the purged day is refused; the rest goes on. */
	CHECK(!store_day_open(rig->store, rig->first_day));
	CHECK(store_day_open(rig->store, rig->first_day + 1));
	rig_send_some(rig, 60);
	(void)rig_resend(rig);
	rig_settle(rig, 1000);
	rig_check_reads(rig);
	CHECK_INT(0, rig_close(rig, false));
	rig_check_open(rig, "open");
	CHECK(!store_day_open(rig->store, rig->first_day));
	rig_check_reads(rig);
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

		rig_check_open(rig, "open");
		rig_send_some(rig, 40);
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
		rig_check_reads(rig);
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

		rig_check_open(rig, "open");
		rig_scenario(rig);
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
			rig_scenario(rig);
			(void)rig_close(rig, prng_chance(&prng, 500));
		}
		sim_crash(io);
		sim_cut_at(io, sim_ops(io) + 1 + prng_below(&prng, 60));
		if (rig_open(rig) == 0) {
			rig_send_some(rig, 5);
			(void)rig_close(rig, prng_chance(&prng, 500));
		}
		sim_crash(io);
		sim_cut_at(io, 0);
		rig_check_open(rig, "open");
		if (!rig_verify(rig))
			check_note("seed %llu: %s", (unsigned long long)seed, rig->problem);
		rig_check_reads(rig);
		if (rig->purge_begun[0])
			(void)rig_purge(rig, 0);
		else
			rig_check_tidy(rig);
		(void)rig_resend(rig);
		rig_settle(rig, 1000);
		rig_check_reads(rig);
		CHECK_INT(0, rig_close(rig, true));
		rig_check_open(rig, "open");
		rig_check_tidy(rig);
		rig_check_reads(rig);
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

	rig_check_open(rig, "open");
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
		rig_check_open(rig, "open");
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

int main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{"reads survive restarts", test_restarts},
		{"what must not be opened is refused", test_refusals},
		{"old epochs are refused", test_epochs},
		{"a purged day stays purged", test_purge},
		{"a purge that fails leaves nothing readable", test_purge_fails},
		{"a lane taken up keeps its base, however far", test_gaps},
		{"power cuts lose nothing", test_power_cuts},
		{NULL, NULL},
	};

	log_level_set(getenv("GANTRY_TEST_LOG") != NULL ? LOG_LEVEL_DEBUG : LOG_LEVEL_ERROR);
	return check_main(argc, argv, "storage store", tests);
}
