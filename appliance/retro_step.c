#include "appliance/retro_step.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/gantry.h"
#include "appliance/late_match.h"
#include "appliance/lists.h"
#include "appliance/retro_keys.h"
#include "matcher/list.h"
#include "storage/register_late.h"
#include "storage/store.h"

struct step {
	const struct retro_step_order *order;
	struct reg_retro request;
	struct late_match match;
	struct retro_keys keys;
	uint32_t *since; /* by entry; 0: not asked for */
	uint32_t entry_count;
	uint32_t version; /* of the list that `since` is of */
	unsigned faults;
};

/*
 * An entry is wanted that came with one of the versions asked for; and not for a read that was matched with it: one
 * that hit the list in a version in which the entry stood.
 */
static bool wants(void *context, const struct hit *hit, const struct hit *known, size_t known_count)
{
	const struct step *step = context;

	if (hit->list != step->request.list || hit->version != step->version || hit->entry >= step->entry_count ||
	    step->since[hit->entry] == 0)
		return false;
	for (size_t i = 0; i < known_count; i++)
		if (known[i].version >= step->since[hit->entry])
			return false;
	return true;
}

/* change_lock held. */
static int note_entries(struct step *step, const struct list *list)
{
	const struct reg_retro *request = &step->request;

	step->entry_count = list_count(list);
	step->version = list_info(list)->version;
	step->since = calloc((size_t)step->entry_count + 1, sizeof(*step->since));
	if (step->since == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; i < step->entry_count; i++) {
		struct list_entry entry;

		if ((list_entry_flags(list, i) & LIST_FLAG_REMOVED) != 0)
			continue;
		list_entry(list, i, &entry);
		if (entry.since >= request->since_version && entry.since <= request->upto_version) {
			/* Version 0 is none, and 1 the first. */
			step->since[i] = entry.since > 0 ? entry.since : 1;
			retro_keys_add(&step->keys, list_info(list), &entry);
		}
	}
	return 0;
}

/* 0; 1 with *ret_why: there is nothing to search any more; -EAGAIN no list is loaded now; -ENOMEM. */
static int begin(struct step *step, const char **ret_why)
{
	struct gantry *gantry = step->order->gantry;
	const struct list *list;
	int result = 0;

	pthread_mutex_lock(&gantry->change_lock);
	list = lists_loaded(gantry, step->request.list);
	if (gantry->matching == NULL) {
		result = -EAGAIN;
	} else if (list == NULL || list_info(list)->generation != step->request.generation) {
		*ret_why = "the list was replaced or removed: ask again for the new one";
		result = 1;
	} else {
		result = note_entries(step, list);
		if (result == 0)
			result = late_match_init(&step->match, gantry);
	}
	pthread_mutex_unlock(&gantry->change_lock);
	if (result != 0)
		return result;
	retro_keys_settle(&step->keys);
	step->match.kind = HIT_RETRO;
	step->match.wants = wants;
	step->match.context = step;
	return 0;
}

static void end(struct step *step)
{
	late_match_fini(&step->match);
	retro_keys_fini(&step->keys);
	free(step->since);
	step->since = NULL;
}

static int on_burst(void *context, const struct sweep_burst *burst)
{
	struct step *step = context;

	if (step->order->stopped(step->order->context, &step->request))
		return 1;
	return late_match_burst(&step->match, burst);
}

static void on_fault(void *context, const char *text)
{
	struct step *step = context;

	step->faults++;
	store_damage_met(step->order->gantry->store, text);
}

static uint64_t finds_left(const struct step *step)
{
	uint64_t max = (uint64_t)step->order->gantry->config.retro_hits_max;

	return max > step->request.finds ? max - step->request.finds : 0;
}

/* 0; 1 stopped, and nothing is put; < 0. */
static int search(struct step *step, struct err *err)
{
	bool memory = step->order->memory;
	struct reg_retro *request = &step->request;
	struct sweep sweep = {.first_day = memory ? request->first_day : request->next_day,
			      .last_day = memory ? request->last_day : request->next_day,
			      .memory = memory,
			      .segments = !memory,
			      .receipt_to_us = INT64_MAX,
			      .list = request->list,
			      .ranges = step->keys.ranges,
			      .range_count = step->keys.count,
			      .burst = on_burst,
			      .fault = on_fault,
			      .context = step};
	uint64_t put = 0;
	int result;

	step->match.hits_max = finds_left(step);
	result = sweep_run(step->order->gantry->views, &sweep, err);
	if (result != 0)
		return result;
	result = late_match_put(&step->match, request->who_uid, err, &put);
	if (result < 0)
		return result;
	request->finds += put;
	request->met += step->match.met;
	if (step->faults > 0)
		(void)snprintf(request->why, sizeof(request->why),
			       "parts of its days could not be read: see status and gantry-fsck");
	return 0;
}

int retro_step_run(const struct retro_step_order *order, struct reg_retro *request, const char **ret_why,
		   struct err *err)
{
	struct step step = {.order = order, .request = *request};
	int result = begin(&step, ret_why);

	if (result == 0)
		result = search(&step, err);
	else if (result == -EAGAIN)
		(void)err_set(err, result, "no list is loaded");
	else if (result < 0)
		(void)err_set(err, result, "%s", strerror(-result));
	if (result == 0)
		*request = step.request;
	end(&step);
	return result;
}
