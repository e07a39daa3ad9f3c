/*
 * A piece of an upload as it is, beside the lines of JSON: where a line would begin, a zero byte begins a frame, and no
 * line begins with one. Its head alone says where it ends, so that what a file holds is never taken for a request,
 * whatever becomes of the frame. Pure functions, any thread.
 *
 *	offset	size
 *	0	4	00 "UPL"
 *	4	4	bytes that follow the head, little-endian as all of it; at least 1
 *	8	4	upload, a number from upload.open
 *	12	4	id of the answer
 */
#ifndef GANTRY_MGMT_FRAME_H
#define GANTRY_MGMT_FRAME_H

#include <stddef.h>
#include <stdint.h>

#define FRAME_MARK '\0'
#define FRAME_HEAD_SIZE 16

enum frame_outcome { FRAME_MORE = 1 /* its end is not there yet */ };

struct frame {
	uint32_t size; /* without the head */
	uint32_t upload;
	uint32_t id;
};

/*
 * The frame at the front of `bytes`, head and all at most `size_max` bytes. 0, FRAME_MORE, or -EBADMSG: no frame, or
 * one that may not be; where anything begins behind it cannot be known.
 */
int frame_parse(const void *bytes, size_t size, size_t size_max, struct frame *ret_frame);

void frame_head_put(const struct frame *frame, uint8_t ret_head[FRAME_HEAD_SIZE]);

#endif
