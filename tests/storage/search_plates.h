/* Reads whose plates are misread for each other, by cameras of which some move: what the tests of search ask about. */
#ifndef GANTRY_TESTS_STORAGE_SEARCH_PLATES_H
#define GANTRY_TESTS_STORAGE_SEARCH_PLATES_H

#include <stdint.h>

#include "appliance/base/prng.h"
#include "appliance/base/read.h"
#include "storage/search.h"

#define PLATE_CAMERAS 12

extern const char plate_alphabet[35]; /* 34 characters, ascending */
extern const struct search_fold plate_misreads;

uint8_t plate_fold_one(uint8_t c);
void plate_fold(const uint8_t key[16], uint8_t ret_folded[16]);

/* Captured on that day; mobile cameras from 7 on, over a square degree. */
struct read plate_read(struct prng *prng, int32_t day);

#endif
