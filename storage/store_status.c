/* What status shows: figures of one moment, taken while nothing can be sealed. */
#include "storage/store.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/array.h"
#include "storage/journal.h"
#include "storage/register.h"
#include "storage/store_internal.h"

/* Refusals of journals that are not sealed yet. */
static void refusals_add(const struct generation *generation, uint64_t refused[REFUSAL_COUNT])
{
	const struct chunk *chunk = atomic_load_explicit(&generation->first, memory_order_acquire);

	for (; chunk != NULL; chunk = atomic_load_explicit(&chunk->next, memory_order_acquire)) {
		uint32_t count = atomic_load_explicit(&chunk->runs_durable, memory_order_acquire);

		for (uint32_t i = 0; i < count; i++)
			if (chunk->runs[i].refusal != REFUSAL_NONE && chunk->runs[i].refusal < REFUSAL_COUNT)
				refused[chunk->runs[i].refusal] += chunk->runs[i].count;
	}
}

static int day_add(void *context, const struct catalog_day *day)
{
	struct store_status *status = context;

	if (day->state == CATALOG_DAY_PURGED) {
		status->purged_total += day->rows;
		return 0;
	}
	status->reads_segments += day->rows;
	status->segments += day->segments;
	status->segment_bytes += day->bytes;
	return 0;
}

static int catalog_figures(struct store *store, struct store_status *status)
{
	struct catalog_totals totals;
	int result = catalog_totals(store->catalog, &totals);

	if (result == 0)
		result = catalog_each_day(store->catalog, day_add, status);
	if (result < 0)
		return result;
	memcpy(status->refused_total, totals.refused, sizeof(status->refused_total));
	status->collapsed_total = totals.collapsed;
	status->stored_total = totals.stored;
	status->erased_total = totals.erased;
	return 0;
}

static void memtable_figures(const struct memtable_view *view, struct store_status *status)
{
	for (size_t i = 0; i < view->count; i++) {
		struct generation *generation = view->generations[i];

		status->reads_memtable += atomic_load_explicit(&generation->row_count_durable, memory_order_acquire);
		status->journals_unsealed += atomic_load_explicit(&generation->first, memory_order_acquire) != NULL;
		refusals_add(generation, status->refused_total);
	}
	status->stored_total += status->reads_memtable;
}

static void kept_copy(struct store *store, struct store_status *status)
{
	pthread_mutex_lock(&store->status_mutex);
	status->journal_bytes = store->journal_bytes;
	memcpy(status->register_why, store->register_why, sizeof(status->register_why));
	status->disk_total_bytes = store->disk_total;
	status->disk_free_bytes = store->disk_free;
	status->disk_reserve_bytes = store->disk_reserve;
	status->seal_failures = store->seal_failures;
	status->damage_count = store->damage_count;
	status->damage_text_count = store->damage_text_count;
	memcpy(status->damage, store->damage, sizeof(status->damage));
	status->recovery_ns = store->recovery_ns;
	status->recovery_reads = store->recovery_reads;
	status->tidy = store->tidy;
	if (store->seal_why[0] != '\0') {
		status->state = STORE_SEAL_FAILING;
		snprintf(status->why, sizeof(status->why), "sealing fails, journalling goes on: %s", store->seal_why);
	}
	if (!store->space_allows) {
		status->state = STORE_DISK_FULL;
		snprintf(status->why, sizeof(status->why),
			 "the disk is full: %llu MiB free, %llu MiB kept for sealing and a purge; purge or add space",
			 (unsigned long long)(store->disk_free >> 20), (unsigned long long)(store->disk_reserve >> 20));
	}
	pthread_mutex_unlock(&store->status_mutex);
}

static void journals_judge(struct store *store, struct store_status *status)
{
	for (unsigned i = 0; i < store->options.workers; i++) {
		struct journal_info info;

		journal_info(store->journals[i], &info);
		if (!info.closed || status->state == STORE_DISK_FULL)
			continue;
		status->state = STORE_JOURNAL_FAILING;
		snprintf(status->why, sizeof(status->why), "journal of worker %u is closed: %s", i,
			 info.why != NULL ? info.why : "writes fail");
	}
}

static void register_figures(struct store *store, struct store_status *status)
{
	struct reg_info info;

	if (store->reg == NULL) {
		status->state = STORE_REGISTER_INCOMPLETE;
		snprintf(status->why, sizeof(status->why), "register incomplete: %.200s", store->reg_why.text);
		return;
	}
	reg_info(store->reg, &info);
	status->register_sequence = info.sequence;
	status->register_log_bytes = info.log_size;
}

int store_status(struct store *store, struct store_status *ret_status)
{
	struct store_status *status = calloc(1, sizeof(*status));
	struct memtable_info memory;
	struct memtable_view view = {0};
	int result;

	if (status == NULL)
		return -ENOMEM;
	memtable_lock(store->memtable);
	result = memtable_view_take(store->memtable, &view);
	if (result == 0)
		result = catalog_figures(store, status);
	memtable_unlock(store->memtable);
	if (result == 0)
		memtable_figures(&view, status);
	memtable_view_release(store->memtable, &view);
	if (result < 0) {
		free(status);
		return result;
	}
	memtable_info(store->memtable, &memory);
	status->memtable_bytes_used = memory.bytes_used;
	status->memtable_bytes_max = memory.bytes_max;
	status->credit_open = store_credit_open(store);
	status->io_name = store->io->ops->name;
	register_figures(store, status);
	kept_copy(store, status);
	journals_judge(store, status);
	*ret_status = *status;
	free(status);
	return 0;
}

struct day_list {
	struct store *store;
	struct store_day *days;
	size_t count;
	size_t capacity;
};

static int day_list_add(void *context, const struct catalog_day *day)
{
	struct day_list *list = context;
	void *grown = array_grow(list->days, list->count, &list->capacity, sizeof(*list->days));

	if (grown == NULL)
		return -ENOMEM;
	list->days = grown;
	list->days[list->count++] = (struct store_day){.day = day->day,
						       .closed = day->state != CATALOG_DAY_OPEN,
						       .purged = day->state == CATALOG_DAY_PURGED,
						       .reads = day->rows,
						       .segments = day->segments,
						       .bytes = day->bytes};
	return 0;
}

int store_days(struct store *store, struct store_day **ret_days, size_t *ret_count)
{
	struct day_list list = {.store = store};
	int result = catalog_each_day(store->catalog, day_list_add, &list);

	if (result < 0) {
		free(list.days);
		return result;
	}
	*ret_days = list.days;
	*ret_count = list.count;
	return 0;
}
