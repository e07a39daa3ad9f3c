/*
 * Late hits: those found after their read was stored, by a search back for a list's new entries or because no list was
 * loaded when the read came. The read lies sealed in its segment and is not touched; the hit lies beside it, in the
 * register, together with a copy of the whole read.
 *
 * Life of one:
 *
 *	put ▸ the day's KEY_LATE durable (late.keyed) ▸ batches, sealed under it, and the last number given, one entry
 *	of the change log ▸ seen by scans, from its number on; numbers are source HIT_SOURCE_LATE and a count that only
 *	grows, over every restart.
 *	hidden at once when its read is erased, amended or restricted (marks.h), as every hit is.
 *	erased or amended read ▸ late_hits_tidy: what is left of its day is put under a new key with the numbers it has,
 *	the former key destroyed.
 *	the day is purged ▸ cases' copies take those of the reads that they hold (late_join.h) ▸ its KEY_LATE dies with
 *	its segments' keys; the records go.
 *
 * A crash before the change is durable leaves at most a key without records, which late_hits_load destroys; after it,
 * the hits. The change log never forgets: nothing in it tells a read to whoever lacks the key.
 *
 * The same hit is not put twice: of one sighting (row_equal, however it came) each entry of a list is kept once, by a
 * 128-bit tag in memory. So whoever searches may do so again after a crash.
 *
 * Threads: any control thread. Locks: `change` is held over marks, register and keyring (order: behind the store's own,
 * before theirs); `lock` is a leaf, held briefly.
 */
#ifndef GANTRY_STORAGE_LATE_HITS_H
#define GANTRY_STORAGE_LATE_HITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "appliance/base/err.h"
#include "storage/hit_scan.h"

#define LATE_HITS_PUT_MAX 131072 /* of one call */

struct keyring;
struct late_hits;
struct marks;
struct reg;

/* Empty until late_hits_load; then puts are refused with -ENOKEY. -ENOMEM. */
int late_hits_new(struct late_hits **ret_late);
struct late_hits *late_hits_free(struct late_hits *late);

/*
 * From the register, once, after the marks. Records of purged days go, and keys that no record names.
 * *ret_unreadable: hits whose batch does not open: lost, and to be said. < 0 with err: as before the load.
 */
int late_hits_load(struct late_hits *late, struct reg *reg, struct keyring *keyring, struct marks *marks,
		   struct err *err, size_t *ret_unreadable);

struct late_hit {
	struct hit_found found; /* its number is not looked at */
	uint32_t generation;    /* of the list: entries have other numbers in another */
};
/*
 * Puts up to LATE_HITS_PUT_MAX hits, all in one durable change or none. Gives each its number, ascending in the order
 * of (day, place in the array); 0: it was put before, its read has a mark by now, or the keys of its day are destroyed.
 * *ret_put: how many were put. -ENOKEY: the register is incomplete; -EINVAL too many; else with err what register or
 * keyring say, nothing is put and numbers are undefined; after a power cut the hits may yet be found, whole.
 */
int late_hits_put(struct late_hits *late, struct late_hit *hits, size_t count, uint32_t who_uid, struct err *err,
		  size_t *ret_put);

/* hit_scan and hit_find (hit_scan.h) of HIT_SOURCE_LATE; after and upto are numbers. */
int late_hits_scan(struct late_hits *late, uint64_t after, uint64_t upto, size_t max, struct err *err,
		   struct hit_found *ret_found, size_t *ret_count);
int late_hits_find(struct late_hits *late, uint64_t number, struct err *err, struct hit_found *ret_found);

/* The number given last, now; 0: none yet. */
uint64_t late_hits_highest(struct late_hits *late);

/*
 * Those of reads captured in [from_us, to_us), in no order but that of the numbers within a day. The hit is borrowed.
 * With `restricted` those of restricted reads too (R39). Stops at the first non-zero of `each` and returns it. Hits
 * whose batch cannot be read are left out and counted.
 */
int late_hits_each(struct late_hits *late, int64_t from_us, int64_t to_us, bool restricted,
		   int (*each)(void *context, const struct hit_found *found), void *context, struct err *err,
		   size_t *ret_unreadable);

/* What was erased or amended goes from the bytes too: see above. Does nothing when nothing is to be done. */
int late_hits_tidy(struct late_hits *late, struct err *err);

/* False: what was put cannot be told, until a restart reads it. */
bool late_hits_loaded(struct late_hits *late);

/* Stands for what was put of the day until now; 0: nothing. For who copies it. */
uint64_t late_hits_stamp(struct late_hits *late, int32_t day);
/*
 * marks_destroy_day, unless the stamp is another by now: MARKS_CHANGED. In between nothing is put, and of that day
 * nothing any more once it returns 0. A day that is destroyed already has no stamp to meet.
 */
int late_hits_destroy_day(struct late_hits *late, struct marks *marks, struct keyring *keyring, int32_t day,
			  uint64_t stamp, uint64_t marks_stamp);

/* The day has been purged: its records and what is left of its keys go. Idempotent. */
int late_hits_forget_day(struct late_hits *late, int32_t day, struct err *err);

struct late_hits_info {
	uint64_t hits; /* kept; those of erased reads too until they are tidied away */
	uint32_t days;
};
void late_hits_info(struct late_hits *late, struct late_hits_info *ret_info);

#endif
