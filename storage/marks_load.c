/* From the register, once: records of purged days go, and keys of marks that were not made in the end. */
#include "storage/marks_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/array.h"

struct loading {
	struct marks *marks;
	struct keyring *keyring;
	int32_t *dead; /* purged days that still have records, ascending */
	size_t dead_count;
	size_t dead_room;
	size_t unreadable;
};

static int dead_add(struct loading *loading, int32_t day)
{
	int32_t *dead;

	if (loading->dead_count > 0 && loading->dead[loading->dead_count - 1] == day)
		return 0;
	dead = array_grow(loading->dead, loading->dead_count, &loading->dead_room, sizeof(*dead));
	if (dead == NULL)
		return -ENOMEM;
	loading->dead = dead;
	loading->dead[loading->dead_count++] = day;
	return 0;
}

static void brief_of(const struct reg_mark *record, struct mark_brief *ret_brief)
{
	*ret_brief = (struct mark_brief){.day = record->day, .tag = record->tag, .kind = record->kind};
	memcpy(ret_brief->hash, record->hash, sizeof(ret_brief->hash));
	memcpy(ret_brief->public_id, record->public_id, sizeof(ret_brief->public_id));
}

static int load_record(void *context, const struct reg_record *found)
{
	struct loading *loading = context;
	struct marks *marks = loading->marks;
	struct reg_mark record;
	struct mark mark = {0};
	int result = reg_mark_decode(found->value, found->value_size, &record);

	if (result < 0)
		return result;
	mark = (struct mark){.number = record.number, .made_us = record.made_us, .key = record.key};
	brief_of(&record, &mark.brief);
	if ((result = marks_room_make(marks)) < 0)
		return result;
	if (keyring_day_destroyed(loading->keyring, record.day)) {
		result = dead_add(loading, record.day);
		if (result < 0)
			return result;
	} else if (record.pending) {
		mark.work = calloc(1, sizeof(*mark.work));
		if (mark.work == NULL)
			return -ENOMEM;
		result = mark_work_open(marks, &mark, &record, mark.work);
		if (result == -ENOTSUP) {
			free(mark.work);
			return result;
		}
		loading->unreadable += result < 0;
	}
	marks->all[marks->count++] = mark;
	return 0;
}

/* Keys that no pending mark names: of a mark that was not made in the end, or one that is done. */
struct orphans {
	struct marks *marks;
	struct key_change *changes;
	size_t count;
	size_t room;
};

static int orphan_judge(void *context, struct key_id id)
{
	struct orphans *orphans = context;
	struct key_change *changes;
	size_t end;

	for (size_t i = marks_of_day(orphans->marks, id.day, &end); i < end; i++)
		if (orphans->marks->all[i].work != NULL && orphans->marks->all[i].key == id.id)
			return 0;
	changes = array_grow(orphans->changes, orphans->count, &orphans->room, sizeof(*changes));
	if (changes == NULL)
		return -ENOMEM;
	orphans->changes = changes;
	orphans->changes[orphans->count++] = (struct key_change){.id = id, .destroy = true};
	return 0;
}

int marks_orphans_destroy(struct marks *marks)
{
	struct orphans orphans = {.marks = marks};
	int result = keyring_each(marks->keyring, KEY_MARK, orphan_judge, &orphans);

	if (result == 0 && orphans.count > 0)
		result = keyring_change(marks->keyring, orphans.changes, orphans.count);
	free(orphans.changes);
	return result;
}

static int load_all(struct marks *marks, struct loading *loading, struct err *err)
{
	int result = reg_each(marks->reg, REG_MARK, 0, UINT32_MAX, load_record, loading);

	if (result == -ENOTSUP)
		return err_set(
			err, result,
			"another version of Gantry left reads erased or amended that it has not removed yet: let "
			"that version serve the directory until status counts none as pending");
	if (result < 0)
		return err_set(err, result, "the register's marks: %s", strerror(-result));
	for (size_t i = 0; result == 0 && i < loading->dead_count; i++)
		result = marks_forget_day_locked(marks, loading->dead[i], err);
	if (result < 0)
		return result;
	if (marks->count > 0 && (result = marks_keys_ready(marks)) < 0)
		return err_set(err, result,
			       "reads were erased or restricted, but the key of identities is not in the keyring to "
			       "know them by: restore the keyring");
	result = marks_orphans_destroy(marks);
	if (result == 0)
		result = marks_publish(marks);
	return result < 0 ? err_set(err, result, "marks: %s", strerror(-result)) : 0;
}

int marks_load(struct marks *marks, struct reg *reg, struct keyring *keyring, struct err *err, size_t *ret_unreadable)
{
	struct loading loading = {.marks = marks, .keyring = keyring};
	int result;

	(void)pthread_mutex_lock(&marks->change);
	marks->reg = reg;
	marks->keyring = keyring;
	result = load_all(marks, &loading, err);
	if (result < 0)
		marks->reg = NULL;
	(void)pthread_mutex_unlock(&marks->change);
	free(loading.dead);
	if (result == 0)
		*ret_unreadable = loading.unreadable;
	return result;
}
