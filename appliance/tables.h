/*
 * What the control plane tells the workers: feeds, cameras, bindings and the match set, as one immutable object.
 *
 * A control thread builds a new one from the register, publishes it with one pointer store, waits until every worker
 * has passed a quiescent point (rte_rcu_qsbr) and frees the old one. A worker loads the pointer once a turn and never
 * keeps anything of it over the turn's end. The match set outlives tables that share it (a reference count, control
 * plane only).
 */
#ifndef GANTRY_APPLIANCE_TABLES_H
#define GANTRY_APPLIANCE_TABLES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "appliance/base/err.h"
#include "appliance/places.h"
#include "appliance/slot_table.h"

struct feed_state;
struct hit_rules;
struct mark_set;
struct match_scratch;
struct matchset;
struct reg;

/* A match set with one scratch a worker. Made and let go of by control threads. */
struct matching {
	struct matchset *set;
	struct match_scratch **scratches;
	unsigned workers;
	unsigned references;
};

/* Takes over `set` also on failure. -ENOMEM. */
int matching_new(struct matchset *set, unsigned workers, struct matching **ret_matching);
struct matching *matching_hold(struct matching *matching);    /* NULL stays NULL: nothing is matched */
struct matching *matching_release(struct matching *matching); /* returns NULL */

struct feed_entry {
	struct feed_state *state; /* worker-owned content, outlives every table */
	uint32_t feed;
	bool active;
	bool all_cameras;
	bool has_key_next;
	uint8_t key[32];
	uint8_t key_next[32];
};

/* How a camera stands to a feed. */
enum camera_standing { CAMERA_BOUND, CAMERA_SUSPENDED, CAMERA_UNKNOWN, CAMERA_NOT_BOUND };

struct tables {
	uint64_t generation;      /* of the publication: what a worker has taken over is told by it */
	struct feed_entry *feeds; /* in the order of their ids */
	size_t feed_count;
	struct slot_table by_feed; /* feed + 1 → index in feeds */
	struct places places;
	struct slot_table bindings; /* feed << 32 | camera → as places.by_camera */
	struct matching *matching;
	bool incomplete;         /* a list that there is, is not in it, or there is none: reads are matched once more */
	struct mark_set *marks;  /* held; NULL: none */
	struct hit_rules *rules; /* of the lists that are matched; owned; NULL: every hit counts */
	/* Per worker: slot → index in feeds + 1, 0 none. Slots are feed_state's for ever. */
	uint32_t **slots;
	uint32_t *slot_counts;
	unsigned workers;
};

/* Finds or makes the state of a feed. Called for every feed of the register. NULL: no memory or no slot left. */
typedef struct feed_state *tables_state_of(void *context, uint32_t feed, const uint8_t key[32],
					   const uint8_t *key_next);

/* Reads the whole register; NULL: it is incomplete, no feed is known. `matching` (may be NULL) is held by the new
 * tables, which have neither marks nor rules yet: the caller puts them in and so hands them over. */
int tables_new(struct reg *reg, struct matching *matching, unsigned workers, tables_state_of *state_of, void *context,
	       struct tables **ret_tables);
struct tables *tables_free(struct tables *tables);

/* NULL when it is not registered. Worker. */
static inline const struct feed_entry *tables_feed(const struct tables *tables, uint32_t feed)
{
	uint32_t found = slot_find(&tables->by_feed, (uint64_t)feed + 1);

	return found == 0 ? NULL : &tables->feeds[found - 1];
}

/* ret_place: where it stands, PLACE_NONE for one that is not registered. Worker. */
static inline enum camera_standing tables_camera(const struct tables *tables, const struct feed_entry *feed,
						 uint32_t camera, uint32_t *ret_place)
{
	uint32_t found = 0;
	bool bound = true;

	if (!feed->all_cameras)
		found = slot_find(&tables->bindings, (uint64_t)feed->feed << 32 | camera);
	if (found == 0) {
		found = slot_find(&tables->places.by_camera, (uint64_t)camera + 1);
		bound = feed->all_cameras;
	}
	*ret_place = place_of_found(found);
	if (found == 0)
		return CAMERA_UNKNOWN;
	if (!bound)
		return CAMERA_NOT_BOUND;
	return ((found - 1) & 1) == 0 ? CAMERA_BOUND : CAMERA_SUSPENDED;
}

#endif
