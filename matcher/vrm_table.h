/* The rows of R3's transliteration, as data: what each code point leaves in a key, before O and I are folded. */
#ifndef GANTRY_MATCHER_VRM_TABLE_H
#define GANTRY_MATCHER_VRM_TABLE_H

#include <stdint.h>

/*
 * Up to two upper-case letters or digits (the second is 0 when there is but one), or NULL when the code point is left
 * out of the key. Never more letters than the code point has bytes of UTF-8.
 */
const char *vrm_letters(uint32_t point);

#endif
