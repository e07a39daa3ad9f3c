/*
 * Tiers and what answers for them: one side of a match set, its base or its delta. Built on a control thread, immutable
 * afterwards.
 */
#ifndef GANTRY_MATCHER_MATCH_LAYER_H
#define GANTRY_MATCHER_MATCH_LAYER_H

#include "matcher/match_tier.h"

struct err;
struct hsdb;
struct keytable;
struct masktable;

struct match_layer {
	struct match_tiers tiers;
	struct hsdb *literals; /* NULL: no such entry; so for all five */
	struct hsdb *patterns;
	struct keytable *mass;
	struct keytable *tolerant;
	struct masktable *masked;
};

/* The three tables, of tiers not yet trimmed. -ENOMEM with err; what was built is let go by match_layer_fini. */
int match_layer_tables(struct match_layer *layer, struct err *err);
void match_layer_fini(struct match_layer *layer);

/* How many groups one read can be found in at most. */
size_t match_layer_groups_max(const struct match_layer *layer);

/*
 * hsdb_compile's refusal told by the entry's place in its list, for what it says is a VRM. `lists` by the numbers that
 * targets have. Returns status.
 */
int match_layer_blame(const struct match_tier *tier, uint32_t group, const struct list *const *lists, int status,
		      struct err *err);

#endif
