/*
 * Inside of hit_scan and hit_search: a view of the whole store with the marks that hide reads, the hits of its segments
 * page by page, and the reads that they belong to. What cannot be read is told to the store as damage, left out, and
 * does not end anything; but what the device alone does not give ends the call with -EIO until it has not given it for
 * HIT_VIEW_PATIENCE_NS, unless `fault` is set. One thread, not a worker.
 */
#ifndef GANTRY_STORAGE_HIT_VIEW_H
#define GANTRY_STORAGE_HIT_VIEW_H

#include <stdbool.h>
#include <stdint.h>

#include "appliance/base/err.h"
#include "appliance/base/read.h"
#include "storage/segment_file.h"
#include "storage/view.h"

#define HIT_VIEW_PATIENCE_NS (INT64_C(60) * 1000000000)

struct mark_set;
struct store;

struct hit_view {
	struct store *store;
	struct view view;
	struct mark_set *marks;
	const struct mark_day *marks_day; /* of the day asked about last */
	int32_t day;
	struct segment_scratch scratch;
	struct segment *segment; /* the one whose rows were asked for last; NULL none */
	uint32_t segment_number;
	uint32_t page;
	struct segment_rows *rows; /* of that page */
	bool rows_set;
	bool rows_lost; /* the page cannot be read */
	void (*fault)(void *context,
		      const struct err *err); /* told of what cannot be read, beside the store; NULL no */
	void *fault_context;
	struct err *err; /* the caller's */
};

/*
 * Of the whole store; of the segments only those that may hold a hit with after < number ≤ upto, both of one source.
 * 0; -ENOMEM; -EIO with err: nothing can be said, such as without the register, which alone knows what is marked.
 */
int hit_view_take(struct store *store, uint64_t after, uint64_t upto, struct err *err, struct hit_view *ret_view);
/* The same, of these days and the memtable whole, whatever numbers their hits have. */
int hit_view_take_days(struct store *store, int32_t first_day, int32_t last_day, struct err *err,
		       struct hit_view *ret_view);
void hit_view_release(struct hit_view *view);

enum hit_view_outcome { HIT_VIEW_LOST = 1 /* purged meanwhile, or it cannot be read */ };

/* Every readable hit of that segment of the view, by row; stops at the first non-zero, which it returns. */
int hit_view_each(struct hit_view *view, uint32_t segment,
		  int (*each)(void *context, uint32_t segment, const struct hit *hit), void *context);

/* A row of that segment, borrowed until the next call; by ascending rows each page is read once. 0 or HIT_VIEW_LOST. */
int hit_view_row(struct hit_view *view, uint32_t segment, uint32_t row, const struct read **ret_read);

/* The first row of that segment that may have this key or a greater one; untouched when it cannot be said. 0 or < 0. */
int hit_view_first_row(struct hit_view *view, uint32_t segment, const uint8_t key[READ_TEXT_SIZE], uint32_t *ret_row);

/* The read is erased, replaced by its correction, or, unless these are wanted, restricted: its hits are nobody's. */
bool hit_view_hides(struct hit_view *view, const struct read *read, bool restricted_wanted);

#endif
