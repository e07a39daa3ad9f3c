/*
 * Opening in order, closing in reverse; see store.h for who may call what.
 *
 * Happy path of store_open: lock → directories → keyring → catalog → memtable → recovery → register → journals →
 * threads. Failure at any step undoes those before it and leaves on disk nothing but what recovery finds again.
 */
#include "storage/store.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOG_MODULE "store"
#include "appliance/base/clock.h"
#include "appliance/base/log.h"
#include "storage/cases.h"
#include "storage/clock_guard.h"
#include "storage/hit_highest.h"
#include "storage/hit_lives.h"
#include "storage/hit_scan.h"
#include "storage/journal.h"
#include "storage/keeper.h"
#include "storage/late_hits.h"
#include "storage/marks.h"
#include "storage/recovery.h"
#include "storage/register.h"
#include "storage/retention.h"
#include "storage/sealer.h"
#include "storage/store_internal.h"
#include "storage/tidier.h"
#include "storage/view.h"

static int keys_open(struct store *store, struct err *err)
{
	char copy_a[LAYOUT_PATH_SIZE];
	char copy_b[LAYOUT_PATH_SIZE];
	struct keyring_options options = {.master_path = store->options.master_path, .copy_a_path = copy_a};
	struct keyring_info info;
	int result = store_directory_judge(store, err, &options.create);

	if (result < 0)
		return result;
	(void)store_path(copy_a, store->directory, LAYOUT_KEYRING_A);
	(void)store_path(copy_b, store->directory, LAYOUT_KEYRING_B);
	options.copy_b_path = store->options.keyring_b_path != NULL ? store->options.keyring_b_path : copy_b;
	result = keyring_open(&options, store->io, err, &store->keyring);
	if (result < 0)
		return result;
	store->fresh = options.create;
	keyring_info(store->keyring, &info);
	if (info.copy_mended)
		store_damage(store, "one copy of the keyring was missing, older or damaged and has been rewritten");
	return 0;
}

/* A damaged catalog is put aside: recovery makes it anew from the files. */
static int catalog_ready(struct store *store, struct err *err)
{
	char path[LAYOUT_PATH_SIZE];
	char aside[LAYOUT_PATH_SIZE + 32];
	struct catalog_options options = {.directory = path, .map_size = store->options.catalog_map_size};
	int result;

	(void)store_path(path, store->db_directory, LAYOUT_CATALOG);
	result = catalog_open(&options, err, &store->catalog);
	if (result != -EBADMSG)
		return result;
	snprintf(aside, sizeof(aside), "%s.damaged-%lld", path, (long long)(clock_wall_us() / 1000000));
	if (rename(path, aside) < 0)
		return err_prefix(err, -errno, "the catalog is damaged and cannot be put aside");
	store_damage(store, "the catalog was damaged; it is put aside and made anew from the segments");
	return catalog_open(&options, err, &store->catalog);
}

static int memory_ready(struct store *store, struct err *err)
{
	struct memtable_options memtable = {.bytes_max = store->options.memtable_bytes_max,
					    .workers = store->options.workers,
					    .prefault = store->options.memtable_prefault};
	struct views_options views = {.io = store->io,
				      .keyring = store->keyring,
				      .catalog = store->catalog,
				      .segments_directory = store->segments_directory,
				      .cases_directory = store->cases_directory};
	int result = memtable_new(&memtable, &store->memtable);

	if (result < 0)
		return err_set(err, result, "memtable of %zu bytes for %u workers: %s", memtable.bytes_max,
			       memtable.workers, strerror(-result));
	result = marks_new(&store->marks);
	if (result == 0)
		result = hit_lives_new(HIT_LIVES_MAX, &store->hit_lives);
	if (result == 0)
		result = late_hits_new(&store->late);
	if (result < 0)
		return err_set(err, result, "store: %s", strerror(-result));
	views.memtable = store->memtable;
	views.marks = store->marks;
	result = views_new(&views, &store->views);
	if (result == 0)
		result = lane_map_new(&store->lanes);
	if (result == 0)
		result = lane_map_new(&store->sealed_lanes);
	return result < 0 ? err_set(err, result, "store: %s", strerror(-result)) : 0;
}

static int clock_ready(struct store *store, struct err *err)
{
	struct clock_guard_options options = {.io = store->io,
					      .directory = store->directory,
					      .clock = &store->clock,
					      .jump_us = store->options.clock_jump_us,
					      .always = store->options.clock_always,
					      .fresh = store->fresh};
	struct clock_guard_state state;
	int result = clock_guard_new(&options, &store->guard);

	if (result < 0)
		return err_set(err, result, "clock guard: %s", strerror(-result));
	clock_guard_look(store->guard, &state);
	if (state.trust != CLOCK_TRUSTED)
		log_warn("%s", state.why); /* it passes: status asks the guard */
	return 0;
}

/* What of the register is kept in memory. */
static int register_load(struct store *store)
{
	struct err err = {""};
	size_t unreadable;
	int result = marks_load(store->marks, store->reg, store->keyring, &store->reg_why, &unreadable);

	if (result < 0)
		return result;
	if (unreadable > 0)
		store_damage(store,
			     "%zu erased or amended reads cannot be told from their marks any more: they "
			     "stay hidden, but corrections among them are lost",
			     unreadable);
	result = hit_lives_load(store->hit_lives, store->reg, store->keyring, &store->reg_why);
	if (result < 0)
		return result;
	if (late_hits_load(store->late, store->reg, store->keyring, store->marks, &err, &unreadable) < 0)
		store_damage(store, "late hits are neither found nor kept until a restart reads them: %s", err.text);
	else if (unreadable > 0)
		store_damage(store, "%zu late hits cannot be read any more and are lost", unreadable);
	return 0;
}

static void register_ready(struct store *store)
{
	char directory[LAYOUT_PATH_SIZE];
	char lists[LAYOUT_PATH_SIZE];
	char db[LAYOUT_PATH_SIZE];
	struct reg_options options = {.directory = directory,
				      .db_directory = db,
				      .lists_directory = lists,
				      .map_size = store->options.catalog_map_size,
				      .log_size_min = store->options.register_log_size_min};
	int result;

	(void)store_path(directory, store->directory, LAYOUT_REGISTER);
	(void)store_path(lists, store->directory, LAYOUT_LISTS);
	(void)store_path(db, store->db_directory, LAYOUT_REGISTER "/db");
	if (store->options.db_directory != NULL) {
		/* The io's directories are not on the disk LMDB needs. */
		char above[LAYOUT_PATH_SIZE];

		(void)store_path(above, store->db_directory, LAYOUT_REGISTER);
		(void)mkdir(above, 0700);
		(void)mkdir(db, 0700);
	}
	result = reg_open(&options, store->io, store->keyring, &store->reg_why, &store->reg);
	if (result == 0) {
		result = register_load(store);
		if (result < 0)
			store->reg = reg_free(store->reg);
	}
	if (result < 0)
		store_damage(store, "register incomplete, no search, match or purge: %s", store->reg_why.text);
}

static_assert(STORE_WORKERS_MAX <= SEGMENT_HIT_WORKERS, "segments hold the hits of every worker");

/*
 * Numbers grow from the clock on, and from the last one that was given when the clock went back: also to a hit that is
 * gone, when its life is there, which no other hit may come by.
 */
static uint64_t hit_count_start(struct store *store, unsigned worker)
{
	uint64_t count = hit_highest(store, worker) & HIT_COUNT_MASK;
	uint64_t lived = hit_lives_highest(store->hit_lives, worker) & HIT_COUNT_MASK;
	int64_t now_us = store_wall_us(store);

	if (count < lived)
		count = lived;
	return now_us > 0 && (uint64_t)now_us > count ? (uint64_t)now_us : count;
}

static int journals_ready(struct store *store, uint64_t sequence_min, struct err *err)
{
	int gathered = hit_highest_gather(store);

	if (gathered < 0)
		return err_set(err, gathered, "numbers of hits: %s", strerror(-gathered));
	for (unsigned i = 0; i < store->options.workers; i++) {
		struct journal_options options = {.directory = store->journal_directory,
						  .worker = i,
						  .file_size = store->options.journal_file_size,
						  .slab_size = store->options.journal_slab_size,
						  .slab_count = store->options.journal_slab_count,
						  .commit_interval_ns = store->options.journal_commit_interval_ns,
						  .roll_age_ns = store->options.journal_roll_age_ns,
						  .sequence_min = sequence_min,
						  .hit_count = hit_count_start(store, i),
						  .retry_interval_ns = INT64_C(1000000000),
						  .key_version = store->options.key_version};
		int result = journal_new(&options, &store->journal_hooks[i], store->io, store->keyring, store->memtable,
					 &store->journals[i]);

		if (result < 0)
			return err_set(err, result, "journal of worker %u: %s", i, strerror(-result));
	}
	return 0;
}

static int options_check(const struct store_options *options, struct err *err)
{
	if (options->workers == 0 || options->workers > STORE_WORKERS_MAX)
		return err_set(err, -EINVAL, "%u workers: 1 to %d can be", options->workers, STORE_WORKERS_MAX);
	if (options->journal_file_size == 0 || options->journal_file_size % IO_ALIGN != 0)
		return err_set(err, -EINVAL, "a journal file's size is a multiple of %d", IO_ALIGN);
	return 0;
}

static int store_begin(struct store *store, struct err *err)
{
	uint64_t sequence_min = 0;
	int result = store_directory_ready(store, err);

	if (result == 0)
		result = keys_open(store, err);
	if (result == 0)
		result = catalog_ready(store, err);
	if (result == 0)
		result = memory_ready(store, err);
	if (result == 0)
		result = clock_ready(store, err);
	/* Before recovery, which may have to seal: what is marked must not come into a segment. */
	if (result == 0)
		register_ready(store);
	store->opened_ns = clock_mono_ns();
	if (result == 0)
		result = recovery_run(store, err, &sequence_min);
	if (result < 0)
		return result;
	store->recovery_ns = clock_mono_ns() - store->opened_ns;
	result = cases_recover(store, err);
	if (result < 0)
		return result;
	result = journals_ready(store, sequence_min, err);
	if (result < 0)
		return result;
	keeper_disk(store);
	if (store->options.threads_off)
		return 0;
	result = keeper_start(store, err);
	if (result < 0)
		return result;
	result = tidier_start(store, err);
	if (result < 0)
		keeper_stop(store);
	return result;
}

static struct store *store_alloc(const struct store_options *options, const struct store_hooks *hooks, struct io *io)
{
	struct store *store = calloc(1, sizeof(*store));
	pthread_condattr_t attributes;

	if (store == NULL)
		return NULL;
	store->journal_hooks = calloc(options->workers, sizeof(*store->journal_hooks));
	if (store->journal_hooks == NULL) {
		free(store);
		return NULL;
	}
	memcpy(store->journal_hooks, hooks->journal, options->workers * sizeof(*store->journal_hooks));
	store->options = *options;
	store->hooks = *hooks;
	store->clock = options->clock != NULL ? *options->clock : clock_source_real;
	store->options.clock = NULL;
	if (options->retention_days == 0)
		store->options.retention_days = RETENTION_DAYS_MAX;
	if (options->clock_jump_us == 0)
		store->options.clock_jump_us = INT64_C(3600000000);
	store->io = io;
	store->lock_fd = -1;
	pthread_mutex_init(&store->lane_mutex, NULL);
	pthread_mutex_init(&store->seal_mutex, NULL);
	pthread_mutex_init(&store->purge_mutex, NULL);
	pthread_mutex_init(&store->tidy_mutex, NULL);
	pthread_mutex_init(&store->hold_mutex, NULL);
	pthread_mutex_init(&store->status_mutex, NULL);
	pthread_mutex_init(&store->thread_mutex, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&store->sealer_bell, &attributes);
	pthread_cond_init(&store->tidier_bell, &attributes);
	pthread_condattr_destroy(&attributes);
	return store;
}

static void store_free(struct store *store)
{
	for (unsigned i = 0; i < store->options.workers; i++)
		store->journals[i] = journal_free(store->journals[i]);
	rewrite_fini(store);
	sealer_fini(store);
	store->guard = clock_guard_free(store->guard);
	store->late = late_hits_free(store->late);
	store->reg = reg_free(store->reg);
	store->views = views_free(store->views);
	store->marks = marks_free(store->marks);
	store->hit_lives = hit_lives_free(store->hit_lives);
	store->memtable = memtable_free(store->memtable);
	store->lanes = lane_map_free(store->lanes);
	store->sealed_lanes = lane_map_free(store->sealed_lanes);
	store->catalog = catalog_free(store->catalog);
	store->keyring = keyring_free(store->keyring);
	if (store->lock_fd >= 0)
		(void)close(store->lock_fd);
	pthread_cond_destroy(&store->tidier_bell);
	pthread_cond_destroy(&store->sealer_bell);
	pthread_mutex_destroy(&store->thread_mutex);
	pthread_mutex_destroy(&store->status_mutex);
	pthread_mutex_destroy(&store->tidy_mutex);
	pthread_mutex_destroy(&store->hold_mutex);
	pthread_mutex_destroy(&store->purge_mutex);
	pthread_mutex_destroy(&store->seal_mutex);
	pthread_mutex_destroy(&store->lane_mutex);
	free(store->standings);
	free(store->windows.slots);
	free(store->journal_hooks);
	free(store);
}

int store_open(const struct store_options *options, const struct store_hooks *hooks, struct io *io, struct err *err,
	       struct store **ret_store)
{
	struct store *store;
	int result = options_check(options, err);

	if (result < 0)
		return result;
	store = store_alloc(options, hooks, io);
	if (store == NULL)
		return err_set(err, -ENOMEM, "store: out of memory");
	result = store_begin(store, err);
	if (result < 0) {
		store_free(store);
		return result;
	}
	*ret_store = store;
	return 0;
}

int store_close(struct store *store, bool seal)
{
	int result = 0;

	tidier_stop(store);
	keeper_stop(store);
	if (seal)
		result = sealer_finish(store);
	store_free(store);
	return result;
}

struct journal *store_journal(struct store *store, unsigned worker)
{
	return store->journals[worker];
}

struct memtable *store_memtable(struct store *store)
{
	return store->memtable;
}

struct catalog *store_catalog(struct store *store)
{
	return store->catalog;
}

struct keyring *store_keyring(struct store *store)
{
	return store->keyring;
}

struct views *store_views(struct store *store)
{
	return store->views;
}

struct late_hits *store_late_hits(struct store *store)
{
	return store->late;
}

struct marks *store_marks(struct store *store)
{
	return store->marks;
}

struct hit_lives *store_hit_lives(struct store *store)
{
	return store->hit_lives;
}

struct clock_guard *store_clock_guard(struct store *store)
{
	return store->guard;
}

int64_t store_age_us(const struct store *store, int64_t wall_us)
{
	return clock_guard_age_us(store->guard, wall_us);
}

int64_t store_wall_us(struct store *store)
{
	return store->clock.wall_us(store->clock.context);
}

struct reg *store_register(struct store *store, const char **ret_why)
{
	if (store->reg == NULL && ret_why != NULL)
		*ret_why = store->reg_why.text;
	return store->reg;
}

const char *store_audit_directory(const struct store *store)
{
	return store->audit_directory;
}

void store_day_close(struct store *store, int32_t day)
{
	if (day >= 0 && day < STORE_DAY_END)
		(void)atomic_fetch_or_explicit(&store->days_closed[day / 64], UINT64_C(1) << (day % 64),
					       memory_order_seq_cst);
}

bool store_day_open(const struct store *store, int32_t day)
{
	uint64_t word;

	if (day < 0 || day >= STORE_DAY_END)
		return false;
	word = atomic_load_explicit(&store->days_closed[day / 64], memory_order_acquire);
	return (word >> (day % 64) & 1) == 0;
}

bool store_credit_open(const struct store *store)
{
	return atomic_load_explicit(&store->credit, memory_order_acquire);
}
