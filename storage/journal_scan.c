/*
 * The scan of one journal file, front to back, each byte read once.
 *
 * Happy path: frame after frame opens, each where the last one ended, up to zeros or END. Where none opens the scan
 * steps on by 4 KiB until one does; what lies between is a hole, told by the gap in the frame numbers. Whether a hole
 * is damage can only be said at the end, when every surviving frame has told what it knew to be durable.
 *
 * A frame behind a hole is taken all the same: it is authentic, and it may have been acknowledged.
 */
#include "storage/journal_file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/aead.h"
#include "appliance/base/bytes.h"
#include "storage/io.h"
#include "storage/journal_ahead.h"

#define SCAN_BUFFER_SIZE (2 * JOURNAL_FRAME_SIZE_MAX)

struct journal_scan {
	struct io_file *file;
	struct journal_ahead *ahead; /* NULL: reads as it needs */
	char path[JOURNAL_PATH_MAX];
	uint64_t file_size;
	struct aead_key key;
	uint64_t file_id;

	uint64_t offset;      /* of the next block to look at */
	uint64_t hole_offset; /* of the first block since the last frame that opened */
	bool hole_soiled;     /* and one of those blocks is not zeros */
	uint64_t bad_frame;   /* highest frame number of a header there whose body did not open */
	uint8_t chain[JOURNAL_CHAIN_SIZE];
	bool chain_known;

	uint8_t *buffer; /* buffer_count bytes of the file from buffer_offset on */
	uint64_t buffer_offset;
	size_t buffer_count;
	size_t buffer_size;
	uint8_t *body; /* likewise */

	struct journal_scan_result result;
};

/*
 * As the file's own read; where the medium cannot be read (a bad sector is one way to rot) the block is taken as one
 * that holds no frame, so that the rest of the file is not lost with it.
 */
static int64_t scan_read(struct journal_scan *scan, uint64_t offset, uint8_t *buffer, size_t size)
{
	int64_t n = scan->ahead != NULL ? journal_ahead_read(scan->ahead, offset, buffer, size)
					: scan->file->ops->read(scan->file, offset, buffer, size);
	size_t done = 0;

	if (n != -EIO)
		return n;
	if (size > scan->file_size - offset)
		size = (size_t)(scan->file_size - offset);
	while (done < size) {
		size_t part = size - done < JOURNAL_FRAME_BLOCK ? size - done : JOURNAL_FRAME_BLOCK;

		n = scan->file->ops->read(scan->file, offset + done, buffer + done, part);
		if (n < 0 && n != -EIO)
			return n;
		if (n < 0) {
			memset(buffer + done, 0xff, part);
			scan->result.unreadable_blocks++;
		} else if ((size_t)n < part) {
			return (int64_t)(done + (size_t)n);
		}
		done += part;
	}
	return (int64_t)done;
}

/* Brings `size` bytes at `offset` into the buffer, fewer at the end of the file. Offsets only grow. */
static int scan_fill(struct journal_scan *scan, uint64_t offset, size_t size, const uint8_t **ret_at, size_t *ret_count)
{
	uint64_t end = scan->buffer_offset + scan->buffer_count;
	int64_t n;

	if (offset + size > end && end < scan->file_size) {
		size_t kept = offset < end ? (size_t)(end - offset) : 0;

		memmove(scan->buffer, scan->buffer + scan->buffer_count - kept, kept);
		scan->buffer_offset = offset;
		scan->buffer_count = kept;
		n = scan_read(scan, offset + kept, scan->buffer + kept, scan->buffer_size - kept);
		if (n < 0)
			return (int)n;
		scan->buffer_count += (size_t)n;
		end = scan->buffer_offset + scan->buffer_count;
	}
	*ret_at = scan->buffer + (offset - scan->buffer_offset);
	*ret_count = offset < end ? (size_t)(end - offset) : 0;
	return 0;
}

static bool block_is_zero(const uint8_t *block, size_t size)
{
	return size == 0 || (block[0] == 0 && memcmp(block, block + 1, size - 1) == 0);
}

/*
 * The first frame header of the file that is whole: tells the id when the file's own header does not. -ENOTSUP: it is
 * of another version, as the file's own header may be when there is no frame that anything could be lost with.
 */
static int scan_find_id(struct journal_scan *scan)
{
	uint64_t offset = JOURNAL_HEADER_SIZE;

	while (offset < scan->file_size) {
		struct journal_frame_header header;
		const uint8_t *at;
		size_t count;
		int r = scan_fill(scan, offset, JOURNAL_FRAME_BLOCK, &at, &count);

		if (r == 0)
			r = count >= JOURNAL_FRAME_HEADER_SIZE ? journal_frame_header_decode(at, &header) : -EBADMSG;
		if (r == 0)
			scan->file_id = header.file_id;
		if (r != -EBADMSG)
			return r;
		offset += JOURNAL_FRAME_BLOCK;
	}
	/* What the device keeps back may be anything: only a file that was read whole is empty. */
	return scan->result.unreadable_blocks > 0 ? -EIO : JOURNAL_SCAN_EMPTY;
}

/* The key, and what the file's header says when it is whole and authentic. */
static int scan_begin(struct journal_scan *scan, const struct journal_scan_options *options)
{
	struct journal_file_header header;
	uint8_t key[AEAD_KEY_SIZE];
	const uint8_t *at;
	size_t count;
	bool whole;
	int r = scan_fill(scan, 0, JOURNAL_HEADER_SIZE, &at, &count);

	if (r < 0)
		return r;
	whole = count >= JOURNAL_HEADER_SIZE && journal_file_header_decode(at, NULL, &header, scan->chain) == 0;
	if (whole)
		scan->file_id = header.file_id;
	else
		r = scan_find_id(scan);
	if (r != 0)
		return r;
	r = options->key(options->context, scan->file_id, key);
	if (r < 0)
		return r == -ENOENT ? JOURNAL_SCAN_KEYLESS : r;
	aead_key_init(&scan->key, key);
	bytes_wipe(key, sizeof(key));
	if (whole && journal_file_header_decode(at, &scan->key, &header, scan->chain) == 0) {
		scan->result.header = header;
		scan->result.header_valid = true;
		scan->chain_known = true;
	}
	scan->result.header.file_id = scan->file_id;
	scan->offset = JOURNAL_HEADER_SIZE;
	scan->hole_offset = JOURNAL_HEADER_SIZE;
	scan->buffer_offset = 0; /* the search for an id may have run ahead */
	scan->buffer_count = 0;
	return 0;
}

/* No frame is longer than its file, so a small file needs little. */
static int scan_buffers_new(struct journal_scan *scan)
{
	size_t blocks = (size_t)(scan->file_size / JOURNAL_FRAME_BLOCK) + 2;

	scan->buffer_size =
		blocks * JOURNAL_FRAME_BLOCK < SCAN_BUFFER_SIZE ? blocks * JOURNAL_FRAME_BLOCK : SCAN_BUFFER_SIZE;
	scan->buffer = aligned_alloc(IO_ALIGN, scan->buffer_size);
	scan->body = malloc(scan->buffer_size);
	return scan->buffer == NULL || scan->body == NULL ? -ENOMEM : 0;
}

/*
 * Past the page cache, which has no use for what is read once. A file of odd size is none that a journal made: it is
 * read the ordinary way, because its last bytes cannot be read directly.
 */
static int scan_file_open(struct journal_scan *scan, struct io *io, const char *path)
{
	int r = io->ops->open(io, path, IO_READ | IO_DIRECT, &scan->file);

	if (r == 0)
		r = scan->file->ops->size(scan->file, &scan->file_size);
	if (r < 0 || scan->file_size % IO_ALIGN == 0)
		return r;
	scan->file->ops->close(scan->file);
	scan->file = NULL;
	r = io->ops->open(io, path, IO_READ, &scan->file);
	return r < 0 ? r : scan->file->ops->size(scan->file, &scan->file_size);
}

int journal_scan_new(const struct journal_scan_options *options, struct io *io, struct err *err,
		     struct journal_scan **ret_scan, uint64_t *ret_file_id)
{
	struct journal_scan *scan;
	int r;

	if (strlen(options->path) >= JOURNAL_PATH_MAX)
		return err_set(err, -ENAMETOOLONG, "%s: path too long for a journal file", options->path);
	scan = aligned_alloc(_Alignof(struct journal_scan), sizeof(*scan));
	if (scan == NULL)
		return err_set(err, -ENOMEM, "%s: no memory to read a journal file", options->path);
	memset(scan, 0, sizeof(*scan));
	strcpy(scan->path, options->path);
	r = scan_file_open(scan, io, options->path);
	if (r == 0)
		r = scan_buffers_new(scan);
	/* Without a helper it is slower, no more. */
	if (r == 0 && options->ahead && scan->file_size > SCAN_BUFFER_SIZE)
		(void)journal_ahead_new(scan->file, scan->file_size, &scan->ahead);
	if (r == 0)
		r = scan_begin(scan, options);
	*ret_file_id = scan->file_id;
	if (r == 0) {
		*ret_scan = scan;
		return 0;
	}
	journal_scan_free(scan);
	if (r == -ENOTSUP)
		return err_set(err, r,
			       "%s: written by another version of Gantry: let that version serve the directory and "
			       "stop in order, which seals its reads, or give them up by moving the file away",
			       options->path);
	return r > 0 ? r : err_set(err, r, "%s: cannot read journal file: %s", options->path, strerror(-r));
}

struct journal_scan *journal_scan_free(struct journal_scan *scan)
{
	if (scan == NULL)
		return NULL;
	scan->ahead = journal_ahead_free(scan->ahead);
	if (scan->file != NULL)
		scan->file->ops->close(scan->file);
	if (scan->body != NULL)
		bytes_wipe(scan->body, scan->buffer_size); /* VRMs */
	aead_key_fini(&scan->key);
	free(scan->body);
	free(scan->buffer);
	free(scan);
	return NULL;
}

static void hole_add(struct journal_scan *scan, uint64_t first, uint64_t last)
{
	struct journal_scan_result *result = &scan->result;

	if (result->hole_count < JOURNAL_HOLES_MAX)
		result->holes[result->hole_count] =
			(struct journal_hole){.first_frame = first, .last_frame = last, .offset = scan->hole_offset};
	result->hole_count++;
}

/* A frame opened: what came before it, and what it tells. */
static void scan_note(struct journal_scan *scan, const struct journal_frame_header *header,
		      const uint8_t chain[JOURNAL_CHAIN_SIZE], uint64_t end)
{
	struct journal_scan_result *result = &scan->result;
	bool follows = header->frame == result->last_frame + 1;

	if (!follows)
		hole_add(scan, result->last_frame + 1, header->frame - 1);
	else if (scan->chain_known && memcmp(header->chain, scan->chain, JOURNAL_CHAIN_SIZE) != 0)
		result->chain_breaks++;
	memcpy(scan->chain, chain, JOURNAL_CHAIN_SIZE);
	scan->chain_known = true;
	result->last_frame = header->frame;
	if (header->durable > result->durable_known)
		result->durable_known = header->durable;
	if (header->end) {
		result->ended = true;
	} else {
		result->frames++;
		result->rows += header->row_count;
	}
	scan->offset = end;
	scan->hole_offset = end;
	scan->hole_soiled = false;
	scan->bad_frame = 0;
}

/* 1: a frame opened here. 0: none, and offset has moved on by a block. */
static int scan_block(struct journal_scan *scan, struct journal_frame *ret_frame)
{
	struct journal_frame_header header;
	uint8_t chain[JOURNAL_CHAIN_SIZE];
	uint64_t offset = scan->offset;
	const uint8_t *at = scan->buffer;
	size_t count = 0;
	int r = scan_fill(scan, offset, JOURNAL_FRAME_BLOCK, &at, &count);

	if (r < 0)
		return r;
	if (count < JOURNAL_FRAME_HEADER_SIZE || journal_frame_header_decode(at, &header) < 0 ||
	    header.file_id != scan->file_id || header.frame <= scan->result.last_frame)
		goto no_frame;
	if (header.frame > scan->bad_frame)
		scan->bad_frame = header.frame;
	r = scan_fill(scan, offset, journal_frame_size(header.body_size), &at, &count);
	if (r < 0)
		return r;
	if (count < JOURNAL_FRAME_HEADER_SIZE + (size_t)header.body_size ||
	    journal_frame_open(&header, &scan->key, at, scan->body, chain) < 0 ||
	    journal_frame_init(ret_frame, &header, scan->body, offset) < 0)
		goto no_frame;
	scan_note(scan, &header, chain, offset + journal_frame_size(header.body_size));
	return 1;

no_frame:
	if (!block_is_zero(at, count < JOURNAL_FRAME_BLOCK ? count : JOURNAL_FRAME_BLOCK))
		scan->hole_soiled = true;
	scan->offset = offset + JOURNAL_FRAME_BLOCK;
	return 0;
}

/* A hole that frames say was partly durable becomes two. */
static void holes_judge(struct journal_scan_result *result)
{
	unsigned told = result->hole_count < JOURNAL_HOLES_MAX ? result->hole_count : JOURNAL_HOLES_MAX;

	result->damaged = result->chain_breaks > 0 || result->unreadable_blocks > 0 ||
			  (!result->header_valid && result->frames > 0);
	for (unsigned i = 0; i < told; i++) {
		struct journal_hole *hole = &result->holes[i];

		if (hole->first_frame > result->durable_known)
			continue;
		hole->damage = true;
		result->damaged = true;
		if (hole->last_frame <= result->durable_known || told == JOURNAL_HOLES_MAX)
			continue;
		memmove(hole + 2, hole + 1, (told - i - 1) * sizeof(*hole));
		hole[1] = (struct journal_hole){.first_frame = result->durable_known + 1,
						.last_frame = hole->last_frame,
						.offset = hole->offset};
		hole->last_frame = result->durable_known;
		result->hole_count++;
		told++;
	}
}

static void scan_finish(struct journal_scan *scan)
{
	struct journal_scan_result *result = &scan->result;

	if (scan->hole_soiled && !result->ended)
		hole_add(scan, result->last_frame + 1,
			 scan->bad_frame > result->last_frame ? scan->bad_frame : result->last_frame);
	holes_judge(result);
	scan->hole_soiled = false;
	scan->offset = UINT64_MAX;
}

int journal_scan_next(struct journal_scan *scan, struct err *err, struct journal_frame *ret_frame)
{
	while (scan->offset < scan->file_size && !scan->result.ended) {
		int r = scan_block(scan, ret_frame);

		if (r < 0)
			return err_set(err, r, "%s: cannot read journal file: %s", scan->path, strerror(-r));
		if (r == 1 && !scan->result.ended)
			return 1;
	}
	if (scan->offset != UINT64_MAX)
		scan_finish(scan);
	return 0;
}

const struct journal_scan_result *journal_scan_result(const struct journal_scan *scan)
{
	return &scan->result;
}
