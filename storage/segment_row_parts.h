/* Inside of the row page: what its encoder (segment_page_rows.c) and decoder (segment_page_decode.c) share. */
#ifndef GANTRY_STORAGE_SEGMENT_ROW_PARTS_H
#define GANTRY_STORAGE_SEGMENT_ROW_PARTS_H

#include "storage/segment_page.h"

/* Stable: the order of the parts in a page. The first nine are columns over all rows. */
enum row_part {
	PART_COUNTRY,
	PART_FLAGS,
	PART_KIND,
	PART_CONFIDENCE,
	PART_ROAD_LANE,
	PART_DIRECTION,
	PART_IMAGES,
	PART_SPARE, /* the read's zero bytes, 24 bits */
	PART_FORM,  /* enum row_form */
	PART_COLUMNS,
	PART_GROUPS = PART_COLUMNS, /* rows of each key */
	PART_KEYS,
	PART_CAPTURE,
	PART_DELAY,  /* column: receipt − capture */
	PART_CAMERA, /* column */
	PART_SOURCES,
	PART_POSITIONS,
	PART_TEXTS,
	PART_COUNT
};
static_assert(PART_COUNT == SEGMENT_ROW_PARTS, "the header promises it");

enum row_form {
	FORM_TEXT = 1,     /* not the text expected: it stands among the texts */
	FORM_POSITION = 2, /* a position without READ_FLAG_POSITION, or the flag without one */
	FORM_ALL = 3,
};

#define ROWS_FIXED 2 /* the row count */
/* Columns side by side in memory: not 4 KiB apart, or all would want the same lines of the cache. */
#define COLUMN_STRIDE (SEGMENT_PAGE_ROWS + 8)

/*
 * Capture times: within a group (the rows of one key) each row's distance from the one before, the first row's from the
 * page's base. Groups of at least so many rows have a width of their own; the others share one.
 */
#define GROUP_WIDE_ROWS 4
#define CAPTURE_FIXED 9 /* base, shared width */

static inline bool row_has_position(const struct read *row)
{
	return row->lat_e7 != 0 || row->lon_e7 != 0;
}

#endif
