/*
 * Orders of rows, and when two of them are one read. Pure functions, any thread.
 *
 * Store order: VRM key, capture time, camera, lane of the road, then every other field of the sender, then feed, epoch,
 * and what the appliance added. Reads that are equal for the sender thus lie together, the one of the smallest (feed,
 * epoch) first; so do reads that share a public id's fields. Answer order: capture time first (either way), then as
 * above.
 *
 * Collapse: of a group of equal reads (row_equal) those of the smallest (feed, epoch) stay, all of them; the others
 * are copies that came by another feed or another spool. The rule gives the same survivors however the group is split
 * over segments and memtable first. A not-read record is never a copy: nothing in it tells one vehicle from the next.
 */
#ifndef GANTRY_STORAGE_ROW_H
#define GANTRY_STORAGE_ROW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "appliance/base/bytes.h"
#include "appliance/base/read.h"

/* < 0, 0, > 0 in store order; 0 only when every field is the same. */
int row_compare(const struct read *a, const struct read *b);

/* Of two rows with equal keys: every field of the sender is the same, and both are reads of a plate. */
bool row_equal(const struct read *a, const struct read *b);

static inline bool row_same_key(const struct read *a, const struct read *b)
{
	return bytes_equal_16(a->key, b->key);
}

static inline bool row_same_source(const struct read *a, const struct read *b)
{
	return a->feed == b->feed && a->epoch == b->epoch;
}

/* Puts pointers into store order, in place. -ENOMEM: unchanged. Fast: radix on the key's prefix. */
int row_sort(const struct read **rows, size_t count);

/* The same, giving the former index of each: order[i] is the index of the i-th row. Rows are borrowed, unmoved. */
int row_order(const struct read *const *rows, size_t count, uint32_t *ret_order);

#endif
