/*
 * One view, one selection: a heap of the smallest numbers so far, its worst on top, is offered every hit that the view
 * has; what stays in it is given its reads, segment by segment and page by page. What is then found to be marked, or
 * cannot be read, makes room for the next ones, which a further round behind the last number selects.
 *
 * Cost: the hit pages of every segment whose fences say that it may hold one (hits lie there by row, not by number),
 * and a row page for each hit that is given. So ask for thousands at once.
 */
#include "storage/hit_scan.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/bytes.h"
#include "storage/hit_view.h"
#include "storage/late_hits.h"
#include "storage/mark_set.h"
#include "storage/store_internal.h"
#include "storage/view.h"

/* A hit that was selected, and where its read lies. */
struct candidate {
	struct hit hit;
	const struct read *read; /* in the memtable; NULL: in the segment */
	uint32_t segment;        /* of the view */
};

struct selection {
	struct hit_view *from;
	uint64_t after;
	uint64_t upto;
	bool repeats; /* wanted too */
	struct candidate *heap;
	size_t count;
	size_t max;
};

static bool is_wanted(const struct selection *selection, const struct hit *hit)
{
	return hit->number > selection->after && hit->number <= selection->upto &&
	       (selection->repeats || (hit->flags & HIT_FLAG_REPEAT) == 0) &&
	       (selection->count < selection->max || hit->number < selection->heap[0].hit.number);
}

static void heap_up(struct selection *selection, struct candidate candidate)
{
	size_t at = selection->count++;

	while (at > 0 && selection->heap[(at - 1) / 2].hit.number < candidate.hit.number) {
		selection->heap[at] = selection->heap[(at - 1) / 2];
		at = (at - 1) / 2;
	}
	selection->heap[at] = candidate;
}

/* In place of the worst. */
static void heap_replace(struct selection *selection, struct candidate candidate)
{
	size_t at = 0;

	for (;;) {
		size_t child = 2 * at + 1;

		if (child >= selection->count)
			break;
		if (child + 1 < selection->count &&
		    selection->heap[child + 1].hit.number > selection->heap[child].hit.number)
			child++;
		if (selection->heap[child].hit.number <= candidate.hit.number)
			break;
		selection->heap[at] = selection->heap[child];
		at = child;
	}
	selection->heap[at] = candidate;
}

static void offer(struct selection *selection, struct candidate candidate)
{
	if (!is_wanted(selection, &candidate.hit))
		return;
	if (selection->count < selection->max)
		heap_up(selection, candidate);
	else
		heap_replace(selection, candidate);
}

/* ---- the memtable's part */

/* The first hit behind `after`; by halves where the numbers ascend, which they nearly always do. */
static uint32_t first_behind(const struct chunk *chunk, uint32_t count, uint64_t after)
{
	uint32_t low = 0;
	uint32_t high = count;

	if (atomic_load_explicit(&chunk->hits_mixed, memory_order_relaxed))
		return 0;
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (chunk->hits[middle].number <= after)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static void offer_chunk(struct selection *selection, struct chunk *chunk)
{
	uint32_t count = atomic_load_explicit(&chunk->hits_durable, memory_order_acquire);
	bool mixed = atomic_load_explicit(&chunk->hits_mixed, memory_order_relaxed);

	for (uint32_t i = first_behind(chunk, count, selection->after); i < count; i++) {
		const struct hit *hit = &chunk->hits[i];
		uint64_t worst = selection->count == selection->max ? selection->heap[0].hit.number : selection->upto;

		if (!mixed && hit->number > worst)
			break;
		offer(selection, (struct candidate){.hit = *hit, .read = &chunk->rows[hit->row - chunk->first_row]});
	}
}

static void offer_memory(struct selection *selection)
{
	const struct memtable_view *memory = &selection->from->view.memory;

	for (size_t i = 0; i < memory->count; i++) {
		struct chunk *chunk = atomic_load_explicit(&memory->generations[i]->first, memory_order_acquire);

		for (; chunk != NULL; chunk = atomic_load_explicit(&chunk->next, memory_order_acquire))
			offer_chunk(selection, chunk);
	}
}

/* ---- segments */

static int offer_segment(void *context, uint32_t segment, const struct hit *hit)
{
	offer(context, (struct candidate){.hit = *hit, .segment = segment});
	return 0;
}

static int select_hits(struct selection *selection)
{
	int r = 0;

	selection->count = 0;
	offer_memory(selection);
	for (size_t i = 0; i < selection->from->view.segment_count && r == 0; i++)
		r = hit_view_each(selection->from, (uint32_t)i, offer_segment, selection);
	return r;
}

/* ---- their reads */

static int by_place(const void *a, const void *b)
{
	const struct candidate *x = a;
	const struct candidate *y = b;

	if (x->segment != y->segment)
		return x->segment < y->segment ? -1 : 1;
	return x->hit.row < y->hit.row ? -1 : x->hit.row > y->hit.row;
}

static int by_number(const void *a, const void *b)
{
	const struct hit_found *x = a;
	const struct hit_found *y = b;

	return x->hit.number < y->hit.number ? -1 : x->hit.number > y->hit.number;
}

/* Appends those whose reads are there and bear no mark. */
static int give(struct selection *selection, struct hit_found *found, size_t *count)
{
	size_t first = *count;

	qsort(selection->heap, selection->count, sizeof(*selection->heap), by_place);
	for (size_t i = 0; i < selection->count; i++) {
		const struct candidate *candidate = &selection->heap[i];
		const struct read *read = candidate->read;
		int r = read != NULL ? 0 : hit_view_row(selection->from, candidate->segment, candidate->hit.row, &read);

		if (r < 0)
			return r;
		if (r == HIT_VIEW_LOST || hit_view_hides(selection->from, read, false))
			continue;
		found[*count] = (struct hit_found){.hit = candidate->hit, .read = *read};
		found[(*count)++].hit.row = 0;
	}
	qsort(&found[first], *count - first, sizeof(*found), by_number);
	return 0;
}

static uint64_t worst_number(const struct selection *selection)
{
	return selection->count > 0 ? selection->heap[0].hit.number : 0;
}

/* Round after round, until so many are given or nothing is left to select. */
static int scan(struct selection *selection, size_t max, struct hit_found *found, size_t *ret_count)
{
	size_t count = 0;
	bool more = true;
	int r = 0;

	while (r == 0 && more && count < max) {
		uint64_t last;

		selection->max = max - count;
		r = select_hits(selection);
		last = worst_number(selection);
		more = selection->count == selection->max;
		if (r == 0)
			r = give(selection, found, &count);
		selection->after = last;
	}
	if (r == 0)
		*ret_count = count;
	else
		bytes_wipe(found, count * sizeof(*found));
	return r;
}

/* Hits of journals. */
static int scan_stored(struct store *store, struct selection *selection, size_t max, struct err *err,
		       struct hit_found *ret_found, size_t *ret_count)
{
	struct hit_view from;
	int r = hit_view_take(store, selection->after, selection->upto, err, &from);

	if (r < 0)
		return r;
	selection->from = &from;
	selection->heap = calloc(max, sizeof(*selection->heap));
	r = selection->heap != NULL ? scan(selection, max, ret_found, ret_count) : -ENOMEM;
	free(selection->heap);
	hit_view_release(&from);
	return r;
}

static int scan_source(struct store *store, struct selection *selection, size_t max, struct err *err,
		       struct hit_found *ret_found, size_t *ret_count)
{
	if (hit_source(selection->upto) == HIT_SOURCE_LATE)
		return late_hits_scan(store->late, selection->after, selection->upto, max, err, ret_found, ret_count);
	/* Otherwise only journals number hits. */
	if (max == 0 || selection->after >= selection->upto || hit_source(selection->upto) >= STORE_WORKERS_MAX) {
		*ret_count = 0;
		return 0;
	}
	return scan_stored(store, selection, max, err, ret_found, ret_count);
}

int hit_scan(struct store *store, unsigned source, uint64_t after, uint64_t upto, size_t max, struct err *err,
	     struct hit_found *ret_found, size_t *ret_count)
{
	uint64_t first = hit_number(source, 0);
	uint64_t last = hit_number(source, HIT_COUNT_MASK);
	struct selection selection = {.after = after > first ? after : first, .upto = upto < last ? upto : last};

	return scan_source(store, &selection, max, err, ret_found, ret_count);
}

int hit_find(struct store *store, uint64_t number, struct err *err, struct hit_found *ret_found)
{
	struct selection selection = {.after = number - 1, .upto = number, .repeats = true};
	size_t count = 0;
	int r;

	if ((number & HIT_COUNT_MASK) == 0)
		return -ENOENT;
	r = scan_source(store, &selection, 1, err, ret_found, &count);
	return r == 0 && count == 0 ? -ENOENT : r;
}
