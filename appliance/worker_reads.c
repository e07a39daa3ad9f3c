/*
 * The way of a read on its worker, after its datagram was opened: window ▸ record ▸ camera ▸ capture time ▸ VRM key ▸
 * match ▸ gate ▸ journal. Reads of a whole burst are collected first, matched in one scan, then appended run by run.
 */
#include <string.h>

#include "appliance/hits_keep.h"
#include "appliance/worker_inside.h"
#include "dpdk/feed/record.h"
#include "matcher/matchset.h"
#include "matcher/vrm.h"
#include "storage/lane.h"
#include "storage/mark_set.h"
#include "storage/store.h"

enum fate {
	FATE_TAKE,
	FATE_REFUSE, /* for good; the reason follows from the enum refusal beside it */
	FATE_LEAVE,  /* deferred, repeated or beyond: neither stored nor refused */
};

struct judgement {
	enum fate fate;
	enum refusal refusal;
};

static const struct judgement leave = {FATE_LEAVE, REFUSAL_NONE};

static struct judgement refuse(enum refusal refusal)
{
	return (struct judgement){FATE_REFUSE, refusal};
}

/* Counted when the journal has taken the refusal, not before: what is pushed back comes again. */
static void count_refusal(struct worker *worker, enum refusal refusal, unsigned count)
{
	switch (refusal) {
	case REFUSAL_MALFORMED:
		counter_add(&worker->counters.refused_malformed, count);
		break;
	case REFUSAL_TOO_OLD:
		counter_add(&worker->counters.refused_too_old, count);
		break;
	case REFUSAL_FUTURE:
		counter_add(&worker->counters.refused_future, count);
		break;
	case REFUSAL_CAMERA_SUSPENDED:
		counter_add(&worker->counters.refused_camera_suspended, count);
		break;
	case REFUSAL_NONE:
	case REFUSAL_COUNT:
		break;
	}
}

static struct judgement defer(struct worker *worker, struct lane_state *lane, uint64_t sequence,
			      enum camera_standing standing)
{
	bool unknown = standing == CAMERA_UNKNOWN;

	counter_add(unknown ? &worker->counters.deferred_unknown_camera : &worker->counters.deferred_not_bound, 1);
	feed_notices_add(&lane->notices, sequence, 1, unknown ? FEED_DEFERRAL_UNKNOWN_CAMERA : FEED_DEFERRAL_NOT_BOUND);
	lane->deferred_total++;
	return leave;
}

/* Order matters: what is deferred must not be refused, and a camera that nobody knows may have any clock. */
static struct judgement judge(struct worker *worker, const struct feed_entry *entry, struct lane_state *lane,
			      uint64_t sequence, struct read *read, uint32_t *ret_place)
{
	enum camera_standing standing = tables_camera(worker->tables, entry, read->camera, ret_place);

	if (standing == CAMERA_UNKNOWN || standing == CAMERA_NOT_BOUND)
		return defer(worker, lane, sequence, standing);
	if (standing == CAMERA_SUSPENDED)
		return refuse(REFUSAL_CAMERA_SUSPENDED);
	if (read->capture_us > worker->now_us + worker->options.future_us)
		return refuse(REFUSAL_FUTURE);
	if (read->capture_us < worker->oldest_us || !store_day_open(worker->store, read_day(read->capture_us)))
		return refuse(REFUSAL_TOO_OLD);
	/*
	 * A plate in a script that has no key is a read all the same: it is kept under its text with an empty key,
	 * found by a strict search, and never matched.
	 */
	if (read->kind == READ_KIND_VRM && vrm_key(read->text, read->key) == VRM_NOT_UTF8)
		return refuse(REFUSAL_MALFORMED);
	return (struct judgement){FATE_TAKE, REFUSAL_NONE};
}

/* Adds one judged record to the run it continues, or begins a new one. `first_run` is the datagram's first. */
static void collect(struct worker *worker, unsigned first_run, struct feed_state *feed, struct lane_state *lane,
		    uint64_t sequence, enum refusal refusal)
{
	struct burst_run *last = worker->run_count > first_run ? &worker->runs[worker->run_count - 1] : NULL;

	if (last != NULL && last->run.refusal == (uint8_t)refusal && last->run.first + last->run.count == sequence) {
		last->run.count++;
		return;
	}
	worker->runs[worker->run_count++] = (struct burst_run){
		.run = {.first = sequence,
			.feed = lane->window->feed,
			.epoch = lane->window->epoch,
			.count = 1,
			.lane = lane->window->lane,
			.refusal = (uint8_t)refusal},
		.lane = lane,
		.feed = feed,
		.first_read = worker->read_count,
	};
}

static void count_fates(struct worker *worker, const struct lane_fates *fates)
{
	if ((fates->pending | fates->durable | fates->beyond) == 0)
		return;
	counter_add(&worker->counters.repeated_pending, (uint64_t)__builtin_popcount(fates->pending));
	counter_add(&worker->counters.repeated_durable, (uint64_t)__builtin_popcount(fates->durable));
	counter_add(&worker->counters.beyond_window, (uint64_t)__builtin_popcount(fates->beyond));
}

void worker_collect(struct worker *worker, const struct burst_datagram *datagram, const struct feed_opened *opened)
{
	const struct feed_data *data = &opened->data;
	struct feed_state *feed = datagram->entry->state;
	struct epoch_state *epoch = worker_epoch(worker, feed, data->epoch);
	struct lane_state *lane = epoch != NULL ? &epoch->lanes[opened->lane] : NULL;
	struct read *reads = &worker->reads[worker->read_count];
	unsigned first_run = worker->run_count;
	struct lane_fates fates;
	uint32_t malformed;

	counter_add(&worker->counters.received, data->count);
	if (lane == NULL || lane->window == NULL) {
		counter_add(&worker->counters.lane_closed, data->count);
		return;
	}
	lane_judge(lane->window, data->first, data->count, &fates);
	count_fates(worker, &fates);
	if (fates.durable != 0)
		worker_ack_lane(worker, feed, lane);
	if (fates.fresh == 0)
		return;
	malformed = feed_records_decode(data->records, data->count, reads);
	for (unsigned i = 0; i < data->count; i++) {
		struct read *read = &reads[i];
		struct judgement judgement;
		uint32_t place = PLACE_NONE;

		if ((fates.fresh >> i & 1) == 0)
			continue;
		judgement = (malformed >> i & 1) != 0
				    ? refuse(REFUSAL_MALFORMED)
				    : judge(worker, datagram->entry, lane, data->first + i, read, &place);
		if (judgement.fate == FATE_LEAVE)
			continue;
		collect(worker, first_run, feed, lane, data->first + i, judgement.refusal);
		if (judgement.fate == FATE_REFUSE)
			continue;
		read->receipt_us = datagram->receipt_us;
		read->feed = datagram->entry->feed;
		read->epoch = data->epoch;
		if (opened->lane == FEED_LANE_BACKLOG)
			read->flags |= READ_FLAG_BACKLOG;
		if (worker->tables->incomplete) {
			read->flags |= READ_FLAG_UNMATCHED;
			counter_add(&worker->counters.unmatched, 1);
		}
		if (&worker->reads[worker->read_count] != read)
			worker->reads[worker->read_count] = *read;
		worker->places[worker->read_count] = place;
		worker->read_count++;
	}
}

static void append_whole(struct worker *worker, const struct burst_run *plan, struct hit *hits, unsigned hit_count)
{
	const struct run *run = &plan->run;
	const struct read *reads = run->refusal == REFUSAL_NONE ? &worker->reads[plan->first_read] : NULL;
	unsigned kept;

	worker_repeats_mark(worker, plan->first_read, hits, hit_count);
	kept = hits_keep(hits, hit_count, journal_hits_max(worker->journal));
	if (journal_append(worker->journal, plan->lane->window, run, reads, hits, kept) != 0) {
		counter_add(&worker->counters.pushed_back, run->count);
		return;
	}
	if (run->refusal == REFUSAL_NONE) {
		counter_add(&worker->counters.taken, run->count);
		counter_add(&worker->counters.hits, kept);
		counter_add(&worker->counters.hits_lost, hit_count - kept);
		worker_repeats_note(worker, plan->first_read, hits, kept);
	} else {
		count_refusal(worker, (enum refusal)run->refusal, run->count);
		feed_notices_add(&plan->lane->notices, run->first, run->count, run->refusal);
	}
}

/* So many sequences of a run from its i-th on as a run of their own. */
static struct burst_run piece_of(const struct burst_run *plan, unsigned i, unsigned count)
{
	struct burst_run piece = *plan;

	piece.run.first += i;
	piece.run.count = (uint16_t)count;
	piece.first_read += plan->run.refusal == REFUSAL_NONE ? i : 0;
	return piece;
}

/* From the i-th sequence on: how many are fresh, with hits that the journal takes at once. *at grows by those hits. */
static unsigned piece_size(const struct worker *worker, uint64_t fresh, unsigned i, const struct hit *hits,
			   unsigned hit_count, unsigned *at)
{
	uint32_t room = journal_hits_max(worker->journal);
	unsigned first = *at;
	unsigned end = i;

	for (; (fresh >> end & 1) != 0; end++) {
		unsigned next = *at;

		while (next < hit_count && hits[next].row == end)
			next++;
		if (end > i && next - first > room)
			break;
		*at = next;
	}
	return end - i;
}

/*
 * Appends one run with the hits of its reads (row = index in the run). Two datagrams of a burst may carry the same
 * sequences: the second one's are no longer fresh by now, so the window is asked again, and a run that is only partly
 * fresh goes in pieces. So does one with more hits than the journal takes at once: each piece has that room.
 */
static void append_run(struct worker *worker, const struct burst_run *plan, struct hit *hits, unsigned hit_count)
{
	const struct run *run = &plan->run;
	uint32_t whole = (uint32_t)((UINT64_C(1) << run->count) - 1);
	struct lane_fates fates;
	unsigned at = 0;

	lane_judge(plan->lane->window, run->first, run->count, &fates);
	if (fates.fresh == whole && hit_count <= journal_hits_max(worker->journal)) {
		append_whole(worker, plan, hits, hit_count);
		return;
	}
	counter_add(&worker->counters.repeated_pending, (uint64_t)(run->count - __builtin_popcount(fates.fresh)));
	for (unsigned i = 0; i < run->count;) {
		unsigned first = at;
		unsigned count = piece_size(worker, fates.fresh, i, hits, hit_count, &at);
		struct burst_run piece = piece_of(plan, i, count);

		for (unsigned j = first; j < at; j++)
			hits[j].row -= i;
		if (count > 0)
			append_whole(worker, &piece, hits + first, at - first);
		i += count;
		while (i < run->count && (fates.fresh >> i & 1) == 0) {
			while (at < hit_count && hits[at].row == i)
				at++;
			i++;
		}
	}
}

/*
 * A read that was erased, restricted or amended raises no hit when it is sent again (R39, R2). Only reads with hits are
 * asked about, and only of days with marks. `rows` are the reads that hit.row counts in; the number of hits that stay.
 */
static size_t hits_unmarked(struct worker *worker, const struct read *rows, struct hit *hits, size_t count)
{
	const struct mark_set *marks = worker->tables->marks;
	enum mark_kind mark = MARK_NONE;
	size_t kept = 0;

	if (marks == NULL)
		return count;
	for (size_t i = 0; i < count; i++) {
		const struct read *read = &rows[hits[i].row];

		if (i == 0 || hits[i].row != hits[i - 1].row)
			mark = mark_find(mark_set_day(marks, read_day(read->capture_us)), read);
		if (mark == MARK_NONE)
			hits[kept++] = hits[i];
	}
	counter_add(&worker->counters.hits_withheld, count - kept);
	return kept;
}

/*
 * A run, or one read of it, matched alone, with the whole buffer for its own. False: it has more hits than that, and
 * nothing is done; with `cut` those within it are kept.
 */
static bool append_alone(struct worker *worker, const struct matching *matching, const struct burst_run *plan, bool cut)
{
	const struct read *reads = &worker->reads[plan->first_read];
	struct match_cursor cursor = {0};
	size_t hit_count = 0;
	int more = 0;

	if (plan->run.refusal == REFUSAL_NONE)
		more = match_burst(matching->set, matching->scratches[worker->options.index], reads, plan->run.count,
				   &cursor, worker->hits, BURST_HITS - FEED_RECORDS_MAX, &hit_count);
	if (more != 0 && !cut)
		return false;
	counter_add(&worker->counters.hits_lost, more != 0);
	if (plan->run.refusal == REFUSAL_NONE)
		hit_count = worker_gate(worker, plan->first_read, plan->run.count, worker->hits, hit_count);
	hit_count = hits_unmarked(worker, reads, worker->hits, hit_count);
	append_run(worker, plan, worker->hits, (unsigned)hit_count);
	return true;
}

/*
 * Only when a burst has more hits than the buffer takes, four a read: each run is matched alone, and one that has more
 * than 256 hits a read is matched read by read. What a single read has beyond the buffer, or beyond what the journal
 * takes (by priority: hits_keep.h), is counted as lost, which an operator sees.
 */
static void append_flooded(struct worker *worker, const struct matching *matching)
{
	for (unsigned i = 0; i < worker->run_count; i++) {
		const struct burst_run *plan = &worker->runs[i];

		if (append_alone(worker, matching, plan, plan->run.count == 1))
			continue;
		for (unsigned at = 0; at < plan->run.count; at++) {
			struct burst_run piece = piece_of(plan, at, 1);

			(void)append_alone(worker, matching, &piece, true);
		}
	}
}

/* The match set gives hits in the order of the reads: one walk over both rebases them to their runs. */
void worker_append(struct worker *worker)
{
	const struct matching *matching = worker->tables->matching;
	struct match_cursor cursor = {0};
	size_t hit_count = 0;
	size_t at = 0;
	int more = 0;

	worker_clashes(worker);
	if (worker->read_count > 0 && matching != NULL)
		more = match_burst(matching->set, matching->scratches[worker->options.index], worker->reads,
				   worker->read_count, &cursor, worker->hits, BURST_HITS - worker->clash_count,
				   &hit_count);
	if (more != 0) {
		append_flooded(worker, matching);
	} else {
		hit_count = worker_gate(worker, 0, worker->read_count, worker->hits, hit_count);
		hit_count = hits_unmarked(worker, worker->reads, worker->hits, hit_count);
		for (unsigned i = 0; i < worker->run_count; i++) {
			const struct burst_run *plan = &worker->runs[i];
			size_t first = at;

			if (plan->run.refusal == REFUSAL_NONE)
				for (; at < hit_count && worker->hits[at].row < plan->first_read + plan->run.count;
				     at++)
					worker->hits[at].row -= plan->first_read;
			append_run(worker, plan, worker->hits + first, (unsigned)(at - first));
		}
	}
	worker->read_count = 0;
	worker->run_count = 0;
}
