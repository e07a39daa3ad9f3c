/*
 * Merging and rewriting on the simulated disk: what is kept is kept through every crash, failing operation and full
 * disk; a rule's drops and additions against a plain model; one generation, whatever else is lost.
 */
#include "storage/rewrite.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "appliance/base/clock.h"
#include "appliance/base/log.h"
#include "storage/io.h"
#include "storage/merge.h"
#include "storage/sealer.h"
#include "storage/store_internal.h"
#include "storage/view.h"
#include "tests/check.h"
#include "tests/storage/rewrite_rig.h"
#include "tests/storage/rig_check.h"
#include "tests/storage/sim_io.h"
#include "tests/storage/store_rig.h"

#ifdef __SANITIZE_ADDRESS__
#define STEP 8 /* not at every operation: the plain build does that */
#else
#define STEP 1
#endif

static size_t choose(const uint64_t *sizes, size_t count, int64_t quiet_s, struct merge_plan *plan)
{
	struct catalog_segment *segments = calloc(count + 1, sizeof(*segments));
	bool chosen;

	CHECK(segments != NULL);
	for (size_t i = 0; i < count; i++)
		segments[i] =
			(struct catalog_segment){.id = i + 1, .day = 7, .row_count = sizes[i], .file_size = sizes[i]};
	chosen = merge_choose(segments, count, quiet_s * 1000000, INT64_C(3600000000), plan);
	free(segments);
	return chosen ? plan->parent_count : 0;
}

static void policy(void)
{
	static const uint64_t few[] = {100, 90, 80};
	static const uint64_t tail[] = {3, 100000, 2, 1};
	static const uint64_t drop[] = {100000, 1};
	static const uint64_t large[] = {1, SEGMENT_ROWS_MAX, 2, 3};
	struct merge_plan plan;
	uint64_t many[400];

	for (unsigned i = 0; i < 400; i++)
		many[i] = 1000 + i;
	CHECK_INT(0, choose(few, 0, 4000, &plan));
	CHECK_INT(0, choose(few, 1, 4000, &plan));
	CHECK_INT(0, choose(few, 3, 3599, &plan));
	CHECK_INT(3, choose(few, 3, 3600, &plan));
	CHECK_INT(7, plan.day);
	/* Late reads: by themselves at first, with the day after a day. */
	CHECK_INT(3, choose(tail, 4, 3600, &plan));
	CHECK(plan.parents[0] == 4 && plan.parents[1] == 3 && plan.parents[2] == 1);
	CHECK_INT(4, choose(tail, 4, 24 * 3600, &plan));
	CHECK_INT(0, choose(drop, 2, 3600, &plan));
	CHECK_INT(2, choose(drop, 2, 24 * 3600, &plan));
	/* A busy day: the smaller half when there are too many. */
	CHECK_INT(0, choose(many, MERGE_SEGMENTS_MAX, 0, &plan));
	CHECK_INT(32, choose(many, MERGE_SEGMENTS_MAX + 1, 0, &plan));
	CHECK_INT(1, plan.parents[0]);
	/* No more than a lineage has room for, nor than a segment may hold. */
	CHECK_INT(SEGMENT_LINEAGE_MAX, choose(many, 400, 3600, &plan));
	CHECK_INT(3, choose(large, 4, 24 * 3600, &plan));
}

static void merges_keep_every_read(void)
{
	struct io *io = sim_new(check_seed());
	struct rig *rig = rig_new(io, check_seed());
	struct store_status *status = malloc(sizeof(*status));
	uint64_t reads;

	CHECK(status != NULL);
	rig_fill(rig, 5);
	reads = rig->acked;
	CHECK_INT(5 * RIG_DAYS, rig_segments(rig));
	CHECK_INT(0, rig_merge_all(rig));
	CHECK_INT(RIG_DAYS, rig_segments(rig));
	rig_check(rig, rig_verify(rig), "merged");
	rig_check(rig, rig_verify_tidy(rig), "merged");
	rig_check_books(rig, reads);
	CHECK_INT(0, store_status(rig->store, status));
	CHECK_INT(RIG_DAYS, status->tidy.rewrites);
	CHECK(!status->tidy.running && status->tidy.why[0] == '\0');
	CHECK_INT(status->tidy.rows_total, status->tidy.rows_done);
	/* Child of children; and what came meanwhile in journals stays where it is. */
	for (unsigned i = 0; i < 24; i++)
		(void)rig_send(rig);
	rig_settle(rig, 1000);
	CHECK_INT(0, store_seal_all(rig->store, INT64_C(5000000000)));
	for (unsigned i = 0; i < 10; i++)
		(void)rig_send(rig);
	rig_settle(rig, 1000);
	CHECK_INT(0, rig_merge_all(rig));
	CHECK_INT(RIG_DAYS, rig_segments(rig));
	rig_check(rig, rig_verify(rig), "merged again");
	rig_check_reopens(rig, "reopened");
	/* A merged day is purged like any other. */
	CHECK_INT(0, rig_purge(rig, 1));
	CHECK_INT(0, rig_merge_all(rig));
	rig_check(rig, rig_verify(rig), "purged");
	rig_done(rig, io);
	free(status);
}

/* A day that is not quiet is left alone. */
static void busy_days_wait(void)
{
	struct io *io = sim_new(check_seed());
	struct rig *rig = rig_new(io, check_seed());

	rig->options.merge_quiet_us = INT64_C(3600000000);
	rig_fill(rig, 3);
	CHECK_INT(0, rig_merge_all(rig));
	CHECK_INT(3 * RIG_DAYS, rig_segments(rig));
	rig_done(rig, io);
}

/* Nor is one of a catalog that was lost: when its days were sealed is not known, and all of them would be due at once.
 */
static void days_of_a_lost_catalog_wait(void)
{
	static const struct timespec quiet = {.tv_sec = 3600};
	struct io *io = sim_new(check_seed());
	struct rig *rig = rig_new(io, check_seed());
	char path[700];
	size_t count;

	rig->options.merge_quiet_us = INT64_C(3600000000);
	rig_fill(rig, 3);
	CHECK_INT(0, rig_close(rig, true));
	snprintf(path, sizeof(path), "%s/catalog/data.mdb", rig->db_directory);
	CHECK_INT(0, unlink(path));
	rig_check_open(rig, "rebuilt");
	count = rig_segments(rig);
	CHECK(count > RIG_DAYS);
	CHECK_INT(0, rig_merge_all(rig));
	CHECK_INT(count, rig_segments(rig));
	CHECK_INT(0, nanosleep(&quiet, NULL));
	CHECK_INT(0, rig_merge_all(rig));
	CHECK_INT(RIG_DAYS, rig_segments(rig));
	CHECK(rig_verify_rows(rig));
	rig_done(rig, io);
}

/*
 * The power goes at each I/O operation of a merge, and again in the recovery: everything there once, nothing left over.
 * `lost`: the catalog is lost as well; then the files alone say which generation it is.
 */
static void cut_everywhere(bool lost)
{
	struct prng prng = {check_seed()};
	unsigned cuts = 0;
	bool through = false;

	for (uint64_t at = 1; !through; at += STEP) {
		uint64_t seed = prng_next(&prng);
		struct io *io = sim_new(seed);
		struct rig *rig = rig_new(io, check_seed());
		char path[700];

		rig_fill(rig, 2);
		sim_cut_at(io, sim_ops(io) + at);
		(void)rig_merge_all(rig);
		through = !sim_is_cut(io);
		(void)rig_close(rig, false);
		sim_crash(io);
		if (lost) {
			snprintf(path, sizeof(path), "%s/catalog/data.mdb", rig->db_directory);
			CHECK_INT(0, unlink(path));
		}
		sim_cut_at(io, sim_ops(io) + 1 + prng_below(&prng, 40));
		if (rig_open(rig) == 0) {
			(void)rig_merge_all(rig);
			(void)rig_close(rig, false);
		}
		sim_crash(io);
		sim_cut_at(io, 0);
		rig_check_open(rig, "open");
		rig_check(rig, lost ? rig_verify_rows(rig) : rig_verify(rig), "cut");
		rig_check(rig, rig_verify_tidy(rig), "cut");
		CHECK_INT(0, rig_merge_all(rig));
		CHECK_INT(RIG_DAYS, rig_segments(rig));
		rig_check(rig, lost ? rig_verify_rows(rig) : rig_verify(rig), "merged after a cut");
		if (!lost)
			rig_check_books(rig, rig->acked);
		CHECK_INT(0, rig_close(rig, true));
		rig_check_open(rig, "open");
		rig_check(rig, lost ? rig_verify_rows(rig) : rig_verify(rig), "reopened");
		rig_check(rig, rig_verify_tidy(rig), "reopened");
		rig_done(rig, io);
		cuts++;
	}
	CHECK(cuts > 60 / STEP);
	printf("\n    %u cuts ", cuts);
}

static void a_cut_leaves_one_generation(void)
{
	cut_everywhere(false);
}

static void a_cut_and_a_lost_catalog_leave_one_generation(void)
{
	cut_everywhere(true);
}

/* Every operation fails, once or from then on: nothing is lost meanwhile, and a later round gets it done. */
static void failures_are_put_off(void)
{
	static const struct {
		int error;
		uint64_t count;
	} kinds[] = {{EIO, 1}, {ENOSPC, 1}, {ENOSPC, UINT32_MAX}};
	unsigned failures = 0;

	for (unsigned k = 0; k < 3; k++) {
		bool through = false;

		for (uint64_t nth = 1; !through; nth += STEP) {
			struct io *io = sim_new(check_seed() + nth);
			struct rig *rig = rig_new(io, check_seed());
			int result;

			rig_fill(rig, 2);
			sim_fail(io, SIM_ALL, nth, kinds[k].count, kinds[k].error);
			result = rig_merge_all(rig);
			through = result == 0 && rig_segments(rig) == RIG_DAYS && nth > 60;
			failures += result < 0;
			rig_check(rig, rig_verify(rig), "an operation failed");
			sim_fail(io, 0, 0, 0, 0);
			CHECK_INT(0, rig_merge_all(rig));
			CHECK_INT(0, sealer_debts_pay(rig->store));
			CHECK_INT(RIG_DAYS, rig_segments(rig));
			rig_check(rig, rig_verify(rig), "merged after a failure");
			rig_check_books(rig, rig->acked);
			CHECK_INT(0, rig_close(rig, true));
			rig_check_open(rig, "open");
			rig_check(rig, rig_verify(rig), "reopened after a failure");
			rig_check(rig, rig_verify_tidy(rig), "reopened after a failure");
			rig_done(rig, io);
		}
	}
	CHECK(failures > 40 / STEP);
	printf("\n    %u failures ", failures);
}

/* Leaves so many bytes free. */
static void leave_room(struct io *io, uint64_t room)
{
	struct io_space space;

	sim_capacity(io, UINT64_C(1) << 40);
	CHECK_INT(0, io->ops->space(io, RIG_DIRECTORY, &space));
	sim_capacity(io, space.total_bytes - space.free_bytes + room);
}

/* Without room for the child beside the reserves nothing is begun, and the status says why. */
static void a_full_disk_puts_off(void)
{
	struct io *io = sim_new(check_seed());
	struct rig *rig = rig_new(io, check_seed());
	struct store_status *status = malloc(sizeof(*status));
	int result = -1;

	CHECK(status != NULL);
	rig_fill(rig, 4);
	leave_room(io, 100000);
	CHECK_INT(-ENOSPC, rig_merge_all(rig));
	CHECK_INT(4 * RIG_DAYS, rig_segments(rig));
	CHECK_INT(0, store_status(rig->store, status));
	CHECK(strstr(status->tidy.why, "reserved") != NULL);
	CHECK_INT(1, status->tidy.failures);
	for (uint64_t room = 0; result < 0; room += 64 << 10) {
		leave_room(io, room);
		result = rig_merge_all(rig);
		CHECK(result == 0 || rig_segments(rig) > RIG_DAYS);
		rig_check(rig, rig_verify(rig), "on a full disk");
		CHECK(room < 64 << 20);
	}
	sim_capacity(io, 0);
	CHECK_INT(0, rig_merge_all(rig));
	CHECK_INT(RIG_DAYS, rig_segments(rig));
	rig_check(rig, rig_verify(rig), "with room again");
	rig_check_reopens(rig, "with room again");
	rig_done(rig, io);
	free(status);
}

/* The catalog has no room: the child waits, and is committed first of all when there is. */
static void a_commit_that_fails_is_tried_again(void)
{
	struct io *io = sim_new(check_seed());
	struct rig *rig = rig_new(io, check_seed());
	size_t size = 0;
	uint8_t *big = calloc(1, 4 << 20);
	struct catalog_lane lane = {.feed = 900, .epoch = 1, .bytes = big};
	struct catalog_seal seal = {.journal_id = 1, .lanes = &lane, .lane_count = 1};
	uint64_t before;
	int result = 0;

	CHECK(big != NULL);
	rig->options.catalog_map_size = 1 << 20;
	rig_fill(rig, 3);
	before = rig_segments(rig);
	/* As full as it gets. */
	for (size_t step = 256 << 10; step >= 1024; step /= 2)
		while (lane.size = size + step, lane.feed++, seal.journal_id++,
		       result = catalog_seal(store_catalog(rig->store), &seal), result == 0)
			if (lane.feed > 2000)
				break;
	CHECK_INT(-ENOSPC, result);
	for (int32_t day = 40000; result != 0 && day < 50000; day++)
		if (catalog_purge_intend(store_catalog(rig->store), day, 1, big, CATALOG_NOTE_SIZE) == -ENOSPC)
			break;
	CHECK_INT(-ENOSPC, rig_merge_all(rig));
	CHECK(rig->store->pending_rewrite != NULL);
	CHECK_INT(before, rig_segments(rig));
	rig_check(rig, rig_verify_rows(rig), "a commit failed");
	CHECK_INT(-ENOSPC, rig_merge_all(rig));
	/* A crash now: the child was not committed, and goes. */
	CHECK_INT(0, rig_close(rig, false));
	rig->options.catalog_map_size = 16 << 20;
	rig_check_open(rig, "open");
	CHECK_INT(before, rig_segments(rig));
	rig_check(rig, rig_verify_tidy(rig), "a commit failed");
	CHECK_INT(0, rig_merge_all(rig));
	CHECK_INT(RIG_DAYS, rig_segments(rig));
	rig_check(rig, rig_verify_rows(rig), "merged");
	rig_done(rig, io);
	free(big);
}

/* A page of a parent rots: the day stays as it is, its readable rows with it, and the others are merged. */
static void a_damaged_parent_is_left_alone(void)
{
	struct io *io = sim_new(check_seed());
	struct rig *rig = rig_new(io, check_seed());
	struct catalog_segment *segments;
	char path[700], name[SEGMENT_NAME_SIZE];
	size_t count;

	rig->options.merge_quiet_us = 60;
	rig_fill(rig, 2);
	usleep(2000);
	CHECK_INT(0, catalog_segments(store_catalog(rig->store), rig->first_day, rig->first_day, &segments, &count));
	CHECK_INT(2, count);
	snprintf(path, sizeof(path), RIG_DIRECTORY "/segments/%s",
		 segment_name(segments[0].day, segments[0].id, ".seg", name));
	free(segments);
	CHECK_INT(0, sim_rot(io, path, 4096 + 10, 1));
	CHECK_INT(-EBADMSG, rig_merge_all(rig));
	CHECK(strstr(rig->store->tidy.why, "row page 0") != NULL);
	CHECK_INT(2 * RIG_DAYS, rig_segments(rig));
	rig->store->put_off[0].until_ns = INT64_MAX; /* as after a day's wait would it be soon again */
	rig->store->put_off[0].day = rig->first_day;
	CHECK_INT(0, rig_merge_all(rig));
	CHECK_INT(2 + RIG_DAYS - 1, rig_segments(rig));
	rig_done(rig, io);
}

/* What a search began to read it reads to its end; then, and not before, keys and files go. A purge does not wait. */
static void views_pin_parents(void)
{
	struct io *io = sim_new(check_seed());
	struct rig *rig = rig_new(io, check_seed());
	struct view view, later;
	struct segment *segment;
	uint8_t key[KEY_SIZE];
	struct key_id id;
	size_t parents = 0;

	rig_fill(rig, 3);
	CHECK_INT(0, view_take(store_views(rig->store), INT32_MIN, INT32_MAX, &view));
	CHECK_INT(3 * RIG_DAYS, view.segment_count);
	CHECK_INT(0, rig_merge_all(rig));
	CHECK_INT(RIG_DAYS, rig_segments(rig));
	CHECK_INT(0, view_take(store_views(rig->store), INT32_MIN, INT32_MAX, &later));
	CHECK_INT(RIG_DAYS, later.segment_count);
	CHECK_INT(0, sealer_round(rig->store));
	for (size_t i = 0; i < view.segment_count; i++) {
		CHECK_INT(0, view_segment_get(store_views(rig->store), &view.segments[i], &rig->err, &segment));
		view_segment_put(store_views(rig->store), segment);
		parents++;
	}
	CHECK_INT(3 * RIG_DAYS, parents);
	/* A child whose parents stand is not rewritten: two generations beside each other are enough. */
	for (unsigned i = 0; i < 24; i++)
		(void)rig_send(rig);
	rig_settle(rig, 1000);
	CHECK_INT(0, store_seal_all(rig->store, INT64_C(5000000000)));
	CHECK_INT(0, rig_merge_all(rig));
	CHECK(rig_segments(rig) > RIG_DAYS);
	/* The purged day's parents are gone, for the older view too. */
	CHECK_INT(0, rig_purge(rig, 0));
	for (size_t i = 0; i < view.segment_count; i++) {
		bool purged = view.segments[i].day == rig->first_day;

		CHECK_INT(purged ? VIEW_PURGED : 0,
			  view_segment_get(store_views(rig->store), &view.segments[i], &rig->err, &segment));
		if (!purged)
			view_segment_put(store_views(rig->store), segment);
	}
	id = (struct key_id){.id = view.segments[view.segment_count - 1].id,
			     .day = view.segments[view.segment_count - 1].day,
			     .kind = KEY_SEGMENT};
	CHECK_INT(0, keyring_get(store_keyring(rig->store), id, key));
	view_release(&view);
	CHECK_INT(0, sealer_round(rig->store));
	CHECK_INT(-ENOENT, keyring_get(store_keyring(rig->store), id, key));
	view_release(&later);
	CHECK_INT(0, rig_merge_all(rig));
	CHECK_INT(0, sealer_round(rig->store));
	CHECK_INT(RIG_DAYS - 1, rig_segments(rig));
	rig_check(rig, rig_verify_tidy(rig), "views released");
	rig_check(rig, rig_verify(rig), "views released");
	rig_done(rig, io);
}

/* Rounds of everything, with power cuts anywhere and now and then a lost catalog. */
static void cascades_survive_cuts(void)
{
	struct prng prng = {check_seed()};
	int64_t start_ns = clock_mono_ns();
	unsigned worlds = 0;

	while (worlds < 60 && clock_mono_ns() - start_ns < INT64_C(2000000000)) {
		struct io *io = sim_new(prng_next(&prng));
		struct rig *rig = rig_new(io, prng_next(&prng));
		bool lost = false;

		for (unsigned round = 0; round < 5; round++) {
			sim_cut_at(io, sim_ops(io) + 100 + prng_below(&prng, 500));
			if (rig_open(rig) == 0) {
				for (unsigned turn = 0; turn < 4; turn++) {
					for (unsigned i = 0; i < 10; i++)
						(void)rig_send(rig);
					rig_settle(rig, 10);
					(void)store_seal_all(rig->store, INT64_C(30000000));
					if (prng_chance(&prng, 700))
						(void)rig_merge_all(rig);
				}
				(void)rig_close(rig, prng_chance(&prng, 500));
			}
			sim_crash(io);
			sim_cut_at(io, 0);
			if (round == 4 && prng_chance(&prng, 500)) {
				char path[700];

				snprintf(path, sizeof(path), "%s/catalog/data.mdb", rig->db_directory);
				(void)unlink(path);
				lost = true;
			}
			rig_check_open(rig, "open");
			rig_check(rig, lost ? rig_verify_rows(rig) : rig_verify(rig), "cascade");
			rig_check(rig, rig_verify_tidy(rig), "cascade");
			CHECK_INT(0, rig_close(rig, false));
		}
		sim_free(io);
		free(rig);
		worlds++;
	}
	printf("\n    %u worlds ", worlds);
}

int main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{"which segments are merged", policy},
		{"merges keep every read", merges_keep_every_read},
		{"busy days wait", busy_days_wait},
		{"days of a lost catalog wait", days_of_a_lost_catalog_wait},
		{"a cut leaves one generation", a_cut_leaves_one_generation},
		{"a cut and a lost catalog leave one generation", a_cut_and_a_lost_catalog_leave_one_generation},
		{"failures are put off", failures_are_put_off},
		{"a full disk puts off", a_full_disk_puts_off},
		{"a commit that fails is tried again", a_commit_that_fails_is_tried_again},
		{"a damaged parent is left alone", a_damaged_parent_is_left_alone},
		{"views pin parents", views_pin_parents},
		{"cascades survive cuts", cascades_survive_cuts},
		{NULL, NULL},
	};

	log_level_set(getenv("GANTRY_TEST_LOG") != NULL ? LOG_LEVEL_DEBUG : LOG_LEVEL_ERROR);
	return check_main(argc, argv, "storage rewrite", tests);
}
