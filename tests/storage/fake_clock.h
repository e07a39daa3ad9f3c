/* A clock that a test moves by hand, as struct clock_source. One thread. */
#ifndef GANTRY_TESTS_STORAGE_FAKE_CLOCK_H
#define GANTRY_TESTS_STORAGE_FAKE_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

#include "appliance/base/clock.h"

struct fake_clock {
	int64_t wall_us;
	int64_t mono_ns;
	bool synchronised;
};

/* Reads *clock, which the caller keeps and sets. */
struct clock_source fake_clock_source(struct fake_clock *clock);

#endif
