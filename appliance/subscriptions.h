/*
 * The subscriptions: who is to be told of hits, durable in the register, and how far each has come (R24). A hit counts
 * as delivered when the subscriber acknowledges it; what is not acknowledged is sent again to whoever connects next, so
 * each arrives at least once, whatever ends in between.
 *
 * A new subscription begins at now. Acknowledgements become durable in the register at the next flush, all of them as
 * one change: an appliance that dies before sends again what they covered.
 *
 * Threads: any control thread. Locks: the set's own, then one subscription's (subscription.h); the flush has a lock of
 * its own in front of both, held over the register's write.
 */
#ifndef GANTRY_APPLIANCE_SUBSCRIPTIONS_H
#define GANTRY_APPLIANCE_SUBSCRIPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "appliance/base/hit_positions.h"
#include "storage/register_subscription.h"

struct clock_guard;
struct err;
struct hit_latency;
struct reg;
struct subscription;
struct subscriptions;

#define SUBSCRIPTIONS_MAX 256 /* that are not removed */
#define SUBSCRIPTIONS_KEY_SIZE 32

struct subscriptions_options {
	struct reg *reg;                     /* outlives the set; NULL, it is incomplete: there are no subscriptions */
	uint8_t urgent_priority;             /* from which on a hit is urgent */
	size_t window;                       /* hits of a lane that may be unacknowledged */
	int64_t receipts_us;                 /* how long receipts are kept */
	struct clock_guard *guard;           /* outlives the set: none is dropped unless it trusts the clock; NULL */
	uint8_t key[SUBSCRIPTIONS_KEY_SIZE]; /* of cursors; the same over restarts */
};

/*
 * Loads them. Where the boundary between the lanes has moved since positions were written, both lanes go back to the
 * one that had come less far: some hits are told again, none is passed over. -ENOMEM, -EBADMSG or the register's error.
 */
int subscriptions_new(const struct subscriptions_options *options, struct err *err, struct subscriptions **ret_set);
/* Writes what is not written yet. Nobody is connected any more. */
struct subscriptions *subscriptions_free(struct subscriptions *set);

/*
 * `wanted` with name, organisation, uid, kind, lists; it begins behind `now` in both lanes. Durable on return.
 * -EEXIST: the name is taken. -ENOSPC: SUBSCRIPTIONS_MAX. -ENOKEY: the register is incomplete. Else the register's.
 */
int subscriptions_add(struct subscriptions *set, const struct reg_subscription *wanted, const struct hit_positions *now,
		      uint32_t who_uid, struct err *err, uint32_t *ret_number);
/* Ends who follows it. Its receipts stay as long as any. -ENOENT: no such name. */
int subscriptions_remove(struct subscriptions *set, const char *name, uint32_t who_uid, struct err *err);

/* Borrowed until subscriptions_release; NULL: no such name. */
struct subscription *subscriptions_take(struct subscriptions *set, const char *name);
/* The i-th of those that are not removed, in no order that lasts; NULL behind the last. */
struct subscription *subscriptions_take_at(struct subscriptions *set, size_t index);
void subscriptions_release(struct subscriptions *set, struct subscription *subscription);

/* Grows with every subscription that comes or goes. */
uint64_t subscriptions_generation(struct subscriptions *set);

/* The cursor of a message that brought a subscriber up to there. Returns `text` (HIT_CURSOR_TEXT_SIZE). */
const char *subscriptions_cursor(struct subscriptions *set, const struct subscription *subscription, enum hit_lane lane,
				 const struct hit_positions *positions, char *text);
/*
 * Everything up to the cursor, in its lane. -EBADMSG: not a cursor that this subscription was given; nothing changes.
 * What was acknowledged before is fine. *ret_count: hits that this acknowledged.
 */
int subscriptions_acknowledge(struct subscriptions *set, struct subscription *subscription, const char *cursor,
			      struct hit_latency *latency, size_t *ret_count);

/*
 * Makes durable what was acknowledged since the last flush, and drops receipts that are too old by a clock that is
 * trusted; to be called once a second. Positions that only passed hits of others are written once a minute, or with
 * `all`. 0 also when there was nothing; on failure it is tried again by the next call.
 */
int subscriptions_flush(struct subscriptions *set, int64_t now_us, bool all, struct err *err);

/* Who was given a hit, by the receipts. */
struct subscription_receipt {
	const char *subscription; /* borrowed during the call, as the next */
	const char *organisation;
	uint32_t uid;
	enum hit_lane lane;
	int64_t delivered_us;    /* the first of those that the receipt covers; 0 not known */
	int64_t acknowledged_us; /* the last of them */
};
/*
 * Every subscription that acknowledged a hit of that number, removed ones too, to within what a receipt covers: a
 * second in the urgent lane, a minute in the other. A receipt covers all numbers of its span, so ask only of hits that
 * were that subscription's: whose list it may have. 0, `each`'s first other value, or the register's error.
 */
int subscriptions_receipts(struct subscriptions *set, uint64_t number,
			   int (*each)(void *context, const struct subscription_receipt *receipt), void *context);

#endif
