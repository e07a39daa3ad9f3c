/* What matchset.c builds and match.c reads. Immutable once matchset_new has returned it. */
#ifndef GANTRY_MATCHER_MATCHSET_INSIDE_H
#define GANTRY_MATCHER_MATCHSET_INSIDE_H

#include "matcher/match_tier.h"
#include "matcher/matchset.h"

struct hs_database;
struct keytable;

struct match_list {
	uint32_t id;
	uint32_t version;
	uint8_t priority;
};

struct matchset {
	struct match_list *lists;
	struct match_tiers tiers;
	struct hs_database *literals; /* NULL: no such entry; so for all four */
	struct hs_database *patterns;
	struct keytable *mass;
	struct keytable *tolerant;
	struct matchset_stats stats;
};

#endif
