/*
 * Days into which something was sealed while nobody knew the marks (the register was incomplete), or whose catalog was
 * lost: a read that had been erased or amended may have come again. They are looked through row by row, once, and what
 * is marked is rewritten away. Control threads, one at a time (the tidier's, or a test's).
 */
#ifndef GANTRY_STORAGE_MARKS_LOOK_H
#define GANTRY_STORAGE_MARKS_LOOK_H

#include <stdbool.h>

#include "appliance/base/err.h"

struct store;

/*
 * One round over all such days; those without marks need no look. 0, or -errno of the first day that failed, with err:
 * the others were looked through all the same. After a failure no further look is taken for ten minutes (one, when it
 * only has to wait), unless `now`.
 */
int marks_look(struct store *store, bool now, struct err *err);

#endif
