/*
 * Inside of the segment reader, shared by segment_open.c, segment_read.c, segment_check.c, segment_stream.c,
 * search_finder.c, rewrite_stream.c and hit_view.h alone.
 */
#ifndef GANTRY_STORAGE_SEGMENT_FILE_H
#define GANTRY_STORAGE_SEGMENT_FILE_H

#include <stdatomic.h>

#include "storage/segment_page.h"
#include "storage/segment_read.h"

struct io_file;

/* Two handles, each opened when it is first needed. Whole segments are read through the page cache, searches past it.
 */
struct segment {
	struct aead_key key;
	struct io *io;
	char *path;
	struct io_file *_Atomic plain;
	struct io_file *_Atomic direct;
	struct segment_summary summary;
	struct segment_fence top[SEGMENT_TOP_FENCES]; /* leaves of all sections, one section after the other */
	uint32_t top_first[SEGMENT_SECTIONS];         /* where a section's leaves begin in it */
};

struct segment_scenes {
	uint32_t count;
	struct segment_scene scenes[SEGMENT_PAGE_SCENES];
};
struct segment_hits {
	uint32_t count;
	struct hit hits[SEGMENT_PAGE_HITS];
};

/* Borrowed from the segment. 0, or what opening it says. */
int segment_plain_file(const struct segment *segment, struct io_file **ret_file);
int segment_direct_file(const struct segment *segment, struct io_file **ret_file);
/* Through the page cache. -EBADMSG: the file ends before. */
int segment_read_exactly(const struct segment *segment, uint64_t offset, void *bytes, size_t size);

/* Sets the text: segment, section (with or without SEGMENT_LEAF), page, what. Returns -EBADMSG. */
int segment_damaged(const struct segment *segment, struct err *err, unsigned section, uint32_t page, const char *what);

/* The last leaf of a section whose first key is below `key`; the first one when there is none. */
uint32_t segment_find_leaf(const struct segment *segment, unsigned section, const uint8_t key[16]);
/* Opens a leaf page in place, `size` with its tag, and checks it: the number of pages that it names, or -EBADMSG. */
int segment_open_leaf(const struct segment *segment, unsigned section, uint32_t number, uint8_t *bytes, size_t size,
		      struct err *err, uint32_t *ret_pages);

/* The opened bytes of a page, decoded and held against what the segment says of itself. -EBADMSG with a text. */
int segment_decode_rows(const struct segment *segment, uint32_t page, uint32_t first, const uint8_t *bytes, size_t size,
			struct err *err, struct segment_rows *ret_rows);
int segment_decode_scenes(const struct segment *segment, uint32_t page, const uint8_t *bytes, size_t size,
			  struct err *err, struct segment_scenes *ret_scenes);

/* All take -EBADMSG with a text for damage. */
int segment_load_leaf(const struct segment *segment, struct segment_scratch *scratch, unsigned section, uint32_t number,
		      struct err *err);
int segment_find_fence(const struct segment *segment, struct segment_scratch *scratch, unsigned section, uint32_t page,
		       struct err *err, struct segment_fence *ret_fence);
int segment_read_scenes(const struct segment *segment, struct segment_scratch *scratch, uint32_t page, struct err *err,
			struct segment_scenes *ret_scenes);
int segment_read_hits(const struct segment *segment, struct segment_scratch *scratch, uint32_t page, struct err *err,
		      struct segment_hits *ret_hits);

#endif
