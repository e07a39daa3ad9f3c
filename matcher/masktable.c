#include "matcher/masktable.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "matcher/vrm.h"

typedef uint8_t mask_vector __attribute__((vector_size(READ_TEXT_SIZE)));

/* A key under a mask: (key & keep) | blanks. */
struct mask {
	mask_vector keep;
	mask_vector blanks;
};

struct masktable {
	struct keytable *patterns;
	struct mask *masks;                 /* by size */
	uint32_t first[READ_TEXT_SIZE + 2]; /* by size: its first mask */
};

static uint16_t mask_bits(const uint8_t pattern[READ_TEXT_SIZE])
{
	uint16_t bits = 0;

	for (unsigned i = 0; i < READ_TEXT_SIZE; i++)
		bits |= (uint16_t)((pattern[i] == '?') << i);
	return bits;
}

bool mask_census_add(struct mask_census *census, const uint8_t pattern[READ_TEXT_SIZE])
{
	size_t size = vrm_key_size(pattern);
	uint16_t bits = mask_bits(pattern);
	uint8_t *byte = &census->seen[size][bits / 8];
	uint8_t bit = (uint8_t)(1 << bits % 8);

	if ((*byte & bit) != 0)
		return true;
	if (census->counts[size] == MASKTABLE_MASKS_MAX)
		return false;
	*byte |= bit;
	census->counts[size]++;
	return true;
}

static struct mask mask_make(uint16_t bits)
{
	struct mask mask;

	for (unsigned i = 0; i < READ_TEXT_SIZE; i++) {
		mask.keep[i] = (bits >> i & 1) != 0 ? 0 : 0xff;
		mask.blanks[i] = (bits >> i & 1) != 0 ? '?' : 0;
	}
	return mask;
}

static void masks_fill(struct masktable *table, const struct mask_census *census)
{
	uint32_t count = 0;

	for (size_t size = 0; size <= READ_TEXT_SIZE; size++) {
		table->first[size] = count;
		for (uint32_t bits = 0; bits < 1u << READ_TEXT_SIZE && census->counts[size] > 0; bits++)
			if ((census->seen[size][bits / 8] >> bits % 8 & 1) != 0)
				table->masks[count++] = mask_make((uint16_t)bits);
	}
	table->first[READ_TEXT_SIZE + 1] = count;
}

static int masks_init(struct masktable *table, const uint8_t (*patterns)[READ_TEXT_SIZE], uint32_t count)
{
	struct mask_census *census = calloc(1, sizeof(*census));
	size_t room = 1;

	if (census == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; i < count; i++) {
		bool taken = mask_census_add(census, patterns[i]);

		assert(taken);
	}
	for (size_t size = 0; size <= READ_TEXT_SIZE; size++)
		room += census->counts[size];
	table->masks = aligned_alloc(sizeof(mask_vector), room * sizeof(*table->masks));
	if (table->masks != NULL)
		masks_fill(table, census);
	free(census);
	return table->masks == NULL ? -ENOMEM : 0;
}

int masktable_new(const uint8_t (*patterns)[READ_TEXT_SIZE], uint32_t count, struct masktable **ret_table)
{
	struct masktable *table = calloc(1, sizeof(*table));
	int status;

	if (table == NULL)
		return -ENOMEM;
	status = masks_init(table, patterns, count);
	if (status == 0)
		status = keytable_new(patterns, count, &table->patterns);
	if (status < 0) {
		masktable_free(table);
		return status;
	}
	*ret_table = table;
	return 0;
}

struct masktable *masktable_free(struct masktable *table)
{
	if (table == NULL)
		return NULL;
	keytable_free(table->patterns);
	free(table->masks);
	free(table);
	return NULL;
}

uint32_t masktable_matches_max(const struct masktable *table)
{
	uint32_t most = 0;

	for (size_t size = 0; size <= READ_TEXT_SIZE; size++)
		if (table->first[size + 1] - table->first[size] > most)
			most = table->first[size + 1] - table->first[size];
	return most;
}

/* One key's blanked forms, as many at a time as the table fetches ahead for. */
static bool key_find(const struct masktable *table, const uint8_t key[READ_TEXT_SIZE], size_t number,
		     masktable_found *found, void *context)
{
	uint8_t forms[KEYTABLE_BURST][READ_TEXT_SIZE];
	uint32_t indexes[KEYTABLE_BURST];
	size_t size = vrm_key_size(key);
	mask_vector bytes;

	memcpy(&bytes, key, sizeof(bytes));
	for (uint32_t at = table->first[size], end = table->first[size + 1]; at < end;) {
		uint32_t count = end - at < KEYTABLE_BURST ? end - at : KEYTABLE_BURST;

		for (uint32_t i = 0; i < count; i++, at++) {
			mask_vector form = (bytes & table->masks[at].keep) | table->masks[at].blanks;

			memcpy(forms[i], &form, sizeof(form));
		}
		keytable_find(table->patterns, (const uint8_t(*)[READ_TEXT_SIZE])forms, count, indexes);
		for (uint32_t i = 0; i < count; i++)
			if (indexes[i] != KEYTABLE_NONE && !found(context, number, indexes[i]))
				return false;
	}
	return true;
}

bool masktable_find(const struct masktable *table, const uint8_t (*keys)[READ_TEXT_SIZE], size_t count,
		    masktable_found *found, void *context)
{
	for (size_t i = 0; i < count; i++)
		if (!key_find(table, keys[i], i, found, context))
			return false;
	return true;
}
