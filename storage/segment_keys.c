#include "storage/segment_keys.h"

#include <errno.h>
#include <string.h>

#include "appliance/base/bytes.h"
#include "storage/column.h"
#include "storage/segment_cursor.h"

#define KEYS_FIXED 16

size_t segment_keys_encode(const uint8_t (*keys)[16], const uint32_t *counts, unsigned count, uint32_t first_row,
			   uint8_t *page)
{
	uint64_t values[SEGMENT_PAGE_KEYS] = {0};
	uint8_t *at = page + KEYS_FIXED;
	unsigned key_size = 8;
	struct column column;

	for (unsigned i = 0; i < count; i++) {
		values[i] = counts[i];
		if (segment_text_size(keys[i]) > 8)
			key_size = 16;
	}
	column = column_plan(values, count);
	le16_put(page, (uint16_t)count);
	page[2] = (uint8_t)key_size;
	page[3] = (uint8_t)column.width;
	le32_put(page + 4, first_row);
	le64_put(page + 8, column.base);
	for (unsigned i = 0; i < count; i++, at += key_size)
		memcpy(at, keys[i], key_size);
	return (size_t)(at - page) + column_pack(column, values, count, at);
}

/* Two loops with fixed sizes: a dictionary scan lives on them. */
static void copy_keys(const uint8_t *from, unsigned key_size, unsigned count, uint8_t (*ret_keys)[16])
{
	if (key_size == 16) {
		memcpy(ret_keys, from, (size_t)count * 16);
		return;
	}
	for (unsigned i = 0; i < count; i++) {
		memcpy(ret_keys[i], from + (size_t)i * 8, 8);
		memset(ret_keys[i] + 8, 0, 8);
	}
}

int segment_keys_decode(const uint8_t *page, size_t size, uint8_t (*ret_keys)[16], uint32_t *ret_first_rows,
			uint32_t *ret_count)
{
	uint64_t values[SEGMENT_PAGE_KEYS];
	unsigned count, key_size;
	struct column column;
	uint64_t row;

	if (size < KEYS_FIXED)
		return -EBADMSG;
	count = le16_get(page);
	key_size = page[2];
	column = (struct column){le64_get(page + 8), page[3]};
	row = le32_get(page + 4);
	if (count == 0 || count > SEGMENT_PAGE_KEYS || (key_size != 8 && key_size != 16) || column.width > 32 ||
	    size != KEYS_FIXED + (size_t)count * key_size + column_size(column.width, count))
		return -EBADMSG;
	(void)column_unpack(column, page + KEYS_FIXED + (size_t)count * key_size, count, values);
	copy_keys(page + KEYS_FIXED, key_size, count, ret_keys);
	for (unsigned i = 0; i < count; i++) {
		ret_first_rows[i] = (uint32_t)row;
		row += values[i];
		if (values[i] == 0 || row > SEGMENT_ROWS_MAX)
			return -EBADMSG;
	}
	ret_first_rows[count] = (uint32_t)row;
	*ret_count = count;
	return 0;
}
