/*
 * A subscriber as a control room's would be, on a thread of its own: follows one subscription over the management
 * socket, acknowledges what it was given, and keeps account: which hits came, and how long each took from the receipt
 * of its read (the appliance's clock, which is this machine's) until its message was there.
 *
 * Counters may be read at any time by any thread, all else when it has ended.
 */
#ifndef GANTRY_BENCH_SUITE_SUBSCRIBER_H
#define GANTRY_BENCH_SUITE_SUBSCRIBER_H

#include <stddef.h>
#include <stdint.h>

#include "appliance/base/err.h"

struct suite_subscriber;

/* Connects and follows. `hits_max`: how far behind the first number others may lie. */
int suite_subscriber_start(const char *socket, const char *subscription, uint64_t hits_max,
			   struct suite_subscriber **ret_subscriber, struct err *err);

/* Hits that came, each once. */
uint64_t suite_subscriber_hits(const struct suite_subscriber *subscriber);

struct suite_told {
	uint64_t hits;
	uint64_t again; /* came before: at least once is what is promised */
	uint64_t alien; /* numbers beyond hits_max, before the first, or none */
	uint64_t messages;
	uint64_t bytes;
	double p50_ms; /* receipt of the read to message */
	double p99_ms;
	double max_ms;
};

/* Ends it; returns NULL, with what it was told. -errno in *ret_result when its connection had failed before. */
struct suite_subscriber *suite_subscriber_end(struct suite_subscriber *subscriber, struct suite_told *ret_told,
					      int *ret_result);

#endif
