/*
 * The head of a list: what may stand in it, and its bytes for image and digest. Little-endian: class, purpose,
 * tolerance, priority, scope, directions, camera types (1 each), suppressed minutes (2), windows (1), each with days
 * (1), from and to (2 each); subscribers (1), areas (1); then texts, each as its size (2) and its bytes: name, owner,
 * marking, the subscribers, the areas.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "appliance/base/bytes.h"
#include "appliance/base/err.h"
#include "matcher/csv.h"
#include "matcher/list_build.h"

#define FIXED_SIZE 12
#define WINDOW_SIZE 5

static_assert(FIXED_SIZE + LIST_WINDOWS_MAX * WINDOW_SIZE + (3 + LIST_SUBSCRIBERS_MAX) * (2 + LIST_NAME_SIZE) +
			      LIST_AREAS_MAX * 2 + LIST_AREAS_SIZE <=
		      LIST_HEAD_SIZE_MAX,
	      "every head fits");

static bool name_is_clean(const char name[LIST_NAME_SIZE])
{
	size_t size = strnlen(name, LIST_NAME_SIZE);

	return size < LIST_NAME_SIZE && csv_text_is_clean(name, size);
}

static int names_check(const struct list_info *info, struct err *err)
{
	if (info->name[0] == '\0' || !name_is_clean(info->name))
		return err_set(err, -EINVAL, "a list's name has 1 to %d bytes of printable text", LIST_NAME_SIZE - 1);
	if (!name_is_clean(info->owner) || !name_is_clean(info->marking))
		return err_set(err, -EINVAL, "a list's owner and marking have at most %d bytes of printable text",
			       LIST_NAME_SIZE - 1);
	if (info->subscriber_count > LIST_SUBSCRIBERS_MAX)
		return err_set(err, -EINVAL, "a list has at most %d organisations that may subscribe",
			       LIST_SUBSCRIBERS_MAX);
	for (unsigned i = 0; i < info->subscriber_count; i++)
		if (info->subscribers[i][0] == '\0' || !name_is_clean(info->subscribers[i]))
			return err_set(err, -EINVAL,
				       "subscriber %u: an organisation has 1 to %d bytes of printable text", i + 1,
				       LIST_NAME_SIZE - 1);
	return 0;
}

int list_head_check(const struct list_info *info, struct err *err)
{
	int status = names_check(info, err);

	if (status < 0)
		return status;
	if (info->class < 0 || info->class >= LIST_CLASS_COUNT)
		return err_set(err, -EINVAL, "list class %d is not known", (int)info->class);
	if (info->purpose < 0 || info->purpose >= LIST_PURPOSE_COUNT)
		return err_set(err, -EINVAL, "list purpose %d is not known", (int)info->purpose);
	if (info->tolerance < 0 || info->tolerance >= LIST_TOLERANCE_COUNT)
		return err_set(err, -EINVAL, "list tolerance %d is not known", (int)info->tolerance);
	if (info->suppress_scope < 0 || info->suppress_scope >= LIST_SCOPE_COUNT)
		return err_set(err, -EINVAL, "scope %d of repeat suppression is not known", (int)info->suppress_scope);
	if (info->suppress_minutes > LIST_SUPPRESS_MINUTES_MAX)
		return err_set(err, -EINVAL, "repeats are suppressed for at most %d minutes",
			       LIST_SUPPRESS_MINUTES_MAX);
	if (info->priority > LIST_PRIORITY_MAX)
		return err_set(err, -EINVAL, "list priority %d is over %d", info->priority, LIST_PRIORITY_MAX);
	return list_conditions_check(&info->conditions, err);
}

static uint8_t *text_put(uint8_t *at, const char *text)
{
	size_t size = strlen(text);

	le16_put(at, (uint16_t)size);
	memcpy(at + 2, text, size);
	return at + 2 + size;
}

size_t list_head_encode(const struct list_info *info, uint8_t bytes[LIST_HEAD_SIZE_MAX])
{
	const struct list_conditions *conditions = &info->conditions;
	uint8_t *at = bytes + FIXED_SIZE;

	bytes[0] = (uint8_t)info->class;
	bytes[1] = (uint8_t)info->purpose;
	bytes[2] = (uint8_t)info->tolerance;
	bytes[3] = info->priority;
	bytes[4] = (uint8_t)info->suppress_scope;
	bytes[5] = conditions->directions;
	bytes[6] = conditions->camera_types;
	le16_put(bytes + 7, info->suppress_minutes);
	bytes[9] = conditions->window_count;
	bytes[10] = info->subscriber_count;
	bytes[11] = conditions->area_count;
	for (unsigned i = 0; i < conditions->window_count; i++, at += WINDOW_SIZE) {
		at[0] = conditions->windows[i].days;
		le16_put(at + 1, conditions->windows[i].from_minute);
		le16_put(at + 3, conditions->windows[i].to_minute);
	}
	at = text_put(text_put(text_put(at, info->name), info->owner), info->marking);
	for (unsigned i = 0; i < info->subscriber_count; i++)
		at = text_put(at, info->subscribers[i]);
	for (unsigned i = 0; i < conditions->area_count; i++)
		at = text_put(at, list_area_text(conditions, i));
	return (size_t)(at - bytes);
}

/* What is left to read; `bad` sticks. */
struct reader {
	const uint8_t *at;
	size_t size;
	bool bad;
};

static void text_get(struct reader *reader, char *text, size_t room)
{
	size_t size = !reader->bad && reader->size >= 2 ? le16_get(reader->at) : room;

	if (size >= room || reader->size - 2 < size || memchr(reader->at + 2, 0, size) != NULL) {
		reader->bad = true;
		return;
	}
	memcpy(text, reader->at + 2, size);
	text[size] = '\0';
	reader->at += 2 + size;
	reader->size -= 2 + size;
}

static void windows_get(struct reader *reader, struct list_conditions *conditions)
{
	if (conditions->window_count > LIST_WINDOWS_MAX || reader->size < conditions->window_count * WINDOW_SIZE) {
		reader->bad = true;
		return;
	}
	for (unsigned i = 0; i < conditions->window_count; i++) {
		conditions->windows[i] = (struct list_window){.days = reader->at[0],
							      .from_minute = le16_get(reader->at + 1),
							      .to_minute = le16_get(reader->at + 3)};
		reader->at += WINDOW_SIZE;
		reader->size -= WINDOW_SIZE;
	}
}

static void areas_get(struct reader *reader, unsigned count, struct list_conditions *conditions)
{
	char text[LIST_AREAS_SIZE];

	for (unsigned i = 0; i < count && !reader->bad; i++) {
		text_get(reader, text, sizeof(text));
		if (!reader->bad && list_area_add(conditions, text, NULL) < 0)
			reader->bad = true;
	}
}

int list_head_decode(const uint8_t *bytes, size_t size, struct list_info *ret_info)
{
	struct reader reader = {.at = bytes + FIXED_SIZE, .size = size - FIXED_SIZE};
	struct list_info info = *ret_info;

	if (size < FIXED_SIZE || bytes[10] > LIST_SUBSCRIBERS_MAX)
		return -EBADMSG;
	info.class = (enum list_class)bytes[0];
	info.purpose = (enum list_purpose)bytes[1];
	info.tolerance = (enum list_tolerance)bytes[2];
	info.priority = bytes[3];
	info.suppress_scope = (enum list_scope)bytes[4];
	info.suppress_minutes = le16_get(bytes + 7);
	info.subscriber_count = bytes[10];
	memset(&info.conditions, 0, sizeof(info.conditions));
	info.conditions.directions = bytes[5];
	info.conditions.camera_types = bytes[6];
	info.conditions.window_count = bytes[9];
	windows_get(&reader, &info.conditions);
	text_get(&reader, info.name, sizeof(info.name));
	text_get(&reader, info.owner, sizeof(info.owner));
	text_get(&reader, info.marking, sizeof(info.marking));
	for (unsigned i = 0; i < info.subscriber_count; i++)
		text_get(&reader, info.subscribers[i], sizeof(info.subscribers[i]));
	areas_get(&reader, bytes[11], &info.conditions);
	if (reader.bad || reader.size != 0 || list_head_check(&info, NULL) < 0)
		return -EBADMSG;
	*ret_info = info;
	return 0;
}
