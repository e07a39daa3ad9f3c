#include "dpdk/feed/ack.h"

#include <assert.h>
#include <string.h>

#include "appliance/base/bytes.h"

static size_t ack_size(size_t range_count, size_t notice_count)
{
	return FEED_ACK_HEADER_SIZE + range_count * FEED_ACK_RANGE_SIZE + notice_count * FEED_ACK_NOTICE_SIZE;
}

size_t feed_ack_encode(const struct feed_ack *ack, uint8_t ret_body[FEED_ACK_SIZE_MAX])
{
	const struct feed_durable *durable = &ack->durable;
	uint8_t *to = ret_body + FEED_ACK_HEADER_SIZE;

	assert(durable->range_count <= FEED_ACK_RANGES_MAX);
	assert(ack->notice_count <= FEED_ACK_NOTICES_MAX);
	le32_put(ret_body, durable->epoch);
	ret_body[4] = durable->range_count;
	ret_body[5] = ack->notice_count;
	le16_put(ret_body + 6, 0);
	le64_put(ret_body + 8, durable->cumulative);
	le32_put(ret_body + 16, ack->credit);
	le32_put(ret_body + 20, 0);
	le64_put(ret_body + 24, (uint64_t)ack->clock_us);
	le64_put(ret_body + 32, durable->refused_total);
	le64_put(ret_body + 40, ack->deferred_total);
	for (size_t i = 0; i < durable->range_count; i++, to += FEED_ACK_RANGE_SIZE) {
		le64_put(to, durable->ranges[i].first);
		le64_put(to + 8, durable->ranges[i].last);
	}
	for (size_t i = 0; i < ack->notice_count; i++, to += FEED_ACK_NOTICE_SIZE) {
		le64_put(to, ack->notices[i].first);
		le16_put(to + 8, ack->notices[i].count);
		to[10] = ack->notices[i].reason;
		to[11] = 0;
	}
	return ack_size(durable->range_count, ack->notice_count);
}

/* Ascending, with a hole before each: else two readers might take different sequences for acknowledged. */
static bool ranges_get(const uint8_t *from, struct feed_durable *durable)
{
	uint64_t below = durable->cumulative;

	for (size_t i = 0; i < durable->range_count; i++, from += FEED_ACK_RANGE_SIZE) {
		struct feed_range range = {le64_get(from), le64_get(from + 8)};

		if (range.first < below + 2 || range.last < range.first || range.last > FEED_SEQUENCE_MAX)
			return false;
		durable->ranges[i] = range;
		below = range.last;
	}
	return true;
}

static bool notices_get(const uint8_t *from, struct feed_ack *ack)
{
	for (size_t i = 0; i < ack->notice_count; i++, from += FEED_ACK_NOTICE_SIZE) {
		struct feed_notice notice = {le64_get(from), le16_get(from + 8), from[10]};

		if (notice.first < 1 || notice.first > FEED_SEQUENCE_MAX - notice.count || notice.count < 1 ||
		    notice.reason == REFUSAL_NONE || from[11] != 0)
			return false;
		ack->notices[i] = notice;
	}
	return true;
}

static bool header_get(const uint8_t *body, uint8_t lane, struct feed_ack *ack)
{
	*ack = (struct feed_ack){
		.durable = {.epoch = le32_get(body),
			    .lane = lane,
			    .range_count = body[4],
			    .cumulative = le64_get(body + 8),
			    .refused_total = le64_get(body + 32)},
		.notice_count = body[5],
		.credit = le32_get(body + 16),
		.clock_us = (int64_t)le64_get(body + 24),
		.deferred_total = le64_get(body + 40),
	};
	return ack->durable.epoch >= 1 && lane < FEED_LANE_COUNT && ack->durable.range_count <= FEED_ACK_RANGES_MAX &&
	       ack->notice_count <= FEED_ACK_NOTICES_MAX && ack->durable.cumulative <= FEED_SEQUENCE_MAX &&
	       ack->clock_us >= 0 && ack->clock_us <= FEED_TIME_US_MAX && le16_get(body + 6) == 0 &&
	       le32_get(body + 20) == 0;
}

int feed_ack_decode(const uint8_t *body, size_t size, uint8_t lane, struct feed_ack *ret_ack)
{
	struct feed_ack ack;
	const uint8_t *rest = body + FEED_ACK_HEADER_SIZE;

	if (size < FEED_ACK_HEADER_SIZE || !header_get(body, lane, &ack) ||
	    size != ack_size(ack.durable.range_count, ack.notice_count))
		return FEED_DROP_MALFORMED;
	if (!ranges_get(rest, &ack.durable) ||
	    !notices_get(rest + ack.durable.range_count * (size_t)FEED_ACK_RANGE_SIZE, &ack))
		return FEED_DROP_MALFORMED;
	*ret_ack = ack;
	return 0;
}

void feed_notices_add(struct feed_notices *notices, uint64_t first, uint16_t count, uint8_t reason)
{
	struct feed_notice *last = notices->count > 0 ? &notices->rows[notices->count - 1] : NULL;

	for (size_t i = 0; i < notices->count; i++) {
		const struct feed_notice *row = &notices->rows[i];

		if (row->reason == reason && first >= row->first && first + count <= row->first + row->count)
			return; /* a deferred read was sent again: nothing new to tell */
	}
	if (last != NULL && last->reason == reason && last->first + last->count == first &&
	    last->count <= UINT16_MAX - count) {
		last->count = (uint16_t)(last->count + count);
		return;
	}
	if (notices->count == FEED_ACK_NOTICES_MAX) {
		memmove(notices->rows, notices->rows + 1, sizeof(notices->rows) - sizeof(notices->rows[0]));
		notices->count--;
	}
	notices->rows[notices->count++] = (struct feed_notice){first, count, reason};
}

void feed_notices_put(const struct feed_notices *notices, struct feed_ack *ack)
{
	memcpy(ack->notices, notices->rows, sizeof(ack->notices));
	ack->notice_count = notices->count;
}
