/*
 * Sealing beside ingest: a store with its own threads, one worker that appends so many reads a second, and whether the
 * sealer keeps up, also beside heavy searching. The calling thread is the worker.
 */
#ifndef GANTRY_BENCH_SUITE_INGEST_H
#define GANTRY_BENCH_SUITE_INGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "appliance/base/err.h"

struct suite_fleet;

struct suite_ingest_options {
	const char *directory; /* fresh; the caller removes it */
	const char *master_path;
	const struct suite_fleet *fleet;
	int32_t day;
	uint32_t seconds;
	uint32_t reads_per_s;
	size_t memtable_bytes;
	bool search; /* a thread that asks one heavy question after the other all the while */
};

struct suite_ingest {
	uint64_t appended;    /* durable */
	double seconds;       /* from the first append to the last commit */
	double reads_per_s;   /* appended, durable */
	uint64_t pushed_back; /* times that the journal took nothing */
	double sealed_per_s;  /* into segments, while reads came in */
	double memtable_peak; /* share in use at most */
	double worker_ns;     /* processor time of the worker for a read, the fleet's share included */
	double pause_ms;      /* the longest that the worker was kept from its journal */
	uint64_t searches;    /* answered meanwhile */
	double drain_s;       /* then, to seal what was left */
	bool kept_up;         /* the rate was kept and the memtable never nine tenths full */
	bool complete;        /* every read appended is in a segment or collapsed */
};

int suite_ingest_run(const struct suite_ingest_options *options, struct err *err, struct suite_ingest *ret_ingest);

#endif
