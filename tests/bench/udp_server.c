#include "tests/bench/udp_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/feeds.h"
#include "bench/loop.h"
#include "bench/transport.h"
#include "dpdk/feed/wire.h"

#define SERVER_FEEDS_MAX 16

struct server {
	struct transport *loop;
	const struct feeds *feeds;
	struct sockaddr_storage from[SERVER_FEEDS_MAX];
	socklen_t from_size;
	int fd;
};

/* Which feed a datagram is of: a HELLO says it, and the address it came from is remembered. */
static unsigned channel_of(struct server *server, const uint8_t *payload, size_t size,
			   const struct sockaddr_storage *from, socklen_t from_size)
{
	struct feed_peek peek;

	if (feed_peek(payload, size, FEED_SIDE_APPLIANCE, &peek) == FEED_HELLO_FRESH) {
		for (unsigned i = 0; i < server->feeds->count; i++) {
			if (server->feeds->rows[i].feed != peek.id)
				continue;
			server->from[i] = *from;
			server->from_size = from_size;
			return i;
		}
		return SERVER_FEEDS_MAX;
	}
	for (unsigned i = 0; i < server->feeds->count; i++)
		if (memcmp(&server->from[i], from, from_size) == 0)
			return i;
	return SERVER_FEEDS_MAX;
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
			if (channel == SERVER_FEEDS_MAX)
				continue;
			memcpy(server->loop->ops->begin(server->loop, channel), payload, (size_t)got);
			server->loop->ops->commit(server->loop, (size_t)got);
		}
		answers_send(server);
	}
}

pid_t udp_server_start(int family, const struct feeds *feeds, const struct loop_settings *settings, uint16_t *ret_port)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	static struct server server;
	struct sockaddr_storage bound;
	socklen_t size = sizeof(bound);
	pid_t child;

	server.feeds = feeds;
	server.fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (server.fd < 0)
		return 0;
	if (bind(server.fd, family == AF_INET ? (struct sockaddr *)&v4 : (struct sockaddr *)&v6,
		 family == AF_INET ? sizeof(v4) : sizeof(v6)) < 0 ||
	    getsockname(server.fd, (struct sockaddr *)&bound, &size) < 0) {
		close(server.fd);
		return 0;
	}
	*ret_port = ntohs(family == AF_INET ? ((struct sockaddr_in *)&bound)->sin_port
					    : ((struct sockaddr_in6 *)&bound)->sin6_port);
	child = fork();
	if (child == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (loop_new(settings, feeds->rows, feeds->count, &server.loop) < 0)
			_exit(1);
		serve(&server);
	}
	close(server.fd);
	return child;
}
