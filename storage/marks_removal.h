/*
 * Inside of the physical removal: what marks_tidy.c (rounds, rewriting, records) and marks_find.c (which segments hold
 * what is to go) share. The tidy mutex is held from removal_find to the end of the rewriting.
 */
#ifndef GANTRY_STORAGE_MARKS_REMOVAL_H
#define GANTRY_STORAGE_MARKS_REMOVAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "appliance/base/err.h"
#include "storage/marks_pending.h"
#include "storage/segment_read.h"

struct store;

enum stand {
	STAND_DONE,    /* in no segment */
	STAND_WAITS,   /* its corrected read waits for a segment */
	STAND_BLOCKED, /* may lie in a segment that cannot be rewritten now: at the next round */
	STAND_PUT_OFF, /* the same: not at the next round */
};

/* A mark's read lies in that segment, or may. */
struct sight {
	uint64_t segment;
	size_t mark;
};

/* One day's removal. Control threads, one at a time. */
struct removal {
	struct store *store;
	int32_t day;
	struct err *err;
	struct mark_set *set;
	const struct mark_day *marks;
	struct pending_mark *pending;
	size_t pending_count;
	bool *placed;       /* by mark: its corrected read stands in a segment, or needs not */
	enum stand *stands; /* by mark */
	struct sight *sights;
	size_t sight_count;
	size_t sight_room;
	int failed; /* what the first segment that is left as it is said; err has the words */
	int64_t put_off_ns;
	uint64_t parents[SEGMENT_LINEAGE_MAX]; /* to be rewritten, each by itself */
	size_t parent_count;
	bool more;         /* there are more segments to rewrite than one round takes */
	uint64_t smallest; /* segment of the day, to take corrections in; 0 none */
	uint64_t smallest_size;
	struct read *extra;
	size_t extra_count;
	struct segment_scratch scratch;
};

/*
 * Which segments have to be rewritten (parents, sights), which of them are blocked, and which corrected reads stand in
 * one. 0, or -errno: nothing can be said of the day.
 */
int removal_find(struct removal *removal);
void removal_add_parent(struct removal *removal, uint64_t id);
/* The segment stays as it is for `why`; so do the marks that were seen in it. */
void removal_block(struct removal *removal, uint64_t segment, int why, const struct err *err);
/* A failure of one segment, which leaves the others be. */
bool removal_goes_on(int result);

#endif
