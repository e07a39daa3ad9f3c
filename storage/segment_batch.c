#include <errno.h>
#include <stdlib.h>

#include "storage/mark_set.h"
#include "appliance/base/array.h"
#include "storage/memtable.h"
#include "storage/segment_write.h"

/* Rows of a generation by day, before the arrays are laid out. */
struct grouping {
	const struct mark_set *marks;
	struct segment_batch *days; /* ascending */
	size_t count;
	size_t room;
	size_t last; /* reads come almost in order: the day found last is the best guess */
};

static size_t rows_of(const struct chunk *chunk)
{
	return atomic_load_explicit(&chunk->rows_durable, memory_order_acquire);
}

static const struct chunk *next_of(const struct chunk *chunk)
{
	return atomic_load_explicit(&((struct chunk *)chunk)->next, memory_order_acquire);
}

static struct segment_batch *insert_day(struct grouping *grouping, size_t at, int32_t day)
{
	void *grown = array_grow(grouping->days, grouping->count, &grouping->room, sizeof(*grouping->days));

	if (grown == NULL)
		return NULL;
	grouping->days = grown;
	for (size_t i = grouping->count; i > at; i--)
		grouping->days[i] = grouping->days[i - 1];
	grouping->days[at] = (struct segment_batch){.day = day};
	grouping->count++;
	grouping->last = at;
	return &grouping->days[at];
}

/* Finds the day, or makes it. NULL: out of memory. */
static struct segment_batch *find_day(struct grouping *grouping, int32_t day)
{
	size_t low = 0;
	size_t high = grouping->count;

	if (high > 0 && grouping->days[grouping->last].day == day)
		return &grouping->days[grouping->last];
	while (low < high) {
		size_t middle = (low + high) / 2;

		if (grouping->days[middle].day < day)
			low = middle + 1;
		else
			high = middle;
	}
	if (low < grouping->count && grouping->days[low].day == day) {
		grouping->last = low;
		return &grouping->days[low];
	}
	return insert_day(grouping, low, day);
}

/* What is erased, or replaced by its correction, comes into no segment. */
static bool left_out(const struct grouping *grouping, const struct read *row)
{
	return mark_drops(mark_find(mark_set_day(grouping->marks, read_day(row->capture_us)), row));
}

static int count_days(const struct generation *generation, struct grouping *grouping, size_t *ret_rows,
		      size_t *ret_hits, size_t *ret_erased)
{
	const struct chunk *chunk =
		atomic_load_explicit(&((struct generation *)generation)->first, memory_order_acquire);
	size_t rows = 0;
	size_t hits = 0;
	size_t erased = 0;

	for (; chunk != NULL; chunk = next_of(chunk)) {
		size_t count = rows_of(chunk);

		for (size_t i = 0; i < count; i++) {
			struct segment_batch *batch;

			if (left_out(grouping, &chunk->rows[i])) {
				erased++;
				continue;
			}
			batch = find_day(grouping, read_day(chunk->rows[i].capture_us));
			if (batch == NULL)
				return -ENOMEM;
			batch->row_count++;
		}
		rows = chunk->first_row + count;
		hits += atomic_load_explicit(&((struct chunk *)chunk)->hits_durable, memory_order_acquire);
	}
	*ret_rows = rows;
	*ret_hits = hits;
	*ret_erased = erased;
	return 0;
}

/* Where each row went: its day's position and its index there. */
#define PLACE_LEFT_OUT UINT32_MAX
struct place {
	uint32_t day;
	uint32_t index;
};

static void place_rows(const struct generation *generation, struct grouping *grouping, struct place *places)
{
	const struct chunk *chunk =
		atomic_load_explicit(&((struct generation *)generation)->first, memory_order_acquire);

	for (; chunk != NULL; chunk = next_of(chunk)) {
		size_t count = rows_of(chunk);

		for (size_t i = 0; i < count; i++) {
			struct segment_batch *batch;

			if (left_out(grouping, &chunk->rows[i])) {
				places[chunk->first_row + i].day = PLACE_LEFT_OUT;
				continue;
			}
			batch = find_day(grouping, read_day(chunk->rows[i].capture_us));
			places[chunk->first_row + i] =
				(struct place){(uint32_t)(batch - grouping->days), (uint32_t)batch->row_count};
			batch->rows[batch->row_count++] = &chunk->rows[i];
		}
	}
}

/* Two passes over the hits: how many each day has, then each into its day. */
static void place_hits(const struct generation *generation, struct grouping *grouping, const struct place *places,
		       size_t rows, struct hit *hits)
{
	for (unsigned pass = 0; pass < 2; pass++) {
		const struct chunk *chunk =
			atomic_load_explicit(&((struct generation *)generation)->first, memory_order_acquire);

		for (; chunk != NULL; chunk = next_of(chunk)) {
			size_t count =
				atomic_load_explicit(&((struct chunk *)chunk)->hits_durable, memory_order_acquire);

			for (size_t i = 0; i < count; i++) {
				struct segment_batch *batch;
				struct hit hit = chunk->hits[i];

				if (hit.row >= rows || places[hit.row].day == PLACE_LEFT_OUT)
					continue;
				batch = &grouping->days[places[hit.row].day];
				hit.row = places[hit.row].index;
				if (pass == 1)
					batch->hits[batch->hit_count] = hit;
				batch->hit_count++;
			}
		}
		for (size_t d = 0; pass == 0 && d < grouping->count; d++) {
			grouping->days[d].hits = hits;
			hits += grouping->days[d].hit_count;
			grouping->days[d].hit_count = 0;
		}
	}
}

int segment_batches_init(struct segment_batches *ret_batches, const struct generation *generation,
			 const struct mark_set *marks)
{
	struct grouping grouping = {.marks = marks};
	const struct read **row_space = NULL;
	struct hit *hit_space = NULL;
	struct place *places = NULL;
	size_t rows, hits, erased;
	const struct read **at;

	if (count_days(generation, &grouping, &rows, &hits, &erased) < 0)
		goto failed;
	row_space = malloc((rows + 1) * sizeof(const struct read *));
	hit_space = malloc((hits + 1) * sizeof(*hit_space));
	places = malloc((rows + 1) * sizeof(*places));
	if (row_space == NULL || hit_space == NULL || places == NULL)
		goto failed;
	at = row_space;
	for (size_t d = 0; d < grouping.count; d++) {
		grouping.days[d].rows = at;
		at += grouping.days[d].row_count;
		grouping.days[d].row_count = 0;
	}
	place_rows(generation, &grouping, places);
	place_hits(generation, &grouping, places, rows, hit_space);
	free(places);
	*ret_batches = (struct segment_batches){grouping.days, grouping.count, row_space, hit_space, erased};
	return 0;
failed:
	free(places);
	free(hit_space);
	free(row_space);
	free(grouping.days);
	return -ENOMEM;
}

void segment_batches_fini(struct segment_batches *batches)
{
	free(batches->hits);
	free(batches->rows);
	free(batches->days);
	*batches = (struct segment_batches){0};
}
