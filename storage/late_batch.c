/* The bytes of a batch of late hits: plain fields, little-endian, sealed as a whole (docs/disk-format.md). */
#include "storage/late_internal.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "appliance/base/bytes.h"
#include "appliance/base/digest.h"
#include "storage/cursor.h"
#include "storage/register.h"
#include "storage/segment_cursor.h"

#define BATCH_VERSION 1
#define BATCH_SIZE_MAX (REG_LATE_SEALED_MAX - AEAD_TAG_SIZE)
#define HIT_SIZE_MAX 128 /* of one, encoded */
#define AAD_SIZE 26

static void put_short_text(struct cursor *cursor, const uint8_t text[READ_TEXT_SIZE])
{
	uint8_t size = (uint8_t)segment_text_size(text);

	cursor_put_u8(cursor, size);
	cursor_put_bytes(cursor, text, size);
}

static void get_short_text(struct cursor *cursor, uint8_t text[READ_TEXT_SIZE])
{
	uint8_t size = cursor_get_u8(cursor);

	if (size > READ_TEXT_SIZE)
		cursor->bad = true;
	else
		cursor_get_bytes(cursor, text, size);
}

static void put_read(struct cursor *cursor, const struct read *read)
{
	put_short_text(cursor, read->key);
	put_short_text(cursor, read->text);
	cursor_put_u64(cursor, (uint64_t)read->capture_us);
	cursor_put_u64(cursor, (uint64_t)read->receipt_us);
	cursor_put_u32(cursor, read->camera);
	cursor_put_u32(cursor, (uint32_t)read->lat_e7);
	cursor_put_u32(cursor, (uint32_t)read->lon_e7);
	cursor_put_u32(cursor, read->feed);
	cursor_put_u32(cursor, read->epoch);
	cursor_put_u16(cursor, read->country);
	cursor_put_u16(cursor, read->flags);
	cursor_put_u8(cursor, read->kind);
	cursor_put_u8(cursor, read->confidence);
	cursor_put_u8(cursor, read->road_lane);
	cursor_put_u8(cursor, read->direction);
	cursor_put_u8(cursor, read->images);
	cursor_put_bytes(cursor, read->zero, sizeof(read->zero));
}

static void get_read(struct cursor *cursor, struct read *read)
{
	get_short_text(cursor, read->key);
	get_short_text(cursor, read->text);
	read->capture_us = (int64_t)cursor_get_u64(cursor);
	read->receipt_us = (int64_t)cursor_get_u64(cursor);
	read->camera = cursor_get_u32(cursor);
	read->lat_e7 = (int32_t)cursor_get_u32(cursor);
	read->lon_e7 = (int32_t)cursor_get_u32(cursor);
	read->feed = cursor_get_u32(cursor);
	read->epoch = cursor_get_u32(cursor);
	read->country = cursor_get_u16(cursor);
	read->flags = cursor_get_u16(cursor);
	read->kind = cursor_get_u8(cursor);
	read->confidence = cursor_get_u8(cursor);
	read->road_lane = cursor_get_u8(cursor);
	read->direction = cursor_get_u8(cursor);
	read->images = cursor_get_u8(cursor);
	cursor_get_bytes(cursor, read->zero, sizeof(read->zero));
}

static void put_hit(struct cursor *cursor, const struct late_hit *late, uint64_t first)
{
	const struct hit *hit = &late->found.hit;

	cursor_put_u8(cursor, (uint8_t)((hit->number & HIT_COUNT_MASK) - first));
	cursor_put_u32(cursor, hit->list);
	cursor_put_u32(cursor, late->generation);
	cursor_put_u32(cursor, hit->version);
	cursor_put_u32(cursor, hit->entry);
	cursor_put_u8(cursor, hit->kind);
	cursor_put_u8(cursor, hit->priority);
	cursor_put_u16(cursor, hit->flags);
	put_read(cursor, &late->found.read);
}

/* `least`: of its place behind `first`. */
static void get_hit(struct cursor *cursor, uint64_t first, unsigned least, struct late_hit *late)
{
	struct hit *hit = &late->found.hit;
	uint8_t place = cursor_get_u8(cursor);

	if (place < least || place >= REG_LATE_HITS_MAX)
		cursor->bad = true;
	hit->number = hit_number(HIT_SOURCE_LATE, first + place);
	hit->list = cursor_get_u32(cursor);
	late->generation = cursor_get_u32(cursor);
	hit->version = cursor_get_u32(cursor);
	hit->entry = cursor_get_u32(cursor);
	hit->kind = cursor_get_u8(cursor);
	hit->priority = cursor_get_u8(cursor);
	hit->flags = cursor_get_u16(cursor);
	get_read(cursor, &late->found.read);
}

bool late_filling_add(struct late_filling *filling, const struct late_hit *hit)
{
	uint8_t bytes[HIT_SIZE_MAX];
	struct cursor cursor = cursor_over(bytes, sizeof(bytes));
	size_t size;
	bool fits;

	if (filling->count == 0) {
		filling->first = hit->found.hit.number & HIT_COUNT_MASK;
		filling->bytes[0] = BATCH_VERSION;
		filling->size = 1;
	}
	if ((hit->found.hit.number & HIT_COUNT_MASK) - filling->first >= REG_LATE_HITS_MAX)
		return false;
	put_hit(&cursor, hit, filling->first);
	assert(!cursor.bad);
	size = (size_t)(cursor.at - bytes);
	fits = filling->size + size <= BATCH_SIZE_MAX;
	if (fits) {
		memcpy(filling->bytes + filling->size, bytes, size);
		filling->size = (uint16_t)(filling->size + size);
		filling->count++;
	}
	bytes_wipe(bytes, sizeof(bytes));
	return fits;
}

static void bind(const struct reg_late_hits *record, uint8_t ret_aad[AAD_SIZE])
{
	le32_put(ret_aad, (uint32_t)record->day);
	le32_put(ret_aad + 4, record->number);
	le64_put(ret_aad + 8, record->key);
	le64_put(ret_aad + 16, record->first);
	le16_put(ret_aad + 24, record->count);
}

void late_batch_seal(const uint8_t key[KEY_SIZE], const struct late_filling *filling, struct reg_late_hits *record)
{
	struct aead_key sealing;
	uint8_t aad[AAD_SIZE];

	record->first = filling->first;
	record->count = filling->count;
	/* Of random bytes: a number whose first record was torn off with the log's end is given again. */
	random_bytes(record->nonce, sizeof(record->nonce));
	bind(record, aad);
	aead_key_init(&sealing, key);
	aead_seal(&sealing, record->nonce, aad, sizeof(aad), filling->bytes, filling->size, record->sealed,
		  record->sealed + filling->size);
	aead_key_fini(&sealing);
	record->sealed_size = (uint16_t)(filling->size + AEAD_TAG_SIZE);
}

static int decode(const struct reg_late_hits *record, const uint8_t *bytes, size_t size,
		  struct late_content *ret_content)
{
	struct cursor cursor = cursor_over(bytes, size);
	unsigned least = 0;

	memset(ret_content, 0, sizeof(*ret_content));
	if (cursor_get_u8(&cursor) != BATCH_VERSION)
		return -EBADMSG;
	for (size_t i = 0; i < record->count; i++) {
		struct late_hit *hit = &ret_content->hits[i];

		get_hit(&cursor, record->first, least, hit);
		least = (unsigned)((hit->found.hit.number & HIT_COUNT_MASK) - record->first) + 1;
		if (read_day(hit->found.read.capture_us) != record->day)
			cursor.bad = true;
	}
	ret_content->count = record->count;
	return cursor_done(&cursor) ? 0 : -EBADMSG;
}

int late_batch_open(struct keyring *keyring, const struct reg_late_hits *record, struct late_content *ret_content)
{
	struct key_id id = {.id = record->key, .day = record->day, .kind = KEY_LATE};
	uint8_t bytes[REG_LATE_SEALED_MAX];
	uint8_t key[KEY_SIZE];
	struct aead_key opening;
	uint8_t aad[AAD_SIZE];
	size_t size;
	int result;

	if (record->sealed_size < AEAD_TAG_SIZE)
		return -EBADMSG;
	result = keyring_get(keyring, id, key);
	if (result < 0)
		return result;
	size = record->sealed_size - AEAD_TAG_SIZE;
	bind(record, aad);
	aead_key_init(&opening, key);
	result = aead_open(&opening, record->nonce, aad, sizeof(aad), record->sealed, size, bytes,
			   record->sealed + size);
	aead_key_fini(&opening);
	bytes_wipe(key, sizeof(key));
	if (result == 0)
		result = decode(record, bytes, size, ret_content);
	bytes_wipe(bytes, sizeof(bytes));
	return result;
}

static int read_once(const struct late_hits *late, const struct late_batch *batch, struct late_content *ret_content)
{
	uint8_t value[REG_RECORD_SIZE_MAX];
	struct reg_late_hits record;
	size_t size;
	int result = reg_get(late->reg, REG_LATE_HIT, (uint32_t)batch->day, batch->number, value, &size);

	if (result == 0)
		result = reg_late_hits_decode(value, size, &record);
	return result == 0 ? late_batch_open(late->keyring, &record, ret_content) : result;
}

/* Between its record and its key a batch may have been tidied: then there is another of both. */
int late_batch_read(const struct late_hits *late, const struct late_batch *batch, struct late_content *ret_content)
{
	int result = read_once(late, batch, ret_content);

	return result == -ENOENT ? read_once(late, batch, ret_content) : result;
}
