#include "matcher/match_layer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/bytes.h"
#include "appliance/base/err.h"
#include "matcher/hsdb.h"
#include "matcher/keytable.h"
#include "matcher/masktable.h"

/* The groups' patterns as keys; NULL: no memory. */
static uint8_t (*tier_keys(const struct match_tier *tier))[READ_TEXT_SIZE]
{
	uint8_t(*keys)[READ_TEXT_SIZE] = malloc(tier->group_count * sizeof(*keys));

	for (uint32_t i = 0; keys != NULL && i < tier->group_count; i++)
		memcpy(keys[i], tier->patterns[i].bytes, sizeof(keys[i]));
	return keys;
}

/* NULL for a tier without entries: of `ret_keys` or `ret_masks` one is given. */
static int build_table(const struct match_tier *tier, struct keytable **ret_keys, struct masktable **ret_masks)
{
	uint8_t(*keys)[READ_TEXT_SIZE];
	int status;

	if (tier->group_count == 0)
		return 0;
	keys = tier_keys(tier);
	if (keys == NULL)
		return -ENOMEM;
	if (ret_keys != NULL)
		status = keytable_new((const uint8_t(*)[READ_TEXT_SIZE])keys, tier->group_count, ret_keys);
	else
		status = masktable_new((const uint8_t(*)[READ_TEXT_SIZE])keys, tier->group_count, ret_masks);
	bytes_wipe(keys, tier->group_count * sizeof(*keys));
	free(keys);
	return status;
}

int match_layer_tables(struct match_layer *layer, struct err *err)
{
	int status = build_table(&layer->tiers.tier[TIER_MASS], &layer->mass, NULL);

	if (status == 0)
		status = build_table(&layer->tiers.tier[TIER_TOLERANT], &layer->tolerant, NULL);
	if (status == 0)
		status = build_table(&layer->tiers.tier[TIER_MASKED], NULL, &layer->masked);
	return status < 0 ? err_set(err, status, "no memory for the tables of the lists") : 0;
}

void match_layer_fini(struct match_layer *layer)
{
	(void)hsdb_free(layer->literals);
	(void)hsdb_free(layer->patterns);
	(void)keytable_free(layer->mass);
	(void)keytable_free(layer->tolerant);
	(void)masktable_free(layer->masked);
	match_tiers_fini(&layer->tiers);
	memset(layer, 0, sizeof(*layer));
}

size_t match_layer_groups_max(const struct match_layer *layer)
{
	/* A key is in one group at most of literals, of the mass table and of the tolerant one. */
	return 3 + (size_t)layer->tiers.tier[TIER_PATTERN].group_count +
	       (layer->masked != NULL ? masktable_matches_max(layer->masked) : 0);
}

int match_layer_blame(const struct match_tier *tier, uint32_t group, const struct list *const *lists, int status,
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
