#include "storage/sweep.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/array.h"
#include "appliance/base/bytes.h"
#include "storage/fetch.h"
#include "storage/mark_set.h"
#include "storage/segment_file.h"
#include "storage/segment_stream.h"
#include "storage/view.h"

struct sweeping {
	struct sweep *sweep;
	struct views *views;
	struct view view;
	struct mark_set *marks; /* taken before the view */
	struct fetch *fetch;
	struct segment_rows *page;
	struct read *reads; /* of the burst, SWEEP_BURST */
	size_t count;
	struct hit *hits; /* of the burst */
	size_t hit_count;
	size_t hit_room;
	struct hit *segment_hits; /* by row */
	size_t segment_hit_count;
	size_t segment_hit_room;
	struct err *err;
};

static_assert(SWEEP_BURST >= SEGMENT_PAGE_ROWS, "a page is a burst");

static const struct key_range all_keys = {.high = {[0 ... 15] = 0xff}};

static int give(struct sweeping *sweeping)
{
	struct sweep *sweep = sweeping->sweep;
	struct sweep_burst burst = {sweeping->reads, sweeping->count, sweeping->hits, sweeping->hit_count};
	int result = 0;

	if (sweeping->count > 0)
		result = sweep->burst(sweep->context, &burst);
	sweep->reads += sweeping->count;
	sweeping->count = 0;
	sweeping->hit_count = 0;
	return result;
}

static bool in_ranges(const struct sweep *sweep, const uint8_t key[16])
{
	return sweep->ranges == NULL || key_ranges_hold(sweep->ranges, sweep->range_count, key);
}

static bool wanted(const struct sweeping *sweeping, const struct read *read)
{
	const struct sweep *sweep = sweeping->sweep;
	int32_t day = read_day(read->capture_us);

	return read->kind == READ_KIND_VRM && day >= sweep->first_day && day <= sweep->last_day &&
	       (read->flags & sweep->flags) == sweep->flags && (read->flags & READ_FLAG_RESTRICTED) == 0 &&
	       read->receipt_us >= sweep->receipt_from_us && read->receipt_us < sweep->receipt_to_us &&
	       in_ranges(sweep, read->key) && mark_find(mark_set_day(sweeping->marks, day), read) == MARK_NONE;
}

static int hit_add(struct sweeping *sweeping, const struct hit *hit)
{
	struct hit *hits = array_grow(sweeping->hits, sweeping->hit_count, &sweeping->hit_room, sizeof(*hits));

	if (hits == NULL)
		return -ENOMEM;
	sweeping->hits = hits;
	hits[sweeping->hit_count] = *hit;
	hits[sweeping->hit_count++].row = (uint32_t)sweeping->count;
	return 0;
}

/*
 * Rows numbered from `first` on, and hits by row, of which *at is the first that none before has taken. Into the burst
 * goes what is wanted; a full one is given.
 */
static int take_rows(struct sweeping *sweeping, const struct read *rows, uint32_t count, uint32_t first,
		     const struct hit *hits, size_t hit_count, size_t *at)
{
	uint32_t list = sweeping->sweep->list;
	int result = 0;

	for (uint32_t i = 0; result == 0 && i < count; i++) {
		bool is_wanted = wanted(sweeping, &rows[i]);

		for (; *at < hit_count && hits[*at].row <= first + i; (*at)++)
			if (result == 0 && is_wanted && hits[*at].row == first + i &&
			    (list == 0 || hits[*at].list == list))
				result = hit_add(sweeping, &hits[*at]);
		if (result < 0 || !is_wanted)
			continue;
		sweeping->reads[sweeping->count++] = rows[i];
		if (sweeping->count == SWEEP_BURST)
			result = give(sweeping);
	}
	return result;
}

/* A row is not seen before its hits (memtable.c): rows are counted first. */
static int take_chunk(struct sweeping *sweeping, struct chunk *chunk)
{
	uint32_t rows = atomic_load_explicit(&chunk->rows_durable, memory_order_acquire);
	uint32_t hits = atomic_load_explicit(&chunk->hits_durable, memory_order_acquire);
	size_t at = 0;

	return take_rows(sweeping, chunk->rows, rows, chunk->first_row, chunk->hits, hits, &at);
}

static int take_memory(struct sweeping *sweeping)
{
	const struct memtable_view *memory = &sweeping->view.memory;
	size_t count;
	const struct read *corrected = mark_set_corrected(sweeping->marks, &count);
	size_t at = 0;
	int result = take_rows(sweeping, corrected, (uint32_t)count, 0, NULL, 0, &at);

	for (size_t i = 0; result == 0 && i < memory->count; i++) {
		struct chunk *chunk = atomic_load_explicit(&memory->generations[i]->first, memory_order_acquire);

		for (; result == 0 && chunk != NULL; chunk = atomic_load_explicit(&chunk->next, memory_order_acquire))
			result = take_chunk(sweeping, chunk);
	}
	return result == 0 ? give(sweeping) : result;
}

static void fault(const struct sweeping *sweeping, const struct err *err)
{
	if (sweeping->sweep->fault != NULL)
		sweeping->sweep->fault(sweeping->sweep->context, err->text);
}

static int hit_keep(void *context, const struct hit *hit)
{
	struct sweeping *sweeping = context;
	struct hit *hits;

	if (sweeping->sweep->list != 0 && hit->list != sweeping->sweep->list)
		return 0;
	hits = array_grow(sweeping->segment_hits, sweeping->segment_hit_count, &sweeping->segment_hit_room,
			  sizeof(*hits));
	if (hits == NULL)
		return -ENOMEM;
	sweeping->segment_hits = hits;
	hits[sweeping->segment_hit_count++] = *hit;
	return 0;
}

static int load_hits(struct sweeping *sweeping, struct segment *segment)
{
	struct segment_scratch scratch = {0};
	struct err err = {""};
	int result;

	sweeping->segment_hit_count = 0;
	result = segment_each_hit(segment, &scratch, &err, hit_keep, sweeping);
	segment_scratch_fini(&scratch);
	if (result == 0 || result == -ENOMEM)
		return result;
	fault(sweeping, &err); /* without them a hit may be told again, which is better than not at all */
	return 0;
}

/* Waits for the stream's next page. SEGMENT_STREAM_END, 0, or < 0: that page cannot be read, err says so. */
static int next_page(struct sweeping *sweeping, struct segment *segment, struct segment_stream *stream, struct err *err)
{
	struct segment_stream_page page;
	int result;

	segment_stream_go(stream);
	while (!segment_stream_ready(stream)) {
		segment_stream_urge(stream);
		fetch_wait(sweeping->fetch);
		segment_stream_go(stream);
	}
	result = segment_stream_next(stream, err, &page);
	if (result == 0)
		result =
			segment_decode_rows(segment, page.page, page.first, page.bytes, page.size, err, sweeping->page);
	sweeping->sweep->pages += result == 0;
	return result;
}

static int take_pages(struct sweeping *sweeping, struct segment *segment)
{
	const struct sweep *sweep = sweeping->sweep;
	bool signal = false;
	struct segment_stream *stream = segment_stream_new(sweeping->fetch, segment, SEGMENT_ROWS,
							   sweep->ranges != NULL ? sweep->ranges : &all_keys,
							   sweep->ranges != NULL ? sweep->range_count : 1, &signal);
	size_t at = 0;
	int result = stream != NULL ? load_hits(sweeping, segment) : -ENOMEM;

	while (result == 0) {
		struct err err = {""};

		result = next_page(sweeping, segment, stream, &err);
		if (result == SEGMENT_STREAM_END)
			break;
		if (result < 0) {
			fault(sweeping, &err);
			result = result == -ENOMEM ? result : 0;
			continue;
		}
		result = take_rows(sweeping, sweeping->page->rows, sweeping->page->count, sweeping->page->first,
				   sweeping->segment_hits, sweeping->segment_hit_count, &at);
	}
	if (result == SEGMENT_STREAM_END)
		result = give(sweeping);
	segment_stream_free(stream);
	return result;
}

static int take_segment(struct sweeping *sweeping, const struct catalog_segment *which)
{
	struct err err = {""};
	struct segment *segment;
	int result = view_segment_get(sweeping->views, which, &err, &segment);

	if (result == VIEW_PURGED)
		return 0;
	if (result < 0) {
		fault(sweeping, &err);
		return result == -ENOMEM ? result : 0;
	}
	result = take_pages(sweeping, segment);
	view_segment_put(sweeping->views, segment);
	return result;
}

static int run(struct sweeping *sweeping)
{
	int result = fetch_new(views_io(sweeping->views), &sweeping->fetch);

	sweeping->page = malloc(sizeof(*sweeping->page));
	sweeping->reads = calloc(SWEEP_BURST, sizeof(*sweeping->reads));
	if (result == 0 && (sweeping->page == NULL || sweeping->reads == NULL))
		result = -ENOMEM;
	if (result < 0)
		return err_set(sweeping->err, result, "sweep: %s", strerror(-result));
	if (sweeping->sweep->memory)
		result = take_memory(sweeping);
	for (size_t i = 0; sweeping->sweep->segments && result == 0 && i < sweeping->view.segment_count; i++)
		result = take_segment(sweeping, &sweeping->view.segments[i]);
	return result == -ENOMEM ? err_set(sweeping->err, result, "out of memory") : result;
}

static void fini(struct sweeping *sweeping)
{
	if (sweeping->fetch != NULL)
		fetch_free(sweeping->fetch);
	if (sweeping->page != NULL)
		bytes_wipe(sweeping->page, sizeof(*sweeping->page));
	if (sweeping->reads != NULL)
		bytes_wipe(sweeping->reads, SWEEP_BURST * sizeof(*sweeping->reads));
	free(sweeping->page);
	free(sweeping->reads);
	free(sweeping->hits);
	free(sweeping->segment_hits);
}

int sweep_run(struct views *views, struct sweep *sweep, struct err *err)
{
	struct sweeping sweeping = {.sweep = sweep, .views = views, .marks = views_marks_hold(views), .err = err};
	int result = view_take(views, sweep->first_day, sweep->last_day, &sweeping.view);

	if (result < 0) {
		mark_set_release(sweeping.marks);
		return err_set(err, result, "a view of the store: %s", strerror(-result));
	}
	result = run(&sweeping);
	fini(&sweeping);
	view_release(&sweeping.view);
	mark_set_release(sweeping.marks);
	return result;
}
