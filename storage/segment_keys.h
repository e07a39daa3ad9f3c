/*
 * Dictionary pages: the distinct VRM keys of a segment, ascending, each with the number of its rows. The writer
 * encodes; the reader decodes a page, or scans it for a pattern without decoding it. Pure functions, any thread.
 *
 * Keys are made small numbers, in two classes. Each class has, for every character position, the set of characters that
 * occur there in this page; a key's number is the row of its characters' ranks in these sets, a few bits each. The
 * common class holds keys of one length whose characters are the usual ones at their place; misreads and other formats
 * would widen its sets and go to the rest, where what has no place in 63 bits stands in 16 bytes. Numbers ascend, so
 * what is kept is their distances. A pattern becomes a mask over such numbers: a scan adds and compares.
 *
 * Eight runs side by side: a class is cut into eight runs of equal length, and step i of all runs lies together, so
 * that one vector addition yields eight keys. docs/disk-format.md has the bytes.
 */
#ifndef GANTRY_STORAGE_SEGMENT_KEYS_H
#define GANTRY_STORAGE_SEGMENT_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "storage/segment_format.h"

struct glob;

/* Distinct keys, ascending, with the number of rows of each. Returns the size; page has SEGMENT_PAGE_ROOM bytes. */
size_t segment_keys_encode(const uint8_t (*keys)[16], const uint32_t *counts, unsigned count, uint32_t first_row,
			   uint8_t *page);
/*
 * ret_first_rows gets one more than the count: where the last key's rows end. -EBADMSG when the bytes are not a page;
 * their order is not looked at.
 */
int segment_keys_decode(const uint8_t *page, size_t size, uint8_t (*ret_keys)[16], uint32_t *ret_first_rows,
			uint32_t *ret_count);

/* Rows first … end − 1. */
struct segment_row_range {
	uint32_t first;
	uint32_t end;
};
/* What a scan looks for: keys that match the glob, and of these, unless NULL, those that `wanted` says true of. */
struct segment_keys_query {
	const struct glob *glob;
	bool (*wanted)(const void *context, const uint8_t key[16]);
	const void *context;
};
/*
 * The rows of the keys looked for, ascending, one range a key, at most SEGMENT_PAGE_KEYS. ret_key_count: keys in the
 * page. -EBADMSG as above (a scan sees less of the bytes than a decode).
 */
int segment_keys_scan(const uint8_t *page, size_t size, const struct segment_keys_query *query,
		      struct segment_row_range *ret_ranges, uint32_t *ret_range_count, uint32_t *ret_key_count);

#endif
