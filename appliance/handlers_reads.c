#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/clock.h"
#include "appliance/base/glob.h"
#include "appliance/gantry.h"
#include "appliance/handlers.h"
#include "appliance/present.h"
#include "matcher/vrm.h"
#include "mgmt/call.h"
#include "storage/hold.h"
#include "storage/search.h"
#include "storage/store.h"

struct searching {
	struct call *call;
	struct gantry *gantry;
	struct glob key;
	struct glob text;
	uint32_t *cameras;
	struct search_query query;
	struct search_result result;
};

static bool search_cancelled(void *context)
{
	const struct searching *searching = context;

	return call_cancelled(searching->call);
}

static int search_row(void *context, const struct read *read, const char public_id[SEARCH_PUBLIC_ID_SIZE])
{
	struct searching *searching = context;
	json_t *row = present_read(searching->gantry, read, public_id);

	return row == NULL ? -ENOMEM : call_row(searching->call, row);
}

static int compare_u32(const void *a, const void *b)
{
	uint32_t left = *(const uint32_t *)a;
	uint32_t right = *(const uint32_t *)b;

	return left < right ? -1 : left > right;
}

/* The cameras asked for, sorted and each once, as search wants them. */
static int take_cameras(struct searching *searching)
{
	const json_t *array = call_array(searching->call, "cameras");
	size_t count = 0;

	if (array == NULL)
		return 0;
	searching->cameras = calloc(json_array_size(array) + 1, sizeof(uint32_t));
	if (searching->cameras == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < json_array_size(array); i++)
		searching->cameras[i] = (uint32_t)json_integer_value(json_array_get(array, i));
	qsort(searching->cameras, json_array_size(array), sizeof(uint32_t), compare_u32);
	for (size_t i = 0; i < json_array_size(array); i++)
		if (count == 0 || searching->cameras[count - 1] != searching->cameras[i])
			searching->cameras[count++] = searching->cameras[i];
	searching->query.cameras = searching->cameras;
	searching->query.camera_count = count;
	return 0;
}

/* The text as received is compared as it is but for case: a person types what is on the plate. */
static int take_vrm(struct searching *searching)
{
	struct call *call = searching->call;
	const char *vrm = call_text(call, "vrm");
	struct err err = {""};

	if (vrm == NULL) {
		if (call_boolean(call, "strict", false)) {
			call_fail(call, CALL_INVALID_PARAMS, "strict goes with vrm");
			return -EINVAL;
		}
		return 0;
	}
	if (call_boolean(call, "not_read", false)) {
		call_fail(call, CALL_INVALID_PARAMS, "not_read records have no VRM: give one or the other");
		return -EINVAL;
	}
	if (call_boolean(call, "strict", false)) {
		if (glob_compile(vrm, strlen(vrm), &searching->text) < 0) {
			call_fail(call, CALL_INVALID_PARAMS, "vrm: at most 64 bytes of UTF-8");
			return -EINVAL;
		}
		searching->query.text_glob = &searching->text;
		return 0;
	}
	if (vrm_pattern_key(vrm, strlen(vrm), &err, &searching->key) < 0) {
		call_fail(call, CALL_INVALID_PARAMS, "vrm: %s", err.text);
		return -EINVAL;
	}
	searching->query.key_glob = &searching->key;
	return 0;
}

static int take_page(struct searching *searching)
{
	struct call *call = searching->call;
	const char *order = call_text(call, "order");
	const char *cursor = call_text(call, "cursor");

	searching->query.oldest_first = order != NULL && strcmp(order, "oldest") == 0;
	searching->query.limit = (uint32_t)call_integer(call, "limit", 100);
	if (cursor != NULL && search_cursor_parse(cursor, &searching->query.cursor) < 0) {
		call_fail(call, CALL_INVALID_PARAMS, "cursor: not one that a search has given");
		return -EINVAL;
	}
	return 0;
}

/* R39: what is restricted is there for the person it is of, and for a court. */
static bool may_see_restricted(const struct call *call)
{
	const char *purpose = call_text(call, "purpose");

	return strcmp(purpose, "subject-access") == 0 || strcmp(purpose, "court") == 0;
}

/* R35: a search that quotes a case finds the case's copies of purged days, over age too, and nothing else. */
static int take_hold(struct searching *searching)
{
	struct call *call = searching->call;
	const char *reference = call_text(call, "hold");
	struct search_query *query = &searching->query;
	struct reg_hold hold;
	int result;

	if (reference == NULL)
		return 0;
	result = hold_find(searching->gantry->store, reference, &hold);
	if (result == 0 && hold.released)
		result = -ENOENT;
	if (result == -ENOENT)
		call_fail(call, CALL_REFUSED, "hold: there is no hold of that case; see holds.show");
	if (result < 0)
		return result == -ENOENT ? -EINVAL : result;
	query->case_number = hold.number;
	query->from_us = call_time(call, "from", 0);
	query->to_us = call_time(call, "to", clock_wall_us());
	return 0;
}

/*
 * R34: what is older than the retention does not exist for a search, purged or not. 0, or < 0 with the call failed.
 */
static int take_query(struct searching *searching, bool count_only)
{
	struct gantry *gantry = searching->gantry;
	struct call *call = searching->call;
	int64_t now_us = clock_wall_us();
	int64_t oldest_us = now_us - gantry->config.retention_days * DAY_US;
	int64_t newest_us = now_us + gantry->config.future_s * 1000000;
	struct search_query *query = &searching->query;
	int result;

	query->from_us = call_time(call, "from", oldest_us);
	query->to_us = call_time(call, "to", newest_us);
	if (query->from_us < oldest_us)
		query->from_us = oldest_us;
	if (query->to_us > newest_us)
		query->to_us = newest_us;
	if (query->to_us < query->from_us)
		query->to_us = query->from_us;
	if (call_has(call, "from") && call_has(call, "to") && call_time(call, "from", 0) >= call_time(call, "to", 0)) {
		call_fail(call, CALL_INVALID_PARAMS, "from is not before to");
		return -EINVAL;
	}
	query->not_read = call_boolean(call, "not_read", false);
	query->restricted = call_boolean(call, "restricted", false);
	if (query->restricted && !may_see_restricted(call)) {
		call_fail(call, CALL_REFUSED,
			  "restricted reads are shown for the purposes subject-access and court only");
		return -EINVAL;
	}
	query->count_only = count_only;
	query->cancelled = search_cancelled;
	query->context = searching;
	query->ms_max = gantry->config.search_ms_max;
	if (take_vrm(searching) < 0 || (!count_only && take_page(searching) < 0))
		return -EINVAL;
	if ((result = take_hold(searching)) < 0)
		return result;
	return take_cameras(searching);
}

static json_t *result_json(const struct search_result *result, int64_t elapsed_ns, bool count_only)
{
	json_t *unreadable = json_array();
	json_t *object;
	char cursor[SEARCH_CURSOR_TEXT_SIZE];

	for (uint64_t i = 0; i < result->faults && i < SEARCH_FAULTS_MAX; i++)
		(void)json_array_append_new(unreadable, json_string(result->fault[i].err.text));
	object = json_pack("{s:I,s:b,s:o,s:f}", "count", (json_int_t)result->count, "complete", !result->incomplete,
			   "unreadable", unreadable, "elapsed_ms", (double)elapsed_ns / 1e6);
	if (result->stop == SEARCH_MS_MAX)
		(void)json_object_set_new(object, "stopped", json_string("the longest time of a search was reached"));
	if (count_only)
		return object;
	(void)json_object_set_new(object, "truncated", json_boolean(result->truncated));
	if (result->truncated) {
		search_cursor_text(&result->cursor, cursor);
		(void)json_object_set_new(object, "cursor", json_string(cursor));
	}
	return object;
}

static int search(struct searching *searching, bool count_only)
{
	struct call *call = searching->call;
	const char *why;
	struct err err = {""};
	int64_t began_ns;
	int result;

	if (store_register(searching->gantry->store, &why) == NULL) {
		call_fail(call, CALL_FAILED, "the register is incomplete, so nothing is searched: %s", why);
		return 0;
	}
	if ((result = take_query(searching, count_only)) < 0)
		return result == -EINVAL ? 0 : result;
	began_ns = clock_mono_ns();
	result = search_run(searching->gantry->views, &searching->query, &err, search_row, searching,
			    &searching->result);
	if (result == -EINVAL) {
		call_fail(call, CALL_INVALID_PARAMS, "%s", err.text);
		return 0;
	}
	if (result != 0)
		return result;
	if (searching->result.stop == SEARCH_CANCELLED)
		return -ECANCELED;
	/* An unreadable part is damage, whoever finds it. */
	for (uint64_t i = 0; i < searching->result.faults && i < SEARCH_FAULTS_MAX; i++)
		gantry_alarm(searching->gantry, searching->result.fault[i].err.text);
	call_audit_fact(call, "count", json_integer((json_int_t)searching->result.count));
	call_audit_fact(call, "complete", json_boolean(!searching->result.incomplete));
	call_result(call, result_json(&searching->result, clock_mono_ns() - began_ns, count_only));
	return 0;
}

static int run_search(struct call *call, struct gantry *gantry, bool count_only)
{
	struct searching *searching = calloc(1, sizeof(*searching));
	int result;

	if (searching == NULL)
		return -ENOMEM;
	searching->call = call;
	searching->gantry = gantry;
	result = search(searching, count_only);
	free(searching->cameras);
	free(searching);
	return result;
}

int handle_reads_search(struct call *call, void *gantry)
{
	return run_search(call, gantry, false);
}

int handle_reads_count(struct call *call, void *gantry)
{
	return run_search(call, gantry, true);
}
