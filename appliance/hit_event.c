#include "appliance/hit_event.h"

#include <pthread.h>
#include <stdio.h>

#include "appliance/gantry.h"
#include "appliance/hit_latency.h"
#include "appliance/lists.h"
#include "appliance/present.h"
#include "appliance/sms_event.h"
#include "matcher/list.h"
#include "storage/hit_scan.h"
#include "storage/register_subscription.h"

/* An SMS names the list; one that is gone meanwhile has no name any more. */
static void list_name(struct gantry *gantry, uint32_t id, char name[LIST_NAME_SIZE])
{
	const struct list *list;

	(void)snprintf(name, LIST_NAME_SIZE, "%s", id == 0 ? "impossible journey" : "");
	pthread_mutex_lock(&gantry->lists_lock);
	list = lists_loaded(gantry, id);
	if (list != NULL)
		(void)snprintf(name, LIST_NAME_SIZE, "%s", list_info(list)->name);
	pthread_mutex_unlock(&gantry->lists_lock);
}

json_t *hit_event(struct gantry *gantry, uint8_t kind, const struct hit_found *found)
{
	struct present_camera camera;
	struct sms_event event;
	char name[LIST_NAME_SIZE];

	if (kind != REG_SUBSCRIPTION_SMS)
		return present_hit(gantry, &found->hit, &found->read);
	present_camera(gantry, found->read.camera, &camera);
	list_name(gantry, found->hit.list, name);
	sms_event_make(&found->read, camera.name, camera.road, name, &event);
	return sms_event_json(&event);
}

uint8_t hit_event_camera_type(struct gantry *gantry, const struct hit_found *found)
{
	struct present_camera camera;

	present_camera(gantry, found->read.camera, &camera);
	return camera.known ? camera.type : HIT_LATENCY_TYPE_UNKNOWN;
}

const char *hit_lane_name(enum hit_lane lane)
{
	return lane == HIT_LANE_URGENT ? "urgent" : "mass";
}
