#include "mgmt/private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_CAPACITY_MIN 4096

static int text_reserve(struct text *text, size_t size)
{
	size_t capacity = text->capacity > 0 ? text->capacity : TEXT_CAPACITY_MIN;
	char *bytes;

	if (text->start > 0 && text->end + size > text->capacity) {
		memmove(text->bytes, text->bytes + text->start, text_size(text));
		text->end -= text->start;
		text->start = 0;
	}
	if (text->end + size <= text->capacity)
		return 0;
	while (capacity < text->end + size)
		capacity *= 2;
	bytes = realloc(text->bytes, capacity);
	if (bytes == NULL)
		return -ENOMEM;
	text->bytes = bytes;
	text->capacity = capacity;
	return 0;
}

int text_append(struct text *text, const void *bytes, size_t size)
{
	int r = text_reserve(text, size);

	if (r < 0)
		return r;
	memcpy(text->bytes + text->end, bytes, size);
	text->end += size;
	return 0;
}

/* An empty buffer gives its memory back when it had grown large: 64 clients at their bound would keep 256 MiB. */
void text_consume(struct text *text, size_t size)
{
	text->start += size;
	if (text->start < text->end)
		return;
	text->start = text->end = 0;
	if (text->capacity > 16 * TEXT_CAPACITY_MIN)
		text_fini(text);
}

void text_fini(struct text *text)
{
	free(text->bytes);
	memset(text, 0, sizeof(*text));
}
