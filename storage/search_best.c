#include "storage/search_best.h"

#include <errno.h>
#include <stdlib.h>

#include "storage/row.h"

int search_row_compare(const struct search_row *a, const struct search_row *b, bool oldest_first)
{
	int order;

	if (a->read.capture_us != b->read.capture_us)
		return (a->read.capture_us < b->read.capture_us) == oldest_first ? -1 : 1;
	order = row_compare(&a->read, &b->read);
	if (order != 0)
		return order;
	return a->same < b->same ? -1 : a->same > b->same;
}

int search_best_init(struct search_best *best, size_t room, bool oldest_first)
{
	*best = (struct search_best){.room = room, .oldest_first = oldest_first};
	best->rows = malloc(room * sizeof(*best->rows));
	return best->rows != NULL ? 0 : -ENOMEM;
}

void search_best_fini(struct search_best *best)
{
	free(best->rows);
	best->rows = NULL;
}

static bool worse(const struct search_best *best, const struct search_row *a, const struct search_row *b)
{
	return search_row_compare(a, b, best->oldest_first) > 0;
}

static void sift_up(struct search_best *best, size_t at)
{
	struct search_row row = best->rows[at];

	while (at > 0 && worse(best, &row, &best->rows[(at - 1) / 2])) {
		best->rows[at] = best->rows[(at - 1) / 2];
		at = (at - 1) / 2;
	}
	best->rows[at] = row;
}

static void sift_down(struct search_best *best, size_t count)
{
	struct search_row row = best->rows[0];
	size_t at = 0;

	for (;;) {
		size_t child = 2 * at + 1;

		if (child >= count)
			break;
		if (child + 1 < count && worse(best, &best->rows[child + 1], &best->rows[child]))
			child++;
		if (!worse(best, &best->rows[child], &row))
			break;
		best->rows[at] = best->rows[child];
		at = child;
	}
	best->rows[at] = row;
}

void search_best_add(struct search_best *best, const struct search_row *row)
{
	if (best->count < best->room) {
		best->rows[best->count] = *row;
		sift_up(best, best->count++);
	} else if (worse(best, &best->rows[0], row)) {
		best->rows[0] = *row;
		sift_down(best, best->count);
	}
}

void search_best_sort(struct search_best *best)
{
	for (size_t left = best->count; left > 1;) {
		struct search_row worst = best->rows[0];

		best->rows[0] = best->rows[--left];
		sift_down(best, left);
		best->rows[left] = worst;
	}
}
