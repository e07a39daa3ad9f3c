#include "tests/feed/ends.h"

#include <string.h>

#include "appliance/base/bytes.h"
#include "dpdk/feed/record.h"

static struct ends e;

static void a_feed_connects_and_talks(void)
{
	struct feed_opened opened;
	uint32_t id;

	feed_connect(&e);
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

/* Each datagram in turn: with any bit flipped, cut anywhere, or one byte too long, nobody accepts it or is harmed. */
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

	feed_connect(&e);
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

static void a_restarted_appliance_is_found(void)
{
	struct feed_opened opened;
	struct datagram hello;
	struct datagram welcome;
	struct feed_event event;
	int64_t began;
	unsigned due;

	feed_connect(&e);
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

/* Its facts hold whenever it comes; its credit does not. */
static void an_overtaken_ack_is_not_the_newest(void)
{
	struct datagram acks[3];
	struct feed_event event;
	struct feed_opened opened;

	feed_connect(&e);
	for (size_t i = 0; i < 3; i++)
		acks[i] = ack_send(&e);
	CHECK_INT(FEED_OPENED_ACK, link_take(&e, acks[1], &event));
	CHECK(event.newest);
	CHECK_INT(FEED_OPENED_ACK, link_take(&e, acks[0], &event));
	CHECK(!event.newest);
	CHECK_INT(41, event.ack.durable.cumulative);
	/* After a rekey the WELCOME was newer than any ACK of the old session; the new one counts from 0 again. */
	e.link.sessions[e.link.current].next = FEED_PACKETS_REKEY;
	CHECK_INT(FEED_LINK_DUE_HELLO, feed_link_timer(&e.link, e.now));
	handshake(&e);
	CHECK_INT(FEED_OPENED_ACK, link_take(&e, acks[2], &event));
	CHECK(!event.newest);
	CHECK_INT(FEED_OPENED_DATA, peer_take(&e, data_send(&e), &opened));
	CHECK_INT(FEED_OPENED_ACK, link_take(&e, ack_send(&e), &event));
	CHECK(event.newest);
}

/* An answer within a second, even to every third heartbeat only, is no silence. */
static void answered_heartbeats_keep_the_session(void)
{
	struct feed_opened opened;
	struct feed_event event;

	feed_connect(&e);
	for (unsigned i = 0; i < 30; i++) {
		e.now = feed_link_next_ns(&e.link);
		CHECK_INT(FEED_LINK_DUE_HEARTBEAT, feed_link_timer(&e.link, e.now));
		CHECK_INT(FEED_OPENED_HEARTBEAT, peer_take(&e, heartbeat_send(&e), &opened));
		if (i % 3 == 1)
			CHECK_INT(FEED_OPENED_ACK, link_take(&e, ack_send(&e), &event));
	}
	works(&e);
}

static void rekeying_loses_nothing_on_its_way(void)
{
	struct datagram data;
	struct datagram ack;
	struct feed_opened opened;
	struct feed_event event;
	uint32_t id;

	feed_connect(&e);
	id = feed_link_session(&e.link);
	e.link.sessions[e.link.current].next = FEED_PACKETS_REKEY - 1;
	CHECK_INT(0, feed_link_timer(&e.link, e.now));
	CHECK_INT(FEED_OPENED_DATA, peer_take(&e, data_send(&e), &opened));
	CHECK_INT(FEED_LINK_DUE_HELLO, feed_link_timer(&e.link, e.now));
	works(&e);
	data = data_send(&e);
	ack = ack_send(&e);
	CHECK(e.link.heartbeat_at_ns > e.now);
	handshake(&e);
	CHECK(feed_link_session(&e.link) != id);
	CHECK_INT(FEED_LINK_DUE_HEARTBEAT, feed_link_timer(&e.link, e.now));
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

	feed_connect(&e);
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
	/* Nor is a pending session's first datagram beyond it looked at. */
	d = data_send(&e);
	le64_put(d.bytes + 8, FEED_PACKETS_MAX);
	CHECK_INT(FEED_DROP_REKEY, peer_take(&e, d, &opened));
	works(&e);
}

static void age_limit_holds_on_both_sides(void)
{
	struct feed_ack ack = {.durable = {.epoch = 3}};
	struct feed_heartbeat heartbeat = {.epoch = 3};
	struct feed_opened opened;
	struct datagram early;
	struct datagram d;

	feed_connect(&e);
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

/* White-box: an authentic sender that breaks the format is told apart from a forger, and spends its number. */
static void authentic_nonsense_is_malformed(void)
{
	struct feed_session *session;
	struct feed_opened opened;
	struct feed_opened untouched;
	struct datagram d = {.size = 0};

	feed_connect(&e);
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

	feed_connect(&e);
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

	feed_connect(&e);
	d = data_send(&e);
	CHECK_INT(FEED_OPENED_DATA, feed_peek(d.bytes, d.size, FEED_SIDE_APPLIANCE, &peek));
	CHECK_INT(FEED_OPENED_DATA,
		  feed_peer_open(&e.peer, &peek, d.bytes, d.size, e.now, d.bytes + FEED_HEADER_SIZE, &opened));
	CHECK_INT(0, feed_records_decode(opened.data.records, opened.data.count, &read));
	CHECK_MEM("AB12", read.text, 5);
}

int main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{"a feed connects and talks", a_feed_connects_and_talks},
		{"nothing works out of order", nothing_works_out_of_order},
		{"damaged datagrams do no harm", damaged_datagrams_do_no_harm},
		{"the other direction is reflected", the_other_direction_is_reflected},
		{"replayed packets are counted as such", replayed_packets_are_counted_as_such},
		{"a restarted appliance is found", a_restarted_appliance_is_found},
		{"an overtaken ACK is not the newest", an_overtaken_ack_is_not_the_newest},
		{"answered heartbeats keep the session", answered_heartbeats_keep_the_session},
		{"rekeying loses nothing on its way", rekeying_loses_nothing_on_its_way},
		{"packet limit holds on both sides", packet_limit_holds_on_both_sides},
		{"age limit holds on both sides", age_limit_holds_on_both_sides},
		{"authentic nonsense is malformed", authentic_nonsense_is_malformed},
		{"another epoch needs another session", another_epoch_needs_another_session},
		{"decrypting in place works", decrypting_in_place_works},
		{NULL, NULL},
	};

	return check_main(argc, argv, "feed/sessions", tests);
}
