/*
 * Hits by their numbers (appliance/base/read.h), wherever their reads lie now: in the memtable, in a day's segments,
 * or, found late, beside them (late_hits.h). What a subscriber that fell behind is given, and what a number is looked
 * up by.
 *
 * Reads that are purged, erased or amended have no hits any more, restricted ones raise none (R39): numbers have gaps.
 * Any control thread; never a worker. Each call takes a view of its own (view.h).
 */
#ifndef GANTRY_STORAGE_HIT_SCAN_H
#define GANTRY_STORAGE_HIT_SCAN_H

#include <stddef.h>
#include <stdint.h>

#include "appliance/base/err.h"
#include "appliance/base/read.h"

struct store;

/* A hit and its read; hit.row says nothing. Holds a VRM: whoever frees it wipes it. */
struct hit_found {
	struct hit hit;
	struct read read;
};

/*
 * The hits of one source with after < number ≤ upto, durable, no repeats: the `max` smallest of them, ascending.
 * Memory: max entries, whatever lies in between. Where a segment cannot be read its hits are left out and the store
 * counts the damage. 0; -ENOMEM; -EIO when nothing can be said, or when a device gives no answer that another call may
 * get (for a minute, then it counts as damage); ret_found and *ret_count are then undefined.
 */
int hit_scan(struct store *store, unsigned source, uint64_t after, uint64_t upto, size_t max, struct err *err,
	     struct hit_found *ret_found, size_t *ret_count);

/* The hit of that number, repeats too. -ENOENT: there is none, or its read is gone. */
int hit_find(struct store *store, uint64_t number, struct err *err, struct hit_found *ret_found);

/*
 * The highest number of a source that any hit has that was there when the store was opened; 0: none. Hits made since
 * are numbered behind it.
 */
uint64_t hit_highest(const struct store *store, unsigned source);

/*
 * Hits that are made from now on are numbered behind this number too: a subscriber's position may lie beyond every hit
 * that is left, and a hit made below it would never be told. Before the worker of its source runs.
 */
void hit_number_behind(struct store *store, uint64_t number);

#endif
