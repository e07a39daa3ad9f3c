#include "tests/dpdk/child.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/check.h"

struct child child_start(const char *role, const char *argument1, const char *argument2)
{
	int out[2];
	int in[2];
	struct child child;

	CHECK_INT(0, pipe(out));
	CHECK_INT(0, pipe(in));
	child.pid = fork();
	CHECK(child.pid >= 0);
	if (child.pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		(void)dup2(in[0], STDIN_FILENO);
		(void)dup2(out[1], STDOUT_FILENO);
		for (int fd = STDERR_FILENO + 1; fd < 1024; fd++)
			(void)close(fd);
		execl("/proc/self/exe", "test", role, argument1, argument2, (char *)NULL);
		_exit(127);
	}
	(void)close(out[1]);
	(void)close(in[0]);
	child.out = out[0];
	child.in = in[1];
	return child;
}

void child_say(const struct child *child, const char *text)
{
	CHECK_INT(strlen(text), write(child->in, text, strlen(text)));
}

static void child_close(struct child *child)
{
	(void)close(child->out);
	(void)close(child->in);
	child->pid = 0;
}

bool child_ended(struct child *child, int *ret_status)
{
	int status;

	if (waitpid(child->pid, &status, WNOHANG) != child->pid)
		return false;
	*ret_status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	child_close(child);
	return true;
}

void child_kill(struct child *child)
{
	if (child->pid == 0)
		return;
	(void)kill(child->pid, SIGKILL);
	(void)waitpid(child->pid, NULL, 0);
	child_close(child);
}
