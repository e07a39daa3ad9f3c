/*
 * AES-256-GCM (NIST SP 800-38D), 12-byte nonce, 16-byte tag: the one AEAD of Gantry, on the wire and on disk.
 *
 * Engines: intel-ipsec-mb's direct GCM calls where the CPU has AES-NI, OpenSSL EVP elsewhere. Both give the same bytes.
 * A key lives in the caller's memory and may be used by several threads at once once it is initialised (each call keeps
 * its state on its own stack). In and out may be the same buffer, not merely overlapping.
 * The caller never repeats a nonce under one key: that would break the secrecy of both messages.
 */
#ifndef GANTRY_BASE_AEAD_H
#define GANTRY_BASE_AEAD_H

#include <stddef.h>
#include <stdint.h>

#define AEAD_KEY_SIZE 32
#define AEAD_NONCE_SIZE 12
#define AEAD_TAG_SIZE 16

/* Opaque: the expanded key schedule. Aligned for the engine; wiped by aead_key_fini. */
struct aead_key {
	_Alignas(64) uint8_t schedule[2048];
};

enum aead_engine { AEAD_ENGINE_BEST, AEAD_ENGINE_IPSEC_MB, AEAD_ENGINE_OPENSSL };

/*
 * Chooses the engine for every key made afterwards; AEAD_ENGINE_BEST is the start state. -ENOTSUP when this build or
 * CPU lacks it. For tests; call before other threads run.
 */
int aead_engine_set(enum aead_engine engine);
const char *aead_engine_name(void);

/* Takes a copy of the key, no allocation. */
void aead_key_init(struct aead_key *key, const uint8_t bytes[AEAD_KEY_SIZE]);
void aead_key_fini(struct aead_key *key);

void aead_seal(const struct aead_key *key, const uint8_t nonce[AEAD_NONCE_SIZE], const void *aad, size_t aad_size,
	       const void *in, size_t size, void *out, uint8_t ret_tag[AEAD_TAG_SIZE]);

/* 0, or -EBADMSG when the tag does not fit: then `out` holds zeros, nothing of the plaintext. */
int aead_open(const struct aead_key *key, const uint8_t nonce[AEAD_NONCE_SIZE], const void *aad, size_t aad_size,
	      const void *in, size_t size, void *out, const uint8_t tag[AEAD_TAG_SIZE]);

#endif
