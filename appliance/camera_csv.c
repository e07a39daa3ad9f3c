#include "appliance/camera_csv.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const columns[CAMERA_COLUMN_COUNT] = {"camera", "lat",  "lon",       "name",      "organisation",
							 "type",   "road", "direction", "restricted"};
static const char *const types[REG_CAMERA_TYPE_COUNT] = {"fixed", "mobile", "dashboard", "portable", "cctv"};

const char *camera_type_name(uint8_t type)
{
	return type < REG_CAMERA_TYPE_COUNT ? types[type] : NULL;
}

static int column_of(const char *name)
{
	for (int i = 0; i < CAMERA_COLUMN_COUNT; i++)
		if (strcmp(columns[i], name) == 0)
			return i;
	return -1;
}

int camera_csv_init(struct camera_csv *csv, const char *text, size_t size, struct err *err)
{
	struct csv_record record;

	csv_init(&csv->csv, text, size);
	for (int i = 0; i < CAMERA_COLUMN_COUNT; i++)
		csv->places[i] = -1;
	if (!csv_next(&csv->csv, &record))
		return err_set(err, -EINVAL, "the file is empty; its first line must name the columns");
	if (record.bad != NULL)
		return err_set(err, -EINVAL, "line %u: %s", record.line, record.bad);
	for (int i = 0; i < record.field_count; i++) {
		int column = column_of(record.fields[i]);

		if (column < 0 || csv->places[column] >= 0)
			return err_set(err, -EINVAL,
				       "line %u, column %d: unknown or repeated; columns are camera, lat, lon, name, "
				       "organisation, type, road, direction, restricted",
				       record.line, i + 1);
		csv->places[column] = i;
	}
	for (int i = CAMERA_COLUMN_CAMERA; i <= CAMERA_COLUMN_LON; i++)
		if (csv->places[i] < 0)
			return err_set(err, -EINVAL, "line %u: column '%s' is missing", record.line, columns[i]);
	csv->field_count = record.field_count;
	return 0;
}

static bool row_bad(struct camera_row *row, const struct camera_csv *csv, enum camera_column column, const char *why)
{
	row->bad_column = (uint16_t)(csv->places[column] + 1);
	row->bad = why;
	return false;
}

static const char *field(const struct camera_csv *csv, const struct csv_record *record, enum camera_column column)
{
	return csv->places[column] < 0 ? "" : record->fields[csv->places[column]];
}

static bool take_degrees(const char *text, double bound, int32_t *ret_e7)
{
	char *end;
	double value = strtod(text, &end);

	if (*text == '\0' || *end != '\0' || !isfinite(value) || value < -bound || value > bound)
		return false;
	*ret_e7 = (int32_t)lround(value * 1e7);
	return true;
}

static bool take_text(const char *text, char *ret_text, size_t space)
{
	size_t size = strlen(text);

	if (size >= space)
		return false;
	memcpy(ret_text, text, size + 1);
	return true;
}

static bool take_texts(const struct camera_csv *csv, const struct csv_record *record, struct camera_row *row)
{
	struct reg_camera *camera = &row->camera;
	const struct {
		enum camera_column column;
		char *to;
		size_t space;
	} texts[] = {{CAMERA_COLUMN_NAME, camera->name, sizeof(camera->name)},
		     {CAMERA_COLUMN_ORGANISATION, camera->organisation, sizeof(camera->organisation)},
		     {CAMERA_COLUMN_ROAD, camera->road, sizeof(camera->road)},
		     {CAMERA_COLUMN_DIRECTION, camera->direction, sizeof(camera->direction)}};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (!take_text(field(csv, record, texts[i].column), texts[i].to, texts[i].space))
			return row_bad(row, csv, texts[i].column, "too long");
	return true;
}

static bool take_row(const struct camera_csv *csv, const struct csv_record *record, struct camera_row *row)
{
	const char *number = field(csv, record, CAMERA_COLUMN_CAMERA);
	const char *type = field(csv, record, CAMERA_COLUMN_TYPE);
	const char *restricted = field(csv, record, CAMERA_COLUMN_RESTRICTED);
	unsigned long long value;
	char *end;

	errno = 0;
	value = strtoull(number, &end, 10);
	if (*number < '0' || *number > '9' || *end != '\0' || errno != 0 || value == 0 || value > UINT32_MAX)
		return row_bad(row, csv, CAMERA_COLUMN_CAMERA, "a camera's number is 1 to 4294967295");
	row->camera.camera = (uint32_t)value;
	if (!take_degrees(field(csv, record, CAMERA_COLUMN_LAT), 90, &row->camera.lat_e7))
		return row_bad(row, csv, CAMERA_COLUMN_LAT, "latitude is -90 to 90 degrees");
	if (!take_degrees(field(csv, record, CAMERA_COLUMN_LON), 180, &row->camera.lon_e7))
		return row_bad(row, csv, CAMERA_COLUMN_LON, "longitude is -180 to 180 degrees");
	if (!take_texts(csv, record, row))
		return false;
	for (; *type != '\0' && row->camera.type < REG_CAMERA_TYPE_COUNT; row->camera.type++)
		if (strcmp(type, types[row->camera.type]) == 0)
			break;
	if (row->camera.type == REG_CAMERA_TYPE_COUNT)
		return row_bad(row, csv, CAMERA_COLUMN_TYPE, "type is fixed, mobile, dashboard, portable or cctv");
	if (*restricted != '\0' && strcmp(restricted, "yes") != 0 && strcmp(restricted, "no") != 0)
		return row_bad(row, csv, CAMERA_COLUMN_RESTRICTED, "restricted is yes or no");
	row->camera.restricted = restricted[0] == 'y';
	return true;
}

bool camera_csv_next(struct camera_csv *csv, struct camera_row *ret_row)
{
	struct csv_record record;

	if (!csv_next(&csv->csv, &record))
		return false;
	memset(ret_row, 0, sizeof(*ret_row));
	ret_row->line = record.line;
	if (record.bad != NULL) {
		ret_row->bad_column = record.bad_field;
		ret_row->bad = record.bad;
	} else if (record.field_count != csv->field_count) {
		ret_row->bad = "not as many fields as the first line";
	} else {
		(void)take_row(csv, &record, ret_row);
	}
	return true;
}
