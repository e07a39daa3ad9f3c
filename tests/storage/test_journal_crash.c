/* The journal when the power goes, writes fail, the disk is full or rots. */
#include <errno.h>

#include "appliance/base/prng.h"
#include "storage/io.h"
#include "storage/journal.h"
#include "storage/journal_file.h"
#include "storage/keyring.h"
#include "storage/lane.h"
#include "storage/lane_map.h"
#include "tests/check.h"
#include "tests/storage/journal_rig.h"
#include "tests/storage/sim_io.h"

/* The power goes; what a boot then finds is all that was acknowledged. The end of the rig. */
static void crash_and_check(struct rig *rig)
{
	struct found found;

	rig_stop(rig);
	sim_crash(rig->io);
	CHECK_INT(0, rig_boot(rig, &found));
	rig_check_disk(rig, &found);
	rig_free(rig);
}

/* Boots, lives and dies at operation `cut`; then again a little later; then all must be there. */
static bool crash_once(uint64_t seed, uint64_t cut, unsigned *ret_points)
{
	struct rig *rig = rig_new(seed);
	struct found found;
	bool reached = false;

	for (unsigned life = 0; life < 3; life++) {
		sim_cut_at(rig->io, cut == 0 ? 0 : sim_ops(rig->io) + (life == 0 ? cut : 1 + cut * 7 % 61));
		if (rig_boot(rig, &found) == 0) {
			rig_check_disk(rig, &found);
			(void)rig_live(rig, 220, NULL);
			rig_check_memory(rig);
		}
		if (life == 0)
			reached = sim_is_cut(rig->io);
		*ret_points += sim_is_cut(rig->io);
		rig_stop(rig);
		sim_crash(rig->io);
	}
	CHECK_INT(0, rig_boot(rig, &found));
	rig_check_disk(rig, &found);
	rig_free(rig);
	return reached;
}

static void test_crash_at_every_operation(void)
{
	unsigned points = 0;

	for (unsigned round = 0; round < 7; round++)
		for (uint64_t cut = 1; crash_once(check_seed() + round, cut, &points); cut++)
			;
	check_note("%u crash points", points);
	CHECK(points > 1000);
}

static void test_failed_write_goes_to_next_file(void)
{
	for (uint64_t nth = 1; nth <= 60; nth++) {
		struct rig *rig = rig_new(check_seed() + nth);
		struct found found;
		struct journal_info info;

		CHECK_INT(0, rig_boot(rig, &found));
		sim_fail(rig->io, SIM_SUBMIT, nth, 1, nth % 2 ? EIO : ENOSPC);
		(void)rig_live(rig, 1500, NULL);
		CHECK(rig_settle(rig));
		journal_info(rig->journal, &info);
		CHECK_INT(1, info.failed_writes);
		CHECK(!info.closed);
		CHECK_INT(0, rig_unacked(rig));
		rig_check_memory(rig);
		crash_and_check(rig);
	}
}

/* Several writes in a row fail, then crash somewhere on the way back. */
static void test_failures_and_crash(void)
{
	for (uint64_t nth = 1; nth <= 600; nth++) {
		struct rig *rig = rig_new(check_seed() + 1000 + nth);
		struct found found;

		CHECK_INT(0, rig_boot(rig, &found));
		sim_fail(rig->io, SIM_SUBMIT, 1 + nth % 23, 1 + nth % 9, EIO);
		sim_cut_at(rig->io, sim_ops(rig->io) + 20 + nth * 13 % 200);
		(void)rig_live(rig, 900, NULL);
		rig_check_memory(rig);
		crash_and_check(rig);
	}
}

static void test_closes_after_two_failures_and_reopens(void)
{
	struct rig *rig = rig_new(check_seed());
	struct found found;
	struct journal_info info;
	unsigned closed = 0;

	CHECK_INT(0, rig_boot(rig, &found));
	(void)rig_live(rig, 300, NULL);
	sim_fail(rig->io, SIM_SUBMIT, 1, UINT64_MAX, EIO);
	(void)rig_live(rig, 1500, &closed);
	CHECK(closed > 0);
	journal_info(rig->journal, &info);
	CHECK(info.closed);
	CHECK(info.why != NULL);
	CHECK_INT(0, journal_credit(rig->journal));
	CHECK(rig_unacked(rig) > 0);
	rig_check_memory(rig);
	sim_fail(rig->io, 0, 0, 0, 0);
	CHECK(rig_settle(rig));
	journal_info(rig->journal, &info);
	CHECK(!info.closed);
	CHECK_INT(0, rig_unacked(rig));
	rig_seal(rig); /* all that room was taken by may lie in files that are only waiting for this */
	rig_keep(rig);
	CHECK(journal_credit(rig->journal) > 0);
	(void)rig_live(rig, 500, NULL);
	CHECK(rig_settle(rig));
	CHECK_INT(0, rig_unacked(rig));
	rig_check_memory(rig);
	rig_stop(rig);
	CHECK_INT(0, rig_boot(rig, &found));
	rig_check_disk(rig, &found);
	rig_free(rig);
}

static void test_full_disk_pushes_back_and_resumes(void)
{
	struct rig *rig = rig_new(check_seed());
	struct found found;
	struct journal_info info;

	rig->options.roll_age_ns = INT64_MAX;
	CHECK_INT(0, rig_boot(rig, &found));
	sim_capacity(rig->io, 100 * IO_ALIGN); /* the file there is and one or two more */
	CHECK(rig_live(rig, 8000, NULL) > 0);
	for (unsigned i = 0; i < 200; i++) {
		rig_poll(rig);
		rig_keep(rig);
	}
	journal_info(rig->journal, &info);
	CHECK(info.why != NULL);
	CHECK_INT(0, info.failed_writes); /* found out ahead, never at a commit */
	CHECK(journal_credit(rig->journal) == 0);
	CHECK_INT(0, rig_unacked(rig));
	rig_check_memory(rig);
	sim_capacity(rig->io, 0);
	CHECK(rig_settle(rig));
	CHECK(journal_credit(rig->journal) > 0);
	CHECK_INT(0, rig_append(rig, 0, 1));
	CHECK(rig_settle(rig));
	CHECK_INT(0, rig_unacked(rig));
	rig_stop(rig);
	CHECK_INT(0, rig_boot(rig, &found));
	rig_check_disk(rig, &found);
	rig_free(rig);
}

static void test_no_file_when_space_is_reserved(void)
{
	struct rig *rig = rig_new(check_seed());
	struct found found;
	struct journal_info info;

	CHECK_INT(0, rig_boot(rig, &found));
	CHECK_INT(0, rig_append(rig, 0, 1)); /* takes the prepared file */
	CHECK(!journal_keep(rig->journal, false));
	journal_info(rig->journal, &info);
	CHECK(info.why != NULL);
	CHECK(journal_keep(rig->journal, true));
	journal_info(rig->journal, &info);
	CHECK(info.why == NULL);
	rig_free(rig);
}

/* Every step of preparing a file may fail: the next try succeeds, and no key is left without a file. */
static int key_count(void *context, struct key_id id)
{
	(void)id;
	++*(unsigned *)context;
	return 0;
}

static void rig_wait_unkept(struct rig *rig)
{
	for (unsigned i = 0; i < 40; i++)
		rig_poll(rig);
}

static void test_preparing_fails_at_every_step(void)
{
	for (uint64_t nth = 1; nth < 80; nth++) {
		struct rig *rig = rig_new(check_seed() + nth);
		struct found found;
		unsigned keys = 0;

		CHECK_INT(0, rig_boot(rig, &found));
		CHECK_INT(0, rig_append(rig, 0, 1));
		sim_fail(rig->io, SIM_ALL & ~SIM_SUBMIT, (nth + 1) / 2, 1, EIO);
		for (unsigned i = 0; i < 4; i++)
			(void)journal_keep(rig->journal, true);
		CHECK_INT(0, keyring_each(rig->keyring, KEY_JOURNAL, key_count, &keys));
		CHECK_INT(2, keys);
		/* The worker goes over to the new file; what was prepared by halves must not be among what it is given.
		 */
		rig_wait_unkept(rig);
		journal_roll(rig->journal);
		rig_wait_unkept(rig);
		CHECK_INT(0, rig_append(rig, 0, 1));
		rig_wait_unkept(rig);
		CHECK_INT(0, rig_unacked(rig));
		if (nth % 2 == 0)
			sim_cut_at(rig->io, sim_ops(rig->io) + 1);
		crash_and_check(rig);
	}
}

static void lost_note(void *context, const struct lane_id *id, const struct lane_range *range)
{
	struct rig *rig = context;
	unsigned lane = (id->feed - 100) * FEED_LANE_COUNT + id->lane;

	/* Named lost: it was acknowledged, and it is not there. */
	for (uint64_t sequence = range->first; sequence <= range->last; sequence++) {
		rig->told_wrong |= !rig->acked[lane][sequence];
		rig->acked[lane][sequence] = false;
	}
}

static void test_rot_in_acknowledged_frame(void)
{
	for (unsigned round = 0; round < 40; round++) {
		struct rig *rig = rig_new(check_seed() + round);
		struct found found;
		struct found after;
		uint64_t offset;

		rig->options.file_size = 400 * IO_ALIGN;
		rig->options.roll_age_ns = INT64_MAX;
		CHECK_INT(0, rig_boot(rig, &found));
		(void)rig_live(rig, 1500, NULL);
		CHECK(rig_settle(rig));
		rig_stop(rig); /* END says that all was durable */
		CHECK_INT(0, keyring_open(&ring_options, rig->io, NULL, &rig->keyring));
		rig_scan(rig, &found);
		rig_check_disk(rig, &found);
		lane_map_free(found.map);
		/* A byte in the body of some frame but the last two: the bodies of small frames end early, padding is
		 * void. */
		offset = (1 + prng_below(&rig->prng, 20)) * IO_ALIGN +
			 prng_below(&rig->prng, JOURNAL_FRAME_HEADER_SIZE - 8);
		CHECK_INT(0, sim_rot(rig->io, RIG_DIRECTORY "/w00-0000000001.closed", offset, 1 << round % 8));
		rig_scan(rig, &after);
		CHECK_INT(0, after.wrong);
		if (after.rows == found.rows || !after.first.ended) {
			lane_map_free(after.map); /* padding, or END itself */
			rig_free(rig);
			continue;
		}
		CHECK_INT(1, after.damaged);
		CHECK_INT(1, after.first.hole_count);
		CHECK(after.first.holes[0].damage);
		CHECK_INT(after.first.holes[0].first_frame, after.first.holes[0].last_frame);
		CHECK(after.first.last_frame == found.first.last_frame);
		CHECK_INT(found.first.frames - 1, after.first.frames);
		for (unsigned lane = 0; lane < RIG_LANES; lane++) {
			struct lane_id id = rig_lane_id(lane);

			CHECK_INT(0, lane_map_watermark(after.map, &id, after.watermarks[lane], lost_note, rig));
		}
		CHECK(!rig->told_wrong);
		lane_map_free(after.map);
		rig_free(rig);
	}
}

static void test_many_lives_one_disk(void)
{
	struct rig *rig = rig_new(check_seed());
	struct found found;

	for (unsigned life = 0; life < 25; life++) {
		CHECK_INT(0, rig_boot(rig, &found));
		rig_check_disk(rig, &found);
		(void)rig_live(rig, 400, NULL);
		if (prng_chance(&rig->prng, 500))
			CHECK(rig_settle(rig));
		rig_check_memory(rig);
		if (prng_chance(&rig->prng, 500)) {
			sim_cut_at(rig->io, sim_ops(rig->io) + 1);
			(void)rig->io->ops->mkdir(rig->io, "/x");
		}
		rig_stop(rig);
		sim_crash(rig->io);
	}
	rig_free(rig);
}

int main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{"a crash at every operation loses nothing acknowledged", test_crash_at_every_operation},
		{"a failed write is repeated in the next file", test_failed_write_goes_to_next_file},
		{"several failures, then a crash", test_failures_and_crash},
		{"two failures close the journal until the disk heals", test_closes_after_two_failures_and_reopens},
		{"a full disk pushes back and resumes", test_full_disk_pushes_back_and_resumes},
		{"no file is prepared into the reserves", test_no_file_when_space_is_reserved},
		{"preparing a file fails at every step", test_preparing_fails_at_every_step},
		{"rot in an acknowledged frame is damage, the rest is kept", test_rot_in_acknowledged_frame},
		{"many lives on one disk", test_many_lives_one_disk},
		{NULL, NULL},
	};

	return check_main(argc, argv, "journal failures", tests);
}
