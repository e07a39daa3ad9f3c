/*
 * The retention rule (R34; NASPLE 9.5.1, footnote 4): a day's reads go on day 366 after their capture, by themselves.
 * One round does all that is due: clock guard → purges that stand half done → days due, oldest first → releases of
 * holds that stand half done → proposals that expired. Whoever owns the thread calls it at the start and every few
 * minutes; a failure of one day holds up no other and is tried again in the next round.
 *
 * Any control thread; one round at a time.
 */
#ifndef GANTRY_STORAGE_RETENTION_H
#define GANTRY_STORAGE_RETENTION_H

#include <stdbool.h>
#include <stdint.h>

#include "appliance/base/err.h"
#include "storage/hold.h"
#include "storage/purge.h"

#define RETENTION_DAYS_MAX 365 /* day 366 is the last that a read may reach: no setting goes beyond */

struct store;

struct retention_hooks {
	struct purge_hooks purge;
	hold_audit_fn *release; /* with purge.context */
	/* A purge finished; may be NULL. With purge.context. */
	void (*purged)(void *context, const struct purge_certificate *certificate);
};

struct retention_result {
	int64_t began_us;
	bool suspended;   /* the clock is under suspicion: nothing was begun */
	unsigned resumed; /* purges finished that stood half done */
	unsigned due;     /* days due when the round began */
	unsigned purged;  /* of them */
	unsigned failed;  /* of them; tried again in the next round */
	unsigned overdue; /* cases whose review is due */
	unsigned expired; /* proposals */
	struct err why;   /* of suspension or the first failure; empty when all is well */
};

/* 0, also when suspended; or the -errno of the first failure, with everything else done. */
int retention_round(struct store *store, uint32_t who_uid, const struct retention_hooks *hooks,
		    struct retention_result *ret_result);

/* Days before this one are due by the rule now. */
int32_t retention_due_before(struct store *store);

/* "retention rule: NASPLE 9.5.1, day 366 after capture (reads.retention = 365)": a certificate's authority. */
const char *retention_authority(const struct store *store, char text[PURGE_TEXT_SIZE]);

#endif
