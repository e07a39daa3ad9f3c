/* A store of one worker on the simulated disk, of which segments are merged and rewritten. */
#ifndef GANTRY_TESTS_STORAGE_REWRITE_RIG_H
#define GANTRY_TESTS_STORAGE_REWRITE_RIG_H

#include <stdint.h>

#include "storage/io.h"
#include "tests/storage/store_rig.h"

#define RIG_DIRECTORY "/gantry"

struct rig *rig_new(struct io *io, uint64_t seed);

/* Merges until nothing is left to merge. */
int rig_merge_all(struct rig *rig);

/* Opens, and leaves `rounds` segments of each day. */
void rig_fill(struct rig *rig, unsigned rounds);
uint64_t rig_segments(struct rig *rig);
void rig_check_books(struct rig *rig, uint64_t reads);

/* Sealed and closed, it opens again with every read once and nothing left over. */
void rig_check_reopens(struct rig *rig, const char *what);

#endif
