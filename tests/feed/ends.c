#include "tests/feed/ends.h"

#include <string.h>

#include "dpdk/feed/record.h"

const uint8_t psk_one[32] = "the first key, thirty-two bytes";
const uint8_t psk_two[32] = "the other key, thirty-two bytes";

void ends_init(struct ends *ends)
{
	ends->now = 1000 * SECOND;
	ends->clock_us = INT64_C(1795000000000000);
	ends->next = 1;
	feed_link_init(&ends->link, FEED, psk_one);
	feed_peer_init(&ends->peer, FEED, WORKER, SLOT, psk_one, NULL, ends->now);
}

struct feed_hello hello_of(struct ends *ends)
{
	return (struct feed_hello){
		.clock_us = ends->clock_us++, .lanes = {{ends->next, 1}, {1, 1}}, .epoch = 3, .name = "camera hill"};
}

struct datagram hello_send(struct ends *ends)
{
	struct feed_hello hello = hello_of(ends);
	struct datagram d = {.size = FEED_HELLO_SIZE};

	CHECK_INT(FEED_SEALED, feed_link_hello(&ends->link, &hello, ends->now, d.bytes));
	return d;
}

const struct feed_welcome welcome_plain = {
	.clock_us = 5,
	.node = "node",
	.lanes = {{.cumulative = 0, .credit = 1000, .records_max = 28}, {.records_max = 1}}};

enum feed_outcome hello_take(struct ends *ends, const struct datagram *d, struct datagram *ret_welcome)
{
	struct feed_hello hello;
	struct feed_peek peek;
	enum feed_outcome outcome = feed_peek(d->bytes, d->size, FEED_SIDE_APPLIANCE, &peek);

	if (outcome != FEED_HELLO_FRESH)
		return outcome;
	if (peek.id != FEED)
		return FEED_DROP_UNKNOWN_FEED;
	ret_welcome->size = FEED_WELCOME_SIZE;
	outcome = feed_peer_hello(&ends->peer, d->bytes, d->size, ends->now, &hello, ret_welcome->bytes);
	if (outcome == FEED_HELLO_FRESH) {
		enum feed_outcome sealed;

		CHECK_STR("camera hill", hello.name);
		CHECK_INT(3, hello.epoch);
		sealed = feed_peer_welcome(&ends->peer, &welcome_plain, ends->now, ret_welcome->bytes);
		if (sealed != FEED_SEALED)
			return sealed;
	}
	return outcome;
}

enum feed_outcome link_take(struct ends *ends, struct datagram d, struct feed_event *ret_event)
{
	return feed_link_receive(&ends->link, d.bytes, d.size, ends->now, ret_event);
}

enum feed_outcome peer_take(struct ends *ends, struct datagram d, struct feed_opened *ret_opened)
{
	static uint8_t body[FEED_BODY_SIZE_MAX];
	struct feed_peek peek;
	enum feed_outcome outcome = feed_peek(d.bytes, d.size, FEED_SIDE_APPLIANCE, &peek);

	if (outcome != FEED_OPENED_DATA && outcome != FEED_OPENED_HEARTBEAT)
		return outcome;
	return feed_peer_open(&ends->peer, &peek, d.bytes, d.size, ends->now, body, ret_opened);
}

struct datagram data_send(struct ends *ends)
{
	struct read read = {.capture_us = 1, .camera = 1, .text = "AB12"};
	uint8_t records[FEED_RECORD_SIZE];
	struct feed_data data = {.records = records, .first = ends->next++, .epoch = 3, .count = 1};
	struct datagram d;

	feed_record_encode(&read, records);
	CHECK_INT(FEED_SEALED, feed_link_seal_data(&ends->link, FEED_LANE_LIVE, &data, ends->now, d.bytes, &d.size));
	return d;
}

struct datagram heartbeat_send(struct ends *ends)
{
	struct feed_heartbeat heartbeat = {.clock_us = ends->clock_us,
					   .lanes = {{.sent = {ends->next, 1}}, {.sent = {1, 1}}},
					   .epoch = 3,
					   .clock_synchronised = true,
					   .clock_source = "ptp"};
	struct datagram d;

	CHECK_INT(FEED_SEALED, feed_link_seal_heartbeat(&ends->link, &heartbeat, ends->now, d.bytes, &d.size));
	return d;
}

struct datagram ack_send(struct ends *ends)
{
	struct feed_ack ack = {.durable = {.cumulative = 41, .epoch = 3, .lane = FEED_LANE_BACKLOG}, .credit = 9};
	struct datagram d;

	CHECK_INT(FEED_SEALED, feed_peer_ack(&ends->peer, &ack, ends->now, d.bytes, &d.size));
	return d;
}

void handshake(struct ends *ends)
{
	struct datagram welcome;
	struct datagram hello = hello_send(ends);
	struct feed_event event;

	CHECK_INT(FEED_HELLO_FRESH, hello_take(ends, &hello, &welcome));
	CHECK_INT(FEED_OPENED_WELCOME, link_take(ends, welcome, &event));
}

void feed_connect(struct ends *ends)
{
	struct feed_opened opened;

	ends_init(ends);
	feed_link_start(&ends->link, ends->now);
	CHECK_INT(FEED_LINK_DUE_HELLO, feed_link_timer(&ends->link, ends->now));
	handshake(ends);
	CHECK_INT(FEED_LINK_DUE_HEARTBEAT, feed_link_timer(&ends->link, ends->now));
	CHECK_INT(FEED_OPENED_HEARTBEAT, peer_take(ends, heartbeat_send(ends), &opened));
	CHECK(opened.session_began);
}

void works(struct ends *ends)
{
	struct feed_opened opened;
	struct feed_event event;
	uint64_t sequence = ends->next;

	CHECK_INT(FEED_OPENED_DATA, peer_take(ends, data_send(ends), &opened));
	CHECK_INT(sequence, opened.data.first);
	CHECK_INT(FEED_OPENED_ACK, link_take(ends, ack_send(ends), &event));
	CHECK_INT(41, event.ack.durable.cumulative);
	CHECK_INT(FEED_LANE_BACKLOG, event.ack.durable.lane);
}
