/* The end of a segment's file, once its key is destroyed. Any control thread. */
#ifndef GANTRY_STORAGE_SEGMENT_DISCARD_H
#define GANTRY_STORAGE_SEGMENT_DISCARD_H

#include <stdint.h>

struct io;

/*
 * Discards the content for the disk's sake and unlinks. 0 also when there is no such file. The unlinking is not durable
 * yet: a file that comes back after a crash has no key and goes with the next start.
 */
int segment_discard(struct io *io, const char *directory, int32_t day, uint64_t id);

#endif
