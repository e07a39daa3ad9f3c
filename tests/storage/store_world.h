/* A store on the simulated disk, its LMDB in a fresh directory; for the tests of the store. */
#ifndef GANTRY_TESTS_STORAGE_STORE_WORLD_H
#define GANTRY_TESTS_STORAGE_STORE_WORLD_H

#include <stdint.h>

#include "storage/io.h"
#include "tests/storage/store_rig.h"

#define RIG_DIRECTORY "/gantry"

/* A fresh one for LMDB, which is not simulated: where syncing costs nothing. */
void rig_db_directory(char path[600]);
struct rig *rig_new(struct io *io, uint64_t seed);
void rig_check_reads(struct rig *rig);
void rig_check_tidy(struct rig *rig);
void rig_send_some(struct rig *rig, unsigned runs);

/* What a day of work is made of: sends, commits, rolls, seals, a purge. Goes on whatever fails. */
void rig_scenario(struct rig *rig);

#endif
