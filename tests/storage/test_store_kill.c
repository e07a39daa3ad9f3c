/*
 * The store on a real disk, in a process that is killed at every named point: what that process had acknowledged is
 * there, once, when the directory is opened again. Also how long recovery and sealing take.
 */
#include "storage/store.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define LOG_MODULE "test"
#include "appliance/base/clock.h"
#include "appliance/base/killpoint.h"
#include "appliance/base/log.h"
#include "storage/io.h"
#include "storage/journal.h"
#include "storage/keyring.h"
#include "storage/lane.h"
#include "storage/purge.h"
#include "storage/tidier.h"
#include "tests/check.h"
#include "tests/storage/store_rig.h"

#ifdef __SANITIZE_ADDRESS__
#define UNSEALED_READS 200000
#else
#define UNSEALED_READS 1500000
#endif

/* ---- the process that is killed */

struct child {
	struct rig rig;
	atomic_bool stop;
};

static void *child_worker(void *argument)
{
	struct child *child = argument;

	while (!atomic_load(&child->stop)) {
		for (unsigned i = 0; i < 6; i++)
			(void)rig_send(&child->rig);
		rig_settle(&child->rig, 20);
		usleep(300);
	}
	return NULL;
}

/* The worker's thread owns child->rig; this one only purges, seals, merges and rotates the master key. */
static int child_day(struct child *child, bool purge)
{
	struct purge_hooks hooks = {.context = child};
	struct purge_certificate certificate;
	struct err err;

	for (unsigned round = 0; round < 2; round++) {
		usleep(20000);
		(void)store_seal_all(child->rig.store, INT64_C(3000000000));
		if (round == 0 && purge)
			(void)purge_run(child->rig.store, child->rig.first_day, "retention rule", 0, &hooks, &err,
					&certificate);
		if (round == 0)
			(void)keyring_rotate_master(store_keyring(child->rig.store), &err);
		while (tidier_round(child->rig.store) == TIDIER_MORE)
			;
	}
	return 0;
}

static int child_main(const char *directory, const char *ledger, const char *seed, const char *first_day)
{
	struct child *child = calloc(1, sizeof(*child));
	pthread_t worker;
	struct io *io;
	int result;

	if (child == NULL || io_real_new(&io) < 0)
		return 3;
	log_level_set(LOG_LEVEL_ERROR);
	rig_init(&child->rig, io, directory, directory, strtoull(seed, NULL, 10));
	child->rig.options.db_directory = NULL;
	child->rig.options.threads_off = false;
	child->rig.first_day = atoi(first_day);
	child->rig.ledger_fd = open(ledger, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (child->rig.ledger_fd < 0 || rig_open(&child->rig) < 0) {
		fprintf(stderr, "child: %s\n", child->rig.err.text);
		return 4;
	}
	if (pthread_create(&worker, NULL, child_worker, child) != 0)
		return 5;
	(void)child_day(child, true);
	atomic_store(&child->stop, true);
	(void)pthread_join(worker, NULL);
	result = rig_close(&child->rig, true) < 0 ? 6 : 0;
	io_real_free(io);
	free(child);
	return result;
}

/* ---- the test */

static void child_run(const char *directory, const char *ledger, uint64_t seed, int32_t first_day, const char *kill_at,
		      bool *ret_killed)
{
	char seed_text[32];
	char day_text[16];
	int status;
	pid_t pid;

	snprintf(seed_text, sizeof(seed_text), "%llu", (unsigned long long)seed);
	snprintf(day_text, sizeof(day_text), "%d", first_day);
	pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		setenv("GANTRY_KILL", kill_at, 1);
		execl("/proc/self/exe", "test_store_kill", "--child", directory, ledger, seed_text, day_text,
		      (char *)NULL);
		_exit(7);
	}
	CHECK_INT(pid, waitpid(pid, &status, 0));
	*ret_killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
	if (!*ret_killed && !(WIFEXITED(status) && WEXITSTATUS(status) == 0))
		check_note("%s: the child ended with status %d", kill_at, status);
	CHECK(*ret_killed || (WIFEXITED(status) && WEXITSTATUS(status) == 0));
}

static void check_rig(struct rig *rig, const char *what)
{
	bool well = rig_verify(rig);

	if (!well)
		check_note("%s: %s", what, rig->problem);
	CHECK(well);
}

static void check_open(struct rig *rig, const char *what)
{
	int result = rig_open(rig);

	if (result < 0)
		check_note("%s: %s", what, rig->err.text);
	CHECK_INT(0, result);
}

static void purge_seen(void *context, int32_t day, enum purge_step step)
{
	struct rig *rig = context;

	if (step == PURGE_CERTIFIED)
		rig->purged[day - rig->first_day] = true;
}

/* After the kill: nothing lost, nothing twice; the purge goes on; work goes on. */
static void killed_verify(const char *directory, const char *ledger, int32_t first_day, const char *what)
{
	struct rig *rig = malloc(sizeof(*rig));
	struct purge_hooks hooks = {.progress = purge_seen, .context = rig};
	struct io *io;
	int resumed;

	CHECK(rig != NULL);
	CHECK_INT(0, io_real_new(&io));
	rig_init(rig, io, directory, directory, check_seed());
	rig->options.db_directory = NULL;
	rig->first_day = first_day;
	rig_ledger_read(rig, ledger);
	check_open(rig, what);
	check_rig(rig, what);
	resumed = purge_resume(rig->store, &hooks, &rig->err);
	if (resumed < 0)
		check_note("%s: %s", what, rig->err.text);
	CHECK(resumed >= 0);
	check_rig(rig, what);
	(void)rig_resend(rig);
	rig_settle(rig, 2000);
	check_rig(rig, what);
	CHECK_INT(0, rig_close(rig, true));
	check_open(rig, what);
	if (!rig_verify_tidy(rig))
		check_note("%s: %s", what, rig->problem);
	CHECK(rig_verify_tidy(rig));
	check_rig(rig, what);
	{
		struct store_status *status = malloc(sizeof(*status));

		CHECK(status != NULL);
		CHECK_INT(0, store_status(rig->store, status));
		if (status->damage_count > 0)
			check_note("%s: %s", what, status->damage[0]);
		CHECK_INT(0, status->damage_count);
		free(status);
	}
	CHECK_INT(0, rig_close(rig, false));
	io_real_free(io);
	free(rig);
}

static void test_every_point(void)
{
	struct prng prng = {check_seed()};
	int32_t first_day = read_day(clock_wall_us()) - 10;
	int64_t start_ns = clock_mono_ns();
	unsigned kills = 0;

	for (unsigned i = 0; killpoint_names[i] != NULL; i++) {
		for (unsigned round = 0; round < 2; round++) {
			char directory[512];
			char ledger[600];
			char kill_at[80];
			uint64_t nth = round == 0 ? 1 : 2 + prng_below(&prng, 4);
			bool killed;

			/* Every point once; again, later in its life, as long as time allows. */
			if (strncmp(killpoint_names[i], "register.", 9) == 0 ||
			    strncmp(killpoint_names[i], "mark.", 5) == 0 ||
			    strncmp(killpoint_names[i], "late.", 5) == 0 ||
			    strncmp(killpoint_names[i], "case.", 5) == 0 ||
			    (round > 0 && clock_mono_ns() - start_ns > INT64_C(6000000000)))
				continue;
			snprintf(directory, sizeof(directory), "%s/k%u-%u", check_directory(), i, round);
			snprintf(ledger, sizeof(ledger), "%s.ledger", directory);
			snprintf(kill_at, sizeof(kill_at), "%s:%llu", killpoint_names[i], (unsigned long long)nth);
			child_run(directory, ledger, prng_next(&prng), first_day, kill_at, &killed);
			if (round == 0 && !killed)
				check_note("%s was never passed", kill_at);
			CHECK(round > 0 || killed);
			kills += killed;
			killed_verify(directory, ledger, first_day, kill_at);
		}
	}
	printf("\n    %u kills ", kills);
}

static void durable_count(void *context, const struct journal_commit *commit)
{
	uint64_t *count = context;

	for (unsigned i = 0; i < commit->run_count; i++)
		*count += commit->runs[i].count;
}

static int big_open(const char *directory, const char *master, struct io *io, uint64_t *count, bool threads_off,
		    struct store **ret_store)
{
	struct journal_hooks journal = {.durable = durable_count, .context = count};
	struct store_hooks hooks = {.journal = &journal};
	struct store_options options = {.directory = directory,
					.master_path = master,
					.workers = 1,
					.key_version = 1,
					.memtable_bytes_max = (size_t)512 << 20,
					.journal_file_size = 32 << 20,
					.journal_slab_size = 1 << 20,
					.journal_slab_count = 4,
					.journal_commit_interval_ns = 1000000,
					.journal_roll_age_ns = INT64_C(3600000000000),
					.lane_size = 1 << 20,
					.reserve_bytes = 1 << 20,
					.threads_off = threads_off};
	struct err err;
	int result = store_open(&options, &hooks, io, &err, ret_store);

	if (result < 0)
		fprintf(stderr, "%s\n", err.text);
	return result;
}

static void big_read(struct prng *prng, int64_t base_us, struct read *ret_read)
{
	uint64_t vehicle = prng_below(prng, 400000) * prng_below(prng, 1000) / 1000;

	*ret_read = (struct read){.camera = 1 + (uint32_t)prng_below(prng, 1000),
				  .feed = 1,
				  .epoch = 1,
				  .confidence = (uint8_t)prng_below(prng, 101),
				  .capture_us = base_us + (int64_t)prng_below(prng, (uint64_t)DAY_US)};
	for (unsigned i = 0; i < 7; i++, vehicle /= 11)
		ret_read->key[i] = ret_read->text[i] = (uint8_t)('A' + (vehicle * 7 + i) % 26);
}

/* A process that journals and is killed before anything is sealed. */
static int fill_main(const char *directory, const char *master)
{
	struct prng prng = {42};
	int64_t base_us = (int64_t)(read_day(clock_wall_us()) - 5) * DAY_US;
	struct lane_window *window;
	uint64_t durable = 0;
	uint64_t next = 1;
	struct store *store;
	struct io *io;

	log_level_set(LOG_LEVEL_ERROR);
	if (io_real_new(&io) < 0 || big_open(directory, master, io, &durable, true, &store) < 0 ||
	    store_lane(store, 1, 1, FEED_LANE_LIVE, &window) != 0)
		return 3;
	while (durable < UNSEALED_READS) {
		struct run run = {.first = next, .feed = 1, .epoch = 1, .count = 28};
		struct read reads[28];

		for (unsigned i = 0; i < 28; i++)
			big_read(&prng, base_us, &reads[i]);
		while (journal_append(store_journal(store, 0), window, &run, reads, NULL, 0) != 0) {
			journal_poll(store_journal(store, 0), clock_mono_ns());
			(void)store_keep(store);
		}
		next += 28;
		if (next % (28 * 64) == 1)
			journal_poll(store_journal(store, 0), clock_mono_ns());
		if (next >= UNSEALED_READS)
			for (unsigned i = 0; i < 100 && durable < UNSEALED_READS; i++) {
				journal_poll(store_journal(store, 0), clock_mono_ns());
				usleep(1000);
			}
	}
	raise(SIGKILL);
	return 0;
}

static void test_recovery_time(void)
{
	char directory[512];
	char master[600];
	struct store_status *status = malloc(sizeof(*status));
	struct store *store;
	struct io *io;
	uint64_t durable = 0;
	int64_t start_ns;
	int64_t open_ns;
	int wait_status;
	pid_t pid;

	CHECK(status != NULL);
	snprintf(directory, sizeof(directory), "%s/fill", check_directory());
	snprintf(master, sizeof(master), "%s.master", directory);
	pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		execl("/proc/self/exe", "test_store_kill", "--fill", directory, master, (char *)NULL);
		_exit(7);
	}
	CHECK_INT(pid, waitpid(pid, &wait_status, 0));
	CHECK(WIFSIGNALED(wait_status) && WTERMSIG(wait_status) == SIGKILL);
	CHECK_INT(0, io_real_new(&io));
	start_ns = clock_mono_ns();
	CHECK_INT(0, big_open(directory, master, io, &durable, true, &store));
	open_ns = clock_mono_ns() - start_ns;
	CHECK_INT(0, store_status(store, status));
	CHECK(status->recovery_reads >= UNSEALED_READS);
	CHECK_INT(status->recovery_reads, status->stored_total);
	CHECK_INT(0, status->damage_count);
	start_ns = clock_mono_ns();
	CHECK_INT(0, store_seal_all(store, 0));
	start_ns = clock_mono_ns() - start_ns;
	printf("\n    %llu unsealed reads: open %.2f s (journals %.2f s), sealed in %.2f s, %.1f M reads/s ",
	       (unsigned long long)status->recovery_reads, (double)open_ns / 1e9, (double)status->recovery_ns / 1e9,
	       (double)start_ns / 1e9, (double)status->recovery_reads * 1e3 / (double)start_ns);
	durable = status->recovery_reads;
	CHECK_INT(0, store_status(store, status));
	CHECK_INT(durable, status->reads_segments + status->collapsed_total);
	CHECK_INT(0, status->reads_memtable);
	printf("%.1f bytes/read ", (double)status->segment_bytes / (double)status->reads_segments);
	CHECK_INT(0, store_close(store, true));
	io_real_free(io);
	free(status);
}

int main(int argc, char **argv)
{
	static const struct check_test tests[] = {{"a kill at every named point loses nothing", test_every_point},
						  {"recovery of many unsealed reads", test_recovery_time},
						  {NULL, NULL}};

	if (argc == 6 && strcmp(argv[1], "--child") == 0)
		return child_main(argv[2], argv[3], argv[4], argv[5]);
	if (argc == 4 && strcmp(argv[1], "--fill") == 0)
		return fill_main(argv[2], argv[3]);
	log_level_set(LOG_LEVEL_ERROR);
	/* A killed process loses nothing that the kernel has: memory will do, and saves thousands of flushes. */
	if (access("/dev/shm", W_OK) == 0)
		(void)setenv("TMPDIR", "/dev/shm", 0);
	return check_main(argc, argv, "storage store, killed", tests);
}
