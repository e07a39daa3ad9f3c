/*
 * The attendant: a control thread that does what workers may not do themselves and people wait for.
 *
 *	- opens the lanes of a feed's spool epoch when a worker asks (store_lane may allocate);
 *	- follows the memtable's published hits, generation by generation, and gives each to every follower;
 *	- puts the clock's state into the audit log every ten minutes at most (R5).
 *
 * It wakes every millisecond. A hit is read from the memtable only once its read is durable, so that an alarm can
 *always be found again by search. Followers that lag are told how many hits they missed; the hits stay with their
 *reads.
 */
#ifndef GANTRY_APPLIANCE_ATTENDANT_H
#define GANTRY_APPLIANCE_ATTENDANT_H

#include <stddef.h>
#include <stdint.h>

#include "appliance/base/err.h"

#include "appliance/base/read.h"
#include "appliance/worker.h"

struct attendant;
struct call;
struct gantry;
struct watched_hit;

int attendant_start(struct gantry *gantry, struct attendant **ret_attendant, struct err *err);
struct attendant *attendant_stop(struct attendant *attendant);

/*
 * Gives hits of a read that is not on its way through the memtable (an amended one) to every follower that wants them.
 * Any control thread; `attendant` may be NULL.
 */
void attendant_deliver(struct attendant *attendant, const struct hit *hits, size_t count, const struct read *read);

/* The escalation_tell_fn of the appliance: an event hits.escalated for every follower of the hit's list. */
void attendant_escalated(struct gantry *gantry, const struct watched_hit *hit);

/* Handler of hits.follow. Returns what a handler returns. */
int attendant_follow(struct call *call, void *gantry);

struct attendant_info {
	uint64_t hits;      /* seen in the memtable since the start */
	uint64_t delivered; /* to followers; one hit to two followers counts twice */
	uint64_t missed;    /* by followers that lagged */
	unsigned followers;
	uint64_t reads_per_s;                /* made durable in the last second */
	unsigned busy_permille[WORKERS_MAX]; /* share of the last second that a worker did not sleep */
	uint64_t latency_p50_us;             /* receipt of the read to its delivery */
	uint64_t latency_p99_us;
};
void attendant_info(struct attendant *attendant, struct attendant_info *ret_info);

#endif
