/*
 * gantry-compile: started by gantryd (matcher/hscompile.h), never by hand. Reads one order from the socket on its
 * standard input, answers there, ends. It holds VRMs in clear: it leaves no core file and nobody may trace it.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "appliance/base/err.h"
#include "matcher/hscompile_wire.h"
#include "matcher/hsdb.h"

#define PRIORITY_LOWEST 19
#define LINK STDIN_FILENO

enum exit_status { EXIT_USAGE = 2 };

static int read_all(void *bytes, size_t size)
{
	for (size_t done = 0; done < size;) {
		ssize_t got = recv(LINK, (char *)bytes + done, size - done, 0);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return got < 0 ? -errno : -EPIPE;
		done += (size_t)got;
	}
	return 0;
}

static int write_all(const void *bytes, size_t size)
{
	for (size_t done = 0; done < size;) {
		ssize_t put = send(LINK, (const char *)bytes + done, size - done, MSG_NOSIGNAL);

		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0)
			return -errno;
		done += (size_t)put;
	}
	return 0;
}

static void limit(int which, uint64_t value)
{
	/* Of CPU time the soft limit is a signal that has a name for the parent, the hard one behind it is final. */
	const struct rlimit limits = {value, which == RLIMIT_CPU ? value + 1 : value};

	(void)setrlimit(which, &limits);
}

static void limit_self(const struct compile_order *order)
{
	(void)setpriority(PRIO_PROCESS, 0, PRIORITY_LOWEST);
	limit(RLIMIT_CPU, order->cpu_s);
#ifndef __SANITIZE_ADDRESS__
	limit(RLIMIT_AS, order->memory_max);
#endif
}

static int answer(int status, uint32_t bad, const struct err *err, const void *image, size_t size)
{
	struct compile_answer reply = {.magic = COMPILE_MAGIC, .status = status, .bad = bad, .size = size};
	int result;

	(void)snprintf(reply.text, sizeof(reply.text), "%s", err->text);
	result = write_all(&reply, sizeof(reply));
	return result < 0 ? result : write_all(image, size);
}

static int compile(const struct compile_order *order, const struct hsdb_pattern *patterns)
{
	struct err err = {""};
	struct hsdb *db = NULL;
	void *image = NULL;
	size_t size = 0;
	uint32_t bad = order->count;
	int status = hsdb_compile(patterns, order->count, &err, &bad, &db);

	if (status == 0 && (status = hsdb_image(db, &image, &size)) < 0)
		(void)err_set(&err, status, "no memory for the image of a pattern database");
	return answer(status, bad, &err, image, size);
}

int main(int argc, char **argv)
{
	struct compile_order order;
	struct hsdb_pattern *patterns;
	struct err err = {""};

	(void)argv;
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)prctl(PR_SET_DUMPABLE, 0);
	limit(RLIMIT_CORE, 0);
	if (argc != 1 || read_all(&order, sizeof(order)) < 0 || order.magic != COMPILE_MAGIC || order.count == 0 ||
	    order.count > COMPILE_PATTERNS_MAX) {
		fputs("gantry-compile: gantryd starts this program, with its orders in a socket on standard input\n",
		      stderr);
		return EXIT_USAGE;
	}
	limit_self(&order);
	patterns = calloc(order.count, sizeof(*patterns));
	if (patterns == NULL) {
		(void)err_set(&err, -ENOMEM, "no memory for %u patterns", order.count);
		return answer(-ENOMEM, order.count, &err, NULL, 0) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
	}
	if (read_all(patterns, order.count * sizeof(*patterns)) < 0 || compile(&order, patterns) < 0)
		return EXIT_FAILURE;
	return EXIT_SUCCESS;
}
