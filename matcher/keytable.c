#include "matcher/keytable.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "appliance/base/digest.h"

/* A slot: the hash's upper half over the index + 1; 0 is free. A miss reads one slot, not the key. */
struct keytable {
	uint64_t *slots;
	uint8_t (*keys)[READ_TEXT_SIZE];
	uint64_t seed; /* random: nobody can craft plates that meet in one slot */
	uint32_t mask;
	uint32_t count;
};

static inline uint64_t key_hash(const struct keytable *table, const uint8_t key[READ_TEXT_SIZE])
{
	return XXH3_64bits_withSeed(key, READ_TEXT_SIZE, table->seed);
}

static void insert(struct keytable *table, uint32_t index)
{
	uint64_t hash = key_hash(table, table->keys[index]);
	uint32_t at = (uint32_t)hash & table->mask;

	while (table->slots[at] != 0)
		at = (at + 1) & table->mask;
	table->slots[at] = (hash & ~(uint64_t)UINT32_MAX) | (index + 1);
}

int keytable_new(const uint8_t (*keys)[READ_TEXT_SIZE], uint32_t count, struct keytable **ret_table)
{
	struct keytable *table = calloc(1, sizeof(*table));
	uint32_t room = 16;

	assert(count <= 1u << 30);
	while (room < count * 2)
		room *= 2;
	if (table == NULL)
		return -ENOMEM;
	table->slots = calloc(room, sizeof(*table->slots));
	table->keys = malloc(((size_t)count + 1) * sizeof(*table->keys));
	if (table->slots == NULL || table->keys == NULL) {
		keytable_free(table);
		return -ENOMEM;
	}
	random_bytes(&table->seed, sizeof(table->seed));
	table->mask = room - 1;
	table->count = count;
	memcpy(table->keys, keys, count * sizeof(*keys));
	for (uint32_t i = 0; i < count; i++)
		insert(table, i);
	*ret_table = table;
	return 0;
}

struct keytable *keytable_free(struct keytable *table)
{
	if (table == NULL)
		return NULL;
	free(table->slots);
	free(table->keys);
	free(table);
	return NULL;
}

/* Ends at the latest at a free slot, and every second one is. */
static uint32_t probe(const struct keytable *table, const uint8_t key[READ_TEXT_SIZE], uint64_t hash)
{
	uint32_t at = (uint32_t)hash & table->mask;
	uint64_t slot;

	while ((slot = table->slots[at]) != 0) {
		uint32_t index = (uint32_t)slot - 1;

		if ((slot ^ hash) >> 32 == 0 && memcmp(table->keys[index], key, READ_TEXT_SIZE) == 0)
			return index;
		at = (at + 1) & table->mask;
	}
	return KEYTABLE_NONE;
}

void keytable_find(const struct keytable *table, const uint8_t (*keys)[READ_TEXT_SIZE], size_t count,
		   uint32_t *ret_indexes)
{
	uint64_t hashes[KEYTABLE_BURST];

	assert(count <= KEYTABLE_BURST);
	for (size_t i = 0; i < count; i++) {
		hashes[i] = key_hash(table, keys[i]);
		__builtin_prefetch(&table->slots[(uint32_t)hashes[i] & table->mask]);
	}
	for (size_t i = 0; i < count; i++)
		ret_indexes[i] = probe(table, keys[i], hashes[i]);
}
