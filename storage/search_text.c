#include <errno.h>
#include <sodium.h>
#include <string.h>

#include "appliance/base/aead.h"
#include "appliance/base/bytes.h"
#include "appliance/base/digest.h"
#include "storage/search.h"

#define IDENTITY_SIZE 33
#define CURSOR_VERSION 3
#define CURSOR_SIZE 92
/* Version, nonce, sealed bytes, tag. */
#define SEALED_AT (1 + AEAD_NONCE_SIZE)
#define SEALED_SIZE (SEALED_AT + CURSOR_SIZE + AEAD_TAG_SIZE)
static_assert(2 * SEALED_SIZE < SEARCH_CURSOR_TEXT_SIZE, "a cursor's text fits");

void search_public_id(const uint8_t identity_key[32], const struct read *read, uint32_t ordinal,
		      char ret_text[SEARCH_PUBLIC_ID_SIZE])
{
	uint8_t identity[IDENTITY_SIZE];
	uint8_t mac[crypto_auth_hmacsha256_BYTES];

	le32_put(identity, read->camera);
	le64_put(identity + 4, (uint64_t)read->capture_us);
	identity[12] = read->road_lane;
	memcpy(identity + 13, read->key, READ_TEXT_SIZE);
	le32_put(identity + 29, ordinal);
	crypto_auth_hmacsha256(mac, identity, sizeof(identity), identity_key);
	hex_encode(mac, 16, ret_text);
}

static void cursor_encode(const struct search_cursor *cursor, uint64_t question, uint8_t bytes[CURSOR_SIZE])
{
	const struct read *read = &cursor->last;

	le64_put(bytes, question);
	memcpy(bytes + 8, read->key, READ_TEXT_SIZE);
	memcpy(bytes + 24, read->text, READ_TEXT_SIZE);
	le64_put(bytes + 40, (uint64_t)read->capture_us);
	le64_put(bytes + 48, (uint64_t)read->receipt_us);
	le32_put(bytes + 56, read->camera);
	le32_put(bytes + 60, (uint32_t)read->lat_e7);
	le32_put(bytes + 64, (uint32_t)read->lon_e7);
	le32_put(bytes + 68, read->feed);
	le32_put(bytes + 72, read->epoch);
	le16_put(bytes + 76, read->country);
	le16_put(bytes + 78, read->flags);
	bytes[80] = read->kind;
	bytes[81] = read->confidence;
	bytes[82] = read->road_lane;
	bytes[83] = read->direction;
	bytes[84] = read->images;
	le32_put(bytes + 85, cursor->ordinal);
	memcpy(bytes + 89, read->zero, sizeof(read->zero));
}

static void cursor_decode(const uint8_t bytes[CURSOR_SIZE], struct search_cursor *cursor)
{
	struct read *read = &cursor->last;

	memcpy(read->key, bytes + 8, READ_TEXT_SIZE);
	memcpy(read->text, bytes + 24, READ_TEXT_SIZE);
	read->capture_us = (int64_t)le64_get(bytes + 40);
	read->receipt_us = (int64_t)le64_get(bytes + 48);
	read->camera = le32_get(bytes + 56);
	read->lat_e7 = (int32_t)le32_get(bytes + 60);
	read->lon_e7 = (int32_t)le32_get(bytes + 64);
	read->feed = le32_get(bytes + 68);
	read->epoch = le32_get(bytes + 72);
	read->country = le16_get(bytes + 76);
	read->flags = le16_get(bytes + 78);
	read->kind = bytes[80];
	read->confidence = bytes[81];
	read->road_lane = bytes[82];
	read->direction = bytes[83];
	read->images = bytes[84];
	cursor->ordinal = le32_get(bytes + 85);
	memcpy(read->zero, bytes + 89, sizeof(read->zero));
}

static void cursor_key(const uint8_t identity_key[32], struct aead_key *ret_key)
{
	static const char info[] = "gantry search cursor";
	uint8_t bytes[AEAD_KEY_SIZE];

	hkdf_sha256(NULL, 0, identity_key, 32, info, strlen(info), bytes, sizeof(bytes));
	aead_key_init(ret_key, bytes);
	bytes_wipe(bytes, sizeof(bytes));
}

/* Random nonces: no store lives to give 2^32 pages. */
void search_cursor_seal(const uint8_t identity_key[32], uint64_t question, const struct search_cursor *cursor,
			char ret_text[SEARCH_CURSOR_TEXT_SIZE])
{
	uint8_t bytes[CURSOR_SIZE];
	uint8_t sealed[SEALED_SIZE] = {CURSOR_VERSION};
	struct aead_key key;

	if (!cursor->set) {
		ret_text[0] = '\0';
		return;
	}
	cursor_encode(cursor, question, bytes);
	cursor_key(identity_key, &key);
	random_bytes(sealed + 1, AEAD_NONCE_SIZE);
	aead_seal(&key, sealed + 1, sealed, 1, bytes, sizeof(bytes), sealed + SEALED_AT,
		  sealed + SEALED_AT + CURSOR_SIZE);
	aead_key_fini(&key);
	hex_encode(sealed, sizeof(sealed), ret_text);
}

int search_cursor_open(const uint8_t identity_key[32], uint64_t question, const char *text,
		       struct search_cursor *ret_cursor)
{
	struct search_cursor cursor = {.set = true};
	uint8_t sealed[SEALED_SIZE];
	uint8_t bytes[CURSOR_SIZE];
	struct aead_key key;
	int result;

	if (text[0] == '\0') {
		*ret_cursor = (struct search_cursor){.set = false};
		return 0;
	}
	if (hex_decode(text, sealed, sizeof(sealed)) < 0 || sealed[0] != CURSOR_VERSION)
		return -EINVAL;
	cursor_key(identity_key, &key);
	result = aead_open(&key, sealed + 1, sealed, 1, sealed + SEALED_AT, CURSOR_SIZE, bytes,
			   sealed + SEALED_AT + CURSOR_SIZE);
	aead_key_fini(&key);
	if (result < 0)
		return -EINVAL;
	if (le64_get(bytes) != question)
		return -ESTALE;
	cursor_decode(bytes, &cursor);
	*ret_cursor = cursor;
	return 0;
}
