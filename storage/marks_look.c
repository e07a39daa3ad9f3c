/*
 * A day's way: under the tidy mutex every row of every segment is held against the day's marks → each segment that
 * holds a marked one is rewritten without it → the catalog calls the day judged. A segment that is damaged leaves the
 * day as it is, and the others go ahead; a crash begins the day anew.
 */
#include "storage/marks_look.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/array.h"
#include "appliance/base/bytes.h"
#include "appliance/base/clock.h"
#include "storage/marks.h"
#include "storage/rewrite.h"
#include "storage/sealer.h"
#include "storage/segment_read.h"
#include "storage/store_internal.h"
#include "storage/view.h"

#define RETRY_NS (INT64_C(600) * 1000000000)
#define WAIT_NS (INT64_C(60) * 1000000000) /* for a journal that goes, or a purge that is done */

struct days {
	int32_t *days;
	size_t count;
	size_t room;
};

static int day_take(void *context, const struct catalog_day *day)
{
	struct days *days = context;
	int32_t *grown;

	if (!day->unjudged || day->state != CATALOG_DAY_OPEN)
		return 0;
	grown = array_grow(days->days, days->count, &days->room, sizeof(*grown));
	if (grown == NULL)
		return -ENOMEM;
	days->days = grown;
	days->days[days->count++] = day->day;
	return 0;
}

/* 1 a row is marked, 0 none, -errno. */
static int segment_holds(struct store *store, const struct segment *segment, const struct mark_day *marks,
			 struct segment_rows *rows, struct err *err)
{
	uint32_t pages = segment_summary(segment)->sections[SEGMENT_ROWS].page_count;
	struct segment_scratch scratch = {0};
	int result = 0;

	for (uint32_t page = 0; result == 0 && page < pages; page++) {
		result = segment_read_rows(segment, &scratch, page, err, rows);
		for (uint32_t i = 0; result == 0 && i < rows->count; i++)
			result = mark_drops(mark_find(marks, &rows->rows[i]));
		if (result == 0 && (atomic_load(&store->tidy_preempted) > 0 || atomic_load(&store->tidy_stop)))
			result = err_set(err, -ECANCELED, "looking through it put off");
	}
	segment_scratch_fini(&scratch);
	return result;
}

static int segment_clean(struct store *store, const struct catalog_segment *which, const struct mark_day *marks,
			 struct segment_rows *rows, struct err *err)
{
	struct rewrite_rule rule = {.row = mark_rule, .context = (void *)marks};
	struct rewrite_result done;
	struct segment *segment;
	int result = view_segment_get(store->views, which, err, &segment);

	if (result != 0)
		return result < 0 ? result : err_set(err, -ESTALE, "the day is being purged");
	result = segment_holds(store, segment, marks, rows, err);
	view_segment_put(store->views, segment);
	if (result <= 0)
		return result;
	result = rewrite_segments(store, which->day, &which->id, 1, &rule, err, &done);
	return result == REWRITE_WAITS ? err_set(err, -EAGAIN, "its journal is not destroyed yet, or a search reads on")
				       : result;
}

/* Tidy mutex held. */
static int segments_clean(struct store *store, int32_t day, const struct mark_day *marks, struct err *err)
{
	struct segment_rows *rows = malloc(sizeof(*rows));
	struct err first = {""};
	struct view view;
	int failed = 0;
	int result = rows != NULL ? view_take(store->views, day, day, &view) : -ENOMEM;

	if (result < 0) {
		free(rows);
		return err_set(err, result, "looking through it: %s", strerror(-result));
	}
	for (size_t i = 0; i < view.segment_count && result != -ECANCELED; i++) {
		result = segment_clean(store, &view.segments[i], marks, rows, err);
		if (result < 0 && failed == 0) {
			failed = result;
			first = *err;
		}
	}
	view_release(&view);
	bytes_wipe(rows, sizeof(*rows));
	free(rows);
	if (failed < 0)
		*err = first;
	return failed;
}

/* The set is complete: what is marked later finds its read by itself. */
static int day_look(struct store *store, int32_t day, struct err *err)
{
	struct mark_set *set = marks_hold(store->marks);
	const struct mark_day *marks = mark_set_day(set, day);
	int result = 0;

	rewrite_lock(store);
	if (marks != NULL)
		result = segments_clean(store, day, marks, err);
	if (result == 0) {
		result = catalog_day_judged(store->catalog, day);
		if (result < 0)
			(void)err_set(err, result, "catalog: %s", strerror(-result));
	}
	rewrite_unlock(store);
	if (marks != NULL)
		(void)sealer_debts_pay(store); /* the view held the parents */
	mark_set_release(set);
	return result;
}

static int64_t wait_ns(int result)
{
	return result == -EAGAIN || result == -ECANCELED ? WAIT_NS : RETRY_NS;
}

int marks_look(struct store *store, bool now, struct err *err)
{
	struct days days = {0};
	struct err first = {""};
	int failed;

	if (store->reg == NULL || (!now && clock_mono_ns() < store->look_again_ns))
		return 0;
	failed = catalog_each_day(store->catalog, day_take, &days);
	if (failed < 0)
		(void)err_set(&first, failed, "catalog: %s", strerror(-failed));
	for (size_t i = 0; i < days.count; i++) {
		struct err why = {""};
		int result = day_look(store, days.days[i], &why);

		if (result < 0 && failed == 0)
			failed = err_set(&first, result, "looking through day %d for erased reads: %s", days.days[i],
					 why.text);
		if (result < 0)
			store->look_again_ns = clock_mono_ns() + wait_ns(result);
	}
	free(days.days);
	if (failed < 0)
		*err = first;
	return failed;
}
