/*
 * An immutable set of patterns of fixed size, in which `?` is exactly one character, each known by its index. A mask is
 * a size and the places of its `?`: a key is looked up once under every mask of its size, with those places blanked, in
 * one hash table of the patterns as they are written. So the cost of a key hangs on how many shapes there are, not on
 * how many patterns, and thirty thousand of them are built in milliseconds.
 *
 * Made and freed on a control thread, searched by any number of threads.
 */
#ifndef GANTRY_MATCHER_MASKTABLE_H
#define GANTRY_MATCHER_MASKTABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "appliance/base/read.h"
#include "matcher/keytable.h"

/* Of one size: what a key costs at most. */
#define MASKTABLE_MASKS_MAX 128

struct masktable;

/* Which masks there are, while it is still being decided what goes into a table. One owner, on the heap: 140 KB. */
struct mask_census {
	uint32_t counts[READ_TEXT_SIZE + 1];
	uint8_t seen[READ_TEXT_SIZE + 1][(1 << READ_TEXT_SIZE) / 8];
};
/* False, and nothing is counted: the mask would be one too many of its size. */
bool mask_census_add(struct mask_census *census, const uint8_t pattern[READ_TEXT_SIZE]);

/* Patterns must differ from each other and have been taken by one census; they are copied. -ENOMEM. */
int masktable_new(const uint8_t (*patterns)[READ_TEXT_SIZE], uint32_t count, struct masktable **ret_table);
struct masktable *masktable_free(struct masktable *table);

/* The most patterns that one key can match. */
uint32_t masktable_matches_max(const struct masktable *table);

/* Stops with the first false, which it returns. */
typedef bool masktable_found(void *context, size_t key, uint32_t index);
bool masktable_find(const struct masktable *table, const uint8_t (*keys)[READ_TEXT_SIZE], size_t count,
		    masktable_found *found, void *context);

#endif
