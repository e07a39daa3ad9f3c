#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/bytes.h"
#include "appliance/base/clock.h"
#include "appliance/change.h"
#include "appliance/gantry.h"
#include "appliance/handlers.h"
#include "matcher/list.h"
#include "mgmt/call.h"
#include "storage/store.h"

struct list_finding {
	const char *name;
	struct reg_list found;
	bool is_found;
	uint32_t highest;
};

static int find_list(void *context, const struct reg_record *record)
{
	struct list_finding *finding = context;
	struct reg_list list;

	if (reg_list_decode(record->value, record->value_size, &list) < 0)
		return 0;
	if (list.list > finding->highest)
		finding->highest = list.list;
	if (strcmp(list.name, finding->name) == 0) {
		finding->found = list;
		finding->is_found = true;
	}
	return 0;
}

/* The header of the list as the call describes it. 0, or < 0 with the call failed. */
static int list_header(struct call *call, const struct list_finding *known, struct list_info *ret_info)
{
	uint32_t last = known->is_found ? known->found.version : 0;
	const char *class = call_has(call, "class") ? call_text(call, "class") : "local";
	const char *purpose = call_has(call, "list_purpose") ? call_text(call, "list_purpose") : "respond";
	int64_t version = call_integer(call, "version", (int64_t)last + 1);

	memset(ret_info, 0, sizeof(*ret_info));
	if (list_class_parse(class, &ret_info->class) < 0) {
		call_fail(call, CALL_INVALID_PARAMS,
			  "class: local, pnc-fast-track, pnc-extract, schengen, mmc or third-party");
		return -EINVAL;
	}
	if (list_purpose_parse(purpose, &ret_info->purpose) < 0) {
		call_fail(call, CALL_INVALID_PARAMS, "list_purpose: monitor or respond");
		return -EINVAL;
	}
	if (version > UINT32_MAX) {
		call_fail(call, CALL_REFUSED,
			  "the list has had every version there is: remove it and use another name");
		return -EOVERFLOW;
	}
	if (version <= last) {
		call_fail(call, CALL_REFUSED, "version %lld is not newer than %u, which is loaded (R22)",
			  (long long)version, last);
		return -ESTALE;
	}
	ret_info->id = known->is_found ? known->found.list : known->highest + 1;
	ret_info->version = (uint32_t)version;
	ret_info->tolerance = call_boolean(call, "tolerant", false) ? LIST_TOLERANCE_CLASSES : LIST_TOLERANCE_OFF;
	ret_info->priority = (uint8_t)call_integer(call, "priority", 50);
	ret_info->revised_us = clock_wall_us();
	(void)snprintf(ret_info->name, sizeof(ret_info->name), "%s", call_text(call, "name"));
	return 0;
}

static json_t *reports_json(const struct list_result *seen)
{
	json_t *array = json_array();

	for (uint32_t i = 0; array != NULL && i < seen->report_count; i++)
		(void)json_array_append_new(array,
					    json_pack("{s:I,s:i,s:b,s:s}", "line", (json_int_t)seen->reports[i].line,
						      "column", (int)seen->reports[i].column, "duplicate",
						      seen->reports[i].duplicate, "reason", seen->reports[i].reason));
	return array;
}

static struct reg_list record_of(const struct list_info *info, const struct list *list, size_t blob_size,
				 const uint8_t blob[REG_BLOB_NAME_SIZE])
{
	struct reg_list record = {.list = info->id,
				  .version = info->version,
				  .list_class = (uint8_t)info->class,
				  .priority = info->priority,
				  .created_us = info->revised_us,
				  .entry_count = list_count(list),
				  .blob_size = blob_size};

	memcpy(record.blob, blob, sizeof(record.blob));
	memcpy(record.hash, list_info(list)->sha256, sizeof(record.hash));
	(void)snprintf(record.name, sizeof(record.name), "%s", info->name);
	(void)snprintf(record.purpose, sizeof(record.purpose), "%s", list_purpose_name(info->purpose));
	return record;
}

/* change_lock held: register first, then the match set. A set that cannot be built takes the register back. */
static int commit_list(struct call *call, struct gantry *gantry, struct reg *reg, const struct reg_list *record,
		       const struct list_finding *known)
{
	uint8_t buffer[REG_RECORD_SIZE_MAX];
	struct reg_change change = reg_list_put(record, buffer);
	struct err err = {""};
	int result = reg_change(reg, &change, 1, call_peer(call)->uid, "lists", &err);

	if (result < 0) {
		call_fail(call, CALL_FAILED, "the register did not take the list, nothing is changed: %s", err.text);
		return result;
	}
	result = gantry_load_lists(gantry, &err);
	if (result < 0) {
		struct err again;

		call_fail(call, CALL_REFUSED, "%s; the former version stays", err.text);
		change = known->is_found ? reg_list_put(&known->found, buffer)
					 : (struct reg_change){.kind = REG_LIST, .a = record->list};
		if (reg_change(reg, &change, 1, call_peer(call)->uid, "taken back: the match set refused it", &again) <
		    0)
			call_fail(call, CALL_FAILED, "%s; and the register could not be set back: %s", err.text,
				  again.text);
		return result;
	}
	result = gantry_publish(gantry, &err);
	if (result < 0)
		call_fail(call, CALL_FAILED, "the list is durable, but the workers could not be told: %s", err.text);
	return result;
}

static int store_list(struct call *call, struct gantry *gantry, struct reg *reg, const struct list *list,
		      const struct list_finding *known, const struct list_result *seen)
{
	const struct list_info *info = list_info(list);
	uint8_t blob[REG_BLOB_NAME_SIZE];
	struct reg_list record;
	void *bytes;
	size_t size;
	int result = list_image(list, &bytes, &size);

	if (result == 0) {
		result = reg_blob_put(reg, bytes, size, blob);
		bytes_wipe(bytes, size);
		free(bytes);
	}
	if (result < 0) {
		call_fail(call, CALL_FAILED, "the list could not be stored, nothing is changed: %s", strerror(-result));
		return result;
	}
	record = record_of(info, list, size, blob);
	result = commit_list(call, gantry, reg, &record, known);
	if (result < 0)
		return result;
	call_audit_fact(call, "list", json_integer(info->id));
	call_audit_fact(call, "version", json_integer(info->version));
	call_audit_fact(call, "entries", json_integer(list_count(list)));
	call_result(call, json_pack("{s:I,s:I,s:I,s:I,s:I,s:o}", "list", (json_int_t)info->id, "version",
				    (json_int_t)info->version, "entries", (json_int_t)list_count(list),
				    "rejected_count", (json_int_t)seen->bad, "duplicates", (json_int_t)seen->duplicates,
				    "rejected", reports_json(seen)));
	return 0;
}

static int load_locked(struct call *call, struct gantry *gantry, struct reg *reg, struct list_result *seen)
{
	struct list_finding known = {.name = call_text(call, "name")};
	struct list_options options = {.strict = call_boolean(call, "strict", false)};
	struct list_info info;
	struct err err = {""};
	struct list *list;
	size_t size;
	const char *text = call_upload(call, "upload", &size);
	int result = reg_each(reg, REG_LIST, 0, UINT32_MAX, find_list, &known);

	if (result < 0) {
		call_fail(call, CALL_FAILED, "the register cannot be read: %s", strerror(-result));
		return result;
	}
	if ((result = list_header(call, &known, &info)) < 0)
		return result;
	result = list_load_csv(&info, text, size, &options, seen, &err, &list);
	if (result < 0) {
		call_fail(call, CALL_REFUSED, "%s; nothing is loaded", err.text);
		return result;
	}
	result = store_list(call, gantry, reg, list, &known, seen);
	(void)list_free(list);
	return result;
}

int handle_lists_load(struct call *call, void *context)
{
	struct gantry *gantry = context;
	struct reg *reg = change_register(call, gantry);
	struct list_result *seen = calloc(1, sizeof(*seen));

	if (seen == NULL)
		return -ENOMEM;
	if (reg != NULL) {
		pthread_mutex_lock(&gantry->change_lock);
		(void)load_locked(call, gantry, reg, seen);
		pthread_mutex_unlock(&gantry->change_lock);
	}
	free(seen);
	return 0;
}

static int show_list(void *context, const struct reg_record *record)
{
	json_t *array = context;
	struct reg_list list;
	char created[CLOCK_TEXT_SIZE];
	char hash[2 * sizeof(list.hash) + 1];
	const char *class;

	if (reg_list_decode(record->value, record->value_size, &list) < 0 || list.removed)
		return 0;
	class = list_class_name((enum list_class)list.list_class);
	(void)json_array_append_new(array,
				    json_pack("{s:I,s:s,s:I,s:s,s:s,s:i,s:I,s:s,s:s}", "list", (json_int_t)list.list,
					      "name", list.name, "version", (json_int_t)list.version, "class",
					      class != NULL ? class : "unknown", "list_purpose", list.purpose,
					      "priority", (int)list.priority, "entries", (json_int_t)list.entry_count,
					      "loaded", clock_text_utc(list.created_us, created), "sha256",
					      hex_encode(list.hash, sizeof(list.hash), hash)));
	return 0;
}

int handle_lists_show(struct call *call, void *context)
{
	struct reg *reg = change_register(call, context);
	json_t *array = json_array();

	if (reg == NULL) {
		json_decref(array);
		return 0;
	}
	(void)reg_each(reg, REG_LIST, 0, UINT32_MAX, show_list, array);
	call_result(call, json_pack("{s:o}", "lists", array));
	return 0;
}

/* The row stays without entries, so that an older version of the list stays refused (R22). */
int handle_lists_remove(struct call *call, void *context)
{
	struct gantry *gantry = context;
	struct reg *reg = change_register(call, gantry);
	struct list_finding known = {.name = call_text(call, "name")};
	struct reg_list record;

	if (reg == NULL)
		return 0;
	pthread_mutex_lock(&gantry->change_lock);
	(void)reg_each(reg, REG_LIST, 0, UINT32_MAX, find_list, &known);
	if (!known.is_found || known.found.removed) {
		call_fail(call, CALL_REFUSED, "no list of that name is loaded; see lists.show");
	} else {
		record = known.found;
		record.removed = true;
		record.entry_count = 0;
		record.blob_size = 0;
		memset(record.blob, 0, sizeof(record.blob));
		if (commit_list(call, gantry, reg, &record, &known) == 0)
			call_result(call, json_pack("{s:I}", "list", (json_int_t)record.list));
	}
	pthread_mutex_unlock(&gantry->change_lock);
	return 0;
}
