/* `gantryd --check`: every part says what this host would make of the configuration, and what to mend. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "appliance/base/aead.h"
#include "appliance/base/clock.h"
#include "appliance/gantry.h"
#include "appliance/zone.h"
#include "dpdk/frame.h"
#include "dpdk/path.h"
#include "dpdk/port.h"
#include "storage/io.h"

static void say(int result, const char *what, const char *text)
{
	printf("%-6s %-10s %s\n", result < 0 ? "MEND" : result > 0 ? "note" : "ok", what, text);
}

/* The nearest directory of the path that exists: where it would be made. */
static void existing(const char *path, char found[CONFIG_TEXT_SIZE])
{
	struct stat stat_of;
	char *slash;

	(void)snprintf(found, CONFIG_TEXT_SIZE, "%s", path);
	while (stat(found, &stat_of) < 0 && (slash = strrchr(found, '/')) != NULL && slash != found)
		*slash = '\0';
}

static int check_directory(const char *what, const char *path)
{
	char found[CONFIG_TEXT_SIZE];
	char text[2 * CONFIG_TEXT_SIZE + 128];
	int result = 0;

	existing(path, found);
	if (access(found, W_OK | X_OK) < 0) {
		(void)snprintf(text, sizeof(text),
			       "%s cannot be written by this account: give it to it, or choose another", found);
		result = -EACCES;
	} else {
		(void)snprintf(text, sizeof(text), "%s%s", path, strcmp(found, path) == 0 ? "" : " (will be made)");
	}
	say(result, what, text);
	return result;
}

/* What will be made is a directory's matter; a key that is there must be ours to read, and nobody else's. */
static int check_master_key(const struct config *config)
{
	char parent[CONFIG_TEXT_SIZE];
	char text[CONFIG_TEXT_SIZE + 128];
	struct stat stat_of;
	char *slash;
	int result = 0;

	if (stat(config->master_key, &stat_of) < 0) {
		(void)snprintf(parent, sizeof(parent), "%s", config->master_key);
		slash = strrchr(parent, '/');
		if (slash != NULL && slash != parent)
			*slash = '\0';
		return check_directory("master key", parent);
	}
	(void)snprintf(text, sizeof(text), "%s", config->master_key);
	if (access(config->master_key, R_OK) < 0) {
		(void)snprintf(text, sizeof(text), "%s cannot be read by this account", config->master_key);
		result = -EACCES;
	} else if ((stat_of.st_mode & 077) != 0) {
		(void)snprintf(text, sizeof(text), "%s may be read by others: chmod 600 it", config->master_key);
		result = -EPERM;
	}
	say(result, "master key", text);
	return result;
}

static int check_disk(const struct config *config)
{
	char found[CONFIG_TEXT_SIZE];
	struct statvfs space;
	char text[256];
	double free_gib;
	double least_gib = (double)(config->reserve_mib + config->workers * 4 * config->journal_file_mib) / 1024;
	int result;

	existing(config->data_directory, found);
	if (statvfs(found, &space) < 0)
		return 0;
	free_gib = (double)space.f_bavail * (double)space.f_frsize / (1 << 30);
	result = free_gib < least_gib ? -ENOSPC : 0;
	(void)snprintf(text, sizeof(text),
		       "%.1f GiB free; %.1f GiB are the least to accept a read (reserve and journals)", free_gib,
		       least_gib);
	say(result, "disk", text);
	return result;
}

static int check_memory(const struct config *config)
{
	struct sysinfo info;
	char text[256];
	uint64_t need_mib;
	uint64_t have_mib;
	int result;

	if (sysinfo(&info) < 0)
		return 0;
	have_mib = (uint64_t)info.totalram * info.mem_unit >> 20;
	need_mib = (uint64_t)config->memory_mib + (gantry_memtable_bytes(config) >> 20);
	result = need_mib > have_mib * 9 / 10 ? -ENOMEM : 0;
	(void)snprintf(text, sizeof(text), "%llu MiB for packets and memtable of %llu MiB; lists come on top",
		       (unsigned long long)need_mib, (unsigned long long)have_mib);
	say(result, "memory", text);
	return result;
}

static int check_cores(const struct config *config)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	char text[256];
	int result = 0;

	if (config->workers >= cores && cores > 1)
		result = 1;
	if (config->control_core >= cores || config->first_worker_core + config->workers > cores) {
		(void)snprintf(text, sizeof(text),
			       "this host has %ld: lower appliance.control_core or first_worker_core", cores);
		say(-EINVAL, "cores", text);
		return -EINVAL;
	}
	(void)snprintf(text, sizeof(text), "%lld worker(s) on %ld cores%s", (long long)config->workers, cores,
		       result > 0 ? ": sealing, search and lists will compete with them" : "");
	say(result, "cores", text);
	return 0;
}

static int check_port(const struct config *config)
{
	struct port_settings settings;
	struct err err = {""};
	char text[1024] = "";
	int result;

	port_settings_init(&settings, config->port, config->port_device[0] != '\0' ? config->port_device : NULL);
	/* The socket's directory is made at the start: what can be said of it now is said of run_directory. */
	if (strcmp(config->port, "vhost") == 0 &&
	    strncmp(config->port_device, config->run_directory, strlen(config->run_directory)) == 0 &&
	    access(config->run_directory, F_OK) < 0) {
		say(0, "port", "vhost, in run_directory");
		return 0;
	}
	settings.queue_count = (unsigned)config->workers;
	settings.buffer_count = (unsigned)config->buffers - 1;
	result = port_describe(&settings, text, sizeof(text), &err);
	say(result, "port", result < 0 ? err.text : text);
	return result;
}

static int check_addresses(const struct config *config)
{
	const char *const addresses[] = {config->ipv4, config->ipv6};
	uint8_t mac[PATH_MAC_SIZE];
	int result = 0;

	for (size_t i = 0; i < 2; i++) {
		struct frame_local local;
		struct err err = {""};

		frame_local_init(&local, (uint16_t)config->udp_port);
		if (addresses[i][0] != '\0' && frame_local_add(&local, addresses[i], &err) < 0) {
			say(-EINVAL, i == 0 ? "port.ipv4" : "port.ipv6", err.text);
			result = -EINVAL;
		}
	}
	if (config->mac[0] != '\0' && path_mac_parse(config->mac, mac) < 0) {
		say(-EINVAL, "port.mac", "wants six bytes in hex like 02:00:5e:10:00:01");
		result = -EINVAL;
	}
	if (result == 0)
		say(0, "addresses", "can be served");
	return result;
}

/* EAL's memory never grows: what the pools will ask for, with what DPDK itself takes. */
static int check_buffers(const struct config *config)
{
	int64_t need_mib = (config->buffers + 4096) * config->workers * 2432 / (1 << 20) + 16;
	char text[128];
	int result = need_mib > config->memory_mib ? -ENOMEM : 0;

	(void)snprintf(text, sizeof(text), "about %lld MiB of %lld (eal.memory)%s", (long long)need_mib,
		       (long long)config->memory_mib, result < 0 ? ": raise it, or lower port.buffers" : "");
	say(result, "buffers", text);
	return result;
}

static int check_clock(void)
{
	struct clock_state state;

	clock_state_get(&state);
	say(state.synchronised ? 0 : 1, "clock",
	    state.synchronised
		    ? "synchronised"
		    : "not synchronised: run chrony or systemd-timesyncd; R5 asks for evidence every 10 min");
	return 0;
}

/* While this is the only thread. */
static int check_zone(const struct config *config)
{
	struct err err = {""};
	struct zone zone;
	int result = zone_load(config->zone, clock_wall_us() / 1000000, &err, &zone);

	say(result, "lists.zone", result < 0 ? err.text : config->zone);
	return result;
}

static int check_io(void)
{
	struct io *io;
	int result = io_real_new(&io);

	say(result < 0                               ? result
	    : strcmp(io->ops->name, "io_uring") == 0 ? 0
						     : 1,
	    "disk I/O", result < 0 ? strerror(-result) : io->ops->name);
	if (result == 0)
		(void)io_real_free(io);
	return result;
}

int gantry_check(const struct config *config)
{
	int worst = 0;

	worst |= check_directory("data", config->data_directory);
	worst |= check_master_key(config);
	worst |= check_directory("run", config->run_directory);
	worst |= check_disk(config);
	worst |= check_memory(config);
	worst |= check_cores(config);
	worst |= check_addresses(config);
	worst |= check_buffers(config);
	worst |= check_port(config);
	worst |= check_io();
	worst |= check_clock();
	worst |= check_zone(config);
	say(0, "AEAD", aead_engine_name());
	puts(worst < 0 ? "Not ready: mend what is marked." : "Ready.");
	return worst < 0 ? -EINVAL : 0;
}
