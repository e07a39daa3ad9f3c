/*
 * A courier's errand: to bring one subscription some hits of a lane, in one turn (subscription.h): from the ring, or
 * from the store by number; what is allowed and not hidden, as one message or a few. Never blocks on a client.
 *
 * One for each courier, its thread alone; the histogram is read by anyone.
 */
#ifndef GANTRY_APPLIANCE_ERRAND_H
#define GANTRY_APPLIANCE_ERRAND_H

#include "appliance/base/err.h"
#include "appliance/histogram.h"
#include "appliance/hit_judge.h"
#include "appliance/hits_inside.h"

#define ERRAND_HITS_MAX 256 /* of a message */

struct errand {
	struct hits *hits;
	struct hit_found *batch;
	size_t room; /* of it */
	/* What the store was asked last, one source's hits with after < number ≤ upto, is kept in the batch: a look
	 * costs it a pass over all hits of the segments concerned, and clients take a message at a time. upto 0:
	 * nothing. */
	unsigned found_source; /* its index */
	uint64_t found_after;
	uint64_t found_upto;
	size_t found_count;
	size_t chosen[ERRAND_HITS_MAX]; /* of the batch, for the message */
	struct outstanding offered[ERRAND_HITS_MAX];
	size_t count; /* of both */
	struct {
		uint32_t number; /* of the subscription it is for */
		struct hit_judge judge;
	} judges[SUBSCRIPTIONS_MAX];
	struct histogram latency; /* receipt of a read to its hit on the socket */
	struct err fetch_failed;  /* why the store could not say, since its owner looked; empty: nothing */
};

/* Hits looked at in a turn: of the ring, which is locked while they are copied; of the store, by one look. */
#define ERRAND_ROOM_LIVE 256
#define ERRAND_ROOM_BEHIND 32768 /* 3.6 MiB */

/* -ENOMEM; errand_fini is safe then, too. Holds VRMs: wiped. */
int errand_init(struct errand *errand, struct hits *hits, size_t room);
void errand_fini(struct errand *errand);

/* Nothing to do; something was done, and there may be more; its client has no room, or the store cannot say. */
enum errand_step { ERRAND_IDLE, ERRAND_MORE, ERRAND_BLOCKED };

/* A lane that is live: from its ring. One that was overtaken is left to the courier that catches up. */
enum errand_step errand_live(struct errand *errand, struct subscription *subscription, enum hit_lane lane);

/* Nobody is behind: what was kept is wiped. */
void errand_forget(struct errand *errand);

/* One that is behind: from the store, until it meets the ring. */
enum errand_step errand_behind(struct errand *errand, struct subscription *subscription, enum hit_lane lane);

#endif
