#include "appliance/lists_head.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "appliance/base/err.h"
#include "appliance/base/read.h"
#include "appliance/camera_csv.h"
#include "matcher/list.h"
#include "mgmt/call.h"
#include "appliance/base/area.h"
#include "storage/register_records.h"

static_assert((int)REG_CAMERA_TYPE_COUNT <= LIST_CAMERA_TYPES, "a list's conditions have a bit for every camera type");

static const char *const direction_names[LIST_DIRECTIONS] = {
	[READ_DIRECTION_UNKNOWN] = "unknown",
	[READ_DIRECTION_APPROACHING] = "approaching",
	[READ_DIRECTION_RECEDING] = "receding",
};

static const char *direction_name(uint8_t direction)
{
	return direction < LIST_DIRECTIONS ? direction_names[direction] : NULL;
}

void lists_head_default(const char *name, struct list_info *ret_info)
{
	*ret_info = (struct list_info){.purpose = LIST_PURPOSE_RESPOND, .priority = 50};
	(void)snprintf(ret_info->name, sizeof(ret_info->name), "%s", name);
	(void)snprintf(ret_info->marking, sizeof(ret_info->marking), "%s", LIST_MARKING_DEFAULT);
}

static int refuse(struct call *call, const char *parameter, const char *text)
{
	call_fail(call, CALL_INVALID_PARAMS, "%s: %s", parameter, text);
	return -EINVAL;
}

/* The items of an array; a lone "none" is an empty one. False: the parameter is not given. */
static bool items_of(const struct call *call, const char *parameter, size_t *ret_count)
{
	const json_t *array = call_array(call, parameter);
	size_t count = json_array_size(array);

	if (array == NULL)
		return false;
	if (count == 1 && strcasecmp(json_string_value(json_array_get(array, 0)), "none") == 0)
		count = 0;
	*ret_count = count;
	return true;
}

static const char *item(const struct call *call, const char *parameter, size_t index)
{
	return json_string_value(json_array_get(call_array(call, parameter), index));
}

/* A set of names as bits. */
static int take_bits(struct call *call, const char *parameter, const char *(*name_of)(uint8_t value), unsigned names,
		     const char *known, uint8_t *bits)
{
	size_t count;

	if (!items_of(call, parameter, &count))
		return 0;
	*bits = 0;
	for (size_t i = 0; i < count; i++) {
		uint8_t value = 0;

		while (value < names && strcmp(name_of(value), item(call, parameter, i)) != 0)
			value++;
		if (value == names)
			return refuse(call, parameter, known);
		*bits |= (uint8_t)(1 << value);
	}
	return 0;
}

static int take_hours(struct call *call, struct list_conditions *conditions)
{
	struct err err = {""};
	size_t count;

	if (!items_of(call, "hours", &count))
		return 0;
	conditions->window_count = 0;
	for (size_t i = 0; i < count && i < LIST_WINDOWS_MAX; i++)
		if (list_window_parse(item(call, "hours", i), &err, &conditions->windows[conditions->window_count++]) <
		    0)
			return refuse(call, "hours", err.text);
	return 0;
}

/* "circle …" or "polygon …", checked as a search checks it. */
static int add_area(struct call *call, const char *kind, const char *text, struct list_conditions *conditions)
{
	char whole[2 * LIST_AREAS_SIZE]; /* what is cut here is over the limit of list_area_add as well */
	struct area area;
	struct err err = {""};
	int result;

	(void)snprintf(whole, sizeof(whole), "%s %s", kind, text);
	result = area_parse(whole, &err, &area);
	if (result == 0)
		result = list_area_add(conditions, whole, &err);
	return result < 0 ? refuse(call, strcmp(kind, "circle") == 0 ? "circles" : kind, err.text) : 0;
}

static int add_polygons(struct call *call, struct list_conditions *conditions)
{
	char *copy = strdup(call_text(call, "polygon"));
	char *rest = copy;
	int result = copy != NULL ? 0 : -ENOMEM;

	while (result == 0 && rest != NULL) {
		char *text = strsep(&rest, ";");

		text += strspn(text, " ");
		result = add_area(call, "polygon", text, conditions);
	}
	free(copy);
	return result;
}

/* Circles and polygons are given apart: those that are not given stay. */
static int keep_areas(const struct list_conditions *old, const char *kind, struct list_conditions *conditions)
{
	for (unsigned i = 0; i < old->area_count; i++) {
		const char *text = list_area_text(old, i);

		if (strncmp(text, kind, strlen(kind)) == 0 && list_area_add(conditions, text, NULL) < 0)
			return -E2BIG;
	}
	return 0;
}

static int take_areas(struct call *call, struct list_conditions *conditions)
{
	struct list_conditions old = *conditions;
	const char *polygon = call_text(call, "polygon");
	size_t circles = 0;
	bool has_circles = items_of(call, "circles", &circles);
	int result = 0;

	if (!has_circles && polygon == NULL)
		return 0;
	conditions->area_count = 0;
	memset(conditions->areas, 0, sizeof(conditions->areas));
	for (size_t i = 0; i < circles && result == 0; i++)
		result = add_area(call, "circle", item(call, "circles", i), conditions);
	if (result == 0 && !has_circles)
		result = keep_areas(&old, "circle", conditions);
	if (result == 0 && polygon == NULL)
		result = keep_areas(&old, "polygon", conditions);
	else if (result == 0 && strcmp(polygon, "none") != 0)
		result = add_polygons(call, conditions);
	return result == -E2BIG ? refuse(call, "areas", "a list has at most 8 areas of 4 KiB together") : result;
}

int lists_head_take_conditions(struct call *call, struct list_conditions *conditions)
{
	int result = take_hours(call, conditions);

	if (result == 0)
		result = take_bits(call, "directions", direction_name, LIST_DIRECTIONS,
				   "approaching, receding or unknown", &conditions->directions);
	if (result == 0)
		result = take_bits(call, "camera_types", camera_type_name, REG_CAMERA_TYPE_COUNT,
				   "fixed, mobile, dashboard, portable or cctv", &conditions->camera_types);
	return result == 0 ? take_areas(call, conditions) : result;
}

static int take_subscribers(struct call *call, struct list_info *info)
{
	size_t count;

	if (!items_of(call, "subscribers", &count))
		return 0;
	memset(info->subscribers, 0, sizeof(info->subscribers));
	info->subscriber_count = (uint8_t)count;
	for (size_t i = 0; i < count && i < LIST_SUBSCRIBERS_MAX; i++) {
		const char *name = item(call, "subscribers", i);

		if (strlen(name) >= LIST_NAME_SIZE)
			return refuse(call, "subscribers", "an organisation's name has at most 63 bytes");
		if (strcasecmp(name, "none") == 0)
			return refuse(call, "subscribers",
				      "\"none\" stands alone, for no subscribers; it is no organisation");
		(void)snprintf(info->subscribers[i], LIST_NAME_SIZE, "%s", name);
	}
	return 0;
}

static int take_names(struct call *call, struct list_info *info)
{
	const char *owner = call_text(call, "owner");
	const char *marking = call_text(call, "marking");

	if (owner != NULL && strcasecmp(owner, "none") == 0)
		return refuse(call, "owner",
			      "\"none\" is no organisation; name the one that answers for the list, or leave it out");
	if (owner != NULL)
		(void)snprintf(info->owner, sizeof(info->owner), "%s", owner);
	if (marking != NULL)
		(void)snprintf(info->marking, sizeof(info->marking), "%s", marking);
	return take_subscribers(call, info);
}

int lists_head_take(struct call *call, struct list_info *info)
{
	int result;

	if (call_has(call, "class") && list_class_parse(call_text(call, "class"), &info->class) < 0)
		return refuse(call, "class", "local, pnc-fast-track, pnc-extract, schengen, mmc or third-party");
	if (call_has(call, "list_purpose"))
		(void)list_purpose_parse(call_text(call, "list_purpose"), &info->purpose);
	if (call_has(call, "tolerance"))
		(void)list_tolerance_parse(call_text(call, "tolerance"), &info->tolerance);
	if (call_has(call, "suppress_scope"))
		(void)list_scope_parse(call_text(call, "suppress_scope"), &info->suppress_scope);
	info->priority = (uint8_t)call_integer(call, "priority", info->priority);
	info->suppress_minutes = (uint16_t)call_integer(call, "suppress_minutes", info->suppress_minutes);
	result = take_names(call, info);
	return result == 0 ? lists_head_take_conditions(call, &info->conditions) : result;
}

static json_t *bits_json(uint8_t bits, const char *(*name_of)(uint8_t value), unsigned names)
{
	json_t *array = json_array();

	for (uint8_t i = 0; i < names; i++)
		if ((bits >> i & 1) != 0)
			(void)json_array_append_new(array, json_string(name_of(i)));
	return array;
}

static void show_conditions(const struct list_conditions *conditions, json_t *object)
{
	json_t *hours = json_array();
	json_t *areas = json_array();
	char text[LIST_WINDOW_TEXT_SIZE];

	for (unsigned i = 0; i < conditions->window_count; i++)
		(void)json_array_append_new(hours, json_string(list_window_text(&conditions->windows[i], text)));
	for (unsigned i = 0; i < conditions->area_count; i++)
		(void)json_array_append_new(areas, json_string(list_area_text(conditions, i)));
	(void)json_object_set_new(object, "hours", hours);
	(void)json_object_set_new(object, "directions",
				  bits_json(conditions->directions, direction_name, LIST_DIRECTIONS));
	(void)json_object_set_new(object, "camera_types",
				  bits_json(conditions->camera_types, camera_type_name, REG_CAMERA_TYPE_COUNT));
	(void)json_object_set_new(object, "areas", areas);
}

void lists_head_show(const struct list_info *info, json_t *object)
{
	json_t *subscribers = json_array();

	for (unsigned i = 0; i < info->subscriber_count; i++)
		(void)json_array_append_new(subscribers, json_string(info->subscribers[i]));
	(void)json_object_set_new(object, "owner", json_string(info->owner));
	(void)json_object_set_new(object, "subscribers", subscribers);
	(void)json_object_set_new(object, "marking", json_string(info->marking));
	(void)json_object_set_new(object, "tolerance", json_string(list_tolerance_name(info->tolerance)));
	(void)json_object_set_new(object, "suppress_minutes", json_integer(info->suppress_minutes));
	(void)json_object_set_new(object, "suppress_scope", json_string(list_scope_name(info->suppress_scope)));
	show_conditions(&info->conditions, object);
}

static json_t *head_json(const struct list_info *info)
{
	const char *class = list_class_name(info->class), *purpose = list_purpose_name(info->purpose);
	json_t *object = json_object();

	(void)json_object_set_new(object, "class", json_string(class != NULL ? class : "unknown"));
	(void)json_object_set_new(object, "list_purpose", json_string(purpose != NULL ? purpose : "unknown"));
	(void)json_object_set_new(object, "priority", json_integer(info->priority));
	lists_head_show(info, object);
	return object;
}

json_t *lists_head_changes(const struct list_info *from, const struct list_info *to)
{
	json_t *before = from != NULL ? head_json(from) : NULL, *now = head_json(to), *changes = json_object();
	const char *name;
	json_t *value;

	json_object_foreach(now, name, value)
	{
		json_t *old = json_object_get(before, name);

		if (old == NULL || !json_equal(old, value))
			(void)json_object_set_new(changes, name, json_pack("{s:O?,s:O}", "from", old, "to", value));
	}
	json_decref(before);
	json_decref(now);
	if (json_object_size(changes) > 0)
		return changes;
	json_decref(changes);
	return NULL;
}
