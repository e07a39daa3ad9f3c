#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/bytes.h"
#include "appliance/base/clock.h"
#include "appliance/camera_csv.h"
#include "appliance/change.h"
#include "appliance/gantry.h"
#include "appliance/handlers.h"
#include "mgmt/call.h"
#include "storage/store.h"

#define REPORTS_MAX 100

/* Encoded records of a load, each in its own place, because reg_change borrows them all at once. */
struct camera_batch {
	struct reg_change *changes;
	uint8_t (*buffers)[REG_RECORD_SIZE_MAX];
	size_t count;
	size_t space;
	size_t unchanged;
	size_t rejected;
	json_t *reports;
};

static int batch_grow(struct camera_batch *batch)
{
	size_t space = batch->space == 0 ? 1024 : batch->space * 2;
	void *changes = realloc(batch->changes, space * sizeof(batch->changes[0]));
	void *buffers;

	if (changes == NULL)
		return -ENOMEM;
	batch->changes = changes;
	buffers = realloc(batch->buffers, space * sizeof(batch->buffers[0]));
	if (buffers == NULL)
		return -ENOMEM;
	batch->buffers = buffers;
	batch->space = space;
	return 0;
}

static void batch_reject(struct camera_batch *batch, const struct camera_row *row)
{
	batch->rejected++;
	if (json_array_size(batch->reports) < REPORTS_MAX)
		(void)json_array_append_new(batch->reports, json_pack("{s:i,s:i,s:s}", "line", (int)row->line, "column",
								      (int)row->bad_column, "reason", row->bad));
}

/* What the file does not say of a camera that is known, stays: since when, and that it is suspended. */
static int batch_add(struct camera_batch *batch, struct reg *reg, struct reg_camera *camera)
{
	struct reg_camera known;
	size_t size;

	if (batch->count == batch->space && batch_grow(batch) < 0)
		return -ENOMEM;
	camera->created_us = clock_wall_us();
	if (reg_camera_get(reg, camera->camera, &known) == 0) {
		camera->created_us = known.created_us;
		camera->suspended = known.suspended;
		camera->suspended_us = known.suspended_us;
		memcpy(camera->suspended_reason, known.suspended_reason, sizeof(camera->suspended_reason));
		uint8_t before[REG_RECORD_SIZE_MAX];

		size = reg_camera_encode(&known, before);
		if (reg_camera_encode(camera, batch->buffers[batch->count]) == size &&
		    memcmp(before, batch->buffers[batch->count], size) == 0) {
			batch->unchanged++;
			return 0;
		}
	}
	batch->changes[batch->count] = reg_camera_put(camera, batch->buffers[batch->count]);
	batch->count++;
	return 0;
}

static int batch_read(struct camera_batch *batch, struct call *call, struct reg *reg)
{
	struct camera_csv csv;
	struct camera_row row;
	struct err err = {""};
	size_t size;
	const char *text = call_upload(call, "upload", &size);
	int result = camera_csv_init(&csv, text, size, &err);

	if (result < 0) {
		call_fail(call, CALL_REFUSED, "%s", err.text);
		return result;
	}
	while (result == 0 && camera_csv_next(&csv, &row)) {
		if (row.bad != NULL)
			batch_reject(batch, &row);
		else
			result = batch_add(batch, reg, &row.camera);
	}
	if (result < 0)
		call_fail(call, CALL_FAILED, "out of memory, nothing is loaded");
	return result;
}

static int load_cameras(struct call *call, struct gantry *gantry, struct reg *reg, struct camera_batch *batch)
{
	int result = batch_read(batch, call, reg);

	if (result < 0)
		return result;
	/* realloc may have moved the buffers since the changes were made. */
	for (size_t i = 0; i < batch->count; i++)
		batch->changes[i].value = batch->buffers[i];
	if (batch->rejected > 0 && call_boolean(call, "strict", false)) {
		call_fail(call, CALL_REFUSED, "%zu line(s) rejected, the first at line %lld: %s; nothing is loaded",
			  batch->rejected,
			  (long long)json_integer_value(json_object_get(json_array_get(batch->reports, 0), "line")),
			  json_string_value(json_object_get(json_array_get(batch->reports, 0), "reason")));
		return -EINVAL;
	}
	if (batch->count > 0 && (result = change_commit_many(call, gantry, batch->changes, batch->count)) < 0)
		return result;
	call_result(call, json_pack("{s:I,s:I,s:I,s:O}", "loaded", (json_int_t)(batch->count + batch->unchanged),
				    "changed", (json_int_t)batch->count, "rejected_count", (json_int_t)batch->rejected,
				    "rejected", batch->reports));
	return 0;
}

int handle_cameras_load(struct call *call, void *context)
{
	struct gantry *gantry = context;
	struct reg *reg = change_register(call, gantry);
	struct camera_batch batch = {.reports = json_array()};

	if (reg != NULL && batch.reports != NULL) {
		pthread_mutex_lock(&gantry->change_lock);
		(void)load_cameras(call, gantry, reg, &batch);
		pthread_mutex_unlock(&gantry->change_lock);
	}
	free(batch.changes);
	free(batch.buffers);
	json_decref(batch.reports);
	return 0;
}

struct camera_showing {
	struct reg *reg;
	json_t *array;
	size_t limit;
	bool truncated;
};

static json_t *camera_json(const struct reg_camera *camera)
{
	char since[CLOCK_TEXT_SIZE];

	return json_pack("{s:I,s:s,s:s,s:s,s:f,s:f,s:s,s:s,s:b,s:b,s:s,s:o}", "camera", (json_int_t)camera->camera,
			 "name", camera->name, "organisation", camera->organisation, "type",
			 camera_type_name(camera->type), "lat", camera->lat_e7 / 1e7, "lon", camera->lon_e7 / 1e7,
			 "road", camera->road, "direction", camera->direction, "restricted", camera->restricted,
			 "suspended", camera->suspended, "suspended_reason", camera->suspended_reason,
			 "suspended_since",
			 camera->suspended ? json_string(clock_text_utc(camera->suspended_us, since)) : json_null());
}

static int show_camera(void *context, const struct reg_record *record)
{
	struct camera_showing *showing = context;
	struct reg_camera camera;

	if (reg_camera_decode(record->value, record->value_size, &camera) < 0)
		return 0;
	if (json_array_size(showing->array) == showing->limit) {
		showing->truncated = true;
		return 1;
	}
	(void)json_array_append_new(showing->array, camera_json(&camera));
	return 0;
}

static int show_bound(void *context, const struct reg_record *record)
{
	struct camera_showing *showing = context;
	struct reg_camera camera;

	if (json_array_size(showing->array) == showing->limit) {
		showing->truncated = true;
		return 1;
	}
	if (reg_camera_get(showing->reg, record->b, &camera) == 0)
		(void)json_array_append_new(showing->array, camera_json(&camera));
	return 0;
}

int handle_cameras_show(struct call *call, void *context)
{
	struct reg *reg = change_register(call, context);
	struct camera_showing showing = {
		.reg = reg, .array = json_array(), .limit = (size_t)call_integer(call, "limit", 100)};
	uint32_t camera = (uint32_t)call_integer(call, "camera", 0);
	uint32_t feed = (uint32_t)call_integer(call, "feed", 0);

	if (reg == NULL) {
		json_decref(showing.array);
		return 0;
	}
	if (call_has(call, "feed"))
		(void)reg_each(reg, REG_BINDING, feed, feed, show_bound, &showing);
	else if (call_has(call, "camera"))
		(void)reg_each(reg, REG_CAMERA, camera, camera, show_camera, &showing);
	else
		(void)reg_each(reg, REG_CAMERA, 0, UINT32_MAX, show_camera, &showing);
	call_result(call, json_pack("{s:o,s:b}", "cameras", showing.array, "truncated", showing.truncated));
	return 0;
}

static int bind_all(struct call *call, struct gantry *gantry, struct reg_feed *feed)
{
	uint8_t buffer[REG_RECORD_SIZE_MAX];
	struct reg_change change;
	int result;

	feed->all_cameras = true;
	change = reg_feed_put(feed, buffer);
	result = change_commit(call, gantry, &change, 1);
	bytes_wipe(buffer, sizeof(buffer));
	if (result == 0)
		call_result(call, json_pack("{s:I,s:s}", "feed", (json_int_t)feed->feed, "bound", "all"));
	return result;
}

static int bind_some(struct call *call, struct gantry *gantry, struct reg *reg, uint32_t feed, const json_t *cameras)
{
	size_t count = json_array_size(cameras);
	struct reg_change *changes = calloc(count, sizeof(changes[0]));
	uint8_t(*buffers)[REG_RECORD_SIZE_MAX] = calloc(count, sizeof(buffers[0]));
	int result = changes == NULL || buffers == NULL ? -ENOMEM : 0;

	if (result < 0)
		call_fail(call, CALL_FAILED, "out of memory");
	for (size_t i = 0; i < count && result == 0; i++) {
		struct reg_binding binding = {.feed = feed,
					      .camera = (uint32_t)json_integer_value(json_array_get(cameras, i)),
					      .since_us = clock_wall_us()};
		struct reg_camera camera;

		changes[i] = reg_binding_put(&binding, buffers[i]);
		if (reg_camera_get(reg, binding.camera, &camera) < 0) {
			call_fail(call, CALL_REFUSED, "camera %u is not registered; nothing is bound", binding.camera);
			result = -ENOENT;
		}
	}
	if (result == 0)
		result = change_commit_many(call, gantry, changes, count);
	if (result == 0)
		call_result(call, json_pack("{s:I,s:I}", "feed", (json_int_t)feed, "bound", (json_int_t)count));
	free(changes);
	free(buffers);
	return result;
}

int handle_cameras_bind(struct call *call, void *context)
{
	struct gantry *gantry = context;
	struct reg *reg = change_register(call, gantry);
	const json_t *cameras = call_array(call, "cameras");
	bool all = call_boolean(call, "all", false);
	uint32_t number = (uint32_t)call_integer(call, "feed", 0);
	struct reg_feed feed;

	if (reg == NULL)
		return 0;
	if (all == (cameras != NULL)) {
		call_fail(call, CALL_INVALID_PARAMS, "give either cameras or all");
		return 0;
	}
	pthread_mutex_lock(&gantry->change_lock);
	if (reg_feed_get(reg, number, &feed) < 0 || feed.state == REG_FEED_REMOVED)
		call_fail(call, CALL_REFUSED, "feed %u is not registered; see feeds.show", number);
	else if (all)
		(void)bind_all(call, gantry, &feed);
	else
		(void)bind_some(call, gantry, reg, number, cameras);
	pthread_mutex_unlock(&gantry->change_lock);
	bytes_wipe(&feed, sizeof(feed));
	return 0;
}

static int suspend(struct call *call, struct gantry *gantry, bool suspended)
{
	struct reg *reg = change_register(call, gantry);
	uint32_t number = (uint32_t)call_integer(call, "camera", 0);
	uint8_t buffer[REG_RECORD_SIZE_MAX];
	struct reg_camera camera;
	struct reg_change change;
	char since[CLOCK_TEXT_SIZE];

	if (reg == NULL)
		return 0;
	pthread_mutex_lock(&gantry->change_lock);
	if (reg_camera_get(reg, number, &camera) < 0) {
		call_fail(call, CALL_REFUSED, "camera %u is not registered; see cameras.show", number);
	} else if (camera.suspended == suspended) {
		call_fail(call, CALL_REFUSED, "camera %u is %s", number,
			  suspended ? "suspended already" : "not suspended");
	} else {
		camera.suspended = suspended;
		camera.suspended_us = suspended ? clock_wall_us() : 0;
		(void)snprintf(camera.suspended_reason, sizeof(camera.suspended_reason), "%.*s",
			       (int)sizeof(camera.suspended_reason) - 1, suspended ? call_text(call, "reason") : "");
		change = reg_camera_put(&camera, buffer);
		if (change_commit(call, gantry, &change, 1) == 0)
			call_result(call, json_pack("{s:I,s:b,s:o}", "camera", (json_int_t)number, "suspended",
						    suspended, "since",
						    suspended ? json_string(clock_text_utc(camera.suspended_us, since))
							      : json_null()));
	}
	pthread_mutex_unlock(&gantry->change_lock);
	return 0;
}

int handle_cameras_suspend(struct call *call, void *gantry)
{
	return suspend(call, gantry, true);
}

int handle_cameras_resume(struct call *call, void *gantry)
{
	return suspend(call, gantry, false);
}
