/*
 * What the heads of the lists say of hits: under which conditions a read is one, and which of them are repeats. Made
 * by a control thread with the tables that it is published with, immutable then; read by workers and by whoever else
 * finds hits.
 *
 * Where a read happened: its own position when it has one, else its camera's. A list with areas remembers for every
 * camera in which of them it stands, so that only a read with a position of its own asks for geometry. Hours are those
 * of the capture, in the zone's local time.
 */
#ifndef GANTRY_APPLIANCE_HIT_RULES_H
#define GANTRY_APPLIANCE_HIT_RULES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "appliance/places.h"
#include "appliance/zone.h"
#include "matcher/list_conditions.h"

struct list;
struct list_info;
struct read;

/* A list without areas has these instead, about 10 km wide at 52 degrees, for repeats «in the same area». */
#define HIT_TILE_LAT_E7 1000000
#define HIT_TILE_LON_E7 1500000

/* The areas of a list, and for every place the number of the first that holds it + 1; shared while neither changes. */
struct hit_ground;

struct hit_rule {
	uint32_t list;
	uint32_t generation; /* of the list: its entries have their numbers within one */
	uint16_t suppress_minutes;
	uint8_t suppress_scope;    /* enum list_scope */
	bool conditional;          /* false: every read is admitted */
	struct hit_ground *ground; /* NULL: anywhere */
	struct list_conditions conditions;
};

struct hit_rules {
	struct hit_rule *rules; /* [0] is that of clones, list 0 */
	size_t count;
	struct slot_table by_list; /* list + 1 → index */
	struct zone zone;
};

struct hit_rules_options {
	const struct places *places; /* of the tables that the rules are published with */
	const struct zone *zone;     /* copied */
	const struct hit_rules *old; /* whose grounds are shared where they still hold; may be NULL */
	uint16_t clone_minutes;      /* repeats of a clone hit */
};

/* Copies what it needs. An area that cannot be read admits everything and is logged. -ENOMEM. Control thread. */
int hit_rules_new(const struct list *const *lists, size_t count, const struct hit_rules_options *options,
		  struct hit_rules **ret_rules);
/* The same of one head alone, whether there is such a list or not. */
int hit_rules_of_head(const struct list_info *info, const struct hit_rules_options *options,
		      struct hit_rules **ret_rules);
struct hit_rules *hit_rules_free(struct hit_rules *rules); /* accepts NULL */

/* NULL: nothing is known of that list. Any thread, as all below. */
const struct hit_rule *hit_rules_find(const struct hit_rules *rules, uint32_t list);

/* Is the read a hit of that rule's list? place: its camera's in `places`, or PLACE_NONE: it stands in no area. */
bool hit_rule_admits(const struct hit_rules *rules, const struct hit_rule *rule, const struct places *places,
		     uint32_t place, const struct read *read);

/* The same for whoever knows neither rule nor place. A list of which nothing is known has no conditions. */
bool hit_gate_admits(const struct hit_rules *rules, const struct places *places, uint32_t list,
		     const struct read *read);

/* What «the same camera», «the same area» is for a repeat; equal for equal ones. */
struct hit_spot {
	int32_t a;
	int32_t b;
};
struct hit_spot hit_rule_spot(const struct hit_rule *rule, const struct places *places, uint32_t place,
			      const struct read *read);

#endif
