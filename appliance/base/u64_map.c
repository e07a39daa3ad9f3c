/* Linear probing, at most half full; a removal closes the gap it makes, so that no slot is ever lost to the dead. */
#include "appliance/base/u64_map.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ROOM_MIN 64

struct u64_slot {
	uint64_t key; /* 0: empty */
	uint32_t value;
};

/* Keys are counts and the like: their lowest bits alone would lie beside each other. */
static size_t home(const struct u64_map *map, uint64_t key)
{
	key *= UINT64_C(0x9e3779b97f4a7c15);
	return (size_t)(key ^ key >> 32) & (map->room - 1);
}

/* The slot of the key, or the empty one where it would be put. There is one: half of them are. */
static struct u64_slot *slot_of(const struct u64_map *map, uint64_t key)
{
	size_t at = home(map, key);

	while (map->slots[at].key != 0 && map->slots[at].key != key)
		at = (at + 1) & (map->room - 1);
	return &map->slots[at];
}

int u64_map_reserve(struct u64_map *map, size_t count)
{
	struct u64_map grown = {.room = map->room > 0 ? map->room : ROOM_MIN, .count = map->count};

	while (grown.room < 2 * count)
		grown.room *= 2;
	if (grown.room == map->room)
		return 0;
	grown.slots = calloc(grown.room, sizeof(*grown.slots));
	if (grown.slots == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < map->room; i++)
		if (map->slots[i].key != 0)
			*slot_of(&grown, map->slots[i].key) = map->slots[i];
	free(map->slots);
	*map = grown;
	return 0;
}

int u64_map_put(struct u64_map *map, uint64_t key, uint32_t value)
{
	int result = u64_map_reserve(map, map->count + 1);
	struct u64_slot *slot;

	assert(key != 0);
	if (result < 0)
		return result;
	slot = slot_of(map, key);
	map->count += slot->key == 0;
	*slot = (struct u64_slot){.key = key, .value = value};
	return 0;
}

bool u64_map_get(const struct u64_map *map, uint64_t key, uint32_t *ret_value)
{
	const struct u64_slot *slot;

	if (map->count == 0 || key == 0)
		return false;
	slot = slot_of(map, key);
	if (slot->key == 0)
		return false;
	*ret_value = slot->value;
	return true;
}

void u64_map_remove(struct u64_map *map, uint64_t key)
{
	size_t mask = map->room - 1;
	size_t hole;

	if (map->count == 0 || key == 0 || slot_of(map, key)->key == 0)
		return;
	hole = (size_t)(slot_of(map, key) - map->slots);
	for (size_t at = (hole + 1) & mask; map->slots[at].key != 0; at = (at + 1) & mask) {
		/* What lies behind the hole moves into it, unless its home lies behind the hole too. */
		if (((at - home(map, map->slots[at].key)) & mask) < ((at - hole) & mask))
			continue;
		map->slots[hole] = map->slots[at];
		hole = at;
	}
	map->slots[hole] = (struct u64_slot){0};
	map->count--;
}

void u64_map_clear(struct u64_map *map)
{
	if (map->room > 0)
		memset(map->slots, 0, map->room * sizeof(*map->slots));
	map->count = 0;
}

void u64_map_fini(struct u64_map *map)
{
	free(map->slots);
	*map = (struct u64_map){0};
}
