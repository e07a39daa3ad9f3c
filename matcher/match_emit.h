/*
 * From groups that were found to hits (data plane). Which of a group's entries hit a read is decided here alone, so
 *that every entry hits it once at most:
 *
 *	- an entry of the base, only while its list's link says that it still is one;
 *	- none beyond its expiry, and one as received only when the text is the same;
 *	- one that accepts a substitution is found by its canonical form, or by its key with one place blanked: the
 *	  second counts only when the first does not.
 */
#ifndef GANTRY_MATCHER_MATCH_EMIT_H
#define GANTRY_MATCHER_MATCH_EMIT_H

#include <stddef.h>
#include <stdint.h>

struct hit;
struct match_cursor;
struct matchset;
struct read;

/* Sorts by read, then layer, tier and group: the order of hits. */
enum match_layer_kind { MATCH_BASE, MATCH_DELTA };
static inline uint64_t match_found(uint16_t read, enum match_layer_kind layer, uint32_t tier, uint32_t group)
{
	return (uint64_t)read << 40 | (uint64_t)layer << 39 | (uint64_t)tier << 32 | group;
}

/* The caller's room for hits, and the place in the burst that it has been filled to. */
struct match_output {
	struct hit *hits;
	size_t room;
	size_t count;
	struct match_cursor *cursor; /* hits of the burst before it have been given by earlier calls */
};

/* The hits of what was found, sorted, of `reads`, whose first one is row `base` of the burst. 0 or MATCH_MORE. */
int match_emit(const struct matchset *set, const uint64_t *found, size_t count, const struct read *reads, uint32_t base,
	       struct match_output *output);

#endif
