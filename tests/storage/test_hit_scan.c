/* Hits by their numbers on the simulated disk: through restarts, power cuts, failing writes, merges, purges, marks. */
#include "storage/hit_scan.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "appliance/base/clock.h"
#include "appliance/base/log.h"
#include "storage/catalog.h"
#include "storage/io.h"
#include "storage/keyring.h"
#include "storage/marks.h"
#include "storage/store_internal.h"
#include "storage/tidier.h"
#include "tests/check.h"
#include "tests/storage/fake_clock.h"
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

static void lose_catalog(struct rig *rig)
{
	char path[700];

	snprintf(path, sizeof(path), "%s/catalog/data.mdb", rig->db_directory);
	CHECK_INT(0, unlink(path));
}

/* A clock that is set by hand; it always trusts itself. */
static int64_t hand_us;

static int64_t hand_wall_us(void *context)
{
	(void)context;
	return hand_us;
}

/* The highest number that any hit of the source was seen with. */
static void check_behind(struct rig *rig, unsigned source, uint64_t number)
{
	uint64_t before = rig->hit_highest[source];

	CHECK(before >= number);
	rig_send_some(rig, 40);
	rig_settle(rig, 1000);
	CHECK(!rig->hits_wrong); /* each lay behind the one before */
	CHECK(rig->hit_highest[source] > before);
}

/* The clock goes back by a year: what is made then is still numbered behind what was, or it would never be told. */
static void test_clock_goes_back(void)
{
	struct io *io = sim_new(check_seed());
	struct rig *rig = rig_new(io, check_seed());
	struct clock_source clock = clock_source_real;
	uint64_t position;

	clock.wall_us = hand_wall_us;
	rig->options.clock = &clock;
	hand_us = clock_wall_us();
	rig_check_open(rig, "open");
	CHECK_INT(0, hit_highest(rig->store, 0));
	rig_send_some(rig, 60);
	rig_settle(rig, 1000);
	CHECK(rig->hit_highest[0] >= (uint64_t)hand_us && rig->hit_highest[1] > hit_number(1, (uint64_t)hand_us));
	for (unsigned round = 0; round < 4; round++) {
		/* Sealed or in the journals, the catalog there or lost, the hits are where they are found. */
		CHECK_INT(0, rig_close(rig, round % 2 == 0));
		if (round == 2)
			lose_catalog(rig);
		hand_us -= INT64_C(365) * DAY_US / 4;
		rig_check_open(rig, "open");
		CHECK(hit_highest(rig->store, 0) == rig->hit_highest[0]);
		CHECK(hit_highest(rig->store, 1) == rig->hit_highest[1]);
		CHECK_INT(0, hit_highest(rig->store, HIT_SOURCE_LATE));
		check_behind(rig, 0, 1);
		check_hits(rig, "the clock went back");
	}
	/* A subscriber's position lies beyond all that is left. */
	CHECK_INT(0, rig_close(rig, true));
	rig_check_open(rig, "open");
	position = rig->hit_highest[1] + 1000000;
	hit_number_behind(rig->store, position);
	hit_number_behind(rig->store, position - 10);
	hit_number_behind(rig->store, hit_number(60, 5)); /* no such worker now */
	rig->hit_highest[1] = position;
	check_behind(rig, 1, position);
	rig_done(rig, io);
}

/* What cannot be read is left out and told; all else is given. */
static void test_unreadable(void)
{
	struct io *io = sim_new(check_seed());
	struct rig *rig = rig_new(io, check_seed());
	struct catalog_segment *segments;
	struct hit_found *found = calloc(RIG_SEQUENCES, sizeof(*found));
	struct store_status *status = calloc(1, sizeof(*status));
	size_t before[2], after[2], segment_count, count;
	unsigned hurt;
	char path[700], name[SEGMENT_NAME_SIZE];

	CHECK(found != NULL && status != NULL);
	rig_check_open(rig, "open");
	rig_send_some(rig, 80);
	rig_settle(rig, 1000);
	CHECK_INT(0, store_seal_all(rig->store, INT64_C(5000000000)));
	rig_send_some(rig, 20);
	rig_settle(rig, 1000);
	for (unsigned source = 0; source < 2; source++)
		CHECK_INT(0, hit_scan(rig->store, source, 0, UINT64_MAX, RIG_SEQUENCES, &rig->err, found,
				      &before[source]));
	CHECK_INT(0, catalog_segments(store_catalog(rig->store), INT32_MIN, INT32_MAX, &segments, &segment_count));
	CHECK(segment_count >= 2);
	CHECK_INT(0, rig_close(rig, false));
	snprintf(path, sizeof(path), RIG_DIRECTORY "/segments/%s",
		 segment_name(segments[0].day, segments[0].id, ".seg", name));
	/* Its first row page: the hits of these rows are lost, whatever else is. */
	CHECK_INT(0, sim_rot(io, path, SEGMENT_HEADER_SIZE + 100, 4));
	rig_check_open(rig, "open");
	for (unsigned source = 0; source < 2; source++)
		CHECK_INT(0,
			  hit_scan(rig->store, source, 0, UINT64_MAX, RIG_SEQUENCES, &rig->err, found, &after[source]));
	CHECK(after[0] + after[1] < before[0] + before[1]);
	CHECK(after[0] + after[1] > 0);
	CHECK_INT(0, store_status(rig->store, status));
	CHECK_INT(1, status->damage_count);
	/* Told once, however often it is met. A journal is one worker's, and so is its segment. */
	hurt = after[0] < before[0] ? 0 : 1;
	CHECK_INT(0, hit_scan(rig->store, hurt, 0, UINT64_MAX, RIG_SEQUENCES, &rig->err, found, &count));
	CHECK_INT(after[hurt], count);
	CHECK_INT(0, store_status(rig->store, status));
	CHECK_INT(1, status->damage_count);
	/* What may be had another time ends the call: passed over, it would be passed over for good. */
	CHECK_INT(0, rig_close(rig, false));
	rig_check_open(rig, "open");
	CHECK_INT(0, sim_deny(io, path, EMFILE));
	CHECK_INT(-EIO, hit_scan(rig->store, hurt, 0, UINT64_MAX, RIG_SEQUENCES, &rig->err, found, &count));
	CHECK(rig->err.text[0] != '\0');
	/* The other worker's hits do not lie there: nobody looks. */
	CHECK_INT(0, hit_scan(rig->store, 1 - hurt, 0, UINT64_MAX, RIG_SEQUENCES, &rig->err, found, &count));
	CHECK_INT(after[1 - hurt], count);
	CHECK_INT(0, sim_deny(io, path, 0));
	CHECK_INT(0, hit_scan(rig->store, hurt, 0, UINT64_MAX, RIG_SEQUENCES, &rig->err, found, &count));
	CHECK_INT(after[hurt], count);
	free(segments);
	free(found);
	free(status);
	rig_done(rig, io);
}

static int scan_all(struct rig *rig, struct hit_found *found, size_t *ret_count)
{
	size_t count[2] = {0, 0};
	int result = 0;

	for (unsigned source = 0; result == 0 && source < 2; source++)
		result = hit_scan(rig->store, source, 0, UINT64_MAX, RIG_SEQUENCES, &rig->err, found, &count[source]);
	*ret_count = count[0] + count[1];
	return result;
}

/* A device that fails for a moment costs no hit; one that has lost a page holds nobody up for longer than a minute. */
static void test_device(void)
{
	struct fake_clock now = {.wall_us = clock_wall_us(), .mono_ns = 1, .synchronised = true};
	struct clock_source clock = fake_clock_source(&now);
	struct io *io = sim_new(check_seed());
	struct rig *rig = rig_new(io, check_seed());
	struct hit_found *found = calloc(RIG_SEQUENCES, sizeof(*found));
	struct store_status *status = calloc(1, sizeof(*status));
	struct catalog_segment *segments;
	size_t all, count, segment_count;
	char path[700], name[SEGMENT_NAME_SIZE];

	CHECK(found != NULL && status != NULL);
	rig->options.clock = &clock;
	rig_check_open(rig, "open");
	rig_send_some(rig, 80);
	rig_settle(rig, 1000);
	CHECK_INT(0, store_seal_all(rig->store, INT64_C(5000000000)));
	CHECK_INT(0, scan_all(rig, found, &all));
	for (unsigned i = 0; i < 6; i++) {
		static const int errors[] = {EIO, ENODATA, EILSEQ, EREMOTEIO, ENOLINK, ETIMEDOUT};

		sim_fail(io, SIM_READ, 1 + i, 1000, errors[i]);
		for (unsigned second = 0; second < 50; second++) {
			now.mono_ns += INT64_C(1000000000);
			CHECK_INT(-EIO, scan_all(rig, found, &count));
			CHECK(rig->err.text[0] != '\0');
		}
		sim_fail(io, SIM_READ, 0, 0, EIO);
		CHECK_INT(0, scan_all(rig, found, &count));
		CHECK_INT(all, count);
		now.mono_ns += INT64_C(61000000000);
	}
	CHECK_INT(0, store_status(rig->store, status));
	CHECK_INT(0, status->damage_count);
	CHECK_INT(0, catalog_segments(store_catalog(rig->store), INT32_MIN, INT32_MAX, &segments, &segment_count));
	snprintf(path, sizeof(path), RIG_DIRECTORY "/segments/%s",
		 segment_name(segments[0].day, segments[0].id, ".seg", name));
	CHECK_INT(0, sim_bad_block(io, path, SEGMENT_HEADER_SIZE + 4));
	for (unsigned second = 0; second < 60; second++, now.mono_ns += INT64_C(1000000000))
		CHECK_INT(-EIO, scan_all(rig, found, &count));
	CHECK_INT(0, scan_all(rig, found, &count));
	CHECK(count > 0 && count < all);
	CHECK_INT(0, store_status(rig->store, status));
	CHECK_INT(1, status->damage_count);
	free(segments);
	free(found);
	free(status);
	rig_done(rig, io);
}

int main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{"hits keep their numbers from the journal to the segment and after", test_everywhere},
		{"power cuts change no number", test_power_cuts},
		{"failing writes change no order", test_failing_writes},
		{"a clock that went back lets no number fall behind", test_clock_goes_back},
		{"what cannot be read is left out and told", test_unreadable},
		{"a device that fails for a moment loses no hit", test_device},
		{NULL, NULL},
	};

	log_level_set(getenv("GANTRY_TEST_LOG") != NULL ? LOG_LEVEL_DEBUG : LOG_LEVEL_ERROR);
	return check_main(argc, argv, "hit_scan", tests);
}
