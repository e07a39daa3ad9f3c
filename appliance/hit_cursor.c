#include "appliance/hit_cursor.h"

#include <errno.h>
#include <string.h>

#include "appliance/base/bytes.h"
#include "appliance/base/digest.h"

#define HEAD_SIZE 2 /* lane, sources */
#define SOURCE_SIZE 9

/* Over the owner and everything before the digest itself. */
static void mac_of(const uint8_t key[HIT_CURSOR_KEY_SIZE], const struct hit_cursor_owner *owner, const uint8_t *bytes,
		   size_t size, uint8_t ret_mac[SHA256_SIZE])
{
	uint8_t covered[16 + HIT_CURSOR_BYTES_MAX] = "hit";

	le32_put(covered + 4, owner->number);
	le64_put(covered + 8, (uint64_t)owner->created_us);
	memcpy(covered + 16, bytes, size);
	hmac_sha256(key, HIT_CURSOR_KEY_SIZE, covered, 16 + size, ret_mac);
}

const char *hit_cursor_write(const uint8_t key[HIT_CURSOR_KEY_SIZE], const struct hit_cursor_owner *owner,
			     enum hit_lane lane, const struct hit_positions *positions, char text[HIT_CURSOR_TEXT_SIZE])
{
	uint8_t bytes[HIT_CURSOR_BYTES_MAX] = {(uint8_t)lane};
	uint8_t mac[SHA256_SIZE];
	size_t size = HEAD_SIZE;

	for (unsigned i = 0; i < HIT_SOURCES; i++) {
		if (positions->at[i] == 0)
			continue;
		bytes[1]++;
		bytes[size] = (uint8_t)i;
		le64_put(bytes + size + 1, positions->at[i]);
		size += SOURCE_SIZE;
	}
	mac_of(key, owner, bytes, size, mac);
	memcpy(bytes + size, mac, HIT_CURSOR_MAC_SIZE);
	return hex_encode(bytes, size + HIT_CURSOR_MAC_SIZE, text);
}

int hit_cursor_read(const uint8_t key[HIT_CURSOR_KEY_SIZE], const struct hit_cursor_owner *owner, const char *text,
		    enum hit_lane *ret_lane, struct hit_positions *ret_positions)
{
	struct hit_positions positions = {{0}};
	uint8_t bytes[HIT_CURSOR_BYTES_MAX];
	uint8_t mac[SHA256_SIZE];
	size_t size = strlen(text) / 2;

	if (size < HEAD_SIZE + HIT_CURSOR_MAC_SIZE || size > sizeof(bytes) || hex_decode(text, bytes, size) < 0)
		return -EBADMSG;
	size -= HIT_CURSOR_MAC_SIZE;
	mac_of(key, owner, bytes, size, mac);
	if (bytes_differ(mac, bytes + size, HIT_CURSOR_MAC_SIZE) != 0)
		return -EBADMSG;
	/* From here on it is our own; the checks stand for a key that went astray. */
	if (bytes[0] >= HIT_LANE_COUNT || size != HEAD_SIZE + (size_t)bytes[1] * SOURCE_SIZE)
		return -EBADMSG;
	for (size_t at = HEAD_SIZE; at < size; at += SOURCE_SIZE) {
		uint64_t number = le64_get(bytes + at + 1);

		if (bytes[at] >= HIT_SOURCES || hit_source_index(hit_source(number)) != bytes[at])
			return -EBADMSG;
		positions.at[bytes[at]] = number;
	}
	*ret_lane = (enum hit_lane)bytes[0];
	*ret_positions = positions;
	return 0;
}
