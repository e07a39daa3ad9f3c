/*
 * The happy path is in the header. Failure before the commit: the child is removed, its key owed, nothing has changed.
 * A commit that failed may yet stand on the disk: the child is kept as it is (struct rewrite_pending), and before
 * anything else is rewritten the commit is tried again; -EEXIST then means that it had happened. Were the child removed
 * instead, a crash could leave a catalog that names it.
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
#include "storage/rewrite_stream.h"
#include "storage/sealer.h"
#include "storage/segment_build.h"
#include "storage/segment_discard.h"
#include "storage/store_internal.h"
#include "storage/view.h"

#define ROOM_ROWS UINT64_C(4000000) /* taken between two looks at the disk's room */

/* A replacement in the catalog, as it was tried. */
struct rewrite_pending {
	int32_t day;
	bool has_child;
	uint64_t rows_in;
	uint64_t child_id; /* of the key, also without child */
	size_t parent_count;
	uint64_t parents[SEGMENT_LINEAGE_MAX];
	struct segment_summary child;
};

struct rewrite {
	struct store *store;
	struct err *err;
	struct segment_summary *segments;
	size_t count;
	uint64_t room_rows; /* since the last look */
	struct rewrite_stream stream;
	struct rewrite_pending *plan;
};

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

/* ---- what is read */

static int segments_load(struct rewrite *rewrite, int32_t day, const uint64_t *ids, size_t count)
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

/* ---- what is written */

/* 0 with a durable segment, REWRITE_NOTHING when no row was kept. */
static int child_write(struct rewrite *rewrite, const char *directory, const uint8_t key[KEY_SIZE], uint64_t id,
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

static void key_owe(struct store *store, struct key_id id)
{
	pthread_mutex_lock(&store->seal_mutex);
	(void)sealer_key_owed(store, id); /* -ENOMEM: recovery finds it */
	pthread_mutex_unlock(&store->seal_mutex);
}

static struct key_id child_key(const struct rewrite_pending *plan)
{
	return (struct key_id){.id = plan->child_id, .day = plan->day, .kind = KEY_SEGMENT};
}

/* The file first: while it is there its key is what makes it readable to nobody but us. */
static void child_remove(struct store *store, const struct rewrite_pending *plan)
{
	(void)segment_discard(store->io, store->segments_directory, plan->day, plan->child_id);
	key_owe(store, child_key(plan));
}

static int child_make(struct rewrite *rewrite)
{
	struct rewrite_pending *plan = rewrite->plan;
	uint8_t key[KEY_SIZE];
	int result;

	random_bytes(&plan->child_id, sizeof(plan->child_id));
	result = key_write(rewrite, child_key(plan), key);
	if (result < 0)
		return result;
	killpoint("merge.keyed");
	result = child_write(rewrite, rewrite->store->segments_directory, key, plan->child_id, &plan->child);
	bytes_wipe(key, sizeof(key));
	plan->has_child = result == 0;
	if (result != 0)
		child_remove(rewrite->store, plan);
	killpoint("merge.written");
	return result < 0 ? result : 0;
}

/* ---- the commit */

static void parents_owe(struct store *store, const struct rewrite_pending *plan, uint64_t turn)
{
	pthread_mutex_lock(&store->seal_mutex);
	for (size_t i = 0; i < plan->parent_count; i++)
		if (sealer_segment_owed(store, plan->day, plan->parents[i], turn) < 0)
			break; /* files that the catalog does not name: recovery removes them */
	pthread_mutex_unlock(&store->seal_mutex);
}

static int replace(struct store *store, const struct rewrite_pending *plan, uint64_t *ret_turn)
{
	struct catalog_replace change = {.day = plan->day,
					 .parents = plan->parents,
					 .parent_count = plan->parent_count,
					 .child = plan->has_child ? &plan->child : NULL};
	int result;

	memtable_lock(store->memtable);
	result = catalog_replace(store->catalog, &change);
	if (result == 0 || result == -EEXIST)
		*ret_turn = views_turn(store->views);
	memtable_unlock(store->memtable);
	return result == -EEXIST ? 0 : result;
}

/* Certain not to have happened. */
static bool refused(int result)
{
	return result == -ENOENT || result == -ESTALE || result == -ENOMEM;
}

static void committed(struct store *store, const struct rewrite_pending *plan, uint64_t turn)
{
	killpoint("merge.committed");
	parents_owe(store, plan, turn);
	(void)sealer_debts_pay(store); /* what fails, or a search still reads, is paid by a later round */
}

static int commit(struct rewrite *rewrite)
{
	struct store *store = rewrite->store;
	struct rewrite_pending *plan = rewrite->plan;
	uint64_t turn;
	int result = replace(store, plan, &turn);

	if (result == 0) {
		committed(store, plan, turn);
		return 0;
	}
	if (refused(result)) {
		if (plan->has_child)
			child_remove(store, plan);
	} else {
		store->pending_rewrite = plan;
		rewrite->plan = NULL; /* consumed */
	}
	return err_set(rewrite->err, result, "catalog: %s", strerror(-result));
}

/* A commit that may have happened is brought to an end. */
static int pending_commit(struct store *store, struct err *err)
{
	struct rewrite_pending *plan = store->pending_rewrite;
	uint64_t turn;
	int result;

	if (plan == NULL)
		return 0;
	result = replace(store, plan, &turn);
	if (result == -ENOENT && !plan->has_child) {
		turn = views_turn(store->views); /* nobody else takes segments out: it had happened */
		result = 0;
	}
	if (result < 0 && !refused(result))
		return err_set(err, result, "catalog: %s", strerror(-result));
	if (result == 0)
		committed(store, plan, turn);
	else if (plan->has_child)
		child_remove(store, plan); /* its day was purged meanwhile */
	store->pending_rewrite = NULL;
	free(plan);
	return 0;
}

void rewrite_fini(struct store *store)
{
	free(store->pending_rewrite);
	store->pending_rewrite = NULL;
}

/* ---- parents */

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

static void stream_prepare(struct rewrite *rewrite, const struct rewrite_rule *rule)
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
	int result = segments_load(rewrite, plan->day, plan->parents, plan->parent_count);

	if (result == 0)
		result = parents_ready(rewrite);
	if (result != 0)
		return result;
	stream_prepare(rewrite, rule);
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
	result = commit(rewrite);
	if (result == 0)
		*ret_result = done;
	return result;
}

static int plan_make(struct rewrite *rewrite, int32_t day, const uint64_t *parents, size_t count)
{
	rewrite->plan = calloc(1, sizeof(*rewrite->plan));
	if (rewrite->plan == NULL)
		return err_set(rewrite->err, -ENOMEM, "out of memory");
	rewrite->plan->day = day;
	rewrite->plan->parent_count = count;
	memcpy(rewrite->plan->parents, parents, count * sizeof(*parents));
	return 0;
}

static void figures_note(struct store *store, const struct rewrite_result *done, int result, const struct err *err,
			 int32_t day, size_t parents, int64_t ns)
{
	struct store_tidy *tidy = &store->tidy;

	pthread_mutex_lock(&store->status_mutex);
	if (result == 0) {
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

int rewrite_segments(struct store *store, int32_t day, const uint64_t *parents, size_t count,
		     const struct rewrite_rule *rule, struct err *err, struct rewrite_result *ret_result)
{
	struct rewrite rewrite = {.store = store, .err = err};
	struct rewrite_result done = {0};
	int64_t start_ns = clock_mono_ns();
	int result;

	if (count == 0 || count > SEGMENT_LINEAGE_MAX)
		return err_set(err, -EINVAL, "%zu segments cannot be rewritten as one", count);
	result = pending_commit(store, err);
	if (result == 0 && !store_day_open(store, day))
		result = err_set(err, -ESTALE, "day %d is purged or being purged", day);
	if (result == 0)
		result = plan_make(&rewrite, day, parents, count);
	if (result == 0)
		result = rewrite_parents(&rewrite, rule, &done);
	free(rewrite.segments);
	free(rewrite.plan);
	figures_note(store, &done, result, err, day, count, clock_mono_ns() - start_ns);
	if (result == 0)
		*ret_result = done;
	return result;
}

/* ---- a copy */

static void copy_damage(void *context, const char *text)
{
	struct rewrite *rewrite = context;

	store_damage(rewrite->store, "left out of a copy: %s", text);
}

static int day_ids(struct store *store, int32_t day, uint64_t **ret_ids, size_t *ret_count)
{
	struct catalog_segment *segments = NULL;
	uint64_t *ids;
	size_t count = 0;
	int result = catalog_segments(store->catalog, day, day, &segments, &count);

	if (result < 0)
		return result;
	ids = calloc(count + 1, sizeof(*ids));
	for (size_t i = 0; ids != NULL && i < count; i++)
		ids[i] = segments[i].id;
	free(segments);
	if (ids == NULL)
		return -ENOMEM;
	*ret_ids = ids;
	*ret_count = count;
	return 0;
}

static int copy_write(struct rewrite *rewrite, const struct rewrite_rule *rule, const struct rewrite_target *target,
		      struct segment_summary *ret_summary)
{
	uint8_t key[KEY_SIZE];
	int result = keyring_get(rewrite->store->keyring, target->key, key);

	if (result < 0)
		return err_set(rewrite->err, result, "the copy's key is not in the keyring");
	/* Neither paced nor held to the reserves: they are there for the purge that this is part of. */
	stream_prepare(rewrite, rule);
	rewrite->stream.damage = copy_damage;
	result = child_write(rewrite, target->directory, key, target->segment_id, ret_summary);
	bytes_wipe(key, sizeof(key));
	return result;
}

int rewrite_copy(struct store *store, int32_t day, const struct rewrite_rule *rule, const struct rewrite_target *target,
		 struct err *err, struct segment_summary *ret_summary)
{
	struct rewrite rewrite = {.store = store, .err = err};
	uint64_t *ids = NULL;
	size_t count = 0;
	int result = day_ids(store, day, &ids, &count);

	if (result < 0)
		result = err_set(err, result, "segments of day %d: %s", day, strerror(-result));
	else if (count == 0)
		result = REWRITE_NOTHING;
	if (result == 0)
		result = plan_make(&rewrite, day, ids, count < SEGMENT_LINEAGE_MAX ? count : SEGMENT_LINEAGE_MAX);
	if (result == 0)
		result = segments_load(&rewrite, day, ids, count);
	if (result == 0)
		result = copy_write(&rewrite, rule, target, ret_summary);
	free(ids);
	free(rewrite.segments);
	free(rewrite.plan);
	return result;
}
