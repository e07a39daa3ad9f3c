/*
 * One child, one socket pair, one poll loop with a deadline. The child is killed by its id, which cannot be another's:
 * it is not waited for before.
 */
#include "matcher/hscompile.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "appliance/base/bytes.h"
#include "appliance/base/clock.h"
#include "appliance/base/err.h"
#include "matcher/hscompile_wire.h"

#define NS_PER_MS INT64_C(1000000)
#define GRACE_MS 1000
#define LOOK_MS 100

struct child {
	pid_t pid;
	int link;
	int64_t deadline_ns;
	const atomic_bool *cancelled;
};

int hscompile_find(char ret_path[HSCOMPILE_PATH_SIZE])
{
	static const char *const places[] = {"gantry-compile", "../matcher/gantry-compile",
					     "../../matcher/gantry-compile"};
	char self[HSCOMPILE_PATH_SIZE / 2], path[HSCOMPILE_PATH_SIZE];
	ssize_t size = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *slash;

	if (size < 0)
		return -ENOENT;
	self[size] = '\0';
	slash = strrchr(self, '/');
	if (slash == NULL)
		return -ENOENT;
	*slash = '\0';
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", self, places[i]);
		if (access(path, X_OK) == 0) {
			strcpy(ret_path, path);
			return 0;
		}
	}
	return -ENOENT;
}

/* Nothing of ours but the socket goes with it: no file, no blocked signal, no handler. */
static int attributes_init(posix_spawnattr_t *attributes)
{
	sigset_t none, all;
	int result = posix_spawnattr_init(attributes);

	(void)sigemptyset(&none);
	(void)sigfillset(&all);
	if (result == 0)
		result = posix_spawnattr_setsigmask(attributes, &none);
	if (result == 0)
		result = posix_spawnattr_setsigdefault(attributes, &all);
	if (result == 0)
		result = posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	return result;
}

static int spawn(const char *program, int link, pid_t *ret_pid)
{
	char *const arguments[] = {(char *)"gantry-compile", NULL};
	char *const environment[] = {NULL};
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	int result = posix_spawn_file_actions_init(&actions);

	if (result != 0)
		return -result;
	result = posix_spawn_file_actions_adddup2(&actions, link, STDIN_FILENO);
	if (result == 0)
		result = posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
	if (result == 0)
		result = posix_spawn_file_actions_adddup2(&actions, STDOUT_FILENO, STDERR_FILENO);
	if (result == 0)
		result = posix_spawn_file_actions_addclosefrom_np(&actions, STDERR_FILENO + 1);
	if (result == 0 && (result = attributes_init(&attributes)) == 0) {
		result = posix_spawn(ret_pid, program, &actions, &attributes, arguments, environment);
		(void)posix_spawnattr_destroy(&attributes);
	}
	(void)posix_spawn_file_actions_destroy(&actions);
	return -result;
}

static int child_start(struct child *child, const struct hscompile *compile, struct err *err)
{
	uint32_t timeout_ms = compile->timeout_ms > 0 ? compile->timeout_ms : HSCOMPILE_TIMEOUT_S_DEFAULT * 1000u;
	int ends[2];
	int result;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
		return err_set(err, -errno, "a socket for %s: %s", compile->program, strerror(errno));
	result = spawn(compile->program, ends[1], &child->pid);
	(void)close(ends[1]);
	if (result < 0) {
		(void)close(ends[0]);
		return err_set(err, result, "%s cannot be started: %s", compile->program, strerror(-result));
	}
	child->link = ends[0];
	child->cancelled = compile->cancelled;
	child->deadline_ns = clock_mono_ns() + timeout_ms * NS_PER_MS;
	return 0;
}

/* Waits until the socket is ready. -ETIMEDOUT, -ECANCELED. */
static int child_wait(const struct child *child, short events)
{
	for (;;) {
		int64_t left_ns = child->deadline_ns - clock_mono_ns();
		struct pollfd ready = {.fd = child->link, .events = events};
		int result;

		if (left_ns <= 0)
			return -ETIMEDOUT;
		if (child->cancelled != NULL && atomic_load(child->cancelled))
			return -ECANCELED;
		result = poll(&ready, 1, left_ns < LOOK_MS * NS_PER_MS ? (int)(left_ns / NS_PER_MS + 1) : LOOK_MS);
		if (result > 0)
			return 0;
		if (result < 0 && errno != EINTR)
			return -EPIPE;
	}
}

static bool again(void)
{
	return errno == EAGAIN || errno == EINTR;
}

/* -EPIPE: the child is gone; why, its end tells. */
static int child_send(const struct child *child, const void *bytes, size_t size)
{
	int result = 0;

	for (size_t done = 0; done < size && result == 0;) {
		ssize_t put;

		result = child_wait(child, POLLOUT);
		if (result < 0)
			return result;
		put = send(child->link, (const char *)bytes + done, size - done, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (put >= 0)
			done += (size_t)put;
		else if (!again())
			result = -EPIPE;
	}
	return result;
}

static int child_receive(const struct child *child, void *bytes, size_t size)
{
	for (size_t done = 0; done < size;) {
		int result = child_wait(child, POLLIN);
		ssize_t got;

		if (result < 0)
			return result;
		got = recv(child->link, (char *)bytes + done, size - done, MSG_DONTWAIT);
		if (got == 0)
			return -EPIPE;
		if (got > 0)
			done += (size_t)got;
		else if (!again())
			return -EPIPE;
	}
	return 0;
}

/*
 * Its exit status as waitpid has it. Whatever went before, it is gone afterwards: one that hangs with its link closed
 * gets a moment to end by itself, for how it ends is a reason to tell, and is killed then.
 */
static int child_end(struct child *child, bool kill_it)
{
	const struct timespec pause = {.tv_nsec = 2 * NS_PER_MS};
	int64_t until_ns = clock_mono_ns() + GRACE_MS * NS_PER_MS;
	int status = 0;

	(void)close(child->link);
	while (!kill_it && waitpid(child->pid, &status, WNOHANG) == 0) {
		(void)nanosleep(&pause, NULL);
		kill_it = clock_mono_ns() > until_ns;
	}
	if (kill_it) {
		(void)kill(child->pid, SIGKILL);
		while (waitpid(child->pid, &status, 0) < 0 && errno == EINTR)
			continue;
	}
	return status;
}

static int child_order(const struct child *child, const struct hscompile *compile, const struct hsdb_pattern *patterns,
		       uint32_t count)
{
	const struct compile_order order = {
		.magic = COMPILE_MAGIC,
		.count = count,
		.memory_max = compile->memory_max > 0 ? compile->memory_max : HSCOMPILE_MEMORY_DEFAULT,
		.cpu_s = compile->cpu_s > 0 ? compile->cpu_s : HSCOMPILE_CPU_S_DEFAULT,
	};
	int result = child_send(child, &order, sizeof(order));

	return result < 0 ? result : child_send(child, patterns, (size_t)count * sizeof(*patterns));
}

/* -EINVAL, -ENOMEM, -ENOTSUP are the child's own words; anything else it says is not believed. */
static int answer_check(const struct compile_answer *answer, uint32_t count, struct err *err, uint32_t *ret_bad)
{
	bool known = answer->status == -EINVAL || answer->status == -ENOMEM || answer->status == -ENOTSUP;

	if (answer->magic != COMPILE_MAGIC || answer->text[sizeof(answer->text) - 1] != '\0' || answer->bad > count ||
	    (answer->status != 0 && !known) || (answer->status == 0) != (answer->size > 0) ||
	    answer->size > COMPILE_IMAGE_SIZE_MAX)
		return err_set(err, -EBADMSG, "the compiling process answered with something else");
	if (answer->status < 0)
		*ret_bad = answer->bad;
	return answer->status < 0 ? err_set(err, answer->status, "%s", answer->text) : 0;
}

static int child_answer(const struct child *child, uint32_t count, struct err *err, uint32_t *ret_bad, void **ret_bytes,
			size_t *ret_size)
{
	struct compile_answer answer;
	void *bytes;
	int result = child_receive(child, &answer, sizeof(answer));

	if (result < 0)
		return result;
	if ((result = answer_check(&answer, count, err, ret_bad)) < 0)
		return result;
	bytes = malloc(answer.size);
	if (bytes == NULL)
		return err_set(err, -ENOMEM, "no memory for the image of a pattern database");
	result = child_receive(child, bytes, answer.size);
	if (result < 0) {
		bytes_wipe(bytes, answer.size);
		free(bytes);
		return result;
	}
	*ret_bytes = bytes;
	*ret_size = answer.size;
	return 0;
}

/* A link that broke says nothing; how the child ended does. */
static int explain(const struct hscompile *compile, int result, int status, struct err *err)
{
	if (result == -ETIMEDOUT)
		return err_set(err, result, "compiling the patterns took too long and was stopped");
	if (result == -ECANCELED)
		return err_set(err, result, "compiling the patterns was called off");
	if (result != -EPIPE)
		return result;
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGXCPU)
		return err_set(err, -ETIMEDOUT, "compiling the patterns took more than its CPU time and was stopped");
	if (WIFSIGNALED(status))
		return err_set(err, -ECHILD, "the process that compiles the patterns died of signal %d",
			       WTERMSIG(status));
	return err_set(err, -EBADMSG, "%s ended with status %d and without an answer", compile->program,
		       WEXITSTATUS(status));
}

int hscompile_run(const struct hscompile *compile, const struct hsdb_pattern *patterns, uint32_t count, struct err *err,
		  uint32_t *ret_bad, void **ret_bytes, size_t *ret_size)
{
	struct child child;
	int result, status;

	*ret_bad = count;
	if (count == 0 || count > COMPILE_PATTERNS_MAX)
		return err_set(err, -EINVAL, "%u patterns cannot be compiled", count);
	if ((result = child_start(&child, compile, err)) < 0)
		return result;
	result = child_order(&child, compile, patterns, count);
	/* An answer may have come before all was sent: a refusal. */
	if (result == 0 || result == -EPIPE)
		result = child_answer(&child, count, err, ret_bad, ret_bytes, ret_size);
	status = child_end(&child, result != 0 && result != -EPIPE);
	return result < 0 ? explain(compile, result, status, err) : 0;
}
