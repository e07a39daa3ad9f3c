/* What is appended is found again; files roll, and are answered; too many hits are left out. */
#include <errno.h>
#include <stdlib.h>

#include "storage/io.h"
#include "storage/journal.h"
#include "storage/journal_file.h"
#include "storage/lane.h"
#include "storage/lane_map.h"
#include "storage/memtable.h"
#include "tests/check.h"
#include "tests/storage/journal_rig.h"
#include "tests/storage/sim_io.h"

static void test_round_trip(void)
{
	struct rig *rig = rig_new(check_seed());
	struct found found;
	struct journal_info info;

	CHECK_INT(0, rig_boot(rig, &found));
	CHECK_INT(0, found.files);
	CHECK(journal_credit(rig->journal) > 0);
	(void)rig_live(rig, 4000, NULL);
	CHECK(rig_settle(rig));
	CHECK_INT(0, rig_unacked(rig));
	CHECK(rig->rows_acked > 1000);
	CHECK(rig->refused_acked > 10);
	CHECK(rig->hits_told > 50);
	rig_check_memory(rig);
	journal_info(rig->journal, &info);
	CHECK(info.frames > 10);
	CHECK_INT(0, info.failed_writes);
	CHECK(info.why == NULL);
	rig_stop(rig);
	CHECK_INT(0, rig_boot(rig, &found));
	CHECK(found.files > 1);
	CHECK_INT(0, found.torn);
	rig_check_disk(rig, &found);
	CHECK(found.first.ended);
	rig_free(rig);
}

static unsigned roll_count_closed(struct rig *rig)
{
	struct memtable_view view;
	unsigned closed = 0;

	rig_poll(rig);
	rig_keep(rig);
	CHECK_INT(0, memtable_view_take(rig->memtable, &view));
	for (size_t i = 0; i < view.count; i++)
		closed += atomic_load(&view.generations[i]->state) == GENERATION_CLOSED;
	memtable_view_release(rig->memtable, &view);
	return closed;
}

/* As rig_settle, without the sealer. */
static bool rig_wait(struct rig *rig)
{
	int64_t due;

	for (unsigned i = 0; i < 200; i++) {
		rig_poll(rig);
		rig_keep(rig);
		if (journal_idle(rig->journal, &due))
			return true;
	}
	return false;
}

static void test_roll_on_request_and_by_age(void)
{
	struct rig *rig = rig_new(check_seed());
	struct found found;

	CHECK_INT(0, rig_boot(rig, &found));
	journal_roll(rig->journal); /* nothing is in it: nothing to close */
	CHECK(rig_wait(rig));
	CHECK_INT(0, roll_count_closed(rig));
	CHECK_INT(0, rig_append(rig, 0, 1));
	CHECK(rig_wait(rig));
	journal_roll(rig->journal);
	CHECK(rig_wait(rig));
	CHECK_INT(1, roll_count_closed(rig));
	CHECK_INT(0, rig_append(rig, 0, 1));
	CHECK(rig_wait(rig));
	CHECK_INT(1, roll_count_closed(rig));
	rig->now += rig->options.roll_age_ns;
	CHECK(rig_wait(rig));
	CHECK_INT(2, roll_count_closed(rig));
	CHECK_INT(0, rig_unacked(rig));
	rig_free(rig);
}

/* Rows that stand in files which are not left for good. */
static unsigned rows_not_closed(struct rig *rig)
{
	struct memtable_view view;
	unsigned rows = 0;

	CHECK_INT(0, memtable_view_take(rig->memtable, &view));
	for (size_t i = 0; i < view.count; i++)
		if (atomic_load(&view.generations[i]->state) != GENERATION_CLOSED)
			rows += (unsigned)atomic_load(&view.generations[i]->row_count_durable);
	memtable_view_release(rig->memtable, &view);
	return rows;
}

/* Whatever fails meanwhile: when a roll is answered, all that was appended before is durable in files that are left. */
static void test_roll_is_answered_when_all_is_left(void)
{
	for (unsigned nth = 0; nth < 60; nth++) {
		struct rig *rig = rig_new(check_seed() + nth);
		struct found found;

		rig->options.roll_age_ns = INT64_MAX;
		CHECK_INT(0, rig_boot(rig, &found));
		sim_fail(rig->io, SIM_SUBMIT, 1 + nth % 5, nth % 4, EIO);
		for (unsigned i = 0; i < 10; i++) {
			(void)rig_append(rig, i % RIG_LANES, 1);
			if (i % 3 == 2)
				rig_poll(rig);
		}
		journal_roll(rig->journal);
		for (unsigned i = 0; i < 2000 && journal_roll_pending(rig->journal); i++) {
			rig_poll(rig);
			if (journal_roll_pending(rig->journal))
				rig_keep(rig);
		}
		CHECK(!journal_roll_pending(rig->journal));
		CHECK_INT(0, rig_unacked(rig));
		CHECK(rig_wait(rig));
		CHECK_INT(0, rows_not_closed(rig));
		rig_free(rig);
	}
}

/* ---- more hits than fit */

struct flood {
	unsigned runs;
	unsigned hits;
	bool wrong;
};

static void flood_durable(void *context, const struct journal_commit *commit)
{
	struct flood *flood = context;
	unsigned hit = 0;

	for (unsigned i = 0; i < commit->run_count; i++) {
		unsigned count = commit->hit_count / commit->run_count;

		for (unsigned j = 0; j < count && hit < commit->hit_count; j++, hit++)
			flood->wrong |= commit->hits[hit].entry != j ||
					commit->hit_reads[commit->hits[hit].row] != &commit->rows[i][j % LANE_RUN_MAX];
	}
	flood->runs += commit->run_count;
	flood->hits += commit->hit_count;
}

static void flood_append(struct rig *rig, unsigned hit_count)
{
	struct lane_window *window = rig->windows[0];
	struct lane_id id = rig_lane_id(0);
	struct run run = {.feed = id.feed, .epoch = id.epoch, .lane = id.lane, .count = LANE_RUN_MAX};
	struct hit *hits = calloc(hit_count, sizeof(*hits));
	struct read reads[LANE_RUN_MAX];
	struct lane_fates fates;

	CHECK(hits != NULL);
	run.first = window->base;
	for (lane_judge(window, run.first, LANE_RUN_MAX, &fates); fates.fresh != UINT32_MAX; run.first += LANE_RUN_MAX)
		lane_judge(window, run.first + LANE_RUN_MAX, LANE_RUN_MAX, &fates);
	for (unsigned i = 0; i < LANE_RUN_MAX; i++)
		rig_read_make(0, run.first + i, rig->now, &reads[i]);
	for (unsigned i = 0; i < hit_count; i++)
		hits[i] = (struct hit){.row = i % LANE_RUN_MAX, .entry = i};
	CHECK_INT(0, journal_append(rig->journal, window, &run, reads, hits, hit_count));
	free(hits);
}

/* In the smallest slab and in one that takes more than a chunk of the memtable does. */
static void test_hits_beyond_bound_are_left_out(void)
{
	static const uint32_t sizes[] = {2 * IO_ALIGN, JOURNAL_FRAME_SIZE_MAX};

	for (unsigned i = 0; i < 2; i++) {
		struct rig *rig = rig_new(check_seed());
		struct flood flood = {0};
		struct journal_hooks hooks = {.durable = flood_durable, .context = &flood};
		struct found found;
		unsigned bound;

		rig->options.slab_size = sizes[i];
		rig->options.file_size = JOURNAL_HEADER_SIZE + 8 * (uint64_t)sizes[i] + IO_ALIGN;
		CHECK_INT(0, rig_boot(rig, &found));
		rig->journal = journal_free(rig->journal);
		CHECK_INT(0, journal_new(&rig->options, &hooks, rig->io, rig->keyring, rig->memtable, &rig->journal));
		bound = journal_hits_max(rig->journal);
		CHECK(bound >= 2 * LANE_RUN_MAX);
		CHECK(bound <= CHUNK_HITS);
		flood_append(rig, bound);
		flood_append(rig, bound + 1);
		flood_append(rig, CHUNK_HITS + 1000);
		CHECK(rig_settle(rig));
		CHECK_INT(3, flood.runs);
		CHECK_INT(3 * bound, flood.hits);
		CHECK(!flood.wrong);
		rig_free(rig);
	}
}

int main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{"what is appended becomes durable and is found again", test_round_trip},
		{"a file is closed on request and by age", test_roll_on_request_and_by_age},
		{"a roll is answered when all is left, whatever fails", test_roll_is_answered_when_all_is_left},
		{"of too many hits the first are kept", test_hits_beyond_bound_are_left_out},
		{NULL, NULL},
	};

	return check_main(argc, argv, "journal", tests);
}
