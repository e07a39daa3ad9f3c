#include "dpdk/feed/record.h"

#include <assert.h>
#include <string.h>

#include "appliance/base/bytes.h"
#include "dpdk/feed/text.h"

static_assert(FEED_RECORDS_MAX <= 32, "the malformed ones of a datagram are told by a 32-bit mask");

#define LAT_E7_MAX 900000000
#define LON_E7_MAX 1800000000
#define IMAGES_ALL 0x03

static inline bool country_valid(uint16_t country)
{
	uint8_t first = (uint8_t)((country & 0xff) - 'A');
	uint8_t second = (uint8_t)((country >> 8) - 'A');

	return (country == 0) | ((first < 26) & (second < 26));
}

static inline bool position_valid(const struct read *read)
{
	bool given = (read->flags & READ_FLAG_POSITION) != 0;
	bool zero = (read->lat_e7 | read->lon_e7) == 0;
	bool inside = (read->lat_e7 >= -LAT_E7_MAX) & (read->lat_e7 <= LAT_E7_MAX) & (read->lon_e7 >= -LON_E7_MAX) &
		      (read->lon_e7 <= LON_E7_MAX);

	return given ? inside : zero;
}

static inline bool text_valid(const struct read *read)
{
	if (read->kind == READ_KIND_NOT_READ)
		return (le64_get(read->text) | le64_get(read->text + 8)) == 0;
	return feed_text_vrm(read->text);
}

/* Reads one record; `read` is all zero before. The single checks are joined without branches: nearly all reads pass. */
static inline bool record_decode(const uint8_t *record, struct read *read)
{
	bool valid;

	read->capture_us = (int64_t)le64_get(record);
	read->camera = le32_get(record + 8);
	read->lat_e7 = (int32_t)le32_get(record + 12);
	read->lon_e7 = (int32_t)le32_get(record + 16);
	memcpy(read->text, record + 20, READ_TEXT_SIZE);
	read->confidence = record[36];
	read->road_lane = record[37];
	read->direction = record[38];
	read->kind = record[39];
	read->flags = le16_get(record + 40);
	read->country = le16_get(record + 42);
	read->images = record[44];
	valid = (read->capture_us >= 0) & (read->capture_us <= FEED_TIME_US_MAX) & (read->camera != 0) &
		((read->confidence <= 100) | (read->confidence == READ_CONFIDENCE_UNKNOWN)) &
		(read->direction <= READ_DIRECTION_RECEDING) & (read->kind < READ_KIND_COUNT) &
		((read->flags & ~READ_FLAGS_SENDER) == 0) & ((read->images & ~IMAGES_ALL) == 0) &
		((le32_get(record + 44) >> 8) == 0) & country_valid(read->country) & position_valid(read);
	return valid && text_valid(read);
}

uint32_t feed_records_decode(const uint8_t *records, size_t count, struct read *ret_reads)
{
	uint32_t malformed = 0;

	assert(count <= FEED_RECORDS_MAX);
	memset(ret_reads, 0, count * sizeof(*ret_reads));
	for (size_t i = 0; i < count; i++) {
		if (__builtin_expect(record_decode(records + i * FEED_RECORD_SIZE, &ret_reads[i]), 1))
			continue;
		memset(&ret_reads[i], 0, sizeof(ret_reads[i]));
		malformed |= UINT32_C(1) << i;
	}
	return malformed;
}

void feed_record_encode(const struct read *read, uint8_t ret_record[FEED_RECORD_SIZE])
{
	le64_put(ret_record, (uint64_t)read->capture_us);
	le32_put(ret_record + 8, read->camera);
	le32_put(ret_record + 12, (uint32_t)read->lat_e7);
	le32_put(ret_record + 16, (uint32_t)read->lon_e7);
	memcpy(ret_record + 20, read->text, READ_TEXT_SIZE);
	ret_record[36] = read->confidence;
	ret_record[37] = read->road_lane;
	ret_record[38] = read->direction;
	ret_record[39] = read->kind;
	le16_put(ret_record + 40, read->flags & READ_FLAGS_SENDER);
	le16_put(ret_record + 42, read->country);
	ret_record[44] = read->images;
	memset(ret_record + 45, 0, 3);
}
