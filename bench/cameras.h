/*
 * The fleet's cameras: where they stand, what they are, how much passes them. Made once from a seed, then read only.
 * Ids run from 1; the table's index is id − 1.
 */
#ifndef GANTRY_BENCH_CAMERAS_H
#define GANTRY_BENCH_CAMERAS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define CAMERAS_MAX 1000000

enum camera_type {
	CAMERA_STATIC,
	CAMERA_MULTI_LANE, /* over several lanes of a road */
	CAMERA_MOVEABLE,
	CAMERA_MOBILE, /* in a vehicle: every read carries its own position */
	CAMERA_TYPES
};

struct camera {
	int32_t lat_e7; /* WGS 84, 1e-7 degree */
	int32_t lon_e7;
	uint16_t weight; /* share of the traffic, relative */
	uint16_t not_read_permille;
	uint8_t type; /* enum camera_type */
	uint8_t lanes;
	uint8_t direction; /* enum read_direction */
	uint8_t force;     /* whose it is */
	uint8_t road;
	bool restricted;
};

struct cameras {
	struct camera *table;
	uint32_t count;
};

/* 0, -EINVAL when count is 0 or above CAMERAS_MAX, -ENOMEM. */
int cameras_init(struct cameras *cameras, uint32_t count, uint64_t seed);
void cameras_fini(struct cameras *cameras);

/*
 * The register as CSV: camera,name,organisation,type,lat,lon,road,direction,restricted. Types are the register's words:
 * fixed, portable, mobile. Restricted is yes or no. 0 or -EIO.
 */
int cameras_print(const struct cameras *cameras, FILE *out);

#endif
