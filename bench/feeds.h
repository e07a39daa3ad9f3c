/* The feeds file: who the fleet speaks as. Lines of "feed_id key_hex [camera_first camera_last]"; # begins a comment.
 */
#ifndef GANTRY_BENCH_FEEDS_H
#define GANTRY_BENCH_FEEDS_H

#include <stdint.h>

#include "appliance/base/err.h"
#include "bench/fleet.h"
#include "bench/loop.h"

struct feeds {
	struct loop_feed rows[FLEET_FEEDS_MAX]; /* id and key */
	struct fleet_range ranges[FLEET_FEEDS_MAX];
	unsigned count;
};

/*
 * Without ranges in the file the cameras are shared out evenly, dual_permille of each share spoken for by the next feed
 * too. -EINVAL for a line that is not so, an id twice, a range outside the fleet, ranges on some lines only. Never
 * quotes a key.
 */
int feeds_load(const char *path, uint32_t cameras, unsigned dual_permille, struct feeds *ret_feeds, struct err *err);

/* `count` feeds with ids from 1 and keys made of the seed: for a receiver of our own only. */
void feeds_invent(unsigned count, uint32_t cameras, unsigned dual_permille, uint64_t seed, struct feeds *ret_feeds);

#endif
