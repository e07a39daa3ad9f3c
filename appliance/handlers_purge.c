#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/clock.h"
#include "appliance/gantry.h"
#include "appliance/handlers.h"
#include "appliance/present.h"
#include "mgmt/call.h"
#include "storage/purge.h"
#include "storage/store.h"

static json_t *certificate_json(const struct purge_certificate *certificate)
{
	char day[PRESENT_DAY_SIZE];
	char time[CLOCK_TEXT_SIZE];
	json_t *object =
		json_pack("{s:I,s:s,s:I,s:I,s:I,s:I,s:s,s:s}", "number", (json_int_t)certificate->number, "day",
			  present_day(certificate->day, day), "who_uid", (json_int_t)certificate->who_uid, "segments",
			  (json_int_t)certificate->segments, "reads", (json_int_t)certificate->reads, "bytes",
			  (json_int_t)certificate->bytes, "authority", certificate->authority, "intended",
			  clock_text_utc(certificate->intended_us, time));

	if (certificate->destroyed_us != 0)
		(void)json_object_set_new(object, "destroyed",
					  json_string(clock_text_utc(certificate->destroyed_us, time)));
	if (certificate->finished_us != 0)
		(void)json_object_set_new(object, "finished",
					  json_string(clock_text_utc(certificate->finished_us, time)));
	return object;
}

static int audit_purge(struct gantry *gantry, const struct purge_certificate *certificate, const char *verb)
{
	json_t *object = certificate_json(certificate);
	char *body = object != NULL ? json_dumps(object, JSON_COMPACT) : NULL;
	int result = body == NULL ? -ENOMEM : gantry_note(gantry, certificate->who_uid, verb, body);

	free(body);
	json_decref(object);
	return result;
}

static int audit_intent(void *context, const struct purge_certificate *intended)
{
	return audit_purge(context, intended, "purge.intent");
}

static int audit_certificate(void *context, const struct purge_certificate *certificate)
{
	return audit_purge(context, certificate, "purge.certificate");
}

void purge_hooks_of(struct gantry *gantry, struct purge_hooks *ret_hooks)
{
	*ret_hooks = (struct purge_hooks){
		.audit_intent = audit_intent, .audit_certificate = audit_certificate, .context = gantry};
}

int handle_purge_plan(struct call *call, void *context)
{
	struct gantry *gantry = context;
	int32_t today = read_day(clock_wall_us());
	/* Day 366 after capture (NASPLE 9.5.1, footnote 4): due when retention and one more day have passed. */
	int32_t due = today - (int32_t)gantry->config.retention_days;
	json_t *array = json_array();
	struct purge_day *days;
	char text[PRESENT_DAY_SIZE];
	size_t count;
	int result = purge_plan(gantry->store, call_day(call, "before", today), &days, &count);

	if (result < 0) {
		json_decref(array);
		return result;
	}
	for (size_t i = 0; i < count; i++)
		(void)json_array_append_new(
			array, json_pack("{s:s,s:I,s:I,s:I,s:b,s:b}", "day", present_day(days[i].day, text), "reads",
					 (json_int_t)days[i].reads, "segments", (json_int_t)days[i].segments, "bytes",
					 (json_int_t)days[i].bytes, "due", days[i].day < due, "begun", days[i].begun));
	free(days);
	call_result(call, json_pack("{s:o}", "days", array));
	return 0;
}

struct purge_call {
	struct gantry *gantry;
	struct call *call;
};

static int call_audit_intent(void *context, const struct purge_certificate *intended)
{
	return audit_intent(((struct purge_call *)context)->gantry, intended);
}

static int call_audit_certificate(void *context, const struct purge_certificate *certificate)
{
	return audit_certificate(((struct purge_call *)context)->gantry, certificate);
}

static void call_purge_progress(void *context, int32_t day, enum purge_step step)
{
	static const char *const texts[] = {
		"intent is durable", "day closed, journals sealed", "audited",  "keys destroyed",
		"files gone",        "catalog rows gone",           "certified"};
	const struct purge_call *purge = context;

	(void)day;
	call_progress(purge->call, (uint64_t)step + 1, PURGE_CERTIFIED + 1, texts[step]);
}

int handle_purge_run(struct call *call, void *context)
{
	struct gantry *gantry = context;
	struct purge_call purge = {gantry, call};
	struct purge_hooks hooks = {.audit_intent = call_audit_intent,
				    .audit_certificate = call_audit_certificate,
				    .progress = call_purge_progress,
				    .context = &purge};
	struct purge_certificate certificate;
	struct err err = {""};
	int result = purge_run(gantry->store, call_day(call, "day", 0), call_text(call, "authority"),
			       call_peer(call)->uid, &hooks, &err, &certificate);

	if (result < 0) {
		call_fail(call, result == -EINVAL ? CALL_REFUSED : CALL_FAILED, "%s", err.text);
	} else if (result == PURGE_NOTHING) {
		call_fail(call, CALL_REFUSED, "that day holds nothing; see purge.plan");
	} else if (result == PURGE_BUSY) {
		call_fail(call, CALL_FAILED,
			  "a worker's journal could not be closed in time: the intent stands, call again");
	} else {
		call_audit_fact(call, "reads", json_integer((json_int_t)certificate.reads));
		call_result(call, certificate_json(&certificate));
	}
	return 0;
}
