/*
 * The camera register as CSV (RFC 4180). The first line names the columns, in any order: `camera`, `lat` and `lon` are
 * needed; `name`, `organisation`, `type`, `road`, `direction` and `restricted` may be there. Any bytes are safe.
 */
#ifndef GANTRY_APPLIANCE_CAMERA_CSV_H
#define GANTRY_APPLIANCE_CAMERA_CSV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "appliance/base/err.h"
#include "matcher/csv.h"
#include "storage/register_records.h"

enum camera_column {
	CAMERA_COLUMN_CAMERA,
	CAMERA_COLUMN_LAT,
	CAMERA_COLUMN_LON,
	CAMERA_COLUMN_NAME,
	CAMERA_COLUMN_ORGANISATION,
	CAMERA_COLUMN_TYPE,
	CAMERA_COLUMN_ROAD,
	CAMERA_COLUMN_DIRECTION,
	CAMERA_COLUMN_RESTRICTED,
	CAMERA_COLUMN_COUNT
};

struct camera_csv {
	struct csv csv;
	int places[CAMERA_COLUMN_COUNT]; /* field of each column, −1 none */
	unsigned field_count;
};

struct camera_row {
	struct reg_camera camera; /* created_us and suspension are the caller's */
	uint32_t line;
	uint16_t bad_column; /* from 1; 0 the whole row */
	const char *bad;     /* static text; NULL when the row is good */
};

/* -EINVAL: no header line, or one with unknown, repeated or missing columns. `text` is borrowed. */
int camera_csv_init(struct camera_csv *csv, const char *text, size_t size, struct err *err);
bool camera_csv_next(struct camera_csv *csv, struct camera_row *ret_row);

/* "fixed", "mobile" …; NULL beyond the last. */
const char *camera_type_name(uint8_t type);

#endif
