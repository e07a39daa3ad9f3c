/*
 * The gate between a match and the journal: which hits count (hit_rules.h), which are repeats (repeats.h), and the
 * clones that no list knows (clones.h). What all workers share of it: made before the first thread, freed after the
 * last one, its tables changed by workers without a lock.
 */
#ifndef GANTRY_APPLIANCE_GATE_H
#define GANTRY_APPLIANCE_GATE_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "appliance/base/err.h"
#include "appliance/clones.h"
#include "appliance/zone.h"

struct cells;
struct config;
struct gantry;
struct hit_rules;
struct tables;

struct gate {
	struct zone zone;
	struct cells *repeats;
	struct cells *sightings; /* NULL: clones are not looked for */
	struct clones clones;
	uint16_t clone_minutes;
};

/* Main thread, before any other: see zone_load. < 0 with err. */
int gate_new(const struct config *config, struct err *err, struct gate **ret_gate);
struct gate *gate_free(struct gate *gate); /* accepts NULL */

/* change_lock held: the rules of the lists loaded now, for tables that are about to be published. -ENOMEM. */
int gate_rules(const struct gantry *gantry, const struct tables *tables, struct hit_rules **ret_rules);

/* For status: {conditions_refused, repeats, …, clones: {…}}. New reference. Control thread. */
json_t *gate_json(const struct gantry *gantry);

#endif
