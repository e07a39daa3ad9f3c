/*
 * Reads that were accepted while a list, or all, could not be loaded (READ_FLAG_UNMATCHED) are matched once more when
 * all are there again; of a list that a read has hit already it gets nothing new.
 *
 * When lists cannot be loaded at a start, a window is opened in the register before a worker takes the first read. It
 * stays open over restarts until lists are loaded; then it is closed, and what it holds is matched: the memtable, then
 * the days into which anything was sealed since it began. Hits are late hits of the kind they have
 * (storage/late_hits.h). The window goes when all of it has been matched: a crash before begins it anew, and nothing is
 * told twice.
 *
 * An alarm stands meanwhile and says how many reads it concerns. One thread, only as long as there is a window: a match
 * set, once there, does not go again before the next start.
 */
#ifndef GANTRY_APPLIANCE_UNMATCHED_H
#define GANTRY_APPLIANCE_UNMATCHED_H

#include "appliance/base/err.h"

struct gantry;
struct unmatched;

/* change_lock held, behind gantry_load_lists at the start, before workers run. Opens a window if one is needed. */
int unmatched_note(struct gantry *gantry, struct err *err);

/* Behind the attendant's start. *ret_unmatched is NULL when there is nothing to do. */
int unmatched_start(struct gantry *gantry, struct unmatched **ret_unmatched, struct err *err);
struct unmatched *unmatched_stop(struct unmatched *unmatched); /* accepts NULL */

#endif
