#include "storage/segment_sources.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "storage/column_code.h"
#include "appliance/base/radix.h"
#include "storage/segment_format.h"
#include "storage/varint.h"

#define SLOTS 1024 /* of the encoder's hash table: twice the rows of a page */
static_assert(SLOTS >= 2 * SEGMENT_PAGE_ROWS, "the hash table never fills");
#define STEPS 256 /* of the prediction's index over the cameras */

struct source {
	uint32_t feed;
	uint32_t epoch;
	uint32_t first_camera; /* the smallest one that sent through it in this page */
};

struct sources {
	unsigned count;
	struct source list[SEGMENT_PAGE_ROWS];
	/* Where the source after this one begins; behind the last one, where no camera is. */
	uint64_t next_camera[SEGMENT_PAGE_ROWS];
	/* Index: where to begin for cameras first + (step << shift). */
	unsigned shift;
	uint16_t begin[STEPS];
};

/* Over a list sorted by first_camera. */
static void index_make(struct sources *sources)
{
	uint32_t first = sources->list[0].first_camera;
	uint32_t span = sources->list[sources->count - 1].first_camera - first;
	unsigned at = 0;

	for (unsigned i = 0; i + 1 < sources->count; i++)
		sources->next_camera[i] = sources->list[i + 1].first_camera;
	sources->next_camera[sources->count - 1] = UINT64_MAX;
	sources->shift = 0;
	while (span >> sources->shift >= STEPS)
		sources->shift++;
	for (uint64_t step = 0; step < STEPS; step++) {
		while (sources->next_camera[at] <= first + (step << sources->shift))
			at++;
		sources->begin[step] = (uint16_t)at;
	}
}

static inline unsigned predict(const struct sources *sources, uint32_t camera)
{
	uint32_t first = sources->list[0].first_camera;
	uint32_t step = camera < first ? 0 : (camera - first) >> sources->shift;
	unsigned at = sources->begin[step < STEPS ? step : STEPS - 1];

	/* Mostly one boundary at most lies in a step: added without a branch, which would often be mispredicted. */
	at += sources->next_camera[at] <= camera;
	while (sources->next_camera[at] <= camera)
		at++;
	return at;
}

static unsigned hash_of(const struct read *row)
{
	return (unsigned)(((uint64_t)row->feed << 32 | row->epoch) * UINT64_C(0x9e3779b97f4a7c15) >> 54);
}

/* The row's source, made when it is new. slots: numbers in the list + 1. */
static unsigned find_source(struct sources *sources, uint16_t slots[SLOTS], const struct read *row)
{
	unsigned slot = hash_of(row);

	for (; slots[slot] != 0; slot = (slot + 1) % SLOTS) {
		struct source *source = &sources->list[slots[slot] - 1];

		if (source->feed != row->feed || source->epoch != row->epoch)
			continue;
		if (row->camera < source->first_camera)
			source->first_camera = row->camera;
		return slots[slot] - 1;
	}
	sources->list[sources->count] = (struct source){row->feed, row->epoch, row->camera};
	slots[slot] = (uint16_t)++sources->count;
	return sources->count - 1;
}

/* Sorts the list by first camera; place[i] is where the one found i-th went. */
static void sort_sources(struct sources *sources, uint16_t *place)
{
	struct source found[SEGMENT_PAGE_ROWS];
	uint64_t order[SEGMENT_PAGE_ROWS];

	memcpy(found, sources->list, sources->count * sizeof(found[0]));
	for (unsigned i = 0; i < sources->count; i++)
		order[i] = (uint64_t)found[i].first_camera << 16 | i;
	radix_sort_in_place(order, sources->count);
	for (unsigned i = 0; i < sources->count; i++) {
		sources->list[i] = found[order[i] & UINT16_MAX];
		place[order[i] & UINT16_MAX] = (uint16_t)i;
	}
}

static uint8_t *put_table(const struct sources *sources, uint8_t *at)
{
	uint64_t feeds[SEGMENT_PAGE_ROWS], epochs[SEGMENT_PAGE_ROWS], cameras[SEGMENT_PAGE_ROWS];
	struct source last = {0};

	for (unsigned i = 0; i < sources->count; i++) {
		const struct source *source = &sources->list[i];

		feeds[i] = varint_fold((uint64_t)source->feed - last.feed);
		epochs[i] = varint_fold((uint64_t)source->epoch - last.epoch);
		cameras[i] = source->first_camera - last.first_camera;
		last = *source;
	}
	at = varint_put(at, sources->count);
	at = column_code_put(feeds, sources->count, at);
	at = column_code_put(epochs, sources->count, at);
	return column_code_put(cameras, sources->count, at);
}

uint8_t *segment_sources_put(const struct read *rows, unsigned count, uint8_t *at)
{
	uint64_t values[SEGMENT_PAGE_ROWS];
	uint16_t found[SEGMENT_PAGE_ROWS];
	uint16_t place[SEGMENT_PAGE_ROWS]; /* in the sorted list, of the one found so-many-th */
	uint16_t slots[SLOTS] = {0};
	struct sources sources;

	sources.count = 0;
	for (unsigned i = 0; i < count; i++)
		found[i] = (uint16_t)find_source(&sources, slots, &rows[i]);
	sort_sources(&sources, place);
	index_make(&sources);
	for (unsigned i = 0; i < count; i++) {
		unsigned guess = predict(&sources, rows[i].camera);
		unsigned is = place[found[i]];

		values[i] = is >= guess ? is - guess : is + sources.count - guess;
	}
	at = put_table(&sources, at);
	return column_code_put(values, count, at);
}

static int get_table(struct segment_cursor *cursor, unsigned rows, struct sources *ret_sources)
{
	uint64_t feeds[SEGMENT_PAGE_ROWS], epochs[SEGMENT_PAGE_ROWS], cameras[SEGMENT_PAGE_ROWS];
	struct source last = {0};
	uint64_t count;

	if (!varint_get(cursor, &count) || count == 0 || count > rows ||
	    column_code_get_all(cursor, (unsigned)count, feeds) < 0 ||
	    column_code_get_all(cursor, (unsigned)count, epochs) < 0 ||
	    column_code_get_all(cursor, (unsigned)count, cameras) < 0)
		return -EBADMSG;
	ret_sources->count = (unsigned)count;
	for (unsigned i = 0; i < count; i++) {
		if (cameras[i] > UINT32_MAX - last.first_camera)
			return -EBADMSG;
		last.feed += (uint32_t)varint_unfold(feeds[i]);
		last.epoch += (uint32_t)varint_unfold(epochs[i]);
		last.first_camera += (uint32_t)cameras[i];
		ret_sources->list[i] = last;
	}
	index_make(ret_sources);
	return 0;
}

int segment_sources_get(struct segment_cursor *cursor, unsigned count, struct read *rows)
{
	uint64_t values[SEGMENT_PAGE_ROWS];
	struct sources sources;
	int r = get_table(cursor, count, &sources);

	if (r < 0 || column_code_get_all(cursor, count, values) < 0)
		return -EBADMSG;
	for (unsigned i = 0; i < count; i++) {
		uint64_t at = values[i];

		if (at >= sources.count)
			return -EBADMSG;
		at += predict(&sources, rows[i].camera);
		at -= at >= sources.count ? sources.count : 0;
		rows[i].feed = sources.list[at].feed;
		rows[i].epoch = sources.list[at].epoch;
	}
	return 0;
}
