/* One request: connect, upload, ask, take rows and progress, answer. Everything ends in an exit code. */
#include "mgmt/ctl/ctl.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "appliance/base/clock.h"
#include "appliance/base/err.h"
#include "appliance/base/utf8.h"
#include "mgmt/call.h"
#include "mgmt/frame.h"
#include "mgmt/link.h"

#define REQUEST_ID 1
#define UPLOAD_ID 2
#define FRAME_SIZE (256 * 1024) /* of an upload's piece, its head included: well below the line's limit */
#define PATIENCE_NS 2000000000  /* progress is shown for what takes longer */
#define TICK_MS 200

static volatile sig_atomic_t interrupted;

static void on_signal(int number)
{
	(void)number;
	interrupted = 1;
}

static void catch_signals(void)
{
	struct sigaction action = {.sa_handler = on_signal};

	(void)sigaction(SIGINT, &action, NULL);
	(void)sigaction(SIGTERM, &action, NULL);
}

int say(int code, const char *format, ...)
{
	va_list args;

	(void)fputs("gantryctl: ", stderr);
	va_start(args, format);
	(void)vfprintf(stderr, format, args);
	va_end(args);
	(void)fputc('\n', stderr);
	return code;
}

static const char *find_socket(const struct options *options)
{
	static const char embedded[] = "gantry/run/gantry.sock";
	const char *path = options->socket != NULL ? options->socket : getenv("GANTRY_SOCKET");

	if (path != NULL && path[0] != '\0')
		return path;
	return access(embedded, F_OK) == 0 ? embedded : "/run/gantry/gantry.sock";
}

static int say_lost(int r)
{
	return say(CTL_UNREACHED, "the appliance ended the connection before it answered (%s)", strerror(-r));
}

int say_stopping(void)
{
	return say(CTL_UNREACHED, "the appliance is stopping");
}

static int say_error(const struct request *request, const json_t *error)
{
	const char *text = json_string_value(json_object_get(error, "message"));

	if (request->options->json) {
		json_t *object = json_pack("{s:O}", "error", error);

		(void)json_dumpf(object, stdout, JSON_COMPACT);
		(void)fputc('\n', stdout);
		json_decref(object);
	}
	return say(CTL_REFUSED, "%s (%lld)", text != NULL ? text : "?",
		   (long long)json_integer_value(json_object_get(error, "code")));
}

/* The result of what was sent with result `r`; NULL with *ret_exit set. */
static json_t *take_result(struct request *request, struct link *link, int r, int *ret_exit)
{
	json_t *message = NULL;
	json_t *result;

	if (r == 0)
		do
			r = link_receive(link, -1, &message);
		while (r == 1 && !interrupted);
	if (r != 0) {
		*ret_exit = r < 0 ? say_lost(r) : say(CTL_REFUSED, "interrupted");
		return NULL;
	}
	result = json_incref(json_object_get(message, "result"));
	if (result == NULL)
		*ret_exit = say_error(request, json_object_get(message, "error"));
	json_decref(message);
	return result;
}

/* How many of these bytes are whole characters. */
static size_t whole_size(const char *bytes, size_t size)
{
	size_t back = 0;

	while (back < 4 && back < size && ((unsigned char)bytes[size - 1 - back] & 0xc0) == 0x80)
		back++;
	if (back < size && (unsigned char)bytes[size - 1 - back] >= 0xc0) {
		unsigned char first = (unsigned char)bytes[size - 1 - back];
		size_t wanted = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;

		if (back + 1 < wanted)
			return size - 1 - back;
	}
	return size;
}

static int upload_pieces(struct request *request, struct link *link, FILE *file, json_int_t number)
{
	char *bytes = malloc(FRAME_SIZE - FRAME_HEAD_SIZE);
	size_t kept = 0;
	int code = bytes != NULL ? CTL_OK : say(CTL_REFUSED, "out of memory");

	while (code == CTL_OK) {
		size_t size = kept + fread(bytes + kept, 1, FRAME_SIZE - FRAME_HEAD_SIZE - kept, file);
		size_t whole = feof(file) ? size : whole_size(bytes, size);
		const struct frame frame = {(uint32_t)whole, (uint32_t)number, UPLOAD_ID};

		if (whole == 0)
			break;
		if (!utf8_is_text(bytes, whole)) {
			code = say(CTL_REFUSED, "%s: is not UTF-8 text", request->options->file);
			break;
		}
		json_decref(take_result(request, link, link_send_frame(link, &frame, bytes), &code));
		kept = size - whole;
		memmove(bytes, bytes + whole, kept);
	}
	free(bytes);
	return code;
}

static int upload(struct request *request, struct link *link)
{
	const char *path = request->options->file;
	FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "r");
	int code = CTL_OK;
	json_t *opened;

	if (file == NULL)
		return say(CTL_REFUSED, "%s: %s", path, strerror(errno));
	opened = take_result(
		request, link,
		link_send(link, "upload.open", json_pack("{s:s}", "kind", request->command->upload_kind), UPLOAD_ID),
		&code);
	if (opened != NULL) {
		json_int_t number = json_integer_value(json_object_get(opened, "upload"));

		code = upload_pieces(request, link, file, number);
		(void)json_object_set_new(request->params, "upload", json_integer(number));
	}
	json_decref(opened);
	if (code == CTL_OK && ferror(file))
		code = say(CTL_REFUSED, "%s: cannot be read", path);
	if (file != stdin)
		(void)fclose(file);
	return code;
}

static void show_progress(const json_t *params, int64_t start_ns)
{
	const char *text = json_string_value(json_object_get(params, "text"));
	double done = (double)json_integer_value(json_object_get(params, "done"));
	double total = (double)json_integer_value(json_object_get(params, "total"));

	if (isatty(STDERR_FILENO) && clock_mono_ns() - start_ns > PATIENCE_NS)
		(void)fprintf(stderr, "\r\033[K%s %.0f %%", text != NULL ? text : "",
			      total > 0 ? 100 * done / total : 0);
}

static void clear_progress(int64_t start_ns)
{
	if (isatty(STDERR_FILENO) && clock_mono_ns() - start_ns > PATIENCE_NS)
		(void)fputs("\r\033[K", stderr);
}

static bool take_row(struct request *request, const json_t *row)
{
	if (request->on_row != NULL)
		return request->on_row(row, request->ctx);
	(void)json_array_append(request->rows, (json_t *)row);
	return true;
}

/* A notification: progress, a batch of rows, or one row that is the params themselves. */
static bool take_notification(struct request *request, const json_t *message, int64_t start_ns)
{
	const char *method = json_string_value(json_object_get(message, "method"));
	json_t *params = json_object_get(message, "params");
	const json_t *rows = json_object_get(params, "rows");
	bool more = true;
	size_t index;
	json_t *row;

	if (strcmp(method, "progress") == 0) {
		show_progress(params, start_ns);
		return true;
	}
	clear_progress(start_ns);
	if (!json_is_array(rows)) {
		(void)json_object_del(params, "id");
		return take_row(request, params);
	}
	json_array_foreach(rows, index, row)
	{
		more = more && take_row(request, row);
	}
	return more;
}

static int take_answer(struct request *request, const json_t *message)
{
	json_t *error = json_object_get(message, "error");

	if (error != NULL && !request->cancelled &&
	    json_integer_value(json_object_get(error, "code")) == CALL_CANCELLED) {
		(void)say_error(request, error);
		return say_stopping(); /* which cancels every request: this one was not by us */
	}
	if (error != NULL)
		return request->cancelled ? CTL_OK : say_error(request, error);
	request->result = json_incref(json_object_get(message, "result"));
	return json_is_false(json_object_get(request->result, "complete")) ? CTL_INCOMPLETE : CTL_OK;
}

static void cancel(struct request *request, struct link *link)
{
	if (!request->cancelled)
		(void)link_send(link, "cancel", json_pack("{s:i}", "id", REQUEST_ID), -1);
	request->cancelled = true;
}

/* The answer to a request that was sent beside this one. */
static bool is_other(const json_t *message)
{
	return json_object_get(message, "method") == NULL &&
	       json_integer_value(json_object_get(message, "id")) >= OTHER_ID;
}

static int take_messages(struct request *request, struct link *link)
{
	int64_t start_ns = clock_mono_ns();

	for (;;) {
		json_t *message = NULL;
		int r = link_receive(link, TICK_MS, &message);
		int code = -1;

		if (interrupted || (request->deadline_ns != 0 && clock_mono_ns() >= request->deadline_ns))
			cancel(request, link);
		if (r == 1)
			continue;
		if (r < 0)
			return say_lost(r);
		if (is_other(message)) {
			request->on_other(message, request->ctx);
		} else if (json_object_get(message, "method") == NULL) {
			clear_progress(start_ns);
			code = take_answer(request, message);
		} else if (!request->cancelled && !take_notification(request, message, start_ns)) {
			cancel(request, link);
		}
		json_decref(message);
		if (code >= 0)
			return code;
	}
}

int request_run(struct request *request)
{
	struct link link;
	struct err err = {""};
	int code = CTL_OK;
	int r;

	catch_signals();
	request->rows = json_array();
	if (link_open(&link, find_socket(request->options), &err) < 0)
		return say(CTL_UNREACHED, "%s", err.text);
	request->link = &link;
	if ((request->command->takes & TAKES_FILE) != 0)
		code = upload(request, &link);
	if (code == CTL_OK) {
		r = link_send(&link, request->method, json_incref(request->params), REQUEST_ID);
		code = r < 0 ? say_lost(r) : take_messages(request, &link);
	}
	request->link = NULL;
	link_close(&link);
	return code;
}
