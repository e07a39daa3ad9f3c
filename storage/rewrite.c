/*
 * Parents and child; the happy path is in the header. Failure before the commit: the child is removed, its key owed,
 * nothing has changed.
 *
 * Why parents have to be ripe. When the catalog is lost, recovery goes by the files: it prefers a child to the parents
 * it names, and a journal to the segments sealed from it. Both say one thing only while no child's journal and no
 * child's grandparent is there any more; so a parent is not rewritten before what it was made from is destroyed.
 */
#include "storage/rewrite.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/bytes.h"
#include "appliance/base/clock.h"
#include "appliance/base/digest.h"
#include "appliance/base/killpoint.h"
#include "storage/rewrite_private.h"
#include "storage/sealer.h"
#include "storage/segment_build.h"
#include "storage/store_internal.h"

#define ROOM_ROWS UINT64_C(4000000) /* taken between two looks at the disk's room */

void rewrite_lock(struct store *store)
{
	pthread_mutex_lock(&store->tidy_mutex);
}

void rewrite_preempt(struct store *store)
{
	(void)atomic_fetch_add(&store->tidy_preempted, 1);
	pthread_mutex_lock(&store->tidy_mutex);
	(void)atomic_fetch_sub(&store->tidy_preempted, 1);
}

void rewrite_unlock(struct store *store)
{
	pthread_mutex_unlock(&store->tidy_mutex);
}

static int parents_load(struct rewrite *rewrite, int32_t day, const uint64_t *ids, size_t count)
{
	rewrite->segments = calloc(count + 1, sizeof(*rewrite->segments));
	if (rewrite->segments == NULL)
		return err_set(rewrite->err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < count; i++) {
		struct segment_summary *summary = &rewrite->segments[rewrite->count];
		int result = catalog_segment(rewrite->store->catalog, day, ids[i], summary);

		if (result < 0)
			return err_set(rewrite->err, result, "segment %016llx of day %d: %s",
				       (unsigned long long)ids[i], day, strerror(-result));
		rewrite->count++;
		if (summary->key_version != rewrite->segments[0].key_version)
			return err_set(rewrite->err, -ENOTSUP, "segments of day %d have VRM keys of different versions",
				       day);
	}
	return 0;
}

static uint64_t rows_of(const struct rewrite *rewrite)
{
	uint64_t rows = 0;

	for (size_t i = 0; i < rewrite->count; i++)
		rows += rewrite->segments[i].row_count;
	return rows;
}

static int room_check(struct rewrite *rewrite, uint64_t need)
{
	struct store *store = rewrite->store;
	struct io_space space;
	uint64_t reserve;
	int result = store->io->ops->space(store->io, store->directory, &space);

	if (result < 0)
		return err_set(rewrite->err, result, "disk room cannot be measured: %s", strerror(-result));
	pthread_mutex_lock(&store->status_mutex);
	reserve = store->disk_reserve;
	pthread_mutex_unlock(&store->status_mutex);
	if (space.free_bytes >= reserve + need)
		return 0;
	return err_set(rewrite->err, -ENOSPC,
		       "rewriting day %d needs %llu KiB beside the %llu KiB reserved, %llu KiB free",
		       rewrite->segments[0].day, (unsigned long long)(need >> 10), (unsigned long long)(reserve >> 10),
		       (unsigned long long)(space.free_bytes >> 10));
}

/* Between two pages. */
static int pace(void *context, uint64_t rows, struct err *err)
{
	struct rewrite *rewrite = context;
	struct store *store = rewrite->store;
	int result;

	pthread_mutex_lock(&store->status_mutex);
	store->tidy.rows_done += rows;
	pthread_mutex_unlock(&store->status_mutex);
	result = tidier_pace(store);
	if (result < 0)
		return err_set(err, result, "rewriting of day %d put off", rewrite->segments[0].day);
	rewrite->room_rows += rows;
	if (rewrite->room_rows < ROOM_ROWS)
		return 0;
	rewrite->room_rows = 0;
	return room_check(rewrite, 0);
}

static int finish_pace(void *context)
{
	return tidier_pace(((struct rewrite *)context)->store);
}

static void progress_begin(struct store *store, int32_t day, uint64_t rows)
{
	pthread_mutex_lock(&store->status_mutex);
	store->tidy.running = true;
	store->tidy.day = day;
	store->tidy.rows_done = 0;
	store->tidy.rows_total = rows;
	pthread_mutex_unlock(&store->status_mutex);
}

static void progress_end(struct store *store)
{
	pthread_mutex_lock(&store->status_mutex);
	store->tidy.running = false;
	pthread_mutex_unlock(&store->status_mutex);
}

int rewrite_child(struct rewrite *rewrite, const char *directory, const uint8_t key[KEY_SIZE], uint64_t id,
		  struct segment_summary *ret_summary)
{
	const struct segment_summary *first = &rewrite->segments[0];
	struct segment_origin origin = {.id = id,
					.day = first->day,
					.key_version = first->key_version,
					.lineage_kind = SEGMENT_FROM_SEGMENTS,
					.lineage = rewrite->plan->parents,
					.lineage_count = rewrite->plan->parent_count};
	struct segment_build *build;
	int result = segment_build_new(rewrite->store->io, directory, key, &origin, rewrite->err, &build);

	if (result < 0)
		return result;
	if (rewrite->stream.pace != NULL)
		segment_build_pace(build, finish_pace, rewrite);
	result = rewrite_stream_run(&rewrite->stream, build, rewrite->err);
	if (result == 0)
		result = rewrite->stream.rows_kept > 0 ? segment_build_finish(build, rewrite->err, ret_summary)
						       : REWRITE_NOTHING;
	segment_build_free(build);
	return result;
}

static int key_write(struct rewrite *rewrite, struct key_id id, uint8_t ret_key[KEY_SIZE])
{
	struct store *store = rewrite->store;
	struct key_change make = {.id = id};
	int result;

	pthread_mutex_lock(&store->seal_mutex);
	result = sealer_keys_change(store, &make, 1);
	pthread_mutex_unlock(&store->seal_mutex);
	if (result == 0)
		result = keyring_get(store->keyring, id, ret_key);
	return result < 0 ? err_set(rewrite->err, result, "keyring: %s", strerror(-result)) : 0;
}

static int child_make(struct rewrite *rewrite)
{
	struct rewrite_pending *plan = rewrite->plan;
	uint8_t key[KEY_SIZE];
	int result;

	random_bytes(&plan->child_id, sizeof(plan->child_id));
	result = key_write(rewrite, rewrite_child_key(plan), key);
	if (result < 0)
		return result;
	killpoint("merge.keyed");
	result = rewrite_child(rewrite, rewrite->store->segments_directory, key, plan->child_id, &plan->child);
	bytes_wipe(key, sizeof(key));
	plan->has_child = result == 0;
	if (result != 0)
		rewrite_child_remove(rewrite->store, plan);
	killpoint("merge.written");
	return result < 0 ? result : 0;
}

static bool key_stands(struct store *store, struct key_id id)
{
	uint8_t key[KEY_SIZE];
	int result = keyring_get(store->keyring, id, key);

	bytes_wipe(key, sizeof(key));
	return result == 0;
}

/* Is what it was made from destroyed? */
static bool parent_ripe(struct store *store, const struct segment_summary *parent)
{
	for (uint32_t i = 0; i < parent->lineage_count; i++) {
		struct key_id id = {.id = parent->lineage[i], .day = KEY_DAY_NONE, .kind = KEY_JOURNAL};

		if (parent->lineage_kind == SEGMENT_FROM_SEGMENTS)
			id = (struct key_id){.id = parent->lineage[i], .day = parent->day, .kind = KEY_SEGMENT};
		if (key_stands(store, id))
			return false;
	}
	return true;
}

static bool parents_ripe(const struct rewrite *rewrite)
{
	for (size_t i = 0; i < rewrite->count; i++)
		if (!parent_ripe(rewrite->store, &rewrite->segments[i]))
			return false;
	return true;
}

/* 0, REWRITE_WAITS or < 0. */
static int parents_ready(struct rewrite *rewrite)
{
	uint64_t need = 1 << 20;
	int result = 0;

	for (size_t i = 0; i < rewrite->count; i++)
		need += rewrite->segments[i].file_size;
	if (rows_of(rewrite) > SEGMENT_ROWS_MAX)
		return err_set(rewrite->err, -E2BIG, "%llu rows do not fit a segment",
			       (unsigned long long)rows_of(rewrite));
	if (!parents_ripe(rewrite)) {
		result = sealer_debts_pay(rewrite->store);
		if (result < 0)
			return err_set(rewrite->err, result, "keyring: %s", strerror(-result));
		if (!parents_ripe(rewrite))
			return REWRITE_WAITS;
	}
	return room_check(rewrite, need);
}

void rewrite_stream_prepare(struct rewrite *rewrite, const struct rewrite_rule *rule)
{
	rewrite->stream = (struct rewrite_stream){.io = rewrite->store->io,
						  .keyring = rewrite->store->keyring,
						  .directory = rewrite->store->segments_directory,
						  .segments = rewrite->segments,
						  .segment_count = rewrite->count,
						  .rule = rule,
						  .context = rewrite};
}

static int rewrite_parents(struct rewrite *rewrite, const struct rewrite_rule *rule, struct rewrite_result *ret_result)
{
	struct rewrite_pending *plan = rewrite->plan;
	struct rewrite_result done = {0};
	int result = parents_load(rewrite, plan->day, plan->parents, plan->parent_count);

	if (result == 0)
		result = parents_ready(rewrite);
	if (result != 0)
		return result;
	rewrite_stream_prepare(rewrite, rule);
	rewrite->stream.pace = pace;
	progress_begin(rewrite->store, plan->day, rows_of(rewrite));
	result = child_make(rewrite);
	progress_end(rewrite->store);
	if (result < 0)
		return result;
	done.dropped = rewrite->stream.rows_dropped;
	if (plan->has_child) {
		done.child = plan->child_id;
		done.rows = plan->child.row_count;
		done.collapsed = plan->child.collapsed_count;
		done.bytes = plan->child.file_size;
	}
	result = rewrite_commit(rewrite);
	if (result == 0)
		*ret_result = done;
	return result;
}

int rewrite_plan(struct rewrite *rewrite, int32_t day, const uint64_t *parents, size_t count)
{
	rewrite->plan = calloc(1, sizeof(*rewrite->plan));
	if (rewrite->plan == NULL)
		return err_set(rewrite->err, -ENOMEM, "out of memory");
	rewrite->plan->day = day;
	rewrite->plan->parent_count = count;
	memcpy(rewrite->plan->parents, parents, count * sizeof(*parents));
	return 0;
}

/* With a rule it was no merge, and is told by whoever has the rule. */
static void figures_note(struct store *store, bool merge, const struct rewrite_result *done, int result,
			 const struct err *err, int32_t day, size_t parents, int64_t ns)
{
	struct store_tidy *tidy = &store->tidy;

	pthread_mutex_lock(&store->status_mutex);
	if (result == 0 && !merge) {
		tidy->why[0] = '\0';
	} else if (result == 0) {
		tidy->rewrites++;
		tidy->last_day = day;
		tidy->last_us = clock_wall_us();
		tidy->last_rows = done->rows;
		tidy->last_bytes = done->bytes;
		tidy->last_parents = (uint32_t)parents;
		tidy->last_ns = ns;
		tidy->why[0] = '\0';
	} else if (result < 0) {
		tidy->failures += result != -ECANCELED;
		snprintf(tidy->why, sizeof(tidy->why), "%.190s", err->text);
	}
	pthread_mutex_unlock(&store->status_mutex);
}

void rewrite_free(struct rewrite *rewrite)
{
	free(rewrite->segments);
	free(rewrite->plan);
}

int rewrite_segments(struct store *store, int32_t day, const uint64_t *parents, size_t count,
		     const struct rewrite_rule *rule, struct err *err, struct rewrite_result *ret_result)
{
	struct rewrite rewrite = {.store = store, .err = err};
	struct rewrite_result done = {0};
	int64_t start_ns = clock_mono_ns();
	int result;

	if (count == 0 || count > SEGMENT_LINEAGE_MAX)
		return err_set(err, -EINVAL, "%zu segments cannot be rewritten as one", count);
	result = rewrite_commit_pending(store, err);
	if (result == 0 && !store_day_open(store, day))
		result = err_set(err, -ESTALE, "day %d is purged or being purged", day);
	if (result == 0)
		result = rewrite_plan(&rewrite, day, parents, count);
	if (result == 0)
		result = rewrite_parents(&rewrite, rule, &done);
	rewrite_free(&rewrite);
	figures_note(store, rule == NULL, &done, result, err, day, count, clock_mono_ns() - start_ns);
	if (result == 0)
		*ret_result = done;
	return result;
}
