/*
 * The reads of one search, in flight together: a bounded queue before the reader (storage/io.h) with blocks to read
 * into. Inside of search; one thread.
 *
 * Small reads (fences, single row pages) go before large ones (pieces of a scan), because something waits for each; and
 * what the search cannot go on without goes first. Bounds: IO_READER_DEPTH_MAX reads and FETCH_FLYING_MAX bytes in
 * flight, so that a small read never waits long in the disk's own queue, and FETCH_HELD_MAX bytes of blocks, beyond
 * which only urgent reads start.
 *
 * Files are read in whole blocks of IO_ALIGN, so that direct I/O may be used: a scan of a year costs no page cache.
 */
#ifndef GANTRY_STORAGE_FETCH_H
#define GANTRY_STORAGE_FETCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "storage/io.h"

#define FETCH_FLYING_MAX ((size_t)4 << 20)
#define FETCH_HELD_MAX ((size_t)32 << 20)
#define FETCH_SMALL_MAX ((size_t)48 << 10) /* a fence page of a day of 40 M reads, a row page */
#define FETCH_SIZE_MAX ((size_t)264 << 10) /* of one read: a piece of a scan, the largest fence page */

struct fetch;

enum fetch_state { FETCH_IDLE = 0, FETCH_WAITING, FETCH_FLYING, FETCH_DONE };

/* One read; zeroed = idle. Lies in its user's memory and does not move until it is released. */
struct fetch_read {
	struct fetch_read *next;
	struct fetch_read *previous;
	struct io_file *file;
	uint8_t *block;
	bool *signal;
	uint64_t offset;
	uint32_t size;
	int result; /* once done: 0, -EBADMSG the file ends before, -errno */
	uint8_t state;
	bool urgent;
};

/* -ENOMEM, or what the reader says. */
int fetch_new(struct io *io, struct fetch **ret_fetch);
struct fetch *fetch_free(struct fetch *fetch); /* every read released before */

/* size 1 … FETCH_SIZE_MAX. The file stays open until the read is released. *signal is set when it is done. */
void fetch_start(struct fetch *fetch, struct fetch_read *read, struct io_file *file, uint64_t offset, uint32_t size,
		 bool *signal);
/* The search waits for this one. */
void fetch_urge(struct fetch *fetch, struct fetch_read *read);
/* Any state; waits when it is in flight. Its bytes are gone. */
void fetch_release(struct fetch *fetch, struct fetch_read *read);

static inline bool fetch_done(const struct fetch_read *read)
{
	return read->state == FETCH_DONE;
}

/* The bytes of a read that is done with result 0. They may be changed in place. */
static inline uint8_t *fetch_bytes(const struct fetch_read *read)
{
	return read->block + read->offset % IO_ALIGN;
}

/* Starts what may start and takes what has come. True when something came. */
bool fetch_poll(struct fetch *fetch);
/* The same, and waits until something comes if anything is waiting or in flight. */
void fetch_wait(struct fetch *fetch);

/* Bytes of all reads that were started so far, with what alignment adds. */
uint64_t fetch_bytes_read(const struct fetch *fetch);
/* Pages that were found in them. */
void fetch_count_page(struct fetch *fetch);
uint64_t fetch_pages_read(const struct fetch *fetch);

#endif
