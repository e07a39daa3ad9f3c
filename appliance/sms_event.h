/*
 * What may go out by SMS (R28): VRM, time, location, list name, and nothing else. The type has no room for more.
 * Pure functions, any control thread. Holds a VRM.
 */
#ifndef GANTRY_APPLIANCE_SMS_EVENT_H
#define GANTRY_APPLIANCE_SMS_EVENT_H

#include <jansson.h>
#include <stdint.h>

#define SMS_VRM_SIZE 17       /* as received; with its zero, as the next */
#define SMS_LOCATION_SIZE 194 /* "name, road" of the camera, as the register has it */
#define SMS_LIST_SIZE 65

struct sms_event {
	char vrm[SMS_VRM_SIZE];
	int64_t time_us; /* of capture */
	char location[SMS_LOCATION_SIZE];
	char list[SMS_LIST_SIZE];
};

struct read;

/* Texts that are too long are cut, NULL is empty; `camera_name` and `road` make the location. */
void sms_event_make(const struct read *read, const char *camera_name, const char *road, const char *list,
		    struct sms_event *ret_event);

/* {vrm, time, location, list}: new reference, NULL when out of memory. */
json_t *sms_event_json(const struct sms_event *event);

#endif
