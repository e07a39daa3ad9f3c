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
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct call;
struct err;
struct gantry;
struct hit;
struct hit_found;
struct hits;
struct late_hit;
struct subscriptions;
struct watched_hit;

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

/*
 * Puts hits that were found late into the store (late_hits_put, whose outcome it returns) and publishes those that are
 * new. Any control thread: it is here that one waits for the other, so that numbers are published in their order.
 */
int gantry_hits_put_late(struct gantry *gantry, struct late_hit *hits, size_t count, uint32_t who_uid, struct err *err,
			 size_t *ret_put);

/* The escalation_tell_fn of the appliance: hits.escalated to whoever follows a subscription that may have the hit. */
void hits_escalated(struct gantry *gantry, const struct watched_hit *hit);

/*
 * May the account have hits of that list: by a subscription of its own, unless it is one for sms, or as the superuser
 * or the appliance's own account. ret_organisation (REG_NAME_SIZE): the subscription's, or empty.
 */
bool hits_account_may(struct gantry *gantry, uid_t uid, uint32_t list, char *ret_organisation);

/* The superuser and the appliance's own account: hits of every list, of removed ones too. */
bool hits_account_all(uid_t uid);

/*
 * Adds `delivered` to what is shown of a hit: each subscription that acknowledged it, of those whose organisation may
 * have its list, as {subscription, organisation, uid, delivered, acknowledged}.
 */
void hits_delivered(struct gantry *gantry, const struct hit *hit, json_t *object);

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
