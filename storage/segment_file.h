/* Inside of the segment reader, shared by segment_read.c and segment_check.c alone. */
#ifndef GANTRY_STORAGE_SEGMENT_FILE_H
#define GANTRY_STORAGE_SEGMENT_FILE_H

#include "storage/segment_page.h"
#include "storage/segment_read.h"

struct io_file;

struct segment {
	struct aead_key key;
	struct io_file *file;
	uint64_t size_on_disk;
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
