#include "matcher/matchset.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/clock.h"
#include "appliance/base/err.h"
#include "matcher/list.h"
#include "matcher/matchset_inside.h"

/* A set on its way. */
struct making {
	struct matchset *set;
	const struct list *const *lists;
	uint32_t count;
	struct match_limits limits;
	struct match_part *parts; /* what goes to the delta */
	uint32_t part_count;
	uint64_t base_patterns; /* of the base, that still hold */
};

static int lists_copy(const struct making *making)
{
	struct matchset *set = making->set;

	set->lists = calloc((size_t)making->count + 1, sizeof(*set->lists));
	if (set->lists == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < making->count; i++) {
		const struct list_info *info = list_info(making->lists[i]);

		set->lists[i] = (struct match_list){info->id, info->version, info->priority};
	}
	return 0;
}

/* The list's number in the base; MATCH_LIST_NONE: unknown there, or its entries are not the same any more. */
static uint32_t base_find(const struct matchbase *base, const struct list *list)
{
	const struct list_info *info = list_info(list);

	for (uint32_t i = 0; base != NULL && i < base->list_count; i++) {
		const struct base_list *known = &base->lists[i];

		if (known->id == info->id)
			return known->generation == info->generation && known->tolerance == info->tolerance &&
					       known->count <= list_count(list)
				       ? i
				       : MATCH_LIST_NONE;
	}
	return MATCH_LIST_NONE;
}

/* Which of the base's entries were removed since. Those that were so before are counted as well: harmless bits. */
static int link_removed(struct match_link *link, const struct list *list, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		if ((list_entry_flags(list, i) & LIST_FLAG_REMOVED) == 0)
			continue;
		if (link->removed == NULL)
			link->removed = calloc((size_t)count / 64 + 1, sizeof(*link->removed));
		if (link->removed == NULL)
			return -ENOMEM;
		link->removed[i / 64] |= UINT64_C(1) << i % 64;
	}
	return 0;
}

/* Every list is in the base, or a part of the delta, or its beginning the one and its end the other. */
static int lists_link(struct making *making)
{
	const struct matchbase *base = making->set->base;
	int status = 0;

	making->parts = calloc((size_t)making->count + 1, sizeof(*making->parts));
	making->set->links = calloc(base != NULL ? (size_t)base->list_count + 1 : 1, sizeof(*making->set->links));
	if (making->parts == NULL || making->set->links == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; base != NULL && i < base->list_count; i++)
		making->set->links[i].list = MATCH_LIST_NONE;
	for (uint32_t i = 0; i < making->count && status == 0; i++) {
		const struct list *list = making->lists[i];
		uint32_t number = base_find(base, list), from = 0;

		if (number != MATCH_LIST_NONE) {
			from = base->lists[number].count;
			making->set->links[number].list = i;
			if (list_info(list)->version != base->lists[number].version)
				status = link_removed(&making->set->links[number], list, from);
		}
		if (from < list_count(list))
			making->parts[making->part_count++] = (struct match_part){list, i, from};
	}
	return status;
}

/* Exactly what emitting will see. Millions of targets: only where something can be dead. */
static void base_count(struct making *making)
{
	const struct matchset *set = making->set;
	struct matchset_stats *stats = &making->set->stats;
	const struct match_tiers *tiers;
	uint64_t dead = 0, dead_patterns = 0;
	bool all = true;
	uint32_t list;

	if (set->base == NULL)
		return;
	tiers = &set->base->layer.tiers;
	for (uint32_t i = 0; i < set->base->list_count; i++)
		all = all && set->links[i].list != MATCH_LIST_NONE && set->links[i].removed == NULL;
	/* Of the mask tier nothing is counted: its entries are all in the tolerant one too. */
	for (int kind = 0; kind < TIER_MASKED && !all; kind++) {
		const struct match_tier *tier = &tiers->tier[kind];

		for (uint32_t i = 0; i < tier->target_count; i++) {
			const struct match_target *target = &tier->targets[i];
			bool holds = match_link_holds(&set->links[target->list], target->entry, &list);

			dead += !holds;
			dead_patterns += !holds && kind == TIER_PATTERN;
		}
	}
	stats->tombstones = (uint32_t)dead;
	stats->base_entries = tiers->entry_count - (uint32_t)dead;
	making->base_patterns = tiers->pattern_count - dead_patterns;
}

static int delta_build(struct making *making, struct err *err)
{
	const struct match_rules rules = {.masks = true};
	struct match_layer *delta = &making->set->delta;
	const struct match_tier *patterns = &delta->tiers.tier[TIER_PATTERN];
	uint32_t bad;
	int status = match_tiers_init(&delta->tiers, making->parts, making->part_count, &rules);

	if (status < 0)
		return err_set(err, status, "no memory for what changed in the lists");
	status = match_patterns_check(making->base_patterns + delta->tiers.pattern_count, &making->limits, err);
	if (status < 0)
		return status;
	if (patterns->group_count > MATCHSET_SMALL_PATTERNS_MAX)
		return err_set(err, -E2BIG, "%u new patterns with several `*` or of odd shapes, %d are allowed at once",
			       patterns->group_count, MATCHSET_SMALL_PATTERNS_MAX);
	status = hsdb_compile(patterns->patterns, patterns->group_count, err, &bad, &delta->patterns);
	if (status < 0)
		return match_layer_blame(patterns, bad, making->lists, status, err);
	status = match_layer_tables(delta, err);
	match_tiers_trim(&delta->tiers);
	return status;
}

static int build(struct making *making, struct err *err)
{
	int status = lists_copy(making);

	if (status == 0)
		status = lists_link(making);
	if (status < 0)
		return err_set(err, status, "no memory to build a match set over %u lists", making->count);
	base_count(making);
	return delta_build(making, err);
}

static void stats_add(struct matchset_stats *stats, const struct match_layer *layer)
{
	const struct match_tier *tier = layer->tiers.tier;

	stats->literals += tier[TIER_LITERAL].group_count;
	stats->patterns += tier[TIER_PATTERN].group_count;
	stats->mass += tier[TIER_MASS].group_count;
	stats->tolerant += tier[TIER_TOLERANT].group_count;
	stats->masked += tier[TIER_MASKED].group_count;
	stats->database_size += hsdb_size(layer->literals) + hsdb_size(layer->patterns);
}

static void stats_fill(struct matchset *set, size_t count, int64_t started_ns)
{
	struct matchset_stats *stats = &set->stats;

	if (set->base != NULL)
		stats_add(stats, &set->base->layer);
	stats_add(stats, &set->delta);
	stats->lists = (uint32_t)count;
	stats->delta_entries = set->delta.tiers.entry_count;
	stats->delta_patterns = set->delta.tiers.pattern_count;
	stats->entries = stats->base_entries + stats->delta_entries;
	stats->build_ns = clock_mono_ns() - started_ns;
}

int matchset_new(const struct list *const *lists, size_t count, struct matchbase *base,
		 const struct match_limits *limits, struct err *err, struct matchset **ret_set)
{
	static const struct match_limits defaults;
	struct making making = {.lists = lists, .limits = match_limits_of(limits != NULL ? limits : &defaults)};
	int64_t started_ns = clock_mono_ns();
	int status = match_lists_check(lists, count, &making.limits, err);

	if (status < 0)
		return status;
	making.count = (uint32_t)count;
	making.set = calloc(1, sizeof(*making.set));
	if (making.set == NULL)
		return err_set(err, -ENOMEM, "no memory for a match set");
	making.set->base = matchbase_hold(base);
	status = build(&making, err);
	free(making.parts);
	if (status < 0) {
		(void)matchset_free(making.set);
		return status;
	}
	stats_fill(making.set, count, started_ns);
	*ret_set = making.set;
	return 0;
}

struct matchset *matchset_free(struct matchset *set)
{
	if (set == NULL)
		return NULL;
	for (uint32_t i = 0; set->links != NULL && set->base != NULL && i < set->base->list_count; i++)
		free(set->links[i].removed);
	free(set->links);
	match_layer_fini(&set->delta);
	(void)matchbase_free(set->base);
	free(set->lists);
	free(set);
	return NULL;
}

void matchset_stats(const struct matchset *set, struct matchset_stats *ret_stats)
{
	*ret_stats = set->stats;
}

struct matchbase *matchset_base(const struct matchset *set)
{
	return set->base;
}

uint64_t matchset_stale(const struct matchset *set)
{
	return (uint64_t)set->stats.delta_entries + set->stats.tombstones;
}
