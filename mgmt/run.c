/* The pool's side of a call: policy, handler, outcome, answer. Life cycle and locks: mgmt/private.h. */
#include "mgmt/private.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/clock.h"
#include "mgmt/api.h"
#include "mgmt/rpc.h"

static void decide(struct call *call, int r)
{
	if (call->decided && (r == 0 || call->code != 0))
		return;
	if (r == 0 && !call->decided && !atomic_load(&call->cancelled))
		call_set_failure(call, CALL_INTERNAL, "the handler gave no answer");
	else if (r == 0 || r == -ECANCELED)
		call_set_failure(call, CALL_CANCELLED, "cancelled");
	else
		call_set_failure(call, CALL_FAILED, strerror(-r));
}

/* True when the pool is to answer now; a kept call is its owner's until call_finish. */
static bool handle(struct call *call)
{
	const struct binding *binding = &call->server->bindings[api_index(call->method)];
	bool kept;
	int r;

	(void)pthread_mutex_lock(&call->server->lock);
	call->in_handler = true;
	(void)pthread_mutex_unlock(&call->server->lock);
	r = binding->handler(call, binding->ctx);
	if (r == 0)
		r = call_flush(call);
	else if (r == CALL_STREAMING)
		(void)call_flush(call); /* a client that is gone: its owner is being told */
	(void)pthread_mutex_lock(&call->server->lock);
	call->in_handler = false;
	kept = call->kept && !call->finished;
	assert(call->kept == (r == CALL_STREAMING));
	(void)pthread_mutex_unlock(&call->server->lock);
	if (kept)
		return false;
	decide(call, r == CALL_STREAMING ? 0 : r);
	return true;
}

void call_run(struct call *call)
{
	bool answer = true;

	if (policy_admit(call) == 0) {
		if (atomic_load(&call->cancelled))
			decide(call, -ECANCELED);
		else
			answer = handle(call);
	}
	if (answer)
		call_answer(call);
}

static char *encode_answer(struct call *call, size_t *ret_size)
{
	json_t *result = call->result;

	if (call->code != 0)
		return rpc_error(call->id, call->code, call->text.text, ret_size);
	call->result = NULL;
	return rpc_result(call->id, result, ret_size);
}

/*
 * Lock held. Out of its client's list in the same breath as its answer leaves: a client may use the id, or the place
 * among its requests in flight, again as soon as it has read the answer.
 */
static void detach(struct call *call)
{
	struct client *client = call->client;
	struct call **at = &client->calls;

	while (*at != call)
		at = &(*at)->next;
	*at = call->next;
	client->in_flight_count--;
	client->heard_ns = clock_mono_ns(); /* idle begins after its last answer */
}

static int send_line(struct call *call, char *line, size_t size)
{
	int r = -ENOMEM;

	(void)pthread_mutex_lock(&call->server->lock);
	if (line != NULL)
		r = client_send(call->client, call, line, size, CLIENT_SEND_ANSWER);
	if (r != -EMSGSIZE && r != -ENOMEM)
		detach(call);
	(void)pthread_mutex_unlock(&call->server->lock);
	free(line);
	return r;
}

static void send_answer(struct call *call)
{
	size_t size = 0;
	char *line = encode_answer(call, &size);
	int r = send_line(call, line, size);

	if (r != -EMSGSIZE && r != -ENOMEM)
		return;
	line = rpc_error(call->id, CALL_FAILED,
			 r == -EMSGSIZE ? "done, but the answer is larger than this socket allows: ask for less"
					: "done, but out of memory for the answer",
			 &size);
	r = send_line(call, line, size);
	if (r != -EMSGSIZE && r != -ENOMEM)
		return;
	(void)pthread_mutex_lock(&call->server->lock);
	detach(call);
	client_doom(call->client); /* better no answer than a request that waits for ever */
	(void)pthread_mutex_unlock(&call->server->lock);
}

static void end(struct call *call)
{
	struct server *server = call->server;
	struct client *client = call->client;

	(void)pthread_mutex_lock(&server->lock);
	server->call_count--;
	if (client->ended || server->stopping)
		loop_wake(server);
	client_unref(client);
	if (server->quit)
		(void)pthread_cond_broadcast(&server->work);
	(void)pthread_cond_broadcast(&server->quiet);
	(void)pthread_mutex_unlock(&server->lock);
	(void)call_free(call);
}

static void drop_upload(struct call *call)
{
	(void)pthread_mutex_lock(&call->server->lock);
	upload_free(call->server, call->upload);
	call->upload = NULL;
	(void)pthread_mutex_unlock(&call->server->lock);
}

void call_answer(struct call *call)
{
	(void)pthread_mutex_lock(&call->server->lock);
	while (call->telling)
		(void)pthread_cond_wait(&call->server->quiet, &call->server->lock);
	(void)pthread_mutex_unlock(&call->server->lock);
	decide(call, 0);
	policy_outcome(call);
	drop_upload(call); /* its bytes are there for the next upload once the client has the answer */
	send_answer(call);
	end(call);
}
