/*
 * Holds: reads that a case needs beyond their day (R35, NASPLE 9.5.1): by CPIA, or by MOPI with a review.
 *
 * A case has a reference, a class, a date of review and selectors, all in the register. While a day lives, its held
 * reads are ordinary reads. When it is purged, the rows that a case's selectors match are copied to that case's own
 * segment under its own key (storage/cases.h) between the sealing of the day and its audit entry; afterwards only a
 * search that quotes the case finds them. Releasing a case destroys its copies; what is still within its day stays an
 * ordinary read.
 *
 * The one order of a hold and a purge: both take hold_mutex, the purge from before it reads the selectors until its
 * step «held rows committed» is durable. A hold that comes before is honoured; one that comes after is refused for that
 * day, and hold_add says so (it stands for all other days). A read that is accepted before its day closes is sealed by
 * the purge and so copied; after that it is refused as too old.
 *
 * The one order of a mark (storage/marks.h) and a purge: the marks' mutex. Until the keys of its day are destroyed a
 * read is erased or amended everywhere: copies made before are made anew, by the holds of that moment, before the keys
 * go, and meanwhile a search that quotes the case shows nothing of it. After that the mark is refused: the read is
 * purged.
 *
 * Lock order: purge_mutex, hold_mutex, the marks' mutex, then as store_internal.h says. Any control thread. Needs the
 * register: -ENOKEY without.
 */
#ifndef GANTRY_STORAGE_HOLD_H
#define GANTRY_STORAGE_HOLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "appliance/base/err.h"
#include "storage/register_hold.h"

#define HOLD_GONE_MAX 16     /* days that hold_add names */
#define HOLD_READS_MAX 10000 /* of one selector */
#define HOLD_CAMERAS_MAX 10000

struct store;

/* Rows that match all that is given; or, with reads, just those. At least one criterion. Borrowed. */
struct hold_selector {
	const char *pattern; /* over the VRM key, as appliance/base/glob.h compiles it; NULL any */
	int64_t from_us;     /* captured in [from_us, to_us); INT64_MIN and INT64_MAX: open */
	int64_t to_us;
	const uint32_t *cameras; /* NULL any */
	size_t camera_count;
	const struct reg_hold_read *reads; /* NULL: by the criteria above */
	size_t read_count;
};

struct hold_added {
	uint32_t number; /* of the case */
	/* Days of the selector whose purge is past «held rows committed», or over: not held. The first HOLD_GONE_MAX.
	 */
	int32_t gone[HOLD_GONE_MAX];
	uint32_t gone_count;
};

/*
 * Adds a selector to the case of that reference, made when there is none. `hold` gives reference, class, review_day,
 * who_uid and reason; the selector keeps the latter two as its own. 0; -EINVAL (no criterion, a pattern that is none, a
 * review in the past, another class than the case has, too many); -EBUSY the case is being released; nothing is held
 * and err says why: -ESTALE every day of the selector is gone, -ENOENT or -EIO a read that is named is not there
 * (hold_reads.h); else the register's error.
 *
 * The caller sees to it that no read is amended meanwhile, from hold_follow to marks_make: it would not be followed.
 */
int hold_add(struct store *store, const struct reg_hold *hold, const struct hold_selector *selector, struct err *err,
	     struct hold_added *ret_added);

/* The case was reviewed and stays held: the next review. -ENOENT, -EINVAL not in the future, -EBUSY being released. */
int hold_renew(struct store *store, const char *reference, int32_t review_day, uint32_t who_uid, const char *reason,
	       struct err *err);

/* -ENOENT. */
int hold_find(struct store *store, const char *reference, struct reg_hold *ret_hold);

/* Stops at the first non-zero, which it returns. `each` may not change holds. */
int hold_each(struct store *store, int (*each)(void *context, const struct reg_hold *hold), void *context);

/* The selectors of a case, by index. Likewise; what `each` is given is wiped afterwards and may be changed until then.
 */
int hold_each_selector(struct store *store, uint32_t number,
		       int (*each)(void *context, struct reg_hold_selector *selector), void *context);

/* -ENOENT. */
int hold_by_number(struct store *store, uint32_t number, struct reg_hold *ret_hold);

/* How many cases were to be reviewed by `today` (a day number) and were not. */
int hold_overdue(struct store *store, int32_t today, unsigned *ret_count);

/*
 * Tells the key of public ids (KEY_IDENTITY) that is in the keyring from one that was lost. -ENOKEY with err: there is
 * none.
 */
int hold_identity(struct store *store, struct err *err, uint64_t *ret_identity);

/*
 * Does anything keep the day from going? A case may name reads of it by ids of a key that the keyring has no more:
 * nobody can say which reads are meant, and the day waits. 0; -ENOKEY with err: which case, how many reads, what to do.
 */
int hold_hindered(struct store *store, int32_t day, struct err *err);

/* 1: the purge of the day is past «held rows committed», or over: it takes no hold any more. 0; -errno. */
int hold_day_gone(struct store *store, int32_t day);

struct hold_release {
	uint32_t number;
	uint32_t who_uid;  /* who released it */
	uint32_t segments; /* copies destroyed */
	uint64_t reads;
	char reference[REG_NAME_SIZE];
};
/*
 * Ends a hold: marked released (from then on nothing of it is found or copied) → keys of its copies destroyed → files
 * gone → catalog rows gone → `audit` (durable, or -errno; may be NULL) → its records leave the register. A failure or
 * crash leaves it released; hold_resume goes on. 0, -ENOENT, -EPERM (a copied day is not over age: none of those who
 * made a selector of the case releases it), or the error of the step.
 */
typedef int hold_audit_fn(void *context, const struct hold_release *release);
int hold_release(struct store *store, const char *reference, uint32_t who_uid, const char *reason, hold_audit_fn *audit,
		 void *audit_context, struct err *err, struct hold_release *ret_release);

/* Finishes every release that was interrupted. The number finished, or -errno of the first that failed. */
int hold_resume(struct store *store, hold_audit_fn *audit, void *audit_context, struct err *err);

/*
 * What of a day a case holds now, by search (unsealed reads included): for plans. An upper bound when selectors of the
 * case overlap. `each` gets only cases that hold something. The day must not be purged.
 */
int hold_plan(struct store *store, int32_t day, int (*each)(void *context, const struct reg_hold *hold, uint64_t reads),
	      void *context);

#endif
