/*
 * Matching a burst (data plane). A worker owns its scratch; the set is shared and never changes.
 *
 *	lay the keys side by side and between separators ─▶ of base and delta: scan the databases, ask the tables
 *	─▶ found: (read, layer, tier, group) ─▶ sort, drop repeats ─▶ hits (matcher/match_emit.h)
 *
 * Bounds. A part of a burst is at most BURST_MAX reads. `found` has room for what one read can meet at worst, every
 * pattern there is, and usually for much more than a burst meets; when it overflows, the part is done again with half
 * as many reads, which ends at one. What does not fit the caller's hits is found again by the next call: the order of
 * hits depends on nothing but reads and set, so a cursor can say where to go on.
 */
#include "matcher/matchset.h"

#include <assert.h>
#include <errno.h>
#include <hs.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/read.h"
#include "matcher/hsdb.h"
#include "matcher/keytable.h"
#include "matcher/masktable.h"
#include "matcher/match_emit.h"
#include "matcher/matchset_inside.h"
#include "matcher/vrm.h"

#define BURST_MAX 1024
#define RECORD_SIZE_MAX (READ_TEXT_SIZE + 1)
#define FOUND_MIN (4 * BURST_MAX)

static_assert((BURST_MAX + 1) * RECORD_SIZE_MAX < UINT32_MAX, "an offset fits");
static_assert(BURST_MAX <= UINT16_MAX, "a read's index fits");

struct match_scratch {
	const struct matchset *set;
	hs_scratch_t *hs;
	uint64_t *found; /* match_found: its order is the order of hits */
	size_t found_max;
	size_t found_count;
	enum match_layer_kind layer;   /* whose tiers are asked now */
	enum match_tier_kind scanning; /* whose database the callback speaks for */
	uint16_t plate_count;
	uint16_t plates[BURST_MAX];                        /* reads of this part that are matched at all */
	uint8_t keys[BURST_MAX][READ_TEXT_SIZE];           /* theirs */
	uint8_t forms[BURST_MAX][READ_TEXT_SIZE];          /* canonical ones; filled when a tolerant entry exists */
	uint16_t read_at[1 + BURST_MAX * RECORD_SIZE_MAX]; /* by the offset behind a record's separator */
	char buffer[1 + BURST_MAX * RECORD_SIZE_MAX + READ_TEXT_SIZE];
};

static int scratch_fit(struct match_scratch *scratch, const struct match_layer *layer)
{
	const struct hsdb *databases[] = {layer->literals, layer->patterns};

	for (size_t i = 0; i < sizeof(databases) / sizeof(databases[0]); i++)
		if (databases[i] != NULL && hs_alloc_scratch(hsdb_database(databases[i]), &scratch->hs) != HS_SUCCESS)
			return -ENOMEM;
	return 0;
}

int match_scratch_new(const struct matchset *set, struct match_scratch **ret_scratch)
{
	struct match_scratch *scratch = calloc(1, sizeof(*scratch));
	size_t worst = match_layer_groups_max(&set->delta);

	if (scratch == NULL)
		return -ENOMEM;
	if (set->base != NULL)
		worst += match_layer_groups_max(&set->base->layer);
	/* Twice what one read meets at worst, so that repeats do no harm. */
	scratch->set = set;
	scratch->found_max = 2 * worst > FOUND_MIN ? 2 * worst : FOUND_MIN;
	scratch->found = calloc(scratch->found_max, sizeof(*scratch->found));
	if (scratch->found == NULL || scratch_fit(scratch, &set->delta) < 0 ||
	    (set->base != NULL && scratch_fit(scratch, &set->base->layer) < 0)) {
		match_scratch_free(scratch);
		return -ENOMEM;
	}
	*ret_scratch = scratch;
	return 0;
}

struct match_scratch *match_scratch_free(struct match_scratch *scratch)
{
	if (scratch == NULL)
		return NULL;
	(void)hs_free_scratch(scratch->hs);
	free(scratch->found);
	free(scratch);
	return NULL;
}

/* Ciura's gaps: no recursion, no memory, quick on the handful that a burst finds and decent on thousands. */
static void found_sort(uint64_t *found, size_t count)
{
	static const size_t gaps[] = {20000, 8861, 3938, 1750, 701, 301, 132, 57, 23, 10, 4, 1};

	for (size_t g = 0; g < sizeof(gaps) / sizeof(gaps[0]); g++) {
		for (size_t i = gaps[g]; i < count; i++) {
			uint64_t value = found[i];
			size_t at = i;

			for (; at >= gaps[g] && found[at - gaps[g]] > value; at -= gaps[g])
				found[at] = found[at - gaps[g]];
			found[at] = value;
		}
	}
}

static void found_compact(struct match_scratch *scratch)
{
	size_t kept = 0;

	found_sort(scratch->found, scratch->found_count);
	for (size_t i = 0; i < scratch->found_count; i++)
		if (kept == 0 || scratch->found[kept - 1] != scratch->found[i])
			scratch->found[kept++] = scratch->found[i];
	scratch->found_count = kept;
}

/* False: no room, also after repeats were dropped. */
static bool found_add(struct match_scratch *scratch, uint16_t read, enum match_tier_kind tier, uint32_t group)
{
	if (scratch->found_count == scratch->found_max)
		found_compact(scratch);
	if (scratch->found_count == scratch->found_max)
		return false;
	scratch->found[scratch->found_count++] = match_found(read, scratch->layer, tier, group);
	return true;
}

static void choose_plates(struct match_scratch *scratch, const struct read *reads, size_t count)
{
	scratch->plate_count = 0;
	for (size_t i = 0; i < count; i++) {
		scratch->plates[scratch->plate_count] = (uint16_t)i;
		memcpy(scratch->keys[scratch->plate_count], reads[i].key, READ_TEXT_SIZE);
		scratch->plate_count += reads[i].kind == READ_KIND_VRM && (reads[i].flags & READ_FLAG_TEST) == 0 &&
					reads[i].key[0] != 0;
	}
}

/* "\nKEY\nKEY\n": a record's separator is the next one's too. The bytes laid. */
static size_t lay_keys(struct match_scratch *scratch)
{
	size_t at = 0;

	scratch->buffer[at++] = HSDB_SEPARATOR;
	for (size_t i = 0; i < scratch->plate_count; i++) {
		const uint8_t *key = scratch->keys[i];

		/* All sixteen bytes, always: the next record writes over the pad. */
		memcpy(scratch->buffer + at, key, READ_TEXT_SIZE);
		at += vrm_key_size(key);
		scratch->buffer[at++] = HSDB_SEPARATOR;
		scratch->read_at[at] = scratch->plates[i];
	}
	return at;
}

static int on_match(unsigned id, unsigned long long from, unsigned long long to, unsigned flags, void *context)
{
	struct match_scratch *scratch = context;

	(void)from;
	(void)flags;
	return !found_add(scratch, scratch->read_at[to], scratch->scanning, id);
}

enum gather_outcome { GATHER_TOO_MANY = 1 };

static int scan(struct match_scratch *scratch, const struct hsdb *db, enum match_tier_kind tier, size_t size)
{
	hs_error_t code;

	if (db == NULL)
		return 0;
	scratch->scanning = tier;
	code = hs_scan(hsdb_database(db), scratch->buffer, (unsigned)size, 0, scratch->hs, on_match, scratch);
	if (code == HS_SCAN_TERMINATED)
		return GATHER_TOO_MANY;
	return code == HS_SUCCESS ? 0 : -EIO;
}

/* One table, in bursts that it can fetch ahead for. */
static int gather_table(struct match_scratch *scratch, const struct keytable *table, enum match_tier_kind tier)
{
	const uint8_t(*keys)[READ_TEXT_SIZE] =
		(const uint8_t(*)[READ_TEXT_SIZE])(tier == TIER_TOLERANT ? scratch->forms : scratch->keys);
	uint32_t groups[KEYTABLE_BURST];

	for (size_t at = 0; table != NULL && at < scratch->plate_count; at += KEYTABLE_BURST) {
		size_t left = scratch->plate_count - at;
		size_t count = left < KEYTABLE_BURST ? left : KEYTABLE_BURST;

		keytable_find(table, keys + at, count, groups);
		for (size_t i = 0; i < count; i++)
			if (groups[i] != KEYTABLE_NONE && !found_add(scratch, scratch->plates[at + i], tier, groups[i]))
				return GATHER_TOO_MANY;
	}
	return 0;
}

static bool on_masked(void *context, size_t key, uint32_t index)
{
	struct match_scratch *scratch = context;

	return found_add(scratch, scratch->plates[key], TIER_MASKED, index);
}

static int gather_layer(struct match_scratch *scratch, const struct match_layer *layer, size_t size)
{
	int status = scan(scratch, layer->literals, TIER_LITERAL, size);

	if (status == 0)
		status = scan(scratch, layer->patterns, TIER_PATTERN, size);
	if (status == 0)
		status = gather_table(scratch, layer->mass, TIER_MASS);
	if (status == 0)
		status = gather_table(scratch, layer->tolerant, TIER_TOLERANT);
	if (status == 0 && layer->masked != NULL &&
	    !masktable_find(layer->masked, (const uint8_t(*)[READ_TEXT_SIZE])scratch->keys, scratch->plate_count,
			    on_masked, scratch))
		status = GATHER_TOO_MANY;
	return status;
}

static bool layer_scans(const struct match_layer *layer)
{
	return layer->literals != NULL || layer->patterns != NULL;
}

/* What the layers ask of a part: its keys, where a database scans between separators, where something is tolerant as
 * canonical forms. */
static size_t prepare(struct match_scratch *scratch, const struct match_layer *base, const struct match_layer *delta)
{
	if (delta->tolerant != NULL || (base != NULL && base->tolerant != NULL))
		for (size_t i = 0; i < scratch->plate_count; i++)
			vrm_alike(scratch->keys[i], scratch->forms[i]);
	return layer_scans(delta) || (base != NULL && layer_scans(base)) ? lay_keys(scratch) : 0;
}

static int gather(struct match_scratch *scratch, const struct read *reads, size_t count)
{
	const struct match_layer *delta = &scratch->set->delta;
	const struct match_layer *base = scratch->set->base != NULL ? &scratch->set->base->layer : NULL;
	size_t size;
	int status = 0;

	scratch->found_count = 0;
	choose_plates(scratch, reads, count);
	if (scratch->plate_count == 0)
		return 0;
	size = prepare(scratch, base, delta);
	scratch->layer = MATCH_BASE;
	if (base != NULL)
		status = gather_layer(scratch, base, size);
	scratch->layer = MATCH_DELTA;
	if (status == 0)
		status = gather_layer(scratch, delta, size);
	if (status == 0)
		found_compact(scratch);
	return status;
}

int match_burst(const struct matchset *set, struct match_scratch *scratch, const struct read *reads, size_t count,
		struct match_cursor *cursor, struct hit *hits, size_t hits_max, size_t *ret_count)
{
	struct match_output output = {.hits = hits, .room = hits_max, .cursor = cursor};
	size_t part = BURST_MAX;

	assert(scratch->set == set);
	assert(hits_max > 0);
	while (cursor->read < count) {
		size_t left = count - cursor->read;
		uint32_t base = cursor->read;
		int status;

		part = left < part ? left : part;
		status = gather(scratch, reads + base, part);
		if (status == GATHER_TOO_MANY) {
			assert(part > 1);
			part /= 2;
			continue;
		}
		if (status == 0)
			status = match_emit(set, scratch->found, scratch->found_count, reads + base, base, &output);
		if (status == MATCH_MORE)
			*ret_count = output.count;
		if (status != 0)
			return status;
		*cursor = (struct match_cursor){.read = base + (uint32_t)part};
	}
	*cursor = (struct match_cursor){0};
	*ret_count = output.count;
	return 0;
}
