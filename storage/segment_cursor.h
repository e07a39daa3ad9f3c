/* Inside of the page codecs: a cursor over bytes to be decoded, and the length of a zero padded string. */
#ifndef GANTRY_STORAGE_SEGMENT_CURSOR_H
#define GANTRY_STORAGE_SEGMENT_CURSOR_H

#include <stddef.h>
#include <stdint.h>

#include "appliance/base/read.h"

struct segment_cursor {
	const uint8_t *at;
	const uint8_t *end;
};

/* The next `size` bytes, or NULL when there are fewer. */
static inline const uint8_t *segment_cursor_take(struct segment_cursor *cursor, size_t size)
{
	const uint8_t *at = cursor->at;

	if ((size_t)(cursor->end - at) < size)
		return NULL;
	cursor->at += size;
	return at;
}

static inline unsigned segment_text_size(const uint8_t text[READ_TEXT_SIZE])
{
	unsigned size = READ_TEXT_SIZE;

	while (size > 0 && text[size - 1] == 0)
		size--;
	return size;
}

#endif
