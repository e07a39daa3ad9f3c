/* Clients and their lines: in pieces, mutated, too long; sockets and clients that stay, leave or are too many. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "appliance/base/err.h"
#include "appliance/base/prng.h"
#include "mgmt/call.h"
#include "tests/check.h"
#include "tests/mgmt/fixture.h"
#include "tests/mgmt/server_world.h"

/* The same bytes in random pieces give the same answers. */
void server_test_lines_in_random_pieces(void)
{
	struct test_server test;
	struct world world;
	struct test_client client;
	struct prng prng = {check_seed()};
	char text[8192];
	size_t size = 0;

	test_server_init(&test);
	world_begin(&test, &world);
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
void server_test_mutated_lines(void)
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
	world_begin(&test, &world);
	test_connect(&client, &test);
	for (unsigned i = 0; i < 3000; i++) {
		const char *from = valid[prng_below(&prng, 4)];
		size_t size = strlen(from);

		memcpy(line, from, size);
		for (uint64_t n = 1 + prng_below(&prng, 4); n > 0; n--)
			line[prng_below(&prng, size)] = (char)prng_below(&prng, 256);
		for (size_t at = 0; at < size; at++)
			if (line[at] == '\n' || line[0] == '\0') /* of which one would begin a frame */
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

void server_test_oversize_line_ends_the_client(void)
{
	struct test_server test;
	struct world world;
	struct test_client client;
	char *line;

	test_server_init(&test);
	test.options.line_size_max = 4096;
	world_begin(&test, &world);
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
	CHECK_INT(2, world_counters(&test).lines_oversize);
	free(line);
	test_server_fini(&test);
}

void server_test_too_many_clients(void)
{
	struct test_server test;
	struct world world;
	struct test_client clients[65];
	json_t *goodbye;

	test_server_init(&test);
	world_begin(&test, &world);
	for (unsigned i = 0; i < 64; i++)
		test_connect(&clients[i], &test);
	test_connect_raw(&clients[64], &test);
	goodbye = test_receive(&clients[64]);
	CHECK_STR("goodbye", json_string_value(json_object_get(goodbye, "method")));
	json_decref(goodbye);
	CHECK(test_receive(&clients[64]) == NULL);
	CHECK_INT(1, world_counters(&test).clients_refused);
	CHECK_INT(64, world_counters(&test).client_count);
	test_close(&clients[64]);
	test_close(&clients[0]);
	for (int i = 0; i < 10000 && world_counters(&test).client_count == 64; i++)
		(void)usleep(1000);
	test_connect(&clients[0], &test);
	for (unsigned i = 0; i < 64; i++)
		test_close(&clients[i]);
	test_server_fini(&test);
}

void server_test_one_server_a_socket(void)
{
	struct test_server test;
	struct world world;
	struct server *second;
	struct test_client client;
	struct stat stat_;
	struct err err;
	FILE *file;

	test_server_init(&test);
	world_begin(&test, &world);
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

void server_test_stale_socket_is_replaced(void)
{
	struct test_server test;
	struct world world;
	struct test_client client;
	char left[128];

	test_server_init(&test);
	world_begin(&test, &world);
	/* As after kill -9: a socket file nobody listens on. */
	(void)snprintf(left, sizeof(left), "%s.left", test.path);
	CHECK_INT(0, link(test.path, left));
	test.server = server_free(test.server);
	CHECK_INT(0, rename(left, test.path));
	world_begin(&test, &world);
	test_connect(&client, &test);
	test_close(&client);
	test_server_fini(&test);
}

void server_test_idle_client_is_dropped(void)
{
	struct test_server test;
	struct world world;
	struct test_client idle;
	struct test_client dripping;

	test_server_init(&test);
	test.options.idle_s = 1;
	test.options.stall_ms = 200;
	world_begin(&test, &world);
	test_connect(&idle, &test);
	test_connect(&dripping, &test);
	for (int i = 0; i < 200 && world_counters(&test).clients_idle < 2; i++) {
		test_send_bytes(&dripping, "{", 1); /* a line that never ends is no sign of life */
		(void)usleep(20000);
	}
	CHECK_INT(2, world_counters(&test).clients_idle);
	CHECK(test_receive(&idle) == NULL);
	test_close(&idle);
	test_close(&dripping);
	test_server_fini(&test);
}
