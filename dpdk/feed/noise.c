#include "dpdk/feed/noise.h"

#include <errno.h>
#include <openssl/evp.h>
#include <string.h>

#include "appliance/base/aead.h"
#include "appliance/base/bytes.h"
#include "appliance/base/digest.h"
#include "dpdk/feed/wire.h"

/* Exactly as long as a digest, so that it is the first h as it stands (Noise, section 5.2). */
static const char protocol_name[33] = "Noise_NNpsk0_25519_AESGCM_SHA256";

void noise_nonce(uint64_t number, uint8_t ret_nonce[12])
{
	memset(ret_nonce, 0, 4);
	be64_put(ret_nonce + 4, number);
}

void noise_prologue(uint32_t feed, uint8_t ret_prologue[NOISE_PROLOGUE_SIZE])
{
	memcpy(ret_prologue, "GANTRY feed", 11);
	ret_prologue[11] = FEED_VERSION;
	le32_put(ret_prologue + 12, feed);
}

static void mix_hash(struct noise *noise, const void *bytes, size_t size)
{
	const struct slice parts[] = {{noise->hash, sizeof(noise->hash)}, {bytes, size}};

	sha256_parts(parts, 2, noise->hash);
}

static void mix_key(struct noise *noise, const uint8_t secret[32])
{
	uint8_t out[64];

	hkdf_sha256(noise->chain, sizeof(noise->chain), secret, 32, NULL, 0, out, sizeof(out));
	memcpy(noise->chain, out, 32);
	memcpy(noise->key, out + 32, 32);
	noise->number = 0;
	bytes_wipe(out, sizeof(out));
}

static void mix_psk(struct noise *noise, const uint8_t psk[NOISE_KEY_SIZE])
{
	uint8_t out[96];

	hkdf_sha256(noise->chain, sizeof(noise->chain), psk, NOISE_KEY_SIZE, NULL, 0, out, sizeof(out));
	memcpy(noise->chain, out, 32);
	mix_hash(noise, out + 32, 32);
	memcpy(noise->key, out + 64, 32);
	noise->number = 0;
	bytes_wipe(out, sizeof(out));
}

void noise_init(struct noise *noise, const void *prologue, size_t size, const uint8_t psk[NOISE_KEY_SIZE])
{
	memset(noise, 0, sizeof(*noise));
	memcpy(noise->hash, protocol_name, sizeof(noise->hash));
	memcpy(noise->chain, protocol_name, sizeof(noise->chain));
	mix_hash(noise, prologue, size);
	mix_psk(noise, psk);
}

/* The payload's ciphertext and tag, and both into h. */
static void seal_payload(struct noise *noise, const void *payload, size_t size, uint8_t *ret_sealed)
{
	struct aead_key key;
	uint8_t nonce[AEAD_NONCE_SIZE];

	aead_key_init(&key, noise->key);
	noise_nonce(noise->number++, nonce);
	aead_seal(&key, nonce, noise->hash, sizeof(noise->hash), payload, size, ret_sealed, ret_sealed + size);
	aead_key_fini(&key);
	mix_hash(noise, ret_sealed, size + AEAD_TAG_SIZE);
}

static int open_payload(struct noise *noise, const uint8_t *sealed, size_t size, void *ret_payload)
{
	struct aead_key key;
	uint8_t nonce[AEAD_NONCE_SIZE];
	int rc;

	aead_key_init(&key, noise->key);
	noise_nonce(noise->number++, nonce);
	rc = aead_open(&key, nonce, noise->hash, sizeof(noise->hash), sealed, size, ret_payload, sealed + size);
	aead_key_fini(&key);
	if (rc == 0)
		mix_hash(noise, sealed, size + AEAD_TAG_SIZE);
	return rc;
}

/* The token e: the public key goes into h and, because there is a psk, into the key (Noise, section 9.2). */
static void mix_ephemeral(struct noise *noise, const uint8_t public[NOISE_KEY_SIZE])
{
	mix_hash(noise, public, NOISE_KEY_SIZE);
	mix_key(noise, public);
}

static int own_ephemeral(struct noise *noise, const uint8_t private[NOISE_KEY_SIZE], uint8_t ret_public[NOISE_KEY_SIZE])
{
	EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, NULL, private, NOISE_KEY_SIZE);
	size_t size = NOISE_KEY_SIZE;
	int ok = key != NULL && EVP_PKEY_get_raw_public_key(key, ret_public, &size) == 1;

	EVP_PKEY_free(key);
	if (!ok)
		return -EINVAL; /* UNTESTED: only memory running out inside the library leads here */
	memcpy(noise->own_private, private, NOISE_KEY_SIZE);
	mix_ephemeral(noise, ret_public);
	return 0;
}

/* The token ee. OpenSSL refuses a public key that would make the secret all zero. */
static int mix_shared(struct noise *noise)
{
	EVP_PKEY *own = EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, NULL, noise->own_private, NOISE_KEY_SIZE);
	EVP_PKEY *other = EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, NULL, noise->other_public, NOISE_KEY_SIZE);
	EVP_PKEY_CTX *context = own != NULL ? EVP_PKEY_CTX_new(own, NULL) : NULL;
	uint8_t secret[32];
	size_t size = sizeof(secret);
	int ok = other != NULL && context != NULL && EVP_PKEY_derive_init(context) == 1 &&
		 EVP_PKEY_derive_set_peer(context, other) == 1 && EVP_PKEY_derive(context, secret, &size) == 1;

	EVP_PKEY_CTX_free(context);
	EVP_PKEY_free(other);
	EVP_PKEY_free(own);
	if (ok)
		mix_key(noise, secret);
	bytes_wipe(secret, sizeof(secret));
	return ok ? 0 : -EINVAL;
}

int noise_write_hello(struct noise *noise, const uint8_t ephemeral[NOISE_KEY_SIZE], const void *payload, size_t size,
		      uint8_t *ret_message)
{
	int rc = own_ephemeral(noise, ephemeral, ret_message);

	if (rc == 0)
		seal_payload(noise, payload, size, ret_message + NOISE_KEY_SIZE);
	return rc;
}

int noise_read_hello(struct noise *noise, const uint8_t *message, size_t size, void *ret_payload)
{
	if (size < NOISE_OVERHEAD)
		return -EBADMSG;
	memcpy(noise->other_public, message, NOISE_KEY_SIZE);
	mix_ephemeral(noise, message);
	return open_payload(noise, message + NOISE_KEY_SIZE, size - NOISE_OVERHEAD, ret_payload);
}

int noise_write_welcome(struct noise *noise, const uint8_t ephemeral[NOISE_KEY_SIZE], const void *payload, size_t size,
			uint8_t *ret_message)
{
	int rc = own_ephemeral(noise, ephemeral, ret_message);

	if (rc == 0)
		rc = mix_shared(noise);
	if (rc == 0)
		seal_payload(noise, payload, size, ret_message + NOISE_KEY_SIZE);
	return rc;
}

int noise_read_welcome(struct noise *noise, const uint8_t *message, size_t size, void *ret_payload)
{
	int rc;

	if (size < NOISE_OVERHEAD)
		return -EBADMSG;
	memcpy(noise->other_public, message, NOISE_KEY_SIZE);
	mix_ephemeral(noise, message);
	rc = mix_shared(noise);
	if (rc < 0)
		return rc;
	return open_payload(noise, message + NOISE_KEY_SIZE, size - NOISE_OVERHEAD, ret_payload);
}

void noise_split(const struct noise *noise, uint8_t ret_forth[NOISE_KEY_SIZE], uint8_t ret_back[NOISE_KEY_SIZE])
{
	uint8_t out[64];

	hkdf_sha256(noise->chain, sizeof(noise->chain), "", 0, NULL, 0, out, sizeof(out));
	memcpy(ret_forth, out, 32);
	memcpy(ret_back, out + 32, 32);
	bytes_wipe(out, sizeof(out));
}
