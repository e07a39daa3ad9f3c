/*
 * The whole way of a mass list replaced, as an operator goes it: a real gantryd of this build, gantryctl, two versions
 * of the list with every row different. Between gantryctl's start and its answer lie upload, parsing, audit, disk and
 * the swap: once it has answered, every read is matched against the new version. Main thread.
 */
#ifndef GANTRY_BENCH_SUITE_MATCH_SOCKET_H
#define GANTRY_BENCH_SUITE_MATCH_SOCKET_H

#include "appliance/base/err.h"

struct match_world;
struct suite_options;

struct match_socket {
	double replace_ms; /* start of gantryctl → its end, to 20 ms; the middle of three */
	double status_ms;  /* meanwhile another client asks for status: the slowest answer */
};

/* < 0 with err: nothing was measured. */
int match_socket_run(const struct match_world *world, const struct suite_options *options, struct err *err,
		     struct match_socket *ret_socket);

#endif
