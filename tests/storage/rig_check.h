/* What the rig finds wrong, as failed checks; for every test that drives a store with it. */
#ifndef GANTRY_TESTS_STORAGE_RIG_CHECK_H
#define GANTRY_TESTS_STORAGE_RIG_CHECK_H

#include <stdbool.h>

#include "tests/storage/store_rig.h"

/* `well` is what rig_verify and its like said: their problem is noted, and what was going on. */
void rig_check(struct rig *rig, bool well, const char *what);
/* The store opens. */
void rig_check_open(struct rig *rig, const char *what);
/* Closes without sealing and frees both; the disk is a simulated one. */
void rig_done(struct rig *rig, struct io *io);

#endif
