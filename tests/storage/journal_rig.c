#include "tests/storage/journal_rig.h"

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

#define EPOCH 7

const struct keyring_options ring_options = {
	.master_path = "/k/master", .copy_a_path = "/d/keyring", .copy_b_path = "/e/keyring", .create = true};

struct lane_id rig_lane_id(unsigned lane)
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

void rig_read_make(unsigned lane, uint64_t sequence, int64_t receipt_us, struct read *ret_read)
{
	struct lane_id id = rig_lane_id(lane);
	struct prng prng = {.state = sequence * RIG_LANES + lane};
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

	rig_read_make(lane, sequence, read->receipt_us, &expected);
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
	for (unsigned i = 0; rig->hit_told != NULL && i < commit->hit_count; i++)
		rig->hit_told(rig->hit_context, &commit->hits[i], commit->hit_reads[commit->hits[i].row]);
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
	CHECK_INT(0, journal_file_path(RIG_DIRECTORY, &parsed, path));
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

void rig_scan(struct rig *rig, struct found *ret_found)
{
	*ret_found = (struct found){.rig = rig};
	CHECK_INT(0, lane_map_new(&ret_found->map));
	CHECK_INT(0, rig->io->ops->list(rig->io, RIG_DIRECTORY, found_file, ret_found));
}

static bool map_holds(const struct lane_map *map, unsigned lane, uint64_t sequence)
{
	struct lane_id id = rig_lane_id(lane);
	struct run run = {.first = sequence, .count = 1, .feed = id.feed, .epoch = id.epoch, .lane = id.lane};
	uint64_t from = sequence;
	struct run part;

	return !lane_map_fresh(map, &run, &from, &part);
}

/* Every acknowledged sequence is there; what is there besides was appended. */
static unsigned map_misses(const struct rig *rig, const struct lane_map *map)
{
	unsigned missing = 0;

	for (unsigned lane = 0; lane < RIG_LANES; lane++)
		for (uint64_t sequence = 1; sequence < RIG_SEQUENCES; sequence++)
			missing += rig->acked[lane][sequence] && !map_holds(map, lane, sequence);
	return missing;
}

struct rig *rig_new(uint64_t seed)
{
	struct rig *rig = calloc(1, sizeof(*rig));

	CHECK(rig != NULL);
	rig->io = sim_new(seed);
	rig->prng.state = seed ^ 0x5eed;
	rig->options = (struct journal_options){
		.directory = RIG_DIRECTORY,
		.file_size = 24 * IO_ALIGN,
		.slab_size = 4 * IO_ALIGN,
		.slab_count = 4,
		.commit_interval_ns = 1000,
		.roll_age_ns = 1000000,
		.key_version = 3,
	};
	return rig;
}

int rig_boot(struct rig *rig, struct found *ret_found)
{
	struct journal_hooks hooks = {.durable = rig_durable, .context = rig};
	struct memtable_options memory = {.bytes_max = 16 * (sizeof(struct chunk) + 4096), .workers = 1};
	int r = rig->io->ops->mkdir(rig->io, "/d");

	rig->rows_acked = 0;
	rig->refused_acked = 0;
	rig->hits_told = 0;
	rig->rows_sealed = 0;
	if (r == 0)
		r = rig->io->ops->mkdir(rig->io, RIG_DIRECTORY);
	if (r == 0)
		r = keyring_open(&ring_options, rig->io, NULL, &rig->keyring);
	if (r < 0)
		return r;
	rig_scan(rig, ret_found);
	rig->map = ret_found->map;
	for (unsigned lane = 0; lane < RIG_LANES; lane++) {
		struct lane_id id = rig_lane_id(lane);

		CHECK_INT(0, lane_map_window_new(rig->map, &id, 4096, &rig->windows[lane]));
	}
	CHECK_INT(0, memtable_new(&memory, &rig->memtable));
	CHECK_INT(0, journal_new(&rig->options, &hooks, rig->io, rig->keyring, rig->memtable, &rig->journal));
	return 0;
}

void rig_stop(struct rig *rig)
{
	rig->journal = journal_free(rig->journal);
	rig->memtable = memtable_free(rig->memtable);
	rig->keyring = keyring_free(rig->keyring);
	rig->map = lane_map_free(rig->map);
}

void rig_free(struct rig *rig)
{
	rig_stop(rig);
	sim_free(rig->io);
	free(rig);
}

int rig_append(struct rig *rig, unsigned lane, unsigned spread)
{
	struct lane_window *window = rig->windows[lane];
	struct lane_id id = rig_lane_id(lane);
	uint64_t first = window->base + prng_below(&rig->prng, spread);
	struct run run = {.feed = id.feed, .epoch = id.epoch, .lane = id.lane};
	struct read reads[LANE_RUN_MAX];
	struct hit hits[LANE_RUN_MAX];
	unsigned count = 1 + (unsigned)prng_below(&rig->prng, LANE_RUN_MAX);
	unsigned hit_count = 0;
	struct lane_fates fates;
	int r;

	lane_judge(window, first, LANE_RUN_MAX, &fates);
	if (fates.fresh == 0 || first + LANE_RUN_MAX >= RIG_SEQUENCES)
		return 0;
	run.first = first + (unsigned)__builtin_ctz(fates.fresh);
	fates.fresh >>= __builtin_ctz(fates.fresh);
	run.refusal = is_refused(run.first) ? REFUSAL_MALFORMED : REFUSAL_NONE;
	while (run.count < count && (fates.fresh >> run.count & 1) != 0 &&
	       is_refused(run.first + run.count) == (run.refusal != REFUSAL_NONE))
		run.count++;
	for (unsigned i = 0; i < run.count && run.refusal == REFUSAL_NONE; i++) {
		rig_read_make(lane, run.first + i, rig->now, &reads[i]);
		if (has_hit(run.first + i))
			hits[hit_count++] = (struct hit){.row = i, .entry = (uint32_t)(run.first + i)};
	}
	r = journal_append(rig->journal, window, &run, run.refusal ? NULL : reads, hits, hit_count);
	for (unsigned i = 0; i < run.count && r == 0; i++)
		rig->appended[lane][run.first + i] = true;
	return r;
}

void rig_poll(struct rig *rig)
{
	rig->now += 500;
	journal_poll(rig->journal, rig->now);
}

/* A sealer that only lets go: what is closed leaves the memtable; its files stay, so that recovery can be asked. */
void rig_seal(struct rig *rig)
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

void rig_keep(struct rig *rig)
{
	(void)journal_keep(rig->journal, true);
	(void)memtable_keep(rig->memtable);
}

unsigned rig_live(struct rig *rig, unsigned steps, unsigned *ret_closed)
{
	unsigned full = 0;

	for (unsigned i = 0; i < steps && !sim_is_cut(rig->io); i++) {
		unsigned dice = (unsigned)prng_below(&rig->prng, 100);

		if (dice < 60) {
			int r = rig_append(rig, (unsigned)prng_below(&rig->prng, RIG_LANES), 1 + dice * 3);

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

bool rig_settle(struct rig *rig)
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

unsigned rig_unacked(const struct rig *rig)
{
	unsigned count = 0;

	for (unsigned lane = 0; lane < RIG_LANES; lane++)
		for (uint64_t sequence = 1; sequence < RIG_SEQUENCES; sequence++)
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

void rig_check_memory(struct rig *rig)
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

void rig_check_disk(struct rig *rig, const struct found *found)
{
	CHECK_INT(0, found->wrong);
	CHECK_INT(0, found->damaged);
	CHECK_INT(0, map_misses(rig, found->map));
}
