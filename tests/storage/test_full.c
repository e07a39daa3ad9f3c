/*
 * A file system that fills up, at every step of a store's work: what is acknowledged is kept, what is journalled can be
 * sealed, a stop and a start work on the full disk, a purge makes room, and service resumes unaided.
 */
#include "storage/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "appliance/base/log.h"
#include "storage/io.h"
#include "storage/store_internal.h"
#include "tests/check.h"
#include "tests/storage/rig_check.h"
#include "tests/storage/sim_io.h"
#include "tests/storage/store_rig.h"

#ifdef __SANITIZE_ADDRESS__
#define TRIALS 4
#else
#define TRIALS 12
#endif
#define TURNS_MAX 400

struct full {
	struct io *io;
	struct rig rig;
	struct store_status status;
	unsigned trial;
	char name[32]; /* of the trial, for notes */
};

static void full_problem(const struct full *full, const char *what)
{
	check_note("%s: %s", full->name, what);
}

static void full_verify(struct full *full)
{
	rig_check(&full->rig, rig_verify(&full->rig), full->name);
}

static void full_open(struct full *full)
{
	rig_check_open(&full->rig, full->name);
}

/* The keeper measures five times a second; a test has no such time. */
static void full_status(struct full *full)
{
	full->rig.store->disk_checked_ns = 0;
	(void)store_keep(full->rig.store);
	CHECK_INT(0, store_status(full->rig.store, &full->status));
}

static void full_work(struct full *full, unsigned turns, bool seal)
{
	for (unsigned i = 0; i < turns; i++) {
		(void)rig_send(&full->rig);
		rig_settle(&full->rig, 3);
		full->rig.store->disk_checked_ns = 0;
		if (seal && prng_chance(&full->rig.prng, 200))
			(void)store_seal_all(full->rig.store, INT64_C(20000000));
	}
}

/* Bounds the disk a random little above the reserve, so that each trial runs out at another step. */
static void full_bound(struct full *full)
{
	struct io_space space;
	uint64_t room;

	sim_capacity(full->io, UINT64_C(1) << 30);
	full_status(full);
	CHECK_INT(0, full->io->ops->space(full->io, full->rig.directory, &space));
	room = prng_below(&full->rig.prng, 5 * full->rig.options.journal_file_size / 4096) * 4096;
	sim_capacity(full->io, space.total_bytes - space.free_bytes + full->status.disk_reserve_bytes + room);
}

static void full_fill(struct full *full)
{
	uint64_t acked = 0;
	unsigned still = 0;

	for (unsigned turn = 0; turn < TURNS_MAX && still < 3; turn++) {
		full_work(full, 8, true);
		full_status(full);
		if (full->status.state == STORE_SEAL_FAILING)
			full_problem(full, full->status.why);
		CHECK(full->status.state != STORE_SEAL_FAILING);
		CHECK_INT(0, full->status.damage_count);
		still = full->rig.acked == acked ? still + 1 : 0;
		acked = full->rig.acked;
	}
	CHECK(still == 3);
	CHECK_INT(STORE_DISK_FULL, full->status.state);
	CHECK(strstr(full->status.why, "disk is full") != NULL);
}

static void full_purge(struct full *full, unsigned day)
{
	int result = rig_purge(&full->rig, day);

	if (result != 0)
		full_problem(full, full->rig.err.text);
	CHECK_INT(0, result);
}

static void full_trial(struct full *full)
{
	uint64_t acked;

	full_open(full);
	/* So much that two of three days are more than the two journal files and their sealing that service needs. */
	full_work(full, 700 + (unsigned)prng_below(&full->rig.prng, 100), true);
	full_bound(full);
	full_fill(full);
	full_verify(full);
	if (full->trial % 2 == 0) { /* a stop and a start in between, clean or not */
		(void)rig_close(&full->rig, full->trial % 4 == 0);
		full_open(full);
		full_verify(full);
	}
	full_purge(full, 0);
	full_purge(full, 1);
	full_status(full);
	if (full->status.state != STORE_RUNNING)
		full_problem(full, full->status.why);
	CHECK_INT(STORE_RUNNING, full->status.state);
	CHECK(store_credit_open(full->rig.store));
	acked = full->rig.acked;
	full_work(full, 20, false);
	CHECK(full->rig.acked > acked);
	full_verify(full);
	CHECK_INT(0, rig_close(&full->rig, true));
	full_open(full);
	full_verify(full);
	CHECK(rig_verify_tidy(&full->rig));
	CHECK_INT(0, rig_close(&full->rig, false));
}

static void test_full(void)
{
	for (unsigned trial = 0; trial < TRIALS; trial++) {
		struct full *full = calloc(1, sizeof(*full));
		char path[600];

		CHECK(full != NULL);
		full->trial = trial;
		snprintf(full->name, sizeof(full->name), "trial %u", trial);
		full->io = sim_new(check_seed() + trial);
		snprintf(path, sizeof(path), "%s/db%u", check_memory_directory(), trial);
		rig_init(&full->rig, full->io, "/gantry", path, check_seed() + trial);
		full->rig.options.journal_file_size = 64 << 10;
		full->rig.options.journal_slab_size = 16 << 10;
		full_trial(full);
		sim_free(full->io);
		free(full);
	}
}

int main(int argc, char **argv)
{
	static const struct check_test tests[] = {{"a disk that fills up loses nothing and recovers", test_full},
						  {NULL, NULL}};

	log_level_set(LOG_LEVEL_ERROR);
	return check_main(argc, argv, "storage full disk", tests);
}
