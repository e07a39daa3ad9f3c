#include "matcher/matchset.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/clock.h"
#include "appliance/base/err.h"
#include "matcher/hsdb.h"
#include "matcher/keytable.h"
#include "matcher/list.h"
#include "matcher/match_tier.h"
#include "matcher/matchset_inside.h"

#define MASS_ENTRIES_MIN_DEFAULT 1000u
#define LITERALS_MAX_DEFAULT 10000u
#define PATTERNS_MAX_DEFAULT 30000u

static uint32_t or_default(uint32_t value, uint32_t otherwise)
{
	return value > 0 ? value : otherwise;
}

static int lists_check(const struct list *const *lists, size_t count, struct err *err)
{
	if (count > UINT32_MAX / 2)
		return err_set(err, -EINVAL, "more lists than can be numbered");
	for (size_t i = 0; i < count; i++)
		for (size_t j = 0; j < i; j++)
			if (list_info(lists[i])->id == list_info(lists[j])->id)
				return err_set(err, -EINVAL, "two lists with id %u", list_info(lists[i])->id);
	return 0;
}

static int lists_copy(struct matchset *set, const struct list *const *lists, size_t count)
{
	set->lists = calloc(count + 1, sizeof(*set->lists));
	if (set->lists == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		const struct list_info *info = list_info(lists[i]);

		set->lists[i] = (struct match_list){info->id, info->version, info->priority};
	}
	return 0;
}

/* Says which entry is to blame by its place in its list: what it says is a VRM. */
static int blame(const struct match_tier *tier, uint32_t group, const struct list *const *lists, int status,
		 struct err *err)
{
	const struct match_target *target;
	struct list_entry entry;

	if (group >= tier->group_count)
		return status;
	target = &tier->targets[tier->first[group]];
	list_entry(lists[target->list], target->entry, &entry);
	return err_prefix(err, status, "list \"%s\", line %u", list_info(lists[target->list])->name, entry.line);
}

static int build_databases(struct matchset *set, const struct list *const *lists, struct err *err)
{
	const struct match_tier *literals = &set->tiers.tier[TIER_LITERAL];
	const struct match_tier *patterns = &set->tiers.tier[TIER_PATTERN];
	uint32_t bad;
	int status;

	status = hsdb_compile(literals->patterns, literals->group_count, err, &bad, &set->literals);
	if (status < 0)
		return blame(literals, bad, lists, status, err);
	status = hsdb_compile(patterns->patterns, patterns->group_count, err, &bad, &set->patterns);
	if (status < 0)
		return blame(patterns, bad, lists, status, err);
	return 0;
}

/* NULL for a tier without entries. */
static int build_table(const struct match_tier *tier, struct keytable **ret_table)
{
	uint8_t(*keys)[READ_TEXT_SIZE];
	int status;

	if (tier->group_count == 0)
		return 0;
	keys = malloc(tier->group_count * sizeof(*keys));
	if (keys == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; i < tier->group_count; i++)
		memcpy(keys[i], tier->patterns[i].bytes, sizeof(keys[i]));
	status = keytable_new((const uint8_t(*)[READ_TEXT_SIZE])keys, tier->group_count, ret_table);
	free(keys);
	return status;
}

static int build_tables(struct matchset *set, struct err *err)
{
	int status = build_table(&set->tiers.tier[TIER_MASS], &set->mass);

	if (status == 0)
		status = build_table(&set->tiers.tier[TIER_TOLERANT], &set->tolerant);
	return status < 0 ? err_set(err, status, "no memory for the tables of the lists") : 0;
}

static int build(struct matchset *set, const struct list *const *lists, size_t count,
		 const struct matchset_options *options, struct err *err)
{
	uint32_t patterns_max = or_default(options->patterns_max, PATTERNS_MAX_DEFAULT);
	int status = lists_copy(set, lists, count);

	if (status == 0)
		status = match_tiers_init(&set->tiers, lists, (uint32_t)count,
					  or_default(options->mass_entries_min, MASS_ENTRIES_MIN_DEFAULT),
					  or_default(options->literals_max, LITERALS_MAX_DEFAULT));
	if (status < 0)
		return err_set(err, status, "no memory to build a match set over %zu lists", count);
	if (set->tiers.tier[TIER_PATTERN].group_count > patterns_max)
		return err_set(err, -E2BIG, "%u patterns with wildcards in all lists, %u are allowed",
			       set->tiers.tier[TIER_PATTERN].group_count, patterns_max);
	status = build_databases(set, lists, err);
	return status < 0 ? status : build_tables(set, err);
}

static void stats_fill(struct matchset *set, size_t count, int64_t started_ns)
{
	const struct match_tier *tier = set->tiers.tier;

	set->stats = (struct matchset_stats){
		.lists = (uint32_t)count,
		.literals = tier[TIER_LITERAL].group_count,
		.patterns = tier[TIER_PATTERN].group_count,
		.mass = tier[TIER_MASS].group_count,
		.tolerant = tier[TIER_TOLERANT].group_count,
		.database_size = hsdb_size(set->literals) + hsdb_size(set->patterns),
		.build_ns = clock_mono_ns() - started_ns,
	};
	for (int i = 0; i < TIER_COUNT; i++)
		set->stats.entries += tier[i].target_count;
}

int matchset_new(const struct list *const *lists, size_t count, const struct matchset_options *options, struct err *err,
		 struct matchset **ret_set)
{
	static const struct matchset_options defaults;
	int64_t started_ns = clock_mono_ns();
	struct matchset *set;
	int status = lists_check(lists, count, err);

	if (status < 0)
		return status;
	set = calloc(1, sizeof(*set));
	if (set == NULL)
		return err_set(err, -ENOMEM, "no memory for a match set");
	status = build(set, lists, count, options != NULL ? options : &defaults, err);
	if (status < 0) {
		matchset_free(set);
		return status;
	}
	stats_fill(set, count, started_ns);
	match_tiers_trim(&set->tiers);
	*ret_set = set;
	return 0;
}

struct matchset *matchset_free(struct matchset *set)
{
	if (set == NULL)
		return NULL;
	hsdb_free(set->literals);
	hsdb_free(set->patterns);
	keytable_free(set->mass);
	keytable_free(set->tolerant);
	match_tiers_fini(&set->tiers);
	free(set->lists);
	free(set);
	return NULL;
}

void matchset_stats(const struct matchset *set, struct matchset_stats *ret_stats)
{
	*ret_stats = set->stats;
}
