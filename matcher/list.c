#include "matcher/list.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/bytes.h"
#include "matcher/list_build.h"

static const char *const class_names[LIST_CLASS_COUNT] = {
	[LIST_CLASS_LOCAL] = "local",
	[LIST_CLASS_PNC_FAST_TRACK] = "pnc-fast-track",
	[LIST_CLASS_PNC_EXTRACT] = "pnc-extract",
	[LIST_CLASS_SCHENGEN] = "schengen",
	[LIST_CLASS_MMC] = "mmc",
	[LIST_CLASS_THIRD_PARTY] = "third-party",
};
static const char *const purpose_names[LIST_PURPOSE_COUNT] = {
	[LIST_PURPOSE_MONITOR] = "monitor",
	[LIST_PURPOSE_RESPOND] = "respond",
};

static const char *const tolerance_names[LIST_TOLERANCE_COUNT] = {
	[LIST_TOLERANCE_OFF] = "off",
	[LIST_TOLERANCE_CLASSES] = "classes",
	[LIST_TOLERANCE_SUBSTITUTION] = "substitution",
};
static const char *const scope_names[LIST_SCOPE_COUNT] = {
	[LIST_SCOPE_CAMERA] = "camera",
	[LIST_SCOPE_AREA] = "area",
	[LIST_SCOPE_ANYWHERE] = "anywhere",
};

static int name_index(const char *const *names, int count, const char *name)
{
	for (int i = 0; i < count; i++)
		if (strcmp(names[i], name) == 0)
			return i;
	return -EINVAL;
}

const char *list_class_name(enum list_class class)
{
	return class >= 0 && class < LIST_CLASS_COUNT ? class_names[class] : NULL;
}

const char *list_purpose_name(enum list_purpose purpose)
{
	return purpose >= 0 && purpose < LIST_PURPOSE_COUNT ? purpose_names[purpose] : NULL;
}

const char *list_tolerance_name(enum list_tolerance tolerance)
{
	return tolerance >= 0 && tolerance < LIST_TOLERANCE_COUNT ? tolerance_names[tolerance] : NULL;
}

const char *list_scope_name(enum list_scope scope)
{
	return scope >= 0 && scope < LIST_SCOPE_COUNT ? scope_names[scope] : NULL;
}

int list_class_parse(const char *name, enum list_class *ret_class)
{
	int index = name_index(class_names, LIST_CLASS_COUNT, name);

	if (index < 0)
		return index;
	*ret_class = (enum list_class)index;
	return 0;
}

int list_purpose_parse(const char *name, enum list_purpose *ret_purpose)
{
	int index = name_index(purpose_names, LIST_PURPOSE_COUNT, name);

	if (index < 0)
		return index;
	*ret_purpose = (enum list_purpose)index;
	return 0;
}

int list_tolerance_parse(const char *name, enum list_tolerance *ret_tolerance)
{
	int index = name_index(tolerance_names, LIST_TOLERANCE_COUNT, name);

	if (index < 0)
		return index;
	*ret_tolerance = (enum list_tolerance)index;
	return 0;
}

int list_scope_parse(const char *name, enum list_scope *ret_scope)
{
	int index = name_index(scope_names, LIST_SCOPE_COUNT, name);

	if (index < 0)
		return index;
	*ret_scope = (enum list_scope)index;
	return 0;
}

struct list *list_free(struct list *list)
{
	if (list == NULL)
		return NULL;
	if (list->pool != NULL)
		bytes_wipe(list->pool, list->pool_room);
	free(list->pool);
	free(list->slots);
	free(list->seen);
	free(list);
	return NULL;
}

const struct list_info *list_info(const struct list *list)
{
	return &list->info;
}

uint32_t list_count(const struct list *list)
{
	return list->count;
}

uint32_t list_living(const struct list *list)
{
	return list->count - list->removed;
}

static const char *string_next(const char *string)
{
	return string + strlen(string) + 1;
}

void list_entry(const struct list *list, uint32_t index, struct list_entry *ret_entry)
{
	const struct list_slot *slot;

	assert(index < list->count);
	slot = &list->slots[index];
	ret_entry->pattern = list->pool + slot->offset;
	ret_entry->text = string_next(ret_entry->pattern);
	ret_entry->reason = string_next(ret_entry->text);
	ret_entry->action = string_next(ret_entry->reason);
	ret_entry->make = string_next(ret_entry->action);
	ret_entry->model = string_next(ret_entry->make);
	ret_entry->colour = string_next(ret_entry->model);
	ret_entry->expires_us = slot->expires_us;
	ret_entry->line = slot->line;
	ret_entry->since = slot->since;
	ret_entry->flags = slot->flags;
}

enum list_tolerance list_tolerance_of(const struct list_info *info, uint8_t flags)
{
	if ((flags & (LIST_FLAG_WILDCARD | LIST_FLAG_AS_RECEIVED | LIST_FLAG_EXACT)) != 0)
		return LIST_TOLERANCE_OFF;
	return info->tolerance == LIST_TOLERANCE_OFF && (flags & LIST_FLAG_TOLERANT) != 0 ? LIST_TOLERANCE_CLASSES
											  : info->tolerance;
}

uint8_t list_entry_flags(const struct list *list, uint32_t index)
{
	assert(index < list->count);
	return list->slots[index].flags;
}
