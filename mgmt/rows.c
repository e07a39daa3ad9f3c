/* Rows of a stream: encoded as they come, sent in batches, never more than the client has given credit for. */
#include "mgmt/call.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "appliance/base/clock.h"
#include "mgmt/api.h"
#include "mgmt/private.h"

#define BATCH_SIZE_MAX (64 * 1024)
#define BATCH_ROW_MAX 256
#define BATCH_AGE_NS 50000000

static size_t batch_size_max(const struct call *call)
{
	size_t half = call->server->options.output_size_max / 2;

	return half < BATCH_SIZE_MAX ? half : BATCH_SIZE_MAX;
}

static int batch_begin(struct call *call)
{
	char *id = json_dumps(call->id, JSON_COMPACT | JSON_ENCODE_ANY);
	const char *parts[] = {"{\"jsonrpc\":\"2.0\",\"method\":\"", call->method->stream, "\",\"params\":{\"id\":", id,
			       ",\"rows\":["};
	int r = id != NULL ? 0 : -ENOMEM;

	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]) && r == 0; i++)
		r = text_append(&call->rows, parts[i], strlen(parts[i]));
	free(id);
	call->row_ns = clock_mono_ns();
	return r;
}

int call_flush(struct call *call)
{
	int r;

	if (call->row_count == 0)
		return 0;
	r = text_append(&call->rows, "]}}\n", 4);
	if (r == 0) {
		(void)pthread_mutex_lock(&call->server->lock);
		r = client_send(call->client, call, call->rows.bytes + call->rows.start, text_size(&call->rows),
				CLIENT_SEND_WAIT);
		if (r == 0) {
			call->credit -= call->row_count;
			call->rows_sent += call->row_count;
		}
		(void)pthread_mutex_unlock(&call->server->lock);
	}
	text_consume(&call->rows, text_size(&call->rows));
	call->row_count = 0;
	return r;
}

/* Lock held. Waits for credit; the client that gives none for stall_ms is dropped, for it holds a thread. */
static int wait_credit(struct call *call)
{
	struct client *client = call->client;
	int64_t stall_ns = (int64_t)client->server->options.stall_ms * 1000000;
	int64_t start_ns = clock_mono_ns();

	while (call->credit <= call->row_count) {
		int64_t last_ns = call->credit_ns > start_ns ? call->credit_ns : start_ns;
		int64_t until_ns = last_ns + stall_ns;
		struct timespec until = {until_ns / 1000000000, until_ns % 1000000000};

		if (client->closed || client->doomed || atomic_load(&call->cancelled))
			return -ECANCELED;
		if (clock_mono_ns() >= until_ns) {
			client->server->counters.clients_slow++;
			client_doom(client);
			return -ECANCELED;
		}
		(void)pthread_cond_timedwait(&client->changed, &client->server->lock, &until);
	}
	return 0;
}

/* Makes sure that one more row is within the client's window. */
static int take_credit(struct call *call)
{
	bool short_of;
	int r = 0;

	if (!call->windowed)
		return 0;
	(void)pthread_mutex_lock(&call->server->lock);
	short_of = call->credit <= call->row_count;
	(void)pthread_mutex_unlock(&call->server->lock);
	if (!short_of)
		return 0;
	r = call_flush(call); /* what the client waits for, before we wait for it */
	if (r < 0)
		return r;
	(void)pthread_mutex_lock(&call->server->lock);
	r = wait_credit(call);
	(void)pthread_mutex_unlock(&call->server->lock);
	return r;
}

static int batch_add(struct call *call, const char *text)
{
	size_t size = strlen(text);
	int r = 0;

	if (call->row_count > 0 && text_size(&call->rows) + size > batch_size_max(call))
		r = call_flush(call);
	if (r == 0)
		r = call->row_count == 0 ? batch_begin(call) : text_append(&call->rows, ",", 1);
	if (r == 0)
		r = text_append(&call->rows, text, size);
	if (r == 0)
		call->row_count++;
	else
		text_consume(&call->rows, text_size(&call->rows));
	return r;
}

int call_row(struct call *call, json_t *row)
{
	char *text = row != NULL ? json_dumps(row, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
	int r;

	json_decref(row);
	if (text == NULL)
		return -ENOMEM;
	r = call_cancelled(call) ? -ECANCELED : take_credit(call);
	if (r == 0)
		r = batch_add(call, text);
	free(text);
	if (r == 0 && (call->row_count >= BATCH_ROW_MAX || clock_mono_ns() - call->row_ns > BATCH_AGE_NS))
		r = call_flush(call);
	return r;
}
