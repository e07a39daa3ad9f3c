/* A client's end of the socket: whatever pieces lines come in, each is taken once and whole; the end of it is told. */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "appliance/base/prng.h"
#include "mgmt/link.h"
#include "tests/check.h"

#define LINES 300
#define LINE_MAX_SIZE 200000 /* beyond what is read at a time */

struct sent {
	int fd;
	char *bytes;
	size_t size;
	struct prng prng;
};

/* Other end, other pieces: single bytes, or thousands. */
static void *send_in_pieces(void *context)
{
	struct sent *sent = context;

	for (size_t at = 0; at < sent->size;) {
		size_t piece = 1 + prng_next(&sent->prng) % (prng_next(&sent->prng) % 4 == 0 ? 3 : 90000);
		ssize_t taken;

		if (piece > sent->size - at)
			piece = sent->size - at;
		taken = send(sent->fd, sent->bytes + at, piece, MSG_NOSIGNAL);
		if (taken < 0)
			break;
		at += (size_t)taken;
	}
	(void)close(sent->fd);
	return NULL;
}

static size_t line_size(struct prng *prng)
{
	return prng_next(prng) % (prng_next(prng) % 10 == 0 ? LINE_MAX_SIZE : 300);
}

static void test_lines_in_any_pieces(void)
{
	struct sent sent;
	struct link link = {.fd = -1};
	size_t sizes[LINES], at = 0, size;
	const char *line;
	pthread_t thread;
	int ends[2];

	sent.prng.state = check_seed();
	sent.size = 0;
	for (size_t i = 0; i < LINES; i++)
		sent.size += (sizes[i] = line_size(&sent.prng)) + 1;
	sent.size += 5; /* and half a line */
	sent.bytes = malloc(sent.size);
	for (size_t i = 0; i < sent.size; i++)
		sent.bytes[i] = (char)('a' + prng_next(&sent.prng) % 26);
	for (size_t i = 0; i < LINES; i++)
		sent.bytes[(at += sizes[i] + 1) - 1] = '\n';
	CHECK_INT(0, socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
	sent.fd = ends[1];
	link.fd = ends[0];
	CHECK_INT(0, pthread_create(&thread, NULL, send_in_pieces, &sent));
	at = 0;
	for (size_t i = 0; i < LINES; i++) {
		CHECK_INT(0, link_receive_line(&link, -1, &line, &size));
		CHECK_INT(sizes[i], size);
		CHECK_MEM(sent.bytes + at, line, size + 1);
		at += size + 1;
	}
	CHECK_INT(-ECONNRESET, link_receive_line(&link, -1, &line, &size));
	(void)pthread_join(thread, NULL);
	link_close(&link);
	CHECK_INT(-1, link.fd);
	free(sent.bytes);
}

static void test_messages(void)
{
	struct link link = {.fd = -1}, peer = {.fd = -1};
	json_t *message = NULL;
	const char *line;
	size_t size;
	int ends[2];

	CHECK_INT(0, socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
	link.fd = ends[0];
	peer.fd = ends[1];
	CHECK_INT(1, link_receive(&link, 20, &message)); /* nothing comes */
	CHECK_INT(0, link_send(&peer, "hits.ack", json_pack("{s:s}", "cursor", "00"), 7));
	CHECK_INT(0, link_receive(&link, -1, &message));
	CHECK_INT(7, json_integer_value(json_object_get(message, "id")));
	CHECK_STR("hits.ack", json_string_value(json_object_get(message, "method")));
	json_decref(message);
	CHECK_INT(0, link_send(&peer, "cancel", json_object(), -1));
	CHECK_INT(0, link_receive_line(&link, -1, &line, &size));
	CHECK(memmem(line, size, "\"id\"", 4) == NULL);
	CHECK_INT(9, send(ends[1], "{\"a\":1,}\n", 9, 0));
	CHECK_INT(-EBADMSG, link_receive(&link, -1, &message));
	CHECK_INT(3, send(ends[1], "{}\n", 3, 0)); /* the line that was none is behind it */
	CHECK_INT(0, link_receive(&link, -1, &message));
	json_decref(message);
	link_close(&link);
	CHECK_INT(-EPIPE, link_send(&peer, "status", json_object(), 1));
	link_close(&peer);
}

int main(int argc, char **argv)
{
	static const struct check_test tests[] = {{"lines come in any pieces", test_lines_in_any_pieces},
						  {"messages, silence, nonsense and the end", test_messages},
						  {NULL, NULL}};

	return check_main(argc, argv, "link", tests);
}
