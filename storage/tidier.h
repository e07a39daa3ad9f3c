/*
 * The tidier: the thread that does what may wait, at the lowest priority: physical removals first, then the register's
 * change log when it is due to be written anew, then merges of quiet days. See tidier.c.
 */
#ifndef GANTRY_STORAGE_TIDIER_H
#define GANTRY_STORAGE_TIDIER_H

#include "appliance/base/err.h"

struct store;

/* Starts the thread; stops whatever it does and joins it (nothing when it does not run). */
int tidier_start(struct store *store, struct err *err);
void tidier_stop(struct store *store);

enum tidier_outcome { TIDIER_MORE = 1 /* something was done: there may be more */ };
/* One duty, on the caller's thread; any control thread. 0 nothing to do now, TIDIER_MORE, or the -errno of what failed.
 */
int tidier_round(struct store *store);

#endif
