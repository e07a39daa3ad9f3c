#include "appliance/totals.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/hits.h"
#include "appliance/counters.h"
#include "appliance/gantry.h"
#include "appliance/present.h"
#include "mgmt/server.h"
#include "storage/store.h"

static void add_frames(struct gantry *gantry, struct totals *totals)
{
	uint64_t *sums = (uint64_t *)&totals->frames;

	for (unsigned i = 0; i < gantry->worker_count; i++) {
		struct frame_counters frames;
		const uint64_t *values = (const uint64_t *)&frames;

		frame_counters_read(gantry->queues[i], &frames);
		for (size_t j = 0; j < FRAME_COUNTERS_COUNT; j++) {
			sums[j] += values[j];
			if (frame_counter_table[j].rx)
				totals->frames_received += values[j];
		}
	}
}

static void add_worker(const struct worker_counters *counters, struct totals *totals)
{
	for (unsigned i = 0; i < FEED_OUTCOME_COUNT; i++)
		totals->feed[i] += counter_get(&counters->feed[i]);
	totals->taken += counter_get(&counters->taken);
	totals->refusals += counter_get(&counters->refused_malformed) + counter_get(&counters->refused_too_old) +
			    counter_get(&counters->refused_future) + counter_get(&counters->refused_camera_suspended);
	totals->deferred +=
		counter_get(&counters->deferred_unknown_camera) + counter_get(&counters->deferred_not_bound);
	totals->repeated += counter_get(&counters->repeated_pending) + counter_get(&counters->repeated_durable);
	totals->pushed_back += counter_get(&counters->beyond_window) + counter_get(&counters->lane_closed) +
			       counter_get(&counters->pushed_back);
	totals->lost += counter_get(&counters->lost);
	totals->hits += counter_get(&counters->hits);
	totals->hits_withheld += counter_get(&counters->hits_withheld);
	totals->hits_lost += counter_get(&counters->hits_lost);
	totals->acks += counter_get(&counters->acks);
	totals->crossed += counter_get(&counters->crossed);
	totals->cross_dropped += counter_get(&counters->cross_dropped);
	totals->durable_reads += counter_get(&counters->durable_reads);
	totals->durable_refusals += counter_get(&counters->durable_refusals);
	totals->reads += counter_get(&counters->received);
}

int totals_get(struct gantry *gantry, struct totals *ret_totals)
{
	struct store_status *status;
	struct totals totals = {0};
	uint64_t ended = 0;
	int result;

	for (unsigned i = 0; i < gantry->worker_count; i++)
		add_worker(worker_counters(gantry->workers[i]), &totals);
	add_frames(gantry, &totals);
	for (unsigned i = 0; i < FEED_OUTCOME_COUNT; i++)
		ended += i == FEED_SEALED ? 0 : totals.feed[i];
	totals.datagrams = totals.frames.datagram;

	status = calloc(1, sizeof(*status)); /* too large for a stack */
	if (status == NULL)
		return -ENOMEM;
	result = store_status(gantry->store, status);
	if (result == 0) {
		totals.collapsed = status->collapsed_total;
		totals.stored = status->stored_total;
		for (unsigned i = 0; i < REFUSAL_COUNT; i++) {
			totals.refused[i] = status->refused_total[i];
			totals.refused_total += status->refused_total[i];
		}
		totals.erased = status->erased_total;
		totals.purged = status->purged_total;
		totals.acknowledged = totals.stored + totals.collapsed + totals.refused_total + totals.erased;
		/*
		 * Counters are read one after the other while workers go on, so a datagram may be seen in one and not
		 * yet in the next: what was read first may be behind by what is under way in a turn of each worker.
		 */
		uint64_t slack = (uint64_t)gantry->worker_count * 4 * FRAME_BURST;
		uint64_t handled = ended + totals.cross_dropped; /* what crossed is counted by its owner */
		uint64_t records =
			totals.taken + totals.refusals + totals.deferred + totals.repeated + totals.pushed_back;

		totals.balanced = handled <= totals.datagrams + slack && totals.datagrams <= handled + slack &&
				  records <= totals.reads + slack * 28 && totals.reads <= records + slack * 28;
		*ret_totals = totals;
	}
	free(status);
	return result;
}

static void each_frame(const struct totals *totals, counter_visit *visit, void *context)
{
	const uint64_t *values = (const uint64_t *)&totals->frames;

	for (size_t i = 0; i < FRAME_COUNTERS_COUNT; i++)
		visit(context, "frames", frame_counter_table[i].name, values[i], frame_counter_table[i].help);
}

static void each_feed(const struct totals *totals, counter_visit *visit, void *context)
{
	for (unsigned i = 0; i < FEED_OUTCOME_COUNT; i++)
		if (i != FEED_SEALED && i != FEED_OPENED_WELCOME && i != FEED_OPENED_ACK)
			visit(context, "feed", feed_outcome_rows[i].name, totals->feed[i], feed_outcome_rows[i].help);
}

static void each_read(struct gantry *gantry, counter_visit *visit, void *context)
{
	struct worker_counters *counters[WORKERS_MAX];
	uint64_t sum;

	for (unsigned i = 0; i < gantry->worker_count; i++)
		counters[i] = worker_counters(gantry->workers[i]);
#define COUNTER_VISIT(name, help)                                                                                      \
	sum = 0;                                                                                                       \
	for (unsigned i = 0; i < gantry->worker_count; i++)                                                            \
		sum += counter_get(&counters[i]->name);                                                                \
	visit(context, "reads", #name, sum, help);
	COUNTER_VISIT(received, "records of authentic DATA, each time they came")
	READ_COUNTERS(COUNTER_VISIT)
	COUNTER_VISIT(durable_reads, "on stable storage, acknowledged")
	COUNTER_VISIT(durable_refusals, "refusals on stable storage, acknowledged")
	COUNTER_VISIT(lost, "sequences that their sender no longer holds and this store never had")
	COUNTER_VISIT(hits, "hits journalled with their reads")
	COUNTER_VISIT(hits_withheld, "hits of reads that are erased, restricted or amended: raised for nobody")
	GATE_COUNTERS(COUNTER_VISIT)
	COUNTER_VISIT(hits_lost,
		      "hits of reads that had more of them than there is room for: those of the lowest priority")
	COUNTER_VISIT(acks, "ACKs sent")
	CROSS_COUNTERS(COUNTER_VISIT)
#undef COUNTER_VISIT
}

static void each_store(const struct totals *totals, counter_visit *visit, void *context)
{
	visit(context, "store", "acknowledged", totals->acknowledged,
	      "stored + collapsed + refused + erased, since the beginning");
	visit(context, "store", "stored", totals->stored, "reads kept apart, purged ones too");
	visit(context, "store", "collapsed", totals->collapsed, "equal reads of other feeds or epochs, kept once");
	for (unsigned i = 1; i < REFUSAL_COUNT; i++) {
		char name[64];

		(void)snprintf(name, sizeof(name), "refused_%s", present_refusal((enum refusal)i));
		visit(context, "store", name, totals->refused[i], "refused for good");
	}
	visit(context, "store", "erased", totals->erased, "reads removed singly");
	visit(context, "store", "purged", totals->purged, "reads purged");
}

static void each_server(struct gantry *gantry, counter_visit *visit, void *context)
{
	struct server_counters counters;
	struct hits_info hits;

	if (gantry->server == NULL)
		return;
	server_counters_get(gantry->server, &counters);
	hits_info(gantry->hits, &hits);
	visit(context, "management", "clients", counters.client_count, "connected now");
	visit(context, "management", "clients_accepted", counters.clients_accepted, "since the start");
	visit(context, "management", "clients_refused", counters.clients_refused, "too many at once");
	visit(context, "management", "clients_slow", counters.clients_slow, "dropped: took nothing");
	visit(context, "management", "requests", counters.requests, "well-formed requests");
	visit(context, "management", "requests_refused", counters.requests_refused, "unknown, mistyped, too many");
	visit(context, "management", "requests_ungrounded", counters.requests_ungrounded, "no purpose, case or reason");
	visit(context, "management", "lines_malformed", counters.lines_malformed, "not JSON, or no request");
	visit(context, "hits", "published", hits.published, "to those who follow");
	visit(context, "hits", "repeats", hits.repeats, "told nobody");
	visit(context, "hits", "delivered", hits.delivered, "to subscribers");
	visit(context, "hits", "acknowledged", hits.acknowledged, "by subscribers");
	visit(context, "hits", "caught_up", hits.caught_up, "delivered from the store");
}

void counters_each(struct gantry *gantry, counter_visit *visit, void *context)
{
	struct totals totals;

	if (totals_get(gantry, &totals) < 0)
		return;
	each_frame(&totals, visit, context);
	each_feed(&totals, visit, context);
	each_read(gantry, visit, context);
	each_store(&totals, visit, context);
	each_server(gantry, visit, context);
}
