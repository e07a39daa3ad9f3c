/*
 * The fleet: makes reads as a nation's cameras would, from a seed, at millions a second on one core.
 *
 * One `struct fleet` (cameras, vehicles, settings) is shared and read only; each feed has a `struct fleet_stream`, the
 * reads of the cameras that are its own. All streams of a fleet belong to one thread. A stream's sequence of draws
 * depends on the seed and on how many reads are asked for, not on the clock, which only sets capture times.
 *
 * A camera whose id lies in the ranges of two feeds is dual-homed: the first feed's stream makes its reads and hands a
 * copy to the other's, which delivers it at its next turn (so that the appliance has something to collapse).
 *
 * Capture times: (camera, capture_us) is unique, over restarts too. Every read takes a slot of FLEET_SLOT_US that its
 * camera never used: slots go up and never lie before the stream's start or ahead of the clock given. Sub-slot k stands
 * for a delay class: a read of class k was captured at slot − delay[k] + k. Hence a camera makes at most 62,500 reads
 * a second, and fleet_stream_fill gives fewer than asked when all are that busy, or when vehicles drive and hardly any
 * passes a camera of that feed.
 */
#ifndef GANTRY_BENCH_FLEET_H
#define GANTRY_BENCH_FLEET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bench/cameras.h"
#include "bench/journeys.h"
#include "bench/population.h"

#define FLEET_RECORD_SIZE 48 /* FEED_RECORD_SIZE: reads are made in wire form */
#define FLEET_BATCH 64
#define FLEET_SLOT_US 16
#define FLEET_TWINS_MAX 4096
#define FLEET_FEEDS_MAX 256

struct fleet_settings {
	uint64_t seed;
	uint32_t cameras;
	uint32_t vehicles;
	unsigned foreign_permille; /* of vehicles */
	unsigned misread_permille;
	unsigned not_read_permille; /* added to each camera's own share; above 1000: never a plate */
	unsigned late_permille;     /* buffered in the camera, 10 minutes to 45 hours, sent as live */
	unsigned backlog_permille;  /* 20 minutes to 12 hours old, sent in the backlog lane */
	unsigned test_permille;     /* connectivity tests */
	uint32_t clones;            /* vehicles that bear another's plate; more than none: vehicles drive */
	bool journeys;              /* vehicles drive (journeys.h): cameras see those that pass */
	bool punctual;              /* no read is older than a second: all keep to the clock given */
};
void fleet_settings_init(struct fleet_settings *settings);

struct fleet {
	struct fleet_settings settings;
	struct cameras cameras;
	struct population population;
	struct journeys journeys; /* when the settings ask for them */
};

/* 0, -EINVAL for counts out of bounds, -ENOMEM. The fleet may not be moved in memory when vehicles drive. */
int fleet_init(struct fleet *fleet, const struct fleet_settings *settings);
void fleet_fini(struct fleet *fleet);

/* The cameras a feed speaks for, both inclusive. */
struct fleet_range {
	uint32_t first;
	uint32_t last;
};

/*
 * Shares `cameras` out over the feeds in equal ranges, each overlapping the next by `dual_permille` of its size, so
 * that these cameras are dual-homed.
 */
void fleet_ranges_split(uint32_t cameras, unsigned dual_permille, unsigned feeds, struct fleet_range *ret_ranges);

struct fleet_streams; /* one for each range, in order */

/*
 * now_us: no slot lies before it. -EINVAL when a range leaves the fleet or is empty, -ENOMEM. The fleet must outlive
 * the streams.
 */
int fleet_streams_new(const struct fleet *fleet, const struct fleet_range *ranges, unsigned count, int64_t now_us,
		      struct fleet_streams **ret_streams);
struct fleet_streams *fleet_streams_free(struct fleet_streams *streams);

struct fleet_batch {
	unsigned count;
	uint8_t lanes[FLEET_BATCH]; /* enum feed_lane */
	uint8_t records[FLEET_BATCH][FLEET_RECORD_SIZE];
};

/*
 * At most count_max (up to FLEET_BATCH) reads of stream `index` at the moment now_us; what is in the batch counts
 * twins too.
 */
void fleet_streams_fill(struct fleet_streams *streams, unsigned index, int64_t now_us, unsigned count_max,
			struct fleet_batch *ret_batch);

/* Copies of dual-homed reads that were never delivered because the other feed lagged. */
uint64_t fleet_streams_twins_lost(const struct fleet_streams *streams);

#endif
