/*
 * Sealed files of what can be made again: compiled lists. They tell VRMs, so nothing of them rests in clear; but no
 * entry of the register names them, and whatever is wrong with one, its owner makes it anew.
 *
 * "<directory>/<name>.cache", under a key derived from KEY_REGISTER. Any control thread, one at a time for a name; no
 * state.
 */
#ifndef GANTRY_STORAGE_SEALED_CACHE_H
#define GANTRY_STORAGE_SEALED_CACHE_H

#include <stddef.h>

struct io;
struct keyring;

/* Replaces what was there, whose content is discarded. -ENOENT: no register's key; -EFBIG; -errno of the disk. */
int sealed_cache_put(struct io *io, struct keyring *keyring, const char *directory, const char *name, const void *bytes,
		     size_t size);

/*
 * The caller wipes and frees ret_bytes. -ENOENT: no such file or key; -EBADMSG: damaged, of another name, or sealed
 * under another key; -ENOMEM; -errno of the disk. ret untouched then.
 */
int sealed_cache_get(struct io *io, struct keyring *keyring, const char *directory, const char *name, void **ret_bytes,
		     size_t *ret_size);

#endif
