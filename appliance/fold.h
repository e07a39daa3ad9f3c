/*
 * Where match sets come from: the base they stand on, and the thread that folds what has changed since into a new one
 * (matcher/matchbase.h).
 *
 *	a list changes ─▶ fold_matching: a set of the newest lists on the base there is (ms) ─▶ the workers have it
 *		       └▶ much lies outside the base: the thread wakes, builds a new base of a snapshot of the lists
 *			  (seconds; patterns are compiled by gantry-compile), takes change_lock and publishes again
 *
 * When a base cannot be made, the sets stay as they were and go on taking changes into their delta; the operator is
 * told, and it is tried again when lists change. Compiled databases rest in the data directory, sealed.
 *
 * Lock order: change_lock, then the fold's own, which is a leaf.
 */
#ifndef GANTRY_APPLIANCE_FOLD_H
#define GANTRY_APPLIANCE_FOLD_H

#include <stddef.h>

#include <jansson.h>

#include "appliance/base/err.h"

struct fold;
struct gantry;
struct list;
struct matching;

/* After the store is open, before lists are loaded. */
int fold_new(struct gantry *gantry, struct fold **ret_fold, struct err *err);
/* Starts the thread, once tables can be published. */
int fold_start(struct fold *fold, struct err *err);
/* Ends the thread, stopping what compiles. Sets made before may still be in use. */
void fold_stop(struct fold *fold);
struct fold *fold_free(struct fold *fold); /* accepts NULL */

/*
 * change_lock held. A set of these lists, with scratches, for the caller to publish. The first one takes its base from
 * the cache when it is there. Only a change that no delta can take is compiled for here. < 0 with err: what is
 * published stays as it is.
 */
int fold_matching(struct fold *fold, struct list *const *lists, size_t count, struct err *err,
		  struct matching **ret_matching);

/*
 * The same on the base there is, for lists that are not in force yet: by any thread for which the holder of change_lock
 * waits. What no delta can take is refused like anything else: fold_matching deals with it.
 */
int fold_matching_ahead(struct fold *fold, struct list *const *lists, size_t count, struct matching **ret_matching);

/* change_lock held. That set is in force now: the next one stands on its base, status tells of it, and the fold wakes
 * when its delta is large. */
void fold_note(struct fold *fold, const struct matching *matching);

/* change_lock held: frees a list, at once or when the fold that reads it is done. */
void fold_drop(struct fold *fold, struct list *list);

/* For status: {base_entries, delta_entries, tombstones, …, folding, folds, failed, why}. New reference. */
json_t *fold_json(struct fold *fold);

#endif
