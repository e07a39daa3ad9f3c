/*
 * The value of a register's record as bytes: a version first, then its fields, none of them left over. Any thread.
 */
#ifndef GANTRY_STORAGE_REGISTER_CURSOR_H
#define GANTRY_STORAGE_REGISTER_CURSOR_H

#include <assert.h>

#include "storage/cursor.h"
#include "storage/register.h"

#define REG_RECORD_VERSION 1 /* of all that have had but one layout */

static inline struct cursor reg_record_begin(uint8_t buffer[REG_RECORD_SIZE_MAX], uint8_t version)
{
	struct cursor cursor = cursor_over(buffer, REG_RECORD_SIZE_MAX);

	cursor_put_u8(&cursor, version);
	return cursor;
}

/* Its size. That every record fits is its codec's to prove. */
static inline size_t reg_record_end(const struct cursor *cursor, const uint8_t *buffer)
{
	assert(!cursor->bad);
	return (size_t)(cursor->at - buffer);
}

/* A cursor that is bad at once for another version. */
static inline struct cursor reg_record_read(const void *bytes, size_t size)
{
	struct cursor cursor = cursor_over(bytes, size);

	if (cursor_get_u8(&cursor) != REG_RECORD_VERSION)
		cursor.bad = true;
	return cursor;
}

/* A byte below `bound`: any other is not ours. */
static inline uint8_t reg_get_below(struct cursor *cursor, unsigned bound)
{
	uint8_t value = cursor_get_u8(cursor);

	if (value >= bound)
		cursor->bad = true;
	return value;
}

static inline bool reg_get_flag(struct cursor *cursor)
{
	return reg_get_below(cursor, 2) == 1;
}

#endif
