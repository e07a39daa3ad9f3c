#include "appliance/config.h"

#include <errno.h>
#include <ini.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const poll_choices[] = {"adaptive", "busy", NULL};
static const char *const clock_choices[] = {"synchronised", "always", NULL};
static const char *const level_choices[] = {"error", "warning", "info", "debug", NULL};

#define TEXT(section, name, field, initial, text)                                                                      \
	{                                                                                                              \
		section, name, SETTING_TEXT, "", initial, 0, CONFIG_TEXT_SIZE - 1, NULL,                               \
			offsetof(struct config, field), text                                                           \
	}
#define INTEGER(section, name, field, unit, initial, minimum, maximum, text)                                           \
	{                                                                                                              \
		section, name, SETTING_INTEGER, unit, initial, minimum, maximum, NULL, offsetof(struct config, field), \
			text                                                                                           \
	}
#define OCTAL(section, name, field, initial, maximum, text)                                                            \
	{                                                                                                              \
		section, name, SETTING_OCTAL, "octal", initial, 0, maximum, NULL, offsetof(struct config, field), text \
	}
#define SWITCH(section, name, field, initial, text)                                                                    \
	{                                                                                                              \
		section, name, SETTING_SWITCH, "", initial, 0, 1, NULL, offsetof(struct config, field), text           \
	}
#define CHOICE(section, name, field, initial, choices, text)                                                           \
	{                                                                                                              \
		section, name, SETTING_CHOICE, "", initial, 0, 0, choices, offsetof(struct config, field), text        \
	}

const struct setting config_settings[] = {
	TEXT("appliance", "node", node, "gantry", "Name of this appliance in hello, status, welcome and audit log."),
	TEXT("appliance", "data_directory", data_directory, "gantry/data",
	     "Where reads, catalog, register and audit log live. Made when it is missing."),
	TEXT("appliance", "master_key", master_key, "gantry/master.key",
	     "File with the master key (64 hex digits, mode 0600), outside data_directory. Made together with a new "
	     "data directory, never for an old one."),
	TEXT("appliance", "keyring_copy", keyring_copy, "",
	     "Directory of the keyring's second copy, best on another disk. Empty: inside data_directory."),
	TEXT("appliance", "run_directory", run_directory, "gantry/run", "Sockets and the process id."),
	CHOICE("appliance", "log_level", log_level, "info", level_choices, "Least important line that is logged."),
	INTEGER("appliance", "workers", workers, "cores", "1", 1, 16,
		"Worker cores; each owns one receive queue, one journal and the feeds whose id falls to it."),
	INTEGER("appliance", "control_core", control_core, "CPU", "-1", -1, 1023,
		"CPU of the control threads; -1 leaves them to the scheduler."),
	INTEGER("appliance", "first_worker_core", first_worker_core, "CPU", "-1", -1, 1023,
		"CPU of worker 0, the others follow; -1 leaves them to the scheduler."),

	TEXT("port", "port", port, "vhost",
	     "Profile of the port: vhost, af_packet, ring, pcap, null, pci, or any DPDK device string."),
	TEXT("port", "device", port_device, "",
	     "What the profile needs: socket path (vhost; empty: run_directory/port.sock), interface (af_packet), file "
	     "(pcap), PCI address (pci)."),
	TEXT("port", "ipv4", ipv4, "10.77.0.1", "Own IPv4 address, answered for ARP and ping. Empty: none."),
	TEXT("port", "ipv6", ipv6, "fd77::1",
	     "Own IPv6 address, answered for neighbour solicitation and ping. Empty: none."),
	TEXT("port", "mac", mac, "", "Own MAC address where the device lets it be set. Empty: the device's."),
	INTEGER("port", "udp_port", udp_port, "", "4717", 1, 65535, "UDP port of the feed protocol."),
	INTEGER("port", "buffers", buffers, "packets", "16384", 1024, 1048575,
		"Packet buffers of 2 KiB a queue; must fit in eal.memory."),
	CHOICE("port", "poll", poll, "adaptive", poll_choices,
	       "adaptive: an idle worker sleeps, up to 1 ms; busy: it never does."),

	SWITCH("eal", "hugepages", hugepages, "no", "Use hugepages when enough are free."),
	INTEGER("eal", "memory", memory_mib, "MiB", "256", 64, 65536, "Memory for packet buffers and rings."),
	TEXT("eal", "extra", eal_extra, "", "Further EAL arguments, separated by blanks."),

	INTEGER("storage", "journal_file", journal_file_mib, "MiB", "128", 4, 4096, "Size of one journal file."),
	INTEGER("storage", "journal_slab", journal_slab_kib, "KiB", "1024", 64, 4096,
		"Most that one group commit writes."),
	INTEGER("storage", "journal_slabs", journal_slabs, "", "6", 3, 16,
		"Slabs of a worker: one open, the others in flight."),
	INTEGER("storage", "journal_roll", journal_roll_s, "s", "300", 1, 86400,
		"A journal that has reads is closed, and sealed, when it is older."),
	INTEGER("storage", "commit", commit_us, "µs", "1000", 50, 100000,
		"Oldest that a read may become before its group is written."),
	INTEGER("storage", "memtable", memtable_mib, "MiB", "0", 0, 1048576,
		"Memory for reads that are journalled and not yet sealed; 0 takes a quarter of the machine's, 2 GiB at "
		"most."),
	INTEGER("storage", "reserve", reserve_mib, "MiB", "256", 16, 1048576,
		"Disk space kept free beside what sealing and one purge need; below it nothing is accepted."),
	INTEGER("storage", "merge_quiet", merge_quiet_s, "s", "3600", 0, 604800,
		"A day's segments are merged into one when nothing was sealed into it for so long."),
	INTEGER("storage", "catalog_map", catalog_map_mib, "MiB", "16384", 64, 4194304,
		"Address space of the catalog and of the register (sparse)."),
	INTEGER("storage", "erase_rewrite", erase_rewrite_s, "s", "600", 0, 3000,
		"What was erased or amended is physically removed when it has been hidden for so long."),

	INTEGER("reads", "retention", retention_days, "days", "365", 1, 365,
		"A read captured longer ago is refused and not shown; its day is purged when one more day is over. "
		"NASPLE "
		"9.5.1: deleted on day 366, so no setting goes beyond."),
	INTEGER("reads", "future", future_s, "s", "600", 1, 86400,
		"A read captured later than now plus this is refused."),
	INTEGER("reads", "lane_window", lane_window, "reads", "65536", 4096, 1048576,
		"Reads of one lane that may be under way; a power of two."),

	CHOICE("clock", "trust", clock_trust, "synchronised", clock_choices,
	       "When days may be destroyed by date. synchronised: while the kernel calls the clock so; always: on a "
	       "machine "
	       "without a time source, unless the clock jumps."),
	INTEGER("clock", "jump_s", clock_jump_s, "s", "3600", 1, 31536000,
		"A clock that moves by more, or is farther from the last time seen, is under suspicion: nothing is "
		"purged "
		"until ten synchronised minutes have passed."),

	INTEGER("lists", "mass_entries", mass_entries_min, "entries", "1", 1, 100000000,
		"Exact entries of lists at least so long go to the hash table instead of Hyperscan, which is slower at "
		"any "
		"length measured."),
	INTEGER("lists", "patterns_max", patterns_max, "entries", "30000", 1, 100000,
		"Entries with `?` or `*` that all lists may have together."),
	INTEGER("lists", "substitutions_max", substitutions_max, "entries", "100000", 1, 10000000,
		"Entries that all lists which accept one substitution may have together: each takes a key for every "
		"character."),
	INTEGER("lists", "retro_hits_max", retro_hits_max, "hits", "100000", 1, 10000000,
		"Late hits that one search back may make; it says how many there were beyond."),
	TEXT("lists", "compiler", compiler, "",
	     "Program that compiles patterns apart. Empty: gantry-compile beside gantryd."),
	INTEGER("lists", "compiler_memory", compiler_memory_mib, "MiB", "4096", 16, 1048576,
		"Address space that it may have."),
	INTEGER("lists", "compiler_seconds", compiler_seconds, "s", "1200", 1, 86400,
		"How long it may take, at a low priority; then it is killed, and the lists go on matching as they "
		"are."),
	INTEGER("lists", "cadence_fast_track", lists_cadence[LIST_CLASS_PNC_FAST_TRACK], "min", "0", 0, 40320,
		"How often lists of class pnc-fast-track are expected to be revised (R21); one that is not is told of "
		"by `status`. 0: not "
		"watched."),
	INTEGER("lists", "cadence_extract", lists_cadence[LIST_CLASS_PNC_EXTRACT], "min", "1500", 0, 40320,
		"The same of pnc-extract: a day, and an hour of grace."),
	INTEGER("lists", "cadence_schengen", lists_cadence[LIST_CLASS_SCHENGEN], "min", "1500", 0, 40320,
		"The same of schengen."),
	INTEGER("lists", "cadence_mmc", lists_cadence[LIST_CLASS_MMC], "min", "1500", 0, 40320, "The same of mmc."),
	INTEGER("lists", "cadence_third_party", lists_cadence[LIST_CLASS_THIRD_PARTY], "min", "1500", 0, 40320,
		"The same of third-party (R22)."),
	INTEGER("lists", "cadence_local", lists_cadence[LIST_CLASS_LOCAL], "min", "0", 0, 40320, "The same of local."),
	TEXT("lists", "zone", zone, "Europe/London",
	     "Zone in whose local time the hours of lists are; its summer time is that of the host's tzdata. UTC needs "
	     "none."),
	INTEGER("lists", "repeats", repeats_mib, "MiB", "32", 1, 65536,
		"Memory for hits told lately, 16 bytes each: when it is full, repeats get through."),

	SWITCH("clones", "detect", clones_detect, "no",
	       "Look for the same VRM at two places too far apart for the time between."),
	INTEGER("clones", "speed_kmh", clones_speed_kmh, "km/h", "250", 50, 2000,
		"As fast as nobody drives from one camera to another, as the crow flies."),
	INTEGER("clones", "slack_s", clones_slack_s, "s", "60", 0, 86400,
		"Added to the time between two captures, for the errors of two clocks."),
	INTEGER("clones", "distance_m", clones_distance_m, "m", "10000", 0, 1000000,
		"Nearer than this is no clash: for errors of positions, and low clones.slack_s."),
	INTEGER("clones", "confidence", clones_confidence, "", "0", 0, 100,
		"Reads of which their camera is less sure are left out; those that say nothing of it are not."),
	INTEGER("clones", "sightings", clones_sightings, "", "2", 1, 2,
		"Sightings at either place before a hit is raised; with 1 every misread that makes another's VRM is "
		"one."),
	INTEGER("clones", "priority", clones_priority, "", "60", 0, 100, "Priority of clone hits."),
	INTEGER("clones", "minutes", clones_minutes, "min", "60", 0, 10080,
		"Further clone hits of the same VRM are repeats for so long; 0: none is."),
	INTEGER("clones", "memory", clones_mib, "MiB", "64", 1, 65536,
		"Memory for last sightings, 16 bytes each; the oldest is given up."),

	INTEGER("hits", "escalate_priority", escalate_priority, "", "80", 0, 101,
		"A hit of at least this priority escalates when nobody acknowledges it; 101: none does."),
	INTEGER("hits", "escalate_seconds", escalate_s, "s", "120", 1, 86400, "So long after it was published."),

	INTEGER("hits", "urgent_priority", hits_urgent_priority, "", "50", 1, 101,
		"Hits of lists with at least this priority go the urgent lane, which no flood of others holds up; 101: "
		"none."),
	INTEGER("hits", "urgent_ring", hits_urgent_ring, "hits", "16384", 1024, 16777216,
		"Newest urgent hits kept in memory, 112 bytes each; who is further behind is served from the store."),
	INTEGER("hits", "mass_ring", hits_mass_ring, "hits", "262144", 1024, 16777216, "The same of the other lane."),
	INTEGER("hits", "window", hits_window, "hits", "65536", 16, 1048576,
		"Hits of a lane that a subscriber may be sent before it acknowledges some."),

	TEXT("management", "socket", socket, "", "Path of the management socket. Empty: run_directory/gantry.sock."),
	TEXT("management", "group", socket_group, "", "Group that may use the socket. Empty: the daemon's."),
	OCTAL("management", "mode", socket_mode, "0660", 0777, "Mode of the socket."),
	INTEGER("management", "clients", clients_max, "", "64", 1, 1024, "Clients at once."),
	INTEGER("management", "threads", search_threads, "", "3", 1, 64, "Requests answered at once."),

	INTEGER("search", "rows_max", search_rows_max, "rows", "2000000000", 1000, 1000000000000,
		"Rows and VRM keys that one search may look at; then it answers with what it has and says so. A "
		"request may ask for less."),
	INTEGER("search", "bytes_max", search_mib_max, "MiB", "65536", 1, 1073741824,
		"The same of what it reads from segments."),
	INTEGER("search", "ms_max", search_ms_max, "ms", "60000", 100, 3600000, "The same of its time."),
	INTEGER("search", "open_days", search_open_days, "days", "31", 1, 366,
		"Longest window of an open search: one without cameras, without an area, and without a whole VRM or "
		"search.fixed_min letters and digits of one."),
	INTEGER("search", "fixed_min", search_fixed_min, "", "2", 0, 16,
		"Letters and digits from which on a partial VRM may be searched for in the whole retention."),
	{NULL, NULL, SETTING_TEXT, NULL, NULL, 0, 0, NULL, 0, NULL},
};

static int setting_store(struct config *config, const struct setting *setting, const char *value, struct err *err)
{
	char *field = (char *)config + setting->offset;
	int64_t number = 0;
	char *end;

	switch (setting->type) {
	case SETTING_TEXT:
		if ((int64_t)strlen(value) > setting->maximum)
			return err_set(err, -EINVAL, "%s.%s: longer than %" PRId64 " bytes", setting->section,
				       setting->name, setting->maximum);
		(void)snprintf(field, CONFIG_TEXT_SIZE, "%s", value);
		return 0;
	case SETTING_INTEGER:
	case SETTING_OCTAL:
		errno = 0;
		number = strtoll(value, &end, setting->type == SETTING_OCTAL ? 8 : 10);
		if (*value == '\0' || *end != '\0' || errno != 0 || number < setting->minimum ||
		    number > setting->maximum)
			return err_set(err, -EINVAL,
				       setting->type == SETTING_OCTAL
					       ? "%s.%s: wants an octal number from %" PRIo64 " to %" PRIo64
					       : "%s.%s: wants a whole number from %" PRId64 " to %" PRId64,
				       setting->section, setting->name, setting->minimum, setting->maximum);
		memcpy(field, &number, sizeof(number));
		return 0;
	case SETTING_SWITCH:
		if (strcmp(value, "yes") != 0 && strcmp(value, "no") != 0)
			return err_set(err, -EINVAL, "%s.%s: wants yes or no", setting->section, setting->name);
		*(bool *)field = value[0] == 'y';
		return 0;
	case SETTING_CHOICE:
		for (; setting->choices[number] != NULL; number++) {
			if (strcmp(value, setting->choices[number]) == 0) {
				memcpy(field, &number, sizeof(number));
				return 0;
			}
		}
		return err_set(err, -EINVAL, "%s.%s: not one of its choices; see gantryd --help", setting->section,
			       setting->name);
	}
	return -EINVAL;
}

static const struct setting *setting_find(const char *section, const char *name)
{
	for (const struct setting *setting = config_settings; setting->section != NULL; setting++)
		if (strcmp(setting->section, section) == 0 && strcmp(setting->name, name) == 0)
			return setting;
	return NULL;
}

void config_init(struct config *config)
{
	memset(config, 0, sizeof(*config));
	for (const struct setting *setting = config_settings; setting->section != NULL; setting++)
		(void)setting_store(config, setting, setting->initial, NULL);
}

struct reading {
	struct config *config;
	const char *path;
	struct err *err;
	int result;
};

static int reading_value(void *context, const char *section, const char *name, const char *value)
{
	struct reading *reading = context;
	const struct setting *setting = setting_find(section, name);

	if (reading->result < 0)
		return 1;
	if (setting == NULL)
		reading->result =
			err_set(reading->err, -EINVAL, "[%s] has no setting '%s'; see gantryd --help", section, name);
	else
		reading->result = setting_store(reading->config, setting, value, reading->err);
	return reading->result == 0;
}

int config_read(struct config *config, const char *path, struct err *err)
{
	struct reading reading = {.config = config, .path = path, .err = err};
	struct stat stat_of;
	int line;

	if (stat(path, &stat_of) == 0 && !S_ISREG(stat_of.st_mode))
		return err_set(err, -EINVAL, "%s: is not a file", path);
	line = ini_parse(path, reading_value, &reading);

	if (line < 0)
		return err_set(err, -EINVAL, "%s: cannot be read: %s", path, strerror(errno));
	if (reading.result < 0)
		return err_prefix(err, reading.result, "%s: line %d", path, line);
	if (line > 0)
		return err_set(err, -EINVAL, "%s: line %d is neither [section], name = value nor a comment", path,
			       line);
	return 0;
}

int config_set(struct config *config, const char *assignment, struct err *err)
{
	char copy[2 * CONFIG_TEXT_SIZE];
	const struct setting *setting;
	char *dot;
	char *equal;

	if (strlen(assignment) >= sizeof(copy))
		return err_set(err, -EINVAL, "--set: too long");
	strcpy(copy, assignment);
	equal = strchr(copy, '=');
	dot = strchr(copy, '.');
	if (equal == NULL || dot == NULL || dot > equal)
		return err_set(err, -EINVAL, "--set wants section.name=value, for example --set storage.commit=500");
	*equal = '\0';
	*dot = '\0';
	setting = setting_find(copy, dot + 1);
	if (setting == NULL)
		return err_set(err, -EINVAL, "--set: there is no setting %s.%s; see gantryd --help", copy, dot + 1);
	return setting_store(config, setting, equal + 1, err);
}

static int absolute(char path[CONFIG_TEXT_SIZE], const char *name, struct err *err)
{
	char cwd[PATH_MAX];
	char whole[PATH_MAX + CONFIG_TEXT_SIZE];

	if (path[0] == '/' || path[0] == '\0')
		return 0;
	if (getcwd(cwd, sizeof(cwd)) == NULL)
		return err_set(err, -errno, "working directory: %s", strerror(errno));
	(void)snprintf(whole, sizeof(whole), "%s/%s", cwd, path);
	if (strlen(whole) >= CONFIG_TEXT_SIZE)
		return err_set(err, -ENAMETOOLONG, "%s: longer than %d bytes from the root; choose a shorter path",
			       name, CONFIG_TEXT_SIZE - 1);
	strcpy(path, whole);
	return 0;
}

/* `path` when it is set, else "<run_directory>/<name>". Unix sockets end at 107 bytes. */
static int in_run_directory(const struct config *config, char path[CONFIG_TEXT_SIZE], const char *name, struct err *err)
{
	size_t used = strlen(config->run_directory);

	if (path[0] == '\0') {
		if (used + 1 + strlen(name) >= CONFIG_TEXT_SIZE)
			return err_set(err, -ENAMETOOLONG, "appliance.run_directory: too long");
		memcpy(path, config->run_directory, used);
		path[used] = '/';
		strcpy(path + used + 1, name);
	}
	if (strlen(path) > 107)
		return err_set(err, -ENAMETOOLONG,
			       "%s: a socket's path has at most 107 bytes; choose another run_directory", path);
	return 0;
}

int config_finish(struct config *config, struct err *err)
{
	size_t data_size;
	int result;

	if ((result = absolute(config->data_directory, "appliance.data_directory", err)) < 0 ||
	    (result = absolute(config->master_key, "appliance.master_key", err)) < 0 ||
	    (result = absolute(config->keyring_copy, "appliance.keyring_copy", err)) < 0 ||
	    (result = absolute(config->run_directory, "appliance.run_directory", err)) < 0 ||
	    (result = absolute(config->socket, "management.socket", err)) < 0)
		return result;
	if ((result = in_run_directory(config, config->socket, "gantry.sock", err)) < 0)
		return result;
	if (strcmp(config->port, "vhost") == 0) {
		result = absolute(config->port_device, "port.device", err);
		if (result == 0)
			result = in_run_directory(config, config->port_device, "port.sock", err);
		if (result < 0)
			return result;
	}
	data_size = strlen(config->data_directory);
	if (strncmp(config->master_key, config->data_directory, data_size) == 0 && config->master_key[data_size] == '/')
		return err_set(
			err, -EINVAL,
			"appliance.master_key lies inside data_directory: who takes the disk would have the key; put "
			"it elsewhere");
	if ((config->lane_window & (config->lane_window - 1)) != 0)
		return err_set(err, -EINVAL, "reads.lane_window: wants a power of two");
	if (config->journal_slab_kib * 4 > config->journal_file_mib * 1024)
		return err_set(err, -EINVAL,
			       "storage.journal_file must hold at least four slabs (storage.journal_slab)");
	if (config->journal_slab_kib % 4 != 0)
		return err_set(err, -EINVAL, "storage.journal_slab: wants a multiple of 4 KiB");
	if (config->ipv4[0] == '\0' && config->ipv6[0] == '\0')
		return err_set(err, -EINVAL, "port.ipv4 and port.ipv6 are both empty: nobody could send here");
	return 0;
}

void config_help(FILE *to)
{
	const char *section = "";

	for (const struct setting *setting = config_settings; setting->section != NULL; setting++) {
		if (strcmp(section, setting->section) != 0)
			(void)fprintf(to, "\n[%s]\n", setting->section);
		section = setting->section;
		(void)fprintf(to, "%s = %s", setting->name, setting->initial);
		if (setting->type == SETTING_INTEGER)
			(void)fprintf(to, "   ; %s%s%" PRId64 " to %" PRId64, setting->unit, *setting->unit ? ", " : "",
				      setting->minimum, setting->maximum);
		if (setting->type == SETTING_CHOICE)
			for (const char *const *choice = setting->choices; *choice != NULL; choice++)
				(void)fprintf(to, "%s%s", choice == setting->choices ? "   ; " : " | ", *choice);
		if (setting->type == SETTING_SWITCH)
			(void)fprintf(to, "   ; yes | no");
		(void)fprintf(to, "\n    %s\n", setting->text);
	}
}

void config_markdown(FILE *to)
{
	(void)fprintf(to, "| setting | default | unit, bounds | what it does |\n|---|---|---|---|\n");
	for (const struct setting *setting = config_settings; setting->section != NULL; setting++) {
		(void)fprintf(to, "| `%s.%s` | %s%s%s | ", setting->section, setting->name,
			      *setting->initial ? "`" : "", *setting->initial ? setting->initial : "empty",
			      *setting->initial ? "`" : "");
		if (setting->type == SETTING_INTEGER)
			(void)fprintf(to, "%s%s%" PRId64 "–%" PRId64, setting->unit, *setting->unit ? ", " : "",
				      setting->minimum, setting->maximum);
		else if (setting->type == SETTING_CHOICE)
			for (const char *const *choice = setting->choices; *choice != NULL; choice++)
				(void)fprintf(to, "%s%s", choice == setting->choices ? "" : ", ", *choice);
		else
			(void)fprintf(to, "%s", setting->type == SETTING_SWITCH ? "yes, no" : setting->unit);
		(void)fprintf(to, " | %s |\n", setting->text);
	}
}
