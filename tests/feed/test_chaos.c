#include "tests/feed/ends.h"

#include <string.h>

#include "appliance/base/prng.h"

static struct ends e;

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

	feed_connect(&e);
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
		{"chaos never confuses and heals", chaos_never_confuses_and_heals},
		{"garbage does no harm", garbage_does_no_harm},
		{NULL, NULL},
	};

	return check_main(argc, argv, "feed/chaos", tests);
}
