/*
 * Which keys a tolerance would accept for an entry: what an operator looks at before a list is armed. Pure functions,
 * any thread, no allocation.
 */
#ifndef GANTRY_MATCHER_VRM_VARIANTS_H
#define GANTRY_MATCHER_VRM_VARIANTS_H

#include <stddef.h>
#include <stdint.h>

#include "appliance/base/read.h"

/* One substitution is taken of keys of so many characters: shorter ones would meet too many, longer ones are no UK
 * plate. */
#define VRM_SUBSTITUTION_MIN 5
#define VRM_SUBSTITUTION_MAX 11

/*
 * The keys that are alike (vrm_alike), `key` among them, in ascending order as far as `keys_max` goes; returns how many
 * there are in all.
 */
uint64_t vrm_variants_alike(const uint8_t key[READ_TEXT_SIZE], size_t keys_max, uint8_t (*ret_keys)[READ_TEXT_SIZE],
			    size_t *ret_count);

/*
 * The key with each of its characters in turn made a `?`: together they match it and every key that one substitution
 * makes of it. Returns how many patterns, zero padded: none for a key of another size than above.
 */
size_t vrm_variants_substitution(const uint8_t key[READ_TEXT_SIZE], uint8_t ret_patterns[VRM_SUBSTITUTION_MAX][16]);

#endif
