/* The command line of gantry-bench. Main thread. */
#ifndef GANTRY_BENCH_SUITE_OPTIONS_H
#define GANTRY_BENCH_SUITE_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "appliance/base/err.h"
#include "bench/suite_room.h"

enum suite_command {
	SUITE_STORAGE,
	SUITE_SEARCH,
	SUITE_RECOVERY,
	SUITE_MATCH,
	SUITE_CLONES,
	SUITE_HITS,
	SUITE_COMMANDS
};

struct suite_options {
	enum suite_command command;
	const char *data;
	const char *cold; /* NULL, "drop", "advise" */
	uint64_t seed;
	uint64_t day_reads;  /* of the full day */
	uint64_t year_reads; /* of every other day of the year */
	uint64_t unsealed;   /* recovery */
	uint32_t days;       /* of the year, the full one included */
	uint32_t cameras;
	uint32_t vehicles;
	uint32_t feeds;
	uint32_t threads;
	uint32_t piece_reads;
	uint32_t repeat;      /* questions of a kind */
	uint32_t ingest_s;    /* storage: sealing beside ingest */
	uint32_t ingest_rate; /* reads a second */
	uint32_t mass;        /* match: entries of its lists */
	uint32_t literals;
	uint32_t patterns;
	uint32_t many;
	uint32_t planted;      /* clones */
	uint32_t hits_s;       /* hits: seconds of each traffic */
	uint32_t memtable_mib; /* 0: as the appliance takes it */
	bool keep;
	bool quick;
	bool json;
	bool measure; /* search: ask the question on standard input, in this fresh process */
	enum suite_cache cache;
};

/* 0; 1 when help was asked for and printed; -EINVAL with err. Strings point into argv. */
int suite_options_parse(int argc, char **argv, struct suite_options *ret_options, struct err *err);

void suite_options_help(FILE *out);

/* What the command will write at most at one time, in bytes. */
uint64_t suite_options_bytes(const struct suite_options *options);

#endif
