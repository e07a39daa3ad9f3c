#include "matcher/match_tier.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/bytes.h"
#include "appliance/base/radix.h"
#include "matcher/masktable.h"
#include "matcher/vrm.h"
#include "matcher/vrm_variants.h"

static_assert(READ_TEXT_SIZE + LIST_WILDCARDS_MAX <= HSDB_PATTERN_SIZE, "an entry's pattern fits an item");
static_assert(VRM_SUBSTITUTION_MAX < MASKTABLE_MASKS_MAX, "every place of a key can be blanked");

#define PREFETCH_AHEAD 16 /* items, in a walk that jumps about */

/* One entry on its way into a group. */
struct item {
	struct hsdb_pattern pattern; /* a key, a canonical form or a pattern; zero padded */
	struct match_target target;
};

/* Items of one tier, while sorting. */
struct items {
	struct item *item;
	uint32_t count;
	uint32_t room;
};

struct build {
	const struct match_rules *rules;
	struct items items[TIER_COUNT];
	struct mask_census *census; /* NULL: no pattern goes to TIER_MASKED */
	struct match_tiers *tiers;
	uint32_t extra_room;
};

/* Room for one more of `size` bytes each, doubling. */
static int grow(void **array, uint32_t count, uint32_t *room, size_t size)
{
	uint32_t more = *room > 0 ? *room * 2 : 64;
	void *grown;

	if (count < *room)
		return 0;
	if (*room > UINT32_MAX / 4)
		return -ENOMEM;
	grown = realloc(*array, more * size);
	if (grown == NULL)
		return -ENOMEM;
	*array = grown;
	*room = more;
	return 0;
}

static int item_add(struct build *build, enum match_tier_kind tier, const void *pattern, size_t size,
		    const struct match_target *target)
{
	struct items *items = &build->items[tier];
	struct item *item;
	int status = grow((void **)&items->item, items->count, &items->room, sizeof(*item));

	if (status < 0)
		return status;
	assert(size <= HSDB_PATTERN_SIZE);
	item = &items->item[items->count++];
	memset(item, 0, sizeof(*item));
	memcpy(item->pattern.bytes, pattern, size);
	item->target = *target;
	return 0;
}

static int extra_add(struct build *build, const struct list_entry *entry, bool tolerant, uint32_t *ret_extra)
{
	struct match_tiers *tiers = build->tiers;
	struct match_extra *extra;
	int status;

	if (entry->expires_us == INT64_MAX && (entry->flags & LIST_FLAG_AS_RECEIVED) == 0 && !tolerant)
		return 0;
	status = grow((void **)&tiers->extras, tiers->extra_count, &build->extra_room, sizeof(*extra));
	if (status < 0)
		return status;
	extra = &tiers->extras[tiers->extra_count++];
	memset(extra, 0, sizeof(*extra));
	extra->expires_us = entry->expires_us;
	extra->tolerant = tolerant;
	extra->as_received = (entry->flags & LIST_FLAG_AS_RECEIVED) != 0;
	if (tolerant)
		memcpy(extra->key, entry->pattern, strlen(entry->pattern));
	if (extra->as_received)
		memcpy(extra->text, entry->text, strnlen(entry->text, READ_TEXT_SIZE));
	*ret_extra = tiers->extra_count;
	return 0;
}

/* The key with each of its places blanked in turn. */
static int blanked_add(struct build *build, const char *key, const struct match_target *target)
{
	uint8_t form[READ_TEXT_SIZE];
	size_t size = strlen(key);
	int status = 0;

	if (size < VRM_SUBSTITUTION_MIN || size > VRM_SUBSTITUTION_MAX)
		return 0;
	for (size_t i = 0; i < size && status == 0; i++) {
		memcpy(form, key, size);
		form[i] = '?';
		status = item_add(build, TIER_MASKED, form, size, target);
	}
	return status;
}

static int tolerant_add(struct build *build, const struct list_entry *entry, enum list_tolerance tolerance,
			const struct match_target *target)
{
	uint8_t form[READ_TEXT_SIZE] = {0};
	int status;

	memcpy(form, entry->pattern, strlen(entry->pattern));
	vrm_alike(form, form);
	status = item_add(build, TIER_TOLERANT, form, sizeof(form), target);
	if (status == 0 && tolerance == LIST_TOLERANCE_SUBSTITUTION)
		status = blanked_add(build, entry->pattern, target);
	return status;
}

/*
 * Patterns of fixed size that say the same together, one for each size that the only `*` leaves open. 0: more than one
 * `*`, which would be too many.
 */
static size_t pattern_forms(const char *pattern, uint8_t forms[READ_TEXT_SIZE][READ_TEXT_SIZE])
{
	const char *star = strchr(pattern, '*');
	size_t size = strlen(pattern), head, tail, count = 0;

	memset(forms, 0, READ_TEXT_SIZE * sizeof(forms[0]));
	if (star == NULL) {
		memcpy(forms[0], pattern, size);
		return 1;
	}
	if (strchr(star + 1, '*') != NULL)
		return 0;
	head = (size_t)(star - pattern);
	tail = size - head - 1;
	for (size_t fill = 0; head + fill + tail <= READ_TEXT_SIZE; fill++, count++) {
		memcpy(forms[count], pattern, head);
		memset(forms[count] + head, '?', fill);
		memcpy(forms[count] + head + fill, star + 1, tail);
	}
	return count;
}

static int pattern_add(struct build *build, const char *pattern, const struct match_target *target)
{
	uint8_t forms[READ_TEXT_SIZE][READ_TEXT_SIZE];
	size_t count = build->census != NULL ? pattern_forms(pattern, forms) : 0;
	bool fits = count > 0;
	int status = 0;

	for (size_t i = 0; i < count && fits; i++)
		fits = mask_census_add(build->census, forms[i]);
	if (!fits)
		return item_add(build, TIER_PATTERN, pattern, strlen(pattern), target);
	for (size_t i = 0; i < count && status == 0; i++)
		status = item_add(build, TIER_MASKED, forms[i], READ_TEXT_SIZE, target);
	return status;
}

static int entry_add(struct build *build, const struct list_info *info, const struct list_entry *entry, bool mass,
		     struct match_target *target)
{
	enum list_tolerance tolerance = list_tolerance_of(info, entry->flags);
	int status = extra_add(build, entry, tolerance != LIST_TOLERANCE_OFF, &target->extra);

	if (status < 0)
		return status;
	build->tiers->entry_count++;
	if ((entry->flags & LIST_FLAG_WILDCARD) != 0) {
		build->tiers->pattern_count++;
		return pattern_add(build, entry->pattern, target);
	}
	if (tolerance != LIST_TOLERANCE_OFF)
		return tolerant_add(build, entry, tolerance, target);
	return item_add(build, mass ? TIER_MASS : TIER_LITERAL, entry->pattern, strlen(entry->pattern), target);
}

static int part_add(struct build *build, const struct match_part *part, bool mass)
{
	struct list_entry entry;
	int status = 0;

	for (uint32_t i = part->from; i < list_count(part->list) && status == 0; i++) {
		struct match_target target = {.list = part->number, .entry = i};

		if ((list_entry_flags(part->list, i) & LIST_FLAG_REMOVED) != 0)
			continue;
		list_entry(part->list, i, &entry);
		status = entry_add(build, list_info(part->list), &entry, mass, &target);
	}
	return status;
}

static int items_compare(const void *context, uint32_t left, uint32_t right)
{
	const struct item *items = context, *a = &items[left], *b = &items[right];
	int order = memcmp(&a->pattern, &b->pattern, sizeof(a->pattern));

	if (order != 0)
		return order;
	if (a->target.list != b->target.list)
		return a->target.list < b->target.list ? -1 : 1;
	return a->target.entry < b->target.entry ? -1 : a->target.entry > b->target.entry;
}

/* The order of the items, as indexes. NULL: no memory. */
static struct radix_item *items_sorted(const struct items *items)
{
	struct radix_item *places = malloc(((size_t)items->count + 1) * sizeof(*places));

	for (uint32_t i = 0; places != NULL && i < items->count; i++)
		places[i] = (struct radix_item){be64_get(items->item[i].pattern.bytes), i};
	if (places != NULL && radix_sort_compared(places, items->count, items_compare, items->item) == 0)
		return places;
	free(places);
	return NULL;
}

static int tier_build(struct match_tier *tier, const struct items *items)
{
	const size_t room = (size_t)items->count + 1;
	struct radix_item *places = items_sorted(items);

	tier->targets = malloc(room * sizeof(*tier->targets));
	tier->first = malloc(room * sizeof(*tier->first));
	tier->patterns = malloc(room * sizeof(*tier->patterns));
	if (places == NULL || tier->targets == NULL || tier->first == NULL || tier->patterns == NULL) {
		free(places);
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < items->count; i++) {
		const struct item *item = &items->item[places[i].index];
		uint32_t groups = tier->group_count;

		if (i + PREFETCH_AHEAD < items->count)
			__builtin_prefetch(&items->item[places[i + PREFETCH_AHEAD].index]);
		if (groups == 0 || memcmp(&item->pattern, &tier->patterns[groups - 1], sizeof(item->pattern)) != 0) {
			tier->first[tier->group_count] = i;
			tier->patterns[tier->group_count++] = item->pattern;
		}
		tier->targets[i] = item->target;
	}
	free(places);
	tier->target_count = items->count;
	tier->first[tier->group_count] = items->count;
	return 0;
}

/* A list is mass by its own length, or all are because together they would be too many for Hyperscan. */
static uint32_t mass_bound(const struct match_part *parts, uint32_t count, const struct match_rules *rules)
{
	uint64_t literals = 0;

	for (uint32_t i = 0; i < count; i++)
		if (list_count(parts[i].list) < rules->mass_entries_min)
			literals += list_count(parts[i].list);
	return literals > rules->literals_max ? 0 : rules->mass_entries_min;
}

/* Blanked keys always find room: their masks are taken before any pattern's. */
static int census_init(struct build *build)
{
	if (!build->rules->masks)
		return 0;
	build->census = calloc(1, sizeof(*build->census));
	if (build->census == NULL)
		return -ENOMEM;
	for (size_t size = VRM_SUBSTITUTION_MIN; size <= VRM_SUBSTITUTION_MAX; size++) {
		for (size_t i = 0; i < size; i++) {
			uint8_t form[READ_TEXT_SIZE] = {0};

			memset(form, 'A', size);
			form[i] = '?';
			(void)mask_census_add(build->census, form);
		}
	}
	return 0;
}

static int tiers_build(struct build *build, const struct match_part *parts, uint32_t count)
{
	uint32_t mass_min = mass_bound(parts, count, build->rules);
	int status = census_init(build);

	for (uint32_t i = 0; i < count && status == 0; i++)
		status = part_add(build, &parts[i], list_count(parts[i].list) >= mass_min);
	for (int i = 0; i < TIER_COUNT && status == 0; i++)
		status = tier_build(&build->tiers->tier[i], &build->items[i]);
	return status;
}

int match_tiers_init(struct match_tiers *tiers, const struct match_part *parts, uint32_t count,
		     const struct match_rules *rules)
{
	struct build build = {.rules = rules, .tiers = tiers};
	int status;

	memset(tiers, 0, sizeof(*tiers));
	status = tiers_build(&build, parts, count);
	for (int i = 0; i < TIER_COUNT; i++)
		free(build.items[i].item);
	free(build.census);
	if (status < 0)
		match_tiers_fini(tiers);
	return status;
}

void match_tiers_trim(struct match_tiers *tiers)
{
	for (int i = 0; i < TIER_COUNT; i++) {
		struct match_tier *tier = &tiers->tier[i];

		if (tier->patterns != NULL)
			bytes_wipe(tier->patterns, tier->group_count * sizeof(*tier->patterns));
		free(tier->patterns);
		tier->patterns = NULL;
	}
}

void match_tiers_fini(struct match_tiers *tiers)
{
	match_tiers_trim(tiers);
	for (int i = 0; i < TIER_COUNT; i++) {
		free(tiers->tier[i].targets);
		free(tiers->tier[i].first);
	}
	free(tiers->extras);
	memset(tiers, 0, sizeof(*tiers));
}
