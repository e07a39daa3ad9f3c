/*
 * The appliance's side of one feed: keys, sessions, handshakes. All state lies in `struct feed_peer`, in the caller's
 * memory (aligned to 64), and is used by one worker thread only; key changes are handed to that thread too.
 * No call allocates, locks, logs or blocks; inside a handshake OpenSSL makes and frees a handful of small objects, at
 *most as often as the HELLO limits below allow.
 *
 * Life of a session: a HELLO that authenticates makes a *pending* session and a WELCOME. The first authentic datagram
 *of a pending session makes it *current*; the one before becomes *previous* and still opens for FEED_OVERLAP_NS. So a
 * replayed HELLO, which nobody can follow with an authentic datagram, displaces nothing. The same HELLO again gets the
 * same WELCOME again, byte for byte, as long as its session is remembered.
 *
 * Cost: looking at a HELLO takes about 15 µs, answering a fresh one about 140 µs more (X25519). The limits bound that
 *per feed; who owns many feeds may want a bound of its own over all of them, and passes no HELLO on while it is spent.
 *
 * Finding the peer of a datagram: feed_peek gives a feed id (HELLO: look it up in your table; none is
 * FEED_DROP_UNKNOWN_FEED) or a session id:
 *
 *	bits 0..7	worker that owns the feed	feed_session_worker(id)
 *	bits 8..23	feed's slot in its worker's table	feed_session_slot(id)
 *	bits 24..31	generation, 1..255, random, different from every live session of the peer
 *
 * so that the owner is one array access away; feed_peer_open then compares the whole id. A slot given to another feed
 * needs no care: the old sessions' keys are gone and their datagrams end as unknown session or bad tag.
 */
#ifndef GANTRY_FEED_PEER_H
#define GANTRY_FEED_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dpdk/feed/ack.h"
#include "dpdk/feed/noise.h"
#include "dpdk/feed/outcome.h"
#include "dpdk/feed/session.h"
#include "dpdk/feed/wire.h"

#define FEED_PEER_PENDING_MAX 4
#define FEED_PEER_PENDING_NS (INT64_C(10) * 1000000000) /* a pending session nobody uses is forgotten */

static inline uint8_t feed_session_worker(uint32_t session)
{
	return (uint8_t)session;
}

static inline uint16_t feed_session_slot(uint32_t session)
{
	return (uint16_t)(session >> 8);
}

/* Token bucket, its tokens told as the time in which they grew. */
struct feed_bucket {
	int64_t at_ns;
	int64_t tokens_ns;
};

/* What a session was agreed with: remembered to answer the same HELLO the same way. */
struct feed_offer {
	uint8_t hello[FEED_HELLO_SIZE];
	uint8_t welcome[FEED_WELCOME_SIZE];
	uint8_t psk_mark[16]; /* digest of the pre-shared key it was made with */
	int64_t clock_us;     /* sender's, from the HELLO */
	uint32_t epoch;       /* of the HELLO: the only one that its session may speak of */
};

struct feed_pending {
	struct feed_offer offer;
	uint8_t open[32];
	uint8_t seal[32];
	int64_t made_ns;
	uint32_t id;
	bool live;
};

/* Fields are this library's; public so that the caller can place the memory. */
struct feed_peer {
	struct feed_session sessions[2]; /* [current] and the previous one */
	struct feed_offer offers[2];     /* of those */
	struct feed_pending pending[FEED_PEER_PENDING_MAX];
	struct noise handshake; /* between feed_peer_hello and feed_peer_welcome */
	struct feed_offer offering;
	uint8_t psk[2][NOISE_KEY_SIZE];
	struct feed_bucket tries; /* HELLOs looked at: 100/s, burst 200 */
	struct feed_bucket fresh; /* authentic ones whose clock is ahead of the current session's: 10/s, burst 20 */
	struct feed_bucket stale; /* the other authentic ones, maybe replayed: 1/s, burst 5 */
	void (*random)(void *bytes, size_t size); /* random_bytes; tests put their own */
	uint32_t feed;
	uint16_t slot;
	uint8_t worker;
	uint8_t current;
	bool has_next_psk;
	bool offering_now;
};

/* next_psk may be NULL. Takes copies. */
void feed_peer_init(struct feed_peer *peer, uint32_t feed, uint8_t worker, uint16_t slot,
		    const uint8_t psk[NOISE_KEY_SIZE], const uint8_t *next_psk, int64_t now_ns);
/* Wipes every secret. */
void feed_peer_fini(struct feed_peer *peer);

/*
 * Replaces the pre-shared keys (next_psk may be NULL). Sessions made with a key that is still one of the two live on;
 * the others end at once.
 */
void feed_peer_keys_set(struct feed_peer *peer, const uint8_t psk[NOISE_KEY_SIZE], const uint8_t *next_psk);

/*
 * A datagram that feed_peek called a HELLO for this peer's feed.
 * FEED_HELLO_FRESH: *ret_hello is filled; call feed_peer_welcome next, nothing is answered before.
 * FEED_HELLO_REPEATED: ret_welcome is filled, send it again; *ret_hello is untouched.
 * FEED_DROP_HELLO_RATE, _BAD_TAG, _MALFORMED: say nothing.
 */
enum feed_outcome feed_peer_hello(struct feed_peer *peer, const uint8_t *datagram, size_t size, int64_t now_ns,
				  struct feed_hello *ret_hello, uint8_t ret_welcome[FEED_WELCOME_SIZE]);

/*
 * Answers the HELLO just accepted: makes the pending session (in place of an expired one or, when all are taken, of the
 * one whose HELLO has the oldest clock, unless that is newer than this one) and the WELCOME. `welcome->session` is
 * ignored. FEED_SEALED; FEED_DROP_HELLO_RATE when no pending session may be displaced; FEED_DROP_BAD_TAG when the
 * sender's public key is unusable; FEED_DROP_UNEXPECTED without a HELLO before.
 */
enum feed_outcome feed_peer_welcome(struct feed_peer *peer, const struct feed_welcome *welcome, int64_t now_ns,
				    uint8_t ret_welcome[FEED_WELCOME_SIZE]);

/* What was in an authentic datagram. */
struct feed_opened {
	struct feed_data data;           /* FEED_OPENED_DATA; its records point into `body` */
	struct feed_heartbeat heartbeat; /* FEED_OPENED_HEARTBEAT */
	uint64_t number;
	uint32_t session;
	uint8_t lane;       /* enum feed_lane; of DATA */
	bool session_began; /* first authentic datagram of a new session: send both ACKs soon */
	bool next_psk_used; /* that session was made with next_psk; meaningful with session_began */
};

/*
 * A DATA or HEARTBEAT (feed_peek said so) whose session id names this peer. Decrypts into `body`, FEED_BODY_SIZE_MAX
 * bytes or datagram + FEED_HEADER_SIZE itself. FEED_OPENED_DATA or FEED_OPENED_HEARTBEAT, or a FEED_DROP_*. An
 * authentic but malformed datagram (FEED_DROP_MALFORMED) uses up its packet number, and ret_opened is untouched.
 */
enum feed_outcome feed_peer_open(struct feed_peer *peer, const struct feed_peek *peek, const uint8_t *datagram,
				 size_t size, int64_t now_ns, uint8_t *body, struct feed_opened *ret_opened);

/*
 * Builds an ACK in the current session. FEED_SEALED and its size (at most FEED_HEADER_SIZE + FEED_ACK_SIZE_MAX +
 * FEED_TAG_SIZE), or FEED_DROP_UNKNOWN_SESSION (no session yet), FEED_DROP_REKEY (limit reached; the sender will come).
 */
enum feed_outcome feed_peer_ack(struct feed_peer *peer, const struct feed_ack *ack, int64_t now_ns,
				uint8_t ret_datagram[FEED_DATAGRAM_SIZE_MAX], size_t *ret_size);

/* True once a session is current: ACKs can be sealed. */
bool feed_peer_connected(const struct feed_peer *peer);

#endif
