/*
 * Inside of search: finds, ahead of who reads them, the rows of a segment that a query may want: by scanning the
 * dictionary for a pattern, or by the scenes of its cameras. One thread.
 */
#ifndef GANTRY_STORAGE_SEARCH_FINDER_H
#define GANTRY_STORAGE_SEARCH_FINDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "appliance/base/err.h"
#include "storage/segment_keys.h"
#include "storage/segment_stream.h"

struct search;

#define SEARCH_SPANS_MAX 4096 /* found and not read yet: then the dictionary has to wait */

/* Rows found, ascending: a queue. */
struct search_spans {
	struct segment_row_range *all;
	size_t first;
	size_t end;
	size_t room;
};

struct search_finder {
	struct segment_stream *stream; /* NULL: nothing is left to find */
	struct key_range *scenes;      /* owned; NULL: the dictionary */
	uint32_t row;                  /* by the dictionary: rows before it are found */
	uint64_t *pages;               /* found by scene: a bit for each row page */
	bool failed;                   /* a page could not be read: */
	struct err err;                /* why, not told yet */
	uint8_t from_key[16];          /* the dictionary's keys from here on are unknown; by scene: all zero */
};

/* Both 0 or -ENOMEM; fini either way. *signal is set when go is worth its time. */
int search_finder_init_keys(struct search_finder *finder, struct search *search, struct segment *segment, bool *signal);
int search_finder_init_scenes(struct search_finder *finder, struct search *search, struct segment *segment,
			      bool *signal);
void search_finder_fini(struct search_finder *finder);

/*
 * Goes on with what has come, adding to the spans, until there are enough of them. Stops for good (stream is NULL) at
 * the end or at a page that cannot be read. 0 or -ENOMEM.
 */
int search_finder_go(struct search_finder *finder, struct search *search, struct segment *segment,
		     struct search_spans *spans);

static inline size_t search_spans_count(const struct search_spans *spans)
{
	return spans->end - spans->first;
}

#endif
