/*
 * Opening in order, closing in reverse; see store.h for who may call what.
 *
 * Happy path of store_open: lock → directories → keyring → catalog → memtable → recovery → register → journals →
 * threads. Failure at any step undoes those before it and leaves on disk nothing but what recovery finds again.
 */
#include "storage/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LOG_MODULE "store"
#include "appliance/base/clock.h"
#include "appliance/base/log.h"
#include "storage/cases.h"
#include "storage/clock_guard.h"
#include "storage/journal.h"
#include "storage/keeper.h"
#include "storage/marks.h"
#include "storage/recovery.h"
#include "storage/register.h"
#include "storage/retention.h"
#include "storage/sealer.h"
#include "storage/store_internal.h"
#include "storage/tidier.h"
#include "storage/view.h"

static void alarm_tell(struct store *store, const char *text)
{
	log_warn("%s", text);
	if (store->hooks.alarm != NULL)
		store->hooks.alarm(store->hooks.context, text);
}

void store_alarm(struct store *store, const char *format, ...)
{
	char text[512];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	alarm_tell(store, text);
}

void store_damage(struct store *store, const char *format, ...)
{
	char text[512];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	pthread_mutex_lock(&store->status_mutex);
	store->damage_count++;
	if (store->damage_text_count < STORE_DAMAGE_MAX)
		snprintf(store->damage[store->damage_text_count++], sizeof(store->damage[0]), "%.190s", text);
	pthread_mutex_unlock(&store->status_mutex);
	alarm_tell(store, text);
}

void store_damage_met(struct store *store, const char *text)
{
	char kept[sizeof(store->damage[0])];
	bool known = false;

	(void)snprintf(kept, sizeof(kept), "%.190s", text);
	pthread_mutex_lock(&store->status_mutex);
	for (unsigned i = 0; i < store->damage_text_count && !known; i++)
		known = strcmp(store->damage[i], kept) == 0;
	pthread_mutex_unlock(&store->status_mutex);
	if (!known)
		store_damage(store, "%s", text);
}

static int path_join(char path[LAYOUT_PATH_SIZE], const char *directory, const char *name)
{
	size_t directory_size = strlen(directory);
	size_t name_size = strlen(name);

	if (directory_size + name_size + 1 >= LAYOUT_PATH_SIZE - 128) /* room for the names below it */
		return -ENAMETOOLONG;
	memcpy(path, directory, directory_size);
	path[directory_size] = '/';
	memcpy(path + directory_size + 1, name, name_size + 1);
	return 0;
}

static int paths_make(struct store *store, struct err *err)
{
	const struct store_options *options = &store->options;
	const char *db = options->db_directory != NULL ? options->db_directory : options->directory;
	int result;

	if (strlen(options->directory) >= LAYOUT_PATH_SIZE - 128 || strlen(db) >= LAYOUT_PATH_SIZE - 128)
		return err_set(err, -ENAMETOOLONG, "the data directory's path is too long");
	strcpy(store->directory, options->directory);
	strcpy(store->db_directory, db);
	result = path_join(store->journal_directory, store->directory, LAYOUT_JOURNAL);
	if (result == 0)
		result = path_join(store->segments_directory, store->directory, LAYOUT_SEGMENTS);
	if (result == 0)
		result = path_join(store->purge_directory, store->directory, LAYOUT_PURGE);
	if (result == 0)
		result = path_join(store->cases_directory, store->directory, LAYOUT_CASES);
	if (result == 0)
		result = path_join(store->audit_directory, store->directory, LAYOUT_AUDIT);
	return result < 0 ? err_set(err, result, "the data directory's path is too long") : 0;
}

static int lock_take(struct store *store, struct err *err)
{
	char path[LAYOUT_PATH_SIZE];
	int result = path_join(path, store->db_directory, LAYOUT_LOCK);

	if (result < 0)
		return err_set(err, result, "the data directory's path is too long");
	if (mkdir(store->db_directory, 0700) < 0 && errno != EEXIST)
		return err_set(err, -errno, "%s: %s", store->db_directory, strerror(errno));
	store->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (store->lock_fd < 0)
		return err_set(err, -errno, "%s: %s", path, strerror(errno));
	if (flock(store->lock_fd, LOCK_EX | LOCK_NB) < 0)
		return err_set(err, errno == EWOULDBLOCK ? -EBUSY : -errno, "%s: another process serves this directory",
			       path);
	return 0;
}

static int directories_make(struct store *store, struct err *err)
{
	static const char *const names[] = {LAYOUT_JOURNAL, LAYOUT_SEGMENTS, LAYOUT_REGISTER, LAYOUT_LISTS,
					    LAYOUT_AUDIT,   LAYOUT_PURGE,    LAYOUT_CASES};
	const struct io_ops *ops = store->io->ops;
	char path[LAYOUT_PATH_SIZE];
	int result = ops->mkdir(store->io, store->directory);

	for (size_t i = 0; result == 0 && i < sizeof(names) / sizeof(names[0]); i++) {
		result = path_join(path, store->directory, names[i]);
		if (result == 0)
			result = ops->mkdir(store->io, path);
	}
	if (result == 0)
		result = ops->dir_sync(store->io, store->directory);
	return result < 0 ? err_set(err, result, "%s: %s", store->directory, strerror(-result)) : 0;
}

struct found {
	bool keyring;
	bool foreign;
	bool any;
};

static int top_name(void *context, const char *name)
{
	struct found *found = context;

	if (strncmp(name, "keyring.", 8) == 0)
		found->keyring = true;
	else if (strcmp(name, LAYOUT_LOCK) != 0)
		found->foreign = true;
	return 0;
}

static int any_name(void *context, const char *name)
{
	struct found *found = context;

	(void)name;
	found->any = true;
	return 0;
}

/* May a new keyring be made here? Only where nothing is that an old one would open. */
static int directory_judge(struct store *store, struct err *err, bool *ret_create)
{
	const struct io_ops *ops = store->io->ops;
	char path[LAYOUT_PATH_SIZE];
	struct found found = {0};
	int result = ops->list(store->io, store->directory, top_name, &found);

	if (result == 0)
		result = ops->list(store->io, store->journal_directory, any_name, &found);
	if (result == 0)
		result = ops->list(store->io, store->segments_directory, any_name, &found);
	if (result == 0)
		result = path_join(path, store->directory, LAYOUT_REGISTER);
	if (result == 0)
		result = ops->list(store->io, path, any_name, &found);
	if (result < 0)
		return err_set(err, result, "%s: %s", store->directory, strerror(-result));
	if (!found.keyring && !found.any && found.foreign)
		return err_set(err, -ENOTEMPTY, "%s: holds other files; give Gantry a directory of its own",
			       store->directory);
	*ret_create = !found.any;
	return 0;
}

static int keys_open(struct store *store, struct err *err)
{
	char copy_a[LAYOUT_PATH_SIZE];
	char copy_b[LAYOUT_PATH_SIZE];
	struct keyring_options options = {.master_path = store->options.master_path, .copy_a_path = copy_a};
	struct keyring_info info;
	int result = directory_judge(store, err, &options.create);

	if (result < 0)
		return result;
	(void)path_join(copy_a, store->directory, LAYOUT_KEYRING_A);
	(void)path_join(copy_b, store->directory, LAYOUT_KEYRING_B);
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

	(void)path_join(path, store->db_directory, LAYOUT_CATALOG);
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

static void register_ready(struct store *store)
{
	char directory[LAYOUT_PATH_SIZE];
	char lists[LAYOUT_PATH_SIZE];
	char db[LAYOUT_PATH_SIZE];
	struct reg_options options = {.directory = directory, .db_directory = db, .lists_directory = lists};
	size_t unreadable;
	int result;

	(void)path_join(directory, store->directory, LAYOUT_REGISTER);
	(void)path_join(lists, store->directory, LAYOUT_LISTS);
	(void)path_join(db, store->db_directory, LAYOUT_REGISTER "/db");
	if (store->options.db_directory != NULL) {
		/* The io's directories are not on the disk LMDB needs. */
		char above[LAYOUT_PATH_SIZE];

		(void)path_join(above, store->db_directory, LAYOUT_REGISTER);
		(void)mkdir(above, 0700);
		(void)mkdir(db, 0700);
	}
	result = reg_open(&options, store->io, store->keyring, &store->reg_why, &store->reg);
	if (result == 0) {
		result = marks_load(store->marks, store->reg, store->keyring, &store->reg_why, &unreadable);
		if (result < 0)
			store->reg = reg_free(store->reg);
		else if (unreadable > 0)
			store_damage(store,
				     "%zu erased or amended reads cannot be told from their marks any more: they "
				     "stay hidden, but corrections among them are lost",
				     unreadable);
	}
	if (result < 0)
		store_damage(store, "register incomplete, no search, match or purge: %s", store->reg_why.text);
}

static int journals_ready(struct store *store, uint64_t sequence_min, struct err *err)
{
	for (unsigned i = 0; i < store->options.workers; i++) {
		struct journal_options options = {.directory = store->journal_directory,
						  .worker = i,
						  .file_size = store->options.journal_file_size,
						  .slab_size = store->options.journal_slab_size,
						  .slab_count = store->options.journal_slab_count,
						  .commit_interval_ns = store->options.journal_commit_interval_ns,
						  .roll_age_ns = store->options.journal_roll_age_ns,
						  .sequence_min = sequence_min,
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
	int64_t start_ns;
	int result = paths_make(store, err);

	if (result == 0)
		result = lock_take(store, err);
	if (result == 0)
		result = directories_make(store, err);
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
	start_ns = clock_mono_ns();
	if (result == 0)
		result = recovery_run(store, err, &sequence_min);
	if (result < 0)
		return result;
	store->recovery_ns = clock_mono_ns() - start_ns;
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
	store->reg = reg_free(store->reg);
	store->views = views_free(store->views);
	store->marks = marks_free(store->marks);
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

struct marks *store_marks(struct store *store)
{
	return store->marks;
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
