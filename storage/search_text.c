#include <errno.h>
#include <sodium.h>
#include <string.h>

#include "appliance/base/bytes.h"
#include "storage/search.h"

#define IDENTITY_SIZE 33
#define CURSOR_VERSION 2
#define CURSOR_SIZE 85
static_assert(2 * CURSOR_SIZE < SEARCH_CURSOR_TEXT_SIZE, "a cursor's text fits");

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

void search_cursor_text(const struct search_cursor *cursor, char text[SEARCH_CURSOR_TEXT_SIZE])
{
	const struct read *read = &cursor->last;
	uint8_t bytes[CURSOR_SIZE];

	if (!cursor->set) {
		text[0] = '\0';
		return;
	}
	bytes[0] = CURSOR_VERSION;
	memcpy(bytes + 1, read->key, READ_TEXT_SIZE);
	memcpy(bytes + 17, read->text, READ_TEXT_SIZE);
	le64_put(bytes + 33, (uint64_t)read->capture_us);
	le64_put(bytes + 41, (uint64_t)read->receipt_us);
	le32_put(bytes + 49, read->camera);
	le32_put(bytes + 53, (uint32_t)read->lat_e7);
	le32_put(bytes + 57, (uint32_t)read->lon_e7);
	le32_put(bytes + 61, read->feed);
	le32_put(bytes + 65, read->epoch);
	le16_put(bytes + 69, read->country);
	le16_put(bytes + 71, read->flags);
	bytes[73] = read->kind;
	bytes[74] = read->confidence;
	bytes[75] = read->road_lane;
	bytes[76] = read->direction;
	bytes[77] = read->images;
	le32_put(bytes + 78, cursor->ordinal);
	memcpy(bytes + 82, read->zero, sizeof(read->zero));
	hex_encode(bytes, sizeof(bytes), text);
}

int search_cursor_parse(const char *text, struct search_cursor *ret_cursor)
{
	struct search_cursor cursor = {.set = true};
	struct read *read = &cursor.last;
	uint8_t bytes[CURSOR_SIZE];

	if (text[0] == '\0') {
		*ret_cursor = (struct search_cursor){.set = false};
		return 0;
	}
	if (hex_decode(text, bytes, sizeof(bytes)) < 0 || bytes[0] != CURSOR_VERSION)
		return -EINVAL;
	memcpy(read->key, bytes + 1, READ_TEXT_SIZE);
	memcpy(read->text, bytes + 17, READ_TEXT_SIZE);
	read->capture_us = (int64_t)le64_get(bytes + 33);
	read->receipt_us = (int64_t)le64_get(bytes + 41);
	read->camera = le32_get(bytes + 49);
	read->lat_e7 = (int32_t)le32_get(bytes + 53);
	read->lon_e7 = (int32_t)le32_get(bytes + 57);
	read->feed = le32_get(bytes + 61);
	read->epoch = le32_get(bytes + 65);
	read->country = le16_get(bytes + 69);
	read->flags = le16_get(bytes + 71);
	read->kind = bytes[73];
	read->confidence = bytes[74];
	read->road_lane = bytes[75];
	read->direction = bytes[76];
	read->images = bytes[77];
	cursor.ordinal = le32_get(bytes + 78);
	memcpy(read->zero, bytes + 82, sizeof(read->zero));
	*ret_cursor = cursor;
	return 0;
}
