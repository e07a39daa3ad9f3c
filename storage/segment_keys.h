/*
 * Dictionary pages: the distinct VRM keys of a segment, ascending, each with the rows that are its. The writer encodes,
 * the reader decodes. Pure functions, any thread.
 */
#ifndef GANTRY_STORAGE_SEGMENT_KEYS_H
#define GANTRY_STORAGE_SEGMENT_KEYS_H

#include <stddef.h>
#include <stdint.h>

#include "storage/segment_format.h"

/* Distinct keys, ascending, with the number of rows of each. */
size_t segment_keys_encode(const uint8_t (*keys)[16], const uint32_t *counts, unsigned count, uint32_t first_row,
			   uint8_t *page);
/* ret_first_rows gets one more than the count: where the last key's rows end. */
int segment_keys_decode(const uint8_t *page, size_t size, uint8_t (*ret_keys)[16], uint32_t *ret_first_rows,
			uint32_t *ret_count);

#endif
