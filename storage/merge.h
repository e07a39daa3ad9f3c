/*
 * Which segments of which day are merged next. Pure functions over the catalog's short forms, any thread; the rewriting
 * is rewrite.h's, the time to do it tidier.c's.
 *
 * Policy. A day is quiet when nothing was sealed into it for merge_quiet_s. Then its segments become one; but as long
 * as the largest outweighs the others MERGE_TAIL_SHARE times (late reads, drop by drop), only the others are merged,
 * and all of them after MERGE_LONG_QUIET times as long: a day is not written anew for each late read. A day that is not
 * quiet is merged only when it has more than MERGE_SEGMENTS_MAX segments: the smaller half of them, so that a row is
 * rewritten about once for each 32-fold growth and lineages stay short.
 */
#ifndef GANTRY_STORAGE_MERGE_H
#define GANTRY_STORAGE_MERGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "storage/segment_format.h"

struct catalog_segment;

#define MERGE_SEGMENTS_MAX 64
#define MERGE_TAIL_SHARE 8
#define MERGE_LONG_QUIET 24

struct merge_plan {
	int32_t day;
	size_t parent_count; /* 0: nothing to do */
	uint64_t parents[SEGMENT_LINEAGE_MAX];
};

/*
 * Of one day's segments (any order). `quiet_us`: since something was last sealed into it; `wanted_us`: how long makes a
 * day quiet. True with a plan of at least two parents, of rows that fit one segment.
 */
bool merge_choose(const struct catalog_segment *segments, size_t count, int64_t quiet_us, int64_t wanted_us,
		  struct merge_plan *ret_plan);

#endif
