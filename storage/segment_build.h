/*
 * Writes one sealed segment as a stream: rows come in store order, one after the other, and leave as pages. The sealer
 * (segment_write.c), merges and rewrites all go through it.
 *
 * One thread. Memory: 8 bytes a row (the scene list), 20 bytes a hit, the sealed dictionary, and about 4 MiB. The file
 * appears under its final name whole and durable in segment_build_finish, or not at all: a failure leaves at most a
 * .tmp, which is unlinked if the disk allows and which recovery may always remove.
 */
#ifndef GANTRY_STORAGE_SEGMENT_BUILD_H
#define GANTRY_STORAGE_SEGMENT_BUILD_H

#include <stddef.h>
#include <stdint.h>

#include "appliance/base/err.h"
#include "appliance/base/read.h"

struct io;
struct segment_build;
struct segment_summary;

struct segment_origin {
	uint64_t id; /* never used before: take it from random_bytes */
	int32_t day;
	uint16_t key_version;
	uint16_t lineage_kind;   /* enum segment_lineage_kind */
	const uint64_t *lineage; /* copied */
	size_t lineage_count;    /* 1 … SEGMENT_LINEAGE_MAX */
};

/*
 * Opens the .tmp. `key` seals the segment: it is durable wherever it is kept before this call. -EINVAL for an origin
 * that cannot be, -ENOMEM, or what io says; ret untouched then.
 */
int segment_build_new(struct io *io, const char *directory, const uint8_t key[32], const struct segment_origin *origin,
		      struct err *err, struct segment_build **ret_build);

/*
 * For who may be called off: finishing a day of tens of millions of rows takes a second and more, and asks `pace` all
 * along, at the longest a third of a second apart. < 0 ends segment_build_finish with that.
 */
void segment_build_pace(struct segment_build *build, int (*pace)(void *context), void *context);

/*
 * The next row. Equal reads (row_equal) collapse to those of the smallest (feed, epoch): *ret_row is the number of the
 * row that stands for it. -EINVAL when it lies before the row given last or on another day, -E2BIG beyond
 * SEGMENT_ROWS_MAX, -ENOMEM; the build is then good for nothing but free. A failed write is told by finish.
 */
int segment_build_row(struct segment_build *build, const struct read *row, uint64_t *ret_row);

/*
 * hit->row is a number that segment_build_row gave; any order; the same hit twice is kept once. -EINVAL such a row or
 * such a number cannot be, -ENOMEM.
 */
int segment_build_hit(struct segment_build *build, const struct hit *hit);

/*
 * Writes what is left and publishes the file. -ENODATA: no row was given. Give ret_summary (with collapsed_count and
 * the sealed top page) to the catalog. Free the build all the same.
 */
int segment_build_finish(struct segment_build *build, struct err *err, struct segment_summary *ret_summary);

/* Removes the .tmp of an unfinished build. NULL is fine; returns NULL. */
struct segment_build *segment_build_free(struct segment_build *build);

/* What the file's bytes are for: row pages by column, then the other sections. They add up to the file. */
struct segment_size {
	const char *name;
	uint64_t bytes;
};
#define SEGMENT_SIZES_MAX 32
struct segment_sizes {
	struct segment_size list[SEGMENT_SIZES_MAX];
	unsigned count;
};
/* After segment_build_finish. */
void segment_build_sizes(const struct segment_build *build, struct segment_sizes *ret_sizes);

#endif
