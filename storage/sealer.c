/*
 * One generation's way, each step durable before the next:
 *
 *   rows by capture day → keys of the new segments, and in the same change the end of the former journal's key →
 *   a segment for each day → one catalog transaction (segments, lanes as of this journal, "sealed", totals), under
 *   memtable_lock together with the generation's retirement → its journal's key is owed: destroyed with the next
 *   generation's change or at the end of the round → the file is discarded and unlinked → the mark "sealed" goes.
 *
 * Failure before the commit: the segments written so far are removed, their keys owed, and the whole is tried again.
 * A commit that failed may yet have happened: segments, lanes and all are kept as they are (struct seal_pending) and
 * only the commit is tried again; -EEXIST then means that it had happened. Nothing else is sealed meanwhile, because
 * the lanes have moved on by this journal: another commit would make them durable without its rows.
 *
 * Generations of one worker are sealed in their order. Nothing of a failure is lost: rows stay in memtable and journal.
 */
#include "storage/sealer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOG_MODULE "sealer"
#include "appliance/base/array.h"
#include "appliance/base/clock.h"
#include "appliance/base/digest.h"
#include "appliance/base/killpoint.h"
#include "appliance/base/log.h"
#include "storage/marks.h"
#include "storage/segment_write.h"
#include "storage/store_internal.h"

int sealer_journal_recovered(struct store *store, uint64_t journal_id, const struct journal_file_name *file)
{
	void *grown = array_grow(store->recovered, store->recovered_count, &store->recovered_capacity,
				 sizeof(*store->recovered));

	if (grown == NULL)
		return -ENOMEM;
	store->recovered = grown;
	store->recovered[store->recovered_count++] = (struct recovered_name){.journal_id = journal_id, .file = *file};
	return 0;
}

/* A recovered generation may bear another number than its file. */
static struct journal_file_name generation_file(const struct store *store, const struct generation *generation)
{
	for (size_t i = 0; i < store->recovered_count; i++)
		if (store->recovered[i].journal_id == generation->journal_id)
			return store->recovered[i].file;
	return (struct journal_file_name){.worker = generation->worker, .sequence = generation->sequence};
}

/* Removes what a failed attempt wrote; what cannot be removed now is an orphan that recovery removes. */
static void segments_remove(struct store *store, const struct segment_summary *segments, size_t count)
{
	char path[LAYOUT_PATH_SIZE + SEGMENT_NAME_SIZE];
	char name[SEGMENT_NAME_SIZE];

	for (size_t i = 0; i < count; i++) {
		snprintf(path, sizeof(path), "%s/%s", store->segments_directory,
			 segment_name(segments[i].day, segments[i].id, ".seg", name));
		(void)store->io->ops->unlink(store->io, path);
	}
}

static void makes_owed(struct store *store, const struct key_change *makes, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (sealer_key_owed(store, makes[i].id) < 0)
			return; /* an orphan key: recovery finds it */
}

static int batch_write(struct store *store, const struct generation *generation, const struct segment_batch *batch,
		       uint64_t id, struct err *err, struct segment_summary *ret_summary)
{
	struct segment_input input = {.id = id,
				      .day = batch->day,
				      .key_version = store->options.key_version,
				      .lineage_kind = SEGMENT_FROM_JOURNALS,
				      .lineage = &generation->journal_id,
				      .lineage_count = 1,
				      .rows = batch->rows,
				      .row_count = batch->row_count,
				      .hits = batch->hits,
				      .hit_count = batch->hit_count};

	return segment_write(store->io, store->keyring, store->segments_directory, &input, err, ret_summary);
}

/* Rows of a purged day can only come from a journal whose sealing a lost catalog has forgotten: they are not revived.
 */
static size_t batches_live(struct store *store, struct segment_batches *batches)
{
	size_t live = 0;

	for (size_t i = 0; i < batches->day_count; i++) {
		if (keyring_day_destroyed(store->keyring, batches->days[i].day))
			store_alarm(store, "%zu reads of purged day %d left out at sealing", batches->days[i].row_count,
				    batches->days[i].day);
		else
			batches->days[live++] = batches->days[i];
	}
	return live;
}

static int segments_write(struct store *store, const struct generation *generation,
			  const struct segment_batches *batches, size_t day_count, struct err *err)
{
	struct seal_pending *pending = &store->pending;
	struct key_change *makes = calloc(day_count + 1, sizeof(*makes));
	int result = makes != NULL ? 0 : err_set(err, -ENOMEM, "out of memory");

	for (size_t i = 0; result == 0 && i < day_count; i++) {
		makes[i].id = (struct key_id){.day = batches->days[i].day, .kind = KEY_SEGMENT};
		random_bytes(&makes[i].id.id, sizeof(makes[i].id.id));
	}
	if (result == 0) {
		result = sealer_keys_change(store, makes, day_count);
		if (result < 0)
			(void)err_set(err, result, "keyring: %s", strerror(-result));
	}
	if (result < 0) {
		free(makes);
		return result;
	}
	for (size_t i = 0; result == 0 && i < day_count; i++) {
		result = batch_write(store, generation, &batches->days[i], makes[i].id.id, err, &pending->segments[i]);
		pending->segment_count += result == 0;
	}
	if (result < 0) {
		segments_remove(store, pending->segments, pending->segment_count);
		makes_owed(store, makes, day_count);
		pending->segment_count = 0;
	}
	free(makes);
	return result;
}

/* The lanes as of this journal's end, and its refusals. */
static int runs_apply(struct store *store, const struct generation *generation)
{
	const struct chunk *chunk = atomic_load_explicit(&generation->first, memory_order_acquire);

	for (; chunk != NULL; chunk = atomic_load_explicit(&chunk->next, memory_order_acquire)) {
		uint32_t count = atomic_load_explicit(&chunk->runs_durable, memory_order_acquire);

		for (uint32_t i = 0; i < count; i++) {
			int result = lane_map_apply(store->sealed_lanes, &chunk->runs[i]);

			if (result < 0)
				return result;
			if (chunk->runs[i].refusal != REFUSAL_NONE && chunk->runs[i].refusal < REFUSAL_COUNT)
				store->pending.refused[chunk->runs[i].refusal] += chunk->runs[i].count;
		}
	}
	return 0;
}

/*
 * What a sender gave up lies in no run: the watermarks tell of it. What a watermark counts as durable is in this
 * generation or was sealed before: recovered generations, whose feeds may have had another worker, go first.
 */
static int watermarks_apply(struct store *store, const struct generation *generation)
{
	const struct chunk *chunk = atomic_load_explicit(&generation->first, memory_order_acquire);

	for (; chunk != NULL; chunk = atomic_load_explicit(&chunk->next, memory_order_acquire)) {
		uint32_t count = atomic_load_explicit(&chunk->runs_durable, memory_order_acquire);

		for (uint32_t i = 0; i < count; i++) {
			const struct run *run = &chunk->runs[i];
			struct lane_id id = {.feed = run->feed, .epoch = run->epoch, .lane = run->lane};
			int result = lane_map_watermark(store->sealed_lanes, &id, chunk->watermarks[i], NULL, NULL);

			if (result < 0)
				return result;
		}
	}
	return 0;
}

static int lane_collect(void *context, const struct lane_id *id, const void *bytes, size_t size)
{
	struct seal_pending *pending = context;
	void *copy = malloc(size + 1);
	void *grown;

	if (copy == NULL)
		return -ENOMEM;
	grown = array_grow(pending->lanes, pending->lane_count, &pending->lane_capacity, sizeof(*pending->lanes));
	if (grown == NULL) {
		free(copy);
		return -ENOMEM;
	}
	pending->lanes = grown;
	memcpy(copy, bytes, size);
	pending->lanes[pending->lane_count++] = (struct catalog_lane){
		.feed = id->feed, .epoch = id->epoch, .lane = id->lane, .bytes = copy, .size = size};
	return 0;
}

static void lanes_drop(struct seal_pending *pending)
{
	for (size_t i = 0; i < pending->lane_count; i++)
		free((void *)(uintptr_t)pending->lanes[i].bytes);
	pending->lane_count = 0;
}

static void pending_fini(struct seal_pending *pending)
{
	lanes_drop(pending);
	free(pending->lanes);
	free(pending->segments);
	*pending = (struct seal_pending){0};
}

static int lanes_collect(struct store *store, const struct generation *generation)
{
	int result;

	memset(store->pending.refused, 0, sizeof(store->pending.refused));
	result = runs_apply(store, generation);
	if (result == 0)
		result = watermarks_apply(store, generation);
	if (result == 0)
		result = lane_map_each_dirty(store->sealed_lanes, lane_collect, &store->pending);
	if (result < 0)
		lanes_drop(&store->pending);
	return result;
}

/* Keys and segments, before anything moves: what fails here leaves nothing pending. */
static int generation_prepare(struct store *store, struct generation *generation, struct err *err)
{
	struct mark_set *marks = marks_hold(store->marks);
	struct segment_batches batches;
	size_t day_count;
	int result = segment_batches_init(&batches, generation, marks);

	mark_set_release(marks);
	if (result < 0)
		return err_set(err, result, "out of memory");
	day_count = batches_live(store, &batches);
	store->pending.segments = calloc(day_count + 1, sizeof(*store->pending.segments));
	if (store->pending.segments == NULL)
		result = err_set(err, -ENOMEM, "out of memory");
	store->pending.erased = batches.erased;
	if (result == 0)
		result = segments_write(store, generation, &batches, day_count, err);
	segment_batches_fini(&batches);
	if (result < 0) {
		pending_fini(&store->pending);
		return result;
	}
	killpoint("seal.written");
	return 0;
}

static int generation_commit(struct store *store, struct generation *generation, struct err *err)
{
	struct seal_pending *pending = &store->pending;
	struct journal_file_name file = generation_file(store, generation);
	struct catalog_seal seal = {.journal_id = generation->journal_id,
				    .segments = pending->segments,
				    .segment_count = pending->segment_count,
				    .lanes = pending->lanes,
				    .lane_count = pending->lane_count,
				    .erased = pending->erased,
				    .now_us = clock_wall_us(),
				    .unjudged = store->reg == NULL};
	int result;

	memcpy(seal.refused, pending->refused, sizeof(seal.refused));
	memtable_lock(store->memtable);
	result = catalog_seal(store->catalog, &seal);
	if (result == -EEXIST)
		result = 0;
	if (result == 0)
		memtable_retire(store->memtable, generation);
	memtable_unlock(store->memtable);
	if (result < 0)
		return err_set(err, result, "catalog: %s", strerror(-result));
	killpoint("seal.committed");
	(void)sealer_journal_owed(store, seal.journal_id, &file); /* -ENOMEM: recovery finds it sealed */
	pending_fini(pending);
	return 0;
}

static int generation_seal(struct store *store, struct generation *generation, struct err *err)
{
	int result = 0;

	if (store->pending.generation == NULL) {
		result = generation_prepare(store, generation, err);
		if (result < 0)
			return result;
		/* From here on the lanes may have moved: this generation is the next one committed, whatever fails. */
		store->pending.generation = generation;
	}
	if (store->pending.lane_count == 0) {
		result = lanes_collect(store, generation);
		if (result < 0)
			return err_set(err, result, "lanes: %s", strerror(-result));
	}
	return generation_commit(store, generation, err);
}

static bool generation_recovered(const struct store *store, const struct generation *generation)
{
	for (size_t i = 0; i < store->recovered_count; i++)
		if (store->recovered[i].journal_id == generation->journal_id)
			return true;
	return false;
}

/*
 * The oldest closed generation of a worker whose older ones are all sealed, a recovered one before any other; NULL when
 * there is none.
 */
static struct generation *view_oldest(const struct store *store, const struct memtable_view *view)
{
	const struct generation *before = NULL;
	struct generation *chosen = NULL;

	for (size_t i = 0; i < view->count; i++) {
		struct generation *generation = view->generations[i];
		bool oldest = before == NULL || before->worker != generation->worker;

		before = generation;
		if (!oldest || atomic_load_explicit(&generation->state, memory_order_acquire) != GENERATION_CLOSED)
			continue;
		if (generation_recovered(store, generation))
			return generation;
		if (chosen == NULL)
			chosen = generation;
	}
	return chosen;
}

enum seal_outcome { SEAL_ONE = 1 };

/* Seals one generation. A view of its own for each, so that what is sealed can give its memory back at once. */
static int seal_next(struct store *store, struct err *err)
{
	struct memtable_view view;
	struct generation *generation;
	int result = memtable_view_take(store->memtable, &view);

	if (result < 0)
		return err_set(err, result, "out of memory");
	generation = store->pending.generation != NULL ? store->pending.generation : view_oldest(store, &view);
	if (generation != NULL) {
		result = generation_seal(store, generation, err);
		if (result == 0)
			result = SEAL_ONE;
	}
	memtable_view_release(store->memtable, &view);
	return result;
}

static void failure_note(struct store *store, int result, const struct err *err)
{
	pthread_mutex_lock(&store->status_mutex);
	store->seal_failures += result < 0;
	snprintf(store->seal_why, sizeof(store->seal_why), "%.190s", result < 0 ? err->text : "");
	pthread_mutex_unlock(&store->status_mutex);
	if (result < 0)
		store_alarm_stand(store, STANDING_SEALING, 0, "sealing fails, journalling goes on: %s", err->text);
	else
		store_alarm_over(store, STANDING_SEALING, 0);
}

static int round_locked(struct store *store, struct err *err)
{
	int result;

	do
		result = seal_next(store, err);
	while (result == SEAL_ONE);
	if (result < 0)
		return result;
	result = sealer_keys_change(store, NULL, 0);
	return result < 0 ? err_set(err, result, "keyring: %s", strerror(-result)) : 0;
}

int sealer_round(struct store *store)
{
	struct err err = {{0}};
	int result;

	pthread_mutex_lock(&store->seal_mutex);
	result = round_locked(store, &err);
	pthread_mutex_unlock(&store->seal_mutex);
	failure_note(store, result, &err);
	return result;
}

void sealer_fini(struct store *store)
{
	pending_fini(&store->pending);
	free(store->debts);
	free(store->recovered);
}
