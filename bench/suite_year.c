#include "bench/suite_year.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "appliance/base/clock.h"
#include "bench/suite_build.h"
#include "bench/suite_options.h"
#include "bench/suite_progress.h"
#include "bench/suite_reads.h"
#include "bench/suite_report.h"
#include "bench/suite_room.h"
#include "bench/suite_store.h"
#include "storage/catalog.h"
#include "storage/keyring.h"
#include "storage/segment_format.h"
#include "storage/store.h"

#define FILE_NAME "year.json"
#define RETENTION_DAYS 365

/* ---- year.json */

/* What has to be the same for a year to be used again. */
static json_t *origin_new(const struct suite_options *options)
{
	json_t *origin = json_object();

	suite_report_integer(origin, "segment_format", SEGMENT_FORMAT);
	suite_report_integer(origin, "seed", (long long)options->seed);
	suite_report_integer(origin, "cameras", options->cameras);
	suite_report_integer(origin, "vehicles", options->vehicles);
	suite_report_integer(origin, "feeds", options->feeds);
	suite_report_integer(origin, "days", options->days);
	suite_report_integer(origin, "day_reads", (long long)options->day_reads);
	suite_report_integer(origin, "year_reads", (long long)options->year_reads);
	return origin;
}

static json_t *counts_new(const struct suite_counts *counts)
{
	json_t *array = json_array();

	for (unsigned i = 0; i < SUITE_KINDS * SUITE_QUERIES; i++)
		(void)json_array_append_new(array, json_integer((json_int_t)(&counts->of[0][0])[i]));
	return array;
}

static void counts_read(const json_t *array, struct suite_counts *ret_counts)
{
	for (unsigned i = 0; i < SUITE_KINDS * SUITE_QUERIES; i++)
		(&ret_counts->of[0][0])[i] = (uint64_t)json_integer_value(json_array_get(array, i));
}

static int year_write(const struct suite_year *year, const struct suite_options *options, const char *path,
		      struct err *err)
{
	json_t *object = json_object();
	char temporary[SUITE_PATH_SIZE + 64];
	int r;

	(void)json_object_set_new(object, "origin", origin_new(options));
	suite_report_integer(object, "first_day", year->first_day);
	suite_report_integer(object, "full_day", year->full_day);
	suite_report_integer(object, "rows", (long long)year->rows);
	suite_report_integer(object, "full_rows", (long long)year->full_rows);
	suite_report_integer(object, "bytes", (long long)year->bytes);
	suite_report_integer(object, "full_bytes", (long long)year->full_bytes);
	suite_report_integer(object, "full_keys", (long long)year->full_keys);
	suite_report_integer(object, "other_keys", (long long)year->other_keys);
	suite_report_real(object, "build_s", year->build_s);
	(void)json_object_set_new(object, "full_counts", counts_new(&year->full));
	(void)json_object_set_new(object, "all_counts", counts_new(&year->all));
	snprintf(temporary, sizeof(temporary), "%s.tmp", path);
	r = json_dump_file(object, temporary, JSON_COMPACT) == 0 && rename(temporary, path) == 0 ? 0 : -EIO;
	json_decref(object);
	return r < 0 ? err_set(err, r, "%s: cannot be written", path) : 0;
}

static int origin_check(const json_t *object, const struct suite_options *options, const char *path, struct err *err)
{
	json_t *wanted = origin_new(options);
	const json_t *origin = json_object_get(object, "origin");
	const json_t *value;
	const char *name;
	int r = 0;

	json_object_foreach(wanted, name, value)
	{
		const json_t *there = json_object_get(origin, name);

		if (r == 0 && !json_equal(there, value))
			r = err_set(err, -EEXIST,
				    "%s: a year with %s %lld lies here, %lld is asked for: give another --data or "
				    "remove it",
				    path, name, (long long)json_integer_value(there),
				    (long long)json_integer_value(value));
	}
	json_decref(wanted);
	return r;
}

/* 0 with *ret_found. */
static int year_read(const struct suite_options *options, const char *path, struct err *err, bool *ret_found,
		     struct suite_year *ret_year)
{
	json_t *object = json_load_file(path, 0, NULL);
	struct suite_year year = {.found = true};
	int r;

	*ret_found = false;
	if (object == NULL)
		return 0;
	r = origin_check(object, options, path, err);
	year.first_day = (int32_t)json_integer_value(json_object_get(object, "first_day"));
	year.full_day = (int32_t)json_integer_value(json_object_get(object, "full_day"));
	year.rows = (uint64_t)json_integer_value(json_object_get(object, "rows"));
	year.full_rows = (uint64_t)json_integer_value(json_object_get(object, "full_rows"));
	year.bytes = (uint64_t)json_integer_value(json_object_get(object, "bytes"));
	year.full_bytes = (uint64_t)json_integer_value(json_object_get(object, "full_bytes"));
	year.full_keys = (uint64_t)json_integer_value(json_object_get(object, "full_keys"));
	year.other_keys = (uint64_t)json_integer_value(json_object_get(object, "other_keys"));
	year.build_s = json_real_value(json_object_get(object, "build_s"));
	counts_read(json_object_get(object, "full_counts"), &year.full);
	counts_read(json_object_get(object, "all_counts"), &year.all);
	json_decref(object);
	if (r == 0 && read_day(clock_wall_us()) - year.first_day > RETENTION_DAYS)
		r = err_set(err, -ESTALE, "%s: that year began over 12 months ago: remove its directory", path);
	if (r == 0) {
		*ret_year = year;
		*ret_found = true;
	}
	return r;
}

/* ---- building */

static int keys_of(struct suite_store *store, int32_t day, uint64_t *ret_keys, uint64_t *ret_bytes)
{
	struct segment_summary *summary = malloc(sizeof(*summary));
	struct catalog_segment *segments = NULL;
	size_t count = 0;
	int r = summary == NULL ? -ENOMEM : catalog_segments(store_catalog(store->store), day, day, &segments, &count);

	*ret_keys = 0;
	*ret_bytes = 0;
	for (size_t i = 0; r == 0 && i < count; i++) {
		r = catalog_segment(store_catalog(store->store), day, segments[i].id, summary);
		*ret_keys += summary->sections[SEGMENT_KEYS].item_count;
		*ret_bytes += segments[i].file_size;
	}
	free(segments);
	free(summary);
	return r;
}

static int year_weigh(struct suite_store *store, struct suite_year *year, struct err *err)
{
	struct store_status *status = malloc(sizeof(*status));
	struct keyring_info keyring;
	struct catalog_info catalog;
	uint64_t other_bytes;
	int r = status == NULL ? -ENOMEM : store_status(store->store, status);

	if (r == 0)
		r = catalog_info(store_catalog(store->store), &catalog);
	if (r == 0)
		r = keys_of(store, year->full_day, &year->full_keys, &year->full_bytes);
	if (r == 0)
		r = keys_of(store, year->full_day - 1, &year->other_keys, &other_bytes);
	if (r == 0) {
		keyring_info(store_keyring(store->store), &keyring);
		year->rows = status->reads_segments;
		year->bytes = status->segment_bytes + catalog.bytes_used + 2 * keyring.file_size;
	}
	free(status);
	return r < 0 ? err_set(err, r, "counting what is held: %s", strerror(-r)) : 0;
}

/* The full day first: should it fail for want of memory or room, little time is lost. */
static int days_build(const struct suite_builder *builder, const struct suite_options *options, struct suite_year *year,
		      struct err *err)
{
	size_t pieces = suite_build_pieces(options->day_reads, options->piece_reads);
	uint64_t *ids = calloc(pieces + 1, sizeof(*ids));
	struct suite_built full = {0};
	struct suite_built others = {0};
	double merge_s;
	int r = ids == NULL ? err_set(err, -ENOMEM, "no memory")
			    : suite_build_day(builder, year->full_day, options->day_reads, options->piece_reads, err,
					      &full, ids);

	if (r == 0)
		r = suite_store_merge(builder->store, year->full_day, ids, pieces, err, &merge_s);
	free(ids);
	if (r == 0)
		r = suite_build_days(builder, year->first_day, options->days - 1, options->year_reads, err, &others);
	if (r < 0)
		return r;
	year->full_rows = full.reads - full.copies;
	year->full = full.counts;
	year->all = full.counts;
	suite_counts_add(&year->all, &others.counts);
	r = year_weigh(builder->store, year, err);
	if (r == 0 && year->rows != full.reads - full.copies + others.reads - others.copies)
		r = err_set(err, -EIO, "the store holds %llu reads, the fleet made %llu",
			    (unsigned long long)year->rows,
			    (unsigned long long)(full.reads - full.copies + others.reads - others.copies));
	return r;
}

static int year_build(const struct suite_options *options, const struct suite_fleet *fleet,
		      const struct suite_queries *queries, const struct suite_room *room, struct err *err,
		      struct suite_year *year)
{
	struct suite_progress progress;
	struct suite_store store;
	struct suite_builder builder = {.store = &store,
					.fleet = fleet,
					.queries = queries,
					.progress = &progress,
					.threads = options->threads};
	int64_t start_ns = clock_mono_ns();
	int r;

	(void)suite_room_remove(room, SUITE_STORE_DIRECTORY);
	(void)suite_room_remove(room, SUITE_STORE_MASTER);
	r = suite_room_check(room->path, suite_options_bytes(options), err);
	if (r == 0)
		r = suite_store_open(&store, room->path, err);
	if (r < 0)
		return r;
	year->full_day = read_day(clock_wall_us());
	year->first_day = year->full_day - (int32_t)(options->days - 1);
	suite_progress_start(&progress, "year", options->day_reads + (options->days - 1) * options->year_reads);
	r = days_build(&builder, options, year, err);
	suite_progress_end(&progress);
	suite_store_close(&store);
	year->build_s = (double)(clock_mono_ns() - start_ns) / 1e9;
	return r;
}

int suite_year_take(const struct suite_options *options, const struct suite_fleet *fleet,
		    const struct suite_queries *queries, const struct suite_room *room, struct err *err,
		    struct suite_year *ret_year)
{
	struct suite_year year = {0};
	char path[SUITE_PATH_SIZE + 32];
	bool found;
	int r;

	snprintf(path, sizeof(path), "%s/" FILE_NAME, room->path);
	r = year_read(options, path, err, &found, &year);
	if (r == 0 && !found) {
		r = year_build(options, fleet, queries, room, err, &year);
		if (r == 0)
			r = year_write(&year, options, path, err);
	}
	if (r == 0)
		*ret_year = year;
	return r;
}
