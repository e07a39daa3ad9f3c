/*
 * Flights are numbered in order of sending and kept in a ring [head, tail). One is over when all its reads are
 * acknowledged or when it was given up as lost; its unacknowledged reads then stand in `again`, first perhaps for a
 * while in `waits`, and go out as flights of their own. Head moves over flights that are over, in order. Nothing new
 * goes out while `again` holds anything that may go.
 */
#include "bench/outbox.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bench/spool.h"

#define WINDOW_START 256
#define TIMES_MAX 16

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

uint64_t outbox_violations_sum(const struct outbox_violations *violations)
{
	uint64_t sum = 0;

#define OUTBOX_VIOLATION_ADD(name, help) sum += violations->name;
	OUTBOX_VIOLATIONS(OUTBOX_VIOLATION_ADD)
#undef OUTBOX_VIOLATION_ADD
	return sum;
}

int outbox_new(struct spool *spool, enum feed_lane lane, uint32_t window_max, const struct outbox_book *book,
	       struct outbox **ret_outbox)
{
	struct outbox *outbox = calloc(1, sizeof(*outbox));

	if (outbox == NULL)
		return -ENOMEM;
	outbox->size = OUTBOX_WINDOW_MIN;
	while (outbox->size < window_max)
		outbox->size *= 2;
	outbox->flights = calloc(outbox->size, sizeof(*outbox->flights));
	outbox->agains = calloc(outbox->size, sizeof(*outbox->agains));
	outbox->waits = calloc(outbox->size, sizeof(*outbox->waits));
	outbox->refused = calloc(spool_capacity(spool) / 64, sizeof(*outbox->refused));
	if (outbox->flights == NULL || outbox->agains == NULL || outbox->waits == NULL || outbox->refused == NULL) {
		outbox_free(outbox);
		return -ENOMEM;
	}
	outbox->spool = spool;
	outbox->lane = lane;
	outbox->book = book;
	outbox->unsent = spool_lowest(spool, lane);
	outbox->resumed = spool_next(spool, lane);
	outbox->cumulative = outbox->unsent - 1;
	outbox->window = outbox->size < WINDOW_START ? outbox->size : WINDOW_START;
	outbox->window_slow = outbox->size;
	outbox->records_max = FEED_RECORDS_MAX;
	*ret_outbox = outbox;
	return 0;
}

struct outbox *outbox_free(struct outbox *outbox)
{
	if (outbox == NULL)
		return NULL;
	free(outbox->flights);
	free(outbox->agains);
	free(outbox->waits);
	free(outbox->refused);
	free(outbox);
	return NULL;
}

/* First sequence that nobody can have sent. */
static uint64_t sent_end(const struct outbox *outbox)
{
	return outbox->unsent > outbox->resumed ? outbox->unsent : outbox->resumed;
}

static struct flight *flight_at(struct outbox *outbox, uint64_t number)
{
	return &outbox->flights[number & (outbox->size - 1)];
}

/* The first unacknowledged run within [first, end), which may have been let go by the spool in part or whole. */
static bool open_run(const struct outbox *outbox, uint64_t first, uint64_t end, uint64_t *ret_first, uint64_t *ret_end)
{
	uint64_t lowest = spool_lowest(outbox->spool, outbox->lane);

	if (first < lowest)
		first = lowest;
	return first < end && spool_unacknowledged(outbox->spool, outbox->lane, first, end, ret_first, ret_end);
}

static bool flight_settled(const struct outbox *outbox, const struct flight *flight)
{
	uint64_t first;
	uint64_t end;

	return !open_run(outbox, flight->first, flight->first + flight->count, &first, &end);
}

static void window_grow(struct outbox *outbox)
{
	if (outbox->window >= outbox->size)
		return;
	if (outbox->window < outbox->window_slow) {
		outbox->window++;
	} else if (++outbox->window_part >= outbox->window) {
		outbox->window_part = 0;
		outbox->window++;
	}
}

static void flight_finish(struct outbox *outbox, struct flight *flight, uint64_t number, int64_t now_ns)
{
	flight->over = true;
	outbox->flying--;
	if (outbox->settled < number + 1)
		outbox->settled = number + 1;
	/* Which sending an ACK answers is only known of reads that were sent once (Karn). */
	if (flight->times == 1) {
		rtt_sample(&outbox->rtt, now_ns - flight->sent_ns);
		histogram_add(&outbox->counters.latency, (uint64_t)(now_ns - flight->sent_ns) / 1000, 1);
	}
	window_grow(outbox);
	outbox->timeouts_row = 0;
	outbox->progress_ns = now_ns;
}

static void head_move(struct outbox *outbox, int64_t now_ns)
{
	while (outbox->head < outbox->tail) {
		struct flight *flight = flight_at(outbox, outbox->head);

		if (!flight->over) {
			if (!flight_settled(outbox, flight))
				return;
			flight_finish(outbox, flight, outbox->head, now_ns);
		}
		outbox->head++;
	}
}

static bool again_add(struct outbox *outbox, const struct again *again)
{
	if (outbox->again_tail - outbox->again_head == outbox->size)
		return false;
	outbox->agains[outbox->again_tail++ & (outbox->size - 1)] = *again;
	return true;
}

static void flight_over(struct outbox *outbox, struct flight *flight)
{
	flight->over = true;
	outbox->flying--;
}

/* Hands what is unacknowledged of a flight to `again`. False when there is no room: a later scan will. */
static bool flight_give_up(struct outbox *outbox, struct flight *flight)
{
	struct again again = {.first = flight->first, .end = flight->first + flight->count, .times = flight->times};

	if (!again_add(outbox, &again))
		return false;
	flight_over(outbox, flight);
	return true;
}

/* The same, but later. */
static bool flight_put_off(struct outbox *outbox, struct flight *flight, int64_t now_ns, int64_t wait_ns)
{
	struct again *wait = &outbox->waits[outbox->wait_count];

	if (outbox->wait_count == outbox->size)
		return false;
	wait_ns <<= flight->times > 8 ? 8 : flight->times;
	wait->first = flight->first;
	wait->end = flight->first + flight->count;
	wait->times = flight->times;
	wait->due_ns = now_ns + (wait_ns < OUTBOX_WAIT_NS_MAX ? wait_ns : OUTBOX_WAIT_NS_MAX);
	outbox->wait_count++;
	flight_over(outbox, flight);
	return true;
}

static void waits_end(struct outbox *outbox, int64_t now_ns)
{
	outbox->waits_ns = now_ns;
	for (uint32_t i = outbox->wait_count; i-- > 0;) {
		if (outbox->waits[i].due_ns > now_ns)
			continue;
		if (!again_add(outbox, &outbox->waits[i]))
			return;
		outbox->waits[i] = outbox->waits[--outbox->wait_count];
	}
}

/*
 * A datagram is taken whole. One of which a part is acknowledged has arrived, and the rest of it was deferred: the
 * register is asked again later, and the wire is not to blame.
 */
static bool flight_arrived(const struct outbox *outbox, const struct flight *flight)
{
	uint64_t first = flight->first;
	uint64_t end = flight->first + flight->count;
	uint64_t open_first;
	uint64_t open_end;

	return open_run(outbox, first, end, &open_first, &open_end) && (open_first > first || open_end < end);
}

static void window_shrink(struct outbox *outbox, uint64_t number)
{
	if (number < outbox->recovery)
		return;
	outbox->recovery = outbox->tail;
	outbox->window = outbox->window / 2 > OUTBOX_WINDOW_MIN ? outbox->window / 2 : OUTBOX_WINDOW_MIN;
	outbox->window_slow = outbox->window;
}

static bool flight_lose(struct outbox *outbox, struct flight *flight, uint64_t number, int64_t now_ns)
{
	if (flight_arrived(outbox, flight))
		return flight_put_off(outbox, flight, now_ns, OUTBOX_DEFER_NS);
	if (flight->times > 1)
		return flight_put_off(outbox, flight, now_ns, rtt_now(&outbox->rtt));
	if (!flight_give_up(outbox, flight))
		return false;
	outbox->counters.lost++;
	window_shrink(outbox, number);
	return true;
}

static void losses_find(struct outbox *outbox, int64_t now_ns)
{
	int64_t wait_ns = rtt_now(&outbox->rtt) * 9 / 8 + OUTBOX_SCAN_NS;

	for (uint64_t number = outbox->head; number + OUTBOX_REORDER < outbox->settled; number++) {
		struct flight *flight = flight_at(outbox, number);

		if (flight->over || now_ns - flight->sent_ns < wait_ns)
			continue;
		if (!flight_lose(outbox, flight, number, now_ns))
			break;
	}
}

static void scan(struct outbox *outbox, int64_t now_ns)
{
	outbox->scan_ns = now_ns;
	outbox->stirred = false;
	for (uint64_t number = outbox->head; number < outbox->tail; number++) {
		struct flight *flight = flight_at(outbox, number);

		if (!flight->over && flight_settled(outbox, flight))
			flight_finish(outbox, flight, number, now_ns);
	}
	losses_find(outbox, now_ns);
	head_move(outbox, now_ns);
}

static int64_t timeout_ns(const struct outbox *outbox)
{
	int64_t spread = 4 * outbox->rtt.variation_ns;
	int64_t wait =
		rtt_now(&outbox->rtt) + (spread > OUTBOX_SCAN_NS ? spread : OUTBOX_SCAN_NS) + OUTBOX_ACK_DELAY_NS;

	wait <<= outbox->timeouts_row > 8 ? 8 : outbox->timeouts_row;
	return wait > OUTBOX_WAIT_NS_MAX ? OUTBOX_WAIT_NS_MAX : wait;
}

/*
 * Nothing was settled for too long. What was sent again already makes room (it may be deferred, all of it, and would
 * fill the window for ever) and comes back after its wait; of the rest the oldest are sent again to ask for an answer.
 */
static void probe(struct outbox *outbox, int64_t now_ns)
{
	unsigned probes = 0;

	outbox->counters.timeouts++;
	outbox->timeouts_row++;
	outbox->progress_ns = now_ns;
	for (uint64_t number = outbox->head; number < outbox->tail; number++) {
		struct flight *flight = flight_at(outbox, number);

		if (flight->over)
			continue;
		if (flight->times > 1)
			(void)flight_put_off(outbox, flight, now_ns, rtt_now(&outbox->rtt));
		else if (probes < OUTBOX_PROBES && flight_give_up(outbox, flight))
			probes++;
	}
	outbox->probes = probes;
	head_move(outbox, now_ns);
}

void outbox_timer(struct outbox *outbox, int64_t now_ns)
{
	if (outbox->wait_count > 0 && now_ns - outbox->waits_ns >= OUTBOX_WAITS_NS)
		waits_end(outbox, now_ns);
	if (outbox->head == outbox->tail)
		return;
	if (now_ns - outbox->scan_ns >= OUTBOX_SCAN_NS && (outbox->stirred || outbox->settled > outbox->head))
		scan(outbox, now_ns);
	if (outbox->flying > 0 && now_ns - outbox->progress_ns >= timeout_ns(outbox))
		probe(outbox, now_ns);
}

/* Cuts [first, end) to what fits one datagram, the credit and the spool's memory. */
static bool cut(const struct outbox *outbox, uint64_t first, uint64_t end, uint16_t *ret_count)
{
	uint64_t limit = outbox->cumulative + outbox->credit + 1;
	uint32_t contiguous;

	if (first >= limit)
		return false;
	if (end > limit)
		end = limit;
	spool_record(outbox->spool, outbox->lane, first, &contiguous);
	if (end - first > contiguous)
		end = first + contiguous;
	*ret_count = (uint16_t)(end - first < outbox->records_max ? end - first : outbox->records_max);
	return true;
}

bool outbox_peek(struct outbox *outbox, uint64_t *ret_first, uint16_t *ret_count, bool *ret_again)
{
	uint64_t first;
	uint64_t end;

	if (!outbox->welcomed || outbox->tail - outbox->head == outbox->size)
		return false;
	if (outbox->flying >= outbox->window && outbox->probes == 0)
		return false;
	for (; outbox->again_head < outbox->again_tail; outbox->again_head++) {
		const struct again *again = &outbox->agains[outbox->again_head & (outbox->size - 1)];

		if (!open_run(outbox, again->first, again->end, &first, &end))
			continue;
		if (!cut(outbox, first, end, ret_count))
			return false;
		outbox->again_times = again->times;
		*ret_first = first;
		*ret_again = true;
		return true;
	}
	if (outbox->flying >= outbox->window)
		return false;
	if (!open_run(outbox, outbox->unsent, spool_next(outbox->spool, outbox->lane), &first, &end) ||
	    !cut(outbox, first, end, ret_count))
		return false;
	*ret_first = first;
	*ret_again = false;
	return true;
}

static void refused_clear(struct outbox *outbox, uint64_t first, uint64_t end)
{
	uint64_t mask = spool_capacity(outbox->spool) - 1;

	for (; first < end; first++)
		outbox->refused[(first & mask) / 64] &= ~(UINT64_C(1) << first % 64);
}

void outbox_sent(struct outbox *outbox, uint64_t first, uint16_t count, bool again, int64_t now_ns)
{
	struct flight *flight = flight_at(outbox, outbox->tail);

	assert(outbox->tail - outbox->head < outbox->size);
	*flight = (struct flight){.first = first, .sent_ns = now_ns, .count = count, .times = 1};
	if (again) {
		struct again *from = &outbox->agains[outbox->again_head & (outbox->size - 1)];

		flight->times = outbox->again_times < TIMES_MAX ? outbox->again_times + 1 : TIMES_MAX;
		from->first = first + count;
		if (outbox->probes > 0)
			outbox->probes--;
		outbox->counters.retransmitted += count;
	} else {
		refused_clear(outbox, first, first + count);
		outbox->unsent = first + count;
		outbox->counters.sent += count;
	}
	if (outbox->flying++ == 0)
		outbox->progress_ns = now_ns;
	outbox->tail++;
	outbox->counters.datagrams++;
}

/* [first, end) is acknowledged: into the book, then out of the spool. */
static int settle(struct outbox *outbox, uint64_t first, uint64_t end)
{
	uint64_t lowest = spool_lowest(outbox->spool, outbox->lane);
	uint64_t at = first < lowest ? lowest : first;
	uint64_t run_end;
	int r;

	first = at;
	for (; at < end && open_run(outbox, at, end, &at, &run_end); at = run_end) {
		r = outbox->book->acknowledged(outbox->book->context, outbox->lane, at, run_end);
		if (r < 0)
			return r;
		outbox->counters.acknowledged += run_end - at;
		outbox->stirred = true;
		if (run_end > outbox->unsent)
			outbox->counters.sent += run_end - (at > outbox->unsent ? at : outbox->unsent);
	}
	if (first < end)
		spool_acknowledge(outbox->spool, outbox->lane, first, end);
	/* What an earlier run sent is settled without having been sent in this one. */
	if (outbox->unsent < spool_lowest(outbox->spool, outbox->lane))
		outbox->unsent = spool_lowest(outbox->spool, outbox->lane);
	return 0;
}

static bool refused_mark(struct outbox *outbox, uint64_t sequence)
{
	uint64_t *word = &outbox->refused[(sequence & (spool_capacity(outbox->spool) - 1)) / 64];
	uint64_t bit = UINT64_C(1) << sequence % 64;
	bool fresh = (*word & bit) == 0;

	*word |= bit;
	return fresh;
}

/* A refusal named by a notice: once for each sequence, before it is settled. */
static int refuse(struct outbox *outbox, const struct feed_notice *notice)
{
	uint64_t at = notice->first;
	uint64_t end = notice->first + notice->count;
	uint64_t run_end;
	int r;

	for (; open_run(outbox, at, end, &at, &run_end); at = run_end) {
		while (at < run_end) {
			uint64_t first = at;

			while (at < run_end && refused_mark(outbox, at))
				at++;
			if (at == first) {
				at++;
				continue;
			}
			outbox->counters.refused[notice->reason < REFUSAL_COUNT ? notice->reason : 0] += at - first;
			r = outbox->book->refused(outbox->book->context, outbox->lane, first, at, notice->reason);
			if (r < 0)
				return r;
		}
	}
	return 0;
}

/* Sequences are held against what was sent before anything is added to them: sums of theirs cannot overflow. */
static bool ranges_valid(struct outbox *outbox, const struct feed_durable *durable)
{
	uint64_t before = durable->cumulative;

	if (before >= sent_end(outbox)) {
		outbox->counters.violations.unsent++;
		return false;
	}
	for (unsigned i = 0; i < durable->range_count; i++) {
		const struct feed_range *range = &durable->ranges[i];

		if (range->first <= before + 1 || range->last < range->first) {
			outbox->counters.violations.ranges++;
			return false;
		}
		if (range->last >= sent_end(outbox)) {
			outbox->counters.violations.unsent++;
			return false;
		}
		before = range->last;
	}
	return true;
}

static bool notices_valid(struct outbox *outbox, const struct feed_ack *ack)
{
	for (unsigned i = 0; i < ack->notice_count; i++) {
		const struct feed_notice *notice = &ack->notices[i];

		if (notice->first == 0 || notice->count == 0 || notice->first >= sent_end(outbox) ||
		    notice->count > sent_end(outbox) - notice->first) {
			outbox->counters.violations.unsent++;
			return false;
		}
	}
	return true;
}

/*
 * The count of the refused never falls, and never rises above all that was sent. (An ACK need not tell all that is
 * durable, so it cannot be held against its own ranges.)
 */
static bool refused_valid(struct outbox *outbox, const struct feed_durable *durable, bool newest)
{
	if (durable->refused_total >= sent_end(outbox)) {
		outbox->counters.violations.refused_above++;
		return false;
	}
	if (newest && durable->refused_total < outbox->refused_total) {
		outbox->counters.violations.refused_back++;
		return false;
	}
	return true;
}

static bool ack_valid(struct outbox *outbox, const struct feed_ack *ack, bool newest)
{
	struct outbox_violations *violations = &outbox->counters.violations;

	if (ack->durable.epoch != spool_epoch(outbox->spool)) {
		violations->epoch++;
		return false;
	}
	if (newest && ack->durable.cumulative < spool_lowest(outbox->spool, outbox->lane) - 1) {
		violations->went_back++;
		return false;
	}
	return ranges_valid(outbox, &ack->durable) && notices_valid(outbox, ack) &&
	       refused_valid(outbox, &ack->durable, newest);
}

/* An ACK that a later one of its session overtook, or one of a session before, says nothing new of the present. */
static bool ack_newest(const struct outbox *outbox, uint32_t session, uint64_t number)
{
	return session == outbox->session && number >= outbox->ack_next;
}

static void ack_take(struct outbox *outbox, const struct feed_ack *ack, uint64_t number)
{
	outbox->ack_next = number + 1;
	if (ack->durable.cumulative > outbox->cumulative)
		outbox->cumulative = ack->durable.cumulative;
	outbox->credit = ack->credit;
	if (!outbox->acked && outbox->resumed > 1)
		outbox->refused_before = ack->durable.refused_total;
	outbox->acked = true;
	outbox->refused_total = ack->durable.refused_total;
	outbox->counters.deferred = ack->deferred_total;
}

int outbox_ack(struct outbox *outbox, const struct feed_ack *ack, uint32_t session, uint64_t number, int64_t now_ns)
{
	bool newest = ack_newest(outbox, session, number);
	int r = 0;

	if (!ack_valid(outbox, ack, newest))
		return 0;
	if (newest)
		ack_take(outbox, ack, number);
	for (unsigned i = 0; r == 0 && i < ack->notice_count; i++)
		if (ack->notices[i].reason < FEED_DEFERRAL_FIRST)
			r = refuse(outbox, &ack->notices[i]);
	if (r == 0)
		r = settle(outbox, 1, ack->durable.cumulative + 1);
	for (unsigned i = 0; r == 0 && i < ack->durable.range_count; i++)
		r = settle(outbox, ack->durable.ranges[i].first, ack->durable.ranges[i].last + 1);
	head_move(outbox, now_ns);
	return r;
}

int outbox_welcome(struct outbox *outbox, const struct feed_lane_granted *granted, uint32_t session, int64_t now_ns)
{
	struct outbox_violations *violations = &outbox->counters.violations;
	uint64_t cumulative = granted->known ? granted->cumulative : 0;
	int r;

	if (cumulative >= sent_end(outbox)) {
		violations->unsent++;
		return 0;
	}
	if (granted->records_max == 0 || granted->records_max > FEED_RECORDS_MAX) {
		violations->limits++;
		return 0;
	}
	if (granted->known && cumulative < spool_lowest(outbox->spool, outbox->lane) - 1) {
		/* It forgot what it had acknowledged: told, and gone on with what is left. */
		violations->went_back++;
	}
	outbox->session = session;
	outbox->ack_next = 0;
	outbox->records_max = granted->records_max;
	outbox->credit = granted->credit;
	if (cumulative > outbox->cumulative)
		outbox->cumulative = cumulative;
	outbox->welcomed = true;
	outbox->timeouts_row = 0;
	r = settle(outbox, 1, cumulative + 1);
	head_move(outbox, now_ns);
	/* What was in flight may have met a restart: ask at once rather than wait the timeouts out. */
	outbox->progress_ns = now_ns - timeout_ns(outbox);
	for (uint32_t i = 0; i < outbox->wait_count; i++)
		outbox->waits[i].due_ns = now_ns;
	return r;
}

bool outbox_idle(const struct outbox *outbox)
{
	return spool_lowest(outbox->spool, outbox->lane) == spool_next(outbox->spool, outbox->lane);
}

uint32_t outbox_flight(const struct outbox *outbox)
{
	return outbox->flying;
}

uint32_t outbox_window(const struct outbox *outbox)
{
	return outbox->window;
}

uint64_t outbox_credit(const struct outbox *outbox)
{
	uint64_t limit = outbox->cumulative + outbox->credit + 1;

	return limit > outbox->unsent ? limit - outbox->unsent : 0;
}

const struct outbox_counters *outbox_counters(const struct outbox *outbox)
{
	return &outbox->counters;
}

uint64_t outbox_refused(const struct outbox *outbox)
{
	uint64_t counted = outbox->refused_total - outbox->refused_before;
	uint64_t told = 0;

	for (unsigned i = 0; i < REFUSAL_COUNT; i++)
		told += outbox->counters.refused[i];
	return counted > told ? counted : told;
}
