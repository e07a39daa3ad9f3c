/*
 * Hits that reach someone: from the attendant that sees them become durable, through a ring for each lane (hit_ring.h),
 * to subscribers (subscriptions.h) over the management socket.
 *
 * Couriers, three threads: one for each lane's ring, so that nothing that the mass lane does delays the urgent one, and
 * one that catches up from the store whoever is further behind than the rings reach, urgent lanes first, subscriptions
 * in turn. None ever blocks on a client: one that takes nothing, or acknowledges nothing for a whole window, is passed
 * over until it does. The third also makes acknowledgements durable, once a second.
 *
 * Nothing is lost between them: positions say by number what a subscriber has, and the store finds hits by number.
 */
#ifndef GANTRY_APPLIANCE_HITS_H
#define GANTRY_APPLIANCE_HITS_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

struct call;
struct err;
struct gantry;
struct hit_found;
struct hits;
struct subscriptions;

/* After the lists are loaded, before the attendant. -ENOMEM, or what subscriptions_new says. */
int hits_start(struct gantry *gantry, struct hits **ret_hits, struct err *err);
/* After the server and the attendant: nobody is connected, nothing is published any more. NULL is fine; returns NULL.
 */
struct hits *hits_stop(struct hits *hits);

/*
 * New hits with their reads, durable and numbered, those of one source in the order of their numbers and from one
 * thread at a time. Repeats are counted and told nobody. Waits for no subscriber. Any control thread.
 */
void gantry_hits_publish(struct gantry *gantry, const struct hit_found *found, size_t count);

struct subscriptions *hits_subscriptions(struct hits *hits);

/* Handlers. */
int handle_hits_follow(struct call *call, void *gantry);
int handle_hits_ack(struct call *call, void *gantry);

/* For status and counters. */
json_t *hits_json(struct gantry *gantry, uint64_t total); /* new reference, NULL when out of memory */

struct hits_info {
	uint64_t published;
	uint64_t repeats;
	uint64_t delivered; /* one hit to two subscribers counts twice, one sent again too */
	uint64_t acknowledged;
	uint64_t caught_up; /* of the delivered: from the store */
};
void hits_info(struct hits *hits, struct hits_info *ret_info);

#endif
