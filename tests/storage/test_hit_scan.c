/* Hits by their numbers on the simulated disk: through restarts, power cuts, failing writes, merges, purges, marks. */
#include "storage/hit_scan.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/clock.h"
#include "appliance/base/log.h"
#include "storage/io.h"
#include "storage/keyring.h"
#include "storage/marks.h"
#include "storage/store_internal.h"
#include "storage/tidier.h"
#include "tests/check.h"
#include "tests/storage/rig_check.h"
#include "tests/storage/rig_hits.h"
#include "tests/storage/sim_io.h"
#include "tests/storage/store_rig.h"
#include "tests/storage/store_world.h"

static void check_hits(struct rig *rig, const char *what)
{
	rig_check(rig, rig_verify(rig), what);
	rig_check(rig, rig_verify_hits(rig), what);
}

static void test_everywhere(void)
{
	struct io *io = sim_new(check_seed());
	struct rig *rig = rig_new(io, check_seed());

	for (unsigned round = 0; round < 6; round++) {
		rig->options.workers = 1 + round % 3; /* their number may change */
		rig_check_open(rig, "open");
		check_hits(rig, "opened");
		rig_send_some(rig, 60);
		rig_settle(rig, 1000);
		check_hits(rig, "in memory");
		if (round % 3 == 1)
			CHECK_INT(0, store_seal_all(rig->store, INT64_C(5000000000)));
		check_hits(rig, "sealed");
		if (round == 4)
			CHECK_INT(0, rig_purge(rig, 0));
		check_hits(rig, "purged");
		CHECK_INT(0, rig_close(rig, round % 2 == 1));
	}
	rig_check_open(rig, "open");
	check_hits(rig, "in the end");
	rig_done(rig, io);
}

/* The power goes anywhere, again in recovery: no hit changes its number, none lies below what was seen. */
static void test_power_cuts(void)
{
	struct prng prng = {check_seed()};
	int64_t start_ns = clock_mono_ns();
	unsigned cuts = 0;

	while (cuts < 100 && clock_mono_ns() - start_ns < INT64_C(4000000000)) {
		uint64_t seed = prng_next(&prng);
		struct io *io = sim_new(seed);
		struct rig *rig = rig_new(io, seed);

		sim_cut_at(io, 1 + prng_below(&prng, 700));
		if (rig_open(rig) == 0) {
			rig_scenario(rig);
			(void)rig_close(rig, prng_chance(&prng, 500));
		}
		sim_crash(io);
		sim_cut_at(io, sim_ops(io) + 1 + prng_below(&prng, 60));
		if (rig_open(rig) == 0) {
			rig_send_some(rig, 5);
			(void)rig_close(rig, prng_chance(&prng, 500));
		}
		sim_crash(io);
		sim_cut_at(io, 0);
		rig_check_open(rig, "open");
		if (!rig_verify(rig) || !rig_verify_hits(rig))
			check_note("seed %llu: %s", (unsigned long long)seed, rig->problem);
		check_hits(rig, "recovered");
		(void)rig_resend(rig);
		rig_settle(rig, 1000);
		check_hits(rig, "sent again");
		CHECK_INT(0, rig_close(rig, prng_chance(&prng, 500)));
		rig_check_open(rig, "open");
		check_hits(rig, "opened again");
		rig_done(rig, io);
		cuts++;
	}
	printf("\n    %u power cuts ", cuts);
}

/* Writes fail anywhere, so that slabs move to other files; then the power goes. */
static void test_failing_writes(void)
{
	struct prng prng = {check_seed()};
	int64_t start_ns = clock_mono_ns();
	unsigned rounds = 0;

	while (rounds < 200 && clock_mono_ns() - start_ns < INT64_C(4000000000)) {
		uint64_t seed = prng_next(&prng);
		struct io *io = sim_new(seed);
		struct rig *rig = rig_new(io, seed);

		rig->options.journal_file_size = 128 << 10; /* rolls often */
		rig_check_open(rig, "open");
		for (unsigned i = 0; i < 12; i++) {
			sim_fail(io, SIM_SUBMIT, 1 + prng_below(&prng, 4), 1 + prng_below(&prng, 2), EIO);
			rig_send_some(rig, 12);
			rig_settle(rig, 3);
		}
		sim_fail(io, SIM_ALL, 0, 0, EIO);
		if (prng_chance(&prng, 500))
			rig_settle(rig, 1000);
		if (rig->hits_wrong)
			check_note("seed %llu: %s", (unsigned long long)seed, rig->problem);
		CHECK(!rig->hits_wrong);
		if (prng_chance(&prng, 500))
			(void)rig_close(rig, false);
		else {
			sim_cut_at(io, sim_ops(io) + 1);
			(void)rig_close(rig, false);
			sim_crash(io);
			sim_cut_at(io, 0);
		}
		rig_check_open(rig, "open");
		if (!rig_verify(rig) || !rig_verify_hits(rig))
			check_note("seed %llu: %s", (unsigned long long)seed, rig->problem);
		check_hits(rig, "recovered");
		rig_done(rig, io);
		rounds++;
	}
	printf("\n    %u rounds ", rounds);
}

int main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{"hits keep their numbers from the journal to the segment and after", test_everywhere},
		{"power cuts change no number", test_power_cuts},
		{"failing writes change no order", test_failing_writes},
		{NULL, NULL},
	};

	log_level_set(getenv("GANTRY_TEST_LOG") != NULL ? LOG_LEVEL_DEBUG : LOG_LEVEL_ERROR);
	return check_main(argc, argv, "hit_scan", tests);
}
