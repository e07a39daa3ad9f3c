#include "storage/segment_page.h"

#include <errno.h>
#include <string.h>

#include "appliance/base/bytes.h"
#include "storage/column.h"
#include "storage/segment_cursor.h"

#define SCENE_COLUMNS 3
#define SCENES_FIXED (2 + SCENE_COLUMNS * 9)

size_t segment_scenes_encode(const struct segment_scene *scenes, unsigned count, uint8_t *page)
{
	uint64_t values[SCENE_COLUMNS][SEGMENT_PAGE_SCENES];
	uint8_t *at = page + SCENES_FIXED;

	for (unsigned i = 0; i < count; i++) {
		values[0][i] = scenes[i].camera;
		values[1][i] = scenes[i].unit;
		values[2][i] = scenes[i].page;
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
