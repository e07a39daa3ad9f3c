/*
 * A transport with the appliance's side in memory: it takes every read, calls it durable at the next flush and says so.
 * It measures what the fleet itself can do, gives `gantry-load pcap` somebody to talk to, and is the tests' reference:
 * a judge decides the fate of each read, and an ACK can be made to lie.
 */
#ifndef GANTRY_BENCH_LOOP_H
#define GANTRY_BENCH_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include "appliance/base/read.h"
#include "dpdk/feed/ack.h"

#define LOOP_WINDOW 65536 /* sequences beyond cumulative that are told apart: the most that credit may be */

struct transport;

struct loop_read {
	const uint8_t *record;
	uint64_t sequence;
	uint32_t feed;
	uint32_t epoch;
	enum feed_lane lane;
	bool fresh; /* not durable before */
};

struct loop_settings {
	/* 0: stored; an enum refusal; or an enum feed_deferral. Asked of every arrival. NULL: all are stored. */
	uint8_t (*judge)(void *context, const struct loop_read *read);
	/* May spoil an ACK before it is sealed. NULL: none is. */
	void (*spoil)(void *context, uint32_t feed, struct feed_ack *ack);
	void *context;
	uint32_t credit; /* 1..LOOP_WINDOW */
};

struct loop_feed {
	uint32_t feed;
	uint8_t key[32];
};

/* feeds[i] is channel i. -ENOMEM. */
int loop_new(const struct loop_settings *settings, const struct loop_feed *feeds, unsigned count,
	     struct transport **ret_transport);

/* From now on credit is this much; the next ACK says so. */
void loop_credit_set(struct transport *transport, uint32_t credit);

/* As if the appliance had been killed and started again: sessions are gone, what is durable is not. */
void loop_restart(struct transport *transport);

/* Distinct reads stored, and refused. */
void loop_totals(const struct transport *transport, uint64_t *ret_stored, uint64_t *ret_refused);

#endif
