/*
 * A journal's frames, back into the memtable. Each identity is taken once: a slab whose first write failed stands in
 * two files, and only what the lane map does not hold yet is appended.
 *
 * When the memtable is full, what was recovered completely is sealed first, which gives its chunks back.
 *
 * A journal that cannot be read stops the start. Were it passed over, the watermarks of later journals would close over
 * its reads as lost, and the next start would find nothing fresh in it and destroy it.
 */
#include "storage/recovery.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define LOG_MODULE "recovery"
#include "appliance/base/array.h"
#include "appliance/base/log.h"
#include "storage/sealer.h"
#include "storage/store_internal.h"

#include <stdlib.h>

#define HITS_MAX CHUNK_HITS /* of one run */

struct intake {
	struct store *store;
	struct generation *generation;
	struct recovery_marks *marks;
	struct err *err;
	const struct journal_frame *frame;
	uint32_t hit; /* of the frame: next one, while they come in the order of rows */
	bool hits_ordered;
	uint32_t hit_count;
	struct hit hits[HITS_MAX];
	int32_t day; /* last one asked about */
	bool day_gone;
	uint64_t rows;
};

static int journal_key(void *context, uint64_t file_id, uint8_t ret_key[32])
{
	struct store *store = context;

	return keyring_get(store->keyring, (struct key_id){.id = file_id, .day = KEY_DAY_NONE, .kind = KEY_JOURNAL},
			   ret_key);
}

static bool hits_in_order(const struct journal_frame *frame)
{
	for (uint32_t i = 1; i < frame->header.hit_count; i++)
		if (frame->hits[i].row < frame->hits[i - 1].row)
			return false;
	return true;
}

/* The hits of the frame's rows first … first + count − 1, their row counted from `first`. */
static void hits_gather(struct intake *intake, uint32_t first, uint32_t count)
{
	const struct journal_frame *frame = intake->frame;
	uint32_t at = intake->hits_ordered ? intake->hit : 0;

	intake->hit_count = 0;
	for (; at < frame->header.hit_count; at++) {
		struct hit hit = frame->hits[at];

		if (intake->hits_ordered && hit.row >= first + count)
			break;
		if (hit.row < first || hit.row >= first + count || intake->hit_count == HITS_MAX)
			continue;
		hit.row -= first;
		intake->hits[intake->hit_count++] = hit;
	}
	if (intake->hits_ordered)
		intake->hit = at;
}

static int room_make(struct intake *intake, unsigned rows)
{
	struct store *store = intake->store;
	int result;

	if (memtable_reserve_recovery(store->memtable, intake->generation, rows, 1, intake->hit_count))
		return 0;
	result = sealer_round(store);
	if (result < 0)
		return err_set(intake->err, result, "the memtable is full in recovery and sealing fails: %s",
			       store->seal_why);
	if (memtable_reserve_recovery(store->memtable, intake->generation, rows, 1, intake->hit_count))
		return 0;
	return err_set(intake->err, -ENOMEM,
		       "the memtable is too small for one journal file; make memtable_bytes_max larger");
}

static int part_append(struct intake *intake, const struct run *part, const struct read *reads, uint32_t first_row)
{
	int result;

	intake->hit_count = 0;
	if (reads != NULL && intake->frame->header.hit_count > 0)
		hits_gather(intake, first_row, part->count);
	result = room_make(intake, reads != NULL ? part->count : 0);
	if (result < 0)
		return result;
	(void)memtable_append(intake->generation, part, reads, intake->hits, intake->hit_count);
	intake->rows += reads != NULL ? part->count : 0;
	result = lane_map_apply(intake->store->lanes, part);
	return result < 0 ? err_set(intake->err, result, "out of memory") : 0;
}

static bool day_gone(struct intake *intake, int64_t capture_us)
{
	int32_t day = read_day(capture_us);

	if (day != intake->day) {
		intake->day = day;
		intake->day_gone = keyring_day_destroyed(intake->store->keyring, day);
	}
	return intake->day_gone;
}

/* A run without rows of a purged day, else cut into stretches: those rows are not revived, they count as refused. */
static int stored_append(struct intake *intake, const struct run *run, const struct read *reads, uint32_t first_row)
{
	uint16_t at = 0;
	int result = 0;

	while (result == 0 && at < run->count) {
		bool gone = day_gone(intake, reads[at].capture_us);
		struct run part = *run;
		uint16_t end = at;

		while (end < run->count && day_gone(intake, reads[end].capture_us) == gone)
			end++;
		part.first += at;
		part.count = (uint16_t)(end - at);
		if (gone)
			part.refusal = REFUSAL_TOO_OLD;
		result = part_append(intake, &part, gone ? NULL : reads + at, first_row + at);
		at = end;
	}
	return result;
}

static int mark_add(struct recovery_marks *marks, const struct lane_id *id, uint64_t watermark)
{
	struct recovery_watermark *last = marks->count > 0 ? &marks->marks[marks->count - 1] : NULL;
	void *grown;

	if (last != NULL && last->id.feed == id->feed && last->id.epoch == id->epoch && last->id.lane == id->lane) {
		if (last->watermark < watermark)
			last->watermark = watermark;
		return 0;
	}
	grown = array_grow(marks->marks, marks->count, &marks->capacity, sizeof(*marks->marks));
	if (grown == NULL)
		return -ENOMEM;
	marks->marks = grown;
	marks->marks[marks->count++] = (struct recovery_watermark){.id = *id, .watermark = watermark};
	return 0;
}

/* Usually all below a run's watermark has been recovered by now; else it is judged when every journal was read. */
static int watermark_note(struct intake *intake, const struct journal_run *run)
{
	struct lane_id id = {.feed = run->run.feed, .epoch = run->run.epoch, .lane = run->run.lane};
	struct lane_state state;

	if (run->watermark == 0)
		return 0;
	if (lane_map_get(intake->store->lanes, &id, &state) && state.cumulative >= run->watermark)
		return 0;
	return mark_add(intake->marks, &id, run->watermark) < 0 ? err_set(intake->err, -ENOMEM, "out of memory") : 0;
}

static int run_take(struct intake *intake, const struct journal_run *run)
{
	uint64_t from = run->run.first;
	struct run part;
	int result = 0;

	while (result == 0 && lane_map_fresh(intake->store->lanes, &run->run, &from, &part)) {
		uint32_t offset = (uint32_t)(part.first - run->run.first);

		if (part.refusal == REFUSAL_NONE)
			result = stored_append(intake, &part, run->reads + offset, run->first_row + offset);
		else
			result = part_append(intake, &part, NULL, 0);
	}
	return result < 0 ? result : watermark_note(intake, run);
}

static int frames_take(struct intake *intake, struct journal_scan *scan)
{
	struct journal_frame frame;
	struct journal_run run;
	int result;

	while ((result = journal_scan_next(scan, intake->err, &frame)) == 1) {
		intake->frame = &frame;
		intake->hit = 0;
		intake->hits_ordered = hits_in_order(&frame);
		while (journal_frame_next(&frame, &run)) {
			result = run_take(intake, &run);
			if (result < 0)
				return result;
		}
	}
	return result;
}

static void damage_tell(struct store *store, const char *path, const struct journal_scan_result *result)
{
	unsigned told = result->hole_count < JOURNAL_HOLES_MAX ? result->hole_count : JOURNAL_HOLES_MAX;

	if (!result->header_valid)
		store_damage(store, "%s: the header is damaged; its frames are recovered by themselves", path);
	for (unsigned i = 0; i < told; i++)
		if (result->holes[i].damage)
			store_damage(store, "%s: frames %llu to %llu at byte %llu are damaged, later ones are kept",
				     path, (unsigned long long)result->holes[i].first_frame,
				     (unsigned long long)result->holes[i].last_frame,
				     (unsigned long long)result->holes[i].offset);
	if (result->chain_breaks > 0)
		store_damage(store, "%s: %u frames do not continue their neighbours", path, result->chain_breaks);
}

/* Off the live list again: nothing is in it. */
static void generation_drop(struct store *store, struct generation *generation)
{
	memtable_lock(store->memtable);
	memtable_retire(store->memtable, generation);
	memtable_unlock(store->memtable);
}

static int unread_refuse(struct err *err, const char *path, const char *why)
{
	return err_set(err, -EIO,
		       "%s: cannot be read (%s), and what is in it may be acknowledged; mend the cause (permissions, "
		       "open files, memory, device) and start again, or give its reads up by moving it away",
		       path, why);
}

static int scan_take(struct store *store, const struct journal_file_name *file, struct journal_scan *scan,
		     const char *path, uint64_t id, struct recovery_marks *marks, struct err *err)
{
	struct intake *intake = calloc(1, sizeof(*intake));
	struct generation *generation;
	struct memtable_mark mark;
	int result;

	if (intake == NULL)
		return err_set(err, -ENOMEM, "out of memory");
	result = memtable_open_generation(store->memtable, file->worker % store->options.workers, file->sequence, id,
					  &generation);
	if (result < 0) {
		free(intake);
		return err_set(err, result, "out of memory");
	}
	*intake =
		(struct intake){.store = store, .generation = generation, .marks = marks, .err = err, .day = INT32_MIN};
	result = frames_take(intake, scan);
	store->recovery_reads += intake->rows;
	free(intake);
	memtable_mark_take(generation, &mark);
	memtable_publish(generation, &mark);
	if (result < 0)
		return result;
	if (atomic_load_explicit(&generation->first, memory_order_acquire) == NULL) {
		generation_drop(store, generation);
		if (journal_scan_result(scan)->unreadable_blocks > 0)
			return unread_refuse(err, path, strerror(EIO));
		damage_tell(store, path, journal_scan_result(scan));
		return RECOVERY_GONE;
	}
	damage_tell(store, path, journal_scan_result(scan));
	atomic_store_explicit(&generation->state, GENERATION_CLOSED, memory_order_release);
	return 0;
}

/* The name as it stands: its state is part of it. */
static int scan_open(struct store *store, const char *path, struct err *err, struct journal_scan **ret_scan,
		     uint64_t *ret_id)
{
	struct journal_scan_options options = {
		.path = path, .key = journal_key, .context = store, .ahead = !store->options.threads_off};

	return journal_scan_new(&options, store->io, err, ret_scan, ret_id);
}

int recovery_journal(struct store *store, const struct journal_file_name *file, struct recovery_marks *marks,
		     struct err *err, uint64_t *ret_id)
{
	char path[JOURNAL_PATH_MAX];
	struct journal_scan *scan = NULL;
	bool sealed = false;
	int result = journal_file_path(store->journal_directory, file, path);

	*ret_id = 0;
	if (result < 0)
		return err_set(err, result, "the journal directory's path is too long");
	result = scan_open(store, path, err, &scan, ret_id);
	if (result > 0)
		return RECOVERY_GONE;
	if (result == -ENOTSUP)
		return result;
	if (result < 0)
		return unread_refuse(err, path, strerror(-result));
	*ret_id = journal_scan_result(scan)->header.file_id;
	result = catalog_journal_sealed(store->catalog, *ret_id, &sealed);
	if (result < 0)
		result = err_set(err, result, "catalog: %s", strerror(-result));
	else if (sealed)
		result = RECOVERY_SEALED;
	else
		result = scan_take(store, file, scan, path, *ret_id, marks, err);
	journal_scan_free(scan);
	return result;
}
