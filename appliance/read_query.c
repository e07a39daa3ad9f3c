#include "appliance/read_query.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/clock.h"
#include "appliance/gantry.h"
#include "appliance/read_cursor.h"
#include "appliance/read_window.h"
#include "matcher/vrm.h"
#include "mgmt/call.h"
#include "storage/hold.h"
#include "storage/register.h"
#include "storage/store.h"

static const struct search_fold misreads = {vrm_fold, VRM_KEY_ALPHABET};

static bool query_cancelled(void *call)
{
	return call_cancelled(call);
}

static void query_progress(void *call, uint64_t reads_done, uint64_t reads)
{
	call_progress(call, reads_done, reads, "reads searched");
}

static int refuse(struct call *call, enum call_code code, const char *parameter, const struct err *err)
{
	call_fail(call, code, "%s%s%s", parameter, *parameter != '\0' ? ": " : "", err->text);
	return -EINVAL;
}

static int compare_u32(const void *a, const void *b)
{
	uint32_t left = *(const uint32_t *)a;
	uint32_t right = *(const uint32_t *)b;

	return left < right ? -1 : left > right;
}

/* The cameras asked for, sorted and each once, as search wants them. */
static int take_cameras(struct read_query *query, struct call *call)
{
	const json_t *array = call_array(call, "cameras");
	size_t count = 0;

	if (array == NULL)
		return 0;
	query->cameras = calloc(json_array_size(array) + 1, sizeof(uint32_t));
	if (query->cameras == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < json_array_size(array); i++)
		query->cameras[i] = (uint32_t)json_integer_value(json_array_get(array, i));
	qsort(query->cameras, json_array_size(array), sizeof(uint32_t), compare_u32);
	for (size_t i = 0; i < json_array_size(array); i++)
		if (count == 0 || query->cameras[count - 1] != query->cameras[i])
			query->cameras[count++] = query->cameras[i];
	query->search.cameras = query->cameras;
	query->search.camera_count = query->camera_count = count;
	return 0;
}

static int take_area(struct read_query *query, struct call *call, struct gantry *gantry)
{
	const char *circle = call_text(call, "circle");
	const char *polygon = call_text(call, "polygon");
	struct search_query *search = &query->search;
	struct err err = {""};
	int result;

	if (circle == NULL && polygon == NULL)
		return 0;
	if (circle != NULL && polygon != NULL) {
		call_fail(call, CALL_INVALID_PARAMS, "give either circle or polygon");
		return -EINVAL;
	}
	result = circle != NULL ? area_circle_parse(circle, &err, &query->area.area)
				: area_polygon_parse(polygon, &err, &query->area.area);
	if (result < 0)
		return refuse(call, CALL_INVALID_PARAMS, circle != NULL ? "circle" : "polygon", &err);
	result = read_area_gather(&query->area, store_register(gantry->store, NULL), search->cameras,
				  search->camera_count);
	if (result < 0)
		return result;
	search->area = &query->area.area;
	search->cameras = query->area.cameras;
	search->camera_count = query->area.camera_count;
	search->roamers = query->area.roamers;
	search->roamer_count = query->area.roamer_count;
	return 0;
}

/* The four readings of a VRM: as a key, as a key that may be misread, as the text itself, or none was read at all. */
static int take_vrm(struct read_query *query, struct call *call)
{
	const char *vrm = call_text(call, "vrm");
	bool strict = call_boolean(call, "strict", false);
	bool tolerant = call_boolean(call, "tolerant", false);
	struct search_query *search = &query->search;
	struct err err = {""};
	int result;

	if ((vrm == NULL && (strict || tolerant)) || (strict && tolerant) || (vrm != NULL && search->not_read)) {
		call_fail(call, CALL_INVALID_PARAMS,
			  vrm == NULL        ? "strict and tolerant go with vrm"
			  : search->not_read ? "not_read records have no VRM: give one or the other"
					     : "strict and tolerant do not go together");
		return -EINVAL;
	}
	if (vrm == NULL)
		return 0;
	if (strict)
		result = vrm_pattern_text(vrm, strlen(vrm), &err, &query->text, &query->key);
	else
		result = (tolerant ? vrm_pattern_folded : vrm_pattern_key)(vrm, strlen(vrm), &err, &query->key);
	if (result < 0)
		return refuse(call, CALL_INVALID_PARAMS, "vrm", &err);
	search->text_glob = strict ? &query->text : NULL;
	search->keyless = result == VRM_NO_LETTER;
	search->folded_glob = tolerant ? &query->key : NULL;
	search->fold = tolerant ? &misreads : NULL;
	search->key_glob = !tolerant && !search->keyless ? &query->key : NULL;
	return 0;
}

/* About everyone: neither a place nor enough of a plate. */
static bool is_open(const struct search_query *search, int64_t fixed_min)
{
	const struct glob *pattern = search->text_glob != NULL     ? search->text_glob
				     : search->folded_glob != NULL ? search->folded_glob
								   : search->key_glob;

	return search->cameras == NULL && (pattern == NULL || read_window_pattern_open(pattern, fixed_min));
}

struct read_window_rules read_query_rules(const struct gantry *gantry)
{
	int64_t now_us = clock_wall_us();

	return (struct read_window_rules){.now_us = now_us,
					  .age_us = store_age_us(gantry->store, now_us),
					  .retention_days = gantry->config.retention_days,
					  .future_s = gantry->config.future_s,
					  .open_days = gantry->config.search_open_days};
}

static int take_window(struct read_query *query, struct call *call, struct gantry *gantry,
		       const struct read_window_ask *ask)
{
	struct read_window_rules rules = read_query_rules(gantry);
	struct read_window window;
	struct err err = {""};
	int result = read_window_set(&rules, ask, &err, &window);

	if (result < 0)
		return refuse(call, result == -EPERM ? CALL_REFUSED : CALL_INVALID_PARAMS, "", &err);
	query->search.from_us = window.from_us;
	query->search.to_us = window.to_us;
	return 0;
}

static int take_page(struct read_query *query, struct call *call, struct gantry *gantry)
{
	const char *order = call_text(call, "order");
	int result;

	query->search.oldest_first = order != NULL && strcmp(order, "oldest") == 0;
	query->search.limit = (uint32_t)call_integer(call, "limit", 100);
	result = read_cursor_question(call, query, NULL, &query->question);
	return result < 0 ? result : read_cursor_take(call, gantry, query);
}

/* A request may lower the budgets of the settings, never raise them. */
static int64_t budget(const struct call *call, const char *name, int64_t most)
{
	int64_t asked = call_integer(call, name, most);

	return asked < most ? asked : most;
}

static void take_limits(struct read_query *query, struct call *call, const struct gantry *gantry)
{
	struct search_query *search = &query->search;

	search->rows_max = (uint64_t)budget(call, "rows_max", gantry->config.search_rows_max);
	search->bytes_max = (uint64_t)budget(call, "bytes_max", gantry->config.search_mib_max << 20);
	search->ms_max = budget(call, "ms_max", gantry->config.search_ms_max);
	search->cancelled = query_cancelled;
	search->progress = query_progress;
	search->context = call;
}

/* R39: what is restricted is there for the person it is of, and for a court. */
static int take_restricted(struct read_query *query, struct call *call)
{
	const char *purpose = call_text(call, "purpose");

	query->search.restricted = call_boolean(call, "restricted", false);
	if (!query->search.restricted || strcmp(purpose, "subject-access") == 0 || strcmp(purpose, "court") == 0)
		return 0;
	call_fail(call, CALL_REFUSED, "restricted reads are shown for the purposes subject-access and court only");
	return -EINVAL;
}

/*
 * R35: a search that quotes a case finds the case's copies of purged days, over age too, and nothing else. It is made
 * for that case: another one's copies are not there for it.
 */
static int take_hold(struct read_query *query, struct call *call, struct gantry *gantry)
{
	const char *reference = call_text(call, "hold");
	struct reg_hold hold;
	int result;

	if (strcmp(reference, call_text(call, "case")) != 0) {
		call_fail(call, CALL_REFUSED,
			  "hold: held reads are shown for their own case: the grounds must name the same case");
		return -EINVAL;
	}
	result = hold_find(gantry->store, reference, &hold);
	if (result == 0 && hold.released)
		result = -ENOENT;
	if (result == -ENOENT) {
		call_fail(call, CALL_REFUSED, "hold: there is no hold of that case; see holds.show");
		return -EINVAL;
	}
	if (result < 0)
		return result;
	query->search.case_number = hold.number;
	query->search.from_us = call_time(call, "from", 0);
	query->search.to_us = call_time(call, "to", clock_wall_us() + gantry->config.future_s * 1000000);
	if (query->search.from_us < query->search.to_us)
		return 0;
	call_fail(call, CALL_INVALID_PARAMS, "from is not before to");
	return -EINVAL;
}

static int take_which(struct read_query *query, struct call *call, struct gantry *gantry)
{
	int result;

	take_limits(query, call, gantry);
	if ((result = take_vrm(query, call)) < 0 || (result = take_cameras(query, call)) < 0 ||
	    (result = take_restricted(query, call)) < 0)
		return result;
	return take_area(query, call, gantry);
}

static int take_asked_window(struct read_query *query, struct call *call, struct gantry *gantry)
{
	struct read_window_ask ask = {.has_from = call_has(call, "from"),
				      .has_to = call_has(call, "to"),
				      .from_us = call_time(call, "from", 0),
				      .to_us = call_time(call, "to", 0)};

	ask.open = is_open(&query->search, gantry->config.search_fixed_min);
	return take_window(query, call, gantry, &ask);
}

int read_query_take(struct read_query *query, struct call *call, struct gantry *gantry, bool count_only)
{
	int result;

	query->search.count_only = count_only;
	query->search.not_read = call_boolean(call, "not_read", false);
	if ((result = take_which(query, call, gantry)) < 0 ||
	    (!count_only && (result = take_page(query, call, gantry)) < 0))
		return result;
	if (call_has(call, "hold"))
		return take_hold(query, call, gantry);
	return take_asked_window(query, call, gantry);
}

int read_query_take_hits(struct read_query *query, struct call *call, struct gantry *gantry)
{
	const char *order = call_text(call, "order");
	int result = take_which(query, call, gantry);

	query->search.count_only = call_boolean(call, "count", false);
	query->search.limit = (uint32_t)call_integer(call, "limit", 100);
	query->search.oldest_first = order != NULL && strcmp(order, "oldest") == 0;
	return result < 0 ? result : take_asked_window(query, call, gantry);
}

int read_query_take_consecutive(struct read_query *query, struct call *call, struct gantry *gantry)
{
	struct read_window_ask ask = {.has_from = call_has(call, "from"),
				      .has_to = call_has(call, "before"),
				      .from_us = call_time(call, "from", 0),
				      .to_us = call_time(call, "before", 0)};
	struct reg_camera known;
	uint32_t camera;
	int result;

	if (ask.has_from && ask.has_to) {
		call_fail(call, CALL_INVALID_PARAMS, "give either from or before");
		return -EINVAL;
	}
	camera = (uint32_t)call_integer(call, "camera", 0);
	result = reg_camera_get(store_register(gantry->store, NULL), camera, &known);
	if (result == -ENOENT) {
		call_fail(call, CALL_REFUSED, "camera: there is no %u in the register; see cameras.show", camera);
		return -EINVAL;
	}
	if (result < 0)
		return result;
	take_limits(query, call, gantry);
	query->cameras = malloc(sizeof(uint32_t));
	if (query->cameras == NULL)
		return -ENOMEM;
	query->cameras[0] = camera;
	query->search.cameras = query->cameras;
	query->search.camera_count = 1;
	query->search.limit = (uint32_t)call_integer(call, "count", 250);
	query->search.oldest_first = ask.has_from;
	return take_window(query, call, gantry, &ask);
}

void read_query_fini(struct read_query *query)
{
	read_area_fini(&query->area);
	free(query->cameras);
}
