/*
 * A worker in miniature: takes the fleet's reads as they come from the network, gives them their lanes' sequences and
 * appends them to one journal of a store. Its thread is that journal's worker.
 */
#ifndef GANTRY_BENCH_SUITE_APPEND_H
#define GANTRY_BENCH_SUITE_APPEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "appliance/base/err.h"
#include "appliance/base/read.h"

struct journal_commit;
struct lane_window;
struct store;
struct store_options;
struct suite_fleet;

struct suite_appender {
	struct store *store;
	struct lane_window **windows; /* feed × lane */
	uint64_t *next;               /* sequence, likewise */
	unsigned feeds;
	uint64_t appended;
	uint64_t pushed_back; /* times that the journal had no room */
};

/* Options as the appliance has them by default, for one worker; the paths are the caller's. */
void suite_append_options(struct store_options *ret_options, size_t memtable_bytes);
/* A quarter of the machine's memory, 2 GiB at most, as the appliance takes; mib > 0: that much. */
size_t suite_append_memtable(uint32_t mib);

/* A durable hook for journals whose reader is nobody. */
void suite_append_durable(void *context, const struct journal_commit *commit);

int suite_appender_init(struct suite_appender *appender, struct store *store, const struct suite_fleet *fleet,
			struct err *err);
void suite_appender_fini(struct suite_appender *appender);

/* Appends from the front as many as the journal takes now; returns how many. Polls the journal. */
size_t suite_appender_give(struct suite_appender *appender, const struct read *reads, size_t count);

/* True when everything appended is durable. Polls the journal. */
bool suite_appender_settled(struct suite_appender *appender);

#endif
