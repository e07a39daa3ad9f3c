/*
 * What was erased or amended goes from the bytes of late hits as it goes from segments: the batches of its day are
 * written anew without it, under a new key and with the numbers they have, in one change; then the former key dies, and
 * with it what the change log still has of the day.
 */
#include "storage/late_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/bytes.h"
#include "appliance/base/digest.h"
#include "appliance/base/killpoint.h"
#include "storage/marks.h"
#include "storage/register.h"

struct tidying {
	struct late_hits *late;
	struct late_day *day;
	const struct mark_day *marks;
	struct late_content *content;
	struct late_filling filling;
	uint64_t key; /* new */
	uint8_t key_bytes[KEY_SIZE];
	struct reg_change *changes; /* one a batch of the day, deletions too */
	uint8_t (*values)[REG_RECORD_SIZE_MAX];
	uint16_t *counts;
	size_t count;
};

/* How many of the content stay; these are moved to its beginning. */
static size_t content_tidy(struct tidying *tidying)
{
	struct late_content *content = tidying->content;
	size_t kept = 0;

	for (size_t i = 0; i < content->count; i++)
		if (!mark_drops(mark_find(tidying->marks, &content->hits[i].found.read)))
			content->hits[kept++] = content->hits[i];
	return kept;
}

/* 1: the day has hits that must go; 0: none. */
static int day_judge(struct tidying *tidying)
{
	struct late_hits *late = tidying->late;

	for (size_t i = 0; i < late->batch_count; i++) {
		int result;

		if (late->batches[i].day != tidying->day->day)
			continue;
		tidying->count++;
		result = late_batch_read(late, &late->batches[i], tidying->content);
		if (result < 0)
			return result;
		if (content_tidy(tidying) < tidying->content->count)
			return 1;
	}
	return 0;
}

static int batch_rewrite(struct tidying *tidying, const struct late_batch *batch)
{
	struct reg_late_hits record = {.day = batch->day, .number = batch->number, .key = tidying->key};
	struct reg_change *change = &tidying->changes[tidying->count];
	size_t kept;
	int result = late_batch_read(tidying->late, batch, tidying->content);

	if (result < 0)
		return result;
	kept = content_tidy(tidying);
	*change = (struct reg_change){.kind = REG_LATE_HIT, .a = (uint32_t)batch->day, .b = batch->number};
	tidying->counts[tidying->count] = (uint16_t)kept;
	if (kept > 0) {
		tidying->filling.count = 0;
		for (size_t i = 0; i < kept; i++)
			(void)late_filling_add(&tidying->filling, &tidying->content->hits[i]);
		late_batch_seal(tidying->key_bytes, &tidying->filling, &record);
		change->value = tidying->values[tidying->count];
		change->value_size = reg_late_hits_encode(&record, tidying->values[tidying->count]);
	}
	tidying->count++;
	return 0;
}

static int key_make(struct tidying *tidying)
{
	struct key_change change = {.id = {.day = tidying->day->day, .kind = KEY_LATE}};
	int result;

	random_bytes(&change.id.id, sizeof(change.id.id));
	result = keyring_change(tidying->late->keyring, &change, 1);
	if (result == 0)
		result = keyring_get(tidying->late->keyring, change.id, tidying->key_bytes);
	tidying->key = change.id.id;
	killpoint("late.rekeyed");
	return result;
}

static void key_destroy(struct tidying *tidying, uint64_t key)
{
	struct key_change change = {.id = {.id = key, .day = tidying->day->day, .kind = KEY_LATE}, .destroy = true};

	/* What fails here is an orphan of the next load. */
	if (key != 0)
		(void)keyring_change(tidying->late->keyring, &change, 1);
}

static void batches_renew(struct tidying *tidying)
{
	struct late_hits *late = tidying->late;
	size_t kept = 0;
	size_t at = 0;

	(void)pthread_mutex_lock(&late->lock);
	for (size_t i = 0; i < late->batch_count; i++) {
		struct late_batch batch = late->batches[i];

		if (batch.day == tidying->day->day)
			batch.count = tidying->counts[at++];
		if (batch.count > 0)
			late->batches[kept++] = batch;
	}
	late->batch_count = kept;
	(void)pthread_mutex_unlock(&late->lock);
}

static int batches_rewrite(struct tidying *tidying, struct err *err)
{
	struct late_hits *late = tidying->late;
	int result = 0;

	tidying->count = 0;
	for (size_t i = 0; result == 0 && i < late->batch_count; i++)
		if (late->batches[i].day == tidying->day->day)
			result = batch_rewrite(tidying, &late->batches[i]);
	if (result < 0)
		return err_set(err, result, "late hits: %s", strerror(-result));
	return reg_change(late->reg, tidying->changes, tidying->count, 0, "reads were erased or amended", err);
}

static int day_rewrite(struct tidying *tidying, struct err *err)
{
	struct late_hits *late = tidying->late;
	uint64_t former = tidying->day->key;
	int result = 0;

	tidying->changes = calloc(late->batch_count, sizeof(*tidying->changes));
	tidying->values = calloc(late->batch_count, sizeof(*tidying->values));
	tidying->counts = calloc(late->batch_count, sizeof(*tidying->counts));
	if (tidying->changes == NULL || tidying->values == NULL || tidying->counts == NULL)
		result = -ENOMEM;
	if (result == 0)
		result = key_make(tidying);
	if (result < 0)
		(void)err_set(err, result, "late hits: %s", strerror(-result));
	else if ((result = batches_rewrite(tidying, err)) < 0)
		key_destroy(tidying, tidying->key);
	if (result == 0) {
		tidying->day->key = tidying->key;
		batches_renew(tidying);
		killpoint("late.rewritten");
		key_destroy(tidying, former);
	}
	free(tidying->changes);
	free(tidying->values);
	free(tidying->counts);
	bytes_wipe(tidying->key_bytes, sizeof(tidying->key_bytes));
	return result;
}

static int day_tidy_by(struct late_hits *late, struct late_day *day, const struct mark_set *set,
		       struct late_content *content, struct err *err)
{
	struct tidying tidying = {.late = late, .day = day, .marks = mark_set_day(set, day->day), .content = content};
	int result = tidying.marks != NULL ? day_judge(&tidying) : 0;

	if (result < 0)
		return err_set(err, result, "late hits: %s", strerror(-result));
	if (result > 0)
		result = day_rewrite(&tidying, err);
	bytes_wipe(&tidying.filling, sizeof(tidying.filling));
	return result;
}

static int day_tidy(struct late_hits *late, struct late_day *day, struct late_content *content, struct err *err)
{
	uint64_t stamp = marks_stamp(late->marks, day->day);
	struct mark_set *set;
	int result;

	if (stamp == day->tidied || keyring_day_destroyed(late->keyring, day->day))
		return 0;
	/* Behind the stamp: a mark that comes in between is in the set, and has another round. */
	set = marks_hold(late->marks);
	result = day_tidy_by(late, day, set, content, err);
	mark_set_release(set);
	if (result == 0)
		day->tidied = stamp;
	return result;
}

int late_hits_tidy(struct late_hits *late, struct err *err)
{
	struct late_content *content = malloc(sizeof(*content));
	int result = 0;

	if (content == NULL)
		return err_set(err, -ENOMEM, "out of memory");
	(void)pthread_mutex_lock(&late->change);
	for (size_t i = 0; late->reg != NULL && i < late->day_count; i++) {
		int r = day_tidy(late, &late->days[i], content, err);

		result = result < 0 ? result : r;
	}
	(void)pthread_mutex_unlock(&late->change);
	bytes_wipe(content, sizeof(*content));
	free(content);
	return result;
}
