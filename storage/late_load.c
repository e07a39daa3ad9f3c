/* From the register, once: batches and tags made anew, records of purged days and keys that no record names gone. */
#include "storage/late_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/array.h"
#include "appliance/base/bytes.h"
#include "storage/register.h"

struct loading {
	struct late_hits *late;
	struct late_content *content;
	size_t unreadable; /* hits */
	struct key_change *orphans;
	size_t orphan_count;
	size_t orphan_room;
};

static int batch_note(struct late_hits *late, const struct reg_late_hits *record, const struct late_content *content)
{
	struct late_batch batch = {.day = record->day, .number = record->number, .count = record->count};
	int result = late_batches_reserve(late, 1);

	if (result < 0)
		return result;
	batch.first = content->hits[0].found.hit.number & HIT_COUNT_MASK;
	batch.last = content->hits[content->count - 1].found.hit.number & HIT_COUNT_MASK;
	batch.capture_first_us = batch.capture_last_us = content->hits[0].found.read.capture_us;
	for (size_t i = 1; i < content->count; i++) {
		int64_t capture_us = content->hits[i].found.read.capture_us;

		if (capture_us < batch.capture_first_us)
			batch.capture_first_us = capture_us;
		if (capture_us > batch.capture_last_us)
			batch.capture_last_us = capture_us;
	}
	late->batches[late->batch_count++] = batch;
	if (batch.last > late->last)
		late->last = batch.last;
	return 0;
}

static int content_note(struct late_hits *late, struct late_day *day, const struct late_content *content)
{
	int result = late_tags_reserve(&day->tags, content->count);

	for (size_t i = 0; result == 0 && i < content->count; i++)
		(void)late_tags_add(&day->tags, late_tag_of(late, &content->hits[i]));
	return result;
}

static int load_record(void *context, const struct reg_record *found)
{
	struct loading *loading = context;
	struct late_hits *late = loading->late;
	struct reg_late_hits record;
	struct late_day *day;
	uint64_t last;
	int result;

	if (found->a == REG_LATE_LAST) {
		result = reg_late_last_decode(found->value, found->value_size, &last);
		if (result == 0 && last > late->last)
			late->last = last;
		return result;
	}
	result = reg_late_hits_decode(found->value, found->value_size, &record);
	if (result < 0)
		return result;
	day = late_day_make(late, record.day);
	if (day == NULL)
		return -ENOMEM;
	day->next_number = record.number + 1;
	if (keyring_day_destroyed(late->keyring, record.day))
		return 0;
	result = late_batch_open(late->keyring, &record, loading->content);
	if (result < 0) {
		loading->unreadable += record.count;
		day->key = result == -EBADMSG ? record.key : day->key;
		return result == -ENOMEM ? result : 0;
	}
	day->key = record.key;
	result = content_note(late, day, loading->content);
	return result < 0 ? result : batch_note(late, &record, loading->content);
}

/* The newest key of a day is the one its records are under; a crash in the middle of tidying leaves another. */
static int orphan_judge(void *context, struct key_id id)
{
	struct loading *loading = context;
	const struct late_day *day = late_day_find(loading->late, id.day);
	struct key_change *orphans;

	if (day != NULL && day->key == id.id)
		return 0;
	orphans = array_grow(loading->orphans, loading->orphan_count, &loading->orphan_room, sizeof(*orphans));
	if (orphans == NULL)
		return -ENOMEM;
	loading->orphans = orphans;
	orphans[loading->orphan_count++] = (struct key_change){.id = id, .destroy = true};
	return 0;
}

static int orphans_destroy(struct loading *loading)
{
	struct keyring *keyring = loading->late->keyring;
	int result = keyring_each(keyring, KEY_LATE, orphan_judge, loading);

	if (result == 0 && loading->orphan_count > 0)
		result = keyring_change(keyring, loading->orphans, loading->orphan_count);
	return result;
}

static int batch_compare(const void *a, const void *b)
{
	const struct late_batch *left = a;
	const struct late_batch *right = b;

	return left->first < right->first ? -1 : left->first > right->first;
}

static int load_all(struct loading *loading, struct err *err)
{
	struct late_hits *late = loading->late;
	int result = reg_each(late->reg, REG_LATE_HIT, 0, UINT32_MAX, load_record, loading);

	if (result < 0)
		return err_set(err, result, "the register's late hits: %s", strerror(-result));
	if (late->batch_count > 0)
		qsort(late->batches, late->batch_count, sizeof(*late->batches), batch_compare);
	for (size_t i = 0; result == 0 && i < late->day_count; i++)
		if (keyring_day_destroyed(late->keyring, late->days[i].day))
			result = late_day_drop(late, late->days[i].day, err);
	if (result < 0)
		return result;
	result = orphans_destroy(loading);
	return result < 0 ? err_set(err, result, "late hits: %s", strerror(-result)) : 0;
}

int late_hits_load(struct late_hits *late, struct reg *reg, struct keyring *keyring, struct marks *marks,
		   struct err *err, size_t *ret_unreadable)
{
	struct loading loading = {.late = late, .content = malloc(sizeof(*loading.content))};
	int result = -ENOMEM;

	(void)pthread_mutex_lock(&late->change);
	late->reg = reg;
	late->keyring = keyring;
	late->marks = marks;
	if (loading.content != NULL)
		result = load_all(&loading, err);
	else
		(void)err_set(err, result, "out of memory");
	if (result < 0) {
		late->reg = NULL;
		late->batch_count = 0;
	}
	(void)pthread_mutex_unlock(&late->change);
	if (loading.content != NULL)
		bytes_wipe(loading.content, sizeof(*loading.content));
	free(loading.content);
	free(loading.orphans);
	if (result == 0)
		*ret_unreadable = loading.unreadable;
	return result;
}
