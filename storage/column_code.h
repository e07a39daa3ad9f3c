/*
 * A column of integers that says itself how it is coded. The encoder takes what is shortest:
 *
 * - one value: when all are the same, one byte and the value;
 * - packed: the smallest value, then each distance from it in as many bits as serve best, trailing zero bits that all
 *   have left out. The few distances that need more bits give their upper part as a patch behind the rest, so that one
 *   late read does not widen a page;
 * - runs: where a value differs from the one before, and by how much.
 *
 * Any values come back. Pure functions, any thread.
 */
#ifndef GANTRY_STORAGE_COLUMN_CODE_H
#define GANTRY_STORAGE_COLUMN_CODE_H

#include <stddef.h>
#include <stdint.h>

#include "storage/segment_cursor.h"

#define COLUMN_CODE_VALUES_MAX 2048

/* count 1 … COLUMN_CODE_VALUES_MAX. Writes up to 32 + 8 * count bytes; returns where the column ends. */
uint8_t *column_code_put(const uint64_t *values, unsigned count, uint8_t *at);

/*
 * Takes a column of `count` values from the cursor; COLUMN_SLACK bytes behind its end are readable. 0; 1: all are the
 * same, and only ret_values[0] is written; -EBADMSG: the bytes are no such column.
 */
int column_code_get(struct segment_cursor *cursor, unsigned count, uint64_t *ret_values);
/* The same, with every value written. 0 or -EBADMSG. */
int column_code_get_all(struct segment_cursor *cursor, unsigned count, uint64_t *ret_values);

#endif
