/*
 * How a day's traffic spreads over its hours: UTC, quiet at four in the morning, peaks at eight and five, the busiest
 * hour near a fourteenth of the day. An assumed shape: no published hourly table of UK reads is at hand. Any thread.
 */
#ifndef GANTRY_BENCH_CURVE_H
#define GANTRY_BENCH_CURVE_H

#include <stdint.h>

#include "appliance/base/read.h"

/* Traffic at that moment as a multiple of the day's mean, in thousandths. */
unsigned curve_permille(int64_t us);

/* The µs of the day by when the share `done` of `total` reads has passed; done <= total, total > 0. */
int64_t curve_moment(uint64_t done, uint64_t total);

#endif
