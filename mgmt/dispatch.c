/* A line becomes an answer (the loop's own) or a call in the pool's queue. */
#include "mgmt/private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/clock.h"
#include "appliance/base/utf8.h"
#include "mgmt/api.h"
#include "mgmt/frame.h"
#include "mgmt/rpc.h"

/* Takes the lock; the loop stops reading from a client whose answers pile up, so this is bounded. */
static void reply(struct client *client, char *line, size_t size)
{
	(void)pthread_mutex_lock(&client->server->lock);
	if (line == NULL)
		client_doom(client);
	else
		(void)client_send(client, NULL, line, size, CLIENT_SEND_FORCE);
	(void)pthread_mutex_unlock(&client->server->lock);
	free(line);
}

static void reply_error(struct client *client, const json_t *id, int code, const char *text)
{
	size_t size = 0;
	char *line = rpc_error(id, code, text, &size);

	reply(client, line, size);
}

static void refuse(struct client *client, const json_t *id, int code, const char *text)
{
	(void)pthread_mutex_lock(&client->server->lock);
	client->server->counters.requests_refused++;
	(void)pthread_mutex_unlock(&client->server->lock);
	reply_error(client, id, code, text);
}

static struct call *find_call(struct client *client, const json_t *id)
{
	struct call *call = client->calls;

	while (call != NULL && !call_is(call, id))
		call = call->next;
	return call;
}

static json_t *inline_cancel(struct client *client, const json_t *params)
{
	struct call *call;
	bool found;

	(void)pthread_mutex_lock(&client->server->lock);
	call = find_call(client, json_object_get(params, "id"));
	found = call != NULL;
	if (found)
		call_cancel(call);
	(void)pthread_mutex_unlock(&client->server->lock);
	return json_pack("{s:b}", "found", (int)found);
}

static json_t *inline_credit(struct client *client, const json_t *params)
{
	struct call *call;
	bool found;

	(void)pthread_mutex_lock(&client->server->lock);
	call = find_call(client, json_object_get(params, "id"));
	found = call != NULL;
	if (found && call->credit < UINT32_MAX) {
		call->credit += json_integer_value(json_object_get(params, "rows"));
		call->credit_ns = clock_mono_ns();
		(void)pthread_cond_broadcast(&client->changed);
	}
	(void)pthread_mutex_unlock(&client->server->lock);
	return json_pack("{s:b}", "found", (int)found);
}

static json_t *inline_upload_open(struct client *client, int *ret_code, struct err *err)
{
	uint32_t number = 0;
	int r;

	(void)pthread_mutex_lock(&client->server->lock);
	r = upload_open(client, &number);
	(void)pthread_mutex_unlock(&client->server->lock);
	if (r < 0) {
		*ret_code = err_set(err, CALL_BUSY, "too many uploads are open on this connection");
		return NULL;
	}
	return json_pack("{s:I}", "upload", (json_int_t)number);
}

static json_t *append(struct client *client, uint32_t number, const char *text, size_t size, int *ret_code,
		      struct err *err)
{
	size_t whole = 0;
	int r;

	(void)pthread_mutex_lock(&client->server->lock);
	r = upload_append(client, number, text, size, &whole);
	(void)pthread_mutex_unlock(&client->server->lock);
	if (r == 0)
		return json_pack("{s:I, s:I}", "upload", (json_int_t)number, "size", (json_int_t)whole);
	if (r == -ENOENT)
		*ret_code =
			err_set(err, CALL_INVALID_PARAMS, "parameter \"upload\": no such upload on this connection");
	else if (r == -EFBIG)
		*ret_code = err_set(err, CALL_BUSY, "the upload would be larger than %zu bytes",
				    client->server->options.upload_size_max);
	else
		*ret_code = err_set(err, CALL_BUSY, "uploads of all clients are at their limit: try again later");
	return NULL;
}

static json_t *inline_upload_append(struct client *client, const json_t *params, int *ret_code, struct err *err)
{
	const json_t *text = json_object_get(params, "text");

	return append(client, (uint32_t)json_integer_value(json_object_get(params, "upload")), json_string_value(text),
		      json_string_length(text), ret_code, err);
}

/* Consumes the result; without one the error is answered. */
static void answer_inline(struct client *client, const json_t *id, json_t *result, int code, const char *text)
{
	size_t size = 0;
	char *line;

	if (result == NULL) {
		refuse(client, id, code, text);
		return;
	}
	line = rpc_result(id, result, &size);
	reply(client, line, size);
}

void dispatch_frame(struct client *client, const struct frame *frame, const char *text)
{
	struct err err = {"out of memory"};
	int code = CALL_INTERNAL;
	json_t *id = json_integer(frame->id);
	json_t *result = NULL;

	(void)pthread_mutex_lock(&client->server->lock);
	client->server->counters.requests++;
	(void)pthread_mutex_unlock(&client->server->lock);
	if (utf8_is_text(text, frame->size))
		result = append(client, frame->upload, text, frame->size, &code, &err);
	else
		code = err_set(&err, CALL_INVALID_PARAMS,
			       "the piece is not UTF-8 text of whole characters without zero bytes: it is not taken");
	answer_inline(client, id, result, code, err.text);
	json_decref(id);
}

static void run_inline(struct client *client, const struct api_method *method, const json_t *id, const json_t *params)
{
	struct err err = {"out of memory"};
	int code = CALL_INTERNAL;
	json_t *result;

	if (strcmp(method->name, "cancel") == 0)
		result = inline_cancel(client, params);
	else if (strcmp(method->name, "credit") == 0)
		result = inline_credit(client, params);
	else if (strcmp(method->name, "upload.open") == 0)
		result = inline_upload_open(client, &code, &err);
	else if (strcmp(method->name, "upload.append") == 0)
		result = inline_upload_append(client, params, &code, &err);
	else
		result = api_discover(client->server->options.version);
	if (id != NULL)
		answer_inline(client, id, result, code, err.text);
	else
		json_decref(result);
}

/* The upload that a request uses up, if its method takes one. Lock held. */
static int take_upload(struct call *call, struct err *err)
{
	for (const struct api_param *param = call->method->params; param->name != NULL; param++) {
		const json_t *number = json_object_get(call->params, param->name);

		if (param->type != API_UPLOAD || number == NULL)
			continue;
		call->upload = upload_take(call->client, (uint32_t)json_integer_value(number));
		if (call->upload == NULL)
			return err_set(err, -EINVAL, "parameter \"%s\": no such upload on this connection",
				       param->name);
	}
	return 0;
}

static int admit(struct client *client, const struct api_method *method, const json_t *id, struct err *err)
{
	struct server *server = client->server;
	int code = 0;

	(void)pthread_mutex_lock(&server->lock);
	if (server->stopping)
		code = err_set(err, CALL_STOPPING, "the appliance is stopping");
	else if (server->bindings[api_index(method)].handler == NULL)
		code = err_set(err, CALL_NOT_AVAILABLE, "%s is not available on this appliance", method->name);
	else if (find_call(client, id) != NULL)
		code = err_set(err, CALL_INVALID_REQUEST, "id: a request with this id is still in flight");
	else if (client->in_flight_count >= server->options.in_flight_count_max)
		code = err_set(err, CALL_BUSY, "%u requests of this connection are in flight: wait for an answer",
			       client->in_flight_count);
	(void)pthread_mutex_unlock(&server->lock);
	return code;
}

static void enqueue(struct call *call)
{
	struct client *client = call->client;
	const json_t *window = json_object_get(call->params, "window");
	struct err err;

	(void)pthread_mutex_lock(&client->server->lock);
	if (!call->decided && take_upload(call, &err) < 0) {
		call_set_failure(call, CALL_INVALID_PARAMS, err.text);
		client->server->counters.requests_refused++;
	}
	call->windowed = window != NULL;
	call->credit = json_integer_value(window);
	call->next = client->calls;
	client->calls = call;
	client->ref_count++;
	client->in_flight_count++;
	client->server->call_count++;
	server_queue(client->server, call);
	(void)pthread_mutex_unlock(&client->server->lock);
}

/* An audited method goes through the pool even when it is refused: the refusal is audited there. */
static void start_call(struct client *client, const struct api_method *method, const struct rpc_request *request,
		       json_t *params, const char *refusal)
{
	struct call *call = call_new(client, method, request->id);

	if (call == NULL) {
		json_decref(params);
		refuse(client, request->id, CALL_INTERNAL, "out of memory");
		return;
	}
	/* A copy: values shared with the request would be released by two threads at once. */
	call->params = json_deep_copy(params != NULL ? params : request->params);
	json_decref(params);
	if (refusal == NULL && call->params == NULL)
		refusal = "out of memory";
	if (refusal != NULL) {
		call_set_failure(call, CALL_INVALID_PARAMS, refusal);
		(void)pthread_mutex_lock(&client->server->lock);
		client->server->counters.requests_refused++;
		(void)pthread_mutex_unlock(&client->server->lock);
	}
	enqueue(call);
}

static void dispatch_request(struct client *client, const struct api_method *method, const struct rpc_request *request)
{
	bool inline_method = (method->flags & API_INLINE) != 0;
	struct err err = {""};
	json_t *params = NULL;
	int code = inline_method ? 0 : admit(client, method, request->id, &err);

	if (code != 0) {
		refuse(client, request->id, code, err.text);
		return;
	}
	if (api_check(method, request->params, &params, &err) < 0) {
		if ((method->flags & API_AUDITED) != 0)
			start_call(client, method, request, NULL, err.text);
		else if (request->id != NULL)
			refuse(client, request->id, CALL_INVALID_PARAMS, err.text);
		else
			refuse(client, NULL, CALL_INVALID_PARAMS, err.text);
		return;
	}
	if (inline_method) {
		run_inline(client, method, request->id, params);
		json_decref(params);
	} else {
		start_call(client, method, request, params, NULL);
	}
}

static void dispatch(struct client *client, const struct rpc_request *request)
{
	const struct api_method *method = api_find(request->method);

	(void)pthread_mutex_lock(&client->server->lock);
	client->server->counters.requests++;
	(void)pthread_mutex_unlock(&client->server->lock);
	if (method == NULL)
		refuse(client, request->id, CALL_UNKNOWN_METHOD, "unknown method: rpc.discover lists them all");
	else if (request->id == NULL && (method->flags & API_NOTIFY) == 0)
		refuse(client, NULL, CALL_INVALID_REQUEST, "id: is missing; only cancel and credit come without");
	else
		dispatch_request(client, method, request);
}

void dispatch_line(struct client *client, const char *line, size_t size)
{
	struct rpc_request request;
	struct err err = {""};
	int code = rpc_parse(line, size, client->server->options.depth_max, &request, &err);

	if (code == 0) {
		dispatch(client, &request);
	} else {
		(void)pthread_mutex_lock(&client->server->lock);
		client->server->counters.lines_malformed++;
		(void)pthread_mutex_unlock(&client->server->lock);
		reply_error(client, request.id, code, err.text);
	}
	rpc_fini(&request);
}
