/*
 * Matching a burst (data plane). A worker owns its scratch; the set is shared and never changes.
 *
 *	lay the keys between separators ─▶ scan both databases, ask both tables ─▶ found: (read, tier, group)
 *	─▶ sort, drop repeats ─▶ a hit for each of the group's entries that holds for the read
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
#include "matcher/keytable.h"
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
	uint64_t *found; /* read << 40 | tier << 32 | group: its order is the order of hits */
	size_t found_max;
	size_t found_count;
	enum match_tier_kind scanning; /* whose database the callback speaks for */
	uint16_t plate_count;
	uint16_t plates[BURST_MAX];                        /* reads of this part that are matched at all */
	uint16_t read_at[1 + BURST_MAX * RECORD_SIZE_MAX]; /* by the offset behind a record's separator */
	char buffer[1 + BURST_MAX * RECORD_SIZE_MAX + READ_TEXT_SIZE];
};

int match_scratch_new(const struct matchset *set, struct match_scratch **ret_scratch)
{
	const hs_database_t *databases[] = {set->literals, set->patterns};
	struct match_scratch *scratch = calloc(1, sizeof(*scratch));
	/* One literal, one mass key and one folded key at most have a read's key; twice, so that repeats do no harm. */
	size_t worst = 2 * ((size_t)set->stats.patterns + 3);

	if (scratch == NULL)
		return -ENOMEM;
	scratch->set = set;
	scratch->found_max = worst > FOUND_MIN ? worst : FOUND_MIN;
	scratch->found = calloc(scratch->found_max, sizeof(*scratch->found));
	if (scratch->found == NULL)
		goto free_scratch;
	for (size_t i = 0; i < sizeof(databases) / sizeof(databases[0]); i++)
		if (databases[i] != NULL && hs_alloc_scratch(databases[i], &scratch->hs) != HS_SUCCESS)
			goto free_scratch;
	*ret_scratch = scratch;
	return 0;

free_scratch:
	match_scratch_free(scratch);
	return -ENOMEM;
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
	scratch->found[scratch->found_count++] = (uint64_t)read << 40 | (uint64_t)tier << 32 | group;
	return true;
}

static size_t key_size(const uint8_t key[READ_TEXT_SIZE])
{
	uint64_t low, high;

	memcpy(&low, key, sizeof(low));
	memcpy(&high, key + 8, sizeof(high));
	low = le64toh(low);
	high = le64toh(high);
	if (high != 0)
		return 16 - (size_t)__builtin_clzll(high) / 8;
	return low != 0 ? 8 - (size_t)__builtin_clzll(low) / 8 : 0;
}

static void choose_plates(struct match_scratch *scratch, const struct read *reads, size_t count)
{
	scratch->plate_count = 0;
	for (size_t i = 0; i < count; i++) {
		scratch->plates[scratch->plate_count] = (uint16_t)i;
		scratch->plate_count += reads[i].kind == READ_KIND_VRM && (reads[i].flags & READ_FLAG_TEST) == 0 &&
					reads[i].key[0] != 0;
	}
}

/* "\nKEY\nKEY\n": a record's separator is the next one's too. The bytes laid. */
static size_t lay_keys(struct match_scratch *scratch, const struct read *reads)
{
	size_t at = 0;

	scratch->buffer[at++] = HSDB_SEPARATOR;
	for (size_t i = 0; i < scratch->plate_count; i++) {
		const uint8_t *key = reads[scratch->plates[i]].key;

		/* All sixteen bytes, always: the next record writes over the pad. */
		memcpy(scratch->buffer + at, key, READ_TEXT_SIZE);
		at += key_size(key);
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

static int scan(struct match_scratch *scratch, const struct hs_database *db, enum match_tier_kind tier, size_t size)
{
	hs_error_t code;

	if (db == NULL)
		return 0;
	scratch->scanning = tier;
	code = hs_scan(db, scratch->buffer, (unsigned)size, 0, scratch->hs, on_match, scratch);
	if (code == HS_SCAN_TERMINATED)
		return GATHER_TOO_MANY;
	return code == HS_SUCCESS ? 0 : -EIO;
}

static int gather_scans(struct match_scratch *scratch, const struct read *reads)
{
	const struct matchset *set = scratch->set;
	size_t size;
	int status;

	if (set->literals == NULL && set->patterns == NULL)
		return 0;
	size = lay_keys(scratch, reads);
	status = scan(scratch, set->literals, TIER_LITERAL, size);
	return status != 0 ? status : scan(scratch, set->patterns, TIER_PATTERN, size);
}

/* One table, in bursts that it can fetch ahead for. */
static int gather_table(struct match_scratch *scratch, const struct keytable *table, enum match_tier_kind tier,
			const struct read *reads)
{
	uint8_t keys[KEYTABLE_BURST][READ_TEXT_SIZE];
	uint32_t groups[KEYTABLE_BURST];

	for (size_t at = 0; table != NULL && at < scratch->plate_count; at += KEYTABLE_BURST) {
		size_t left = scratch->plate_count - at;
		size_t count = left < KEYTABLE_BURST ? left : KEYTABLE_BURST;

		for (size_t i = 0; i < count; i++) {
			const uint8_t *key = reads[scratch->plates[at + i]].key;

			if (tier == TIER_TOLERANT)
				vrm_fold(key, keys[i]);
			else
				memcpy(keys[i], key, READ_TEXT_SIZE);
		}
		keytable_find(table, (const uint8_t(*)[READ_TEXT_SIZE])keys, count, groups);
		for (size_t i = 0; i < count; i++)
			if (groups[i] != KEYTABLE_NONE && !found_add(scratch, scratch->plates[at + i], tier, groups[i]))
				return GATHER_TOO_MANY;
	}
	return 0;
}

static int gather(struct match_scratch *scratch, const struct read *reads, size_t count)
{
	int status;

	scratch->found_count = 0;
	choose_plates(scratch, reads, count);
	if (scratch->plate_count == 0)
		return 0;
	status = gather_scans(scratch, reads);
	if (status == 0)
		status = gather_table(scratch, scratch->set->mass, TIER_MASS, reads);
	if (status == 0)
		status = gather_table(scratch, scratch->set->tolerant, TIER_TOLERANT, reads);
	if (status == 0)
		found_compact(scratch);
	return status;
}

static bool target_holds(const struct matchset *set, const struct match_target *target, const struct read *read)
{
	const struct match_extra *extra;

	if (target->extra == 0)
		return true;
	extra = &set->tiers.extras[target->extra - 1];
	if (read->receipt_us >= extra->expires_us)
		return false;
	return !extra->as_received || memcmp(read->text, extra->text, READ_TEXT_SIZE) == 0;
}

static uint8_t target_kind(const struct matchset *set, const struct match_target *target, enum match_tier_kind tier,
			   const struct read *read)
{
	if (tier == TIER_PATTERN)
		return HIT_PATTERN;
	if (tier == TIER_TOLERANT && memcmp(set->tiers.extras[target->extra - 1].key, read->key, READ_TEXT_SIZE) != 0)
		return HIT_TOLERANT;
	return HIT_EXACT;
}

/* The caller's room for hits, and the place in the burst that it has been filled to. */
struct output {
	struct hit *hits;
	size_t room;
	size_t count;
	struct match_cursor *cursor; /* hits of the burst before it have been given by earlier calls */
};

static void hit_write(const struct matchset *set, const struct match_target *target, enum match_tier_kind tier,
		      const struct read *read, uint32_t row, struct hit *hit)
{
	const struct match_list *list = &set->lists[target->list];

	*hit = (struct hit){
		.row = row,
		.list = list->id,
		.version = list->version,
		.entry = target->entry,
		.kind = target_kind(set, target, tier, read),
		.priority = list->priority,
	};
}

/* The hits of what was found of `reads`, whose first one is row `base` of the burst. */
static int emit(const struct match_scratch *scratch, const struct read *reads, uint32_t base, struct output *output)
{
	const struct matchset *set = scratch->set;
	struct match_cursor given = *output->cursor;
	struct match_cursor at = {.read = base};

	for (size_t i = 0; i < scratch->found_count; i++) {
		uint32_t index = (uint32_t)(scratch->found[i] >> 40);
		enum match_tier_kind kind = (enum match_tier_kind)(scratch->found[i] >> 32 & 0xff);
		uint32_t group = (uint32_t)scratch->found[i];
		const struct match_tier *tier = &set->tiers.tier[kind];

		if (at.read != base + index)
			at = (struct match_cursor){.read = base + index};
		for (uint32_t j = tier->first[group]; j < tier->first[group + 1]; j++) {
			if (!target_holds(set, &tier->targets[j], &reads[index]))
				continue;
			if (at.read == given.read && at.hit < given.hit) {
				at.hit++;
				continue;
			}
			if (output->count == output->room) {
				*output->cursor = at;
				return MATCH_MORE;
			}
			hit_write(set, &tier->targets[j], kind, &reads[index], at.read, &output->hits[output->count++]);
			at.hit++;
		}
	}
	return 0;
}

int match_burst(const struct matchset *set, struct match_scratch *scratch, const struct read *reads, size_t count,
		struct match_cursor *cursor, struct hit *hits, size_t hits_max, size_t *ret_count)
{
	struct output output = {.hits = hits, .room = hits_max, .cursor = cursor};
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
			status = emit(scratch, reads + base, base, &output);
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
