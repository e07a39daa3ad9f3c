#include "bench/ledger_format.h"

#include <string.h>

#include <xxhash.h>

#include "appliance/base/bytes.h"
#include "appliance/base/read.h"

#define LEDGER_MAGIC "GNTRYLDG"
#define LEDGER_VERSION 1

void ledger_head_encode(uint8_t ret_head[LEDGER_HEAD_SIZE])
{
	memset(ret_head, 0, LEDGER_HEAD_SIZE);
	memcpy(ret_head, LEDGER_MAGIC, 8);
	le32_put(ret_head + 8, LEDGER_VERSION);
}

bool ledger_head_valid(const uint8_t head[LEDGER_HEAD_SIZE])
{
	uint8_t expected[LEDGER_HEAD_SIZE];

	ledger_head_encode(expected);
	return memcmp(head, expected, LEDGER_HEAD_SIZE) == 0;
}

void ledger_entry_encode(const struct ledger_entry *entry, uint8_t ret_bytes[LEDGER_ENTRY_SIZE])
{
	ret_bytes[0] = entry->type;
	ret_bytes[1] = entry->lane;
	ret_bytes[2] = entry->reason;
	ret_bytes[3] = 0;
	le32_put(ret_bytes + 4, entry->count);
	le64_put(ret_bytes + 8, entry->first);
	le32_put(ret_bytes + 16, entry->feed);
	le32_put(ret_bytes + 20, entry->epoch);
	le64_put(ret_bytes + 24, XXH3_64bits(ret_bytes, 24));
}

bool ledger_entry_decode(const uint8_t bytes[LEDGER_ENTRY_SIZE], struct ledger_entry *ret_entry)
{
	if (le64_get(bytes + 24) != XXH3_64bits(bytes, 24))
		return false;
	if ((bytes[0] != LEDGER_ACKNOWLEDGED && bytes[0] != LEDGER_REFUSED) || bytes[1] >= FEED_LANE_COUNT)
		return false;
	ret_entry->type = bytes[0];
	ret_entry->lane = bytes[1];
	ret_entry->reason = bytes[2];
	ret_entry->count = le32_get(bytes + 4);
	ret_entry->first = le64_get(bytes + 8);
	ret_entry->feed = le32_get(bytes + 16);
	ret_entry->epoch = le32_get(bytes + 20);
	return ret_entry->count > 0;
}

size_t ledger_entry_size(const struct ledger_entry *entry)
{
	return LEDGER_ENTRY_SIZE + (entry->type == LEDGER_ACKNOWLEDGED ? (size_t)entry->count * LEDGER_RECORD_SIZE : 0);
}
