/*
 * The entries of lists, sorted into tiers and, within a tier, into groups: entries with the same pattern are one group,
 * whose index is what Hyperscan or a table answers with.
 *
 *	tier ─ group 0 ─ targets: (list, entry) (list, entry)
 *	     ─ group 1 ─ targets: (list, entry)
 *
 * An entry may have targets in several groups, but a read meets it in one of them at most, or the target itself tells
 * which one counts (matcher/match_emit.h). Built on the control thread, immutable afterwards.
 */
#ifndef GANTRY_MATCHER_MATCH_TIER_H
#define GANTRY_MATCHER_MATCH_TIER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "appliance/base/read.h"
#include "matcher/hsdb.h"
#include "matcher/list.h"

enum match_tier_kind {
	TIER_LITERAL,  /* exact keys, by Hyperscan */
	TIER_PATTERN,  /* by Hyperscan */
	TIER_MASS,     /* exact keys, by table */
	TIER_TOLERANT, /* canonical forms (vrm_alike), by table */
	TIER_MASKED,   /* patterns of fixed size, by table: a delta's, and keys with one place blanked */
	TIER_COUNT
};

/* What few entries need beyond their key. */
struct match_extra {
	int64_t expires_us;
	uint8_t key[READ_TEXT_SIZE];  /* of a tolerant entry: equal to it is exact */
	uint8_t text[READ_TEXT_SIZE]; /* of an as-received entry */
	bool as_received;
	bool tolerant;
};

struct match_target {
	uint32_t list; /* the number its part was given */
	uint32_t entry;
	uint32_t extra; /* index + 1; 0: the key says it all */
};

struct match_tier {
	struct match_target *targets;
	uint32_t *first;               /* per group its first target, and one past the last */
	struct hsdb_pattern *patterns; /* per group; NULL once trimmed */
	uint32_t group_count;
	uint32_t target_count;
};

struct match_tiers {
	struct match_tier tier[TIER_COUNT];
	struct match_extra *extras;
	uint32_t extra_count;
	uint32_t entry_count;   /* that have targets here */
	uint32_t pattern_count; /* of them, with wildcards */
};

/* Entries `from` … of a list; those removed are left out. Borrowed. */
struct match_part {
	const struct list *list;
	uint32_t number; /* what its targets call it */
	uint32_t from;
};

struct match_rules {
	bool masks;                /* patterns go to TIER_MASKED as far as they fit: nothing has to be compiled */
	uint32_t mass_entries_min; /* exact entries of lists so long go to TIER_MASS */
	uint32_t literals_max;     /* and all of them, when the other lists together are longer */
};

/* On failure (-ENOMEM) everything is freed. */
int match_tiers_init(struct match_tiers *tiers, const struct match_part *parts, uint32_t count,
		     const struct match_rules *rules);
void match_tiers_fini(struct match_tiers *tiers);
/* Databases and tables are built: the patterns go, wiped. */
void match_tiers_trim(struct match_tiers *tiers);

#endif
