/* What else the fleet can print: a list of vehicles of interest, a sample for a search, the feeds' cameras. */
#ifndef GANTRY_BENCH_SHEET_H
#define GANTRY_BENCH_SHEET_H

#include <stdint.h>
#include <stdio.h>

#include "appliance/base/err.h"
#include "appliance/base/u64_map.h"
#include "bench/population.h"

/*
 * CSV with the header vrm,reason,action: `entries` distinct vehicles of the population, often seen ones more likely,
 * then `patterns` distinct partial VRMs made of others. -EINVAL when there are not that many vehicles; -EIO.
 */
int sheet_list(const struct population *population, uint32_t entries, uint32_t patterns, uint64_t seed, FILE *out,
	       struct err *err);

/* 1 for a text that was not drawn yet, and now is; 0: it was; -ENOMEM. Of texts by the million one may be taken for
 * another. */
int sheet_first(struct u64_map *drawn, const void *text, size_t size);

/* Two lines: "vehicle<TAB>VRM", one of the most seen, and "pattern<TAB>PARTIAL", which finds it among others. */
int sheet_sample(const struct population *population, FILE *out, struct err *err);

#endif
