/*
 * The plain bytes of a segment's data pages: encode for the writer, decode for the reader. Pure functions, any thread.
 *
 * A row page stands for itself: each field as a column (column_code.h), the keys of its groups of rows, times in the
 * width of their group, sources predicted from cameras, and texts only where the key does not let one expect them. Any
 * rows come back bit for bit.
 */
#ifndef GANTRY_STORAGE_SEGMENT_PAGE_H
#define GANTRY_STORAGE_SEGMENT_PAGE_H

#include <stddef.h>
#include <stdint.h>

#include "appliance/base/read.h"
#include "storage/segment_format.h"

/* Bytes that an encoder may write: the largest page, its tag, and what packing writes beyond its end. */
#define SEGMENT_PAGE_ROOM (SEGMENT_PAGE_SIZE_MAX + 64)

/* Rows in store order, 1 … SEGMENT_PAGE_ROWS. Returns the size. */
size_t segment_rows_encode(const struct read *rows, unsigned count, uint8_t *page);
/* The same; adds the bytes of each part of the page to its sum. What is in none of them is the page's frame. */
#define SEGMENT_ROW_PARTS 17
size_t segment_rows_encode_counted(const struct read *rows, unsigned count, uint8_t *page,
				   uint64_t sums[SEGMENT_ROW_PARTS]);
const char *segment_row_part_name(unsigned part);

/* -EBADMSG when the bytes are not a page. 16 bytes behind `size` are readable (the tag is there). */
int segment_rows_decode(const uint8_t *page, size_t size, struct read *ret_rows, uint32_t *ret_count);

/*
 * A scene: in this unit of the day the camera made reads that stand in this row page. Sorted by (camera, unit, page),
 * each once: the index of "all reads at these cameras in this window".
 */
#define SEGMENT_SCENE_UNIT_S 16
struct segment_scene {
	uint32_t camera;
	uint32_t unit; /* of SEGMENT_SCENE_UNIT_S seconds, from the day's midnight UTC */
	uint32_t page; /* number of a row page */
};
/* 1 … SEGMENT_PAGE_SCENES, in order. Returns the size. */
size_t segment_scenes_encode(const struct segment_scene *scenes, unsigned count, uint8_t *page);
int segment_scenes_decode(const uint8_t *page, size_t size, struct segment_scene *ret_scenes, uint32_t *ret_count);

size_t segment_hits_encode(const struct hit *hits, unsigned count, uint8_t *page);
int segment_hits_decode(const uint8_t *page, size_t size, struct hit *ret_hits, uint32_t *ret_count);

#endif
