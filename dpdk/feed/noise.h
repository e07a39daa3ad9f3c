/*
 * The handshake Noise_NNpsk0_25519_AESGCM_SHA256 of the Noise Protocol Framework, revision 34:
 *
 *	-> psk, e          noise_write_hello, noise_read_hello
 *	<- e, ee           noise_write_welcome, noise_read_welcome
 *
 * X25519 comes from OpenSSL, SHA-256 and HMAC from base/digest, AES-256-GCM from base/aead. No allocation of ours;
 *OpenSSL makes and frees at most two key objects and one context inside each call, nothing is kept between calls. A
 *state belongs to its caller and one thread; it is plain memory and may be copied (to try a second answer) and must be
 * wiped with bytes_wipe. Errors are -EBADMSG (does not authenticate) or -EINVAL (public key gives an all-zero secret,
 *or OpenSSL refused it); then the state is spent, unless a copy was kept.
 */
#ifndef GANTRY_FEED_NOISE_H
#define GANTRY_FEED_NOISE_H

#include <stddef.h>
#include <stdint.h>

#define NOISE_KEY_SIZE 32
#define NOISE_OVERHEAD 48 /* ephemeral key and tag around each payload */

struct noise {
	uint8_t hash[32];         /* h */
	uint8_t chain[32];        /* ck */
	uint8_t key[32];          /* k */
	uint64_t number;          /* n */
	uint8_t own_private[32];  /* e */
	uint8_t other_public[32]; /* re */
};

/* Sets the state up to and including the token psk. */
void noise_init(struct noise *noise, const void *prologue, size_t size, const uint8_t psk[NOISE_KEY_SIZE]);

/* Initiator. `ephemeral` is 32 fresh random bytes. Writes size + NOISE_OVERHEAD bytes. */
int noise_write_hello(struct noise *noise, const uint8_t ephemeral[NOISE_KEY_SIZE], const void *payload, size_t size,
		      uint8_t *ret_message);
/* Responder. `size` is the message's; the payload has NOISE_OVERHEAD bytes less. No Diffie-Hellman: cheap. */
int noise_read_hello(struct noise *noise, const uint8_t *message, size_t size, void *ret_payload);

int noise_write_welcome(struct noise *noise, const uint8_t ephemeral[NOISE_KEY_SIZE], const void *payload, size_t size,
			uint8_t *ret_message);
int noise_read_welcome(struct noise *noise, const uint8_t *message, size_t size, void *ret_payload);

/* After both messages: the key for initiator to responder, and for the other way. */
void noise_split(const struct noise *noise, uint8_t ret_forth[NOISE_KEY_SIZE], uint8_t ret_back[NOISE_KEY_SIZE]);

/* Noise's nonce for AESGCM: four zero bytes, then the number big-endian. Also that of the transport datagrams. */
void noise_nonce(uint64_t number, uint8_t ret_nonce[12]);

/* "GANTRY feed", the version byte and the feed id: what both sides of a feed must agree on beforehand. */
#define NOISE_PROLOGUE_SIZE 16
void noise_prologue(uint32_t feed, uint8_t ret_prologue[NOISE_PROLOGUE_SIZE]);

#endif
