/* The ring of what happened, for status. */
#include "appliance/gantry_inside.h"

#include <stdio.h>
#include <string.h>

#define LOG_MODULE "gantry"
#include "appliance/base/log.h"

/* One that is told again becomes the newest; else a full ring loses its oldest. */
void gantry_alarm_hook(void *context, const char *text)
{
	struct gantry *gantry = context;
	char alarm[sizeof(gantry->alarms[0])];
	unsigned at = 0;

	log_warn("%s", text);
	(void)snprintf(alarm, sizeof(alarm), "%s", text);
	pthread_mutex_lock(&gantry->alarm_lock);
	while (at < gantry->alarm_count && strcmp(gantry->alarms[at], alarm) != 0)
		at++;
	if (at == sizeof(gantry->alarms) / sizeof(gantry->alarms[0]))
		at = 0;
	if (at < gantry->alarm_count) {
		gantry->alarm_count--;
		memmove(gantry->alarms[at], gantry->alarms[at + 1], (gantry->alarm_count - at) * sizeof(alarm));
	}
	memcpy(gantry->alarms[gantry->alarm_count++], alarm, sizeof(alarm));
	pthread_mutex_unlock(&gantry->alarm_lock);
}

void gantry_alarm(struct gantry *gantry, const char *text)
{
	gantry_alarm_hook(gantry, text);
}
