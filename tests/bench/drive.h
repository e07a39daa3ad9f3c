/* A sender driven to its end over any transport, for the transports' tests. */
#ifndef GANTRY_TESTS_BENCH_DRIVE_H
#define GANTRY_TESTS_BENCH_DRIVE_H

#include "bench/feeds.h"
#include "bench/sender.h"

struct transport;

/* The key and cameras of `count` feeds, the same in both processes of a test. */
void drive_feeds(unsigned count, struct feeds *ret_feeds);

/*
 * Sends `reads` of a small fleet over the transport until all are acknowledged or seconds are over; checks that sent =
 * acknowledged = reads and that no ACK broke a rule. *ret_totals may be NULL. Does not free the transport.
 */
void drive_sender(struct transport *transport, const struct feeds *feeds, uint64_t reads, unsigned seconds,
		  const char *spool_path, const char *ledger_path, struct sender_totals *ret_totals);

#endif
