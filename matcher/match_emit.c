#include "matcher/match_emit.h"

#include <string.h>

#include "appliance/base/bytes.h"
#include "appliance/base/read.h"
#include "matcher/matchset_inside.h"
#include "matcher/vrm.h"

/* Where a found group lies, taken apart. */
struct place {
	const struct match_layer *layer;
	const struct match_link *links; /* NULL in the delta */
	enum match_tier_kind kind;
	uint32_t group;
};

static struct place place_of(const struct matchset *set, uint64_t found)
{
	bool delta = (found >> 39 & 1) == MATCH_DELTA;

	return (struct place){
		.layer = delta ? &set->delta : &set->base->layer,
		.links = delta ? NULL : set->links,
		.kind = (enum match_tier_kind)(found >> 32 & 0x7f),
		.group = (uint32_t)found,
	};
}

static bool keys_alike(const uint8_t *a, const uint8_t *b)
{
	uint8_t canonical[2][READ_TEXT_SIZE];

	vrm_alike(a, canonical[0]);
	vrm_alike(b, canonical[1]);
	return bytes_equal_16(canonical[0], canonical[1]);
}

/* Fills in what of the hit hangs on the entry; false: it is none. */
static bool target_hits(const struct matchset *set, const struct place *place, const struct match_target *target,
			const struct read *read, struct hit *hit)
{
	const struct match_extra *extra = NULL;
	uint32_t number = target->list;

	if (place->links != NULL && !match_link_holds(&place->links[target->list], target->entry, &number))
		return false;
	hit->kind = place->kind == TIER_PATTERN || place->kind == TIER_MASKED ? HIT_PATTERN : HIT_EXACT;
	if (target->extra > 0) {
		extra = &place->layer->tiers.extras[target->extra - 1];
		if (read->receipt_us >= extra->expires_us)
			return false;
		if (extra->as_received && !bytes_equal_16(read->text, extra->text))
			return false;
		if (extra->tolerant && place->kind == TIER_MASKED && keys_alike(extra->key, read->key))
			return false;
		if (extra->tolerant)
			hit->kind = bytes_equal_16(extra->key, read->key) ? HIT_EXACT : HIT_TOLERANT;
	}
	hit->list = set->lists[number].id;
	hit->version = set->lists[number].version;
	hit->priority = set->lists[number].priority;
	hit->entry = target->entry;
	return true;
}

int match_emit(const struct matchset *set, const uint64_t *found, size_t count, const struct read *reads, uint32_t base,
	       struct match_output *output)
{
	struct match_cursor given = *output->cursor;
	struct match_cursor at = {.read = base};

	for (size_t i = 0; i < count; i++) {
		uint32_t index = (uint32_t)(found[i] >> 40);
		struct place place = place_of(set, found[i]);
		const struct match_tier *tier = &place.layer->tiers.tier[place.kind];

		if (at.read != base + index)
			at = (struct match_cursor){.read = base + index};
		for (uint32_t j = tier->first[place.group]; j < tier->first[place.group + 1]; j++) {
			struct hit hit = {.row = at.read};

			if (!target_hits(set, &place, &tier->targets[j], &reads[index], &hit))
				continue;
			if (at.read == given.read && at.hit < given.hit) {
				at.hit++;
				continue;
			}
			if (output->count == output->room) {
				*output->cursor = at;
				return MATCH_MORE;
			}
			output->hits[output->count++] = hit;
			at.hit++;
		}
	}
	return 0;
}
