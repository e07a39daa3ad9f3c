/* What the segments are: one by one, or by day. */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "appliance/base/clock.h"
#include "appliance/base/read.h"
#include "appliance/gantry.h"
#include "appliance/handlers.h"
#include "appliance/present.h"
#include "mgmt/call.h"
#include "storage/catalog.h"
#include "storage/store.h"

struct sums {
	uint64_t segments;
	uint64_t days;
	uint64_t reads;
	uint64_t collapsed;
	uint64_t hits;
	uint64_t bytes;
	int64_t first_us;
	int64_t last_us;
};

/* Both ascend by day. */
struct holding {
	struct catalog_segment *segments;
	size_t segment_count;
	struct store_day *days;
	size_t day_count;
};

static void sums_add(struct sums *sums, const struct catalog_segment *segment)
{
	if (sums->segments == 0 || segment->capture_first_us < sums->first_us)
		sums->first_us = segment->capture_first_us;
	if (sums->segments == 0 || segment->capture_last_us > sums->last_us)
		sums->last_us = segment->capture_last_us;
	sums->segments++;
	sums->reads += segment->row_count;
	sums->collapsed += segment->collapsed_count;
	sums->hits += segment->hit_count;
	sums->bytes += segment->file_size;
}

static void put_sums(json_t *object, const struct sums *sums)
{
	char first[CLOCK_TEXT_SIZE], last[CLOCK_TEXT_SIZE];
	json_t *more = json_pack("{s:I,s:I,s:I,s:I}", "reads", (json_int_t)sums->reads, "collapsed",
				 (json_int_t)sums->collapsed, "hits", (json_int_t)sums->hits, "bytes",
				 (json_int_t)sums->bytes);

	if (sums->reads > 0)
		(void)json_object_set_new(more, "bytes_per_read", json_real((double)sums->bytes / (double)sums->reads));
	if (sums->segments > 0) {
		(void)json_object_set_new(more, "first", json_string(clock_text_utc(sums->first_us, first)));
		(void)json_object_set_new(more, "last", json_string(clock_text_utc(sums->last_us, last)));
	}
	(void)json_object_update_missing(object, more);
	json_decref(more);
}

static const char *day_state(const struct store_day *day)
{
	return day == NULL || !day->closed ? "open" : day->purged ? "purged" : "purging";
}

static const struct store_day *find_day(const struct holding *holding, int32_t number)
{
	for (size_t i = 0; i < holding->day_count; i++)
		if (holding->days[i].day == number)
			return &holding->days[i];
	return NULL;
}

static json_t *segment_json(const struct holding *holding, const struct catalog_segment *segment)
{
	struct sums sums = {0};
	char day[PRESENT_DAY_SIZE];
	char id[17];
	json_t *object;

	sums_add(&sums, segment);
	(void)snprintf(id, sizeof(id), "%016" PRIx64, segment->id);
	object = json_pack("{s:s,s:s,s:s,s:s,s:I}", "day", present_day(segment->day, day), "segment", id, "state",
			   day_state(find_day(holding, segment->day)), "made_of",
			   segment->lineage_kind == SEGMENT_FROM_SEGMENTS ? "segments" : "journals", "parents",
			   (json_int_t)segment->lineage_count);
	put_sums(object, &sums);
	return object;
}

static int give_segments(struct call *call, const struct holding *holding)
{
	int result = 0;

	for (size_t i = 0; i < holding->segment_count && result == 0; i++)
		result = call_row(call, segment_json(holding, &holding->segments[i]));
	return result;
}

static json_t *day_json(const struct holding *holding, int32_t number, const struct sums *sums)
{
	char text[PRESENT_DAY_SIZE];
	json_t *object = json_pack("{s:s,s:s,s:I}", "day", present_day(number, text), "state",
				   day_state(find_day(holding, number)), "segments", (json_int_t)sums->segments);

	put_sums(object, sums);
	return object;
}

/* Days of segments and days that the catalog knows otherwise (purged ones), walked together. */
static int give_days(struct call *call, const struct holding *holding, int32_t first_day, int32_t last_day)
{
	size_t s = 0, d = 0;
	int result = 0;

	while (result == 0) {
		int32_t day = INT32_MAX;
		struct sums sums = {0};

		while (d < holding->day_count && holding->days[d].day < first_day)
			d++;
		if (s < holding->segment_count)
			day = holding->segments[s].day;
		if (d < holding->day_count && holding->days[d].day <= last_day && holding->days[d].day < day)
			day = holding->days[d].day;
		if (day == INT32_MAX)
			break;
		for (; s < holding->segment_count && holding->segments[s].day == day; s++)
			sums_add(&sums, &holding->segments[s]);
		d += d < holding->day_count && holding->days[d].day == day;
		result = call_row(call, day_json(holding, day, &sums));
	}
	return result;
}

static json_t *totals_json(const struct holding *holding)
{
	struct sums sums = {0};
	json_t *object;

	for (size_t i = 0; i < holding->segment_count; i++) {
		sums.days += i == 0 || holding->segments[i - 1].day != holding->segments[i].day;
		sums_add(&sums, &holding->segments[i]);
	}
	object = json_pack("{s:I,s:I}", "segments", (json_int_t)sums.segments, "days", (json_int_t)sums.days);
	put_sums(object, &sums);
	return object;
}

int handle_segments_show(struct call *call, void *context)
{
	struct gantry *gantry = context;
	int32_t first_day = call_day(call, "from", INT32_MIN);
	int32_t last_day = call_day(call, "to", INT32_MAX - 1);
	struct holding holding = {NULL};
	int result;

	if (call_has(call, "day") && (call_has(call, "from") || call_has(call, "to"))) {
		call_fail(call, CALL_INVALID_PARAMS, "give either day, or from and to");
		return 0;
	}
	if (call_has(call, "day"))
		first_day = last_day = call_day(call, "day", 0);
	if (first_day > last_day) {
		call_fail(call, CALL_INVALID_PARAMS, "from is after to");
		return 0;
	}
	result = catalog_segments(store_catalog(gantry->store), first_day, last_day, &holding.segments,
				  &holding.segment_count);
	if (result == 0)
		result = store_days(gantry->store, &holding.days, &holding.day_count);
	if (result == 0)
		result = call_boolean(call, "by_day", false) ? give_days(call, &holding, first_day, last_day)
							     : give_segments(call, &holding);
	if (result == 0)
		call_result(call, totals_json(&holding));
	free(holding.segments);
	free(holding.days);
	return result;
}
