/* "year: 412.1 of 1532.4 M reads, 5.1 M/s, 3 min left" on standard error, from whichever thread moves it on. */
#ifndef GANTRY_BENCH_SUITE_PROGRESS_H
#define GANTRY_BENCH_SUITE_PROGRESS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct suite_progress {
	const char *what;
	uint64_t total;
	_Atomic uint64_t done;
	_Atomic int64_t shown_ns;
	int64_t start_ns;
	bool terminal; /* one line that changes each second, else a line every ten */
};

void suite_progress_start(struct suite_progress *progress, const char *what, uint64_t total);
void suite_progress_add(struct suite_progress *progress, uint64_t count);
void suite_progress_end(struct suite_progress *progress);

#endif
