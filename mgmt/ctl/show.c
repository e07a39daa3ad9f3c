/* Results for people, whatever their shape: objects as "name  value" lines, arrays of objects as aligned tables. */
#include "mgmt/ctl/ctl.h"

#include <stdlib.h>
#include <string.h>

#define COLUMN_MAX 32
#define PATH_MAX_SIZE 64
#define DIGEST_SHOWN 12 /* of a table's digests: enough to tell two apart */

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

static const json_t *cell_value(const json_t *row, const struct column *column)
{
	const json_t *value = NULL;

	for (const char *path = column->path; path != NULL && (value == NULL || json_is_null(value));) {
		value = follow(row, path);
		path = strchr(path, '|');
		path = path != NULL ? path + 1 : NULL;
	}
	return value;
}

static unsigned column_count(const struct column *columns)
{
	unsigned count = 0;

	while (count < COLUMN_MAX && columns[count].title != NULL)
		count++;
	return count;
}

/* A column of a table being laid out: its cells, how wide it must be, and whether it holds numbers only. */
struct layout {
	char **cells;
	int width; /* 0: empty in every row, left out */
	bool numbers;
};

static void lay_out(struct layout *layout, const json_t *rows, const struct column *column)
{
	size_t index;
	json_t *row;

	layout->cells = calloc(json_array_size(rows) + 1, sizeof(*layout->cells));
	layout->numbers = true;
	if (layout->cells == NULL)
		abort();
	json_array_foreach(rows, index, row)
	{
		const json_t *value = cell_value(row, column);
		/* An object's members have columns of their own. */
		char *text = value_text(column->path, json_is_object(value) ? NULL : value);
		int width;

		if (strcmp(column->path, "sha256") == 0 && strlen(text) > DIGEST_SHOWN)
			text[DIGEST_SHOWN] = '\0';
		width = text_width(text);
		layout->cells[index] = text;
		layout->numbers = layout->numbers && (width == 0 || json_is_number(value));
		layout->width = width > layout->width ? width : layout->width;
	}
	if (layout->width > 0 && layout->width < text_width(column->title))
		layout->width = text_width(column->title);
}

/* Numbers to the right; no blanks at the end of a line. */
static void print_line(FILE *to, const struct layout *layouts, const char *const *texts, unsigned count)
{
	int owed = 0;

	for (unsigned c = 0; c < count; c++) {
		int blank = layouts[c].width - text_width(texts[c]);

		if (layouts[c].width == 0)
			continue;
		if (texts[c][0] != '\0')
			(void)fprintf(to, "%*s%s", owed + (layouts[c].numbers ? blank : 0), "", texts[c]);
		owed = (texts[c][0] == '\0' ? owed + blank : layouts[c].numbers ? 0 : blank) + 2;
	}
	(void)fputc('\n', to);
}

void show_rows(FILE *to, const json_t *rows, const struct column *columns)
{
	unsigned count = column_count(columns);
	size_t row_count = json_array_size(rows);
	struct layout layouts[COLUMN_MAX] = {0};
	const char *texts[COLUMN_MAX] = {NULL};

	for (unsigned c = 0; c < count; c++) {
		lay_out(&layouts[c], rows, &columns[c]);
		texts[c] = columns[c].title;
	}
	if (row_count > 0)
		print_line(to, layouts, texts, count);
	for (size_t r = 0; r < row_count; r++) {
		for (unsigned c = 0; c < count; c++)
			texts[c] = layouts[c].cells[r];
		print_line(to, layouts, texts, count);
	}
	for (unsigned c = 0; c < count; c++) {
		for (size_t r = 0; r < row_count; r++)
			free(layouts[c].cells[r]);
		free(layouts[c].cells);
	}
}

/* The blanks before it are those that the cells before owe: none stand at the end of a line. */
static void print_cell(FILE *to, const char *text, int width, int *owed)
{
	int size = text_width(text);

	if (size > 0)
		(void)fprintf(to, "%*s%s", *owed, "", text);
	*owed = (size > 0 ? 0 : *owed) + (size < width ? width - size : 0) + 2;
}

/* One row of an endless table. */
void show_row_now(FILE *to, const json_t *row, const struct column *columns, bool head)
{
	unsigned count = column_count(columns);
	int owed = 0;

	for (unsigned c = 0; c < count && head; c++)
		print_cell(to, columns[c].title, columns[c].width, &owed);
	if (head)
		(void)fputc('\n', to);
	owed = 0;
	for (unsigned c = 0; c < count; c++) {
		char *text = value_text(columns[c].path, cell_value(row, &columns[c]));

		print_cell(to, text, columns[c].width, &owed);
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

struct table {
	struct column columns[COLUMN_MAX + 1];
	char paths[COLUMN_MAX][PATH_MAX_SIZE];
	char titles[COLUMN_MAX][PATH_MAX_SIZE];
	unsigned count;
};

/* Titled by its path: "hour.p50_us" is HOUR P50, for its cells name their unit. */
static void add_column(struct table *table, const char *path)
{
	char *title = table->titles[table->count];
	size_t size = strlen(path) - (value_is_latency(path) ? strlen("_us") : 0);

	for (unsigned c = 0; c < table->count; c++)
		if (strcmp(table->paths[c], path) == 0)
			return;
	if (table->count == COLUMN_MAX)
		return;
	(void)snprintf(table->paths[table->count], PATH_MAX_SIZE, "%s", path);
	(void)snprintf(title, PATH_MAX_SIZE, "%.*s", (int)size, path);
	for (char *at = title; *at != '\0'; at++)
		*at = *at == '_' || *at == '.' ? ' ' : *at >= 'a' && *at <= 'z' ? (char)(*at - 32) : *at;
	table->columns[table->count] = (struct column){title, table->paths[table->count], 0};
	table->count++;
}

/* Columns as they are met; of an object in a row one for each of its members. */
static void show_table(FILE *to, const json_t *rows)
{
	struct table table = {.count = 0};
	json_t *flat = flatten(rows);
	size_t index;
	json_t *row, *value, *inner;
	const char *name, *member;

	json_array_foreach(flat, index, row)
	{
		json_object_foreach(row, name, value)
		{
			char path[PATH_MAX_SIZE];

			if (!json_is_object(value))
				add_column(&table, name);
			json_object_foreach(value, member, inner)
			{
				(void)snprintf(path, sizeof(path), "%s.%s", name, member);
				add_column(&table, path);
			}
		}
	}
	show_rows(to, flat, table.columns);
	json_decref(flat);
}

static bool is_section(const json_t *value)
{
	return is_table(value) || (json_is_object(value) && json_object_size(value) > 0);
}

/* Several texts stand below each other: each of them is to be read (alarms). */
static void show_texts(FILE *to, const json_t *texts, int indent)
{
	size_t index;
	json_t *text;

	json_array_foreach(texts, index, text)
	{
		char *line = value_text("", text);

		(void)fprintf(to, "%*s%s\n", index > 0 ? indent : 0, "", line);
		free(line);
	}
}

static void show_member(FILE *to, const char *name, const json_t *value, int indent, int width)
{
	char *text;

	(void)fprintf(to, "%*s%-*s  ", indent, "", width, name);
	if (json_is_string(json_array_get(value, 0))) {
		show_texts(to, value, indent + width + 2);
		return;
	}
	text = json_is_string(value) && strchr(json_string_value(value), '\n') != NULL
		       ? text_format("\n%s", json_string_value(value))
		       : value_text(name, value);
	(void)fprintf(to, "%s\n", text);
	free(text);
}

static bool is_shown(const json_t *value)
{
	return !is_section(value) && !json_is_null(value) && !(json_is_array(value) && json_array_size(value) == 0);
}

static void show_object(FILE *to, const json_t *object, int indent)
{
	const char *name;
	json_t *value;
	int width = 0;

	json_object_foreach((json_t *)object, name, value)
	{
		if (is_shown(value) && text_width(name) > width)
			width = text_width(name);
	}
	json_object_foreach((json_t *)object, name, value)
	{
		if (is_shown(value))
			show_member(to, name, value, indent, width);
	}
	json_object_foreach((json_t *)object, name, value)
	{
		if (!is_section(value))
			continue;
		(void)fprintf(to, "%s%*s%s\n", indent == 0 ? "\n" : "", indent, "", name);
		if (is_table(value))
			show_table(to, value);
		else
			show_object(to, value, indent + 2);
	}
}

void show_result(FILE *to, const json_t *result)
{
	if (json_is_object(result)) {
		show_object(to, result, 0);
	} else if (is_table(result)) {
		show_table(to, result);
	} else {
		char *text = value_text("", result);

		(void)fprintf(to, "%s\n", text);
		free(text);
	}
}
