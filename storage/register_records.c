#include "storage/register_records.h"

#include <assert.h>
#include <errno.h>

#include "storage/register_cursor.h"

#define LIST_RECORD_VERSION 3
#define LIST_RECORD_SURE 2 /* the same, but every revision was by a trusted clock */

size_t reg_feed_encode(const struct reg_feed *feed, uint8_t buffer[REG_RECORD_SIZE_MAX])
{
	struct cursor cursor = reg_record_begin(buffer, REG_RECORD_VERSION);

	assert(feed->state < REG_FEED_STATE_COUNT);
	cursor_put_u32(&cursor, feed->feed);
	cursor_put_u8(&cursor, feed->state);
	cursor_put_u8(&cursor, feed->all_cameras);
	cursor_put_u8(&cursor, feed->has_key_next);
	cursor_put_u64(&cursor, (uint64_t)feed->created_us);
	cursor_put_bytes(&cursor, feed->key, sizeof(feed->key));
	cursor_put_bytes(&cursor, feed->key_next, sizeof(feed->key_next));
	cursor_put_text(&cursor, feed->name);
	cursor_put_text(&cursor, feed->organisation);
	return reg_record_end(&cursor, buffer);
}

int reg_feed_decode(const void *bytes, size_t size, struct reg_feed *ret_feed)
{
	struct cursor cursor = reg_record_read(bytes, size);
	struct reg_feed feed = {0};

	feed.feed = cursor_get_u32(&cursor);
	feed.state = reg_get_below(&cursor, REG_FEED_STATE_COUNT);
	feed.all_cameras = reg_get_flag(&cursor);
	feed.has_key_next = reg_get_flag(&cursor);
	feed.created_us = (int64_t)cursor_get_u64(&cursor);
	cursor_get_bytes(&cursor, feed.key, sizeof(feed.key));
	cursor_get_bytes(&cursor, feed.key_next, sizeof(feed.key_next));
	cursor_get_text(&cursor, feed.name, sizeof(feed.name));
	cursor_get_text(&cursor, feed.organisation, sizeof(feed.organisation));
	if (cursor_done(&cursor))
		*ret_feed = feed;
	bytes_wipe(&feed, sizeof(feed));
	return cursor_done(&cursor) ? 0 : -EBADMSG;
}

size_t reg_camera_encode(const struct reg_camera *camera, uint8_t buffer[REG_RECORD_SIZE_MAX])
{
	struct cursor cursor = reg_record_begin(buffer, REG_RECORD_VERSION);

	assert(camera->type < REG_CAMERA_TYPE_COUNT);
	cursor_put_u32(&cursor, camera->camera);
	cursor_put_u32(&cursor, (uint32_t)camera->lat_e7);
	cursor_put_u32(&cursor, (uint32_t)camera->lon_e7);
	cursor_put_u8(&cursor, camera->type);
	cursor_put_u8(&cursor, camera->restricted);
	cursor_put_u8(&cursor, camera->suspended);
	cursor_put_u64(&cursor, (uint64_t)camera->suspended_us);
	cursor_put_u64(&cursor, (uint64_t)camera->created_us);
	cursor_put_text(&cursor, camera->name);
	cursor_put_text(&cursor, camera->organisation);
	cursor_put_text(&cursor, camera->suspended_reason);
	cursor_put_text(&cursor, camera->road);
	cursor_put_text(&cursor, camera->direction);
	return reg_record_end(&cursor, buffer);
}

int reg_camera_decode(const void *bytes, size_t size, struct reg_camera *ret_camera)
{
	struct cursor cursor = reg_record_read(bytes, size);
	struct reg_camera camera = {0};

	camera.camera = cursor_get_u32(&cursor);
	camera.lat_e7 = (int32_t)cursor_get_u32(&cursor);
	camera.lon_e7 = (int32_t)cursor_get_u32(&cursor);
	camera.type = reg_get_below(&cursor, REG_CAMERA_TYPE_COUNT);
	camera.restricted = reg_get_flag(&cursor);
	camera.suspended = reg_get_flag(&cursor);
	camera.suspended_us = (int64_t)cursor_get_u64(&cursor);
	camera.created_us = (int64_t)cursor_get_u64(&cursor);
	cursor_get_text(&cursor, camera.name, sizeof(camera.name));
	cursor_get_text(&cursor, camera.organisation, sizeof(camera.organisation));
	cursor_get_text(&cursor, camera.suspended_reason, sizeof(camera.suspended_reason));
	cursor_get_text(&cursor, camera.road, sizeof(camera.road));
	cursor_get_text(&cursor, camera.direction, sizeof(camera.direction));
	if (!cursor_done(&cursor))
		return -EBADMSG;
	*ret_camera = camera;
	return 0;
}

size_t reg_binding_encode(const struct reg_binding *binding, uint8_t buffer[REG_RECORD_SIZE_MAX])
{
	struct cursor cursor = reg_record_begin(buffer, REG_RECORD_VERSION);

	cursor_put_u32(&cursor, binding->feed);
	cursor_put_u32(&cursor, binding->camera);
	cursor_put_u64(&cursor, (uint64_t)binding->since_us);
	return reg_record_end(&cursor, buffer);
}

int reg_binding_decode(const void *bytes, size_t size, struct reg_binding *ret_binding)
{
	struct cursor cursor = reg_record_read(bytes, size);
	struct reg_binding binding = {0};

	binding.feed = cursor_get_u32(&cursor);
	binding.camera = cursor_get_u32(&cursor);
	binding.since_us = (int64_t)cursor_get_u64(&cursor);
	if (!cursor_done(&cursor))
		return -EBADMSG;
	*ret_binding = binding;
	return 0;
}

static void put_version(struct cursor *cursor, const struct reg_list_version *version)
{
	cursor_put_u32(cursor, version->version);
	cursor_put_u32(cursor, version->generation);
	cursor_put_u64(cursor, (uint64_t)version->created_us);
	cursor_put_u64(cursor, (uint64_t)version->revised_us);
	cursor_put_u64(cursor, version->entry_count);
	cursor_put_bytes(cursor, version->hash, sizeof(version->hash));
	cursor_put_bytes(cursor, version->blob, sizeof(version->blob));
	cursor_put_u64(cursor, version->blob_size);
	cursor_put_u8(cursor, version->revised_unsure);
}

static void get_version(struct cursor *cursor, uint8_t format, struct reg_list_version *version)
{
	version->version = cursor_get_u32(cursor);
	version->generation = cursor_get_u32(cursor);
	version->created_us = (int64_t)cursor_get_u64(cursor);
	version->revised_us = (int64_t)cursor_get_u64(cursor);
	version->entry_count = cursor_get_u64(cursor);
	cursor_get_bytes(cursor, version->hash, sizeof(version->hash));
	cursor_get_bytes(cursor, version->blob, sizeof(version->blob));
	version->blob_size = cursor_get_u64(cursor);
	version->revised_unsure = format != LIST_RECORD_SURE && reg_get_flag(cursor);
}

size_t reg_list_encode(const struct reg_list *list, uint8_t buffer[REG_RECORD_SIZE_MAX])
{
	struct cursor cursor = reg_record_begin(buffer, LIST_RECORD_VERSION);

	assert(list->list_class < REG_LIST_CLASS_COUNT);
	cursor_put_u32(&cursor, list->list);
	cursor_put_u8(&cursor, list->list_class);
	cursor_put_u8(&cursor, list->priority);
	cursor_put_u8(&cursor, list->removed);
	cursor_put_u8(&cursor, list->has_previous);
	put_version(&cursor, &list->now);
	if (list->has_previous)
		put_version(&cursor, &list->previous);
	cursor_put_text(&cursor, list->name);
	cursor_put_text(&cursor, list->owner);
	cursor_put_text(&cursor, list->purpose);
	return reg_record_end(&cursor, buffer);
}

/* Of version 1: one version of the content, without generation and revision. */
static void get_list_1(struct cursor *cursor, struct reg_list *list)
{
	list->list = cursor_get_u32(cursor);
	list->now.version = cursor_get_u32(cursor);
	list->list_class = reg_get_below(cursor, REG_LIST_CLASS_COUNT);
	list->priority = reg_get_below(cursor, 101);
	list->removed = reg_get_flag(cursor);
	list->now.created_us = list->now.revised_us = (int64_t)cursor_get_u64(cursor);
	list->now.entry_count = cursor_get_u64(cursor);
	cursor_get_bytes(cursor, list->now.hash, sizeof(list->now.hash));
	cursor_get_bytes(cursor, list->now.blob, sizeof(list->now.blob));
	list->now.blob_size = cursor_get_u64(cursor);
}

static void get_list(struct cursor *cursor, uint8_t format, struct reg_list *list)
{
	list->list = cursor_get_u32(cursor);
	list->list_class = reg_get_below(cursor, REG_LIST_CLASS_COUNT);
	list->priority = reg_get_below(cursor, 101);
	list->removed = reg_get_flag(cursor);
	list->has_previous = reg_get_flag(cursor);
	get_version(cursor, format, &list->now);
	if (list->has_previous)
		get_version(cursor, format, &list->previous);
}

int reg_list_decode(const void *bytes, size_t size, struct reg_list *ret_list)
{
	struct cursor cursor = cursor_over(bytes, size);
	uint8_t version = cursor_get_u8(&cursor);
	struct reg_list list = {0};

	if (version == LIST_RECORD_VERSION || version == LIST_RECORD_SURE)
		get_list(&cursor, version, &list);
	else if (version == REG_RECORD_VERSION)
		get_list_1(&cursor, &list);
	else
		cursor.bad = true;
	cursor_get_text(&cursor, list.name, sizeof(list.name));
	cursor_get_text(&cursor, list.owner, sizeof(list.owner));
	cursor_get_text(&cursor, list.purpose, sizeof(list.purpose));
	if (!cursor_done(&cursor))
		return -EBADMSG;
	*ret_list = list;
	return 0;
}

size_t reg_mark_encode(const struct reg_mark *mark, uint8_t buffer[REG_RECORD_SIZE_MAX])
{
	struct cursor cursor = reg_record_begin(buffer, REG_RECORD_VERSION);

	assert(mark->kind > MARK_NONE && mark->kind < MARK_KIND_END);
	assert(mark->day >= 0);
	assert(mark->pending || mark->sealed_size == 0);
	cursor_put_u32(&cursor, (uint32_t)mark->day);
	cursor_put_u32(&cursor, mark->number);
	cursor_put_u8(&cursor, mark->kind);
	cursor_put_u8(&cursor, mark->pending);
	cursor_put_u64(&cursor, (uint64_t)mark->made_us);
	cursor_put_u32(&cursor, mark->tag);
	cursor_put_bytes(&cursor, mark->hash, sizeof(mark->hash));
	cursor_put_bytes(&cursor, mark->public_id, sizeof(mark->public_id));
	cursor_put_u64(&cursor, mark->key);
	cursor_put_u16(&cursor, mark->sealed_size);
	cursor_put_bytes(&cursor, mark->sealed, mark->sealed_size);
	return reg_record_end(&cursor, buffer);
}

int reg_mark_decode(const void *bytes, size_t size, struct reg_mark *ret_mark)
{
	struct cursor cursor = reg_record_read(bytes, size);
	struct reg_mark mark = {0};
	uint32_t day = cursor_get_u32(&cursor);

	mark.day = (int32_t)day;
	mark.number = cursor_get_u32(&cursor);
	mark.kind = reg_get_below(&cursor, MARK_KIND_END);
	mark.pending = reg_get_flag(&cursor);
	mark.made_us = (int64_t)cursor_get_u64(&cursor);
	mark.tag = cursor_get_u32(&cursor);
	cursor_get_bytes(&cursor, mark.hash, sizeof(mark.hash));
	cursor_get_bytes(&cursor, mark.public_id, sizeof(mark.public_id));
	mark.key = cursor_get_u64(&cursor);
	mark.sealed_size = cursor_get_u16(&cursor);
	if (day > INT32_MAX || mark.kind == MARK_NONE || mark.sealed_size > sizeof(mark.sealed) ||
	    (!mark.pending && mark.sealed_size > 0))
		cursor.bad = true;
	else
		cursor_get_bytes(&cursor, mark.sealed, mark.sealed_size);
	if (!cursor_done(&cursor))
		return -EBADMSG;
	*ret_mark = mark;
	return 0;
}
