/*
 * Whether the reads that a hold names by id are there: an id that is nobody's would hold nothing, and say nothing of
 * it. An amended read has another id (storage/marks.h), and its old one leads nowhere once the correction stands in a
 * segment; so whoever asks is told to name the read that stands in its place. Control threads.
 */
#ifndef GANTRY_STORAGE_HOLD_READS_H
#define GANTRY_STORAGE_HOLD_READS_H

#include "appliance/base/err.h"

struct hold_selector;
struct store;

/*
 * hold_mutex held, and no mark is made meanwhile. 0, also for reads of days that take no hold any more (hold_add tells
 * those); -ENOENT with err: one was amended, erased or never was, and err names it, those like it, and what to do;
 * -EIO: it may lie in what cannot be read; else what the search says.
 */
int hold_reads_check(struct store *store, const struct hold_selector *selector, struct err *err);

#endif
