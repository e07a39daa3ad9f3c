/*
 * A courier: a thread that brings hits to subscribers (hits.h). Of a lane, from its ring; or the one that catches up,
 * from the store, and sees to what comes once a second.
 */
#ifndef GANTRY_APPLIANCE_COURIER_H
#define GANTRY_APPLIANCE_COURIER_H

#include "appliance/base/hit_positions.h"

struct courier;
struct err;
struct histogram;
struct hits;

int courier_start_lane(struct hits *hits, enum hit_lane lane, struct err *err, struct courier **ret_courier);
int courier_start_catcher(struct hits *hits, struct err *err, struct courier **ret_courier);
/* NULL is fine; returns NULL. */
struct courier *courier_stop(struct courier *courier);

/* Somebody has come, gone or acknowledged. Any thread; never blocks for long. */
void courier_wake(struct courier *courier);

/* Receipt of a read to its hit on the subscriber's socket, of those that came from the ring. */
const struct histogram *courier_latency(const struct courier *courier);

#endif
