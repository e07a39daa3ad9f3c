/*
 * Stored reads against the lists of now: the step that the search back (retro.h) and the matching of what was accepted
 * unmatched (unmatched.h) share. A control thread sweeps reads past it (storage/sweep.h), it matches them with the set
 * that the workers use and collects late hits, bounded; then they are put and published.
 *
 * One thread. Collected reads are personal data: fini wipes them.
 */
#ifndef GANTRY_APPLIANCE_LATE_MATCH_H
#define GANTRY_APPLIANCE_LATE_MATCH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "appliance/base/err.h"
#include "storage/late_hits.h"
#include "storage/sweep.h"

struct gantry;
struct match_scratch;
struct matching;

struct late_match {
	struct gantry *gantry;
	struct matching *matching; /* held */
	struct match_scratch *scratch;
	struct late_list {
		uint32_t list;
		uint32_t generation;
	} * lists; /* of the set, by id */
	size_t list_count;

	size_t hits_max; /* kept; beyond it they are counted */
	uint8_t kind;    /* of the late hits; HIT_EXACT: what they are by themselves */
	/* May be NULL: all count. `known` are the hits that the read has, of the sweep's list. */
	bool (*wants)(void *context, const struct hit *hit, const struct hit *known, size_t known_count);
	void *context;

	uint64_t met; /* hits wanted, kept or not */
	struct late_hit *hits;
	size_t count;
	size_t room;
};

/* change_lock held. -EAGAIN: no list is loaded; -ENOMEM. */
int late_match_init(struct late_match *match, struct gantry *gantry);
/* change_lock not held. */
void late_match_fini(struct late_match *match);

/*
 * Every read that a worker has taken by now is durable, so a view shows it, when this returns 0: those after it met the
 * set that is published. change_lock not held. 1: `stopping` came first. -EAGAIN with err: they are not durable within
 * half a minute; then a sweep would miss those that a journal writes late, with the lists of before.
 */
int late_match_settle(struct gantry *gantry, const atomic_bool *stopping, struct err *err);

/* Matches a burst, by the conditions of the lists too. change_lock not held. 0, -ENOMEM, -EIO. */
int late_match_burst(struct late_match *match, const struct sweep_burst *burst);

/*
 * Puts what was collected (storage/late_hits.h), publishes what was new, and forgets it. *ret_put: how many were new.
 * < 0 with err: nothing of the rest was put; the same reads may be matched again.
 */
int late_match_put(struct late_match *match, uint32_t who_uid, struct err *err, uint64_t *ret_put);

#endif
