/*
 * The sender's side of one feed: handshake, transport crypto and timers. It knows nothing of spools, windows or lost
 *reads: those belong to its user, who decides what to send, when to send it again, and obeys the credit of the ACKs. No
 *I/O, no clock: buffers and `now_ns` (monotonic) come in, buffers go out. One owner thread, caller's memory (aligned to
 *64), no allocation but OpenSSL's own inside a handshake.
 *
 *	idle --start--> hello-sent --WELCOME--> open --silence, packets or age--> open, with a HELLO under way
 *
 * A session speaks of one spool epoch, its HELLO's: a sender whose epoch changes calls feed_link_start again.
 * While a HELLO is under way in state open the old session keeps working; the new one takes over on its WELCOME, and
 *the first datagram sealed in it (timer asks for a heartbeat at once) makes it current at the appliance. The old one
 *still opens ACKs for FEED_OVERLAP_NS.
 *
 * Use: feed_link_start; then for ever: send what feed_link_timer asks for, feed what comes to feed_link_receive, seal
 *DATA while open, sleep no longer than feed_link_next_ns.
 */
#ifndef GANTRY_FEED_LINK_H
#define GANTRY_FEED_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dpdk/feed/ack.h"
#include "dpdk/feed/noise.h"
#include "dpdk/feed/outcome.h"
#include "dpdk/feed/session.h"
#include "dpdk/feed/wire.h"

#define FEED_HELLO_NS_MIN (INT64_C(250) * 1000000) /* first repetition; doubles up to */
#define FEED_HELLO_NS_MAX (INT64_C(4) * 1000000000)
#define FEED_HELLO_REPEATS_MAX 5 /* times that one HELLO is sent before a fresh one takes its place */
#define FEED_HEARTBEAT_NS (INT64_C(1) * 1000000000)
#define FEED_SILENCES_MAX 3 /* heartbeats in a row without any authentic answer: say HELLO */

enum feed_link_state { FEED_LINK_IDLE, FEED_LINK_HELLO_SENT, FEED_LINK_OPEN };

/* Fields are this library's; public so that the caller can place the memory. */
struct feed_link {
	struct feed_session sessions[2]; /* [current] seals and opens, the other still opens after a rekey */
	struct noise handshake;          /* as it stood after our HELLO; copied for each WELCOME tried */
	uint8_t psk[NOISE_KEY_SIZE];
	uint8_t hello[FEED_HELLO_SIZE]; /* repeated as it is */
	int64_t hello_at_ns;            /* when the next HELLO is due */
	int64_t hello_wait_ns;
	int64_t heartbeat_at_ns;                  /* when the next heartbeat is due */
	void (*random)(void *bytes, size_t size); /* random_bytes; tests put their own */
	uint64_t ack_next[FEED_LANE_COUNT]; /* above the greatest packet number of an ACK of the current session */
	uint32_t feed;
	unsigned hello_count;   /* times that `hello` was sent */
	unsigned silence_count; /* heartbeats since the last authentic datagram */
	enum feed_link_state state;
	uint8_t current;
	bool hello_under_way;
};

void feed_link_init(struct feed_link *link, uint32_t feed, const uint8_t psk[NOISE_KEY_SIZE]);
/* Wipes every secret. */
void feed_link_fini(struct feed_link *link);

/* From idle: a HELLO is due now. In other states: ends every session first (the sender lost or restored its spool). */
void feed_link_start(struct feed_link *link, int64_t now_ns);

/* What is due, a set of these; it stays due until it is built. */
enum feed_link_due { FEED_LINK_DUE_HELLO = 1 << 0, FEED_LINK_DUE_HEARTBEAT = 1 << 1 };
unsigned feed_link_timer(struct feed_link *link, int64_t now_ns);

/* When feed_link_timer should be asked next; INT64_MAX when idle. */
int64_t feed_link_next_ns(const struct feed_link *link);

/*
 * Builds the HELLO to send now, FEED_HELLO_SIZE bytes: the one under way again, or after FEED_HELLO_REPEATS_MAX times
 * (or at first) a fresh one that carries `hello`. Doubles the wait for the next. FEED_SEALED; FEED_DROP_UNEXPECTED
 * when no HELLO is under way.
 */
enum feed_outcome feed_link_hello(struct feed_link *link, const struct feed_hello *hello, int64_t now_ns,
				  uint8_t ret_datagram[FEED_HELLO_SIZE]);

struct feed_event {
	struct feed_welcome welcome; /* FEED_OPENED_WELCOME: the state is open, a heartbeat is due now */
	struct feed_ack ack;         /* FEED_OPENED_ACK; its lane is ack.durable.lane */
	/*
	 * With an ACK: no newer one of its lane has come, and it is of the current session. What an ACK acknowledges
	 * holds always; its cumulative + credit is the limit of what may be sent only when this is true.
	 */
	bool newest;
};

/*
 * A datagram from the appliance. FEED_OPENED_WELCOME, FEED_OPENED_ACK or a FEED_DROP_*, which leaves the link as it
 * was. May decrypt in place: the datagram's bytes are spent. After FEED_OPENED_WELCOME compare welcome.lanes with the
 * spool: what lies at or below `cumulative` is acknowledged; where `known` is false the appliance knows nothing of this
 * epoch and starts at the lowest sequence of the HELLO.
 */
enum feed_outcome feed_link_receive(struct feed_link *link, uint8_t *datagram, size_t size, int64_t now_ns,
				    struct feed_event *ret_event);

/* FEED_SEALED and the datagram's size; FEED_DROP_UNEXPECTED unless open; FEED_DROP_REKEY past a limit (HELLO is due).
 */
enum feed_outcome feed_link_seal_data(struct feed_link *link, enum feed_lane lane, const struct feed_data *data,
				      int64_t now_ns, uint8_t ret_datagram[FEED_DATAGRAM_SIZE_MAX], size_t *ret_size);
/* As above; counts a silence that any authentic datagram from the appliance ends. */
enum feed_outcome feed_link_seal_heartbeat(struct feed_link *link, const struct feed_heartbeat *heartbeat,
					   int64_t now_ns, uint8_t ret_datagram[FEED_DATAGRAM_SIZE_MAX],
					   size_t *ret_size);

/* Session id of the current session (to dispatch what comes to many links on one socket); 0 unless open. */
uint32_t feed_link_session(const struct feed_link *link);

#endif
