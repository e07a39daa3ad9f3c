#include "matcher/matchbase.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/bytes.h"
#include "appliance/base/err.h"
#include "matcher/hscompile.h"
#include "matcher/hsdb.h"
#include "matcher/list.h"
#include "matcher/matchset_inside.h"

#define MASS_ENTRIES_MIN_DEFAULT 1u
#define LITERALS_MAX_DEFAULT 100000u
#define PATTERNS_MAX_DEFAULT 30000u
#define SUBSTITUTIONS_MAX_DEFAULT 100000u

static uint32_t or_default(uint32_t value, uint32_t otherwise)
{
	return value > 0 ? value : otherwise;
}

struct match_limits match_limits_of(const struct match_limits *limits)
{
	return (struct match_limits){
		.mass_entries_min = or_default(limits->mass_entries_min, MASS_ENTRIES_MIN_DEFAULT),
		.literals_max = or_default(limits->literals_max, LITERALS_MAX_DEFAULT),
		.patterns_max = or_default(limits->patterns_max, PATTERNS_MAX_DEFAULT),
		.substitutions_max = or_default(limits->substitutions_max, SUBSTITUTIONS_MAX_DEFAULT),
	};
}

int match_lists_check(const struct list *const *lists, size_t count, const struct match_limits *limits, struct err *err)
{
	uint64_t substitutions = 0;

	if (count > UINT32_MAX / 2)
		return err_set(err, -EINVAL, "more lists than can be numbered");
	for (size_t i = 0; i < count; i++) {
		const struct list_info *info = list_info(lists[i]);

		if (info->tolerance == LIST_TOLERANCE_SUBSTITUTION)
			substitutions += list_count(lists[i]);
		for (size_t j = 0; j < i; j++)
			if (info->id == list_info(lists[j])->id)
				return err_set(err, -EINVAL, "two lists with id %u", info->id);
	}
	if (substitutions > limits->substitutions_max)
		return err_set(err, -E2BIG, "%llu entries of lists that accept a substitution, %u are allowed",
			       (unsigned long long)substitutions, limits->substitutions_max);
	return 0;
}

int match_patterns_check(uint64_t count, const struct match_limits *limits, struct err *err)
{
	return count <= limits->patterns_max
		       ? 0
		       : err_set(err, -E2BIG, "%llu patterns with wildcards in all lists, %u are allowed",
				 (unsigned long long)count, limits->patterns_max);
}

/* One database on its way. */
struct making {
	const struct matchbase_options *options;
	enum matchbase_part part;
	const struct match_tier *tier;
	uint8_t key[SHA256_SIZE];
};

static struct hsdb *layer_part(const struct match_layer *layer, enum matchbase_part part)
{
	return part == MATCHBASE_LITERALS ? layer->literals : layer->patterns;
}

static struct hsdb *from_like(const struct making *making)
{
	const struct matchbase *like = making->options->like;
	struct hsdb *db = like != NULL ? layer_part(&like->layer, making->part) : NULL;

	return db != NULL && memcmp(hsdb_content(db), making->key, SHA256_SIZE) == 0 ? hsdb_hold(db) : NULL;
}

/* Missing, damaged or of other lists: all the same, it is made anew. */
static struct hsdb *from_cache(const struct making *making)
{
	const struct matchbase_cache *cache = making->options->cache;
	struct hsdb *db = NULL;
	void *bytes;
	size_t size;

	if (cache == NULL || cache->get(cache->context, making->part, &bytes, &size) < 0)
		return NULL;
	(void)hsdb_parse(bytes, size, making->key, NULL, &db);
	bytes_wipe(bytes, size);
	free(bytes);
	return db;
}

static void to_cache(const struct making *making, const void *bytes, size_t size)
{
	const struct matchbase_cache *cache = making->options->cache;

	if (cache != NULL)
		cache->put(cache->context, making->part, bytes, size);
}

static int compile_here(const struct making *making, struct err *err, uint32_t *ret_bad, struct hsdb **ret_db)
{
	const struct match_tier *tier = making->tier;
	int status = hsdb_compile(tier->patterns, tier->group_count, err, ret_bad, ret_db);
	void *bytes;
	size_t size;

	if (status == 0 && making->options->cache != NULL && hsdb_image(*ret_db, &bytes, &size) == 0) {
		to_cache(making, bytes, size);
		bytes_wipe(bytes, size);
		free(bytes);
	}
	return status;
}

static int compile_elsewhere(const struct making *making, struct err *err, uint32_t *ret_bad, struct hsdb **ret_db)
{
	const struct match_tier *tier = making->tier;
	void *bytes;
	size_t size;
	int status =
		hscompile_run(making->options->compile, tier->patterns, tier->group_count, err, ret_bad, &bytes, &size);

	if (status < 0)
		return status;
	status = hsdb_parse(bytes, size, making->key, err, ret_db);
	if (status == 0)
		to_cache(making, bytes, size);
	else
		(void)err_prefix(err, status, "what the compiling process answered");
	bytes_wipe(bytes, size);
	free(bytes);
	return status;
}

/* NULL for a tier without entries. */
static int make_part(const struct matchbase_options *options, enum matchbase_part part, const struct match_tier *tier,
		     const struct list *const *lists, struct err *err, struct hsdb **ret_db)
{
	struct making making = {.options = options, .part = part, .tier = tier};
	struct hsdb *db;
	uint32_t bad;
	int status;

	if (tier->group_count == 0)
		return 0;
	hsdb_key(tier->patterns, tier->group_count, making.key);
	db = from_like(&making);
	if (db == NULL)
		db = from_cache(&making);
	if (db != NULL) {
		*ret_db = db;
		return 0;
	}
	if (options->ready_only)
		return MATCHBASE_TO_COMPILE;
	if (options->compile != NULL)
		status = compile_elsewhere(&making, err, &bad, ret_db);
	else
		status = compile_here(&making, err, &bad, ret_db);
	return status == -EINVAL ? match_layer_blame(tier, bad, lists, status, err) : status;
}

static int lists_note(struct matchbase *base, const struct list *const *lists, size_t count)
{
	base->lists = calloc(count + 1, sizeof(*base->lists));
	if (base->lists == NULL)
		return -ENOMEM;
	base->list_count = (uint32_t)count;
	for (size_t i = 0; i < count; i++) {
		const struct list_info *info = list_info(lists[i]);

		base->lists[i] = (struct base_list){
			.id = info->id,
			.version = info->version,
			.generation = info->generation,
			.count = list_count(lists[i]),
			.tolerance = info->tolerance,
		};
	}
	return 0;
}

static int tiers_make(struct matchbase *base, const struct list *const *lists, size_t count,
		      const struct match_limits *limits)
{
	const struct match_rules rules = {.mass_entries_min = limits->mass_entries_min,
					  .literals_max = limits->literals_max};
	struct match_part *parts = calloc(count + 1, sizeof(*parts));
	int status;

	if (parts == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++)
		parts[i] = (struct match_part){.list = lists[i], .number = (uint32_t)i};
	status = match_tiers_init(&base->layer.tiers, parts, (uint32_t)count, &rules);
	free(parts);
	return status;
}

static int base_build(struct matchbase *base, const struct list *const *lists, size_t count,
		      const struct matchbase_options *options, const struct match_limits *limits, struct err *err)
{
	const struct match_tier *tier = base->layer.tiers.tier;
	int status = lists_note(base, lists, count);

	if (status == 0)
		status = tiers_make(base, lists, count, limits);
	if (status < 0)
		return err_set(err, status, "no memory to build the base of %zu lists", count);
	if ((status = match_patterns_check(base->layer.tiers.pattern_count, limits, err)) < 0)
		return status;
	status = make_part(options, MATCHBASE_LITERALS, &tier[TIER_LITERAL], lists, err, &base->layer.literals);
	if (status == 0)
		status = make_part(options, MATCHBASE_PATTERNS, &tier[TIER_PATTERN], lists, err, &base->layer.patterns);
	if (status == 0)
		status = match_layer_tables(&base->layer, err);
	match_tiers_trim(&base->layer.tiers);
	return status;
}

int matchbase_new(const struct list *const *lists, size_t count, const struct matchbase_options *options,
		  struct err *err, struct matchbase **ret_base)
{
	static const struct matchbase_options defaults;
	const struct matchbase_options *chosen = options != NULL ? options : &defaults;
	struct match_limits limits = match_limits_of(&chosen->limits);
	struct matchbase *base;
	int status = match_lists_check(lists, count, &limits, err);

	if (status < 0)
		return status;
	base = calloc(1, sizeof(*base));
	if (base == NULL)
		return err_set(err, -ENOMEM, "no memory for the base of the match sets");
	atomic_init(&base->references, 1);
	status = base_build(base, lists, count, chosen, &limits, err);
	if (status != 0) {
		(void)matchbase_free(base);
		return status;
	}
	*ret_base = base;
	return 0;
}

struct matchbase *matchbase_hold(struct matchbase *base)
{
	if (base != NULL)
		(void)atomic_fetch_add(&base->references, 1);
	return base;
}

struct matchbase *matchbase_free(struct matchbase *base)
{
	if (base == NULL || atomic_fetch_sub(&base->references, 1) > 1)
		return NULL;
	match_layer_fini(&base->layer);
	free(base->lists);
	free(base);
	return NULL;
}
