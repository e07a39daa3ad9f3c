/*
 * CSV as RFC 4180 has it, read record by record from text in memory. LF alone ends a record too, empty lines are
 * passed over, a byte order mark at the start as well. The text comes from outside: any bytes are safe, and a record
 * that is not right says where and why instead of being guessed at.
 */
#ifndef GANTRY_MATCHER_CSV_H
#define GANTRY_MATCHER_CSV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CSV_FIELDS_MAX 16
#define CSV_FIELD_SIZE_MAX 256

/* One owner, no resources. */
struct csv {
	const uint8_t *text; /* borrowed */
	size_t size;
	size_t at;
	uint32_t line;
};

/* Fields are zero terminated UTF-8 without control characters; line breaks and tabs in quotes have become spaces. */
struct csv_record {
	uint32_t line; /* its first, from 1 */
	uint16_t field_count;
	uint16_t bad_field; /* from 1; 0 none */
	const char *bad;    /* why; static text */
	uint16_t sizes[CSV_FIELDS_MAX];
	char fields[CSV_FIELDS_MAX][CSV_FIELD_SIZE_MAX + 1];
};

void csv_init(struct csv *csv, const void *text, size_t size);

/* True while there are records, also bad ones: of those only line, bad_field and bad mean anything. */
bool csv_next(struct csv *csv, struct csv_record *ret_record);

/* UTF-8 throughout, without control characters. */
bool csv_text_is_clean(const char *text, size_t size);

#endif
