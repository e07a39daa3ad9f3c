/*
 * What the generator knows of its clones: whose VRM key is borne by two vehicles, and on which side each read of them
 * was made. Made once, written by one thread.
 */
#ifndef GANTRY_BENCH_SUITE_CLONES_TRUTH_H
#define GANTRY_BENCH_SUITE_CLONES_TRUTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "appliance/base/read.h"

struct fleet;

enum clone_truth {
	CLONE_FALSE,   /* one vehicle bears it */
	CLONE_PLANTED, /* two were made to */
	CLONE_CHANCE,  /* two do because the generator drew their plates alike */
};

struct clone_plate {
	uint8_t key[READ_TEXT_SIZE];
	uint32_t vehicle; /* whose it is */
	uint32_t clone;   /* the one that bears it, too; UINT32_MAX: none was made to */
	uint32_t bearers; /* vehicles with this key, clones not counted */
	bool catchable;   /* some sighting of the one clashes with one of the other */
};

/* A sighting of a planted plate. */
struct clone_seen {
	uint32_t plate;  /* index */
	uint32_t camera; /* index */
	int64_t capture_us;
	bool is_clone; /* its camera lies nearer to the clone's home */
};

struct clone_world {
	const struct fleet *fleet;
	struct clone_plate *plates; /* by key */
	size_t count;
	uint32_t planted;
	struct clone_seen *seen;
	size_t seen_count, seen_room;
};

/* -ENOMEM. The fleet must have clones, and outlive it. */
int clone_world_init(struct clone_world *world, const struct fleet *fleet);
void clone_world_fini(struct clone_world *world);

/* NULL: no vehicle bears that key, so it was read wrongly. */
struct clone_plate *clone_world_find(const struct clone_world *world, const uint8_t key[READ_TEXT_SIZE]);

/* Remembers a read that a detector looks at, if its plate was planted. -ENOMEM. */
int clone_world_saw(struct clone_world *world, const struct read *read);

/*
 * When all were seen: which planted plates can be caught, by holding every sighting of the one vehicle against every
 * one of the other. How many.
 */
uint64_t clone_world_catchable(struct clone_world *world, double speed_kmh, double slack_s, double distance_m);

enum clone_truth clone_world_judge(const struct clone_plate *plate);

#endif
