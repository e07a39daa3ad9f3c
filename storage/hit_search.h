/*
 * Hits by what they are and what their reads are: the reads of a search (search.h), of which only those that met a
 * list, one answer row a hit, repeats too.
 *
 * Answer order: capture time either way, then number. Reads that collapse in a search keep each its hits until they are
 * merged. The corrections of the last hour, which lie in no segment yet, have theirs once they do. Budgets, cancelling,
 * progress, faults as in a search; cost: every hit of the window's days, of a VRM only those near it, and a row page
 * for those that list, kind and priority let pass. Any thread but a worker.
 */
#ifndef GANTRY_STORAGE_HIT_SEARCH_H
#define GANTRY_STORAGE_HIT_SEARCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "appliance/base/err.h"
#include "storage/hit_scan.h"
#include "storage/search.h"

#define HIT_SEARCH_LISTS_MAX 64
#define HIT_SEARCH_CURSOR_TEXT_SIZE 56

/* Where an answer ended; the next page begins behind it. Holds no VRM. All zero: from the beginning. */
struct hit_search_cursor {
	int64_t capture_us;
	uint64_t number;
	bool set;
};

struct hit_query {
	/* Of which reads; limit, order, budgets. Neither a case nor a cursor. */
	struct search_query reads;
	uint32_t lists[HIT_SEARCH_LISTS_MAX];
	size_t list_count;    /* 0: any */
	unsigned kinds;       /* bit by enum hit_kind; 0: any */
	uint8_t priority_min; /* of the hit */
	/* Asked of each list that hits are of; NULL: all may be given. Not of the store, so not part of the question.
	 */
	bool (*may)(void *context, uint32_t list);
	void *may_context;
	struct hit_search_cursor cursor;
};

/* Borrowed. A non-zero return ends the search and is returned. */
typedef int hit_search_row_fn(void *context, const struct hit_found *found);

/*
 * 0 with *ret_result filled (look at incomplete; its own cursor says nothing) and *ret_cursor set when truncated;
 * -EINVAL a query out of bounds, -EIO nothing can be said, both with err; -ENOMEM.
 */
int hit_search_run(struct store *store, const struct hit_query *query, struct err *err, hit_search_row_fn *row,
		   void *row_context, struct search_result *ret_result, struct hit_search_cursor *ret_cursor);

/* A cursor as text. `question` is a digest of what was asked: it is a place in that answer and in no other. */
void hit_search_cursor_write(uint64_t question, const struct hit_search_cursor *cursor,
			     char ret_text[HIT_SEARCH_CURSOR_TEXT_SIZE]);
/* -EINVAL: no text that hit_search_cursor_write gave; -ESTALE: of another question. */
int hit_search_cursor_read(uint64_t question, const char *text, struct hit_search_cursor *ret_cursor);

#endif
