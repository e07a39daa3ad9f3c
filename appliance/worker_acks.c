/*
 * What a worker says to its feeds: lanes opened by a control thread, credit, ACKs.
 *
 * An ACK's numbers come from lane_mark alone, that is from what the journal's completion has marked durable: durable_of
 * below is the one place where a feed_durable is made.
 */
#include <assert.h>
#include <rte_ring.h>
#include <rte_ring_elem.h>
#include <stdio.h>
#include <string.h>

#include "appliance/worker_inside.h"
#include "dpdk/reply.h"
#include "storage/lane.h"
#include "storage/store.h"

static_assert(FEED_ACK_RANGES_MAX == LANE_RANGES_MAX, "an ACK carries what a lane's mark tells");

#define CREDIT_CENSUS_NS INT64_C(1000000000)

static void durable_of(const struct lane_window *window, struct feed_durable *ret_durable)
{
	struct lane_mark mark;

	lane_mark(window, &mark);
	ret_durable->cumulative = mark.cumulative;
	ret_durable->refused_total = mark.refused_total;
	ret_durable->epoch = window->epoch;
	ret_durable->lane = window->lane;
	ret_durable->range_count = (uint8_t)mark.range_count;
	for (unsigned i = 0; i < mark.range_count; i++)
		ret_durable->ranges[i] = (struct feed_range){mark.ranges[i].first, mark.ranges[i].last};
}

/* Reads beyond the cumulative sequence: a fair share of the journal's room, backlog half of what live gets. */
static uint32_t lane_credit(const struct worker *worker, const struct lane_window *window)
{
	uint64_t credit = atomic_load_explicit(&worker->credit, memory_order_relaxed);

	if (worker->active_feeds > 1)
		credit /= worker->active_feeds;
	if (window->lane == FEED_LANE_BACKLOG)
		credit /= 2;
	return credit < window->size ? (uint32_t)credit : window->size;
}

void worker_credit(struct worker *worker)
{
	uint32_t credit = store_credit_open(worker->store) ? journal_credit(worker->journal) : 0;

	atomic_store_explicit(&worker->credit, credit, memory_order_relaxed);
	if (worker->now_ns - worker->census_ns < CREDIT_CENSUS_NS)
		return;
	worker->census_ns = worker->now_ns;
	worker->active_feeds = 0;
	for (uint32_t slot = 0; slot < worker->tables->slot_counts[worker->options.index]; slot++) {
		uint32_t index = worker->tables->slots[worker->options.index][slot];

		if (index != 0 &&
		    worker->now_ns - worker->tables->feeds[index - 1].state->last_seen_ns < FEED_ACTIVE_NS)
			worker->active_feeds++;
	}
}

static void lane_ask(struct worker *worker, struct feed_state *feed, struct epoch_state *epoch)
{
	struct lane_request request = {.feed = feed->feed, .epoch = epoch->epoch, .slot = feed->slot};

	/* A full ring is tried again with the sender's next datagram. */
	epoch->asked = rte_ring_sp_enqueue_elem(worker->lane_requests, &request, sizeof(request)) == 0;
}

/* The state of a feed's epoch; NULL while its lanes are not open, or when it is refused. Called with authentic words.
 */
struct epoch_state *worker_epoch(struct worker *worker, struct feed_state *feed, uint32_t epoch)
{
	struct epoch_state *newest = &feed->epochs[0];

	for (unsigned i = 0; i < FEED_EPOCHS_LIVE; i++) {
		struct epoch_state *state = &feed->epochs[i];

		if (state->epoch != epoch)
			continue;
		if (state->lanes[0].window != NULL)
			return state;
		if (!state->asked && !state->refused)
			lane_ask(worker, feed, state);
		return NULL;
	}
	/* Runs of this burst that are collected already point into the epochs: they go before anything moves. */
	if (worker->run_count > 0)
		worker_append(worker);
	feed->epochs[1] = *newest;
	*newest = (struct epoch_state){.epoch = epoch};
	lane_ask(worker, feed, newest);
	return NULL;
}

void worker_grants(struct worker *worker)
{
	struct lane_grant grant;

	while (rte_ring_sc_dequeue_elem(worker->lane_grants, &grant, sizeof(grant)) == 0) {
		uint32_t index = grant.slot < worker->tables->slot_counts[worker->options.index]
					 ? worker->tables->slots[worker->options.index][grant.slot]
					 : 0;
		struct feed_state *feed;

		if (index == 0)
			continue; /* removed meanwhile */
		feed = worker->tables->feeds[index - 1].state;
		for (unsigned i = 0; i < FEED_EPOCHS_LIVE; i++) {
			struct epoch_state *state = &feed->epochs[i];

			if (state->epoch != grant.epoch)
				continue;
			state->asked = false;
			if (grant.outcome == LANES_FAILED)
				continue;
			state->refused = grant.outcome == LANES_REFUSED;
			state->lanes[FEED_LANE_LIVE].window = grant.windows[FEED_LANE_LIVE];
			state->lanes[FEED_LANE_BACKLOG].window = grant.windows[FEED_LANE_BACKLOG];
			if (!state->refused)
				worker_ack_feed(worker, feed);
		}
	}
}

static void ack_queue(struct worker *worker, struct feed_state *feed)
{
	if (feed->ack_queued)
		return;
	feed->ack_queued = true;
	feed->ack_next = worker->acks;
	worker->acks = feed;
}

void worker_ack_lane(struct worker *worker, struct feed_state *feed, struct lane_state *lane)
{
	lane->ack_due = true;
	ack_queue(worker, feed);
}

void worker_ack_feed(struct worker *worker, struct feed_state *feed)
{
	for (unsigned lane = 0; lane < FEED_LANE_COUNT; lane++)
		if (feed->epochs[0].lanes[lane].window != NULL)
			worker_ack_lane(worker, feed, &feed->epochs[0].lanes[lane]);
}

static void show_lane(struct feed_state *feed, const struct lane_state *lane, const struct feed_ack *ack)
{
	struct lane_shown *shown = &feed->shown.lanes[ack->durable.lane];

	if (ack->durable.epoch != feed->epochs[0].epoch)
		return;
	atomic_store_explicit(&feed->shown.epoch, ack->durable.epoch, memory_order_relaxed);
	atomic_store_explicit(&shown->cumulative, ack->durable.cumulative, memory_order_relaxed);
	atomic_store_explicit(&shown->highest, lane->window->highest, memory_order_relaxed);
	atomic_store_explicit(&shown->credit, ack->credit, memory_order_relaxed);
	atomic_store_explicit(&shown->deferred, lane->deferred_total, memory_order_relaxed);
}

static void ack_send(struct worker *worker, struct feed_state *feed, struct lane_state *lane)
{
	struct feed_ack ack = {.clock_us = worker->now_us, .deferred_total = lane->deferred_total};
	uint8_t *room;
	size_t size;

	lane->ack_due = false;
	if (!feed->path_known || !feed_peer_connected(&feed->peer))
		return;
	durable_of(lane->window, &ack.durable);
	ack.credit = lane_credit(worker, lane->window);
	feed_notices_put(&lane->notices, &ack);
	show_lane(feed, lane, &ack);
	/* No room, no ACK: the sender's next word, a heartbeat at the latest, brings the next. */
	room = reply_begin(worker->queue, &feed->path);
	if (room == NULL)
		return;
	if (feed_peer_ack(&feed->peer, &ack, worker->now_ns, room, &size) != FEED_SEALED) {
		reply_abandon(worker->queue);
		return;
	}
	reply_commit(worker->queue, size);
	counter_add(&worker->counters.acks, 1);
}

void worker_ack_flush(struct worker *worker)
{
	while (worker->acks != NULL) {
		struct feed_state *feed = worker->acks;

		worker->acks = feed->ack_next;
		feed->ack_queued = false;
		for (unsigned epoch = 0; epoch < FEED_EPOCHS_LIVE; epoch++)
			for (unsigned lane = 0; lane < FEED_LANE_COUNT; lane++)
				if (feed->epochs[epoch].lanes[lane].ack_due)
					ack_send(worker, feed, &feed->epochs[epoch].lanes[lane]);
	}
	(void)reply_flush(worker->queue);
}

void worker_welcome(struct worker *worker, struct feed_state *feed, const struct feed_hello *hello,
		    struct feed_welcome *ret_welcome)
{
	memset(ret_welcome, 0, sizeof(*ret_welcome));
	ret_welcome->clock_us = worker->now_us;
	(void)snprintf(ret_welcome->node, sizeof(ret_welcome->node), "%.32s", worker->options.node);
	for (unsigned lane = 0; lane < FEED_LANE_COUNT; lane++) {
		struct feed_lane_granted *granted = &ret_welcome->lanes[lane];

		granted->records_max = FEED_RECORDS_MAX;
		for (unsigned i = 0; i < FEED_EPOCHS_LIVE; i++) {
			const struct lane_window *window = feed->epochs[i].lanes[lane].window;

			if (feed->epochs[i].epoch != hello->epoch || window == NULL)
				continue;
			granted->known = true;
			granted->cumulative = window->base - 1;
			granted->credit = lane_credit(worker, window);
		}
	}
}

/*
 * The sender holds nothing below its lowest any more. What this store lacks there is lost (it was told durable by a
 * store that has since been damaged, or was given up): counted, alarmed, and the lane goes on. Of a lane that never
 * held anything nothing can be missing: it begins there.
 */
static void take_up(struct worker *worker, struct lane_window *window, uint64_t lowest)
{
	bool unknown =
		window->base == 1 && window->highest == 0 && window->stored_total == 0 && window->refused_total == 0;
	uint64_t lost = lane_take_up(window, lowest);

	if (!unknown)
		counter_add(&worker->counters.lost, lost);
}

void worker_heartbeat(struct worker *worker, struct feed_state *feed, const struct feed_heartbeat *heartbeat)
{
	struct epoch_state *epoch = worker_epoch(worker, feed, heartbeat->epoch);

	atomic_store_explicit(&feed->shown.clock_synchronised, heartbeat->clock_synchronised, memory_order_relaxed);
	atomic_store_explicit(&feed->shown.clock_offset_us, heartbeat->clock_offset_us, memory_order_relaxed);
	for (unsigned lane = 0; lane < FEED_LANE_COUNT; lane++) {
		struct lane_shown *shown = &feed->shown.lanes[lane];

		atomic_store_explicit(&shown->next, heartbeat->lanes[lane].sent.next, memory_order_relaxed);
		atomic_store_explicit(&shown->backlog, heartbeat->lanes[lane].backlog, memory_order_relaxed);
		atomic_store_explicit(&shown->oldest_age_us, heartbeat->lanes[lane].oldest_age_us,
				      memory_order_relaxed);
		if (epoch == NULL)
			continue;
		take_up(worker, epoch->lanes[lane].window, heartbeat->lanes[lane].sent.lowest);
		worker_ack_lane(worker, feed, &epoch->lanes[lane]);
	}
}
