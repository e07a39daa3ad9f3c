/*
 * The physical removal of what was erased or amended: its segments are rewritten without it under new keys, and what
 * was sealed of it in the register goes. Control threads, one at a time (the tidier's, or a test's).
 */
#ifndef GANTRY_STORAGE_MARKS_TIDY_H
#define GANTRY_STORAGE_MARKS_TIDY_H

#include <stdbool.h>

#include "appliance/base/err.h"

struct store;

#define MARKS_LATE_US INT64_C(3600000000) /* a removal that takes longer is an alarm (R39: within the hour) */

/*
 * One round over all days with marks older than store_options.erase_rewrite_us; `now`: whatever their age. The number
 * of marks that are done by it, or -errno of the first day that failed, with err: the others were tried all the same,
 * and the next round tries again.
 */
int marks_tidy(struct store *store, bool now, struct err *err);

#endif
