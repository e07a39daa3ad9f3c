/*
 * The register's records are the truth, `marks->all` their image, the set what is published of it. A change goes to
 * keyring and register first and to image and set afterwards, all under `change`; when the set cannot be made for want
 * of memory the image already has the change, and a later one publishes both: the caller is told that it failed.
 */
#include "storage/marks.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/aead.h"
#include "appliance/base/bytes.h"
#include "appliance/base/clock.h"
#include "appliance/base/digest.h"
#include "appliance/base/killpoint.h"
#include "storage/cursor.h"
#include "storage/keyring.h"
#include "storage/register.h"

#define WORK_VERSION 1

/* What the removal needs of a pending mark. */
struct work {
	bool readable;
	bool removed; /* lies in no segment; its correction waits for one */
	int64_t until_ns;
	struct read read;
	struct read corrected;
	unsigned hit_count;
	struct hit hits[MARKS_HITS_MAX];
};

struct mark {
	struct mark_brief brief;
	uint32_t number;
	int64_t made_us;
	uint64_t key;
	struct work *work; /* NULL: not pending */
};

struct marks {
	pthread_mutex_t change;
	struct reg *reg; /* NULL: not loaded */
	struct keyring *keyring;
	struct mark_keys keys;
	bool keyed;
	bool keys_owed;   /* the keyring still has keys of marks that are done */
	struct mark *all; /* ascending by day, number */
	size_t count;
	size_t room;

	pthread_mutex_t set_lock;
	struct mark_set *set;
};

static void work_free(struct work *work)
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
		work_free(marks->all[i].work);
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

/* ---- change mutex held from here on, but for what is public */

static int publish(struct marks *marks)
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

/* The first mark of that day or a later one. */
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

static int room_make(struct marks *marks)
{
	size_t room = marks->room * 2 + 64;
	struct mark *all;

	if (marks->count < marks->room)
		return 0;
	all = realloc(marks->all, room * sizeof(*all));
	if (all == NULL)
		return -ENOMEM;
	marks->all = all;
	marks->room = room;
	return 0;
}

/* There is room. */
static void insert_at(struct marks *marks, size_t at, const struct mark *mark)
{
	memmove(&marks->all[at + 1], &marks->all[at], (marks->count - at) * sizeof(*marks->all));
	marks->all[at] = *mark;
	marks->count++;
}

static void remove_at(struct marks *marks, size_t at)
{
	work_free(marks->all[at].work);
	memmove(&marks->all[at], &marks->all[at + 1], (marks->count - at - 1) * sizeof(*marks->all));
	marks->count--;
}

static struct mark *find_hash(struct marks *marks, int32_t day, const uint8_t hash[MARK_HASH_SIZE])
{
	for (size_t i = day_begin(marks, day); i < marks->count && marks->all[i].brief.day == day; i++)
		if (memcmp(marks->all[i].brief.hash, hash, MARK_HASH_SIZE) == 0)
			return &marks->all[i];
	return NULL;
}

static int keys_ready(struct marks *marks)
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

/* ---- records */

static struct key_id work_key(const struct mark *mark)
{
	return (struct key_id){.id = mark->key, .day = mark->brief.day, .kind = KEY_MARK};
}

/* A key seals one work, ever: the nonce is zero. */
static const uint8_t work_nonce[AEAD_NONCE_SIZE];

static void work_bind(const struct mark *mark, uint8_t ret_aad[8])
{
	le32_put(ret_aad, (uint32_t)mark->brief.day);
	le32_put(ret_aad + 4, mark->number);
}

static size_t work_encode(const struct mark *mark, uint8_t bytes[REG_MARK_SEALED_MAX])
{
	const struct work *work = mark->work;
	struct cursor cursor = cursor_over(bytes, REG_MARK_SEALED_MAX - AEAD_TAG_SIZE);

	cursor_put_u8(&cursor, WORK_VERSION);
	cursor_put_u8(&cursor, (uint8_t)work->hit_count);
	cursor_put_bytes(&cursor, &work->read, sizeof(work->read));
	cursor_put_bytes(&cursor, &work->corrected, sizeof(work->corrected));
	cursor_put_bytes(&cursor, work->hits, work->hit_count * sizeof(struct hit));
	assert(!cursor.bad);
	return (size_t)(cursor.at - bytes);
}

static int work_decode(const uint8_t *bytes, size_t size, struct work *ret_work)
{
	struct cursor cursor = cursor_over(bytes, size);
	struct work work = {.readable = true};

	if (cursor_get_u8(&cursor) != WORK_VERSION)
		return -EBADMSG;
	work.hit_count = cursor_get_u8(&cursor);
	if (work.hit_count > MARKS_HITS_MAX)
		return -EBADMSG;
	cursor_get_bytes(&cursor, &work.read, sizeof(work.read));
	cursor_get_bytes(&cursor, &work.corrected, sizeof(work.corrected));
	cursor_get_bytes(&cursor, work.hits, work.hit_count * sizeof(struct hit));
	if (!cursor_done(&cursor))
		return -EBADMSG;
	*ret_work = work;
	bytes_wipe(&work, sizeof(work));
	return 0;
}

/* The mark's record; its work is sealed under KEY_MARK, which is in the keyring. */
static int record_make(struct marks *marks, const struct mark *mark, struct reg_mark *ret_record)
{
	struct reg_mark record = {.day = mark->brief.day,
				  .number = mark->number,
				  .kind = mark->brief.kind,
				  .pending = mark->work != NULL,
				  .made_us = mark->made_us,
				  .tag = mark->brief.tag,
				  .key = mark->key};
	uint8_t key_bytes[KEY_SIZE];
	struct aead_key key;
	uint8_t aad[8];
	size_t size;
	int result;

	memcpy(record.hash, mark->brief.hash, sizeof(record.hash));
	memcpy(record.public_id, mark->brief.public_id, sizeof(record.public_id));
	if (mark->work != NULL) {
		result = keyring_get(marks->keyring, work_key(mark), key_bytes);
		if (result < 0)
			return result;
		work_bind(mark, aad);
		size = work_encode(mark, record.sealed);
		aead_key_init(&key, key_bytes);
		aead_seal(&key, work_nonce, aad, sizeof(aad), record.sealed, size, record.sealed, record.sealed + size);
		aead_key_fini(&key);
		bytes_wipe(key_bytes, sizeof(key_bytes));
		record.sealed_size = (uint16_t)(size + AEAD_TAG_SIZE);
	}
	*ret_record = record;
	return 0;
}

static int work_open(struct marks *marks, const struct mark *mark, const struct reg_mark *record, struct work *ret_work)
{
	uint8_t bytes[REG_MARK_SEALED_MAX];
	uint8_t key_bytes[KEY_SIZE];
	struct aead_key key;
	uint8_t aad[8];
	size_t size;
	int result;

	if (record->sealed_size < AEAD_TAG_SIZE)
		return -EBADMSG;
	result = keyring_get(marks->keyring, work_key(mark), key_bytes);
	if (result < 0)
		return result;
	size = record->sealed_size - AEAD_TAG_SIZE;
	work_bind(mark, aad);
	aead_key_init(&key, key_bytes);
	result = aead_open(&key, work_nonce, aad, sizeof(aad), record->sealed, size, bytes, record->sealed + size);
	aead_key_fini(&key);
	bytes_wipe(key_bytes, sizeof(key_bytes));
	if (result == 0)
		result = work_decode(bytes, size, ret_work);
	bytes_wipe(bytes, sizeof(bytes));
	return result;
}

/* ---- loading */

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
	if (loading->dead_count > 0 && loading->dead[loading->dead_count - 1] == day)
		return 0;
	if (loading->dead_count == loading->dead_room) {
		size_t room = loading->dead_room * 2 + 16;
		int32_t *dead = realloc(loading->dead, room * sizeof(*dead));

		if (dead == NULL)
			return -ENOMEM;
		loading->dead = dead;
		loading->dead_room = room;
	}
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
	if ((result = room_make(marks)) < 0)
		return result;
	if (keyring_day_destroyed(loading->keyring, record.day)) {
		result = dead_add(loading, record.day);
		if (result < 0)
			return result;
	} else if (record.pending) {
		mark.work = calloc(1, sizeof(*mark.work));
		if (mark.work == NULL)
			return -ENOMEM;
		loading->unreadable += work_open(marks, &mark, &record, mark.work) < 0;
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
	struct marks *marks = orphans->marks;

	for (size_t i = day_begin(marks, id.day); i < marks->count && marks->all[i].brief.day == id.day; i++)
		if (marks->all[i].work != NULL && marks->all[i].key == id.id)
			return 0;
	if (orphans->count == orphans->room) {
		size_t room = orphans->room * 2 + 16;
		struct key_change *changes = realloc(orphans->changes, room * sizeof(*changes));

		if (changes == NULL)
			return -ENOMEM;
		orphans->changes = changes;
		orphans->room = room;
	}
	orphans->changes[orphans->count++] = (struct key_change){.id = id, .destroy = true};
	return 0;
}

static int orphans_destroy(struct marks *marks)
{
	struct orphans orphans = {.marks = marks};
	int result = keyring_each(marks->keyring, KEY_MARK, orphan_judge, &orphans);

	if (result == 0 && orphans.count > 0)
		result = keyring_change(marks->keyring, orphans.changes, orphans.count);
	free(orphans.changes);
	return result;
}

/* The keys of marks that are done. Not before their records say so. */
static int settle(struct marks *marks)
{
	int result = marks->keys_owed ? orphans_destroy(marks) : 0;

	if (result == 0)
		marks->keys_owed = false;
	return result;
}

/* Deletes the records of the day from the register, then its marks from the image. */
static int forget_day(struct marks *marks, int32_t day, struct err *err)
{
	size_t first = day_begin(marks, day);
	size_t count = 0;
	int result = 0;

	while (first + count < marks->count && marks->all[first + count].brief.day == day)
		count++;
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
	for (size_t i = 0; i < count; i++)
		work_free(marks->all[first + i].work);
	if (count > 0)
		memmove(&marks->all[first], &marks->all[first + count],
			(marks->count - first - count) * sizeof(*marks->all));
	marks->count -= count;
	return 0;
}

static int load_all(struct marks *marks, struct loading *loading, struct err *err)
{
	int result = reg_each(marks->reg, REG_MARK, 0, UINT32_MAX, load_record, loading);

	if (result < 0)
		return err_set(err, result, "the register's marks: %s", strerror(-result));
	for (size_t i = 0; result == 0 && i < loading->dead_count; i++)
		result = forget_day(marks, loading->dead[i], err);
	if (result < 0)
		return result;
	if (marks->count > 0 && (result = keys_ready(marks)) < 0)
		return err_set(err, result,
			       "reads were erased or restricted, but the key of identities is not in the keyring to "
			       "know them by: restore the keyring");
	result = orphans_destroy(marks);
	if (result == 0)
		result = publish(marks);
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

/* ---- making and lifting */

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

static int work_new(const struct mark_order *order, struct work **ret_work)
{
	struct work *work = calloc(1, sizeof(*work));

	if (work == NULL)
		return -ENOMEM;
	work->readable = true;
	work->read = *order->read;
	if (order->kind == MARK_AMENDED) {
		marks_correct(order->read, order->text, order->key, &work->corrected);
		work->hit_count = order->hit_count < MARKS_HITS_MAX ? (unsigned)order->hit_count : MARKS_HITS_MAX;
		if (work->hit_count > 0)
			memcpy(work->hits, order->hits, work->hit_count * sizeof(struct hit));
	}
	*ret_work = work;
	return 0;
}

/* Who and why stand in the audit log; here a reason in words might name the read for longer than its day. */
static const char mark_reason[] = "see the audit log";

static int record_write(struct marks *marks, const struct mark *mark, uint32_t who_uid, struct err *err)
{
	uint8_t buffer[REG_RECORD_SIZE_MAX];
	struct reg_mark record;
	struct reg_change change;
	int result = record_make(marks, mark, &record);

	if (result < 0)
		return err_set(err, result, "the mark's key: %s", strerror(-result));
	change = reg_mark_put(&record, buffer);
	return reg_change(marks->reg, &change, 1, who_uid, mark_reason, err);
}

/* Key, record, image. `place` is where the image has it: a restriction that is replaced, or `at` a new place. */
static int mark_store(struct marks *marks, struct mark *mark, struct mark *place, size_t at, uint32_t who_uid,
		      struct err *err)
{
	int result;

	if (mark->work != NULL) {
		struct key_change make = {.id = work_key(mark)};

		result = keyring_change(marks->keyring, &make, 1);
		if (result < 0)
			return err_set(err, result, "keyring: %s; nothing was changed", strerror(-result));
		killpoint("mark.keyed");
	}
	/* When this fails the key stays: a power cut may show that the record was written. marks_load knows. */
	result = record_write(marks, mark, who_uid, err);
	if (result < 0)
		return result;
	if (place != NULL)
		*place = *mark;
	else
		insert_at(marks, at, mark);
	mark->work = NULL; /* the image's */
	result = publish(marks);
	return result < 0
		       ? err_set(err, result, "out of memory: the mark is durable and takes effect with the next one")
		       : 0;
}

/* 0 when the mark can be made: then *ret_brief, and the restriction that it replaces, if any, in *ret_place. */
static int judge_locked(struct marks *marks, const struct mark_order *order, struct err *err,
			struct mark_brief *ret_brief, struct mark **ret_place)
{
	int result = marks->reg == NULL ? -ENOKEY : keys_ready(marks);
	struct mark_brief brief;
	struct mark *place;

	if (result == 0)
		result = room_make(marks);
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
	size_t at;
	int result = judge_locked(marks, order, err, &mark.brief, &place);

	if (result != 0)
		return result;
	at = day_begin(marks, mark.brief.day + 1);
	if (place != NULL)
		mark.number = place->number;
	else if (at > 0 && marks->all[at - 1].brief.day == mark.brief.day)
		mark.number = marks->all[at - 1].number + 1;
	if (order->kind != MARK_RESTRICTED) {
		random_bytes(&mark.key, sizeof(mark.key));
		result = work_new(order, &mark.work);
		if (result < 0)
			return err_set(err, result, "out of memory");
	}
	result = mark_store(marks, &mark, place, at, order->who_uid, err);
	work_free(mark.work);
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
	int result = marks->reg == NULL ? -ENOKEY : keys_ready(marks);

	if (result < 0)
		return err_set(err, result, "marks: %s", strerror(-result));
	mark_hash(&marks->keys, read, hash);
	mark = find_hash(marks, read_day(read->capture_us), hash);
	if (mark == NULL || mark->brief.kind != MARK_RESTRICTED)
		return MARKS_ALREADY;
	change.b = mark->number;
	result = reg_change(marks->reg, &change, 1, who_uid, mark_reason, err);
	if (result < 0)
		return result;
	remove_at(marks, (size_t)(mark - marks->all));
	result = publish(marks);
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

bool marks_made(struct marks *marks, int32_t day, const uint8_t public_id[MARK_ID_SIZE], enum mark_kind kind)
{
	bool made = false;

	(void)pthread_mutex_lock(&marks->change);
	for (size_t i = day_begin(marks, day); i < marks->count && marks->all[i].brief.day == day; i++)
		made = made || (marks->all[i].brief.kind == kind &&
				memcmp(marks->all[i].brief.public_id, public_id, MARK_ID_SIZE) == 0);
	(void)pthread_mutex_unlock(&marks->change);
	return made;
}

static uint64_t stamp_locked(const struct marks *marks, int32_t day)
{
	uint64_t stamp = 0;

	for (size_t i = day_begin(marks, day); i < marks->count && marks->all[i].brief.day == day; i++)
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
		result = forget_day(marks, day, err);
	if (result == 0) {
		result = publish(marks);
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

/* ---- the removal's side */

int marks_due(struct marks *marks, int64_t until_us, int32_t **ret_days, size_t *ret_count)
{
	int64_t now_ns = until_us == INT64_MAX ? INT64_MAX : clock_mono_ns();
	size_t count = 0;
	int32_t *days;

	(void)pthread_mutex_lock(&marks->change);
	(void)settle(marks); /* what failed before; if it fails again it is tried again */
	days = calloc(marks->count + 1, sizeof(*days));
	for (size_t i = 0; days != NULL && i < marks->count; i++) {
		const struct mark *mark = &marks->all[i];

		if (mark->work != NULL && mark->made_us <= until_us && mark->work->until_ns <= now_ns &&
		    (count == 0 || days[count - 1] != mark->brief.day))
			days[count++] = mark->brief.day;
	}
	(void)pthread_mutex_unlock(&marks->change);
	if (days == NULL)
		return -ENOMEM;
	*ret_days = days;
	*ret_count = count;
	return 0;
}

static void todo_of(const struct mark *mark, struct mark_todo *ret_todo)
{
	*ret_todo = (struct mark_todo){.number = mark->number,
				       .kind = mark->brief.kind,
				       .made_us = mark->made_us,
				       .removed = mark->work->removed,
				       .until_ns = mark->work->until_ns,
				       .readable = mark->work->readable,
				       .read = mark->work->read,
				       .corrected = mark->work->corrected,
				       .hit_count = mark->work->hit_count};
	memcpy(ret_todo->hits, mark->work->hits, sizeof(ret_todo->hits));
}

int marks_pending(struct marks *marks, int32_t day, struct mark_todo **ret_todos, size_t *ret_count)
{
	struct mark_todo *todos;
	size_t count = 0;
	size_t first;

	(void)pthread_mutex_lock(&marks->change);
	first = day_begin(marks, day);
	for (size_t i = first; i < marks->count && marks->all[i].brief.day == day; i++)
		count += marks->all[i].work != NULL;
	todos = calloc(count + 1, sizeof(*todos));
	count = 0;
	for (size_t i = first; todos != NULL && i < marks->count && marks->all[i].brief.day == day; i++)
		if (marks->all[i].work != NULL)
			todo_of(&marks->all[i], &todos[count++]);
	(void)pthread_mutex_unlock(&marks->change);
	if (todos == NULL)
		return -ENOMEM;
	*ret_todos = todos;
	*ret_count = count;
	return 0;
}

static struct mark *find_todo(struct marks *marks, int32_t day, const struct mark_todo *todo)
{
	for (size_t i = day_begin(marks, day); i < marks->count && marks->all[i].brief.day == day; i++)
		if (marks->all[i].number == todo->number && marks->all[i].work != NULL)
			return &marks->all[i];
	return NULL;
}

/* Durable: nothing is sealed under the mark's key any more. */
static int done_note(struct marks *marks, struct mark *mark, struct err *err)
{
	struct mark done = *mark;
	int result;

	done.work = NULL;
	done.key = 0;
	result = record_write(marks, &done, 0, err);
	if (result < 0)
		return result;
	work_free(mark->work);
	*mark = done;
	return 0;
}

static int done_locked(struct marks *marks, int32_t day, const struct mark_todo *todos, size_t count, struct err *err)
{
	int result = 0;
	int settled;

	for (size_t i = 0; result == 0 && i < count; i++) {
		struct mark *mark = find_todo(marks, day, &todos[i]);

		if (mark != NULL) /* else its day has been purged meanwhile */
			result = done_note(marks, mark, err);
		marks->keys_owed = marks->keys_owed || (mark != NULL && result == 0);
	}
	killpoint("mark.noted");
	settled = publish(marks);
	if (settled == 0)
		settled = settle(marks);
	return result == 0 && settled < 0 ? err_set(err, settled, "marks that are done: %s", strerror(-settled))
					  : result;
}

int marks_done(struct marks *marks, int32_t day, const struct mark_todo *todos, size_t count, struct err *err)
{
	int result;

	(void)pthread_mutex_lock(&marks->change);
	result = done_locked(marks, day, todos, count, err);
	(void)pthread_mutex_unlock(&marks->change);
	return result;
}

void marks_removed(struct marks *marks, int32_t day, const struct mark_todo *todos, size_t count)
{
	(void)pthread_mutex_lock(&marks->change);
	for (size_t i = 0; i < count; i++) {
		struct mark *mark = find_todo(marks, day, &todos[i]);

		if (mark != NULL)
			mark->work->removed = true;
	}
	(void)pthread_mutex_unlock(&marks->change);
}

void marks_put_off(struct marks *marks, int32_t day, const struct mark_todo *todos, size_t count, int64_t until_ns)
{
	(void)pthread_mutex_lock(&marks->change);
	for (size_t i = 0; i < count; i++) {
		struct mark *mark = find_todo(marks, day, &todos[i]);

		if (mark != NULL)
			mark->work->until_ns = until_ns;
	}
	(void)pthread_mutex_unlock(&marks->change);
}
