#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/aead.h"
#include "appliance/base/array.h"
#include "appliance/base/bytes.h"
#include "appliance/base/clock.h"
#include "appliance/base/digest.h"
#include "appliance/base/err.h"
#include "appliance/base/prng.h"
#include "appliance/base/read.h"
#include "tests/check.h"

/* RFC 5869, appendix A.1 and A.3. */
static void hkdf_vectors(void)
{
	uint8_t secret[22];
	uint8_t salt[13];
	uint8_t info[10];
	uint8_t out[42];
	char text[2 * sizeof(out) + 1];

	memset(secret, 0x0b, sizeof(secret));
	CHECK_INT(0, hex_decode("000102030405060708090a0b0c", salt, sizeof(salt)));
	CHECK_INT(0, hex_decode("f0f1f2f3f4f5f6f7f8f9", info, sizeof(info)));
	hkdf_sha256(salt, sizeof(salt), secret, sizeof(secret), info, sizeof(info), out, sizeof(out));
	CHECK_STR("3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865",
		  hex_encode(out, sizeof(out), text));
	hkdf_sha256(NULL, 0, secret, sizeof(secret), NULL, 0, out, sizeof(out));
	CHECK_STR("8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8",
		  hex_encode(out, sizeof(out), text));
}

/* McGrew and Viega, "The Galois/Counter Mode of Operation", test case 16. */
static void aead_vector(void)
{
	uint8_t key_bytes[32];
	uint8_t nonce[12];
	uint8_t aad[20];
	uint8_t plain[60];
	uint8_t cipher[60];
	uint8_t sealed[60];
	uint8_t tag[16];
	char text[33];
	struct aead_key key;

	CHECK_INT(0, hex_decode("feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308", key_bytes, 32));
	CHECK_INT(0, hex_decode("cafebabefacedbaddecaf888", nonce, 12));
	CHECK_INT(0, hex_decode("feedfacedeadbeeffeedfacedeadbeefabaddad2", aad, 20));
	CHECK_INT(0, hex_decode("d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c9595680953"
				"2fcf0e2449a6b525b16aedf5aa0de657ba637b39",
				plain, 60));
	CHECK_INT(0, hex_decode("522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3d"
				"a7b08b1056828838c5f61e6393ba7a0abcc9f662",
				cipher, 60));
	for (enum aead_engine engine = AEAD_ENGINE_IPSEC_MB; engine <= AEAD_ENGINE_OPENSSL; engine++) {
		if (aead_engine_set(engine) < 0)
			continue;
		aead_key_init(&key, key_bytes);
		aead_seal(&key, nonce, aad, sizeof(aad), plain, sizeof(plain), sealed, tag);
		CHECK_MEM(cipher, sealed, sizeof(cipher));
		CHECK_STR("76fc6ece0f4e1768cddf8853bb2d551b", hex_encode(tag, sizeof(tag), text));
		CHECK_INT(0, aead_open(&key, nonce, aad, sizeof(aad), sealed, sizeof(sealed), sealed, tag));
		CHECK_MEM(plain, sealed, sizeof(plain));
		aead_key_fini(&key);
	}
	CHECK_INT(0, aead_engine_set(AEAD_ENGINE_BEST));
}

/* Every single flipped bit of nonce, associated data, text and tag is refused and leaves no plaintext behind. */
static void aead_refuses_any_flipped_bit(void)
{
	struct prng prng = {check_seed()};
	struct aead_key key;
	uint8_t key_bytes[32];

	for (size_t i = 0; i < sizeof(key_bytes); i++)
		key_bytes[i] = (uint8_t)prng_next(&prng);
	for (enum aead_engine engine = AEAD_ENGINE_IPSEC_MB; engine <= AEAD_ENGINE_OPENSSL; engine++) {
		uint8_t message[12 + 16 + 40 + 16];
		static const uint8_t zeros[40];

		if (aead_engine_set(engine) < 0)
			continue;
		aead_key_init(&key, key_bytes);
		memset(message, 7, sizeof(message));
		aead_seal(&key, message, message + 12, 16, message + 28, 40, message + 28, message + 68);
		for (unsigned bit = 0; bit < 8 * sizeof(message); bit++) {
			uint8_t out[40];

			memset(out, 0xff, sizeof(out));
			message[bit / 8] ^= (uint8_t)(1u << bit % 8);
			CHECK_INT(-EBADMSG,
				  aead_open(&key, message, message + 12, 16, message + 28, 40, out, message + 68));
			CHECK_MEM(zeros, out, sizeof(out));
			message[bit / 8] ^= (uint8_t)(1u << bit % 8);
		}
		aead_key_fini(&key);
	}
	CHECK_INT(0, aead_engine_set(AEAD_ENGINE_BEST));
}

static void times_are_parsed_and_printed(void)
{
	static const char *const wrong[] = {"",
					    "2026",
					    "2026-13-01",
					    "2026-02-29",
					    "1969-12-31",
					    "2026-01-01T",
					    "2026-01-01T24:00",
					    "2026-01-01T10:60",
					    "yesterday",
					    "2026-01-01Q10:00",
					    "2026-01-01T10:00+1"};
	char text[CLOCK_TEXT_SIZE];
	int64_t us = 0;
	int64_t other = 42;

	CHECK_INT(0, clock_parse("2026-11-22T05:43:21.5Z", &us));
	CHECK_STR("2026-11-22T05:43:21.500000Z", clock_text_utc(us, text));
	CHECK_INT(0, clock_parse("2026-11-22T06:43:21.5+01:00", &other));
	CHECK_INT(us, other);
	CHECK_INT(0, clock_parse("2024-02-29", &us));
	CHECK_STR("2024-02-29T00:00:00.000000Z", clock_text_utc(us, text));
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		other = 42;
		CHECK_INT(-EINVAL, clock_parse(wrong[i], &other));
		CHECK_INT(42, other);
	}
}

static void days_round_down(void)
{
	CHECK_INT(0, read_day(0));
	CHECK_INT(0, read_day(DAY_US - 1));
	CHECK_INT(1, read_day(DAY_US));
	CHECK_INT(-1, read_day(-1));
}

static void hex_refuses_what_is_not_hex(void)
{
	uint8_t bytes[2] = {9, 9};

	CHECK_INT(0, hex_decode("fF01", bytes, 2));
	CHECK_INT(255, bytes[0]);
	CHECK_INT(-EINVAL, hex_decode("ff0", bytes, 2));
	CHECK_INT(-EINVAL, hex_decode("ff012", bytes, 2));
	CHECK_INT(-EINVAL, hex_decode("fg01", bytes, 2));
	CHECK_INT(1, bytes[1]);
}

static void errors_carry_their_place(void)
{
	struct err err;

	CHECK_INT(-EINVAL, err_set(&err, -EINVAL, "line %d is wrong", 3));
	CHECK_INT(-EINVAL, err_prefix(&err, -EINVAL, "lists.csv"));
	CHECK_STR("lists.csv: line 3 is wrong", err.text);
	CHECK_INT(-EINVAL, err_set(NULL, -EINVAL, "nobody asked"));
}

/* Whatever is asked of it, what was put in stays, and it moves seldom. */
static void arrays_grow(void)
{
	uint64_t *items = NULL;
	size_t room = 0;
	unsigned moves = 0;

	for (size_t count = 0; count < 1000; count++) {
		size_t before = room;
		uint64_t *grown = array_grow(items, count, &room, sizeof(*items));

		CHECK(grown != NULL);
		CHECK(room > count);
		moves += room != before;
		items = grown;
		items[count] = count * 3;
	}
	CHECK(moves < 10);
	for (size_t i = 0; i < 1000; i++)
		CHECK_INT(3 * i, items[i]);
	free(items);
}

int main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{"HKDF matches RFC 5869", hkdf_vectors},
		{"AES-256-GCM matches its published vector", aead_vector},
		{"AEAD refuses any flipped bit", aead_refuses_any_flipped_bit},
		{"times are parsed and printed", times_are_parsed_and_printed},
		{"days round down", days_round_down},
		{"hex refuses what is not hex", hex_refuses_what_is_not_hex},
		{"errors carry their place", errors_carry_their_place},
		{"arrays grow", arrays_grow},
		{NULL, NULL},
	};

	return check_main(argc, argv, "base", tests);
}
