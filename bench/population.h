/*
 * The vehicles that drive past: a pool of plates made once from a seed, and how often each is seen.
 *
 * Sightings follow a Zipf-like law with a flat head: the first POPULATION_HEAD vehicles are equally frequent, and every
 * doubling of the rank beyond is seen as often in all as the head, so that a vehicle's frequency falls with the
 * inverse of its rank. One multiplication and no table: a national day has to be made in seconds.
 * Made by one thread; read by any afterwards.
 */
#ifndef GANTRY_BENCH_POPULATION_H
#define GANTRY_BENCH_POPULATION_H

#include <stddef.h>
#include <stdint.h>

#include "bench/plate.h"

#define POPULATION_HEAD 1024
#define POPULATION_MAX 100000000

struct population {
	struct plate *plates; /* by rank, most seen first */
	uint32_t count;
	uint32_t bands;
};

/* 0, -EINVAL when count is 0 or above POPULATION_MAX, -ENOMEM. The same seed gives the same plates. */
int population_init(struct population *population, uint32_t count, unsigned foreign_permille, uint64_t seed);
void population_fini(struct population *population);

/* The rank of the next vehicle seen; `random` is 64 random bits. */
static inline uint32_t population_pick(const struct population *population, uint64_t random)
{
	uint32_t band = (uint32_t)((random >> 32) * population->bands >> 32);
	uint32_t first = 0;
	uint32_t end = population->count;

	if (band > 0)
		first = (uint32_t)POPULATION_HEAD << (band - 1);
	if (band + 1 < population->bands)
		end = (uint32_t)POPULATION_HEAD << band;
	return first + (uint32_t)((random & UINT32_MAX) * (end - first) >> 32);
}

#endif
