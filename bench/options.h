/* The command line of gantry-load: one row of a table per option, from which parser and help come. Main thread. */
#ifndef GANTRY_BENCH_OPTIONS_H
#define GANTRY_BENCH_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "appliance/base/err.h"
#include "bench/fault.h"
#include "bench/fleet.h"
#include "bench/sender.h"
#include "bench/virtio.h"

enum command {
	COMMAND_RUN,
	COMMAND_CAMERAS,
	COMMAND_BINDINGS,
	COMMAND_LIST,
	COMMAND_SAMPLE,
	COMMAND_PCAP,
	COMMAND_LEDGER,
	COMMANDS
};

struct options {
	enum command command;
	struct fleet_settings fleet;
	struct sender_settings sender;
	struct fault_settings fault;
	struct virtio_settings virtio;
	const char *feeds;     /* file */
	const char *transport; /* "udp:…", "virtio:…", "loop" */
	const char *ledger;
	const char *out;
	const char *pcap;
	const char *day; /* "YYYY-MM-DD" */
	const char *rate;
	const char *file; /* operand of `ledger` */
	uint32_t duration_s;
	uint32_t drain_s;
	uint32_t entries;
	uint32_t patterns;
	uint32_t feed_count; /* of `pcap` and of `bindings` without --feeds */
	uint32_t core;
	uint32_t dual_permille;
	bool pinned;
	bool json;
	bool progress;
};

/* 0; 1 when help was asked for and printed; -EINVAL with err. Strings point into argv. */
int options_parse(int argc, char **argv, struct options *ret_options, struct err *err);

void options_help(FILE *out);

#endif
