/*
 * Passes over the sealed segments of one day, straight through storage's reader: how fast pages are decoded, whether
 * they hold what was made, what each column costs and what it holds. Main thread.
 */
#ifndef GANTRY_BENCH_SUITE_SCAN_H
#define GANTRY_BENCH_SUITE_SCAN_H

#include <stdint.h>

#include "appliance/base/err.h"
#include "storage/segment_build.h"

struct suite_entropy;
struct suite_store;

struct suite_scan {
	uint64_t rows;
	uint64_t content; /* sum of suite_read_hash */
	uint64_t file_bytes;
	uint64_t segments;
	double decode_s;            /* reading, opening and decoding every row page, one thread */
	double encode_s;            /* encoding and sealing them again */
	struct segment_sizes sizes; /* of all segments together */
};

/*
 * scratch: an empty directory for what is encoded again to see the columns' sizes; it is left empty. entropy: is given
 * stretches evenly over the day, at most about rows_max rows.
 */
int suite_scan_day(struct suite_store *store, int32_t day, const char *scratch, uint64_t rows_max,
		   struct suite_entropy *entropy, struct err *err, struct suite_scan *ret_scan);

#endif
