/*
 * A source's way: a finder, where the query needs one, adds spans of rows; the stream is asked for their pages; pages
 * are decoded when their turn comes, and of their rows those in the span are looked at. A query for ranges of keys has
 * no finder: its stream finds the pages by itself.
 *
 * Everything up to the reading of pages happens ahead, while other sources are being looked at. Faults met ahead are
 * told only when their turn comes: a search that is over before has not missed anything.
 */
#include "storage/search_source.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/clock.h"
#include "storage/search_ahead.h"
#include "storage/segment_file.h"

#define CHECK_ROWS 8192 /* between two looks at clock and caller */
#define PROGRESS_PARTS 1000
#define PUMP_PAGES 8 /* taken between two looks at what the disk has brought for others */

static void look_at_budgets(struct search *search)
{
	const struct search_query *query = search->query;
	struct search_result *result = search->result;

	if (query->rows_max != 0 && result->rows_seen > query->rows_max)
		result->stop = SEARCH_ROWS_MAX;
	else if (query->bytes_max != 0 && search->fetch != NULL && fetch_bytes_read(search->fetch) > query->bytes_max)
		result->stop = SEARCH_BYTES_MAX;
}

/* How many rows of its segment a source has gone past. */
static uint64_t rows_passed(const struct search_source *source)
{
	const struct search_spans *spans = &source->spans;

	if (source->segment == NULL)
		return 0;
	if (source->stream == NULL)
		return segment_summary(source->segment)->row_count;
	if (source->by_spans)
		return search_spans_count(spans) > 0 ? spans->all[spans->first].first : source->finder.row;
	return source->passed;
}

void search_tell(struct search *search, uint64_t least)
{
	const struct search_query *query = search->query;
	uint64_t done = search->reads_done;

	if (query->progress == NULL)
		return;
	for (size_t i = 0; i < search->day_source_count; i++)
		done += rows_passed(search->day_sources[i]);
	if (done <= search->reads_told || done - search->reads_told < least)
		return;
	search->reads_told = done;
	query->progress(query->context, done, search->reads);
}

bool search_must_stop_now(struct search *search)
{
	const struct search_query *query = search->query;
	struct search_result *result = search->result;

	if (result->stop == SEARCH_DONE)
		look_at_budgets(search);
	if (result->stop != SEARCH_DONE)
		return true;
	search->checked = result->rows_seen;
	search_tell(search, search->reads / PROGRESS_PARTS + 1);
	if (search->deadline_ns != 0 && clock_mono_ns() > search->deadline_ns)
		result->stop = SEARCH_MS_MAX;
	else if (query->cancelled != NULL && query->cancelled(query->context))
		result->stop = SEARCH_CANCELLED;
	return result->stop != SEARCH_DONE;
}

bool search_must_stop(struct search *search)
{
	struct search_result *result = search->result;

	if (result->stop == SEARCH_DONE && result->rows_seen - search->checked >= CHECK_ROWS)
		return search_must_stop_now(search);
	if (result->stop == SEARCH_DONE)
		look_at_budgets(search);
	return result->stop != SEARCH_DONE;
}

void search_fault(struct search *search, const struct err *err)
{
	struct search_result *result = search->result;

	if (result->faults < SEARCH_FAULTS_MAX)
		result->fault[result->faults].err = *err;
	result->faults++;
	result->incomplete = true;
}

void search_source_init_memory(struct search_source *source, const struct read *const *rows, size_t count)
{
	*source = (struct search_source){.rows = rows, .row_count = count};
}

static bool by_scenes(const struct search *search, const struct segment_summary *summary)
{
	const struct search_query *query = search->query;

	return query->cameras != NULL && !search->keys.keyed &&
	       query->camera_count <= summary->sections[SEGMENT_ROWS].page_count;
}

int search_source_init_segment(struct search_source *source, struct search *search, struct segment *segment)
{
	const struct key_range *ranges = search->keys.ranges;
	int r = 0;

	*source = (struct search_source){.segment = segment, .by_spans = true};
	if (by_scenes(search, segment_summary(segment)))
		r = search_finder_init_scenes(&source->finder, search, segment, &source->woken);
	else if (!search->keys.range_only && search->keys.has_filter)
		r = search_finder_init_keys(&source->finder, search, segment, &source->woken);
	else
		source->by_spans = false;
	if (r < 0)
		return r;
	source->stream = segment_stream_new(search->fetch, segment, SEGMENT_ROWS, source->by_spans ? NULL : ranges,
					    search->keys.range_count, &source->woken);
	return source->stream == NULL ? -ENOMEM : search_source_go(source, search);
}

static void release(struct search_source *source)
{
	search_finder_fini(&source->finder);
	source->stream = segment_stream_free(source->stream);
	free(source->spans.all);
	free(source->page);
	free(source->rest);
	source->spans = (struct search_spans){0};
	source->page = NULL;
	source->rest = NULL;
	source->at = source->end = 0;
}

void search_source_fini(struct search_source *source, struct search *search)
{
	release(source);
	if (source->segment != NULL)
		view_segment_put(search->views, source->segment);
	source->segment = NULL;
}

/* Asks for the pages of spans, as many as the stream takes. */
static void feed(struct search_source *source)
{
	const struct search_spans *spans = &source->spans;

	for (; source->fed < search_spans_count(spans); source->fed++) {
		const struct segment_row_range *span = &spans->all[spans->first + source->fed];

		if (source->fed_row < span->first)
			source->fed_row = span->first / SEGMENT_PAGE_ROWS * SEGMENT_PAGE_ROWS;
		for (; source->fed_row < span->end; source->fed_row += SEGMENT_PAGE_ROWS)
			if (!segment_stream_want(source->stream, (uint32_t)(source->fed_row / SEGMENT_PAGE_ROWS)))
				return;
	}
}

int search_source_go(struct search_source *source, struct search *search)
{
	int r;

	source->woken = false;
	if (source->stream == NULL)
		return 0;
	r = search_finder_go(&source->finder, search, source->segment, &source->spans);
	if (source->by_spans)
		feed(source);
	segment_stream_go(source->stream);
	return r;
}

/* What is waited for is there: a span or the certainty that none will come, or else the stream's next page. */
static bool has_come(const struct search_source *source, bool span)
{
	if (span)
		return search_spans_count(&source->spans) > 0 || source->finder.stream == NULL;
	return segment_stream_ready(source->stream);
}

/* Lets every source go on until it has come. 0; 1 the search must stop; -ENOMEM. */
static int wait_for(struct search_source *source, struct search *search, bool span)
{
	if (has_come(source, span) && ++search->pages % PUMP_PAGES != 0)
		return 0;
	for (;;) {
		int r = source->woken ? search_source_go(source, search) : 0;

		if (r == 0)
			r = search_ahead_go(search->ahead, search);
		if (r < 0 || has_come(source, span))
			return r;
		if (search_must_stop_now(search))
			return 1;
		segment_stream_urge(span ? source->finder.stream : source->stream);
		fetch_wait(search->fetch);
	}
}

/* Looks into the stream's next page: its rows are at … end − 1. 0; 1 none is left or must stop; -ENOMEM. */
static int next_page(struct search_source *source, struct search *search)
{
	struct segment_stream_page page;
	struct err err = {""};
	int r;

	if (source->page == NULL)
		source->page = malloc(sizeof(*source->page));
	if (source->page == NULL)
		return -ENOMEM;
	for (;;) {
		source->page->count = 0;
		segment_stream_go(source->stream);
		r = wait_for(source, search, false);
		if (r != 0)
			return r;
		r = segment_stream_next(source->stream, &err, &page);
		if (r == SEGMENT_STREAM_END)
			return 1;
		if (r == 0)
			r = segment_decode_rows(source->segment, page.page, page.first, page.bytes, page.size, &err,
						source->page);
		if (r == 0) {
			source->at = 0;
			source->end = source->page->count;
			source->passed = source->page->first;
			return 0;
		}
		source->page->count = 0;
		search_fault(search, &err);
	}
}

/* The finder gave up: tells why, and goes through the rows themselves from there on. 0, 1 as next_page, -ENOMEM. */
static int go_on_without_finder(struct search_source *source, struct search *search)
{
	const struct key_plan *keys = &search->keys;
	size_t count = 0;

	search_fault(search, &source->finder.err);
	source->finder.failed = false;
	source->by_spans = false;
	source->rest = calloc(keys->range_count + 1, sizeof(*source->rest));
	if (source->rest == NULL)
		return -ENOMEM;
	for (unsigned i = 0; i < keys->range_count; i++) {
		if (memcmp(keys->ranges[i].high, source->finder.from_key, 16) < 0)
			continue;
		source->rest[count] = keys->ranges[i];
		if (memcmp(source->rest[count].low, source->finder.from_key, 16) < 0)
			memcpy(source->rest[count].low, source->finder.from_key, 16);
		count++;
	}
	segment_stream_free(source->stream);
	source->stream =
		segment_stream_new(search->fetch, source->segment, SEGMENT_ROWS, source->rest, count, &source->woken);
	return source->stream == NULL ? -ENOMEM : next_page(source, search);
}

/* Makes sure that a span is there. 0; 1 none is left or the search must stop; -ENOMEM. */
static int next_span(struct search_source *source, struct search *search)
{
	int r = 0;

	if (search_spans_count(&source->spans) > 0)
		return 0;
	source->woken = true; /* there is room for spans again */
	r = wait_for(source, search, true);
	if (r != 0)
		return r;
	return search_spans_count(&source->spans) > 0 ? 0 : 1;
}

static void drop_span(struct search_source *source)
{
	source->spans.first++;
	if (source->fed > 0)
		source->fed--;
}

/* Makes the rows of the next span, as far as they stand in one page, at … end − 1. 0, 1, -ENOMEM. */
static int next_of_span(struct search_source *source, struct search *search)
{
	for (;;) {
		struct segment_row_range *span;
		uint32_t first;
		int r = next_span(source, search);

		if (r != 0)
			return r;
		span = &source->spans.all[source->spans.first];
		if (source->page == NULL || source->page->count == 0 ||
		    span->first >= source->page->first + source->page->count) {
			feed(source);
			r = next_page(source, search);
			source->at = source->end = 0;
			if (r < 0)
				return r;
			if (r == 1 && search_must_stop(search))
				return 1;
			if (r == 1) { /* no page of it can be read */
				drop_span(source);
				continue;
			}
			span = &source->spans.all[source->spans.first];
		}
		first = source->page->first;
		if (span->first < first)
			span->first = first; /* what stood before could not be read */
		if (span->first >= span->end) {
			drop_span(source);
			continue;
		}
		source->at = span->first - first;
		source->end = span->end - first < source->page->count ? span->end - first : source->page->count;
		span->first = first + source->end;
		if (span->first == span->end)
			drop_span(source);
		if (source->at < source->end)
			return 0;
	}
}

static int next_rows(struct search_source *source, struct search *search)
{
	int r;

	if (source->stream == NULL || search_must_stop(search))
		return 1;
	if (!source->by_spans)
		return next_page(source, search);
	r = next_of_span(source, search);
	if (r == 1 && source->finder.failed && !search_must_stop(search))
		return go_on_without_finder(source, search);
	return r;
}

static int next_of_segment(struct search_source *source, struct search *search)
{
	for (;;) {
		int r;

		while (source->at < source->end) {
			const struct read *row = &source->page->rows[source->at++];

			search->result->rows_seen++;
			if (search_wants(search, row)) {
				source->row = row;
				return 0;
			}
		}
		r = next_rows(source, search);
		if (r < 0)
			return r;
		if (r == 1) {
			release(source);
			return 0;
		}
	}
}

int search_source_next(struct search_source *source, struct search *search)
{
	source->row = NULL;
	if (source->segment != NULL)
		return next_of_segment(source, search);
	while (source->row_at < source->row_count) {
		const struct read *row = source->rows[source->row_at++];

		if (search_wants(search, row)) {
			source->row = row;
			break;
		}
	}
	return 0;
}
