/* A change log written anew while entries come: cut, or killed, at every step. */
#include "storage/changelog_renew.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "storage/changelog.h"
#include "storage/io.h"
#include "storage/keyring.h"
#include "tests/check.h"
#include "tests/storage/sim_io.h"

static const uint8_t log_key[KEY_SIZE] = {7};

static int count_frame(void *context, const struct changelog_frame *frame)
{
	uint64_t *counts = context;

	counts[frame->kind]++;
	if (frame->kind == CHANGELOG_ENTRY)
		CHECK(frame->size == sizeof(uint64_t) && memcmp(frame->body, &frame->sequence, frame->size) == 0);
	return 0;
}

static int append(struct changelog *log)
{
	uint64_t number = changelog_sequence(log) + 1;

	return changelog_append(log, (const uint8_t *)&number, sizeof(number), &number);
}

static int renew_meanwhile(struct changelog *log)
{
	struct changelog_renewal *renewal;
	int result = changelog_renew_begin(log, &renewal);

	if (result < 0)
		return result;
	for (unsigned step = 0; result == 0 && step < 6; step++)
		if (step % 2 == 0)
			result = append(log);
		else
			result = step < 5 ? changelog_renew_put(renewal, (const uint8_t *)"part", 4)
					  : changelog_renew_follow(renewal, changelog_sequence(log) - 1);
	if (result == 0)
		result = append(log);
	if (result == 0)
		result = changelog_renew_finish(renewal);
	changelog_renew_end(renewal);
	return result == 0 ? append(log) : result;
}

static void test_meanwhile(void)
{
	bool was_cut = true;

	for (uint64_t cut = 1; was_cut; cut++) {
		struct io *io = sim_new(check_seed() + cut);
		struct changelog_options options = {.directory = "/l", .key = log_key};
		uint64_t counts[CHANGELOG_KIND_COUNT] = {0};
		uint64_t durable, entries;
		struct changelog *log;
		struct err err;

		CHECK_INT(0, io->ops->mkdir(io, "/l"));
		CHECK_INT(0, io->ops->dir_sync(io, "/"));
		CHECK_INT(0, changelog_open(&options, io, &err, count_frame, counts, &log));
		for (unsigned i = 0; i < 5; i++)
			CHECK_INT(0, append(log));
		sim_cut_at(io, sim_ops(io) + cut);
		(void)renew_meanwhile(log);
		was_cut = sim_is_cut(io);
		durable = changelog_sequence(log);
		CHECK(was_cut || durable == 10);
		changelog_free(log);
		sim_crash(io);
		sim_cut_at(io, 0);
		CHECK_INT(0, changelog_open(&options, io, &err, count_frame, counts, &log));
		entries = changelog_sequence(log);
		CHECK(entries == durable || (was_cut && entries == durable + 1));
		if (counts[CHANGELOG_BASE] > 0) {
			CHECK_INT(2, counts[CHANGELOG_BASE]);
			CHECK_INT(1, counts[CHANGELOG_BASE_END]);
			entries -= 5;
		}
		CHECK_INT(entries, counts[CHANGELOG_ENTRY]);
		CHECK(was_cut || counts[CHANGELOG_BASE] > 0);
		changelog_free(log);
		sim_free(io);
	}
}

static int real_open(const char *directory, struct io *io, uint64_t counts[CHANGELOG_KIND_COUNT],
		     struct changelog **ret_log)
{
	struct changelog_options options = {.directory = directory, .key = log_key};
	struct err err;

	return changelog_open(&options, io, &err, count_frame, counts, ret_log);
}

/* The process that is killed. */
static int child_main(const char *directory)
{
	uint64_t counts[CHANGELOG_KIND_COUNT] = {0};
	struct changelog *log;
	struct io *io;

	if (io_real_new(&io) < 0 || real_open(directory, io, counts, &log) < 0)
		return 1;
	for (unsigned i = 0; i < 5; i++)
		if (append(log) < 0)
			return 1;
	return renew_meanwhile(log) < 0;
}

/* Between its name and the directory's sync: the new log is there, with all that came meanwhile. */
static void test_killed(void)
{
	uint64_t counts[CHANGELOG_KIND_COUNT] = {0};
	const char *directory = check_directory();
	struct changelog *log;
	struct io *io;
	int status;
	pid_t child = fork();

	CHECK(child >= 0);
	if (child == 0) {
		(void)setenv("GANTRY_KILL", "register.renewed", 1);
		(void)execl("/proc/self/exe", "test_changelog_renew", "--child", directory, (char *)NULL);
		_exit(2);
	}
	CHECK_INT(child, waitpid(child, &status, 0));
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	CHECK_INT(0, io_real_new(&io));
	CHECK_INT(0, real_open(directory, io, counts, &log));
	CHECK_INT(9, changelog_sequence(log));
	CHECK_INT(2, counts[CHANGELOG_BASE]);
	CHECK_INT(4, counts[CHANGELOG_ENTRY]);
	CHECK_INT(0, append(log));
	changelog_free(log);
	io_real_free(io);
}

int main(int argc, char **argv)
{
	static const struct check_test tests[] = {{"power cuts at every operation", test_meanwhile},
						  {"a kill behind the rename", test_killed},
						  {NULL, NULL}};

	if (argc == 3 && strcmp(argv[1], "--child") == 0)
		return child_main(argv[2]);
	return check_main(argc, argv, "change log written anew", tests);
}
