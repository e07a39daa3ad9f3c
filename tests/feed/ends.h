/*
 * One feed's two sides, a clock, and nothing between them: each test carries the datagrams itself, so that it decides
 * what is lost, changed, repeated or kept for later. Everything is checked with fatal asserts; one thread.
 */
#ifndef GANTRY_TESTS_FEED_ENDS_H
#define GANTRY_TESTS_FEED_ENDS_H

#include <stdint.h>

#include "dpdk/feed/link.h"
#include "dpdk/feed/peer.h"
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

extern const uint8_t psk_one[32];
extern const uint8_t psk_two[32];
extern const struct feed_welcome welcome_plain;

void ends_init(struct ends *ends);

/* What is due at the sender, built; each must succeed. */
struct feed_hello hello_of(struct ends *ends);
struct datagram hello_send(struct ends *ends);
struct datagram data_send(struct ends *ends);
struct datagram heartbeat_send(struct ends *ends);
/* An ACK of the backlog lane up to 41. */
struct datagram ack_send(struct ends *ends);

/* The appliance's whole answer to a HELLO. Fills *ret_welcome when there is one. */
enum feed_outcome hello_take(struct ends *ends, const struct datagram *d, struct datagram *ret_welcome);
/* On copies: opening in place spends the bytes, and most tests need them again. */
enum feed_outcome link_take(struct ends *ends, struct datagram d, struct feed_event *ret_event);
enum feed_outcome peer_take(struct ends *ends, struct datagram d, struct feed_opened *ret_opened);

/* HELLO and WELCOME; the session is pending at the appliance. */
void handshake(struct ends *ends);
/* From nothing to a current session. */
void feed_connect(struct ends *ends);
/* A round trip in both directions works now. */
void works(struct ends *ends);

static inline bool refused(enum feed_outcome outcome)
{
	return outcome >= FEED_DROP_SHORT;
}

#endif
