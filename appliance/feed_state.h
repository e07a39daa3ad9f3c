/*
 * The state of one feed: its cryptographic sessions, where it was last heard from, its lanes.
 *
 * Made by a control thread when the feed is first seen in the register and kept until the process ends; from then on
 * the worker that owns the feed (feed id modulo workers) is its only user. What status shows is copied into `shown`,
 * field by field, relaxed: each is true, they need not be of one instant.
 */
#ifndef GANTRY_APPLIANCE_FEED_STATE_H
#define GANTRY_APPLIANCE_FEED_STATE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "appliance/base/read.h"
#include "dpdk/feed/ack.h"
#include "dpdk/feed/peer.h"
#include "dpdk/path.h"

struct lane_window;

/* A feed speaks for its newest epoch; what the one before still has under way is acknowledged too. */
#define FEED_EPOCHS_LIVE 2

struct lane_state {
	struct lane_window *window; /* NULL until a control thread has opened it; the store's */
	struct feed_notices notices;
	uint64_t deferred_total;
	bool ack_due;
};

struct epoch_state {
	uint32_t epoch; /* 0 unused */
	bool asked;     /* a control thread has been asked to open its lanes */
	bool refused;   /* too old: its reads are not taken any more */
	struct lane_state lanes[FEED_LANE_COUNT];
};

struct lane_shown {
	_Atomic uint64_t cumulative;
	_Atomic uint64_t highest;
	_Atomic uint64_t next;    /* as the sender's last heartbeat said */
	_Atomic uint64_t backlog; /* likewise */
	_Atomic uint64_t oldest_age_us;
	_Atomic uint64_t credit;
	_Atomic uint64_t deferred;
};

struct feed_shown {
	_Atomic int64_t last_seen_us;
	_Atomic uint32_t epoch;
	_Atomic int clock_synchronised; /* −1 not told yet */
	_Atomic int64_t clock_offset_us;
	_Atomic uint64_t reads;
	struct lane_shown lanes[FEED_LANE_COUNT];
};

struct feed_state {
	struct feed_peer peer;
	struct path path; /* of the last authentic datagram */
	uint32_t feed;
	uint16_t slot; /* in its worker's table */
	unsigned worker;
	bool path_known;
	struct epoch_state epochs[FEED_EPOCHS_LIVE]; /* the newest first */
	bool ack_queued;                             /* on the worker's list of feeds that are owed an ACK */
	struct feed_state *ack_next;
	int64_t last_seen_ns;
	uint8_t key[32]; /* those the peer has, to see a change */
	uint8_t key_next[32];
	bool has_key_next;
	struct feed_shown shown;
};

#endif
