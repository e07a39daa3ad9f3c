#include "bench/suite_appliance.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "appliance/base/clock.h"
#include "bench/suite_options.h"

#define ARGUMENTS_MAX 40
#define START_NS (INT64_C(60) * 1000000000)
#define POLL_MS 20
#define TAIL_SIZE 512 /* of a log, shown when a program has failed */

/* In an installation all lie in one directory; in a build each in its own. */
static int find(const char *beside, const char *name, const char *area, char ret_path[2 * SUITE_PATH_SIZE])
{
	(void)snprintf(ret_path, 2 * SUITE_PATH_SIZE, "%s/%s", beside, name);
	if (access(ret_path, X_OK) == 0)
		return 0;
	(void)snprintf(ret_path, 2 * SUITE_PATH_SIZE, "%s/../%s/%s", beside, area, name);
	return access(ret_path, X_OK) == 0 ? 0 : -ENOENT;
}

static int find_all(struct suite_appliance *appliance, struct err *err)
{
	static const struct {
		const char *name;
		const char *area;
	} programs[PROGRAMS] = {[PROGRAM_GANTRYD] = {"gantryd", "appliance"},
				[PROGRAM_GANTRYCTL] = {"gantryctl", "mgmt"},
				[PROGRAM_LOAD] = {"gantry-load", "bench"}};
	char self[SUITE_PATH_SIZE];
	ssize_t size = readlink("/proc/self/exe", self, sizeof(self) - 1);

	if (size < 0)
		return err_set(err, -errno, "/proc/self/exe: %s", strerror(errno));
	self[size] = '\0';
	*strrchr(self, '/') = '\0';
	for (unsigned i = 0; i < PROGRAMS; i++)
		if (find(self, programs[i].name, programs[i].area, appliance->programs[i]) < 0)
			return err_set(err, -ENOENT, "%s is neither in %s nor in ../%s: build or install all of Gantry",
				       programs[i].name, self, programs[i].area);
	return 0;
}

/* ---- children */

static void path_of(const struct suite_appliance *appliance, const char *name, char ret_path[2 * SUITE_PATH_SIZE])
{
	(void)snprintf(ret_path, 2 * SUITE_PATH_SIZE, "%s/%s", appliance->directory, name);
}

/* In the child: only what may be called between fork and exec. */
static void become(char *const *arguments, const char *out, const char *log)
{
	int in_fd = open("/dev/null", O_RDONLY);
	int out_fd = open(out, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	int log_fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);

	if (in_fd < 0 || out_fd < 0 || log_fd < 0 || dup2(in_fd, 0) < 0 || dup2(out_fd, 1) < 0 || dup2(log_fd, 2) < 0)
		_exit(126);
	/* An interrupt at the terminal is the bench's to hear; it ends its children itself. */
	(void)setpgid(0, 0);
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	execv(arguments[0], arguments);
	_exit(127);
}

/* Starts a program: output in NAME.out, complaints in NAME.log. */
static int spawn(struct suite_appliance *appliance, enum suite_program program, const char *name,
		 const char *const *arguments, pid_t *ret_pid, struct err *err)
{
	char out[2 * SUITE_PATH_SIZE + 8], log[2 * SUITE_PATH_SIZE + 8], path[2 * SUITE_PATH_SIZE];
	char *line[ARGUMENTS_MAX + 2] = {appliance->programs[program]};
	size_t count = 0;
	pid_t pid;

	for (; arguments[count] != NULL && count < ARGUMENTS_MAX; count++)
		line[count + 1] = (char *)(uintptr_t)arguments[count];
	path_of(appliance, name, path);
	(void)snprintf(out, sizeof(out), "%s.out", path);
	(void)snprintf(log, sizeof(log), "%s.log", path);
	pid = fork();
	if (pid == 0)
		become(line, out, log);
	if (pid < 0)
		return err_set(err, -errno, "fork: %s", strerror(errno));
	*ret_pid = pid;
	return 0;
}

/* The end of NAME.log, as much as an error may tell. */
static void tail(const struct suite_appliance *appliance, const char *name, char ret_text[TAIL_SIZE])
{
	char path[2 * SUITE_PATH_SIZE], file_name[64];
	FILE *file;
	size_t size;

	ret_text[0] = '\0';
	(void)snprintf(file_name, sizeof(file_name), "%s.log", name);
	path_of(appliance, file_name, path);
	file = fopen(path, "r");
	if (file == NULL)
		return;
	if (fseek(file, -(TAIL_SIZE - 1), SEEK_END) < 0)
		rewind(file);
	size = fread(ret_text, 1, TAIL_SIZE - 1, file);
	ret_text[size] = '\0';
	(void)fclose(file);
}

static int failed(const struct suite_appliance *appliance, const char *name, const char *how, struct err *err)
{
	char text[TAIL_SIZE];

	tail(appliance, name, text);
	return err_set(err, -ECHILD, "%s %s: %s", name, how, text);
}

/* 1 while it runs; 0 once it has ended with status 0; -ECHILD. */
static int ended(struct suite_appliance *appliance, const char *name, pid_t *pid, struct err *err)
{
	int status;
	pid_t got = waitpid(*pid, &status, WNOHANG);

	if (got == 0)
		return 1;
	*pid = 0;
	if (got > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	return failed(appliance, name, "has failed", err);
}

static void kill_now(pid_t *pid)
{
	if (*pid <= 0)
		return;
	(void)kill(*pid, SIGKILL);
	(void)waitpid(*pid, NULL, 0);
	*pid = 0;
}

/* Waits for one that ends by itself. */
static int run(struct suite_appliance *appliance, enum suite_program program, const char *name,
	       const char *const *arguments, struct err *err)
{
	pid_t pid;
	int result = spawn(appliance, program, name, arguments, &pid, err);

	if (result < 0)
		return result;
	while ((result = ended(appliance, name, &pid, err)) == 1) {
		if (suite_room_stopped()) {
			kill_now(&pid);
			return err_set(err, -ECANCELED, "interrupted");
		}
		(void)poll(NULL, 0, POLL_MS);
	}
	return result;
}

/* The last line of NAME.out that is JSON. */
static int answer_of(const struct suite_appliance *appliance, const char *name, json_t **ret_answer, struct err *err)
{
	char path[2 * SUITE_PATH_SIZE], file_name[64];
	json_t *answer = NULL;
	char *line = NULL;
	size_t room = 0;
	FILE *file;

	(void)snprintf(file_name, sizeof(file_name), "%s.out", name);
	path_of(appliance, file_name, path);
	file = fopen(path, "r");
	if (file == NULL)
		return err_set(err, -errno, "%s: %s", path, strerror(errno));
	while (getline(&line, &room, file) >= 0) {
		json_t *next = json_loads(line, 0, NULL);

		if (next != NULL) {
			json_decref(answer);
			answer = next;
		}
	}
	free(line);
	(void)fclose(file);
	if (answer == NULL)
		return failed(appliance, name, "printed no figures", err);
	*ret_answer = answer;
	return 0;
}

/* ---- the appliance */

static int answers(struct suite_appliance *appliance, struct err *err)
{
	static const char *const status[] = {"status", NULL};
	json_t *answer = NULL;
	int result = suite_appliance_ctl(appliance, status, &answer, err);

	json_decref(answer);
	return result;
}

static int wait_until_up(struct suite_appliance *appliance, struct err *err)
{
	int64_t until_ns = clock_mono_ns() + START_NS;

	do {
		int result = ended(appliance, "gantryd", &appliance->gantryd, err);

		if (result <= 0)
			return result < 0 ? result : failed(appliance, "gantryd", "has ended", err);
		if (access(appliance->socket, F_OK) == 0 && answers(appliance, err) == 0)
			return 0;
		if (suite_room_stopped())
			return err_set(err, -ECANCELED, "interrupted");
		(void)poll(NULL, 0, POLL_MS);
	} while (clock_mono_ns() < until_ns);
	(void)failed(appliance, "gantryd", "does not answer", err);
	return -ETIMEDOUT;
}

static int start_gantryd(struct suite_appliance *appliance, struct err *err)
{
	char settings[4][2 * SUITE_PATH_SIZE];
	const char *arguments[] = {"--set",     settings[0], "--set",     settings[1], "--set",
				   settings[2], "--set",     settings[3], NULL};
	bool two = sysconf(_SC_NPROCESSORS_ONLN) >= 2;

	(void)snprintf(settings[0], sizeof(settings[0]), "appliance.data_directory=%s/data", appliance->directory);
	(void)snprintf(settings[1], sizeof(settings[1]), "appliance.master_key=%s/key/master.key",
		       appliance->directory);
	(void)snprintf(settings[2], sizeof(settings[2]), "appliance.run_directory=%s/run", appliance->directory);
	(void)snprintf(settings[3], sizeof(settings[3]), "appliance.first_worker_core=%d", two ? 0 : -1);
	return spawn(appliance, PROGRAM_GANTRYD, "gantryd", arguments, &appliance->gantryd, err);
}

int suite_appliance_start(const struct suite_options *options, const char *directory,
			  struct suite_appliance *ret_appliance, struct err *err)
{
	struct suite_appliance *appliance = ret_appliance;
	int result;

	memset(appliance, 0, sizeof(*appliance));
	appliance->options = options;
	(void)snprintf(appliance->directory, sizeof(appliance->directory), "%s", directory);
	(void)snprintf(appliance->socket, sizeof(appliance->socket), "%s/run/gantry.sock", directory);
	result = find_all(appliance, err);
	if (result == 0 && mkdir(directory, 0700) < 0 && errno != EEXIST)
		result = err_set(err, -errno, "%s: %s", directory, strerror(errno));
	if (result == 0)
		result = start_gantryd(appliance, err);
	if (result == 0)
		result = wait_until_up(appliance, err);
	if (result < 0)
		suite_appliance_end(appliance);
	return result;
}

int suite_appliance_ctl(struct suite_appliance *appliance, const char *const *arguments, json_t **ret_answer,
			struct err *err)
{
	const char *line[ARGUMENTS_MAX + 1] = {"--socket", appliance->socket};
	size_t count = 2;
	int result;

	while (*arguments != NULL && count < ARGUMENTS_MAX - 1)
		line[count++] = *arguments++;
	line[count++] = "--json";
	line[count] = NULL;
	result = run(appliance, PROGRAM_GANTRYCTL, "gantryctl", line, err);
	return result < 0 ? result : answer_of(appliance, "gantryctl", ret_answer, err);
}

/* ---- its fleet */

struct fleet_numbers {
	char seed[24];
	char cameras[16];
	char vehicles[16];
};

static void numbers_of(const struct suite_options *options, struct fleet_numbers *ret_numbers)
{
	(void)snprintf(ret_numbers->seed, sizeof(ret_numbers->seed), "%llu", (unsigned long long)options->seed);
	(void)snprintf(ret_numbers->cameras, sizeof(ret_numbers->cameras), "%u", options->cameras);
	(void)snprintf(ret_numbers->vehicles, sizeof(ret_numbers->vehicles), "%u", options->vehicles);
}

static int load_cameras(struct suite_appliance *appliance, struct err *err)
{
	char made[2 * SUITE_PATH_SIZE], csv[2 * SUITE_PATH_SIZE];
	const char *load[] = {"cameras", "load", csv, NULL};
	struct fleet_numbers numbers;
	json_t *answer = NULL;
	int result;

	numbers_of(appliance->options, &numbers);
	result = run(appliance, PROGRAM_LOAD, "cameras",
		     (const char *[]){"cameras", "--seed", numbers.seed, "--cameras", numbers.cameras, "--vehicles",
				      numbers.vehicles, NULL},
		     err);
	path_of(appliance, "cameras.out", made);
	path_of(appliance, "cameras.csv", csv);
	if (result == 0 && rename(made, csv) < 0)
		result = err_set(err, -errno, "%s: %s", csv, strerror(errno));
	if (result == 0)
		result = suite_appliance_ctl(appliance, load, &answer, err);
	json_decref(answer);
	return result;
}

static int add_feed(struct suite_appliance *appliance, unsigned number, FILE *file, struct err *err)
{
	char feed[16], name[32];
	const char *const add[] = {"feeds", "add", "--feed", feed, "--name", name, "--organisation", "Bench", NULL};
	const char *const bind[] = {"cameras", "bind", "--feed", feed, "--all", NULL};
	json_t *answer = NULL, *bound = NULL;
	int result;

	(void)snprintf(feed, sizeof(feed), "%u", number);
	(void)snprintf(name, sizeof(name), "bench %u", number);
	result = suite_appliance_ctl(appliance, add, &answer, err);
	if (result == 0 && fprintf(file, "%u %s\n", number, json_string_value(json_object_get(answer, "key"))) < 0)
		result = err_set(err, -EIO, "the feeds' file cannot be written");
	if (result == 0)
		result = suite_appliance_ctl(appliance, bind, &bound, err);
	json_decref(answer);
	json_decref(bound);
	return result;
}

int suite_appliance_register(struct suite_appliance *appliance, struct err *err)
{
	int result = load_cameras(appliance, err);
	char path[2 * SUITE_PATH_SIZE];
	FILE *file;
	int fd;

	if (result < 0)
		return result;
	path_of(appliance, "feeds", path);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600); /* it holds keys */
	file = fd >= 0 ? fdopen(fd, "w") : NULL;
	if (file == NULL)
		return err_set(err, -errno, "%s: %s", path, strerror(errno));
	for (unsigned i = 1; i <= SUITE_APPLIANCE_FEEDS && result == 0; i++)
		result = add_feed(appliance, i, file, err);
	if (fclose(file) != 0 && result == 0)
		result = err_set(err, -errno, "%s: %s", path, strerror(errno));
	return result;
}

int suite_appliance_fleet_start(struct suite_appliance *appliance, uint32_t rate, uint32_t seconds, struct err *err)
{
	char feeds[2 * SUITE_PATH_SIZE], transport[2 * SUITE_PATH_SIZE], rate_text[16], seconds_text[16];
	struct fleet_numbers numbers;
	const char *arguments[ARGUMENTS_MAX] = {
		"run",        "--feeds",   feeds,           "--transport", transport,
		"--rate",     rate_text,   "--duration",    seconds_text,  "--seed",
		numbers.seed, "--cameras", numbers.cameras, "--vehicles",  numbers.vehicles,
		"--json",     "--drain",   "120",           NULL};
	size_t count = 18;

	numbers_of(appliance->options, &numbers);
	path_of(appliance, "feeds", feeds);
	(void)snprintf(transport, sizeof(transport), "virtio:%.*s/run/port.sock", SUITE_PATH_SIZE,
		       appliance->directory);
	(void)snprintf(rate_text, sizeof(rate_text), "%u", rate);
	(void)snprintf(seconds_text, sizeof(seconds_text), "%u", seconds);
	if (sysconf(_SC_NPROCESSORS_ONLN) >= 2) {
		arguments[count++] = "--core";
		arguments[count++] = "1";
		arguments[count] = NULL;
	}
	return spawn(appliance, PROGRAM_LOAD, "gantry-load", arguments, &appliance->fleet, err);
}

int suite_appliance_fleet_poll(struct suite_appliance *appliance, json_t **ret_report, struct err *err)
{
	int result = ended(appliance, "gantry-load", &appliance->fleet, err);

	return result == 0 ? answer_of(appliance, "gantry-load", ret_report, err) : result;
}

void suite_appliance_end(struct suite_appliance *appliance)
{
	kill_now(&appliance->fleet);
	kill_now(&appliance->gantryd);
}
