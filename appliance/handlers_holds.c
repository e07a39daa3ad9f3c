/* holds.*: the case of the request's grounds is the case that holds. */
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>

#include "appliance/base/bytes.h"
#include "appliance/base/clock.h"
#include "appliance/base/glob.h"
#include "appliance/gantry.h"
#include "appliance/handlers.h"
#include "appliance/present.h"
#include "matcher/vrm.h"
#include "mgmt/call.h"
#include "storage/catalog.h"
#include "storage/hold.h"
#include "storage/register.h"
#include "storage/store.h"

struct adding {
	struct call *call;
	struct reg_hold hold;
	struct hold_selector selector;
	char pattern[GLOB_PATTERN_SIZE_MAX + 1];
	uint32_t *cameras;
	struct reg_hold_read *reads;
};

static const char *class_name(const struct reg_hold *hold)
{
	return hold->hold_class == REG_HOLD_CPIA ? "cpia" : "mopi";
}

static int take_head(struct adding *adding)
{
	struct call *call = adding->call;
	const char *reference = call_text(call, "case");
	const char *reason = call_text(call, "reason");

	if (strlen(reference) >= sizeof(adding->hold.reference)) {
		call_fail(call, CALL_INVALID_PARAMS, "case: at most %zu bytes for a hold",
			  sizeof(adding->hold.reference) - 1);
		return -EINVAL;
	}
	adding->hold.hold_class = strcmp(call_text(call, "class"), "cpia") == 0 ? REG_HOLD_CPIA : REG_HOLD_MOPI;
	adding->hold.review_day = call_day(call, "review", 0);
	adding->hold.who_uid = call_peer(call)->uid;
	(void)snprintf(adding->hold.reference, sizeof(adding->hold.reference), "%s", reference);
	(void)snprintf(adding->hold.reason, sizeof(adding->hold.reason), "%s", reason);
	return 0;
}

static int take_vrm(struct adding *adding)
{
	const char *vrm = call_text(adding->call, "vrm");
	struct err err = {""};
	struct glob glob;

	if (vrm == NULL)
		return 0;
	if (vrm_pattern_key(vrm, strlen(vrm), &err, &glob) < 0) {
		call_fail(adding->call, CALL_INVALID_PARAMS, "vrm: %s", err.text);
		return -EINVAL;
	}
	memcpy(adding->pattern, glob.pattern, glob.pattern_size);
	adding->pattern[glob.pattern_size] = '\0';
	adding->selector.pattern = adding->pattern;
	return 0;
}

static int take_cameras(struct adding *adding)
{
	const json_t *array = call_array(adding->call, "cameras");
	size_t count = json_array_size(array);

	if (count == 0)
		return 0;
	adding->cameras = calloc(count, sizeof(*adding->cameras));
	if (adding->cameras == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++)
		adding->cameras[i] = (uint32_t)json_integer_value(json_array_get(array, i));
	adding->selector.cameras = adding->cameras;
	adding->selector.camera_count = count;
	return 0;
}

/* "id,camera,time": a row of a search. */
static int parse_read(const char *text, struct reg_hold_read *ret_read)
{
	const char *comma = strchr(text, ',');
	char id[2 * REG_PUBLIC_ID_SIZE + 1];
	unsigned long camera;
	char *end;

	if (comma == NULL || comma - text != (ptrdiff_t)sizeof(id) - 1)
		return -EINVAL;
	memcpy(id, text, sizeof(id) - 1);
	id[sizeof(id) - 1] = '\0';
	errno = 0;
	camera = strtoul(comma + 1, &end, 10);
	if (errno != 0 || end == comma + 1 || *end != ',' || camera > UINT32_MAX)
		return -EINVAL;
	ret_read->camera = (uint32_t)camera;
	if (hex_decode(id, ret_read->public_id, sizeof(ret_read->public_id)) < 0)
		return -EINVAL;
	return clock_parse(end + 1, &ret_read->capture_us);
}

static int take_reads(struct adding *adding)
{
	const json_t *array = call_array(adding->call, "reads");
	size_t count = json_array_size(array);

	if (count == 0)
		return 0;
	adding->reads = calloc(count, sizeof(*adding->reads));
	if (adding->reads == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		if (parse_read(json_string_value(json_array_get(array, i)), &adding->reads[i]) < 0) {
			call_fail(adding->call, CALL_INVALID_PARAMS,
				  "reads: item %zu is not ID,CAMERA,TIME as a search's row has them", i + 1);
			return -EINVAL;
		}
	}
	adding->selector.reads = adding->reads;
	adding->selector.read_count = count;
	return 0;
}

static json_t *days_json(const struct hold_added *added)
{
	json_t *array = json_array();
	char day[PRESENT_DAY_SIZE];

	for (uint32_t i = 0; i < added->gone_count && i < HOLD_GONE_MAX; i++)
		(void)json_array_append_new(array, json_string(present_day(added->gone[i], day)));
	return array;
}

static int fail_with(struct call *call, int result, const struct err *err)
{
	if (result == -ENOMEM)
		return result;
	call_fail(call,
		  result == -EINVAL ? CALL_INVALID_PARAMS
		  : result == -ENOENT || result == -EPERM || result == -ESTALE || result == -EBUSY || result == -ENOKEY
			  ? CALL_REFUSED
			  : CALL_FAILED,
		  "%s", err->text);
	return 0;
}

static int add(struct adding *adding, struct gantry *gantry)
{
	struct call *call = adding->call;
	struct hold_added added;
	struct err err = {""};
	int result;

	adding->selector.from_us = call_time(call, "from", INT64_MIN);
	adding->selector.to_us = call_time(call, "to", INT64_MAX);
	if ((result = take_head(adding)) < 0 || (result = take_vrm(adding)) < 0 ||
	    (result = take_cameras(adding)) < 0 || (result = take_reads(adding)) < 0)
		return result == -ENOMEM ? result : 0;
	/* Or a read could be amended between the look at it and its hold, and the hold would not follow. */
	pthread_mutex_lock(&gantry->change_lock);
	result = hold_add(gantry->store, &adding->hold, &adding->selector, &err, &added);
	pthread_mutex_unlock(&gantry->change_lock);
	if (result < 0)
		return fail_with(call, result, &err);
	call_result(call,
		    json_pack("{s:s,s:I,s:o,s:I}", "case", adding->hold.reference, "number", (json_int_t)added.number,
			      "days_gone", days_json(&added), "days_gone_count", (json_int_t)added.gone_count));
	return 0;
}

int handle_holds_add(struct call *call, void *gantry)
{
	struct adding *adding = calloc(1, sizeof(*adding));
	int result;

	if (adding == NULL)
		return -ENOMEM;
	adding->call = call;
	result = add(adding, gantry);
	free(adding->cameras);
	free(adding->reads);
	bytes_wipe(adding, sizeof(*adding));
	free(adding);
	return result;
}

/* ---- showing */

struct showing {
	struct gantry *gantry;
	json_t *array;
	const char *reference; /* NULL: all */
	int32_t due;           /* reviews by then; INT32_MAX: all */
	bool selectors;
	json_t *selected;  /* of the case being shown */
	uint32_t first;    /* of the last one in it */
	uint64_t identity; /* of the key of public ids; 0 none */
};

/* Who added it, when and why, and what it asks for but for cameras and reads. */
static json_t *selector_json(const struct reg_hold_selector *selector)
{
	char time[CLOCK_TEXT_SIZE];
	json_t *object =
		json_pack("{s:s,s:I,s:s,s:b}", "since", clock_text_utc(selector->added_us, time), "who_uid",
			  (json_int_t)selector->who_uid, "reason", selector->reason, "amended", selector->follows);

	if (selector->pattern[0] != '\0')
		(void)json_object_set_new(object, "vrm", json_string(selector->pattern));
	if (selector->from_us != INT64_MIN)
		(void)json_object_set_new(object, "from", json_string(clock_text_utc(selector->from_us, time)));
	if (selector->to_us != INT64_MAX)
		(void)json_object_set_new(object, "to", json_string(clock_text_utc(selector->to_us, time)));
	if (selector->camera_count > 0)
		(void)json_object_set_new(object, "cameras", json_array());
	if (selector->read_count > 0)
		(void)json_object_set_new(object, "reads", json_integer(0));
	return object;
}

/* Ids of a key that is lost name nobody: what else is known of the reads, to find them by. */
static void show_lost(const struct showing *showing, const struct reg_hold_selector *selector, json_t *object)
{
	char time[CLOCK_TEXT_SIZE];

	if (selector->read_count == 0 || selector->identity == showing->identity)
		return;
	if (json_object_get(object, "lost") == NULL)
		(void)json_object_set_new(object, "lost", json_array());
	for (unsigned i = 0; i < selector->read_count; i++)
		(void)json_array_append_new(json_object_get(object, "lost"),
					    json_sprintf("%u,%s", selector->reads[i].camera,
							 clock_text_utc(selector->reads[i].capture_us, time)));
}

/* What was added together is shown as one, however many records it takes. */
static int show_selector(void *context, struct reg_hold_selector *selector)
{
	struct showing *showing = context;
	json_t *object;

	if (json_array_size(showing->selected) == 0 || selector->first != showing->first)
		(void)json_array_append_new(showing->selected, selector_json(selector));
	showing->first = selector->first;
	object = json_array_get(showing->selected, json_array_size(showing->selected) - 1);
	for (unsigned i = 0; i < selector->camera_count; i++)
		(void)json_array_append_new(json_object_get(object, "cameras"), json_integer(selector->cameras[i]));
	if (selector->read_count > 0) {
		json_t *reads = json_object_get(object, "reads");

		(void)json_integer_set(reads, json_integer_value(reads) + selector->read_count);
	}
	show_lost(showing, selector, object);
	return 0;
}

static int copies_json(struct gantry *gantry, uint32_t number, json_t *object)
{
	struct catalog_segment *segments = NULL;
	size_t count = 0;
	uint64_t rows = 0;
	int result =
		catalog_case_segments(store_catalog(gantry->store), number, INT32_MIN, INT32_MAX, &segments, &count);

	for (size_t i = 0; i < count; i++)
		rows += segments[i].row_count;
	free(segments);
	(void)json_object_set_new(object, "copied_days", json_integer((json_int_t)count));
	(void)json_object_set_new(object, "copied_reads", json_integer((json_int_t)rows));
	return result;
}

static int show_hold(void *context, const struct reg_hold *hold)
{
	struct showing *showing = context;
	char review[PRESENT_DAY_SIZE];
	char since[CLOCK_TEXT_SIZE];
	json_t *object;
	int result;

	if ((showing->reference != NULL && strcmp(showing->reference, hold->reference) != 0) ||
	    hold->review_day > showing->due)
		return 0;
	object = json_pack("{s:s,s:s,s:s,s:s,s:I,s:b}", "case", hold->reference, "class", class_name(hold), "review",
			   present_day(hold->review_day, review), "since", clock_text_utc(hold->created_us, since),
			   "who_uid", (json_int_t)hold->who_uid, "released", hold->released);
	if (object == NULL)
		return -ENOMEM;
	result = copies_json(showing->gantry, hold->number, object);
	if (result == 0 && showing->selectors) {
		(void)json_object_set_new(object, "reason", json_string(hold->reason));
		showing->selected = json_array();
		result = hold_each_selector(showing->gantry->store, hold->number, show_selector, showing);
		(void)json_object_set_new(object, "held", showing->selected);
	}
	(void)json_array_append_new(showing->array, object);
	return result;
}

static int show_holds(struct call *call, struct showing *showing)
{
	const char *why;
	int result;

	if (store_register(showing->gantry->store, &why) == NULL) {
		call_fail(call, CALL_FAILED, "the register is incomplete: %s", why);
		return 0;
	}
	(void)hold_identity(showing->gantry->store, NULL, &showing->identity);
	showing->array = json_array();
	result = hold_each(showing->gantry->store, show_hold, showing);
	if (result < 0) {
		json_decref(showing->array);
		return result;
	}
	call_result(call, json_pack("{s:o}", "holds", showing->array));
	return 0;
}

int handle_holds_show(struct call *call, void *gantry)
{
	struct showing showing = {
		.gantry = gantry, .reference = call_text(call, "hold"), .due = INT32_MAX, .selectors = true};

	return show_holds(call, &showing);
}

int handle_holds_review(struct call *call, void *gantry)
{
	struct showing showing = {.gantry = gantry, .due = call_day(call, "by", read_day(clock_wall_us()))};

	return show_holds(call, &showing);
}

int handle_holds_renew(struct call *call, void *context)
{
	struct gantry *gantry = context;
	char day[PRESENT_DAY_SIZE];
	struct err err = {""};
	int result = hold_renew(gantry->store, call_text(call, "case"), call_day(call, "review", 0),
				call_peer(call)->uid, call_text(call, "reason"), &err);

	if (result < 0)
		return fail_with(call, result, &err);
	call_result(call, json_pack("{s:s,s:s}", "case", call_text(call, "case"), "review",
				    present_day(call_day(call, "review", 0), day)));
	return 0;
}

/* ---- releasing */

static json_t *release_json(const struct hold_release *release)
{
	return json_pack("{s:s,s:I,s:I,s:I}", "case", release->reference, "number", (json_int_t)release->number,
			 "destroyed_segments", (json_int_t)release->segments, "destroyed_reads",
			 (json_int_t)release->reads);
}

int hold_audit(void *context, const struct hold_release *release)
{
	json_t *object = release_json(release);
	char *body = object != NULL ? json_dumps(object, JSON_COMPACT) : NULL;
	int result = body == NULL ? -ENOMEM : gantry_note(context, release->who_uid, "holds.certificate", body);

	free(body);
	json_decref(object);
	return result;
}

int handle_holds_release(struct call *call, void *context)
{
	struct gantry *gantry = context;
	struct hold_release release;
	struct err err = {""};
	int result = hold_release(gantry->store, call_text(call, "case"), call_peer(call)->uid,
				  call_text(call, "reason"), hold_audit, gantry, &err, &release);

	if (result < 0)
		return fail_with(call, result, &err);
	call_audit_fact(call, "reads", json_integer((json_int_t)release.reads));
	call_result(call, release_json(&release));
	return 0;
}
