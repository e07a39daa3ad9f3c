/* Reads and hits as JSON, the same in every answer. New references; NULL when out of memory. Control threads. */
#ifndef GANTRY_APPLIANCE_PRESENT_H
#define GANTRY_APPLIANCE_PRESENT_H

#include <jansson.h>
#include <stdint.h>

#include <stdbool.h>

#include "appliance/base/read.h"
#include "storage/register_records.h"

struct gantry;
struct watched_hit;

/* What answers say of a camera. */
struct present_camera {
	bool known;   /* the register has it; else the rest is zero */
	uint8_t type; /* enum reg_camera_type */
	int32_t lat_e7;
	int32_t lon_e7;
	char name[REG_NAME_SIZE];
	char road[REG_TEXT_SIZE];
};
/* From the register, through a small cache. */
void present_camera(struct gantry *gantry, uint32_t number, struct present_camera *ret_camera);

/* {id?, vrm, key, capture, receipt, camera, camera_name, feed, lat, lon, confidence, lane, direction, country, kind,
 * flags} */
json_t *present_read(struct gantry *gantry, const struct read *read, const char *public_id);

/* A read with what it met: {number, list, version, entry, kind, priority, list_name, list_purpose, marking, line,
 * reason, action, make, model, colour, receipt_us, read: {…}}; what the entry says only while that version is loaded.
 */
json_t *present_hit(struct gantry *gantry, const struct hit *hit, const struct read *read);

/* The list's name, of a removed one too; null when the register does not know it. */
json_t *present_list_name(struct gantry *gantry, uint32_t list);

/* A hit that waits to be acknowledged, without its read: {number, state, list, list_name, priority, camera, since}. */
json_t *present_watched(struct gantry *gantry, const struct watched_hit *hit);

/* "2026-11-22" */
#define PRESENT_DAY_SIZE 16
const char *present_day(int32_t day, char buffer[PRESENT_DAY_SIZE]);

const char *present_refusal(enum refusal refusal);

#endif
