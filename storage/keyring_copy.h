/* One copy of the keyring on disk: read, and replace so that a crash leaves the former content or the new. */
#ifndef GANTRY_STORAGE_KEYRING_COPY_H
#define GANTRY_STORAGE_KEYRING_COPY_H

#include <stddef.h>
#include <stdint.h>

#define KEYRING_PATH_MAX 1024

struct io;
struct keyring_content;

/* -ENOENT, -errno of the read, or as keyring_file_decode. `suffix` is "" or what a replacement leaves behind. */
int keyring_copy_read(struct io *io, const char *path, const char *suffix, const uint8_t *master,
		      struct keyring_content *ret_content);

/*
 * "<path>.tmp" written and synced, path → "<path>.old", "<path>.tmp" → path, directory synced; then the old content is
 * overwritten, discarded and unlinked. -errno: the copy is what it was, or missing with both beside it (keyring_open
 * looks there), or new; never a mixture.
 */
int keyring_copy_replace(struct io *io, const char *path, const void *bytes, size_t size);

/* Overwrites, discards and unlinks what an interrupted replacement left. 0 also when there is nothing. */
int keyring_copy_sweep(struct io *io, const char *path);

/* Overwrites, discards and unlinks one file. 0 also when there is none. */
int keyring_shred(struct io *io, const char *path);

/* The directory part of a path, "." when there is none. */
int keyring_directory(const char *path, char ret_directory[KEYRING_PATH_MAX]);
/* Makes the directory that the path lies in, if its parent exists, durably. */
int keyring_directory_make(struct io *io, const char *path);

#endif
