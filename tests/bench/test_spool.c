#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "appliance/base/bytes.h"
#include "appliance/base/prng.h"
#include "bench/spool.h"
#include "tests/check.h"

#define READS 4096
#define MODEL_MAX 200000

/* One for the whole program. */
static const char *directory_get(void)
{
	static const char *directory;

	if (directory == NULL)
		directory = check_directory();
	return directory;
}

/* What a read's record is: told by its lane, sequence and a nonce, so that two reads are never alike. */
static void record_make(unsigned lane, uint64_t sequence, uint64_t nonce, uint8_t record[SPOOL_RECORD_SIZE])
{
	memset(record, (int)(nonce & 0xff), SPOOL_RECORD_SIZE);
	le64_put(record, sequence);
	le64_put(record + 8, nonce);
	record[16] = (uint8_t)lane;
}

static void push(struct spool *spool, unsigned lane, unsigned count, const uint64_t *nonces)
{
	uint8_t records[SPOOL_PUSH_MAX * SPOOL_RECORD_SIZE];
	uint64_t next = spool_next(spool, lane);

	for (unsigned i = 0; i < count; i++)
		record_make(lane, next + i, nonces[i], records + (size_t)i * SPOOL_RECORD_SIZE);
	CHECK_INT(next, spool_push(spool, lane, records, count));
}

static void behaves_as_its_model(void)
{
	struct prng prng = {check_seed()};
	struct spool *spool = NULL;
	static uint64_t nonces[FEED_LANE_COUNT][MODEL_MAX];
	static bool acked[FEED_LANE_COUNT][MODEL_MAX];
	uint64_t next[FEED_LANE_COUNT] = {1, 1};

	memset(acked, 0, sizeof(acked));
	CHECK_INT(SPOOL_FRESH, spool_open(directory_get(), 1, READS, &spool, NULL));
	for (unsigned step = 0; step < 20000; step++) {
		unsigned lane = (unsigned)prng_below(&prng, FEED_LANE_COUNT);
		uint64_t lowest = spool_lowest(spool, lane);

		if (prng_chance(&prng, 550)) {
			unsigned count = 1 + (unsigned)prng_below(&prng, SPOOL_PUSH_MAX);

			if (count > spool_room(spool, lane) || next[lane] + count >= MODEL_MAX)
				continue;
			for (unsigned i = 0; i < count; i++)
				nonces[lane][next[lane] + i] = prng_next(&prng);
			push(spool, lane, count, &nonces[lane][next[lane]]);
			next[lane] += count;
		} else if (lowest < next[lane]) {
			uint64_t first =
				prng_chance(&prng, 500) ? lowest : lowest + prng_below(&prng, next[lane] - lowest);
			uint64_t end = first + 1 + prng_below(&prng, next[lane] - first);

			spool_acknowledge(spool, lane, first, end);
			for (uint64_t s = first; s < end; s++)
				acked[lane][s] = true;
		}
		if (step % 2000 == 1999) {
			spool_close(spool);
			CHECK_INT(SPOOL_RESUMED, spool_open(directory_get(), 1, READS, &spool, NULL));
		}
		for (lane = 0; step % 50 == 0 && lane < FEED_LANE_COUNT; lane++) {
			uint64_t outstanding = 0;
			uint64_t s = spool_lowest(spool, lane);

			CHECK_INT(next[lane], spool_next(spool, lane));
			CHECK(s == next[lane] || !acked[lane][s]);
			for (; s < next[lane]; s++) {
				uint8_t expected[SPOOL_RECORD_SIZE];
				uint32_t contiguous;

				CHECK_INT(acked[lane][s], spool_acknowledged(spool, lane, s));
				outstanding += !acked[lane][s];
				record_make(lane, s, nonces[lane][s], expected);
				CHECK_MEM(expected, spool_record(spool, lane, s, &contiguous), SPOOL_RECORD_SIZE);
			}
			CHECK_INT(outstanding, spool_outstanding(spool, lane));
		}
	}
	spool_close(spool);
}

/* Shared with the child that is killed: what it was about to do, and what it had done. */
struct witness {
	uint64_t nonces[FEED_LANE_COUNT][MODEL_MAX]; /* written before a push */
	uint64_t given[FEED_LANE_COUNT];             /* next after the last push that returned */
	uint8_t begun[FEED_LANE_COUNT][MODEL_MAX];   /* set before acknowledging */
	uint8_t done[FEED_LANE_COUNT][MODEL_MAX];    /* set after */
	uint32_t ready;
};

static void work(const char *directory, struct witness *witness, uint64_t seed)
{
	struct prng prng = {seed};
	struct spool *spool = NULL;

	if (spool_open(directory, 9, READS, &spool, NULL) < 0)
		_exit(9);
	__atomic_store_n(&witness->ready, 1, __ATOMIC_RELEASE);
	for (;;) {
		unsigned lane = (unsigned)prng_below(&prng, FEED_LANE_COUNT);
		uint64_t lowest = spool_lowest(spool, lane);
		uint64_t next = spool_next(spool, lane);

		if (prng_chance(&prng, 520)) {
			unsigned count = 1 + (unsigned)prng_below(&prng, SPOOL_PUSH_MAX);

			if (count > spool_room(spool, lane) || next + count >= MODEL_MAX)
				continue;
			for (unsigned i = 0; i < count; i++)
				witness->nonces[lane][next + i] = prng_next(&prng);
			push(spool, lane, count, &witness->nonces[lane][next]);
			witness->given[lane] = next + count;
		} else if (lowest < next) {
			uint64_t first = prng_chance(&prng, 500) ? lowest : lowest + prng_below(&prng, next - lowest);
			uint64_t end = first + 1 + prng_below(&prng, next - first < 200 ? next - first : 200);

			memset(&witness->begun[lane][first], 1, end - first);
			__atomic_signal_fence(__ATOMIC_SEQ_CST);
			spool_acknowledge(spool, lane, first, end);
			__atomic_signal_fence(__ATOMIC_SEQ_CST);
			memset(&witness->done[lane][first], 1, end - first);
		}
	}
}

static void witness_compare(const char *directory, const struct witness *witness)
{
	struct spool *spool = NULL;

	CHECK_INT(SPOOL_RESUMED, spool_open(directory, 9, READS, &spool, NULL));
	for (unsigned lane = 0; lane < FEED_LANE_COUNT; lane++) {
		uint64_t next = spool_next(spool, lane);
		uint64_t lowest = spool_lowest(spool, lane);

		CHECK(next >= witness->given[lane]);
		CHECK(next <= witness->given[lane] + SPOOL_PUSH_MAX);
		for (uint64_t s = 1; s < next; s++) {
			uint8_t expected[SPOOL_RECORD_SIZE];
			uint32_t contiguous;

			if (witness->done[lane][s])
				CHECK(spool_acknowledged(spool, lane, s));
			if (!witness->begun[lane][s])
				CHECK(!spool_acknowledged(spool, lane, s));
			if (s < lowest)
				continue;
			record_make(lane, s, witness->nonces[lane][s], expected);
			CHECK_MEM(expected, spool_record(spool, lane, s, &contiguous), SPOOL_RECORD_SIZE);
		}
	}
	spool_close(spool);
}

static void survives_being_killed(void)
{
	struct prng prng = {check_seed()};
	struct witness *witness =
		mmap(NULL, sizeof(*witness), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct spool *spool = NULL;
	uint32_t epoch;

	CHECK(witness != MAP_FAILED);
	witness->given[0] = witness->given[1] = 1;
	CHECK_INT(SPOOL_FRESH, spool_open(directory_get(), 9, READS, &spool, NULL));
	epoch = spool_epoch(spool);
	spool_close(spool);
	for (unsigned round = 0; round < 150; round++) {
		struct timespec time = {0, (long)prng_below(&prng, 2000000)};
		uint64_t seed = prng_next(&prng);
		int status;
		pid_t child;

		witness->ready = 0;
		child = fork();
		if (child == 0)
			work(directory_get(), witness, seed);
		CHECK(child > 0);
		for (unsigned wait = 0; wait < 10000 && __atomic_load_n(&witness->ready, __ATOMIC_ACQUIRE) == 0; wait++)
			usleep(100);
		nanosleep(&time, NULL);
		CHECK_INT(0, kill(child, SIGKILL));
		CHECK_INT(child, waitpid(child, &status, 0));
		CHECK(WIFSIGNALED(status));
		witness_compare(directory_get(), witness);
		/* What the killed push had given already stays given. */
		CHECK(spool_open(directory_get(), 9, READS, &spool, NULL) == SPOOL_RESUMED);
		CHECK_INT(epoch, spool_epoch(spool));
		for (unsigned lane = 0; lane < FEED_LANE_COUNT; lane++)
			witness->given[lane] = spool_next(spool, lane);
		spool_close(spool);
	}
	CHECK(witness->given[0] + witness->given[1] > 1000);
	munmap(witness, sizeof(*witness));
}

static void path_of(unsigned feed, char path[256])
{
	snprintf(path, 256, "%s/feed-%u.spool", directory_get(), feed);
}

static void poke(const char *path, off_t at, uint8_t flip)
{
	int fd = open(path, O_RDWR);
	uint8_t byte;

	CHECK(fd >= 0);
	CHECK_INT(1, pread(fd, &byte, 1, at));
	byte ^= flip;
	CHECK_INT(1, pwrite(fd, &byte, 1, at));
	close(fd);
}

/* Every bit of what is written once, and of the cursors; a cut file; a file that is none. */
static void what_is_damaged_is_not_believed(void)
{
	struct prng prng = {check_seed()};
	struct spool *spool = NULL;
	char path[256];
	uint64_t nonces[10] = {1, 2, 3};
	uint32_t epoch;

	path_of(3, path);
	for (off_t at = 0; at < 128; at++) {
		if (at >= 32 && at < 64)
			continue; /* boot and spare bytes: tried below */
		CHECK(spool_open(directory_get(), 3, READS, &spool, NULL) > 0);
		push(spool, 0, 10, nonces);
		push(spool, 1, 10, nonces);
		epoch = spool_epoch(spool);
		spool_close(spool);
		poke(path, at, (uint8_t)(1 << prng_below(&prng, 8)));
		CHECK(spool_open(directory_get(), 3, READS, &spool, NULL) > 0);
		/* A cursor that is ahead of its copy by less than a push is what a kill leaves: such a flip may pass.
		 */
		if (at < 64) {
			CHECK(spool_epoch(spool) != epoch);
			CHECK_INT(1, spool_next(spool, 0));
		}
		CHECK(spool_lowest(spool, 0) <= spool_next(spool, 0));
		spool_close(spool);
		unlink(path);
	}
	CHECK_INT(SPOOL_FRESH, spool_open(directory_get(), 3, READS, &spool, NULL));
	epoch = spool_epoch(spool);
	spool_close(spool);
	CHECK_INT(0, truncate(path, 5000));
	CHECK_INT(SPOOL_RENEWED, spool_open(directory_get(), 3, READS, &spool, NULL));
	CHECK(spool_epoch(spool) != epoch);
	spool_close(spool);
	CHECK_INT(0, truncate(path, 0));
	CHECK_INT(SPOOL_RENEWED, spool_open(directory_get(), 3, READS, &spool, NULL));
	spool_close(spool);
}

/* Left open by another boot: a power cut may have torn it. Closed in order it is believed after any boot. */
static void another_boot_is_another_epoch(void)
{
	struct spool *spool = NULL;
	char path[256];
	uint8_t boot[16] = {1, 2, 3};
	uint32_t epoch;
	int fd;

	path_of(4, path);
	CHECK_INT(SPOOL_FRESH, spool_open(directory_get(), 4, READS, &spool, NULL));
	epoch = spool_epoch(spool);
	spool_close(spool);
	CHECK_INT(SPOOL_RESUMED, spool_open(directory_get(), 4, READS, &spool, NULL));
	CHECK_INT(epoch, spool_epoch(spool));
	spool_close(spool);
	fd = open(path, O_RDWR);
	CHECK_INT(16, pwrite(fd, boot, 16, 32));
	close(fd);
	CHECK_INT(SPOOL_RENEWED, spool_open(directory_get(), 4, READS, &spool, NULL));
	CHECK(spool_epoch(spool) != epoch);
	spool_close(spool);
}

static void two_users_are_one_too_many(void)
{
	struct spool *spool = NULL;
	struct spool *other = NULL;
	struct err err = {""};

	CHECK_INT(SPOOL_FRESH, spool_open(directory_get(), 5, READS, &spool, NULL));
	CHECK_INT(-EBUSY, spool_open(directory_get(), 5, READS, &other, &err));
	CHECK(strstr(err.text, "in use") != NULL);
	CHECK_INT(-ENOENT, spool_open("/nonexistent/directory", 5, READS, &other, &err));
	CHECK(other == NULL);
	spool_close(spool);
	CHECK_INT(SPOOL_FRESH, spool_open(NULL, 5, 5000, &other, NULL));
	CHECK_INT(8192, spool_capacity(other));
	spool_close(other);
}

int main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{"behaves as its model", behaves_as_its_model},
		{"survives being killed", survives_being_killed},
		{"what is damaged is not believed", what_is_damaged_is_not_believed},
		{"another boot is another epoch", another_boot_is_another_epoch},
		{"two users are one too many", two_users_are_one_too_many},
		{NULL, NULL},
	};

	return check_main(argc, argv, "bench spool", tests);
}
