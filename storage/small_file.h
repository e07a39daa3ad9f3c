/*
 * Files of one piece, replaced whole: a purge's intent, the last time seen. Any control thread.
 */
#ifndef GANTRY_STORAGE_SMALL_FILE_H
#define GANTRY_STORAGE_SMALL_FILE_H

#include <stddef.h>

struct io;

/* Durable on return, replacing what was there; a crash leaves the old content or the new. A ".tmp" may stay. */
int small_file_write(struct io *io, const char *directory, const char *name, const void *bytes, size_t size);

/* Its first bytes, `capacity` at most. -ENOENT none. */
int small_file_read(struct io *io, const char *directory, const char *name, void *ret_bytes, size_t capacity,
		    size_t *ret_size);

#endif
