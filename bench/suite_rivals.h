/*
 * What one would reach for instead: a plain hash set for exact entries; PCRE2's JIT and RE2's sets for patterns, where
 * they were there when this was built (both anchored, each read alone, as a program would use them). One thread each.
 */
#ifndef GANTRY_BENCH_SUITE_RIVALS_H
#define GANTRY_BENCH_SUITE_RIVALS_H

#include <stddef.h>
#include <stdint.h>

#include "appliance/base/read.h"

struct list;

struct rival_result {
	double vrms_per_s;
	double build_ms;
	uint64_t matched; /* reads with one entry or more, of those looked at */
	uint64_t looked;
};

/* Each looks at reads until `seconds` are over. -ENOTSUP: not built in; -ENOMEM; -EINVAL: it refused the patterns. */
int rival_hash_set(const struct list *const *lists, size_t list_count, const struct read *reads, size_t count,
		   double seconds, struct rival_result *ret_result);
int rival_pcre2(const struct list *patterns, const struct read *reads, size_t count, double seconds,
		struct rival_result *ret_result);
int rival_re2(const struct list *patterns, const struct read *reads, size_t count, double seconds,
	      struct rival_result *ret_result);

#endif
