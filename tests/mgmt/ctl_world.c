#include "tests/mgmt/ctl_world.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "mgmt/call.h"
#include "tests/check.h"

static int handle_status(struct call *call, void *ctx)
{
	(void)ctx;
	json_t *status =
		json_pack("{s:s, s:s, s:s, s:{s:I, s:b}, s:[{s:I, s:s, s:[{s:s, s:I}, {s:s, s:I}]}], s:[], s:{s:I}}",
			  "state", "running", "since", "2026-07-01T12:00:00.250000Z", "evil",
			  "a\x1b[2Jb\xc2\x9b"
			  "2J",
			  "totals", "received", (json_int_t)12, "balance_ok", 1, "feeds", "feed", (json_int_t)7, "name",
			  "North", "lanes", "lane", "live", "gaps", (json_int_t)3, "lane", "backlog", "gaps",
			  (json_int_t)4, "alarms", "storage", "disk_free_bytes", (json_int_t)5368709120);

	(void)json_object_update_new(
		status, json_pack("{s:f, s:{s:[{s:s, s:{s:i, s:f, s:i}, s:n}, {s:s, s:n, s:{s:i, s:f, s:i}}]}}",
				  "uptime_s", 1234.56789, "hits", "r20", "camera_type", "fixed", "hour", "hits", 7,
				  "within_2s_percent", 99.98765, "p50_us", 1560, "day", "camera_type", "mobile", "hour",
				  "day", "hits", 9, "within_2s_percent", 50.0, "p50_us", 2000000));
	call_result(call, status);
	return 0;
}

static int handle_add(struct call *call, void *ctx)
{
	(void)ctx;
	if (call_integer(call, "feed", -1) == 9) {
		call_fail(call, CALL_REFUSED, "feed 9 exists");
		return 0;
	}
	call_audit_fact(call, "feed", json_integer(call_integer(call, "feed", -1)));
	call_result(call, json_pack("{s:I, s:s}", "feed", (json_int_t)call_integer(call, "feed", -1), "key", "c0ffee"));
	return 0;
}

static int handle_load(struct call *call, void *ctx)
{
	struct world *world = ctx;
	size_t size = 0;
	const char *text = call_upload(call, "upload", &size);
	unsigned char sum = 0;

	for (size_t i = 0; i < size; i++)
		sum = (unsigned char)(sum * 31 + (unsigned char)text[i]);
	call_audit_fact(call, "added", json_integer(12));
	call_audit_fact(call, "removed", json_integer(3));
	world->uploaded_size = size;
	world->uploaded_sum = sum;
	call_result(call, json_pack("{s:I, s:I, s:[{s:I, s:s}]}", "list", (json_int_t)1, "entries", (json_int_t)size,
				    "rejected", "line", (json_int_t)3, "why", "not a plate"));
	return 0;
}

static int handle_search(struct call *call, void *ctx)
{
	struct world *world = ctx;
	int r = 0;

	if (call_text(call, "vrm") == NULL || strcmp(call_text(call, "vrm"), "AB1?CDE") != 0)
		return -EINVAL;
	for (int i = 0; i < 3 && r == 0; i++)
		r = call_row(call, json_pack("{s:s, s:s, s:i, s:s, s:[]}", "vrm",
					     i == 1 ? "\xc3\x84"
						      "B12CDE"
						    : "AB12CDE",
					     "capture", "2026-07-01T12:00:00.250000Z", "camera", 1000 + i,
					     "camera_name", "Ring \x1b[31m North", "flags"));
	call_result(call, json_pack("{s:i, s:b, s:s, s:b, s:[s], s:i}", "count", 3, "truncated", 1, "cursor", "c-3",
				    "complete", (int)world->complete, "unreadable", "day 2026-07-01, segment 4",
				    "elapsed_ms", 2));
	return r;
}

static int handle_consecutive(struct call *call, void *ctx)
{
	int r = 0;

	(void)ctx;
	if (call_integer(call, "camera", 0) != 1001 || call_integer(call, "count", 0) != 250 || !call_has(call, "from"))
		return -EINVAL;
	for (int i = 0; i < 2 && r == 0; i++)
		r = call_row(call, json_pack("{s:s, s:s, s:i, s:s, s:[s, s], s:f, s:n}", "vrm", "A\"B, 1", "capture",
					     "2026-07-01T12:00:00.250000Z", "camera", 1001, "camera_name",
					     "Ring, North", "flags", "test", "position", "lat", 51.5, "confidence"));
	call_result(call, json_pack("{s:i, s:i, s:i, s:b, s:f, s:i, s:i, s:i}", "count", 2, "not_read", 1, "tests", 2,
				    "complete", 1, "elapsed_ms", 1.5, "rows_seen", 77, "segments", 3, "pages_read", 9));
	return r;
}

static int handle_segments(struct call *call, void *ctx)
{
	int r;

	(void)ctx;
	if (call_day(call, "day", 0) != 20635)
		return -EINVAL;
	r = call_row(call, json_pack("{s:s, s:s, s:i, s:I, s:f}", "day", "2026-07-01", "state", "open", "reads", 4096,
				     "bytes", (json_int_t)65536, "bytes_per_read", 16.0));
	call_result(call, json_pack("{s:i, s:i}", "segments", 1, "reads", 4096));
	return r;
}

static int handle_count(struct call *call, void *ctx)
{
	(void)ctx;
	call_result(call, json_pack("{s:i, s:b}", "count", json_array_size(call_array(call, "cameras")) == 2 ? 1234 : 0,
				    "complete", 1));
	return 0;
}

static void follow_cancelled(struct call *call, void *ctx)
{
	const struct world *world = ctx;

	if (world->delivered >= 0)
		call_result(call, json_pack("{s:i}", "delivered", (int)world->delivered));
	call_finish(call);
}

/* Of every shape that there is: of a list, of an impossible journey, of a subscription of kind sms. */
static json_t *hit_at(int i)
{
	if (i == 1)
		return json_pack("{s:s, s:i, s:s, s:i, s:i, s:s, s:{s:s, s:s, s:i, s:n}}", "number", "0-17953684597701",
				 "list", 0, "kind", "clone", "priority", 50, "other_camera", 1077, "other_time",
				 "2026-07-01T11:50:00Z", "read", "vrm", "CL0NE", "capture",
				 "2026-07-01T12:00:00.250000Z", "camera", 1002, "camera_name");
	if (i == 2)
		return json_pack("{s:s, s:s, s:s, s:s}", "vrm", "SM12SMS", "time", "2026-07-01T12:00:01.250000Z",
				 "location", "Ring South, A1", "list", "stolen");
	return json_pack("{s:s, s:s, s:i, s:s, s:s, s:{s:s, s:s, s:s}}", "number", "0-17953684597700", "list_name",
			 "stolen", "priority", 80, "action", "stop", "reason", "robbery", "read", "vrm", "AB12CDE",
			 "capture", "2026-07-01T12:00:00.250000Z", "camera_name", "Ring North");
}

static int handle_follow(struct call *call, void *ctx)
{
	struct world *world = ctx;
	int r = 0;

	for (int i = 0; i < 5 && r == 0; i++)
		r = call_notify_try(call, "hits.hits",
				    json_pack("{s:s, s:s, s:[o]}", "lane", i % 2 == 0 ? "urgent" : "mass", "cursor",
					      "00", "hits", hit_at(i)),
				    1);
	if (r == 0)
		r = call_notify_try(call, "hits.waiting", json_pack("{s:s, s:s}", "lane", "mass", "why", "a bad disk"),
				    0);
	r = call_keep(call, follow_cancelled, world);
	world->following++;
	return r < 0 ? r : CALL_STREAMING;
}

static int handle_hit_search(struct call *call, void *ctx)
{
	int r = 0;

	(void)ctx;
	for (int i = 0; i < 2 && r == 0; i++)
		r = call_row(call, hit_at(i));
	call_result(call, json_pack("{s:i, s:b, s:s, s:f}", "count", 2, "complete", 1, "lists",
				    call_has(call, "priority_min") ? "own" : "all", "elapsed_ms", 1.5));
	return r;
}

static int handle_lists(struct call *call, void *ctx)
{
	json_t *row = json_pack("{s:s, s:s, s:i}", "name", "stolen", "sha256", SIXTY_FOUR, "entries", 5);

	(void)ctx;
	call_result(call, json_pack("{s:[o]}", "lists", row));
	return 0;
}

static int handle_rates(struct call *call, void *ctx)
{
	json_t *rows = json_array();

	(void)ctx;
	if (call_integer(call, "assessed_min", 20) < 20)
		(void)json_array_append_new(rows, json_pack("{s:i, s:s, s:f, s:f}", "list", 0, "camera_name", "Ring",
							    "misread_share", 0.12345, "misread_low", 0.0));
	call_result(call, json_pack("{s:o, s:b}", "rates", rows, "more", 0));
	return 0;
}

/* Hits whose numbers begin with 9 are refused. */
static int handle_acknowledge(struct call *call, void *ctx)
{
	const json_t *numbers = call_array(call, "hits");
	json_t *rows = json_array();
	int refused = 0;

	(void)ctx;
	for (size_t i = 0; i < json_array_size(numbers); i++) {
		const char *number = json_string_value(json_array_get(numbers, i));
		bool good = number[0] != '9';

		refused += !good;
		(void)json_array_append_new(
			rows, json_pack("{s:s, s:s}", "number", number, "outcome", good ? "done" : "refused"));
	}
	call_result(call, json_pack("{s:i, s:i, s:i, s:o}", "done", (int)json_array_size(numbers) - refused, "already",
				    0, "refused", refused, "hits", rows));
	return 0;
}

static int handle_ack(struct call *call, void *ctx)
{
	struct world *world = ctx;

	world->acknowledged++;
	call_result(call, json_pack("{s:i}", "acknowledged", 1));
	return 0;
}

void ctl_begin(struct world *world)
{
	static const struct {
		const char *method;
		call_handler *handler;
	} handlers[] = {{"status", handle_status},
			{"feeds.add", handle_add},
			{"lists.load", handle_load},
			{"reads.search", handle_search},
			{"reads.count", handle_count},
			{"reads.consecutive", handle_consecutive},
			{"segments.show", handle_segments},
			{"hits.follow", handle_follow},
			{"hits.search", handle_hit_search},
			{"hits.rates", handle_rates},
			{"lists.show", handle_lists},
			{"hits.acknowledge", handle_acknowledge},
			{"hits.ack", handle_ack}};

	memset(world, 0, sizeof(*world));
	world->complete = true;
	test_server_init(&world->test);
	test_server_new(&world->test);
	for (size_t i = 0; i < sizeof(handlers) / sizeof(handlers[0]); i++)
		CHECK_INT(0, server_bind(world->test.server, handlers[i].method, handlers[i].handler, world));
	test_server_start(&world->test);
}

char ctl_output[256 * 1024];
char ctl_errors[256 * 1024];

void ctl_slurp(const char *path, char *to, size_t size)
{
	FILE *file = fopen(path, "r");
	size_t got = file != NULL ? fread(to, 1, size - 1, file) : 0;

	to[got] = '\0';
	if (file != NULL)
		(void)fclose(file);
}

int ctl_run(const struct world *world, const char *format, ...)
{
	const char *directory = check_directory();
	char args[2048];
	char line[4096];
	char path[300];
	va_list list;
	int status;

	va_start(list, format);
	(void)vsnprintf(args, sizeof(args), format, list);
	va_end(list);
	(void)snprintf(line, sizeof(line),
		       "TZ=Europe/London GANTRY_SOCKET='%s' '%s' %s >'%s/out' 2>'%s/err' </dev/null", world->test.path,
		       GANTRYCTL, args, directory, directory);
	status = system(line);
	(void)snprintf(path, sizeof(path), "%s/out", directory);
	ctl_slurp(path, ctl_output, sizeof(ctl_output));
	(void)snprintf(path, sizeof(path), "%s/err", directory);
	ctl_slurp(path, ctl_errors, sizeof(ctl_errors));
	CHECK(WIFEXITED(status));
	return WEXITSTATUS(status);
}

bool ctl_says(const char *text)
{
	bool found = strstr(ctl_output, text) != NULL;

	if (!found)
		check_note("\"%s\" is not in: %s%s", text, ctl_output, ctl_errors);
	return found;
}

bool ctl_complains(const char *text)
{
	bool found = strstr(ctl_errors, text) != NULL;

	if (!found)
		check_note("\"%s\" is not in: %s", text, ctl_errors);
	return found;
}

unsigned ctl_line_count(void)
{
	unsigned count = 0;

	for (const char *at = ctl_output; *at != '\0'; at++)
		count += *at == '\n';
	return count;
}
