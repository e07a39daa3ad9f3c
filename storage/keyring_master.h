/* The master key's file: 64 hex digits and a newline, for its owner alone. Control plane. */
#ifndef GANTRY_STORAGE_KEYRING_MASTER_H
#define GANTRY_STORAGE_KEYRING_MASTER_H

#include "storage/keyring.h"

/* Beside the file while it is rotated: the key that is to take its place, and the one that has left it. */
#define KEYRING_MASTER_NEW ".new"
#define KEYRING_MASTER_OLD ".old"

/* -EPERM others may read it; -EINVAL not a master key; -errno of the read. */
int keyring_master_read(const char *path, struct io *io, struct err *err, uint8_t ret_master[KEY_SIZE]);

/* Makes one from random bytes, and its directory, unless there is something already: 0 then too. Whole or not at all.
 */
int keyring_master_make(const char *path, struct io *io, struct err *err);

/* This key into a file that is not there yet, durable, its name too. -EEXIST; what a failure leaves is the caller's. */
int keyring_master_put(const char *path, struct io *io, const uint8_t master[KEY_SIZE]);

#endif
