/*
 * The insides of an outbox (outbox.h), for outbox.c, outbox_ack.c and outbox_loss.c: what it has in flight, what is to
 * go again, and what the three share of it.
 *
 * Flights are numbered in order of sending and kept in a ring [head, tail). One is over when all its reads are
 * acknowledged or when it was given up as lost; its unacknowledged reads then stand in `again`, first perhaps for a
 * while in `waits`, and go out as flights of their own. Head moves over flights that are over, in order. Nothing new
 * goes out while `again` holds anything that may go.
 */
#ifndef GANTRY_BENCH_OUTBOX_INSIDE_H
#define GANTRY_BENCH_OUTBOX_INSIDE_H

#include "bench/outbox.h"
#include "bench/spool.h"

struct flight {
	uint64_t first;
	int64_t sent_ns;
	uint16_t count;
	uint8_t times; /* that these reads were sent, this one included */
	bool over;
};

struct again {
	uint64_t first;
	uint64_t end;
	int64_t due_ns; /* of those that wait */
	uint8_t times;
};

struct outbox {
	struct spool *spool;
	const struct outbox_book *book;
	struct flight *flights;
	struct again *agains;
	struct again *waits; /* unordered */
	uint64_t *refused;   /* bit of sequence s at s modulo the spool's capacity: a notice said so, not settled yet */
	uint64_t head;
	uint64_t tail;
	uint64_t settled; /* 1 + highest flight that was acknowledged */
	uint64_t again_head;
	uint64_t again_tail;
	uint64_t recovery; /* losses of flights below it belong to one event */
	uint64_t unsent;   /* next sequence that this run has not sent */
	uint64_t resumed;  /* sequences below it may have been sent by an earlier run */
	uint64_t cumulative;
	uint64_t credit;
	uint64_t refused_total;
	uint64_t refused_before; /* refused_total of the first ACK, when the spool is an earlier run's */
	uint64_t ack_next;       /* packet number above the newest ACK's */
	uint32_t session;
	uint32_t size; /* of the rings; power of two */
	uint32_t wait_count;
	uint32_t flying;
	uint32_t window;
	uint32_t window_slow; /* below it the window grows by one a flight, above by one a window */
	uint32_t window_part;
	unsigned probes;
	unsigned timeouts_row;
	uint8_t again_times; /* of the one that peek offered */
	uint16_t records_max;
	bool welcomed;
	bool acked;   /* an ACK was taken */
	bool stirred; /* reads were settled since the last scan: flights behind the head may be over */
	struct rtt rtt;
	int64_t progress_ns;
	int64_t scan_ns;
	int64_t waits_ns; /* when `waits` was last gone through */
	enum feed_lane lane;
	struct outbox_counters counters;
};

/* First sequence that nobody can have sent. */
static inline uint64_t sent_end(const struct outbox *outbox)
{
	return outbox->unsent > outbox->resumed ? outbox->unsent : outbox->resumed;
}

static inline struct flight *flight_at(struct outbox *outbox, uint64_t number)
{
	return &outbox->flights[number & (outbox->size - 1)];
}

/* The first unacknowledged run within [first, end), which may have been let go by the spool in part or whole. */
static inline bool open_run(const struct outbox *outbox, uint64_t first, uint64_t end, uint64_t *ret_first,
			    uint64_t *ret_end)
{
	uint64_t lowest = spool_lowest(outbox->spool, outbox->lane);

	if (first < lowest)
		first = lowest;
	return first < end && spool_unacknowledged(outbox->spool, outbox->lane, first, end, ret_first, ret_end);
}

/* Over flights that are over, or settled now, in order of sending. */
void outbox_head_move(struct outbox *outbox, int64_t now_ns);
/* After so long without progress it probes. */
int64_t outbox_timeout_ns(const struct outbox *outbox);

#endif
