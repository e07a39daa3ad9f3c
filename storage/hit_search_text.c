/* Cursors as text: numbers in hexadecimal. They name a moment and a hit, which who holds them has been shown. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "storage/hit_search.h"

#define FORMAT "%016" PRIx64 "%016" PRIx64 "%016" PRIx64
#define FORMAT_READ "%16" SCNx64 "%16" SCNx64 "%16" SCNx64

void hit_search_cursor_write(uint64_t question, const struct hit_search_cursor *cursor,
			     char ret_text[HIT_SEARCH_CURSOR_TEXT_SIZE])
{
	ret_text[0] = '\0';
	if (cursor->set)
		(void)snprintf(ret_text, HIT_SEARCH_CURSOR_TEXT_SIZE, FORMAT, question, (uint64_t)cursor->capture_us,
			       cursor->number);
}

int hit_search_cursor_read(uint64_t question, const char *text, struct hit_search_cursor *ret_cursor)
{
	struct hit_search_cursor cursor = {.set = true};
	char again[HIT_SEARCH_CURSOR_TEXT_SIZE];
	uint64_t asked, capture;

	if (sscanf(text, FORMAT_READ, &asked, &capture, &cursor.number) != 3)
		return -EINVAL;
	cursor.capture_us = (int64_t)capture;
	hit_search_cursor_write(asked, &cursor, again);
	if (strcmp(again, text) != 0)
		return -EINVAL;
	if (asked != question)
		return -ESTALE;
	*ret_cursor = cursor;
	return 0;
}
