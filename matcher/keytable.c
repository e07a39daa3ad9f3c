#include "matcher/keytable.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "appliance/base/digest.h"

#define BUCKET_SLOTS 16
#define BUCKET_SIZE (BUCKET_SLOTS * sizeof(uint16_t))

/*
 * Half a cache line: sixteen bits of the hash of each key in it, filled from the front, 0 is free. Nearly every key
 * asked for is in no list, and that is known from one line and two vector compares, without a branch to guess wrong.
 */
struct bucket {
	_Alignas(BUCKET_SIZE) uint16_t tags[BUCKET_SLOTS];
};

struct keytable {
	struct bucket *buckets;
	uint32_t *indexes; /* BUCKET_SLOTS for each bucket */
	uint8_t (*keys)[READ_TEXT_SIZE];
	uint64_t seed; /* random: nobody can craft plates that meet in one bucket */
	uint32_t mask;
};

/* GCC's portable vectors, as in vrm.c. */
typedef uint16_t tag_vector __attribute__((vector_size(BUCKET_SIZE / 2)));

static inline uint64_t key_hash(const struct keytable *table, const uint8_t key[READ_TEXT_SIZE])
{
	return XXH3_64bits_withSeed(key, READ_TEXT_SIZE, table->seed);
}

/* From the top of the hash; the bucket is from the bottom. */
static inline uint16_t hash_tag(uint64_t hash)
{
	uint16_t tag = (uint16_t)(hash >> 48);

	return tag != 0 ? tag : 1;
}

static inline bool bucket_is_full(const struct bucket *bucket)
{
	return bucket->tags[BUCKET_SLOTS - 1] != 0;
}

static inline bool bucket_has(const struct bucket *bucket, uint16_t tag)
{
	tag_vector halves[2];
	uint64_t words[2];

	memcpy(halves, bucket->tags, sizeof(halves));
	halves[0] = (tag_vector)((halves[0] == tag) | (halves[1] == tag));
	memcpy(words, &halves[0], sizeof(words));
	return (words[0] | words[1]) != 0;
}

static void insert(struct keytable *table, uint32_t index)
{
	uint64_t hash = key_hash(table, table->keys[index]);
	uint32_t at = (uint32_t)hash & table->mask;
	uint32_t slot = 0;

	while (bucket_is_full(&table->buckets[at]))
		at = (at + 1) & table->mask;
	while (table->buckets[at].tags[slot] != 0)
		slot++;
	table->buckets[at].tags[slot] = hash_tag(hash);
	table->indexes[at * BUCKET_SLOTS + slot] = index;
}

int keytable_new(const uint8_t (*keys)[READ_TEXT_SIZE], uint32_t count, struct keytable **ret_table)
{
	struct keytable *table = calloc(1, sizeof(*table));
	size_t room = 1;

	assert(count <= 1u << 30);
	while (room * BUCKET_SLOTS < (size_t)count * 2)
		room *= 2;
	if (table == NULL)
		return -ENOMEM;
	table->buckets = aligned_alloc(BUCKET_SIZE, room * sizeof(*table->buckets));
	table->indexes = malloc(room * BUCKET_SLOTS * sizeof(*table->indexes));
	table->keys = malloc(((size_t)count + 1) * sizeof(*table->keys));
	if (table->buckets == NULL || table->indexes == NULL || table->keys == NULL) {
		keytable_free(table);
		return -ENOMEM;
	}
	memset(table->buckets, 0, room * sizeof(*table->buckets));
	random_bytes(&table->seed, sizeof(table->seed));
	table->mask = (uint32_t)(room - 1);
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
	free(table->buckets);
	free(table->indexes);
	free(table->keys);
	free(table);
	return NULL;
}

/* The key's index among those of the bucket with its tag: mostly one, and mostly the right one. */
static uint32_t bucket_search(const struct keytable *table, uint32_t at, const uint8_t key[READ_TEXT_SIZE],
			      uint16_t tag)
{
	const uint32_t *indexes = &table->indexes[at * BUCKET_SLOTS];

	for (uint32_t slot = 0; slot < BUCKET_SLOTS; slot++)
		if (table->buckets[at].tags[slot] == tag &&
		    memcmp(table->keys[indexes[slot]], key, READ_TEXT_SIZE) == 0)
			return indexes[slot];
	return KEYTABLE_NONE;
}

/* Ends at the latest at a bucket that is not full: half of all slots are free. */
static inline uint32_t probe(const struct keytable *table, const uint8_t key[READ_TEXT_SIZE], uint64_t hash)
{
	uint16_t tag = hash_tag(hash);

	for (uint32_t at = (uint32_t)hash & table->mask;; at = (at + 1) & table->mask) {
		uint32_t index = KEYTABLE_NONE;

		if (bucket_has(&table->buckets[at], tag))
			index = bucket_search(table, at, key, tag);
		if (index != KEYTABLE_NONE || !bucket_is_full(&table->buckets[at]))
			return index;
	}
}

void keytable_find(const struct keytable *table, const uint8_t (*keys)[READ_TEXT_SIZE], size_t count,
		   uint32_t *ret_indexes)
{
	uint64_t hashes[KEYTABLE_BURST];

	assert(count <= KEYTABLE_BURST);
	for (size_t i = 0; i < count; i++) {
		hashes[i] = key_hash(table, keys[i]);
		__builtin_prefetch(&table->buckets[(uint32_t)hashes[i] & table->mask]);
	}
	for (size_t i = 0; i < count; i++)
		ret_indexes[i] = probe(table, keys[i], hashes[i]);
}
