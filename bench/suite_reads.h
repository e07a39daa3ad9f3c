/*
 * The suite's reads: capture days of the synthetic fleet as `struct read`, the way a worker hands them to the journal,
 * without a network between.
 *
 * A day is made as gantry-load would send it: `feeds` senders in turn, traffic by the hour of the day (bench/curve.h),
 * equal shares of the cameras, one in a hundred of them dual-homed, 2.3 % of the reads late or backlog. What the fleet
 * leaves to the network is added here: a sender gathers a lane's reads for a fifth of a second or until a datagram's
 * 28 are full; the reads of a datagram share one receipt time, 20 to 300 ms after it was sent (by the sender, and even
 * jitter of 200 ms in µs), which together with the camera's own delay makes 0.2 to 1.3 s from capture to receipt. A
 * read of the day before, which the fleet makes late on this day, stands for one of this day that comes late on a later
 * day: it is moved on by whole days. So a day holds what was captured on it, however late, and no day depends on
 * another.
 *
 * struct suite_fleet is made once and read only: any number of threads make days of it, each with its own suite_day.
 */
#ifndef GANTRY_BENCH_SUITE_READS_H
#define GANTRY_BENCH_SUITE_READS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "appliance/base/read.h"
#include "bench/fleet.h"

#define SUITE_DAY_READS_MIN 1024 /* room that suite_day_next asks for */

struct suite_fleet_options {
	uint64_t seed;
	uint32_t cameras;
	uint32_t vehicles;
	unsigned feeds;  /* ≤ FLEET_FEEDS_MAX */
	uint32_t clones; /* vehicles that bear another's plate; more than none: vehicles drive (journeys.h) */
};

struct suite_fleet {
	struct fleet fleet;
	struct fleet_range ranges[FLEET_FEEDS_MAX]; /* of feed i + 1 */
	uint32_t epochs[FLEET_FEEDS_MAX];
	unsigned feeds;
	uint64_t seed;
};

/* 0, -EINVAL counts out of bounds, -ENOMEM. May not be moved in memory when vehicles drive. */
int suite_fleet_init(struct suite_fleet *fleet, const struct suite_fleet_options *options);
void suite_fleet_fini(struct suite_fleet *fleet);

/*
 * True for a read that another feed brings as well, and brings first: the store collapses it. Never a not-read record,
 * which nothing collapses.
 */
bool suite_fleet_copy(const struct suite_fleet *fleet, const struct read *read);

struct suite_day;

/* `reads` of that day, copies included. The same (fleet, day, reads) gives the same reads. 0, -ENOMEM. */
int suite_day_new(const struct suite_fleet *fleet, int32_t day, uint64_t reads, struct suite_day **ret_day);
struct suite_day *suite_day_free(struct suite_day *day);

/* The next ones, in the order of receipt but for jitter; 0 when all were given. max ≥ SUITE_DAY_READS_MIN. */
size_t suite_day_next(struct suite_day *day, struct read *ret_reads, size_t max);

#endif
