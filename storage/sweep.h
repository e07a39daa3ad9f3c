/*
 * A sweep: the reads of some days, in bursts, each with the hits that it has, for whoever matches them again. Reads
 * that are erased, amended or restricted are left out, corrected ones that no segment has yet are in.
 *
 * One view is one instant: a read is met once, wherever it lies, but for copies of it that came by other ways and are
 * not collapsed yet. Bursts come in no order of time.
 *
 * Any thread but a worker; blocks on the disk; some MiB of memory and the hits of one segment. Reads past the page
 * cache, a few pages ahead.
 */
#ifndef GANTRY_STORAGE_SWEEP_H
#define GANTRY_STORAGE_SWEEP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "appliance/base/err.h"
#include "appliance/base/read.h"
#include "storage/key_range.h"

#define SWEEP_BURST 512

struct views;

/* A burst: reads with the hits that they have, by row (index in reads), of the list asked about. Borrowed. */
struct sweep_burst {
	const struct read *reads;
	size_t count;
	const struct hit *hits;
	size_t hit_count;
};

struct sweep {
	int32_t first_day; /* of capture */
	int32_t last_day;
	bool memory;             /* what is not sealed */
	bool segments;           /* what is */
	uint16_t flags;          /* only reads with all of these */
	int64_t receipt_from_us; /* received in [from, to); 0 and INT64_MAX: whenever */
	int64_t receipt_to_us;
	uint32_t list;                  /* hits of this list alone; 0: of all */
	const struct key_range *ranges; /* only reads with keys in these, ascending and apart; NULL: all */
	size_t range_count;
	/* Non-zero ends the sweep and is returned. */
	int (*burst)(void *context, const struct sweep_burst *burst);
	/* What cannot be read, and is left out. No VRM in it. */
	void (*fault)(void *context, const char *text);
	void *context;
	/* Out. */
	uint64_t reads; /* given */
	uint64_t pages; /* of segments, read */
};

/* 0, what `burst` returned, -ENOMEM or -EIO when nothing can be read, with err. */
int sweep_run(struct views *views, struct sweep *sweep, struct err *err);

#endif
