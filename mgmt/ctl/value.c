/*
 * One value as text for people: times in local time with its zone (R5), bytes in units. Texts come from outside:
 * control characters never reach the terminal.
 */
#include "mgmt/ctl/ctl.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "appliance/base/clock.h"

int text_width(const char *text)
{
	int width = 0;

	for (; *text != '\0'; text++)
		width += ((unsigned char)*text & 0xc0) != 0x80;
	return width;
}

/* C0 controls, DEL, and the C1 controls as UTF-8 writes them (c2 80 to c2 9f): some terminals obey those too. */
static char *clean(char *text)
{
	for (unsigned char *at = (unsigned char *)text; *at != '\0'; at++) {
		if (*at == 0xc2 && at[1] >= 0x80 && at[1] < 0xa0)
			at[0] = at[1] = '?';
		else if (*at < 0x20 || *at == 0x7f)
			*at = '?';
	}
	return text;
}

char *text_format(const char *how, ...)
{
	char *text = NULL;
	va_list args;

	va_start(args, how);
	if (vasprintf(&text, how, args) < 0)
		abort();
	va_end(args);
	return text;
}

/* A whole UTC time as the socket sends it, or NULL. */
static char *local_time(const char *text)
{
	int64_t us;
	time_t seconds;
	struct tm tm;
	char day[32];
	char zone[16];

	if (strlen(text) < strlen("2026-11-22T05:43:00Z") || text[10] != 'T' || text[strlen(text) - 1] != 'Z' ||
	    clock_parse(text, &us) < 0)
		return NULL;
	seconds = (time_t)(us / 1000000);
	(void)localtime_r(&seconds, &tm);
	(void)strftime(day, sizeof(day), "%Y-%m-%d %H:%M:%S", &tm);
	(void)strftime(zone, sizeof(zone), "%Z", &tm);
	return text_format("%s.%03d %s", day, (int)(us % 1000000 / 1000), zone);
}

static char *human_bytes(json_int_t bytes)
{
	static const char *const units[] = {"KiB", "MiB", "GiB", "TiB"};
	double scaled = (double)bytes;
	int unit = -1;

	while (scaled >= 1024 && unit < 3) {
		scaled /= 1024;
		unit++;
	}
	return unit < 0 ? text_format("%" PRId64 " B", (int64_t)bytes) : text_format("%.1f %s", scaled, units[unit]);
}

static char *join_items(const json_t *array)
{
	char *joined = text_format("%s", "");
	size_t index;
	json_t *item;

	json_array_foreach(array, index, item)
	{
		char *text = value_text("", item);
		char *longer = text_format("%s%s%s", joined, index > 0 ? ", " : "", text);

		free(text);
		free(joined);
		joined = longer;
	}
	return joined;
}

/* An object inside a cell: its values, for its names would not fit. */
static char *join_members(const json_t *object)
{
	char *joined = text_format("%s", "");
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)object, name, value)
	{
		char *text = value_text(name, value);
		char *longer = text_format("%s%s%s=%s", joined, joined[0] != '\0' ? " " : "", name, text);

		free(text);
		free(joined);
		joined = longer;
	}
	return joined;
}

static bool ends_with(const char *name, const char *end)
{
	size_t size = strlen(name);

	return size >= strlen(end) && strcmp(name + size - strlen(end), end) == 0;
}

bool value_is_latency(const char *name)
{
	return ends_with(name, "p50_us") || ends_with(name, "p99_us");
}

/* Places are told to a metre, shares in percent, what was measured in tenths. */
static char *real_text(const char *name, double value)
{
	if (strncmp(name, "misread_", strlen("misread_")) == 0)
		return text_format("%.1f %%", 100 * value);
	if (ends_with(name, "_s") || ends_with(name, "ms") || ends_with(name, "percent"))
		return text_format("%.1f", value);
	return text_format("%.6g", value);
}

/* A hit of no list is one of an impossible journey. */
static bool is_no_list(const char *name, json_int_t value)
{
	return value == 0 && ends_with(name, "list");
}

static char *integer_text(const char *name, json_int_t value)
{
	if (is_no_list(name, value))
		return text_format("-");
	if (value_is_latency(name))
		return text_format("%.1f ms", (double)value / 1e3);
	return strstr(name, "bytes") != NULL ? human_bytes(value) : text_format("%" JSON_INTEGER_FORMAT, value);
}

char *value_text(const char *name, const json_t *value)
{
	char *text;

	switch (value != NULL ? json_typeof(value) : JSON_NULL) {
	case JSON_STRING:
		text = local_time(json_string_value(value));
		return text != NULL ? text : clean(text_format("%s", json_string_value(value)));
	case JSON_INTEGER:
		return integer_text(name, json_integer_value(value));
	case JSON_REAL:
		return real_text(name, json_real_value(value));
	case JSON_TRUE:
		return text_format("yes");
	case JSON_FALSE:
		return text_format("no");
	case JSON_ARRAY:
		return join_items(value);
	case JSON_OBJECT:
		return join_members(value);
	default: /* what was not counted is not zero */
		return text_format("%s", json_is_null(value) && strcmp(name, "held_reads") == 0 ? "–" : "");
	}
}
