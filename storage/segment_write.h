/*
 * Writes rows in any order as one sealed segment: sorts them and gives them to a segment_build.
 *
 * Control thread (sealer); allocates its scratch, about 40 bytes a row and 4 MiB, and gives it back. The file appears
 * under its final name whole and durable, or not at all (segment_build.h).
 */
#ifndef GANTRY_STORAGE_SEGMENT_WRITE_H
#define GANTRY_STORAGE_SEGMENT_WRITE_H

#include <stddef.h>
#include <stdint.h>

#include "appliance/base/err.h"
#include "appliance/base/read.h"

struct generation;
struct io;
struct keyring;
struct mark_set;
struct segment_summary;

struct segment_input {
	uint64_t id; /* never used before: take it from random_bytes */
	int32_t day;
	uint16_t key_version;
	uint16_t lineage_kind; /* enum segment_lineage_kind */
	const uint64_t *lineage;
	size_t lineage_count;           /* 1 … SEGMENT_LINEAGE_MAX */
	const struct read *const *rows; /* all captured on `day`, any order, borrowed, unchanged */
	size_t row_count;               /* 1 … SEGMENT_ROWS_MAX */
	const struct hit *hits;         /* row = index into rows, any order */
	size_t hit_count;
};

/*
 * The segment's key, KEY_SEGMENT (id, day), is in the keyring already and durable: the caller makes the keys of a whole
 * journal in one change. Equal reads (row_equal) collapse to those of the smallest (feed, epoch); the survivor takes
 * over their hits. 0; -ENOENT no such key; -EINVAL a row of another day or a hit without row; -ENOMEM; else what io
 * says. ret_summary includes collapsed_count and the sealed top page: give it to catalog_seal.
 */
int segment_write(struct io *io, struct keyring *keyring, const char *directory, const struct segment_input *input,
		  struct err *err, struct segment_summary *ret_summary);

/* The durable rows of a generation, grouped by capture day, with their hits: input for one segment_write a day. */
struct segment_batch {
	int32_t day;
	const struct read **rows;
	size_t row_count;
	struct hit *hits; /* row = index into rows */
	size_t hit_count;
};
struct segment_batches {
	struct segment_batch *days; /* ascending */
	size_t day_count;
	const struct read **rows;
	struct hit *hits;
	size_t erased; /* rows left out, with their hits */
};
/*
 * Without the rows that `marks` (may be NULL) says are erased or amended; a day of which nothing else is there does not
 * appear. Borrows the rows: the generation stays until fini. -ENOMEM: ret untouched.
 */
int segment_batches_init(struct segment_batches *ret_batches, const struct generation *generation,
			 const struct mark_set *marks);
void segment_batches_fini(struct segment_batches *batches);

#endif
