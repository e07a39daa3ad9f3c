/*
 * Values for people, whatever their shape: objects as "name  value" lines, arrays of objects as aligned tables, times
 * in local time with its zone (R5). Texts come from outside: control characters never reach the terminal.
 */
#include "mgmt/ctl/ctl.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "appliance/base/clock.h"

#define COLUMN_MAX 32
#define PATH_MAX_SIZE 64

/* Columns that a terminal needs, not bytes: a character beyond ASCII counts once. */
static int width_of(const char *text)
{
	int width = 0;

	for (; *text != '\0'; text++)
		width += ((unsigned char)*text & 0xc0) != 0x80;
	return width;
}

static char *clean(char *text)
{
	for (char *at = text; at != NULL && *at != '\0'; at++)
		if ((unsigned char)*at < 0x20 || *at == 0x7f)
			*at = '?';
	return text;
}

static char *format(const char *how, ...) __attribute__((format(printf, 1, 2)));
static char *format(const char *how, ...)
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
	return format("%s.%03d %s", day, (int)(us % 1000000 / 1000), zone);
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
	return unit < 0 ? format("%" PRId64 " B", (int64_t)bytes) : format("%.1f %s", scaled, units[unit]);
}

static bool ends_with(const char *text, const char *end)
{
	size_t size = strlen(text);

	return size >= strlen(end) && strcmp(text + size - strlen(end), end) == 0;
}

static char *scalar_text(const char *name, const json_t *value);

static char *join_items(const json_t *array)
{
	char *joined = format("%s", "");
	size_t index;
	json_t *item;

	json_array_foreach(array, index, item)
	{
		char *text = scalar_text("", item);
		char *longer = format("%s%s%s", joined, index > 0 ? ", " : "", text);

		free(text);
		free(joined);
		joined = longer;
	}
	return joined;
}

/* An object inside a cell: its values, for its names would not fit. */
static char *join_members(const json_t *object)
{
	char *joined = format("%s", "");
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)object, name, value)
	{
		char *text = scalar_text(name, value);
		char *longer = format("%s%s%s=%s", joined, joined[0] != '\0' ? " " : "", name, text);

		free(text);
		free(joined);
		joined = longer;
	}
	return joined;
}

/* malloc'd, never NULL, empty for nothing. */
static char *scalar_text(const char *name, const json_t *value)
{
	char *text;

	switch (value != NULL ? json_typeof(value) : JSON_NULL) {
	case JSON_STRING:
		text = local_time(json_string_value(value));
		return text != NULL ? text : clean(format("%s", json_string_value(value)));
	case JSON_INTEGER:
		return ends_with(name, "bytes") ? human_bytes(json_integer_value(value))
						: format("%" JSON_INTEGER_FORMAT, json_integer_value(value));
	case JSON_REAL:
		return format("%.6g", json_real_value(value));
	case JSON_TRUE:
		return format("yes");
	case JSON_FALSE:
		return format("no");
	case JSON_ARRAY:
		return join_items(value);
	case JSON_OBJECT:
		return join_members(value);
	default:
		return format("%s", "");
	}
}

static const json_t *follow(const json_t *row, const char *path)
{
	while (path != NULL && *path != '\0') {
		char part[PATH_MAX_SIZE];
		size_t size = strcspn(path, ".|");

		(void)snprintf(part, sizeof(part), "%.*s", (int)size, path);
		row = json_object_get(row, part);
		if (row == NULL || path[size] != '.')
			return row;
		path += size + 1;
	}
	return row;
}

static char *cell_text(const json_t *row, const struct column *column)
{
	const json_t *value = NULL;

	for (const char *path = column->path; path != NULL && value == NULL;) {
		value = follow(row, path);
		path = strchr(path, '|');
		path = path != NULL ? path + 1 : NULL;
	}
	return scalar_text(column->path, value);
}

static void print_cell(FILE *to, const char *text, int width, bool last)
{
	(void)fprintf(to, "%s%*s", text, last ? 0 : width - width_of(text) + 2, "");
}

static unsigned column_count(const struct column *columns)
{
	unsigned count = 0;

	while (count < COLUMN_MAX && columns[count].title != NULL)
		count++;
	return count;
}

static void print_table(FILE *to, char **cells, size_t row_count, const struct column *columns, const int *widths)
{
	unsigned count = column_count(columns);
	unsigned last = 0;

	for (unsigned c = 0; c < count; c++)
		last = widths[c] > 0 ? c : last;
	for (size_t r = 0; r < row_count + 1; r++) {
		for (unsigned c = 0; c < count; c++)
			if (widths[c] > 0)
				print_cell(to, r == 0 ? columns[c].title : cells[(r - 1) * count + c], widths[c],
					   c == last);
		(void)fputc('\n', to);
	}
}

/* A column that is empty in every row is left out. */
void show_rows(FILE *to, const json_t *rows, const struct column *columns)
{
	unsigned count = column_count(columns);
	size_t row_count = json_array_size(rows);
	char **cells = calloc(row_count * count + 1, sizeof(*cells));
	int widths[COLUMN_MAX] = {0};

	if (cells == NULL)
		abort();
	for (size_t r = 0; r < row_count; r++)
		for (unsigned c = 0; c < count; c++) {
			char *text = cell_text(json_array_get(rows, r), &columns[c]);
			int width = width_of(text);

			cells[r * count + c] = text;
			if (width > 0 && width < width_of(columns[c].title))
				width = width_of(columns[c].title);
			widths[c] = width > widths[c] ? width : widths[c];
		}
	if (row_count > 0)
		print_table(to, cells, row_count, columns, widths);
	for (size_t i = 0; i < row_count * count; i++)
		free(cells[i]);
	free(cells);
}

/* One row of an endless table: widths are guessed. */
void show_row_now(FILE *to, const json_t *row, const struct column *columns, bool head)
{
	static const int width = 12;
	unsigned count = column_count(columns);

	for (unsigned c = 0; c < count && head; c++)
		print_cell(to, columns[c].title, c == 0 ? 27 : width, c + 1 == count);
	if (head)
		(void)fputc('\n', to);
	for (unsigned c = 0; c < count; c++) {
		char *text = cell_text(row, &columns[c]);

		print_cell(to, text, c == 0 ? 27 : width, c + 1 == count);
		free(text);
	}
	(void)fputc('\n', to);
	(void)fflush(to);
}

static bool is_table(const json_t *value)
{
	return json_is_array(value) && json_is_object(json_array_get(value, 0));
}

/* Rows that hold a table (a feed its lanes) become one row for each of its rows. */
static json_t *flatten(const json_t *rows)
{
	json_t *flat = json_array();
	size_t index;
	json_t *row;

	json_array_foreach(rows, index, row)
	{
		json_t *base = json_object();
		const json_t *inner = NULL;
		const char *name;
		json_t *value;
		size_t i;

		json_object_foreach(row, name, value)
		{
			if (inner == NULL && is_table(value))
				inner = value;
			else
				(void)json_object_set(base, name, value);
		}
		json_array_foreach(inner, i, value)
		{
			json_t *joined = json_copy(base);

			(void)json_object_update(joined, value);
			(void)json_array_append_new(flat, joined);
		}
		if (inner == NULL)
			(void)json_array_append(flat, base);
		json_decref(base);
	}
	return flat;
}

/* Columns as they are met, titled by their names. */
static void show_table(FILE *to, const json_t *rows)
{
	struct column columns[COLUMN_MAX + 1] = {0};
	char titles[COLUMN_MAX][PATH_MAX_SIZE];
	json_t *flat = flatten(rows);
	unsigned count = 0;
	size_t index;
	json_t *row;
	const char *name;
	json_t *value;

	json_array_foreach(flat, index, row)
	{
		json_object_foreach(row, name, value)
		{
			unsigned c = 0;

			while (c < count && strcmp(columns[c].path, name) != 0)
				c++;
			if (c < count || count == COLUMN_MAX)
				continue;
			(void)snprintf(titles[count], sizeof(titles[count]), "%s", name);
			for (char *at = titles[count]; *at != '\0'; at++)
				*at = *at == '_' ? ' ' : *at >= 'a' && *at <= 'z' ? (char)(*at - 32) : *at;
			columns[count] = (struct column){titles[count], name};
			count++;
		}
	}
	show_rows(to, flat, columns);
	json_decref(flat);
}

static bool is_section(const json_t *value)
{
	return is_table(value) || (json_is_object(value) && json_object_size(value) > 0);
}

static void show_object(FILE *to, const json_t *object, const char *indent)
{
	const char *name;
	json_t *value;
	int width = 0;

	json_object_foreach((json_t *)object, name, value)
	{
		if (!is_section(value) && width_of(name) > width)
			width = width_of(name);
	}
	json_object_foreach((json_t *)object, name, value)
	{
		char *text;

		if (is_section(value) || (json_is_array(value) && json_array_size(value) == 0) || json_is_null(value))
			continue;
		text = json_is_string(value) && strchr(json_string_value(value), '\n') != NULL
			       ? format("\n%s", json_string_value(value))
			       : scalar_text(name, value);
		(void)fprintf(to, "%s%-*s  %s\n", indent, width, name, text);
		free(text);
	}
	json_object_foreach((json_t *)object, name, value)
	{
		if (!is_section(value))
			continue;
		(void)fprintf(to, "%s%s%s\n", indent[0] == '\0' ? "\n" : "", indent, name);
		if (is_table(value))
			show_table(to, value);
		else
			show_object(to, value, "  ");
	}
}

void show_result(FILE *to, const json_t *result)
{
	if (json_is_object(result)) {
		show_object(to, result, "");
	} else if (is_table(result)) {
		show_table(to, result);
	} else {
		char *text = scalar_text("", result);

		(void)fprintf(to, "%s\n", text);
		free(text);
	}
}
