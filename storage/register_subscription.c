#include "storage/register_subscription.h"

#include <assert.h>
#include <errno.h>

#include "storage/register_cursor.h"

#define SOURCE_BITS 7
#define POSITION_SIZE (1 + 8 + 2 * 4)

static_assert(HIT_SOURCES < 1 << SOURCE_BITS, "a source's index fits beside the lane");
static_assert(1 + 4 + 1 + 1 + 1 + HIT_SOURCES * POSITION_SIZE <= REG_RECORD_SIZE_MAX, "all sources fit");
static_assert(1 + 2 * 4 + 4 + 2 * 8 + 4 * REG_SUBSCRIPTION_LISTS + 2 * (2 + REG_NAME_SIZE) <= REG_RECORD_SIZE_MAX,
	      "all lists fit");

static struct cursor record_begin(uint8_t buffer[REG_RECORD_SIZE_MAX], uint32_t number)
{
	struct cursor cursor = reg_record_begin(buffer, REG_RECORD_VERSION);

	assert(number > 0 && number <= REG_SUBSCRIPTION_NUMBER_MAX);
	cursor_put_u32(&cursor, number);
	return cursor;
}

static struct cursor record_read(const void *bytes, size_t size, uint32_t *ret_number)
{
	struct cursor cursor = reg_record_read(bytes, size);

	*ret_number = cursor_get_u32(&cursor);
	if (*ret_number == 0 || *ret_number > REG_SUBSCRIPTION_NUMBER_MAX)
		cursor.bad = true;
	return cursor;
}

size_t reg_subscription_encode(const struct reg_subscription *subscription, uint8_t buffer[REG_RECORD_SIZE_MAX])
{
	struct cursor cursor = record_begin(buffer, subscription->number);

	assert(subscription->kind < REG_SUBSCRIPTION_KIND_COUNT);
	assert(subscription->list_count <= REG_SUBSCRIPTION_LISTS);
	cursor_put_u32(&cursor, subscription->uid);
	cursor_put_u8(&cursor, subscription->kind);
	cursor_put_u8(&cursor, subscription->clones);
	cursor_put_u8(&cursor, subscription->removed);
	cursor_put_u64(&cursor, (uint64_t)subscription->created_us);
	cursor_put_u64(&cursor, (uint64_t)subscription->removed_us);
	cursor_put_u8(&cursor, subscription->list_count);
	for (unsigned i = 0; i < subscription->list_count; i++)
		cursor_put_u32(&cursor, subscription->lists[i]);
	cursor_put_text(&cursor, subscription->name);
	cursor_put_text(&cursor, subscription->organisation);
	return reg_record_end(&cursor, buffer);
}

int reg_subscription_decode(const void *bytes, size_t size, struct reg_subscription *ret_subscription)
{
	struct reg_subscription subscription = {0};
	struct cursor cursor = record_read(bytes, size, &subscription.number);

	subscription.uid = cursor_get_u32(&cursor);
	subscription.kind = reg_get_below(&cursor, REG_SUBSCRIPTION_KIND_COUNT);
	subscription.clones = reg_get_flag(&cursor);
	subscription.removed = reg_get_flag(&cursor);
	subscription.created_us = (int64_t)cursor_get_u64(&cursor);
	subscription.removed_us = (int64_t)cursor_get_u64(&cursor);
	subscription.list_count = reg_get_below(&cursor, REG_SUBSCRIPTION_LISTS + 1);
	for (unsigned i = 0; !cursor.bad && i < subscription.list_count; i++)
		subscription.lists[i] = cursor_get_u32(&cursor);
	cursor_get_text(&cursor, subscription.name, sizeof(subscription.name));
	cursor_get_text(&cursor, subscription.organisation, sizeof(subscription.organisation));
	if (!cursor_done(&cursor))
		return -EBADMSG;
	*ret_subscription = subscription;
	return 0;
}

static bool is_idle(const struct reg_positions *positions, unsigned index)
{
	return positions->acknowledged.at[index] == 0 && positions->receipt_next[index] == 0;
}

/* Only the sources that there is something to say of. */
size_t reg_positions_encode(const struct reg_positions *positions, uint8_t buffer[REG_RECORD_SIZE_MAX])
{
	struct cursor cursor = record_begin(buffer, positions->number);
	uint8_t count = 0;

	assert(positions->lane < HIT_LANE_COUNT);
	for (unsigned i = 0; i < HIT_SOURCES; i++)
		count += !is_idle(positions, i);
	cursor_put_u8(&cursor, positions->lane);
	cursor_put_u8(&cursor, positions->priority);
	cursor_put_u8(&cursor, count);
	for (unsigned i = 0; i < HIT_SOURCES; i++) {
		if (is_idle(positions, i))
			continue;
		cursor_put_u8(&cursor, (uint8_t)i);
		cursor_put_u64(&cursor, positions->acknowledged.at[i]);
		cursor_put_u32(&cursor, positions->receipt_first[i]);
		cursor_put_u32(&cursor, positions->receipt_next[i]);
	}
	return reg_record_end(&cursor, buffer);
}

static void get_position(struct cursor *cursor, struct reg_positions *positions, int *last)
{
	uint8_t index = reg_get_below(cursor, HIT_SOURCES);
	uint64_t number = cursor_get_u64(cursor);
	uint32_t first = cursor_get_u32(cursor);
	uint32_t next = cursor_get_u32(cursor);

	if (cursor->bad || index <= *last || first > next || (number == 0 && next == 0) ||
	    (number != 0 && hit_source_index(hit_source(number)) != index)) {
		cursor->bad = true;
		return;
	}
	*last = index;
	positions->acknowledged.at[index] = number;
	positions->receipt_first[index] = first;
	positions->receipt_next[index] = next;
}

int reg_positions_decode(const void *bytes, size_t size, struct reg_positions *ret_positions)
{
	struct reg_positions positions = {0};
	struct cursor cursor = record_read(bytes, size, &positions.number);
	int last = -1;
	uint8_t count;

	positions.lane = reg_get_below(&cursor, HIT_LANE_COUNT);
	positions.priority = reg_get_below(&cursor, 102);
	count = reg_get_below(&cursor, HIT_SOURCES + 1);
	for (unsigned i = 0; !cursor.bad && i < count; i++)
		get_position(&cursor, &positions, &last);
	if (!cursor_done(&cursor))
		return -EBADMSG;
	*ret_positions = positions;
	return 0;
}

size_t reg_receipt_encode(const struct reg_receipt *receipt, uint8_t buffer[REG_RECORD_SIZE_MAX])
{
	struct cursor cursor = record_begin(buffer, receipt->number);

	assert(receipt->lane < HIT_LANE_COUNT);
	cursor_put_u8(&cursor, receipt->lane);
	cursor_put_u32(&cursor, receipt->index);
	cursor_put_u64(&cursor, receipt->from);
	cursor_put_u64(&cursor, receipt->to);
	cursor_put_u32(&cursor, receipt->count);
	cursor_put_u32(&cursor, receipt->uid);
	cursor_put_u64(&cursor, (uint64_t)receipt->delivered_us);
	cursor_put_u64(&cursor, (uint64_t)receipt->acknowledged_us);
	return reg_record_end(&cursor, buffer);
}

int reg_receipt_decode(const void *bytes, size_t size, struct reg_receipt *ret_receipt)
{
	struct reg_receipt receipt = {0};
	struct cursor cursor = record_read(bytes, size, &receipt.number);

	receipt.lane = reg_get_below(&cursor, HIT_LANE_COUNT);
	receipt.index = cursor_get_u32(&cursor);
	receipt.from = cursor_get_u64(&cursor);
	receipt.to = cursor_get_u64(&cursor);
	receipt.count = cursor_get_u32(&cursor);
	receipt.uid = cursor_get_u32(&cursor);
	receipt.delivered_us = (int64_t)cursor_get_u64(&cursor);
	receipt.acknowledged_us = (int64_t)cursor_get_u64(&cursor);
	if (!cursor_done(&cursor) || receipt.from > receipt.to || hit_source(receipt.from) != hit_source(receipt.to) ||
	    hit_source_index(hit_source(receipt.to)) == HIT_SOURCES)
		return -EBADMSG;
	*ret_receipt = receipt;
	return 0;
}

int reg_subscription_check(uint32_t a, uint32_t b, const void *bytes, size_t size)
{
	struct reg_subscription subscription;
	struct reg_positions positions;

	if (b == 0)
		return reg_subscription_decode(bytes, size, &subscription) == 0 && subscription.number == a ? 0
													    : -EINVAL;
	return reg_positions_decode(bytes, size, &positions) == 0 && positions.number == a && positions.lane + 1u == b
		       ? 0
		       : -EINVAL;
}

uint32_t reg_receipt_key(uint32_t number, uint8_t lane, unsigned source_index)
{
	return number << (SOURCE_BITS + 1) | (uint32_t)lane << SOURCE_BITS | source_index;
}

uint32_t reg_receipt_a(const struct reg_receipt *receipt)
{
	return reg_receipt_key(receipt->number, receipt->lane, hit_source_index(hit_source(receipt->to)));
}
