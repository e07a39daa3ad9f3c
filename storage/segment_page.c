#include "storage/segment_page.h"

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

#define SCENE_COLUMNS 3
#define SCENES_FIXED (2 + SCENE_COLUMNS * 9)

size_t segment_scenes_encode(const struct segment_scene *scenes, unsigned count, uint8_t *page)
{
	uint64_t values[SCENE_COLUMNS][SEGMENT_PAGE_SCENES];
	uint8_t *at = page + SCENES_FIXED;

	for (unsigned i = 0; i < count; i++) {
		values[0][i] = scenes[i].camera;
		values[1][i] = scenes[i].second;
		values[2][i] = scenes[i].row;
	}
	le16_put(page, (uint16_t)count);
	for (unsigned c = 0; c < SCENE_COLUMNS; c++) {
		struct column column = column_plan(values[c], count);

		page[2 + c] = (uint8_t)column.width;
		le64_put(page + 2 + SCENE_COLUMNS + 8 * c, column.base);
		at += column_pack(column, values[c], count, at);
	}
	return (size_t)(at - page);
}

int segment_scenes_decode(const uint8_t *page, size_t size, struct segment_scene *ret_scenes, uint32_t *ret_count)
{
	struct segment_cursor cursor = {page + SCENES_FIXED, page + size};
	uint64_t values[SCENE_COLUMNS][SEGMENT_PAGE_SCENES];
	unsigned count;

	if (size < SCENES_FIXED)
		return -EBADMSG;
	count = le16_get(page);
	if (count == 0 || count > SEGMENT_PAGE_SCENES)
		return -EBADMSG;
	for (unsigned c = 0; c < SCENE_COLUMNS; c++) {
		struct column column = {le64_get(page + 2 + SCENE_COLUMNS + 8 * c), page[2 + c]};
		const uint8_t *bytes;

		if (column.width > 32)
			return -EBADMSG;
		bytes = segment_cursor_take(&cursor, column_size(column.width, count));
		if (bytes == NULL)
			return -EBADMSG;
		(void)column_unpack(column, bytes, count, values[c]);
	}
	if (cursor.at != cursor.end)
		return -EBADMSG;
	for (unsigned i = 0; i < count; i++)
		ret_scenes[i] =
			(struct segment_scene){(uint32_t)values[0][i], (uint32_t)values[1][i], (uint32_t)values[2][i]};
	*ret_count = count;
	return 0;
}

#define HIT_SIZE 20
#define HITS_FIXED 4

size_t segment_hits_encode(const struct hit *hits, unsigned count, uint8_t *page)
{
	uint8_t *at = page + HITS_FIXED;

	le32_put(page, count);
	for (unsigned i = 0; i < count; i++, at += HIT_SIZE) {
		le32_put(at, hits[i].row);
		le32_put(at + 4, hits[i].list);
		le32_put(at + 8, hits[i].version);
		le32_put(at + 12, hits[i].entry);
		at[16] = hits[i].kind;
		at[17] = hits[i].priority;
		le16_put(at + 18, hits[i].zero);
	}
	return (size_t)(at - page);
}

int segment_hits_decode(const uint8_t *page, size_t size, struct hit *ret_hits, uint32_t *ret_count)
{
	const uint8_t *at = page + HITS_FIXED;
	uint32_t count;

	if (size < HITS_FIXED)
		return -EBADMSG;
	count = le32_get(page);
	if (count == 0 || count > SEGMENT_PAGE_HITS || size != HITS_FIXED + (size_t)count * HIT_SIZE)
		return -EBADMSG;
	for (uint32_t i = 0; i < count; i++, at += HIT_SIZE)
		ret_hits[i] = (struct hit){.row = le32_get(at),
					   .list = le32_get(at + 4),
					   .version = le32_get(at + 8),
					   .entry = le32_get(at + 12),
					   .kind = at[16],
					   .priority = at[17],
					   .zero = le16_get(at + 18)};
	*ret_count = count;
	return 0;
}
