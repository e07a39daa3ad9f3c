#include "appliance/lists.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/bytes.h"
#include "appliance/base/clock.h"
#include "appliance/base/err.h"
#include "appliance/gantry.h"
#include "appliance/list_ahead.h"
#include "matcher/list.h"

struct finding {
	const char *name;
	struct lists_known *known;
};

static int find_list(void *context, const struct reg_record *record)
{
	struct finding *finding = context;
	struct lists_known *known = finding->known;
	struct reg_list list;

	if (reg_list_decode(record->value, record->value_size, &list) < 0)
		return 0;
	if (list.list > known->highest)
		known->highest = list.list;
	if (strcmp(list.name, finding->name) == 0) {
		known->found = list;
		known->is_found = true;
	}
	return 0;
}

int lists_find(struct reg *reg, const char *name, struct lists_known *ret_known)
{
	struct lists_known known = {.is_found = false};
	struct finding finding = {name, &known};
	int result = reg_each(reg, REG_LIST, 0, UINT32_MAX, find_list, &finding);

	if (result == 0)
		*ret_known = known;
	return result;
}

int lists_read(struct reg *reg, const struct reg_list_version *version, struct err *err, struct list **ret_list)
{
	void *bytes;
	size_t size;
	int result = reg_blob_get(reg, version->blob, err, &bytes, &size);

	if (result < 0)
		return result;
	result = list_parse(bytes, size, err, ret_list);
	bytes_wipe(bytes, size);
	free(bytes);
	return result;
}

const struct list *lists_loaded(const struct gantry *gantry, uint32_t id)
{
	for (size_t i = 0; i < gantry->list_count; i++)
		if (list_info(gantry->lists[i])->id == id)
			return gantry->lists[i];
	return NULL;
}

static int record_of(const struct lists_known *known, struct list_ahead *ahead, bool keep_previous,
		     struct reg_list *ret_record)
{
	const struct list_info *info = list_info(ahead->list);
	bool follows = known->is_found && !known->found.removed;
	struct reg_list record = {.list = info->id,
				  .list_class = (uint8_t)info->class,
				  .priority = info->priority,
				  .has_previous = follows && (!keep_previous || known->found.has_previous),
				  .now = {.version = info->version,
					  .generation = info->generation,
					  .created_us = clock_wall_us(),
					  .revised_us = info->revised_us,
					  .revised_unsure = info->revised_unsure,
					  .entry_count = list_living(ahead->list)}};
	int result = list_ahead_blob(ahead, record.now.blob, &record.now.blob_size);

	if (result < 0)
		return result;
	if (record.has_previous)
		record.previous = keep_previous ? known->found.previous : known->found.now;
	memcpy(record.now.hash, info->sha256, sizeof(record.now.hash));
	(void)snprintf(record.name, sizeof(record.name), "%s", info->name);
	(void)snprintf(record.owner, sizeof(record.owner), "%s", info->owner);
	(void)snprintf(record.purpose, sizeof(record.purpose), "%s", list_purpose_name(info->purpose));
	*ret_record = record;
	return 0;
}

/* The row stays without entries, so that an older version of the list stays refused (R22). */
static struct reg_list record_removed(const struct lists_known *known, bool keep_last)
{
	struct reg_list record = known->found;

	memset(&record.previous, 0, sizeof(record.previous));
	record.removed = true;
	record.has_previous = keep_last;
	if (keep_last)
		record.previous = record.now;
	record.now.entry_count = 0;
	record.now.blob_size = 0;
	memset(record.now.blob, 0, sizeof(record.now.blob));
	return record;
}

int lists_commit(struct gantry *gantry, struct reg *reg, const struct lists_known *known, struct list_ahead *ahead,
		 bool keep_previous, uint32_t uid, struct err *err)
{
	uint8_t buffer[REG_RECORD_SIZE_MAX];
	struct reg_list record;
	struct reg_change change;
	struct lists_next next;
	int result = 0;

	if (ahead == NULL)
		record = record_removed(known, keep_previous);
	else
		result = record_of(known, ahead, keep_previous, &record);
	if (result < 0)
		return err_set(err, result, "the list could not be stored, nothing is changed: %s", strerror(-result));
	result = gantry_lists_make(gantry, &record, ahead, err, &next);
	if (result < 0)
		return err_prefix(err, result, "the former version stays");
	if (ahead != NULL)
		ahead->blob_named = true;
	change = reg_list_put(&record, buffer);
	result = reg_change(reg, &change, 1, uid, "lists", err);
	if (result < 0) {
		gantry_lists_drop(gantry, &next);
		return err_prefix(err, result, "the register did not take the list, the former version stays");
	}
	gantry_lists_take(gantry, &next, ahead);
	result = gantry_publish(gantry, err);
	return result < 0 ? err_prefix(err, result, "the list is durable, but the workers could not be told") : 0;
}
