#include "dpdk/eal.h"

#include <assert.h>
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_launch.h>
#include <rte_lcore.h>

#define LOG_MODULE "dpdk"
#include "appliance/base/log.h"

#define ARGUMENTS_MAX 64
#define CPUS_TEXT_SIZE 2048
#define MEMORY_MIB_MIN 64
#define MEMORY_MIB_DEFAULT 512

static_assert(EAL_WORKERS_MAX < RTE_MAX_LCORE, "every worker and the control thread is an lcore");

static bool tried;
static bool hugepages_used;

struct arguments {
	char *values[ARGUMENTS_MAX];
	int count;
	bool full;
};

static void add(struct arguments *arguments, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void add(struct arguments *arguments, const char *format, ...)
{
	char *value;
	va_list args;
	int length;

	va_start(args, format);
	length = vasprintf(&value, format, args);
	va_end(args);
	if (length < 0 || arguments->count == ARGUMENTS_MAX - 1) {
		if (length >= 0)
			free(value);
		arguments->full = true;
		return;
	}
	arguments->values[arguments->count++] = value;
}

static void arguments_fini(struct arguments *arguments)
{
	while (arguments->count > 0)
		free(arguments->values[--arguments->count]);
}

void eal_settings_init(struct eal_settings *settings, const char *name)
{
	*settings = (struct eal_settings){
		.name = name, .memory_mib = MEMORY_MIB_DEFAULT, .control_core = EAL_CORE_ANY, .worker_count = 1};
	for (unsigned i = 0; i < EAL_WORKERS_MAX; i++)
		settings->worker_cores[i] = EAL_CORE_ANY;
}

static bool name_valid(const char *name)
{
	if (name == NULL || *name == '\0' || *name == '.' || strlen(name) > 63)
		return false;
	for (; *name != '\0'; name++)
		if (!isalnum((unsigned char)*name) && strchr("._-", *name) == NULL)
			return false;
	return true;
}

static int settings_check(const struct eal_settings *settings, const cpu_set_t *allowed, struct err *err)
{
	if (!name_valid(settings->name))
		return err_set(err, -EINVAL,
			       "instance name '%s': give 1 to 63 letters, digits, '-', '_' or '.', no '.' first",
			       settings->name != NULL ? settings->name : "");
	if (settings->memory_mib < MEMORY_MIB_MIN)
		return err_set(err, -EINVAL, "%u MiB of packet memory: give %d or more", settings->memory_mib,
			       MEMORY_MIB_MIN);
	if (settings->worker_count > EAL_WORKERS_MAX)
		return err_set(err, -EINVAL, "%u workers: at most %d", settings->worker_count, EAL_WORKERS_MAX);
	for (unsigned i = 0; i <= settings->worker_count; i++) {
		int core = i == 0 ? settings->control_core : settings->worker_cores[i - 1];

		if (core != EAL_CORE_ANY && (core < 0 || core >= CPU_SETSIZE || !CPU_ISSET(core, allowed)))
			return err_set(err, -EINVAL,
				       "core %d for %s %u: this process may not run there (see taskset -p)", core,
				       i == 0 ? "the control thread" : "worker", i == 0 ? 0 : i - 1);
	}
	return 0;
}

/* "0-3,8": the CPUs we may run on. */
static void cpus_text(const cpu_set_t *set, char *text, size_t size)
{
	size_t used = 0;

	text[0] = '\0';
	for (int first = 0; first < CPU_SETSIZE; first++) {
		int last = first;

		if (!CPU_ISSET(first, set))
			continue;
		while (last + 1 < CPU_SETSIZE && CPU_ISSET(last + 1, set))
			last++;
		if (used + 16 > size)
			return;
		used += (size_t)snprintf(text + used, size - used, "%s%d-%d", used > 0 ? "," : "", first, last);
		first = last;
	}
}

/* lcore 0 is the control thread, lcore i + 1 worker i, each on its CPU or on any we may use. */
static void add_lcores(struct arguments *arguments, const struct eal_settings *settings, const cpu_set_t *allowed)
{
	char *text = NULL;
	size_t size = 0;
	char any[CPUS_TEXT_SIZE];
	FILE *out = open_memstream(&text, &size);

	if (out == NULL) {
		arguments->full = true;
		return;
	}
	cpus_text(allowed, any, sizeof(any));
	for (unsigned i = 0; i <= settings->worker_count; i++) {
		int core = i == 0 ? settings->control_core : settings->worker_cores[i - 1];

		(void)fprintf(out, "%s%u@", i > 0 ? "," : "", i);
		if (core == EAL_CORE_ANY)
			(void)fprintf(out, "(%s)", any);
		else
			(void)fprintf(out, "%d", core);
	}
	if (fclose(out) == 0)
		add(arguments, "--lcores=%s", text);
	else
		arguments->full = true;
	free(text);
}

static uint64_t number_in_file(const char *path)
{
	unsigned long long value = 0;
	FILE *file = fopen(path, "re");

	if (file == NULL)
		return 0;
	if (fscanf(file, "%llu", &value) != 1)
		value = 0;
	(void)fclose(file);
	return value;
}

static uint64_t hugepages_free_mib(void)
{
	static const char root[] = "/sys/kernel/mm/hugepages";
	struct dirent *entry;
	uint64_t best_kib = 0;
	DIR *dir = opendir(root);

	if (dir == NULL)
		return 0;
	while ((entry = readdir(dir)) != NULL) {
		char path[512];
		unsigned long long page_kib;

		if (sscanf(entry->d_name, "hugepages-%llukB", &page_kib) != 1)
			continue;
		(void)snprintf(path, sizeof(path), "%s/%s/free_hugepages", root, entry->d_name);
		page_kib *= number_in_file(path);
		if (page_kib > best_kib)
			best_kib = page_kib;
	}
	(void)closedir(dir);
	return best_kib / 1024;
}

static bool hugepages_choose(const struct eal_settings *settings)
{
	uint64_t free_mib;

	if (!settings->hugepages)
		return false;
	free_mib = hugepages_free_mib();
	if (free_mib >= settings->memory_mib)
		return true;
	log_warn("%llu MiB in free hugepages, %u wanted: running without hugepages", (unsigned long long)free_mib,
		 settings->memory_mib);
	return false;
}

static void add_extra(struct arguments *arguments, const char *extra)
{
	char *copy = strdup(extra);
	char *rest = copy;
	char *word;

	if (copy == NULL) {
		arguments->full = true;
		return;
	}
	while ((word = strsep(&rest, " \t")) != NULL)
		if (*word != '\0')
			add(arguments, "%s", word);
	free(copy);
}

static void add_all(struct arguments *arguments, const struct eal_settings *settings, const cpu_set_t *allowed)
{
	add(arguments, "gantry");
	add_lcores(arguments, settings, allowed);
	add(arguments, "--main-lcore=0");
	add(arguments, "-m");
	add(arguments, "%u", settings->memory_mib);
	add(arguments, "--iova-mode=va");
	add(arguments, "--file-prefix=%s", settings->name);
	/* Without hugepages EAL's memory is one memfd, which vhost peers can map all the same. */
	add(arguments, hugepages_used ? "--in-memory" : "--no-huge");
	if (settings->pci_devices[0] == NULL)
		add(arguments, "--no-pci");
	for (unsigned i = 0; i < EAL_DEVICES_MAX && settings->pci_devices[i] != NULL; i++)
		add(arguments, "--allow=%s", settings->pci_devices[i]);
	add(arguments, "--log-level=%s", settings->verbose ? "info" : "warning");
	/* Otherwise each start says that an older telemetry protocol is not spoken. */
	add(arguments, "--log-level=lib.telemetry:error");
	if (settings->extra != NULL)
		add_extra(arguments, settings->extra);
}

static int start_failed(const struct eal_settings *settings, struct err *err)
{
	int code = rte_errno > 0 ? rte_errno : EIO;

	/* What EAL says most often, and what it means here. */
	if (code == ENOMEM)
		return err_set(err, -code, "EAL could not have %u MiB of memory: lower the setting or free memory",
			       settings->memory_mib);
	if (code == EACCES)
		return err_set(err, -code,
			       "EAL may not write its runtime directory: set RUNTIME_DIRECTORY or XDG_RUNTIME_DIR");
	return err_set(err, -code,
		       "EAL did not start (%s); its reason stands above. Is another instance named '%s' running?",
		       strerror(code), settings->name);
}

int eal_start(const struct eal_settings *settings, struct err *err)
{
	struct arguments arguments = {.count = 0};
	char *values[ARGUMENTS_MAX];
	cpu_set_t allowed;
	int result;

	if (tried)
		return err_set(err, -EALREADY, "EAL starts once in a process");
	if (sched_getaffinity(0, sizeof(allowed), &allowed) < 0)
		return err_set(err, -errno, "which CPUs may be used is not known: %s", strerror(errno));
	result = settings_check(settings, &allowed, err);
	if (result < 0)
		return result;
	hugepages_used = hugepages_choose(settings);
	add_all(&arguments, settings, &allowed);
	if (arguments.full) {
		arguments_fini(&arguments);
		return err_set(err, -E2BIG, "too many EAL arguments: at most %d", ARGUMENTS_MAX);
	}
	tried = true;
	/* DPDK's virtio-user writes to its peer's socket without MSG_NOSIGNAL: a peer that died would end us. */
	(void)signal(SIGPIPE, SIG_IGN);
	/* EAL permutes the array it is given; ours must still free what it made. It keeps pointers into argv[0] only
	 * for its usage text, which ends the process. */
	memcpy(values, arguments.values, sizeof(values));
	values[arguments.count] = NULL;
	result = rte_eal_init(arguments.count, values);
	if (result < 0)
		result = start_failed(settings, err);
	arguments_fini(&arguments);
	return result < 0 ? result : 0;
}

/* EAL leaves 3 MiB of shared tables behind per name, on a file system in memory: a client's name is never used again.
 */
static void runtime_remove(const char *path)
{
	struct dirent *entry;
	DIR *dir = opendir(path);

	if (dir == NULL)
		return;
	while ((entry = readdir(dir)) != NULL)
		if (entry->d_name[0] != '.')
			(void)unlinkat(dirfd(dir), entry->d_name, 0);
	(void)closedir(dir);
	(void)rmdir(path);
}

void eal_stop(void)
{
	char runtime[PATH_MAX];

	(void)snprintf(runtime, sizeof(runtime), "%s", rte_eal_get_runtime_dir());
	(void)rte_eal_cleanup();
	runtime_remove(runtime);
}

bool eal_hugepages(void)
{
	return hugepages_used;
}

int eal_worker_launch(unsigned index, int (*work)(void *context), void *context)
{
	if (index >= EAL_WORKERS_MAX || !rte_lcore_is_enabled(index + 1))
		return -EINVAL;
	/* A worker that has returned keeps its result until it is launched anew. */
	return rte_eal_remote_launch(work, context, index + 1);
}

int eal_worker_wait(unsigned index)
{
	if (index >= EAL_WORKERS_MAX || !rte_lcore_is_enabled(index + 1))
		return 0;
	return rte_eal_wait_lcore(index + 1);
}
