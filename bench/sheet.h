/* What else the fleet can print: a list of vehicles of interest, a sample for a search, the feeds' cameras. */
#ifndef GANTRY_BENCH_SHEET_H
#define GANTRY_BENCH_SHEET_H

#include <stdint.h>
#include <stdio.h>

#include "appliance/base/err.h"
#include "bench/population.h"

/*
 * CSV with the header vrm,reason,action: `entries` distinct vehicles of the population, often seen ones more likely,
 * then `patterns` partial VRMs made of others. -EINVAL when there are not that many vehicles; -EIO.
 */
int sheet_list(const struct population *population, uint32_t entries, uint32_t patterns, uint64_t seed, FILE *out,
	       struct err *err);

/* Two lines: "vehicle<TAB>VRM", one of the most seen, and "pattern<TAB>PARTIAL", which finds it among others. */
int sheet_sample(const struct population *population, FILE *out, struct err *err);

#endif
