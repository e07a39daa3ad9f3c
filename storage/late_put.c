/*
 * What changes the late hits: new ones, those of erased reads, whole days. Keys first, then one change of the register,
 * then what scans see, all under `change`. A put that fails takes its tags back; a key that it made is found by the
 * next put of the day, or destroyed at the next load.
 */
#include "storage/late_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/array.h"
#include "appliance/base/bytes.h"
#include "appliance/base/clock.h"
#include "appliance/base/digest.h"
#include "appliance/base/killpoint.h"
#include "storage/marks.h"
#include "storage/register.h"

/* Who and why stand in the audit log. */
#define LATE_REASON "see the audit log"

/* A record in the making, with its bytes. */
struct late_record {
	struct late_batch batch;
	size_t size;
	uint8_t bytes[REG_RECORD_SIZE_MAX];
};

struct putting {
	struct late_hits *late;
	struct mark_set *marks; /* of now: whoever found the hits asked others, some time ago */
	struct late_hit *hits;
	uint32_t *order; /* of the chosen, by (day, place) */
	size_t chosen;
	struct late_tag *tags;       /* of the chosen */
	struct key_change *keys;     /* to be made */
	struct late_record *records; /* one a batch */
	size_t key_count;
	size_t record_count;
	size_t record_room;
	uint64_t last;
};

static int32_t day_of(const struct late_hit *hit)
{
	return read_day(hit->found.read.capture_us);
}

static int compare_days(const void *a, const void *b, void *context)
{
	const struct late_hit *hits = context;
	uint32_t left = *(const uint32_t *)a;
	uint32_t right = *(const uint32_t *)b;
	int32_t left_day = day_of(&hits[left]);
	int32_t right_day = day_of(&hits[right]);

	if (left_day != right_day)
		return left_day < right_day ? -1 : 1;
	return left < right ? -1 : 1;
}

static void tags_undo(struct putting *putting)
{
	while (putting->chosen-- > 0) {
		const struct late_hit *hit = &putting->hits[putting->order[putting->chosen]];

		late_tags_undo(&late_day_find(putting->late, day_of(hit))->tags, putting->tags[putting->chosen]);
	}
	putting->chosen = 0;
}

/*
 * Of order[at] … order[end − 1], which are of one day, those that are new stay, at `chosen` … As a sweep leaves marked
 * reads out, those marked since go here; a mark that comes from now on finds the day untidied.
 */
static int choose_day(struct putting *putting, size_t at, size_t end)
{
	int32_t number = day_of(&putting->hits[putting->order[at]]);
	const struct mark_day *marks = mark_set_day(putting->marks, number);
	struct late_day *day;
	int result;

	if (number < 0 || keyring_day_destroyed(putting->late->keyring, number))
		return 0;
	day = late_day_make(putting->late, number);
	result = day != NULL ? late_tags_reserve(&day->tags, end - at) : -ENOMEM;
	if (result < 0)
		return result;
	day->tidied = 0;
	for (; at < end; at++) {
		const struct late_hit *hit = &putting->hits[putting->order[at]];
		struct late_tag tag = late_tag_of(putting->late, hit);

		if (mark_find(marks, &hit->found.read) != MARK_NONE || !late_tags_add(&day->tags, tag))
			continue;
		putting->tags[putting->chosen] = tag;
		putting->order[putting->chosen++] = putting->order[at];
	}
	return 0;
}

static int choose(struct putting *putting, size_t count)
{
	int result = 0;

	for (size_t i = 0; i < count; i++) {
		putting->order[i] = (uint32_t)i;
		putting->hits[i].found.hit.number = 0;
	}
	qsort_r(putting->order, count, sizeof(*putting->order), compare_days, putting->hits);
	for (size_t at = 0, end = 0; result == 0 && at < count; at = end) {
		int32_t day = day_of(&putting->hits[putting->order[at]]);

		while (end < count && day_of(&putting->hits[putting->order[end]]) == day)
			end++;
		result = choose_day(putting, at, end);
	}
	return result;
}

static void number_all(struct putting *putting)
{
	int64_t now_us = clock_wall_us();

	/* Beyond the clock too: an older register, put back, gives no number twice. */
	putting->last = putting->late->last;
	if (now_us > 0 && (uint64_t)now_us > putting->last)
		putting->last = (uint64_t)now_us;
	for (size_t i = 0; i < putting->chosen; i++)
		putting->hits[putting->order[i]].found.hit.number = hit_number(HIT_SOURCE_LATE, ++putting->last);
}

/* A key for each day that has none, in one change of the ring. */
static int keys_make(struct putting *putting, struct err *err)
{
	struct late_hits *late = putting->late;
	int32_t done = -1;
	int result = 0;

	for (size_t i = 0; i < putting->chosen; i++) {
		struct late_day *day = late_day_find(late, day_of(&putting->hits[putting->order[i]]));

		if (day->day == done)
			continue;
		done = day->day;
		if (day->key != 0)
			continue;
		do
			random_bytes(&day->key, sizeof(day->key));
		while (day->key == 0);
		putting->keys[putting->key_count++] =
			(struct key_change){.id = {.id = day->key, .day = day->day, .kind = KEY_LATE}};
	}
	if (putting->key_count > 0)
		result = keyring_change(late->keyring, putting->keys, putting->key_count);
	for (size_t i = 0; result < 0 && i < putting->key_count; i++)
		late_day_find(late, putting->keys[i].id.day)->key = 0;
	if (result == 0 && putting->key_count > 0)
		killpoint("late.keyed");
	return result < 0 ? err_set(err, result, "keys of late hits: %s", strerror(-result)) : 0;
}

static int record_add(struct putting *putting, const struct late_batch *batch, const struct late_filling *filling,
		      const struct late_day *day)
{
	struct reg_late_hits record = {.day = day->day, .number = batch->number, .key = day->key};
	struct key_id id = {.id = day->key, .day = day->day, .kind = KEY_LATE};
	struct late_record *records;
	uint8_t key[KEY_SIZE];
	int result = keyring_get(putting->late->keyring, id, key);

	if (result < 0)
		return result;
	records = array_grow(putting->records, putting->record_count, &putting->record_room, sizeof(*records));
	if (records == NULL) {
		bytes_wipe(key, sizeof(key));
		return -ENOMEM;
	}
	putting->records = records;
	late_batch_seal(key, filling, &record);
	bytes_wipe(key, sizeof(key));
	records += putting->record_count++;
	records->batch = *batch;
	records->batch.count = record.count;
	records->size = reg_late_hits_encode(&record, records->bytes);
	return 0;
}

static void batch_take(struct late_batch *batch, const struct late_hit *hit)
{
	int64_t capture_us = hit->found.read.capture_us;
	uint64_t count = hit->found.hit.number & HIT_COUNT_MASK;

	if (batch->last == 0) {
		batch->first = count;
		batch->capture_first_us = batch->capture_last_us = capture_us;
	}
	batch->last = count;
	if (capture_us < batch->capture_first_us)
		batch->capture_first_us = capture_us;
	if (capture_us > batch->capture_last_us)
		batch->capture_last_us = capture_us;
}

/* The chosen hits as sealed records. */
static int batches_fill(struct putting *putting)
{
	struct late_filling filling = {0};
	uint32_t in_day = 0;
	int result = 0;

	for (size_t i = 0; result == 0 && i < putting->chosen;) {
		const struct late_day *day = late_day_find(putting->late, day_of(&putting->hits[putting->order[i]]));
		struct late_batch batch = {.day = day->day};

		in_day = putting->record_count > 0 && putting->records[putting->record_count - 1].batch.day == day->day
				 ? in_day + 1
				 : 0;
		batch.number = day->next_number + in_day;
		filling.count = 0;
		for (; i < putting->chosen; i++) {
			const struct late_hit *hit = &putting->hits[putting->order[i]];

			if (day_of(hit) != day->day || !late_filling_add(&filling, hit))
				break;
			batch_take(&batch, hit);
		}
		result = record_add(putting, &batch, &filling, day);
	}
	bytes_wipe(&filling, sizeof(filling));
	return result;
}

static int records_write(struct putting *putting, uint32_t who_uid, struct err *err)
{
	struct reg_change *changes = calloc(putting->record_count + 1, sizeof(*changes));
	uint8_t last[REG_RECORD_SIZE_MAX];
	int result;

	if (changes == NULL)
		return err_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < putting->record_count; i++)
		changes[i] = (struct reg_change){.kind = REG_LATE_HIT,
						 .a = (uint32_t)putting->records[i].batch.day,
						 .b = putting->records[i].batch.number,
						 .value = putting->records[i].bytes,
						 .value_size = putting->records[i].size};
	changes[putting->record_count] = (struct reg_change){.kind = REG_LATE_HIT,
							     .a = REG_LATE_LAST,
							     .value = last,
							     .value_size = reg_late_last_encode(putting->last, last)};
	result = reg_change(putting->late->reg, changes, putting->record_count + 1, who_uid, LATE_REASON, err);
	free(changes);
	return result;
}

/* The room is there. */
static void batches_show(struct putting *putting)
{
	struct late_hits *late = putting->late;

	for (size_t i = 0; i < putting->record_count; i++)
		late_day_find(late, putting->records[i].batch.day)->next_number = putting->records[i].batch.number + 1;
	(void)pthread_mutex_lock(&late->lock);
	for (size_t i = 0; i < putting->record_count; i++)
		late->batches[late->batch_count++] = putting->records[i].batch;
	late->last = putting->last;
	(void)pthread_mutex_unlock(&late->lock);
}

static int put_chosen(struct putting *putting, uint32_t who_uid, struct err *err)
{
	int result;

	number_all(putting);
	result = keys_make(putting, err);
	if (result < 0)
		return result;
	result = batches_fill(putting);
	if (result == 0)
		result = late_batches_reserve(putting->late, putting->record_count);
	if (result < 0)
		return err_set(err, result, "late hits: %s", strerror(-result));
	result = records_write(putting, who_uid, err);
	if (result == 0)
		batches_show(putting);
	return result;
}

static int put_locked(struct putting *putting, size_t count, uint32_t who_uid, struct err *err)
{
	int result;

	if (putting->late->reg == NULL)
		return err_set(err, -ENOKEY, "the register is incomplete: late hits cannot be kept");
	putting->order = calloc(count, sizeof(*putting->order));
	putting->tags = calloc(count, sizeof(*putting->tags));
	putting->keys = calloc(count, sizeof(*putting->keys));
	if (putting->order == NULL || putting->tags == NULL || putting->keys == NULL)
		return err_set(err, -ENOMEM, "out of memory");
	putting->marks = marks_hold(putting->late->marks);
	result = choose(putting, count);
	mark_set_release(putting->marks);
	if (result < 0)
		(void)err_set(err, result, "out of memory");
	else if (putting->chosen > 0)
		result = put_chosen(putting, who_uid, err);
	return result;
}

int late_hits_put(struct late_hits *late, struct late_hit *hits, size_t count, uint32_t who_uid, struct err *err,
		  size_t *ret_put)
{
	struct putting putting = {.late = late, .hits = hits};
	int result = 0;

	if (count > LATE_HITS_PUT_MAX)
		return err_set(err, -EINVAL, "more than %d late hits at once", LATE_HITS_PUT_MAX);
	(void)pthread_mutex_lock(&late->change);
	if (count > 0)
		result = put_locked(&putting, count, who_uid, err);
	if (result == 0)
		*ret_put = putting.chosen;
	else
		tags_undo(&putting);
	(void)pthread_mutex_unlock(&late->change);
	free(putting.order);
	free(putting.tags);
	free(putting.keys);
	free(putting.records);
	return result;
}

static void batches_hide(struct late_hits *late, int32_t day)
{
	size_t kept = 0;

	(void)pthread_mutex_lock(&late->lock);
	for (size_t i = 0; i < late->batch_count; i++)
		if (late->batches[i].day != day)
			late->batches[kept++] = late->batches[i];
	late->batch_count = kept;
	(void)pthread_mutex_unlock(&late->lock);
}

struct dropping {
	struct reg_change *changes;
	size_t count;
	size_t room;
};

static int record_drop(void *context, const struct reg_record *record)
{
	struct dropping *dropping = context;
	struct reg_change *changes;

	changes = array_grow(dropping->changes, dropping->count, &dropping->room, sizeof(*changes));
	if (changes == NULL)
		return -ENOMEM;
	dropping->changes = changes;
	changes[dropping->count++] = (struct reg_change){.kind = REG_LATE_HIT, .a = record->a, .b = record->b};
	return 0;
}

int late_day_drop(struct late_hits *late, int32_t day, struct err *err)
{
	struct late_day *entry = late_day_find(late, day);
	struct dropping dropping = {NULL, 0, 0};
	int result = reg_each(late->reg, REG_LATE_HIT, (uint32_t)day, (uint32_t)day, record_drop, &dropping);

	if (result < 0)
		(void)err_set(err, result, "late hits of the register: %s", strerror(-result));
	for (size_t done = 0; result == 0 && done < dropping.count;) {
		size_t take = dropping.count - done < REG_CHANGES_MAX ? dropping.count - done : REG_CHANGES_MAX;

		result = reg_change(late->reg, dropping.changes + done, take, 0,
				    "the day of these late hits has been purged", err);
		done += take;
	}
	free(dropping.changes);
	if (result < 0)
		return result;
	batches_hide(late, day);
	if (entry != NULL) {
		late_tags_fini(&entry->tags);
		*entry = (struct late_day){.day = day};
	}
	return 0;
}

bool late_hits_loaded(struct late_hits *late)
{
	bool loaded;

	(void)pthread_mutex_lock(&late->change);
	loaded = late->reg != NULL;
	(void)pthread_mutex_unlock(&late->change);
	return loaded;
}

/* Records of a day have ascending numbers; a tidying keeps them. */
static uint64_t stamp_locked(const struct late_hits *late, int32_t day)
{
	const struct late_day *entry = late_day_find(late, day);

	return entry != NULL ? entry->next_number : 0;
}

uint64_t late_hits_stamp(struct late_hits *late, int32_t day)
{
	uint64_t stamp;

	(void)pthread_mutex_lock(&late->change);
	stamp = stamp_locked(late, day);
	(void)pthread_mutex_unlock(&late->change);
	return stamp;
}

int late_hits_destroy_day(struct late_hits *late, struct marks *marks, struct keyring *keyring, int32_t day,
			  uint64_t stamp, uint64_t marks_stamp)
{
	int result = MARKS_CHANGED;

	(void)pthread_mutex_lock(&late->change);
	if (stamp_locked(late, day) == stamp || keyring_day_destroyed(keyring, day))
		result = marks_destroy_day(marks, keyring, day, marks_stamp);
	(void)pthread_mutex_unlock(&late->change);
	return result;
}

int late_hits_forget_day(struct late_hits *late, int32_t day, struct err *err)
{
	int result = 0;

	(void)pthread_mutex_lock(&late->change);
	if (late->reg != NULL && day >= 0)
		result = late_day_drop(late, day, err);
	(void)pthread_mutex_unlock(&late->change);
	return result;
}
