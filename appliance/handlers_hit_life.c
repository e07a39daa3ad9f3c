/*
 * hits.acknowledge, hits.assess, hits.respond, hits.dismiss (R24): one step for one or many hits. What may be done is
 * done, together and durable before the call answers; the answer says of each hit what became of it and, where it was
 * refused, why. A call of which nothing could be done fails.
 */
#include "appliance/handlers.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/bytes.h"
#include "appliance/base/clock.h"
#include "appliance/change.h"
#include "appliance/escalation.h"
#include "appliance/gantry.h"
#include "appliance/hit_lookup.h"
#include "appliance/hits.h"
#include "appliance/present_life.h"
#include "matcher/vrm_named.h"
#include "mgmt/call.h"
#include "storage/hit_lives.h"
#include "storage/hit_scan.h"
#include "storage/store.h"

/* One call. */
struct stepping {
	struct call *call;
	struct gantry *gantry;
	uint8_t state; /* the step */
	uint8_t disposition;
	const char *text;
	char organisations[HIT_LIVES_ORDERS_MAX][REG_NAME_SIZE];
	const json_t *names;
	json_t *rows; /* of the answer, one a name */
	struct hit_order orders[HIT_LIVES_ORDERS_MAX];
	struct hit_answer answers[HIT_LIVES_ORDERS_MAX];
	size_t places[HIT_LIVES_ORDERS_MAX]; /* of each order: its row */
	size_t count;
	size_t done;
	size_t already;
};

static void row_refuse(struct stepping *stepping, size_t at, const char *why)
{
	json_t *row = json_array_get(stepping->rows, at);

	(void)json_object_set_new(row, "outcome", json_string("refused"));
	(void)json_object_set_new(row, "why", json_string(why));
}

static uint8_t camera_type(struct gantry *gantry, uint32_t number)
{
	struct reg_camera camera;

	return reg_camera_get(store_register(gantry->store, NULL), number, &camera) == 0 ? camera.type
											 : REG_HIT_CAMERA_UNKNOWN;
}

static struct hit_order order_of(const struct stepping *stepping, const struct hit_found *found)
{
	return (struct hit_order){.number = found->hit.number,
				  .day = read_day(found->read.capture_us),
				  .list = found->hit.list,
				  .camera = found->read.camera,
				  .camera_type = camera_type(stepping->gantry, found->read.camera),
				  .priority = found->hit.priority,
				  .state = stepping->state,
				  .disposition = stepping->disposition,
				  .uid = call_peer(stepping->call)->uid,
				  .account = call_peer(stepping->call)->account,
				  .text = stepping->text};
}

/* The record outlives the read. */
static bool text_tells(const struct stepping *stepping, const struct hit_found *found)
{
	return stepping->text != NULL && vrm_named(stepping->text, found->read.key);
}

/* 0, or -errno with the call failed. */
static int take_one(struct stepping *stepping, size_t at)
{
	const char *name = json_string_value(json_array_get(stepping->names, at));
	struct hit_found found;
	struct err why = {""};
	int result = hit_lookup(stepping->gantry, call_peer(stepping->call)->uid, name, &why, &found);

	(void)json_array_append_new(stepping->rows, json_pack("{s:s}", "number", name));
	if (result == HIT_LOOKUP_REFUSED) {
		row_refuse(stepping, at, why.text);
		return 0;
	}
	if (result < 0) {
		call_fail(stepping->call, CALL_FAILED, "%s: %s; nothing was changed", name, why.text);
		return result;
	}
	if (text_tells(stepping, &found)) {
		row_refuse(stepping, at,
			   "the text names the plate: leave it out, what is said of a hit outlives its read");
	} else {
		struct hit_order *order = &stepping->orders[stepping->count];
		char *organisation = stepping->organisations[stepping->count];

		stepping->places[stepping->count++] = at;
		*order = order_of(stepping, &found);
		(void)hits_account_may(stepping->gantry, order->uid, order->list, organisation);
		order->organisation = organisation[0] != '\0' ? organisation : NULL;
	}
	bytes_wipe(&found, sizeof(found));
	return 0;
}

static void refuse_done(struct stepping *stepping, size_t at, const struct hit_answer *answer, const char *what)
{
	char when[CLOCK_TEXT_SIZE];
	struct err why;

	(void)err_set(&why, -EPERM, "%s %s did that at %s", what, answer->before.account,
		      clock_text_utc(answer->before.time_us, when));
	row_refuse(stepping, at, why.text);
}

static void answer_one(struct stepping *stepping, size_t i)
{
	const struct hit_answer *answer = &stepping->answers[i];
	size_t at = stepping->places[i];
	json_t *row = json_array_get(stepping->rows, at);

	(void)json_object_set_new(row, "state", json_string(present_hit_state(answer->state)));
	switch (answer->outcome) {
	case 0:
		stepping->done++;
		(void)json_object_set_new(row, "outcome", json_string("done"));
		break;
	case HIT_LIVES_SAME:
		stepping->already++;
		(void)json_object_set_new(row, "outcome", json_string("already"));
		break;
	case HIT_LIVES_TAKEN:
		refuse_done(stepping, at, answer, "another account:");
		break;
	case HIT_LIVES_FIXED:
		refuse_done(stepping, at, answer, "it cannot be changed any more:");
		break;
	case HIT_LIVES_EARLY:
		row_refuse(stepping, at, answer->state == 0 ? "acknowledge it first" : "assess it first");
		break;
	case HIT_LIVES_PURGED:
		row_refuse(stepping, at, "the day of its read has been purged");
		break;
	default:
		row_refuse(stepping, at,
			   "as many hits as can be kept are acknowledged: older days must be purged first");
		break;
	}
	/* Whoever did it, somebody has acknowledged it. */
	if (answer->state > 0)
		escalation_over(stepping->gantry->escalation, stepping->orders[i].number);
}

static void answer(struct stepping *stepping)
{
	size_t refused = json_array_size(stepping->rows) - stepping->done - stepping->already;
	const json_t *first = json_array_get(stepping->rows, 0);

	call_audit_fact(stepping->call, "done", json_integer((json_int_t)stepping->done));
	call_audit_fact(stepping->call, "already", json_integer((json_int_t)stepping->already));
	call_audit_fact(stepping->call, "refused", json_integer((json_int_t)refused));
	if (refused == json_array_size(stepping->rows))
		call_fail(stepping->call, CALL_REFUSED, "%s: %s%s", json_string_value(json_object_get(first, "number")),
			  json_string_value(json_object_get(first, "why")),
			  refused > 1 ? "; none of the others could be done either" : "");
	else
		call_result(stepping->call, json_pack("{s:I,s:I,s:I,s:O}", "done", (json_int_t)stepping->done,
						      "already", (json_int_t)stepping->already, "refused",
						      (json_int_t)refused, "hits", stepping->rows));
}

static int step(struct stepping *stepping)
{
	struct err err = {""};
	int result = 0;

	for (size_t i = 0; i < json_array_size(stepping->names); i++) {
		if (call_cancelled(stepping->call))
			return -ECANCELED;
		if (take_one(stepping, i) < 0)
			return 0;
	}
	if (stepping->count > 0)
		result = hit_lives_step(store_hit_lives(stepping->gantry->store), stepping->orders, stepping->count,
					&err, stepping->answers);
	if (result < 0) {
		call_fail(stepping->call, CALL_FAILED, "%s", err.text);
		return 0;
	}
	for (size_t i = 0; i < stepping->count; i++)
		answer_one(stepping, i);
	answer(stepping);
	return 0;
}

static int step_run(struct call *call, struct gantry *gantry, uint8_t state, uint8_t disposition, const char *text)
{
	struct stepping *stepping;
	int result;

	if (change_register(call, gantry) == NULL)
		return 0;
	stepping = calloc(1, sizeof(*stepping));
	if (stepping == NULL)
		return -ENOMEM;
	stepping->call = call;
	stepping->gantry = gantry;
	stepping->state = state;
	stepping->disposition = disposition;
	stepping->text = text;
	stepping->names = call_array(call, "hits");
	stepping->rows = json_array();
	result = stepping->rows != NULL ? step(stepping) : -ENOMEM;
	json_decref(stepping->rows);
	free(stepping);
	return result;
}

int handle_hits_acknowledge(struct call *call, void *gantry)
{
	return step_run(call, gantry, REG_HIT_ACKNOWLEDGED, REG_HIT_UNJUDGED, NULL);
}

int handle_hits_assess(struct call *call, void *gantry)
{
	const char *name = call_text(call, "disposition");
	uint8_t disposition = REG_HIT_CORRECT;

	while (disposition + 1 < REG_HIT_DISPOSITION_END && strcmp(present_disposition(disposition), name) != 0)
		disposition++;
	return step_run(call, gantry, REG_HIT_ASSESSED, disposition, call_text(call, "text"));
}

int handle_hits_respond(struct call *call, void *gantry)
{
	return step_run(call, gantry, REG_HIT_RESPONDED, REG_HIT_UNJUDGED, call_text(call, "text"));
}

int handle_hits_dismiss(struct call *call, void *gantry)
{
	return step_run(call, gantry, REG_HIT_DISMISSED, REG_HIT_UNJUDGED, call_text(call, "text"));
}
