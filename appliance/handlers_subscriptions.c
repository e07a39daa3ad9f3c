/* subscriptions.add, .remove, .show */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "appliance/base/clock.h"
#include "appliance/base/err.h"
#include "appliance/gantry.h"
#include "appliance/handlers.h"
#include "appliance/hit_event.h"
#include "appliance/hit_judge.h"
#include "appliance/hits_inside.h"
#include "appliance/list_access.h"
#include "appliance/lists.h"
#include "matcher/list.h"
#include "mgmt/call.h"
#include "storage/store.h"

static const char *kind_name(uint8_t kind)
{
	return kind == REG_SUBSCRIPTION_SMS ? "sms" : "full";
}

/* Ids of the lists asked for by name; the call fails when one of them is not loaded. */
static int lists_wanted(struct gantry *gantry, struct call *call, struct reg_subscription *wanted)
{
	const json_t *names = call_array(call, "lists");
	size_t count = json_array_size(names);

	pthread_mutex_lock(&gantry->lists_lock);
	for (size_t i = 0; i < count && i < REG_SUBSCRIPTION_LISTS; i++) {
		const char *name = json_string_value(json_array_get(names, i));

		for (size_t j = 0; j < gantry->list_count; j++)
			if (strcmp(list_info(gantry->lists[j])->name, name) == 0)
				wanted->lists[wanted->list_count++] = list_info(gantry->lists[j])->id;
	}
	pthread_mutex_unlock(&gantry->lists_lock);
	if (wanted->list_count == count)
		return 0;
	call_fail(call, CALL_REFUSED, "lists: not every name is a list that is loaded; see lists.show");
	return -ENOENT;
}

/* A hit that was published before this moment is not told. */
static void now_of(struct hits *hits, struct hit_positions *ret_now)
{
	struct hit_positions mass;

	hit_ring_newest(hits->rings[HIT_LANE_URGENT], ret_now);
	hit_ring_newest(hits->rings[HIT_LANE_MASS], &mass);
	hit_positions_join(ret_now, &mass);
}

/* The lists loaded now that it may have; into `refused` go names that it asks for and its organisation may not have. */
static unsigned lists_of(struct gantry *gantry, const struct reg_subscription *record, json_t *refused)
{
	unsigned count = 0;

	pthread_mutex_lock(&gantry->lists_lock);
	for (size_t i = 0; i < gantry->list_count; i++) {
		const struct list_info *info = list_info(gantry->lists[i]);

		if (hit_judge_wants(info, record))
			count++;
		else if (record->list_count > 0 && hit_judge_names(record, info->id))
			(void)json_array_append_new(refused, json_string(info->name));
	}
	pthread_mutex_unlock(&gantry->lists_lock);
	return count;
}

/* Not an error, for lists may come later; but who mistyped an organisation learns it now. */
static json_t *added_json(struct gantry *gantry, const struct reg_subscription *record, uint32_t number)
{
	json_t *refused = json_array();
	unsigned lists = lists_of(gantry, record, refused);
	json_t *object = json_pack("{s:I,s:s,s:i}", "subscription", (json_int_t)number, "name", record->name, "lists",
				   (int)lists);

	if (json_array_size(refused) > 0)
		(void)json_object_set(object, "lists_refused", refused);
	if (lists == 0 && !record->clones)
		(void)json_object_set_new(object, "warning",
					  json_string("no list that is loaded lets this organisation have its hits: "
						      "nothing is told until one names it as owner or subscriber"));
	else if (json_array_size(refused) > 0)
		(void)json_object_set_new(object, "warning",
					  json_string("the lists under lists_refused do not name this organisation as "
						      "owner or subscriber: nothing is told of them until they do"));
	json_decref(refused);
	return object;
}

int handle_subscriptions_add(struct call *call, void *context)
{
	struct gantry *gantry = context;
	struct reg_subscription wanted = {.uid = (uint32_t)call_integer(call, "uid", call_peer(call)->uid),
					  .clones = call_boolean(call, "clones", false)};
	const char *kind = call_text(call, "kind");
	struct hit_positions now;
	struct err err = {""};
	uint32_t number;
	int result;

	if (list_access_subscribe(call) < 0)
		return 0;
	if (gantry->hits == NULL) {
		call_fail(call, CALL_STOPPING, "the appliance is starting or stopping");
		return 0;
	}
	wanted.kind = kind != NULL && strcmp(kind, "sms") == 0 ? REG_SUBSCRIPTION_SMS : REG_SUBSCRIPTION_FULL;
	(void)snprintf(wanted.name, sizeof(wanted.name), "%s", call_text(call, "name"));
	(void)snprintf(wanted.organisation, sizeof(wanted.organisation), "%s", call_text(call, "organisation"));
	if (lists_wanted(gantry, call, &wanted) < 0)
		return 0;
	now_of(gantry->hits, &now);
	result = subscriptions_add(gantry->hits->subscriptions, &wanted, &now, call_peer(call)->uid, &err, &number);
	if (result < 0) {
		call_fail(call, result == -EEXIST || result == -ENOSPC ? CALL_REFUSED : CALL_FAILED, "%s", err.text);
		return 0;
	}
	call_audit_fact(call, "subscription", json_integer(number));
	call_result(call, added_json(gantry, &wanted, number));
	return 0;
}

int handle_subscriptions_remove(struct call *call, void *context)
{
	struct gantry *gantry = context;
	const char *name = call_text(call, "name");
	struct err err = {""};
	int result;

	if (list_access_subscribe(call) < 0)
		return 0;
	if (gantry->hits == NULL) {
		call_fail(call, CALL_STOPPING, "the appliance is starting or stopping");
		return 0;
	}
	result = subscriptions_remove(gantry->hits->subscriptions, name, call_peer(call)->uid, &err);
	if (result < 0)
		call_fail(call, result == -ENOENT ? CALL_REFUSED : CALL_FAILED, "%s", err.text);
	else
		call_result(call, json_pack("{s:s}", "name", name));
	return 0;
}

static json_t *list_names(struct gantry *gantry, const struct reg_subscription *record)
{
	json_t *array = json_array();

	pthread_mutex_lock(&gantry->lists_lock);
	for (unsigned i = 0; i < record->list_count; i++) {
		const struct list *list = lists_loaded(gantry, record->lists[i]);

		(void)json_array_append_new(array, list != NULL ? json_string(list_info(list)->name)
								: json_sprintf("%u, removed", record->lists[i]));
	}
	pthread_mutex_unlock(&gantry->lists_lock);
	return array;
}

static json_t *lane_json(const struct subscription_lane *lane, enum hit_lane index)
{
	return json_pack("{s:s,s:b,s:I,s:I,s:I,s:I}", "lane", hit_lane_name(index), "live", lane->live, "outstanding",
			 (json_int_t)lane->count, "delivered", (json_int_t)lane->delivered, "acknowledged",
			 (json_int_t)lane->acknowledged_count, "caught_up", (json_int_t)lane->from_store);
}

static json_t *show(struct gantry *gantry, struct subscription *subscription)
{
	const struct reg_subscription *record = &subscription->record;
	char since[CLOCK_TEXT_SIZE];
	char created[CLOCK_TEXT_SIZE];
	json_t *object =
		json_pack("{s:I,s:s,s:s,s:I,s:s,s:b,s:o,s:s}", "subscription", (json_int_t)record->number, "name",
			  record->name, "organisation", record->organisation, "uid", (json_int_t)record->uid, "kind",
			  kind_name(record->kind), "clones", record->clones, "lists", list_names(gantry, record),
			  "created", clock_text_utc(record->created_us, created));
	json_t *lanes = json_array();

	(void)pthread_mutex_lock(&subscription->lock);
	(void)json_object_set_new(object, "connected",
				  subscription->follower != NULL
					  ? json_string(clock_text_utc(subscription->connected_us, since))
					  : json_null());
	for (unsigned lane = 0; lane < HIT_LANE_COUNT; lane++)
		(void)json_array_append_new(lanes, lane_json(&subscription->lanes[lane], lane));
	(void)pthread_mutex_unlock(&subscription->lock);
	(void)json_object_set_new(object, "lanes", lanes);
	return object;
}

json_t *subscriptions_json(struct gantry *gantry, const char *only)
{
	struct subscriptions *set = gantry->hits->subscriptions;
	struct subscription *subscription;
	json_t *array = json_array();

	for (size_t i = 0; (subscription = subscriptions_take_at(set, i)) != NULL; i++) {
		if (only == NULL || strcmp(only, subscription->record.name) == 0)
			(void)json_array_append_new(array, show(gantry, subscription));
		subscriptions_release(set, subscription);
	}
	return array;
}

int handle_subscriptions_show(struct call *call, void *context)
{
	struct gantry *gantry = context;
	json_t *rows;

	if (gantry->hits == NULL) {
		call_fail(call, CALL_STOPPING, "the appliance is starting or stopping");
		return 0;
	}
	rows = subscriptions_json(gantry, call_text(call, "name"));
	if (call_has(call, "name") && json_array_size(rows) == 0) {
		json_decref(rows);
		call_fail(call, CALL_REFUSED, "there is no subscription of that name; see subscriptions.show");
		return 0;
	}
	call_result(call, json_pack("{s:o}", "subscriptions", rows));
	return 0;
}
