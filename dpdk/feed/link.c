/*
 * The happy path: start - hello - WELCOME - heartbeat and DATA - ACKs. A HELLO that is not answered is repeated with a
 * doubling wait; heartbeats that nobody answers, a packet number or an age near its limit put a new HELLO under way
 * while the session goes on as well as it can.
 */
#include "dpdk/feed/link.h"

#include <string.h>

#include "appliance/base/bytes.h"
#include "appliance/base/digest.h"

void feed_link_init(struct feed_link *link, uint32_t feed, const uint8_t psk[NOISE_KEY_SIZE])
{
	memset(link, 0, sizeof(*link));
	link->feed = feed;
	link->random = random_bytes;
	link->state = FEED_LINK_IDLE;
	memcpy(link->psk, psk, NOISE_KEY_SIZE);
}

void feed_link_fini(struct feed_link *link)
{
	bytes_wipe(link, sizeof(*link));
}

static struct feed_session *current_of(struct feed_link *link)
{
	return &link->sessions[link->current];
}

static void hello_put_under_way(struct feed_link *link, int64_t now_ns)
{
	link->hello_under_way = true;
	link->hello_count = 0;
	link->hello_wait_ns = FEED_HELLO_NS_MIN;
	link->hello_at_ns = now_ns;
}

void feed_link_start(struct feed_link *link, int64_t now_ns)
{
	feed_session_end(&link->sessions[0]);
	feed_session_end(&link->sessions[1]);
	bytes_wipe(&link->handshake, sizeof(link->handshake));
	link->silence_count = 0;
	link->state = FEED_LINK_HELLO_SENT;
	hello_put_under_way(link, now_ns);
}

static bool rehello_due(struct feed_link *link, int64_t now_ns)
{
	const struct feed_session *session = current_of(link);

	return session->next >= FEED_PACKETS_REKEY || now_ns - session->began_ns >= FEED_SESSION_NS_REKEY ||
	       (link->silence_count >= FEED_SILENCES_MAX && now_ns >= link->heartbeat_at_ns);
}

unsigned feed_link_timer(struct feed_link *link, int64_t now_ns)
{
	unsigned due = 0;

	if (link->state == FEED_LINK_IDLE)
		return 0;
	if (link->state == FEED_LINK_OPEN) {
		if (!link->hello_under_way && rehello_due(link, now_ns))
			hello_put_under_way(link, now_ns);
		if (now_ns >= link->heartbeat_at_ns && !feed_session_seals(current_of(link), now_ns))
			link->heartbeat_at_ns = now_ns + FEED_HEARTBEAT_NS; /* spent: a HELLO is under way */
		if (now_ns >= link->heartbeat_at_ns)
			due |= FEED_LINK_DUE_HEARTBEAT;
	}
	if (link->hello_under_way && now_ns >= link->hello_at_ns)
		due |= FEED_LINK_DUE_HELLO;
	return due;
}

int64_t feed_link_next_ns(const struct feed_link *link)
{
	int64_t next = INT64_MAX;

	if (link->state == FEED_LINK_IDLE)
		return next;
	if (link->hello_under_way)
		next = link->hello_at_ns;
	if (link->state == FEED_LINK_OPEN && link->heartbeat_at_ns < next)
		next = link->heartbeat_at_ns;
	return next;
}

static enum feed_outcome hello_build(struct feed_link *link, const struct feed_hello *hello)
{
	uint8_t prologue[NOISE_PROLOGUE_SIZE];
	uint8_t payload[FEED_HELLO_PAYLOAD_SIZE];
	uint8_t ephemeral[NOISE_KEY_SIZE];
	int rc;

	noise_prologue(link->feed, prologue);
	feed_hello_encode(hello, payload);
	link->hello[0] = FEED_TYPE_HELLO;
	link->hello[1] = FEED_VERSION;
	le16_put(link->hello + 2, 0);
	le32_put(link->hello + 4, link->feed);
	link->random(ephemeral, sizeof(ephemeral));
	noise_init(&link->handshake, prologue, sizeof(prologue), link->psk);
	rc = noise_write_hello(&link->handshake, ephemeral, payload, sizeof(payload),
			       link->hello + FEED_HANDSHAKE_HEADER_SIZE);
	bytes_wipe(ephemeral, sizeof(ephemeral));
	/* UNTESTED: fails only when memory runs out inside the library; the next HELLO tries again. */
	return rc == 0 ? FEED_SEALED : FEED_DROP_UNEXPECTED;
}

enum feed_outcome feed_link_hello(struct feed_link *link, const struct feed_hello *hello, int64_t now_ns,
				  uint8_t ret_datagram[FEED_HELLO_SIZE])
{
	if (!link->hello_under_way)
		return FEED_DROP_UNEXPECTED;
	if (link->hello_count == 0 || link->hello_count >= FEED_HELLO_REPEATS_MAX) {
		enum feed_outcome outcome = hello_build(link, hello);

		if (outcome != FEED_SEALED)
			return outcome;
		link->hello_count = 0;
	}
	link->hello_count++;
	link->hello_at_ns = now_ns + link->hello_wait_ns;
	link->hello_wait_ns *= 2;
	if (link->hello_wait_ns > FEED_HELLO_NS_MAX)
		link->hello_wait_ns = FEED_HELLO_NS_MAX;
	memcpy(ret_datagram, link->hello, FEED_HELLO_SIZE);
	return FEED_SEALED;
}

static void session_take_over(struct feed_link *link, const struct noise *noise, uint32_t id, int64_t now_ns)
{
	uint8_t forth[NOISE_KEY_SIZE];
	uint8_t back[NOISE_KEY_SIZE];

	noise_split(noise, forth, back);
	if (current_of(link)->live)
		feed_session_replace(current_of(link), now_ns);
	link->current ^= 1;
	feed_session_start(current_of(link), id, back, forth, now_ns);
	bytes_wipe(forth, sizeof(forth));
	bytes_wipe(back, sizeof(back));
	bytes_wipe(&link->handshake, sizeof(link->handshake));
	memset(link->ack_next, 0, sizeof(link->ack_next));
	link->hello_under_way = false;
	link->hello_count = 0;
	link->silence_count = 0;
	link->heartbeat_at_ns = now_ns;
	link->state = FEED_LINK_OPEN;
}

static enum feed_outcome receive_welcome(struct feed_link *link, const struct feed_peek *peek, const uint8_t *datagram,
					 size_t size, int64_t now_ns, struct feed_welcome *ret_welcome)
{
	struct noise noise = link->handshake; /* a forged answer must not spend the handshake */
	uint8_t payload[FEED_WELCOME_PAYLOAD_SIZE];
	enum feed_outcome outcome = FEED_OPENED_WELCOME;

	if (peek->id != link->feed)
		return FEED_DROP_UNKNOWN_FEED;
	if (!link->hello_under_way || link->hello_count == 0)
		return FEED_DROP_UNEXPECTED;
	if (noise_read_welcome(&noise, datagram + FEED_HANDSHAKE_HEADER_SIZE, size - FEED_HANDSHAKE_HEADER_SIZE,
			       payload) < 0)
		outcome = FEED_DROP_BAD_TAG;
	else if (feed_welcome_decode(payload, ret_welcome) != 0)
		outcome = FEED_DROP_MALFORMED;
	else
		session_take_over(link, &noise, ret_welcome->session, now_ns);
	bytes_wipe(&noise, sizeof(noise));
	return outcome;
}

/* ACKs overtake each other: only the newest of a lane may say how much credit there is. */
static bool ack_newest(struct feed_link *link, const struct feed_peek *peek)
{
	if (peek->id != current_of(link)->id || peek->number < link->ack_next[peek->lane])
		return false;
	link->ack_next[peek->lane] = peek->number + 1;
	return true;
}

static enum feed_outcome receive_ack(struct feed_link *link, const struct feed_peek *peek, uint8_t *datagram,
				     size_t size, int64_t now_ns, struct feed_event *ret_event)
{
	uint8_t *body = datagram + FEED_HEADER_SIZE;
	size_t body_size = 0;
	enum feed_outcome outcome = FEED_DROP_UNKNOWN_SESSION;

	for (unsigned i = 0; i < 2 && outcome == FEED_DROP_UNKNOWN_SESSION; i++) {
		struct feed_session *session = &link->sessions[link->current ^ i];

		if (feed_session_answers(session, peek->id, now_ns))
			outcome = feed_session_open(session, peek, datagram, size, now_ns, body, &body_size);
	}
	if (outcome != FEED_SEALED)
		return outcome;
	link->silence_count = 0;
	if (feed_ack_decode(body, body_size, peek->lane, &ret_event->ack) != 0)
		return FEED_DROP_MALFORMED;
	ret_event->newest = ack_newest(link, peek);
	return FEED_OPENED_ACK;
}

enum feed_outcome feed_link_receive(struct feed_link *link, uint8_t *datagram, size_t size, int64_t now_ns,
				    struct feed_event *ret_event)
{
	struct feed_peek peek;
	enum feed_outcome claim = feed_peek(datagram, size, FEED_SIDE_SENDER, &peek);

	if (claim == FEED_OPENED_WELCOME)
		return receive_welcome(link, &peek, datagram, size, now_ns, &ret_event->welcome);
	if (claim == FEED_OPENED_ACK)
		return receive_ack(link, &peek, datagram, size, now_ns, ret_event);
	return claim;
}

enum feed_outcome feed_link_seal_data(struct feed_link *link, enum feed_lane lane, const struct feed_data *data,
				      int64_t now_ns, uint8_t ret_datagram[FEED_DATAGRAM_SIZE_MAX], size_t *ret_size)
{
	size_t size;

	if (link->state != FEED_LINK_OPEN)
		return FEED_DROP_UNEXPECTED;
	size = feed_data_encode(data, ret_datagram + FEED_HEADER_SIZE);
	return feed_session_seal(current_of(link), FEED_TYPE_DATA, (uint8_t)lane, size, now_ns, ret_datagram, ret_size);
}

enum feed_outcome feed_link_seal_heartbeat(struct feed_link *link, const struct feed_heartbeat *heartbeat,
					   int64_t now_ns, uint8_t ret_datagram[FEED_DATAGRAM_SIZE_MAX],
					   size_t *ret_size)
{
	enum feed_outcome outcome;

	if (link->state != FEED_LINK_OPEN)
		return FEED_DROP_UNEXPECTED;
	feed_heartbeat_encode(heartbeat, ret_datagram + FEED_HEADER_SIZE);
	outcome = feed_session_seal(current_of(link), FEED_TYPE_HEARTBEAT, 0, FEED_HEARTBEAT_SIZE, now_ns, ret_datagram,
				    ret_size);
	if (outcome == FEED_SEALED) {
		link->heartbeat_at_ns = now_ns + FEED_HEARTBEAT_NS;
		link->silence_count++;
	}
	return outcome;
}

uint32_t feed_link_session(const struct feed_link *link)
{
	return link->state == FEED_LINK_OPEN ? link->sessions[link->current].id : 0;
}
