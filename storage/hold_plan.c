/* What a case holds of a day, asked of search: selector by selector, unsealed reads included. */
#include "storage/hold.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/bytes.h"
#include "appliance/base/glob.h"
#include "storage/hold_internal.h"
#include "storage/hold_match.h"
#include "storage/hold_place.h"
#include "storage/register.h"
#include "storage/search.h"
#include "storage/store_internal.h"

struct planning {
	struct store *store;
	int64_t first_us;
	uint64_t reads;
	struct search_result *result;
};

struct wanted {
	char public_id[SEARCH_PUBLIC_ID_SIZE];
	uint64_t count;
};

static int compare_wanted(void *context, const struct read *read, const char public_id[SEARCH_PUBLIC_ID_SIZE])
{
	struct wanted *wanted = context;

	(void)read;
	wanted->count += strcmp(public_id, wanted->public_id) == 0;
	return 0;
}

static int count_reads(struct planning *planning, const struct reg_hold_selector *selector)
{
	for (unsigned i = 0; i < selector->read_count; i++) {
		const struct reg_hold_read *held = &selector->reads[i];
		struct wanted wanted = {.count = 0};
		bool incomplete;
		int result;

		if (held->capture_us < planning->first_us || held->capture_us >= planning->first_us + DAY_US)
			continue;
		(void)hex_encode(held->public_id, sizeof(held->public_id), wanted.public_id);
		result = hold_place_each(planning->store, held->camera, held->capture_us, compare_wanted, &wanted, NULL,
					 &incomplete);
		if (result < 0)
			return result;
		planning->reads += wanted.count;
	}
	return 0;
}

static int camera_order(const void *a, const void *b)
{
	uint32_t left = *(const uint32_t *)a;
	uint32_t right = *(const uint32_t *)b;

	return left < right ? -1 : left > right;
}

static void cameras_sort(struct reg_hold_selector *selector)
{
	unsigned count = 0;

	if (selector->camera_count == 0)
		return;
	qsort(selector->cameras, selector->camera_count, sizeof(selector->cameras[0]), camera_order);
	for (unsigned i = 0; i < selector->camera_count; i++)
		if (count == 0 || selector->cameras[count - 1] != selector->cameras[i])
			selector->cameras[count++] = selector->cameras[i];
	selector->camera_count = (uint16_t)count;
}

static int count_criteria(struct planning *planning, struct reg_hold_selector *selector)
{
	struct search_query query = {.from_us = planning->first_us,
				     .to_us = planning->first_us + DAY_US,
				     .cameras = selector->camera_count > 0 ? selector->cameras : NULL,
				     .restricted = true, /* copied too */
				     .count_only = true};
	struct glob glob;
	int result;

	if (selector->from_us > query.from_us)
		query.from_us = selector->from_us;
	if (selector->to_us < query.to_us)
		query.to_us = selector->to_us;
	if (query.from_us >= query.to_us)
		return 0;
	if (selector->pattern[0] != '\0') {
		if (glob_compile(selector->pattern, strlen(selector->pattern), &glob) < 0)
			return -EBADMSG;
		query.key_glob = &glob;
	}
	cameras_sort(selector);
	query.camera_count = selector->camera_count;
	result = search_run(planning->store->views, &query, NULL, compare_wanted, NULL, planning->result);
	if (result == 0)
		planning->reads += planning->result->count;
	return result;
}

static int count_selector(void *context, struct reg_hold_selector *selector)
{
	return selector->read_count > 0 ? count_reads(context, selector) : count_criteria(context, selector);
}

struct plan_call {
	struct planning planning;
	int (*each)(void *context, const struct reg_hold *hold, uint64_t reads);
	void *context;
};

static int plan_case(void *context, const struct reg_hold *hold)
{
	struct plan_call *call = context;
	int result;

	if (hold->released)
		return 0;
	call->planning.reads = 0;
	result = hold_each_selector(call->planning.store, hold->number, count_selector, &call->planning);
	if (result == 0 && call->planning.reads > 0)
		result = call->each(call->context, hold, call->planning.reads);
	return result;
}

struct hindering {
	struct store *store;
	struct err *err;
	int32_t day;
};

static int hinder_see(void *context, const struct reg_hold *hold)
{
	const struct hindering *hindering = context;
	struct hold_match *match;
	int result;

	if (hold->released)
		return 0;
	result = hold_match_new(hindering->store, hold->number, hindering->day, NULL, &match);
	if (result < 0)
		return result == -ENOENT
			       ? 0
			       : err_set(hindering->err, result, "case %s: %s", hold->reference, strerror(-result));
	result = hold_match_whole(match, hindering->store, hindering->err);
	hold_match_free(match);
	return result;
}

int hold_hindered(struct store *store, int32_t day, struct err *err)
{
	struct hindering hindering = {store, err, day};
	int result = hold_ready(store, err);

	return result < 0 ? result : hold_each(store, hinder_see, &hindering);
}

int hold_plan(struct store *store, int32_t day, int (*each)(void *context, const struct reg_hold *hold, uint64_t reads),
	      void *context)
{
	struct plan_call call = {
		.planning = {.store = store, .first_us = (int64_t)day * DAY_US}, .each = each, .context = context};
	int result;

	call.planning.result = calloc(1, sizeof(*call.planning.result));
	if (call.planning.result == NULL)
		return -ENOMEM;
	result = hold_each(store, plan_case, &call);
	free(call.planning.result);
	return result;
}
