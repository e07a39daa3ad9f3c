#include "matcher/list_conditions.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "appliance/base/err.h"

#define WEEK 7
#define EVERY_DAY 0x7f

static const char *const day_names[WEEK] = {"mon", "tue", "wed", "thu", "fri", "sat", "sun"};

/* Three letters; the day, or -1. */
static int day_find(const char *text)
{
	for (int day = 0; day < WEEK; day++)
		if (strncasecmp(text, day_names[day], 3) == 0)
			return day;
	return -1;
}

/* "mon", "mon-fri", "sat,sun": the text behind it, or NULL. */
static const char *days_parse(const char *at, uint8_t *ret_days)
{
	uint8_t days = 0;

	for (;;) {
		int first = day_find(at);
		int last = first;

		if (first < 0)
			return NULL;
		at += 3;
		if (*at == '-') {
			last = day_find(at + 1);
			at += 4;
		}
		if (last < 0)
			return NULL;
		for (int day = first;; day = (day + 1) % WEEK) {
			days |= (uint8_t)(1 << day);
			if (day == last)
				break;
		}
		if (*at != ',')
			break;
		at++;
	}
	*ret_days = days;
	return *at == ' ' ? at + 1 : NULL;
}

/* "HH:MM" up to 24:00; the text behind it, or NULL. */
static const char *minute_parse(const char *at, uint16_t *ret_minute)
{
	unsigned hour, minute;

	if (!isdigit((unsigned char)at[0]) || !isdigit((unsigned char)at[1]) || at[2] != ':' ||
	    !isdigit((unsigned char)at[3]) || !isdigit((unsigned char)at[4]))
		return NULL;
	hour = (unsigned)(at[0] - '0') * 10 + (unsigned)(at[1] - '0');
	minute = (unsigned)(at[3] - '0') * 10 + (unsigned)(at[4] - '0');
	if (minute > 59 || hour * 60 + minute > LIST_DAY_MINUTES)
		return NULL;
	*ret_minute = (uint16_t)(hour * 60 + minute);
	return at + 5;
}

static bool window_is_sound(const struct list_window *window)
{
	return window->days != 0 && window->days <= EVERY_DAY && window->from_minute < LIST_DAY_MINUTES &&
	       window->to_minute <= LIST_DAY_MINUTES && window->from_minute != window->to_minute;
}

int list_window_parse(const char *text, struct err *err, struct list_window *ret_window)
{
	struct list_window window = {.days = EVERY_DAY};
	const char *at = text;

	if (isalpha((unsigned char)*at))
		at = days_parse(at, &window.days);
	if (at != NULL)
		at = minute_parse(at, &window.from_minute);
	if (at != NULL)
		at = *at == '-' ? minute_parse(at + 1, &window.to_minute) : NULL;
	if (at == NULL || *at != '\0' || !window_is_sound(&window))
		return err_set(err, -EINVAL,
			       "not hours such as mon-fri 08:00-18:00, sat,sun 22:00-06:00 or 07:00-09:30");
	*ret_window = window;
	return 0;
}

const char *list_window_text(const struct list_window *window, char buffer[LIST_WINDOW_TEXT_SIZE])
{
	size_t at = 0;

	for (int day = 0; day < WEEK && window->days != EVERY_DAY; day++)
		if ((window->days >> day & 1) != 0)
			at += (size_t)snprintf(buffer + at, LIST_WINDOW_TEXT_SIZE - at, "%s%s", at > 0 ? "," : "",
					       day_names[day]);
	(void)snprintf(buffer + at, LIST_WINDOW_TEXT_SIZE - at, "%s%02u:%02u-%02u:%02u", at > 0 ? " " : "",
		       window->from_minute / 60u, window->from_minute % 60u, window->to_minute / 60u,
		       window->to_minute % 60u);
	return buffer;
}

/* Bytes of the texts that are there, or -1 when they do not end within the room. */
static ssize_t areas_size(const struct list_conditions *conditions)
{
	size_t at = 0;

	for (unsigned i = 0; i < conditions->area_count; i++) {
		size_t size = strnlen(conditions->areas + at, LIST_AREAS_SIZE - at);

		if (size == 0 || at + size >= LIST_AREAS_SIZE)
			return -1;
		at += size + 1;
	}
	return (ssize_t)at;
}

int list_area_add(struct list_conditions *conditions, const char *text, struct err *err)
{
	ssize_t used = areas_size(conditions);
	size_t size = strlen(text);

	if (used < 0 || conditions->area_count == LIST_AREAS_MAX || size == 0 ||
	    size >= (size_t)(LIST_AREAS_SIZE - used))
		return err_set(err, -E2BIG, "a list has at most %d areas of %d bytes together", LIST_AREAS_MAX,
			       LIST_AREAS_SIZE - LIST_AREAS_MAX);
	memcpy(conditions->areas + used, text, size + 1);
	conditions->area_count++;
	return 0;
}

const char *list_area_text(const struct list_conditions *conditions, unsigned index)
{
	const char *at = conditions->areas;

	while (index-- > 0)
		at += strlen(at) + 1;
	return at;
}

int list_conditions_check(const struct list_conditions *conditions, struct err *err)
{
	if (conditions->window_count > LIST_WINDOWS_MAX)
		return err_set(err, -EINVAL, "a list has at most %d windows of hours", LIST_WINDOWS_MAX);
	for (unsigned i = 0; i < conditions->window_count; i++)
		if (!window_is_sound(&conditions->windows[i]))
			return err_set(err, -EINVAL, "window %u of the list's hours is none", i + 1);
	if (conditions->directions >= 1 << LIST_DIRECTIONS)
		return err_set(err, -EINVAL, "a direction that is not known");
	if (conditions->area_count > LIST_AREAS_MAX || areas_size(conditions) < 0)
		return err_set(err, -EINVAL, "the list's areas are no texts");
	return 0;
}

static bool window_holds(const struct list_window *window, unsigned day, unsigned minute)
{
	bool today = (window->days >> day & 1) != 0;
	bool yesterday = (window->days >> (day + WEEK - 1) % WEEK & 1) != 0;

	if (window->from_minute < window->to_minute)
		return today && minute >= window->from_minute && minute < window->to_minute;
	return (today && minute >= window->from_minute) || (yesterday && minute < window->to_minute);
}

bool list_conditions_hold(const struct list_conditions *conditions, unsigned minute_of_week, unsigned direction,
			  unsigned camera_type)
{
	bool in_hours = conditions->window_count == 0;

	if (conditions->directions != 0 &&
	    (direction >= LIST_DIRECTIONS || (conditions->directions >> direction & 1) == 0))
		return false;
	if (conditions->camera_types != 0 &&
	    (camera_type >= LIST_CAMERA_TYPES || (conditions->camera_types >> camera_type & 1) == 0))
		return false;
	for (unsigned i = 0; i < conditions->window_count && !in_hours; i++)
		in_hours = window_holds(&conditions->windows[i], minute_of_week / LIST_DAY_MINUTES % WEEK,
					minute_of_week % LIST_DAY_MINUTES);
	return in_hours;
}
