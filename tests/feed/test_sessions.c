/*
 * Both state machines against each other: `struct ends` holds one feed's two sides, a clock and nothing between them.
 * Each test carries the datagrams itself, so that it decides what is lost, changed, repeated or kept for later.
 */
#include <stdlib.h>
#include <string.h>

#include "appliance/base/bytes.h"
#include "appliance/base/digest.h"
#include "appliance/base/prng.h"
#include "dpdk/feed/link.h"
#include "dpdk/feed/peer.h"
#include "dpdk/feed/record.h"
#include "tests/check.h"

#define SECOND INT64_C(1000000000)
#define FEED 0x01020304u
#define WORKER 7
#define SLOT 0xabcd

struct ends {
	struct feed_link link;
	struct feed_peer peer;
	int64_t now;
	int64_t clock_us;
	uint64_t next; /* sequence of the next DATA */
};

struct datagram {
	uint8_t bytes[FEED_DATAGRAM_SIZE_MAX];
	size_t size;
};

static const uint8_t psk_one[32] = "the first key, thirty-two bytes";
static const uint8_t psk_two[32] = "the other key, thirty-two bytes";

static void ends_init(struct ends *ends)
{
	ends->now = 1000 * SECOND;
	ends->clock_us = INT64_C(1795000000000000);
	ends->next = 1;
	feed_link_init(&ends->link, FEED, psk_one);
	feed_peer_init(&ends->peer, FEED, WORKER, SLOT, psk_one, NULL, ends->now);
}

static struct feed_hello hello_of(struct ends *ends)
{
	return (struct feed_hello){
		.clock_us = ends->clock_us++, .lanes = {{ends->next, 1}, {1, 1}}, .epoch = 3, .name = "camera hill"};
}

static struct datagram hello_send(struct ends *ends)
{
	struct feed_hello hello = hello_of(ends);
	struct datagram d = {.size = FEED_HELLO_SIZE};

	CHECK_INT(FEED_SEALED, feed_link_hello(&ends->link, &hello, ends->now, d.bytes));
	return d;
}

static const struct feed_welcome welcome_plain = {
	.clock_us = 5,
	.node = "node",
	.lanes = {{.cumulative = 0, .credit = 1000, .records_max = 28}, {.records_max = 1}}};

/* The appliance's whole answer to a HELLO. Fills *ret_welcome when there is one. */
static enum feed_outcome hello_take(struct ends *ends, const struct datagram *d, struct datagram *ret_welcome)
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

/* Copies first: opening in place spends the bytes, and most tests need them again. */
static enum feed_outcome link_take(struct ends *ends, struct datagram d, struct feed_event *ret_event)
{
	return feed_link_receive(&ends->link, d.bytes, d.size, ends->now, ret_event);
}

static enum feed_outcome peer_take(struct ends *ends, struct datagram d, struct feed_opened *ret_opened)
{
	static uint8_t body[FEED_BODY_SIZE_MAX];
	struct feed_peek peek;
	enum feed_outcome outcome = feed_peek(d.bytes, d.size, FEED_SIDE_APPLIANCE, &peek);

	if (outcome != FEED_OPENED_DATA && outcome != FEED_OPENED_HEARTBEAT)
		return outcome;
	return feed_peer_open(&ends->peer, &peek, d.bytes, d.size, ends->now, body, ret_opened);
}

static struct datagram data_send(struct ends *ends)
{
	struct read read = {.capture_us = 1, .camera = 1, .text = "AB12"};
	uint8_t records[FEED_RECORD_SIZE];
	struct feed_data data = {.records = records, .first = ends->next++, .epoch = 3, .count = 1};
	struct datagram d;

	feed_record_encode(&read, records);
	CHECK_INT(FEED_SEALED, feed_link_seal_data(&ends->link, FEED_LANE_LIVE, &data, ends->now, d.bytes, &d.size));
	return d;
}

static struct datagram heartbeat_send(struct ends *ends)
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

static struct datagram ack_send(struct ends *ends)
{
	struct feed_ack ack = {.durable = {.cumulative = 41, .epoch = 3, .lane = FEED_LANE_BACKLOG}, .credit = 9};
	struct datagram d;

	CHECK_INT(FEED_SEALED, feed_peer_ack(&ends->peer, &ack, ends->now, d.bytes, &d.size));
	return d;
}

static void handshake(struct ends *ends)
{
	struct datagram welcome;
	struct datagram hello = hello_send(ends);
	struct feed_event event;

	CHECK_INT(FEED_HELLO_FRESH, hello_take(ends, &hello, &welcome));
	CHECK_INT(FEED_OPENED_WELCOME, link_take(ends, welcome, &event));
}

static void connect(struct ends *ends)
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

/* A round trip in both directions works now. */
static void works(struct ends *ends)
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

static struct ends e;

static void a_feed_connects_and_talks(void)
{
	struct feed_opened opened;
	uint32_t id;

	connect(&e);
	works(&e);
	id = feed_link_session(&e.link);
	CHECK_INT(WORKER, feed_session_worker(id));
	CHECK_INT(SLOT, feed_session_slot(id));
	CHECK_INT(FEED_OPENED_HEARTBEAT, peer_take(&e, heartbeat_send(&e), &opened));
	CHECK(!opened.session_began);
	CHECK_STR("ptp", opened.heartbeat.clock_source);
	CHECK_INT(e.next, opened.heartbeat.lanes[0].sent.next);
	CHECK(feed_peer_connected(&e.peer));
}

static void nothing_works_out_of_order(void)
{
	struct feed_hello hello = {.epoch = 1};
	struct feed_heartbeat heartbeat = {.epoch = 1};
	struct feed_data data = {.count = 1, .records = (const uint8_t *)&welcome_plain};
	struct feed_ack ack = {.durable = {.epoch = 1}};
	struct feed_event event;
	struct feed_opened opened;
	struct datagram first;
	struct datagram welcome;
	struct datagram d;

	ends_init(&e);
	CHECK_INT(0, feed_link_timer(&e.link, e.now));
	CHECK(feed_link_next_ns(&e.link) == INT64_MAX);
	CHECK_INT(FEED_DROP_UNEXPECTED, feed_link_hello(&e.link, &hello, e.now, d.bytes));
	CHECK_INT(FEED_DROP_UNEXPECTED, feed_link_seal_data(&e.link, 0, &data, e.now, d.bytes, &d.size));
	CHECK_INT(FEED_DROP_UNEXPECTED, feed_link_seal_heartbeat(&e.link, &heartbeat, e.now, d.bytes, &d.size));
	CHECK_INT(FEED_DROP_UNKNOWN_SESSION, feed_peer_ack(&e.peer, &ack, e.now, d.bytes, &d.size));
	CHECK_INT(FEED_DROP_UNEXPECTED, feed_peer_welcome(&e.peer, &welcome_plain, e.now, d.bytes));
	CHECK_INT(0, feed_link_session(&e.link));

	feed_link_start(&e.link, e.now);
	CHECK_INT(FEED_DROP_UNEXPECTED, feed_link_seal_data(&e.link, 0, &data, e.now, d.bytes, &d.size));
	first = hello_send(&e);
	CHECK_INT(FEED_HELLO_FRESH, hello_take(&e, &first, &welcome));
	CHECK_INT(FEED_DROP_UNEXPECTED, feed_peer_welcome(&e.peer, &welcome_plain, e.now, d.bytes));
	/* Pending is not connected: no ACK before the sender has proved that it is there. */
	CHECK_INT(FEED_DROP_UNKNOWN_SESSION, feed_peer_ack(&e.peer, &ack, e.now, d.bytes, &d.size));
	CHECK_INT(FEED_OPENED_WELCOME, link_take(&e, welcome, &event));
	CHECK_INT(FEED_DROP_UNEXPECTED, link_take(&e, welcome, &event));
	CHECK_INT(FEED_DROP_UNEXPECTED, feed_link_hello(&e.link, &hello, e.now, d.bytes));
	CHECK_INT(FEED_OPENED_DATA, peer_take(&e, data_send(&e), &opened));
	works(&e);
}

static void a_strange_welcome_spends_nothing(void)
{
	static struct ends other;
	struct datagram hello;
	struct datagram welcome;
	struct datagram strange;
	struct feed_event event;

	ends_init(&e);
	ends_init(&other);
	feed_link_start(&e.link, e.now);
	feed_link_start(&other.link, e.now);
	hello = hello_send(&other);
	CHECK_INT(FEED_HELLO_FRESH, hello_take(&other, &hello, &strange));
	hello = hello_send(&e);
	CHECK_INT(FEED_HELLO_FRESH, hello_take(&e, &hello, &welcome));
	CHECK_INT(FEED_DROP_BAD_TAG, link_take(&e, strange, &event));
	strange.bytes[4] ^= 1;
	CHECK_INT(FEED_DROP_UNKNOWN_FEED, link_take(&e, strange, &event));
	CHECK_INT(FEED_OPENED_WELCOME, link_take(&e, welcome, &event));
	CHECK_STR("node", event.welcome.node);
	CHECK_INT(1000, event.welcome.lanes[0].credit);
	works(&e);
}

/* Each datagram in turn: with any bit flipped, cut anywhere, or one byte too long, nobody accepts it or is harmed. */
static bool refused(enum feed_outcome outcome)
{
	return outcome >= FEED_DROP_SHORT;
}

static enum feed_outcome anyone_takes(struct ends *ends, const struct datagram *d)
{
	struct feed_event event;
	struct feed_opened opened;
	struct datagram welcome;

	switch (d->bytes[0]) {
	case FEED_TYPE_HELLO:
		ends->now += SECOND; /* keeps the limit of HELLOs out of the way */
		return hello_take(ends, d, &welcome);
	case FEED_TYPE_WELCOME:
	case FEED_TYPE_ACK:
		return link_take(ends, *d, &event);
	default:
		return peer_take(ends, *d, &opened);
	}
}

static void no_damaged_copy_is_taken(struct ends *ends, const struct datagram *d)
{
	struct datagram bad;

	for (size_t bit = 0; bit < 8 * d->size; bit++) {
		bad = *d;
		bad.bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
		CHECK(refused(anyone_takes(ends, &bad)));
	}
	for (size_t size = 0; size <= d->size + 1; size++) {
		bad = *d;
		bad.size = size;
		if (size > d->size)
			bad.bytes[size - 1] = 0;
		if (size != d->size)
			CHECK(refused(anyone_takes(ends, &bad)));
	}
}

static void damaged_datagrams_do_no_harm(void)
{
	struct datagram hello;
	struct datagram welcome;
	struct datagram d;
	struct feed_event event;
	struct feed_opened opened;

	ends_init(&e);
	feed_link_start(&e.link, e.now);
	hello = hello_send(&e);
	no_damaged_copy_is_taken(&e, &hello);
	CHECK_INT(FEED_HELLO_FRESH, hello_take(&e, &hello, &welcome));
	no_damaged_copy_is_taken(&e, &welcome);
	CHECK_INT(FEED_OPENED_WELCOME, link_take(&e, welcome, &event));
	d = data_send(&e); /* first of a pending session */
	no_damaged_copy_is_taken(&e, &d);
	CHECK_INT(FEED_OPENED_DATA, peer_take(&e, d, &opened));
	d = data_send(&e);
	no_damaged_copy_is_taken(&e, &d);
	CHECK_INT(FEED_OPENED_DATA, peer_take(&e, d, &opened));
	d = heartbeat_send(&e);
	no_damaged_copy_is_taken(&e, &d);
	CHECK_INT(FEED_OPENED_HEARTBEAT, peer_take(&e, d, &opened));
	d = ack_send(&e);
	no_damaged_copy_is_taken(&e, &d);
	CHECK_INT(FEED_OPENED_ACK, link_take(&e, d, &event));
}

static void the_other_direction_is_reflected(void)
{
	struct datagram hello;
	struct datagram welcome;
	struct datagram d;
	struct feed_event event;
	struct feed_opened opened;

	ends_init(&e);
	feed_link_start(&e.link, e.now);
	hello = hello_send(&e);
	CHECK_INT(FEED_DROP_REFLECTED, link_take(&e, hello, &event));
	CHECK_INT(FEED_HELLO_FRESH, hello_take(&e, &hello, &welcome));
	CHECK_INT(FEED_DROP_REFLECTED, peer_take(&e, welcome, &opened));
	CHECK_INT(FEED_OPENED_WELCOME, link_take(&e, welcome, &event));
	d = data_send(&e);
	CHECK_INT(FEED_DROP_REFLECTED, link_take(&e, d, &event));
	CHECK_INT(FEED_OPENED_DATA, peer_take(&e, d, &opened));
	/* With its type changed it gets further, but the keys differ by direction. */
	d = data_send(&e);
	d.bytes[0] = FEED_TYPE_ACK;
	CHECK_INT(FEED_DROP_BAD_TAG, link_take(&e, d, &event));
	d = ack_send(&e);
	CHECK_INT(FEED_DROP_REFLECTED, peer_take(&e, d, &opened));
	d.size = 136;
	d.bytes[0] = FEED_TYPE_DATA;
	e.peer.sessions[e.peer.current].window = (struct feed_window){0};
	d.bytes[2] = 0;
	CHECK_INT(FEED_DROP_SHORT, peer_take(&e, (struct datagram){.bytes = {3, 1}, .size = 95}, &opened));
	CHECK_INT(FEED_DROP_BAD_TAG, peer_take(&e, d, &opened));
	works(&e);
}

static void replayed_packets_are_counted_as_such(void)
{
	static struct datagram kept[3];
	struct datagram ack;
	struct feed_opened opened;
	struct feed_event event;

	connect(&e);
	for (size_t i = 0; i < 3; i++)
		kept[i] = data_send(&e);
	CHECK_INT(FEED_OPENED_DATA, peer_take(&e, kept[2], &opened));
	CHECK_INT(FEED_OPENED_DATA, peer_take(&e, kept[0], &opened));
	CHECK_INT(FEED_DROP_REPLAY, peer_take(&e, kept[0], &opened));
	CHECK_INT(FEED_DROP_REPLAY, peer_take(&e, kept[2], &opened));
	e.link.sessions[e.link.current].next = FEED_WINDOW_SIZE + 100;
	CHECK_INT(FEED_OPENED_DATA, peer_take(&e, data_send(&e), &opened));
	CHECK_INT(FEED_DROP_TOO_OLD, peer_take(&e, kept[1], &opened));
	ack = ack_send(&e);
	CHECK_INT(FEED_OPENED_ACK, link_take(&e, ack, &event));
	CHECK_INT(FEED_DROP_REPLAY, link_take(&e, ack, &event));
	works(&e);
}

static void a_repeated_hello_gets_the_same_welcome(void)
{
	struct datagram hello;
	struct datagram welcome[3];
	struct feed_event event;

	ends_init(&e);
	feed_link_start(&e.link, e.now);
	hello = hello_send(&e);
	CHECK_INT(FEED_HELLO_FRESH, hello_take(&e, &hello, &welcome[0]));
	CHECK_INT(FEED_HELLO_REPEATED, hello_take(&e, &hello, &welcome[1]));
	CHECK_MEM(welcome[0].bytes, welcome[1].bytes, FEED_WELCOME_SIZE);
	CHECK_INT(FEED_OPENED_WELCOME, link_take(&e, welcome[1], &event));
	works(&e);
	/* Its session is current now: the answer is still the same, and changes nothing. */
	CHECK_INT(FEED_HELLO_REPEATED, hello_take(&e, &hello, &welcome[2]));
	CHECK_MEM(welcome[0].bytes, welcome[2].bytes, FEED_WELCOME_SIZE);
	works(&e);
}

static void a_replayed_hello_displaces_nothing(void)
{
	static struct datagram old[8];
	struct datagram welcome;
	struct feed_event event;
	struct feed_opened opened;
	uint32_t id;

	/* HELLOs of sessions long gone: recorded, their peer forgotten. */
	ends_init(&e);
	for (size_t i = 0; i < 8; i++) {
		feed_link_start(&e.link, e.now);
		old[i] = hello_send(&e);
	}
	feed_peer_init(&e.peer, FEED, WORKER, SLOT, psk_one, NULL, e.now);
	feed_link_start(&e.link, e.now);
	handshake(&e);
	works(&e);
	id = feed_link_session(&e.link);
	for (size_t i = 0; i < 5; i++) {
		CHECK_INT(FEED_HELLO_FRESH, hello_take(&e, &old[i], &welcome));
		CHECK_INT(FEED_DROP_UNEXPECTED, link_take(&e, welcome, &event));
		works(&e);
	}
	/* The stale ones have their own small budget; the sender's own new HELLO still comes through. */
	CHECK_INT(FEED_DROP_HELLO_RATE, hello_take(&e, &old[5], &welcome));
	e.link.sessions[e.link.current].next = FEED_PACKETS_REKEY;
	CHECK_INT(FEED_LINK_DUE_HELLO, feed_link_timer(&e.link, e.now) & FEED_LINK_DUE_HELLO);
	handshake(&e);
	CHECK(feed_link_session(&e.link) != id);
	/* And no replay pushes out the pending session of the newer HELLO. */
	for (size_t i = 5; i < 8; i++) {
		e.now += SECOND;
		CHECK_INT(FEED_HELLO_FRESH, hello_take(&e, &old[i], &welcome));
	}
	e.now += SECOND;
	CHECK_INT(FEED_OPENED_DATA, peer_take(&e, data_send(&e), &opened));
	CHECK(opened.session_began);
	works(&e);
}

static void pending_places_go_to_the_newest_clock(void)
{
	static struct datagram hellos[6];
	struct datagram welcome;

	ends_init(&e);
	for (size_t i = 0; i < 6; i++) {
		feed_link_start(&e.link, e.now);
		hellos[i] = hello_send(&e);
	}
	for (size_t i = 1; i < 5; i++)
		CHECK_INT(FEED_HELLO_FRESH, hello_take(&e, &hellos[i], &welcome));
	CHECK_INT(FEED_DROP_HELLO_RATE, hello_take(&e, &hellos[0], &welcome)); /* older than all four */
	CHECK_INT(FEED_HELLO_FRESH, hello_take(&e, &hellos[5], &welcome));     /* in place of hellos[1] */
	for (size_t i = 2; i < 6; i++)
		CHECK_INT(FEED_HELLO_REPEATED, hello_take(&e, &hellos[i], &welcome));
	e.now += FEED_PEER_PENDING_NS;
	CHECK_INT(FEED_HELLO_FRESH, hello_take(&e, &hellos[0], &welcome)); /* all have expired */
}

static void a_restarted_appliance_is_found(void)
{
	struct feed_opened opened;
	struct datagram hello;
	struct datagram welcome;
	struct feed_event event;
	int64_t began;
	unsigned due;

	connect(&e);
	works(&e);
	feed_peer_init(&e.peer, FEED, WORKER, SLOT, psk_one, NULL, e.now);
	began = e.now;
	CHECK_INT(FEED_DROP_UNKNOWN_SESSION, peer_take(&e, data_send(&e), &opened));
	for (;;) {
		e.now = feed_link_next_ns(&e.link) > e.now ? feed_link_next_ns(&e.link) : e.now;
		due = feed_link_timer(&e.link, e.now);
		if ((due & FEED_LINK_DUE_HELLO) != 0)
			break;
		CHECK_INT(FEED_LINK_DUE_HEARTBEAT, due);
		CHECK_INT(FEED_DROP_UNKNOWN_SESSION, peer_take(&e, heartbeat_send(&e), &opened));
		CHECK(e.now - began < 10 * SECOND);
	}
	CHECK(e.now - began >= 3 * SECOND);
	CHECK(e.now - began <= 5 * SECOND);
	/* Data still goes out in the old session meanwhile, in vain but in order. */
	CHECK_INT(FEED_DROP_UNKNOWN_SESSION, peer_take(&e, data_send(&e), &opened));
	hello = hello_send(&e);
	CHECK_INT(FEED_HELLO_FRESH, hello_take(&e, &hello, &welcome));
	CHECK_INT(FEED_OPENED_WELCOME, link_take(&e, welcome, &event));
	works(&e);
}

static void hellos_back_off_and_renew(void)
{
	static const int64_t at_ms[] = {0, 250, 750, 1750, 3750, 7750, 11750, 15750};
	struct datagram hellos[8];
	int64_t began;

	ends_init(&e);
	began = e.now;
	feed_link_start(&e.link, e.now);
	for (size_t i = 0; i < 8; i++) {
		CHECK_INT(began + at_ms[i] * 1000000, feed_link_next_ns(&e.link));
		e.now = feed_link_next_ns(&e.link) - 1;
		CHECK_INT(0, feed_link_timer(&e.link, e.now));
		e.now++;
		CHECK_INT(FEED_LINK_DUE_HELLO, feed_link_timer(&e.link, e.now));
		hellos[i] = hello_send(&e);
	}
	for (size_t i = 1; i < 8; i++)
		CHECK_INT(i != 5, memcmp(hellos[i].bytes, hellos[i - 1].bytes, FEED_HELLO_SIZE) == 0);
}

/* A late WELCOME to the HELLO that a fresh one has replaced does not fit, and the fresh one still works. */
static void a_late_welcome_does_not_fit(void)
{
	struct datagram hello;
	struct datagram late;
	struct datagram welcome;
	struct feed_event event;

	ends_init(&e);
	feed_link_start(&e.link, e.now);
	for (unsigned i = 0; i < FEED_HELLO_REPEATS_MAX; i++)
		hello = hello_send(&e);
	CHECK_INT(FEED_HELLO_FRESH, hello_take(&e, &hello, &late));
	hello = hello_send(&e);
	CHECK_INT(FEED_DROP_BAD_TAG, link_take(&e, late, &event));
	CHECK_INT(FEED_HELLO_FRESH, hello_take(&e, &hello, &welcome));
	CHECK_INT(FEED_OPENED_WELCOME, link_take(&e, welcome, &event));
	works(&e);
}

static void rekeying_loses_nothing_on_its_way(void)
{
	struct datagram data;
	struct datagram ack;
	struct feed_opened opened;
	struct feed_event event;
	uint32_t id;

	connect(&e);
	id = feed_link_session(&e.link);
	e.link.sessions[e.link.current].next = FEED_PACKETS_REKEY - 1;
	CHECK_INT(0, feed_link_timer(&e.link, e.now));
	CHECK_INT(FEED_OPENED_DATA, peer_take(&e, data_send(&e), &opened));
	CHECK_INT(FEED_LINK_DUE_HELLO, feed_link_timer(&e.link, e.now));
	works(&e);
	data = data_send(&e);
	ack = ack_send(&e);
	handshake(&e);
	CHECK(feed_link_session(&e.link) != id);
	/* The appliance has seen nothing of the new session: what it seals is still the old one's. */
	CHECK_INT(FEED_OPENED_ACK, link_take(&e, ack_send(&e), &event));
	CHECK_INT(FEED_OPENED_DATA, peer_take(&e, data_send(&e), &opened));
	CHECK(opened.session_began);
	CHECK_INT(feed_link_session(&e.link), opened.session);
	/* What was under way in the old one still arrives, for ten seconds. */
	e.now += FEED_OVERLAP_NS - 1;
	CHECK_INT(FEED_OPENED_DATA, peer_take(&e, data, &opened));
	CHECK_INT(id, opened.session);
	CHECK(!opened.session_began);
	CHECK_INT(FEED_OPENED_ACK, link_take(&e, ack, &event));
	e.now++;
	CHECK_INT(FEED_DROP_UNKNOWN_SESSION, peer_take(&e, data, &opened));
	CHECK_INT(FEED_DROP_UNKNOWN_SESSION, link_take(&e, ack, &event));
	works(&e);
}

static void packet_limit_holds_on_both_sides(void)
{
	struct feed_ack ack = {.durable = {.epoch = 3}};
	struct feed_data data = {.first = 1, .epoch = 3, .count = 1, .records = (const uint8_t *)&welcome_plain};
	struct feed_session *sender;
	struct feed_opened opened;
	struct feed_event event;
	struct datagram d;

	connect(&e);
	sender = &e.link.sessions[e.link.current];
	sender->next = FEED_PACKETS_MAX - 1;
	CHECK_INT(FEED_OPENED_DATA, peer_take(&e, data_send(&e), &opened));
	CHECK_INT(FEED_DROP_REKEY, feed_link_seal_data(&e.link, 0, &data, e.now, d.bytes, &d.size));
	CHECK_INT(FEED_LINK_DUE_HELLO, feed_link_timer(&e.link, e.now + SECOND));
	/* A sender that would not stop is not heard either: even the header alone says no. */
	sender->next = 0;
	d = data_send(&e);
	le64_put(d.bytes + 8, FEED_PACKETS_MAX);
	CHECK_INT(FEED_DROP_REKEY, peer_take(&e, d, &opened));
	e.peer.sessions[e.peer.current].next = FEED_PACKETS_MAX - 1;
	CHECK_INT(FEED_OPENED_ACK, link_take(&e, ack_send(&e), &event));
	CHECK_INT(FEED_DROP_REKEY, feed_peer_ack(&e.peer, &ack, e.now, d.bytes, &d.size));
	handshake(&e);
	works(&e);
}

static void age_limit_holds_on_both_sides(void)
{
	struct feed_ack ack = {.durable = {.epoch = 3}};
	struct feed_heartbeat heartbeat = {.epoch = 3};
	struct feed_opened opened;
	struct datagram early;
	struct datagram d;

	connect(&e);
	early = data_send(&e);
	e.now += FEED_SESSION_NS_REKEY - 1;
	CHECK_INT(0, feed_link_timer(&e.link, e.now) & FEED_LINK_DUE_HELLO);
	e.now++;
	CHECK_INT(FEED_LINK_DUE_HELLO, feed_link_timer(&e.link, e.now) & FEED_LINK_DUE_HELLO);
	works(&e);
	e.now += FEED_SESSION_NS_MAX - FEED_SESSION_NS_REKEY;
	CHECK_INT(FEED_LINK_DUE_HELLO, feed_link_timer(&e.link, e.now));
	(void)hello_send(&e);
	CHECK(feed_link_next_ns(&e.link) > e.now); /* nobody spins over a heartbeat that cannot be sealed */
	CHECK_INT(FEED_DROP_REKEY, peer_take(&e, early, &opened));
	CHECK_INT(FEED_DROP_REKEY, feed_link_seal_heartbeat(&e.link, &heartbeat, e.now, d.bytes, &d.size));
	CHECK_INT(FEED_DROP_REKEY, feed_peer_ack(&e.peer, &ack, e.now, d.bytes, &d.size));
	handshake(&e);
	works(&e);
}

static void keys_overlap_while_one_is_rotated(void)
{
	static struct ends rotated;
	struct datagram hello;
	struct datagram welcome;
	struct feed_event event;
	struct feed_opened opened;

	connect(&e);
	/* The operator gives a second key; the running session goes on. */
	feed_peer_keys_set(&e.peer, psk_one, psk_two);
	works(&e);
	/* The sender is reconfigured and says HELLO with the new one. */
	ends_init(&rotated);
	feed_link_init(&rotated.link, FEED, psk_two);
	feed_link_start(&rotated.link, e.now);
	hello = hello_send(&rotated);
	CHECK_INT(FEED_HELLO_FRESH, hello_take(&e, &hello, &welcome));
	CHECK_INT(FEED_OPENED_WELCOME, link_take(&rotated, welcome, &event));
	works(&e); /* until its first datagram the old session lives */
	CHECK_INT(FEED_OPENED_DATA, peer_take(&e, data_send(&rotated), &opened));
	CHECK(opened.session_began);
	CHECK(opened.next_psk_used);
	CHECK_INT(FEED_OPENED_DATA, peer_take(&e, data_send(&e), &opened)); /* overlap of sessions */
	/* The old key goes: what was made with it ends at once, what was made with the new one lives. */
	feed_peer_keys_set(&e.peer, psk_two, NULL);
	CHECK_INT(FEED_DROP_UNKNOWN_SESSION, peer_take(&e, data_send(&e), &opened));
	CHECK_INT(FEED_OPENED_DATA, peer_take(&e, data_send(&rotated), &opened));
	feed_link_start(&e.link, e.now);
	hello = hello_send(&e);
	CHECK_INT(FEED_DROP_BAD_TAG, hello_take(&e, &hello, &welcome));
}

static void a_withdrawn_key_ends_pending_sessions(void)
{
	struct datagram hello;
	struct datagram welcome;
	struct feed_event event;
	struct feed_opened opened;

	ends_init(&e);
	feed_link_start(&e.link, e.now);
	hello = hello_send(&e);
	CHECK_INT(FEED_HELLO_FRESH, hello_take(&e, &hello, &welcome));
	CHECK_INT(FEED_OPENED_WELCOME, link_take(&e, welcome, &event));
	feed_peer_keys_set(&e.peer, psk_two, NULL);
	CHECK_INT(FEED_DROP_UNKNOWN_SESSION, peer_take(&e, data_send(&e), &opened));
	CHECK_INT(FEED_DROP_BAD_TAG, hello_take(&e, &hello, &welcome));
}

static void forged_hellos_get_silence(void)
{
	struct datagram hello;
	struct datagram welcome;

	ends_init(&e);
	feed_link_init(&e.link, FEED, psk_two);
	feed_link_start(&e.link, e.now);
	hello = hello_send(&e);
	CHECK_INT(FEED_DROP_BAD_TAG, hello_take(&e, &hello, &welcome));
	/* The right key, but of another feed: the id is in the prologue. */
	feed_link_init(&e.link, FEED + 1, psk_one);
	feed_link_start(&e.link, e.now);
	hello = hello_send(&e);
	CHECK_INT(FEED_DROP_UNKNOWN_FEED, hello_take(&e, &hello, &welcome));
	le32_put(hello.bytes + 4, FEED);
	CHECK_INT(FEED_DROP_BAD_TAG, hello_take(&e, &hello, &welcome));
	CHECK(!feed_peer_connected(&e.peer));
}

static void hellos_are_limited_per_feed(void)
{
	struct datagram hello;
	struct datagram welcome;
	unsigned taken = 0;

	ends_init(&e);
	for (unsigned i = 0; i < 100; i++) {
		feed_link_start(&e.link, e.now);
		hello = hello_send(&e);
		taken += hello_take(&e, &hello, &welcome) == FEED_HELLO_FRESH;
	}
	CHECK_INT(20, taken);
	for (unsigned i = 0; i < 100; i++) {
		e.now += SECOND / 20;
		feed_link_start(&e.link, e.now);
		hello = hello_send(&e);
		taken += hello_take(&e, &hello, &welcome) == FEED_HELLO_FRESH;
	}
	CHECK_INT(20 + 50, taken);
	/* Forged ones cost the feed's budget of looks, not that of handshakes. */
	hello.bytes[60] ^= 1;
	taken = 0;
	for (unsigned i = 0; i < 2000; i++)
		taken += hello_take(&e, &hello, &welcome) == FEED_DROP_BAD_TAG;
	CHECK(taken >= 800 && taken <= 1000);
}

/* White-box: an authentic sender that breaks the format is told apart from a forger, and spends its number. */
static void authentic_nonsense_is_malformed(void)
{
	struct feed_session *session;
	struct feed_opened opened;
	struct feed_opened untouched;
	struct datagram d = {.size = 0};

	connect(&e);
	session = &e.link.sessions[e.link.current];
	memset(d.bytes, 0xff, sizeof(d.bytes));
	memset(&opened, 0x33, sizeof(opened));
	memset(&untouched, 0x33, sizeof(untouched));
	CHECK_INT(FEED_SEALED, feed_session_seal(session, FEED_TYPE_DATA, 0, 64, e.now, d.bytes, &d.size));
	CHECK_INT(FEED_DROP_MALFORMED, peer_take(&e, d, &opened));
	CHECK_INT(FEED_DROP_REPLAY, peer_take(&e, d, &opened));
	CHECK_INT(FEED_SEALED,
		  feed_session_seal(session, FEED_TYPE_HEARTBEAT, 0, FEED_HEARTBEAT_SIZE, e.now, d.bytes, &d.size));
	CHECK_INT(FEED_DROP_MALFORMED, peer_take(&e, d, &opened));
	CHECK_MEM(&untouched, &opened, sizeof(opened));
	works(&e);
}

/* An epoch lives in its session: a sender that starts a new spool says HELLO. */
static void another_epoch_needs_another_session(void)
{
	struct read read = {.capture_us = 1, .camera = 1, .text = "AB12"};
	uint8_t records[FEED_RECORD_SIZE];
	struct feed_data data = {.records = records, .first = 1, .epoch = 4, .count = 1};
	struct feed_heartbeat heartbeat = {.lanes = {{.sent = {1, 1}}, {.sent = {1, 1}}}, .epoch = 2};
	struct feed_opened opened;
	struct datagram d;

	connect(&e);
	feed_record_encode(&read, records);
	CHECK_INT(FEED_SEALED, feed_link_seal_data(&e.link, FEED_LANE_LIVE, &data, e.now, d.bytes, &d.size));
	CHECK_INT(FEED_DROP_MALFORMED, peer_take(&e, d, &opened));
	CHECK_INT(FEED_SEALED, feed_link_seal_heartbeat(&e.link, &heartbeat, e.now, d.bytes, &d.size));
	CHECK_INT(FEED_DROP_MALFORMED, peer_take(&e, d, &opened));
	works(&e);
}

static void decrypting_in_place_works(void)
{
	struct feed_opened opened;
	struct feed_peek peek;
	struct datagram d;
	struct read read;

	connect(&e);
	d = data_send(&e);
	CHECK_INT(FEED_OPENED_DATA, feed_peek(d.bytes, d.size, FEED_SIDE_APPLIANCE, &peek));
	CHECK_INT(FEED_OPENED_DATA,
		  feed_peer_open(&e.peer, &peek, d.bytes, d.size, e.now, d.bytes + FEED_HEADER_SIZE, &opened));
	CHECK_INT(0, feed_records_decode(opened.data.records, opened.data.count, &read));
	CHECK_MEM("AB12", read.text, 5);
}

static void session_ids_differ_while_they_live(void)
{
	uint32_t seen[8];
	struct datagram hello;
	struct datagram welcome;
	struct feed_event event;

	connect(&e);
	seen[0] = feed_link_session(&e.link);
	for (size_t i = 1; i < 4; i++) {
		e.now += SECOND;
		feed_link_start(&e.link, e.now);
		hello = hello_send(&e);
		CHECK_INT(FEED_HELLO_FRESH, hello_take(&e, &hello, &welcome));
		CHECK_INT(FEED_OPENED_WELCOME, link_take(&e, welcome, &event));
		seen[i] = event.welcome.session;
		for (size_t j = 0; j < i; j++)
			CHECK(seen[i] != seen[j]);
	}
}

/*
 * Chaos: a network that loses, repeats, delays and damages, an appliance that restarts, a sender that rekeys. Whatever
 * comes, a DATA is opened at most once and says what was sent; when the network heals, so does the feed.
 */
#define FLIGHT 16
struct chaos {
	struct datagram flight[FLIGHT];
	bool used[FLIGHT];
	struct prng prng;
	unsigned trouble;       /* permille of each kind */
	uint8_t opened[100000]; /* by sequence: times opened in the life of one appliance */
};
static struct chaos chaos;

static void chaos_put(const struct datagram *d)
{
	unsigned copies = prng_chance(&chaos.prng, chaos.trouble) ? 2 : 1;

	if (prng_chance(&chaos.prng, chaos.trouble))
		return;
	while (copies-- > 0) {
		size_t i = prng_below(&chaos.prng, FLIGHT);

		chaos.flight[i] = *d; /* what lay there is lost */
		chaos.used[i] = true;
		if (prng_chance(&chaos.prng, chaos.trouble))
			chaos.flight[i].bytes[prng_below(&chaos.prng, d->size)] ^=
				(uint8_t)(1 + prng_below(&chaos.prng, 255));
		if (prng_chance(&chaos.prng, chaos.trouble / 4))
			chaos.flight[i].size = prng_below(&chaos.prng, d->size);
	}
}

static void chaos_deliver(const struct datagram *d)
{
	struct datagram answer;
	struct feed_opened opened;
	struct feed_event event;
	enum feed_outcome outcome = hello_take(&e, d, &answer);

	if (outcome == FEED_HELLO_FRESH || outcome == FEED_HELLO_REPEATED) {
		chaos_put(&answer);
		return;
	}
	outcome = peer_take(&e, *d, &opened);
	if (outcome == FEED_OPENED_DATA) {
		CHECK(opened.data.first < e.next);
		CHECK_INT(0, chaos.opened[opened.data.first]);
		chaos.opened[opened.data.first] = 1;
	}
	if (outcome == FEED_OPENED_HEARTBEAT) {
		answer = ack_send(&e);
		chaos_put(&answer);
	}
	(void)link_take(&e, *d, &event);
}

static void chaos_send(void)
{
	unsigned due = feed_link_timer(&e.link, e.now);
	struct datagram d;

	if ((due & FEED_LINK_DUE_HELLO) != 0) {
		d = hello_send(&e);
		chaos_put(&d);
	}
	if ((due & FEED_LINK_DUE_HEARTBEAT) != 0) {
		d = heartbeat_send(&e);
		chaos_put(&d);
	}
	if (e.link.state == FEED_LINK_OPEN && feed_session_seals(&e.link.sessions[e.link.current], e.now)) {
		d = data_send(&e);
		chaos_put(&d);
	}
}

static void chaos_step(void)
{
	chaos_send();
	for (size_t n = 0; n < FLIGHT; n++) {
		size_t i = prng_below(&chaos.prng, FLIGHT);

		if (chaos.used[i] && !prng_chance(&chaos.prng, chaos.trouble)) {
			struct datagram d = chaos.flight[i];

			chaos.used[i] = prng_chance(&chaos.prng, chaos.trouble); /* or again later */
			chaos_deliver(&d);
		}
	}
	e.now += (int64_t)prng_below(&chaos.prng, SECOND / 2);
	if (chaos.trouble > 0 && prng_chance(&chaos.prng, 5))
		feed_peer_init(&e.peer, FEED, WORKER, SLOT, psk_one, NULL, e.now);
	if (chaos.trouble > 0 && prng_chance(&chaos.prng, 5) && e.link.state == FEED_LINK_OPEN)
		e.link.sessions[e.link.current].next += FEED_PACKETS_REKEY / 2;
}

static void chaos_never_confuses_and_heals(void)
{
	chaos.prng.state = check_seed();
	for (unsigned round = 0; round < 40; round++) {
		unsigned opened_before = 0;
		unsigned opened_after = 0;

		memset(chaos.used, 0, sizeof(chaos.used));
		memset(chaos.opened, 0, sizeof(chaos.opened));
		chaos.trouble = (unsigned)prng_below(&chaos.prng, 400);
		ends_init(&e);
		feed_link_start(&e.link, e.now);
		for (unsigned i = 0; i < 400; i++)
			chaos_step();
		chaos.trouble = 0;
		for (unsigned i = 0; i < 60; i++) /* about 15 s */
			chaos_step();
		for (size_t i = 0; i < sizeof(chaos.opened); i++)
			opened_before += chaos.opened[i];
		for (unsigned i = 0; i < 40; i++)
			chaos_step();
		for (size_t i = 0; i < sizeof(chaos.opened); i++)
			opened_after += chaos.opened[i];
		CHECK(opened_after > opened_before + 10);
	}
}

/* Random bytes and mutated datagrams, to both sides: they answer with a drop, and go on. */
static void garbage_does_no_harm(void)
{
	struct prng prng = {check_seed() + 1};
	struct datagram good[4];

	connect(&e);
	good[0] = data_send(&e);
	good[1] = heartbeat_send(&e);
	good[2] = ack_send(&e);
	for (unsigned round = 0; round < 60000; round++) {
		struct datagram d = good[prng_below(&prng, 3)];
		struct feed_event event;
		struct feed_opened opened;
		struct datagram welcome;

		if (prng_chance(&prng, 200)) {
			d.size = prng_below(&prng, FEED_DATAGRAM_SIZE_MAX + 1);
			for (size_t i = prng_below(&prng, 24); i < d.size; i += 1 + prng_below(&prng, 40))
				d.bytes[i] = (uint8_t)prng_next(&prng);
			d.bytes[0] = (uint8_t)(1 + prng_below(&prng, 5));
		}
		/* Always one real change, behind which nothing may stand as it was. */
		d.bytes[16 + prng_below(&prng, 40)] ^= (uint8_t)(1 + prng_below(&prng, 255));
		CHECK(refused(d.bytes[0] == FEED_TYPE_HELLO ? hello_take(&e, &d, &welcome)
							    : peer_take(&e, d, &opened)));
		CHECK(refused(link_take(&e, d, &event)));
	}
	works(&e);
}

int main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{"a feed connects and talks", a_feed_connects_and_talks},
		{"nothing works out of order", nothing_works_out_of_order},
		{"a strange welcome spends nothing", a_strange_welcome_spends_nothing},
		{"damaged datagrams do no harm", damaged_datagrams_do_no_harm},
		{"the other direction is reflected", the_other_direction_is_reflected},
		{"replayed packets are counted as such", replayed_packets_are_counted_as_such},
		{"a repeated HELLO gets the same WELCOME", a_repeated_hello_gets_the_same_welcome},
		{"a replayed HELLO displaces nothing", a_replayed_hello_displaces_nothing},
		{"pending places go to the newest clock", pending_places_go_to_the_newest_clock},
		{"a restarted appliance is found", a_restarted_appliance_is_found},
		{"HELLOs back off and renew", hellos_back_off_and_renew},
		{"a late WELCOME does not fit", a_late_welcome_does_not_fit},
		{"rekeying loses nothing on its way", rekeying_loses_nothing_on_its_way},
		{"packet limit holds on both sides", packet_limit_holds_on_both_sides},
		{"age limit holds on both sides", age_limit_holds_on_both_sides},
		{"keys overlap while one is rotated", keys_overlap_while_one_is_rotated},
		{"a withdrawn key ends pending sessions", a_withdrawn_key_ends_pending_sessions},
		{"forged HELLOs get silence", forged_hellos_get_silence},
		{"HELLOs are limited per feed", hellos_are_limited_per_feed},
		{"authentic nonsense is malformed", authentic_nonsense_is_malformed},
		{"another epoch needs another session", another_epoch_needs_another_session},
		{"decrypting in place works", decrypting_in_place_works},
		{"session ids differ while they live", session_ids_differ_while_they_live},
		{"chaos never confuses and heals", chaos_never_confuses_and_heals},
		{"garbage does no harm", garbage_does_no_harm},
		{NULL, NULL},
	};

	return check_main(argc, argv, "feed/sessions", tests);
}
