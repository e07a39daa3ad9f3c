/* The records of subscriptions, positions and receipts: what is written is read again, what is not ours is refused. */
#include "storage/register_subscription.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "appliance/base/prng.h"
#include "tests/check.h"

static void random_text(struct prng *prng, char *text, size_t capacity)
{
	size_t size = prng_below(prng, capacity);

	for (size_t i = 0; i < size; i++)
		text[i] = (char)('a' + prng_below(prng, 26));
	text[size] = '\0';
}

static struct reg_subscription random_subscription(struct prng *prng)
{
	struct reg_subscription made = {.number = 1 + (uint32_t)prng_below(prng, REG_SUBSCRIPTION_NUMBER_MAX),
					.uid = (uint32_t)prng_next(prng),
					.kind = (uint8_t)prng_below(prng, REG_SUBSCRIPTION_KIND_COUNT),
					.clones = prng_chance(prng, 500),
					.removed = prng_chance(prng, 500),
					.list_count = (uint8_t)prng_below(prng, REG_SUBSCRIPTION_LISTS + 1),
					.created_us = (int64_t)prng_next(prng),
					.removed_us = (int64_t)prng_next(prng)};

	for (unsigned i = 0; i < made.list_count; i++)
		made.lists[i] = (uint32_t)prng_next(prng);
	random_text(prng, made.name, sizeof(made.name));
	random_text(prng, made.organisation, sizeof(made.organisation));
	return made;
}

static struct reg_positions random_positions(struct prng *prng)
{
	struct reg_positions made = {.number = 1 + (uint32_t)prng_below(prng, REG_SUBSCRIPTION_NUMBER_MAX),
				     .lane = (uint8_t)prng_below(prng, HIT_LANE_COUNT),
				     .priority = (uint8_t)prng_below(prng, 101)};
	unsigned share = (unsigned)prng_below(prng, 1001);

	for (unsigned i = 0; i < HIT_SOURCES; i++) {
		if (!prng_chance(prng, share))
			continue;
		made.acknowledged.at[i] = hit_number(hit_source_at(i), 1 + prng_below(prng, HIT_COUNT_MASK));
		made.receipt_first[i] = (uint32_t)prng_below(prng, 1000);
		made.receipt_next[i] = made.receipt_first[i] + (uint32_t)prng_below(prng, 1000);
	}
	return made;
}

static struct reg_receipt random_receipt(struct prng *prng)
{
	unsigned source = hit_source_at((unsigned)prng_below(prng, HIT_SOURCES));
	uint64_t from = 1 + prng_below(prng, HIT_COUNT_MASK);

	return (struct reg_receipt){.number = 1 + (uint32_t)prng_below(prng, REG_SUBSCRIPTION_NUMBER_MAX),
				    .lane = (uint8_t)prng_below(prng, HIT_LANE_COUNT),
				    .index = (uint32_t)prng_next(prng),
				    .from = hit_number(source, from),
				    .to = hit_number(source, from + prng_below(prng, HIT_COUNT_MASK - from + 1)),
				    .count = (uint32_t)prng_next(prng),
				    .uid = (uint32_t)prng_next(prng),
				    .delivered_us = (int64_t)prng_next(prng),
				    .acknowledged_us = (int64_t)prng_next(prng)};
}

static void what_is_written_is_read(void)
{
	struct prng prng = {check_seed()};
	uint8_t bytes[REG_RECORD_SIZE_MAX];

	for (unsigned round = 0; round < 3000; round++) {
		struct reg_subscription subscription = random_subscription(&prng), same;
		struct reg_positions positions = random_positions(&prng), there;
		struct reg_receipt receipt = random_receipt(&prng), again;
		size_t size = reg_subscription_encode(&subscription, bytes);

		CHECK_INT(0, reg_subscription_decode(bytes, size, &same));
		CHECK_STR(subscription.name, same.name);
		CHECK_STR(subscription.organisation, same.organisation);
		CHECK_MEM(subscription.lists, same.lists, sizeof(same.lists));
		CHECK(same.kind == subscription.kind && same.clones == subscription.clones &&
		      same.removed == subscription.removed && same.uid == subscription.uid);
		CHECK_INT(0, reg_subscription_check(subscription.number, 0, bytes, size));
		CHECK_INT(-EINVAL, reg_subscription_check(subscription.number, 1, bytes, size));
		CHECK_INT(-EINVAL, reg_subscription_check(subscription.number + 1, 0, bytes, size));
		size = reg_positions_encode(&positions, bytes);
		CHECK_INT(0, reg_positions_decode(bytes, size, &there));
		CHECK_MEM(&positions.acknowledged, &there.acknowledged, sizeof(there.acknowledged));
		CHECK_MEM(positions.receipt_first, there.receipt_first, sizeof(there.receipt_first));
		CHECK_MEM(positions.receipt_next, there.receipt_next, sizeof(there.receipt_next));
		CHECK_INT(positions.priority, there.priority);
		CHECK_INT(0, reg_subscription_check(positions.number, 1u + positions.lane, bytes, size));
		CHECK_INT(-EINVAL, reg_subscription_check(positions.number, 2u - positions.lane, bytes, size));
		size = reg_receipt_encode(&receipt, bytes);
		CHECK_INT(0, reg_receipt_decode(bytes, size, &again));
		CHECK(again.from == receipt.from && again.to == receipt.to && again.index == receipt.index &&
		      again.count == receipt.count && again.acknowledged_us == receipt.acknowledged_us);
		CHECK_INT(reg_receipt_a(&receipt), reg_receipt_a(&again));
	}
}

/* Whatever is taken is bounded and is written again as it was read. */
static void look_at(const uint8_t *bytes, size_t size)
{
	uint8_t again[REG_RECORD_SIZE_MAX];
	struct reg_subscription subscription;
	struct reg_positions positions;
	struct reg_receipt receipt;

	if (reg_subscription_decode(bytes, size, &subscription) == 0) {
		CHECK_INT(size, reg_subscription_encode(&subscription, again));
		CHECK_MEM(bytes, again, size);
	}
	if (reg_positions_decode(bytes, size, &positions) == 0) {
		CHECK_INT(size, reg_positions_encode(&positions, again));
		CHECK_MEM(bytes, again, size);
	}
	if (reg_receipt_decode(bytes, size, &receipt) == 0) {
		CHECK_INT(size, reg_receipt_encode(&receipt, again));
		CHECK_MEM(bytes, again, size);
	}
}

static void what_is_not_ours_is_refused(void)
{
	struct prng prng = {check_seed()};
	struct reg_positions untouched;

	for (unsigned round = 0; round < 20000; round++) {
		uint8_t bytes[REG_RECORD_SIZE_MAX + 1];
		struct reg_subscription subscription = random_subscription(&prng);
		struct reg_positions positions = random_positions(&prng);
		struct reg_receipt receipt = random_receipt(&prng);
		unsigned which = (unsigned)prng_below(&prng, 4);
		size_t size = which == 0   ? reg_subscription_encode(&subscription, bytes)
			      : which == 1 ? reg_positions_encode(&positions, bytes)
			      : which == 2 ? reg_receipt_encode(&receipt, bytes)
					   : prng_below(&prng, sizeof(bytes));

		if (which == 3)
			for (size_t i = 0; i < size; i++)
				bytes[i] = (uint8_t)prng_next(&prng);
		else
			for (uint64_t i = prng_below(&prng, 3); i > 0; i--)
				bytes[prng_below(&prng, size)] ^= (uint8_t)(1u << prng_below(&prng, 8));
		if (prng_chance(&prng, 300))
			size = prng_below(&prng, size + 1);
		look_at(bytes, size);
	}
	CHECK_INT(-EBADMSG, reg_positions_decode("", 0, &untouched));
}

int main(int argc, char **argv)
{
	static const struct check_test tests[] = {{"what is written is read", what_is_written_is_read},
						  {"what is not ours is refused", what_is_not_ours_is_refused},
						  {NULL, NULL}};

	return check_main(argc, argv, "register_subscription", tests);
}
