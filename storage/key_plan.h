/*
 * What VRM keys a search wants, made ready for sorted keys: ranges to look in, a glob for scanning inside them, and the
 * last word on one key. Inside of search; plain data, any thread reads it.
 *
 * A tolerant pattern says of each character which class of misreads it is of. Its fixed beginning is written out, one
 * range for each plate it may have been, as far as that saves page reads: AB12CDE may become the keys A81… and AB1…,
 * two short stretches of a dictionary and not a scan of it. Classes behind that are `?` in the glob for scanning, and
 * candidates are judged by key_plan_matches.
 */
#ifndef GANTRY_STORAGE_KEY_PLAN_H
#define GANTRY_STORAGE_KEY_PLAN_H

#include <stdbool.h>
#include <stdint.h>

#include "appliance/base/glob.h"
#include "storage/key_range.h"

struct search_query;

#define KEY_PLAN_RANGES_MAX 64

struct key_plan {
	const struct search_query *query;
	struct key_range ranges[KEY_PLAN_RANGES_MAX]; /* ascending, apart from each other; none: nothing matches */
	unsigned range_count;
	bool range_only; /* every key of a range is wanted */
	bool keyed;      /* not every key is wanted */
	bool has_filter;
	struct glob filter; /* every key wanted matches it; not the other way round when tolerant */
};

/*
 * The query and its globs are borrowed as long as the plan is used. `keys`: about how many a segment has; a wrong guess
 * costs time only.
 */
void key_plan_init(struct key_plan *plan, const struct search_query *query, uint64_t keys);

/* True when a key that lies in one of the ranges is wanted. */
bool key_plan_matches(const struct key_plan *plan, const uint8_t key[16]);

#endif
