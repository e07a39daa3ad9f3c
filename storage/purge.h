/*
 * The purge of whole days (R34): by destroying their keys. Happy path, each step durable before the next:
 *
 *   intent (a file in purge/, and the catalog) → day closed to ingest → journals closed and sealed → held rows copied
 *   to their cases' own segments (storage/hold.h) → audit entry → keyring without the day's keys, with its «destroyed»
 *   mark → segment files discarded and unlinked → catalog rows gone → certificate.
 *
 * A crash or failure leaves the intent: store_open closes the day again, and purge_resume (or purge_run of the same
 * day) goes on at the step it finds; every step is idempotent. The audit entry may be written twice by a crash between
 * it and the next step: it carries the intent's number.
 *
 * Who may begin one: the rule (retention.h; purge_run of a day that is due), or two persons (purge_proposal.h). While
 * the clock is under suspicion (clock_guard.h) none is begun, and of those that stand only such as have destroyed their
 * keys already are finished.
 *
 * One purge at a time (a mutex inside). Any control thread; takes seconds.
 */
#ifndef GANTRY_STORAGE_PURGE_H
#define GANTRY_STORAGE_PURGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "appliance/base/err.h"

#define PURGE_TEXT_SIZE 256

struct store;

enum purge_outcome {
	PURGE_NOTHING = 1,   /* the day holds nothing and is not purged: nothing done */
	PURGE_BUSY = 2,      /* a worker's journal could not be closed in time: the intent stands, resume later */
	PURGE_SUSPENDED = 3, /* the clock is under suspicion, err says why: nothing done */
};

struct purge_day {
	int32_t day;
	uint64_t reads; /* sealed and unsealed */
	uint32_t segments;
	uint64_t bytes;
	bool begun; /* an intent stands */
	bool due;   /* by the rule */
};

/*
 * Every day before `before_day` that holds reads, has an intent, or has keys of segments (which may not open, and then
 * no catalog counts their reads), ascending. Caller frees *ret_days. Changes nothing.
 */
int purge_plan(struct store *store, int32_t before_day, struct purge_day **ret_days, size_t *ret_count);

/* Do marks (storage/marks.h) stand for reads of that day, or lives of its hits, and it is not purged yet? */
bool purge_day_marked(struct store *store, int32_t day);
/* Has the day keys of segments? 1, 0, -errno. */
int purge_day_keyed(struct store *store, int32_t day);

struct purge_certificate {
	uint64_t number; /* of the intent; grows */
	int32_t day;
	uint32_t who_uid;      /* who began it: the appliance's own account for the rule, else who approved */
	uint32_t proposer_uid; /* with a proposal */
	uint32_t proposal;     /* its number; 0: the rule's own */
	uint32_t segments;
	uint64_t reads;
	uint64_t bytes;
	uint32_t held_cases; /* that kept reads of the day */
	uint64_t held_reads; /* kept, counted once for each case */
	int64_t intended_us;
	int64_t destroyed_us; /* when the keys were gone */
	int64_t finished_us;
	char authority[PURGE_TEXT_SIZE]; /* the rule or the person's authority, as given */
};

enum purge_step {
	PURGE_INTENDED,
	PURGE_CLOSED,
	PURGE_HELD,
	PURGE_AUDITED,
	PURGE_KEYS_DESTROYED,
	PURGE_UNLINKED,
	PURGE_FORGOTTEN,
	PURGE_CERTIFIED,
};

/* Each may be NULL. The audit hooks return once the entry is durable, or -errno, which stops the purge at that step. */
struct purge_hooks {
	int (*audit_intent)(void *context, const struct purge_certificate *intended);
	int (*audit_certificate)(void *context, const struct purge_certificate *certificate);
	void (*progress)(void *context, int32_t day, enum purge_step step);
	void *context;
};

/* What begins a purge. */
struct purge_order {
	int32_t day;
	const char *authority;
	uint32_t who_uid;
	uint32_t proposer_uid; /* with a proposal */
	uint32_t proposal;     /* 0: none */
};

/*
 * Purges a day, or goes on with it. -EINVAL: no authority, or a day that is not over yet (UTC); -ENOKEY: the register
 * is incomplete; else the error of the step that failed, err says which: call again. 0 with the certificate, or an
 * outcome. That the order is lawful (due, or approved) is the caller's to know.
 */
int purge_order_run(struct store *store, const struct purge_order *order, const struct purge_hooks *hooks,
		    struct err *err, struct purge_certificate *ret_certificate);

/* The same without a proposal. */
int purge_run(struct store *store, int32_t day, const char *authority, uint32_t who_uid,
	      const struct purge_hooks *hooks, struct err *err, struct purge_certificate *ret_certificate);

/*
 * Goes on with every purge whose intent stands, also when one of them cannot: that is an alarm as long as its
 * intent stands (a damaged one, until purge_run purges its day anew). The number finished, or -errno and err of the
 * first that failed; -EAGAIN when some wait for a clock under suspicion.
 */
int purge_resume(struct store *store, const struct purge_hooks *hooks, struct err *err);

/* Every certificate given, in no order. Stops at the first non-zero. A damaged one is passed over with an alarm. */
int purge_certificates(struct store *store, int (*each)(void *context, const struct purge_certificate *certificate),
		       void *context);

/* Has a purge of that day been begun: is there an intent, be it damaged, or are its keys destroyed? 1, 0, -errno. */
int purge_begun(struct store *store, int32_t day);

/* Every purge that stands half done, in no order, with the last step done. Likewise. */
int purge_intents(struct store *store,
		  int (*each)(void *context, const struct purge_certificate *intended, enum purge_step step),
		  void *context);

#endif
