/*
 * The transport half of a session, the same on both sides: two directional keys, the packet number of what is sent, the
 * replay window of what comes. One owner thread, caller's memory (aligned to 64), no allocation.
 */
#ifndef GANTRY_FEED_SESSION_H
#define GANTRY_FEED_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "appliance/base/aead.h"
#include "dpdk/feed/outcome.h"
#include "dpdk/feed/window.h"
#include "dpdk/feed/wire.h"

#define FEED_PACKETS_MAX (UINT64_C(1) << 23)   /* numbers 0 .. this - 1 may be sealed and are opened */
#define FEED_PACKETS_REKEY (UINT64_C(3) << 21) /* the sender says HELLO from here: room for seconds at full rate */
#define FEED_SESSION_NS_MAX (INT64_C(3900) * 1000000000)   /* neither side uses a session older than 65 min */
#define FEED_SESSION_NS_REKEY (INT64_C(3600) * 1000000000) /* the sender says HELLO from here: 1 h */
#define FEED_OVERLAP_NS (INT64_C(10) * 1000000000)         /* a replaced session still opens */

struct feed_session {
	struct aead_key open;
	struct aead_key seal;
	struct feed_window window;
	uint64_t next; /* packet number of the next datagram sealed */
	int64_t began_ns;
	int64_t replaced_ns; /* when a newer session took over; valid when `replaced` */
	uint32_t id;
	bool replaced;
	bool live;
};

void feed_session_start(struct feed_session *session, uint32_t id, const uint8_t open[32], const uint8_t seal[32],
			int64_t now_ns);
/* Wipes keys; a dead session opens and seals nothing. */
void feed_session_end(struct feed_session *session);
/* A newer one took over: seals no more, opens for FEED_OVERLAP_NS. */
void feed_session_replace(struct feed_session *session, int64_t now_ns);

/* True when the session is live, has this id and, if it was replaced, its overlap is not over. */
bool feed_session_answers(const struct feed_session *session, uint32_t id, int64_t now_ns);
/* True when feed_session_seal would seal. */
bool feed_session_seals(const struct feed_session *session, int64_t now_ns);

/*
 * Opens a transport datagram that feed_peek has accepted into `body` (at least its size - 32 bytes; datagram + 16
 * itself is allowed). FEED_SEALED means "authentic": the number is marked and *ret_size set. Else FEED_DROP_REKEY,
 * _REPLAY, _TOO_OLD or _BAD_TAG and the session is unchanged. A failed opening leaves zeros in `body`.
 */
enum feed_outcome feed_session_open(struct feed_session *session, const struct feed_peek *peek, const uint8_t *datagram,
				    size_t size, int64_t now_ns, uint8_t *body, size_t *ret_size);

/* The decryption alone, with a key that is not a session's yet. 0 or -EBADMSG. */
int feed_session_decrypt(const struct aead_key *key, const struct feed_peek *peek, const uint8_t *datagram, size_t size,
			 uint8_t *body);

/*
 * Seals `size` bytes that stand at datagram + FEED_HEADER_SIZE, in place, and writes the header before and the tag
 * after them. FEED_SEALED and the whole size, or FEED_DROP_REKEY (limit reached) or FEED_DROP_UNKNOWN_SESSION (not
 * live, or replaced), with nothing written.
 */
enum feed_outcome feed_session_seal(struct feed_session *session, enum feed_type type, uint8_t lane, size_t size,
				    int64_t now_ns, uint8_t *datagram, size_t *ret_size);

#endif
