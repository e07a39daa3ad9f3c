/*
 * Compiling a pattern database in a process of its own: Hyperscan's compiler can be neither stopped nor held to an
 * amount of memory, and may fail in C++ (docs/architecture.md). The program gantry-compile gets the patterns through a
 * socket on its standard input, limits itself (memory, CPU time, priority), and answers there with an image
 * (matcher/hsdb.h) or a reason. Whatever it does, it harms nobody but itself.
 *
 * Blocks until the process has ended, so: a control thread that may wait for seconds. Any number at once.
 */
#ifndef GANTRY_MATCHER_HSCOMPILE_H
#define GANTRY_MATCHER_HSCOMPILE_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "matcher/hsdb.h"

#define HSCOMPILE_PATH_SIZE 4096
#define HSCOMPILE_MEMORY_DEFAULT (UINT64_C(4) << 30)
#define HSCOMPILE_CPU_S_DEFAULT 600
#define HSCOMPILE_TIMEOUT_S_DEFAULT 1200 /* of wall time: at its priority it may get little of a busy core */

/* Zero in a number is its default. */
struct hscompile {
	const char *program;
	uint64_t memory_max; /* of address space, bytes; not under AddressSanitizer, which takes terabytes */
	uint32_t cpu_s;
	uint32_t timeout_ms;
	const atomic_bool *cancelled; /* looked at ten times a second; NULL: never */
};

/* gantry-compile beside the running program, or where the build leaves it. -ENOENT. */
int hscompile_find(char ret_path[HSCOMPILE_PATH_SIZE]);

/*
 * 0: the image, which the caller wipes and frees. -ENOMEM: out of memory there or here; -ETIMEDOUT: took too long, and
 * was killed; -ECANCELED, the same; -ECHILD: died of a signal; -EBADMSG: answered with something else; -EINVAL as
 * hsdb_compile, with ret_bad; -ENOTSUP; others: it could not be started. err says so in words. No process is left
 * behind.
 */
int hscompile_run(const struct hscompile *compile, const struct hsdb_pattern *patterns, uint32_t count, struct err *err,
		  uint32_t *ret_bad, void **ret_bytes, size_t *ret_size);

#endif
