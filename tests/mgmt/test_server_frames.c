/* Frames of uploads among the lines: whole, in pieces, damaged; what they hold is never a request. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/bytes.h"
#include "appliance/base/prng.h"
#include "mgmt/call.h"
#include "mgmt/frame.h"
#include "tests/check.h"
#include "tests/mgmt/fixture.h"
#include "tests/mgmt/server_world.h"

#define OPEN "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"upload.open\",\"params\":{\"kind\":\"list\"}}"
#define LOAD "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"lists.load\",\"params\":{\"upload\":1,\"name\":\"stolen\"}}"

/* Returns the bytes written. */
static size_t frame_put(uint8_t *at, uint32_t upload, uint32_t id, const char *text, size_t size)
{
	const struct frame frame = {(uint32_t)size, upload, id};

	frame_head_put(&frame, at);
	memcpy(at + FRAME_HEAD_SIZE, text, size);
	return FRAME_HEAD_SIZE + size;
}

static json_t *send_frame(struct test_client *client, uint32_t upload, uint32_t id, const char *text, size_t size)
{
	uint8_t bytes[512];

	test_send_bytes(client, bytes, frame_put(bytes, upload, id, text, size));
	return test_receive(client);
}

static int frame_code(struct test_client *client, uint32_t upload, const char *text, size_t size)
{
	return test_error_code(send_frame(client, upload, 7, text, size));
}

void server_test_frames(void)
{
	struct test_server test;
	struct world world;
	struct test_client client;
	json_t *answer;

	test_server_init(&test);
	test.options.upload_size_max = 20;
	test.options.upload_total_max = 30;
	world_begin(&test, &world);
	test_connect(&client, &test);
	json_decref(test_call(&client, OPEN));
	answer = send_frame(&client, 1, UINT32_MAX, "AB12CDE\n", 8);
	CHECK_INT(UINT32_MAX, json_integer_value(json_object_get(answer, "id")));
	CHECK_INT(8, json_integer_value(json_object_get(json_object_get(answer, "result"), "size")));
	json_decref(answer);
	/* What is refused is skipped whole, and leaves the upload as it was. */
	CHECK_INT(CALL_INVALID_PARAMS, frame_code(&client, 2, "x\n", 2));
	CHECK_INT(CALL_BUSY, frame_code(&client, 1, "0123456789012", 13));
	CHECK_INT(CALL_INVALID_PARAMS, frame_code(&client, 1, "\xc3", 1));
	CHECK_INT(CALL_INVALID_PARAMS, frame_code(&client, 1, "abcdefgh\xed\xa0\x80", 11));
	CHECK_INT(CALL_INVALID_PARAMS, frame_code(&client, 1, "abcdefg\0", 8));
	CHECK_INT(CALL_INVALID_PARAMS, frame_code(&client, 1, "abcdefghi\0", 10));
	CHECK_INT(0, frame_code(&client, 1, "\xc3\x84 1\n", 5));
	answer = test_call(&client, LOAD);
	CHECK_STR("AB12CDE\n\xc3\x84 1\n",
		  json_string_value(json_object_get(json_object_get(answer, "result"), "text")));
	json_decref(answer);
	CHECK_INT(1, atomic_load(&world.effects));
	test_close(&client);
	test_server_fini(&test);
}

/* Pieces that look like requests, lines between them, all in random bites: each answered, none of them run. */
void server_test_frames_in_random_pieces(void)
{
	static const char request[] =
		"\n{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"appliance.stop\",\"params\":{\"reason\":\"none\"}}\n";
	struct test_server test;
	struct world world;
	struct test_client client;
	struct prng prng = {check_seed()};
	uint8_t *bytes = malloc(65536);
	size_t whole = 0;

	test_server_init(&test);
	world_begin(&test, &world);
	test_connect(&client, &test);
	json_decref(test_call(&client, OPEN));
	for (unsigned round = 0; round < 20; round++) {
		unsigned count = 1 + (unsigned)prng_below(&prng, 40), frames = 0;
		size_t size = 0;

		for (unsigned i = 0; i < count; i++) {
			size_t take = 1 + prng_below(&prng, sizeof(request) - 1);

			if (prng_chance(&prng, 300)) {
				size += (size_t)snprintf((char *)bytes + size, 100,
							 "{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"rpc.none\"}\n");
				continue;
			}
			size += frame_put(bytes + size, 1, 1000 + i, request, take);
			whole += take;
			frames++;
		}
		for (size_t at = 0, piece; at < size; at += piece) {
			piece = 1 + prng_below(&prng, 1 + prng_below(&prng, 200));
			piece = piece < size - at ? piece : size - at;
			test_send_bytes(&client, bytes + at, piece);
		}
		for (unsigned i = 0; i < count; i++) {
			int code = test_error_code(test_receive(&client));

			CHECK(code == 0 || code == CALL_UNKNOWN_METHOD);
			frames -= code == 0;
		}
		CHECK_INT(0, frames);
	}
	CHECK_INT(0, atomic_load(&world.effects));
	json_t *answer = send_frame(&client, 1, 9, ".", 1);
	CHECK_INT(whole + 1, json_integer_value(json_object_get(json_object_get(answer, "result"), "size")));
	json_decref(answer);
	test_close(&client);
	test_server_fini(&test);
	free(bytes);
}

/* A head that is none, or too large: the client is told and ended, and what follows is not looked at. */
void server_test_damaged_frames(void)
{
	static const char stop[] =
		"{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"appliance.stop\",\"params\":{\"reason\":\"none\"}}\n";
	struct test_server test;
	struct world world;
	struct test_client client;
	struct prng prng = {check_seed()};
	uint64_t malformed = 0;

	test_server_init(&test);
	test.options.line_size_max = 4096;
	world_begin(&test, &world);
	for (unsigned i = 0; i < 200; i++) {
		uint8_t bytes[FRAME_HEAD_SIZE + sizeof(stop)];
		size_t size = frame_put(bytes, 1, 7, stop, sizeof(stop) - 1);
		uint32_t claimed;
		json_t *answer;
		int code;

		bytes[1 + prng_below(&prng, 7)] ^= (uint8_t)(1u << prng_below(&prng, 8));
		claimed = le32_get(bytes + 4);
		if (prng_chance(&prng, 100))
			le32_put(bytes + 4, claimed = 0);
		test_connect(&client, &test);
		test_send_bytes(&client, bytes, size);
		if (memcmp(bytes + 1, "UPL", 3) == 0 && claimed > 0 && claimed <= 4096 - FRAME_HEAD_SIZE) {
			/* Only its size is another: shorter, the rest is lines that are refused; longer, it is awaited.
			 */
			test_close(&client);
			continue;
		}
		malformed++;
		answer = test_receive(&client);
		code = test_error_code(answer);
		CHECK_INT(CALL_INVALID_REQUEST, code);
		CHECK(test_receive(&client) == NULL);
		test_close(&client);
	}
	CHECK(malformed > 20);
	CHECK_INT(0, test_audit_count(test.options.audit, "appliance.stop", AUDIT_OUTCOME_COUNT));
	CHECK(world_counters(&test).lines_malformed >= malformed);
	test_server_fini(&test);
}

/* The parser against any bytes: never beyond them, and what it takes is what stands there. */
void server_test_frame_parser(void)
{
	struct prng prng = {check_seed()};

	for (unsigned i = 0; i < 200000; i++) {
		size_t size = 1 + prng_below(&prng, 64), max = prng_below(&prng, 80);
		uint8_t *bytes = malloc(size);
		uint8_t head[FRAME_HEAD_SIZE];
		struct frame frame = {(uint32_t)prng_below(&prng, 64), (uint32_t)prng_below(&prng, 1000),
				      (uint32_t)prng_below(&prng, UINT32_MAX)};
		int status;

		for (size_t at = 0; at < size; at++)
			bytes[at] = (uint8_t)prng_below(&prng, 256);
		frame_head_put(&frame, head);
		if (prng_chance(&prng, 50))
			head[prng_below(&prng, 8)] ^= (uint8_t)(1 + prng_below(&prng, 255));
		memcpy(bytes, head, size < sizeof(head) ? size : sizeof(head));
		status = frame_parse(bytes, size, max, &frame);
		CHECK(status == 0 || status == FRAME_MORE || status == -EBADMSG);
		if (status == 0) {
			CHECK_INT(le32_get(head + 4), frame.size);
			CHECK(frame.size > 0 && FRAME_HEAD_SIZE + frame.size <= (size < max ? size : max));
			CHECK_INT(le32_get(head + 12), frame.id);
		}
		free(bytes);
	}
}
