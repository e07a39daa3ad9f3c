/* Lives of hits as JSON, the same in every answer. New references; NULL when out of memory. Control threads. */
#ifndef GANTRY_APPLIANCE_PRESENT_LIFE_H
#define GANTRY_APPLIANCE_PRESENT_LIFE_H

#include <jansson.h>
#include <stdint.h>

struct reg_hit_life;
struct reg_hit_step;

/* "acknowledged" …; of 0 "unacknowledged" */
const char *present_hit_state(uint8_t state);

/* "correct", "misread", "wrong-vehicle", "stale-entry"; NULL of one that is not judged */
const char *present_disposition(uint8_t disposition);

/* {by, uid, organisation, at} */
json_t *present_step(const struct reg_hit_step *step);

/* {state, disposition, acknowledged: {…}, assessed: {…, text}, ended: {…, text}}, as far as it has come */
json_t *present_life(const struct reg_hit_life *life);

#endif
