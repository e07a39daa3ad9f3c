#include "appliance/present.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "appliance/base/clock.h"
#include "appliance/base/hit_name.h"
#include "appliance/gantry.h"
#include "appliance/hit_watch.h"
#include "matcher/list.h"
#include "storage/register.h"
#include "storage/store.h"

static const char *direction_name(uint8_t direction)
{
	static const char *const names[] = {"unknown", "approaching", "receding"};

	return direction < sizeof(names) / sizeof(names[0]) ? names[direction] : "unknown";
}

static json_t *flag_names(const struct read *read)
{
	static const struct {
		uint16_t flag;
		const char *name;
	} names[] = {{READ_FLAG_POSITION, "position"},         {READ_FLAG_TEST, "test"},
		     {READ_FLAG_CLOCK_UNSURE, "clock-unsure"}, {READ_FLAG_BACKLOG, "backlog"},
		     {READ_FLAG_UNMATCHED, "unmatched"},       {READ_FLAG_AMENDED, "amended"},
		     {READ_FLAG_RESTRICTED, "restricted"}};
	json_t *array = json_array();

	for (size_t i = 0; array != NULL && i < sizeof(names) / sizeof(names[0]); i++)
		if ((read->flags & names[i].flag) != 0)
			(void)json_array_append_new(array, json_string(names[i].name));
	return array;
}

/* What the sender has; an empty array is its explicit «no image» (R7). */
static json_t *image_names(uint8_t images)
{
	json_t *array = json_array();

	if ((images & 1) != 0)
		(void)json_array_append_new(array, json_string("plate"));
	if ((images & 2) != 0)
		(void)json_array_append_new(array, json_string("overview"));
	return array;
}

/* Texts come from outside: what is not UTF-8 (a damaged register cannot be, the codec refuses it) becomes null. */
static json_t *text_of(const uint8_t text[READ_TEXT_SIZE])
{
	json_t *string = json_stringn((const char *)text, strnlen((const char *)text, READ_TEXT_SIZE));

	return string != NULL ? string : json_null();
}

/*
 * What the register says of cameras, remembered: a page of a search or a flood of hits names the same some thousands
 * again and again, and each look costs a transaction and an unsealing. Forgotten whole when the register changes, which
 * publishes new tables.
 */
#define CAMERA_CACHE_SIZE 32768 /* a nation has 18,000; numbers in a row, so that none shares its place */

struct cached_camera {
	uint64_t generation; /* of the tables when it was looked up, plus one; 0 empty */
	uint32_t number;
	struct present_camera camera;
};

static pthread_mutex_t camera_lock = PTHREAD_MUTEX_INITIALIZER;
static struct cached_camera camera_cache[CAMERA_CACHE_SIZE];

static void look_up(struct gantry *gantry, uint32_t number, struct present_camera *ret_camera)
{
	struct reg *reg = store_register(gantry->store, NULL);
	struct reg_camera camera;

	memset(ret_camera, 0, sizeof(*ret_camera));
	if (reg == NULL || reg_camera_get(reg, number, &camera) < 0)
		return;
	ret_camera->known = true;
	ret_camera->type = camera.type;
	ret_camera->lat_e7 = camera.lat_e7;
	ret_camera->lon_e7 = camera.lon_e7;
	memcpy(ret_camera->name, camera.name, sizeof(ret_camera->name));
	memcpy(ret_camera->road, camera.road, sizeof(ret_camera->road));
}

void present_camera(struct gantry *gantry, uint32_t number, struct present_camera *ret_camera)
{
	struct cached_camera *place = &camera_cache[number % CAMERA_CACHE_SIZE];
	uint64_t generation = atomic_load(&gantry->tables_generation) + 1;
	bool cached;

	pthread_mutex_lock(&camera_lock);
	cached = place->generation == generation && place->number == number;
	if (cached)
		*ret_camera = place->camera;
	pthread_mutex_unlock(&camera_lock);
	if (cached)
		return;
	look_up(gantry, number, ret_camera);
	pthread_mutex_lock(&camera_lock);
	*place = (struct cached_camera){.generation = generation, .number = number, .camera = *ret_camera};
	pthread_mutex_unlock(&camera_lock);
}

static void put_camera(struct gantry *gantry, const struct read *read, json_t *object)
{
	struct present_camera camera;
	bool own = (read->flags & READ_FLAG_POSITION) != 0;
	bool placed;

	present_camera(gantry, read->camera, &camera);
	(void)json_object_set_new(object, "camera", json_integer(read->camera));
	(void)json_object_set_new(object, "camera_name", camera.known ? json_string(camera.name) : json_null());
	placed = own || camera.known;
	(void)json_object_set_new(object, "position", placed ? json_string(own ? "own" : "register") : json_null());
	(void)json_object_set_new(object, "lat",
				  placed ? json_real((own ? read->lat_e7 : camera.lat_e7) / 1e7) : json_null());
	(void)json_object_set_new(object, "lon",
				  placed ? json_real((own ? read->lon_e7 : camera.lon_e7) / 1e7) : json_null());
}

json_t *present_read(struct gantry *gantry, const struct read *read, const char *public_id)
{
	json_t *object = json_object();
	char time[CLOCK_TEXT_SIZE];
	char country[2] = {(char)(read->country & 0xff), (char)(read->country >> 8)};

	if (object == NULL)
		return NULL;
	if (public_id != NULL)
		(void)json_object_set_new(object, "id", json_string(public_id));
	(void)json_object_set_new(object, "vrm", text_of(read->text));
	(void)json_object_set_new(object, "key", text_of(read->key));
	(void)json_object_set_new(object, "capture", json_string(clock_text_utc(read->capture_us, time)));
	(void)json_object_set_new(object, "receipt", json_string(clock_text_utc(read->receipt_us, time)));
	put_camera(gantry, read, object);
	(void)json_object_set_new(object, "feed", json_integer(read->feed));
	(void)json_object_set_new(object, "confidence",
				  read->confidence == READ_CONFIDENCE_UNKNOWN ? json_null()
									      : json_integer(read->confidence));
	(void)json_object_set_new(object, "lane", json_integer(read->road_lane));
	(void)json_object_set_new(object, "direction", json_string(direction_name(read->direction)));
	(void)json_object_set_new(object, "country", read->country != 0 ? json_stringn(country, 2) : json_null());
	(void)json_object_set_new(object, "kind", json_string(read->kind == READ_KIND_NOT_READ ? "not-read" : "vrm"));
	(void)json_object_set_new(object, "images", image_names(read->images));
	(void)json_object_set_new(object, "flags", flag_names(read));
	return object;
}

static const char *hit_kind_name(uint8_t kind)
{
	static const char *const names[] = {"exact", "pattern", "tolerant", "retro", "clone"};

	return kind < sizeof(names) / sizeof(names[0]) ? names[kind] : "unknown";
}

/* Does the hit's entry number mean in this version of its list what it meant in that of the hit? */
static bool means_entry(const struct list *list, const struct hit *hit, struct list_entry *ret_entry)
{
	const struct list_info *info = list_info(list);

	if (hit->version < info->generation_since || hit->version > info->version || hit->entry >= list_count(list))
		return false;
	list_entry(list, hit->entry, ret_entry);
	return ret_entry->since <= hit->version;
}

/* What the entry says, as long as its list was not replaced whole: also when it has gone from it. */
static void put_entry(struct gantry *gantry, const struct hit *hit, json_t *object)
{
	pthread_mutex_lock(&gantry->lists_lock);
	for (size_t i = 0; i < gantry->list_count; i++) {
		const struct list_info *info = list_info(gantry->lists[i]);
		struct list_entry entry;

		if (info->id != hit->list)
			continue;
		(void)json_object_set_new(object, "list_name", json_string(info->name));
		(void)json_object_set_new(object, "list_purpose", json_string(list_purpose_name(info->purpose)));
		(void)json_object_set_new(object, "marking", json_string(info->marking));
		if (!means_entry(gantry->lists[i], hit, &entry))
			break;
		(void)json_object_set_new(object, "line", json_integer(entry.line));
		(void)json_object_set_new(object, "reason", json_string(entry.reason));
		(void)json_object_set_new(object, "action", json_string(entry.action));
		(void)json_object_set_new(object, "make", json_string(entry.make));
		(void)json_object_set_new(object, "model", json_string(entry.model));
		(void)json_object_set_new(object, "colour", json_string(entry.colour));
	}
	pthread_mutex_unlock(&gantry->lists_lock);
}

/* A clone hit is of no list: what it says instead is where and when the other sighting was, to a second. */
static void put_clash(const struct hit *hit, const struct read *read, json_t *object)
{
	int64_t between_us = (int64_t)hit->version * 1000000;
	char at[CLOCK_TEXT_SIZE];

	if ((hit->flags & HIT_FLAG_CLASH_LATER) == 0)
		between_us = -between_us;
	(void)json_object_set_new(object, "other_camera", json_integer(hit->entry));
	(void)json_object_set_new(object, "other_time", json_string(clock_text_utc(read->capture_us + between_us, at)));
}

json_t *present_hit(struct gantry *gantry, const struct hit *hit, const struct read *read)
{
	json_t *object = json_object();
	char name[HIT_NAME_SIZE];

	if (object == NULL)
		return NULL;
	(void)json_object_set_new(object, "number", json_string(hit_name(hit->number, name)));
	(void)json_object_set_new(object, "list", json_integer(hit->list));
	(void)json_object_set_new(object, "kind", json_string(hit_kind_name(hit->kind)));
	(void)json_object_set_new(object, "priority", json_integer(hit->priority));
	if (hit->kind == HIT_CLONE) {
		put_clash(hit, read, object);
	} else {
		(void)json_object_set_new(object, "version", json_integer(hit->version));
		(void)json_object_set_new(object, "entry", json_integer(hit->entry));
		put_entry(gantry, hit, object);
	}
	(void)json_object_set_new(object, "receipt_us", json_integer(read->receipt_us));
	(void)json_object_set_new(object, "read", present_read(gantry, read, NULL));
	return object;
}

json_t *present_list_name(struct gantry *gantry, uint32_t list)
{
	struct reg *reg = store_register(gantry->store, NULL);
	struct reg_list known;

	return reg != NULL && reg_list_get(reg, list, &known) == 0 ? json_string(known.name) : json_null();
}

json_t *present_watched(struct gantry *gantry, const struct watched_hit *hit)
{
	char published[CLOCK_TEXT_SIZE];
	char name[HIT_NAME_SIZE];

	return json_pack("{s:s,s:s,s:I,s:o,s:i,s:I,s:s}", "number", hit_name(hit->number, name), "state",
			 hit->escalated ? "escalated" : "unacknowledged", "list", (json_int_t)hit->list, "list_name",
			 present_list_name(gantry, hit->list), "priority", (int)hit->priority, "camera",
			 (json_int_t)hit->camera, "since", clock_text_utc(hit->published_us, published));
}

const char *present_day(int32_t day, char buffer[PRESENT_DAY_SIZE])
{
	time_t seconds = (time_t)day * 86400;
	struct tm tm;

	if (gmtime_r(&seconds, &tm) == NULL || strftime(buffer, PRESENT_DAY_SIZE, "%Y-%m-%d", &tm) == 0)
		(void)snprintf(buffer, PRESENT_DAY_SIZE, "%d", day);
	return buffer;
}

const char *present_refusal(enum refusal refusal)
{
	switch (refusal) {
	case REFUSAL_MALFORMED:
		return "malformed";
	case REFUSAL_TOO_OLD:
		return "too_old";
	case REFUSAL_FUTURE:
		return "future";
	case REFUSAL_CAMERA_SUSPENDED:
		return "camera_suspended";
	case REFUSAL_NONE:
	case REFUSAL_COUNT:
		break;
	}
	return "none";
}
