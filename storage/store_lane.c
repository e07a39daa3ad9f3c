/* Windows of lanes: found by (feed, epoch, lane), made once, from what recovery knows. Control plane. */
#include "storage/store.h"

#include <errno.h>
#include <stdlib.h>

#include "storage/store_internal.h"

static_assert(STORE_LANE_EPOCHS_MAX == LANE_EPOCHS_MAX, "one bound for the epochs of a feed");

static size_t lane_hash(uint32_t feed, uint32_t epoch, uint8_t lane)
{
	uint64_t hash = ((uint64_t)feed << 32 | epoch) ^ (uint64_t)lane << 61;

	hash = (hash ^ (hash >> 31)) * UINT64_C(0x9e3779b97f4a7c15);
	return (size_t)(hash ^ (hash >> 29));
}

static struct lane_window **window_slot(const struct window_table *table, uint32_t feed, uint32_t epoch, uint8_t lane)
{
	size_t at = lane_hash(feed, epoch, lane) & (table->capacity - 1);

	while (table->slots[at] != NULL &&
	       (table->slots[at]->feed != feed || table->slots[at]->epoch != epoch || table->slots[at]->lane != lane))
		at = (at + 1) & (table->capacity - 1);
	return &table->slots[at];
}

/* At most half full, so that every search ends. */
static int table_grow(struct window_table *table)
{
	struct window_table grown = {.capacity = table->capacity == 0 ? 256 : table->capacity * 2};

	if (2 * (table->count + 1) <= table->capacity)
		return 0;
	grown.slots = calloc(grown.capacity, sizeof(struct lane_window *));
	if (grown.slots == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < table->capacity; i++) {
		struct lane_window *window = table->slots[i];

		if (window != NULL)
			*window_slot(&grown, window->feed, window->epoch, window->lane) = window;
	}
	grown.count = table->count;
	free(table->slots);
	*table = grown;
	return 0;
}

struct epochs {
	uint32_t newest[LANE_EPOCHS_MAX]; /* descending, distinct */
	unsigned count;
};

static void epoch_add(struct epochs *epochs, uint32_t epoch)
{
	unsigned at = 0;

	while (at < epochs->count && epochs->newest[at] > epoch)
		at++;
	if (at == LANE_EPOCHS_MAX || (at < epochs->count && epochs->newest[at] == epoch))
		return;
	if (epochs->count < LANE_EPOCHS_MAX)
		epochs->count++;
	for (unsigned i = epochs->count - 1; i > at; i--)
		epochs->newest[i] = epochs->newest[i - 1];
	epochs->newest[at] = epoch;
}

/* Eight newer ones than this are known: recovered, or given a window since. */
static bool epoch_old(const struct store *store, uint32_t feed, uint32_t epoch)
{
	struct epochs epochs = {.count = 0};

	epochs.count = lane_map_epochs(store->lanes, feed, epochs.newest);
	for (size_t i = 0; i < store->windows.capacity; i++)
		if (store->windows.slots[i] != NULL && store->windows.slots[i]->feed == feed)
			epoch_add(&epochs, store->windows.slots[i]->epoch);
	return epochs.count == LANE_EPOCHS_MAX && epoch < epochs.newest[LANE_EPOCHS_MAX - 1];
}

static int lane_locked(struct store *store, const struct lane_id *id, struct lane_window **ret_window)
{
	struct lane_window **slot;
	int result = table_grow(&store->windows);

	if (result < 0)
		return result;
	slot = window_slot(&store->windows, id->feed, id->epoch, id->lane);
	if (epoch_old(store, id->feed, id->epoch))
		return STORE_EPOCH_OLD;
	if (*slot == NULL) {
		result = lane_map_window_new(store->lanes, id, store->options.lane_size, slot);
		if (result < 0)
			return result;
		store->windows.count++;
	}
	*ret_window = *slot;
	return 0;
}

int store_lane(struct store *store, uint32_t feed, uint32_t epoch, uint8_t lane, struct lane_window **ret_window)
{
	struct lane_id id = {.feed = feed, .epoch = epoch, .lane = lane};
	int result;

	if (lane >= FEED_LANE_COUNT)
		return -EINVAL;
	pthread_mutex_lock(&store->lane_mutex);
	result = lane_locked(store, &id, ret_window);
	pthread_mutex_unlock(&store->lane_mutex);
	return result;
}

struct lane_visit {
	struct store *store;
	int (*each)(void *context, const struct store_lane_entry *entry);
	void *context;
};

static int state_give(void *context, const struct lane_state *state)
{
	const struct lane_visit *visit = context;
	struct store *store = visit->store;
	struct store_lane_entry entry = {.feed = state->id.feed,
					 .epoch = state->id.epoch,
					 .lane = state->id.lane,
					 .cumulative = state->cumulative,
					 .stored_total = state->stored_total,
					 .refused_total = state->refused_total};

	if (store->windows.capacity > 0)
		entry.window = *window_slot(&store->windows, entry.feed, entry.epoch, entry.lane);
	return visit->each(visit->context, &entry);
}

/* A lane that nothing was recovered of; the others have been given already. */
static int window_give(const struct lane_visit *visit, const struct lane_window *window)
{
	struct lane_id id = {.feed = window->feed, .epoch = window->epoch, .lane = window->lane};
	struct store_lane_entry entry = {.feed = id.feed, .epoch = id.epoch, .lane = id.lane, .window = window};
	struct lane_state state;

	return lane_map_get(visit->store->lanes, &id, &state) ? 0 : visit->each(visit->context, &entry);
}

int store_lane_each(struct store *store, int (*each)(void *context, const struct store_lane_entry *entry),
		    void *context)
{
	struct lane_visit visit = {.store = store, .each = each, .context = context};
	int result;

	pthread_mutex_lock(&store->lane_mutex);
	result = lane_map_each(store->lanes, state_give, &visit);
	for (size_t i = 0; result == 0 && i < store->windows.capacity; i++)
		if (store->windows.slots[i] != NULL)
			result = window_give(&visit, store->windows.slots[i]);
	pthread_mutex_unlock(&store->lane_mutex);
	return result;
}
