/* What worker.c (the turn), worker_reads.c (the way of a read) and worker_acks.c share. Nobody else includes it. */
#ifndef GANTRY_APPLIANCE_WORKER_INSIDE_H
#define GANTRY_APPLIANCE_WORKER_INSIDE_H

#include "appliance/base/read.h"
#include "appliance/feed_state.h"
#include "appliance/tables.h"
#include "appliance/worker.h"
#include "dpdk/feed/wire.h"
#include "dpdk/frame.h"

#define BURST_READS (FRAME_BURST * FEED_RECORDS_MAX)
#define BURST_HITS (4 * BURST_READS)
#define LANE_RING_SIZE 1024
#define LINK_EVERY_NS INT64_C(10000000)
#define FEED_ACTIVE_NS INT64_C(5000000000) /* a feed heard of so lately has a share of the credit */

/* A datagram of the burst, wherever it came from. */
struct burst_datagram {
	const uint8_t *payload;
	const struct path *path;
	int64_t receipt_us;
	uint32_t size;
	struct feed_peek peek;
	enum feed_outcome claim; /* what it says it is; a FEED_DROP_* ends it */
	const struct feed_entry *entry;
};

/* Records of one datagram that met the same fate, to be appended together. */
struct burst_run {
	struct run run;
	struct lane_state *lane;
	struct feed_state *feed;
	uint32_t first_read; /* index in reads; meaningless for a refused run */
};

struct worker {
	struct worker_options options;
	struct frame_queue *queue;
	struct crossing *crossing;
	struct rte_rcu_qsbr *quiescence;
	struct journal *journal;
	struct store *store;
	_Atomic(const struct tables *) published;
	atomic_bool stopping;
	struct rte_ring *lane_requests;
	struct rte_ring *lane_grants;

	const struct tables *tables; /* of this turn */
	uint64_t seen;               /* generation whose feeds' keys have been taken over */
	int64_t now_ns;
	int64_t now_us;
	int64_t oldest_us;       /* reads captured before are too old, also when the clock was set back */
	struct feed_state *acks; /* feeds that are owed an ACK */
	struct idle idle;
	int64_t started_ns;
	int64_t census_ns;
	int64_t link_ns; /* when the port's link was looked at */
	bool link_up;
	uint32_t active_feeds; /* heard of lately: they share the credit */
	_Atomic uint32_t credit;
	_Atomic uint64_t turns;

	unsigned datagram_count;
	unsigned read_count;
	unsigned run_count;
	unsigned crossed_count;
	unsigned clash_count;
	struct burst_datagram datagrams[2 * FRAME_BURST];
	struct cross_slot *crossed[FRAME_BURST];
	struct burst_run runs[2 * BURST_READS];
	_Alignas(64) uint8_t body[FEED_DATAGRAM_SIZE_MAX];
	_Alignas(64) struct read reads[2 * BURST_READS];
	uint32_t places[2 * BURST_READS]; /* of the reads' cameras, in this turn's tables */
	struct hit hits[BURST_HITS];
	struct hit clashes[2 * BURST_READS]; /* of clones: rows are those of `reads` */

	_Alignas(64) struct worker_counters counters;
};

/* worker_reads.c: judges, checks and collects the records of one opened DATA into reads and runs. */
void worker_collect(struct worker *worker, const struct burst_datagram *datagram, const struct feed_opened *opened);
/* Matches the burst and appends its runs. */
void worker_append(struct worker *worker);

/*
 * worker_gate.c, in this order. `first`: the read that hit.row counts from; hits are in the order of their reads.
 * worker_clashes judges the burst. worker_gate lays the clashes of `reads` reads between their hits, for which there
 * has to be room, and leaves out those that their lists' conditions rule out: how many there are then. Repeats are
 * marked before the journal takes the hits of a run, and noted after it did.
 */
void worker_clashes(struct worker *worker);
size_t worker_gate(struct worker *worker, uint32_t first, uint32_t reads, struct hit *hits, size_t count);
void worker_repeats_mark(const struct worker *worker, uint32_t first, struct hit *hits, size_t count);
void worker_repeats_note(struct worker *worker, uint32_t first, const struct hit *hits, size_t count);

/* worker_acks.c */
struct epoch_state *worker_epoch(struct worker *worker, struct feed_state *feed, uint32_t epoch);
void worker_ack_lane(struct worker *worker, struct feed_state *feed, struct lane_state *lane);
void worker_ack_feed(struct worker *worker, struct feed_state *feed);
void worker_ack_flush(struct worker *worker);
void worker_grants(struct worker *worker);
void worker_credit(struct worker *worker);
void worker_welcome(struct worker *worker, struct feed_state *feed, const struct feed_hello *hello,
		    struct feed_welcome *ret_welcome);
void worker_heartbeat(struct worker *worker, struct feed_state *feed, const struct feed_heartbeat *heartbeat);

#endif
