/* lists.show, versions and check: what may be known of lists. None gives entries away but the one asked about (R26). */
#include <errno.h>
#include <jansson.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/bytes.h"
#include "appliance/base/clock.h"
#include "appliance/base/err.h"
#include "appliance/base/read.h"
#include "appliance/change.h"
#include "appliance/gantry.h"
#include "appliance/handlers.h"
#include "appliance/lists.h"
#include "appliance/lists_age.h"
#include "appliance/lists_head.h"
#include "matcher/list_edit.h"
#include "matcher/vrm.h"
#include "mgmt/call.h"
#include "storage/clock_guard.h"
#include "storage/store.h"

#define MET_MAX 100

struct showing {
	struct gantry *gantry;
	const char *only; /* NULL: all, in short */
	json_t *array;
	int64_t now_us;
};

static void show_whole(struct showing *showing, uint32_t id, json_t *object)
{
	const struct list *list;

	pthread_mutex_lock(&showing->gantry->lists_lock);
	list = lists_loaded(showing->gantry, id);
	if (list != NULL)
		lists_head_show(list_info(list), object);
	(void)json_object_set_new(object, "loaded_now", json_boolean(list != NULL));
	pthread_mutex_unlock(&showing->gantry->lists_lock);
}

static const char *age_text(const struct reg_list *list, const int64_t *cadence, int64_t now_us)
{
	struct reg_list settled = *list;

	(void)lists_age_settle(&settled, now_us);
	switch (lists_age(settled.now.revised_us, now_us)) {
	case LISTS_DUE:
		return "due for deletion";
	case LISTS_WARNED:
		return "revise it soon";
	case LISTS_FRESH:
		break;
	}
	return lists_late(&settled, cadence, now_us) ? "late" : "fresh";
}

static json_t *list_json(const struct reg_list *list, const int64_t *cadence, int64_t now_us)
{
	char loaded[CLOCK_TEXT_SIZE], revised[CLOCK_TEXT_SIZE], deleted[CLOCK_TEXT_SIZE];
	char hash[2 * sizeof(list->now.hash) + 1];
	const char *class = list_class_name((enum list_class)list->list_class);

	return json_pack("{s:I,s:s,s:I,s:s,s:s,s:i,s:I,s:s,s:s,s:s,s:s,s:s}", "list", (json_int_t)list->list, "name",
			 list->name, "version", (json_int_t)list->now.version, "class",
			 class != NULL ? class : "unknown", "list_purpose", list->purpose, "priority",
			 (int)list->priority, "entries", (json_int_t)list->now.entry_count, "loaded",
			 clock_text_utc(list->now.created_us, loaded), "revised",
			 clock_text_utc(list->now.revised_us, revised), "age", age_text(list, cadence, now_us),
			 "deleted_at", clock_text_utc(list->now.revised_us + LISTS_KEEP_DAYS * DAY_US, deleted),
			 "sha256", hex_encode(list->now.hash, sizeof(list->now.hash), hash));
}

static int show_list(void *context, const struct reg_record *record)
{
	struct showing *showing = context;
	struct reg_list list;
	json_t *object;

	if (reg_list_decode(record->value, record->value_size, &list) < 0 || list.removed ||
	    (showing->only != NULL && strcmp(showing->only, list.name) != 0))
		return 0;
	object = list_json(&list, showing->gantry->config.lists_cadence, showing->now_us);
	if (showing->only != NULL && object != NULL) {
		(void)json_object_set_new(object, "generation", json_integer(list.now.generation));
		show_whole(showing, list.list, object);
	}
	(void)json_array_append_new(showing->array, object);
	return 0;
}

int handle_lists_show(struct call *call, void *context)
{
	struct gantry *gantry = context;
	struct showing showing = {.gantry = gantry,
				  .only = call_text(call, "name"),
				  .array = json_array(),
				  .now_us = clock_guard_age_us(store_clock_guard(gantry->store), clock_wall_us())};
	struct reg *reg = change_register(call, context);

	if (reg == NULL) {
		json_decref(showing.array);
		return 0;
	}
	(void)reg_each(reg, REG_LIST, 0, UINT32_MAX, show_list, &showing);
	if (showing.only != NULL && json_array_size(showing.array) == 0) {
		json_decref(showing.array);
		call_fail(call, CALL_REFUSED, "no list of that name is loaded; see lists.show");
		return 0;
	}
	call_result(call, json_pack("{s:o}", "lists", showing.array));
	return 0;
}

static json_t *version_json(const struct reg_list_version *version, const char *state)
{
	char created[CLOCK_TEXT_SIZE], revised[CLOCK_TEXT_SIZE];
	char hash[2 * sizeof(version->hash) + 1];

	return json_pack("{s:s,s:I,s:I,s:I,s:s,s:s,s:s}", "state", state, "version", (json_int_t)version->version,
			 "generation", (json_int_t)version->generation, "entries", (json_int_t)version->entry_count,
			 "made", clock_text_utc(version->created_us, created), "revised",
			 clock_text_utc(version->revised_us, revised), "sha256",
			 hex_encode(version->hash, sizeof(version->hash), hash));
}

int handle_lists_versions(struct call *call, void *context)
{
	struct reg *reg = change_register(call, context);
	struct lists_known known;
	json_t *versions;

	if (reg == NULL)
		return 0;
	if (lists_find(reg, call_text(call, "name"), &known) < 0 || !known.is_found) {
		call_fail(call, CALL_REFUSED, "there was never a list of that name; see lists.show");
		return 0;
	}
	versions = json_array();
	(void)json_array_append_new(versions,
				    version_json(&known.found.now, known.found.removed ? "removed" : "current"));
	if (known.found.has_previous)
		(void)json_array_append_new(versions, version_json(&known.found.previous, "previous"));
	call_result(call, json_pack("{s:I,s:s,s:o}", "list", (json_int_t)known.found.list, "name", known.found.name,
				    "versions", versions));
	return 0;
}

struct checking {
	const struct list *list;
	json_t *array;
	int64_t now_us;
	bool in_force; /* one of them is */
};

static void tell_met(void *context, uint32_t index, bool exact)
{
	struct checking *checking = context;
	char expires[CLOCK_TEXT_SIZE];
	struct list_entry entry;
	json_t *object;
	bool expired;

	list_entry(checking->list, index, &entry);
	expired = entry.expires_us <= checking->now_us;
	checking->in_force = checking->in_force || !expired;
	object = json_pack("{s:I,s:I,s:I,s:s,s:b,s:s,s:s}", "entry", (json_int_t)index, "line", (json_int_t)entry.line,
			   "since_version", (json_int_t)entry.since, "kind",
			   !exact                                    ? "tolerant"
			   : (entry.flags & LIST_FLAG_WILDCARD) != 0 ? "pattern"
								     : "exact",
			   "expired", expired, "reason", entry.reason, "action", entry.action);
	if (entry.expires_us != INT64_MAX)
		(void)json_object_set_new(object, "expires", json_string(clock_text_utc(entry.expires_us, expires)));
	(void)json_array_append_new(checking->array, object);
}

/* The text as a camera would send it, and its key. -EINVAL with the call failed. */
static int take_plate(struct call *call, uint8_t text[READ_TEXT_SIZE], uint8_t key[READ_TEXT_SIZE])
{
	const char *vrm = call_text(call, "vrm");

	if (strpbrk(vrm, "?*") != NULL || strlen(vrm) > READ_TEXT_SIZE) {
		call_fail(call, CALL_INVALID_PARAMS, "vrm: a plate of at most 16 bytes, without wildcards");
		return -EINVAL;
	}
	memset(text, 0, READ_TEXT_SIZE);
	memcpy(text, vrm, strlen(vrm));
	if (vrm_key(text, key) == 0)
		return 0;
	call_fail(call, CALL_INVALID_PARAMS, "vrm: a VRM needs a letter or digit");
	return -EINVAL;
}

/* The change lock, so that a scan of millions holds up changes and not the workers' alarms. */
int handle_lists_check(struct call *call, void *context)
{
	struct gantry *gantry = context;
	struct reg *reg = change_register(call, gantry);
	struct checking checking = {.array = json_array(), .now_us = clock_wall_us()};
	uint8_t text[READ_TEXT_SIZE], key[READ_TEXT_SIZE];
	struct lists_known known = {.is_found = false};

	if (reg == NULL || take_plate(call, text, key) < 0) {
		json_decref(checking.array);
		return 0;
	}
	pthread_mutex_lock(&gantry->change_lock);
	if (lists_find(reg, call_text(call, "name"), &known) == 0 && known.is_found && !known.found.removed)
		checking.list = lists_loaded(gantry, known.found.list);
	if (checking.list == NULL) {
		call_fail(call, CALL_REFUSED, "no list of that name is loaded; see lists.show");
		json_decref(checking.array);
	} else {
		(void)list_meet(checking.list, key, text, MET_MAX, tell_met, &checking);
		call_audit_fact(call, "found", json_boolean(json_array_size(checking.array) > 0));
		call_audit_fact(call, "in_force", json_boolean(checking.in_force));
		call_audit_fact(call, "version", json_integer(known.found.now.version));
		call_result(call,
			    json_pack("{s:I,s:I,s:b,s:b,s:o}", "list", (json_int_t)known.found.list, "version",
				      (json_int_t)known.found.now.version, "found", json_array_size(checking.array) > 0,
				      "in_force", checking.in_force, "entries", checking.array));
	}
	pthread_mutex_unlock(&gantry->change_lock);
	return 0;
}
