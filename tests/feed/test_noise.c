#include "dpdk/feed/noise.h"

#include <errno.h>
#include <string.h>

#include "appliance/base/aead.h"
#include "appliance/base/bytes.h"
#include "appliance/base/digest.h"
#include "appliance/base/prng.h"
#include "tests/check.h"

/*
 * The vector "Noise_NNpsk0_25519_AESGCM_SHA256" of the set published with cacophony, the Haskell implementation (there
 * vectors/cacophony.txt; in mcginty/snow tests/vectors/cacophony.txt): exactly our suite.
 */
static const char vector_prologue[] = "4a6f686e2047616c74";
static const char vector_psk[] = "54686973206973206d7920417573747269616e20706572737065637469766521";
static const char vector_init_ephemeral[] = "893e28b9dc6ca8d611ab664754b8ceb7bac5117349a4439a6b0569da977c464a";
static const char vector_resp_ephemeral[] = "bbdb4cdbd309f1a1f2e1456967fe288cadd6f712d65dc7b7793d5e63da6b375b";
/* The set records h as it stands after the first message; the second message's tag covers what follows. */
static const char vector_hash[] = "29d92c13649b5d28b41afd8dc5d6ce7f46df2348e4061c09f1c354b593e13add";
static const struct {
	const char *payload;
	const char *message;
} vector_messages[] = {
	{"4c756477696720766f6e204d69736573", "ca35def5ae56cec33dc2036731ab14896bc4c75dbb07a61f879f8e3afa4c7944"
					     "7c37a89fc17813788d30df2d59501d6066f5f8aecc3406bbd9829f2d24a531b1"},
	{"4d757272617920526f746862617264", "95ebc60d2b1fa672c1f46a8aa265ef51bfe38e7ccb39ec5be34069f144808843"
					   "2f29d79368ef9de4e1ae7a362fb05bf0ad668e026bf5714554497b3a720461"},
	{"462e20412e20486179656b", "7c01e898a6201f36aecee532e29cd0b7f8ffa29d3366ad0dce39a6"},
	{"4361726c204d656e676572", "a9ff535aace3db6a1da1a7fb00fe2de2622bb373abad9fb42c00e0"},
	{"4a65616e2d426170746973746520536179", "6cfc49a3e65472edc2d0152abe5ce950170a8a47c959f30bd48b5f0aacf29adbfd"},
	{"457567656e2042f6686d20766f6e2042617765726b",
	 "9bc86e6d974ed21ba04604a94aa68de21677eb409ead070c0cd569b069ee19ba142aa4c1a9"},
};

struct pair {
	struct noise initiator;
	struct noise responder;
	uint8_t init_ephemeral[32];
	uint8_t resp_ephemeral[32];
};

static size_t unhex(const char *text, uint8_t *ret_bytes)
{
	size_t size = strlen(text) / 2;

	CHECK_INT(0, hex_decode(text, ret_bytes, size));
	return size;
}

static void pair_init(struct pair *pair)
{
	uint8_t prologue[16];
	uint8_t psk[32];
	size_t size = unhex(vector_prologue, prologue);

	(void)unhex(vector_psk, psk);
	(void)unhex(vector_init_ephemeral, pair->init_ephemeral);
	(void)unhex(vector_resp_ephemeral, pair->resp_ephemeral);
	noise_init(&pair->initiator, prologue, size, psk);
	noise_init(&pair->responder, prologue, size, psk);
}

static void handshake_run(struct pair *pair)
{
	uint8_t payload[64];
	uint8_t expected[128];
	uint8_t message[128];
	uint8_t opened[64];
	size_t size = unhex(vector_messages[0].payload, payload);

	(void)unhex(vector_messages[0].message, expected);
	CHECK_INT(0, noise_write_hello(&pair->initiator, pair->init_ephemeral, payload, size, message));
	CHECK_MEM(expected, message, size + NOISE_OVERHEAD);
	CHECK_INT(0, noise_read_hello(&pair->responder, message, size + NOISE_OVERHEAD, opened));
	CHECK_MEM(payload, opened, size);
	(void)unhex(vector_hash, expected);
	CHECK_MEM(expected, pair->initiator.hash, 32);
	CHECK_MEM(expected, pair->responder.hash, 32);

	size = unhex(vector_messages[1].payload, payload);
	(void)unhex(vector_messages[1].message, expected);
	CHECK_INT(0, noise_write_welcome(&pair->responder, pair->resp_ephemeral, payload, size, message));
	CHECK_MEM(expected, message, size + NOISE_OVERHEAD);
	CHECK_INT(0, noise_read_welcome(&pair->initiator, message, size + NOISE_OVERHEAD, opened));
	CHECK_MEM(payload, opened, size);
	CHECK_MEM(pair->initiator.hash, pair->responder.hash, 32);
}

static void handshake_matches_the_public_vector(void)
{
	struct pair pair;

	for (enum aead_engine engine = AEAD_ENGINE_IPSEC_MB; engine <= AEAD_ENGINE_OPENSSL; engine++) {
		if (aead_engine_set(engine) < 0)
			continue;
		pair_init(&pair);
		handshake_run(&pair);
	}
	CHECK_INT(0, aead_engine_set(AEAD_ENGINE_BEST));
}

/* Messages 3 to 6 of the vector alternate between the directions, with the numbers 0, 0, 1, 1 and no associated data.
 */
static void transport_matches_the_public_vector(void)
{
	struct pair pair;
	uint8_t keys[2][32];
	uint8_t other[2][32];

	pair_init(&pair);
	handshake_run(&pair);
	noise_split(&pair.initiator, keys[0], keys[1]);
	noise_split(&pair.responder, other[0], other[1]);
	CHECK_MEM(keys, other, sizeof(keys));
	for (size_t i = 2; i < 6; i++) {
		struct aead_key key;
		uint8_t nonce[12];
		uint8_t payload[64];
		uint8_t expected[128];
		size_t size = unhex(vector_messages[i].payload, payload);

		(void)unhex(vector_messages[i].message, expected);
		aead_key_init(&key, keys[i % 2]);
		noise_nonce(i / 2 - 1, nonce);
		aead_seal(&key, nonce, NULL, 0, payload, size, payload, payload + size);
		CHECK_MEM(expected, payload, size + AEAD_TAG_SIZE);
		aead_key_fini(&key);
	}
}

/* Every bit of either message, and of psk and prologue, is needed for the handshake to go through. */
static void any_flipped_bit_fails_the_handshake(void)
{
	struct prng prng = {check_seed()};
	uint8_t inputs[16 + 32];
	uint8_t hello[80 + NOISE_OVERHEAD];
	uint8_t welcome[80 + NOISE_OVERHEAD];
	uint8_t payload[80] = {1, 2, 3};
	uint8_t ephemeral[2][32];
	struct noise sent;
	struct noise received;
	struct noise state;

	for (size_t i = 0; i < sizeof(inputs); i++)
		inputs[i] = (uint8_t)prng_next(&prng);
	random_bytes(ephemeral, sizeof(ephemeral));
	noise_init(&sent, inputs, 16, inputs + 16);
	CHECK_INT(0, noise_write_hello(&sent, ephemeral[0], payload, 80, hello));
	noise_init(&received, inputs, 16, inputs + 16);
	state = received;
	CHECK_INT(0, noise_read_hello(&state, hello, sizeof(hello), payload));
	CHECK_INT(0, noise_write_welcome(&state, ephemeral[1], payload, 80, welcome));
	for (size_t bit = 0; bit < 8 * sizeof(hello); bit++) {
		state = received;
		hello[bit / 8] ^= (uint8_t)(1u << bit % 8);
		CHECK(noise_read_hello(&state, hello, sizeof(hello), payload) < 0);
		hello[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	/* The top bit of an X25519 key is ignored by the curve, but not by the hash. */
	for (size_t bit = 0; bit < 8 * sizeof(welcome); bit += 1 + prng_below(&prng, 5)) {
		state = sent;
		welcome[bit / 8] ^= (uint8_t)(1u << bit % 8);
		CHECK(noise_read_welcome(&state, welcome, sizeof(welcome), payload) < 0);
		welcome[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	for (size_t bit = 0; bit < 8 * sizeof(inputs); bit++) {
		inputs[bit / 8] ^= (uint8_t)(1u << bit % 8);
		noise_init(&state, inputs, 16, inputs + 16);
		CHECK_INT(-EBADMSG, noise_read_hello(&state, hello, sizeof(hello), payload));
		inputs[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	state = sent;
	CHECK_INT(0, noise_read_welcome(&state, welcome, sizeof(welcome), payload));
}

static void truncated_messages_fail(void)
{
	struct pair pair;
	struct noise fresh;
	uint8_t message[20 + NOISE_OVERHEAD];
	uint8_t payload[20] = {0};

	pair_init(&pair);
	CHECK_INT(0, noise_write_hello(&pair.initiator, pair.init_ephemeral, payload, sizeof(payload), message));
	for (size_t size = 0; size < sizeof(message); size++) {
		fresh = pair.responder;
		CHECK_INT(-EBADMSG, noise_read_hello(&fresh, message, size, payload));
		fresh = pair.initiator;
		CHECK(noise_read_welcome(&fresh, message, size, payload) < 0);
	}
}

/* A peer who sends a point of low order would fix the shared secret at zero. */
static void low_order_keys_are_refused(void)
{
	static const char *const points[] = {
		"0000000000000000000000000000000000000000000000000000000000000000",
		"0100000000000000000000000000000000000000000000000000000000000000",
		"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
	};
	struct pair pair;
	uint8_t message[NOISE_OVERHEAD];

	for (size_t i = 0; i < sizeof(points) / sizeof(points[0]); i++) {
		pair_init(&pair);
		(void)unhex(points[i], pair.responder.other_public);
		CHECK_INT(-EINVAL, noise_write_welcome(&pair.responder, pair.resp_ephemeral, NULL, 0, message));
	}
}

int main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{"handshake matches the public vector", handshake_matches_the_public_vector},
		{"transport matches the public vector", transport_matches_the_public_vector},
		{"any flipped bit fails the handshake", any_flipped_bit_fails_the_handshake},
		{"truncated messages fail", truncated_messages_fail},
		{"low order keys are refused", low_order_keys_are_refused},
		{NULL, NULL},
	};

	return check_main(argc, argv, "feed/noise", tests);
}
