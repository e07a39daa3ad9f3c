#include "storage/search_finder.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/bytes.h"
#include "storage/search_source.h"
#include "storage/segment_file.h"

#define UNIT_US (SEGMENT_SCENE_UNIT_S * INT64_C(1000000))
#define UNIT_LAST ((uint32_t)(DAY_US / UNIT_US) - 1)

int search_finder_init_keys(struct search_finder *finder, struct search *search, struct segment *segment, bool *signal)
{
	*finder = (struct search_finder){.stream = segment_stream_new(search->fetch, segment, SEGMENT_KEYS,
								      search->keys.ranges, search->keys.range_count,
								      signal)};
	return finder->stream == NULL ? -ENOMEM : 0;
}

/* The window's first and last unit within the day. */
static void window_units(const struct search *search, int32_t day, uint32_t *ret_first, uint32_t *ret_last)
{
	int64_t midnight = (int64_t)day * DAY_US;

	*ret_first = search->from_us <= midnight ? 0 : (uint32_t)((search->from_us - midnight) / UNIT_US);
	*ret_last = search->to_us - 1 >= midnight + DAY_US ? UNIT_LAST
							   : (uint32_t)((search->to_us - 1 - midnight) / UNIT_US);
}

int search_finder_init_scenes(struct search_finder *finder, struct search *search, struct segment *segment,
			      bool *signal)
{
	const struct search_query *query = search->query;
	const struct segment_summary *summary = segment_summary(segment);
	uint32_t first, last;

	*finder = (struct search_finder){.stream = NULL};
	finder->scenes = calloc(query->camera_count + 1, sizeof(*finder->scenes));
	finder->pages = calloc(summary->sections[SEGMENT_ROWS].page_count / 64 + 1, sizeof(*finder->pages));
	if (finder->scenes == NULL || finder->pages == NULL)
		return -ENOMEM;
	window_units(search, summary->day, &first, &last);
	for (size_t i = 0; i < query->camera_count; i++) {
		struct key_range *range = &finder->scenes[i];

		memset(range->high, 0xff, sizeof(range->high));
		be32_put(range->low, query->cameras[i]);
		be32_put(range->low + 4, first);
		be32_put(range->high, query->cameras[i]);
		be32_put(range->high + 4, last);
	}
	finder->stream =
		segment_stream_new(search->fetch, segment, SEGMENT_SCENES, finder->scenes, query->camera_count, signal);
	return finder->stream == NULL ? -ENOMEM : 0;
}

static void stop(struct search_finder *finder)
{
	finder->stream = segment_stream_free(finder->stream);
	free(finder->scenes);
	free(finder->pages);
	finder->scenes = NULL;
	finder->pages = NULL;
}

void search_finder_fini(struct search_finder *finder)
{
	stop(finder);
}

static int spans_reserve(struct search_spans *spans, size_t count)
{
	struct segment_row_range *all;
	size_t room;

	if (spans->first > 0) {
		memmove(spans->all, spans->all + spans->first, search_spans_count(spans) * sizeof(*spans->all));
		spans->end -= spans->first;
		spans->first = 0;
	}
	if (spans->end + count <= spans->room)
		return 0;
	room = spans->end + count + spans->room / 2;
	all = realloc(spans->all, room * sizeof(*all));
	if (all == NULL)
		return -ENOMEM;
	spans->all = all;
	spans->room = room;
	return 0;
}

static bool key_wanted(const void *search, const uint8_t key[16])
{
	return search_key_matches(search, key);
}

static int scan_keys(struct search_finder *finder, struct search *search, const struct segment *segment,
		     const struct segment_stream_page *page, struct search_spans *spans)
{
	struct segment_keys_query query = {.glob = &search->keys.filter,
					   .wanted = search->query->folded_glob != NULL ? key_wanted : NULL,
					   .context = search};
	struct segment_row_range ranges[SEGMENT_PAGE_KEYS];
	uint32_t count, keys;

	if (segment_keys_scan(page->bytes, page->size, &query, ranges, &count, &keys) < 0 ||
	    (count > 0 && ranges[count - 1].end > segment_summary(segment)->row_count))
		return segment_damaged(segment, &finder->err, SEGMENT_KEYS, page->page, "makes no sense");
	search->result->rows_seen += keys;
	finder->row = page->first;
	if (count == 0)
		return 0;
	if (spans_reserve(spans, count) < 0)
		return -ENOMEM;
	memcpy(spans->all + spans->end, ranges, count * sizeof(*ranges));
	spans->end += count;
	return 0;
}

static bool scene_wanted(const struct search *search, const struct segment_scene *scene, uint32_t first, uint32_t last)
{
	return scene->unit >= first && scene->unit <= last && search_camera_listed(search->query, scene->camera);
}

static int scan_scenes(struct search_finder *finder, struct search *search, const struct segment *segment,
		       const struct segment_stream_page *page, struct err *err)
{
	struct segment_scenes scenes;
	uint32_t first, last;
	int r = segment_decode_scenes(segment, page->page, page->bytes, page->size, err, &scenes);

	if (r < 0)
		return r;
	window_units(search, segment_summary(segment)->day, &first, &last);
	for (uint32_t i = 0; i < scenes.count; i++)
		if (scene_wanted(search, &scenes.scenes[i], first, last))
			finder->pages[scenes.scenes[i].page / 64] |= UINT64_C(1) << (scenes.scenes[i].page % 64);
	return 0;
}

/* All pages are known: their rows, neighbours together. */
static int span_pages(const struct search_finder *finder, const struct segment *segment, struct search_spans *spans)
{
	uint64_t row_count = segment_summary(segment)->row_count;
	uint32_t page_count = segment_summary(segment)->sections[SEGMENT_ROWS].page_count;

	for (uint32_t page = 0; page < page_count; page++) {
		uint64_t first = (uint64_t)page * SEGMENT_PAGE_ROWS;
		uint64_t end = first + SEGMENT_PAGE_ROWS < row_count ? first + SEGMENT_PAGE_ROWS : row_count;

		if (!(finder->pages[page / 64] >> (page % 64) & 1))
			continue;
		if (search_spans_count(spans) > 0 && spans->all[spans->end - 1].end == first) {
			spans->all[spans->end - 1].end = (uint32_t)end;
			continue;
		}
		if (spans->end == spans->room && spans_reserve(spans, 64) < 0)
			return -ENOMEM;
		spans->all[spans->end++] = (struct segment_row_range){(uint32_t)first, (uint32_t)end};
	}
	return 0;
}

/* What was found by scenes is not all and not in order, so it is given up: the rows themselves have to be read. */
static void fail(struct search_finder *finder, const struct segment_stream_page *page)
{
	finder->failed = true;
	if (finder->scenes == NULL)
		memcpy(finder->from_key, page->key, sizeof(finder->from_key));
	stop(finder);
}

int search_finder_go(struct search_finder *finder, struct search *search, struct segment *segment,
		     struct search_spans *spans)
{
	while (finder->stream != NULL) {
		struct segment_stream_page page;
		int r;

		segment_stream_go(finder->stream);
		if (!segment_stream_ready(finder->stream) || search_spans_count(spans) >= SEARCH_SPANS_MAX ||
		    search_must_stop(search))
			return 0;
		r = segment_stream_next(finder->stream, &finder->err, &page);
		if (r == SEGMENT_STREAM_END) {
			r = finder->scenes != NULL ? span_pages(finder, segment, spans) : 0;
			stop(finder);
			return r;
		}
		if (r == 0)
			r = finder->scenes != NULL ? scan_scenes(finder, search, segment, &page, &finder->err)
						   : scan_keys(finder, search, segment, &page, spans);
		if (r == -ENOMEM)
			return r;
		if (r < 0)
			fail(finder, &page);
	}
	return 0;
}
