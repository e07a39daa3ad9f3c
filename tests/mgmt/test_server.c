/* The management socket: what a request needs to be done, what is refused, what is audited. */
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mgmt/call.h"
#include "tests/check.h"
#include "tests/mgmt/fixture.h"
#include "tests/mgmt/server_world.h"

void server_test_hello_and_status(void)
{
	struct test_server test;
	struct world world;
	struct test_client client;
	json_t *hello;
	json_t *answer;

	test_server_init(&test);
	world_begin(&test, &world);
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

void server_test_strangeness_is_refused(void)
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
	world_begin(&test, &world);
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
void server_test_wrong_parameters_have_no_effect(void)
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
		{"reads.search", "{\"limit\":0," WORLD_GROUNDS "}", "limit"},
		{"reads.search", "{\"limit\":10001," WORLD_GROUNDS "}", "limit"},
		{"reads.search", "{\"from\":\"yesterday\"," WORLD_GROUNDS "}", "from"},
		{"reads.search", "{\"from\":7," WORLD_GROUNDS "}", "from"},
		{"reads.search", "{\"cameras\":[]," WORLD_GROUNDS "}", "cameras"},
		{"reads.search", "{\"cameras\":[1,\"2\"]," WORLD_GROUNDS "}", "cameras"},
		{"reads.search", "{\"cameras\":7," WORLD_GROUNDS "}", "cameras"},
		{"reads.search", "{\"order\":\"sideways\"," WORLD_GROUNDS "}", "order"},
		{"reads.search", "{\"strict\":1," WORLD_GROUNDS "}", "strict"},
		{"reads.search", "{\"vrm\":\"\"," WORLD_GROUNDS "}", "vrm"},
		{"reads.search",
		 "{\"vrm\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"," WORLD_GROUNDS
		 "}",
		 "vrm"},
		{"reads.search", "{\"window\":0," WORLD_GROUNDS "}", "window"},
		{"reads.search", "{\"purpose\":\"curiosity\",\"case\":\"C\",\"reason\":\"because\"}", "purpose"},
		{"reads.search", "{\"purpose\":\"serious\",\"case\":7,\"reason\":\"because\"}", "case"},
		{"hits.search", "{\"from\":\"2026-01-01\",\"lists\":[\"\"]}", "lists"},
		{"hits.search", "{\"from\":\"2026-01-01\",\"lists\":\"yes\"}", "lists"},
	};
	struct test_server test;
	struct world world;
	struct test_client client;
	char line[512];
	char named[64];

	test_server_init(&test);
	world_begin(&test, &world);
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

void server_test_grounds_are_needed(void)
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
	world_begin(&test, &world);
	test_connect(&client, &test);
	for (size_t i = 0; i < count; i++) {
		(void)snprintf(line, sizeof(line),
			       "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"reads.search\",\"params\":%s}", refused[i]);
		CHECK_INT(CALL_UNGROUNDED, test_error_code(test_call(&client, line)));
	}
	CHECK_INT(0, atomic_load(&world.effects));
	CHECK_INT(count, test_audit_count(test.options.audit, "reads.search", AUDIT_REFUSED));
	CHECK_INT(count, world_counters(&test).requests_ungrounded);
	test_send(&client,
		  "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"reads.search\",\"params\":{\"limit\":1," WORLD_GROUNDS
		  "}}");
	while ((answer = test_receive(&client)) != NULL && json_object_get(answer, "method") != NULL)
		json_decref(answer);
	CHECK_INT(0, test_error_code(answer));
	CHECK_INT(1, test_audit_count(test.options.audit, "reads.search", AUDIT_INTENT));
	CHECK_INT(1, test_audit_count(test.options.audit, "reads.search", AUDIT_DONE));
	test_close(&client);
	test_server_fini(&test);
}

void server_test_unaudited_is_undone(void)
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
	CHECK_INT(0, server_bind(test.server, "feeds.add", world_change, &world));
	CHECK_INT(0, server_bind(test.server, "status", world_status, &world));
	test_server_start(&test);
	test_connect(&client, &test);
	CHECK_INT(CALL_UNAUDITED, test_error_code(test_call(
					  &client, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"feeds.add\",\"params\":"
						   "{\"feed\":1,\"name\":\"n\",\"organisation\":\"o\"}}")));
	CHECK_INT(0, atomic_load(&world.effects));
	CHECK_INT(1, world_counters(&test).requests_unaudited);
	CHECK_INT(0, test_error_code(test_call(&client, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"status\"}")));
	test_close(&client);
	test.options.audit = audit;
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
void server_test_answers_too_large(void)
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

void server_test_outcome_that_cannot_be_recorded(void)
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
	CHECK_INT(2, world_counters(&test).requests_unaudited);
	atomic_store(&disk_full, false);
	(void)test_error_code(test_call(&client, request));
	CHECK_INT(2, atomic_load(&world.effects)); /* room again: it goes on by itself */
	CHECK_INT(2, test_audit_count(test.options.audit, "lists.remove", AUDIT_INTENT));
	CHECK_INT(0, test_audit_count(test.options.audit, "lists.remove", AUDIT_DONE));
	test_close(&client);
	test_server_fini(&test);
}

void server_test_uploads(void)
{
	struct test_server test;
	struct world world;
	struct test_client client;
	struct test_client other;
	json_t *answer;

	test_server_init(&test);
	test.options.upload_size_max = 20;
	test.options.upload_total_max = 30;
	world_begin(&test, &world);
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

int main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{"hello, then an answer", server_test_hello_and_status},
		{"strange lines are refused", server_test_strangeness_is_refused},
		{"wrong parameters have no effect", server_test_wrong_parameters_have_no_effect},
		{"grounds are needed and refusals audited", server_test_grounds_are_needed},
		{"what cannot be audited is not done", server_test_unaudited_is_undone},
		{"lines in random pieces", server_test_lines_in_random_pieces},
		{"mutated lines", server_test_mutated_lines},
		{"a line too long ends its client", server_test_oversize_line_ends_the_client},
		{"the client too many is turned away", server_test_too_many_clients},
		{"rows stream", server_test_rows_stream},
		{"credit is kept", server_test_credit_is_kept},
		{"no credit is a stall", server_test_no_credit_is_a_stall},
		{"a slow reader is dropped", server_test_slow_reader_is_dropped},
		{"cancel ends a call", server_test_cancel_ends_a_call},
		{"status goes beside searches", server_test_status_goes_beside_searches},
		{"a disconnect cancels", server_test_disconnect_cancels},
		{"follow delivers until cancelled", server_test_follow_delivers_until_cancelled},
		{"streams come and go", server_test_streams_come_and_go},
		{"leaving while stopping", server_test_leaving_while_stopping},
		{"answers too large", server_test_answers_too_large},
		{"an outcome that cannot be recorded", server_test_outcome_that_cannot_be_recorded},
		{"stop with everything in flight", server_test_stop_with_everything_in_flight},
		{"uploads", server_test_uploads},
		{"uploads in frames", server_test_frames},
		{"frames in random pieces", server_test_frames_in_random_pieces},
		{"damaged frames", server_test_damaged_frames},
		{"the parser of frames", server_test_frame_parser},
		{"one server a socket", server_test_one_server_a_socket},
		{"a stale socket is replaced", server_test_stale_socket_is_replaced},
		{"an idle client is dropped", server_test_idle_client_is_dropped},
		{NULL, NULL},
	};

	return check_main(argc, argv, "management socket", tests);
}
