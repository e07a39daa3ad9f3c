#include "storage/catalog_value.h"

#include <errno.h>
#include <string.h>

#define DAY_VERSION 1
#define TOTALS_VERSION 2
#define DAY_UNJUDGED 1 /* of a day's flags */

void catalog_lane_key(const struct catalog_lane *lane, uint8_t key[CATALOG_LANE_KEY_SIZE])
{
	be32_put(key, lane->feed);
	be32_put(key + 4, lane->epoch);
	key[8] = lane->lane;
}

int catalog_lane_of(const void *key, size_t size, struct catalog_lane *ret_lane)
{
	const uint8_t *bytes = key;

	if (size != CATALOG_LANE_KEY_SIZE)
		return -EBADMSG;
	ret_lane->feed = be32_get(bytes);
	ret_lane->epoch = be32_get(bytes + 4);
	ret_lane->lane = bytes[8];
	return 0;
}

size_t catalog_day_encode(const struct catalog_day *day, uint8_t bytes[CATALOG_DAY_SIZE_MAX])
{
	memset(bytes, 0, CATALOG_DAY_FIXED);
	le32_put(bytes, DAY_VERSION);
	le16_put(bytes + 4, (uint16_t)day->state);
	le16_put(bytes + 6, day->unjudged ? DAY_UNJUDGED : 0);
	le64_put(bytes + 8, day->rows);
	le64_put(bytes + 16, day->hits);
	le64_put(bytes + 24, day->collapsed);
	le64_put(bytes + 32, day->bytes);
	le64_put(bytes + 40, (uint64_t)day->changed_us);
	le32_put(bytes + 48, day->segments);
	le32_put(bytes + 52, day->note_size);
	le64_put(bytes + 56, (uint64_t)day->sealed_us);
	memcpy(bytes + CATALOG_DAY_FIXED, day->note, day->note_size);
	return CATALOG_DAY_FIXED + (size_t)day->note_size;
}

int catalog_day_decode(int32_t number, const void *value, size_t size, struct catalog_day *ret_day)
{
	const uint8_t *bytes = value;
	uint32_t state, flags, note_size;

	if (size < CATALOG_DAY_FIXED || le32_get(bytes) != DAY_VERSION)
		return -EBADMSG;
	state = le16_get(bytes + 4);
	flags = le16_get(bytes + 6);
	note_size = le32_get(bytes + 52);
	if (state > CATALOG_DAY_PURGED || flags > DAY_UNJUDGED || note_size > CATALOG_NOTE_SIZE ||
	    size != CATALOG_DAY_FIXED + (size_t)note_size)
		return -EBADMSG;
	ret_day->day = number;
	ret_day->state = (enum catalog_day_state)state;
	ret_day->rows = le64_get(bytes + 8);
	ret_day->hits = le64_get(bytes + 16);
	ret_day->collapsed = le64_get(bytes + 24);
	ret_day->bytes = le64_get(bytes + 32);
	ret_day->changed_us = (int64_t)le64_get(bytes + 40);
	ret_day->segments = le32_get(bytes + 48);
	ret_day->note_size = note_size;
	ret_day->sealed_us = (int64_t)le64_get(bytes + 56);
	ret_day->unjudged = flags == DAY_UNJUDGED;
	memcpy(ret_day->note, bytes + CATALOG_DAY_FIXED, note_size);
	return 0;
}

void catalog_totals_encode(const struct catalog_totals *totals, uint8_t bytes[CATALOG_TOTALS_SIZE])
{
	le64_put(bytes, TOTALS_VERSION);
	le64_put(bytes + 8, totals->stored);
	le64_put(bytes + 16, totals->collapsed);
	le64_put(bytes + 24, totals->hits);
	le64_put(bytes + 32, totals->erased);
	for (unsigned i = 0; i < REFUSAL_COUNT; i++)
		le64_put(bytes + 40 + 8 * i, totals->refused[i]);
}

int catalog_totals_decode(const void *value, size_t size, struct catalog_totals *ret_totals)
{
	const uint8_t *bytes = value;

	if (size != CATALOG_TOTALS_SIZE || le64_get(bytes) != TOTALS_VERSION)
		return -EBADMSG;
	ret_totals->stored = le64_get(bytes + 8);
	ret_totals->collapsed = le64_get(bytes + 16);
	ret_totals->hits = le64_get(bytes + 24);
	ret_totals->erased = le64_get(bytes + 32);
	for (unsigned i = 0; i < REFUSAL_COUNT; i++)
		ret_totals->refused[i] = le64_get(bytes + 40 + 8 * i);
	return 0;
}
