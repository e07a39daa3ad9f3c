/*
 * How far numbers have been given, from what is there when the store opens: fences of segments and of held copies, and
 * the recovered journals. The clock alone would not do: one that went back would let new numbers fall behind those that
 * subscribers have been told.
 */
#include "storage/hit_highest.h"

#include "storage/catalog.h"
#include "storage/hit_scan.h"
#include "storage/journal.h"
#include "storage/store_internal.h"

static void number_note(struct store *store, uint64_t number)
{
	uint64_t *highest = &store->hit_highest[hit_source(number)];

	if (*highest < number)
		*highest = number;
}

static int fence_note(void *context, const struct segment_hit_fence *fence)
{
	number_note(context, fence->last);
	return 0;
}

int hit_highest_gather(struct store *store)
{
	struct memtable_view view;
	int r = catalog_each_hit_fence(store->catalog, fence_note, store);

	if (r == 0)
		r = memtable_view_take(store->memtable, &view);
	if (r < 0)
		return r;
	for (size_t i = 0; i < view.count; i++) {
		struct chunk *chunk = atomic_load_explicit(&view.generations[i]->first, memory_order_acquire);

		for (; chunk != NULL; chunk = atomic_load_explicit(&chunk->next, memory_order_acquire)) {
			uint32_t count = atomic_load_explicit(&chunk->hits_durable, memory_order_acquire);

			for (uint32_t h = 0; h < count; h++)
				number_note(store, chunk->hits[h].number);
		}
	}
	memtable_view_release(store->memtable, &view);
	return 0;
}

uint64_t hit_highest(const struct store *store, unsigned source)
{
	return source < sizeof(store->hit_highest) / sizeof(store->hit_highest[0]) ? store->hit_highest[source] : 0;
}

void hit_number_behind(struct store *store, uint64_t number)
{
	if (hit_source(number) < store->options.workers)
		journal_number_behind(store->journals[hit_source(number)], number & HIT_COUNT_MASK);
}
