/*
 * gantry-load itself, killed with SIGKILL at random moments of a run and started again on the same spool and ledger. At
 * the end the ledger holds exactly the reads that the receiver made durable, each once and under its own sequence.
 * GANTRY_LOAD names the program.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "appliance/base/bytes.h"
#include "appliance/base/prng.h"
#include "bench/ledger.h"
#include "bench/loop.h"
#include "tests/bench/drive.h"
#include "tests/bench/udp_server.h"
#include "tests/check.h"

#define FEEDS 2
#define KILLS 12
#define SEQUENCES 200000

struct witness {
	uint64_t captures[FEEDS][FEED_LANE_COUNT][SEQUENCES]; /* 0: never came */
	uint32_t epochs[FEEDS];
	uint64_t durable;
	uint64_t reused; /* sequences that came back with another read */
};

static uint8_t judge(void *context, const struct loop_read *read)
{
	struct witness *w = context;
	uint64_t *capture;

	if (read->sequence >= SEQUENCES ||
	    (w->epochs[read->feed - 1] != 0 && w->epochs[read->feed - 1] != read->epoch)) {
		w->reused++;
		return 0;
	}
	w->epochs[read->feed - 1] = read->epoch;
	capture = &w->captures[read->feed - 1][read->lane][read->sequence];
	if (*capture != 0 && *capture != le64_get(read->record))
		w->reused++;
	w->durable += *capture == 0;
	*capture = le64_get(read->record);
	return 0;
}

/* argv[0] is the program. Its output goes nowhere. */
static pid_t start(const char *const argv[])
{
	pid_t child = fork();

	if (child == 0) {
		int null = open("/dev/null", O_WRONLY);

		dup2(null, STDOUT_FILENO);
		execv(argv[0], (char *const *)(uintptr_t)argv);
		_exit(127);
	}
	return child;
}

static void feeds_write(const struct feeds *feeds, const char *path)
{
	FILE *file = fopen(path, "w");

	CHECK(file != NULL);
	for (unsigned i = 0; i < feeds->count; i++) {
		char hex[65];

		fprintf(file, "%u %s\n", feeds->rows[i].feed, hex_encode(feeds->rows[i].key, 32, hex));
	}
	fclose(file);
}

static void ledger_compare(const char *path, const struct witness *witness)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);
	uint64_t count = 0;
	char *save = NULL;

	CHECK_INT(0, ledger_print(path, out, &count, NULL));
	fclose(out);
	CHECK_INT(witness->durable, count);
	for (char *line = strtok_r(text, "\n", &save); line != NULL; line = strtok_r(NULL, "\n", &save)) {
		unsigned feed;
		unsigned epoch;
		unsigned long long sequence;
		unsigned long long capture;
		char lane[16];

		CHECK_INT(5, sscanf(line, "%u\t%u\t%15s\t%llu\tacknowledged\t%llu", &feed, &epoch, lane, &sequence,
				    &capture));
		CHECK_INT(witness->epochs[feed - 1], epoch);
		CHECK_INT(capture, witness->captures[feed - 1][strcmp(lane, "backlog") == 0][sequence]);
	}
	free(text);
}

static void killed_again_and_again(void)
{
	struct witness *witness =
		mmap(NULL, sizeof(*witness), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	const struct loop_settings settings = {.judge = judge, .context = witness, .credit = 2000};
	struct prng prng = {check_seed()};
	const char *directory = check_directory();
	static struct feeds feeds;
	char feeds_path[256];
	char ledger_path[256];
	char where[64];
	uint16_t port = 0;
	pid_t server;
	pid_t child;
	int status = 0;

	if (getenv("GANTRY_LOAD") == NULL)
		CHECK_SKIP("GANTRY_LOAD does not name the program");
	drive_feeds(FEEDS, &feeds);
	server = udp_server_start(AF_INET, &feeds, &settings, &port);
	CHECK(server > 0);
	snprintf(feeds_path, sizeof(feeds_path), "%s/feeds", directory);
	snprintf(ledger_path, sizeof(ledger_path), "%s/ledger", directory);
	snprintf(where, sizeof(where), "udp:127.0.0.1:%u", port);
	feeds_write(&feeds, feeds_path);
	for (unsigned round = 0; round <= KILLS; round++) {
		const char *const argv[] = {getenv("GANTRY_LOAD"),
					    "run",
					    "--feeds",
					    feeds_path,
					    "--transport",
					    where,
					    "--spool",
					    directory,
					    "--ledger",
					    ledger_path,
					    "--cameras",
					    "600",
					    "--vehicles",
					    "2000",
					    "--rate",
					    "40000",
					    "--backlog",
					    "20",
					    "--drop",
					    "3",
					    "--reads",
					    round < KILLS ? "1000000" : "1000",
					    NULL};
		struct timespec time = {0, 50000000 + (long)prng_below(&prng, 200000000)};

		child = start(argv);
		CHECK(child > 0);
		if (round < KILLS) {
			nanosleep(&time, NULL);
			CHECK_INT(0, kill(child, SIGKILL));
		}
		CHECK_INT(child, waitpid(child, &status, 0));
	}
	/* The last one was let run to its end: all is acknowledged, no rule was broken. */
	CHECK(WIFEXITED(status));
	CHECK_INT(0, WEXITSTATUS(status));
	kill(server, SIGKILL);
	waitpid(server, NULL, 0);
	CHECK_INT(0, witness->reused);
	CHECK(witness->durable > 1000);
	ledger_compare(ledger_path, witness);
	munmap(witness, sizeof(*witness));
}

int main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{"killed again and again", killed_again_and_again},
		{NULL, NULL},
	};

	return check_main(argc, argv, "bench kill", tests);
}
