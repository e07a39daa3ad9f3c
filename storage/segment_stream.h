/*
 * Pages of one section of one segment, in ascending order, read ahead. Inside of search; one thread.
 *
 * Which pages: those whose keys may lie in given ranges of keys, or those asked for one by one. The stream finds them
 * by their fences: it reads the leaf pages, then the pages, neighbours in one piece, and holds STREAM_PAGES of them at
 * most. It never waits itself: segment_stream_go starts what can be started, segment_stream_ready says whether the next
 * page can be taken, and who has to wait for it calls segment_stream_urge and fetch_wait in turn.
 *
 * The segment, its fetch and the ranges are borrowed until the stream is freed.
 */
#ifndef GANTRY_STORAGE_SEGMENT_STREAM_H
#define GANTRY_STORAGE_SEGMENT_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "appliance/base/err.h"
#include "storage/fetch.h"
#include "storage/key_range.h"
#include "storage/segment_format.h"

struct segment;
struct segment_stream;

#define STREAM_PAGES 128
#define STREAM_LEAVES 32                        /* scattered pages of a large day have a fence page each */
#define STREAM_PIECE_SIZE ((uint32_t)256 << 10) /* a disk gives all it has to a few pieces of this size */

/*
 * ranges: ascending and apart, or NULL: pages are asked for by segment_stream_want. *signal is set whenever something
 * has come, so that segment_stream_go is worth its time. NULL: out of memory.
 */
struct segment_stream *segment_stream_new(struct fetch *fetch, struct segment *segment, unsigned section,
					  const struct key_range *ranges, size_t range_count, bool *signal);
struct segment_stream *segment_stream_free(struct segment_stream *stream); /* waits for what is in flight */

/* Of a stream without ranges: asks for a page beyond those before. False: too many already, take some first. */
bool segment_stream_want(struct segment_stream *stream, uint32_t page);

/* Goes on with what has come. Costs little when nothing has. */
void segment_stream_go(struct segment_stream *stream);
/* segment_stream_next will not be too early. */
bool segment_stream_ready(const struct segment_stream *stream);
/* The search waits for the next page. */
void segment_stream_urge(struct segment_stream *stream);

struct segment_stream_page {
	const uint8_t *bytes; /* valid until the next call of next or free */
	size_t size;          /* without the tag, behind which 16 bytes are readable */
	uint32_t page;
	uint32_t first;  /* of the fence */
	uint8_t key[16]; /* of the fence; of a page that cannot be found the first that its fence page may name */
};
enum segment_stream_outcome { SEGMENT_STREAM_END = 1 };
/*
 * Only when ready. 0 with the page opened; SEGMENT_STREAM_END: none is left (of those asked for so far); < 0 with err,
 * page and key: this page cannot be read, or the pages of a fence page that cannot be read; the next call goes on
 * behind.
 */
int segment_stream_next(struct segment_stream *stream, struct err *err, struct segment_stream_page *ret_page);

#endif
