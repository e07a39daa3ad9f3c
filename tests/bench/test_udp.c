/* Plain kernel sockets over the loopback interface, IPv4 and IPv6, against a receiver in memory in a forked child. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/fault.h"
#include "bench/loop.h"
#include "bench/transport.h"
#include "bench/udp.h"
#include "dpdk/feed/wire.h"
#include "tests/bench/drive.h"
#include "tests/check.h"

#define FEEDS 2
#define READS 30000

struct server {
	struct transport *loop;
	struct sockaddr_storage from[FEEDS];
	socklen_t from_size;
	int fd;
};

/* Which feed a datagram is of: a HELLO says it, and the address it came from is remembered. */
static unsigned channel_of(struct server *server, const uint8_t *payload, size_t size,
			   const struct sockaddr_storage *from, socklen_t from_size)
{
	struct feed_peek peek;

	if (feed_peek(payload, size, FEED_SIDE_APPLIANCE, &peek) == FEED_HELLO_FRESH && peek.id >= 1 &&
	    peek.id <= FEEDS) {
		server->from[peek.id - 1] = *from;
		server->from_size = from_size;
		return peek.id - 1;
	}
	for (unsigned i = 0; i < FEEDS; i++)
		if (memcmp(&server->from[i], from, from_size) == 0)
			return i;
	return FEEDS;
}

static void answers_send(struct server *server)
{
	struct transport_datagram datagrams[TRANSPORT_BURST];
	unsigned count;

	server->loop->ops->flush(server->loop);
	count = server->loop->ops->receive(server->loop, datagrams);
	for (unsigned i = 0; i < count; i++)
		(void)sendto(server->fd, datagrams[i].payload, datagrams[i].size, 0,
			     (struct sockaddr *)&server->from[datagrams[i].channel], server->from_size);
	server->loop->ops->release(server->loop);
}

static void serve(struct server *server)
{
	uint8_t payload[2048];

	for (;;) {
		struct pollfd readable = {.fd = server->fd, .events = POLLIN};
		struct sockaddr_storage from = {0};

		(void)poll(&readable, 1, 100);
		for (unsigned i = 0; i < 32; i++) {
			socklen_t size = sizeof(from);
			ssize_t got = recvfrom(server->fd, payload, sizeof(payload), MSG_DONTWAIT,
					       (struct sockaddr *)&from, &size);
			unsigned channel;

			if (got < 0 || got > TRANSPORT_DATAGRAM_MAX)
				break;
			channel = channel_of(server, payload, (size_t)got, &from, size);
			if (channel == FEEDS)
				continue;
			memcpy(server->loop->ops->begin(server->loop, channel), payload, (size_t)got);
			server->loop->ops->commit(server->loop, (size_t)got);
		}
		answers_send(server);
	}
}

/* A child that serves on a fresh port of that family; its port. 0: the family is not there. */
static pid_t server_start(int family, uint16_t *ret_port)
{
	const struct loop_settings settings = {.credit = 20000};
	struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	static struct server server;
	static struct feeds feeds;
	struct sockaddr_storage bound;
	socklen_t size = sizeof(bound);
	pid_t child;

	server.fd = socket(family, SOCK_DGRAM, 0);
	if (server.fd < 0 || bind(server.fd, family == AF_INET ? (struct sockaddr *)&v4 : (struct sockaddr *)&v6,
				  family == AF_INET ? sizeof(v4) : sizeof(v6)) < 0)
		return 0;
	CHECK_INT(0, getsockname(server.fd, (struct sockaddr *)&bound, &size));
	*ret_port = ntohs(family == AF_INET ? ((struct sockaddr_in *)&bound)->sin_port
					    : ((struct sockaddr_in6 *)&bound)->sin6_port);
	child = fork();
	if (child == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		drive_feeds(FEEDS, &feeds);
		if (loop_new(&settings, feeds.rows, FEEDS, &server.loop) < 0)
			_exit(1);
		serve(&server);
	}
	close(server.fd);
	return child;
}

static void run_over(int family, const struct fault_settings *faults)
{
	struct transport *transport = NULL;
	struct sender_totals totals;
	struct feeds feeds;
	uint16_t port = 0;
	pid_t child = server_start(family, &port);
	char where[64];

	if (child == 0)
		CHECK_SKIP("no loopback of address family %d here", family);
	drive_feeds(FEEDS, &feeds);
	snprintf(where, sizeof(where), family == AF_INET ? "127.0.0.1:%u" : "[::1]:%u", port);
	CHECK_INT(0, udp_new(where, FEEDS, &transport, NULL));
	if (faults != NULL)
		CHECK_INT(0, fault_new(transport, faults, &transport));
	drive_sender(transport, &feeds, READS, 8, NULL, NULL, &totals);
	transport_free(transport);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
}

static void over_ipv4(void)
{
	run_over(AF_INET, NULL);
}

static void over_ipv6(void)
{
	run_over(AF_INET6, NULL);
}

static void over_a_bad_wire(void)
{
	const struct fault_settings faults = {check_seed(), 50, 50, 100, 20};

	run_over(AF_INET, &faults);
}

static void bad_addresses_are_told(void)
{
	static const char *const bad[] = {"", ":1", "127.0.0.1", "127.0.0.1:x", "[::1:1"};
	struct transport *transport = NULL;

	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct err err = {""};

		CHECK(udp_new(bad[i], 1, &transport, &err) < 0);
		CHECK(err.text[0] != '\0');
	}
	CHECK(transport == NULL);
}

int main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{"over IPv4", over_ipv4},
		{"over IPv6", over_ipv6},
		{"over a bad wire", over_a_bad_wire},
		{"bad addresses are told", bad_addresses_are_told},
		{NULL, NULL},
	};

	return check_main(argc, argv, "bench udp", tests);
}
