/*
 * Who sent the rows of a page: each distinct (feed, spool epoch) once, in the order of its smallest camera. A camera
 * mostly speaks through one feed, and the cameras of a force lie together; so a row's source is predicted from its
 * camera (the last source that begins at or before it), and a row says only how far its own lies behind the prediction.
 * Pure functions, any thread.
 */
#ifndef GANTRY_STORAGE_SEGMENT_SOURCES_H
#define GANTRY_STORAGE_SEGMENT_SOURCES_H

#include <stddef.h>
#include <stdint.h>

#include "appliance/base/read.h"
#include "storage/segment_cursor.h"

/* Writes table and column for rows 1 … SEGMENT_PAGE_ROWS; returns where they end. */
uint8_t *segment_sources_put(const struct read *rows, unsigned count, uint8_t *at);

/* Fills feed and epoch of rows whose camera is there already. 0 or -EBADMSG. */
int segment_sources_get(struct segment_cursor *cursor, unsigned count, struct read *rows);

#endif
