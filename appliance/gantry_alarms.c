/* For status: the ring of what happened, and what of the appliance's own lasts. */
#include "appliance/gantry_inside.h"

#include <stdio.h>
#include <string.h>

#define LOG_MODULE "gantry"
#include "appliance/base/log.h"
#include "storage/store.h"

/* One that is told again becomes the newest; else a full ring loses its oldest. */
static void ring_put(struct gantry *gantry, const char *text)
{
	char alarm[sizeof(gantry->alarms[0])];
	unsigned at = 0;

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

/* What lasts the store keeps itself; it has logged both. */
void gantry_alarm_hook(void *context, const char *text, bool lasts)
{
	if (!lasts)
		ring_put(context, text);
}

void gantry_alarm_stand(struct gantry *gantry, enum gantry_alarm alarm, const char *text)
{
	log_warn("%s", text);
	gantry_alarm_renew(gantry, alarm, text);
}

void gantry_alarm_renew(struct gantry *gantry, enum gantry_alarm alarm, const char *text)
{
	pthread_mutex_lock(&gantry->alarm_lock);
	(void)snprintf(gantry->standing[alarm], sizeof(gantry->standing[alarm]), "%s", text);
	pthread_mutex_unlock(&gantry->alarm_lock);
}

void gantry_alarm_over(struct gantry *gantry, enum gantry_alarm alarm)
{
	pthread_mutex_lock(&gantry->alarm_lock);
	gantry->standing[alarm][0] = '\0';
	pthread_mutex_unlock(&gantry->alarm_lock);
}

void gantry_alarms_each(struct gantry *gantry, void (*each)(void *context, const char *text), void *context)
{
	store_alarms_each(gantry->store, each, context);
	pthread_mutex_lock(&gantry->alarm_lock);
	for (unsigned i = 0; i < ALARM_COUNT; i++)
		if (gantry->standing[i][0] != '\0')
			each(context, gantry->standing[i]);
	for (unsigned i = 0; i < gantry->alarm_count; i++)
		each(context, gantry->alarms[i]);
	pthread_mutex_unlock(&gantry->alarm_lock);
}
