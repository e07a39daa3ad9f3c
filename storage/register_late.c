#include "storage/register_late.h"

#include <assert.h>
#include <errno.h>

#include "appliance/base/read.h"
#include "storage/register_cursor.h"

#define LATE_FIXED_SIZE (1 + 4 + 4 + 8 + 8 + 2 + REG_LATE_NONCE_SIZE + 2)

static_assert(LATE_FIXED_SIZE + REG_LATE_SEALED_MAX <= REG_RECORD_SIZE_MAX, "a batch is a record");

static int32_t get_day(struct cursor *cursor)
{
	uint32_t day = cursor_get_u32(cursor);

	if (day > INT32_MAX)
		cursor->bad = true;
	return (int32_t)day;
}

size_t reg_late_hits_encode(const struct reg_late_hits *hits, uint8_t buffer[REG_RECORD_SIZE_MAX])
{
	struct cursor cursor = reg_record_begin(buffer, REG_RECORD_VERSION);

	assert(hits->day >= 0);
	assert(hits->count > 0 && hits->count <= REG_LATE_HITS_MAX);
	assert(hits->sealed_size <= REG_LATE_SEALED_MAX);
	cursor_put_u32(&cursor, (uint32_t)hits->day);
	cursor_put_u32(&cursor, hits->number);
	cursor_put_u64(&cursor, hits->key);
	cursor_put_u64(&cursor, hits->first);
	cursor_put_u16(&cursor, hits->count);
	cursor_put_bytes(&cursor, hits->nonce, sizeof(hits->nonce));
	cursor_put_u16(&cursor, hits->sealed_size);
	cursor_put_bytes(&cursor, hits->sealed, hits->sealed_size);
	return reg_record_end(&cursor, buffer);
}

int reg_late_hits_decode(const void *bytes, size_t size, struct reg_late_hits *ret_hits)
{
	struct cursor cursor = reg_record_read(bytes, size);
	struct reg_late_hits hits = {0};

	hits.day = get_day(&cursor);
	hits.number = cursor_get_u32(&cursor);
	hits.key = cursor_get_u64(&cursor);
	hits.first = cursor_get_u64(&cursor);
	hits.count = cursor_get_u16(&cursor);
	cursor_get_bytes(&cursor, hits.nonce, sizeof(hits.nonce));
	hits.sealed_size = cursor_get_u16(&cursor);
	if (hits.count == 0 || hits.count > REG_LATE_HITS_MAX || hits.sealed_size > sizeof(hits.sealed) ||
	    hits.first == 0 || hits.first > HIT_COUNT_MASK - REG_LATE_HITS_MAX)
		cursor.bad = true;
	else
		cursor_get_bytes(&cursor, hits.sealed, hits.sealed_size);
	if (!cursor_done(&cursor))
		return -EBADMSG;
	*ret_hits = hits;
	return 0;
}

size_t reg_late_last_encode(uint64_t last, uint8_t buffer[REG_RECORD_SIZE_MAX])
{
	struct cursor cursor = reg_record_begin(buffer, REG_RECORD_VERSION);

	cursor_put_u64(&cursor, last);
	return reg_record_end(&cursor, buffer);
}

int reg_late_last_decode(const void *bytes, size_t size, uint64_t *ret_last)
{
	struct cursor cursor = reg_record_read(bytes, size);
	uint64_t last = cursor_get_u64(&cursor);

	if (!cursor_done(&cursor) || last > HIT_COUNT_MASK)
		return -EBADMSG;
	*ret_last = last;
	return 0;
}

size_t reg_retro_encode(const struct reg_retro *retro, uint8_t buffer[REG_RECORD_SIZE_MAX])
{
	struct cursor cursor = reg_record_begin(buffer, REG_RECORD_VERSION);

	assert(retro->state < REG_RETRO_STATE_COUNT);
	cursor_put_u32(&cursor, retro->number);
	cursor_put_u32(&cursor, retro->list);
	cursor_put_u32(&cursor, retro->generation);
	cursor_put_u32(&cursor, retro->since_version);
	cursor_put_u32(&cursor, retro->upto_version);
	cursor_put_u32(&cursor, (uint32_t)retro->first_day);
	cursor_put_u32(&cursor, (uint32_t)retro->last_day);
	cursor_put_u32(&cursor, (uint32_t)retro->next_day);
	cursor_put_u32(&cursor, retro->who_uid);
	cursor_put_u8(&cursor, retro->state);
	cursor_put_u64(&cursor, (uint64_t)retro->made_us);
	cursor_put_u64(&cursor, (uint64_t)retro->ended_us);
	cursor_put_u64(&cursor, retro->finds);
	cursor_put_u64(&cursor, retro->met);
	cursor_put_text(&cursor, retro->why);
	return reg_record_end(&cursor, buffer);
}

int reg_retro_decode(const void *bytes, size_t size, struct reg_retro *ret_retro)
{
	struct cursor cursor = reg_record_read(bytes, size);
	struct reg_retro retro = {0};

	retro.number = cursor_get_u32(&cursor);
	retro.list = cursor_get_u32(&cursor);
	retro.generation = cursor_get_u32(&cursor);
	retro.since_version = cursor_get_u32(&cursor);
	retro.upto_version = cursor_get_u32(&cursor);
	retro.first_day = get_day(&cursor);
	retro.last_day = get_day(&cursor);
	retro.next_day = (int32_t)cursor_get_u32(&cursor);
	retro.who_uid = cursor_get_u32(&cursor);
	retro.state = cursor_get_u8(&cursor);
	retro.made_us = (int64_t)cursor_get_u64(&cursor);
	retro.ended_us = (int64_t)cursor_get_u64(&cursor);
	retro.finds = cursor_get_u64(&cursor);
	retro.met = cursor_get_u64(&cursor);
	cursor_get_text(&cursor, retro.why, sizeof(retro.why));
	if (!cursor_done(&cursor) || retro.state >= REG_RETRO_STATE_COUNT || retro.first_day > retro.last_day ||
	    retro.next_day < retro.first_day - 1 || retro.next_day > retro.last_day)
		return -EBADMSG;
	*ret_retro = retro;
	return 0;
}

size_t reg_unmatched_encode(const struct reg_unmatched *unmatched, uint8_t buffer[REG_RECORD_SIZE_MAX])
{
	struct cursor cursor = reg_record_begin(buffer, REG_RECORD_VERSION);

	cursor_put_u32(&cursor, unmatched->number);
	cursor_put_u64(&cursor, (uint64_t)unmatched->from_us);
	cursor_put_u64(&cursor, (uint64_t)unmatched->to_us);
	return reg_record_end(&cursor, buffer);
}

int reg_unmatched_decode(const void *bytes, size_t size, struct reg_unmatched *ret_unmatched)
{
	struct cursor cursor = reg_record_read(bytes, size);
	struct reg_unmatched unmatched = {0};

	unmatched.number = cursor_get_u32(&cursor);
	unmatched.from_us = (int64_t)cursor_get_u64(&cursor);
	unmatched.to_us = (int64_t)cursor_get_u64(&cursor);
	if (!cursor_done(&cursor))
		return -EBADMSG;
	*ret_unmatched = unmatched;
	return 0;
}
