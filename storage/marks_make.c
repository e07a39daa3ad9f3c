/* Making and lifting a mark: judged first, then key, record, image and the set that is published. */
#include "storage/marks_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/clock.h"
#include "appliance/base/digest.h"
#include "appliance/base/killpoint.h"

/* There is room. */
static void insert_at(struct marks *marks, size_t at, const struct mark *mark)
{
	memmove(&marks->all[at + 1], &marks->all[at], (marks->count - at) * sizeof(*marks->all));
	marks->all[at] = *mark;
	marks->count++;
}

static void remove_at(struct marks *marks, size_t at)
{
	mark_work_free(marks->all[at].work);
	memmove(&marks->all[at], &marks->all[at + 1], (marks->count - at - 1) * sizeof(*marks->all));
	marks->count--;
}

static struct mark *find_hash(struct marks *marks, int32_t day, const uint8_t hash[MARK_HASH_SIZE])
{
	size_t end;

	for (size_t i = marks_of_day(marks, day, &end); i < end; i++)
		if (memcmp(marks->all[i].brief.hash, hash, MARK_HASH_SIZE) == 0)
			return &marks->all[i];
	return NULL;
}

void marks_correct(const struct read *read, const uint8_t text[READ_TEXT_SIZE], const uint8_t key[READ_TEXT_SIZE],
		   struct read *ret_corrected)
{
	struct read corrected = *read;

	memcpy(corrected.text, text, READ_TEXT_SIZE);
	memcpy(corrected.key, key, READ_TEXT_SIZE);
	corrected.flags = (uint16_t)((corrected.flags & ~READ_FLAG_UNMATCHED) | READ_FLAG_AMENDED);
	corrected.zero[0]++;
	*ret_corrected = corrected;
}

static int work_new(const struct mark_order *order, struct mark_work **ret_work)
{
	struct mark_work *work = calloc(1, sizeof(*work));

	if (work == NULL)
		return -ENOMEM;
	work->readable = true;
	work->read = *order->read;
	if (order->kind == MARK_AMENDED)
		marks_correct(order->read, order->text, order->key, &work->corrected);
	*ret_work = work;
	return 0;
}
/* Key, record, image. `place` is where the image has it: a restriction that is replaced, or `at` a new place. */
static int mark_store(struct marks *marks, struct mark *mark, struct mark *place, size_t at, uint32_t who_uid,
		      struct err *err)
{
	int result;

	if (mark->work != NULL) {
		struct key_change make = {.id = mark_work_key(mark)};

		result = keyring_change(marks->keyring, &make, 1);
		if (result < 0)
			return err_set(err, result, "keyring: %s; nothing was changed", strerror(-result));
		killpoint("mark.keyed");
	}
	/* When this fails the key stays: a power cut may show that the record was written. marks_load knows. */
	result = mark_record_write(marks, mark, who_uid, err);
	if (result < 0)
		return result;
	if (place != NULL)
		*place = *mark;
	else
		insert_at(marks, at, mark);
	mark->work = NULL; /* the image's */
	result = marks_publish(marks);
	return result < 0
		       ? err_set(err, result, "out of memory: the mark is durable and takes effect with the next one")
		       : 0;
}

/* 0 when the mark can be made: then *ret_brief, and the restriction that it replaces, if any, in *ret_place. */
static int judge_locked(struct marks *marks, const struct mark_order *order, struct err *err,
			struct mark_brief *ret_brief, struct mark **ret_place)
{
	int result = marks->reg == NULL ? -ENOKEY : marks_keys_ready(marks);
	struct mark_brief brief;
	struct mark *place;

	if (result == 0)
		result = marks_room_make(marks);
	if (result < 0)
		return err_set(err, result, "marks: %s", strerror(-result));
	brief = (struct mark_brief){.day = read_day(order->read->capture_us),
				    .tag = mark_tag(&marks->keys, order->read),
				    .kind = (uint8_t)order->kind};
	mark_hash(&marks->keys, order->read, brief.hash);
	memcpy(brief.public_id, order->public_id, MARK_ID_SIZE);
	if (keyring_day_destroyed(marks->keyring, brief.day))
		return err_set(err, -ESTALE, "the reads of that day are purged");
	place = find_hash(marks, brief.day, brief.hash);
	if (place != NULL && place->brief.kind != MARK_RESTRICTED)
		return MARKS_ALREADY;
	if (place != NULL && order->kind != MARK_ERASED)
		return order->kind == MARK_RESTRICTED ? MARKS_ALREADY : MARKS_RESTRICTED;
	if (order->kind == MARK_AMENDED && order->read->zero[0] == MARKS_AMENDMENTS_MAX)
		return MARKS_WORN_OUT;
	*ret_brief = brief;
	*ret_place = place;
	return 0;
}

static int make_locked(struct marks *marks, const struct mark_order *order, struct err *err)
{
	struct mark mark = {.made_us = clock_wall_us()};
	struct mark *place;
	size_t first, at;
	int result = judge_locked(marks, order, err, &mark.brief, &place);

	if (result != 0)
		return result;
	first = marks_of_day(marks, mark.brief.day, &at);
	if (place != NULL)
		mark.number = place->number;
	else if (at > first)
		mark.number = marks->all[at - 1].number + 1;
	if (order->kind != MARK_RESTRICTED) {
		random_bytes(&mark.key, sizeof(mark.key));
		result = work_new(order, &mark.work);
		if (result < 0)
			return err_set(err, result, "out of memory");
	}
	result = mark_store(marks, &mark, place, at, order->who_uid, err);
	mark_work_free(mark.work);
	return result;
}

int marks_make(struct marks *marks, const struct mark_order *order, struct err *err)
{
	int result;

	(void)pthread_mutex_lock(&marks->change);
	result = make_locked(marks, order, err);
	(void)pthread_mutex_unlock(&marks->change);
	return result;
}

int marks_judge(struct marks *marks, const struct mark_order *order, struct err *err)
{
	struct mark_brief brief;
	struct mark *place;
	int result;

	(void)pthread_mutex_lock(&marks->change);
	result = judge_locked(marks, order, err, &brief, &place);
	(void)pthread_mutex_unlock(&marks->change);
	return result;
}

static int lift_locked(struct marks *marks, const struct read *read, uint32_t who_uid, struct err *err)
{
	uint8_t hash[MARK_HASH_SIZE];
	struct reg_change change = {.kind = REG_MARK, .a = (uint32_t)read_day(read->capture_us)};
	struct mark *mark;
	int result = marks->reg == NULL ? -ENOKEY : marks_keys_ready(marks);

	if (result < 0)
		return err_set(err, result, "marks: %s", strerror(-result));
	mark_hash(&marks->keys, read, hash);
	mark = find_hash(marks, read_day(read->capture_us), hash);
	if (mark == NULL || mark->brief.kind != MARK_RESTRICTED)
		return MARKS_ALREADY;
	change.b = mark->number;
	result = reg_change(marks->reg, &change, 1, who_uid, MARK_REASON, err);
	if (result < 0)
		return result;
	remove_at(marks, (size_t)(mark - marks->all));
	result = marks_publish(marks);
	return result < 0 ? err_set(err, result, "out of memory: it is lifted, and takes effect with the next change")
			  : 0;
}

int marks_lift(struct marks *marks, const struct read *read, uint32_t who_uid, struct err *err)
{
	int result;

	(void)pthread_mutex_lock(&marks->change);
	result = lift_locked(marks, read, who_uid, err);
	(void)pthread_mutex_unlock(&marks->change);
	return result;
}
