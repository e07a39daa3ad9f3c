/*
 * Clones: the same plate at two places, farther apart than any vehicle gets in the time between. Two vehicles bear it,
 * or a camera reads another plate wrongly.
 *
 * For every VRM key a table that all workers share (cells.h) keeps up to two *sides*: the newest sighting of the
 * vehicle, and that of one which cannot be it. A read belongs to the side that it can have driven from, the nearer
 * one of two; one that fits none begins the second. A side is confirmed by a second sighting that fits it, by another
 * camera or CLONES_CONFIRM_S later. With `sightings` 2 a read raises a hit when both sides are confirmed and it cannot
 * have come from the other: a single misread never does. With 1 the first clash does.
 *
 * Capture times count, in any order of receipt: a read that comes late is held against the newest sighting of each
 * side.
 *
 * Left out: what is not read, tests, keys of fewer than CLONES_KEY_MIN characters, cameras whose clock is unsure,
 * confidence below the setting (one that is not told passes), cameras that move and do not say where they are. A read
 * with its own position is judged and confirms, but is not remembered: a cell has room for a camera, not for a place.
 *
 * What can go wrong misses a clone or tells of it later: a full set gives up its oldest sighting, two workers that
 * write the same side lose one of the writes, a restart forgets all. A torn cell is no sighting.
 */
#ifndef GANTRY_APPLIANCE_CLONES_H
#define GANTRY_APPLIANCE_CLONES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "appliance/places.h"

#define CLONES_KEY_MIN 4
#define CLONES_CONFIRM_S 60
#define CLONES_LIVING_S 3600 /* a sighting given up that was younger is counted */

struct cells;
struct hit;
struct read;

struct clones_settings {
	uint32_t speed_kmh;  /* nobody drives faster from one camera to another */
	uint32_t slack_s;    /* both clocks' errors: added to the time between */
	uint32_t distance_m; /* nearer is no clash: errors of positions */
	uint8_t confidence;  /* 0..100 */
	uint8_t sightings;   /* 1 or 2 */
	uint8_t priority;    /* of the hits */
};

struct clones {
	struct clones_settings settings;
	struct cells *cells; /* borrowed */
};

struct clones_counts {
	uint64_t looked;  /* reads that were judged */
	uint64_t clashes; /* of them, that raised a hit */
	uint64_t evicted;
};

/*
 * Judges `count` reads, places[i] being reads[i]'s camera's in `where`. ret_hits has room for as many; in the order of
 * the reads: kind HIT_CLONE, list 0, row the index, `entry` the camera of the sighting that this one clashes with,
 * `version` the whole seconds between their captures, HIT_FLAG_CLASH_LATER when the other was captured after this one.
 * Adds to ret_counts. Any thread; no allocation, no lock.
 */
size_t clones_judge(const struct clones *clones, const struct places *where, const struct read *reads,
		    const uint32_t *places, size_t count, struct hit *ret_hits, struct clones_counts *ret_counts);

#endif
