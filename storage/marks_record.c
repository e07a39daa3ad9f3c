/* A mark's record in the register, and the sealed part of a pending one: the read and its correction. */
#include "storage/marks_internal.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "appliance/base/aead.h"
#include "appliance/base/bytes.h"
#include "storage/cursor.h"

#define WORK_VERSION 2 /* 1: hits behind the correction */

struct key_id mark_work_key(const struct mark *mark)
{
	return (struct key_id){.id = mark->key, .day = mark->brief.day, .kind = KEY_MARK};
}

/* A key seals one work, ever: the nonce is zero. */
static const uint8_t work_nonce[AEAD_NONCE_SIZE];

static void work_bind(const struct mark *mark, uint8_t ret_aad[8])
{
	le32_put(ret_aad, (uint32_t)mark->brief.day);
	le32_put(ret_aad + 4, mark->number);
}

static size_t work_encode(const struct mark *mark, uint8_t bytes[REG_MARK_SEALED_MAX])
{
	const struct mark_work *work = mark->work;
	struct cursor cursor = cursor_over(bytes, REG_MARK_SEALED_MAX - AEAD_TAG_SIZE);

	cursor_put_u8(&cursor, WORK_VERSION);
	cursor_put_bytes(&cursor, &work->read, sizeof(work->read));
	cursor_put_bytes(&cursor, &work->corrected, sizeof(work->corrected));
	assert(!cursor.bad);
	return (size_t)(cursor.at - bytes);
}

static int work_decode(const uint8_t *bytes, size_t size, struct mark_work *ret_work)
{
	struct cursor cursor = cursor_over(bytes, size);
	struct mark_work work = {.readable = true};

	if (cursor_get_u8(&cursor) != WORK_VERSION)
		return cursor.bad ? -EBADMSG : -ENOTSUP;
	cursor_get_bytes(&cursor, &work.read, sizeof(work.read));
	cursor_get_bytes(&cursor, &work.corrected, sizeof(work.corrected));
	if (!cursor_done(&cursor))
		return -EBADMSG;
	*ret_work = work;
	bytes_wipe(&work, sizeof(work));
	return 0;
}

/* The mark's record; its work is sealed under KEY_MARK, which is in the keyring. */
static int record_make(struct marks *marks, const struct mark *mark, struct reg_mark *ret_record)
{
	struct reg_mark record = {.day = mark->brief.day,
				  .number = mark->number,
				  .kind = mark->brief.kind,
				  .pending = mark->work != NULL,
				  .made_us = mark->made_us,
				  .tag = mark->brief.tag,
				  .key = mark->key};
	uint8_t key_bytes[KEY_SIZE];
	struct aead_key key;
	uint8_t aad[8];
	size_t size;
	int result;

	memcpy(record.hash, mark->brief.hash, sizeof(record.hash));
	memcpy(record.public_id, mark->brief.public_id, sizeof(record.public_id));
	if (mark->work != NULL) {
		result = keyring_get(marks->keyring, mark_work_key(mark), key_bytes);
		if (result < 0)
			return result;
		work_bind(mark, aad);
		size = work_encode(mark, record.sealed);
		aead_key_init(&key, key_bytes);
		aead_seal(&key, work_nonce, aad, sizeof(aad), record.sealed, size, record.sealed, record.sealed + size);
		aead_key_fini(&key);
		bytes_wipe(key_bytes, sizeof(key_bytes));
		record.sealed_size = (uint16_t)(size + AEAD_TAG_SIZE);
	}
	*ret_record = record;
	return 0;
}

int mark_work_open(struct marks *marks, const struct mark *mark, const struct reg_mark *record,
		   struct mark_work *ret_work)
{
	uint8_t bytes[REG_MARK_SEALED_MAX];
	uint8_t key_bytes[KEY_SIZE];
	struct aead_key key;
	uint8_t aad[8];
	size_t size;
	int result;

	if (record->sealed_size < AEAD_TAG_SIZE)
		return -EBADMSG;
	result = keyring_get(marks->keyring, mark_work_key(mark), key_bytes);
	if (result < 0)
		return result;
	size = record->sealed_size - AEAD_TAG_SIZE;
	work_bind(mark, aad);
	aead_key_init(&key, key_bytes);
	result = aead_open(&key, work_nonce, aad, sizeof(aad), record->sealed, size, bytes, record->sealed + size);
	aead_key_fini(&key);
	bytes_wipe(key_bytes, sizeof(key_bytes));
	if (result == 0)
		result = work_decode(bytes, size, ret_work);
	bytes_wipe(bytes, sizeof(bytes));
	return result;
}

int mark_record_write(struct marks *marks, const struct mark *mark, uint32_t who_uid, struct err *err)
{
	uint8_t buffer[REG_RECORD_SIZE_MAX];
	struct reg_mark record;
	struct reg_change change;
	int result = record_make(marks, mark, &record);

	if (result < 0)
		return err_set(err, result, "the mark's key: %s", strerror(-result));
	change = reg_mark_put(&record, buffer);
	return reg_change(marks->reg, &change, 1, who_uid, MARK_REASON, err);
}
