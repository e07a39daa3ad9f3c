#include "appliance/base/aead.h"

#include <assert.h>
#include <errno.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/bytes.h"
#include "gantry-config.h"

#if HAVE_IPSEC_MB
#include <intel-ipsec-mb.h>
#endif

/* What stands in aead_key.schedule. The engine is part of the key, so that a change of engine spares older keys. */
struct schedule {
#if HAVE_IPSEC_MB
	struct gcm_key_data expanded;
#endif
	uint8_t bytes[AEAD_KEY_SIZE];
	enum aead_engine engine;
};
static_assert(sizeof(struct schedule) <= sizeof(((struct aead_key *)0)->schedule), "the opaque key is too small");

static pthread_once_t engine_once = PTHREAD_ONCE_INIT;
static enum aead_engine engine_now = AEAD_ENGINE_OPENSSL;
#if HAVE_IPSEC_MB
static IMB_MGR *engine_mb;
#endif

static void engine_find(void)
{
#if HAVE_IPSEC_MB
	engine_mb = alloc_mb_mgr(0);
	if (engine_mb == NULL)
		return;
	init_mb_mgr_auto(engine_mb, NULL);
	if (imb_get_errno(engine_mb) != 0 || (engine_mb->features & IMB_FEATURE_AESNI) == 0) {
		free_mb_mgr(engine_mb);
		engine_mb = NULL;
		return;
	}
	engine_now = AEAD_ENGINE_IPSEC_MB;
#endif
}

int aead_engine_set(enum aead_engine engine)
{
	pthread_once(&engine_once, engine_find);
#if HAVE_IPSEC_MB
	bool have_mb = engine_mb != NULL;
#else
	bool have_mb = false;
#endif
	if (engine == AEAD_ENGINE_BEST)
		engine = have_mb ? AEAD_ENGINE_IPSEC_MB : AEAD_ENGINE_OPENSSL;
	if (engine == AEAD_ENGINE_IPSEC_MB && !have_mb)
		return -ENOTSUP;
	engine_now = engine;
	return 0;
}

const char *aead_engine_name(void)
{
	pthread_once(&engine_once, engine_find);
	return engine_now == AEAD_ENGINE_IPSEC_MB ? "intel-ipsec-mb" : "openssl";
}

static struct schedule *schedule_of(const struct aead_key *key)
{
	return (struct schedule *)(uintptr_t)key->schedule;
}

void aead_key_init(struct aead_key *key, const uint8_t bytes[AEAD_KEY_SIZE])
{
	struct schedule *schedule = schedule_of(key);

	pthread_once(&engine_once, engine_find);
	memset(schedule, 0, sizeof(*schedule));
	memcpy(schedule->bytes, bytes, AEAD_KEY_SIZE);
	schedule->engine = engine_now;
#if HAVE_IPSEC_MB
	if (engine_now == AEAD_ENGINE_IPSEC_MB)
		IMB_AES256_GCM_PRE(engine_mb, bytes, &schedule->expanded);
#endif
}

void aead_key_fini(struct aead_key *key)
{
	bytes_wipe(key, sizeof(*key));
}

/*
 * One cipher context a thread, made at its first use: EVP has no caller-owned contexts. It carries nothing from call to
 * call but its memory. Failing to make one is running out of memory in the crypto library: there is no way on.
 */
static EVP_CIPHER_CTX *evp_context(void)
{
	static _Thread_local EVP_CIPHER_CTX *context;

	if (context == NULL) {
		context = EVP_CIPHER_CTX_new();
		if (context == NULL)
			abort();
	}
	return context;
}

static int evp_run(const struct schedule *schedule, int encrypt, const uint8_t *nonce, const void *aad, size_t aad_size,
		   const void *in, size_t size, void *out, uint8_t *tag)
{
	EVP_CIPHER_CTX *context = evp_context();
	uint8_t last[16];
	int done = 0;
	int ok;

	ok = EVP_CipherInit_ex(context, EVP_aes_256_gcm(), NULL, schedule->bytes, nonce, encrypt) == 1;
	if (ok && aad_size > 0)
		ok = EVP_CipherUpdate(context, NULL, &done, aad, (int)aad_size) == 1;
	if (ok && size > 0)
		ok = EVP_CipherUpdate(context, out, &done, in, (int)size) == 1;
	if (ok && !encrypt)
		ok = EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, AEAD_TAG_SIZE, tag) == 1;
	if (ok)
		ok = EVP_CipherFinal_ex(context, last, &done) == 1;
	if (ok && encrypt)
		ok = EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, AEAD_TAG_SIZE, tag) == 1;
	return ok ? 0 : -EBADMSG;
}

void aead_seal(const struct aead_key *key, const uint8_t nonce[AEAD_NONCE_SIZE], const void *aad, size_t aad_size,
	       const void *in, size_t size, void *out, uint8_t ret_tag[AEAD_TAG_SIZE])
{
	const struct schedule *schedule = schedule_of(key);

#if HAVE_IPSEC_MB
	if (schedule->engine == AEAD_ENGINE_IPSEC_MB) {
		struct gcm_context_data context;

		IMB_AES256_GCM_ENC(engine_mb, &schedule->expanded, &context, out, in, size, nonce, aad, aad_size,
				   ret_tag, AEAD_TAG_SIZE);
		return;
	}
#endif
	if (evp_run(schedule, 1, nonce, aad, aad_size, in, size, out, ret_tag) < 0)
		abort(); /* sealing has no input that can be wrong: only the library's own failure leads here */
}

int aead_open(const struct aead_key *key, const uint8_t nonce[AEAD_NONCE_SIZE], const void *aad, size_t aad_size,
	      const void *in, size_t size, void *out, const uint8_t tag[AEAD_TAG_SIZE])
{
	const struct schedule *schedule = schedule_of(key);
	uint8_t expected[AEAD_TAG_SIZE];

#if HAVE_IPSEC_MB
	if (schedule->engine == AEAD_ENGINE_IPSEC_MB) {
		struct gcm_context_data context;

		/* This engine computes the tag and leaves the comparison, and the blame for using bad plaintext, to us.
		 */
		IMB_AES256_GCM_DEC(engine_mb, &schedule->expanded, &context, out, in, size, nonce, aad, aad_size,
				   expected, AEAD_TAG_SIZE);
		if (bytes_differ(expected, tag, AEAD_TAG_SIZE) != 0) {
			memset(out, 0, size);
			return -EBADMSG;
		}
		return 0;
	}
#endif
	memcpy(expected, tag, AEAD_TAG_SIZE);
	if (evp_run(schedule, 0, nonce, aad, aad_size, in, size, out, expected) < 0) {
		memset(out, 0, size);
		return -EBADMSG;
	}
	return 0;
}
