/*
 * Memtable first, then the segments of the window's days, newest or oldest first, into a bounded "best N so far". Once
 * that is full its worst narrows the window, and segments outside of it are not looked into.
 */
#include "storage/hit_search.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/bytes.h"
#include "appliance/base/clock.h"
#include "storage/hit_view.h"
#include "storage/late_hits.h"
#include "storage/search_source.h"
#include "storage/store_internal.h"

#define STOP 1 /* of a walk: nothing more is wanted */

struct searching {
	struct search search; /* for what it knows of reads, budgets and faults; its view is not used */
	const struct hit_query *query;
	struct hit_view from;
	struct hit_found *best; /* a heap, the worst on top */
	size_t count;
	size_t room;
	uint32_t first_row; /* of the segment in hand: rows before it are of lower keys than any wanted */
};

static struct hit_search_cursor place_of(const struct hit_found *found)
{
	return (struct hit_search_cursor){
		.capture_us = found->read.capture_us, .number = found->hit.number, .set = true};
}

/* Answer order. */
static int compare(const struct hit_search_cursor *a, const struct hit_search_cursor *b, bool oldest_first)
{
	if (a->capture_us != b->capture_us)
		return (a->capture_us < b->capture_us) == oldest_first ? -1 : 1;
	return a->number < b->number ? -1 : a->number > b->number;
}

static int compare_found(const struct searching *searching, const struct hit_found *a, const struct hit_found *b)
{
	struct hit_search_cursor x = place_of(a);
	struct hit_search_cursor y = place_of(b);

	return compare(&x, &y, searching->query->reads.oldest_first);
}

/* ---- the best so far */

static void sift_up(struct searching *searching, size_t at, const struct hit_found *found)
{
	while (at > 0 && compare_found(searching, &searching->best[(at - 1) / 2], found) < 0) {
		searching->best[at] = searching->best[(at - 1) / 2];
		at = (at - 1) / 2;
	}
	searching->best[at] = *found;
}

/* Into a heap of `count` whose top is free. */
static void sift_down(struct searching *searching, size_t count, const struct hit_found *found)
{
	struct hit_found *best = searching->best;
	size_t at = 0;

	for (;;) {
		size_t child = 2 * at + 1;

		if (child >= count)
			break;
		if (child + 1 < count && compare_found(searching, &best[child + 1], &best[child]) > 0)
			child++;
		if (compare_found(searching, &best[child], found) <= 0)
			break;
		best[at] = best[child];
		at = child;
	}
	best[at] = *found;
}

static void keep(struct searching *searching, const struct hit_found *found)
{
	if (searching->count < searching->room)
		sift_up(searching, searching->count++, found);
	else if (compare_found(searching, found, &searching->best[0]) < 0)
		sift_down(searching, searching->count, found);
}

/* The worst of a full set rules out what was captured beyond it; equals may still come before it. */
static void narrow(struct searching *searching)
{
	struct search *search = &searching->search;
	int64_t worst;

	if (searching->count < searching->room)
		return;
	worst = searching->best[0].read.capture_us;
	if (search->query->oldest_first) {
		if (worst < search->to_us - 1)
			search->to_us = worst + 1;
	} else if (worst > search->from_us) {
		search->from_us = worst;
	}
}

/* ---- what is wanted */

static bool hit_wanted(const struct hit_query *query, const struct hit *hit)
{
	bool listed = query->list_count == 0;

	for (size_t i = 0; i < query->list_count && !listed; i++)
		listed = query->lists[i] == hit->list;
	return listed && hit->priority >= query->priority_min &&
	       (query->kinds == 0 || (hit->kind < 32 && (query->kinds >> hit->kind & 1) != 0)) &&
	       (query->may == NULL || query->may(query->may_context, hit->list));
}

static bool must_stop(struct searching *searching)
{
	struct search_result *result = searching->search.result;
	uint64_t bytes_max = searching->query->reads.bytes_max;

	if (bytes_max != 0 && searching->from.scratch.bytes_read > bytes_max && result->stop == SEARCH_DONE)
		result->stop = SEARCH_BYTES_MAX;
	return search_must_stop(&searching->search);
}

static void take(struct searching *searching, const struct hit *hit, const struct read *read)
{
	const struct hit_query *query = searching->query;
	struct hit_found found = {.hit = *hit};
	struct hit_search_cursor place;

	if (!search_wants(&searching->search, read) || !search_answers(&searching->search, read) ||
	    hit_view_hides(&searching->from, read, query->reads.restricted))
		return;
	if (query->reads.count_only) {
		searching->search.result->count++;
		return;
	}
	found.hit.row = 0;
	found.read = *read;
	place = place_of(&found);
	if (query->cursor.set && compare(&place, &query->cursor, query->reads.oldest_first) <= 0)
		return;
	keep(searching, &found);
	narrow(searching);
}

/* ---- memtable */

static int take_chunk(struct searching *searching, const struct chunk *chunk, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		const struct hit *hit = &chunk->hits[i];

		searching->search.result->rows_seen++;
		if (must_stop(searching))
			return STOP;
		if (hit_wanted(searching->query, hit))
			take(searching, hit, &chunk->rows[hit->row - chunk->first_row]);
	}
	return 0;
}

static int take_memory(struct searching *searching)
{
	const struct memtable_view *memory = &searching->from.view.memory;
	int r = 0;

	for (size_t i = 0; i < memory->count && r == 0; i++) {
		struct chunk *chunk = atomic_load_explicit(&memory->generations[i]->first, memory_order_acquire);

		for (; chunk != NULL && r == 0; chunk = atomic_load_explicit(&chunk->next, memory_order_acquire))
			r = take_chunk(searching, chunk,
				       atomic_load_explicit(&chunk->hits_durable, memory_order_acquire));
	}
	return r;
}

/* ---- found late, beside the reads */

static int take_late_hit(void *context, const struct hit_found *found)
{
	struct searching *searching = context;

	searching->search.result->rows_seen++;
	if (must_stop(searching))
		return STOP;
	if (hit_wanted(searching->query, &found->hit))
		take(searching, &found->hit, &found->read);
	return 0;
}

static int take_late(struct searching *searching, struct late_hits *late, struct err *err)
{
	const struct search *search = &searching->search;
	size_t unreadable = 0;
	int r = late_hits_each(late, search->from_us, search->to_us, searching->query->reads.restricted, take_late_hit,
			       searching, err, &unreadable);

	if (unreadable > 0)
		searching->search.result->incomplete = true;
	return r;
}

/* ---- segments */

static bool beyond_keys(const struct searching *searching, const struct read *read)
{
	const struct key_plan *keys = &searching->search.keys;

	return keys->keyed && memcmp(read->key, keys->ranges[keys->range_count - 1].high, READ_TEXT_SIZE) > 0;
}

static int take_hit(void *context, uint32_t segment, const struct hit *hit)
{
	struct searching *searching = context;
	const struct read *read;
	int r;

	searching->search.result->rows_seen++;
	if (must_stop(searching))
		return STOP;
	if (hit->row < searching->first_row || !hit_wanted(searching->query, hit))
		return 0;
	r = hit_view_row(&searching->from, segment, hit->row, &read);
	if (r == HIT_VIEW_LOST)
		return 0;
	if (r < 0)
		return r;
	/* Rows stand by their keys: none of this segment behind it is wanted. */
	if (beyond_keys(searching, read))
		return STOP;
	take(searching, hit, read);
	return 0;
}

static bool segment_outside(const struct search *search, const struct catalog_segment *segment)
{
	return segment->hit_count == 0 || segment->capture_last_us < search->from_us ||
	       segment->capture_first_us >= search->to_us;
}

static int take_segment(struct searching *searching, uint32_t number)
{
	struct search *search = &searching->search;
	const struct catalog_segment *segment = &searching->from.view.segments[number];
	int r = 0;

	if (!segment_outside(search, segment)) {
		search->result->segments++;
		searching->first_row = 0;
		if (search->keys.keyed)
			r = hit_view_first_row(&searching->from, number, search->keys.ranges[0].low,
					       &searching->first_row);
		if (r == 0)
			r = hit_view_each(&searching->from, number, take_hit, searching);
	}
	search->reads_done += segment->row_count;
	search_tell(search, 1);
	if (r < 0)
		return r;
	return search_must_stop_now(search) ? STOP : 0;
}

static int take_segments(struct searching *searching)
{
	size_t count = searching->from.view.segment_count;
	int r = 0;

	for (size_t i = 0; i < count; i++)
		searching->search.reads += searching->from.view.segments[i].row_count;
	for (size_t i = 0; i < count && r == 0; i++)
		r = take_segment(searching, (uint32_t)(searching->query->reads.oldest_first ? i : count - 1 - i));
	return r;
}

/* ---- the whole */

static int give(struct searching *searching, hit_search_row_fn *row, void *row_context,
		struct hit_search_cursor *ret_cursor)
{
	struct search_result *result = searching->search.result;
	uint32_t limit = searching->query->reads.limit;
	int r = 0;

	for (size_t left = searching->count; left > 1; left--) {
		struct hit_found worst = searching->best[0];
		struct hit_found last = searching->best[left - 1];

		sift_down(searching, left - 1, &last);
		searching->best[left - 1] = worst;
	}
	result->truncated = searching->count > limit;
	for (size_t i = 0; i < searching->count && i < limit && r == 0; i++) {
		r = row(row_context, &searching->best[i]);
		result->count++;
	}
	if (r == 0 && result->truncated)
		*ret_cursor = place_of(&searching->best[limit - 1]);
	return r;
}

static void fault_seen(void *searching, const struct err *err)
{
	search_fault(&((struct searching *)searching)->search, err);
}

static int gather(struct searching *searching, struct late_hits *late, struct err *err)
{
	struct search_result *result = searching->search.result;
	int r = take_late(searching, late, err);

	if (r == 0)
		r = take_memory(searching);
	if (r == 0)
		r = take_segments(searching);
	result->bytes_read = searching->from.scratch.bytes_read;
	result->pages_read = searching->from.scratch.pages_read;
	if (result->stop != SEARCH_DONE)
		result->incomplete = true;
	return r < 0 ? r : 0;
}

static int run(struct searching *searching, struct store *store, struct err *err)
{
	const struct search *search = &searching->search;
	int r = hit_view_take_days(store, read_day(search->from_us), read_day(search->to_us - 1), err,
				   &searching->from);

	if (r < 0)
		return r;
	searching->from.fault = fault_seen;
	searching->from.fault_context = searching;
	r = gather(searching, store->late, err);
	hit_view_release(&searching->from);
	return r;
}

static int check_query(const struct hit_query *query, struct err *err)
{
	const struct search_query *reads = &query->reads;

	if (!reads->count_only && (reads->limit == 0 || reads->limit > SEARCH_LIMIT_MAX))
		return err_set(err, -EINVAL, "limit has to be 1 … %d", SEARCH_LIMIT_MAX);
	if (reads->case_number != 0 || query->list_count > HIT_SEARCH_LISTS_MAX)
		return err_set(err, -EINVAL, "no search for hits: of a case, or of more than %d lists",
			       HIT_SEARCH_LISTS_MAX);
	return 0;
}

static bool glob_possible(const struct glob *glob)
{
	return glob == NULL || glob->size_min <= READ_TEXT_SIZE;
}

static int searching_init(struct searching *searching, const struct hit_query *query)
{
	const struct search_query *reads = &query->reads;

	searching->query = query;
	searching->search.query = reads;
	searching->search.from_us = reads->from_us;
	searching->search.to_us = reads->to_us;
	if (reads->ms_max > 0)
		searching->search.deadline_ns = clock_mono_ns() + reads->ms_max * 1000000;
	searching->search.result = calloc(1, sizeof(*searching->search.result));
	searching->room = reads->count_only ? 0 : (size_t)reads->limit + 1;
	searching->best = calloc(searching->room + 1, sizeof(*searching->best));
	return searching->search.result != NULL && searching->best != NULL ? 0 : -ENOMEM;
}

int hit_search_run(struct store *store, const struct hit_query *query, struct err *err, hit_search_row_fn *row,
		   void *row_context, struct search_result *ret_result, struct hit_search_cursor *ret_cursor)
{
	struct searching *searching;
	int r = check_query(query, err);

	if (r < 0)
		return r;
	searching = calloc(1, sizeof(*searching));
	r = searching != NULL ? searching_init(searching, query) : -ENOMEM;
	if (r == 0 && query->reads.from_us < query->reads.to_us && glob_possible(query->reads.key_glob) &&
	    glob_possible(query->reads.folded_glob)) {
		key_plan_init(&searching->search.keys, &query->reads, 0);
		if (searching->search.keys.range_count > 0)
			r = run(searching, store, err);
		if (r == 0 && !query->reads.count_only)
			r = give(searching, row, row_context, ret_cursor);
	}
	if (r == 0)
		*ret_result = *searching->search.result;
	if (searching != NULL) {
		if (searching->best != NULL)
			bytes_wipe(searching->best, searching->count * sizeof(*searching->best));
		free(searching->best);
		free(searching->search.result);
	}
	free(searching);
	return r;
}
