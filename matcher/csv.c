#include "matcher/csv.h"

#include <string.h>

#include "appliance/base/utf8.h"

void csv_init(struct csv *csv, const void *text, size_t size)
{
	*csv = (struct csv){.text = text, .size = size, .line = 1};
	if (size >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
		csv->at = 3;
}

bool csv_text_is_clean(const char *text, size_t size)
{
	uint32_t point;
	size_t step;

	for (size_t i = 0; i < size; i += step) {
		step = utf8_next((const uint8_t *)text + i, size - i, &point);
		if (step == 0 || point < 0x20 || (point >= 0x7f && point < 0xa0))
			return false;
	}
	return true;
}

/* The first fault of a record is the one that is told. */
static void record_bad(struct csv_record *record, const char *reason)
{
	if (record->bad != NULL)
		return;
	record->bad = reason;
	record->bad_field = (uint16_t)(record->field_count + 1);
}

static void record_put(struct csv_record *record, uint8_t byte)
{
	uint16_t *size;

	if (record->field_count == CSV_FIELDS_MAX)
		return; /* told already */
	size = &record->sizes[record->field_count];
	if (*size == CSV_FIELD_SIZE_MAX)
		record_bad(record, "a field longer than 256 bytes");
	else
		record->fields[record->field_count][(*size)++] = (char)byte;
}

static bool at_record_end(const struct csv *csv)
{
	if (csv->at == csv->size || csv->text[csv->at] == '\n')
		return true;
	return csv->text[csv->at] == '\r' && (csv->at + 1 == csv->size || csv->text[csv->at + 1] == '\n');
}

static bool at_field_end(const struct csv *csv)
{
	return at_record_end(csv) || csv->text[csv->at] == ',';
}

/* Called behind the opening quote, returns behind the closing one. */
static void read_quoted(struct csv *csv, struct csv_record *record)
{
	while (csv->at < csv->size) {
		uint8_t byte = csv->text[csv->at++];

		if (byte == '"' && (csv->at == csv->size || csv->text[csv->at] != '"'))
			return;
		csv->at += byte == '"';
		csv->line += byte == '\n';
		record_put(record, byte == '\n' || byte == '\r' || byte == '\t' ? ' ' : byte);
	}
	record_bad(record, "a quote that is never closed");
}

static void read_field(struct csv *csv, struct csv_record *record)
{
	bool quoted = csv->at < csv->size && csv->text[csv->at] == '"';

	if (quoted) {
		csv->at++;
		read_quoted(csv, record);
		if (!at_field_end(csv))
			record_bad(record, "text behind a closing quote");
	}
	while (!at_field_end(csv)) {
		if (csv->text[csv->at] == '"')
			record_bad(record, "a quote inside a field that is not quoted");
		record_put(record, csv->text[csv->at++]);
	}
}

static void close_field(struct csv_record *record)
{
	uint16_t field = record->field_count;

	if (field == CSV_FIELDS_MAX) {
		record_bad(record, "more than 16 fields");
		return;
	}
	record->fields[field][record->sizes[field]] = '\0';
	if (!csv_text_is_clean(record->fields[field], record->sizes[field]))
		record_bad(record, "not UTF-8 text, or a control character");
	record->field_count++;
}

static void skip_record_end(struct csv *csv)
{
	if (csv->at < csv->size && csv->text[csv->at] == '\r')
		csv->at++;
	if (csv->at < csv->size) {
		csv->at++;
		csv->line++;
	}
}

bool csv_next(struct csv *csv, struct csv_record *ret_record)
{
	while (csv->at < csv->size && at_record_end(csv))
		skip_record_end(csv);
	if (csv->at == csv->size)
		return false;
	ret_record->line = csv->line;
	ret_record->field_count = 0;
	ret_record->bad_field = 0;
	ret_record->bad = NULL;
	memset(ret_record->sizes, 0, sizeof(ret_record->sizes));
	for (;;) {
		read_field(csv, ret_record);
		close_field(ret_record);
		if (at_record_end(csv))
			break;
		csv->at++; /* the comma */
	}
	skip_record_end(csv);
	return true;
}
