/*
 * The register's records are the truth, `marks->all` their image, the set what is published of it. A change goes to
 * keyring and register first and to image and set afterwards, all under `change`; when the set cannot be made for want
 * of memory the image already has the change, and a later one publishes both: the caller is told that it failed.
 */
#include "storage/marks.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/array.h"
#include "appliance/base/bytes.h"
#include "storage/marks_internal.h"

void mark_work_free(struct mark_work *work)
{
	if (work != NULL)
		bytes_wipe(work, sizeof(*work));
	free(work);
}

int marks_new(struct marks **ret_marks)
{
	struct marks *marks = calloc(1, sizeof(*marks));

	if (marks == NULL)
		return -ENOMEM;
	(void)pthread_mutex_init(&marks->change, NULL);
	(void)pthread_mutex_init(&marks->set_lock, NULL);
	*ret_marks = marks;
	return 0;
}

struct marks *marks_free(struct marks *marks)
{
	if (marks == NULL)
		return NULL;
	mark_set_release(marks->set);
	for (size_t i = 0; i < marks->count; i++)
		mark_work_free(marks->all[i].work);
	free(marks->all);
	bytes_wipe(&marks->keys, sizeof(marks->keys));
	(void)pthread_mutex_destroy(&marks->set_lock);
	(void)pthread_mutex_destroy(&marks->change);
	free(marks);
	return NULL;
}

struct mark_set *marks_hold(struct marks *marks)
{
	struct mark_set *set;

	(void)pthread_mutex_lock(&marks->set_lock);
	set = mark_set_hold(marks->set);
	(void)pthread_mutex_unlock(&marks->set_lock);
	return set;
}

int marks_publish(struct marks *marks)
{
	struct mark_brief *briefs = calloc(marks->count + 1, sizeof(*briefs));
	struct read *corrected = calloc(marks->count + 1, sizeof(*corrected));
	struct mark_set *set = NULL;
	struct mark_set *old;
	size_t corrected_count = 0;
	int result = briefs != NULL && corrected != NULL ? 0 : -ENOMEM;

	for (size_t i = 0; result == 0 && i < marks->count; i++) {
		const struct mark *mark = &marks->all[i];

		briefs[i] = mark->brief;
		if (mark->brief.kind == MARK_AMENDED && mark->work != NULL && mark->work->readable)
			corrected[corrected_count++] = mark->work->corrected;
	}
	if (result == 0 && marks->count > 0)
		result = mark_set_new(&marks->keys, briefs, marks->count, corrected, corrected_count, &set);
	if (corrected != NULL)
		bytes_wipe(corrected, corrected_count * sizeof(*corrected));
	free(corrected);
	free(briefs);
	if (result < 0)
		return result;
	(void)pthread_mutex_lock(&marks->set_lock);
	old = marks->set;
	marks->set = set;
	(void)pthread_mutex_unlock(&marks->set_lock);
	mark_set_release(old);
	return 0;
}

static size_t day_begin(const struct marks *marks, int32_t day)
{
	size_t low = 0;
	size_t high = marks->count;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (marks->all[middle].brief.day < day)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

size_t marks_of_day(const struct marks *marks, int32_t day, size_t *ret_end)
{
	size_t begin = day_begin(marks, day);
	size_t end = begin;

	while (end < marks->count && marks->all[end].brief.day == day)
		end++;
	*ret_end = end;
	return begin;
}

int marks_room_make(struct marks *marks)
{
	struct mark *all = array_grow(marks->all, marks->count, &marks->room, sizeof(*all));

	if (all == NULL)
		return -ENOMEM;
	marks->all = all;
	return 0;
}

int marks_keys_ready(struct marks *marks)
{
	struct key_id id = {.day = KEY_DAY_NONE, .kind = KEY_IDENTITY};
	uint8_t identity[KEY_SIZE];
	int result;

	if (marks->keyed)
		return 0;
	result = keyring_get(marks->keyring, id, identity);
	if (result < 0)
		return result == -ENOENT ? -ENOKEY : result;
	mark_keys_derive(identity, &marks->keys);
	bytes_wipe(identity, sizeof(identity));
	marks->keyed = true;
	return 0;
}

int marks_forget_day_locked(struct marks *marks, int32_t day, struct err *err)
{
	size_t end;
	size_t first = marks_of_day(marks, day, &end);
	size_t count = end - first;
	int result = 0;

	for (size_t done = 0; result == 0 && done < count;) {
		struct reg_change changes[256];
		size_t take = count - done < 256 ? count - done : 256;

		for (size_t i = 0; i < take; i++)
			changes[i] = (struct reg_change){
				.kind = REG_MARK, .a = (uint32_t)day, .b = marks->all[first + done + i].number};
		result = reg_change(marks->reg, changes, take, 0, "the day of these marks has been purged", err);
		done += take;
	}
	if (result < 0)
		return result;
	for (size_t i = first; i < end; i++)
		mark_work_free(marks->all[i].work);
	if (count > 0)
		memmove(&marks->all[first], &marks->all[end], (marks->count - end) * sizeof(*marks->all));
	marks->count -= count;
	return 0;
}

bool marks_made(struct marks *marks, int32_t day, const uint8_t public_id[MARK_ID_SIZE], enum mark_kind kind)
{
	bool made = false;
	size_t end;

	(void)pthread_mutex_lock(&marks->change);
	for (size_t i = marks_of_day(marks, day, &end); i < end; i++)
		made = made || (marks->all[i].brief.kind == kind &&
				memcmp(marks->all[i].brief.public_id, public_id, MARK_ID_SIZE) == 0);
	(void)pthread_mutex_unlock(&marks->change);
	return made;
}

static uint64_t stamp_locked(const struct marks *marks, int32_t day)
{
	uint64_t stamp = 0;
	size_t end;

	for (size_t i = marks_of_day(marks, day, &end); i < end; i++)
		if (mark_drops(marks->all[i].brief.kind))
			stamp += le64_get(marks->all[i].brief.hash) | 1; /* keyed hashes: no two sums are the same */
	return stamp;
}

uint64_t marks_stamp(struct marks *marks, int32_t day)
{
	uint64_t stamp;

	(void)pthread_mutex_lock(&marks->change);
	stamp = stamp_locked(marks, day);
	(void)pthread_mutex_unlock(&marks->change);
	return stamp;
}

int marks_destroy_day(struct marks *marks, struct keyring *keyring, int32_t day, uint64_t stamp)
{
	int result = MARKS_CHANGED;

	(void)pthread_mutex_lock(&marks->change);
	if (stamp_locked(marks, day) == stamp || keyring_day_destroyed(keyring, day))
		result = keyring_destroy_day(keyring, day);
	(void)pthread_mutex_unlock(&marks->change);
	return result;
}

int marks_forget_day(struct marks *marks, int32_t day, struct err *err)
{
	int result = 0;

	(void)pthread_mutex_lock(&marks->change);
	if (marks->reg != NULL)
		result = marks_forget_day_locked(marks, day, err);
	if (result == 0) {
		result = marks_publish(marks);
		if (result < 0)
			(void)err_set(err, result, "out of memory");
	}
	(void)pthread_mutex_unlock(&marks->change);
	return result;
}

void marks_info(struct marks *marks, struct marks_info *ret_info)
{
	struct marks_info info = {0};

	(void)pthread_mutex_lock(&marks->change);
	for (size_t i = 0; i < marks->count; i++) {
		const struct mark *mark = &marks->all[i];

		info.erased += mark->brief.kind == MARK_ERASED;
		info.restricted += mark->brief.kind == MARK_RESTRICTED;
		info.amended += mark->brief.kind == MARK_AMENDED;
		if (mark->work == NULL || mark->work->removed)
			continue;
		info.pending++;
		if (info.pending_since_us == 0 || mark->made_us < info.pending_since_us)
			info.pending_since_us = mark->made_us;
	}
	(void)pthread_mutex_unlock(&marks->change);
	*ret_info = info;
}
