/*
 * A set of 128-bit tags: which hits of a day were put. Open addressing, a quarter to a half full. One thread at a time.
 */
#ifndef GANTRY_STORAGE_LATE_TAGS_H
#define GANTRY_STORAGE_LATE_TAGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct late_tag {
	uint64_t low; /* both 0: no tag; never given */
	uint64_t high;
};

/* Zeroed = empty. */
struct late_tags {
	struct late_tag *slots;
	size_t mask; /* slots − 1 */
	size_t count;
};

/* Room for `more` tags beyond those there are: then late_tags_add does not fail. -ENOMEM: unchanged. */
int late_tags_reserve(struct late_tags *tags, size_t more);
/* False: it was there. */
bool late_tags_add(struct late_tags *tags, struct late_tag tag);
/* Takes back the one added last; may go on backwards to the last reserve, no further. */
void late_tags_undo(struct late_tags *tags, struct late_tag tag);
void late_tags_fini(struct late_tags *tags);

#endif
