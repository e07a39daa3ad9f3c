/*
 * An array of entries, found through an open-addressing table of their numbers; entries never go away.
 */
#include "storage/lane_map.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "appliance/base/bytes.h"
#include "storage/lane_entry.h"

#define SLOTS_START 64
#define SLOT_EMPTY UINT32_MAX

struct lane_windows {
	struct lane_windows *next;
	struct lane_window window;
	uint64_t words[];
};

struct lane_map {
	struct lane_entry *entries;
	size_t entry_count;
	size_t entry_room;
	uint32_t *slots;
	size_t slot_count; /* power of two, at least twice the entries */
	struct lane_windows *windows;
};

static uint64_t id_hash(const struct lane_id *id)
{
	uint8_t bytes[9];

	le32_put(bytes, id->feed);
	le32_put(bytes + 4, id->epoch);
	bytes[8] = id->lane;
	return XXH3_64bits(bytes, sizeof(bytes));
}

static bool id_equal(const struct lane_id *a, const struct lane_id *b)
{
	return a->feed == b->feed && a->epoch == b->epoch && a->lane == b->lane;
}

/* The slot of the id, or the empty one where it would go. */
static uint32_t *map_slot(const struct lane_map *map, const struct lane_id *id)
{
	size_t at = id_hash(id) & (map->slot_count - 1);

	while (map->slots[at] != SLOT_EMPTY && !id_equal(&map->entries[map->slots[at]].id, id))
		at = (at + 1) & (map->slot_count - 1);
	return &map->slots[at];
}

static struct lane_entry *map_find(const struct lane_map *map, const struct lane_id *id)
{
	uint32_t number = *map_slot(map, id);

	return number == SLOT_EMPTY ? NULL : &map->entries[number];
}

int lane_map_new(struct lane_map **ret_map)
{
	struct lane_map *map = calloc(1, sizeof(*map));

	if (map == NULL)
		return -ENOMEM;
	map->slots = malloc(SLOTS_START * sizeof(*map->slots));
	if (map->slots == NULL) {
		free(map);
		return -ENOMEM;
	}
	map->slot_count = SLOTS_START;
	memset(map->slots, 0xff, SLOTS_START * sizeof(*map->slots));
	*ret_map = map;
	return 0;
}

struct lane_map *lane_map_free(struct lane_map *map)
{
	if (map == NULL)
		return NULL;
	while (map->windows != NULL) {
		struct lane_windows *next = map->windows->next;

		free(map->windows);
		map->windows = next;
	}
	for (size_t i = 0; i < map->entry_count; i++)
		free(map->entries[i].ranges);
	free(map->entries);
	free(map->slots);
	free(map);
	return NULL;
}

static int map_grow_slots(struct lane_map *map)
{
	size_t count = 2 * map->slot_count;
	uint32_t *slots = malloc(count * sizeof(*slots));

	if (slots == NULL)
		return -ENOMEM;
	memset(slots, 0xff, count * sizeof(*slots));
	free(map->slots);
	map->slots = slots;
	map->slot_count = count;
	for (size_t i = 0; i < map->entry_count; i++)
		*map_slot(map, &map->entries[i].id) = (uint32_t)i;
	return 0;
}

static int map_grow_entries(struct lane_map *map)
{
	size_t room = map->entry_room == 0 ? 32 : 2 * map->entry_room;
	struct lane_entry *entries = realloc(map->entries, room * sizeof(*entries));

	if (entries == NULL)
		return -ENOMEM;
	map->entries = entries;
	map->entry_room = room;
	return 0;
}

/* The entry, made empty when it is new. NULL: no memory. */
static struct lane_entry *map_entry(struct lane_map *map, const struct lane_id *id)
{
	struct lane_entry *entry = map_find(map, id);

	if (entry != NULL)
		return entry;
	if (2 * (map->entry_count + 1) > map->slot_count && map_grow_slots(map) < 0)
		return NULL;
	if (map->entry_count == map->entry_room && map_grow_entries(map) < 0)
		return NULL;
	entry = &map->entries[map->entry_count];
	*entry = (struct lane_entry){.id = *id};
	*map_slot(map, id) = (uint32_t)map->entry_count++;
	return entry;
}

/* ---- verbs */

static struct lane_id run_lane(const struct run *run)
{
	return (struct lane_id){.feed = run->feed, .epoch = run->epoch, .lane = run->lane};
}

int lane_map_apply(struct lane_map *map, const struct run *run)
{
	struct lane_id id = run_lane(run);
	struct lane_entry *entry = map_entry(map, &id);
	uint64_t from = run->first;
	uint64_t fresh = 0;
	struct lane_range gap;
	int r;

	if (entry == NULL)
		return -ENOMEM;
	if (run->count == 0)
		return 0;
	while (lane_entry_gap(entry, &from, run->first + run->count - 1, &gap))
		fresh += gap.last - gap.first + 1;
	if (fresh == 0)
		return 0;
	r = lane_entry_add(entry, run->first, run->first + run->count - 1);
	if (r < 0)
		return r;
	if (run->refusal == REFUSAL_NONE)
		entry->stored_total += fresh;
	else
		entry->refused_total += fresh;
	entry->dirty = true;
	return 0;
}

bool lane_map_fresh(const struct lane_map *map, const struct run *run, uint64_t *from, struct run *ret_part)
{
	struct lane_id id = run_lane(run);
	struct lane_range gap;

	if (run->count == 0 || !lane_entry_gap(map_find(map, &id), from, run->first + run->count - 1, &gap))
		return false;
	*ret_part = *run;
	ret_part->first = gap.first;
	ret_part->count = (uint16_t)(gap.last - gap.first + 1);
	return true;
}

int lane_map_watermark(struct lane_map *map, const struct lane_id *id, uint64_t watermark,
		       void (*lost)(void *context, const struct lane_id *id, const struct lane_range *range),
		       void *context)
{
	struct lane_entry *entry;
	struct lane_range gap;
	uint64_t from = 1;

	if (watermark == 0)
		return 0;
	entry = map_entry(map, id);
	if (entry == NULL)
		return -ENOMEM;
	while (lane_entry_gap(entry, &from, watermark, &gap)) {
		entry->lost_total += gap.last - gap.first + 1;
		entry->dirty = true;
		if (lost != NULL)
			lost(context, id, &gap);
	}
	if (entry->cumulative < watermark) {
		entry->cumulative = watermark;
		lane_entry_advance(entry);
	}
	return 0;
}

int lane_map_lose(struct lane_map *map, const struct lane_id *id, const struct lane_range *range)
{
	struct lane_entry *entry = map_entry(map, id);
	uint64_t from = range->first;
	uint64_t fresh = 0;
	struct lane_range gap;
	int r;

	if (entry == NULL)
		return -ENOMEM;
	while (lane_entry_gap(entry, &from, range->last, &gap))
		fresh += gap.last - gap.first + 1;
	if (fresh == 0)
		return 0;
	r = lane_entry_add(entry, range->first, range->last);
	if (r < 0)
		return r;
	entry->lost_total += fresh;
	entry->dirty = true;
	return 0;
}

bool lane_map_get(const struct lane_map *map, const struct lane_id *id, struct lane_state *ret_state)
{
	const struct lane_entry *entry = map_find(map, id);

	if (entry == NULL)
		return false;
	lane_entry_state(entry, ret_state);
	return true;
}

int lane_map_each(const struct lane_map *map, int (*each)(void *context, const struct lane_state *state), void *context)
{
	int r = 0;

	for (size_t i = 0; i < map->entry_count && r == 0; i++) {
		struct lane_state state;

		lane_entry_state(&map->entries[i], &state);
		r = each(context, &state);
	}
	return r;
}

int lane_map_each_dirty(struct lane_map *map,
			int (*each)(void *context, const struct lane_id *id, const void *bytes, size_t size),
			void *context)
{
	int r = 0;

	for (size_t i = 0; i < map->entry_count && r == 0; i++) {
		const struct lane_entry *entry = &map->entries[i];
		uint8_t *bytes;

		if (!entry->dirty)
			continue;
		bytes = malloc(lane_entry_bytes_size(entry));
		if (bytes == NULL)
			return -ENOMEM;
		lane_entry_encode(entry, bytes);
		r = each(context, &entry->id, bytes, lane_entry_bytes_size(entry));
		free(bytes);
	}
	for (size_t i = 0; i < map->entry_count && r == 0; i++)
		map->entries[i].dirty = false;
	return r;
}

int lane_map_load(struct lane_map *map, const struct lane_id *id, const void *bytes, size_t size)
{
	struct lane_entry loaded;
	struct lane_entry *entry;
	int r = lane_entry_decode(bytes, size, &loaded);

	if (r < 0)
		return r;
	entry = map_entry(map, id);
	if (entry == NULL) {
		free(loaded.ranges);
		return -ENOMEM;
	}
	free(entry->ranges);
	loaded.id = *id;
	*entry = loaded;
	return 0;
}

static uint64_t greater(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

int lane_map_merge(struct lane_map *map, const struct lane_map *from)
{
	for (size_t i = 0; i < from->entry_count; i++) {
		const struct lane_entry *source = &from->entries[i];
		struct lane_entry *entry = map_entry(map, &source->id);
		int r = entry == NULL ? -ENOMEM : 0;

		if (r == 0 && source->cumulative > 0)
			r = lane_entry_add(entry, 1, source->cumulative);
		for (size_t j = 0; j < source->range_count && r == 0; j++)
			r = lane_entry_add(entry, source->ranges[j].first, source->ranges[j].last);
		if (r < 0)
			return r;
		entry->stored_total = greater(entry->stored_total, source->stored_total);
		entry->refused_total = greater(entry->refused_total, source->refused_total);
		entry->lost_total = greater(entry->lost_total, source->lost_total);
		entry->dirty = true;
	}
	return 0;
}

unsigned lane_map_epochs(const struct lane_map *map, uint32_t feed, uint32_t ret_epochs[LANE_EPOCHS_MAX])
{
	unsigned count = 0;

	for (size_t i = 0; i < map->entry_count; i++) {
		uint32_t epoch = map->entries[i].id.epoch;
		unsigned at = 0;

		if (map->entries[i].id.feed != feed)
			continue;
		while (at < count && ret_epochs[at] > epoch)
			at++;
		if (at == LANE_EPOCHS_MAX || (at < count && ret_epochs[at] == epoch))
			continue;
		if (count < LANE_EPOCHS_MAX)
			count++;
		memmove(&ret_epochs[at + 1], &ret_epochs[at], (count - at - 1) * sizeof(*ret_epochs));
		ret_epochs[at] = epoch;
	}
	return count;
}

static int window_size(const struct lane_entry *entry, uint32_t wish, uint32_t *ret_size)
{
	uint64_t needed = wish < LANE_WINDOW_SIZE_MIN ? LANE_WINDOW_SIZE_MIN : wish;
	uint64_t size = LANE_WINDOW_SIZE_MIN;

	if (entry != NULL && entry->range_count > 0)
		needed = greater(needed, entry->ranges[entry->range_count - 1].last - entry->cumulative);
	while (size < needed && size <= LANE_WINDOW_SIZE_MAX)
		size *= 2;
	if (size > LANE_WINDOW_SIZE_MAX)
		return -EOVERFLOW;
	*ret_size = (uint32_t)size;
	return 0;
}

/* Through lane.c's own verbs, so that the bits mean what they mean there; the totals are set afterwards. */
static void window_fill(struct lane_window *window, const struct lane_entry *entry)
{
	for (size_t i = 0; i < entry->range_count; i++) {
		uint64_t at = entry->ranges[i].first;

		while (at <= entry->ranges[i].last) {
			uint64_t left = entry->ranges[i].last - at + 1;
			struct run run = {.first = at, .count = (uint16_t)(left < 4096 ? left : 4096)};

			lane_take(window, run.first, run.count);
			lane_durable(window, &run);
			at += run.count;
		}
	}
	window->stored_total = entry->stored_total;
	window->refused_total = entry->refused_total;
}

int lane_map_window_new(struct lane_map *map, const struct lane_id *id, uint32_t size, struct lane_window **ret_window)
{
	const struct lane_entry *entry = map_find(map, id);
	struct lane_windows *made;
	size_t words;
	int r = window_size(entry, size, &size);

	if (r < 0)
		return r;
	words = size / 64;
	made = malloc(sizeof(*made) + 2 * words * sizeof(uint64_t));
	if (made == NULL)
		return -ENOMEM;
	lane_init(&made->window, entry == NULL ? 1 : entry->cumulative + 1, size, made->words, made->words + words);
	made->window.feed = id->feed;
	made->window.epoch = id->epoch;
	made->window.lane = id->lane;
	if (entry != NULL)
		window_fill(&made->window, entry);
	made->next = map->windows;
	map->windows = made;
	*ret_window = &made->window;
	return 0;
}
