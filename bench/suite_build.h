/*
 * Days of the fleet into a store, making reads and sealing them at the same time, and what the generator knows of them.
 * Called by one thread, which starts others and waits for them.
 */
#ifndef GANTRY_BENCH_SUITE_BUILD_H
#define GANTRY_BENCH_SUITE_BUILD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "appliance/base/err.h"
#include "bench/suite_query.h"

struct suite_fleet;
struct suite_progress;
struct suite_store;

struct suite_built {
	uint64_t reads;    /* made */
	uint64_t copies;   /* of them, brought by a second feed: collapsed */
	uint64_t rows;     /* kept: reads − copies */
	uint64_t segments; /* written */
	uint64_t content;  /* sum of the kept reads' hashes, when asked for */
	double seal_s;     /* in storage's writer, all threads together */
	struct suite_counts counts;
};

struct suite_builder {
	struct suite_store *store;
	const struct suite_fleet *fleet;
	const struct suite_queries *queries; /* NULL: nothing is counted */
	struct suite_progress *progress;
	unsigned threads;
	bool hash;
};

/* Hash of one read, as summed in `content`. */
struct read;
uint64_t suite_read_hash(const struct read *read);

/* Days first_day … first_day + days − 1 of `reads` each, one segment a day. */
int suite_build_days(const struct suite_builder *builder, int32_t first_day, uint32_t days, uint64_t reads,
		     struct err *err, struct suite_built *ret_built);

/*
 * One day in pieces of `piece` reads, in the order of receipt, each a segment, as journals are sealed. ret_ids has room
 * for suite_build_pieces(reads, piece); those not needed are 0.
 */
int suite_build_day(const struct suite_builder *builder, int32_t day, uint64_t reads, uint64_t piece, struct err *err,
		    struct suite_built *ret_built, uint64_t *ret_ids);
size_t suite_build_pieces(uint64_t reads, uint64_t piece);

#endif
