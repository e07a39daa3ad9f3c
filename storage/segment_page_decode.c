/*
 * The way back from a row page. The nine small columns are read first: what is the same in all rows goes into one
 * template row, which is then laid down once a row together with its key and expected text; only what differs is set
 * row by row.
 */
#include <errno.h>
#include <string.h>

#include "appliance/base/bytes.h"
#include "storage/column_code.h"
#include "storage/segment_row_parts.h"
#include "storage/segment_sources.h"
#include "storage/segment_text.h"
#include "storage/varint.h"

struct decoder {
	struct segment_cursor cursor;
	struct read *rows;
	unsigned count;
	unsigned groups;
	uint16_t group_sizes[SEGMENT_PAGE_ROWS];
	bool same[PART_COLUMNS]; /* of a column: values[0] stands for all rows */
	uint64_t values[PART_COLUMNS][COLUMN_STRIDE];
};

static void set_column(enum row_part part, const uint64_t *values, unsigned count, struct read *rows)
{
#define SET(column, expression)                                                                                        \
	case column:                                                                                                   \
		for (unsigned i = 0; i < count; i++) {                                                                 \
			uint64_t value = values[i];                                                                    \
			struct read *row = &rows[i];                                                                   \
			expression;                                                                                    \
		}                                                                                                      \
		break
	switch (part) {
		SET(PART_COUNTRY, row->country = (uint16_t)value);
		SET(PART_FLAGS, row->flags = (uint16_t)value);
		SET(PART_KIND, row->kind = (uint8_t)value);
		SET(PART_CONFIDENCE, row->confidence = (uint8_t)value);
		SET(PART_ROAD_LANE, row->road_lane = (uint8_t)value);
		SET(PART_DIRECTION, row->direction = (uint8_t)value);
		SET(PART_IMAGES, row->images = (uint8_t)value);
		SET(PART_SPARE, (row->zero[0] = (uint8_t)value, row->zero[1] = (uint8_t)(value >> 8),
				 row->zero[2] = (uint8_t)(value >> 16)));
		SET(PART_DELAY, row->receipt_us = (int64_t)(value + (uint64_t)row->capture_us));
		SET(PART_CAMERA, row->camera = (uint32_t)value);
	default:
		break;
	}
#undef SET
}

static int get_columns(struct decoder *decoder, struct read *ret_template)
{
	memset(ret_template, 0, sizeof(*ret_template));
	for (unsigned p = 0; p < PART_COLUMNS; p++) {
		int r = column_code_get(&decoder->cursor, decoder->count, decoder->values[p]);

		if (r < 0)
			return r;
		decoder->same[p] = r == 1;
		if (r == 1)
			set_column((enum row_part)p, decoder->values[p], 1, ret_template);
	}
	return 0;
}

static int get_groups(struct decoder *decoder)
{
	uint64_t sizes[SEGMENT_PAGE_ROWS];
	uint64_t groups;
	unsigned left = decoder->count;

	if (!varint_get(&decoder->cursor, &groups) || groups == 0 || groups > decoder->count ||
	    column_code_get_all(&decoder->cursor, (unsigned)groups, sizes) < 0)
		return -EBADMSG;
	decoder->groups = (unsigned)groups;
	for (unsigned g = 0; g < groups; g++) {
		if (sizes[g] == 0 || sizes[g] > left)
			return -EBADMSG;
		decoder->group_sizes[g] = (uint16_t)sizes[g];
		left -= (unsigned)sizes[g];
	}
	return left == 0 ? 0 : -EBADMSG;
}

/* Lays the rows down, each group with its key and the text that the key makes one expect. */
static int get_keys(struct decoder *decoder, struct read *template)
{
	struct bits_reader reader = {decoder->cursor.at, 0, (size_t)(decoder->cursor.end - decoder->cursor.at) * 8};
	struct read *row = decoder->rows;

	for (unsigned g = 0; g < decoder->groups; g++) {
		const struct read *end = row + decoder->group_sizes[g];

		if (segment_key_get(&reader, template->key) < 0)
			return -EBADMSG;
		segment_text_expect(template->key, template->text);
		while (row < end)
			*row++ = *template;
	}
	decoder->cursor.at += (reader.at + 7) / 8;
	return 0;
}

static int get_group_captures(struct bits_reader *reader, unsigned width, int64_t base, struct read *rows,
			      unsigned count)
{
	uint64_t at = (uint64_t)base;

	if (width > 64 || !bits_left(reader, (size_t)width * count))
		return -EBADMSG;
	if (width > BITS_FAST) {
		for (unsigned i = 0; i < count; i++) {
			at += bits_get(reader, width);
			rows[i].capture_us = (int64_t)at;
		}
		return 0;
	}
	for (unsigned i = 0; i < count; i++) {
		at += bits_get_fast(reader, width);
		rows[i].capture_us = (int64_t)at;
	}
	return 0;
}

static unsigned count_wide(const struct decoder *decoder)
{
	unsigned wide = 0;

	for (unsigned g = 0; g < decoder->groups; g++)
		wide += decoder->group_sizes[g] >= GROUP_WIDE_ROWS;
	return wide;
}

static int get_captures(struct decoder *decoder)
{
	const uint8_t *fixed = segment_cursor_take(&decoder->cursor, CAPTURE_FIXED);
	uint64_t widths[SEGMENT_PAGE_ROWS];
	struct bits_reader reader;
	unsigned wide = count_wide(decoder);
	struct read *row = decoder->rows;

	if (fixed == NULL || (wide > 0 && column_code_get_all(&decoder->cursor, wide, widths) < 0))
		return -EBADMSG;
	reader = (struct bits_reader){decoder->cursor.at, 0, (size_t)(decoder->cursor.end - decoder->cursor.at) * 8};
	wide = 0;
	for (unsigned g = 0; g < decoder->groups; g++) {
		unsigned size = decoder->group_sizes[g];
		uint64_t width = size >= GROUP_WIDE_ROWS ? widths[wide++] : fixed[8];

		if (width > 64 || get_group_captures(&reader, (unsigned)width, (int64_t)le64_get(fixed), row, size) < 0)
			return -EBADMSG;
		row += size;
	}
	decoder->cursor.at += (reader.at + 7) / 8;
	return 0;
}

static int get_column(struct decoder *decoder, enum row_part part)
{
	uint64_t values[SEGMENT_PAGE_ROWS];

	if (column_code_get_all(&decoder->cursor, decoder->count, values) < 0)
		return -EBADMSG;
	set_column(part, values, decoder->count, decoder->rows);
	return 0;
}

static unsigned form_of(const struct decoder *decoder, unsigned row)
{
	return (unsigned)decoder->values[PART_FORM][decoder->same[PART_FORM] ? 0 : row];
}

static int get_positions(struct decoder *decoder)
{
	uint64_t lat[SEGMENT_PAGE_ROWS], lon[SEGMENT_PAGE_ROWS];
	uint16_t which[SEGMENT_PAGE_ROWS];
	unsigned count = 0;

	for (unsigned i = 0; i < decoder->count; i++) {
		bool flagged = (decoder->rows[i].flags & READ_FLAG_POSITION) != 0;

		which[count] = (uint16_t)i;
		count += flagged != ((form_of(decoder, i) & FORM_POSITION) != 0);
	}
	if (count == 0)
		return 0;
	if (column_code_get_all(&decoder->cursor, count, lat) < 0 ||
	    column_code_get_all(&decoder->cursor, count, lon) < 0)
		return -EBADMSG;
	for (unsigned i = 0; i < count; i++) {
		decoder->rows[which[i]].lat_e7 = (int32_t)((uint32_t)lat[i] ^ UINT32_C(0x80000000));
		decoder->rows[which[i]].lon_e7 = (int32_t)((uint32_t)lon[i] ^ UINT32_C(0x80000000));
	}
	return 0;
}

/* Numbers of the rows whose text is not the expected one. */
static unsigned list_texts(const struct decoder *decoder, uint16_t *ret_rows)
{
	unsigned count = 0;

	if (decoder->same[PART_FORM] && (decoder->values[PART_FORM][0] & FORM_TEXT) == 0)
		return 0;
	for (unsigned i = 0; i < decoder->count; i++) {
		ret_rows[count] = (uint16_t)i;
		count += form_of(decoder, i) & FORM_TEXT;
	}
	return count;
}

/* Each changes the text that the row had from the one before it; then all of the group up to the next have it too. */
static int get_texts(struct decoder *decoder)
{
	uint16_t changed[SEGMENT_PAGE_ROWS];
	unsigned count = list_texts(decoder, changed);
	unsigned group = 0;
	unsigned end = decoder->group_sizes[0];

	for (unsigned c = 0; c < count; c++) {
		unsigned next = c + 1 < count ? changed[c + 1] : decoder->count - 1;
		struct read *row = &decoder->rows[changed[c]];

		while (changed[c] >= end)
			end += decoder->group_sizes[++group];
		if (segment_text_get(&decoder->cursor, row->text) < 0)
			return -EBADMSG;
		for (unsigned i = changed[c] + 1u; i <= next && i < end; i++)
			memcpy(decoder->rows[i].text, row->text, READ_TEXT_SIZE);
	}
	return 0;
}

static int get_all(struct decoder *decoder)
{
	struct read template;

	if (get_columns(decoder, &template) < 0 || get_groups(decoder) < 0 || get_keys(decoder, &template) < 0)
		return -EBADMSG;
	for (unsigned p = 0; p < PART_FORM; p++)
		if (!decoder->same[p])
			set_column((enum row_part)p, decoder->values[p], decoder->count, decoder->rows);
	if (get_captures(decoder) < 0 || get_column(decoder, PART_DELAY) < 0 || get_column(decoder, PART_CAMERA) < 0 ||
	    segment_sources_get(&decoder->cursor, decoder->count, decoder->rows) < 0 || get_positions(decoder) < 0 ||
	    get_texts(decoder) < 0)
		return -EBADMSG;
	return decoder->cursor.at == decoder->cursor.end ? 0 : -EBADMSG;
}

int segment_rows_decode(const uint8_t *page, size_t size, struct read *ret_rows, uint32_t *ret_count)
{
	struct decoder decoder;

	if (size < ROWS_FIXED)
		return -EBADMSG;
	decoder.cursor = (struct segment_cursor){page + ROWS_FIXED, page + size};
	decoder.rows = ret_rows;
	decoder.count = le16_get(page);
	if (decoder.count == 0 || decoder.count > SEGMENT_PAGE_ROWS || get_all(&decoder) < 0)
		return -EBADMSG;
	*ret_count = decoder.count;
	return 0;
}
