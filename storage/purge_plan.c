/* What a purge would take: by day, sealed and unsealed. */
#include "storage/purge.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/array.h"
#include "storage/hit_lives.h"
#include "storage/marks.h"
#include "storage/purge_file.h"
#include "storage/retention.h"
#include "storage/store_internal.h"

#define MARKED_DAYS 1100 /* looked at for marks: three years, beyond any retention */

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
	void *grown;

	while (at > 0 && plan->days[at - 1].day >= day)
		at--;
	if (at < plan->count && plan->days[at].day == day)
		return &plan->days[at];
	grown = array_grow(plan->days, plan->count, &plan->capacity, sizeof(*plan->days));
	if (grown == NULL)
		return NULL;
	plan->days = grown;
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

bool purge_day_marked(struct store *store, int32_t day)
{
	struct mark_set *marks = marks_hold(store->marks);
	bool marked = mark_set_day(marks, day) != NULL || hit_lives_of_day(store->hit_lives, day);

	mark_set_release(marks);
	return marked && !keyring_day_destroyed(store->keyring, day);
}

/* What marks and lives of hits keep of a day goes with it, also when no read of it is left. */
static int marks_add(struct store *store, struct plan *plan)
{
	int32_t today = read_day(store_wall_us(store));
	int32_t end = plan->before_day < today + 1 ? plan->before_day : today + 1;

	for (int32_t day = end > MARKED_DAYS ? end - MARKED_DAYS : 0; day < end; day++)
		if (purge_day_marked(store, day) && plan_day(plan, day) == NULL)
			return -ENOMEM;
	return 0;
}

struct keyed {
	struct plan *plan; /* NULL: one day is asked for */
	int32_t day;
};

static int key_see(void *context, struct key_id key)
{
	struct keyed *keyed = context;

	if (keyed->plan == NULL)
		return key.day == keyed->day;
	return key.day >= keyed->plan->before_day || plan_day(keyed->plan, key.day) != NULL ? 0 : -ENOMEM;
}

/* A day whose segments do not open is in no rebuilt catalog, but its keys stand. */
static int keys_add(struct store *store, struct plan *plan)
{
	struct keyed keyed = {.plan = plan};

	return keyring_each(store->keyring, KEY_SEGMENT, key_see, &keyed);
}

int purge_day_keyed(struct store *store, int32_t day)
{
	struct keyed keyed = {.day = day};

	return keyring_each(store->keyring, KEY_SEGMENT, key_see, &keyed);
}

static void due_mark(struct store *store, struct plan *plan)
{
	int32_t before = retention_due_before(store);

	for (size_t i = 0; i < plan->count; i++)
		plan->days[i].due = plan->days[i].day < before;
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
	if (result == 0)
		result = marks_add(store, &plan);
	if (result == 0)
		result = keys_add(store, &plan);
	if (result < 0) {
		free(plan.days);
		return result;
	}
	due_mark(store, &plan);
	*ret_days = plan.days;
	*ret_count = plan.count;
	return 0;
}
