/* Plain kernel sockets over the loopback interface, IPv4 and IPv6. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "bench/fault.h"
#include "bench/loop.h"
#include "bench/transport.h"
#include "bench/udp.h"
#include "tests/bench/drive.h"
#include "tests/bench/udp_server.h"
#include "tests/check.h"

#define FEEDS 2
#define READS 30000

static void run_over(int family, const struct fault_settings *faults)
{
	const struct loop_settings settings = {.credit = 20000};
	struct transport *transport = NULL;
	struct sender_totals totals;
	static struct feeds feeds;
	uint16_t port = 0;
	pid_t child;
	char where[64];

	drive_feeds(FEEDS, &feeds);
	child = udp_server_start(family, &feeds, &settings, &port);
	if (child == 0)
		CHECK_SKIP("no loopback of address family %d here", family);
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
