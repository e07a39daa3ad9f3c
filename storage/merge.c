#include "storage/merge.h"

#include <stdlib.h>

#include "storage/catalog.h"

static int by_size(const void *a, const void *b)
{
	const struct catalog_segment *left = *(const struct catalog_segment *const *)a;
	const struct catalog_segment *right = *(const struct catalog_segment *const *)b;

	if (left->file_size != right->file_size)
		return left->file_size < right->file_size ? -1 : 1;
	return left->id < right->id ? -1 : left->id > right->id;
}

/* How many of the smallest are to become one. */
static size_t share(const struct catalog_segment *const *ascending, size_t count, int64_t quiet_us, int64_t wanted_us)
{
	uint64_t tail = 0;

	if (quiet_us < wanted_us)
		return count > MERGE_SEGMENTS_MAX ? count / 2 : 0;
	for (size_t i = 0; i + 1 < count; i++)
		tail += ascending[i]->file_size;
	if (quiet_us / MERGE_LONG_QUIET >= wanted_us || tail >= ascending[count - 1]->file_size / MERGE_TAIL_SHARE)
		return count;
	return count - 1;
}

static void plan_fill(const struct catalog_segment *const *ascending, size_t count, struct merge_plan *plan)
{
	uint64_t rows = 0;

	for (size_t i = 0; i < count && i < SEGMENT_LINEAGE_MAX; i++) {
		rows += ascending[i]->row_count;
		if (rows > SEGMENT_ROWS_MAX)
			break;
		plan->parents[plan->parent_count++] = ascending[i]->id;
	}
}

bool merge_choose(const struct catalog_segment *segments, size_t count, int64_t quiet_us, int64_t wanted_us,
		  struct merge_plan *ret_plan)
{
	const struct catalog_segment **ascending;
	struct merge_plan plan = {0};

	if (count < 2)
		return false;
	ascending = malloc(count * sizeof(const struct catalog_segment *));
	if (ascending == NULL)
		return false; /* another time */
	for (size_t i = 0; i < count; i++)
		ascending[i] = &segments[i];
	qsort(ascending, count, sizeof(const struct catalog_segment *), by_size);
	plan.day = segments[0].day;
	plan_fill(ascending, share(ascending, count, quiet_us, wanted_us), &plan);
	free(ascending);
	if (plan.parent_count < 2)
		return false;
	*ret_plan = plan;
	return true;
}
