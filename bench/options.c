#include "bench/options.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "bench/option_table.h"

#define AT(field) offsetof(struct options, field)
#define ANY UINT64_MAX

static const struct option_row rows[] = {
	{"feeds", "FILE", OPTION_STRING, AT(feeds), 0, 0,
	 "one feed a line: feed_id key_hex [camera_first camera_last]"},
	{"transport", "WHERE", OPTION_STRING, AT(transport), 0, 0,
	 "udp:HOST:PORT, virtio:SOCKET_PATH, or loop: a receiver in memory"},
	{"rate", "R|max", OPTION_STRING, AT(rate), 0, 0, "reads a second over all feeds (max)"},
	{"curve", NULL, OPTION_FLAG, AT(sender.curve), 0, 0, "the rate follows the hour of the day (UTC)"},
	{"duration", "S", OPTION_U32, AT(duration_s), 1, 31536000,
	 "seconds in which reads are made (10, without --reads)"},
	{"reads", "N", OPTION_U64, AT(sender.reads_max), 1, ANY, "make this many reads"},
	{"day", "YYYY-MM-DD", OPTION_STRING, AT(day), 0, 0,
	 "spread --reads over that day (UTC) by the hour; a later run needs another day or seed"},
	{"drain", "S", OPTION_U32, AT(drain_s), 0, 86400, "seconds to wait for the last ACK (30)"},
	{"seed", "N", OPTION_U64, AT(fleet.seed), 0, ANY, "of fleet and faults (1)"},
	{"cameras", "N", OPTION_U32, AT(fleet.cameras), 1, CAMERAS_MAX, "cameras of the fleet (18000), ids from 1"},
	{"vehicles", "N", OPTION_U32, AT(fleet.vehicles), 1, POPULATION_MAX, "vehicles that pass them (2000000)"},
	{"foreign", "PERCENT", OPTION_PERCENT, AT(fleet.foreign_permille), 0, 1000, "of the vehicles (3)"},
	{"misread", "PERCENT", OPTION_PERCENT, AT(fleet.misread_permille), 0, 1000, "of the plates read (3)"},
	{"not-read", "PERCENT", OPTION_PERCENT, AT(fleet.not_read_permille), 0, 1000,
	 "above each camera's own share (0)"},
	{"late", "PERCENT", OPTION_PERCENT, AT(fleet.late_permille), 0, 1000,
	 "captured 10 minutes to 45 hours ago, sent as live (0.3)"},
	{"backlog", "PERCENT", OPTION_PERCENT, AT(fleet.backlog_permille), 0, 1000,
	 "20 minutes to 12 hours old, backlog lane (2)"},
	{"tests", "PERCENT", OPTION_PERCENT, AT(fleet.test_permille), 0, 1000, "connectivity tests (0)"},
	{"punctual", NULL, OPTION_FLAG, AT(fleet.punctual), 0, 0, "no late reads, no backlog: every capture is now"},
	{"journeys", NULL, OPTION_FLAG, AT(fleet.journeys), 0, 0,
	 "vehicles drive: a plate is never at two places at once"},
	{"clones", "N", OPTION_U32, AT(fleet.clones), 0, POPULATION_MAX / 4,
	 "vehicles that bear another's plate, 100 km or more away from it; with --journeys (0)"},
	{"dual", "PERCENT", OPTION_PERCENT, AT(dual_permille), 0, 1000,
	 "of a feed's cameras also speak through the next feed, unless the feeds file gives ranges (0)"},
	{"spool", "DIR", OPTION_STRING, AT(sender.spool_path), 0, 0,
	 "keep what is not acknowledged here, over restarts (in memory)"},
	{"spool-reads", "N", OPTION_U32, AT(sender.spool_reads), 4096, 1 << 26, "room of each lane's spool (262144)"},
	{"window", "N", OPTION_U32, AT(sender.window_max), 64, 1 << 20, "datagrams in flight per feed and lane (8192)"},
	{"ledger", "FILE", OPTION_STRING, AT(ledger), 0, 0, "append every acknowledged read to this file"},
	{"drop", "PERCENT", OPTION_PERCENT, AT(fault.drop_permille), 0, 900, "of datagrams, both ways"},
	{"duplicate", "PERCENT", OPTION_PERCENT, AT(fault.duplicate_permille), 0, 1000, "of datagrams sent"},
	{"reorder", "PERCENT", OPTION_PERCENT, AT(fault.reorder_permille), 0, 1000, "of datagrams sent"},
	{"corrupt", "PERCENT", OPTION_PERCENT, AT(fault.corrupt_permille), 0, 900,
	 "of datagrams sent: one bit flipped"},
	{"pcap", "FILE", OPTION_STRING, AT(pcap), 0, 0, "record the run's datagrams"},
	{"json", NULL, OPTION_FLAG, AT(json), 0, 0, "the result as one JSON object on standard output"},
	{"progress", NULL, OPTION_FLAG, AT(progress), 0, 0,
	 "a line each second on standard error (on a terminal anyway)"},
	{"core", "N", OPTION_U32, AT(core), 0, 1023, "run on this CPU only"},
	{"own", "ADDRESS", OPTION_STRING, AT(virtio.own), 0, 0, "virtio: our address (10.77.0.2)"},
	{"own-port", "N", OPTION_U32, AT(virtio.own_port), 1, 65535, "virtio: UDP port of the first feed (40000)"},
	{"peer", "ADDRESS", OPTION_STRING, AT(virtio.peer), 0, 0, "virtio: the appliance's address (10.77.0.1)"},
	{"queues", "N", OPTION_U32, AT(virtio.queues), 1, 16,
	 "virtio: queues, one for each worker of the appliance (1)"},
	{"peer-port", "N", OPTION_U32, AT(virtio.peer_port), 1, 65535, "virtio: its UDP port (4717)"},
	{"peer-mac", "MAC", OPTION_STRING, AT(virtio.peer_mac), 0, 0, "virtio: its MAC (asked for by ARP)"},
	{"wait", "S", OPTION_U32, AT(virtio.wait_s), 0, 86400, "virtio: seconds to wait for socket and MAC (30)"},
	{"memory", "MIB", OPTION_U32, AT(virtio.memory_mib), 64, 65536, "virtio: memory of DPDK (256)"},
	{"huge", NULL, OPTION_FLAG, AT(virtio.hugepages), 0, 0,
	 "virtio: take hugepages when there are any (--no-huge is the default)"},
	{"no-huge", NULL, OPTION_FLAG_OFF, AT(virtio.hugepages), 0, 0, "virtio: no hugepages"},
	{"eal-log", NULL, OPTION_FLAG, AT(virtio.verbose), 0, 0, "virtio: show what DPDK says"},
	{"entries", "N", OPTION_U32, AT(entries), 0, POPULATION_MAX, "list: exact VRMs (1000)"},
	{"patterns", "N", OPTION_U32, AT(patterns), 0, 1000000, "list: partial VRMs with ? and * (100)"},
	{"feed-count", "N", OPTION_U32, AT(feed_count), 1, FLEET_FEEDS_MAX, "pcap, bindings: how many feeds (1)"},
	{"out", "FILE", OPTION_STRING, AT(out), 0, 0, "pcap: file to write"},
};

static const struct option_table table = {"gantry-load", rows, sizeof(rows) / sizeof(rows[0])};

static const struct {
	const char *name;
	const char *help;
} commands[COMMANDS] = {
	[COMMAND_RUN] = {"run", "send a fleet's reads: --feeds FILE --transport WHERE"},
	[COMMAND_CAMERAS] = {"cameras", "print the fleet's cameras as CSV for `gantryctl cameras load`"},
	[COMMAND_BINDINGS] = {"bindings", "print which cameras each feed speaks for: feed, first, last"},
	[COMMAND_LIST] = {"list", "print a VOI list as CSV: vrm,reason,action"},
	[COMMAND_SAMPLE] = {"sample", "print a vehicle often seen and a partial VRM that finds it"},
	[COMMAND_PCAP] = {"pcap", "write a conversation of fleet and receiver: --out FILE [--reads N]"},
	[COMMAND_LEDGER] = {"ledger", "print a ledger as tab-separated lines: ledger FILE"},
};

void options_help(FILE *out)
{
	fputs("gantry-load: a synthetic camera fleet\n\nusage: gantry-load COMMAND [options]\n\n", out);
	for (unsigned i = 0; i < COMMANDS; i++)
		fprintf(out, "  %-10s %s\n", commands[i].name, commands[i].help);
	fputs("\noptions (defaults in brackets):\n", out);
	option_table_help(&table, out);
	fputs("\nledger lines: feed, epoch, lane, sequence, fate, capture_us, camera, text, lat_e7, lon_e7, kind,\n"
	      "confidence, road lane, direction, flags, country, images.\n"
	      "exit status of run: 0 all acknowledged; 1 an ACK broke the rules, or an error; 2 usage; 3 not all\n"
	      "acknowledged.\n",
	      out);
}

static int parse_rate(struct options *options, struct err *err)
{
	char *end;

	if (options->rate == NULL || strcmp(options->rate, "max") == 0)
		return 0;
	options->sender.reads_per_s = strtod(options->rate, &end);
	if (end == options->rate || *end != '\0' || !(options->sender.reads_per_s > 0))
		return err_set(err, -EINVAL, "--rate %s: must be reads a second, or max", options->rate);
	return 0;
}

static int check(const struct options *options, struct err *err)
{
	if (options->command == COMMAND_RUN && options->feeds == NULL)
		return err_set(
			err, -EINVAL,
			"run needs --feeds FILE: one feed a line, feed_id key_hex, as gantryctl feeds add prints");
	if (options->command == COMMAND_RUN && options->transport == NULL)
		return err_set(err, -EINVAL, "run needs --transport udp:HOST:PORT, virtio:SOCKET_PATH or loop");
	if (options->command == COMMAND_RUN && strcmp(options->transport, "loop") == 0 &&
	    options->sender.spool_path != NULL)
		return err_set(err, -EINVAL,
			       "--spool with --transport loop: that receiver forgets when it ends, a spool does not");
	if (options->command == COMMAND_LEDGER && options->file == NULL)
		return err_set(err, -EINVAL, "ledger needs a file: gantry-load ledger FILE");
	if (options->command == COMMAND_PCAP && options->out == NULL)
		return err_set(err, -EINVAL, "pcap needs --out FILE");
	if (options->day != NULL && options->sender.reads_max == 0)
		return err_set(err, -EINVAL, "--day needs --reads: how many to spread over the day");
	if (options->fleet.late_permille + options->fleet.backlog_permille > 1000)
		return err_set(err, -EINVAL, "--late and --backlog are more than 100 percent together");
	return 0;
}

static int command_find(const char *name, struct options *options, struct err *err)
{
	for (unsigned i = 0; i < COMMANDS; i++) {
		if (strcmp(commands[i].name, name) == 0) {
			options->command = (enum command)i;
			return 0;
		}
	}
	return err_set(err, -EINVAL, "unknown command %s: see gantry-load --help", name);
}

int options_parse(int argc, char **argv, struct options *ret_options, struct err *err)
{
	struct options options = {.drain_s = 30, .entries = 1000, .patterns = 100, .feed_count = 1, .core = UINT32_MAX};
	int r;

	fleet_settings_init(&options.fleet);
	sender_settings_init(&options.sender);
	virtio_settings_init(&options.virtio);
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
			options_help(stdout);
			return 1;
		}
	}
	if (argc < 2)
		return err_set(err, -EINVAL, "no command given: see gantry-load --help");
	r = command_find(argv[1], &options, err);
	for (int i = 2; r == 0 && i < argc; i++) {
		if (strncmp(argv[i], "--", 2) == 0)
			r = option_table_parse(&table, argc, argv, &i, &options, err);
		else if (options.command == COMMAND_LEDGER && options.file == NULL)
			options.file = argv[i];
		else
			r = err_set(err, -EINVAL, "%s: not expected here: see gantry-load --help", argv[i]);
	}
	if (r == 0)
		r = parse_rate(&options, err);
	if (r == 0)
		r = check(&options, err);
	if (r < 0)
		return r;
	options.pinned = options.core != UINT32_MAX;
	if (options.pinned)
		options.virtio.core = (int)options.core;
	options.fault.seed = options.fleet.seed ^ UINT64_C(0x6661756c74);
	if (options.duration_s == 0 && options.sender.reads_max == 0)
		options.duration_s = 10;
	*ret_options = options;
	return 0;
}
