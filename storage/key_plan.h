/*
 * What VRM keys a search wants, made ready for sorted keys: ranges to look in, a glob for scanning inside them, and the
 * last word on one key. Inside of search; plain data, any thread reads it.
 *
 * A tolerant pattern says of each character which class of misreads it is of. Its fixed beginning is written out: one
 * range for each plate it may have been, so that an exact VRM of seven characters becomes a dozen exact keys and not a
 * scan. Classes behind the beginning, or too many to write out, are `?` in the glob for scanning, and candidates are
 * judged by key_plan_matches.
 */
#ifndef GANTRY_STORAGE_KEY_PLAN_H
#define GANTRY_STORAGE_KEY_PLAN_H

#include <stdbool.h>
#include <stdint.h>

#include "appliance/base/glob.h"
#include "storage/key_range.h"

struct search_query;

/* Two page reads a range and segment: beyond so many, scanning a day's dictionary is no dearer. */
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

/* The query and its globs are borrowed as long as the plan is used. */
void key_plan_init(struct key_plan *plan, const struct search_query *query);

/* True when a key that lies in one of the ranges is wanted. */
bool key_plan_matches(const struct key_plan *plan, const uint8_t key[16]);

#endif
