/*
 * Where the cameras stand and what they are: part of the published tables, so immutable while workers see it. A place
 * is an index that holds as long as these very tables.
 */
#ifndef GANTRY_APPLIANCE_PLACES_H
#define GANTRY_APPLIANCE_PLACES_H

#include <stddef.h>
#include <stdint.h>

#include "appliance/base/area.h"
#include "appliance/slot_table.h"

#define PLACE_NONE UINT32_MAX
#define PLACES_MAX (UINT32_C(1) << 30) /* a place and a flag share 32 bits */

struct place {
	struct area_point point;
	float metres[3]; /* the same in space, to half a metre */
	uint32_t camera;
	uint8_t type; /* enum reg_camera_type */
};

struct places {
	struct place *table; /* in the order of the cameras' ids */
	size_t count;
	struct slot_table by_camera; /* camera + 1 → place << 1 | suspended */
	uint64_t digest;             /* of all cameras and where they stand: equal for equal ones */
};

/* Room for `count` cameras; then each is added. -ENOMEM; places_fini is right then too. */
int places_init(struct places *places, size_t count);
void places_fini(struct places *places);
/* -ENOMEM; places_fini is right then too. Nobody is suspended in the copy. */
int places_copy(const struct places *places, struct places *ret_copy);
void places_add(struct places *places, uint32_t camera, struct area_point point, uint8_t type, int suspended);

/* A value of by_camera, as slot_find gives it (+ 1); 0: PLACE_NONE. */
static inline uint32_t place_of_found(uint32_t found)
{
	return found == 0 ? PLACE_NONE : (found - 1) >> 1;
}

/* Any thread that holds the tables. */
static inline uint32_t places_find(const struct places *places, uint32_t camera)
{
	return place_of_found(slot_find(&places->by_camera, (uint64_t)camera + 1));
}

#endif
