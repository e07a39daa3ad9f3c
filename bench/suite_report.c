#include "bench/suite_report.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/suite_machine.h"
#include "bench/suite_options.h"

#define INDENT 2
#define NAME_WIDTH 30
#define CELL_WIDTH 16

void suite_report_integer(json_t *object, const char *name, long long value)
{
	(void)json_object_set_new(object, name, json_integer(value));
}

void suite_report_real(json_t *object, const char *name, double value)
{
	/* What cannot be said in JSON was not measured. */
	(void)json_object_set_new(object, name, isfinite(value) ? json_real(value) : json_null());
}

void suite_report_text(json_t *object, const char *name, const char *value)
{
	(void)json_object_set_new(object, name, json_string(value));
}

static json_t *conditions_new(const char *directory)
{
	json_t *object = json_object();
	struct suite_machine machine;

	suite_machine_get(directory, &machine);
	suite_report_text(object, "cpu", machine.cpu);
	suite_report_integer(object, "cores", machine.cores);
	suite_report_integer(object, "memory_bytes", (long long)machine.memory_bytes);
	suite_report_text(object, "kernel", machine.kernel);
	suite_report_text(object, "file_system", machine.file_system);
	suite_report_integer(object, "disk_bytes", (long long)machine.disk_total_bytes);
	suite_report_integer(object, "disk_free_bytes", (long long)machine.disk_free_bytes);
	suite_report_text(object, "io", machine.io);
	suite_report_text(object, "build", machine.build);
	return object;
}

static json_t *scale_new(const struct suite_options *options)
{
	json_t *object = json_object();

	suite_report_text(object, "name", options->quick ? "quick" : "full");
	suite_report_integer(object, "seed", (long long)options->seed);
	suite_report_integer(object, "cameras", options->cameras);
	suite_report_integer(object, "vehicles", options->vehicles);
	suite_report_integer(object, "feeds", options->feeds);
	if (options->command == SUITE_RECOVERY || options->command == SUITE_MATCH || options->command == SUITE_HITS)
		return object;
	suite_report_integer(object, "day_reads", (long long)options->day_reads);
	if (options->command == SUITE_SEARCH)
		suite_report_integer(object, "year_reads", (long long)options->year_reads);
	return object;
}

json_t *suite_report_new(const struct suite_options *options, const char *directory)
{
	static const char *const names[SUITE_COMMANDS] = {"storage", "search", "recovery", "match", "clones", "hits"};
	json_t *object = json_object();

	suite_report_text(object, "command", names[options->command]);
	(void)json_object_set_new(object, "scale", scale_new(options));
	(void)json_object_set_new(object, "conditions", conditions_new(directory));
	return object;
}

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a;
	double y = *(const double *)b;

	return (x > y) - (x < y);
}

struct suite_spread suite_spread_of(double *figures, size_t count)
{
	qsort(figures, count, sizeof(*figures), compare_doubles);
	return (struct suite_spread){.median = (figures[(count - 1) / 2] + figures[count / 2]) / 2,
				     .min = figures[0],
				     .max = figures[count - 1]};
}

static void value_format(const json_t *value, char *text, size_t size)
{
	if (json_is_integer(value))
		snprintf(text, size, "%lld", (long long)json_integer_value(value));
	else if (json_is_real(value))
		snprintf(text, size, "%.*f", fabs(json_real_value(value)) < 100 ? 3 : 0, json_real_value(value));
	else if (json_is_string(value))
		snprintf(text, size, "%s", json_string_value(value));
	else
		snprintf(text, size, "%s", json_is_true(value) ? "yes" : json_is_false(value) ? "no" : "-");
}

/* Columns are the first row's names. */
static void table_print(const json_t *rows, int indent)
{
	const json_t *first = json_array_get(rows, 0);
	const json_t *row;
	const json_t *value;
	const char *name;
	char text[256];
	size_t i;

	printf("%*s", indent, "");
	json_object_foreach((json_t *)(uintptr_t)first, name, value) printf("%-*s", CELL_WIDTH, name);
	putchar('\n');
	json_array_foreach(rows, i, row)
	{
		printf("%*s", indent, "");
		json_object_foreach((json_t *)(uintptr_t)first, name, value)
		{
			value_format(json_object_get(row, name), text, sizeof(text));
			printf("%-*s", CELL_WIDTH, text);
		}
		putchar('\n');
	}
}

/* Recursion ends with the object's own depth, which the suite makes: three. */
static void text_print(const json_t *object, int indent)
{
	const json_t *value;
	const char *name;
	char text[256];

	json_object_foreach((json_t *)(uintptr_t)object, name, value)
	{
		if (json_is_object(value) || json_is_array(value)) {
			printf("%*s%s\n", indent, "", name);
			if (json_is_object(value))
				text_print(value, indent + INDENT);
			else
				table_print(value, indent + INDENT);
			continue;
		}
		value_format(value, text, sizeof(text));
		printf("%*s%-*s%s\n", indent, "", NAME_WIDTH - indent, name, text);
	}
}

int suite_report_print(const json_t *object, int json)
{
	int r = 0;

	if (json) {
		r = json_dumpf(object, stdout, JSON_COMPACT | JSON_REAL_PRECISION(9));
		putchar('\n');
	} else {
		text_print(object, 0);
	}
	return r != 0 || fflush(stdout) != 0 ? -EIO : 0;
}
