/* What the tests of the keyring share: rings on a simulated disk, opened and changed, one key at a time. */
#ifndef GANTRY_TESTS_STORAGE_KEYRING_RIG_H
#define GANTRY_TESTS_STORAGE_KEYRING_RIG_H

#include <stdbool.h>
#include <stdint.h>

#include "storage/io.h"
#include "storage/keyring.h"
#include "tests/storage/sim_io.h"

#define RING_MASTER "/k/master"
#define RING_COPY_A "/d/keyring"
#define RING_COPY_B "/e/keyring"

/* NULL with *ret_result when it does not open, and then err says why. */
struct keyring *ring_open(struct io *io, bool create, int *ret_result);
/* Made anew, or opened; sure to be there. */
struct keyring *ring_made(struct io *io);
struct key_id ring_segment(uint64_t id, int32_t day);
int ring_make(struct keyring *keyring, struct key_id id);
int ring_destroy(struct keyring *keyring, struct key_id id);
bool ring_holds(struct keyring *keyring, struct key_id id);

#endif
