/*
 * Counters on DPDK's telemetry socket as "/gantry/…", for Debian's dpdk-telemetry.py and whatever reads the same.
 *
 * Registered once by the control thread, after eal_start or before. Fillers run in DPDK's socket threads, several at
 * once perhaps: they only read counters that workers publish. There is no unregistering: context lives as long as the
 * process, or until eal_stop.
 */
#ifndef GANTRY_DPDK_TELEMETRY_H
#define GANTRY_DPDK_TELEMETRY_H

#include <stddef.h>
#include <stdint.h>

#include "appliance/base/err.h"

#define TELEMETRY_COMMANDS_MAX 32
#define TELEMETRY_PATH_MAX 55 /* DPDK's limits */
#define TELEMETRY_HELP_MAX 127
#define TELEMETRY_PAIRS_MAX 255 /* one is left for "omitted" */
#define TELEMETRY_ANSWER_MAX (14 * 1024)

struct telemetry_sheet;

struct telemetry_command {
	const char *path; /* "/gantry/…", letters, digits, _ and / */
	const char *help;
	void (*fill)(void *context, struct telemetry_sheet *sheet);
	void *context;
};

/* From a filler. What does not fit DPDK's limits is left out and counted in a last pair, "omitted". */
void telemetry_add(struct telemetry_sheet *sheet, const char *name, uint64_t value);

/* -EINVAL for a path or help DPDK would refuse, -ENOSPC for too many, -EEXIST for a path taken; the ones before it in
 * the table stay registered. Path, help and context are kept by reference. */
int telemetry_register(const struct telemetry_command *commands, size_t count, struct err *err);

#endif
