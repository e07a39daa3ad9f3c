/* What handlers do with a call. Life cycle and locks: mgmt/private.h. */
#include "mgmt/call.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/clock.h"
#include "mgmt/api.h"
#include "mgmt/private.h"
#include "mgmt/rpc.h"

#define PROGRESS_INTERVAL_NS 200000000

struct call *call_new(struct client *client, const struct api_method *method, const json_t *id)
{
	struct call *call = calloc(1, sizeof(*call));

	if (call == NULL)
		return NULL;
	call->id = json_deep_copy(id);
	call->facts = json_object();
	if (call->id == NULL || call->facts == NULL)
		return call_free(call);
	call->server = client->server;
	call->client = client;
	call->method = method;
	atomic_init(&call->cancelled, false);
	return call;
}

struct call *call_free(struct call *call)
{
	if (call == NULL)
		return NULL;
	if (call->upload != NULL) {
		(void)pthread_mutex_lock(&call->server->lock);
		upload_free(call->server, call->upload);
		(void)pthread_mutex_unlock(&call->server->lock);
	}
	json_decref(call->id);
	json_decref(call->params);
	json_decref(call->result);
	json_decref(call->facts);
	text_fini(&call->rows);
	free(call);
	return NULL;
}

bool call_is(const struct call *call, const json_t *id)
{
	return json_equal(call->id, id) != 0;
}

const struct call_peer *call_peer(const struct call *call)
{
	return &call->client->peer;
}

const char *call_method(const struct call *call)
{
	return call->method->name;
}

const json_t *call_params(const struct call *call)
{
	return call->params;
}

bool call_has(const struct call *call, const char *name)
{
	return json_object_get(call->params, name) != NULL;
}

static const json_t *param_of(const struct call *call, const char *name, unsigned types)
{
	const struct api_param *param = api_param_find(call->method, name);

	assert(param != NULL);
	assert((1u << param->type & types) != 0);
	(void)param;
	(void)types;
	return json_object_get(call->params, name);
}

const char *call_text(const struct call *call, const char *name)
{
	return json_string_value(param_of(
		call, name, 1u << API_STRING | 1u << API_VRM | 1u << API_HEX | 1u << API_CHOICE | 1u << API_TEXT));
}

int64_t call_integer(const struct call *call, const char *name, int64_t fallback)
{
	const json_t *value = param_of(call, name, 1u << API_INTEGER);

	return value != NULL ? json_integer_value(value) : fallback;
}

bool call_boolean(const struct call *call, const char *name, bool fallback)
{
	const json_t *value = param_of(call, name, 1u << API_BOOLEAN);

	return value != NULL ? json_is_true(value) : fallback;
}

int64_t call_time(const struct call *call, const char *name, int64_t fallback_us)
{
	const json_t *value = param_of(call, name, 1u << API_TIME);

	return value != NULL ? json_integer_value(value) : fallback_us;
}

int32_t call_day(const struct call *call, const char *name, int32_t fallback)
{
	const json_t *value = param_of(call, name, 1u << API_DATE);

	return value != NULL ? (int32_t)json_integer_value(value) : fallback;
}

const json_t *call_array(const struct call *call, const char *name)
{
	return param_of(call, name, 1u << API_INTEGERS | 1u << API_STRINGS);
}

const char *call_upload(const struct call *call, const char *name, size_t *ret_size)
{
	if (param_of(call, name, 1u << API_UPLOAD) == NULL || call->upload == NULL)
		return NULL;
	*ret_size = text_size(&call->upload->text);
	return *ret_size > 0 ? call->upload->text.bytes + call->upload->text.start : "";
}

bool call_cancelled(const struct call *call)
{
	return atomic_load_explicit(&call->cancelled, memory_order_relaxed);
}

static int send_locked(struct call *call, const char *bytes, size_t size, enum client_send_mode mode)
{
	int r;

	(void)pthread_mutex_lock(&call->server->lock);
	r = client_send(call->client, call, bytes, size, mode);
	(void)pthread_mutex_unlock(&call->server->lock);
	return r;
}

static char *encode_notification(struct call *call, const char *method, json_t *params, size_t *ret_size)
{
	if (params == NULL || json_object_set(params, "id", call->id) < 0) {
		json_decref(params);
		return NULL;
	}
	return rpc_notification(method, params, ret_size);
}

int call_notify(struct call *call, const char *method, json_t *params)
{
	size_t size = 0;
	char *line = encode_notification(call, method, params, &size);
	int r = line != NULL ? call_flush(call) : -ENOMEM;

	if (r == 0)
		r = send_locked(call, line, size, CLIENT_SEND_WAIT);
	free(line);
	return r;
}

int call_notify_try(struct call *call, const char *method, json_t *params, unsigned rows)
{
	size_t size = 0;
	char *line = encode_notification(call, method, params, &size);
	int r;

	if (line == NULL)
		return -ENOMEM;
	(void)pthread_mutex_lock(&call->server->lock);
	if (atomic_load(&call->cancelled))
		r = -ECANCELED;
	else if (call->windowed && call->credit <= 0)
		r = -EAGAIN;
	else
		r = client_send(call->client, call, line, size, CLIENT_SEND_TRY);
	if (r == 0) {
		call->credit--;
		call->rows_sent += rows;
	}
	(void)pthread_mutex_unlock(&call->server->lock);
	free(line);
	return r;
}

size_t call_waiting(const struct call *call)
{
	size_t size;

	(void)pthread_mutex_lock(&call->server->lock);
	size = text_size(&call->client->out);
	(void)pthread_mutex_unlock(&call->server->lock);
	return size;
}

void call_progress(struct call *call, uint64_t done, uint64_t total, const char *text)
{
	int64_t now = clock_mono_ns();
	size_t size = 0;
	char *line;

	if (now - call->progress_ns < PROGRESS_INTERVAL_NS)
		return;
	call->progress_ns = now;
	line = encode_notification(
		call, "progress",
		json_pack("{s:I, s:I, s:s}", "done", (json_int_t)done, "total", (json_int_t)total, "text", text),
		&size);
	if (line != NULL)
		(void)send_locked(call, line, size, CLIENT_SEND_TRY);
	free(line);
}

void call_set_failure(struct call *call, int code, const char *text)
{
	json_decref(call->result);
	call->result = NULL;
	call->decided = true;
	call->code = code;
	(void)err_set(&call->text, 0, "%s", text);
}

void call_result(struct call *call, json_t *result)
{
	if (result == NULL) {
		call_set_failure(call, CALL_INTERNAL, "out of memory");
		return;
	}
	json_decref(call->result);
	call->result = result;
	call->code = 0;
	call->decided = true;
}

void call_fail(struct call *call, enum call_code code, const char *format, ...)
{
	char text[sizeof(call->text.text)];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	call_set_failure(call, code, text);
}

void call_audit_fact(struct call *call, const char *name, json_t *value)
{
	(void)json_object_set_new(call->facts, name, value);
}

int call_keep(struct call *call, void (*cancelled)(struct call *call, void *ctx), void *ctx)
{
	int r = 0;

	(void)pthread_mutex_lock(&call->server->lock);
	assert(!call->kept);
	if (atomic_load(&call->cancelled)) {
		r = -ECANCELED;
	} else {
		call->kept = true;
		call->on_cancelled = cancelled;
		call->on_cancelled_ctx = ctx;
	}
	(void)pthread_mutex_unlock(&call->server->lock);
	return r;
}

void call_finish(struct call *call)
{
	struct server *server = call->server;

	(void)pthread_mutex_lock(&server->lock);
	assert(call->kept);
	assert(!call->finished);
	call->finished = true; /* from here on no callback begins */
	/* One that runs holds the call: call_answer waits for it too. Ours to wait: the owner's ctx dies after us. */
	while (call->telling && !pthread_equal(call->teller, pthread_self()))
		(void)pthread_cond_wait(&server->quiet, &server->lock);
	if (!call->in_handler)
		server_queue(server, call);
	(void)pthread_mutex_unlock(&server->lock);
}

/* Lock held. */
void call_cancel(struct call *call)
{
	struct server *server = call->server;

	atomic_store(&call->cancelled, true);
	(void)pthread_cond_broadcast(&call->client->changed);
	if (!call->kept || call->finished || call->told)
		return;
	call->told = call->telling = true;
	call->teller = pthread_self();
	(void)pthread_mutex_unlock(&server->lock);
	call->on_cancelled(call, call->on_cancelled_ctx);
	(void)pthread_mutex_lock(&server->lock);
	call->telling = false;
	(void)pthread_cond_broadcast(&server->quiet);
}

static struct call *find_uncancelled(struct client *client)
{
	struct call *call = client->calls;

	while (call != NULL && atomic_load(&call->cancelled))
		call = call->next;
	return call;
}

static struct call *find_any_uncancelled(struct server *server)
{
	struct call *call = NULL;

	for (struct client *client = server->clients; client != NULL && call == NULL; client = client->next)
		call = find_uncancelled(client);
	return call;
}

/* Lists may change while a callback runs: begin anew after each. */
void call_cancel_all(struct server *server, struct client *only)
{
	struct call *call;

	while ((call = only != NULL ? find_uncancelled(only) : find_any_uncancelled(server)) != NULL)
		call_cancel(call);
}
