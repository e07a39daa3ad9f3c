/*
 * Vehicles that drive: where each is at any moment, so that the same plate is never at two places at once, but for the
 * clones that are planted. Without them (fleet.h) every read draws its camera and its vehicle apart.
 *
 * Most vehicles circle around a home, 1 to 6 km away from it, at 30 to 90 km/h; one in twenty drives to and fro between
 * two homes at 100. Who is within JOURNEYS_REACH_M of a camera is seen by the nearest. A clone is a vehicle that bears
 * the plate of another one, whose home lies at least JOURNEYS_APART_M from its own; both circle.
 *
 * All follows from the seed, by arithmetic. Made by one thread, read by any.
 */
#ifndef GANTRY_BENCH_JOURNEYS_H
#define GANTRY_BENCH_JOURNEYS_H

#include <stdbool.h>
#include <stdint.h>

#include "bench/cameras.h"

#define JOURNEYS_NOWHERE UINT32_MAX
#define JOURNEYS_REACH_M 3000
#define JOURNEYS_APART_M 100000

struct journeys {
	const struct cameras *cameras; /* borrowed */
	uint64_t seed;
	uint32_t vehicles;
	uint32_t clones;
	uint32_t stride; /* vehicles i * stride, i < clones, bear the plate of the next one */
	/* Cameras by cells of a grid. */
	int32_t lat_e7, lon_e7; /* its corner */
	uint32_t rows, columns;
	uint32_t *first; /* of each cell in `sorted`; one more at the end */
	uint32_t *sorted;
};

/* 0; -EINVAL for more clones than a quarter of the vehicles; -ENOMEM. journeys_fini is right after all of them. */
int journeys_init(struct journeys *journeys, const struct cameras *cameras, uint32_t vehicles, uint32_t clones,
		  uint64_t seed);
void journeys_fini(struct journeys *journeys);

/* The index of the camera that sees it, or JOURNEYS_NOWHERE. */
uint32_t journeys_camera(const struct journeys *journeys, uint32_t vehicle, int64_t at_us);

/* The vehicle whose plate it bears: mostly itself. */
uint32_t journeys_plate(const struct journeys *journeys, uint32_t vehicle);

/* The index of the camera that its home is at. */
uint32_t journeys_home(const struct journeys *journeys, uint32_t vehicle);

/* Clone i < clones: the vehicle that bears another's plate; the other one is the next. */
static inline uint32_t journeys_clone(const struct journeys *journeys, uint32_t i)
{
	return i * journeys->stride;
}

/* Flat, good to a hundredth in these latitudes. */
double journeys_metres(const struct camera *a, const struct camera *b);

#endif
