/*
 * Reads one sealed segment. Every page is opened by AEAD and every length and offset checked before use: wrong bytes
 * give -EBADMSG and a text, never a wrong row.
 *
 * A struct segment is immutable after open: any number of threads may read it, each with scratch of its own.
 */
#ifndef GANTRY_STORAGE_SEGMENT_READ_H
#define GANTRY_STORAGE_SEGMENT_READ_H

#include <stddef.h>
#include <stdint.h>

#include "appliance/base/err.h"
#include "appliance/base/read.h"
#include "storage/segment_format.h"

struct io;
struct key_id;
struct keyring;
struct segment;

/*
 * Opens by the file's header: path "<directory>/d<day>-<id>.seg". -ENOENT no such file, -ENOKEY its key is not in the
 * ring (destroyed), -EBADMSG damaged, -ENOTSUP a later format. ret untouched on failure.
 */
int segment_open(struct io *io, struct keyring *keyring, const char *directory, int32_t day, uint64_t id,
		 struct err *err, struct segment **ret_segment);
/* Opens by the catalog's row: reads nothing from the file yet but its size. */
int segment_open_summary(struct io *io, struct keyring *keyring, const char *directory,
			 const struct segment_summary *summary, struct err *err, struct segment **ret_segment);
/* Both, of a segment under another key than its day's: a case's copy (storage/cases.h). key->id is the segment's. */
int segment_open_keyed(struct io *io, struct keyring *keyring, const char *directory, const struct key_id *key,
		       int32_t day, struct err *err, struct segment **ret_segment);
int segment_open_summary_keyed(struct io *io, struct keyring *keyring, const char *directory, const struct key_id *key,
			       const struct segment_summary *summary, struct err *err, struct segment **ret_segment);
struct segment *segment_free(struct segment *segment); /* closes, wipes; returns NULL */

const struct segment_summary *segment_summary(const struct segment *segment);

/* Scratch of one reading thread: page buffers, the leaf last used, and what was read. Zeroed = ready. */
struct segment_scratch {
	uint8_t *page;
	uint8_t *leaf;
	const struct segment *leaf_of;
	unsigned leaf_section;
	uint32_t leaf_number;
	uint32_t leaf_pages;
	uint64_t leaf_id;
	uint64_t bytes_read;
	uint64_t pages_read;
};
void segment_scratch_fini(struct segment_scratch *scratch);

/* Rows of one page, decoded. */
struct segment_rows {
	uint32_t first; /* row number of rows[0] */
	uint32_t count;
	struct read rows[SEGMENT_PAGE_ROWS];
};
/* Page p holds rows p * SEGMENT_PAGE_ROWS …; page < page count of SEGMENT_ROWS. */
int segment_read_rows(const struct segment *segment, struct segment_scratch *scratch, uint32_t page, struct err *err,
		      struct segment_rows *ret_rows);

/* Dictionary page, decoded. */
struct segment_keys {
	uint32_t count;
	uint32_t first_row[SEGMENT_PAGE_KEYS + 1]; /* one more than count: where the last key's rows end */
	uint8_t keys[SEGMENT_PAGE_KEYS][16];
};
int segment_read_keys(const struct segment *segment, struct segment_scratch *scratch, uint32_t page, struct err *err,
		      struct segment_keys *ret_keys);

/*
 * The first page of SEGMENT_ROWS or SEGMENT_KEYS in which `key` or a greater one may stand. One leaf page is read.
 */
int segment_find(const struct segment *segment, struct segment_scratch *scratch, unsigned section,
		 const uint8_t key[16], struct err *err, uint32_t *ret_page);

/* Calls `each` for every hit of the segment, by row; stops at the first non-zero, which it returns. */
int segment_each_hit(const struct segment *segment, struct segment_scratch *scratch, struct err *err,
		     int (*each)(void *context, const struct hit *hit), void *context);

/*
 * Reads and checks all: header, end mark, top, every leaf and page, that they cover the file without a gap, that rows
 * and keys are in order and agree, that scenes name each row's page, that each hit has a number of its own and the
 * fences of hits are true. Calls `damage` with a text for each fault (what is
 * lost) and goes on. `rows` (may be NULL) gets every readable row once, in order. 0 clean, 1 damage, < 0 stopped.
 */
struct segment_check_hooks {
	void (*damage)(void *context, const char *text, uint64_t rows_lost);
	int (*rows)(void *context, const struct segment_rows *rows);
	void *context;
};
int segment_check(const struct segment *segment, const struct segment_check_hooks *hooks);

#endif
