#include "storage/search_source.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/clock.h"

#define CHECK_ROWS 8192 /* between two looks at clock and caller */
/* By scenes while they are fewer than one for … row pages of the segment; else reading all of it is no dearer. */
#define SCENE_SHARE 2
#define SCENES_MIN 1024

bool search_must_stop(struct search *search)
{
	const struct search_query *query = search->query;
	struct search_result *result = search->result;

	if (result->stop != SEARCH_DONE)
		return true;
	if (query->rows_max != 0 && result->rows_seen > query->rows_max)
		result->stop = SEARCH_ROWS_MAX;
	else if (query->bytes_max != 0 && search->scratch.bytes_read > query->bytes_max)
		result->stop = SEARCH_BYTES_MAX;
	if (result->stop == SEARCH_DONE && result->rows_seen - search->checked >= CHECK_ROWS) {
		search->checked = result->rows_seen;
		if (search->deadline_ns != 0 && clock_mono_ns() > search->deadline_ns)
			result->stop = SEARCH_MS_MAX;
		else if (query->cancelled != NULL && query->cancelled(query->context))
			result->stop = SEARCH_CANCELLED;
	}
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

static int compare_pages(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a;
	uint32_t y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

/* True when the scene lists gave every row page there is for these cameras and this window. */
static bool plan_scenes(struct search_source *source, struct search *search)
{
	const struct search_query *query = search->query;
	const struct segment_summary *summary = segment_summary(source->segment);
	size_t max = summary->sections[SEGMENT_ROWS].page_count / SCENE_SHARE + SCENES_MIN;

	if (query->cameras == NULL || query->key_glob != NULL || query->not_read ||
	    query->camera_count > summary->sections[SEGMENT_ROWS].page_count)
		return false;
	for (size_t i = 0; i < query->camera_count; i++) {
		struct err err = {""};
		int r = segment_find_scenes(source->segment, &search->scratch, query->cameras[i], search->from_us,
					    search->to_us, max, &err, &source->list);

		if (r < 0) {
			if (r != -E2BIG)
				search_fault(search, &err);
			return false;
		}
	}
	if (source->list.count > 0)
		qsort(source->list.pages, source->list.count, sizeof(*source->list.pages), compare_pages);
	return true;
}

static uint64_t find_page(struct search_source *source, struct search *search, unsigned section)
{
	uint32_t page = 0;
	struct err err = {""};

	if (segment_find(source->segment, &search->scratch, section, search->key_low, &err, &page) < 0) {
		search_fault(search, &err);
		return 0; /* from the beginning: slower, never wrong */
	}
	return page;
}

static void plan_range(struct search_source *source, uint64_t first_row)
{
	source->plan = SEARCH_PLAN_RANGE;
	source->next_row = first_row;
	source->end_row = segment_summary(source->segment)->row_count;
}

int search_source_init_segment(struct search_source *source, struct search *search, struct segment *segment)
{
	*source = (struct search_source){.segment = segment};
	if (plan_scenes(source, search)) {
		source->plan = SEARCH_PLAN_LIST;
	} else if (search->key_range_only) {
		plan_range(source, find_page(source, search, SEGMENT_ROWS) * SEGMENT_PAGE_ROWS);
	} else {
		source->plan = SEARCH_PLAN_KEYS;
		source->key_page = (uint32_t)find_page(source, search, SEGMENT_KEYS);
		source->keys = malloc(sizeof(*source->keys));
		if (source->keys == NULL)
			return -ENOMEM;
		source->keys->count = 0;
	}
	return 0;
}

static void release_buffers(struct search_source *source)
{
	free(source->page);
	free(source->keys);
	free(source->list.pages);
	source->page = NULL;
	source->keys = NULL;
	source->list = (struct segment_page_list){0};
}

void search_source_fini(struct search_source *source, struct search *search)
{
	release_buffers(source);
	if (source->segment != NULL)
		view_segment_put(search->views, source->segment);
	source->segment = NULL;
}

/* Loads the next dictionary page. False at the end, or when the rows themselves have to be scanned from here on. */
static bool next_key_page(struct search_source *source, struct search *search)
{
	const struct segment_summary *summary = segment_summary(source->segment);
	struct err err = {""};
	uint8_t key[16];
	int r;

	if (source->key_page >= summary->sections[SEGMENT_KEYS].page_count || search_must_stop(search))
		return false;
	r = segment_page_key(source->segment, &search->scratch, SEGMENT_KEYS, source->key_page, &err, key);
	if (r == 0 && memcmp(key, search->key_high, 16) > 0)
		return false;
	if (r == 0)
		r = segment_read_keys(source->segment, &search->scratch, source->key_page, &err, source->keys);
	if (r < 0) {
		search_fault(search, &err);
		plan_range(source, source->end_row);
		return false;
	}
	source->key_page++;
	source->key_at = 0;
	search->result->rows_seen += source->keys->count;
	return true;
}

/* Index of the first match from `i` on, count when there is none. A whole page inside the range needs the glob only. */
static uint32_t find_match(const struct search *search, const struct segment_keys *keys, uint32_t i)
{
	const struct glob *glob = search->query->key_glob;

	if (!glob->masked || i >= keys->count || memcmp(keys->keys[i], search->key_low, 16) < 0 ||
	    memcmp(keys->keys[keys->count - 1], search->key_high, 16) > 0) {
		while (i < keys->count && !search_key_matches(search, keys->keys[i]))
			i++;
		return i;
	}
	while (i < keys->count && !glob_match_masked(glob, keys->keys[i]))
		i++;
	return i;
}

/* The next key that matches gives [next_row, end_row). */
static bool next_key(struct search_source *source, struct search *search)
{
	for (;;) {
		const struct segment_keys *keys = source->keys;
		uint32_t i = find_match(search, keys, source->key_at);

		if (i < keys->count) {
			source->key_at = i + 1;
			source->next_row = keys->first_row[i];
			source->end_row = keys->first_row[i + 1];
			return true;
		}
		if (keys->count > 0)
			source->end_row = keys->first_row[keys->count];
		if (!next_key_page(source, search))
			return source->plan == SEARCH_PLAN_RANGE && source->next_row < source->end_row;
	}
}

/* The list is sorted and names a page once for each scene in it. */
static bool next_page(struct search_source *source)
{
	const struct segment_page_list *list = &source->list;
	uint64_t row_count = segment_summary(source->segment)->row_count;
	uint32_t page;

	if (source->list_at == list->count)
		return false;
	page = list->pages[source->list_at];
	while (source->list_at < list->count && list->pages[source->list_at] == page)
		source->list_at++;
	source->next_row = (uint64_t)page * SEGMENT_PAGE_ROWS;
	source->end_row =
		source->next_row + SEGMENT_PAGE_ROWS < row_count ? source->next_row + SEGMENT_PAGE_ROWS : row_count;
	return true;
}

static bool next_interval(struct search_source *source, struct search *search)
{
	if (source->plan == SEARCH_PLAN_KEYS)
		return next_key(source, search);
	return source->plan == SEARCH_PLAN_LIST && next_page(source);
}

enum load { LOAD_DONE, LOAD_SKIPPED, LOAD_END };

/* Makes the page of next_row the current one; passes over a page that cannot be read. */
static enum load load_page(struct search_source *source, struct search *search)
{
	uint32_t page = (uint32_t)(source->next_row / SEGMENT_PAGE_ROWS);
	struct err err = {""};
	uint8_t key[16];

	if (search_must_stop(search))
		return LOAD_END;
	if (source->plan == SEARCH_PLAN_RANGE &&
	    segment_page_key(source->segment, &search->scratch, SEGMENT_ROWS, page, &err, key) == 0 &&
	    memcmp(key, search->key_high, 16) > 0)
		return LOAD_END;
	if (source->bad_page == (uint64_t)page + 1 ||
	    segment_read_rows(source->segment, &search->scratch, page, &err, source->page) < 0) {
		if (source->bad_page != (uint64_t)page + 1)
			search_fault(search, &err);
		source->bad_page = (uint64_t)page + 1;
		source->page->count = 0;
		source->next_row = ((uint64_t)page + 1) * SEGMENT_PAGE_ROWS;
		return LOAD_SKIPPED;
	}
	return LOAD_DONE;
}

static bool page_holds(const struct segment_rows *page, uint64_t row)
{
	return row >= page->first && row - page->first < page->count;
}

static int next_of_segment(struct search_source *source, struct search *search)
{
	if (source->page == NULL) {
		source->page = malloc(sizeof(*source->page));
		if (source->page == NULL)
			return -ENOMEM;
		source->page->first = 0;
		source->page->count = 0;
	}
	for (;;) {
		const struct read *row;

		if (source->next_row >= source->end_row && !next_interval(source, search))
			break;
		if (!page_holds(source->page, source->next_row)) {
			enum load load = load_page(source, search);

			if (load == LOAD_END)
				break;
			if (load == LOAD_SKIPPED)
				continue;
		}
		row = &source->page->rows[source->next_row++ - source->page->first];
		search->result->rows_seen++;
		if (source->plan == SEARCH_PLAN_RANGE && memcmp(row->key, search->key_high, 16) > 0)
			break;
		if (search_wants(search, row)) {
			source->row = row;
			return 0;
		}
	}
	release_buffers(source);
	source->list_at = 0;
	source->plan = SEARCH_PLAN_LIST; /* an empty one: whoever asks again is at the end */
	source->next_row = source->end_row = 0;
	return 0;
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
