/*
 * Consecutive reads of a camera (R14): every read in capture order, not-read records too, the first N from a moment on
 * or the last N before one. A search, but with its window opened step by step, so that N reads of a busy camera cost
 * what N reads cost and not what its days hold.
 *
 * Threads and errors as search_run.
 */
#ifndef GANTRY_STORAGE_CONSECUTIVE_H
#define GANTRY_STORAGE_CONSECUTIVE_H

#include "storage/search.h"

/*
 * `query` names one camera, no globs, no cursor, and is not count_only; its budgets span all steps. oldest_first: the
 * first `limit` reads of its window; else the last ones. `row` gets them oldest first either way. The result is of all
 * steps together; truncated says that the limit was reached, and there is no cursor.
 */
int consecutive_run(struct views *views, const struct search_query *query, struct err *err, search_row_fn *row,
		    void *row_context, struct search_result *ret_result);

#endif
