#include "dpdk/feed/session.h"

#include <assert.h>
#include <string.h>

#include "appliance/base/bytes.h"
#include "dpdk/feed/noise.h"

void feed_session_start(struct feed_session *session, uint32_t id, const uint8_t open[32], const uint8_t seal[32],
			int64_t now_ns)
{
	aead_key_init(&session->open, open);
	aead_key_init(&session->seal, seal);
	memset(&session->window, 0, sizeof(session->window));
	session->next = 0;
	session->began_ns = now_ns;
	session->replaced_ns = 0;
	session->replaced = false;
	session->id = id;
	session->live = true;
}

void feed_session_end(struct feed_session *session)
{
	bytes_wipe(session, sizeof(*session));
}

bool feed_session_answers(const struct feed_session *session, uint32_t id, int64_t now_ns)
{
	return session->live && session->id == id &&
	       (!session->replaced || now_ns - session->replaced_ns < FEED_OVERLAP_NS);
}

void feed_session_replace(struct feed_session *session, int64_t now_ns)
{
	session->replaced = true;
	session->replaced_ns = now_ns;
	aead_key_fini(&session->seal); /* nothing more is sealed in it */
}

int feed_session_decrypt(const struct aead_key *key, const struct feed_peek *peek, const uint8_t *datagram, size_t size,
			 uint8_t *body)
{
	uint8_t nonce[AEAD_NONCE_SIZE];

	noise_nonce(peek->number, nonce);
	return aead_open(key, nonce, datagram, FEED_HEADER_SIZE, datagram + FEED_HEADER_SIZE,
			 size - FEED_HEADER_SIZE - FEED_TAG_SIZE, body, datagram + size - FEED_TAG_SIZE);
}

static bool session_spent(const struct feed_session *session, uint64_t number, int64_t now_ns)
{
	return number >= FEED_PACKETS_MAX || now_ns - session->began_ns >= FEED_SESSION_NS_MAX;
}

enum feed_outcome feed_session_open(struct feed_session *session, const struct feed_peek *peek, const uint8_t *datagram,
				    size_t size, int64_t now_ns, uint8_t *body, size_t *ret_size)
{
	assert(size >= FEED_HEADER_SIZE + FEED_TAG_SIZE && size <= FEED_DATAGRAM_SIZE_MAX);
	if (session_spent(session, peek->number, now_ns))
		return FEED_DROP_REKEY;
	switch (feed_window_check(&session->window, peek->number)) {
	case FEED_WINDOW_SEEN:
		return FEED_DROP_REPLAY;
	case FEED_WINDOW_BELOW:
		return FEED_DROP_TOO_OLD;
	case FEED_WINDOW_NEW:
		break;
	}
	if (feed_session_decrypt(&session->open, peek, datagram, size, body) < 0)
		return FEED_DROP_BAD_TAG;
	feed_window_mark(&session->window, peek->number);
	*ret_size = size - FEED_HEADER_SIZE - FEED_TAG_SIZE;
	return FEED_SEALED;
}

bool feed_session_seals(const struct feed_session *session, int64_t now_ns)
{
	return session->live && !session->replaced && !session_spent(session, session->next, now_ns);
}

enum feed_outcome feed_session_seal(struct feed_session *session, enum feed_type type, uint8_t lane, size_t size,
				    int64_t now_ns, uint8_t *datagram, size_t *ret_size)
{
	struct feed_peek header = {.number = session->next, .id = session->id, .type = (uint8_t)type, .lane = lane};
	uint8_t nonce[AEAD_NONCE_SIZE];
	uint8_t *body = datagram + FEED_HEADER_SIZE;

	assert(size <= FEED_BODY_SIZE_MAX);
	if (!session->live || session->replaced)
		return FEED_DROP_UNKNOWN_SESSION;
	if (session_spent(session, session->next, now_ns))
		return FEED_DROP_REKEY;
	session->next++;
	feed_header_encode(&header, datagram);
	noise_nonce(header.number, nonce);
	aead_seal(&session->seal, nonce, datagram, FEED_HEADER_SIZE, body, size, body, body + size);
	*ret_size = FEED_HEADER_SIZE + size + FEED_TAG_SIZE;
	return FEED_SEALED;
}
