/*
 * The late hits of a day's reads, joined to rows that pass in store order: for who copies rows to where the register's
 * records do not follow (cases_copy.c). A late hit belongs to every copy of its read, however that came (row_equal);
 * the first copy that passes gets it. Personal data. One control thread.
 */
#ifndef GANTRY_STORAGE_LATE_JOIN_H
#define GANTRY_STORAGE_LATE_JOIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "appliance/base/err.h"
#include "appliance/base/read.h"

struct late_hits;
struct late_join;

/*
 * Those of the day that the marks leave, restricted ones too, of reads that are `wanted`; memory: 112 bytes each.
 * *ret_unreadable: hits whose batch cannot be read; they are left out. -ENOKEY: the late hits are not loaded; -ENOMEM;
 * both with err.
 */
int late_join_new(struct late_hits *late, int32_t day, bool (*wanted)(const void *context, const struct read *read),
		  const void *context, struct err *err, struct late_join **ret_join, size_t *ret_unreadable);
struct late_join *late_join_free(struct late_join *join); /* wipes; NULL is fine */

/* The row's next hit, borrowed; NULL: it has no more. Rows in store order, each until NULL. */
const struct hit *late_join_next(struct late_join *join, const struct read *row);

#endif
