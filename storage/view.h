/*
 * A view: memtable generations and catalog as of one instant, so that a read is seen once whether it is being sealed,
 * sealed, or neither.
 *
 * Taken under memtable_lock, inside which the sealer also commits and retires (lock order: memtable, then LMDB). The
 * LMDB snapshot is copied out behind the lock and is over on return: a slow search holds no reader slot. A view pins
 * the segments it names: one that was replaced meanwhile (rewrite.h) keeps key and file until the view is released.
 * Only a purge does not wait, and a purged day is then skipped, not an error.
 *
 * Open segments (handle, key, top fences) are kept in a bounded cache shared by all views; its mutex is held over
 * nothing but the keyring's.
 */
#ifndef GANTRY_STORAGE_VIEW_H
#define GANTRY_STORAGE_VIEW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "appliance/base/err.h"
#include "storage/catalog.h"
#include "storage/memtable.h"

struct io;
struct keyring;
struct mark_set;
struct marks;
struct segment;
struct views;

struct views_options {
	struct io *io;
	struct keyring *keyring;
	struct catalog *catalog;
	struct memtable *memtable;      /* NULL: segments only */
	struct marks *marks;            /* NULL: none */
	const char *segments_directory; /* copied */
	const char *cases_directory;    /* copied; NULL: no case is asked for */
	unsigned cache_segments;        /* open at most, beyond those in use; 0 means 512 */
};

int views_new(const struct views_options *options, struct views **ret_views);
struct views *views_free(struct views *views); /* every view released before */

struct keyring *views_keyring(struct views *views);
struct io *views_io(struct views *views);
/* The marks of now, or NULL: for mark_set_release. Take it before the view. */
struct mark_set *views_marks_hold(struct views *views);

struct view_pin;
struct view {
	struct views *views;
	struct view_pin *pin;
	struct memtable_view memory;
	struct catalog_segment *segments; /* ascending by (day, id) */
	size_t segment_count;
};
/* Days first_day … last_day inclusive; the memtable whole. Any thread but a worker. */
int view_take(struct views *views, int32_t first_day, int32_t last_day, struct view *ret_view);
/* The same of all days, and of the segments only those that may hold a hit with after < number ≤ upto. */
int view_take_hits(struct views *views, uint64_t after, uint64_t upto, struct view *ret_view);
/* As view_take, of a case's copies of held rows, and of nothing else: no memtable, no ordinary segment. */
int view_take_case(struct views *views, uint32_t number, int32_t first_day, int32_t last_day, struct view *ret_view);
void view_release(struct view *view);

/*
 * Who takes segments out of the catalog calls views_turn behind the commit; from when views_passed says true of the
 * number that it gave, no view names them any more.
 */
uint64_t views_turn(struct views *views);
bool views_passed(struct views *views, uint64_t turn);

enum view_outcome { VIEW_PURGED = 1 /* the segment has been purged since the view was taken: nothing to read */ };
/* Borrows an open segment until view_segment_put. 0, VIEW_PURGED, or < 0 with err. */
int view_segment_get(struct views *views, const struct catalog_segment *which, struct err *err,
		     struct segment **ret_segment);
void view_segment_put(struct views *views, struct segment *segment);

/*
 * After keyring_destroy_day: closes what is cached of that day and wipes its keys; segments in use go when they are put
 * back, and none of that day is cached any more.
 */
void views_forget_day(struct views *views, int32_t day);
/* The same for one segment, whose key is destroyed. */
void views_forget_segment(struct views *views, int32_t day, uint64_t id);

#endif
