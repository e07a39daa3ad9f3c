/*
 * How acknowledgements become durable: once a second the positions of every lane that moved, and the receipts of what
 * was acknowledged, as one change of the register. What is not written stays gathered and is written by the next flush.
 */
#include "appliance/subscriptions_set.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "appliance/base/err.h"
#include "appliance/subscription.h"
#include "storage/clock_guard.h"

#define LEISURE_US INT64_C(60000000) /* positions that only passed hits of others */
#define TIDY_EVERY_US INT64_C(60000000)
#define TIDY_MAX 64 /* receipts of one source dropped at a time */
/* Of one subscription at most: positions and open receipts of both lanes. */
#define CHANGES_EACH (HIT_LANE_COUNT * (1 + HIT_SOURCES))

/* Of one receipt: the first hit's delivery to the last one's acknowledgement. As short as a year of them has room for.
 */
static const int64_t receipt_span_us[HIT_LANE_COUNT] = {[HIT_LANE_URGENT] = 10000000, [HIT_LANE_MASS] = 60000000};

/* Also when the clock is behind `since_us`: it was set back, and nothing waits until it has come there again. */
static bool is_over(int64_t since_us, int64_t span_us, int64_t now_us)
{
	return now_us < since_us || now_us - since_us >= span_us;
}

static int room_make(struct flush *flush)
{
	if (flush->changes == NULL)
		flush->changes = calloc(FLUSH_CHANGES_MAX + CHANGES_EACH, sizeof(*flush->changes));
	if (flush->values == NULL)
		flush->values = calloc(FLUSH_CHANGES_MAX + CHANGES_EACH, sizeof(*flush->values));
	return flush->changes != NULL && flush->values != NULL ? 0 : -ENOMEM;
}

static void gather_delete(struct flush *flush, enum reg_kind kind, uint32_t a, uint32_t b)
{
	flush->changes[flush->count++] = (struct reg_change){.kind = kind, .a = a, .b = b};
}

/* Lock of the subscription held. An open receipt is written as it is, and again when it has grown, until its span ends.
 */
static void gather_receipt(struct flush *flush, const struct subscription *subscription, enum hit_lane index,
			   unsigned source)
{
	const struct subscription_lane *lane = &subscription->lanes[index];
	const struct open_receipt *open = &lane->receipts[source];
	struct reg_receipt receipt = {.number = subscription->record.number,
				      .lane = (uint8_t)index,
				      .index = lane->receipt_next[source],
				      .from = open->from,
				      .to = open->to,
				      .count = open->count,
				      .uid = subscription->record.uid,
				      .delivered_us = open->delivered_us,
				      .acknowledged_us = open->acknowledged_us};
	uint8_t *value = flush->values[flush->count];

	flush->changes[flush->count++] = (struct reg_change){.kind = REG_RECEIPT,
							     .a = reg_receipt_a(&receipt),
							     .b = receipt.index,
							     .value = value,
							     .value_size = reg_receipt_encode(&receipt, value)};
}

static void gather_receipts(struct flush *flush, struct subscription *subscription, enum hit_lane index)
{
	struct subscription_lane *lane = &subscription->lanes[index];

	for (unsigned i = 0; i < HIT_SOURCES; i++) {
		if (lane->receipts[i].changed)
			gather_receipt(flush, subscription, index, i);
		lane->receipts[i].changed = false;
	}
}

/* Those whose span is over, behind their writing: what is acknowledged from now on begins a new one. */
static void close_receipts(struct subscription_lane *lane, enum hit_lane index, int64_t now_us)
{
	for (unsigned i = 0; i < HIT_SOURCES; i++) {
		struct open_receipt *open = &lane->receipts[i];

		if (open->to == 0 || !is_over(open->begun_us, receipt_span_us[index], now_us))
			continue;
		lane->receipt_next[i]++;
		memset(open, 0, sizeof(*open));
	}
}

/* Lock of the subscription held. */
static void gather_lane(struct subscriptions *set, struct subscription *subscription, enum hit_lane index,
			int64_t now_us, bool all)
{
	struct subscription_lane *lane = &subscription->lanes[index];
	struct flush *flush = &set->flush;
	struct reg_positions positions;
	uint8_t *value;

	subscription_settle(lane);
	if (!lane->changed && !(lane->moved && (all || is_over(lane->written_us, LEISURE_US, now_us)))) {
		close_receipts(lane, index, now_us);
		return;
	}
	gather_receipts(flush, subscription, index);
	close_receipts(lane, index, now_us);
	subscription_positions(subscription, index, set->options.urgent_priority, &positions);
	value = flush->values[flush->count];
	flush->changes[flush->count++] = (struct reg_change){.kind = REG_SUBSCRIPTION,
							     .a = positions.number,
							     .b = 1u + index,
							     .value = value,
							     .value_size = reg_positions_encode(&positions, value)};
	lane->changed = lane->moved = false;
	lane->written_us = now_us;
}

/* True when one of its receipts is older than they are kept. */
static bool is_outdated(struct subscriptions *set, uint32_t a, uint32_t b, int64_t now_us)
{
	uint8_t value[REG_RECORD_SIZE_MAX];
	struct reg_receipt receipt;
	size_t size;
	int result = reg_get(set->options.reg, REG_RECEIPT, a, b, value, &size);

	if (result == -ENOENT)
		return true; /* nothing is there: past it */
	return result == 0 && reg_receipt_decode(value, size, &receipt) == 0 &&
	       receipt.acknowledged_us < now_us - set->options.receipts_us;
}

/* Lock of the subscription held; the register is read under it, a few records a minute. */
static void drop_receipts(struct subscriptions *set, struct subscription *subscription, enum hit_lane index,
			  int64_t now_us)
{
	struct subscription_lane *lane = &subscription->lanes[index];

	for (unsigned i = 0; i < HIT_SOURCES; i++) {
		uint32_t a = reg_receipt_key(subscription->record.number, (uint8_t)index, i);

		for (unsigned n = 0;
		     n < TIDY_MAX && lane->receipt_first[i] < lane->receipt_next[i] &&
		     set->flush.count < FLUSH_CHANGES_MAX && is_outdated(set, a, lane->receipt_first[i], now_us);
		     n++) {
			gather_delete(&set->flush, REG_RECEIPT, a, lane->receipt_first[i]++);
			lane->changed = true;
		}
	}
}

/* Lock of the subscription held. A removed one whose last receipt is gone goes too. */
static bool is_spent(const struct subscription *subscription)
{
	for (unsigned lane = 0; lane < HIT_LANE_COUNT; lane++)
		for (unsigned i = 0; i < HIT_SOURCES; i++)
			if (subscription->lanes[lane].receipts[i].to != 0 ||
			    subscription->lanes[lane].receipt_first[i] < subscription->lanes[lane].receipt_next[i])
				return false;
	return true;
}

/* flush_lock held. Out of the table; whoever still holds it lets go of it later. */
static void forget(struct subscriptions *set, struct subscription *subscription)
{
	(void)pthread_mutex_lock(&set->lock);
	for (size_t i = 0; i < set->count; i++) {
		if (set->table[i] != subscription)
			continue;
		set->table[i] = set->table[--set->count];
		subscription->references--;
		break;
	}
	(void)pthread_mutex_unlock(&set->lock);
}

static void gather(struct subscriptions *set, struct subscription *subscription, int64_t now_us, bool tidy, bool all)
{
	bool spent = false;

	(void)pthread_mutex_lock(&subscription->lock);
	for (unsigned lane = 0; lane < HIT_LANE_COUNT; lane++) {
		if (tidy)
			drop_receipts(set, subscription, lane, now_us);
		gather_lane(set, subscription, lane, now_us, all);
	}
	if (tidy && subscription->record.removed && is_spent(subscription)) {
		for (uint32_t b = 0; b <= HIT_LANE_COUNT; b++)
			gather_delete(&set->flush, REG_SUBSCRIPTION, subscription->record.number, b);
		spent = true;
	}
	(void)pthread_mutex_unlock(&subscription->lock);
	if (spent)
		forget(set, subscription);
}

/* What goes by its age goes for good: not by a clock that is under suspicion. */
static bool tidy_due(const struct subscriptions *set, int64_t now_us)
{
	struct clock_guard_state clock;

	if (!is_over(set->tidied_us, TIDY_EVERY_US, now_us))
		return false;
	if (set->options.guard == NULL)
		return true;
	clock_guard_look(set->options.guard, &clock);
	return clock.trust == CLOCK_TRUSTED;
}

/* A round of all of them; one that fills the change goes on with the next flush where it ended. */
static void gather_all(struct subscriptions *set, int64_t now_us, bool all)
{
	bool tidy = tidy_due(set, now_us);
	struct subscription *subscription;

	while (set->flush.count < FLUSH_CHANGES_MAX &&
	       (subscription = subscriptions_take_any(set, set->flush_next)) != NULL) {
		gather(set, subscription, now_us, tidy, all);
		subscriptions_release(set, subscription);
		set->flush_next++;
	}
	if (set->flush.count >= FLUSH_CHANGES_MAX)
		return;
	set->flush_next = 0;
	if (tidy)
		set->tidied_us = now_us;
}

int subscriptions_flush(struct subscriptions *set, int64_t now_us, bool all, struct err *err)
{
	struct flush *flush = &set->flush;
	int result = 0;

	if (set->options.reg == NULL)
		return 0;
	(void)pthread_mutex_lock(&set->flush_lock);
	if (room_make(flush) < 0)
		result = err_set(err, -ENOMEM, "acknowledged hits could not be noted: out of memory");
	if (result == 0 && flush->count == 0)
		gather_all(set, now_us, all);
	if (result == 0 && flush->count > 0) {
		result = reg_change(set->options.reg, flush->changes, flush->count, (uint32_t)getuid(),
				    "hits acknowledged", err);
		if (result == 0)
			flush->count = 0;
		else
			(void)err_prefix(err, result, "the register did not take which hits are acknowledged");
	}
	(void)pthread_mutex_unlock(&set->flush_lock);
	return result;
}
