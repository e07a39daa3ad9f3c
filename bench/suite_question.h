/* One question as the fresh process gets it, and what it found. Both are one line of JSON. */
#ifndef GANTRY_BENCH_SUITE_QUESTION_H
#define GANTRY_BENCH_SUITE_QUESTION_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "appliance/base/err.h"
#include "bench/suite_query.h"

#define SUITE_WARM_RUNS 3

struct suite_question {
	char pattern[SUITE_PATTERN_SIZE]; /* empty: cameras */
	uint32_t cameras[SUITE_SCENE_CAMERAS];
	int64_t from_us;
	int64_t to_us;
	int64_t started_ns; /* monotonic, when the process was asked for */
};

struct suite_answer {
	double cold_ms;  /* the first run: from keyring, catalog and views open to the last row */
	double warm_ms;  /* the middle of SUITE_WARM_RUNS more in the same process */
	double start_ms; /* from the start of the process to the first run's last row */
	uint64_t rows;
	uint64_t wrong; /* rows that do not answer the question */
	uint64_t pages_read;
	uint64_t bytes_read;
	uint64_t segments;
	bool incomplete;
};

int suite_question_write(const struct suite_question *question, FILE *out); /* 0, -EIO */
int suite_question_read(FILE *in, struct err *err, struct suite_question *ret_question);
int suite_answer_write(const struct suite_answer *answer, FILE *out);
int suite_answer_read(FILE *in, struct err *err, struct suite_answer *ret_answer);

#endif
