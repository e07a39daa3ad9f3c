#include "matcher/match_tier.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "matcher/list.h"
#include "matcher/vrm.h"

static_assert(READ_TEXT_SIZE + LIST_WILDCARDS_MAX <= HSDB_PATTERN_SIZE, "an entry's pattern fits an item");

/* One entry on its way into a group. */
struct item {
	struct hsdb_pattern pattern; /* a key, a folded key or a pattern; zero padded */
	struct match_target target;
};

/* Items of one tier, while sorting. */
struct items {
	struct item *item;
	uint32_t count;
};

struct build {
	const struct list *const *lists;
	uint32_t list_count;
	bool *mass; /* per list: its exact entries go to the mass tier */
	struct items items[TIER_COUNT];
	struct match_tiers *tiers;
};

static bool entry_has_extra(const struct list_entry *entry)
{
	return entry->expires_us != INT64_MAX || (entry->flags & (LIST_FLAG_TOLERANT | LIST_FLAG_AS_RECEIVED)) != 0;
}

static enum match_tier_kind entry_tier(const struct list_entry *entry, bool mass)
{
	if (entry->flags & LIST_FLAG_WILDCARD)
		return TIER_PATTERN;
	if (entry->flags & LIST_FLAG_TOLERANT)
		return TIER_TOLERANT;
	return mass ? TIER_MASS : TIER_LITERAL;
}

static uint32_t exact_count(const struct list *list)
{
	struct list_entry entry;
	uint32_t count = 0;

	for (uint32_t i = 0; i < list_count(list); i++) {
		list_entry(list, i, &entry);
		count += entry_tier(&entry, false) == TIER_LITERAL;
	}
	return count;
}

/* A list is mass by its own size, or all are because together they would be too many for Hyperscan. */
static void choose_mass(struct build *build, uint32_t mass_entries_min, uint32_t literals_max)
{
	uint64_t literals = 0;

	for (uint32_t i = 0; i < build->list_count; i++) {
		uint32_t count = exact_count(build->lists[i]);

		build->mass[i] = count >= mass_entries_min;
		literals += build->mass[i] ? 0 : count;
	}
	for (uint32_t i = 0; i < build->list_count && literals > literals_max; i++)
		build->mass[i] = true;
}

static int items_reserve(struct build *build)
{
	uint64_t counts[TIER_COUNT] = {0};
	uint64_t extras = 0;
	struct list_entry entry;

	for (uint32_t i = 0; i < build->list_count; i++) {
		for (uint32_t j = 0; j < list_count(build->lists[i]); j++) {
			list_entry(build->lists[i], j, &entry);
			counts[entry_tier(&entry, build->mass[i])]++;
			extras += entry_has_extra(&entry);
		}
	}
	for (int i = 0; i < TIER_COUNT; i++) {
		if (counts[i] > UINT32_MAX / 4)
			return -ENOMEM;
		build->items[i].item = malloc((counts[i] + 1) * sizeof(struct item));
		if (build->items[i].item == NULL)
			return -ENOMEM;
	}
	build->tiers->extras = malloc((extras + 1) * sizeof(struct match_extra));
	return build->tiers->extras == NULL ? -ENOMEM : 0;
}

static uint32_t extra_add(struct match_tiers *tiers, const struct list_entry *entry)
{
	struct match_extra *extra = &tiers->extras[tiers->extra_count++];

	memset(extra, 0, sizeof(*extra));
	extra->expires_us = entry->expires_us;
	if (entry->flags & LIST_FLAG_TOLERANT)
		memcpy(extra->key, entry->pattern, strlen(entry->pattern));
	if (entry->flags & LIST_FLAG_AS_RECEIVED) {
		extra->as_received = true;
		memcpy(extra->text, entry->text, strnlen(entry->text, READ_TEXT_SIZE));
	}
	return tiers->extra_count;
}

static void item_add(struct build *build, uint32_t list, uint32_t index)
{
	struct list_entry entry;
	struct items *items;
	struct item *item;

	list_entry(build->lists[list], index, &entry);
	if ((entry.flags & LIST_FLAG_REMOVED) != 0)
		return;
	items = &build->items[entry_tier(&entry, build->mass[list])];
	item = &items->item[items->count++];
	memset(item, 0, sizeof(*item));
	assert(strlen(entry.pattern) <= HSDB_PATTERN_SIZE);
	memcpy(item->pattern.bytes, entry.pattern, strlen(entry.pattern));
	if (entry.flags & LIST_FLAG_TOLERANT)
		vrm_fold((const uint8_t *)item->pattern.bytes, (uint8_t *)item->pattern.bytes);
	item->target = (struct match_target){.list = list, .entry = index};
	if (entry_has_extra(&entry))
		item->target.extra = extra_add(build->tiers, &entry);
}

static int item_compare(const void *left, const void *right)
{
	const struct item *a = left, *b = right;
	int order = memcmp(&a->pattern, &b->pattern, sizeof(a->pattern));

	if (order != 0)
		return order;
	if (a->target.list != b->target.list)
		return a->target.list < b->target.list ? -1 : 1;
	return a->target.entry < b->target.entry ? -1 : a->target.entry > b->target.entry;
}

static int tier_build(struct match_tier *tier, struct items *items)
{
	const size_t room = (size_t)items->count + 1;

	qsort(items->item, items->count, sizeof(struct item), item_compare);
	tier->targets = malloc(room * sizeof(*tier->targets));
	tier->first = malloc(room * sizeof(*tier->first));
	tier->patterns = malloc(room * sizeof(*tier->patterns));
	if (tier->targets == NULL || tier->first == NULL || tier->patterns == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; i < items->count; i++) {
		const struct item *item = &items->item[i];

		if (i == 0 || memcmp(&item->pattern, &item[-1].pattern, sizeof(item->pattern)) != 0) {
			tier->first[tier->group_count] = i;
			tier->patterns[tier->group_count++] = item->pattern;
		}
		tier->targets[i] = item->target;
	}
	tier->target_count = items->count;
	tier->first[tier->group_count] = items->count;
	return 0;
}

static int tiers_build(struct build *build)
{
	int status = items_reserve(build);

	if (status < 0)
		return status;
	for (uint32_t i = 0; i < build->list_count; i++)
		for (uint32_t j = 0; j < list_count(build->lists[i]); j++)
			item_add(build, i, j);
	for (int i = 0; i < TIER_COUNT && status == 0; i++)
		status = tier_build(&build->tiers->tier[i], &build->items[i]);
	return status;
}

int match_tiers_init(struct match_tiers *tiers, const struct list *const *lists, uint32_t list_count,
		     uint32_t mass_entries_min, uint32_t literals_max)
{
	struct build build = {.lists = lists, .list_count = list_count, .tiers = tiers};
	int status = -ENOMEM;

	memset(tiers, 0, sizeof(*tiers));
	build.mass = calloc((size_t)list_count + 1, sizeof(*build.mass));
	if (build.mass != NULL) {
		choose_mass(&build, mass_entries_min, literals_max);
		status = tiers_build(&build);
	}
	free(build.mass);
	for (int i = 0; i < TIER_COUNT; i++)
		free(build.items[i].item);
	if (status < 0)
		match_tiers_fini(tiers);
	return status;
}

void match_tiers_trim(struct match_tiers *tiers)
{
	for (int i = 0; i < TIER_COUNT; i++) {
		free(tiers->tier[i].patterns);
		tiers->tier[i].patterns = NULL;
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
