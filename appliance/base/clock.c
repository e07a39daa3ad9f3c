#include "appliance/base/clock.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/timex.h>

void clock_state_get(struct clock_state *ret_state)
{
	struct timex timex = {0};
	int state = adjtimex(&timex);

	ret_state->synchronised = state >= 0 && state != TIME_ERROR && !(timex.status & STA_UNSYNC);
	ret_state->offset_us = timex.status & STA_NANO ? timex.offset / 1000 : timex.offset;
	ret_state->error_max_us = timex.maxerror;
}

static int64_t real_wall_us(void *context)
{
	(void)context;
	return clock_wall_us();
}

static int64_t real_mono_ns(void *context)
{
	(void)context;
	return clock_mono_ns();
}

static bool real_synchronised(void *context)
{
	struct clock_state state;

	(void)context;
	clock_state_get(&state);
	return state.synchronised;
}

const struct clock_source clock_source_real = {real_wall_us, real_mono_ns, real_synchronised, NULL};

const char *clock_text_utc(int64_t us, char buffer[CLOCK_TEXT_SIZE])
{
	int64_t seconds = us / 1000000;
	int64_t rest = us % 1000000;
	struct tm tm;
	time_t time;

	if (rest < 0) {
		rest += 1000000;
		seconds--;
	}
	time = (time_t)seconds;
	if (gmtime_r(&time, &tm) == NULL || tm.tm_year > 8099 || tm.tm_year < -1900) {
		(void)snprintf(buffer, CLOCK_TEXT_SIZE, "out of range");
		return buffer;
	}
	size_t used = strftime(buffer, CLOCK_TEXT_SIZE, "%Y-%m-%dT%H:%M:%S", &tm);
	(void)snprintf(buffer + used, CLOCK_TEXT_SIZE - used, ".%06dZ", (int)rest);
	return buffer;
}

/* Exactly `count` digits at *text, which moves past them; -1 when there are fewer. */
static int digits(const char **text, int count)
{
	int value = 0;

	for (int i = 0; i < count; i++, (*text)++) {
		if (!isdigit((unsigned char)**text))
			return -1;
		value = value * 10 + (**text - '0');
	}
	return value;
}

static int month_days(int year, int month)
{
	static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	return days[month - 1] + (month == 2 && leap);
}

static int parse_date(const char **at, struct tm *ret_tm)
{
	int year = digits(at, 4);

	if (year < 1970 || *(*at)++ != '-')
		return -EINVAL;
	int month = digits(at, 2);
	if (month < 1 || month > 12 || *(*at)++ != '-')
		return -EINVAL;
	int day = digits(at, 2);
	if (day < 1 || day > month_days(year, month))
		return -EINVAL;
	*ret_tm = (struct tm){.tm_year = year - 1900, .tm_mon = month - 1, .tm_mday = day};
	return 0;
}

static int parse_time(const char **at, struct tm *tm, int *ret_us)
{
	int scale = 100000;

	*ret_us = 0;
	tm->tm_hour = digits(at, 2);
	if (tm->tm_hour < 0 || tm->tm_hour > 23 || *(*at)++ != ':')
		return -EINVAL;
	tm->tm_min = digits(at, 2);
	if (tm->tm_min < 0 || tm->tm_min > 59)
		return -EINVAL;
	if (**at != ':')
		return 0;
	(*at)++;
	tm->tm_sec = digits(at, 2);
	if (tm->tm_sec < 0 || tm->tm_sec > 59)
		return -EINVAL;
	if (**at != '.')
		return 0;
	(*at)++;
	if (!isdigit((unsigned char)**at))
		return -EINVAL;
	for (; isdigit((unsigned char)**at); (*at)++, scale /= 10) {
		if (scale == 0)
			return -EINVAL;
		*ret_us += (**at - '0') * scale;
	}
	return 0;
}

static int parse_zone(const char **at, int *ret_minutes)
{
	int sign;
	int hours;
	int minutes;

	*ret_minutes = 0;
	if (**at == 'Z') {
		(*at)++;
		return 0;
	}
	if (**at != '+' && **at != '-')
		return 0;
	sign = **at == '-' ? -1 : 1;
	(*at)++;
	hours = digits(at, 2);
	if (hours < 0 || hours > 14 || *(*at)++ != ':')
		return -EINVAL;
	minutes = digits(at, 2);
	if (minutes < 0 || minutes > 59)
		return -EINVAL;
	*ret_minutes = sign * (hours * 60 + minutes);
	return 0;
}

int clock_parse(const char *text, int64_t *ret_us)
{
	const char *at = text;
	struct tm tm;
	int us = 0;
	int zone_minutes = 0;

	if (parse_date(&at, &tm) < 0)
		return -EINVAL;
	if (*at == 'T' || *at == ' ') {
		at++;
		if (parse_time(&at, &tm, &us) < 0 || parse_zone(&at, &zone_minutes) < 0)
			return -EINVAL;
	}
	if (*at != '\0')
		return -EINVAL;
	*ret_us = ((int64_t)timegm(&tm) - zone_minutes * 60) * 1000000 + us;
	return 0;
}
