/* What matchbase.c and matchset.c build and match.c reads. Immutable once they have returned it. */
#ifndef GANTRY_MATCHER_MATCHSET_INSIDE_H
#define GANTRY_MATCHER_MATCHSET_INSIDE_H

#include <stdatomic.h>

#include "matcher/match_layer.h"
#include "matcher/matchbase.h"
#include "matcher/matchset.h"

#define MATCH_LIST_NONE UINT32_MAX

/* A list as it was when the base was made; targets of the base number them. */
struct base_list {
	uint32_t id;
	uint32_t version;
	uint32_t generation;
	uint32_t count; /* slots of its entries that the base knows */
	enum list_tolerance tolerance;
};

struct matchbase {
	_Atomic unsigned references;
	struct base_list *lists;
	uint32_t list_count;
	struct match_layer layer;
};

/* A list as it is in this set; targets of the delta number them. */
struct match_list {
	uint32_t id;
	uint32_t version;
	uint8_t priority;
};

/* What became of a list of the base. */
struct match_link {
	uint32_t list;     /* its number in this set; MATCH_LIST_NONE: replaced or gone */
	uint64_t *removed; /* a bit for each of its slots; NULL: none was removed since */
};

struct matchset {
	struct match_list *lists;
	struct matchbase *base;   /* held; NULL: the delta is all there is */
	struct match_link *links; /* one for each list of the base */
	struct match_layer delta;
	struct matchset_stats stats;
};

/* Whether a target of the base still is an entry of a list; then ret_list is that list's number in the set. */
static inline bool match_link_holds(const struct match_link *link, uint32_t entry, uint32_t *ret_list)
{
	*ret_list = link->list;
	return link->list != MATCH_LIST_NONE &&
	       (link->removed == NULL || (link->removed[entry / 64] >> entry % 64 & 1) == 0);
}

/* Shared checks: ids differ, substitutions are within their limit. -EINVAL, -E2BIG. */
int match_lists_check(const struct list *const *lists, size_t count, const struct match_limits *limits,
		      struct err *err);
int match_patterns_check(uint64_t count, const struct match_limits *limits, struct err *err);
/* Defaults filled in. */
struct match_limits match_limits_of(const struct match_limits *limits);

#endif
