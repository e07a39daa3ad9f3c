#include "storage/search_memory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "storage/mark_set.h"
#include "storage/row.h"
#include "storage/search_source.h"

static int add(struct search_memory *memory, const struct read *row)
{
	if (memory->count == memory->room) {
		size_t room = memory->room == 0 ? 1024 : 2 * memory->room;
		const struct read **rows = realloc(memory->rows, room * sizeof(const struct read *));

		if (rows == NULL)
			return -ENOMEM;
		memory->rows = rows;
		memory->room = room;
	}
	memory->rows[memory->count++] = row;
	return 0;
}

/* The rows of a full chunk whose keys lie in the range, by its order. */
static int gather_range(struct search_memory *memory, struct search *search, const struct chunk *chunk,
			const uint16_t *order, uint32_t count, const struct key_range *range)
{
	uint32_t low = 0;
	uint32_t high = count;

	while (low < high) {
		uint32_t middle = (low + high) / 2;

		if (memcmp(chunk->rows[order[middle]].key, range->low, 16) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	for (; low < count && !search_must_stop(search); low++) {
		const struct read *row = &chunk->rows[order[low]];

		search->result->rows_seen++;
		if (memcmp(row->key, range->high, 16) > 0)
			break;
		if (search_wants(search, row) && add(memory, row) < 0)
			return -ENOMEM;
	}
	return 0;
}

/* A full chunk has its rows' order by key: only the ranges of keys that can match are looked at. */
static int gather_ordered(struct search_memory *memory, struct search *search, const struct chunk *chunk,
			  const uint16_t *order, uint32_t count)
{
	int r = 0;

	for (unsigned i = 0; i < search->keys.range_count && r == 0; i++)
		r = gather_range(memory, search, chunk, order, count, &search->keys.ranges[i]);
	return r;
}

static int gather_all(struct search_memory *memory, struct search *search, const struct chunk *chunk, uint32_t count)
{
	for (uint32_t i = 0; i < count && !search_must_stop(search); i++) {
		search->result->rows_seen++;
		if (search_wants(search, &chunk->rows[i]) && add(memory, &chunk->rows[i]) < 0)
			return -ENOMEM;
	}
	return 0;
}

static int gather_generation(struct search_memory *memory, struct search *search, struct generation *generation)
{
	bool ranged = search->keys.keyed;
	struct chunk *chunk = atomic_load_explicit(&generation->first, memory_order_acquire);

	for (; chunk != NULL; chunk = atomic_load_explicit(&chunk->next, memory_order_acquire)) {
		uint32_t count = atomic_load_explicit(&chunk->rows_durable, memory_order_acquire);
		const uint16_t *order = atomic_load_explicit(&chunk->order, memory_order_acquire);
		int r = ranged && order != NULL ? gather_ordered(memory, search, chunk, order, count)
						: gather_all(memory, search, chunk, count);

		if (r < 0)
			return r;
	}
	return 0;
}

/* Corrected reads that no segment has yet: they are rows like those not sealed yet. A case has its own. */
static int gather_corrected(struct search_memory *memory, struct search *search)
{
	size_t count;
	const struct read *rows = mark_set_corrected(search->marks, &count);

	for (size_t i = 0; i < count && search->query->case_number == 0; i++)
		if (search_wants(search, &rows[i]) && add(memory, &rows[i]) < 0)
			return -ENOMEM;
	return 0;
}

static int compare_days(const void *a, const void *b)
{
	const struct search_memory_day *x = a;
	const struct search_memory_day *y = b;

	return x->day < y->day ? -1 : x->day > y->day;
}

/* Finds the day's entry; `last` remembers the one found last, because rows come almost in order of time. */
static struct search_memory_day *find_day(struct search_memory *memory, int32_t day, size_t *last)
{
	struct search_memory_day *days;

	if (*last < memory->day_count && memory->days[*last].day == day)
		return &memory->days[*last];
	for (size_t i = 0; i < memory->day_count; i++) {
		if (memory->days[i].day == day) {
			*last = i;
			return &memory->days[i];
		}
	}
	if ((memory->day_count & (memory->day_count + 1)) == 0) {
		days = realloc(memory->days, 2 * (memory->day_count + 1) * sizeof(*days));
		if (days == NULL)
			return NULL;
		memory->days = days;
	}
	*last = memory->day_count;
	memory->days[*last] = (struct search_memory_day){.day = day};
	return &memory->days[memory->day_count++];
}

/* Rows grouped by day, each group sorted. */
static int split_days(struct search_memory *memory)
{
	const struct read **split = malloc((memory->count + 1) * sizeof(const struct read *));
	size_t last = 0;
	size_t first = 0;
	int r = 0;

	if (split == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < memory->count; i++) {
		struct search_memory_day *day = find_day(memory, read_day(memory->rows[i]->capture_us), &last);

		if (day == NULL) {
			free(split);
			return -ENOMEM;
		}
		day->count++;
	}
	if (memory->day_count > 0)
		qsort(memory->days, memory->day_count, sizeof(*memory->days), compare_days);
	for (size_t d = 0; d < memory->day_count; d++) {
		memory->days[d].first = first;
		first += memory->days[d].count;
		memory->days[d].count = 0;
	}
	for (size_t i = 0; i < memory->count; i++) {
		struct search_memory_day *day = find_day(memory, read_day(memory->rows[i]->capture_us), &last);

		split[day->first + day->count++] = memory->rows[i];
	}
	free(memory->rows);
	memory->rows = split;
	for (size_t d = 0; d < memory->day_count && r == 0; d++)
		r = row_sort(&memory->rows[memory->days[d].first], memory->days[d].count);
	return r;
}

int search_memory_init(struct search_memory *memory, struct search *search)
{
	*memory = (struct search_memory){0};
	for (size_t i = 0; i < search->view.memory.count; i++) {
		int r = gather_generation(memory, search, search->view.memory.generations[i]);

		if (r < 0)
			return r;
	}
	if (gather_corrected(memory, search) < 0)
		return -ENOMEM;
	return split_days(memory);
}

void search_memory_fini(struct search_memory *memory)
{
	free(memory->rows);
	free(memory->days);
	*memory = (struct search_memory){0};
}
