#include "tests/feed/ends.h"

#include <string.h>

#include "appliance/base/bytes.h"

static struct ends e;

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

static void keys_overlap_while_one_is_rotated(void)
{
	static struct ends rotated;
	struct datagram hello;
	struct datagram welcome;
	struct feed_event event;
	struct feed_opened opened;

	feed_connect(&e);
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
	CHECK_INT(FEED_OPENED_DATA, peer_take(&e, data_send(&rotated), &opened));
	CHECK(!opened.session_began);
	CHECK(!opened.next_psk_used);
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
	CHECK(taken >= 100 && taken <= 200);
}

static void session_ids_differ_while_they_live(void)
{
	uint32_t seen[8];
	struct datagram hello;
	struct datagram welcome;
	struct feed_event event;

	feed_connect(&e);
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

/* Even when the generator says the same for ever. */
static void random_stuck(void *bytes, size_t size)
{
	memset(bytes, 254, size);
}

static void a_stuck_generation_moves_on(void)
{
	struct datagram hello;
	struct datagram welcome;
	struct feed_event event;
	uint32_t first;

	ends_init(&e);
	e.peer.random = random_stuck;
	feed_link_start(&e.link, e.now);
	handshake(&e);
	works(&e);
	first = feed_link_session(&e.link);
	CHECK_INT(255, first >> 24);
	feed_link_start(&e.link, e.now);
	hello = hello_send(&e);
	CHECK_INT(FEED_HELLO_FRESH, hello_take(&e, &hello, &welcome));
	CHECK_INT(FEED_OPENED_WELCOME, link_take(&e, welcome, &event));
	CHECK_INT(1, feed_link_session(&e.link) >> 24); /* never 0: an id of 0 says that there is none */
	works(&e);
}

int main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{"a strange welcome spends nothing", a_strange_welcome_spends_nothing},
		{"a repeated HELLO gets the same WELCOME", a_repeated_hello_gets_the_same_welcome},
		{"a replayed HELLO displaces nothing", a_replayed_hello_displaces_nothing},
		{"pending places go to the newest clock", pending_places_go_to_the_newest_clock},
		{"HELLOs back off and renew", hellos_back_off_and_renew},
		{"a late WELCOME does not fit", a_late_welcome_does_not_fit},
		{"keys overlap while one is rotated", keys_overlap_while_one_is_rotated},
		{"a withdrawn key ends pending sessions", a_withdrawn_key_ends_pending_sessions},
		{"forged HELLOs get silence", forged_hellos_get_silence},
		{"HELLOs are limited per feed", hellos_are_limited_per_feed},
		{"session ids differ while they live", session_ids_differ_while_they_live},
		{"a stuck generation moves on", a_stuck_generation_moves_on},
		{NULL, NULL},
	};

	return check_main(argc, argv, "feed/handshakes", tests);
}
