#include "bench/suite_machine.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "gantry-config.h"
#include "storage/io.h"

static void cpu_get(char *text, size_t size)
{
	FILE *file = fopen("/proc/cpuinfo", "re");
	char line[256];

	snprintf(text, size, "unknown");
	while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
		char *colon = strchr(line, ':');

		if (strncmp(line, "model name", 10) != 0 || colon == NULL)
			continue;
		line[strcspn(line, "\n")] = '\0';
		snprintf(text, size, "%s", colon + 2);
		break;
	}
	if (file != NULL)
		fclose(file);
}

/* "… major:minor … - TYPE …" of the mount that the directory's device is. */
static void file_system_get(const char *directory, char *text, size_t size)
{
	FILE *file = fopen("/proc/self/mountinfo", "re");
	struct stat stat_;
	char line[1024];

	snprintf(text, size, "unknown");
	if (stat(directory, &stat_) < 0)
		stat_.st_dev = 0;
	while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
		const char *type = strstr(line, " - ");
		unsigned device_major, device_minor;

		if (type == NULL || sscanf(line, "%*u %*u %u:%u", &device_major, &device_minor) != 2 ||
		    makedev(device_major, device_minor) != stat_.st_dev)
			continue;
		snprintf(text, size, "%.*s", (int)strcspn(type + 3, " "), type + 3);
	}
	if (file != NULL)
		fclose(file);
}

static const char *sanitizers(void)
{
#if defined(__SANITIZE_ADDRESS__)
	return ", address sanitizer: figures mean nothing";
#elif defined(__SANITIZE_THREAD__)
	return ", thread sanitizer: figures mean nothing";
#else
	return "";
#endif
}

void suite_machine_get(const char *directory, struct suite_machine *ret_machine)
{
	struct suite_machine *machine = ret_machine;
	struct statvfs disk;
	struct utsname name;
	struct io *io;
	cpu_set_t set;

	memset(machine, 0, sizeof(*machine));
	cpu_get(machine->cpu, sizeof(machine->cpu));
	if (sched_getaffinity(0, sizeof(set), &set) == 0)
		machine->cores = (unsigned)CPU_COUNT(&set);
	machine->memory_bytes = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
	if (uname(&name) == 0)
		snprintf(machine->kernel, sizeof(machine->kernel), "%s %s", name.sysname, name.release);
	file_system_get(directory, machine->file_system, sizeof(machine->file_system));
	if (statvfs(directory, &disk) == 0) {
		machine->disk_total_bytes = (uint64_t)disk.f_blocks * disk.f_frsize;
		machine->disk_free_bytes = (uint64_t)disk.f_bavail * disk.f_frsize;
	}
	if (io_real_new(&io) == 0) {
		snprintf(machine->io, sizeof(machine->io), "%s", io->ops->name);
		io_real_free(io);
	}
	snprintf(machine->build, sizeof(machine->build), "%s, %s%s", GANTRY_VERSION, GANTRY_BUILD_TYPE, sanitizers());
}
