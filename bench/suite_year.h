/*
 * The year that `gantry-bench search` asks: built, or found as an earlier run with the same options left it. Beside the
 * store lies year.json with how it was made and how many reads answer each question. Main thread.
 */
#ifndef GANTRY_BENCH_SUITE_YEAR_H
#define GANTRY_BENCH_SUITE_YEAR_H

#include <stdbool.h>
#include <stdint.h>

#include "appliance/base/err.h"
#include "bench/suite_query.h"

struct suite_fleet;
struct suite_options;
struct suite_room;

struct suite_year {
	int32_t first_day;
	int32_t full_day; /* the newest */
	uint64_t rows;    /* held */
	uint64_t full_rows;
	uint64_t bytes; /* segment files, catalog, keyring copies */
	uint64_t full_bytes;
	uint64_t full_keys; /* distinct VRM keys of the full day, and of the day before */
	uint64_t other_keys;
	double build_s;
	bool found;               /* not built now */
	struct suite_counts full; /* what the generator knows */
	struct suite_counts all;
};

/*
 * -EEXIST another year lies there (err says how it differs); -ESTALE that year began too long ago; else what building
 * said. An unfinished one is removed and built anew.
 */
int suite_year_take(const struct suite_options *options, const struct suite_fleet *fleet,
		    const struct suite_queries *queries, const struct suite_room *room, struct err *err,
		    struct suite_year *ret_year);

#endif
