/*
 * The moving parts of gantry-bench match: lists that change while reads are matched. A thread stands in for the worker:
 * it picks the set up by one pointer at the start of each burst and passes a quiescent point at its end, at a set rate
 * of reads; the socket, the register and the disk are not in these figures.
 */
#ifndef GANTRY_BENCH_SUITE_MATCH_DELTA_H
#define GANTRY_BENCH_SUITE_MATCH_DELTA_H

#include <stddef.h>
#include <stdint.h>

#include "appliance/base/err.h"

struct match_world;
struct matchbase;
struct suite_options;

struct match_delta {
	double alarm_p50_ms; /* a new entry's CSV row → its first hit */
	double alarm_p99_ms;
	double alarm_max_ms;
	double rate;            /* reads a second that were matched meanwhile */
	double mass_parse_ms;   /* CSV of the mass list → list */
	double mass_replace_ms; /* the same CSV → a set with it published */
	double mass_fold_ms;    /* then, in the background: a new base, Hyperscan's part taken over */
	double restart_ms;      /* stored images → a set with all lists */
	uint64_t wrong;         /* new entries that never hit, sets that lack what they should have */
};

/* base: of the first three lists of the world. */
int match_delta_run(const struct match_world *world, struct matchbase *base, const struct suite_options *options,
		    struct err *err, struct match_delta *ret_delta);

#endif
