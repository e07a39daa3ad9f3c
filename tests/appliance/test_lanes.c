/* How a worker gets the lanes of an epoch, and takes them up where their sender still has reads. */
#include "appliance/lanes.h"

#include <errno.h>
#include <rte_ring.h>
#include <rte_ring_elem.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/worker_inside.h"
#include "storage/lane.h"
#include "storage/store.h"
#include "tests/check.h"

#define SIZE LANE_WINDOW_SIZE_MIN
#define RING 4 /* entries; one less is usable */
#define EPOCH 7

struct bench {
	struct worker *worker;
	struct feed_state feed;
	struct feed_entry entry;
	struct tables tables;
	uint32_t slots[1];
	uint32_t *slots_of[1];
	uint32_t slot_counts[1];
	struct lane_window windows[FEED_LANE_COUNT];
	uint64_t words[FEED_LANE_COUNT][2][SIZE / 64];
	int outcome; /* of the next opening */
	unsigned opened;
};

static struct rte_ring *ring_new(unsigned element_size)
{
	ssize_t size = rte_ring_get_memsize_elem(element_size, RING);
	struct rte_ring *ring;

	CHECK(size > 0);
	ring = aligned_alloc(RTE_CACHE_LINE_SIZE, RTE_ALIGN_CEIL((size_t)size, (size_t)RTE_CACHE_LINE_SIZE));
	CHECK(ring != NULL);
	CHECK_INT(0, rte_ring_init(ring, "test", RING, RING_F_SP_ENQ | RING_F_SC_DEQ));
	return ring;
}

static struct bench *bench_new(void)
{
	struct bench *bench = calloc(1, sizeof(*bench));
	size_t size = RTE_ALIGN_CEIL(sizeof(struct worker), (size_t)64);

	CHECK(bench != NULL);
	bench->worker = aligned_alloc(64, size);
	CHECK(bench->worker != NULL);
	memset(bench->worker, 0, size);
	bench->entry = (struct feed_entry){.state = &bench->feed, .feed = 1};
	bench->slots[0] = 1;
	bench->slots_of[0] = bench->slots;
	bench->slot_counts[0] = 1;
	bench->tables = (struct tables){.feeds = &bench->entry,
					.feed_count = 1,
					.slots = bench->slots_of,
					.slot_counts = bench->slot_counts,
					.workers = 1};
	bench->feed.feed = 1;
	bench->worker->tables = &bench->tables;
	bench->worker->lane_requests = ring_new(sizeof(struct lane_request));
	bench->worker->lane_grants = ring_new(sizeof(struct lane_grant));
	for (unsigned lane = 0; lane < FEED_LANE_COUNT; lane++)
		lane_init(&bench->windows[lane], 1, SIZE, bench->words[lane][0], bench->words[lane][1]);
	return bench;
}

static void bench_free(struct bench *bench)
{
	free(bench->worker->lane_requests);
	free(bench->worker->lane_grants);
	free(bench->worker);
	free(bench);
}

static int lane_open(void *context, uint32_t feed, uint32_t epoch, uint8_t lane, struct lane_window **ret_window)
{
	struct bench *bench = context;

	(void)feed;
	(void)epoch;
	bench->opened++;
	if (bench->outcome != 0 && lane == FEED_LANE_BACKLOG)
		return bench->outcome;
	*ret_window = &bench->windows[lane];
	return 0;
}

static void answer(struct bench *bench)
{
	lanes_answer(bench->worker->lane_requests, bench->worker->lane_grants, lane_open, bench);
}

static void a_passing_failure_is_asked_about_again(void)
{
	struct bench *bench = bench_new();
	const struct epoch_state *epoch = &bench->feed.epochs[0];

	bench->outcome = -ENOMEM;
	CHECK(worker_epoch(bench->worker, &bench->feed, EPOCH) == NULL);
	CHECK(epoch->asked);
	answer(bench);
	worker_grants(bench->worker);
	CHECK(!epoch->asked);
	CHECK(!epoch->refused);
	CHECK(epoch->lanes[FEED_LANE_LIVE].window == NULL);
	bench->outcome = 0;
	CHECK(worker_epoch(bench->worker, &bench->feed, EPOCH) == NULL);
	answer(bench);
	worker_grants(bench->worker);
	CHECK(worker_epoch(bench->worker, &bench->feed, EPOCH) == epoch);
	bench_free(bench);
}

static void an_old_epoch_is_refused_for_good(void)
{
	struct bench *bench = bench_new();

	bench->outcome = STORE_EPOCH_OLD;
	CHECK(worker_epoch(bench->worker, &bench->feed, EPOCH) == NULL);
	answer(bench);
	worker_grants(bench->worker);
	CHECK(bench->feed.epochs[0].refused);
	CHECK(worker_epoch(bench->worker, &bench->feed, EPOCH) == NULL);
	CHECK(rte_ring_empty(bench->worker->lane_requests));
	bench_free(bench);
}

static void a_full_ring_keeps_what_was_asked(void)
{
	struct bench *bench = bench_new();
	struct lane_grant other = {.epoch = EPOCH + 1, .outcome = LANES_REFUSED};

	while (rte_ring_sp_enqueue_elem(bench->worker->lane_grants, &other, sizeof(other)) == 0)
		;
	CHECK(worker_epoch(bench->worker, &bench->feed, EPOCH) == NULL);
	answer(bench);
	CHECK_INT(0, bench->opened);
	worker_grants(bench->worker);
	CHECK(bench->feed.epochs[0].asked);
	answer(bench);
	worker_grants(bench->worker);
	CHECK(worker_epoch(bench->worker, &bench->feed, EPOCH) == &bench->feed.epochs[0]);
	bench_free(bench);
}

static void heartbeat(struct bench *bench, uint64_t lowest)
{
	struct feed_heartbeat heartbeat = {.epoch = EPOCH};

	for (unsigned lane = 0; lane < FEED_LANE_COUNT; lane++)
		heartbeat.lanes[lane].sent.lowest = heartbeat.lanes[lane].sent.next = 1;
	heartbeat.lanes[FEED_LANE_LIVE].sent.lowest = heartbeat.lanes[FEED_LANE_LIVE].sent.next = lowest;
	worker_heartbeat(bench->worker, &bench->feed, &heartbeat);
}

static void an_unknown_lane_begins_with_nothing_lost(void)
{
	struct bench *bench = bench_new();
	struct lane_window *window = &bench->windows[FEED_LANE_LIVE];

	CHECK(worker_epoch(bench->worker, &bench->feed, EPOCH) == NULL);
	answer(bench);
	worker_grants(bench->worker);
	heartbeat(bench, UINT64_C(1) << 40);
	CHECK_INT(UINT64_C(1) << 40, window->base);
	CHECK_INT(0, bench->worker->counters.lost);
	heartbeat(bench, (UINT64_C(1) << 40) + 5); /* known now */
	CHECK_INT(5, bench->worker->counters.lost);
	bench_free(bench);
}

static void a_lane_that_held_anything_counts_the_lost(void)
{
	struct bench *bench = bench_new();
	struct lane_window *window = &bench->windows[FEED_LANE_LIVE];

	CHECK(worker_epoch(bench->worker, &bench->feed, EPOCH) == NULL);
	answer(bench);
	worker_grants(bench->worker);
	lane_take(window, 3, 1);
	heartbeat(bench, 10);
	CHECK_INT(3, window->base); /* it waits for what is on its way */
	CHECK_INT(8, bench->worker->counters.lost);
	bench_free(bench);
}

int main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{"a passing failure is asked about again", a_passing_failure_is_asked_about_again},
		{"an old epoch is refused for good", an_old_epoch_is_refused_for_good},
		{"a full ring keeps what was asked", a_full_ring_keeps_what_was_asked},
		{"an unknown lane begins with nothing lost", an_unknown_lane_begins_with_nothing_lost},
		{"a lane that held anything counts the lost", a_lane_that_held_anything_counts_the_lost},
		{NULL, NULL},
	};

	return check_main(argc, argv, "appliance lanes", tests);
}
