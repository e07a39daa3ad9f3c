#include "dpdk/feed/wire.h"

#include <assert.h>
#include <string.h>

#include "appliance/base/bytes.h"
#include "dpdk/feed/ack.h"
#include "dpdk/feed/text.h"

static_assert(FEED_HELLO_SIZE == FEED_HANDSHAKE_HEADER_SIZE + 32 + FEED_HELLO_PAYLOAD_SIZE + FEED_TAG_SIZE, "HELLO");
static_assert(FEED_WELCOME_SIZE == FEED_HANDSHAKE_HEADER_SIZE + 32 + FEED_WELCOME_PAYLOAD_SIZE + FEED_TAG_SIZE,
	      "WELCOME");
static_assert(FEED_WELCOME_SIZE <= FEED_HELLO_SIZE, "an answer to a forged address must not amplify");
static_assert(FEED_DATA_HEADER_SIZE + FEED_RECORDS_MAX * FEED_RECORD_SIZE <= FEED_BODY_SIZE_MAX, "DATA");
static_assert(FEED_ACK_SIZE_MAX <= FEED_BODY_SIZE_MAX, "ACK");

/* Sizes of whole datagrams by type, and who may receive them. */
struct type_row {
	uint16_t size_min;
	uint16_t size_max;
	uint8_t receiver; /* enum feed_side */
	uint8_t claim;    /* enum feed_outcome */
};

#define TRANSPORT(body) (FEED_HEADER_SIZE + (body) + FEED_TAG_SIZE)
static const struct type_row types[] = {
	[FEED_TYPE_HELLO] = {FEED_HELLO_SIZE, FEED_HELLO_SIZE, FEED_SIDE_APPLIANCE, FEED_HELLO_FRESH},
	[FEED_TYPE_WELCOME] = {FEED_WELCOME_SIZE, FEED_WELCOME_SIZE, FEED_SIDE_SENDER, FEED_OPENED_WELCOME},
	[FEED_TYPE_DATA] = {TRANSPORT(FEED_DATA_HEADER_SIZE + FEED_RECORD_SIZE),
			    TRANSPORT(FEED_DATA_HEADER_SIZE + FEED_RECORDS_MAX * FEED_RECORD_SIZE), FEED_SIDE_APPLIANCE,
			    FEED_OPENED_DATA},
	[FEED_TYPE_ACK] = {TRANSPORT(FEED_ACK_HEADER_SIZE), TRANSPORT(FEED_ACK_SIZE_MAX), FEED_SIDE_SENDER,
			   FEED_OPENED_ACK},
	[FEED_TYPE_HEARTBEAT] = {TRANSPORT(FEED_HEARTBEAT_SIZE), TRANSPORT(FEED_HEARTBEAT_SIZE), FEED_SIDE_APPLIANCE,
				 FEED_OPENED_HEARTBEAT},
};

static enum feed_outcome peek_handshake(const uint8_t *datagram, struct feed_peek *ret_peek)
{
	if (le16_get(datagram + 2) != 0)
		return FEED_DROP_RESERVED_BITS;
	*ret_peek = (struct feed_peek){.id = le32_get(datagram + 4), .type = datagram[0]};
	return types[datagram[0]].claim;
}

static enum feed_outcome peek_transport(const uint8_t *datagram, struct feed_peek *ret_peek)
{
	unsigned lanes = datagram[0] == FEED_TYPE_HEARTBEAT ? 1 : FEED_LANE_COUNT;

	if (datagram[2] >= lanes || datagram[3] != 0)
		return FEED_DROP_RESERVED_BITS;
	*ret_peek = (struct feed_peek){.number = le64_get(datagram + 8),
				       .id = le32_get(datagram + 4),
				       .type = datagram[0],
				       .lane = datagram[2]};
	return types[datagram[0]].claim;
}

enum feed_outcome feed_peek(const uint8_t *datagram, size_t size, enum feed_side receiver, struct feed_peek *ret_peek)
{
	uint8_t type;

	if (size < FEED_HANDSHAKE_HEADER_SIZE)
		return FEED_DROP_SHORT;
	if (size > FEED_DATAGRAM_SIZE_MAX)
		return FEED_DROP_LONG;
	if (datagram[1] != FEED_VERSION)
		return FEED_DROP_VERSION;
	type = datagram[0];
	if (type >= FEED_TYPE_IMAGE_FIRST && type <= FEED_TYPE_IMAGE_LAST)
		return FEED_DROP_RESERVED_TYPE;
	if (type < FEED_TYPE_HELLO || type > FEED_TYPE_HEARTBEAT)
		return FEED_DROP_TYPE;
	if (types[type].receiver != receiver)
		return FEED_DROP_REFLECTED;
	if (size < types[type].size_min)
		return FEED_DROP_SHORT;
	if (size > types[type].size_max)
		return FEED_DROP_LONG;
	if (type <= FEED_TYPE_WELCOME)
		return peek_handshake(datagram, ret_peek);
	return peek_transport(datagram, ret_peek);
}

void feed_header_encode(const struct feed_peek *header, uint8_t ret_header[FEED_HEADER_SIZE])
{
	ret_header[0] = header->type;
	ret_header[1] = FEED_VERSION;
	ret_header[2] = header->lane;
	ret_header[3] = 0;
	le32_put(ret_header + 4, header->id);
	le64_put(ret_header + 8, header->number);
}

/* `size` bytes, zero padded; the text in memory is terminated and may use them all. */
static void text_put(uint8_t *to, const char *text, size_t size)
{
	size_t length = strnlen(text, size);

	memcpy(to, text, length);
	memset(to + length, 0, size - length);
}

static void text_get(const uint8_t *from, char *ret_text, size_t size)
{
	memcpy(ret_text, from, size);
	ret_text[size] = '\0';
}

static bool time_valid(int64_t us)
{
	return us >= 0 && us <= FEED_TIME_US_MAX;
}

static void lane_sent_put(uint8_t *to, const struct feed_lane_sent *sent)
{
	le64_put(to, sent->next);
	le64_put(to + 8, sent->lowest);
}

static bool lane_sent_get(const uint8_t *from, struct feed_lane_sent *ret_sent)
{
	ret_sent->next = le64_get(from);
	ret_sent->lowest = le64_get(from + 8);
	return ret_sent->lowest >= 1 && ret_sent->lowest <= ret_sent->next && ret_sent->next <= FEED_SEQUENCE_MAX;
}

void feed_hello_encode(const struct feed_hello *hello, uint8_t ret_payload[FEED_HELLO_PAYLOAD_SIZE])
{
	le32_put(ret_payload, hello->epoch);
	le32_put(ret_payload + 4, 0);
	le64_put(ret_payload + 8, (uint64_t)hello->clock_us);
	for (size_t i = 0; i < FEED_LANE_COUNT; i++)
		lane_sent_put(ret_payload + 16 + 16 * i, &hello->lanes[i]);
	text_put(ret_payload + 48, hello->name, FEED_NAME_SIZE);
}

int feed_hello_decode(const uint8_t payload[FEED_HELLO_PAYLOAD_SIZE], struct feed_hello *ret_hello)
{
	struct feed_hello hello = {.epoch = le32_get(payload), .clock_us = (int64_t)le64_get(payload + 8)};
	bool valid = hello.epoch >= 1 && le32_get(payload + 4) == 0 && time_valid(hello.clock_us);

	for (size_t i = 0; i < FEED_LANE_COUNT; i++)
		valid &= lane_sent_get(payload + 16 + 16 * i, &hello.lanes[i]);
	if (!valid || !feed_text_valid(payload + 48, FEED_NAME_SIZE))
		return FEED_DROP_MALFORMED;
	text_get(payload + 48, hello.name, FEED_NAME_SIZE);
	*ret_hello = hello;
	return 0;
}

void feed_welcome_encode(const struct feed_welcome *welcome, uint8_t ret_payload[FEED_WELCOME_PAYLOAD_SIZE])
{
	le32_put(ret_payload, welcome->session);
	le32_put(ret_payload + 4, 0);
	le64_put(ret_payload + 8, (uint64_t)welcome->clock_us);
	text_put(ret_payload + 16, welcome->node, FEED_NAME_SIZE);
	for (size_t i = 0; i < FEED_LANE_COUNT; i++) {
		const struct feed_lane_granted *lane = &welcome->lanes[i];
		uint8_t *to = ret_payload + 48 + 16 * i;

		to[0] = lane->known;
		to[1] = 0;
		le16_put(to + 2, lane->records_max);
		le32_put(to + 4, lane->credit);
		le64_put(to + 8, lane->cumulative);
	}
}

static bool lane_granted_get(const uint8_t *from, struct feed_lane_granted *ret_lane)
{
	*ret_lane = (struct feed_lane_granted){.known = from[0] == 1,
					       .records_max = le16_get(from + 2),
					       .credit = le32_get(from + 4),
					       .cumulative = le64_get(from + 8)};
	return from[0] <= 1 && from[1] == 0 && ret_lane->records_max >= 1 &&
	       ret_lane->records_max <= FEED_RECORDS_MAX && ret_lane->cumulative <= FEED_SEQUENCE_MAX &&
	       (ret_lane->known || ret_lane->cumulative == 0);
}

int feed_welcome_decode(const uint8_t payload[FEED_WELCOME_PAYLOAD_SIZE], struct feed_welcome *ret_welcome)
{
	struct feed_welcome welcome = {.session = le32_get(payload), .clock_us = (int64_t)le64_get(payload + 8)};
	bool valid = welcome.session != 0 && le32_get(payload + 4) == 0 && time_valid(welcome.clock_us);

	for (size_t i = 0; i < FEED_LANE_COUNT; i++)
		valid &= lane_granted_get(payload + 48 + 16 * i, &welcome.lanes[i]);
	if (!valid || !feed_text_valid(payload + 16, FEED_NAME_SIZE))
		return FEED_DROP_MALFORMED;
	text_get(payload + 16, welcome.node, FEED_NAME_SIZE);
	*ret_welcome = welcome;
	return 0;
}

size_t feed_data_encode(const struct feed_data *data, uint8_t *ret_body)
{
	assert(data->count >= 1 && data->count <= FEED_RECORDS_MAX);
	le32_put(ret_body, data->epoch);
	le16_put(ret_body + 4, data->count);
	le16_put(ret_body + 6, 0);
	le64_put(ret_body + 8, data->first);
	memcpy(ret_body + FEED_DATA_HEADER_SIZE, data->records, (size_t)data->count * FEED_RECORD_SIZE);
	return FEED_DATA_HEADER_SIZE + (size_t)data->count * FEED_RECORD_SIZE;
}

int feed_data_decode(const uint8_t *body, size_t size, struct feed_data *ret_data)
{
	struct feed_data data;

	if (size < FEED_DATA_HEADER_SIZE)
		return FEED_DROP_MALFORMED;
	data = (struct feed_data){.records = body + FEED_DATA_HEADER_SIZE,
				  .first = le64_get(body + 8),
				  .epoch = le32_get(body),
				  .count = le16_get(body + 4)};
	if (data.epoch < 1 || data.count < 1 || data.count > FEED_RECORDS_MAX || le16_get(body + 6) != 0 ||
	    size != FEED_DATA_HEADER_SIZE + (size_t)data.count * FEED_RECORD_SIZE)
		return FEED_DROP_MALFORMED;
	if (data.first < 1 || data.first > FEED_SEQUENCE_MAX - data.count)
		return FEED_DROP_MALFORMED;
	*ret_data = data;
	return 0;
}

void feed_heartbeat_encode(const struct feed_heartbeat *heartbeat, uint8_t ret_body[FEED_HEARTBEAT_SIZE])
{
	le32_put(ret_body, heartbeat->epoch);
	le32_put(ret_body + 4, heartbeat->clock_synchronised);
	le64_put(ret_body + 8, (uint64_t)heartbeat->clock_us);
	le64_put(ret_body + 16, (uint64_t)heartbeat->clock_offset_us);
	text_put(ret_body + 24, heartbeat->clock_source, FEED_SOURCE_SIZE);
	for (size_t i = 0; i < FEED_LANE_COUNT; i++) {
		uint8_t *to = ret_body + 40 + 32 * i;

		lane_sent_put(to, &heartbeat->lanes[i].sent);
		le64_put(to + 16, heartbeat->lanes[i].backlog);
		le64_put(to + 24, heartbeat->lanes[i].oldest_age_us);
	}
}

static bool lane_state_get(const uint8_t *from, struct feed_lane_state *ret_state)
{
	ret_state->backlog = le64_get(from + 16);
	ret_state->oldest_age_us = le64_get(from + 24);
	return lane_sent_get(from, &ret_state->sent) && ret_state->backlog <= FEED_SEQUENCE_MAX &&
	       ret_state->oldest_age_us <= (uint64_t)FEED_TIME_US_MAX;
}

int feed_heartbeat_decode(const uint8_t *body, size_t size, struct feed_heartbeat *ret_heartbeat)
{
	struct feed_heartbeat heartbeat;
	bool valid;

	if (size != FEED_HEARTBEAT_SIZE)
		return FEED_DROP_MALFORMED;
	heartbeat = (struct feed_heartbeat){.epoch = le32_get(body),
					    .clock_synchronised = body[4] == 1,
					    .clock_us = (int64_t)le64_get(body + 8),
					    .clock_offset_us = (int64_t)le64_get(body + 16)};
	valid = heartbeat.epoch >= 1 && le32_get(body + 4) <= 1 && time_valid(heartbeat.clock_us) &&
		heartbeat.clock_offset_us >= -FEED_TIME_US_MAX && heartbeat.clock_offset_us <= FEED_TIME_US_MAX;
	for (size_t i = 0; i < FEED_LANE_COUNT; i++)
		valid &= lane_state_get(body + 40 + 32 * i, &heartbeat.lanes[i]);
	if (!valid || !feed_text_valid(body + 24, FEED_SOURCE_SIZE))
		return FEED_DROP_MALFORMED;
	text_get(body + 24, heartbeat.clock_source, FEED_SOURCE_SIZE);
	*ret_heartbeat = heartbeat;
	return 0;
}
