/*
 * Local time: what a zone's clocks are ahead of UTC, for every moment from `from` on. Made once before threads start,
 * then read by anyone.
 *
 * The host's zone files are asked through libc, two years back and forty ahead; beyond the last switch its offset goes
 * on. New zone files take effect at the next start.
 */
#ifndef GANTRY_APPLIANCE_ZONE_H
#define GANTRY_APPLIANCE_ZONE_H

#include <stdint.h>

#include "appliance/base/err.h"

#define ZONE_SWITCHES_MAX 256
#define ZONE_MINUTES_A_WEEK 10080

struct zone {
	unsigned count;                    /* >= 1 */
	int64_t from_s[ZONE_SWITCHES_MAX]; /* seconds since 1970 UTC, ascending; the first holds before itself too */
	int32_t offset_s[ZONE_SWITCHES_MAX];
};

/* Ever UTC. */
void zone_utc(struct zone *ret_zone);

/*
 * "Europe/London", "UTC". Sets the process's TZ for a moment: only before the first thread. -ENOENT with err for a
 * zone that this host does not know, -EINVAL for a name that is none; ret untouched.
 */
int zone_load(const char *name, int64_t now_s, struct err *err, struct zone *ret_zone);

/* 0 is Monday 00:00 local time. Any thread. */
unsigned zone_minute_of_week(const struct zone *zone, int64_t at_us);

#endif
