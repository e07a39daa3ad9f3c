/*
 * The entries of all lists, sorted into tiers and, within a tier, into groups: entries with the same pattern are one
 * group, whose index is what Hyperscan or a key table answers with.
 *
 *	tier ─ group 0 ─ targets: (list, entry) (list, entry)
 *	     ─ group 1 ─ targets: (list, entry)
 *
 * Built on the control thread, immutable inside a match set.
 */
#ifndef GANTRY_MATCHER_MATCH_TIER_H
#define GANTRY_MATCHER_MATCH_TIER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "appliance/base/read.h"
#include "matcher/hsdb.h"

struct list;

enum match_tier_kind { TIER_LITERAL, TIER_PATTERN, TIER_MASS, TIER_TOLERANT, TIER_COUNT };

/* What few entries need beyond their key. */
struct match_extra {
	int64_t expires_us;
	uint8_t key[READ_TEXT_SIZE];  /* of a tolerant entry: equal to it is exact */
	uint8_t text[READ_TEXT_SIZE]; /* of an as-received entry */
	bool as_received;
};

struct match_target {
	uint32_t list; /* index among the set's lists */
	uint32_t entry;
	uint32_t extra; /* index + 1; 0: the key says it all */
};

struct match_tier {
	struct match_target *targets;
	uint32_t *first;               /* per group its first target, and one past the last */
	struct hsdb_pattern *patterns; /* per group; only while the set is built */
	uint32_t group_count;
	uint32_t target_count;
};

struct match_tiers {
	struct match_tier tier[TIER_COUNT];
	struct match_extra *extras;
	uint32_t extra_count;
};

/* On failure (-ENOMEM) everything is freed. */
int match_tiers_init(struct match_tiers *tiers, const struct list *const *lists, uint32_t list_count,
		     uint32_t mass_entries_min, uint32_t literals_max);
void match_tiers_fini(struct match_tiers *tiers);
/* The set is built: the patterns go. */
void match_tiers_trim(struct match_tiers *tiers);

#endif
