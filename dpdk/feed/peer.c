/*
 * The happy path: hello (authenticate, decode, rate) - welcome (pending session) - open (first authentic datagram:
 * pending becomes current). What can go wrong before the first authentic datagram costs one pending place at most; what
 * goes wrong after it costs one datagram. An attacker who only replays HELLOs fills pending places, but never one whose
 * HELLO has a newer clock than the replayed ones, and spends the budget of stale HELLOs, not that of fresh ones.
 */
#include "dpdk/feed/peer.h"

#include <assert.h>
#include <string.h>

#include "appliance/base/bytes.h"
#include "appliance/base/digest.h"

#define SECOND_NS INT64_C(1000000000)
#define TRY_COST_NS (SECOND_NS / 100)
#define TRY_BURST 200
#define FRESH_COST_NS (SECOND_NS / 10)
#define FRESH_BURST 20
#define STALE_COST_NS SECOND_NS
#define STALE_BURST 5

static struct feed_bucket bucket_full(int64_t cost_ns, int64_t burst, int64_t now_ns)
{
	return (struct feed_bucket){.at_ns = now_ns, .tokens_ns = cost_ns * burst};
}

static bool bucket_take(struct feed_bucket *bucket, int64_t cost_ns, int64_t burst, int64_t now_ns)
{
	if (now_ns > bucket->at_ns) {
		int64_t grown = now_ns - bucket->at_ns;
		int64_t room = cost_ns * burst - bucket->tokens_ns;

		bucket->tokens_ns += grown < room ? grown : room;
		bucket->at_ns = now_ns;
	}
	if (bucket->tokens_ns < cost_ns)
		return false;
	bucket->tokens_ns -= cost_ns;
	return true;
}

/* Names a key without being it, so that a session can be told to be of a withdrawn key. */
static void psk_mark(const uint8_t psk[NOISE_KEY_SIZE], uint8_t ret_mark[16])
{
	uint8_t digest[SHA256_SIZE];

	sha256(psk, NOISE_KEY_SIZE, digest);
	memcpy(ret_mark, digest, 16);
}

static void psk_put(struct feed_peer *peer, const uint8_t psk[NOISE_KEY_SIZE], const uint8_t *next_psk)
{
	memcpy(peer->psk[0], psk, NOISE_KEY_SIZE);
	bytes_wipe(peer->psk[1], NOISE_KEY_SIZE);
	peer->has_next_psk = next_psk != NULL;
	if (next_psk != NULL)
		memcpy(peer->psk[1], next_psk, NOISE_KEY_SIZE);
}

static unsigned psk_count(const struct feed_peer *peer)
{
	return peer->has_next_psk ? 2 : 1;
}

void feed_peer_init(struct feed_peer *peer, uint32_t feed, uint8_t worker, uint16_t slot,
		    const uint8_t psk[NOISE_KEY_SIZE], const uint8_t *next_psk, int64_t now_ns)
{
	memset(peer, 0, sizeof(*peer));
	peer->feed = feed;
	peer->worker = worker;
	peer->slot = slot;
	peer->random = random_bytes;
	peer->tries = bucket_full(TRY_COST_NS, TRY_BURST, now_ns);
	peer->fresh = bucket_full(FRESH_COST_NS, FRESH_BURST, now_ns);
	peer->stale = bucket_full(STALE_COST_NS, STALE_BURST, now_ns);
	psk_put(peer, psk, next_psk);
}

void feed_peer_fini(struct feed_peer *peer)
{
	bytes_wipe(peer, sizeof(*peer));
}

static bool offer_is_of(const struct feed_offer *offer, uint8_t marks[2][16], unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		if (memcmp(offer->psk_mark, marks[i], sizeof(offer->psk_mark)) == 0)
			return true;
	return false;
}

void feed_peer_keys_set(struct feed_peer *peer, const uint8_t psk[NOISE_KEY_SIZE], const uint8_t *next_psk)
{
	uint8_t marks[2][16];

	psk_put(peer, psk, next_psk);
	for (unsigned i = 0; i < psk_count(peer); i++)
		psk_mark(peer->psk[i], marks[i]);
	for (unsigned i = 0; i < 2; i++)
		if (!offer_is_of(&peer->offers[i], marks, psk_count(peer)))
			feed_session_end(&peer->sessions[i]);
	for (unsigned i = 0; i < FEED_PEER_PENDING_MAX; i++)
		if (!offer_is_of(&peer->pending[i].offer, marks, psk_count(peer)))
			bytes_wipe(&peer->pending[i], sizeof(peer->pending[i]));
	peer->offering_now = false;
}

static bool pending_live(const struct feed_pending *pending, int64_t now_ns)
{
	return pending->live && now_ns - pending->made_ns < FEED_PEER_PENDING_NS;
}

/* The remembered offer that answered this very HELLO, or NULL. */
static const struct feed_offer *offer_find(const struct feed_peer *peer, const uint8_t *hello, int64_t now_ns)
{
	for (unsigned i = 0; i < 2; i++)
		if (peer->sessions[i].live && memcmp(peer->offers[i].hello, hello, FEED_HELLO_SIZE) == 0)
			return &peer->offers[i];
	for (unsigned i = 0; i < FEED_PEER_PENDING_MAX; i++)
		if (pending_live(&peer->pending[i], now_ns) &&
		    memcmp(peer->pending[i].offer.hello, hello, FEED_HELLO_SIZE) == 0)
			return &peer->pending[i].offer;
	return NULL;
}

/* Tries both keys. Leaves the handshake of the one that fits. */
static bool hello_authenticate(struct feed_peer *peer, const uint8_t *datagram,
			       uint8_t ret_payload[FEED_HELLO_PAYLOAD_SIZE])
{
	uint8_t prologue[NOISE_PROLOGUE_SIZE];

	noise_prologue(peer->feed, prologue);
	for (unsigned i = 0; i < psk_count(peer); i++) {
		noise_init(&peer->handshake, prologue, sizeof(prologue), peer->psk[i]);
		if (noise_read_hello(&peer->handshake, datagram + FEED_HANDSHAKE_HEADER_SIZE,
				     FEED_HELLO_SIZE - FEED_HANDSHAKE_HEADER_SIZE, ret_payload) == 0) {
			psk_mark(peer->psk[i], peer->offering.psk_mark);
			return true;
		}
	}
	return false;
}

static bool hello_allowed(struct feed_peer *peer, int64_t clock_us, int64_t now_ns)
{
	if (peer->sessions[peer->current].live && clock_us <= peer->offers[peer->current].clock_us)
		return bucket_take(&peer->stale, STALE_COST_NS, STALE_BURST, now_ns);
	return bucket_take(&peer->fresh, FRESH_COST_NS, FRESH_BURST, now_ns);
}

enum feed_outcome feed_peer_hello(struct feed_peer *peer, const uint8_t *datagram, size_t size, int64_t now_ns,
				  struct feed_hello *ret_hello, uint8_t ret_welcome[FEED_WELCOME_SIZE])
{
	const struct feed_offer *offer;
	uint8_t payload[FEED_HELLO_PAYLOAD_SIZE];
	struct feed_hello hello;

	if (size != FEED_HELLO_SIZE)
		return size < FEED_HELLO_SIZE ? FEED_DROP_SHORT : FEED_DROP_LONG;
	peer->offering_now = false;
	if (!bucket_take(&peer->tries, TRY_COST_NS, TRY_BURST, now_ns))
		return FEED_DROP_HELLO_RATE;
	offer = offer_find(peer, datagram, now_ns);
	if (offer != NULL) {
		memcpy(ret_welcome, offer->welcome, FEED_WELCOME_SIZE);
		return FEED_HELLO_REPEATED;
	}
	if (!hello_authenticate(peer, datagram, payload))
		return FEED_DROP_BAD_TAG;
	if (feed_hello_decode(payload, &hello) != 0)
		return FEED_DROP_MALFORMED;
	if (!hello_allowed(peer, hello.clock_us, now_ns))
		return FEED_DROP_HELLO_RATE;
	memcpy(peer->offering.hello, datagram, FEED_HELLO_SIZE);
	peer->offering.clock_us = hello.clock_us;
	peer->offering.epoch = hello.epoch;
	peer->offering_now = true;
	*ret_hello = hello;
	return FEED_HELLO_FRESH;
}

/* A free or expired place, else that of the oldest clock when it is not newer than `clock_us`, else NULL. */
static struct feed_pending *pending_place(struct feed_peer *peer, int64_t clock_us, int64_t now_ns)
{
	struct feed_pending *oldest = &peer->pending[0];

	for (unsigned i = 0; i < FEED_PEER_PENDING_MAX; i++) {
		if (!pending_live(&peer->pending[i], now_ns))
			return &peer->pending[i];
		if (peer->pending[i].offer.clock_us < oldest->offer.clock_us)
			oldest = &peer->pending[i];
	}
	return oldest->offer.clock_us <= clock_us ? oldest : NULL;
}

static bool id_taken(const struct feed_peer *peer, uint32_t id)
{
	bool taken = false;

	for (unsigned i = 0; i < 2; i++)
		taken |= peer->sessions[i].live && peer->sessions[i].id == id;
	for (unsigned i = 0; i < FEED_PEER_PENDING_MAX; i++)
		taken |= peer->pending[i].live && peer->pending[i].id == id;
	return taken;
}

/* At most six ids are taken of 255: the walk is short. */
static uint32_t id_choose(const struct feed_peer *peer)
{
	uint8_t generation;
	uint32_t id;

	peer->random(&generation, sizeof(generation));
	do {
		generation = (uint8_t)(generation % 255 + 1);
		id = (uint32_t)generation << 24 | (uint32_t)peer->slot << 8 | peer->worker;
	} while (id_taken(peer, id));
	return id;
}

static void welcome_header(const struct feed_peer *peer, uint8_t *ret_header)
{
	ret_header[0] = FEED_TYPE_WELCOME;
	ret_header[1] = FEED_VERSION;
	le16_put(ret_header + 2, 0);
	le32_put(ret_header + 4, peer->feed);
}

static int welcome_write(struct feed_peer *peer, const struct feed_welcome *welcome, uint8_t *ret_datagram)
{
	uint8_t payload[FEED_WELCOME_PAYLOAD_SIZE];
	uint8_t ephemeral[NOISE_KEY_SIZE];
	int rc;

	feed_welcome_encode(welcome, payload);
	welcome_header(peer, ret_datagram);
	peer->random(ephemeral, sizeof(ephemeral));
	rc = noise_write_welcome(&peer->handshake, ephemeral, payload, sizeof(payload),
				 ret_datagram + FEED_HANDSHAKE_HEADER_SIZE);
	bytes_wipe(ephemeral, sizeof(ephemeral));
	return rc;
}

enum feed_outcome feed_peer_welcome(struct feed_peer *peer, const struct feed_welcome *welcome, int64_t now_ns,
				    uint8_t ret_welcome[FEED_WELCOME_SIZE])
{
	struct feed_welcome filled = *welcome;
	struct feed_pending *pending;
	int rc;

	if (!peer->offering_now)
		return FEED_DROP_UNEXPECTED;
	peer->offering_now = false;
	pending = pending_place(peer, peer->offering.clock_us, now_ns);
	if (pending == NULL)
		return FEED_DROP_HELLO_RATE;
	filled.session = id_choose(peer);
	rc = welcome_write(peer, &filled, peer->offering.welcome);
	if (rc == 0) {
		noise_split(&peer->handshake, pending->open, pending->seal);
		pending->offer = peer->offering;
		pending->id = filled.session;
		pending->made_ns = now_ns;
		pending->live = true;
		memcpy(ret_welcome, peer->offering.welcome, FEED_WELCOME_SIZE);
	}
	bytes_wipe(&peer->handshake, sizeof(peer->handshake));
	return rc == 0 ? FEED_SEALED : FEED_DROP_BAD_TAG;
}

/* The first authentic datagram has come: the pending session takes over. */
static struct feed_session *pending_promote(struct feed_peer *peer, struct feed_pending *pending, int64_t now_ns)
{
	struct feed_session *session;

	feed_session_replace(&peer->sessions[peer->current], now_ns);
	peer->current ^= 1;
	session = &peer->sessions[peer->current];
	feed_session_start(session, pending->id, pending->open, pending->seal, pending->made_ns);
	peer->offers[peer->current] = pending->offer;
	bytes_wipe(pending, sizeof(*pending));
	return session;
}

/* A pending session keeps bare keys: they are expanded for each datagram that claims it, until one is authentic. */
static enum feed_outcome open_pending(struct feed_peer *peer, struct feed_pending *pending,
				      const struct feed_peek *peek, const uint8_t *datagram, size_t size,
				      int64_t now_ns, uint8_t *body)
{
	struct aead_key key;
	int rc;

	if (peek->number >= FEED_PACKETS_MAX)
		return FEED_DROP_REKEY;
	aead_key_init(&key, pending->open);
	rc = feed_session_decrypt(&key, peek, datagram, size, body);
	aead_key_fini(&key);
	if (rc < 0)
		return FEED_DROP_BAD_TAG;
	feed_window_mark(&pending_promote(peer, pending, now_ns)->window, peek->number);
	return FEED_SEALED;
}

static enum feed_outcome open_any(struct feed_peer *peer, const struct feed_peek *peek, const uint8_t *datagram,
				  size_t size, int64_t now_ns, uint8_t *body, bool *ret_began)
{
	size_t body_size;

	for (unsigned i = 0; i < 2; i++) {
		struct feed_session *session = &peer->sessions[peer->current ^ i];

		if (feed_session_answers(session, peek->id, now_ns))
			return feed_session_open(session, peek, datagram, size, now_ns, body, &body_size);
	}
	for (unsigned i = 0; i < FEED_PEER_PENDING_MAX; i++) {
		struct feed_pending *pending = &peer->pending[i];

		if (pending_live(pending, now_ns) && pending->id == peek->id) {
			*ret_began = true;
			return open_pending(peer, pending, peek, datagram, size, now_ns, body);
		}
	}
	return FEED_DROP_UNKNOWN_SESSION;
}

static bool next_psk_used(const struct feed_peer *peer)
{
	uint8_t mark[16];

	if (!peer->has_next_psk)
		return false;
	psk_mark(peer->psk[1], mark);
	return memcmp(mark, peer->offers[peer->current].psk_mark, sizeof(mark)) == 0;
}

/* The body of what was authentic; true when it keeps the format and its session's epoch. */
static bool body_decode(const struct feed_peek *peek, const uint8_t *body, size_t size, uint32_t epoch,
			struct feed_opened *opened)
{
	if (peek->type == FEED_TYPE_DATA)
		return feed_data_decode(body, size, &opened->data) == 0 && opened->data.epoch == epoch;
	return feed_heartbeat_decode(body, size, &opened->heartbeat) == 0 && opened->heartbeat.epoch == epoch;
}

enum feed_outcome feed_peer_open(struct feed_peer *peer, const struct feed_peek *peek, const uint8_t *datagram,
				 size_t size, int64_t now_ns, uint8_t *body, struct feed_opened *ret_opened)
{
	struct feed_opened opened = {.number = peek->number, .session = peek->id, .lane = peek->lane};
	enum feed_outcome outcome;
	unsigned index;

	assert(peek->type == FEED_TYPE_DATA || peek->type == FEED_TYPE_HEARTBEAT);
	outcome = open_any(peer, peek, datagram, size, now_ns, body, &opened.session_began);
	if (outcome != FEED_SEALED)
		return outcome;
	index = peer->sessions[peer->current].id == peek->id ? peer->current : peer->current ^ 1;
	if (!body_decode(peek, body, size - FEED_HEADER_SIZE - FEED_TAG_SIZE, peer->offers[index].epoch, &opened))
		return FEED_DROP_MALFORMED;
	opened.next_psk_used = opened.session_began && next_psk_used(peer);
	*ret_opened = opened;
	return peek->type == FEED_TYPE_DATA ? FEED_OPENED_DATA : FEED_OPENED_HEARTBEAT;
}

enum feed_outcome feed_peer_ack(struct feed_peer *peer, const struct feed_ack *ack, int64_t now_ns,
				uint8_t ret_datagram[FEED_DATAGRAM_SIZE_MAX], size_t *ret_size)
{
	struct feed_session *session = &peer->sessions[peer->current];
	size_t size;

	if (!session->live)
		return FEED_DROP_UNKNOWN_SESSION;
	size = feed_ack_encode(ack, ret_datagram + FEED_HEADER_SIZE);
	return feed_session_seal(session, FEED_TYPE_ACK, ack->durable.lane, size, now_ns, ret_datagram, ret_size);
}

bool feed_peer_connected(const struct feed_peer *peer)
{
	return peer->sessions[peer->current].live;
}
