#include "matcher/list_rows.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <strings.h>

#include "appliance/base/clock.h"
#include "appliance/base/err.h"
#include "matcher/csv.h"

#define BYTES_MAX_DEFAULT ((size_t)512 << 20)
#define RECORDS_AHEAD 4 /* read before the first of them is taken: memory is that slow */

/* The columns in the order of struct list_row's texts, then those that are no text. */
enum column {
	COLUMN_REASON,
	COLUMN_ACTION,
	COLUMN_MAKE,
	COLUMN_MODEL,
	COLUMN_COLOUR,
	COLUMN_VRM,
	COLUMN_EXPIRES,
	COLUMN_TOLERANT,
	COLUMN_AS_RECEIVED,
	COLUMN_COUNT
};
static_assert((int)COLUMN_COLOUR + 1 == LIST_TEXTS, "text columns index list_row.texts");

static const struct {
	const char *name;
	enum column column;
} column_names[] = {
	{"vrm", COLUMN_VRM},
	{"pattern", COLUMN_VRM},
	{"reason", COLUMN_REASON},
	{"action", COLUMN_ACTION},
	{"make", COLUMN_MAKE},
	{"model", COLUMN_MODEL},
	{"colour", COLUMN_COLOUR},
	{"color", COLUMN_COLOUR},
	{"expires", COLUMN_EXPIRES},
	{"tolerant", COLUMN_TOLERANT},
	{"as-received", COLUMN_AS_RECEIVED},
	{"as_received", COLUMN_AS_RECEIVED},
};

/* Everything that one reading carries along. */
struct load {
	const struct list_options *options;
	list_row_fn *take;
	list_row_hint_fn *hint;
	void *context;
	struct csv csv;
	struct csv_record records[RECORDS_AHEAD];
	struct csv_record *record;  /* of these, the one that is looked at */
	int field_of[COLUMN_COUNT]; /* -1: the text has no such column */
	uint16_t field_count;
	struct list_result *result;
};

static const char *trim(char *text)
{
	size_t size;

	if (*text == '\0')
		return text;
	text += strspn(text, " ");
	size = strlen(text);
	while (size > 0 && text[size - 1] == ' ')
		text[--size] = '\0';
	return text;
}

static int column_find(const char *name)
{
	for (size_t i = 0; i < sizeof(column_names) / sizeof(column_names[0]); i++)
		if (strcasecmp(column_names[i].name, name) == 0)
			return (int)column_names[i].column;
	return -1;
}

/* Names no field it could not read: in a file without a header line that would be a VRM. */
static int header_read(struct load *load, struct err *err)
{
	struct csv_record *record = &load->records[0];

	for (int i = 0; i < COLUMN_COUNT; i++)
		load->field_of[i] = -1;
	if (!csv_next(&load->csv, record))
		return err_set(err, -EINVAL, "the list is empty; its first line has to name the columns");
	if (record->bad != NULL)
		return err_set(err, -EINVAL, "line %u, column %u: %s", record->line, record->bad_field, record->bad);
	for (int i = 0; i < record->field_count; i++) {
		int column = column_find(trim(record->fields[i]));

		if (column < 0)
			return err_set(
				err, -EINVAL,
				"line %u, column %d: not the name of a column; the first line has to name them: vrm, "
				"reason, action, make, model, colour, expires, tolerant, as-received",
				record->line, i + 1);
		if (load->field_of[column] >= 0)
			return err_set(err, -EINVAL, "line %u, column %d: the same column as column %d", record->line,
				       i + 1, load->field_of[column] + 1);
		load->field_of[column] = i;
	}
	if (load->field_of[COLUMN_VRM] < 0)
		return err_set(err, -EINVAL, "line %u: no column is named vrm", record->line);
	load->field_count = record->field_count;
	return 0;
}

static int report(struct load *load, int column, bool duplicate, const char *reason)
{
	struct list_result *result = load->result;
	const struct list_report told = {
		.line = load->record->line, .column = (uint16_t)column, .duplicate = duplicate, .reason = reason};

	*(duplicate ? &result->duplicates : &result->bad) += 1;
	if (result->report_count < LIST_REPORTS_MAX)
		result->reports[result->report_count++] = told;
	return load->options->report != NULL ? load->options->report(load->options->context, &told) : 0;
}

/* The field of that column, "" where there is none. */
static char *field(struct load *load, enum column column)
{
	static char none[1];

	return load->field_of[column] < 0 ? none : load->record->fields[load->field_of[column]];
}

static int flag_parse(const char *text, bool *ret_flag)
{
	static const char *const yes[] = {"1", "yes", "y", "true"};
	static const char *const no[] = {"0", "no", "n", "false"};

	if (*text == '\0') {
		*ret_flag = false;
		return 0;
	}
	for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++) {
		if (strcasecmp(text, yes[i]) == 0) {
			*ret_flag = true;
			return 0;
		}
	}
	for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++) {
		if (strcasecmp(text, no[i]) == 0) {
			*ret_flag = false;
			return 0;
		}
	}
	return -EINVAL;
}

/* Columns with a meaning of their own. The bad column, or -1. */
static int row_values(struct load *load, struct list_row *row, const char **ret_reason)
{
	const char *expires = trim(field(load, COLUMN_EXPIRES));
	bool flag = false;

	row->expires_us = INT64_MAX;
	if (expires[0] != '\0' && clock_parse(expires, &row->expires_us) < 0) {
		*ret_reason = "expires is not a time such as 2026-11-22 or 2026-11-22T05:43:00Z";
		return COLUMN_EXPIRES;
	}
	*ret_reason = "neither yes nor no";
	if (flag_parse(trim(field(load, COLUMN_TOLERANT)), &flag) < 0)
		return COLUMN_TOLERANT;
	row->flags |= flag ? LIST_FLAG_TOLERANT : 0;
	if (!flag && *field(load, COLUMN_TOLERANT) != '\0')
		row->flags |= LIST_FLAG_EXACT;
	if (flag_parse(trim(field(load, COLUMN_AS_RECEIVED)), &flag) < 0)
		return COLUMN_AS_RECEIVED;
	row->flags |= flag ? LIST_FLAG_AS_RECEIVED : 0;
	return -1;
}

/* The row as its columns have it, or the column that is bad, or -1. */
static int row_of(struct load *load, struct list_row *row, const char **ret_reason)
{
	int column = row_values(load, row, ret_reason);
	const char *vrm;

	if (column >= 0)
		return column;
	/* As received means as written, spaces at the ends included. */
	vrm = row->flags & LIST_FLAG_AS_RECEIVED ? field(load, COLUMN_VRM) : trim(field(load, COLUMN_VRM));
	row->vrm = (struct slice){vrm, strlen(vrm)};
	for (int i = 0; i < LIST_TEXTS; i++)
		row->texts[i] = (struct slice){field(load, (enum column)i), strlen(field(load, (enum column)i))};
	return -1;
}

static int row_load(struct load *load)
{
	const struct csv_record *record = load->record;
	struct list_row row = {.line = record->line};
	const char *reason = NULL;
	int column, status;

	load->result->rows++;
	if (record->bad != NULL)
		return report(load, record->bad_field, false, record->bad);
	if (record->field_count != load->field_count)
		return report(load, 0, false, "more or fewer fields than the first line has");
	column = row_of(load, &row, &reason);
	if (column >= 0)
		return report(load, load->field_of[column] + 1, false, reason);
	reason = "repeats an earlier row";
	status = load->take(load->context, &row, &reason);
	load->result->loaded += status == 0;
	load->result->expired += status == 0 && row.expires_us <= load->options->now_us;
	return status > 0 ? report(load, load->field_of[COLUMN_VRM] + 1, status == LIST_ROW_DUPLICATE, reason) : status;
}

static void give_hint(const struct load *load, const struct csv_record *record)
{
	int vrm = load->field_of[COLUMN_VRM];

	if (load->hint != NULL && record->bad == NULL && vrm < record->field_count)
		load->hint(load->context, &(struct slice){record->fields[vrm], record->sizes[vrm]});
}

/* Fills `records` as far as the text goes; false: none is left to take. */
static bool read_ahead(struct load *load, uint32_t *read, uint32_t taken)
{
	bool more = true;

	while (more && *read - taken < RECORDS_AHEAD) {
		struct csv_record *record = &load->records[*read % RECORDS_AHEAD];

		more = csv_next(&load->csv, record);
		if (!more)
			break;
		give_hint(load, record);
		*read += 1;
	}
	return *read != taken;
}

static int rows_read(struct load *load, struct err *err)
{
	uint32_t rows_max = load->options->rows_max > 0 ? load->options->rows_max : LIST_ROWS_MAX;
	uint32_t read = 0, taken = 0;

	while (read_ahead(load, &read, taken)) {
		int status;

		load->record = &load->records[taken++ % RECORDS_AHEAD];
		if (load->result->rows == rows_max)
			return err_set(err, -E2BIG, "line %u: a list has at most %u rows", load->record->line,
				       rows_max);
		status = row_load(load);
		if (status < 0)
			return err_set(err, status, "line %u: no room for a list of this size", load->record->line);
	}
	return 0;
}

static int strict_check(const struct list_result *result, struct err *err)
{
	for (uint32_t i = 0; i < result->report_count; i++) {
		const struct list_report *first = &result->reports[i];

		if (!first->duplicate)
			return err_set(
				err, -EINVAL, "%u bad row%s, so nothing is loaded; the first: line %u, column %u: %s",
				result->bad, result->bad == 1 ? "" : "s", first->line, first->column, first->reason);
	}
	return err_set(err, -EINVAL, "%u bad row%s, so nothing is loaded", result->bad, result->bad == 1 ? "" : "s");
}

int list_rows_read(const char *text, size_t size, const struct list_options *options, list_row_fn *take,
		   list_row_hint_fn *hint, void *context, struct list_result *ret_result, struct err *err)
{
	static const struct list_options defaults;
	struct list_result unused;
	struct load load = {.options = options != NULL ? options : &defaults,
			    .take = take,
			    .hint = hint,
			    .context = context,
			    .result = ret_result != NULL ? ret_result : &unused};
	size_t bytes_max = load.options->bytes_max > 0 ? load.options->bytes_max : BYTES_MAX_DEFAULT;
	int status;

	memset(load.result, 0, sizeof(*load.result));
	if (size > bytes_max)
		return err_set(err, -E2BIG, "the list has %zu bytes, more than the %zu allowed", size, bytes_max);
	csv_init(&load.csv, text, size);
	status = header_read(&load, err);
	if (status == 0)
		status = rows_read(&load, err);
	if (status == 0 && load.options->strict && load.result->bad > 0)
		status = strict_check(load.result, err);
	return status;
}
