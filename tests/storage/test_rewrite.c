/*
 * Merging and rewriting on the simulated disk: what is kept is kept through every crash, failing operation and full
 * disk; a rule's drops and additions against a plain model; one generation, whatever else is lost.
 */
#include "storage/rewrite.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LOG_MODULE "test"
#include "appliance/base/clock.h"
#include "appliance/base/log.h"
#include "storage/io.h"
#include "storage/merge.h"
#include "storage/segment_read.h"
#include "storage/segment_write.h"
#include "storage/sealer.h"
#include "storage/store_internal.h"
#include "storage/tidier.h"
#include "storage/view.h"
#include "tests/check.h"
#include "tests/storage/segment_fixture.h"
#include "tests/storage/sim_io.h"
#include "tests/storage/store_rig.h"

#define SIM_DIRECTORY "/gantry"

#ifdef __SANITIZE_ADDRESS__
#define STEP 4 /* not at every operation: the plain build does that */
#else
#define STEP 1
#endif

static struct rig *rig_new(struct io *io, uint64_t seed)
{
	static unsigned number;
	struct rig *rig = malloc(sizeof(*rig));
	char path[600];

	CHECK(rig != NULL);
	snprintf(path, sizeof(path), "%s/db%u", check_directory(), number++);
	rig_init(rig, io, SIM_DIRECTORY, path, seed);
	rig->options.workers = 1; /* one journal, one segment a day for each sealing */
	rig->options.catalog_map_size = 16 << 20;
	rig->options.memtable_bytes_max = (size_t)40 << 20;
	return rig;
}

static void rig_done(struct rig *rig, struct io *io)
{
	CHECK_INT(0, rig_close(rig, false));
	sim_free(io);
	free(rig);
}

static void check_well(struct rig *rig, bool well, const char *what)
{
	if (!well)
		check_note("%s: %s", what, rig->problem);
	CHECK(well);
}

static void check_open(struct rig *rig)
{
	int result = rig_open(rig);

	if (result != 0)
		check_note("%s", rig->err.text);
	CHECK_INT(0, result);
}

/* Merges until nothing is left to merge. */
static int merge_all(struct rig *rig)
{
	int result;

	do
		result = tidier_round(rig->store);
	while (result == TIDIER_MORE);
	return result;
}

/* Opens, and leaves `rounds` segments of each day. */
static void rig_fill(struct rig *rig, unsigned rounds)
{
	check_open(rig);
	for (unsigned round = 0; round < rounds; round++) {
		for (unsigned i = 0; i < 24; i++)
			(void)rig_send(rig);
		rig_settle(rig, 1000);
		CHECK_INT(0, store_seal_all(rig->store, INT64_C(5000000000)));
	}
}

static uint64_t segments_of(struct rig *rig)
{
	struct catalog_info info;

	CHECK_INT(0, catalog_info(store_catalog(rig->store), &info));
	return info.segments;
}

static void check_books(struct rig *rig, uint64_t reads)
{
	struct catalog_totals totals;
	struct catalog_segment *segments;
	struct store_status *status = malloc(sizeof(*status));
	uint64_t rows = 0, bytes = 0;
	size_t count;

	CHECK(status != NULL);
	CHECK_INT(0, catalog_totals(store_catalog(rig->store), &totals));
	CHECK_INT(reads, totals.stored + totals.collapsed + totals.erased);
	CHECK_INT(0, catalog_segments(store_catalog(rig->store), INT32_MIN, INT32_MAX, &segments, &count));
	for (size_t i = 0; i < count; i++) {
		rows += segments[i].row_count;
		bytes += segments[i].file_size;
	}
	free(segments);
	CHECK_INT(0, store_status(rig->store, status));
	CHECK_INT(count, status->segments);
	CHECK_INT(rows, status->reads_segments);
	CHECK_INT(bytes, status->segment_bytes);
	CHECK_INT(totals.erased, status->erased_total);
	free(status);
}

/* ---- policy */

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

/* ---- with the rig: reads whose identity is known */

static void merges_keep_every_read(void)
{
	struct io *io = sim_new(check_seed());
	struct rig *rig = rig_new(io, check_seed());
	struct store_status *status = malloc(sizeof(*status));
	uint64_t reads;

	CHECK(status != NULL);
	rig_fill(rig, 5);
	reads = rig->acked;
	CHECK_INT(5 * RIG_DAYS, segments_of(rig));
	CHECK_INT(0, merge_all(rig));
	CHECK_INT(RIG_DAYS, segments_of(rig));
	check_well(rig, rig_verify(rig), "merged");
	check_well(rig, rig_verify_tidy(rig), "merged");
	check_books(rig, reads);
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
	CHECK_INT(0, merge_all(rig));
	CHECK_INT(RIG_DAYS, segments_of(rig));
	check_well(rig, rig_verify(rig), "merged again");
	CHECK_INT(0, rig_close(rig, true));
	check_open(rig);
	check_well(rig, rig_verify(rig), "reopened");
	check_well(rig, rig_verify_tidy(rig), "reopened");
	/* A merged day is purged like any other. */
	CHECK_INT(0, rig_purge(rig, 1));
	CHECK_INT(0, merge_all(rig));
	check_well(rig, rig_verify(rig), "purged");
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
	CHECK_INT(0, merge_all(rig));
	CHECK_INT(3 * RIG_DAYS, segments_of(rig));
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
		(void)merge_all(rig);
		through = !sim_is_cut(io);
		(void)rig_close(rig, false);
		sim_crash(io);
		if (lost) {
			snprintf(path, sizeof(path), "%s/catalog/data.mdb", rig->db_directory);
			CHECK_INT(0, unlink(path));
		}
		sim_cut_at(io, sim_ops(io) + 1 + prng_below(&prng, 40));
		if (rig_open(rig) == 0) {
			(void)merge_all(rig);
			(void)rig_close(rig, false);
		}
		sim_crash(io);
		sim_cut_at(io, 0);
		check_open(rig);
		check_well(rig, lost ? rig_verify_rows(rig) : rig_verify(rig), "cut");
		check_well(rig, rig_verify_tidy(rig), "cut");
		CHECK_INT(0, merge_all(rig));
		CHECK_INT(RIG_DAYS, segments_of(rig));
		check_well(rig, lost ? rig_verify_rows(rig) : rig_verify(rig), "merged after a cut");
		if (!lost)
			check_books(rig, rig->acked);
		CHECK_INT(0, rig_close(rig, true));
		check_open(rig);
		check_well(rig, lost ? rig_verify_rows(rig) : rig_verify(rig), "reopened");
		check_well(rig, rig_verify_tidy(rig), "reopened");
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
			result = merge_all(rig);
			through = result == 0 && segments_of(rig) == RIG_DAYS && nth > 60;
			failures += result < 0;
			check_well(rig, rig_verify(rig), "an operation failed");
			sim_fail(io, 0, 0, 0, 0);
			CHECK_INT(0, merge_all(rig));
			CHECK_INT(0, sealer_debts_pay(rig->store));
			CHECK_INT(RIG_DAYS, segments_of(rig));
			check_well(rig, rig_verify(rig), "merged after a failure");
			check_books(rig, rig->acked);
			CHECK_INT(0, rig_close(rig, true));
			check_open(rig);
			check_well(rig, rig_verify(rig), "reopened after a failure");
			check_well(rig, rig_verify_tidy(rig), "reopened after a failure");
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
	CHECK_INT(0, io->ops->space(io, SIM_DIRECTORY, &space));
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
	CHECK_INT(-ENOSPC, merge_all(rig));
	CHECK_INT(4 * RIG_DAYS, segments_of(rig));
	CHECK_INT(0, store_status(rig->store, status));
	CHECK(strstr(status->tidy.why, "reserved") != NULL);
	CHECK_INT(1, status->tidy.failures);
	for (uint64_t room = 0; result < 0; room += 64 << 10) {
		leave_room(io, room);
		result = merge_all(rig);
		CHECK(result == 0 || segments_of(rig) > RIG_DAYS);
		check_well(rig, rig_verify(rig), "on a full disk");
		CHECK(room < 64 << 20);
	}
	sim_capacity(io, 0);
	CHECK_INT(0, merge_all(rig));
	CHECK_INT(RIG_DAYS, segments_of(rig));
	check_well(rig, rig_verify(rig), "with room again");
	CHECK_INT(0, rig_close(rig, true));
	check_open(rig);
	check_well(rig, rig_verify_tidy(rig), "with room again");
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
	before = segments_of(rig);
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
	CHECK_INT(-ENOSPC, merge_all(rig));
	CHECK(rig->store->pending_rewrite != NULL);
	CHECK_INT(before, segments_of(rig));
	check_well(rig, rig_verify_rows(rig), "a commit failed");
	CHECK_INT(-ENOSPC, merge_all(rig));
	/* A crash now: the child was not committed, and goes. */
	CHECK_INT(0, rig_close(rig, false));
	rig->options.catalog_map_size = 16 << 20;
	check_open(rig);
	CHECK_INT(before, segments_of(rig));
	check_well(rig, rig_verify_tidy(rig), "a commit failed");
	CHECK_INT(0, merge_all(rig));
	CHECK_INT(RIG_DAYS, segments_of(rig));
	check_well(rig, rig_verify_rows(rig), "merged");
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
	snprintf(path, sizeof(path), SIM_DIRECTORY "/segments/%s",
		 segment_name(segments[0].day, segments[0].id, ".seg", name));
	free(segments);
	CHECK_INT(0, sim_rot(io, path, 4096 + 10, 1));
	CHECK_INT(-EBADMSG, merge_all(rig));
	CHECK(strstr(rig->store->tidy.why, "row page 0") != NULL);
	CHECK_INT(2 * RIG_DAYS, segments_of(rig));
	rig->store->put_off[0].until_ns = INT64_MAX; /* as after a day's wait would it be soon again */
	rig->store->put_off[0].day = rig->first_day;
	CHECK_INT(0, merge_all(rig));
	CHECK_INT(2 + RIG_DAYS - 1, segments_of(rig));
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
	CHECK_INT(0, merge_all(rig));
	CHECK_INT(RIG_DAYS, segments_of(rig));
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
	CHECK_INT(0, merge_all(rig));
	CHECK(segments_of(rig) > RIG_DAYS);
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
	CHECK_INT(0, merge_all(rig));
	CHECK_INT(0, sealer_round(rig->store));
	CHECK_INT(RIG_DAYS - 1, segments_of(rig));
	check_well(rig, rig_verify_tidy(rig), "views released");
	check_well(rig, rig_verify(rig), "views released");
	rig_done(rig, io);
}

/* ---- rules, against a model */

#define MODEL_MAX 6000

struct model_hit {
	struct read row; /* of the sender's fields only */
	uint32_t list;
	uint32_t entry;
};

struct model {
	struct rig *rig;
	struct prng prng;
	int32_t day;
	struct read rows[MODEL_MAX]; /* all that were put in and not dropped */
	size_t count;
	struct model_hit hits[MODEL_MAX];
	size_t hit_count;
	uint64_t put; /* rows ever */
	uint64_t next_id;
};

static struct read sender_only(const struct read *row)
{
	struct read bare = *row;

	bare.feed = bare.epoch = 0;
	bare.receipt_us = 0;
	bare.flags &= READ_FLAGS_SENDER;
	return bare;
}

static void model_put(struct model *model, const struct read *rows, size_t count, const struct hit *hits,
		      size_t hit_count)
{
	struct rig *rig = model->rig;
	const struct read *pointers[512];
	uint64_t lineage = model->next_id + 500000;
	struct segment_input input = {.id = model->next_id++,
				      .day = model->day,
				      .key_version = 1,
				      .lineage_kind = SEGMENT_FROM_JOURNALS,
				      .lineage = &lineage,
				      .lineage_count = 1,
				      .rows = pointers,
				      .row_count = count,
				      .hits = hits,
				      .hit_count = hit_count};
	struct key_change make = {.id = {.id = input.id, .day = model->day, .kind = KEY_SEGMENT}};
	struct segment_summary *summary = malloc(sizeof(*summary));
	struct catalog_seal seal = {.journal_id = lineage, .segments = summary, .segment_count = 1};

	for (size_t i = 0; i < count; i++)
		pointers[i] = &rows[i];
	CHECK_INT(0, keyring_change(store_keyring(rig->store), &make, 1));
	CHECK_INT(0, segment_write(rig->io, store_keyring(rig->store), SIM_DIRECTORY "/segments", &input, &rig->err,
				   summary));
	CHECK_INT(0, catalog_seal(store_catalog(rig->store), &seal));
	CHECK(model->count + count <= MODEL_MAX && model->hit_count + hit_count <= MODEL_MAX);
	memcpy(&model->rows[model->count], rows, count * sizeof(*rows));
	model->count += count;
	for (size_t i = 0; i < hit_count; i++)
		model->hits[model->hit_count++] = (struct model_hit){
			.row = sender_only(&rows[hits[i].row]), .list = hits[i].list, .entry = hits[i].entry};
	model->put += count;
	free(summary);
}

static size_t random_batch(struct model *model, struct read *rows, size_t max, struct hit *hits, size_t *ret_hits)
{
	size_t count = 1 + prng_below(&model->prng, max);

	*ret_hits = 0;
	for (size_t i = 0; i < count; i++) {
		rows[i] = fixture_read(&model->prng, model->day);
		if (model->count > 0 && prng_chance(&model->prng, 300)) { /* a copy of one in another segment */
			rows[i] = model->rows[prng_below(&model->prng, model->count)];
			rows[i].epoch += (uint32_t)prng_below(&model->prng, 2);
		}
		if (rows[i].kind == READ_KIND_VRM && prng_chance(&model->prng, 100))
			hits[(*ret_hits)++] = (struct hit){.row = (uint32_t)i,
							   .list = 1 + (uint32_t)prng_below(&model->prng, 2),
							   .entry = (uint32_t)prng_below(&model->prng, 3)};
	}
	return count;
}

static int by_model_hit(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct model_hit));
}

static size_t hits_settle(struct model_hit *hits, size_t count)
{
	size_t kept = 0;

	qsort(hits, count, sizeof(*hits), by_model_hit);
	for (size_t i = 0; i < count; i++)
		if (kept == 0 || by_model_hit(&hits[kept - 1], &hits[i]) != 0)
			hits[kept++] = hits[i];
	return kept;
}

struct found {
	struct read *rows;
	size_t count;
	size_t first; /* of the segment in hand */
	struct model_hit *hits;
	size_t hit_count;
};

static int hit_found(void *context, const struct hit *hit)
{
	struct found *found = context;

	found->hits[found->hit_count++] = (struct model_hit){
		.row = sender_only(&found->rows[found->first + hit->row]), .list = hit->list, .entry = hit->entry};
	return 0;
}

static void segment_collect(struct rig *rig, const struct catalog_segment *which, struct found *found)
{
	struct segment_scratch scratch = {0};
	struct segment_rows *page = malloc(sizeof(*page));
	struct segment *segment;

	CHECK(page != NULL);
	CHECK_INT(0, view_segment_get(store_views(rig->store), which, &rig->err, &segment));
	found->first = found->count;
	for (uint32_t p = 0; p < segment_summary(segment)->sections[SEGMENT_ROWS].page_count; p++) {
		CHECK_INT(0, segment_read_rows(segment, &scratch, p, &rig->err, page));
		memcpy(&found->rows[found->count], page->rows, page->count * sizeof(struct read));
		found->count += page->count;
	}
	CHECK_INT(0, segment_each_hit(segment, &scratch, &rig->err, hit_found, found));
	segment_scratch_fini(&scratch);
	view_segment_put(store_views(rig->store), segment);
	free(page);
}

/* What the segments hold is what the model says, once equal reads are collapsed in both. */
static void check_model(struct model *model)
{
	struct found found = {.rows = calloc(MODEL_MAX, sizeof(struct read)),
			      .hits = calloc(MODEL_MAX, sizeof(struct model_hit))};
	struct read *rows = malloc(sizeof(model->rows));
	size_t count;
	struct view view;

	CHECK(found.rows != NULL && found.hits != NULL && rows != NULL);
	memcpy(rows, model->rows, sizeof(model->rows));
	count = fixture_collapse(rows, model->count);
	CHECK_INT(0, view_take(store_views(model->rig->store), INT32_MIN, INT32_MAX, &view));
	for (size_t i = 0; i < view.segment_count; i++)
		segment_collect(model->rig, &view.segments[i], &found);
	if (view.segment_count == 1)
		CHECK_INT(count, found.count); /* nothing is left to collapse */
	view_release(&view);
	found.count = fixture_collapse(found.rows, found.count);
	CHECK_INT(count, found.count);
	CHECK_MEM(rows, found.rows, count * sizeof(*rows));
	model->hit_count = hits_settle(model->hits, model->hit_count);
	found.hit_count = hits_settle(found.hits, found.hit_count);
	CHECK_INT(model->hit_count, found.hit_count);
	CHECK_MEM(model->hits, found.hits, found.hit_count * sizeof(*found.hits));
	check_books(model->rig, model->put);
	free(found.rows);
	free(found.hits);
	free(rows);
}

/* As an erasure does: by the sender's fields alone. */
static int drop_one_in(void *context, const struct read *row)
{
	struct read bare = sender_only(row);
	uint64_t hash = 1469598103934665603u;

	for (size_t i = 0; i < sizeof(bare); i++)
		hash = (hash ^ ((const uint8_t *)&bare)[i]) * 1099511628211u;
	return *(const unsigned *)context == 1 || hash >> 20 % 40 % *(const unsigned *)context == 0;
}

static int drop_never(void *context, const struct read *row)
{
	(void)context;
	(void)row;
	return 0;
}

static int stop_at_once(void *context, const struct read *row)
{
	(void)context;
	(void)row;
	return -EOVERFLOW;
}

static void model_drop(struct model *model, unsigned *share)
{
	size_t kept = 0;

	for (size_t i = 0; i < model->count; i++)
		if (!drop_one_in(share, &model->rows[i]))
			model->rows[kept++] = model->rows[i];
	model->count = kept;
	kept = 0;
	for (size_t i = 0; i < model->hit_count; i++)
		if (!drop_one_in(share, &model->hits[i].row))
			model->hits[kept++] = model->hits[i];
	model->hit_count = kept;
}

static size_t all_segments(struct rig *rig, uint64_t ids[64])
{
	struct catalog_segment *segments;
	size_t count;

	CHECK_INT(0, catalog_segments(store_catalog(rig->store), INT32_MIN, INT32_MAX, &segments, &count));
	CHECK(count <= 64);
	for (size_t i = 0; i < count; i++)
		ids[i] = segments[i].id;
	free(segments);
	return count;
}

static int rewrite(struct model *model, const uint64_t *ids, size_t count, const struct rewrite_rule *rule,
		   struct rewrite_result *result)
{
	int r;

	rewrite_lock(model->rig->store);
	r = rewrite_segments(model->rig->store, model->day, ids, count, rule, &model->rig->err, result);
	rewrite_unlock(model->rig->store);
	return r;
}

static struct model *model_new(uint64_t seed)
{
	struct model *model = calloc(1, sizeof(*model));

	CHECK(model != NULL);
	model->prng.state = seed;
	model->rig = rig_new(sim_new(seed), seed);
	model->day = model->rig->first_day;
	model->next_id = 1;
	check_open(model->rig);
	return model;
}

static void model_free(struct model *model)
{
	rig_done(model->rig, model->rig->io);
	free(model);
}

static void model_batches(struct model *model, unsigned batches)
{
	for (unsigned b = 0; b < batches; b++) {
		struct read rows[200];
		struct hit hits[200];
		size_t hit_count;
		size_t count = random_batch(model, rows, 200, hits, &hit_count);

		model_put(model, rows, count, hits, hit_count);
	}
}

/* Merges of random subsets, drops and additions, reopened in between. */
static void random_rewrites_follow_the_model(void)
{
	for (unsigned world = 0; world < 8; world++) {
		struct model *model = model_new(check_seed() + world);

		for (unsigned step = 0; step < 12; step++) {
			unsigned share = 2 + (unsigned)prng_below(&model->prng, 20);
			struct rewrite_rule rule = {.row = prng_chance(&model->prng, 400) ? drop_one_in : drop_never,
						    .context = &share};
			struct rewrite_result done = {0};
			struct hit hits[40];
			struct read extra[40];
			size_t hit_count = 0;
			uint64_t ids[64];
			size_t count;

			model_batches(model, 1 + (unsigned)prng_below(&model->prng, 4));
			count = all_segments(model->rig, ids);
			/* A rule that drops has to see all rows, or the model's copies elsewhere stay. */
			if (rule.row == drop_never)
				count = 1 + prng_below(&model->prng, count);
			else
				model_drop(model, &share);
			if (prng_chance(&model->prng, 400)) {
				rule.extra_count = random_batch(model, extra, 40, hits, &hit_count);
				rule.extra = extra;
				rule.extra_hits = hits;
				rule.extra_hit_count = hit_count;
			}
			CHECK_INT(0, rewrite(model, ids, count,
					     prng_chance(&model->prng, 500) || rule.row == drop_one_in ||
							     rule.extra_count > 0
						     ? &rule
						     : NULL,
					     &done));
			memcpy(&model->rows[model->count], extra, rule.extra_count * sizeof(*extra));
			model->count += rule.extra_count;
			for (size_t i = 0; i < hit_count; i++)
				model->hits[model->hit_count++] =
					(struct model_hit){.row = sender_only(&extra[hits[i].row]),
							   .list = hits[i].list,
							   .entry = hits[i].entry};
			check_model(model);
			if (prng_chance(&model->prng, 300)) {
				CHECK_INT(0, rig_close(model->rig, false));
				check_open(model->rig);
				check_model(model);
				check_well(model->rig, rig_verify_tidy(model->rig), "reopened");
			}
		}
		model_free(model);
	}
}

static void rules_and_refusals(void)
{
	struct model *model = model_new(check_seed());
	struct rig *rig = model->rig;
	unsigned all = 1;
	struct rewrite_rule drop_all = {.row = drop_one_in, .context = &all};
	struct rewrite_rule stop = {.row = stop_at_once};
	struct rewrite_result done = {0};
	struct catalog_totals totals;
	struct catalog_day day;
	uint64_t ids[64], nobody[] = {12345};
	size_t count;

	model_batches(model, 3);
	count = all_segments(rig, ids);
	CHECK_INT(3, count);
	CHECK_INT(-EINVAL, rewrite(model, ids, 0, NULL, &done));
	CHECK_INT(-ENOENT, rewrite(model, nobody, 1, NULL, &done));
	CHECK_INT(-EOVERFLOW, rewrite(model, ids, count, &stop, &done));
	CHECK_INT(0, sealer_debts_pay(rig->store));
	check_model(model);
	check_well(rig, rig_verify_tidy(rig), "refused");
	/* A purge that waits stops it. */
	atomic_store(&rig->store->tidy_preempted, 1);
	CHECK_INT(-ECANCELED, rewrite(model, ids, count, NULL, &done));
	atomic_store(&rig->store->tidy_preempted, 0);
	CHECK_INT(0, sealer_debts_pay(rig->store));
	check_model(model);
	/* One parent alone, under a new key. */
	CHECK_INT(0, rewrite(model, ids, 1, NULL, &done));
	CHECK(done.child != 0 && done.child != ids[0]);
	CHECK_INT(0, done.dropped);
	check_model(model);
	/* Everything goes: no child, no file, no key, no day, and all of it in the books. */
	count = all_segments(rig, ids);
	CHECK_INT(0, rewrite(model, ids, count, &drop_all, &done));
	CHECK_INT(0, done.child);
	CHECK_INT(0, segments_of(rig));
	CHECK_INT(-ENOENT, catalog_day(store_catalog(rig->store), model->day, &day));
	CHECK_INT(0, catalog_totals(store_catalog(rig->store), &totals));
	CHECK_INT(0, totals.stored);
	CHECK_INT(done.dropped, totals.erased);
	CHECK_INT(model->put, totals.collapsed + totals.erased);
	check_well(rig, rig_verify_tidy(rig), "all dropped");
	CHECK_INT(0, rig_close(rig, false));
	check_open(rig);
	check_well(rig, rig_verify_tidy(rig), "all dropped");
	/* A day that is being purged is not rewritten any more. */
	model->count = model->hit_count = 0;
	model_batches(model, 2);
	count = all_segments(rig, ids);
	store_day_close(rig->store, model->day);
	CHECK_INT(-ESTALE, rewrite(model, ids, count, NULL, &done));
	model_free(model);
}

/* A copy for a case: the rows that the rule keeps, elsewhere, under another key; the day stays as it is. */
static void copies_leave_the_day_alone(void)
{
	struct model *model = model_new(check_seed());
	struct rig *rig = model->rig;
	unsigned share = 3, all = 1;
	struct rewrite_rule rule = {.row = drop_one_in, .context = &share};
	struct key_change make = {.id = {.id = 777, .day = model->day, .kind = KEY_SEGMENT}};
	struct rewrite_target target = {.directory = SIM_DIRECTORY "/case", .key = make.id, .segment_id = 777};
	struct segment_summary *summary = malloc(sizeof(*summary));
	struct found found = {.rows = calloc(MODEL_MAX, sizeof(struct read)),
			      .hits = calloc(MODEL_MAX, sizeof(struct model_hit))};
	struct segment_scratch scratch = {0};
	struct segment_rows *page = malloc(sizeof(*page));
	struct catalog_segment *segments;
	char path[700], name[SEGMENT_NAME_SIZE];
	struct segment *segment;
	size_t count;

	CHECK(summary != NULL && page != NULL && found.rows != NULL && found.hits != NULL);
	CHECK_INT(0, rig->io->ops->mkdir(rig->io, target.directory));
	CHECK_INT(REWRITE_NOTHING, rewrite_copy(rig->store, model->day, &rule, &target, &rig->err, summary));
	model_batches(model, 4);
	CHECK(rewrite_copy(rig->store, model->day, &rule, &target, &rig->err, summary) < 0); /* no key */
	CHECK_INT(0, keyring_change(store_keyring(rig->store), &make, 1));
	store_day_close(rig->store, model->day);
	CHECK_INT(0, rewrite_copy(rig->store, model->day, &rule, &target, &rig->err, summary));
	CHECK_INT(4, summary->lineage_count);
	check_model(model);
	CHECK_INT(0, segment_open(rig->io, store_keyring(rig->store), target.directory, model->day, 777, &rig->err,
				  &segment));
	for (uint32_t p = 0; p < summary->sections[SEGMENT_ROWS].page_count; p++) {
		CHECK_INT(0, segment_read_rows(segment, &scratch, p, &rig->err, page));
		memcpy(&found.rows[found.count], page->rows, page->count * sizeof(struct read));
		found.count += page->count;
	}
	CHECK_INT(0, segment_each_hit(segment, &scratch, &rig->err, hit_found, &found));
	model_drop(model, &share);
	model->count = fixture_collapse(model->rows, model->count);
	CHECK_INT(model->count, found.count);
	CHECK_MEM(model->rows, found.rows, found.count * sizeof(struct read));
	model->hit_count = hits_settle(model->hits, model->hit_count);
	CHECK_INT(model->hit_count, hits_settle(found.hits, found.hit_count));
	segment_free(segment);
	/* Nothing kept, nothing written; a page that cannot be read is told, the rest is copied. */
	rule.context = &all;
	target.segment_id = 778;
	CHECK_INT(REWRITE_NOTHING, rewrite_copy(rig->store, model->day, &rule, &target, &rig->err, summary));
	CHECK_INT(0, catalog_segments(store_catalog(rig->store), model->day, model->day, &segments, &count));
	snprintf(path, sizeof(path), SIM_DIRECTORY "/segments/%s",
		 segment_name(segments[1].day, segments[1].id, ".seg", name));
	CHECK_INT(0, sim_rot(rig->io, path, 4096 + 10, 1));
	CHECK_INT(0, rewrite_copy(rig->store, model->day, NULL, &target, &rig->err, summary));
	CHECK_INT(1, rig->store->damage_count);
	CHECK(summary->row_count > 0);
	free(segments);
	segment_scratch_fini(&scratch);
	free(page);
	free(found.rows);
	free(found.hits);
	free(summary);
	model_free(model);
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
						(void)merge_all(rig);
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
			check_open(rig);
			check_well(rig, lost ? rig_verify_rows(rig) : rig_verify(rig), "cascade");
			check_well(rig, rig_verify_tidy(rig), "cascade");
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
		{"a cut leaves one generation", a_cut_leaves_one_generation},
		{"a cut and a lost catalog leave one generation", a_cut_and_a_lost_catalog_leave_one_generation},
		{"failures are put off", failures_are_put_off},
		{"a full disk puts off", a_full_disk_puts_off},
		{"a commit that fails is tried again", a_commit_that_fails_is_tried_again},
		{"a damaged parent is left alone", a_damaged_parent_is_left_alone},
		{"views pin parents", views_pin_parents},
		{"random rewrites follow the model", random_rewrites_follow_the_model},
		{"rules and refusals", rules_and_refusals},
		{"copies leave the day alone", copies_leave_the_day_alone},
		{"cascades survive cuts", cascades_survive_cuts},
		{NULL, NULL}};

	log_level_set(getenv("GANTRY_TEST_LOG") != NULL ? LOG_LEVEL_DEBUG : LOG_LEVEL_ERROR);
	if (access("/dev/shm", W_OK) == 0)
		(void)setenv("TMPDIR", "/dev/shm", 0); /* LMDB's flushes, by the thousand, are not what is tested */
	return check_main(argc, argv, "storage rewrite", tests);
}
