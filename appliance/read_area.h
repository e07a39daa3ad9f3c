/*
 * From an area on the ground to cameras (R30): those of the register that stand in it, and those that move and may have
 * come there, whose reads search judges one by one. Moving are the types mobile, dashboard and portable (R13); a camera
 * that stands is where the register has it, whatever position its reads carry. Control threads.
 */
#ifndef GANTRY_APPLIANCE_READ_AREA_H
#define GANTRY_APPLIANCE_READ_AREA_H

#include <stddef.h>
#include <stdint.h>

#include "appliance/base/area.h"
#include "storage/search.h"

struct reg;

/* Zeroed = empty. What a search_query borrows. */
struct read_area {
	struct area area;
	uint32_t *cameras; /* ascending */
	size_t camera_count;
	struct search_roamer *roamers; /* ascending; each is among the cameras */
	size_t roamer_count;
	size_t room;
};

/*
 * Fills the rest from read_area->area. `only` (sorted; NULL: all) are the cameras asked for beside it. 0 or -errno of
 * the register; fini either way.
 */
int read_area_gather(struct read_area *area, struct reg *reg, const uint32_t *only, size_t only_count);
void read_area_fini(struct read_area *area);

#endif
