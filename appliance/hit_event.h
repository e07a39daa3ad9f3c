/* What a subscriber is told of a hit: all of it (present_hit), or the four fields of R28. Control threads. */
#ifndef GANTRY_APPLIANCE_HIT_EVENT_H
#define GANTRY_APPLIANCE_HIT_EVENT_H

#include <jansson.h>
#include <stdint.h>

#include "appliance/base/hit_positions.h"

struct gantry;
struct hit_found;

/* `kind`: enum reg_subscription_kind. New reference, NULL when out of memory. */
json_t *hit_event(struct gantry *gantry, uint8_t kind, const struct hit_found *found);

/* enum reg_camera_type of the read's camera, or HIT_LATENCY_TYPE_UNKNOWN. */
uint8_t hit_event_camera_type(struct gantry *gantry, const struct hit_found *found);

const char *hit_lane_name(enum hit_lane lane);

#endif
