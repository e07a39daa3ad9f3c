#include "appliance/zone.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define DAY_S INT64_C(86400)
#define BACK_S (2 * 366 * DAY_S)
#define AHEAD_S (40 * 366 * DAY_S)
#define THURSDAY 3 /* 1970-01-01, with Monday as 0 */
#define MINUTE_US INT64_C(60000000)
#define DIRECTORY "/usr/share/zoneinfo"

void zone_utc(struct zone *ret_zone)
{
	*ret_zone = (struct zone){.count = 1};
}

static int32_t offset_at(int64_t at_s)
{
	time_t time = (time_t)at_s;
	struct tm tm;

	return localtime_r(&time, &tm) != NULL ? (int32_t)tm.tm_gmtoff : 0;
}

/* The first second in (low, high] with another offset than at low; at high it is another. */
static int64_t switch_between(int64_t low, int64_t high)
{
	int32_t before = offset_at(low);

	while (high - low > 1) {
		int64_t middle = low + (high - low) / 2;

		if (offset_at(middle) == before)
			low = middle;
		else
			high = middle;
	}
	return high;
}

/* Two switches within one day would be seen as one, or as none: no zone has had such since 1970. */
static void walk(int64_t now_s, struct zone *zone)
{
	zone->count = 1;
	zone->from_s[0] = now_s - BACK_S;
	zone->offset_s[0] = offset_at(now_s - BACK_S);
	for (int64_t at = now_s - BACK_S; at < now_s + AHEAD_S && zone->count < ZONE_SWITCHES_MAX; at += DAY_S) {
		int64_t from;

		if (offset_at(at + DAY_S) == zone->offset_s[zone->count - 1])
			continue;
		from = switch_between(at, at + DAY_S);
		zone->from_s[zone->count] = from;
		zone->offset_s[zone->count++] = offset_at(from);
	}
}

/* libc takes an unknown zone for UTC and says nothing. */
static int check_name(const char *name, struct err *err)
{
	char path[512];
	FILE *file;
	char magic[4] = "";

	if (name[0] == '\0' || name[0] == '/' || name[0] == ':' || strstr(name, "..") != NULL)
		return err_set(err, -EINVAL, "a zone has a name such as Europe/London or UTC");
	(void)snprintf(path, sizeof(path), DIRECTORY "/%s", name);
	file = fopen(path, "re");
	if (file == NULL)
		return err_set(err, -ENOENT, "%s: this host knows no such zone; install tzdata, or take UTC", path);
	if (fread(magic, 1, sizeof(magic), file) != sizeof(magic) || memcmp(magic, "TZif", sizeof(magic)) != 0) {
		(void)fclose(file);
		return err_set(err, -EINVAL, "%s is not a zone", path);
	}
	(void)fclose(file);
	return 0;
}

int zone_load(const char *name, int64_t now_s, struct err *err, struct zone *ret_zone)
{
	const char *tz = getenv("TZ");
	char *before = tz != NULL ? strdup(tz) : NULL;
	int result = tz != NULL && before == NULL ? err_set(err, -ENOMEM, "out of memory") : 0;

	if (result == 0 && strcmp(name, "UTC") == 0) {
		zone_utc(ret_zone);
	} else if (result == 0 && (result = check_name(name, err)) == 0) {
		struct zone zone;

		(void)setenv("TZ", name, 1);
		tzset();
		walk(now_s, &zone);
		(void)(before != NULL ? setenv("TZ", before, 1) : unsetenv("TZ"));
		tzset();
		*ret_zone = zone;
	}
	free(before);
	return result;
}

unsigned zone_minute_of_week(const struct zone *zone, int64_t at_us)
{
	int64_t minute = at_us / MINUTE_US - (at_us % MINUTE_US < 0);
	unsigned low = 0;
	unsigned high = zone->count;

	while (high - low > 1) {
		unsigned middle = (low + high) / 2;

		if (zone->from_s[middle] <= minute * 60)
			low = middle;
		else
			high = middle;
	}
	minute += zone->offset_s[low] / 60 + THURSDAY * DAY_S / 60;
	minute %= ZONE_MINUTES_A_WEEK;
	return (unsigned)(minute < 0 ? minute + ZONE_MINUTES_A_WEEK : minute);
}
