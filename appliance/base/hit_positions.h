/*
 * How far someone has come among the hits of every source: one number a source (read.h), for hits of one source become
 * visible in the order of their numbers. Everything up to it is done with, nothing beyond it is. Plain values.
 */
#ifndef GANTRY_BASE_HIT_POSITIONS_H
#define GANTRY_BASE_HIT_POSITIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "appliance/base/read.h"

#define HIT_WORKER_SOURCES 64                /* as many as a store has workers at most */
#define HIT_SOURCES (HIT_WORKER_SOURCES + 1) /* and the late ones, last */

struct hit_positions {
	uint64_t at[HIT_SOURCES]; /* whole numbers, with their source; 0: nothing yet */
};

/* Where a source stands among them; HIT_SOURCES: no source that there is. */
static inline unsigned hit_source_index(unsigned source)
{
	if (source == HIT_SOURCE_LATE)
		return HIT_WORKER_SOURCES;
	return source < HIT_WORKER_SOURCES ? source : HIT_SOURCES;
}

static inline unsigned hit_source_at(unsigned index)
{
	return index == HIT_WORKER_SOURCES ? HIT_SOURCE_LATE : index;
}

/* A number of no known source counts as passed: nobody could ever say that it was not. */
static inline bool hit_positions_passed(const struct hit_positions *positions, uint64_t number)
{
	unsigned index = hit_source_index(hit_source(number));

	return index == HIT_SOURCES || number <= positions->at[index];
}

/* Never goes back. */
static inline void hit_positions_pass(struct hit_positions *positions, uint64_t number)
{
	unsigned index = hit_source_index(hit_source(number));

	if (index < HIT_SOURCES && number > positions->at[index])
		positions->at[index] = number;
}

static inline void hit_positions_join(struct hit_positions *positions, const struct hit_positions *other)
{
	for (unsigned i = 0; i < HIT_SOURCES; i++)
		if (other->at[i] > positions->at[i])
			positions->at[i] = other->at[i];
}

/* Of two the one that has come less far, source by source. */
static inline void hit_positions_meet(struct hit_positions *positions, const struct hit_positions *other)
{
	for (unsigned i = 0; i < HIT_SOURCES; i++)
		if (other->at[i] < positions->at[i])
			positions->at[i] = other->at[i];
}

/* Has `positions` come at least as far as `other` everywhere? */
static inline bool hit_positions_reach(const struct hit_positions *positions, const struct hit_positions *other)
{
	for (unsigned i = 0; i < HIT_SOURCES; i++)
		if (positions->at[i] < other->at[i])
			return false;
	return true;
}

/* Hits go to subscribers in two lanes, by their priority, so that a flood of one delays nothing in the other. */
enum hit_lane { HIT_LANE_URGENT = 0, HIT_LANE_MASS = 1, HIT_LANE_COUNT = 2 };

#endif
