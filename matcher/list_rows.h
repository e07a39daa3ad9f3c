/* CSV text to rows of a list: the header line, what each column means, what is reported. See list_load_csv. */
#ifndef GANTRY_MATCHER_LIST_ROWS_H
#define GANTRY_MATCHER_LIST_ROWS_H

#include <stddef.h>

#include "matcher/list_build.h"

struct err;

/* What to do with a row, borrowed: as list_row_add_once. LIST_ROW_BAD and LIST_ROW_DUPLICATE may give a reason. */
typedef int list_row_fn(void *context, const struct list_row *row, const char **ret_reason);

/* A vrm whose row comes soon, perhaps: what that will need may be asked of memory now. */
typedef void list_row_hint_fn(const void *context, const struct slice *vrm);

/*
 * Every row that reads well goes to `take`; what does not, or is not taken, is reported. ret_result is filled in any
 * case (`loaded` counts what was taken). `hint` may be NULL. 0, or as list_load_csv, `strict` included.
 */
int list_rows_read(const char *text, size_t size, const struct list_options *options, list_row_fn *take,
		   list_row_hint_fn *hint, void *context, struct list_result *ret_result, struct err *err);

#endif
