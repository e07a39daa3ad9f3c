#include "dpdk/feed/wire.h"

#include <string.h>

#include "appliance/base/prng.h"
#include "dpdk/feed/ack.h"
#include "tests/check.h"

static size_t size_least(unsigned type)
{
	static const size_t sizes[] = {0, 136, 136, 96, 80, 136};

	return sizes[type];
}

static size_t size_most(unsigned type)
{
	static const size_t sizes[] = {0, 136, 136, 1392, 432, 136};

	return sizes[type];
}

static enum feed_outcome peek_expected(const uint8_t *bytes, size_t size, enum feed_side side)
{
	static const enum feed_outcome claims[] = {
		0, FEED_HELLO_FRESH, FEED_OPENED_WELCOME, FEED_OPENED_DATA, FEED_OPENED_ACK, FEED_OPENED_HEARTBEAT};
	bool from_sender = bytes[0] == 1 || bytes[0] == 3 || bytes[0] == 5;

	if (size < 8)
		return FEED_DROP_SHORT;
	if (size > 1400)
		return FEED_DROP_LONG;
	if (bytes[1] != 1)
		return FEED_DROP_VERSION;
	if (bytes[0] >= 16 && bytes[0] <= 19)
		return FEED_DROP_RESERVED_TYPE;
	if (bytes[0] < 1 || bytes[0] > 5)
		return FEED_DROP_TYPE;
	if (from_sender != (side == FEED_SIDE_APPLIANCE))
		return FEED_DROP_REFLECTED;
	if (size < size_least(bytes[0]))
		return FEED_DROP_SHORT;
	if (size > size_most(bytes[0]))
		return FEED_DROP_LONG;
	if (bytes[3] != 0 || bytes[2] > (bytes[0] == 3 || bytes[0] == 4 ? 1 : 0))
		return FEED_DROP_RESERVED_BITS;
	return claims[bytes[0]];
}

/* All types and sizes, and versions and lanes around the valid ones. */
static void every_header_ends_in_the_right_outcome(void)
{
	uint8_t bytes[FEED_DATAGRAM_SIZE_MAX + 1] = {0};
	struct feed_peek peek;

	for (unsigned type = 0; type < 256; type++)
		for (size_t size = 0; size <= sizeof(bytes); size += type < 24 ? 1 : 97)
			for (unsigned rest = 0; rest < 12; rest++) {
				enum feed_side side = rest % 2 == 0 ? FEED_SIDE_APPLIANCE : FEED_SIDE_SENDER;
				enum feed_outcome expected;

				bytes[0] = (uint8_t)type;
				bytes[1] = rest < 10 ? 1 : rest == 10 ? 0 : 2;
				bytes[2] = rest == 2 || rest == 3 ? 1 : rest == 4 ? 2 : 0;
				bytes[3] = rest == 6 || rest == 7 ? 1 : 0;
				expected = peek_expected(bytes, size, side);
				CHECK(feed_peek(bytes, size, side, &peek) == expected);
			}
}

static void headers_survive_the_round_trip(void)
{
	struct prng prng = {check_seed() + 5};
	static const uint8_t transport[] = {FEED_TYPE_DATA, FEED_TYPE_ACK, FEED_TYPE_HEARTBEAT};

	for (unsigned round = 0; round < 3000; round++) {
		uint8_t bytes[FEED_DATAGRAM_SIZE_MAX] = {0};
		struct feed_peek sent = {.number = prng_next(&prng),
					 .id = (uint32_t)prng_next(&prng),
					 .type = transport[prng_below(&prng, 3)]};
		struct feed_peek got;

		if (sent.type != FEED_TYPE_HEARTBEAT)
			sent.lane = (uint8_t)prng_below(&prng, FEED_LANE_COUNT);
		feed_header_encode(&sent, bytes);
		CHECK(feed_peek(bytes, 136, sent.type == FEED_TYPE_ACK ? FEED_SIDE_SENDER : FEED_SIDE_APPLIANCE,
				&got) >= FEED_OPENED_DATA);
		CHECK_INT(sent.number, got.number);
		CHECK_INT(sent.id, got.id);
		CHECK_INT(sent.type, got.type);
		CHECK_INT(sent.lane, got.lane);
	}
}

static void notices_keep_the_newest_and_join(void)
{
	struct feed_notices notices = {0};
	struct feed_ack ack = {0};

	feed_notices_add(&notices, 10, 5, REFUSAL_MALFORMED);
	feed_notices_add(&notices, 15, 2, REFUSAL_MALFORMED);
	CHECK_INT(1, notices.count);
	CHECK_INT(7, notices.rows[0].count);
	feed_notices_add(&notices, 17, 1, FEED_DEFERRAL_NOT_BOUND);
	feed_notices_add(&notices, 12, 3, REFUSAL_MALFORMED); /* told already */
	CHECK_INT(2, notices.count);
	for (uint64_t i = 0; i < 20; i++)
		feed_notices_add(&notices, 100 + 10 * i, 1, REFUSAL_FUTURE);
	CHECK_INT(FEED_ACK_NOTICES_MAX, notices.count);
	feed_notices_put(&notices, &ack);
	CHECK_INT(FEED_ACK_NOTICES_MAX, ack.notice_count);
	CHECK_INT(220, ack.notices[0].first);
	CHECK_INT(290, ack.notices[7].first);
	feed_notices_add(&notices, 1000, UINT16_MAX, REFUSAL_FUTURE);
	feed_notices_add(&notices, 1000 + UINT16_MAX, 1, REFUSAL_FUTURE); /* would not fit the count */
	CHECK_INT(1, notices.rows[7].count);
	CHECK_INT(UINT16_MAX, notices.rows[6].count);
}

static void every_outcome_has_a_name_and_a_help(void)
{
	for (size_t i = 0; i < FEED_OUTCOME_COUNT; i++) {
		CHECK(feed_outcome_rows[i].name != NULL);
		CHECK(strlen(feed_outcome_rows[i].help) > 10);
		for (size_t j = 0; j < i; j++)
			CHECK(strcmp(feed_outcome_rows[i].name, feed_outcome_rows[j].name) != 0);
	}
}

int main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{"every header ends in the right outcome", every_header_ends_in_the_right_outcome},
		{"headers survive the round trip", headers_survive_the_round_trip},
		{"notices keep the newest and join", notices_keep_the_newest_and_join},
		{"every outcome has a name and a help", every_outcome_has_a_name_and_a_help},
		{NULL, NULL},
	};

	return check_main(argc, argv, "feed/headers", tests);
}
