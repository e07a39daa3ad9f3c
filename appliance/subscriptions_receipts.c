/*
 * Who was given a hit. Receipts of one subscription, lane and source are numbered without gaps and cover ascending
 * spans, so that one is found by halving.
 */
#include "appliance/subscriptions_set.h"

#include <errno.h>

#include "appliance/subscription.h"

static int receipt_get(struct subscriptions *set, uint32_t a, uint32_t index, struct reg_receipt *ret_receipt)
{
	uint8_t value[REG_RECORD_SIZE_MAX];
	size_t size;
	int result = reg_get(set->options.reg, REG_RECEIPT, a, index, value, &size);

	return result == 0 ? reg_receipt_decode(value, size, ret_receipt) : result;
}

/* 1 found, 0 none. */
static int find_written(struct subscriptions *set, uint32_t a, uint32_t first, uint32_t next, uint64_t number,
			struct reg_receipt *ret_receipt)
{
	while (first < next) {
		uint32_t middle = first + (next - first) / 2;
		int result = receipt_get(set, a, middle, ret_receipt);

		if (result < 0)
			return result == -ENOENT ? 0 : result; /* dropped this moment: it was too old */
		if (ret_receipt->from <= number && number <= ret_receipt->to)
			return 1;
		if (number < ret_receipt->from)
			next = middle;
		else
			first = middle + 1;
	}
	return 0;
}

/* Of one lane: 1 found, 0 none. */
static int find_in(struct subscriptions *set, struct subscription *subscription, enum hit_lane index, uint64_t number,
		   struct subscription_receipt *ret_receipt)
{
	unsigned source = hit_source_index(hit_source(number));
	uint32_t a = reg_receipt_key(subscription->record.number, (uint8_t)index, source);
	struct subscription_lane *lane = &subscription->lanes[index];
	struct reg_receipt written = {0};
	struct open_receipt open;
	uint32_t first, next;
	int result = 1;

	(void)pthread_mutex_lock(&subscription->lock);
	open = lane->receipts[source];
	first = lane->receipt_first[source];
	next = lane->receipt_next[source];
	(void)pthread_mutex_unlock(&subscription->lock);
	if (open.to != 0 && open.from <= number && number <= open.to) {
		written.delivered_us = open.delivered_us;
		written.acknowledged_us = open.acknowledged_us;
	} else {
		result = find_written(set, a, first, next, number, &written);
	}
	ret_receipt->lane = index;
	ret_receipt->delivered_us = written.delivered_us;
	ret_receipt->acknowledged_us = written.acknowledged_us;
	return result;
}

static int tell(struct subscriptions *set, struct subscription *subscription, uint64_t number,
		int (*each)(void *context, const struct subscription_receipt *receipt), void *context)
{
	struct subscription_receipt receipt = {.subscription = subscription->record.name,
					       .organisation = subscription->record.organisation,
					       .uid = subscription->record.uid};
	int result = 0;

	for (unsigned lane = 0; lane < HIT_LANE_COUNT && result == 0; lane++) {
		result = find_in(set, subscription, lane, number, &receipt);
		if (result == 1)
			result = each(context, &receipt);
	}
	return result;
}

int subscriptions_receipts(struct subscriptions *set, uint64_t number,
			   int (*each)(void *context, const struct subscription_receipt *receipt), void *context)
{
	struct subscription *subscription;
	int result = 0;

	if (set->options.reg == NULL || hit_source_index(hit_source(number)) == HIT_SOURCES)
		return 0;
	for (size_t i = 0; result == 0 && (subscription = subscriptions_take_any(set, i)) != NULL; i++) {
		result = tell(set, subscription, number, each, context);
		subscriptions_release(set, subscription);
	}
	return result;
}
