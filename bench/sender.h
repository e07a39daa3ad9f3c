/*
 * The sender's side of the feed protocol for a whole fleet: N feeds in one thread, each with its spool, its session
 * (dpdk/feed/link.h) and an outbox per lane, over one transport.
 *
 * A turn: for each feed in order: what its timers ask for (HELLO, heartbeat), new reads from the source into the spool
 * while there is room, up to SENDER_QUANTUM datagrams (live before backlog, what was lost before what is new); then
 * everything that came in. Feeds take turns at going first. No allocation after sender_add_feed, every loop bounded.
 *
 * Life cycle: sender_new, sender_add_feed for each, sender_turn for ever, sender_stop_making at the end, then turns
 * until sender_idle; sender_free. One owner thread.
 */
#ifndef GANTRY_BENCH_SENDER_H
#define GANTRY_BENCH_SENDER_H

#include <stdbool.h>
#include <stdint.h>

#include "appliance/base/err.h"
#include "bench/fleet.h"
#include "bench/outbox.h"

#define SENDER_QUANTUM 64

struct ledger;
struct spool;
struct transport;

/* Where reads come from: fills a batch of at most count_max for that feed, now. fleet_streams_fill, or a test's own. */
struct sender_source {
	void (*fill)(void *context, unsigned feed_index, int64_t now_us, unsigned count_max,
		     struct fleet_batch *ret_batch);
	void *context;
};

struct sender_settings {
	double reads_per_s;     /* over all feeds; 0 as fast as the spools take them */
	uint64_t reads_max;     /* made in this run; 0 no end */
	uint32_t window_max;    /* datagrams in flight per lane */
	uint32_t spool_reads;   /* room of a lane's spool */
	const char *spool_path; /* directory, or NULL: memory */
	const char *name;       /* of the sender in its HELLO */
	bool curve;             /* the rate follows the hour of the day */
};
void sender_settings_init(struct sender_settings *settings);

struct sender;

/* transport, source and ledger (may be NULL) are borrowed. -ENOMEM. */
int sender_new(const struct sender_settings *settings, struct transport *transport, const struct sender_source *source,
	       struct ledger *ledger, struct sender **ret_sender);
/* Closes the spools. NULL allowed; returns NULL. */
struct sender *sender_free(struct sender *sender);

/* The next feed, on the transport's next channel. Returns enum spool_opened, or -errno of spool_open. */
int sender_add_feed(struct sender *sender, uint32_t feed, const uint8_t key[32], struct err *err);

/* One turn at `now`; true when anything was done. *ret_done; -errno when the ledger can not be written: stop then. */
int sender_turn(struct sender *sender, int64_t now_ns, int64_t now_us, bool *ret_done);

/* No more new reads; what is spooled goes on. */
void sender_stop_making(struct sender *sender);
/* The source may give more reads (reads_max not reached, not stopped). */
bool sender_making(const struct sender *sender);

/* All that was spooled is acknowledged. */
bool sender_idle(const struct sender *sender);

/* When a turn is due again at the latest, if nothing comes in. */
int64_t sender_next_ns(const struct sender *sender, int64_t now_ns);

struct sender_totals {
	uint64_t made;        /* new reads spooled in this run */
	uint64_t outstanding; /* spooled, not acknowledged */
	uint64_t sent;
	uint64_t acknowledged;
	uint64_t retransmitted;
	uint64_t refused_by[REFUSAL_COUNT]; /* [REFUSAL_NONE]: refused, but no notice told why */
	uint64_t refused;
	uint64_t deferred;
	uint64_t data_datagrams;
	uint64_t datagrams_lost;
	uint64_t timeouts;
	uint64_t hellos;
	uint64_t heartbeats;
	uint64_t acks;
	uint64_t welcomes;
	uint64_t drops; /* datagrams from the wire that were not accepted */
	uint64_t flight;
	uint64_t credit;
	int64_t began_ns;   /* first WELCOME; 0 before */
	int64_t settled_ns; /* last ACK that settled anything */
	unsigned open;      /* feeds with a session */
	unsigned feeds;
	struct outbox_violations violations;
	struct histogram latency;
};
void sender_totals(const struct sender *sender, struct sender_totals *ret_totals);

#endif
