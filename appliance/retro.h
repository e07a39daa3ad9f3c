/*
 * The search back (retro-match): entries of a list against the reads that are stored already. Finds become late hits of
 * kind HIT_RETRO (storage/late_hits.h), delivered to subscribers like any others.
 *
 * Life of a request: asked for (lists.retro, or with lists.load and lists.add) ▸ a record of the register ▸ what is not
 * sealed, then day by day from the newest, each with its finds put and the record renewed behind it ▸ done, cancelled,
 * or ended because the list was replaced or removed. A restart goes on with the day that it finds; what was put of
 * that day before is not put again.
 *
 * Which reads: all but those whose hits say that the entry was matched when they came (storage/sweep.h gives a read
 * with its hits). The set that matches is that of the workers, so kinds, tolerance and expiry are theirs. Few entries
 * are looked up by their keys, many by a pass over all pages of a day.
 *
 * One thread, behind everybody else in CPU and disk; one request at a time, in their order. Nothing of it is shared
 * with a worker. change_lock is held for the moment that it takes to note what is to be searched.
 */
#ifndef GANTRY_APPLIANCE_RETRO_H
#define GANTRY_APPLIANCE_RETRO_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "appliance/base/err.h"

struct gantry;
struct retro;

enum retro_outcome {
	RETRO_UNKNOWN = 1, /* no such request */
	RETRO_ENDED = 2,   /* it has ended before */
};

/* Once lists and tables are there. Requests of the register that run go on. */
int retro_start(struct gantry *gantry, struct retro **ret_retro, struct err *err);
struct retro *retro_stop(struct retro *retro); /* accepts NULL; stops within a burst */

/* What is to be searched: entries of the list that came with since_version … upto_version, over `days` and today. */
struct retro_order {
	uint32_t list;
	uint32_t generation;
	uint32_t since_version;
	uint32_t upto_version;
	int64_t days;
	uint32_t who_uid;
};
/* Durable on return. -EBUSY: RETRO_RUNNING_MAX requests wait; -ENOKEY no register; else what the register says. */
#define RETRO_RUNNING_MAX 64
int retro_request(struct retro *retro, const struct retro_order *order, struct err *err, uint32_t *ret_number);

/* 0: durable; it ends after the burst in work, or the finds that are being put, and no restart goes on with it. An
 * outcome, or < 0 with err: it goes on. */
int retro_cancel(struct retro *retro, uint32_t number, struct err *err);

/* What runs and the last that ended: [{number, list, state, days, days_done, finds, …}]. New reference. */
json_t *retro_json(struct retro *retro);

#endif
