/* The hits of the rig's reads, held against what was seen of them before; for tests that drive a store with it. */
#ifndef GANTRY_TESTS_STORAGE_RIG_HITS_H
#define GANTRY_TESTS_STORAGE_RIG_HITS_H

#include <stdbool.h>

#include "tests/storage/store_rig.h"

/*
 * Right behind rig_rows, rig_verify or rig_verify_rows, which say what is found: hit_scan gives every hit of every read
 * that is found and not marked, once, in order, with its read and with the number that it was first seen with; a number
 * that was never seen lies behind all that were seen before the store was opened; hit_find gives the same, repeats too.
 * False: see problem.
 */
bool rig_verify_hits(struct rig *rig);

#endif
