/*
 * The stretch of time that a request on reads may look at. This is the one place of two rules, for search, count and
 * consecutive reads alike:
 *
 *	Retention (R34)	What was captured longer ago than the retention does not exist for any request, whether its day
 *			has been purged or not: the clock decides, at the moment of the request. A window that reaches
 *			back beyond it is cut; one that lies wholly beyond it is refused.
 *	Open searches	A question that names neither cameras nor an area nor enough of a VRM (settings search.open_days
 *			and search.fixed_min) is about everyone: its window has a longest length. Given a longer one it
 *			is refused; given no beginning, it begins that long before its end.
 *
 * Pure functions, any thread.
 */
#ifndef GANTRY_APPLIANCE_READ_WINDOW_H
#define GANTRY_APPLIANCE_READ_WINDOW_H

#include <stdbool.h>
#include <stdint.h>

#include "appliance/base/err.h"

struct glob;

struct read_window_rules {
	int64_t now_us;
	int64_t age_us; /* by which reads grow too old: now_us, or later when the clock was set back */
	int64_t retention_days;
	int64_t future_s; /* reads may be captured so much later than now */
	int64_t open_days;
};

/* What was asked for. */
struct read_window_ask {
	bool has_from;
	bool has_to;
	int64_t from_us;
	int64_t to_us;
	bool open;
};

/* Captured in [from_us, to_us); never empty the wrong way round. */
struct read_window {
	int64_t from_us;
	int64_t to_us;
};

/* 0; -EINVAL `from` is not before `to`; -EPERM one of the rules forbids it. Then err says why, and ret is untouched. */
int read_window_set(const struct read_window_rules *rules, const struct read_window_ask *ask, struct err *err,
		    struct read_window *ret_window);

/* True when the pattern says too little of a VRM: `fixed_min` letters and digits, unless it is a whole VRM. */
bool read_window_pattern_open(const struct glob *pattern, int64_t fixed_min);

#endif
