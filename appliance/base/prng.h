/* A small seeded generator (SplitMix64, Steele et al. 2014) for fleets and tests: never for keys. One owner each. */
#ifndef GANTRY_BASE_PRNG_H
#define GANTRY_BASE_PRNG_H

#include <stdint.h>

struct prng {
	uint64_t state;
};

static inline uint64_t prng_next(struct prng *prng)
{
	uint64_t z = prng->state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

/* 0 <= result < bound; bound > 0. */
static inline uint64_t prng_below(struct prng *prng, uint64_t bound)
{
	return (uint64_t)(((unsigned __int128)prng_next(prng) * bound) >> 64);
}

/* True with a probability of `permille` in a thousand. */
static inline int prng_chance(struct prng *prng, unsigned permille)
{
	return prng_below(prng, 1000) < permille;
}

#endif
