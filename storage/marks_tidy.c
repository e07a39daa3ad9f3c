/*
 * A day's way: what memory still holds of its marked reads is sealed, which leaves them out → under the tidy mutex the
 * segments that hold them are found (marks_find.c), by the fences for VRM key and capture time, and rewritten without
 * them, corrected reads coming in (mark.rewritten) → the records say so, the keys of their sealed parts go
 * (marks_done).
 *
 * Once the seal is over no further segment can hold such a read: a seal that begins later knows the mark. A crash after
 * the rewriting finds no segment that holds the reads, the corrected ones in place, and only the records left to do.
 *
 * A corrected read of a day without any segment waits, sealed in the register, for the first one.
 *
 * Segments are judged and rewritten one by one: what is damaged holds up no other. The marks whose reads may lie in a
 * damaged segment are put off, by PUT_OFF_NS, without another look at it or another key; that is told once.
 */
#include "storage/marks_tidy.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/bytes.h"
#include "appliance/base/clock.h"
#include "appliance/base/killpoint.h"
#include "storage/marks_removal.h"
#include "storage/rewrite.h"
#include "storage/store_internal.h"

#define SEAL_WAIT_NS (INT64_C(10) * 1000000000)

static bool chunk_holds(const struct removal *removal, const struct chunk *chunk)
{
	uint32_t count = atomic_load_explicit(&chunk->rows_durable, memory_order_acquire);

	for (uint32_t i = 0; i < count; i++)
		if (read_day(chunk->rows[i].capture_us) == removal->day &&
		    mark_drops(mark_find(removal->marks, &chunk->rows[i])))
			return true;
	return false;
}

/* Does memory hold one of the reads? 1 yes, 0 no, -errno. */
static int memory_holds(const struct removal *removal)
{
	struct memtable_view view;
	int holds = memtable_view_take(removal->store->memtable, &view);

	if (holds < 0)
		return holds;
	for (size_t i = 0; i < view.count && holds == 0; i++) {
		struct chunk *chunk = atomic_load_explicit(&view.generations[i]->first, memory_order_acquire);

		for (; chunk != NULL && holds == 0; chunk = atomic_load_explicit(&chunk->next, memory_order_acquire))
			holds = chunk_holds(removal, chunk);
	}
	memtable_view_release(removal->store->memtable, &view);
	return holds;
}

static int memory_seal(struct removal *removal)
{
	int result = memory_holds(removal);

	if (result > 0)
		result = store_seal_all(removal->store, SEAL_WAIT_NS);
	if (result == STORE_BUSY)
		return err_set(removal->err, -EAGAIN, "a worker does not close its journal");
	return result < 0 ? err_set(removal->err, result, "sealing: %s", strerror(-result)) : 0;
}

/* The corrected reads that come in with this rewriting. */
static void extras_take(struct removal *removal)
{
	for (size_t i = 0; i < removal->pending_count; i++) {
		const struct pending_mark *mark = &removal->pending[i];

		if (!removal->placed[i])
			removal->extra[removal->extra_count++] = mark->corrected;
	}
}

/* 0, or -errno of the segment. The corrected reads come in with the first that can be rewritten. */
static int segment_rewrite(struct removal *removal, uint64_t id, struct err *err)
{
	struct rewrite_rule rule = {.row = mark_rule,
				    .extra = removal->extra,
				    .extra_count = removal->extra_count,
				    .context = (void *)removal->marks};
	struct rewrite_result done;
	int result = rewrite_segments(removal->store, removal->day, &id, 1, &rule, err, &done);

	if (result == REWRITE_WAITS)
		return err_set(err, -EAGAIN, "its journal is not destroyed yet, or a search reads on");
	if (result < 0)
		return result;
	killpoint("mark.rewritten");
	removal->extra_count = 0;
	return 0;
}

static int segments_rewrite(struct removal *removal)
{
	if (removal->parent_count == 0 && removal->extra_count > 0 && removal->smallest != 0)
		removal_add_parent(removal, removal->smallest);
	for (size_t i = 0; i < removal->parent_count; i++) {
		struct err err = {""};
		int result = segment_rewrite(removal, removal->parents[i], &err);

		/* A commit that may have happened is brought to its end before anything else. */
		if (result < 0 && (!removal_goes_on(result) || removal->store->pending_rewrite != NULL)) {
			*removal->err = err;
			return result;
		}
		if (result < 0)
			removal_block(removal, removal->parents[i], result, &err);
	}
	return 0;
}

/* Where each mark stands, behind the rewriting. */
static void stands_judge(struct removal *removal)
{
	for (size_t i = 0; i < removal->pending_count; i++)
		if (removal->stands[i] == STAND_DONE && !removal->placed[i] && removal->extra_count > 0)
			removal->stands[i] = removal->failed == 0       ? STAND_WAITS
					     : removal->put_off_ns == 0 ? STAND_BLOCKED
									: STAND_PUT_OFF;
}

/* Those that stand so, at the beginning of pending from `from` on; how many. */
static size_t pending_gather(struct removal *removal, enum stand stand, size_t from)
{
	for (size_t i = from; i < removal->pending_count; i++) {
		struct pending_mark mark = removal->pending[i];

		if (removal->stands[i] != stand)
			continue;
		removal->pending[i] = removal->pending[from];
		removal->stands[i] = removal->stands[from];
		removal->pending[from] = mark;
		removal->stands[from++] = stand;
		bytes_wipe(&mark, sizeof(mark));
	}
	return from;
}

/* The records of what is done. The number done. */
static int records_write(struct removal *removal)
{
	struct marks *marks = removal->store->marks;
	size_t done = pending_gather(removal, STAND_DONE, 0);
	size_t waiting = pending_gather(removal, STAND_WAITS, done);
	size_t put_off = pending_gather(removal, STAND_PUT_OFF, waiting);
	int result;

	marks_removed(marks, removal->day, removal->pending + done, waiting - done);
	if (removal->put_off_ns != 0)
		marks_put_off(marks, removal->day, removal->pending + waiting, put_off - waiting,
			      clock_mono_ns() + removal->put_off_ns);
	if (done == 0 || removal->more)
		return 0;
	result = marks_done(marks, removal->day, removal->pending, done, removal->err);
	return result < 0 ? result : (int)done;
}

/* Erasures need no corrected read; nor does an amendment whose result has been erased or amended since. */
static int removal_begin(struct removal *removal)
{
	removal->placed = calloc(removal->pending_count + 1, sizeof(*removal->placed));
	removal->extra = calloc(removal->pending_count + 1, sizeof(*removal->extra));
	removal->stands = calloc(removal->pending_count + 1, sizeof(*removal->stands));
	if (removal->stands == NULL || removal->placed == NULL || removal->extra == NULL)
		return err_set(removal->err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < removal->pending_count; i++)
		removal->placed[i] = removal->pending[i].kind != MARK_AMENDED || !removal->pending[i].readable ||
				     mark_drops(mark_find(removal->marks, &removal->pending[i].corrected));
	return memory_seal(removal);
}

static int removal_run(struct removal *removal)
{
	int result = removal_begin(removal);

	if (result < 0)
		return result;
	rewrite_lock(removal->store);
	result = removal_find(removal);
	if (result == 0) {
		extras_take(removal);
		result = segments_rewrite(removal);
	}
	rewrite_unlock(removal->store);
	if (result < 0)
		return result;
	stands_judge(removal);
	result = records_write(removal);
	return result < 0 || removal->failed == 0 ? result : removal->failed;
}

static void removal_fini(struct removal *removal)
{
	if (removal->pending != NULL)
		bytes_wipe(removal->pending, removal->pending_count * sizeof(*removal->pending));
	if (removal->extra != NULL)
		bytes_wipe(removal->extra, removal->pending_count * sizeof(*removal->extra));
	free(removal->pending);
	free(removal->placed);
	free(removal->stands);
	free(removal->sights);
	free(removal->extra);
	mark_set_release(removal->set);
}

/* Only corrected reads that wait for the day's first segment, and there is still none. */
static bool nothing_to_do(const struct removal *removal)
{
	struct catalog_day day;

	for (size_t i = 0; i < removal->pending_count; i++)
		if (!removal->pending[i].removed)
			return false;
	return catalog_day(removal->store->catalog, removal->day, &day) == -ENOENT || day.segments == 0;
}

/* Leaves out what is put off. */
static void pending_due(struct removal *removal)
{
	int64_t now_ns = clock_mono_ns();
	size_t due = 0;

	for (size_t i = 0; i < removal->pending_count; i++)
		if (removal->pending[i].until_ns <= now_ns)
			removal->pending[due++] = removal->pending[i];
	bytes_wipe(removal->pending + due, (removal->pending_count - due) * sizeof(*removal->pending));
	removal->pending_count = due;
}

/* The set is taken behind the marks: it has all of them, and maybe more, which are then dropped before their time. */
static int tidy_day(struct store *store, int32_t day, bool now, struct err *err)
{
	struct removal removal = {.store = store, .day = day, .err = err};
	int result = marks_pending(store->marks, day, &removal.pending, &removal.pending_count);

	if (result < 0)
		return err_set(err, result, "out of memory");
	if (!now)
		pending_due(&removal);
	removal.set = marks_hold(store->marks);
	removal.marks = mark_set_day(removal.set, day);
	if (removal.marks != NULL && !nothing_to_do(&removal))
		result = removal_run(&removal);
	removal_fini(&removal);
	return result;
}

/* Stands until nothing is late any more, with what holds it up now. */
static void lateness_judge(struct store *store, const struct err *why)
{
	struct marks_info info;
	bool late;

	marks_info(store->marks, &info);
	late = info.pending > 0 && clock_wall_us() - info.pending_since_us > MARKS_LATE_US;
	if (!late)
		store_alarm_over(store, STANDING_REMOVAL, 0);
	else
		store_alarm_stand(
			store, STANDING_REMOVAL, 0,
			"%llu erased or amended reads are hidden, but not physically removed within the hour: %s",
			(unsigned long long)info.pending,
			why->text[0] != '\0' ? why->text : "in work, or in a damaged segment that status names");
}

int marks_tidy(struct store *store, bool now, struct err *err)
{
	int64_t until_us = now ? INT64_MAX : clock_wall_us() - store->options.erase_rewrite_us;
	struct err first = {""};
	int result = 0;
	int32_t *days;
	int done = 0;
	size_t count;

	if (store->reg == NULL)
		return 0;
	if (marks_due(store->marks, until_us, &days, &count) < 0)
		return err_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < count; i++) {
		struct err why = {""};
		int part = tidy_day(store, days[i], now, &why);

		if (part > 0)
			done += part;
		if (part < 0 && result == 0)
			result = err_set(&first, part, "removing reads of day %d: %s", days[i], why.text);
	}
	free(days);
	lateness_judge(store, &first);
	if (result < 0)
		*err = first;
	return result < 0 ? result : done;
}
