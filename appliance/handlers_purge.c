#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/clock.h"
#include "appliance/gantry.h"
#include "appliance/handlers.h"
#include "appliance/present.h"
#include "mgmt/call.h"
#include "storage/hold.h"
#include "storage/purge.h"
#include "storage/purge_proposal.h"
#include "storage/retention.h"
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

	(void)json_object_set_new(object, "held_cases", json_integer(certificate->held_cases));
	(void)json_object_set_new(object, "held_reads", json_integer((json_int_t)certificate->held_reads));
	if (certificate->proposal != 0) {
		(void)json_object_set_new(object, "proposal", json_integer(certificate->proposal));
		(void)json_object_set_new(object, "proposer_uid", json_integer(certificate->proposer_uid));
	}
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

static const char *const step_texts[] = {
	[PURGE_INTENDED] = "intent is durable",    [PURGE_CLOSED] = "day closed, journals sealed",
	[PURGE_HELD] = "held rows copied",         [PURGE_AUDITED] = "audited",
	[PURGE_KEYS_DESTROYED] = "keys destroyed", [PURGE_UNLINKED] = "files gone",
	[PURGE_FORGOTTEN] = "catalog rows gone",   [PURGE_CERTIFIED] = "certified"};

static json_t *proposal_json(const struct reg_proposal *proposal)
{
	char proposed[CLOCK_TEXT_SIZE];
	char expires[CLOCK_TEXT_SIZE];
	char day[PRESENT_DAY_SIZE];

	return json_pack("{s:I,s:s,s:I,s:s,s:s,s:s,s:s}", "number", (json_int_t)proposal->number, "day",
			 present_day(proposal->day, day), "proposer_uid", (json_int_t)proposal->who_uid, "authority",
			 proposal->authority, "reason", proposal->reason, "proposed",
			 clock_text_utc(proposal->proposed_us, proposed), "expires",
			 clock_text_utc(proposal->proposed_us + PURGE_PROPOSAL_LIFE_US, expires));
}

/* ---- plan */

struct planning {
	struct gantry *gantry;
	const struct purge_day *day;
	uint32_t proposal; /* of that day; 0 none */
	json_t *holds;     /* "reference: reads" */
	uint64_t held;
	bool counted;
};

static int plan_hold(void *context, const struct reg_hold *hold, uint64_t reads)
{
	struct planning *planning = context;

	planning->held += reads;
	(void)json_array_append_new(planning->holds,
				    json_sprintf("%s: %llu", hold->reference, (unsigned long long)reads));
	return 0;
}

static int plan_proposal(void *context, const struct reg_proposal *proposal)
{
	struct planning *planning = context;

	if (proposal->day == planning->day->day)
		planning->proposal = proposal->number;
	return 0;
}

/* What of the holds keeps the day from going, as long as it does: an attempt would say the same. */
static void set_hindered(struct gantry *gantry, int32_t day, json_t *object)
{
	struct err err = {""};

	if (hold_hindered(gantry->store, day, &err) < 0)
		(void)json_object_set_new(object, "hindered", json_string(err.text));
}

/* Why the day goes, and when by itself: day 366 after its capture. */
static json_t *plan_day(struct planning *planning)
{
	const struct purge_day *day = planning->day;
	char text[PRESENT_DAY_SIZE];
	char goes[PRESENT_DAY_SIZE];
	json_t *object = json_pack("{s:s,s:I,s:I,s:I,s:b,s:b,s:s}", "day", present_day(day->day, text), "reads",
				   (json_int_t)day->reads, "segments", (json_int_t)day->segments, "bytes",
				   (json_int_t)day->bytes, "due", day->due, "begun", day->begun, "goes",
				   present_day(day->day + (int32_t)planning->gantry->config.retention_days + 1, goes));

	(void)json_object_set_new(object, "why",
				  day->begun                ? json_string("being purged; see purge.show")
				  : day->due                ? json_string("due by the retention rule")
				  : planning->proposal != 0 ? json_sprintf("proposed: number %u", planning->proposal)
							    : json_string(""));
	if (planning->counted)
		set_hindered(planning->gantry, day->day, object);
	(void)json_object_set_new(object, "held_reads",
				  planning->counted ? json_integer((json_int_t)planning->held) : json_null());
	(void)json_object_set(object, "holds", planning->holds);
	return object;
}

/* What cases would keep is counted by search, which costs: only for days that are to go, or the one asked for. */
static int plan_append(struct gantry *gantry, const struct purge_day *day, bool wanted, json_t *array)
{
	struct planning planning = {.gantry = gantry, .day = day, .holds = json_array()};
	const char *why;
	int result = 0;

	if (store_register(gantry->store, &why) != NULL) {
		result = purge_proposal_each(gantry->store, plan_proposal, &planning);
		if (result == 0 && (wanted || day->due || day->begun || planning.proposal != 0)) {
			result = hold_plan(gantry->store, day->day, plan_hold, &planning);
			planning.counted = true;
		}
	}
	if (result == 0)
		(void)json_array_append_new(array, plan_day(&planning));
	json_decref(planning.holds);
	return result;
}

int handle_purge_plan(struct call *call, void *context)
{
	struct gantry *gantry = context;
	int32_t only = call_day(call, "day", INT32_MIN);
	int32_t before = only != INT32_MIN ? only + 1 : call_day(call, "before", read_day(clock_wall_us()));
	json_t *array = json_array();
	struct purge_day *days;
	size_t count;
	int result = purge_plan(gantry->store, before, &days, &count);

	if (result < 0) {
		json_decref(array);
		return result;
	}
	for (size_t i = 0; result == 0 && i < count; i++)
		if (only == INT32_MIN || days[i].day == only)
			result = plan_append(gantry, &days[i], only != INT32_MIN, array);
	free(days);
	if (result < 0) {
		json_decref(array);
		return result;
	}
	call_result(call, json_pack("{s:o}", "days", array));
	return 0;
}

/* ---- beginning one */

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
	const struct purge_call *purge = context;

	(void)day;
	call_progress(purge->call, (uint64_t)step + 1, PURGE_CERTIFIED + 1, step_texts[step]);
}

static struct purge_hooks call_hooks(struct purge_call *purge)
{
	return (struct purge_hooks){.audit_intent = call_audit_intent,
				    .audit_certificate = call_audit_certificate,
				    .progress = call_purge_progress,
				    .context = purge};
}

static bool is_refusal(int result)
{
	return result == -EINVAL || result == -ENOENT || result == -EPERM || result == -ETIMEDOUT ||
	       result == -EEXIST || result == -EALREADY || result == -ENOKEY;
}

static int purge_answer(struct call *call, int result, const struct err *err,
			const struct purge_certificate *certificate)
{
	if (result < 0) {
		call_fail(call, is_refusal(result) ? CALL_REFUSED : CALL_FAILED, "%s", err->text);
	} else if (result == PURGE_NOTHING) {
		call_fail(call, CALL_REFUSED, "that day holds nothing; see purge.plan");
	} else if (result == PURGE_SUSPENDED) {
		call_fail(call, CALL_REFUSED, "%s", err->text);
	} else if (result == PURGE_BUSY) {
		call_fail(call, CALL_FAILED,
			  "a worker's journal could not be closed in time: the intent stands and is gone on with");
	} else {
		call_audit_fact(call, "reads", json_integer((json_int_t)certificate->reads));
		call_result(call, certificate_json(certificate));
	}
	return 0;
}

/* One person may begin at once what the rule says is due, or what stands half done; nothing else. 1 that is so, 0. */
static int run_authority(struct gantry *gantry, int32_t day, char text[PURGE_TEXT_SIZE])
{
	if (day < retention_due_before(gantry->store)) {
		(void)retention_authority(gantry->store, text);
		return 1;
	}
	/* The intent has its own, and this is for one that cannot be read. */
	(void)snprintf(text, PURGE_TEXT_SIZE, "of a purge that was begun before, whose intent is damaged or lost");
	return purge_begun(gantry->store, day);
}

int handle_purge_run(struct call *call, void *context)
{
	struct gantry *gantry = context;
	struct purge_call purge = {gantry, call};
	struct purge_hooks hooks = call_hooks(&purge);
	struct purge_certificate certificate;
	char authority[PURGE_TEXT_SIZE];
	struct err err = {""};
	int32_t day = call_day(call, "day", 0);
	int result = run_authority(gantry, day, authority);

	if (result < 0)
		return result;
	if (result == 0) {
		call_fail(call, CALL_REFUSED,
			  "that day is not due by the retention rule: purge.propose it, and let another account "
			  "approve");
		return 0;
	}
	result = purge_run(gantry->store, day, authority, call_peer(call)->uid, &hooks, &err, &certificate);
	return purge_answer(call, result, &err, &certificate);
}

int handle_purge_propose(struct call *call, void *context)
{
	struct gantry *gantry = context;
	struct reg_proposal proposal = {.day = call_day(call, "day", 0), .who_uid = call_peer(call)->uid};
	struct err err = {""};
	int result;

	(void)snprintf(proposal.authority, sizeof(proposal.authority), "%s", call_text(call, "authority"));
	(void)snprintf(proposal.reason, sizeof(proposal.reason), "%s", call_text(call, "reason"));
	result = purge_propose(gantry->store, &proposal, &err);
	if (result < 0) {
		call_fail(call, is_refusal(result) ? CALL_REFUSED : CALL_FAILED, "%s", err.text);
		return 0;
	}
	call_audit_fact(call, "number", json_integer(proposal.number));
	call_result(call, proposal_json(&proposal));
	return 0;
}

int handle_purge_approve(struct call *call, void *context)
{
	struct gantry *gantry = context;
	struct purge_call purge = {gantry, call};
	struct purge_hooks hooks = call_hooks(&purge);
	struct purge_certificate certificate;
	struct err err = {""};
	int result = purge_approve(gantry->store, (uint32_t)call_integer(call, "number", 0), call_peer(call)->uid,
				   &hooks, &err, &certificate);

	return purge_answer(call, result, &err, &certificate);
}

int handle_purge_withdraw(struct call *call, void *context)
{
	struct gantry *gantry = context;
	uint32_t number = (uint32_t)call_integer(call, "number", 0);
	struct err err = {""};
	int result = purge_withdraw(gantry->store, number, call_peer(call)->uid, &err);

	if (result < 0)
		call_fail(call, is_refusal(result) ? CALL_REFUSED : CALL_FAILED, "%s", err.text);
	else
		call_result(call, json_pack("{s:I}", "number", (json_int_t)number));
	return 0;
}

/* ---- show */

struct showing {
	struct gantry *gantry;
	json_t *array;
	int32_t day; /* INT32_MIN: all */
};

static int show_proposal(void *context, const struct reg_proposal *proposal)
{
	struct showing *showing = context;

	if (showing->day == INT32_MIN || proposal->day == showing->day)
		(void)json_array_append_new(showing->array, proposal_json(proposal));
	return 0;
}

static int show_intent(void *context, const struct purge_certificate *intended, enum purge_step step)
{
	struct showing *showing = context;
	json_t *object;

	if (showing->day != INT32_MIN && intended->day != showing->day)
		return 0;
	object = certificate_json(intended);
	(void)json_object_set_new(object, "step", json_string(step_texts[step]));
	if (step < PURGE_HELD)
		set_hindered(showing->gantry, intended->day, object);
	(void)json_array_append_new(showing->array, object);
	return 0;
}

static int show_certificate(void *context, const struct purge_certificate *certificate)
{
	struct showing *showing = context;

	if (showing->day == INT32_MIN || certificate->day == showing->day)
		(void)json_array_append_new(showing->array, certificate_json(certificate));
	return 0;
}

int handle_purge_show(struct call *call, void *context)
{
	struct gantry *gantry = context;
	int32_t day = call_day(call, "day", INT32_MIN);
	struct showing proposals = {gantry, json_array(), day};
	struct showing running = {gantry, json_array(), day};
	struct showing certificates = {gantry, json_array(), day};
	const char *why;
	int result = 0;

	if (store_register(gantry->store, &why) != NULL)
		result = purge_proposal_each(gantry->store, show_proposal, &proposals);
	if (result == 0)
		result = purge_intents(gantry->store, show_intent, &running);
	if (result == 0)
		result = purge_certificates(gantry->store, show_certificate, &certificates);
	if (result < 0) {
		json_decref(proposals.array);
		json_decref(running.array);
		json_decref(certificates.array);
		return result;
	}
	call_result(call, json_pack("{s:o,s:o,s:o}", "proposals", proposals.array, "running", running.array,
				    "certificates", certificates.array));
	return 0;
}
