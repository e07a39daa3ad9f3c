#include "bench/udp.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "bench/transport.h"

#define BUFFER_BYTES (4 << 20)

struct batch {
	struct mmsghdr messages[TRANSPORT_BURST];
	struct iovec parts[TRANSPORT_BURST];
	uint8_t payloads[TRANSPORT_BURST][TRANSPORT_DATAGRAM_MAX];
	unsigned count;
};

struct udp {
	struct transport transport;
	struct pollfd *sockets; /* one a channel */
	unsigned channels;
	unsigned sending; /* channel of the batch that is being filled */
	unsigned turn;    /* channel asked next */
	struct batch out;
	struct batch in;
};

static void batch_init(struct batch *batch)
{
	for (unsigned i = 0; i < TRANSPORT_BURST; i++) {
		batch->parts[i] = (struct iovec){batch->payloads[i], TRANSPORT_DATAGRAM_MAX};
		batch->messages[i].msg_hdr.msg_iov = &batch->parts[i];
		batch->messages[i].msg_hdr.msg_iovlen = 1;
	}
}

static void udp_flush(struct transport *transport)
{
	struct udp *udp = (struct udp *)transport;
	unsigned done = 0;
	unsigned tries = 0;

	while (done < udp->out.count && tries < 4) {
		struct pollfd *socket = &udp->sockets[udp->sending];
		int sent = sendmmsg(socket->fd, udp->out.messages + done, udp->out.count - done, MSG_DONTWAIT);

		if (sent > 0) {
			done += (unsigned)sent;
			continue;
		}
		tries++;
		if (errno == EAGAIN || errno == ENOBUFS) {
			struct pollfd writable = {.fd = socket->fd, .events = POLLOUT};

			(void)poll(&writable, 1, 1);
		}
		/* ECONNREFUSED and the like tell of an earlier datagram: this one goes out at the next try. */
	}
	transport->sent += done;
	transport->unsent += udp->out.count - done;
	udp->out.count = 0;
}

static uint8_t *udp_begin(struct transport *transport, unsigned channel)
{
	struct udp *udp = (struct udp *)transport;

	if (udp->out.count == TRANSPORT_BURST || (udp->out.count > 0 && channel != udp->sending))
		udp_flush(transport);
	udp->sending = channel;
	return udp->out.payloads[udp->out.count];
}

static void udp_commit(struct transport *transport, size_t size)
{
	struct udp *udp = (struct udp *)transport;

	udp->out.parts[udp->out.count++].iov_len = size;
}

static void udp_abandon(struct transport *transport)
{
	(void)transport;
}

static unsigned udp_receive(struct transport *transport, struct transport_datagram ret_datagrams[TRANSPORT_BURST])
{
	struct udp *udp = (struct udp *)transport;
	unsigned channel = udp->turn;
	int got;

	udp->turn = (udp->turn + 1) % udp->channels;
	got = recvmmsg(udp->sockets[channel].fd, udp->in.messages, TRANSPORT_BURST, MSG_DONTWAIT, NULL);
	if (got <= 0)
		return 0;
	for (int i = 0; i < got; i++) {
		ret_datagrams[i].payload = udp->in.payloads[i];
		ret_datagrams[i].size = udp->in.messages[i].msg_len;
		ret_datagrams[i].channel = channel;
	}
	transport->received += (unsigned)got;
	return (unsigned)got;
}

static void udp_release(struct transport *transport)
{
	(void)transport;
}

static void udp_wait(struct transport *transport, int64_t ns)
{
	struct udp *udp = (struct udp *)transport;
	struct timespec limit = {ns / 1000000000, ns % 1000000000};

	(void)ppoll(udp->sockets, udp->channels, &limit, NULL);
}

static void udp_free(struct transport *transport)
{
	struct udp *udp = (struct udp *)transport;

	for (unsigned i = 0; i < udp->channels; i++)
		if (udp->sockets[i].fd >= 0)
			close(udp->sockets[i].fd);
	free(udp->sockets);
	free(udp);
}

static const struct transport_ops udp_ops = {udp_begin,   udp_commit,  udp_abandon, udp_flush,
					     udp_receive, udp_release, udp_wait,    udp_free};

/* Splits "host:port" and looks the address up. */
static int resolve(const char *where, struct addrinfo **ret_addresses, struct err *err)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_DGRAM, .ai_family = AF_UNSPEC};
	const char *colon = strrchr(where, ':');
	char host[256];
	size_t size = colon == NULL ? 0 : (size_t)(colon - where);
	int r;

	if (size == 0 || size >= sizeof(host))
		return err_set(err, -EINVAL, "udp:%s: give udp:HOST:PORT", where);
	if (where[0] == '[' && where[size - 1] == ']') {
		where++;
		size -= 2;
	}
	memcpy(host, where, size);
	host[size] = '\0';
	r = getaddrinfo(host, colon + 1, &hints, ret_addresses);
	return r == 0 ? 0 : err_set(err, -EINVAL, "udp:%s:%s: %s", host, colon + 1, gai_strerror(r));
}

static int connect_one(const struct addrinfo *address, struct err *err)
{
	int size = BUFFER_BYTES;
	int fd = socket(address->ai_family, SOCK_DGRAM | SOCK_CLOEXEC, address->ai_protocol);

	if (fd < 0)
		return err_set(err, -errno, "no UDP socket: %s", strerror(errno));
	/* As much as the host allows; less is only slower. */
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	if (connect(fd, address->ai_addr, address->ai_addrlen) < 0) {
		int r = err_set(err, -errno, "UDP connect: %s", strerror(errno));

		close(fd);
		return r;
	}
	return fd;
}

int udp_new(const char *where, unsigned channels, struct transport **ret_transport, struct err *err)
{
	struct addrinfo *addresses = NULL;
	struct udp *udp;
	int r = resolve(where, &addresses, err);

	if (r < 0)
		return r;
	udp = calloc(1, sizeof(*udp));
	if (udp != NULL)
		udp->sockets = calloc(channels, sizeof(*udp->sockets));
	if (udp == NULL || udp->sockets == NULL) {
		freeaddrinfo(addresses);
		free(udp);
		return err_set(err, -ENOMEM, "no memory for the transport");
	}
	udp->transport.ops = &udp_ops;
	for (; r >= 0 && udp->channels < channels; udp->channels++) {
		r = connect_one(addresses, err);
		udp->sockets[udp->channels] = (struct pollfd){.fd = r, .events = POLLIN};
	}
	freeaddrinfo(addresses);
	if (r < 0) {
		udp_free(&udp->transport);
		return r;
	}
	batch_init(&udp->out);
	batch_init(&udp->in);
	*ret_transport = &udp->transport;
	return 0;
}
