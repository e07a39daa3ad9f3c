/* Does a text written by a person name a certain plate? Pure, any thread. */
#ifndef GANTRY_MATCHER_VRM_NAMED_H
#define GANTRY_MATCHER_VRM_NAMED_H

#include <stdbool.h>
#include <stdint.h>

#include "appliance/base/read.h"

/* Keys shorter than this are found in ordinary words: they are named by no text. */
#define VRM_NAMED_MIN 4

/*
 * True when the key's characters stand in a row in the text, whatever spaces, dashes and the like are between them.
 * Text that is not UTF-8 names every plate.
 */
bool vrm_named(const char *text, const uint8_t key[READ_TEXT_SIZE]);

#endif
