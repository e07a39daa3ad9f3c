#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "appliance/base/clock.h"
#include "appliance/base/err.h"
#include "appliance/base/prng.h"
#include "mgmt/call.h"
#include "tests/check.h"
#include "tests/mgmt/fixture.h"

#define GROUNDS "\"purpose\":\"serious\",\"case\":\"C-17\",\"reason\":\"robbery at the station\""

/* The appliance's side, as small as it can be. */
struct world {
	atomic_int effects;
	atomic_int cancelled;
	atomic_int rows;
	atomic_int blocked; /* handlers that wait in handle_wait */
	pthread_mutex_t lock;
	struct call *stream; /* kept by hits.follow */
};

static int handle_status(struct call *call, void *ctx)
{
	(void)ctx;
	call_result(call, json_pack("{s:s}", "state", "running"));
	return 0;
}

static int handle_change(struct call *call, void *ctx)
{
	struct world *world = ctx;

	atomic_fetch_add(&world->effects, 1);
	call_result(call, json_pack("{s:I}", "feed", (json_int_t)call_integer(call, "feed", -1)));
	return 0;
}

static int handle_load(struct call *call, void *ctx)
{
	struct world *world = ctx;
	size_t size = 0;
	const char *text = call_upload(call, "upload", &size);

	atomic_fetch_add(&world->effects, 1);
	call_result(call, json_pack("{s:s%, s:I}", "text", text, size < 32 ? size : 32, "entries", (json_int_t)size));
	return 0;
}

/* As many rows as the limit says, each of some bytes. */
static int handle_search(struct call *call, void *ctx)
{
	struct world *world = ctx;
	int64_t count = call_integer(call, "limit", 100);
	int r = 0;

	atomic_fetch_add(&world->effects, 1);
	for (int64_t i = 0; i < count && r == 0; i++) {
		call_progress(call, (uint64_t)i, (uint64_t)count, "searching");
		r = call_row(call,
			     json_pack("{s:I, s:s}", "n", (json_int_t)i, "text",
				       "a row with some text so that it has a size that fills buffers in the end"));
		atomic_fetch_add(&world->rows, r == 0);
	}
	if (r == 0)
		call_result(call, json_pack("{s:I}", "count", (json_int_t)count));
	return r;
}

/* Waits until it is cancelled. */
static int handle_wait(struct call *call, void *ctx)
{
	struct world *world = ctx;

	atomic_fetch_add(&world->blocked, 1);
	while (!call_cancelled(call))
		(void)usleep(1000);
	atomic_fetch_sub(&world->blocked, 1);
	atomic_fetch_add(&world->cancelled, 1);
	return -ECANCELED;
}

static void follow_cancelled(struct call *call, void *ctx)
{
	struct world *world = ctx;
	bool ours;

	(void)pthread_mutex_lock(&world->lock);
	ours = world->stream == call;
	if (ours)
		world->stream = NULL;
	(void)pthread_mutex_unlock(&world->lock);
	atomic_fetch_add(&world->cancelled, 1);
	if (ours)
		call_finish(call);
}

static int handle_follow(struct call *call, void *ctx)
{
	struct world *world = ctx;
	int r = call_keep(call, follow_cancelled, world);

	if (r < 0)
		return r;
	(void)pthread_mutex_lock(&world->lock);
	world->stream = call;
	(void)pthread_mutex_unlock(&world->lock);
	return CALL_STREAMING;
}

static void begin(struct test_server *test, struct world *world)
{
	memset(world, 0, sizeof(*world));
	(void)pthread_mutex_init(&world->lock, NULL);
	test_server_new(test);
	CHECK_INT(0, server_bind(test->server, "status", handle_status, world));
	CHECK_INT(0, server_bind(test->server, "feeds.add", handle_change, world));
	CHECK_INT(0, server_bind(test->server, "lists.load", handle_load, world));
	CHECK_INT(0, server_bind(test->server, "reads.search", handle_search, world));
	CHECK_INT(0, server_bind(test->server, "reads.count", handle_wait, world));
	CHECK_INT(0, server_bind(test->server, "hits.follow", handle_follow, world));
	CHECK_INT(-EBUSY, server_bind(test->server, "status", handle_status, world));
	CHECK_INT(-ENOENT, server_bind(test->server, "no.such", handle_status, world));
	CHECK_INT(-ENOENT, server_bind(test->server, "cancel", handle_status, world));
	test_server_start(test);
}

static void wait_for(atomic_int *value, int wanted)
{
	for (int i = 0; i < 10000 && atomic_load(value) != wanted; i++)
		(void)usleep(1000);
	CHECK_INT(wanted, atomic_load(value));
}

static struct server_counters counters_of(struct test_server *test)
{
	struct server_counters counters;

	server_counters_get(test->server, &counters);
	return counters;
}

static void hello_and_status(void)
{
	struct test_server test;
	struct world world;
	struct test_client client;
	json_t *hello;
	json_t *answer;

	test_server_init(&test);
	begin(&test, &world);
	test_connect_raw(&client, &test);
	hello = test_receive(&client);
	CHECK_STR("2.0", json_string_value(json_object_get(hello, "jsonrpc")));
	CHECK_STR("gantry", json_string_value(json_object_get(json_object_get(hello, "params"), "product")));
	CHECK_STR("test", json_string_value(json_object_get(json_object_get(hello, "params"), "node")));
	CHECK_INT(1, json_integer_value(json_object_get(json_object_get(hello, "params"), "api")));
	answer = test_call(&client, "{\"jsonrpc\":\"2.0\",\"id\":\"a\",\"method\":\"status\"}");
	CHECK_STR("a", json_string_value(json_object_get(answer, "id")));
	CHECK_STR("running", json_string_value(json_object_get(json_object_get(answer, "result"), "state")));
	json_decref(answer);
	json_decref(hello);
	test_close(&client);
	test_server_fini(&test);
}

static void strangeness_is_refused(void)
{
	static const struct {
		const char *line;
		int code;
	} cases[] = {
		{"", CALL_PARSE_ERROR},
		{"garbage", CALL_PARSE_ERROR},
		{"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"status\"", CALL_PARSE_ERROR},
		{"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"sta\xff\"}", CALL_PARSE_ERROR},
		{"[{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"status\"}]", CALL_INVALID_REQUEST},
		{"{\"jsonrpc\":\"1.0\",\"id\":1,\"method\":\"status\"}", CALL_INVALID_REQUEST},
		{"{\"id\":1,\"method\":\"status\"}", CALL_INVALID_REQUEST},
		{"{\"jsonrpc\":\"2.0\",\"id\":1}", CALL_INVALID_REQUEST},
		{"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":7}", CALL_INVALID_REQUEST},
		{"{\"jsonrpc\":\"2.0\",\"id\":1.5,\"method\":\"status\"}", CALL_INVALID_REQUEST},
		{"{\"jsonrpc\":\"2.0\",\"id\":null,\"method\":\"status\"}", CALL_INVALID_REQUEST},
		{"{\"jsonrpc\":\"2.0\",\"id\":\"\",\"method\":\"status\"}", CALL_INVALID_REQUEST},
		{"{\"jsonrpc\":\"2.0\",\"method\":\"status\"}", CALL_INVALID_REQUEST},
		{"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"status\",\"extra\":1}", CALL_INVALID_REQUEST},
		{"{\"jsonrpc\":\"2.0\",\"id\":1,\"id\":2,\"method\":\"status\"}", CALL_INVALID_REQUEST},
		{"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"feeds.add\",\"params\":{\"feed\":1,\"feed\":2}}",
		 CALL_INVALID_REQUEST},
		{"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"nope\"}", CALL_UNKNOWN_METHOD},
		{"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"counters\"}", CALL_NOT_AVAILABLE},
		{"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"status\",\"params\":[1]}", CALL_INVALID_PARAMS},
		{"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"status\",\"params\":{\"x\":1}}", CALL_INVALID_PARAMS},
		{"[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]", CALL_INVALID_REQUEST},
	};
	struct test_server test;
	struct world world;
	struct test_client client;

	test_server_init(&test);
	begin(&test, &world);
	test_connect(&client, &test);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int code = test_error_code(test_call(&client, cases[i].line));

		if (code != cases[i].code)
			check_note("line: %s", cases[i].line);
		CHECK_INT(cases[i].code, code);
	}
	CHECK_INT(0, test_error_code(test_call(&client, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"status\"}\r")));
	CHECK_INT(0, atomic_load(&world.effects));
	test_close(&client);
	test_server_fini(&test);
}

/* Nothing that its row in the table does not allow reaches a handler. */
static void wrong_parameters_have_no_effect(void)
{
	static const struct {
		const char *method;
		const char *params;
		const char *named; /* parameter that the text must name */
	} cases[] = {
		{"feeds.add", "{}", "feed"},
		{"feeds.add", "{\"feed\":\"7\",\"name\":\"n\",\"organisation\":\"o\"}", "feed"},
		{"feeds.add", "{\"feed\":7.0,\"name\":\"n\",\"organisation\":\"o\"}", "feed"},
		{"feeds.add", "{\"feed\":-1,\"name\":\"n\",\"organisation\":\"o\"}", "feed"},
		{"feeds.add", "{\"feed\":4294967296,\"name\":\"n\",\"organisation\":\"o\"}", "feed"},
		{"feeds.add", "{\"feed\":7,\"name\":\"\",\"organisation\":\"o\"}", "name"},
		{"feeds.add", "{\"feed\":7,\"name\":\"a\\nb\",\"organisation\":\"o\"}", "name"},
		{"feeds.add", "{\"feed\":7,\"name\":null,\"organisation\":\"o\"}", "name"},
		{"feeds.add", "{\"feed\":7,\"name\":\"n\",\"organisation\":\"o\",\"colour\":1}", "colour"},
		{"lists.load", "{\"upload\":1,\"name\":\"n\"}", "upload"},
		{"reads.search", "{\"limit\":0," GROUNDS "}", "limit"},
		{"reads.search", "{\"limit\":10001," GROUNDS "}", "limit"},
		{"reads.search", "{\"from\":\"yesterday\"," GROUNDS "}", "from"},
		{"reads.search", "{\"from\":7," GROUNDS "}", "from"},
		{"reads.search", "{\"cameras\":[]," GROUNDS "}", "cameras"},
		{"reads.search", "{\"cameras\":[1,\"2\"]," GROUNDS "}", "cameras"},
		{"reads.search", "{\"cameras\":7," GROUNDS "}", "cameras"},
		{"reads.search", "{\"order\":\"sideways\"," GROUNDS "}", "order"},
		{"reads.search", "{\"strict\":1," GROUNDS "}", "strict"},
		{"reads.search", "{\"vrm\":\"\"," GROUNDS "}", "vrm"},
		{"reads.search",
		 "{\"vrm\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"," GROUNDS "}",
		 "vrm"},
		{"reads.search", "{\"window\":0," GROUNDS "}", "window"},
		{"reads.search", "{\"purpose\":\"curiosity\",\"case\":\"C\",\"reason\":\"because\"}", "purpose"},
		{"reads.search", "{\"purpose\":\"serious\",\"case\":7,\"reason\":\"because\"}", "case"},
		{"hits.follow", "{\"lists\":[\"\"]}", "lists"},
		{"hits.follow", "{\"lists\":\"yes\"}", "lists"},
	};
	struct test_server test;
	struct world world;
	struct test_client client;
	char line[512];
	char named[64];

	test_server_init(&test);
	begin(&test, &world);
	test_connect(&client, &test);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		json_t *answer;
		const char *text;

		(void)snprintf(line, sizeof(line), "{\"jsonrpc\":\"2.0\",\"id\":%zu,\"method\":\"%s\",\"params\":%s}",
			       i, cases[i].method, cases[i].params);
		answer = test_call(&client, line);
		text = json_string_value(json_object_get(json_object_get(answer, "error"), "message"));
		(void)snprintf(named, sizeof(named), "\"%s\"", cases[i].named);
		if (text == NULL || strstr(text, named) == NULL)
			check_note("%s: %s", cases[i].params, text != NULL ? text : "no error");
		CHECK(text != NULL && strstr(text, named) != NULL);
		CHECK_INT(CALL_INVALID_PARAMS, test_error_code(answer));
	}
	CHECK_INT(0, atomic_load(&world.effects));
	/* Every one of them was audited as refused, and nothing else was. */
	CHECK_INT(sizeof(cases) / sizeof(cases[0]), test_audit_count(test.options.audit, NULL, AUDIT_OUTCOME_COUNT));
	CHECK_INT(sizeof(cases) / sizeof(cases[0]), test_audit_count(test.options.audit, NULL, AUDIT_REFUSED));
	test_close(&client);
	test_server_fini(&test);
}

static void grounds_are_needed(void)
{
	static const char *const refused[] = {
		"{}",
		"{\"purpose\":\"serious\"}",
		"{\"purpose\":\"serious\",\"case\":\"C-17\"}",
		"{\"case\":\"C-17\",\"reason\":\"robbery\"}",
		"{\"purpose\":\"serious\",\"case\":\"\",\"reason\":\"robbery\"}",
		"{\"purpose\":\"serious\",\"case\":\"-\",\"reason\":\"robbery\"}",
		"{\"purpose\":\"serious\",\"case\":\"N/A\",\"reason\":\"robbery\"}",
		"{\"purpose\":\"serious\",\"case\":\"C-17\",\"reason\":\"\"}",
		"{\"purpose\":\"serious\",\"case\":\"C-17\",\"reason\":\"...\"}",
		"{\"purpose\":\"serious\",\"case\":\"C-17\",\"reason\":\"12345\"}",
		"{\"purpose\":\"serious\",\"case\":\"C-17\",\"reason\":\"ab\"}",
		"{\"purpose\":\"serious\",\"case\":\"C-17\",\"reason\":\"aaaa\"}",
	};
	const size_t count = sizeof(refused) / sizeof(refused[0]);
	struct test_server test;
	struct world world;
	struct test_client client;
	char line[512];
	json_t *answer;

	test_server_init(&test);
	begin(&test, &world);
	test_connect(&client, &test);
	for (size_t i = 0; i < count; i++) {
		(void)snprintf(line, sizeof(line),
			       "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"reads.search\",\"params\":%s}", refused[i]);
		CHECK_INT(CALL_UNGROUNDED, test_error_code(test_call(&client, line)));
	}
	CHECK_INT(0, atomic_load(&world.effects));
	CHECK_INT(count, test_audit_count(test.options.audit, "reads.search", AUDIT_REFUSED));
	CHECK_INT(count, counters_of(&test).requests_ungrounded);
	test_send(&client,
		  "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"reads.search\",\"params\":{\"limit\":1," GROUNDS "}}");
	while ((answer = test_receive(&client)) != NULL && json_object_get(answer, "method") != NULL)
		json_decref(answer);
	CHECK_INT(0, test_error_code(answer));
	CHECK_INT(1, test_audit_count(test.options.audit, "reads.search", AUDIT_INTENT));
	CHECK_INT(1, test_audit_count(test.options.audit, "reads.search", AUDIT_DONE));
	test_close(&client);
	test_server_fini(&test);
}

static void unaudited_is_undone(void)
{
	struct test_server test;
	struct world world;
	struct test_client client;
	struct audit *audit;

	test_server_init(&test);
	audit = test.options.audit;
	test.options.audit = NULL;
	memset(&world, 0, sizeof(world));
	CHECK_INT(0, server_new(&test.options, &test.server, NULL));
	CHECK_INT(0, server_bind(test.server, "feeds.add", handle_change, &world));
	CHECK_INT(0, server_bind(test.server, "status", handle_status, &world));
	test_server_start(&test);
	test_connect(&client, &test);
	CHECK_INT(CALL_UNAUDITED, test_error_code(test_call(
					  &client, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"feeds.add\",\"params\":"
						   "{\"feed\":1,\"name\":\"n\",\"organisation\":\"o\"}}")));
	CHECK_INT(0, atomic_load(&world.effects));
	CHECK_INT(1, counters_of(&test).requests_unaudited);
	CHECK_INT(0, test_error_code(test_call(&client, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"status\"}")));
	test_close(&client);
	test.options.audit = audit;
	test_server_fini(&test);
}

/* The same bytes in random pieces give the same answers. */
static void lines_in_random_pieces(void)
{
	struct test_server test;
	struct world world;
	struct test_client client;
	struct prng prng = {check_seed()};
	char text[8192];
	size_t size = 0;

	test_server_init(&test);
	begin(&test, &world);
	test_connect(&client, &test);
	for (unsigned round = 0; round < 20; round++) {
		unsigned count = 1 + (unsigned)prng_below(&prng, 40);
		size_t at = 0;

		size = 0;
		for (unsigned i = 0; i < count; i++)
			size += (size_t)snprintf(text + size, sizeof(text) - size,
						 prng_chance(&prng, 300)
							 ? "gar%ubage\n"
							 : "{\"jsonrpc\":\"2.0\",\"id\":%u,\"method\":\"rpc.none\"}\n",
						 i);
		while (at < size) {
			size_t piece = 1 + prng_below(&prng, 1 + prng_below(&prng, 200));

			piece = piece < size - at ? piece : size - at;
			test_send_bytes(&client, text + at, piece);
			at += piece;
		}
		for (unsigned i = 0; i < count; i++) {
			int code = test_error_code(test_receive(&client));

			CHECK(code == CALL_UNKNOWN_METHOD || code == CALL_PARSE_ERROR);
		}
	}
	test_close(&client);
	test_server_fini(&test);
}

/* Valid requests with bytes changed: always one answer a line, never an effect unless it is still valid. */
static void mutated_lines(void)
{
	static const char *const valid[] = {
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"status\",\"params\":{}}",
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"reads.count\",\"params\":{\"vrm\":\"AB1?CDE\",\"cameras\":["
		"1,2]}}",
		"{\"jsonrpc\":\"2.0\",\"method\":\"cancel\",\"params\":{\"id\":\"x\"}}",
		"{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"upload.append\",\"params\":{\"upload\":1,\"text\":"
		"\"a\\u00e4\"}}",
	};
	struct test_server test;
	struct world world;
	struct test_client client;
	struct prng prng = {check_seed()};
	char line[256];
	json_t *answer;

	test_server_init(&test);
	begin(&test, &world);
	test_connect(&client, &test);
	for (unsigned i = 0; i < 3000; i++) {
		const char *from = valid[prng_below(&prng, 4)];
		size_t size = strlen(from);

		memcpy(line, from, size);
		for (uint64_t n = 1 + prng_below(&prng, 4); n > 0; n--)
			line[prng_below(&prng, size)] = (char)prng_below(&prng, 256);
		for (size_t at = 0; at < size; at++)
			if (line[at] == '\n')
				line[at] = ' ';
		line[size] = '\n';
		test_send_bytes(&client, line, size + 1);
		/* A marker tells when the line is dealt with: cancel as a notification has no answer. */
		test_send(&client,
			  "{\"jsonrpc\":\"2.0\",\"id\":\"marker\",\"method\":\"cancel\",\"params\":{\"id\":1}}");
		do {
			const char *id;

			answer = test_receive(&client);
			CHECK(answer != NULL);
			id = json_string_value(json_object_get(answer, "id"));
			size = id != NULL && strcmp(id, "marker") == 0;
			json_decref(answer);
		} while (size == 0);
	}
	test_close(&client);
	test_server_fini(&test);
}

static void oversize_line_ends_the_client(void)
{
	struct test_server test;
	struct world world;
	struct test_client client;
	char *line;

	test_server_init(&test);
	test.options.line_size_max = 4096;
	begin(&test, &world);
	line = malloc(10000);
	memset(line, ' ', 10000);
	for (unsigned with_end = 0; with_end < 2; with_end++) {
		line[5000] = with_end ? '\n' : ' ';
		test_connect(&client, &test);
		test_send_bytes(&client, line, 10000);
		CHECK_INT(CALL_INVALID_REQUEST, test_error_code(test_receive(&client)));
		CHECK(test_receive(&client) == NULL);
		test_close(&client);
	}
	CHECK_INT(2, counters_of(&test).lines_oversize);
	free(line);
	test_server_fini(&test);
}

static void too_many_clients(void)
{
	struct test_server test;
	struct world world;
	struct test_client clients[65];
	json_t *goodbye;

	test_server_init(&test);
	begin(&test, &world);
	for (unsigned i = 0; i < 64; i++)
		test_connect(&clients[i], &test);
	test_connect_raw(&clients[64], &test);
	goodbye = test_receive(&clients[64]);
	CHECK_STR("goodbye", json_string_value(json_object_get(goodbye, "method")));
	json_decref(goodbye);
	CHECK(test_receive(&clients[64]) == NULL);
	CHECK_INT(1, counters_of(&test).clients_refused);
	CHECK_INT(64, counters_of(&test).client_count);
	test_close(&clients[64]);
	test_close(&clients[0]);
	for (int i = 0; i < 10000 && counters_of(&test).client_count == 64; i++)
		(void)usleep(1000);
	test_connect(&clients[0], &test);
	for (unsigned i = 0; i < 64; i++)
		test_close(&clients[i]);
	test_server_fini(&test);
}

static unsigned rows_in(const json_t *message)
{
	return (unsigned)json_array_size(json_object_get(json_object_get(message, "params"), "rows"));
}

/* Rows until the answer; the answer's code. */
static int take_rows(struct test_client *client, unsigned *ret_count)
{
	json_t *message;

	*ret_count = 0;
	while ((message = test_receive(client)) != NULL && json_object_get(message, "method") != NULL) {
		*ret_count += rows_in(message);
		json_decref(message);
	}
	return test_error_code(message);
}

static void rows_stream(void)
{
	struct test_server test;
	struct world world;
	struct test_client client;
	unsigned count;

	test_server_init(&test);
	begin(&test, &world);
	test_connect(&client, &test);
	test_send(&client,
		  "{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"reads.search\",\"params\":{\"limit\":10000," GROUNDS
		  "}}");
	CHECK_INT(0, take_rows(&client, &count));
	CHECK_INT(10000, count);
	test_close(&client);
	test_server_fini(&test);
}

/* A client that sets a window is never sent more rows than it gave credit for. */
static void credit_is_kept(void)
{
	struct test_server test;
	struct world world;
	struct test_client client;
	struct prng prng = {check_seed()};
	unsigned credit = 7;
	unsigned count = 0;
	char line[128];
	json_t *message;

	test_server_init(&test);
	begin(&test, &world);
	test_connect(&client, &test);
	test_send(&client, "{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"reads.search\",\"params\":{\"limit\":1000,"
			   "\"window\":7," GROUNDS "}}");
	while ((message = test_receive(&client)) != NULL && json_object_get(message, "method") != NULL) {
		unsigned more = 1 + (unsigned)prng_below(&prng, 60);

		count += rows_in(message);
		CHECK(count <= credit);
		json_decref(message);
		if (count < credit)
			continue;
		credit += more;
		(void)snprintf(line, sizeof(line),
			       "{\"jsonrpc\":\"2.0\",\"method\":\"credit\",\"params\":{\"id\":5,\"rows\":%u}}", more);
		test_send(&client, line);
	}
	CHECK_INT(0, test_error_code(message));
	CHECK_INT(1000, count);
	test_close(&client);
	test_server_fini(&test);
}

/* A window without credit holds a thread: the client is dropped, its search ends as cancelled. */
static void no_credit_is_a_stall(void)
{
	struct test_server test;
	struct world world;
	struct test_client client;
	json_t *message;

	test_server_init(&test);
	test.options.stall_ms = 100;
	begin(&test, &world);
	test_connect(&client, &test);
	test_send(&client,
		  "{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"reads.search\",\"params\":{\"window\":3," GROUNDS "}}");
	while ((message = test_receive(&client)) != NULL)
		json_decref(message);
	CHECK_INT(1, counters_of(&test).clients_slow);
	test_close(&client);
	for (int i = 0; i < 10000 && counters_of(&test).calls_running > 0; i++)
		(void)usleep(1000);
	CHECK_INT(1, test_audit_count(test.options.audit, "reads.search", AUDIT_CANCELLED));
	test_server_fini(&test);
}

static void slow_reader_is_dropped(void)
{
	struct test_server test;
	struct world world;
	struct test_client slow;
	struct test_client other;

	test_server_init(&test);
	test.options.stall_ms = 200;
	test.options.output_size_max = 65536;
	begin(&test, &world);
	test_connect(&slow, &test);
	test_connect(&other, &test);
	test_send(&slow,
		  "{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"reads.search\",\"params\":{\"limit\":10000," GROUNDS
		  "}}");
	for (int i = 0; i < 10000 && counters_of(&test).clients_slow == 0; i++) {
		CHECK_INT(0,
			  test_error_code(test_call(&other, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"status\"}")));
		(void)usleep(1000);
	}
	CHECK_INT(1, counters_of(&test).clients_slow);
	CHECK(atomic_load(&world.rows) < 10000);
	test_close(&slow);
	test_close(&other);
	test_server_fini(&test);
}

static void cancel_ends_a_call(void)
{
	struct test_server test;
	struct world world;
	struct test_client client;
	json_t *answer;

	test_server_init(&test);
	begin(&test, &world);
	test_connect(&client, &test);
	test_send(&client, "{\"jsonrpc\":\"2.0\",\"id\":\"w\",\"method\":\"reads.count\",\"params\":{" GROUNDS "}}");
	wait_for(&world.blocked, 1);
	CHECK_INT(CALL_INVALID_REQUEST,
		  test_error_code(test_call(&client, "{\"jsonrpc\":\"2.0\",\"id\":\"w\",\"method\":\"status\"}")));
	test_send(&client, "{\"jsonrpc\":\"2.0\",\"method\":\"cancel\",\"params\":{\"id\":\"w\"}}");
	answer = test_receive(&client);
	CHECK_STR("w", json_string_value(json_object_get(answer, "id")));
	CHECK_INT(CALL_CANCELLED, test_error_code(answer));
	answer = test_call(&client, "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"cancel\",\"params\":{\"id\":\"w\"}}");
	CHECK(json_is_false(json_object_get(json_object_get(answer, "result"), "found")));
	json_decref(answer);
	CHECK_INT(1, test_audit_count(test.options.audit, "reads.count", AUDIT_CANCELLED));
	test_close(&client);
	test_server_fini(&test);
}

/* Searches never take the pool's last thread, and no client more than its share. */
static void status_goes_beside_searches(void)
{
	struct test_server test;
	struct world world;
	struct test_client client;
	struct test_client other;
	char line[256];
	unsigned cancelled = 0;

	test_server_init(&test);
	begin(&test, &world);
	test_connect(&client, &test);
	test_connect(&other, &test);
	for (unsigned i = 0; i < 9; i++) {
		(void)snprintf(line, sizeof(line),
			       "{\"jsonrpc\":\"2.0\",\"id\":%u,\"method\":\"reads.count\",\"params\":{" GROUNDS "}}",
			       i);
		test_send(&client, line);
	}
	CHECK_INT(CALL_BUSY, test_error_code(test_receive(&client)));
	wait_for(&world.blocked, 2);
	CHECK_INT(0, test_error_code(test_call(&other, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"status\"}")));
	for (unsigned i = 0; i < 8; i++) {
		(void)snprintf(line, sizeof(line), "{\"jsonrpc\":\"2.0\",\"method\":\"cancel\",\"params\":{\"id\":%u}}",
			       i);
		test_send(&client, line);
	}
	for (unsigned i = 0; i < 8; i++)
		cancelled += test_error_code(test_receive(&client)) == CALL_CANCELLED;
	CHECK_INT(8, cancelled);
	test_close(&client);
	test_close(&other);
	test_server_fini(&test);
}

static void disconnect_cancels(void)
{
	struct test_server test;
	struct world world;
	struct test_client client;

	test_server_init(&test);
	begin(&test, &world);
	test_connect(&client, &test);
	test_send(&client, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"reads.count\",\"params\":{" GROUNDS "}}");
	test_send(&client, "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"hits.follow\",\"params\":{\"purpose\":"
			   "\"serious\",\"case\":\"OP 1\",\"reason\":\"a test of streams\"}}");
	wait_for(&world.blocked, 1);
	for (bool kept = false; !kept; (void)usleep(1000)) {
		(void)pthread_mutex_lock(&world.lock);
		kept = world.stream != NULL;
		(void)pthread_mutex_unlock(&world.lock);
	}
	test_close(&client);
	wait_for(&world.cancelled, 2);
	test_server_fini(&test);
}

static int push_hit(struct world *world, int n)
{
	int r = -ENOENT;

	(void)pthread_mutex_lock(&world->lock);
	if (world->stream != NULL)
		r = call_notify_try(world->stream, "hits.hit", json_pack("{s:i}", "n", n));
	(void)pthread_mutex_unlock(&world->lock);
	return r;
}

static void follow_delivers_until_cancelled(void)
{
	struct test_server test;
	struct world world;
	struct test_client client;
	json_t *message;

	test_server_init(&test);
	test.options.output_size_max = 8192;
	begin(&test, &world);
	test_connect(&client, &test);
	test_send(&client, "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"hits.follow\",\"params\":{\"window\":2,"
			   "" GROUNDS "}}");
	while (push_hit(&world, 0) == -ENOENT)
		(void)usleep(1000);
	CHECK_INT(0, push_hit(&world, 1));
	CHECK_INT(-EAGAIN, push_hit(&world, 2));
	for (int n = 0; n < 2; n++) {
		message = test_receive(&client);
		CHECK_STR("hits.hit", json_string_value(json_object_get(message, "method")));
		CHECK_INT(n, json_integer_value(json_object_get(json_object_get(message, "params"), "n")));
		CHECK_INT(2, json_integer_value(json_object_get(json_object_get(message, "params"), "id")));
		json_decref(message);
	}
	json_decref(test_call(&client,
			      "{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"credit\",\"params\":{\"id\":2,\"rows\":1}}"));
	CHECK_INT(0, push_hit(&world, 2));
	json_decref(test_receive(&client));
	test_send(&client, "{\"jsonrpc\":\"2.0\",\"method\":\"cancel\",\"params\":{\"id\":2}}");
	CHECK_INT(CALL_CANCELLED, test_error_code(test_receive(&client)));
	CHECK_INT(1, atomic_load(&world.cancelled));
	CHECK_INT(-ENOENT, push_hit(&world, 3));
	/* A client that takes nothing: the publisher is told, not held up. */
	test_send(&client, "{\"jsonrpc\":\"2.0\",\"id\":4,\"method\":\"hits.follow\",\"params\":{\"purpose\":"
			   "\"serious\",\"case\":\"OP 1\",\"reason\":\"a test of streams\"}}");
	while (push_hit(&world, 0) == -ENOENT)
		(void)usleep(1000);
	for (int n = 0; n < 100000 && push_hit(&world, n) == 0; n++)
		;
	CHECK_INT(-EAGAIN, push_hit(&world, 0));
	test_close(&client);
	test_server_fini(&test);
}

/* Pushes, cancels and finishes from several threads at once: for the thread sanitizer. */
struct pusher {
	struct world *world;
	atomic_bool stop;
};

static void *push_many(void *ctx)
{
	struct pusher *pusher = ctx;

	while (!atomic_load(&pusher->stop))
		(void)push_hit(pusher->world, 1);
	return NULL;
}

/* Clients that leave and a server that stops at the same moment, as often as a test may take. */
static void leaving_while_stopping(void)
{
	struct prng prng = {check_seed()};

	for (unsigned i = 0; i < 25; i++) {
		struct test_server test;
		struct test_client clients[3];
		struct world world;

		test_server_init(&test);
		begin(&test, &world);
		for (unsigned n = 0; n < 3; n++) {
			test_connect(&clients[n], &test);
			test_send(&clients[n],
				  n == 0 ? "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"hits.follow\",\"params\":{"
					   "" GROUNDS "}}"
					 : "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"reads.count\","
					   "\"params\":{" GROUNDS "}}");
		}
		(void)usleep((useconds_t)prng_below(&prng, 4000));
		for (unsigned n = 0; n < 3; n++)
			test_close(&clients[n]);
		(void)usleep((useconds_t)prng_below(&prng, 1000));
		test_server_fini(&test);
	}
}

static void streams_come_and_go(void)
{
	struct test_server test;
	struct world world;
	struct pusher pusher = {&world, false};
	pthread_t thread;

	test_server_init(&test);
	begin(&test, &world);
	CHECK_INT(0, pthread_create(&thread, NULL, push_many, &pusher));
	for (unsigned i = 0; i < 40; i++) {
		struct test_client client;

		test_connect(&client, &test);
		test_send(&client, "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"hits.follow\",\"params\":{\"purpose\":"
				   "\"serious\",\"case\":\"OP 1\",\"reason\":\"a test of streams\"}}");
		json_decref(test_receive(&client));
		if (i % 2 == 0)
			test_send(&client, "{\"jsonrpc\":\"2.0\",\"method\":\"cancel\",\"params\":{\"id\":2}}");
		test_close(&client);
		wait_for(&world.cancelled, (int)i + 1);
	}
	atomic_store(&pusher.stop, true);
	(void)pthread_join(thread, NULL);
	test_server_fini(&test);
}

static void stop_with_everything_in_flight(void)
{
	struct test_server test;
	struct world world;
	struct test_client client;

	test_server_init(&test);
	begin(&test, &world);
	test_connect(&client, &test);
	test_send(&client, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"reads.count\",\"params\":{" GROUNDS "}}");
	test_send(&client, "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"hits.follow\",\"params\":{\"purpose\":"
			   "\"serious\",\"case\":\"OP 1\",\"reason\":\"a test of streams\"}}");
	test_send(&client,
		  "{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"reads.search\",\"params\":{\"window\":1," GROUNDS "}}");
	wait_for(&world.blocked, 1);
	test.server = server_free(test.server);
	for (json_t *message; (message = test_receive(&client)) != NULL;)
		json_decref(message);
	CHECK(access(test.path, F_OK) < 0);
	test_close(&client);
	test_server_fini(&test);
}

static int handle_large(struct call *call, void *ctx)
{
	char *text = calloc(1, 20001);

	(void)ctx;
	memset(text, 'x', 20000);
	call_result(call, json_pack("{s:s}", "text", text));
	free(text);
	return 0;
}

/* An answer that no buffer takes, and a row: told, and the connection lives on. */
static void answers_too_large(void)
{
	struct test_server test;
	struct test_client client;

	test_server_init(&test);
	test.options.output_size_max = 16384;
	test_server_new(&test);
	CHECK_INT(0, server_bind(test.server, "status", handle_large, NULL));
	test_server_start(&test);
	test_connect(&client, &test);
	for (unsigned i = 0; i < 3; i++)
		CHECK_INT(CALL_FAILED,
			  test_error_code(test_call(&client, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"status\"}")));
	test_close(&client);
	test_server_fini(&test);
}

/* A disk that is full between a request's intent and its outcome. */
static atomic_bool disk_full;

static int full_write(void *ctx, int fd, const void *bytes, size_t size, uint64_t offset)
{
	(void)ctx;
	if (atomic_load(&disk_full))
		return -ENOSPC;
	return pwrite(fd, bytes, size, (off_t)offset) == (ssize_t)size ? 0 : -EIO;
}

static int handle_filling(struct call *call, void *ctx)
{
	struct world *world = ctx;

	atomic_fetch_add(&world->effects, 1);
	atomic_store(&disk_full, true);
	call_result(call, json_object());
	return 0;
}

static void outcome_that_cannot_be_recorded(void)
{
	static const char request[] =
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"lists.remove\",\"params\":{\"name\":\"n\"}}";
	struct audit_files files = *test_files();
	struct test_server test;
	struct test_client client;
	struct world world = {0};
	struct audit_options options;

	files.write = full_write;
	test_server_init(&test);
	test.options.audit = audit_close(test.options.audit);
	options = (struct audit_options){.directory = check_directory(),
					 .origin = "gantry.test",
					 .keys = test_keys(&test.keys),
					 .files = &files};
	atomic_store(&disk_full, false);
	CHECK_INT(0, audit_open(&options, &test.options.audit, NULL));
	test_server_new(&test);
	CHECK_INT(0, server_bind(test.server, "lists.remove", handle_filling, &world));
	test_server_start(&test);
	test_connect(&client, &test);
	CHECK_INT(CALL_UNAUDITED, test_error_code(test_call(&client, request))); /* done, but not recorded: said so */
	CHECK_INT(1, atomic_load(&world.effects));
	CHECK_INT(CALL_UNAUDITED, test_error_code(test_call(&client, request))); /* full: not even begun */
	CHECK_INT(1, atomic_load(&world.effects));
	CHECK_INT(2, counters_of(&test).requests_unaudited);
	atomic_store(&disk_full, false);
	(void)test_error_code(test_call(&client, request));
	CHECK_INT(2, atomic_load(&world.effects)); /* room again: it goes on by itself */
	CHECK_INT(2, test_audit_count(test.options.audit, "lists.remove", AUDIT_INTENT));
	CHECK_INT(0, test_audit_count(test.options.audit, "lists.remove", AUDIT_DONE));
	test_close(&client);
	test_server_fini(&test);
}

static void uploads(void)
{
	struct test_server test;
	struct world world;
	struct test_client client;
	struct test_client other;
	json_t *answer;

	test_server_init(&test);
	test.options.upload_size_max = 20;
	test.options.upload_total_max = 30;
	begin(&test, &world);
	test_connect(&client, &test);
	test_connect(&other, &test);
#define OPEN "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"upload.open\",\"params\":{\"kind\":\"list\"}}"
#define APPEND(n, text)                                                                                                \
	"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"upload.append\",\"params\":{\"upload\":" #n ",\"text\":\"" text    \
	"\"}}"
#define LOAD(n)                                                                                                        \
	"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"lists.load\",\"params\":{\"upload\":" #n ",\"name\":\"stolen\"}}"
	json_decref(test_call(&client, OPEN));
	CHECK_INT(0, test_error_code(test_call(&client, APPEND(1, "AB12CDE\\n"))));
	CHECK_INT(0, test_error_code(test_call(&client, APPEND(1, "XY9\\n"))));
	CHECK_INT(CALL_BUSY, test_error_code(test_call(&client, APPEND(1, "0123456789"))));
	CHECK_INT(CALL_INVALID_PARAMS, test_error_code(test_call(&client, APPEND(2, "x"))));
	CHECK_INT(CALL_INVALID_PARAMS, test_error_code(test_call(&other, LOAD(1))));
	json_decref(test_call(&other, OPEN));
	CHECK_INT(CALL_BUSY, test_error_code(test_call(&other, APPEND(1, "0123456789012345678"))));
	answer = test_call(&client, LOAD(1));
	CHECK_STR("AB12CDE\nXY9\n", json_string_value(json_object_get(json_object_get(answer, "result"), "text")));
	json_decref(answer);
	CHECK_INT(CALL_INVALID_PARAMS, test_error_code(test_call(&client, LOAD(1))));
	CHECK_INT(1, atomic_load(&world.effects));
	CHECK_INT(0, test_error_code(test_call(&other, APPEND(1, "0123456789012345678"))));
	test_close(&client);
	test_close(&other);
	test_server_fini(&test);
}

static void one_server_a_socket(void)
{
	struct test_server test;
	struct world world;
	struct server *second;
	struct test_client client;
	struct stat stat_;
	struct err err;
	FILE *file;

	test_server_init(&test);
	begin(&test, &world);
	CHECK_INT(0, stat(test.path, &stat_));
	CHECK_INT(0660, stat_.st_mode & 0777);
	CHECK_INT(0, server_new(&test.options, &second, NULL));
	CHECK_INT(-EADDRINUSE, server_start(second, &err));
	second = server_free(second);
	test_connect(&client, &test); /* the first one's socket is still there */
	test_close(&client);
	test.server = server_free(test.server);
	CHECK(access(test.path, F_OK) < 0);
	/* Something else at the path is not taken away. */
	file = fopen(test.path, "w");
	CHECK(file != NULL);
	(void)fclose(file);
	CHECK_INT(0, server_new(&test.options, &second, NULL));
	CHECK_INT(-EEXIST, server_start(second, &err));
	second = server_free(second);
	CHECK_INT(0, access(test.path, F_OK));
	CHECK_INT(0, unlink(test.path));
	test_server_fini(&test);
}

static void stale_socket_is_replaced(void)
{
	struct test_server test;
	struct world world;
	struct test_client client;
	char left[128];

	test_server_init(&test);
	begin(&test, &world);
	/* As after kill -9: a socket file nobody listens on. */
	(void)snprintf(left, sizeof(left), "%s.left", test.path);
	CHECK_INT(0, link(test.path, left));
	test.server = server_free(test.server);
	CHECK_INT(0, rename(left, test.path));
	begin(&test, &world);
	test_connect(&client, &test);
	test_close(&client);
	test_server_fini(&test);
}

static void idle_client_is_dropped(void)
{
	struct test_server test;
	struct world world;
	struct test_client idle;
	struct test_client dripping;

	test_server_init(&test);
	test.options.idle_s = 1;
	test.options.stall_ms = 200;
	begin(&test, &world);
	test_connect(&idle, &test);
	test_connect(&dripping, &test);
	for (int i = 0; i < 200 && counters_of(&test).clients_idle < 2; i++) {
		test_send_bytes(&dripping, "{", 1); /* a line that never ends is no sign of life */
		(void)usleep(20000);
	}
	CHECK_INT(2, counters_of(&test).clients_idle);
	CHECK(test_receive(&idle) == NULL);
	test_close(&idle);
	test_close(&dripping);
	test_server_fini(&test);
}

int main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{"hello, then an answer", hello_and_status},
		{"strange lines are refused", strangeness_is_refused},
		{"wrong parameters have no effect", wrong_parameters_have_no_effect},
		{"grounds are needed and refusals audited", grounds_are_needed},
		{"what cannot be audited is not done", unaudited_is_undone},
		{"lines in random pieces", lines_in_random_pieces},
		{"mutated lines", mutated_lines},
		{"a line too long ends its client", oversize_line_ends_the_client},
		{"the client too many is turned away", too_many_clients},
		{"rows stream", rows_stream},
		{"credit is kept", credit_is_kept},
		{"no credit is a stall", no_credit_is_a_stall},
		{"a slow reader is dropped", slow_reader_is_dropped},
		{"cancel ends a call", cancel_ends_a_call},
		{"status goes beside searches", status_goes_beside_searches},
		{"a disconnect cancels", disconnect_cancels},
		{"follow delivers until cancelled", follow_delivers_until_cancelled},
		{"streams come and go", streams_come_and_go},
		{"leaving while stopping", leaving_while_stopping},
		{"answers too large", answers_too_large},
		{"an outcome that cannot be recorded", outcome_that_cannot_be_recorded},
		{"stop with everything in flight", stop_with_everything_in_flight},
		{"uploads", uploads},
		{"one server a socket", one_server_a_socket},
		{"a stale socket is replaced", stale_socket_is_replaced},
		{"an idle client is dropped", idle_client_is_dropped},
		{NULL, NULL},
	};

	return check_main(argc, argv, "management socket", tests);
}
