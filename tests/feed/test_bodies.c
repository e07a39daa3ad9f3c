#include "dpdk/feed/wire.h"

#include <stdlib.h>
#include <string.h>

#include "appliance/base/prng.h"
#include "dpdk/feed/ack.h"
#include "tests/check.h"

/* Every body as one shape, so that truncation and mutation treat them alike. `decode` answers 0 or an outcome. */
union decoded {
	struct feed_hello hello;
	struct feed_welcome welcome;
	struct feed_heartbeat heartbeat;
	struct feed_data data;
	struct feed_ack ack;
};

struct body {
	const char *name;
	size_t (*random)(struct prng *prng, uint8_t *ret_bytes);
	int (*decode)(const uint8_t *bytes, size_t size, union decoded *ret_decoded);
	size_t (*encode)(const union decoded *decoded, uint8_t *ret_bytes);
};

static uint64_t sequence_random(struct prng *prng)
{
	return 1 + (prng_chance(prng, 500) ? prng_below(prng, 1000) : prng_below(prng, FEED_SEQUENCE_MAX));
}

static int64_t time_random(struct prng *prng)
{
	return (int64_t)prng_below(prng, (uint64_t)FEED_TIME_US_MAX + 1);
}

static void name_random(struct prng *prng, char *ret_name, size_t size)
{
	size_t length = prng_below(prng, size + 1);

	for (size_t i = 0; i < length; i++)
		ret_name[i] = (char)('!' + prng_below(prng, 90));
	ret_name[length] = '\0';
}

static struct feed_lane_sent sent_random(struct prng *prng)
{
	struct feed_lane_sent sent = {.next = sequence_random(prng)};

	sent.lowest = 1 + prng_below(prng, sent.next);
	return sent;
}

static size_t hello_encode(const union decoded *decoded, uint8_t *ret_bytes)
{
	feed_hello_encode(&decoded->hello, ret_bytes);
	return FEED_HELLO_PAYLOAD_SIZE;
}

static size_t hello_random(struct prng *prng, uint8_t *ret_bytes)
{
	union decoded made = {.hello = {.clock_us = time_random(prng),
					.lanes = {sent_random(prng), sent_random(prng)},
					.epoch = 1 + (uint32_t)prng_below(prng, UINT32_MAX)}};

	name_random(prng, made.hello.name, FEED_NAME_SIZE);
	return hello_encode(&made, ret_bytes);
}

static int hello_decode(const uint8_t *bytes, size_t size, union decoded *ret_decoded)
{
	return size != FEED_HELLO_PAYLOAD_SIZE ? FEED_DROP_SHORT : feed_hello_decode(bytes, &ret_decoded->hello);
}

static size_t welcome_encode(const union decoded *decoded, uint8_t *ret_bytes)
{
	feed_welcome_encode(&decoded->welcome, ret_bytes);
	return FEED_WELCOME_PAYLOAD_SIZE;
}

static size_t welcome_random(struct prng *prng, uint8_t *ret_bytes)
{
	union decoded made = {
		.welcome = {.clock_us = time_random(prng), .session = 1 + (uint32_t)prng_below(prng, UINT32_MAX)}};

	for (size_t i = 0; i < FEED_LANE_COUNT; i++) {
		struct feed_lane_granted *lane = &made.welcome.lanes[i];

		lane->known = prng_chance(prng, 500);
		lane->cumulative = lane->known ? sequence_random(prng) - 1 : 0;
		lane->credit = (uint32_t)prng_next(prng);
		lane->records_max = (uint16_t)(1 + prng_below(prng, FEED_RECORDS_MAX));
	}
	name_random(prng, made.welcome.node, FEED_NAME_SIZE);
	return welcome_encode(&made, ret_bytes);
}

static int welcome_decode(const uint8_t *bytes, size_t size, union decoded *ret_decoded)
{
	return size != FEED_WELCOME_PAYLOAD_SIZE ? FEED_DROP_SHORT : feed_welcome_decode(bytes, &ret_decoded->welcome);
}

static size_t heartbeat_encode(const union decoded *decoded, uint8_t *ret_bytes)
{
	feed_heartbeat_encode(&decoded->heartbeat, ret_bytes);
	return FEED_HEARTBEAT_SIZE;
}

static size_t heartbeat_random(struct prng *prng, uint8_t *ret_bytes)
{
	union decoded made = {.heartbeat = {.clock_us = time_random(prng),
					    .clock_offset_us = time_random(prng) - FEED_TIME_US_MAX / 2,
					    .epoch = 1 + (uint32_t)prng_below(prng, UINT32_MAX),
					    .clock_synchronised = prng_chance(prng, 500)}};

	for (size_t i = 0; i < FEED_LANE_COUNT; i++)
		made.heartbeat.lanes[i] = (struct feed_lane_state){.sent = sent_random(prng),
								   .backlog = sequence_random(prng) - 1,
								   .oldest_age_us = (uint64_t)time_random(prng)};
	name_random(prng, made.heartbeat.clock_source, FEED_SOURCE_SIZE);
	return heartbeat_encode(&made, ret_bytes);
}

static int heartbeat_decode(const uint8_t *bytes, size_t size, union decoded *ret_decoded)
{
	return feed_heartbeat_decode(bytes, size, &ret_decoded->heartbeat);
}

static size_t data_encode(const union decoded *decoded, uint8_t *ret_bytes)
{
	return feed_data_encode(&decoded->data, ret_bytes);
}

static size_t data_random(struct prng *prng, uint8_t *ret_bytes)
{
	uint8_t records[FEED_RECORDS_MAX * FEED_RECORD_SIZE];
	union decoded made = {.data = {.records = records,
				       .first = 1 + prng_below(prng, FEED_SEQUENCE_MAX - FEED_RECORDS_MAX - 1),
				       .epoch = 1 + (uint32_t)prng_below(prng, UINT32_MAX),
				       .count = (uint16_t)(1 + prng_below(prng, FEED_RECORDS_MAX))}};

	for (size_t i = 0; i < sizeof(records); i++)
		records[i] = (uint8_t)prng_next(prng);
	return data_encode(&made, ret_bytes);
}

static int data_decode(const uint8_t *bytes, size_t size, union decoded *ret_decoded)
{
	return feed_data_decode(bytes, size, &ret_decoded->data);
}

static size_t ack_encode(const union decoded *decoded, uint8_t *ret_bytes)
{
	return feed_ack_encode(&decoded->ack, ret_bytes);
}

static struct feed_ack ack_made(struct prng *prng, uint8_t range_count, uint8_t notice_count)
{
	struct feed_ack ack = {.durable = {.cumulative = prng_below(prng, FEED_SEQUENCE_MAX / 2),
					   .refused_total = prng_next(prng),
					   .epoch = 1 + (uint32_t)prng_below(prng, UINT32_MAX),
					   .lane = FEED_LANE_BACKLOG,
					   .range_count = range_count},
			       .clock_us = time_random(prng),
			       .deferred_total = prng_next(prng),
			       .credit = (uint32_t)prng_next(prng),
			       .notice_count = notice_count};
	uint64_t below = ack.durable.cumulative;

	for (size_t i = 0; i < range_count; i++) {
		ack.durable.ranges[i].first = below + 2 + prng_below(prng, 1000);
		below = ack.durable.ranges[i].first + prng_below(prng, 1000);
		ack.durable.ranges[i].last = below;
	}
	for (size_t i = 0; i < notice_count; i++)
		ack.notices[i] = (struct feed_notice){.first = 1 + prng_below(prng, FEED_SEQUENCE_MAX - UINT16_MAX - 1),
						      .count = (uint16_t)(1 + prng_below(prng, UINT16_MAX)),
						      .reason = (uint8_t)(1 + prng_below(prng, 255))};
	return ack;
}

static size_t ack_random(struct prng *prng, uint8_t *ret_bytes)
{
	union decoded made = {.ack = ack_made(prng, (uint8_t)prng_below(prng, FEED_ACK_RANGES_MAX + 1),
					      (uint8_t)prng_below(prng, FEED_ACK_NOTICES_MAX + 1))};

	return ack_encode(&made, ret_bytes);
}

static int ack_decode(const uint8_t *bytes, size_t size, union decoded *ret_decoded)
{
	return feed_ack_decode(bytes, size, FEED_LANE_BACKLOG, &ret_decoded->ack);
}

static const struct body bodies[] = {
	{"HELLO", hello_random, hello_decode, hello_encode},
	{"WELCOME", welcome_random, welcome_decode, welcome_encode},
	{"HEARTBEAT", heartbeat_random, heartbeat_decode, heartbeat_encode},
	{"DATA", data_random, data_decode, data_encode},
	{"ACK", ack_random, ack_decode, ack_encode},
};
#define BODY_COUNT (sizeof(bodies) / sizeof(bodies[0]))

/* Encoders are injective and decoders total on them: bytes, value and bytes again agree. */
static void bodies_survive_the_round_trip(void)
{
	struct prng prng = {check_seed()};

	for (size_t i = 0; i < BODY_COUNT; i++)
		for (unsigned round = 0; round < 5000; round++) {
			uint8_t bytes[FEED_BODY_SIZE_MAX];
			uint8_t again[FEED_BODY_SIZE_MAX];
			union decoded decoded;
			size_t size = bodies[i].random(&prng, bytes);

			CHECK_INT(0, bodies[i].decode(bytes, size, &decoded));
			CHECK_INT(size, bodies[i].encode(&decoded, again));
			CHECK_MEM(bytes, again, size);
		}
}

/* An exact copy on the heap, so that ASan sees the first byte read too far. */
static void body_refused(const struct body *body, const uint8_t *bytes, size_t size)
{
	union decoded decoded;
	union decoded untouched;
	uint8_t *copy = malloc(size > 0 ? size : 1);

	CHECK(copy != NULL);
	memcpy(copy, bytes, size);
	memset(&decoded, 0x5a, sizeof(decoded));
	memset(&untouched, 0x5a, sizeof(untouched));
	if (body->decode(copy, size, &decoded) == 0)
		check_note("%s accepted with %zu bytes", body->name, size);
	CHECK(body->decode(copy, size, &decoded) != 0);
	CHECK_MEM(&untouched, &decoded, sizeof(decoded));
	free(copy);
}

static void truncated_and_lengthened_bodies_are_refused(void)
{
	struct prng prng = {check_seed() + 1};

	for (size_t i = 0; i < BODY_COUNT; i++)
		for (unsigned round = 0; round < 20; round++) {
			uint8_t bytes[FEED_BODY_SIZE_MAX] = {0};
			size_t whole = bodies[i].random(&prng, bytes);

			for (size_t size = 0; size <= FEED_BODY_SIZE_MAX; size++)
				if (size != whole)
					body_refused(&bodies[i], bytes, size);
		}
}

/* Whatever a mutated body decodes to encodes to the very same bytes: no bit is ignored. */
static void mutated_bodies_are_refused_or_exact(void)
{
	struct prng prng = {check_seed() + 2};
	unsigned refused = 0;

	for (unsigned round = 0; round < 100000; round++) {
		const struct body *body = &bodies[prng_below(&prng, BODY_COUNT)];
		uint8_t bytes[FEED_BODY_SIZE_MAX];
		uint8_t again[FEED_BODY_SIZE_MAX];
		union decoded decoded;
		size_t size = body->random(&prng, bytes);

		for (unsigned n = 1 + (unsigned)prng_below(&prng, 4); n > 0; n--) {
			size_t at = prng_below(&prng, prng_chance(&prng, 500) && size > 48 ? 48 : size);

			bytes[at] = prng_chance(&prng, 300) ? 0xff : (uint8_t)(bytes[at] ^ 1u << prng_below(&prng, 8));
		}
		if (body->decode(bytes, size, &decoded) != 0) {
			refused++;
			continue;
		}
		CHECK_INT(size, body->encode(&decoded, again));
		CHECK_MEM(bytes, again, size);
	}
	CHECK(refused > 10000);
}

static void the_longest_ack_and_data_fit(void)
{
	struct prng prng = {check_seed() + 3};
	uint8_t bytes[FEED_DATAGRAM_SIZE_MAX];
	struct feed_ack ack = ack_made(&prng, FEED_ACK_RANGES_MAX, FEED_ACK_NOTICES_MAX);
	size_t size = feed_ack_encode(&ack, bytes);

	CHECK_INT(FEED_ACK_SIZE_MAX, size);
	CHECK(FEED_HEADER_SIZE + size + FEED_TAG_SIZE <= FEED_DATAGRAM_SIZE_MAX);
	CHECK_INT(1392, FEED_HEADER_SIZE + FEED_DATA_HEADER_SIZE + FEED_RECORDS_MAX * FEED_RECORD_SIZE + FEED_TAG_SIZE);
}

static void acks_that_contradict_themselves_are_refused(void)
{
	struct prng prng = {check_seed() + 4};
	struct feed_ack good = ack_made(&prng, 2, 1);
	struct feed_ack got;
	uint8_t bytes[FEED_ACK_SIZE_MAX];
	struct feed_ack bad;
	size_t size;

#define REFUSED(change)                                                                                                \
	do {                                                                                                           \
		bad = good;                                                                                            \
		change;                                                                                                \
		size = feed_ack_encode(&bad, bytes);                                                                   \
		CHECK_INT(FEED_DROP_MALFORMED, feed_ack_decode(bytes, size, FEED_LANE_LIVE, &got));                    \
	} while (0)
	REFUSED(bad.durable.ranges[0].first = good.durable.cumulative + 1);
	REFUSED(bad.durable.ranges[0].last = good.durable.ranges[0].first - 1);
	REFUSED(bad.durable.ranges[1].first = good.durable.ranges[0].last + 1);
	REFUSED(bad.durable.ranges[1].last = FEED_SEQUENCE_MAX + 1);
	REFUSED(bad.durable.cumulative = FEED_SEQUENCE_MAX + 1);
	REFUSED(bad.durable.epoch = 0);
	REFUSED(bad.notices[0].count = 0);
	REFUSED(bad.notices[0].first = 0);
	REFUSED(bad.notices[0].first = FEED_SEQUENCE_MAX);
	REFUSED(bad.notices[0].reason = REFUSAL_NONE);
	REFUSED(bad.clock_us = -1);
#undef REFUSED
	size = feed_ack_encode(&good, bytes);
	CHECK_INT(FEED_DROP_MALFORMED, feed_ack_decode(bytes, size, FEED_LANE_COUNT, &got));
	CHECK_INT(0, feed_ack_decode(bytes, size, FEED_LANE_LIVE, &got));
}

/* Single values just outside, encoded by hand over a good body. */
struct spoiled {
	const char *what;
	size_t body; /* index in bodies[] */
	size_t at;
	size_t size;
	uint64_t value;
	bool refused;
};

static const struct spoiled spoiled[] = {
	{"HELLO of epoch 0", 0, 0, 4, 0, true},
	{"HELLO with reserved bytes", 0, 4, 4, 1, true},
	{"HELLO before 1970", 0, 8, 8, UINT64_MAX, true},
	{"HELLO after year 9999", 0, 8, 8, FEED_TIME_US_MAX + 1, true},
	{"HELLO at the end of year 9999", 0, 8, 8, FEED_TIME_US_MAX, false},
	{"HELLO of next sequence 0", 0, 16, 8, 0, true},
	{"HELLO of lowest sequence 0", 0, 24, 8, 0, true},
	{"HELLO of lowest above next", 0, 24, 8, UINT64_MAX, true},
	{"HELLO of next beyond the last", 0, 32, 8, FEED_SEQUENCE_MAX + 1, true},
	{"HELLO of next at the last", 0, 32, 8, FEED_SEQUENCE_MAX, false},
	{"HELLO of a name behind its padding", 0, 48, 8, 0x41000000, true},
	{"WELCOME of session 0", 1, 0, 4, 0, true},
	{"WELCOME with reserved bytes", 1, 4, 4, 1, true},
	{"WELCOME before 1970", 1, 8, 8, UINT64_MAX, true},
	{"WELCOME that knows by half", 1, 48, 1, 2, true},
	{"WELCOME with a reserved byte", 1, 49, 1, 1, true},
	{"WELCOME of no records", 1, 50, 2, 0, true},
	{"WELCOME of 29 records", 1, 50, 2, 29, true},
	{"WELCOME of 28 records", 1, 50, 2, 28, false},
	{"WELCOME of a cumulative sequence beyond the last", 1, 56, 8, FEED_SEQUENCE_MAX + 1, true},
	{"HEARTBEAT of epoch 0", 2, 0, 4, 0, true},
	{"HEARTBEAT with a reserved bit", 2, 4, 4, 2, true},
	{"HEARTBEAT before 1970", 2, 8, 8, UINT64_MAX, true},
	{"HEARTBEAT far off its source", 2, 16, 8, FEED_TIME_US_MAX + 1, true},
	{"HEARTBEAT far off the other way", 2, 16, 8, (uint64_t)-FEED_TIME_US_MAX - 1, true},
	{"HEARTBEAT of an endless backlog", 2, 56, 8, FEED_SEQUENCE_MAX + 1, true},
	{"HEARTBEAT of an endless age", 2, 96, 8, FEED_TIME_US_MAX + 1, true},
	{"HEARTBEAT of lowest above next", 2, 80, 8, UINT64_MAX, true},
	{"DATA of epoch 0", 3, 0, 4, 0, true},
	{"DATA of no record", 3, 4, 2, 0, true},
	{"DATA of 29 records", 3, 4, 2, 29, true},
	{"DATA with reserved bytes", 3, 6, 2, 1, true},
	{"DATA from sequence 0", 3, 8, 8, 0, true},
	{"DATA that runs over the last sequence", 3, 8, 8, FEED_SEQUENCE_MAX, true},
	{"DATA beyond the last sequence", 3, 8, 8, UINT64_MAX, true},
	{"ACK of epoch 0", 4, 0, 4, 0, true},
	{"ACK of 17 ranges", 4, 4, 1, 17, true},
	{"ACK of 9 notices", 4, 5, 1, 9, true},
	{"ACK with reserved bytes", 4, 6, 2, 1, true},
	{"ACK with other reserved bytes", 4, 20, 4, 1, true},
};

static void values_just_outside_are_refused(void)
{
	struct prng prng = {check_seed() + 6};

	for (size_t i = 0; i < sizeof(spoiled) / sizeof(spoiled[0]); i++) {
		const struct body *body = &bodies[spoiled[i].body];
		uint8_t bytes[FEED_BODY_SIZE_MAX];
		union decoded decoded;
		size_t size = body->random(&prng, bytes);

		for (size_t j = 0; j < spoiled[i].size; j++)
			bytes[spoiled[i].at + j] = (uint8_t)(spoiled[i].value >> (8 * j));
		if ((body->decode(bytes, size, &decoded) != 0) != spoiled[i].refused)
			check_note("%s", spoiled[i].what);
		CHECK_INT(spoiled[i].refused, body->decode(bytes, size, &decoded) != 0);
	}
}

/* A lane that the appliance does not know cannot have a cumulative sequence. */
static void an_unknown_lane_has_no_history(void)
{
	struct feed_welcome welcome = {.session = 1,
				       .lanes = {{.cumulative = 9, .records_max = 1}, {.records_max = 1}}};
	uint8_t bytes[FEED_WELCOME_PAYLOAD_SIZE];
	struct feed_welcome got;

	feed_welcome_encode(&welcome, bytes);
	CHECK_INT(FEED_DROP_MALFORMED, feed_welcome_decode(bytes, &got));
	welcome.lanes[0].known = true;
	feed_welcome_encode(&welcome, bytes);
	CHECK_INT(0, feed_welcome_decode(bytes, &got));
}

int main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{"bodies survive the round trip", bodies_survive_the_round_trip},
		{"truncated and lengthened bodies are refused", truncated_and_lengthened_bodies_are_refused},
		{"mutated bodies are refused or exact", mutated_bodies_are_refused_or_exact},
		{"the longest ACK and DATA fit", the_longest_ack_and_data_fit},
		{"ACKs that contradict themselves are refused", acks_that_contradict_themselves_are_refused},
		{"values just outside are refused", values_just_outside_are_refused},
		{"an unknown lane has no history", an_unknown_lane_has_no_history},
		{NULL, NULL},
	};

	return check_main(argc, argv, "feed/bodies", tests);
}
