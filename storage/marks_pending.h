/*
 * What the physical removal (marks_tidy.h) asks of the marks: which are pending, copied out, and it says back what has
 * become of them. Any control thread, one removal at a time.
 */
#ifndef GANTRY_STORAGE_MARKS_PENDING_H
#define GANTRY_STORAGE_MARKS_PENDING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "appliance/base/err.h"
#include "appliance/base/read.h"
#include "storage/mark_set.h"
#include "storage/marks.h"

/* A pending mark, copied out. Personal data: wipe. */
struct pending_mark {
	uint32_t number;
	enum mark_kind kind;
	int64_t made_us;
	bool removed;     /* lies in no segment: marks_removed has said so */
	int64_t until_ns; /* put off until then; 0 never was */
	bool readable;    /* else the fields below are nothing */
	struct read read;
	struct read corrected; /* kind amended */
};
/* Days with a pending mark made at or before `until_us` (INT64_MAX: also those put off), ascending; caller frees. Pays
 * what marks_done owes. -ENOMEM.
 */
int marks_due(struct marks *marks, int64_t until_us, int32_t **ret_days, size_t *ret_count);
/* All pending marks of the day. Caller wipes and frees. -ENOMEM. */
int marks_pending(struct marks *marks, int32_t day, struct pending_mark **ret_pending, size_t *ret_count);
/* They lie in no segment, their corrections in one: records without a sealed part, then the keys go. */
int marks_done(struct marks *marks, int32_t day, const struct pending_mark *pending, size_t count, struct err *err);
/*
 * They may lie in a segment that cannot be rewritten now: marks_due does not name them for that before `until_ns`
 * (monotonic). They stay pending.
 */
void marks_put_off(struct marks *marks, int32_t day, const struct pending_mark *pending, size_t count,
		   int64_t until_ns);
/* They lie in no segment, but there is none yet to take the corrections in: no longer pending for marks_info. */
void marks_removed(struct marks *marks, int32_t day, const struct pending_mark *pending, size_t count);

#endif
