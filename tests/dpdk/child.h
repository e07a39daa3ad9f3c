/* A second process of a test: the test's own program, started anew with a role instead of tests. */
#ifndef GANTRY_TESTS_DPDK_CHILD_H
#define GANTRY_TESTS_DPDK_CHILD_H

#include <stdbool.h>
#include <sys/types.h>

struct child {
	pid_t pid; /* 0: none */
	int out;   /* read end: what it prints */
	int in;    /* write end */
};

/* Its standard error stays the test's. It is killed should the test die first. */
struct child child_start(const char *role, const char *argument1, const char *argument2);
void child_say(const struct child *child, const char *text);
/* Has it ended? Then its exit status (or 128 + signal), and the struct is empty. */
bool child_ended(struct child *child, int *ret_status);
/* SIGKILL, and no trace is left. Nothing when there is none. */
void child_kill(struct child *child);

#endif
