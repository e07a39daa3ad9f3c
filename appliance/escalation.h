/*
 * Escalation (R24): a hit of a priority from hits.escalate_priority on that nobody has acknowledged within
 * hits.escalate_seconds of its publication is told to whoever may have it, counted, and stands in the operator's alarm
 * until somebody acknowledges it.
 *
 * One thread, awake once a second. Its table (hit_watch.h) is bounded: what does not fit is counted, said in the alarm,
 * and looked for again when there is room. After a start the table is made anew from the hits of the last 24 hours
 * (storage/hit_scan.h) that have no life (storage/hit_lives.h).
 */
#ifndef GANTRY_APPLIANCE_ESCALATION_H
#define GANTRY_APPLIANCE_ESCALATION_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "appliance/base/err.h"
#include "appliance/hit_watch.h"

struct escalation;
struct gantry;
struct hit;
struct read;

/* Tells those who may have the hit, without waiting for anyone; the escalation's own thread. */
typedef void escalation_tell_fn(struct gantry *gantry, const struct watched_hit *hit);

/* The store is open. -errno with err. */
int escalation_start(struct gantry *gantry, escalation_tell_fn *tell, struct escalation **ret_escalation,
		     struct err *err);
/* Ends the thread: nothing is told any more, the rest may still be called. */
void escalation_stop(struct escalation *escalation);
/* Stopped, and nobody calls any more. */
struct escalation *escalation_free(struct escalation *escalation);

/* A hit has just been published; one below the priority, or a repeat, is passed by. Any control thread; NULL is fine.
 */
void escalation_take(struct escalation *escalation, const struct hit *hit, const struct read *read);

/* Somebody has acknowledged it, or it is gone. Any control thread; NULL is fine. */
void escalation_over(struct escalation *escalation, uint64_t number);

/* What is watched; NULL before the start. */
struct hit_watch *escalation_watch(struct escalation *escalation);

/* Adds {unacknowledged, escalated, escalated_total, unwatched} to the object. */
void escalation_status(struct escalation *escalation, json_t *object);

#endif
