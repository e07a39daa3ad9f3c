/*
 * The writing end of a segment file: takes encoded pages, seals them, remembers their fences, and writes in large
 * sequential pieces. Used by segment_build.c alone, by one thread.
 *
 * Life: init creates the .tmp; pages are begun and ended in any order of sections; segment_out_finish writes leaves,
 * top, end mark and header, syncs, renames; fini closes, and unlinks what was not finished. A failed write is
 * remembered (sticky) and reported by finish, so that the encoding loops need no checks.
 */
#ifndef GANTRY_STORAGE_SEGMENT_OUT_H
#define GANTRY_STORAGE_SEGMENT_OUT_H

#include <stddef.h>
#include <stdint.h>

#include "appliance/base/aead.h"
#include "storage/layout.h"
#include "storage/segment_format.h"

struct io;
struct io_file;

struct segment_fences {
	struct segment_fence *list;
	size_t count;
	size_t room;
};

struct segment_out {
	struct io *io;
	struct io_file *file;
	struct aead_key key;
	int32_t day;
	uint64_t id;
	int error; /* the first one */
	uint8_t *buffer;
	size_t fill; /* of buffer */
	size_t unsynced;
	uint64_t offset; /* in the file, of buffer[0] */
	/* Dictionary pages wait here until the rows are out, so that each section lies together. */
	uint8_t *parked;
	size_t parked_size;
	size_t parked_room;
	struct segment_fences fences[SEGMENT_SECTIONS];
	const char *directory;
	char tmp_path[LAYOUT_PATH_SIZE];
	char path[LAYOUT_PATH_SIZE];
};

/* -EEXIST and the like from io; the struct is zeroed by the caller. On failure call fini all the same. */
int segment_out_init(struct segment_out *out, struct io *io, const char *directory, const uint8_t key[32], int32_t day,
		     uint64_t id);
void segment_out_fini(struct segment_out *out);

/* Room for one page, SEGMENT_PAGE_ROOM bytes. End it with segment_out_end before the next begin. */
uint8_t *segment_out_begin(struct segment_out *out);
void segment_out_end(struct segment_out *out, unsigned section, const uint8_t key[16], uint32_t first, size_t size);

/* The same for a page that is kept back; NULL when memory ran out (sticky). unpark puts all of them into the file. */
uint8_t *segment_out_begin_parked(struct segment_out *out);
void segment_out_end_parked(struct segment_out *out, unsigned section, const uint8_t key[16], uint32_t first,
			    size_t size);
void segment_out_unpark(struct segment_out *out, unsigned section);

/*
 * Completes the summary (sections' pages and leaves, top, sizes) from what was written, and publishes the file. 0 or
 * the first error; -E2BIG when the fences do not fit.
 */
int segment_out_finish(struct segment_out *out, struct segment_summary *summary);

#endif
