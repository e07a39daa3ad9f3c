/*
 * The register's records are the truth; batches say where a number lies, tags what was put. Both are made anew from the
 * records at load. What scans see (`batches`, `last`) changes only once the register has it.
 */
#include "storage/late_internal.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "appliance/base/array.h"
#include "appliance/base/bytes.h"
#include "appliance/base/digest.h"
#include "storage/cursor.h"
#include "storage/marks.h"

#define TAG_SIZE_MAX 80
#define BATCHES_AT_ONCE 64

int late_hits_new(struct late_hits **ret_late)
{
	struct late_hits *late = calloc(1, sizeof(*late));

	if (late == NULL)
		return -ENOMEM;
	(void)pthread_mutex_init(&late->change, NULL);
	(void)pthread_mutex_init(&late->lock, NULL);
	random_bytes(&late->seed, sizeof(late->seed));
	*ret_late = late;
	return 0;
}

struct late_hits *late_hits_free(struct late_hits *late)
{
	if (late == NULL)
		return NULL;
	for (size_t i = 0; i < late->day_count; i++)
		late_tags_fini(&late->days[i].tags);
	free(late->days);
	free(late->batches);
	(void)pthread_mutex_destroy(&late->lock);
	(void)pthread_mutex_destroy(&late->change);
	free(late);
	return NULL;
}

static size_t day_place(const struct late_hits *late, int32_t day)
{
	size_t low = 0;
	size_t high = late->day_count;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (late->days[middle].day < day)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

struct late_day *late_day_find(const struct late_hits *late, int32_t day)
{
	size_t at = day_place(late, day);

	return at < late->day_count && late->days[at].day == day ? &late->days[at] : NULL;
}

struct late_day *late_day_make(struct late_hits *late, int32_t day)
{
	size_t at = day_place(late, day);
	struct late_day *days;

	if (at < late->day_count && late->days[at].day == day)
		return &late->days[at];
	days = array_grow(late->days, late->day_count, &late->day_room, sizeof(*days));
	if (days == NULL)
		return NULL;
	late->days = days;
	memmove(&days[at + 1], &days[at], (late->day_count - at) * sizeof(*days));
	days[at] = (struct late_day){.day = day};
	late->day_count++;
	return &days[at];
}

int late_batches_reserve(struct late_hits *late, size_t more)
{
	size_t room = late->batch_room > 0 ? late->batch_room : 64;
	struct late_batch *grown;
	int result = 0;

	while (room < late->batch_count + more)
		room *= 2;
	if (room == late->batch_room)
		return 0;
	(void)pthread_mutex_lock(&late->lock);
	grown = realloc(late->batches, room * sizeof(*grown));
	if (grown != NULL) {
		late->batches = grown;
		late->batch_room = room;
	} else {
		result = -ENOMEM;
	}
	(void)pthread_mutex_unlock(&late->lock);
	return result;
}

/* What row_equal compares, how often it was amended, and the entry: of copies that came by other ways it is the same.
 */
struct late_tag late_tag_of(const struct late_hits *late, const struct late_hit *hit)
{
	const struct read *read = &hit->found.read;
	uint8_t bytes[TAG_SIZE_MAX];
	struct cursor cursor = cursor_over(bytes, sizeof(bytes));
	XXH128_hash_t hash;

	cursor_put_bytes(&cursor, read->key, READ_TEXT_SIZE);
	cursor_put_bytes(&cursor, read->text, READ_TEXT_SIZE);
	cursor_put_u64(&cursor, (uint64_t)read->capture_us);
	cursor_put_u32(&cursor, read->camera);
	cursor_put_u32(&cursor, (uint32_t)read->lat_e7);
	cursor_put_u32(&cursor, (uint32_t)read->lon_e7);
	cursor_put_u16(&cursor, read->country);
	cursor_put_u16(&cursor, read->flags & READ_FLAGS_SENDER);
	cursor_put_u8(&cursor, read->confidence);
	cursor_put_u8(&cursor, read->road_lane);
	cursor_put_u8(&cursor, read->direction);
	cursor_put_u8(&cursor, read->images);
	cursor_put_u8(&cursor, read->zero[0]);
	cursor_put_u32(&cursor, hit->found.hit.list);
	cursor_put_u32(&cursor, hit->generation);
	cursor_put_u32(&cursor, hit->found.hit.entry);
	assert(!cursor.bad);
	hash = XXH3_128bits_withSeed(bytes, (size_t)(cursor.at - bytes), late->seed);
	bytes_wipe(bytes, sizeof(bytes));
	return (struct late_tag){.low = hash.low64, .high = hash.high64 | 1};
}

uint64_t late_hits_highest(struct late_hits *late)
{
	uint64_t last;

	(void)pthread_mutex_lock(&late->lock);
	last = late->last;
	(void)pthread_mutex_unlock(&late->lock);
	return last == 0 ? 0 : hit_number(HIT_SOURCE_LATE, last);
}

void late_hits_info(struct late_hits *late, struct late_hits_info *ret_info)
{
	struct late_hits_info info = {0};

	(void)pthread_mutex_lock(&late->change);
	for (size_t i = 0; i < late->batch_count; i++)
		info.hits += late->batches[i].count;
	for (size_t i = 0; i < late->day_count; i++)
		info.days += late->days[i].tags.count > 0;
	(void)pthread_mutex_unlock(&late->change);
	*ret_info = info;
}

/* Up to BATCHES_AT_ONCE of those that hold a count above `after`, from the first on. */
static size_t batches_copy(struct late_hits *late, uint64_t after, struct late_batch ret_batches[BATCHES_AT_ONCE])
{
	size_t low = 0;
	size_t high;
	size_t count;

	(void)pthread_mutex_lock(&late->lock);
	high = late->batch_count;
	while (low < high) {
		size_t middle = (low + high) / 2;

		if (late->batches[middle].last <= after)
			low = middle + 1;
		else
			high = middle;
	}
	count = late->batch_count - low < BATCHES_AT_ONCE ? late->batch_count - low : BATCHES_AT_ONCE;
	if (count > 0)
		memcpy(ret_batches, &late->batches[low], count * sizeof(*ret_batches));
	(void)pthread_mutex_unlock(&late->lock);
	return count;
}

/* R39: it has no hits, or raises none; the latter are shown with `restricted`. */
static bool hidden(const struct mark_set *marks, const struct read *read, bool restricted)
{
	enum mark_kind mark = mark_find(mark_set_day(marks, read_day(read->capture_us)), read);

	return mark_drops(mark) || (mark == MARK_RESTRICTED && !restricted);
}

struct scanning {
	const struct mark_set *marks;
	uint64_t after; /* counts */
	uint64_t upto;
	size_t max;
	struct hit_found *found;
	size_t count;
};

static void scan_content(struct scanning *scanning, const struct late_content *content)
{
	for (size_t i = 0; i < content->count && scanning->count < scanning->max; i++) {
		const struct hit_found *found = &content->hits[i].found;
		uint64_t count = found->hit.number & HIT_COUNT_MASK;

		if (count <= scanning->after)
			continue;
		if (count > scanning->upto)
			return;
		scanning->after = count;
		if ((found->hit.flags & HIT_FLAG_REPEAT) == 0 && !hidden(scanning->marks, &found->read, false))
			scanning->found[scanning->count++] = *found;
	}
}

/* 0 go on; 1 done; < 0. */
static int scan_some(struct late_hits *late, struct scanning *scanning, struct late_content *content, struct err *err)
{
	struct late_batch batches[BATCHES_AT_ONCE];
	size_t count = batches_copy(late, scanning->after, batches);

	for (size_t i = 0; i < count && scanning->count < scanning->max; i++) {
		int result;

		if (batches[i].first > scanning->upto)
			return 1;
		result = late_batch_read(late, &batches[i], content);
		if (result == 0)
			scan_content(scanning, content);
		else if (result != -ENOENT && result != -EBADMSG) /* gone with its day; or told at the start */
			return err_set(err, result, "late hits: %s", strerror(-result));
		if (scanning->count < scanning->max)
			scanning->after = batches[i].last;
	}
	return count < BATCHES_AT_ONCE || scanning->count == scanning->max;
}

int late_hits_scan(struct late_hits *late, uint64_t after, uint64_t upto, size_t max, struct err *err,
		   struct hit_found *ret_found, size_t *ret_count)
{
	struct scanning scanning = {
		.after = after & HIT_COUNT_MASK, .upto = upto & HIT_COUNT_MASK, .max = max, .found = ret_found};
	struct late_content *content = malloc(sizeof(*content));
	struct mark_set *marks;
	int result = 0;

	if (content == NULL)
		return err_set(err, -ENOMEM, "out of memory");
	marks = late->marks != NULL ? marks_hold(late->marks) : NULL;
	scanning.marks = marks;
	while (result == 0 && max > 0)
		result = scan_some(late, &scanning, content, err);
	mark_set_release(marks);
	bytes_wipe(content, sizeof(*content));
	free(content);
	if (result < 0)
		return result;
	*ret_count = scanning.count;
	return 0;
}

int late_hits_find(struct late_hits *late, uint64_t number, struct err *err, struct hit_found *ret_found)
{
	struct hit_found found;
	size_t count;
	int result;

	if (hit_source(number) != HIT_SOURCE_LATE || (number & HIT_COUNT_MASK) == 0)
		return -ENOENT;
	result = late_hits_scan(late, number - 1, number, 1, err, &found, &count);
	if (result == 0 && count == 0)
		result = -ENOENT;
	if (result == 0)
		*ret_found = found;
	bytes_wipe(&found, sizeof(found));
	return result;
}

struct walking {
	const struct mark_set *marks;
	int64_t from_us;
	int64_t to_us;
	bool restricted;
	int (*each)(void *context, const struct hit_found *found);
	void *context;
	size_t unreadable;
};

static int walk_batch(struct late_hits *late, const struct late_batch *batch, struct walking *walking,
		      struct late_content *content)
{
	int result;

	if (batch->capture_last_us < walking->from_us || batch->capture_first_us >= walking->to_us)
		return 0;
	result = late_batch_read(late, batch, content);
	if (result < 0) {
		walking->unreadable += result != -ENOENT;
		return result == -ENOMEM ? result : 0;
	}
	for (size_t i = 0; result == 0 && i < content->count; i++) {
		const struct hit_found *found = &content->hits[i].found;

		if (found->read.capture_us >= walking->from_us && found->read.capture_us < walking->to_us &&
		    !hidden(walking->marks, &found->read, walking->restricted))
			result = walking->each(walking->context, found);
	}
	return result;
}

int late_hits_each(struct late_hits *late, int64_t from_us, int64_t to_us, bool restricted,
		   int (*each)(void *context, const struct hit_found *found), void *context, struct err *err,
		   size_t *ret_unreadable)
{
	struct walking walking = {
		.from_us = from_us, .to_us = to_us, .restricted = restricted, .each = each, .context = context};
	struct late_content *content = malloc(sizeof(*content));
	struct late_batch batches[BATCHES_AT_ONCE];
	struct mark_set *marks;
	uint64_t after = 0;
	size_t count;
	int result = 0;

	if (content == NULL)
		return err_set(err, -ENOMEM, "out of memory");
	marks = late->marks != NULL ? marks_hold(late->marks) : NULL;
	walking.marks = marks;
	while (result == 0 && (count = batches_copy(late, after, batches)) > 0) {
		for (size_t i = 0; result == 0 && i < count; i++)
			result = walk_batch(late, &batches[i], &walking, content);
		after = batches[count - 1].last;
	}
	mark_set_release(marks);
	bytes_wipe(content, sizeof(*content));
	free(content);
	if (result == 0)
		*ret_unreadable = walking.unreadable;
	return result;
}
