/*
 * One subscription in memory: who follows it, what it was sent, what it has acknowledged. Shared by subscriptions.c,
 * subscription.c, receipts.c and the couriers; others use subscriptions.h.
 *
 * A lane's life: behind (the courier that catches up fetches from the store, by number) ▸ live (the lane's courier
 * reads the ring at `ring_at`) ▸ behind again when the ring has overtaken it. Whoever connects begins behind what is
 * acknowledged: what was sent and not acknowledged is sent again.
 *
 * A courier works in turns. turn_begin pins the follower and copies how far it has come; without any lock hits are
 * fetched and written as a message; turn_offer notes them as outstanding, for their acknowledgement may come before the
 * courier has looked up from the socket; turn_end takes over how far the courier went, or takes the offer back. Only
 * one courier at a time works at a lane: the live one while it is live, else the one that catches up.
 *
 * Locks: a subscription's `lock` guards all that is not constant; taken behind the set's (subscriptions.h), held over
 * no I/O. A follower is ended, without lock, by whoever lets go of it last.
 */
#ifndef GANTRY_APPLIANCE_SUBSCRIPTION_H
#define GANTRY_APPLIANCE_SUBSCRIPTION_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "appliance/base/hit_positions.h"
#include "storage/register_subscription.h"

struct hit_latency;

enum follower_end {
	FOLLOWER_STAYS = 0,
	FOLLOWER_GONE,       /* its client has cancelled or disconnected, or the server stops */
	FOLLOWER_TAKEN_OVER, /* another connection follows the subscription now */
	FOLLOWER_REMOVED,    /* the subscription is removed */
};

/* Embedded in what the owner keeps for a connection. */
struct follower {
	/* Called once, by any control thread, without lock: tells it and frees it. */
	void (*end)(struct follower *follower, enum follower_end why);
	atomic_bool gone;   /* set by anyone; a courier then ends it */
	uint64_t delivered; /* subscription's lock, as what follows */
	unsigned users;
	enum follower_end why;
};

/* A hit that was sent and is not acknowledged. */
struct outstanding {
	uint64_t number;
	int64_t receipt_us; /* of its read */
	int64_t delivered_us;
	uint8_t camera_type;
};

/* Of one source, not yet closed: see reg_receipt. */
struct open_receipt {
	uint64_t from;
	uint64_t to; /* 0: nothing */
	uint32_t count;
	int64_t delivered_us;
	int64_t acknowledged_us;
	int64_t begun_us;
	bool changed; /* since it was last written */
};

struct subscription_lane {
	struct hit_positions acknowledged;
	struct hit_positions sent; /* to the follower, or not for it */
	bool live;
	uint64_t ring_at;          /* while live */
	struct outstanding *queue; /* ring of `room`, in the order sent */
	size_t room;
	size_t first;
	size_t count;
	bool changed; /* acknowledged or receipts, since they were last written */
	bool moved;   /* acknowledged went past hits that were not for it: written at leisure */
	int64_t written_us;
	uint64_t delivered; /* since the start, as what follows */
	uint64_t acknowledged_count;
	uint64_t from_store;
	struct open_receipt receipts[HIT_SOURCES];
	uint32_t receipt_first[HIT_SOURCES];
	uint32_t receipt_next[HIT_SOURCES]; /* index of the open one */
};

struct subscription {
	struct reg_subscription record; /* constant but for `removed`, under the set's lock */
	unsigned references;            /* the set's lock */
	bool moved_boundary;            /* while it is loaded: a lane was written under another boundary */
	size_t window;                  /* constant: hits of a lane that may be outstanding */

	pthread_mutex_t lock;
	struct follower *follower; /* NULL: nobody is connected */
	int64_t connected_us;
	struct subscription_lane lanes[HIT_LANE_COUNT];
};

/* -ENOMEM; nobody is connected, nothing is acknowledged. */
int subscription_new(const struct reg_subscription *record, size_t window, struct subscription **ret_subscription);
struct subscription *subscription_free(struct subscription *subscription);

/* Takes the connection over; the one before it, if any, is ended. Both lanes are behind. */
void subscription_follow(struct subscription *subscription, struct follower *follower);
/* Ends the follower that is there, as soon as nobody uses it. */
void subscription_end(struct subscription *subscription, enum follower_end why);
/* Ends it if it has gone. True when somebody is still connected. */
bool subscription_sweep(struct subscription *subscription);

struct turn {
	struct subscription *subscription;
	struct follower *follower;
	enum hit_lane lane;
	bool live;
	bool from_store; /* it began behind */
	uint64_t ring_at;
	struct hit_positions seen;   /* what it has come past; the courier goes on with it */
	struct hit_positions before; /* what it had before the offer */
	size_t room;                 /* hits that may be sent in this turn; 0: its window is full */
	size_t offered;
};

/* False when there is nothing to do: nobody connected, or the lane is another courier's. At most `hits_max` of room. */
bool turn_begin(struct subscription *subscription, enum hit_lane lane, bool live, size_t hits_max,
		struct turn *ret_turn);
/* These are about to be sent, at most `room`, and `seen` passes them. False: the follower is not the one any more. */
bool turn_offer(struct turn *turn, const struct outstanding *hits, size_t count);
/* `done`: seen, live and ring_at are taken over. Else all is as before the turn. The turn is over either way. */
void turn_end(struct turn *turn, bool done);

/*
 * Everything of the lane up to the positions is acknowledged. Times go into `latency` (may be NULL). Returns how many
 * outstanding hits that were.
 */
size_t subscription_acknowledge(struct subscription *subscription, enum hit_lane lane,
				const struct hit_positions *positions, int64_t now_us, struct hit_latency *latency);

/* Lock held. With nothing outstanding, hits that were not for it count as acknowledged. */
void subscription_settle(struct subscription_lane *lane);

#endif
