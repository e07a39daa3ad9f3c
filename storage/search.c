/*
 * Day by day, newest or oldest first: open a source for each segment of the day and for the memtable's rows of it,
 * merge them in store order, collapse equal reads, number those that share the public id's fields, and hand the
 * survivors to the counter or to the best rows so far. When those are full, their worst narrows the window, and days
 * outside it are not looked at.
 */
#include "storage/search.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/bytes.h"
#include "appliance/base/clock.h"
#include "storage/keyring.h"
#include "storage/mark_set.h"
#include "storage/row.h"
#include "storage/search_ahead.h"
#include "storage/search_memory.h"
#include "storage/search_source.h"

/* The merge of one day: a heap of sources, the smallest current row on top. */
struct merge {
	struct search *search;
	struct search_source **sources;
	size_t source_count;
	struct search_source **heap;
	size_t heap_count;
	struct read head; /* first of the group of equal reads */
	bool head_set;
	struct search_row last; /* the survivor before */
	bool last_set;
	const struct mark_day *marks; /* of this day; NULL none */
};

static bool before(const struct search_source *a, const struct search_source *b)
{
	return row_compare(a->row, b->row) < 0;
}

static void heap_down(struct merge *merge, size_t at)
{
	struct search_source *source = merge->heap[at];

	for (;;) {
		size_t child = 2 * at + 1;

		if (child >= merge->heap_count)
			break;
		if (child + 1 < merge->heap_count && before(merge->heap[child + 1], merge->heap[child]))
			child++;
		if (!before(merge->heap[child], source))
			break;
		merge->heap[at] = merge->heap[child];
		at = child;
	}
	merge->heap[at] = source;
}

bool search_shares_public_id(const struct read *a, const struct read *b)
{
	return a->capture_us == b->capture_us && a->camera == b->camera && a->road_lane == b->road_lane &&
	       memcmp(a->key, b->key, READ_TEXT_SIZE) == 0;
}

/* The worst of a full set rules out what is captured beyond it (equals may still come before it). */
static void narrow(struct search *search)
{
	int64_t worst;

	if (!search_best_full(&search->best))
		return;
	worst = search->best.rows[0].read.capture_us;
	if (search->query->oldest_first) {
		if (worst < search->to_us - 1)
			search->to_us = worst + 1;
	} else if (worst > search->from_us) {
		search->from_us = worst;
	}
}

static bool behind_cursor(const struct search_query *query, const struct search_row *row)
{
	struct search_row last = {.read = query->cursor.last, .same = query->cursor.ordinal};

	return !query->cursor.set || search_row_compare(row, &last, query->oldest_first) > 0;
}

static void survive(struct search *search, const struct search_row *row)
{
	const struct search_query *query = search->query;

	if (!search_answers(search, &row->read))
		return;
	if (query->count_only) {
		search->result->count++;
		return;
	}
	if (!behind_cursor(query, row))
		return;
	search_best_add(&search->best, row);
	narrow(search);
}

/*
 * A corrected read comes from the marks until it stands in a segment, and for a moment from both: it is one. Two reads
 * of one camera that are the same in every field are two, but never by amendment.
 */
static bool seen_amended(const struct merge *merge, const struct read *row)
{
	return (row->flags & READ_FLAG_AMENDED) != 0 && merge->last_set && row_compare(&merge->last.read, row) == 0;
}

static void take_row(struct merge *merge, const struct read *row)
{
	enum mark_kind mark = mark_find(merge->marks, row);
	bool equal = merge->head_set && row_equal(&merge->head, row);
	struct search_row taken = {.read = *row};

	if (mark_drops(mark) || seen_amended(merge, row))
		return;
	if (equal && !row_same_source(&merge->head, row))
		return;
	if (!equal) {
		merge->head = *row;
		merge->head_set = true;
	}
	if (merge->last_set && search_shares_public_id(&merge->last.read, row)) {
		taken.ordinal = merge->last.ordinal + 1;
		if (row_compare(&merge->last.read, row) == 0)
			taken.same = merge->last.same + 1;
	}
	while (mark_id_taken(merge->marks, row, taken.ordinal))
		taken.ordinal++;
	merge->last = taken;
	merge->last_set = true;
	if ((mark != MARK_RESTRICTED && (row->flags & READ_FLAG_RESTRICTED) == 0) || merge->search->query->restricted)
		survive(merge->search, &taken);
}

static int run_merge(struct merge *merge)
{
	for (size_t i = 0; i < merge->source_count; i++) {
		int r = search_source_next(merge->sources[i], merge->search);

		if (r < 0)
			return r;
		if (merge->sources[i]->row != NULL)
			merge->heap[merge->heap_count++] = merge->sources[i];
	}
	for (size_t i = merge->heap_count; i-- > 0;)
		heap_down(merge, i);
	while (merge->heap_count > 0 && merge->search->result->stop == SEARCH_DONE) {
		int r;

		take_row(merge, merge->heap[0]->row);
		r = search_source_next(merge->heap[0], merge->search);
		if (r < 0)
			return r;
		if (merge->heap[0]->row == NULL)
			merge->heap[0] = merge->heap[--merge->heap_count];
		if (merge->heap_count > 0)
			heap_down(merge, 0);
	}
	return 0;
}

/* One day: its segments are numbered first … first + count − 1, its memtable rows are `memory` (may be none). */
static int search_day(struct search *search, int32_t day, size_t first, size_t count, const struct read *const *memory,
		      size_t memory_count)
{
	struct merge merge = {.search = search, .marks = mark_set_day(search->marks, day)};
	struct search_source rows;
	int r = search_ahead_reach(search, first, count);

	if (r < 0)
		return r;
	merge.sources = malloc(2 * (count + 1) * sizeof(struct search_source *));
	if (merge.sources == NULL)
		return -ENOMEM;
	merge.heap = merge.sources + count + 1;
	search_source_init_memory(&rows, memory, memory_count);
	merge.sources[merge.source_count++] = &rows;
	for (size_t i = 0; i < count; i++) {
		struct search_source *source = search_ahead_source(search, first + i);

		if (source != NULL)
			merge.sources[merge.source_count++] = source;
	}
	search->day_sources = merge.sources;
	search->day_source_count = merge.source_count;
	r = run_merge(&merge);
	search->day_source_count = 0;
	for (size_t i = 0; i < count; i++)
		search_ahead_close(search, first + i);
	free(merge.sources);
	return r;
}

static uint64_t count_reads(const struct catalog_segment *segments, size_t count)
{
	uint64_t reads = 0;

	for (size_t i = 0; i < count; i++)
		reads += segments[i].row_count;
	return reads;
}

/* Of a middling segment; a plate is read a few times a day. */
static uint64_t guess_keys(const struct search *search)
{
	size_t count = search->view.segment_count;

	return count > 0 ? search->reads / count / 4 : 0;
}

/* Nothing of the day lies in the window, as far as it has been narrowed: then nothing of the days behind it does. */
static bool day_outside(const struct search *search, int32_t day)
{
	return search->query->oldest_first ? day > read_day(search->to_us - 1) : day < read_day(search->from_us);
}

/* Walks the days of segments and memtable together; `up` from the oldest. */
static int search_days(struct search *search, const struct search_memory *memory)
{
	const struct catalog_segment *segments = search->view.segments;
	bool up = search->query->oldest_first;
	size_t s_low = 0, s_high = search->view.segment_count;
	size_t m_low = 0, m_high = memory->day_count;

	while ((s_low < s_high || m_low < m_high) && search->result->stop == SEARCH_DONE) {
		int32_t day = up ? INT32_MAX : INT32_MIN;
		const struct read *const *rows = NULL;
		size_t row_count = 0, count = 0, first;
		int r;

		if (s_low < s_high)
			day = up ? segments[s_low].day : segments[s_high - 1].day;
		if (m_low < m_high) {
			int32_t other = up ? memory->days[m_low].day : memory->days[m_high - 1].day;

			day = s_low == s_high || (up ? other < day : other > day) ? other : day;
			if (other == day) {
				const struct search_memory_day *part = &memory->days[up ? m_low++ : --m_high];

				rows = (const struct read *const *)&memory->rows[part->first];
				row_count = part->count;
			}
		}
		if (day_outside(search, day))
			break;
		while (count < s_high - s_low && segments[up ? s_low + count : s_high - 1 - count].day == day)
			count++;
		first = up ? s_low : s_high - count;
		s_low += up ? count : 0;
		s_high -= up ? 0 : count;
		r = search_day(search, day, first, count, rows, row_count);
		if (r < 0)
			return r;
		search->reads_done += count_reads(&segments[first], count);
		search_tell(search, 1);
	}
	return 0;
}

static int give_rows(struct search *search, search_row_fn *row, void *row_context)
{
	struct key_id id = {.id = 0, .day = KEY_DAY_NONE, .kind = KEY_IDENTITY};
	const struct search_query *query = search->query;
	struct search_result *result = search->result;
	uint8_t key[KEY_SIZE];
	int r = keyring_get(views_keyring(search->views), id, key);

	if (r < 0)
		return r;
	search_best_sort(&search->best);
	result->truncated = search->best.count > query->limit;
	for (size_t i = 0; i < search->best.count && i < query->limit && r == 0; i++) {
		const struct search_row *best = &search->best.rows[i];
		char public_id[SEARCH_PUBLIC_ID_SIZE];

		search_public_id(key, &best->read, best->ordinal, public_id);
		r = row(row_context, &best->read, public_id);
		result->count++;
		if (result->truncated && i + 1 == query->limit)
			result->cursor = (struct search_cursor){best->read, best->same, true};
	}
	bytes_wipe(key, sizeof(key));
	return r;
}

static int check_query(const struct search_query *query, struct err *err)
{
	if (!query->count_only && (query->limit == 0 || query->limit > SEARCH_LIMIT_MAX))
		return err_set(err, -EINVAL, "limit has to be 1 … %d", SEARCH_LIMIT_MAX);
	if (query->not_read && (query->key_glob != NULL || query->folded_glob != NULL || query->text_glob != NULL))
		return err_set(err, -EINVAL, "a not-read record has no VRM: ask for one or the other");
	if (query->folded_glob != NULL && (query->fold == NULL || query->key_glob != NULL))
		return err_set(err, -EINVAL, "a tolerant search takes a folded pattern in place of the other");
	if (query->keyless && (query->not_read || query->key_glob != NULL || query->folded_glob != NULL))
		return err_set(err, -EINVAL, "a read without a key matches no pattern of keys");
	if (query->area != NULL && query->cameras == NULL)
		return err_set(err, -EINVAL, "an area comes with its cameras");
	for (size_t i = 1; i < query->camera_count; i++)
		if (query->cameras[i - 1] >= query->cameras[i])
			return err_set(err, -EINVAL, "cameras have to be sorted and each given once");
	return 0;
}

/* The window that is left behind the cursor. False: nothing. */
static bool set_window(struct search *search)
{
	const struct search_query *query = search->query;
	const struct search_cursor *cursor = &query->cursor;

	search->from_us = query->from_us;
	search->to_us = query->to_us;
	if (cursor->set && query->oldest_first && cursor->last.capture_us > search->from_us)
		search->from_us = cursor->last.capture_us;
	if (cursor->set && !query->oldest_first && cursor->last.capture_us < search->to_us)
		search->to_us = cursor->last.capture_us < INT64_MAX ? cursor->last.capture_us + 1 : INT64_MAX;
	return search->from_us < search->to_us && (query->key_glob == NULL || query->key_glob->size_min <= 16) &&
	       (query->folded_glob == NULL || query->folded_glob->size_min <= 16);
}

static int run(struct search *search, search_row_fn *row, void *row_context)
{
	struct search_memory memory;
	int r = search_memory_init(&memory, search);

	if (r == 0)
		r = search_ahead_new(search);
	if (r == 0 && search->keys.range_count > 0)
		r = search_days(search, &memory);
	search_ahead_free(search);
	search_memory_fini(&memory);
	if (search->fetch != NULL) {
		search->result->bytes_read = fetch_bytes_read(search->fetch);
		search->result->pages_read = fetch_pages_read(search->fetch);
	}
	search->fetch = fetch_free(search->fetch);
	if (search->result->stop != SEARCH_DONE)
		search->result->incomplete = true;
	if (r == 0 && !search->query->count_only)
		r = give_rows(search, row, row_context);
	return r;
}

static int take_view(struct search *search)
{
	int32_t first_day = read_day(search->from_us);
	int32_t last_day = read_day(search->to_us - 1);
	uint32_t number = search->query->case_number;

	return number != 0 ? view_take_case(search->views, number, first_day, last_day, &search->view)
			   : view_take(search->views, first_day, last_day, &search->view);
}

#define MARKS_TRIES 16

/*
 * Marks and view of one moment: a view that is younger than the marks may hold the next correction of a read whose last
 * one still comes from them. A case's copies are held to them too: a purge that stands half done may have made them
 * before the mark. Once its day is gone they are made without what was erased, and its marks have died with it.
 */
static int take_marks_and_view(struct search *search)
{
	for (unsigned try = 1;; try++) {
		struct mark_set *marks = views_marks_hold(search->views);
		struct mark_set *after;
		int r = take_view(search);

		after = views_marks_hold(search->views);
		mark_set_release(after);
		search->marks = marks;
		if (r < 0 || after == marks || try == MARKS_TRIES)
			return r;
		view_release(&search->view);
		mark_set_release(marks);
	}
}

int search_run(struct views *views, const struct search_query *query, struct err *err, search_row_fn *row,
	       void *row_context, struct search_result *ret_result)
{
	struct search search = {.views = views, .query = query};
	int r = check_query(query, err);

	if (r < 0)
		return r;
	search.result = calloc(1, sizeof(*search.result));
	if (search.result == NULL)
		return -ENOMEM;
	if (query->ms_max > 0)
		search.deadline_ns = clock_mono_ns() + query->ms_max * 1000000;
	if (!query->count_only)
		r = search_best_init(&search.best, (size_t)query->limit + 1, query->oldest_first);
	if (r == 0 && set_window(&search)) {
		r = take_marks_and_view(&search);
		if (r == 0) {
			search.reads = count_reads(search.view.segments, search.view.segment_count);
			key_plan_init(&search.keys, query, guess_keys(&search));
			r = run(&search, row, row_context);
			view_release(&search.view);
		}
	}
	mark_set_release(search.marks);
	if (r == 0)
		*ret_result = *search.result;
	else if (r < 0)
		(void)err_set(err, r, "search failed: %s", strerror(-r));
	search_best_fini(&search.best);
	free(search.result);
	return r;
}
