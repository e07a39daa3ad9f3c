#include "bench/option_table.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static int parse_number(const struct option_row *row, const char *text, uint64_t *ret_value, struct err *err)
{
	char *end;
	uint64_t value;

	errno = 0;
	value = strtoull(text, &end, 10);
	if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0)
		return err_set(err, -EINVAL, "--%s %s: not a number", row->name, text);
	if (value < row->min || value > row->max)
		return err_set(err, -EINVAL, "--%s %s: must be %llu to %llu", row->name, text,
			       (unsigned long long)row->min, (unsigned long long)row->max);
	*ret_value = value;
	return 0;
}

static int parse_percent(const struct option_row *row, const char *text, unsigned *ret_permille, struct err *err)
{
	char *end;
	double value = strtod(text, &end);

	if (end == text || *end != '\0' || !(value >= 0) || value * 10 > (double)row->max)
		return err_set(err, -EINVAL, "--%s %s: must be 0 to %llu percent", row->name, text,
			       (unsigned long long)row->max / 10);
	*ret_permille = (unsigned)(value * 10 + 0.5);
	return 0;
}

static int parse_value(const struct option_row *row, const char *text, void *at, struct err *err)
{
	uint64_t value = 0;
	int r;

	if (row->kind == OPTION_STRING) {
		*(const char **)at = text;
		return 0;
	}
	if (row->kind == OPTION_PERCENT)
		return parse_percent(row, text, at, err);
	r = parse_number(row, text, &value, err);
	if (r < 0)
		return r;
	if (row->kind == OPTION_U64)
		*(uint64_t *)at = value;
	else
		*(uint32_t *)at = (uint32_t)value;
	return 0;
}

static bool is_flag(const struct option_row *row)
{
	return row->kind == OPTION_FLAG || row->kind == OPTION_FLAG_OFF;
}

int option_table_parse(const struct option_table *table, int argc, char **argv, int *at, void *options, struct err *err)
{
	const char *name = argv[*at] + 2;
	const char *value = strchr(name, '=');
	size_t size = value == NULL ? strlen(name) : (size_t)(value - name);

	for (size_t i = 0; i < table->count; i++) {
		const struct option_row *row = &table->rows[i];
		void *field = (char *)options + row->offset;

		if (strlen(row->name) != size || strncmp(row->name, name, size) != 0)
			continue;
		if (is_flag(row)) {
			if (value != NULL)
				return err_set(err, -EINVAL, "--%s takes no value", row->name);
			*(bool *)field = row->kind == OPTION_FLAG;
			return 0;
		}
		if (value == NULL && *at + 1 >= argc)
			return err_set(err, -EINVAL, "--%s needs a value: %s", row->name, row->argument);
		return parse_value(row, value == NULL ? argv[++*at] : value + 1, field, err);
	}
	return err_set(err, -EINVAL, "unknown option --%.*s: see %s --help", (int)size, name, table->program);
}

void option_table_help(const struct option_table *table, FILE *out)
{
	for (size_t i = 0; i < table->count; i++) {
		const struct option_row *row = &table->rows[i];
		char left[40];

		snprintf(left, sizeof(left), "--%s %s", row->name, row->argument == NULL ? "" : row->argument);
		fprintf(out, "  %-24s %s\n", left, row->help);
	}
}
