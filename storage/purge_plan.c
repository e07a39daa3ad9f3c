/* What a purge would take: by day, sealed and unsealed. */
#include "storage/purge.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "storage/purge_file.h"
#include "storage/store_internal.h"

struct plan {
	int32_t before_day;
	struct purge_day *days; /* ascending */
	size_t count;
	size_t capacity;
};

/* The plan's row of a day, made when there is none. */
static struct purge_day *plan_day(struct plan *plan, int32_t day)
{
	size_t at = plan->count;

	while (at > 0 && plan->days[at - 1].day >= day)
		at--;
	if (at < plan->count && plan->days[at].day == day)
		return &plan->days[at];
	if (plan->count == plan->capacity) {
		size_t capacity = plan->capacity * 2 + 64;
		void *grown = realloc(plan->days, capacity * sizeof(*plan->days));

		if (grown == NULL)
			return NULL;
		plan->days = grown;
		plan->capacity = capacity;
	}
	memmove(&plan->days[at + 1], &plan->days[at], (plan->count - at) * sizeof(*plan->days));
	plan->days[at] = (struct purge_day){.day = day};
	plan->count++;
	return &plan->days[at];
}

static int catalog_day_add(void *context, const struct catalog_day *day)
{
	struct plan *plan = context;
	struct purge_day *row;

	if (day->day >= plan->before_day || day->state == CATALOG_DAY_PURGED || day->segments == 0)
		return 0;
	row = plan_day(plan, day->day);
	if (row == NULL)
		return -ENOMEM;
	row->reads += day->rows;
	row->segments += day->segments;
	row->bytes += day->bytes;
	return 0;
}

static int intent_add(void *context, const char *name)
{
	struct plan *plan = context;
	struct purge_day *row;
	uint64_t number;
	int32_t day;

	if (!purge_file_name_parse(name, PURGE_FILE_INTENT, &day, &number) || day >= plan->before_day)
		return 0;
	row = plan_day(plan, day);
	if (row == NULL)
		return -ENOMEM;
	row->begun = true;
	return 0;
}

static int chunk_add(struct plan *plan, const struct chunk *chunk)
{
	uint32_t rows = atomic_load_explicit(&chunk->rows_durable, memory_order_acquire);

	for (uint32_t i = 0; i < rows; i++) {
		int32_t day = read_day(chunk->rows[i].capture_us);
		struct purge_day *row;

		if (day >= plan->before_day)
			continue;
		row = plan_day(plan, day);
		if (row == NULL)
			return -ENOMEM;
		row->reads++;
	}
	return 0;
}

static int view_add(struct plan *plan, const struct memtable_view *view)
{
	int result = 0;

	for (size_t i = 0; result == 0 && i < view->count; i++) {
		const struct chunk *chunk = atomic_load_explicit(&view->generations[i]->first, memory_order_acquire);

		for (; result == 0 && chunk != NULL; chunk = atomic_load_explicit(&chunk->next, memory_order_acquire))
			result = chunk_add(plan, chunk);
	}
	return result;
}

int purge_plan(struct store *store, int32_t before_day, struct purge_day **ret_days, size_t *ret_count)
{
	struct plan plan = {.before_day = before_day};
	struct memtable_view view = {0};
	int result;

	/* Nothing may be sealed between the two, or it would be counted twice or not at all. */
	memtable_lock(store->memtable);
	result = memtable_view_take(store->memtable, &view);
	if (result == 0)
		result = catalog_each_day(store->catalog, catalog_day_add, &plan);
	memtable_unlock(store->memtable);
	if (result == 0)
		result = view_add(&plan, &view);
	memtable_view_release(store->memtable, &view);
	if (result == 0)
		result = store->io->ops->list(store->io, store->purge_directory, intent_add, &plan);
	if (result < 0) {
		free(plan.days);
		return result;
	}
	*ret_days = plan.days;
	*ret_count = plan.count;
	return 0;
}
