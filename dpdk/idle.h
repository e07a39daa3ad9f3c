/*
 * How a worker spends an empty turn: it polls a while, then pauses, then sleeps, longer the longer nothing comes.
 *
 *	64 empty turns        poll on
 *	then 50 µs            one pause instruction a turn
 *	then                  sleep 50 µs, doubling up to cap_us
 *	silent for a second   sleep up to quiet_cap_us
 *	anything done         back to the start
 *
 * Measured: sleeping 250 µs costs 1.6 % of a core, 100 µs 3.1 %. One struct per worker, its alone; only the two
 * totals may be read by others.
 */
#ifndef GANTRY_DPDK_IDLE_H
#define GANTRY_DPDK_IDLE_H

#include <stdbool.h>
#include <stdint.h>

#define IDLE_CAP_US 250
#define IDLE_QUIET_CAP_US 1000 /* also the most that an af_packet port bears */

struct idle_settings {
	bool busy; /* poll = busy: never sleep, never pause */
	unsigned cap_us;
	unsigned quiet_cap_us; /* not below cap_us, at most IDLE_QUIET_CAP_US */
	/* Around every sleep, e.g. rte_rcu_qsbr_thread_offline and _online. Either may be NULL. */
	void (*before_sleep)(void *context);
	void (*after_sleep)(void *context);
	void *context;
};

struct idle {
	struct idle_settings settings;
	unsigned empty_turns;
	int64_t empty_since_ns; /* 0: not yet asked the clock */
	int64_t nap_ns;
	uint64_t sleep_count; /* written by the worker, read with idle_totals */
	uint64_t slept_ns;
};

/* The defaults: not busy, both caps, no hooks. */
void idle_settings_init(struct idle_settings *settings);

/* Caps out of bounds are brought into them. */
void idle_init(struct idle *idle, const struct idle_settings *settings);

/* On the worker's own thread, once: timer slack 1 ns, so that a sleep of 50 µs is not one of 100. */
void idle_thread_prepare(void);

/*
 * The end of a turn. `worked`: the turn did anything. A sleep ends at limit_ns from now at the latest (the worker's
 * next deadline; INT64_MAX none, 0 or less: do not sleep). Returns the ns slept, 0 when it did not.
 */
int64_t idle_turn(struct idle *idle, bool worked, int64_t limit_ns);

/* Any thread. */
void idle_totals(const struct idle *idle, uint64_t *ret_sleep_count, uint64_t *ret_slept_ns);

#endif
