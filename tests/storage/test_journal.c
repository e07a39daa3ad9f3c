/*
 * The journal on the simulated disk: a random fleet of two feeds appends, the keeper keeps, the power fails, writes
 * fail, the disk fills up. The reference: which sequences were ever appended, and which were said to be durable. What
 * every read holds follows from its identity alone, so that anything found can be checked byte for byte.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/prng.h"
#include "storage/io.h"
#include "storage/journal.h"
#include "storage/journal_file.h"
#include "storage/keyring.h"
#include "storage/lane.h"
#include "storage/lane_map.h"
#include "storage/memtable.h"
#include "tests/check.h"
#include "tests/storage/sim_io.h"

#define FEEDS 2
#define LANES (FEEDS * FEED_LANE_COUNT)
#define EPOCH 7
#define SEQUENCES 16384
#define DIRECTORY "/d/journal"

static const struct keyring_options ring_options = {
	.master_path = "/k/master", .copy_a_path = "/d/keyring", .copy_b_path = "/e/keyring", .create = true};

struct rig {
	struct io *io;
	struct prng prng;
	struct keyring *keyring;
	struct memtable *memtable;
	struct journal *journal;
	struct lane_map *map;
	struct lane_window *windows[LANES];
	struct journal_options options;
	int64_t now;
	uint64_t rows_acked; /* of this boot */
	uint64_t refused_acked;
	uint64_t hits_told;
	uint64_t rows_sealed;
	bool acked[LANES][SEQUENCES];
	bool appended[LANES][SEQUENCES];
	bool told_twice;
	bool told_wrong;
};

static struct lane_id lane_id_of(unsigned lane)
{
	return (struct lane_id){.feed = 100 + lane / FEED_LANE_COUNT, .epoch = EPOCH, .lane = lane % FEED_LANE_COUNT};
}

static unsigned lane_of(const struct run *run)
{
	return (run->feed - 100) * FEED_LANE_COUNT + run->lane;
}

static bool is_refused(uint64_t sequence)
{
	return sequence / 5 % 13 == 3;
}

static bool has_hit(uint64_t sequence)
{
	return sequence % 11 == 0;
}

static void read_make(unsigned lane, uint64_t sequence, int64_t receipt_us, struct read *ret_read)
{
	struct lane_id id = lane_id_of(lane);
	struct prng prng = {.state = sequence * LANES + lane};
	struct read read = {.receipt_us = receipt_us, .feed = id.feed, .epoch = id.epoch};

	snprintf((char *)read.key, sizeof(read.key), "K%05u", (unsigned)prng_below(&prng, 100000));
	snprintf((char *)read.text, sizeof(read.text), "k %05u", (unsigned)(sequence % 100000));
	read.capture_us = (int64_t)prng_next(&prng);
	read.camera = (uint32_t)prng_next(&prng);
	read.lat_e7 = (int32_t)prng_next(&prng);
	read.lon_e7 = (int32_t)prng_next(&prng);
	read.country = (uint16_t)prng_next(&prng);
	read.flags = (uint16_t)prng_next(&prng);
	read.kind = READ_KIND_VRM;
	read.confidence = (uint8_t)prng_next(&prng);
	read.road_lane = (uint8_t)prng_next(&prng);
	read.direction = (uint8_t)prng_next(&prng);
	read.images = (uint8_t)prng_next(&prng);
	*ret_read = read;
}

static bool read_is(unsigned lane, uint64_t sequence, const struct read *read)
{
	struct read expected;

	read_make(lane, sequence, read->receipt_us, &expected);
	return memcmp(&expected, read, sizeof(expected)) == 0;
}

/* ---- what the journal says */

static void rig_run_durable(struct rig *rig, const struct run *run, const struct read *rows)
{
	unsigned lane = lane_of(run);

	for (unsigned i = 0; i < run->count; i++) {
		uint64_t sequence = run->first + i;

		rig->told_twice |= rig->acked[lane][sequence];
		rig->told_wrong |= !rig->appended[lane][sequence];
		rig->acked[lane][sequence] = true;
		if (run->refusal == REFUSAL_NONE)
			rig->told_wrong |= !read_is(lane, sequence, &rows[i]);
	}
	if (run->refusal == REFUSAL_NONE)
		rig->rows_acked += run->count;
	else
		rig->refused_acked += run->count;
}

static void rig_durable(void *context, const struct journal_commit *commit)
{
	struct rig *rig = context;
	unsigned hits = 0;

	for (unsigned i = 0; i < commit->run_count; i++) {
		const struct run *run = &commit->runs[i];

		rig_run_durable(rig, run, commit->rows[i]);
		for (unsigned j = 0; j < run->count && run->refusal == REFUSAL_NONE; j++) {
			if (!has_hit(run->first + j))
				continue;
			if (hits >= commit->hit_count || commit->hits[hits].entry != run->first + j ||
			    commit->hit_reads[commit->hits[hits].row] != &commit->rows[i][j])
				rig->told_wrong = true;
			hits++;
		}
	}
	rig->told_wrong |= hits != commit->hit_count;
	rig->hits_told += hits;
}

/* ---- recovery, as store.c will do it */

static int rig_key(void *context, uint64_t file_id, uint8_t ret_key[32])
{
	struct rig *rig = context;

	return keyring_get(rig->keyring, (struct key_id){.id = file_id, .day = KEY_DAY_NONE, .kind = KEY_JOURNAL},
			   ret_key);
}

struct found {
	struct rig *rig;
	struct lane_map *map;
	uint64_t watermarks[LANES];
	uint64_t rows;
	uint64_t hits;
	unsigned files;
	unsigned damaged;
	unsigned torn;
	unsigned wrong;
	struct journal_scan_result first; /* of the file with sequence 1 */
};

static void found_frame(struct found *found, struct journal_frame *frame)
{
	struct journal_run run;
	unsigned hit = 0;

	while (journal_frame_next(frame, &run)) {
		unsigned lane = lane_of(&run.run);

		if (run.watermark > found->watermarks[lane])
			found->watermarks[lane] = run.watermark;
		for (unsigned i = 0; i < run.run.count; i++) {
			uint64_t sequence = run.run.first + i;

			found->wrong += !found->rig->appended[lane][sequence];
			found->wrong += is_refused(sequence) != (run.run.refusal != REFUSAL_NONE);
			if (run.run.refusal != REFUSAL_NONE)
				continue;
			found->rows++;
			found->wrong += !read_is(lane, sequence, &run.reads[i]);
			if (!has_hit(sequence))
				continue;
			found->wrong += hit >= frame->header.hit_count || frame->hits[hit].row != run.first_row + i ||
					frame->hits[hit].entry != sequence;
			hit++;
		}
		if (lane_map_apply(found->map, &run.run) < 0)
			abort();
	}
	found->wrong += hit != frame->header.hit_count;
	found->hits += hit;
}

static int found_file(void *context, const char *name)
{
	struct found *found = context;
	struct journal_file_name parsed;
	char path[JOURNAL_PATH_MAX];
	struct journal_scan_options options = {.path = path, .key = rig_key, .context = found->rig};
	struct journal_scan *scan;
	struct journal_frame frame;
	const struct journal_scan_result *result;
	uint64_t id;
	int r;

	CHECK(journal_file_name_parse(name, &parsed));
	CHECK_INT(0, journal_file_path(DIRECTORY, &parsed, path));
	r = journal_scan_new(&options, found->rig->io, NULL, &scan, &id);
	CHECK(r >= 0);
	if (r > 0)
		return 0;
	found->files++;
	while ((r = journal_scan_next(scan, NULL, &frame)) == 1)
		found_frame(found, &frame);
	CHECK_INT(0, r);
	result = journal_scan_result(scan);
	found->damaged += result->damaged;
	found->torn += result->hole_count > 0 && !result->damaged;
	if (parsed.sequence == 1)
		found->first = *result;
	journal_scan_free(scan);
	return 0;
}

static void rig_scan(struct rig *rig, struct found *ret_found)
{
	*ret_found = (struct found){.rig = rig};
	CHECK_INT(0, lane_map_new(&ret_found->map));
	CHECK_INT(0, rig->io->ops->list(rig->io, DIRECTORY, found_file, ret_found));
}

static bool map_holds(const struct lane_map *map, unsigned lane, uint64_t sequence)
{
	struct lane_id id = lane_id_of(lane);
	struct run run = {.first = sequence, .count = 1, .feed = id.feed, .epoch = id.epoch, .lane = id.lane};
	uint64_t from = sequence;
	struct run part;

	return !lane_map_fresh(map, &run, &from, &part);
}

/* Every acknowledged sequence is there; what is there besides was appended. */
static unsigned map_misses(const struct rig *rig, const struct lane_map *map)
{
	unsigned missing = 0;

	for (unsigned lane = 0; lane < LANES; lane++)
		for (uint64_t sequence = 1; sequence < SEQUENCES; sequence++)
			missing += rig->acked[lane][sequence] && !map_holds(map, lane, sequence);
	return missing;
}

/* ---- the rig */

static struct rig *rig_new(uint64_t seed)
{
	struct rig *rig = calloc(1, sizeof(*rig));

	CHECK(rig != NULL);
	rig->io = sim_new(seed);
	rig->prng.state = seed ^ 0x5eed;
	rig->options = (struct journal_options){
		.directory = DIRECTORY,
		.file_size = 24 * IO_ALIGN,
		.slab_size = 4 * IO_ALIGN,
		.slab_count = 4,
		.commit_interval_ns = 1000,
		.roll_age_ns = 1000000,
		.key_version = 3,
	};
	return rig;
}

/* -errno when the disk would not; then the rig is as before. */
static int rig_boot(struct rig *rig, struct found *ret_found)
{
	struct journal_hooks hooks = {.durable = rig_durable, .context = rig};
	struct memtable_options memory = {.bytes_max = 16 * (sizeof(struct chunk) + 4096), .workers = 1};
	int r = rig->io->ops->mkdir(rig->io, "/d");

	rig->rows_acked = 0;
	rig->refused_acked = 0;
	rig->hits_told = 0;
	rig->rows_sealed = 0;
	if (r == 0)
		r = rig->io->ops->mkdir(rig->io, DIRECTORY);
	if (r == 0)
		r = keyring_open(&ring_options, rig->io, NULL, &rig->keyring);
	if (r < 0)
		return r;
	rig_scan(rig, ret_found);
	rig->map = ret_found->map;
	for (unsigned lane = 0; lane < LANES; lane++) {
		struct lane_id id = lane_id_of(lane);

		CHECK_INT(0, lane_map_window_new(rig->map, &id, 4096, &rig->windows[lane]));
	}
	CHECK_INT(0, memtable_new(&memory, &rig->memtable));
	CHECK_INT(0, journal_new(&rig->options, &hooks, rig->io, rig->keyring, rig->memtable, &rig->journal));
	return 0;
}

static void rig_stop(struct rig *rig)
{
	rig->journal = journal_free(rig->journal);
	rig->memtable = memtable_free(rig->memtable);
	rig->keyring = keyring_free(rig->keyring);
	rig->map = lane_map_free(rig->map);
}

static void rig_free(struct rig *rig)
{
	rig_stop(rig);
	sim_free(rig->io);
	free(rig);
}

/* Appends one run of fresh sequences near the window's base; the journal's outcome. */
static int rig_append(struct rig *rig, unsigned lane, unsigned spread)
{
	struct lane_window *window = rig->windows[lane];
	struct lane_id id = lane_id_of(lane);
	uint64_t first = window->base + prng_below(&rig->prng, spread);
	struct run run = {.feed = id.feed, .epoch = id.epoch, .lane = id.lane};
	struct read reads[LANE_RUN_MAX];
	struct hit hits[LANE_RUN_MAX];
	unsigned count = 1 + (unsigned)prng_below(&rig->prng, LANE_RUN_MAX);
	unsigned hit_count = 0;
	struct lane_fates fates;
	int r;

	lane_judge(window, first, LANE_RUN_MAX, &fates);
	if (fates.fresh == 0 || first + LANE_RUN_MAX >= SEQUENCES)
		return 0;
	run.first = first + (unsigned)__builtin_ctz(fates.fresh);
	fates.fresh >>= __builtin_ctz(fates.fresh);
	run.refusal = is_refused(run.first) ? REFUSAL_MALFORMED : REFUSAL_NONE;
	while (run.count < count && (fates.fresh >> run.count & 1) != 0 &&
	       is_refused(run.first + run.count) == (run.refusal != REFUSAL_NONE))
		run.count++;
	for (unsigned i = 0; i < run.count && run.refusal == REFUSAL_NONE; i++) {
		read_make(lane, run.first + i, rig->now, &reads[i]);
		if (has_hit(run.first + i))
			hits[hit_count++] = (struct hit){.row = i, .entry = (uint32_t)(run.first + i)};
	}
	r = journal_append(rig->journal, window, &run, run.refusal ? NULL : reads, hits, hit_count);
	for (unsigned i = 0; i < run.count && r == 0; i++)
		rig->appended[lane][run.first + i] = true;
	return r;
}

static void rig_poll(struct rig *rig)
{
	rig->now += 500;
	journal_poll(rig->journal, rig->now);
}

/* A sealer that only lets go: what is closed leaves the memtable; its files stay, so that recovery can be asked. */
static void rig_seal(struct rig *rig)
{
	struct memtable_view view;

	CHECK_INT(0, memtable_view_take(rig->memtable, &view));
	memtable_lock(rig->memtable);
	for (size_t i = 0; i < view.count; i++) {
		if (atomic_load(&view.generations[i]->state) != GENERATION_CLOSED)
			continue;
		rig->rows_sealed += atomic_load(&view.generations[i]->row_count_durable);
		memtable_retire(rig->memtable, view.generations[i]);
	}
	memtable_unlock(rig->memtable);
	memtable_view_release(rig->memtable, &view);
}

static void rig_keep(struct rig *rig)
{
	(void)journal_keep(rig->journal, true);
	(void)memtable_keep(rig->memtable);
}

/* A stretch of life. Returns how often an append was turned away. */
static unsigned rig_live(struct rig *rig, unsigned steps, unsigned *ret_closed)
{
	unsigned full = 0;

	for (unsigned i = 0; i < steps && !sim_is_cut(rig->io); i++) {
		unsigned dice = (unsigned)prng_below(&rig->prng, 100);

		if (dice < 60) {
			int r = rig_append(rig, (unsigned)prng_below(&rig->prng, LANES), 1 + dice * 3);

			full += r != 0;
			if (ret_closed != NULL && r == JOURNAL_CLOSED)
				(*ret_closed)++;
		} else if (dice < 96) {
			rig_poll(rig);
		} else if (dice < 98) {
			rig_keep(rig);
		} else if (dice < 99) {
			rig_seal(rig);
		} else if (prng_chance(&rig->prng, 200)) {
			journal_roll(rig->journal);
		}
	}
	return full;
}

/* Until nothing waits, with a keeper that does its work. */
static bool rig_settle(struct rig *rig)
{
	int64_t due;

	for (unsigned i = 0; i < 2000; i++) {
		rig_poll(rig);
		rig_keep(rig);
		if (i % 8 == 7)
			rig_seal(rig);
		if (!journal_idle(rig->journal, &due))
			continue;
		rig_poll(rig); /* sees what the keeper has just given */
		return true;
	}
	return false;
}

static unsigned unacked(const struct rig *rig)
{
	unsigned count = 0;

	for (unsigned lane = 0; lane < LANES; lane++)
		for (uint64_t sequence = 1; sequence < SEQUENCES; sequence++)
			count += rig->appended[lane][sequence] && !rig->acked[lane][sequence];
	return count;
}

static uint64_t memtable_rows(struct rig *rig, unsigned *ret_wrong)
{
	struct memtable_view view;
	uint64_t rows = 0;

	CHECK_INT(0, memtable_view_take(rig->memtable, &view));
	for (size_t i = 0; i < view.count; i++) {
		struct chunk *chunk = atomic_load(&view.generations[i]->first);

		for (; chunk != NULL; chunk = atomic_load(&chunk->next)) {
			uint32_t row = 0;

			for (uint32_t j = 0; j < atomic_load(&chunk->runs_durable); j++) {
				const struct run *run = &chunk->runs[j];

				for (uint32_t k = 0; k < run->count && run->refusal == REFUSAL_NONE; k++, row++)
					*ret_wrong += !rig->acked[lane_of(run)][run->first + k] ||
						      !read_is(lane_of(run), run->first + k, &chunk->rows[row]);
			}
			*ret_wrong += row != atomic_load(&chunk->rows_durable);
			for (uint32_t j = 0; j < atomic_load(&chunk->hits_durable); j++)
				*ret_wrong += chunk->hits[j].row - chunk->first_row >= row;
			rows += row;
		}
	}
	memtable_view_release(rig->memtable, &view);
	return rows;
}

static void rig_check_memory(struct rig *rig)
{
	unsigned wrong = 0;
	struct journal_info info;

	CHECK_INT(rig->rows_acked, memtable_rows(rig, &wrong) + rig->rows_sealed);
	CHECK_INT(0, wrong);
	CHECK(!rig->told_twice);
	CHECK(!rig->told_wrong);
	journal_info(rig->journal, &info);
	CHECK_INT(rig->rows_acked, info.reads);
	CHECK_INT(rig->refused_acked, info.refused);
}

static void rig_check_disk(struct rig *rig, const struct found *found)
{
	CHECK_INT(0, found->wrong);
	CHECK_INT(0, found->damaged);
	CHECK_INT(0, map_misses(rig, found->map));
}

/* ---- tests */

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
	CHECK_INT(0, unacked(rig));
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
	CHECK_INT(0, unacked(rig));
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
			(void)rig_append(rig, i % LANES, 1);
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
		CHECK_INT(0, unacked(rig));
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
	struct lane_id id = lane_id_of(0);
	struct run run = {.feed = id.feed, .epoch = id.epoch, .lane = id.lane, .count = LANE_RUN_MAX};
	struct hit *hits = calloc(hit_count, sizeof(*hits));
	struct read reads[LANE_RUN_MAX];
	struct lane_fates fates;

	CHECK(hits != NULL);
	run.first = window->base;
	for (lane_judge(window, run.first, LANE_RUN_MAX, &fates); fates.fresh != UINT32_MAX; run.first += LANE_RUN_MAX)
		lane_judge(window, run.first + LANE_RUN_MAX, LANE_RUN_MAX, &fates);
	for (unsigned i = 0; i < LANE_RUN_MAX; i++)
		read_make(0, run.first + i, rig->now, &reads[i]);
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
		CHECK_INT(0, unacked(rig));
		rig_check_memory(rig);
		rig_stop(rig);
		sim_crash(rig->io);
		CHECK_INT(0, rig_boot(rig, &found));
		rig_check_disk(rig, &found);
		rig_free(rig);
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
		rig_stop(rig);
		sim_crash(rig->io);
		CHECK_INT(0, rig_boot(rig, &found));
		rig_check_disk(rig, &found);
		rig_free(rig);
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
	CHECK(unacked(rig) > 0);
	rig_check_memory(rig);
	sim_fail(rig->io, 0, 0, 0, 0);
	CHECK(rig_settle(rig));
	journal_info(rig->journal, &info);
	CHECK(!info.closed);
	CHECK_INT(0, unacked(rig));
	CHECK(journal_credit(rig->journal) > 0);
	(void)rig_live(rig, 500, NULL);
	CHECK(rig_settle(rig));
	CHECK_INT(0, unacked(rig));
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
	CHECK_INT(0, unacked(rig));
	rig_check_memory(rig);
	sim_capacity(rig->io, 0);
	CHECK(rig_settle(rig));
	CHECK(journal_credit(rig->journal) > 0);
	CHECK_INT(0, rig_append(rig, 0, 1));
	CHECK(rig_settle(rig));
	CHECK_INT(0, unacked(rig));
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
		CHECK_INT(0, unacked(rig));
		if (nth % 2 == 0)
			sim_cut_at(rig->io, sim_ops(rig->io) + 1);
		rig_stop(rig);
		sim_crash(rig->io);
		CHECK_INT(0, rig_boot(rig, &found));
		rig_check_disk(rig, &found);
		rig_free(rig);
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
		CHECK_INT(0, sim_rot(rig->io, DIRECTORY "/w00-0000000001.closed", offset, 1 << round % 8));
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
		for (unsigned lane = 0; lane < LANES; lane++) {
			struct lane_id id = lane_id_of(lane);

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
		{"what is appended becomes durable and is found again", test_round_trip},
		{"a file is closed on request and by age", test_roll_on_request_and_by_age},
		{"a roll is answered when all is left, whatever fails", test_roll_is_answered_when_all_is_left},
		{"of too many hits the first are kept", test_hits_beyond_bound_are_left_out},
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

	return check_main(argc, argv, "journal", tests);
}
