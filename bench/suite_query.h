/*
 * The questions that `gantry-bench search` asks, and how many reads the generator knows to answer each.
 *
 * Questions follow from fleet and seed alone, so that a directory kept from an earlier run can be asked again; only the
 * counts are kept with it. Counting looks at reads as they are made, by plain comparison, and knows nothing of storage:
 * an answer that disagrees is a fault of the store (or of the bench). Copies by a second feed are left out.
 */
#ifndef GANTRY_BENCH_SUITE_QUERY_H
#define GANTRY_BENCH_SUITE_QUERY_H

#include <stddef.h>
#include <stdint.h>

#include "appliance/base/glob.h"
#include "appliance/base/read.h"

struct suite_fleet;

#define SUITE_QUERIES 8 /* of each kind */
#define SUITE_PATTERN_SIZE 8
#define SUITE_SCENE_CAMERAS 10
#define SUITE_SCENE_US INT64_C(600000000)

enum suite_kind {
	SUITE_EXACT,   /* one VRM */
	SUITE_LEADING, /* its first two characters unknown */
	SUITE_INNER,   /* two within it unknown */
	SUITE_SCENE,   /* ten cameras in ten minutes, any VRM */
	SUITE_KINDS
};

struct suite_scene {
	uint32_t cameras[SUITE_SCENE_CAMERAS]; /* ascending */
	int64_t from_us;                       /* of its day */
};

struct suite_queries {
	char patterns[SUITE_SCENE][SUITE_QUERIES][SUITE_PATTERN_SIZE]; /* as a person writes them */
	struct glob globs[SUITE_SCENE][SUITE_QUERIES];
	struct suite_scene scenes[SUITE_QUERIES];
	uint64_t masks[SUITE_SCENE * SUITE_QUERIES]; /* over a key's first 8 bytes; those behind are zero */
	uint64_t values[SUITE_SCENE * SUITE_QUERIES];
};

struct suite_counts {
	uint64_t of[SUITE_KINDS][SUITE_QUERIES];
};

/* 0; -ENOENT too few vehicles with a current UK plate. */
int suite_queries_init(struct suite_queries *queries, const struct suite_fleet *fleet);

/* Adds what these reads of a day answer. Scenes are counted too. Pure. */
void suite_queries_count(const struct suite_queries *queries, const struct suite_fleet *fleet, const struct read *reads,
			 size_t count, struct suite_counts *counts);

void suite_counts_add(struct suite_counts *counts, const struct suite_counts *more);

#endif
