/*
 * One lane of one feed on its way: what may be sent now, what is in flight, what is lost, what an ACK settles.
 *
 * Over the spool of its lane. Reads go out in order of sequence, as datagrams of up to records_max; each is remembered
 * in order of sending until all its reads are acknowledged. The appliance acknowledges sequences, never datagrams, so:
 *
 *	lost        nothing of a datagram is acknowledged, but one sent OUTBOX_REORDER or more later is, and it has been
 *	            out for 9/8 of a round trip (RFC 9002, 6.1): again at once; the next time after a doubling wait
 *	deferred    only a part of a datagram is acknowledged: it did arrive. The rest waits for the register, at first
 *	            OUTBOX_DEFER_NS, doubling, and takes up no window meanwhile
 *	timeout     nothing settled for a probe timeout: the two oldest go again (RFC 9002, 6.2), the timeout doubles
 *	window      so many datagrams in flight at most; it halves on loss, once a round trip
 *	credit      nothing beyond cumulative + credit is sent, not for the first time and not again
 *
 * A read that was acknowledged is never sent again: what goes out is cut along the spool's bits at the last moment.
 * An ACK is checked whole before anything of it is believed; one that breaks a rule is counted and changes nothing.
 * One owner thread, no allocation after outbox_new.
 */
#ifndef GANTRY_BENCH_OUTBOX_H
#define GANTRY_BENCH_OUTBOX_H

#include <stdbool.h>
#include <stdint.h>

#include "appliance/base/read.h"
#include "bench/histogram.h"
#include "bench/rtt.h"
#include "dpdk/feed/ack.h"
#include "dpdk/feed/wire.h"

#define OUTBOX_REORDER 3
#define OUTBOX_WINDOW_MIN 64 /* datagrams: below it no lane falls, whatever it loses */
#define OUTBOX_PROBES 2
#define OUTBOX_ACK_DELAY_NS (INT64_C(10) * 1000000) /* the appliance's group commit */
#define OUTBOX_WAIT_NS_MAX (INT64_C(2) * 1000000000)
#define OUTBOX_SCAN_NS (INT64_C(1) * 1000000)
#define OUTBOX_WAITS_NS (INT64_C(5) * 1000000)
#define OUTBOX_DEFER_NS (INT64_C(50) * 1000000)

struct spool;

/* X(name, help): rules that an ACK or WELCOME can break. */
#define OUTBOX_VIOLATIONS(X)                                                                                           \
	X(epoch, "names another spool epoch than ours")                                                                \
	X(unsent, "acknowledges or refuses a sequence that was never sent")                                            \
	X(went_back, "cumulative sequence below what was acknowledged before")                                         \
	X(ranges, "ranges not ascending, empty, or touching cumulative")                                               \
	X(refused_above, "more refused than was ever sent")                                                            \
	X(refused_back, "count of the refused went back")                                                              \
	X(limits, "records allowed in a datagram outside 1..28")

struct outbox_violations {
#define OUTBOX_VIOLATION_FIELD(name, help) uint64_t name;
	OUTBOX_VIOLATIONS(OUTBOX_VIOLATION_FIELD)
#undef OUTBOX_VIOLATION_FIELD
};
uint64_t outbox_violations_sum(const struct outbox_violations *violations);

struct outbox_counters {
	uint64_t sent;          /* distinct reads given to the wire in this run, or settled from an earlier one */
	uint64_t acknowledged;  /* reads settled in this run, refused ones too */
	uint64_t retransmitted; /* reads sent again */
	uint64_t datagrams;     /* DATA built */
	uint64_t lost;          /* datagrams declared lost */
	uint64_t timeouts;
	uint64_t deferred;               /* deferrals, as the appliance counts them */
	uint64_t refused[REFUSAL_COUNT]; /* by reason, from notices; [REFUSAL_NONE]: no notice told why */
	struct outbox_violations violations;
	struct histogram latency; /* from sending a datagram to its ACK, of those sent once */
};

/* Where what an ACK settles is written down before the spool forgets it. Return 0 or -errno. */
struct outbox_book {
	int (*acknowledged)(void *context, enum feed_lane lane, uint64_t first, uint64_t end);
	int (*refused)(void *context, enum feed_lane lane, uint64_t first, uint64_t end, uint8_t reason);
	void *context;
};

struct outbox;

/* window_max: datagrams in flight, rounded up to a power of two. The spool must outlive it. -ENOMEM. */
int outbox_new(struct spool *spool, enum feed_lane lane, uint32_t window_max, const struct outbox_book *book,
	       struct outbox **ret_outbox);
struct outbox *outbox_free(struct outbox *outbox);

/*
 * What the WELCOME of `session` says of this lane. 0, or -errno of the book. A violation changes nothing, but that an
 * appliance which forgot what it had acknowledged is told so and then served with what is left.
 */
int outbox_welcome(struct outbox *outbox, const struct feed_lane_granted *granted, uint32_t session, int64_t now_ns);

/* An ACK of this lane with its session and packet number (an overtaken one is no step back). 0, or -errno of the book.
 */
int outbox_ack(struct outbox *outbox, const struct feed_ack *ack, uint32_t session, uint64_t number, int64_t now_ns);

/* Declares losses and fires the probe timeout. Call each turn; does little when nothing is due. */
void outbox_timer(struct outbox *outbox, int64_t now_ns);

/* The next datagram's reads, [*ret_first, *ret_first + *ret_count): false when nothing may go now. Changes nothing. */
bool outbox_peek(struct outbox *outbox, uint64_t *ret_first, uint16_t *ret_count, bool *ret_again);

/* That datagram was given to the wire. */
void outbox_sent(struct outbox *outbox, uint64_t first, uint16_t count, bool again, int64_t now_ns);

/* All that was spooled is acknowledged. */
bool outbox_idle(const struct outbox *outbox);

uint32_t outbox_flight(const struct outbox *outbox);
uint32_t outbox_window(const struct outbox *outbox);
/* Reads that may yet be sent under the credit. */
uint64_t outbox_credit(const struct outbox *outbox);
const struct outbox_counters *outbox_counters(const struct outbox *outbox);
/*
 * Reads refused in this run: the appliance's count since the spool was opened, or, where it is higher, what its notices
 * told (after a restart the count starts at the first ACK, which may already hold some of this run's).
 */
uint64_t outbox_refused(const struct outbox *outbox);

#endif
