/* Answers of many rows, and calls that end before they are done. */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "appliance/base/prng.h"
#include "mgmt/call.h"
#include "tests/check.h"
#include "tests/mgmt/fixture.h"
#include "tests/mgmt/server_world.h"

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

void server_test_rows_stream(void)
{
	struct test_server test;
	struct world world;
	struct test_client client;
	unsigned count;

	test_server_init(&test);
	world_begin(&test, &world);
	test_connect(&client, &test);
	test_send(&client,
		  "{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"reads.search\",\"params\":{\"limit\":10000," WORLD_GROUNDS
		  "}}");
	CHECK_INT(0, take_rows(&client, &count));
	CHECK_INT(10000, count);
	test_close(&client);
	test_server_fini(&test);
}

/* A client that sets a window is never sent more rows than it gave credit for. */
void server_test_credit_is_kept(void)
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
	world_begin(&test, &world);
	test_connect(&client, &test);
	test_send(&client, "{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"reads.search\",\"params\":{\"limit\":1000,"
			   "\"window\":7," WORLD_GROUNDS "}}");
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
void server_test_no_credit_is_a_stall(void)
{
	struct test_server test;
	struct world world;
	struct test_client client;
	json_t *message;

	test_server_init(&test);
	test.options.stall_ms = 100;
	world_begin(&test, &world);
	test_connect(&client, &test);
	test_send(&client,
		  "{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"reads.search\",\"params\":{\"window\":3," WORLD_GROUNDS
		  "}}");
	while ((message = test_receive(&client)) != NULL)
		json_decref(message);
	CHECK_INT(1, world_counters(&test).clients_slow);
	test_close(&client);
	for (int i = 0; i < 10000 && world_counters(&test).calls_running > 0; i++)
		(void)usleep(1000);
	CHECK_INT(1, test_audit_count(test.options.audit, "reads.search", AUDIT_CANCELLED));
	test_server_fini(&test);
}

void server_test_slow_reader_is_dropped(void)
{
	struct test_server test;
	struct world world;
	struct test_client slow;
	struct test_client other;

	test_server_init(&test);
	test.options.stall_ms = 200;
	test.options.output_size_max = 65536;
	world_begin(&test, &world);
	test_connect(&slow, &test);
	test_connect(&other, &test);
	test_send(&slow,
		  "{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"reads.search\",\"params\":{\"limit\":10000," WORLD_GROUNDS
		  "}}");
	for (int i = 0; i < 10000 && world_counters(&test).clients_slow == 0; i++) {
		CHECK_INT(0,
			  test_error_code(test_call(&other, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"status\"}")));
		(void)usleep(1000);
	}
	CHECK_INT(1, world_counters(&test).clients_slow);
	CHECK(atomic_load(&world.rows) < 10000);
	test_close(&slow);
	test_close(&other);
	test_server_fini(&test);
}

void server_test_cancel_ends_a_call(void)
{
	struct test_server test;
	struct world world;
	struct test_client client;
	json_t *answer;

	test_server_init(&test);
	world_begin(&test, &world);
	test_connect(&client, &test);
	test_send(&client,
		  "{\"jsonrpc\":\"2.0\",\"id\":\"w\",\"method\":\"reads.count\",\"params\":{" WORLD_GROUNDS "}}");
	world_wait_for(&world.blocked, 1);
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
void server_test_status_goes_beside_searches(void)
{
	struct test_server test;
	struct world world;
	struct test_client client;
	struct test_client other;
	char line[256];
	unsigned cancelled = 0;

	test_server_init(&test);
	world_begin(&test, &world);
	test_connect(&client, &test);
	test_connect(&other, &test);
	for (unsigned i = 0; i < 9; i++) {
		(void)snprintf(
			line, sizeof(line),
			"{\"jsonrpc\":\"2.0\",\"id\":%u,\"method\":\"reads.count\",\"params\":{" WORLD_GROUNDS "}}", i);
		test_send(&client, line);
	}
	CHECK_INT(CALL_BUSY, test_error_code(test_receive(&client)));
	world_wait_for(&world.blocked, 2);
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

void server_test_disconnect_cancels(void)
{
	struct test_server test;
	struct world world;
	struct test_client client;

	test_server_init(&test);
	world_begin(&test, &world);
	test_connect(&client, &test);
	test_send(&client, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"reads.count\",\"params\":{" WORLD_GROUNDS "}}");
	test_send(&client, "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"hits.follow\",\"params\":{\"subscription\":"
			   "\"s\",\"purpose\":"
			   "\"serious\",\"case\":\"OP 1\",\"reason\":\"a test of streams\"}}");
	world_wait_for(&world.blocked, 1);
	for (bool kept = false; !kept; (void)usleep(1000)) {
		(void)pthread_mutex_lock(&world.lock);
		kept = world.stream != NULL;
		(void)pthread_mutex_unlock(&world.lock);
	}
	test_close(&client);
	world_wait_for(&world.cancelled, 2);
	test_server_fini(&test);
}

static int push_hit(struct world *world, int n)
{
	int r = -ENOENT;

	(void)pthread_mutex_lock(&world->lock);
	if (world->stream != NULL)
		r = call_notify_try(world->stream, "hits.hit", json_pack("{s:i}", "n", n), 1);
	(void)pthread_mutex_unlock(&world->lock);
	return r;
}

void server_test_follow_delivers_until_cancelled(void)
{
	struct test_server test;
	struct world world;
	struct test_client client;
	json_t *message;

	test_server_init(&test);
	test.options.output_size_max = 8192;
	world_begin(&test, &world);
	test_connect(&client, &test);
	test_send(&client, "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"hits.search\",\"params\":{\"from\":\"2026-01-"
			   "01T00:00:00Z\",\"window\":2,"
			   "" WORLD_GROUNDS "}}");
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
	test_send(&client, "{\"jsonrpc\":\"2.0\",\"id\":4,\"method\":\"hits.follow\",\"params\":{\"subscription\":"
			   "\"s\",\"purpose\":"
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
void server_test_leaving_while_stopping(void)
{
	struct prng prng = {check_seed()};

	for (unsigned i = 0; i < 25; i++) {
		struct test_server test;
		struct test_client clients[3];
		struct world world;

		test_server_init(&test);
		world_begin(&test, &world);
		for (unsigned n = 0; n < 3; n++) {
			test_connect(&clients[n], &test);
			test_send(&clients[n], n == 0 ? "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"hits.follow\","
							"\"params\":{\"subscription\":\"s\","
							"" WORLD_GROUNDS "}}"
						      : "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"reads.count\","
							"\"params\":{" WORLD_GROUNDS "}}");
		}
		(void)usleep((useconds_t)prng_below(&prng, 4000));
		for (unsigned n = 0; n < 3; n++)
			test_close(&clients[n]);
		(void)usleep((useconds_t)prng_below(&prng, 1000));
		test_server_fini(&test);
	}
}

void server_test_streams_come_and_go(void)
{
	struct test_server test;
	struct world world;
	struct pusher pusher = {&world, false};
	pthread_t thread;

	test_server_init(&test);
	world_begin(&test, &world);
	CHECK_INT(0, pthread_create(&thread, NULL, push_many, &pusher));
	for (unsigned i = 0; i < 40; i++) {
		struct test_client client;

		test_connect(&client, &test);
		test_send(&client, "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"hits.follow\",\"params\":{"
				   "\"subscription\":\"s\",\"purpose\":"
				   "\"serious\",\"case\":\"OP 1\",\"reason\":\"a test of streams\"}}");
		json_decref(test_receive(&client));
		if (i % 2 == 0)
			test_send(&client, "{\"jsonrpc\":\"2.0\",\"method\":\"cancel\",\"params\":{\"id\":2}}");
		test_close(&client);
		world_wait_for(&world.cancelled, (int)i + 1);
	}
	atomic_store(&pusher.stop, true);
	(void)pthread_join(thread, NULL);
	test_server_fini(&test);
}

void server_test_stop_with_everything_in_flight(void)
{
	struct test_server test;
	struct world world;
	struct test_client client;

	test_server_init(&test);
	world_begin(&test, &world);
	test_connect(&client, &test);
	test_send(&client, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"reads.count\",\"params\":{" WORLD_GROUNDS "}}");
	test_send(&client, "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"hits.follow\",\"params\":{\"subscription\":"
			   "\"s\",\"purpose\":"
			   "\"serious\",\"case\":\"OP 1\",\"reason\":\"a test of streams\"}}");
	test_send(&client,
		  "{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"reads.search\",\"params\":{\"window\":1," WORLD_GROUNDS
		  "}}");
	world_wait_for(&world.blocked, 1);
	test.server = server_free(test.server);
	for (json_t *message; (message = test_receive(&client)) != NULL;)
		json_decref(message);
	CHECK(access(test.path, F_OK) < 0);
	test_close(&client);
	test_server_fini(&test);
}
