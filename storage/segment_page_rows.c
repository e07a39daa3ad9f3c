#include "storage/segment_page.h"

#include <errno.h>
#include <string.h>

#include "appliance/base/bytes.h"
#include "storage/column.h"
#include "storage/segment_cursor.h"

#define SIGN (UINT64_C(1) << 63)

/* Stable: the order of a row page's columns. */
enum row_column {
	COLUMN_CAPTURE,
	COLUMN_DELAY, /* receipt − capture */
	COLUMN_CAMERA,
	COLUMN_FEED,
	COLUMN_EPOCH,
	COLUMN_COUNTRY,
	COLUMN_FLAGS,
	COLUMN_KIND,
	COLUMN_CONFIDENCE,
	COLUMN_ROAD_LANE,
	COLUMN_DIRECTION,
	COLUMN_IMAGES,
	COLUMN_SPARE,
	COLUMN_FORM, /* enum row_form bits */
	COLUMN_COUNT
};

enum row_form {
	FORM_TEXT_IS_KEY = 0,
	FORM_TEXT_AGAIN = 1, /* the previous row's */
	FORM_TEXT_PATCH = 2, /* the key but for a few bytes: a mask and those */
	FORM_TEXT_WHOLE = 3,
	FORM_TEXT_MASK = 3,
	FORM_POSITION = 4,
	FORM_NEW_KEY = 8,
};

#define ROWS_FIXED (4 + COLUMN_COUNT * 9)

static unsigned difference_mask(const uint8_t *a, const uint8_t *b)
{
	unsigned mask = 0;

	for (unsigned i = 0; i < READ_TEXT_SIZE; i++)
		mask |= (unsigned)(a[i] != b[i]) << i;
	return mask;
}

static uint8_t *put_text_patch(uint8_t *at, const uint8_t *text, unsigned mask)
{
	le16_put(at, (uint16_t)mask);
	at += 2;
	for (; mask != 0; mask &= mask - 1)
		*at++ = text[__builtin_ctz(mask)];
	return at;
}

/* Writes what the row's form needs beside its columns; returns the form. */
static unsigned put_extra(const struct read *row, const struct read *previous, uint8_t **at)
{
	unsigned form = FORM_TEXT_IS_KEY;
	unsigned mask;

	if (previous == NULL || memcmp(row->key, previous->key, READ_TEXT_SIZE) != 0)
		form |= FORM_NEW_KEY;
	if (memcmp(row->text, row->key, READ_TEXT_SIZE) == 0) {
		form |= FORM_TEXT_IS_KEY;
	} else if (previous != NULL && memcmp(row->text, previous->text, READ_TEXT_SIZE) == 0) {
		form |= FORM_TEXT_AGAIN;
	} else {
		unsigned size = segment_text_size(row->text);

		mask = difference_mask(row->text, row->key);
		if (2 + (unsigned)__builtin_popcount(mask) < 1 + size) {
			form |= FORM_TEXT_PATCH;
			*at = put_text_patch(*at, row->text, mask);
		} else {
			form |= FORM_TEXT_WHOLE;
			*(*at)++ = (uint8_t)size;
			memcpy(*at, row->text, READ_TEXT_SIZE);
			*at += size;
		}
	}
	if (row->lat_e7 != 0 || row->lon_e7 != 0) {
		form |= FORM_POSITION;
		le32_put(*at, (uint32_t)row->lat_e7);
		le32_put(*at + 4, (uint32_t)row->lon_e7);
		*at += 8;
	}
	return form;
}

/* One byte (shared prefix, rest − 1), then the rest. The rest of a key that differs is never empty. */
static uint8_t *put_key(uint8_t *at, const uint8_t *key, const uint8_t *previous)
{
	unsigned mask = difference_mask(key, previous);
	unsigned shared = mask != 0 ? (unsigned)__builtin_ctz(mask) : 0;
	unsigned size = segment_text_size(key);
	unsigned rest = size > shared ? size - shared : 1;

	*at++ = (uint8_t)(shared << 4 | (rest - 1));
	memcpy(at, key + shared, rest);
	return at + rest;
}

static void gather_columns(const struct read *rows, unsigned count, uint64_t values[][SEGMENT_PAGE_ROWS])
{
	for (unsigned i = 0; i < count; i++) {
		const struct read *row = &rows[i];

		values[COLUMN_CAPTURE][i] = (uint64_t)row->capture_us ^ SIGN;
		values[COLUMN_DELAY][i] = ((uint64_t)row->receipt_us - (uint64_t)row->capture_us) ^ SIGN;
		values[COLUMN_CAMERA][i] = row->camera;
		values[COLUMN_FEED][i] = row->feed;
		values[COLUMN_EPOCH][i] = row->epoch;
		values[COLUMN_COUNTRY][i] = row->country;
		values[COLUMN_FLAGS][i] = row->flags;
		values[COLUMN_KIND][i] = row->kind;
		values[COLUMN_CONFIDENCE][i] = row->confidence;
		values[COLUMN_ROAD_LANE][i] = row->road_lane;
		values[COLUMN_DIRECTION][i] = row->direction;
		values[COLUMN_IMAGES][i] = row->images;
		values[COLUMN_SPARE][i] = row->zero[0] | (uint64_t)row->zero[1] << 8 | (uint64_t)row->zero[2] << 16;
	}
}

const char *segment_row_part_name(unsigned part)
{
	static const char *const names[SEGMENT_ROW_PARTS] = {
		"capture",    "delay",     "camera",    "feed",   "epoch", "country", "flags",         "kind",
		"confidence", "road_lane", "direction", "images", "spare", "form",    "key and extras"};

	return names[part];
}

size_t segment_rows_encode_counted(const struct read *rows, unsigned count, uint8_t *page,
				   uint64_t sums[SEGMENT_ROW_PARTS])
{
	static const uint8_t no_key[READ_TEXT_SIZE];
	uint64_t values[COLUMN_COUNT][SEGMENT_PAGE_ROWS];
	uint8_t extras[SEGMENT_PAGE_ROWS * (1 + READ_TEXT_SIZE + 8) + READ_TEXT_SIZE];
	uint8_t *extra = extras;
	uint8_t *at = page + ROWS_FIXED;
	unsigned key_count = 0;

	gather_columns(rows, count, values);
	for (unsigned i = 0; i < count; i++)
		values[COLUMN_FORM][i] = put_extra(&rows[i], i > 0 ? &rows[i - 1] : NULL, &extra);
	for (unsigned c = 0; c < COLUMN_COUNT; c++) {
		struct column column = column_plan(values[c], count);

		page[4 + c] = (uint8_t)column.width;
		le64_put(page + 4 + COLUMN_COUNT + 8 * c, column.base);
		at += column_pack(column, values[c], count, at);
		sums[c] += column_size(column.width, count);
	}
	sums[COLUMN_COUNT] += (size_t)(extra - extras);
	for (unsigned i = 0; i < count; i++) {
		if ((values[COLUMN_FORM][i] & FORM_NEW_KEY) != 0) {
			at = put_key(at, rows[i].key, i > 0 ? rows[i - 1].key : no_key);
			key_count++;
		}
	}
	le16_put(page, (uint16_t)count);
	le16_put(page + 2, (uint16_t)key_count);
	memcpy(at, extras, (size_t)(extra - extras));
	return (size_t)(at - page) + (size_t)(extra - extras);
}

size_t segment_rows_encode(const struct read *rows, unsigned count, uint8_t *page)
{
	uint64_t sums[SEGMENT_ROW_PARTS] = {0};

	return segment_rows_encode_counted(rows, count, page, sums);
}

static int get_key(struct segment_cursor *cursor, uint8_t key[READ_TEXT_SIZE])
{
	const uint8_t *head = segment_cursor_take(cursor, 1);
	unsigned shared, rest;
	const uint8_t *bytes;

	if (head == NULL)
		return -EBADMSG;
	shared = *head >> 4;
	rest = (*head & 15u) + 1;
	bytes = segment_cursor_take(cursor, rest);
	if (bytes == NULL || shared + rest > READ_TEXT_SIZE)
		return -EBADMSG;
	memset(key + shared, 0, READ_TEXT_SIZE - shared);
	memcpy(key + shared, bytes, rest);
	return 0;
}

static int get_text(struct segment_cursor *cursor, unsigned form, const struct read *previous, struct read *row)
{
	const uint8_t *bytes;
	unsigned mask;

	memcpy(row->text, row->key, READ_TEXT_SIZE);
	switch (form & FORM_TEXT_MASK) {
	case FORM_TEXT_AGAIN:
		if (previous == NULL)
			return -EBADMSG;
		memcpy(row->text, previous->text, READ_TEXT_SIZE);
		break;
	case FORM_TEXT_PATCH:
		bytes = segment_cursor_take(cursor, 2);
		if (bytes == NULL)
			return -EBADMSG;
		mask = le16_get(bytes);
		bytes = segment_cursor_take(cursor, (unsigned)__builtin_popcount(mask));
		if (bytes == NULL)
			return -EBADMSG;
		for (; mask != 0; mask &= mask - 1)
			row->text[__builtin_ctz(mask)] = *bytes++;
		break;
	case FORM_TEXT_WHOLE:
		bytes = segment_cursor_take(cursor, 1);
		if (bytes == NULL || *bytes > READ_TEXT_SIZE || (size_t)(cursor->end - cursor->at) < *bytes)
			return -EBADMSG;
		memset(row->text, 0, READ_TEXT_SIZE);
		memcpy(row->text, cursor->at, *bytes);
		cursor->at += *bytes;
		break;
	default:
		break;
	}
	return 0;
}

static int get_extra(struct segment_cursor *cursor, unsigned form, const struct read *previous, struct read *row)
{
	const uint8_t *position;
	int r = get_text(cursor, form, previous, row);

	row->lat_e7 = 0;
	row->lon_e7 = 0;
	if (r < 0 || (form & FORM_POSITION) == 0)
		return r;
	position = segment_cursor_take(cursor, 8);
	if (position == NULL)
		return -EBADMSG;
	row->lat_e7 = (int32_t)le32_get(position);
	row->lon_e7 = (int32_t)le32_get(position + 4);
	return 0;
}

static void set_column(enum row_column c, const uint64_t *values, unsigned count, struct read *rows)
{
#define SET(column, expression)                                                                                        \
	case column:                                                                                                   \
		for (unsigned i = 0; i < count; i++) {                                                                 \
			uint64_t value = values[i];                                                                    \
			struct read *row = &rows[i];                                                                   \
			expression;                                                                                    \
		}                                                                                                      \
		break
	switch (c) {
		SET(COLUMN_CAPTURE, row->capture_us = (int64_t)(value ^ SIGN));
		SET(COLUMN_DELAY, row->receipt_us = (int64_t)((value ^ SIGN) + (uint64_t)row->capture_us));
		SET(COLUMN_CAMERA, row->camera = (uint32_t)value);
		SET(COLUMN_FEED, row->feed = (uint32_t)value);
		SET(COLUMN_EPOCH, row->epoch = (uint32_t)value);
		SET(COLUMN_COUNTRY, row->country = (uint16_t)value);
		SET(COLUMN_FLAGS, row->flags = (uint16_t)value);
		SET(COLUMN_KIND, row->kind = (uint8_t)value);
		SET(COLUMN_CONFIDENCE, row->confidence = (uint8_t)value);
		SET(COLUMN_ROAD_LANE, row->road_lane = (uint8_t)value);
		SET(COLUMN_DIRECTION, row->direction = (uint8_t)value);
		SET(COLUMN_IMAGES, row->images = (uint8_t)value);
		SET(COLUMN_SPARE, (row->zero[0] = (uint8_t)value, row->zero[1] = (uint8_t)(value >> 8),
				   row->zero[2] = (uint8_t)(value >> 16)));
	default:
		break;
	}
#undef SET
}

/* Leaves the forms in `values`, the last column. */
static int get_columns(const uint8_t *page, struct segment_cursor *cursor, unsigned count, struct read *rows,
		       uint64_t *values)
{
	for (unsigned c = 0; c < COLUMN_COUNT; c++) {
		struct column column = {le64_get(page + 4 + COLUMN_COUNT + 8 * c), page[4 + c]};
		const uint8_t *bytes;

		if (column.width > 64)
			return -EBADMSG;
		bytes = segment_cursor_take(cursor, column_size(column.width, count));
		if (bytes == NULL)
			return -EBADMSG;
		(void)column_unpack(column, bytes, count, values);
		set_column((enum row_column)c, values, count, rows);
	}
	return 0;
}

int segment_rows_decode(const uint8_t *page, size_t size, struct read *ret_rows, uint32_t *ret_count)
{
	struct segment_cursor cursor = {page + ROWS_FIXED, page + size};
	uint64_t forms[SEGMENT_PAGE_ROWS];
	uint8_t key[READ_TEXT_SIZE] = {0};
	unsigned count, key_count, keys = 0;

	if (size < ROWS_FIXED)
		return -EBADMSG;
	count = le16_get(page);
	key_count = le16_get(page + 2);
	if (count == 0 || count > SEGMENT_PAGE_ROWS || get_columns(page, &cursor, count, ret_rows, forms) < 0 ||
	    (forms[0] & FORM_NEW_KEY) == 0)
		return -EBADMSG;
	for (unsigned i = 0; i < count; i++) {
		if ((forms[i] & FORM_NEW_KEY) != 0) {
			if (get_key(&cursor, key) < 0)
				return -EBADMSG;
			keys++;
		}
		memcpy(ret_rows[i].key, key, READ_TEXT_SIZE);
	}
	for (unsigned i = 0; i < count; i++)
		if (get_extra(&cursor, (unsigned)forms[i], i > 0 ? &ret_rows[i - 1] : NULL, &ret_rows[i]) < 0)
			return -EBADMSG;
	if (keys != key_count || cursor.at != cursor.end)
		return -EBADMSG;
	*ret_count = count;
	return 0;
}
