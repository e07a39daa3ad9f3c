/* What an ACK or a WELCOME says to an outbox: checked whole, then believed. */
#include "bench/outbox.h"

#include "bench/outbox_inside.h"

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
	outbox_head_move(outbox, now_ns);
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
	outbox_head_move(outbox, now_ns);
	/* What was in flight may have met a restart: ask at once rather than wait the timeouts out. */
	outbox->progress_ns = now_ns - outbox_timeout_ns(outbox);
	for (uint32_t i = 0; i < outbox->wait_count; i++)
		outbox->waits[i].due_ns = now_ns;
	return r;
}
