/*
 * A map from 64-bit keys, never 0, to 32-bit values: open addressing, for whoever finds things by number. Zeroed is
 * empty. One thread at a time.
 */
#ifndef GANTRY_BASE_U64_MAP_H
#define GANTRY_BASE_U64_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct u64_slot;

struct u64_map {
	struct u64_slot *slots;
	size_t room; /* slots; a power of two, or 0 */
	size_t count;
};

/* Room for `count` keys in all: putting so many cannot fail then. -ENOMEM: the map is as it was. */
int u64_map_reserve(struct u64_map *map, size_t count);
/* A key that is there gets the new value. -ENOMEM: the map is as it was. */
int u64_map_put(struct u64_map *map, uint64_t key, uint32_t value);
/* ret_value is untouched when the key is not there. */
bool u64_map_get(const struct u64_map *map, uint64_t key, uint32_t *ret_value);
/* Of what is not there, is nothing. */
void u64_map_remove(struct u64_map *map, uint64_t key);
/* Removes all; the room stays. */
void u64_map_clear(struct u64_map *map);
void u64_map_fini(struct u64_map *map);

#endif
