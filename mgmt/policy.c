/*
 * Between dispatch and handler: no request without a who, a why and a trace (R31, R50, R51).
 *
 * An audited request leaves one entry when it is refused; two when it runs: its intent, durable before the handler
 * begins, and its outcome, durable before the client is answered. An intent without outcome says that the appliance
 * died between. What cannot be recorded is not done. Results stay out of the log, for they may hold keys and VRMs by
 * the thousand; the parameters go into the sealed body.
 */
#include "mgmt/private.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "appliance/base/bytes.h"
#include "appliance/base/digest.h"
#include "mgmt/api.h"
#include "mgmt/audit.h"

#define LOG_MODULE "mgmt"
#include "appliance/base/log.h"

#define PARAMS_SIZE_MAX (16 * 1024) /* of a body; beyond it, their digest */
#define REASON_LETTERS_MIN 3

static bool is_placeholder(const char *text)
{
	static const char *const words[] = {"n/a", "na",  "none",   "null", "nil", "todo",
					    "tbd", "xxx", "reason", "case", "asdf"};
	bool same = true;

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strcasecmp(text, words[i]) == 0)
			return true;
	for (const char *at = text; *at != '\0'; at++)
		same = same && *at == text[0];
	return same && !isdigit((unsigned char)text[0]); /* "-", "...", "aaaa" */
}

static unsigned letter_count(const char *text)
{
	unsigned count = 0;

	for (; *text != '\0'; text++) {
		unsigned char byte = (unsigned char)*text;

		count += isalpha(byte) || byte >= 0xc0; /* the first byte of a letter beyond ASCII */
	}
	return count;
}

static bool has_alnum(const char *text)
{
	return letter_count(text) > 0 || strpbrk(text, "0123456789") != NULL;
}

/* NULL when the grounds stand, else what is wrong with them. The case is a reference: a number will do. */
static const char *grounds_fault(const json_t *params)
{
	const char *purpose = json_string_value(json_object_get(params, "purpose"));
	const char *reference = json_string_value(json_object_get(params, "case"));
	const char *reason = json_string_value(json_object_get(params, "reason"));

	if (purpose == NULL)
		return "purpose is missing: say which lawful purpose this serves";
	if (reference == NULL)
		return "case is missing: give the reference of the case";
	if (!has_alnum(reference) || is_placeholder(reference))
		return "case is no reference: give that of the case, not a placeholder or a single letter";
	if (reason == NULL)
		return "reason is missing: say in words why this is needed";
	if (letter_count(reason) < REASON_LETTERS_MIN || is_placeholder(reason))
		return "reason says nothing: say in words why this is needed, not with a placeholder";
	return NULL;
}

static json_t *digest_of(const void *bytes, size_t size)
{
	uint8_t digest[SHA256_SIZE];
	char text[2 * SHA256_SIZE + 1];

	sha256(bytes, size, digest);
	return json_pack("{s:I, s:s}", "size", (json_int_t)size, "sha256", hex_encode(digest, sizeof(digest), text));
}

static void add_params(const struct call *call, json_t *body)
{
	char *text;

	if (call->params == NULL)
		return;
	text = json_dumps(call->params, JSON_COMPACT | JSON_ENCODE_ANY);
	if (text != NULL && strlen(text) <= PARAMS_SIZE_MAX) {
		(void)json_object_set(body, "params", call->params);
	} else if (text != NULL) {
		(void)json_object_set_new(body, "params_digest", digest_of(text, strlen(text)));
		for (const struct api_param *param = api_grounds; param->name != NULL; param++) {
			json_t *value = json_object_get(call->params, param->name);

			if (json_string_length(value) <= (size_t)param->max)
				(void)json_object_set(body, param->name, value);
		}
	}
	free(text);
}

static json_t *request_body(const struct call *call)
{
	json_t *body = json_pack("{s:I, s:I}", "gid", (json_int_t)call->client->peer.gid, "pid",
				 (json_int_t)call->client->peer.pid);

	if (body == NULL)
		return NULL;
	add_params(call, body);
	if (call->upload != NULL)
		(void)json_object_set_new(
			body, "upload",
			digest_of(call->upload->text.bytes + call->upload->text.start, text_size(&call->upload->text)));
	return body;
}

/* Consumes the body. */
static int record(struct call *call, enum audit_outcome outcome, uint64_t intent, json_t *body, uint64_t *ret_index)
{
	char *text = body != NULL ? json_dumps(body, JSON_COMPACT) : NULL;
	struct audit_entry entry = {
		.uid = call->client->peer.uid,
		.account = call->client->peer.account,
		.verb = call->method->name,
		.outcome = outcome,
		.intent = intent,
		.body = text,
		.body_size = text != NULL ? strlen(text) : 0,
	};
	struct audit *audit = call->server->options.audit;
	int r = -ENOMEM;

	json_decref(body);
	if (text != NULL)
		r = audit != NULL ? audit_append(audit, &entry, ret_index) : -ENOENT;
	free(text);
	if (r < 0)
		log_error("%s by uid %u is not in the audit log (%s), refused", call->method->name,
			  (unsigned)call->client->peer.uid, strerror(-r));
	return r;
}

static void count(struct call *call, uint64_t *counter)
{
	(void)pthread_mutex_lock(&call->server->lock);
	(*counter)++;
	(void)pthread_mutex_unlock(&call->server->lock);
}

static int unaudited(struct call *call, const char *text)
{
	count(call, &call->server->counters.requests_unaudited);
	call_set_failure(call, CALL_UNAUDITED, text);
	return CALL_UNAUDITED;
}

static int record_refusal(struct call *call)
{
	json_t *body = request_body(call);
	uint64_t index;

	if (body != NULL)
		(void)json_object_update_new(body,
					     json_pack("{s:i, s:s}", "code", call->code, "text", call->text.text));
	if (record(call, AUDIT_REFUSED, AUDIT_NO_INTENT, body, &index) < 0)
		return unaudited(call, "refused, and the audit log cannot record it: see the appliance's log");
	return call->code;
}

static bool needs_grounds(const struct call *call)
{
	return (call->method->flags & API_GROUNDS) != 0 ||
	       ((call->method->flags & API_RETRO) != 0 && json_object_get(call->params, "retro") != NULL);
}

int policy_admit(struct call *call)
{
	const char *fault;

	if ((call->method->flags & API_AUDITED) == 0)
		return call->decided ? call->code : 0;
	fault = needs_grounds(call) && !call->decided ? grounds_fault(call->params) : NULL;
	if (fault != NULL) {
		count(call, &call->server->counters.requests_ungrounded);
		call_set_failure(call, CALL_UNGROUNDED, fault);
	}
	if (call->decided)
		return record_refusal(call);
	if (record(call, AUDIT_INTENT, AUDIT_NO_INTENT, request_body(call), &call->intent) < 0)
		return unaudited(call, "the audit log cannot record this request: nothing was done");
	call->admitted = true;
	return 0;
}

void policy_outcome(struct call *call)
{
	enum audit_outcome outcome = AUDIT_DONE;
	json_t *body;
	uint64_t index;

	if (!call->admitted)
		return;
	body = json_pack("{s:O}", "facts", call->facts);
	if (call->code != 0) {
		outcome = call->code == CALL_CANCELLED ? AUDIT_CANCELLED : AUDIT_FAILED;
		(void)json_object_update_new(body,
					     json_pack("{s:i, s:s}", "code", call->code, "text", call->text.text));
	}
	if ((call->method->flags & API_STREAM) != 0)
		(void)json_object_set_new(body, "rows_sent", json_integer((json_int_t)call->rows_sent));
	if (record(call, outcome, call->intent, body, &index) < 0)
		(void)unaudited(call, "done, but the audit log cannot record its outcome: see the appliance's log");
}
