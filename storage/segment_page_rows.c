#include "storage/segment_page.h"

#include <string.h>

#include "appliance/base/bytes.h"
#include "storage/column_code.h"
#include "storage/segment_row_parts.h"
#include "storage/segment_sources.h"
#include "storage/segment_text.h"
#include "storage/varint.h"

/* A page in the making. */
struct encoder {
	const struct read *rows;
	unsigned count;
	unsigned groups;
	uint16_t group_sizes[SEGMENT_PAGE_ROWS];
	uint64_t values[PART_COLUMNS][COLUMN_STRIDE];
	uint8_t texts[SEGMENT_PAGE_ROWS * (1 + READ_TEXT_SIZE) + READ_TEXT_SIZE];
	size_t texts_size;
};

const char *segment_row_part_name(unsigned part)
{
	static const char *const names[SEGMENT_ROW_PARTS] = {[PART_COUNTRY] = "country",
							     [PART_FLAGS] = "flags",
							     [PART_KIND] = "kind",
							     [PART_CONFIDENCE] = "confidence",
							     [PART_ROAD_LANE] = "road_lane",
							     [PART_DIRECTION] = "direction",
							     [PART_IMAGES] = "images",
							     [PART_SPARE] = "spare",
							     [PART_FORM] = "form",
							     [PART_GROUPS] = "groups",
							     [PART_KEYS] = "key",
							     [PART_CAPTURE] = "capture",
							     [PART_DELAY] = "delay",
							     [PART_CAMERA] = "camera",
							     [PART_SOURCES] = "source",
							     [PART_POSITIONS] = "position",
							     [PART_TEXTS] = "text"};

	return names[part];
}

static void gather_columns(struct encoder *encoder)
{
	for (unsigned i = 0; i < encoder->count; i++) {
		const struct read *row = &encoder->rows[i];

		encoder->values[PART_COUNTRY][i] = row->country;
		encoder->values[PART_FLAGS][i] = row->flags;
		encoder->values[PART_KIND][i] = row->kind;
		encoder->values[PART_CONFIDENCE][i] = row->confidence;
		encoder->values[PART_ROAD_LANE][i] = row->road_lane;
		encoder->values[PART_DIRECTION][i] = row->direction;
		encoder->values[PART_IMAGES][i] = row->images;
		encoder->values[PART_SPARE][i] =
			row->zero[0] | (uint64_t)row->zero[1] << 8 | (uint64_t)row->zero[2] << 16;
	}
}

/* Runs of one key; and what of each row the rest of the page does not tell. */
static void gather_groups(struct encoder *encoder)
{
	uint8_t expected[READ_TEXT_SIZE];
	uint8_t *text = encoder->texts;

	for (unsigned i = 0; i < encoder->count; i++) {
		const struct read *row = &encoder->rows[i];
		bool flagged = (row->flags & READ_FLAG_POSITION) != 0;
		unsigned form = row_has_position(row) != flagged ? FORM_POSITION : 0;

		if (i == 0 || !bytes_equal_16(row->key, row[-1].key)) {
			encoder->group_sizes[encoder->groups++] = 0;
			segment_text_expect(row->key, expected);
		}
		encoder->group_sizes[encoder->groups - 1]++;
		if (!bytes_equal_16(row->text, expected)) {
			form |= FORM_TEXT;
			text = segment_text_put(text, row->text, expected);
			memcpy(expected, row->text, READ_TEXT_SIZE);
		}
		encoder->values[PART_FORM][i] = form;
	}
	encoder->texts_size = (size_t)(text - encoder->texts);
}

static uint8_t *put_groups(const struct encoder *encoder, uint8_t *at)
{
	uint64_t sizes[SEGMENT_PAGE_ROWS];

	for (unsigned g = 0; g < encoder->groups; g++)
		sizes[g] = encoder->group_sizes[g];
	at = varint_put(at, encoder->groups);
	return column_code_put(sizes, encoder->groups, at);
}

static uint8_t *put_keys(const struct encoder *encoder, uint8_t *at)
{
	static const uint8_t no_key[READ_TEXT_SIZE];
	struct bits_writer writer = {.at = at};
	const struct read *row = encoder->rows;

	for (unsigned g = 0; g < encoder->groups; g++) {
		segment_key_put(&writer, row->key, g > 0 ? row[-1].key : no_key);
		row += encoder->group_sizes[g];
	}
	return bits_end(&writer);
}

/* Distances, and the width that the largest of each wide group needs; returns that of all others. */
static unsigned gather_captures(const struct encoder *encoder, int64_t base, uint64_t *distances, uint64_t *widths,
				unsigned *ret_wide)
{
	uint64_t others = 0;
	unsigned wide = 0;
	unsigned i = 0;

	for (unsigned g = 0; g < encoder->groups; g++) {
		unsigned end = i + encoder->group_sizes[g];
		int64_t last = base;
		uint64_t all = 0;

		for (; i < end; i++) {
			distances[i] = (uint64_t)encoder->rows[i].capture_us - (uint64_t)last;
			last = encoder->rows[i].capture_us;
			all |= distances[i];
		}
		if (encoder->group_sizes[g] >= GROUP_WIDE_ROWS)
			widths[wide++] = bits_of(all);
		else
			others |= all;
	}
	*ret_wide = wide;
	return bits_of(others);
}

static uint8_t *put_captures(const struct encoder *encoder, uint8_t *at)
{
	uint64_t distances[SEGMENT_PAGE_ROWS];
	uint64_t widths[SEGMENT_PAGE_ROWS];
	int64_t base = encoder->rows[0].capture_us;
	struct bits_writer writer = {0};
	unsigned shared, wide;

	for (unsigned i = 1; i < encoder->count; i++)
		base = encoder->rows[i].capture_us < base ? encoder->rows[i].capture_us : base;
	shared = gather_captures(encoder, base, distances, widths, &wide);
	le64_put(at, (uint64_t)base);
	at[8] = (uint8_t)shared;
	writer.at = wide > 0 ? column_code_put(widths, wide, at + CAPTURE_FIXED) : at + CAPTURE_FIXED;
	wide = 0;
	for (unsigned g = 0, i = 0; g < encoder->groups; g++) {
		unsigned end = i + encoder->group_sizes[g];
		unsigned width = encoder->group_sizes[g] >= GROUP_WIDE_ROWS ? (unsigned)widths[wide++] : shared;

		for (; i < end; i++)
			bits_put(&writer, distances[i], width);
	}
	return bits_end(&writer);
}

static uint8_t *put_delays(const struct encoder *encoder, uint8_t *at)
{
	uint64_t values[SEGMENT_PAGE_ROWS];

	for (unsigned i = 0; i < encoder->count; i++)
		values[i] = (uint64_t)encoder->rows[i].receipt_us - (uint64_t)encoder->rows[i].capture_us;
	return column_code_put(values, encoder->count, at);
}

static uint8_t *put_cameras(const struct encoder *encoder, uint8_t *at)
{
	uint64_t values[SEGMENT_PAGE_ROWS];

	for (unsigned i = 0; i < encoder->count; i++)
		values[i] = encoder->rows[i].camera;
	return column_code_put(values, encoder->count, at);
}

static uint8_t *put_positions(const struct encoder *encoder, uint8_t *at)
{
	uint64_t lat[SEGMENT_PAGE_ROWS], lon[SEGMENT_PAGE_ROWS];
	unsigned count = 0;

	for (unsigned i = 0; i < encoder->count; i++) {
		if (!row_has_position(&encoder->rows[i]))
			continue;
		lat[count] = (uint32_t)encoder->rows[i].lat_e7 ^ UINT32_C(0x80000000);
		lon[count++] = (uint32_t)encoder->rows[i].lon_e7 ^ UINT32_C(0x80000000);
	}
	if (count == 0)
		return at;
	at = column_code_put(lat, count, at);
	return column_code_put(lon, count, at);
}

static uint8_t *put_texts(const struct encoder *encoder, uint8_t *at)
{
	memcpy(at, encoder->texts, encoder->texts_size);
	return at + encoder->texts_size;
}

size_t segment_rows_encode_counted(const struct read *rows, unsigned count, uint8_t *page,
				   uint64_t sums[SEGMENT_ROW_PARTS])
{
	static uint8_t *(*const put[PART_COUNT])(const struct encoder *, uint8_t *) = {
		[PART_GROUPS] = put_groups,       [PART_KEYS] = put_keys,      [PART_CAPTURE] = put_captures,
		[PART_DELAY] = put_delays,        [PART_CAMERA] = put_cameras, [PART_SOURCES] = NULL,
		[PART_POSITIONS] = put_positions, [PART_TEXTS] = put_texts};
	struct encoder encoder;
	uint8_t *at = page + ROWS_FIXED;

	encoder.rows = rows;
	encoder.count = count;
	encoder.groups = 0;
	gather_columns(&encoder);
	gather_groups(&encoder);
	le16_put(page, (uint16_t)count);
	for (unsigned p = 0; p < PART_COUNT; p++) {
		const uint8_t *start = at;

		if (p < PART_COLUMNS)
			at = column_code_put(encoder.values[p], count, at);
		else if (p == PART_SOURCES)
			at = segment_sources_put(rows, count, at);
		else
			at = put[p](&encoder, at);
		sums[p] += (uint64_t)(at - start);
	}
	return (size_t)(at - page);
}

size_t segment_rows_encode(const struct read *rows, unsigned count, uint8_t *page)
{
	uint64_t sums[SEGMENT_ROW_PARTS] = {0};

	return segment_rows_encode_counted(rows, count, page, sums);
}
