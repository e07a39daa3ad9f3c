/* gantryctl as its user meets it: a process, against a server with handlers that answer as the appliance would. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "appliance/base/err.h"
#include "appliance/base/prng.h"
#include "mgmt/call.h"
#include "mgmt/export.h"
#include "tests/check.h"
#include "tests/mgmt/fixture.h"

#define SIXTY_FOUR "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdeg"
#define GROUNDS "--purpose serious --case C-17 --reason 'robbery at the station'"

struct world {
	struct test_server test;
	/* Written by one thread, read by another. */
	atomic_bool complete;
	atomic_uint acknowledged;
	atomic_uint following;
	atomic_int delivered; /* what hits.follow answers in the end; negative: nothing */
	atomic_size_t uploaded_size;
	atomic_uchar uploaded_sum;
};

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

static void begin(struct world *world)
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

static char output[256 * 1024];
static char errors[256 * 1024];

static void slurp(const char *path, char *to, size_t size)
{
	FILE *file = fopen(path, "r");
	size_t got = file != NULL ? fread(to, 1, size - 1, file) : 0;

	to[got] = '\0';
	if (file != NULL)
		(void)fclose(file);
}

/* Runs a shell line "gantryctl …" and takes what it says; its exit status. */
static int run(const struct world *world, const char *format, ...) __attribute__((format(printf, 2, 3)));
static int run(const struct world *world, const char *format, ...)
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
	slurp(path, output, sizeof(output));
	(void)snprintf(path, sizeof(path), "%s/err", directory);
	slurp(path, errors, sizeof(errors));
	CHECK(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static bool says(const char *text)
{
	bool found = strstr(output, text) != NULL;

	if (!found)
		check_note("\"%s\" is not in: %s%s", text, output, errors);
	return found;
}

static bool complains(const char *text)
{
	bool found = strstr(errors, text) != NULL;

	if (!found)
		check_note("\"%s\" is not in: %s", text, errors);
	return found;
}

static void help_at_every_level(void)
{
	struct world world = {0};

	CHECK_INT(0, run(&world, "--help"));
	CHECK(says("search"));
	CHECK(says("Exit status"));
	CHECK(says("  hits follow           A sub") && says("  subscriptions remove  End a"));
	CHECK_INT(2, run(&world, " "));
	CHECK_INT(0, run(&world, "feeds --help"));
	CHECK(says("feeds rotate"));
	CHECK_INT(2, run(&world, "feeds"));
	CHECK_INT(0, run(&world, "search --help"));
	CHECK(says("--not-read"));
	CHECK(says("--purpose"));
	CHECK(says("Examples:"));
	CHECK_INT(0, run(&world, "lists load --help"));
	CHECK(says("--list-purpose"));
	CHECK_INT(0, run(&world, "hits follow --help"));
	CHECK(says("are printed is acknowledged") && says("--no-ack"));
	CHECK_INT(0, run(&world, "hits.follow --help"));
	CHECK(says("Usage: gantryctl hits follow"));
	CHECK_INT(0, run(&world, "reads.search --help"));
	CHECK(says("Usage: gantryctl search"));
	CHECK_INT(0, run(&world, "audit.key --help"));
	CHECK(says("Usage: gantryctl audit key"));
	CHECK_INT(2, run(&world, "hits. --help"));
	CHECK_INT(2, run(&world, "hits.dance --help"));
	CHECK_INT(0, run(&world, "api --markdown"));
	CHECK(says("### `reads.search`"));
	CHECK_INT(0, run(&world, "api --json"));
	CHECK(says("\"openrpc\""));
	CHECK_INT(0, run(&world, "--version"));
}

static void wrong_command_lines(void)
{
	static const struct {
		const char *args;
		const char *text;
	} cases[] = {
		{"dance", "no command"},
		{"feeds dance", "no command"},
		{"status --colour", "no such option"},
		{"status now", "one word too many"},
		{"feeds add", "--feed "},
		{"feeds add seven --name n --organisation o", "feed"},
		{"feeds add 7 --name", "needs a value"},
		{"feeds add 4294967296 --name n --organisation o", "--feed "},
		{"feeds rotate", "--feed "},
		{"search AB1 --limit many", "--limit"},
		{"search AB1 --limit 0", "--limit "},
		{"search AB1 --window 5", "no such option"},
		{"search AB1 --from yesterday " GROUNDS, "--from "},
		{"search AB1 --camera x " GROUNDS, "--camera"},
		{"search AB1 --purpose curiosity", "--purpose "},
		{"search AB1 --strict=1", "takes no value"},
		{"search AB1 --count --limit 5 " GROUNDS, "do not go together"},
		{"search AB1 --vrm AB2 " GROUNDS, "--vrm is given twice"},
		{"search --vrm AB1 AB2 " GROUNDS, "vrm is given twice"},
		{"search AB1 --limit 5 --limit=6 " GROUNDS, "--limit is given twice"},
		{"search AB1 --from 2026-07-01 --from 2026-07-02 " GROUNDS, "--from is given twice"},
		{"search AB1 --strict --strict " GROUNDS, "--strict is given twice"},
		{"search AB1 --csv --csv " GROUNDS, "--csv is given twice"},
		{"hits follow --for 1 --for 2", "--for is given twice"},
		{"hits follow " GROUNDS, "the subscription's name is missing"},
		{"hits acknowledge", "--hit is missing"},
		{"lists load f --name n --list-purpose x", "--list-purpose must be one of monitor | respond"},
		{"audit attachment 12 --out f " GROUNDS, "--attachment must be 64 digits"},
		{"audit attachment " SIXTY_FOUR " --out f " GROUNDS, "--attachment must be 64 digits"},
		{"hits follow --count 0", "--count"},
		{"hits follow --for x", "--for"},
		{"lists load --name n", "FILE"},
		{"lists load f", "--name "},
		{"purge run 2026-11", "--day "},
		{"audit export " GROUNDS, "--out"},
		{"audit verify --file f", "--key"},
		{"stop", "--reason "},
	};
	struct world world = {0};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int code = run(&world, "%s", cases[i].args);

		if (code != 2)
			check_note("%s", cases[i].args);
		CHECK(complains(cases[i].text));
		CHECK_INT(2, code);
	}
}

static void unreachable(void)
{
	struct world world = {0};

	(void)snprintf(world.test.path, sizeof(world.test.path), "%s/none", check_directory());
	CHECK_INT(3, run(&world, "status"));
	CHECK(complains("is the appliance running?"));
	CHECK_INT(3, run(&world, "status --socket /"));
}

static void status_for_people_and_scripts(void)
{
	const char *directory = check_directory();
	struct world world;

	begin(&world);
	CHECK_INT(0, run(&world, "status"));
	CHECK(says("running"));
	CHECK(says("2026-07-01 13:00:00.250 BST")); /* local, with its zone */
	CHECK(says("backlog"));
	CHECK(says("5.0 GiB"));
	CHECK(says("uptime_s  1234.6\n"));
	CHECK(says("CAMERA TYPE  HOUR HITS  HOUR WITHIN 2S PERCENT  HOUR P50  DAY HITS  DAY WITHIN 2S PERCENT    DAY "
		   "P50\n"));
	CHECK(says("fixed                7                   100.0    1.6 ms\n"));
	CHECK(says("                   50.0  2000.0 ms\n"));
	CHECK(says("a?[2Jb??2J"));
	CHECK(strchr(output, 0x1b) == NULL);
	CHECK_INT(0, run(&world, "status --json"));
	CHECK(says("\"disk_free_bytes\":5368709120"));
	CHECK_INT(0, run(&world, "status >/dev/full 2>'%s/full'; cat '%s/full'", directory, directory));
	CHECK(says("standard output: No space left on device"));
	CHECK_INT(1, run(&world, "counters"));
	CHECK(complains("not available"));
	test_server_fini(&world.test);
}

static void changes(void)
{
	struct world world;

	begin(&world);
	CHECK_INT(0, run(&world, "feeds add 7 --name North --organisation 'Northshire Police'"));
	CHECK(says("c0ffee"));
	CHECK_INT(1, run(&world, "feeds add --feed=9 --name=North --organisation=N"));
	CHECK(complains("feed 9 exists"));
	CHECK_INT(1, run(&world, "feeds add 9 --name North --organisation N --json"));
	CHECK(says("\"code\":-32001"));
	CHECK_INT(1, test_audit_count(world.test.options.audit, "feeds.add", AUDIT_DONE));
	CHECK_INT(2, test_audit_count(world.test.options.audit, "feeds.add", AUDIT_FAILED));
	CHECK_INT(3, test_audit_count(world.test.options.audit, "feeds.add", AUDIT_INTENT));
	test_server_fini(&world.test);
}

/* Characters of every length at every place of the pieces in which a file travels. */
static void files_are_uploaded(void)
{
	static const char *const letters[] = {"a", "\xc3\x84", "\xe2\x82\xac", "\xf0\x9f\x9a\x97", "\n", "\""};
	struct prng prng = {check_seed()};
	struct world world;
	char path[300];
	unsigned char sum = 0;
	size_t size = 0;
	FILE *file;

	begin(&world);
	(void)snprintf(path, sizeof(path), "%s/list.csv", check_directory());
	file = fopen(path, "w");
	CHECK(file != NULL);
	while (size < 700000) {
		const char *letter = letters[prng_below(&prng, 6)];

		(void)fputs(letter, file);
		for (const char *at = letter; *at != '\0'; at++, size++)
			sum = (unsigned char)(sum * 31 + (unsigned char)*at);
	}
	CHECK_INT(0, fclose(file));
	CHECK_INT(0, run(&world, "lists load %s --name stolen", path));
	CHECK(says("not a plate"));
	CHECK_INT(size, world.uploaded_size);
	CHECK_INT(sum, world.uploaded_sum);
	file = fopen(path, "a");
	(void)fputs("\xff", file);
	CHECK_INT(0, fclose(file));
	CHECK_INT(1, run(&world, "lists load %s --name stolen", path));
	CHECK(complains("UTF-8"));
	CHECK_INT(1, run(&world, "lists load %s.none --name stolen", path));
	CHECK_INT(0, run(&world, "lists load /dev/null --name empty"));
	CHECK_INT(0, world.uploaded_size);
	test_server_fini(&world.test);
}

static void searches(void)
{
	struct world world;

	begin(&world);
	CHECK_INT(0, run(&world, "search 'AB1?CDE' --from 2026-07-01 --to '2026-07-02 12:00' " GROUNDS));
	CHECK(says("CAPTURED"));
	CHECK(says("2026-07-01 13:00:00.250 BST"));
	CHECK(says("1002"));
	CHECK(strstr(output, "FLAGS") == NULL); /* empty in every row */
	CHECK(strchr(output, 0x1b) == NULL);
	CHECK(complains("--cursor c-3"));
	CHECK_INT(0, run(&world, "search 'AB1?CDE' --json " GROUNDS));
	CHECK(says("{\"vrm\":\"AB12CDE\""));
	CHECK(strstr(output, "\"cursor\":\"c-3\"") > strstr(output, "\"camera\":1002")); /* the result is last */
	CHECK_INT(0, run(&world, "search 'AB1?CDE' --count --camera 1 --camera 2 " GROUNDS));
	CHECK_STR("1234\n", output);
	CHECK_INT(1, run(&world, "search 'AB1?CDE' --purpose serious --case C-17"));
	CHECK(complains("reason is missing"));
	CHECK_INT(1, run(&world, "search 'AB1?CDE' --purpose serious --case q --reason 'because of it'"));
	CHECK(complains("case is no reference"));
	CHECK_INT(1, run(&world, "search 'AB1?CDE' --purpose serious --case C-17 --reason xx"));
	CHECK(complains("reason says nothing"));
	CHECK_INT(3, test_audit_count(world.test.options.audit, "reads.search", AUDIT_REFUSED));
	world.complete = false;
	CHECK_INT(4, run(&world, "search 'AB1?CDE' " GROUNDS));
	CHECK(complains("INCOMPLETE"));
	CHECK_INT(4, run(&world, "search 'AB1?CDE' --json " GROUNDS));
	test_server_fini(&world.test);
}

static void evaluations(void)
{
	struct world world;

	begin(&world);
	CHECK_INT(0, run(&world, "consecutive 1001 --count 250 --from 2026-07-01 --csv " GROUNDS));
	CHECK(strncmp(output,
		      "id,capture,receipt,vrm,key,kind,camera,camera_name,position,lat,lon,feed,confidence,"
		      "lane,direction,country,flags,images\r\n",
		      100) == 0);
	CHECK(says("\r\n,2026-07-01T12:00:00.250000Z,,\"A\"\"B, 1\",,,1001,\"Ring, North\",,51.5000000,,,,,,,test "
		   "position,\r\n"));
	CHECK(complains("2 sightings, of them 1 not read, 2 tests, 1.5 ms; looked at 77 rows and keys, 3 segments"));
	CHECK_INT(2, run(&world, "consecutive 1001 --csv --json " GROUNDS));
	CHECK_INT(2, run(&world, "search AB1 --csv --count " GROUNDS));
	CHECK_INT(2, run(&world, "consecutive --count 250 " GROUNDS));
	CHECK(complains("--camera is missing"));
	CHECK_INT(2, run(&world, "consecutive 1001 --count 10001 " GROUNDS));
	CHECK_INT(1, run(&world, "consecutive 1001 --count 250 --from 2026-07-01"));
	CHECK(complains("purpose is missing"));
	CHECK_INT(0, run(&world, "segments show --day 2026-07-01"));
	CHECK(says("64.0 KiB") && says("B/READ") && says("segments  1"));
	CHECK_INT(2, run(&world, "segments show --day yesterday"));
	CHECK_INT(0, run(&world, "segments --help"));
	test_server_fini(&world.test);
}

static unsigned line_count(void)
{
	unsigned count = 0;

	for (const char *at = output; *at != '\0'; at++)
		count += *at == '\n';
	return count;
}

static void hits(void)
{
	struct world world;

	begin(&world);
	CHECK_INT(0, run(&world, "hits follow room --count 3 --purpose serious --case OP1 --reason 'a test of hits'"));
	CHECK_INT(4, line_count());
	CHECK(says("CAPTURED                     VRM       LIST              PRIORITY  KIND      PLACE "));
	CHECK(says("2026-07-01 13:00:00.250 BST  AB12CDE   stolen            80                  Ring North "));
	CHECK(says("  stop              robbery   ") && says("  0-17953684597700\n"));
	CHECK(says("2026-07-01 13:00:00.250 BST  CL0NE     -                 50        clone     1002 "));
	CHECK(says("  1077          2026-07-01 12:50:00.000 BST  0-17953684597701\n"));
	CHECK(says("2026-07-01 13:00:01.250 BST  SM12SMS   stolen                                Ring South, A1\n"));
	CHECK_INT(0, run(&world,
			 "hits follow room --count 3 --json --purpose serious --case OP1 --reason 'a test of hits'"));
	CHECK_INT(3, line_count());
	CHECK_INT(0, run(&world,
			 "hits follow room --for 1 --json --purpose serious --case OP1 --reason 'a test of hits'"));
	CHECK_INT(6, line_count());
	CHECK(says("a bad disk"));
	CHECK(strstr(output, "\"cursor\"") == NULL);
	CHECK(world.acknowledged >= 2); /* each lane once at least */
	world.acknowledged = 0;
	CHECK_INT(0, run(&world, "hits follow room --for 1 --json --no-ack " GROUNDS));
	CHECK(says("\"lane\":\"urgent\",\"cursor\":\"00\"}") && says("\"lane\":\"mass\",\"cursor\":\"00\"}"));
	CHECK_INT(0, world.acknowledged);
	CHECK_INT(0, run(&world, "audit show --json " GROUNDS));
	CHECK(says("\"rows_sent\":5")); /* hits, not what is said beside them */
	CHECK(strstr(output, "\"rows_sent\":6") == NULL);
	test_server_fini(&world.test);
}

static void hits_searched(void)
{
	struct world world;

	begin(&world);
	CHECK_INT(0, run(&world, "hits search --from 2026-07-01 " GROUNDS));
	CHECK(says("2026-07-01 13:00:00.250 BST  CL0NE    -             50  clone  1002 "));
	CHECK(says("robbery") && says("1077  2026-07-01 12:50:00.000 BST  0-17953684597701\n"));
	CHECK(complains("2 hits, 1.5 ms"));
	CHECK_INT(0, run(&world, "hits search --from 2026-07-01 --priority-min 1 " GROUNDS));
	CHECK(complains("2 hits of the lists of your own subscriptions, 1.5 ms"));
	test_server_fini(&world.test);
}

static void lists_and_rates(void)
{
	struct world world;

	begin(&world);
	CHECK_INT(0, run(&world, "lists show"));
	CHECK(says("stolen  0123456789ab        5\n"));
	CHECK_INT(0, run(&world, "lists show stolen"));
	CHECK(says("name     stolen\nsha256   " SIXTY_FOUR "\nentries  5\n"));
	CHECK_INT(0, run(&world, "lists show stolen --json"));
	CHECK(says("{\"lists\":["));
	CHECK_INT(0, run(&world, "hits rates --assessed-min 1"));
	CHECK(says("   -  Ring                12.3 %        0.0 %\n"));
	CHECK_INT(0, run(&world, "hits rates"));
	CHECK_STR("no row has 20 or more assessed hits; --assessed-min 1 shows those with fewer\n", output);
	CHECK_INT(0, run(&world, "hits rates --json"));
	CHECK(says("\"rates\":[]"));
	test_server_fini(&world.test);
}

static void hits_taken_on(void)
{
	struct world world;

	begin(&world);
	CHECK_INT(0, run(&world, "hits acknowledge 0-1 0-2"));
	CHECK_INT(4, run(&world, "hits acknowledge 0-1 9-2"));
	CHECK(says("9-2     refused"));
	CHECK_INT(4, run(&world, "hits acknowledge 0-1 9-2 --json"));
	CHECK(says("\"refused\":1"));
	test_server_fini(&world.test);
}

static void *stop_when_followed(void *ctx)
{
	struct world *world = ctx;

	while (world->following == 0)
		(void)usleep(1000);
	test_server_fini(&world->test);
	return NULL;
}

/* An end that nobody asked for is no good end, whichever way the appliance answers while it stops. */
static void hits_end_with_the_appliance(void)
{
	for (int delivered = -1; delivered <= 5; delivered += 6) {
		struct world world;
		pthread_t thread;

		begin(&world);
		world.delivered = delivered;
		CHECK_INT(0, pthread_create(&thread, NULL, stop_when_followed, &world));
		CHECK_INT(3, run(&world, "hits follow room --for 30 " GROUNDS));
		CHECK(complains("the appliance is stopping"));
		CHECK_INT(0, pthread_join(thread, NULL));
	}
}

/* The export is checked by the file and the key alone, and by nothing that was changed. */
static void audit_for_the_auditor(void)
{
	const char *directory = check_directory();
	struct world world;
	struct export_report report;
	char path[300];
	char key[AUDIT_VKEY_MAX];
	char *bytes = malloc(65536);
	size_t size;
	FILE *file;

	begin(&world);
	for (int i = 0; i < 3; i++)
		CHECK_INT(0, run(&world, "feeds add %d --name n --organisation o", i));
	CHECK_INT(0, run(&world, "lists load /dev/null --name list-of-ours"));
	CHECK_INT(0, run(&world, "audit verify"));
	CHECK(says("size"));
	CHECK_INT(0, run(&world, "audit show --purpose audit --case A-1 --reason 'monthly review'"));
	CHECK(says("feeds.add"));
	CHECK(says("monthly review"));
	CHECK(says("  WHAT  ") && says("list-of-ours") && says("  ADDED  REMOVED  "));
	CHECK(says("     12        3"));
	CHECK_INT(1, run(&world, "audit show"));
	CHECK_INT(0, run(&world, "audit key > %s/key; true", directory));
	(void)snprintf(path, sizeof(path), "%s/key", directory);
	slurp(path, key, sizeof(key));
	key[strcspn(key, "\n")] = '\0';
	CHECK_INT(0, run(&world,
			 "audit export --out %s/export --first 2 --count 3 --purpose audit --case A-1 --reason review",
			 directory));
	CHECK(says("verified"));
	CHECK_INT(1, run(&world, "audit export --out %s/export --purpose audit --case A-1 --reason review", directory));
	test_server_fini(&world.test);

	CHECK_INT(0, run(&world, "audit verify --file %s/export --key %s/key --json", directory, directory));
	CHECK(says("\"first\":2,\"count\":3"));
	CHECK_INT(0, run(&world, "audit verify --file %s/export --key '%s'", directory, key));
	(void)snprintf(path, sizeof(path), "%s/export", directory);
	slurp(path, bytes, 65536);
	size = strlen(bytes);
	for (size_t i = 0; i < size; i++) {
		bytes[i] ^= 1;
		file = fmemopen(bytes, size, "r");
		if (export_verify(file, key, &report, NULL) == 0)
			check_note("byte %zu of %zu may be changed", i, size);
		CHECK(export_verify(file, key, &report, NULL) < 0 && ftell(file) >= 0);
		(void)fclose(file);
		bytes[i] ^= 1;
	}
	for (size_t i = 1; i < size; i++) {
		file = fmemopen(bytes, i, "r");
		CHECK_INT(-EBADMSG, export_verify(file, key, &report, NULL));
		(void)fclose(file);
	}
	free(bytes);
}

int main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{"help at every level", help_at_every_level},
		{"wrong command lines", wrong_command_lines},
		{"unreachable", unreachable},
		{"status for people and scripts", status_for_people_and_scripts},
		{"changes", changes},
		{"files are uploaded", files_are_uploaded},
		{"searches", searches},
		{"evaluations", evaluations},
		{"hits", hits},
		{"hits searched", hits_searched},
		{"lists and rates", lists_and_rates},
		{"hits taken on", hits_taken_on},
		{"hits end with the appliance", hits_end_with_the_appliance},
		{"audit for the auditor", audit_for_the_auditor},
		{NULL, NULL},
	};

	return check_main(argc, argv, "gantryctl", tests);
}
