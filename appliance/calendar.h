/*
 * The calendar: the control thread of what happens by date. It looks at the clock guard every second, puts the clock's
 * state into the audit log every ten minutes at most, when no purge keeps it longer (R5), and at the start and then
 * every few minutes runs the retention rule: days on their 366th day, proposals that expired, releases of holds that
 * were interrupted, reviews that are due. Purges run on this thread, so that no worker and no request waits for them.
 *
 * calendar_start after the store serves; calendar_stop waits for a purge step to end.
 */
#ifndef GANTRY_APPLIANCE_CALENDAR_H
#define GANTRY_APPLIANCE_CALENDAR_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "appliance/base/err.h"

struct calendar;
struct gantry;

int calendar_start(struct gantry *gantry, struct calendar **ret_calendar, struct err *err);
struct calendar *calendar_stop(struct calendar *calendar); /* accepts NULL */

/* For status: {state, why, last, due, purged, failed, purged_total, overdue_reviews, clock: {…}}. New reference. */
json_t *calendar_json(struct calendar *calendar);

/* Alarms that stand now: suspicion, a purge that fails, reviews that are due. */
void calendar_alarms(struct calendar *calendar, json_t *array);

#endif
