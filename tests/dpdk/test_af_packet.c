/*
 * A plain kernel program sends to the appliance: a veth pair, one end af_packet's, the other end in the network
 * namespace of a child with ordinary sockets. The kernel does its part unaware: ARP, neighbour solicitation, partial
 * checksums. Both namespaces have no name and vanish with their processes.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include "appliance/base/clock.h"
#include "dpdk/answer.h"
#include "dpdk/reply.h"
#include "tests/check.h"
#include "tests/dpdk/child.h"
#include "tests/dpdk/fixture.h"
#include "tests/dpdk/wire.h"

#define OUR_INTERFACE "gantryva"
#define PEER_INTERFACE "gantryvb"
#define PATIENCE_NS INT64_C(20000000000)
#define DATAGRAMS 60

static int run(const char *command)
{
	int status = system(command); /* NOLINT: fixed texts of this test */

	return status == 0 ? 0 : -EIO;
}

static void fill(uint8_t *bytes, size_t size)
{
	for (size_t i = 0; i < size; i++)
		bytes[i] = (uint8_t)(size + i * 3);
}

/* Waits a little for one message. */
static ssize_t take(int fd, void *bytes, size_t room)
{
	struct pollfd poll_fd = {.fd = fd, .events = POLLIN};

	return poll(&poll_fd, 1, 200) == 1 ? recv(fd, bytes, room, 0) : -1;
}

/* Sends datagrams of many sizes through an ordinary socket and wants each back as it was, each at most ten times. */
static int send_datagrams(int family, const struct sockaddr *address, socklen_t address_size)
{
	int fd = socket(family, SOCK_DGRAM, 0);

	if (fd < 0 || connect(fd, address, address_size) < 0)
		return 10;
	for (size_t n = 0; n < DATAGRAMS; n++) {
		uint8_t out[1400];
		uint8_t in[2048];
		size_t size = 1 + n * 23;
		unsigned tries = 0;

		fill(out, size);
		do {
			if (tries++ == 10 || send(fd, out, size, 0) != (ssize_t)size)
				return 11;
		} while (take(fd, in, sizeof(in)) != (ssize_t)size || memcmp(in, out, size) != 0);
	}
	(void)close(fd);
	return 0;
}

static uint16_t echo_checksum(const uint8_t *bytes, size_t size)
{
	unsigned long sum = 0;

	for (size_t i = 0; i + 1 < size; i += 2)
		sum += (unsigned long)bytes[i] << 8 | bytes[i + 1];
	while (sum >> 16 != 0)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

static int ping(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	int fd = socket(AF_INET, SOCK_RAW, IPPROTO_ICMP);
	uint8_t out[64] = {8, 0, 0, 0, 0x47, 0x41, 0, 1};
	uint8_t in[2048];
	uint16_t sum;

	if (fd < 0)
		return 20;
	memcpy(&address.sin_addr, wire_us4, 4);
	for (size_t i = 8; i < sizeof(out); i++)
		out[i] = (uint8_t)i;
	sum = echo_checksum(out, sizeof(out));
	out[2] = (uint8_t)(sum >> 8);
	out[3] = (uint8_t)sum;
	for (unsigned tries = 0; tries < 10; tries++) {
		ssize_t size;

		if (sendto(fd, out, sizeof(out), 0, (struct sockaddr *)&address, sizeof(address)) < 0)
			return 21;
		size = take(fd, in, sizeof(in));
		if (size == 20 + (ssize_t)sizeof(out) && in[20] == 0 &&
		    memcmp(in + 24, out + 4, sizeof(out) - 4) == 0) {
			(void)close(fd);
			return 0;
		}
	}
	return 22;
}

/* The child: its own namespace, then on the word "go" an interface that has been moved into it. */
static int role_sender(void)
{
	struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons(WIRE_US_PORT)};
	struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons(WIRE_US_PORT)};
	char word;
	int result;

	if (unshare(CLONE_NEWNET) < 0)
		return 77;
	if (write(STDOUT_FILENO, "r", 1) != 1 || read(STDIN_FILENO, &word, 1) != 1)
		return 1;
	if (run("ip addr add " WIRE_PEER4_TEXT "/24 dev " PEER_INTERFACE) < 0 ||
	    run("ip link set " PEER_INTERFACE " up") < 0)
		return 2;
	/* A kernel without IPv6 still serves for the rest. */
	result = run("ip -6 addr add " WIRE_PEER6_TEXT "/64 dev " PEER_INTERFACE " nodad 2>/dev/null");
	memcpy(&four.sin_addr, wire_us4, 4);
	memcpy(&six.sin6_addr, wire_us6, 16);
	if (result == 0) {
		result = send_datagrams(AF_INET6, (struct sockaddr *)&six, sizeof(six));
		if (result != 0)
			return result + 100;
	}
	result = send_datagrams(AF_INET, (struct sockaddr *)&four, sizeof(four));
	return result != 0 ? result : ping();
}

/* What stands in the way of a veth pair on this machine; NULL: nothing. */
static const char *obstacle(void)
{
	if (geteuid() != 0)
		return "needs root to make network namespaces";
	if (run("ip -V >/dev/null 2>&1") < 0)
		return "needs ip, of iproute2";
	if (unshare(CLONE_NEWNET) < 0)
		return "may not make a network namespace";
	if (run("ip link add " OUR_INTERFACE " type veth peer name " PEER_INTERFACE " 2>/dev/null") < 0)
		return "the kernel makes no veth pair";
	return NULL;
}

static int move_peer(const struct child *child)
{
	char command[128];

	(void)snprintf(command, sizeof(command), "ip link set " PEER_INTERFACE " netns %d", (int)child->pid);
	if (run(command) < 0)
		return -EIO;
	return run("ip link set " OUR_INTERFACE " up");
}

static void kernel_senders_reach_us(void)
{
	struct port_settings settings;
	struct fixture_end end;
	struct frame_counters counters;
	struct child child;
	const char *reason = obstacle();
	int64_t until = clock_mono_ns() + PATIENCE_NS;
	unsigned datagrams = 0;
	unsigned wrong = 0;
	int status = -1;
	char word = 0;

	if (reason != NULL)
		CHECK_SKIP("%s", reason);
	fixture_eal();
	child = child_start("--sender", "", "");
	CHECK_INT(1, read(child.out, &word, 1));
	CHECK_INT(0, move_peer(&child));
	fixture_settings(&settings, "af_packet", OUR_INTERFACE);
	end = fixture_open(&settings);
	CHECK(port_loses_silently(end.port));
	answer_announce(end.queue);
	CHECK_INT(0, reply_flush(end.queue));
	child_say(&child, "g");
	while (!child_ended(&child, &status) && clock_mono_ns() < until) {
		const struct frame_batch *batch = frame_receive(end.queue);

		for (unsigned i = 0; i < batch->count; i++) {
			const struct datagram *datagram = &batch->datagrams[i];
			uint8_t expected[2048];

			fill(expected, datagram->size);
			wrong += memcmp(expected, datagram->payload, datagram->size) != 0;
			(void)reply_send(end.queue, &datagram->path, datagram->payload, datagram->size);
		}
		datagrams += batch->count;
		if (batch->frame_count == 0)
			(void)usleep(100);
		frame_release(end.queue);
		(void)reply_flush(end.queue);
	}
	child_kill(&child);
	counters = fixture_counters(end.queue);
	CHECK_INT(0, status);
	CHECK_INT(0, wrong);
	CHECK(datagrams >= DATAGRAMS);
	CHECK(counters.arp_answered >= 1);
	CHECK_INT(1, counters.echo_answered);
	CHECK_INT(0, counters.udp_checksum); /* partial as they are */
	if (access("/proc/net/if_inet6", F_OK) == 0) {
		CHECK(datagrams >= 2 * DATAGRAMS);
		CHECK(counters.nd_answered >= 1);
	}
	fixture_close(&end);
}

int main(int argc, char **argv)
{
	static const struct check_test tests[] = {{"kernel senders reach us over a veth pair", kernel_senders_reach_us},
						  {NULL, NULL}};
	int result;

	if (argc > 1 && strcmp(argv[1], "--sender") == 0)
		return role_sender();
	result = check_main(argc, argv, "dpdk/af_packet", tests);
	fixture_eal_stop();
	return result;
}
