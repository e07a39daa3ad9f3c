/*
 * The simulated side of the seam: a disk in memory that can fail, tear, forget, rot and fill up, all from one seed.
 *
 * What a crash keeps: everything durable as storage/io.h defines it; of unsynced writes and writes in flight any subset
 * of 512-byte sectors; of unsynced names in one directory any prefix of the creations, renames and unlinks. Files
 *opened before the crash answer -EIO to everything but close.
 *
 * Operations are numbered 1, 2, 3 …: open with IO_CREATE, preallocate, write, write_sync, sync, punch, rename, unlink,
 *mkdir, dir_sync and submit; reads, list, size, space, reap and close are not counted. Any thread (one mutex inside).
 *
 *	struct io *io = sim_new(check_seed());
 *	io->ops->mkdir(io, "/d");
 *	…
 *	sim_cut_at(io, sim_ops(io) + 17);	the power goes in the middle of the 17th operation from here
 *	run(io);				everything fails with -EIO from there on
 *	sim_crash(io);				power is back, the disk holds what it happens to hold
 *	recover(io);
 */
#ifndef GANTRY_TESTS_STORAGE_SIM_IO_H
#define GANTRY_TESTS_STORAGE_SIM_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "storage/io.h"

struct io *sim_new(uint64_t seed);
struct io *sim_free(struct io *io);

/* Counted operations so far. */
uint64_t sim_ops(struct io *io);

/* The power goes during operation number `op` (0: never). */
void sim_cut_at(struct io *io, uint64_t op);
bool sim_is_cut(struct io *io);
/* Power off (if it was on) and on again. */
void sim_crash(struct io *io);

enum sim_kind {
	SIM_CREATE = 1 << 0,
	SIM_PREALLOCATE = 1 << 1,
	SIM_WRITE = 1 << 2,  /* write, write_sync */
	SIM_SYNC = 1 << 3,   /* sync, dir_sync */
	SIM_NAME = 1 << 4,   /* rename, unlink, mkdir */
	SIM_SUBMIT = 1 << 5, /* fails on completion */
	SIM_READ = 1 << 6,   /* not counted in sim_ops */
	SIM_PUNCH = 1 << 7,
	SIM_ALL = 0xff & ~SIM_READ,
};
/*
 * Of the operations of these kinds (a set), the nth from now and the count − 1 after it fail with -error. A write that
 * fails leaves any subset of its sectors written. count 0: none fail any more. One rule at a time.
 */
void sim_fail(struct io *io, unsigned kinds, uint64_t nth, uint64_t count, int error);

/* Bytes of the whole disk (0: without bound): beyond it creation of blocks is -ENOSPC, and space() tells. */
void sim_capacity(struct io *io, uint64_t bytes);

/* Flips `mask` in one byte, durably. -ENOENT, -EINVAL beyond the end. */
int sim_rot(struct io *io, const char *path, uint64_t offset, uint8_t mask);
int sim_truncate(struct io *io, const char *path, uint64_t size);
/* Reads that touch the block of 4 KiB at `offset` fail with -EIO from now on. One block a file. */
int sim_bad_block(struct io *io, const char *path, uint64_t offset);
/* Opening it fails with -error, 0: not any more. Who has it open goes on. */
int sim_deny(struct io *io, const char *path, int error);
/* As if group and others could read it. */
int sim_expose(struct io *io, const char *path);
/* A file with this content, durable, replacing what was there. */
int sim_put(struct io *io, const char *path, const void *bytes, size_t size);
/* A copy of the content now; the caller frees. NULL when there is no such file. */
uint8_t *sim_get(struct io *io, const char *path, size_t *ret_size);

/* True when these bytes stand anywhere on the medium: in files, and in unlinked ones that nobody overwrote or
 * discarded. */
bool sim_medium_holds(struct io *io, const void *bytes, size_t size);
/* Calls each for every content the medium still has, unlinked ones included; stops at the first non-zero. */
int sim_medium_each(struct io *io, int (*each)(void *context, const uint8_t *bytes, size_t size), void *context);

#endif
