/*
 * Two processes over a vhost-user socket: this one, and itself started again in the other role. Either may be killed at
 * any moment; the other one lives on and traffic resumes.
 *
 * A datagram carries a number and a pattern made from it. The serving side sends it back as it came; the client counts
 * the numbers that came back whole and sends the missing ones again.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "appliance/base/bytes.h"
#include "appliance/base/clock.h"
#include "dpdk/answer.h"
#include "dpdk/idle.h"
#include "dpdk/reply.h"
#include "tests/check.h"
#include "tests/dpdk/child.h"
#include "tests/dpdk/fixture.h"
#include "tests/dpdk/wire.h"

#define WINDOW 256
#define PATIENCE_NS INT64_C(20000000000)
#define RESEND_NS 20000000

static char socket_path[100];
static unsigned queue_count = 1; /* of every port; a client speaks on the last */

static size_t pattern(uint32_t number, uint8_t *bytes)
{
	size_t size = 4 + number % 1390;

	le32_put(bytes, number);
	for (size_t i = 4; i < size; i++)
		bytes[i] = (uint8_t)(number + i * 31);
	return size;
}

static bool pattern_right(const uint8_t *bytes, size_t size)
{
	uint8_t expected[REPLY_PAYLOAD_MAX];

	return size >= 4 && pattern(le32_get(bytes), expected) == size && memcmp(bytes, expected, size) == 0;
}

static unsigned damaged_count; /* asserts exist only in the process that runs the tests */

/* One turn of the appliance's side; returns how many datagrams came. */
static unsigned serve(struct frame_queue *queue, struct idle *idle)
{
	const struct frame_batch *batch = frame_receive(queue);
	unsigned count = batch->count;

	for (unsigned i = 0; i < count; i++) {
		const struct datagram *datagram = &batch->datagrams[i];

		damaged_count += !pattern_right(datagram->payload, datagram->size);
		(void)reply_send(queue, &datagram->path, datagram->payload, datagram->size);
	}
	frame_release(queue);
	(void)reply_flush(queue);
	(void)idle_turn(idle, count > 0, INT64_MAX);
	return count;
}

struct client {
	struct fixture_end end;
	struct path path;
	struct idle idle;
	uint32_t first; /* all below have come back */
	uint32_t last;  /* one above the highest sent */
	bool back[WINDOW];
	int64_t sent_ns;
};

static int client_connect(struct client *client)
{
	struct port_settings settings;
	struct frame_local local;
	struct idle_settings idle_settings;
	struct err err = {""};
	int64_t end = clock_mono_ns() + PATIENCE_NS;
	int64_t asked_ns = 0;
	uint8_t mac[6];

	fixture_settings(&settings, "virtio", socket_path);
	memcpy(settings.mac, wire_peer_mac, 6);
	settings.queue_count = queue_count;
	while (port_open(&settings, &client->end.port, &err) < 0) {
		if (clock_mono_ns() > end) {
			(void)fprintf(stderr, "client: %s\n", err.text);
			return -ETIMEDOUT;
		}
		(void)usleep(20000);
	}
	frame_local_init(&local, WIRE_PEER_PORT);
	(void)frame_local_add(&local, WIRE_PEER4_TEXT, NULL);
	if (frame_queue_new(client->end.port, queue_count - 1, &local, &client->end.queue, &err) < 0 ||
	    path_make(wire_peer_mac, WIRE_PEER4_TEXT, WIRE_PEER_PORT, NULL, WIRE_US4_TEXT, WIRE_US_PORT, &client->path,
		      &err) < 0)
		return -EINVAL;
	idle_settings_init(&idle_settings);
	idle_init(&client->idle, &idle_settings);
	while (!answer_heard(client->end.queue, mac)) {
		if (clock_mono_ns() > end)
			return -ETIMEDOUT;
		if (clock_mono_ns() - asked_ns > RESEND_NS) {
			asked_ns = clock_mono_ns();
			(void)answer_ask(client->end.queue, &client->path);
			(void)reply_flush(client->end.queue);
		}
		(void)idle_turn(&client->idle, frame_receive(client->end.queue)->frame_count > 0, INT64_MAX);
		frame_release(client->end.queue);
	}
	memcpy(client->path.peer_mac, mac, 6);
	client->sent_ns = 0;
	return 0;
}

static void client_send(struct client *client, uint32_t goal)
{
	uint8_t bytes[REPLY_PAYLOAD_MAX];
	bool resend = clock_mono_ns() - client->sent_ns > RESEND_NS;

	for (uint32_t n = client->first; resend && n < client->last; n++)
		if (!client->back[n % WINDOW])
			(void)reply_send(client->end.queue, &client->path, bytes, pattern(n, bytes));
	for (; client->last < goal && client->last < client->first + WINDOW; client->last++) {
		client->back[client->last % WINDOW] = false;
		(void)reply_send(client->end.queue, &client->path, bytes, pattern(client->last, bytes));
		resend = true;
	}
	if (resend)
		client->sent_ns = clock_mono_ns();
	(void)reply_flush(client->end.queue);
}

/* False when something came back damaged. */
static bool client_take(struct client *client)
{
	const struct frame_batch *batch = frame_receive(client->end.queue);
	bool right = true;

	for (unsigned i = 0; i < batch->count; i++) {
		uint32_t n;

		right &= pattern_right(batch->datagrams[i].payload, batch->datagrams[i].size);
		n = le32_get(batch->datagrams[i].payload);
		if (n >= client->first && n < client->last)
			client->back[n % WINDOW] = true;
	}
	(void)idle_turn(&client->idle, batch->frame_count > 0, INT64_MAX);
	frame_release(client->end.queue);
	while (client->first < client->last && client->back[client->first % WINDOW])
		client->first++;
	return right;
}

/* Sends until the first `goal` numbers are back; opens its port anew whenever the other side has gone. */
static int client_run(uint32_t goal)
{
	struct client client = {.first = 0};
	int64_t end = clock_mono_ns() + PATIENCE_NS;

	if (client_connect(&client) < 0)
		return 3;
	while (client.first < goal) {
		if (clock_mono_ns() > end) {
			(void)fprintf(stderr, "client: stuck at %u\n", client.first);
			return 4;
		}
		if (!port_link_up(client.end.port)) {
			fixture_close(&client.end);
			if (client_connect(&client) < 0)
				return 5;
		}
		client_send(&client, goal);
		if (!client_take(&client))
			return 6;
	}
	fixture_close(&client.end);
	return 0;
}

static int server_try(struct fixture_end *end, struct idle *idle)
{
	struct port_settings settings;
	struct idle_settings idle_settings;
	struct frame_local local;
	struct err err = {""};

	fixture_settings(&settings, "vhost", socket_path);
	settings.queue_count = queue_count;
	frame_local_init(&local, WIRE_US_PORT);
	if (frame_local_add(&local, WIRE_US4_TEXT, &err) < 0 || port_open(&settings, &end->port, &err) < 0 ||
	    frame_queue_new(end->port, queue_count - 1, &local, &end->queue, &err) < 0) {
		(void)fprintf(stderr, "server: %s\n", err.text);
		return -1;
	}
	idle_settings_init(&idle_settings);
	idle_init(idle, &idle_settings);
	return 0;
}

static void server_open(struct fixture_end *end, struct idle *idle)
{
	fixture_eal();
	CHECK_INT(0, server_try(end, idle));
}

/* Nothing that crossed was damaged. */
static void server_close(struct fixture_end *end)
{
	CHECK_INT(0, damaged_count);
	CHECK_INT(0, fixture_counters(end->queue).segmented);
	fixture_close(end);
}

static void socket_choose(void)
{
	CHECK(snprintf(socket_path, sizeof(socket_path), "%s/p0", check_directory()) < (int)sizeof(socket_path));
}

/* Serves until the child has ended; its status. */
static int serve_child(struct fixture_end *end, struct idle *idle, struct child *child, unsigned *ret_count)
{
	int64_t until = clock_mono_ns() + 3 * PATIENCE_NS;
	unsigned count = 0;
	int status = -1;

	while (!child_ended(child, &status)) {
		if (clock_mono_ns() > until) {
			child_kill(child);
			return -1;
		}
		count += serve(end->queue, idle);
	}
	*ret_count = count;
	return status;
}

static void datagrams_cross_whole(void)
{
	struct fixture_end end;
	struct idle idle;
	struct child child;
	unsigned count = 0;

	socket_choose();
	server_open(&end, &idle);
	CHECK(!port_link_up(end.port));
	child = child_start("--client", socket_path, "20000");
	CHECK_INT(0, serve_child(&end, &idle, &child, &count));
	CHECK(count >= 20000);
	CHECK_INT(1, fixture_counters(end.queue).arp_answered);
	server_close(&end);
	CHECK(access(socket_path, F_OK) < 0);
}

/* What a client sends on its n-th queue comes in on ours, and the answers go back there. */
static void queues_are_kept_apart(void)
{
	struct fixture_end end;
	struct frame_queue *first;
	struct frame_local local;
	struct idle idle;
	struct child child;
	unsigned count = 0;

	socket_choose();
	queue_count = 2;
	server_open(&end, &idle);
	queue_count = 1;
	frame_local_init(&local, WIRE_US_PORT);
	CHECK_INT(0, frame_local_add(&local, WIRE_US4_TEXT, NULL));
	CHECK_INT(0, frame_queue_new(end.port, 0, &local, &first, NULL));
	child = child_start("--client-2", socket_path, "5000");
	CHECK_INT(0, serve_child(&end, &idle, &child, &count));
	CHECK(count >= 5000);
	CHECK_INT(0, frame_receive(first)->frame_count);
	(void)frame_queue_free(first);
	server_close(&end);
}

static void killed_clients_do_no_harm(void)
{
	struct fixture_end end;
	struct idle idle;
	struct child child;
	unsigned count = 0;
	unsigned seen;

	socket_choose();
	server_open(&end, &idle);
	for (unsigned turn = 0; turn < 3; turn++) {
		int64_t until = clock_mono_ns() + PATIENCE_NS;

		child = child_start("--client", socket_path, "1000000000");
		for (seen = 0; seen < 3000 * (turn + 1) && clock_mono_ns() < until;)
			seen += serve(end.queue, &idle);
		CHECK(seen >= 3000);
		child_kill(&child); /* in the middle of a burst, likely as not */
		for (until = clock_mono_ns() + PATIENCE_NS; port_link_up(end.port) && clock_mono_ns() < until;)
			(void)serve(end.queue, &idle);
		CHECK(!port_link_up(end.port));
		CHECK_INT(0, reply_flush(end.queue));
	}
	child = child_start("--client", socket_path, "5000");
	CHECK_INT(0, serve_child(&end, &idle, &child, &count));
	CHECK(count >= 5000);
	server_close(&end);
}

/* The appliance closes its port, opens it again; the client goes on by itself. */
static void a_reopened_port_is_found_again(void)
{
	struct fixture_end end;
	struct idle idle;
	struct child child;
	int64_t until = clock_mono_ns() + PATIENCE_NS;
	unsigned count = 0;

	socket_choose();
	server_open(&end, &idle);
	child = child_start("--client", socket_path, "30000");
	for (unsigned seen = 0; seen < 3000 && clock_mono_ns() < until;)
		seen += serve(end.queue, &idle);
	server_close(&end);
	(void)usleep(50000);
	server_open(&end, &idle);
	CHECK_INT(0, serve_child(&end, &idle, &child, &count));
	CHECK(count > 20000);
	server_close(&end);
}

static void client_reach(struct client *client, uint32_t goal)
{
	int64_t until = clock_mono_ns() + PATIENCE_NS;

	while (client->first < goal && clock_mono_ns() < until) {
		client_send(client, UINT32_MAX - WINDOW);
		CHECK(client_take(client));
	}
	CHECK(client->first >= goal);
}

/* gantry-load's case: the appliance is killed, leaves its socket behind, and is started again. */
static void a_killed_server_is_found_again(void)
{
	struct client client = {.first = 0};
	struct child child;
	int64_t until = clock_mono_ns() + PATIENCE_NS;

	fixture_eal();
	socket_choose();
	child = child_start("--server", socket_path, "");
	CHECK_INT(0, client_connect(&client));
	client_reach(&client, 2000);
	child_kill(&child);
	while (port_link_up(client.end.port) && clock_mono_ns() < until) {
		client_send(&client, UINT32_MAX - WINDOW);
		(void)client_take(&client);
	}
	CHECK(!port_link_up(client.end.port));
	fixture_close(&client.end);
	CHECK_INT(0, access(socket_path, F_OK)); /* stale: the next server takes its place */
	child = child_start("--server", socket_path, "");
	CHECK_INT(0, client_connect(&client));
	client_reach(&client, 4000);
	child_kill(&child);
	fixture_close(&client.end);
}

static void a_dead_socket_is_refused(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct port_settings settings;
	struct port *port = NULL;
	struct err err = {""};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	fixture_eal();
	socket_choose();
	memcpy(address.sun_path, socket_path, sizeof(socket_path));
	CHECK_INT(0, bind(fd, (struct sockaddr *)&address, sizeof(address)));
	(void)close(fd);
	fixture_settings(&settings, "virtio", socket_path);
	for (unsigned i = 0; i < 3; i++)
		CHECK_INT(-ECONNREFUSED, port_open(&settings, &port, &err));
	CHECK(port == NULL);
	CHECK(strstr(err.text, socket_path) != NULL);
}

static int role_server(void)
{
	struct fixture_end end;
	struct idle idle;

	if (server_try(&end, &idle) < 0)
		return 1;
	while (damaged_count == 0)
		(void)serve(end.queue, &idle);
	return 2;
}

int main(int argc, char **argv)
{
	static const struct check_test tests[] = {{"datagrams cross whole between processes", datagrams_cross_whole},
						  {"queues are kept apart", queues_are_kept_apart},
						  {"killed clients do no harm", killed_clients_do_no_harm},
						  {"a reopened port is found again", a_reopened_port_is_found_again},
						  {"a killed server is found again", a_killed_server_is_found_again},
						  {"a dead socket is refused", a_dead_socket_is_refused},
						  {NULL, NULL}};
	int result;

	if (argc >= 4 && argv[1][0] == '-' && argv[1][1] == '-' && strcmp(argv[1], "--seed") != 0) {
		(void)snprintf(socket_path, sizeof(socket_path), "%s", argv[2]);
		fixture_eal();
		queue_count = strcmp(argv[1], "--client-2") == 0 ? 2 : 1;
		if (strncmp(argv[1], "--client", 8) == 0)
			return client_run((uint32_t)strtoul(argv[3], NULL, 10));
		return role_server();
	}
	result = check_main(argc, argv, "dpdk/vhost", tests);
	fixture_eal_stop();
	return result;
}
