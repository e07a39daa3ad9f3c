/*
 * Life cycle: one thread, asleep until `due`. A snapshot of the lists is pinned while it builds: those that are dropped
 * meanwhile are retired and freed by it. `base` is that of the set in force, never of lists that were refused: their
 * version and generation are given again. It is changed with change_lock held; `lock` guards what both sides and status
 * look at.
 */
#include "appliance/fold.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#define LOG_MODULE "fold"
#include "appliance/base/clock.h"
#include "appliance/base/log.h"
#include "appliance/gantry.h"
#include "appliance/tables.h"
#include "matcher/hscompile.h"
#include "matcher/list.h"
#include "matcher/matchset.h"
#include "storage/layout.h"
#include "storage/sealed_cache.h"
#include "storage/store.h"

/* Beyond so much outside the base a new one is worth its work: tables take more, patterns cost by their shapes. */
#define STALE_ENTRIES_MAX 1000
#define STALE_PATTERNS_MAX 100

/* Behind the control threads that answer people. */
#define FOLD_NICE 10

struct fold {
	struct gantry *gantry;
	struct match_limits limits;
	struct matchbase_cache cache;
	struct hscompile compile;
	char program[HSCOMPILE_PATH_SIZE];
	char directory[LAYOUT_PATH_SIZE];
	pthread_t thread;
	bool running;
	atomic_bool stopping;

	struct matchbase *base; /* change_lock; NULL: none yet */
	bool looked;            /* change_lock: into the cache, at the first set */

	pthread_mutex_t lock; /* guards all below */
	pthread_cond_t bell;
	bool due;
	bool folding;
	struct list **pinned; /* what the fold reads */
	size_t pinned_count;
	struct list **retired; /* of these, dropped by the owner: as many at most */
	size_t retired_count;
	struct matchset_stats stats; /* of the newest set */
	uint64_t folds;
	uint64_t failed;
	struct err why; /* the last fold's failure; empty: it was made */
};

static const char *const part_names[MATCHBASE_PARTS] = {"literals", "patterns"};

static int cache_get(void *context, enum matchbase_part part, void **ret_bytes, size_t *ret_size)
{
	struct fold *fold = context;
	int result = sealed_cache_get(fold->gantry->io, store_keyring(fold->gantry->store), fold->directory,
				      part_names[part], ret_bytes, ret_size);

	if (result < 0 && result != -ENOENT)
		log_warn("%s/%s.cache: %s; its patterns are compiled anew", fold->directory, part_names[part],
			 result == -EBADMSG ? "damaged" : strerror(-result));
	return result;
}

static void cache_put(void *context, enum matchbase_part part, const void *bytes, size_t size)
{
	struct fold *fold = context;
	int result = sealed_cache_put(fold->gantry->io, store_keyring(fold->gantry->store), fold->directory,
				      part_names[part], bytes, size);

	if (result < 0)
		log_warn("%s/%s.cache: %s; the next start compiles its patterns anew", fold->directory,
			 part_names[part], strerror(-result));
}

static int program_find(struct fold *fold, struct err *err)
{
	const struct config *config = &fold->gantry->config;

	if (config->compiler[0] != '\0')
		(void)snprintf(fold->program, sizeof(fold->program), "%s", config->compiler);
	else if (hscompile_find(fold->program) < 0)
		return err_set(err, -ENOENT,
			       "gantry-compile is not beside this program: install it, or set lists.compiler");
	fold->compile = (struct hscompile){.program = fold->program,
					   .memory_max = (uint64_t)config->compiler_memory_mib << 20,
					   .timeout_ms = (uint32_t)config->compiler_seconds * 1000,
					   .cancelled = &fold->stopping};
	return 0;
}

int fold_new(struct gantry *gantry, struct fold **ret_fold, struct err *err)
{
	struct fold *fold = calloc(1, sizeof(*fold));
	const struct config *config = &gantry->config;
	int result;

	if (fold == NULL)
		return err_set(err, -ENOMEM, "out of memory");
	fold->gantry = gantry;
	fold->limits = (struct match_limits){.mass_entries_min = (uint32_t)config->mass_entries_min,
					     .patterns_max = (uint32_t)config->patterns_max,
					     .substitutions_max = (uint32_t)config->substitutions_max};
	fold->cache = (struct matchbase_cache){cache_get, cache_put, fold};
	(void)snprintf(fold->directory, sizeof(fold->directory), "%s/" LAYOUT_LISTS, config->data_directory);
	pthread_mutex_init(&fold->lock, NULL);
	pthread_cond_init(&fold->bell, NULL);
	result = program_find(fold, err);
	if (result < 0) {
		(void)fold_free(fold);
		return result;
	}
	*ret_fold = fold;
	return 0;
}

/* `like`: that of the moment when change_lock was last held, held. */
static int base_make(struct fold *fold, struct list *const *lists, size_t count, const struct matchbase *like,
		     bool ready_only, struct err *err, struct matchbase **ret_base)
{
	const struct matchbase_options options = {.limits = fold->limits,
						  .like = like,
						  .cache = &fold->cache,
						  .compile = &fold->compile,
						  .ready_only = ready_only};

	return matchbase_new((const struct list *const *)lists, count, &options, err, ret_base);
}

static int set_make(const struct fold *fold, struct matchbase *base, struct list *const *lists, size_t count,
		    struct err *err, struct matchset **ret_set)
{
	return matchset_new((const struct list *const *)lists, count, base, &fold->limits, err, ret_set);
}

static int set_wrap(struct fold *fold, struct matchset *set, struct err *err, struct matching **ret_matching)
{
	int result = matching_new(set, fold->gantry->worker_count, ret_matching);

	return result < 0 ? err_set(err, result, "no memory for the workers' match scratch") : 0;
}

void fold_note(struct fold *fold, const struct matching *matching)
{
	struct matchbase *base = matchbase_hold(matchset_base(matching->set));
	struct matchset_stats stats;

	(void)matchbase_free(fold->base);
	fold->base = base;
	matchset_stats(matching->set, &stats);
	pthread_mutex_lock(&fold->lock);
	fold->stats = stats;
	fold->due = stats.delta_patterns > STALE_PATTERNS_MAX ||
		    (uint64_t)stats.delta_entries + stats.tombstones > STALE_ENTRIES_MAX;
	if (fold->due)
		pthread_cond_signal(&fold->bell);
	pthread_mutex_unlock(&fold->lock);
}

/* A base was made, by the fold or because a list would not wait for it: whatever failed before is over. */
static void base_made(struct fold *fold, int64_t started_ns)
{
	pthread_mutex_lock(&fold->lock);
	fold->folds++;
	fold->why.text[0] = '\0';
	pthread_mutex_unlock(&fold->lock);
	gantry_alarm_over(fold->gantry, ALARM_FOLD);
	log_info("a new base of the match sets after %.1f s", (double)(clock_mono_ns() - started_ns) / 1e9);
}

/* A new base of these lists, which may yet be refused: `base`, of those in force, is let go of, not the fold's. */
static int set_make_anew(struct fold *fold, struct matchbase **base, struct list *const *lists, size_t count,
			 struct err *err, struct matchset **ret_set)
{
	int64_t started_ns = clock_mono_ns();
	struct matchbase *fresh;
	int result;

	if (base_make(fold, lists, count, *base, false, err, &fresh) != 0)
		return -E2BIG;
	(void)matchbase_free(*base);
	*base = fresh;
	result = set_make(fold, fresh, lists, count, err, ret_set);
	if (result == 0)
		base_made(fold, started_ns);
	return result;
}

int fold_matching(struct fold *fold, struct list *const *lists, size_t count, struct err *err,
		  struct matching **ret_matching)
{
	struct matchbase *base = NULL;
	struct matchset *set;
	int result;

	if (fold->looked || base_make(fold, lists, count, NULL, true, err, &base) != 0)
		base = matchbase_hold(fold->base);
	result = set_make(fold, base, lists, count, err, &set);
	if (result == -E2BIG)
		result = set_make_anew(fold, &base, lists, count, err, &set);
	(void)matchbase_free(base);
	if (result == 0)
		result = set_wrap(fold, set, err, ret_matching);
	fold->looked |= result == 0;
	return result;
}

int fold_matching_ahead(struct fold *fold, struct list *const *lists, size_t count, struct matching **ret_matching)
{
	struct err err;
	struct matchset *set;
	int result = set_make(fold, fold->base, lists, count, &err, &set);

	return result < 0 ? result : set_wrap(fold, set, &err, ret_matching);
}

void fold_drop(struct fold *fold, struct list *list)
{
	bool pinned = false;

	pthread_mutex_lock(&fold->lock);
	for (size_t i = 0; i < fold->pinned_count && !pinned; i++)
		pinned = fold->pinned[i] == list;
	if (pinned)
		fold->retired[fold->retired_count++] = list;
	pthread_mutex_unlock(&fold->lock);
	if (!pinned)
		(void)list_free(list);
}

/* The lists of this moment, pinned, and the base, held. */
static int snapshot(struct fold *fold, struct matchbase **ret_base)
{
	struct gantry *gantry = fold->gantry;
	struct list **pinned, **retired;

	pthread_mutex_lock(&gantry->change_lock);
	pinned = calloc(gantry->list_count + 1, sizeof(struct list *));
	retired = calloc(gantry->list_count + 1, sizeof(struct list *));
	pthread_mutex_lock(&fold->lock);
	if (pinned != NULL && retired != NULL) {
		if (gantry->list_count > 0)
			memcpy(pinned, gantry->lists, gantry->list_count * sizeof(struct list *));
		fold->pinned = pinned;
		fold->retired = retired;
		fold->pinned_count = gantry->list_count;
	}
	fold->due = false;
	pthread_mutex_unlock(&fold->lock);
	if (pinned != NULL && retired != NULL)
		*ret_base = matchbase_hold(fold->base);
	pthread_mutex_unlock(&gantry->change_lock);
	if (pinned != NULL && retired != NULL)
		return 0;
	free(pinned);
	free(retired);
	return -ENOMEM;
}

static void unpin(struct fold *fold)
{
	struct list **pinned, **retired;
	size_t count;

	pthread_mutex_lock(&fold->lock);
	pinned = fold->pinned;
	retired = fold->retired;
	count = fold->retired_count;
	fold->pinned = NULL;
	fold->retired = NULL;
	fold->pinned_count = 0;
	fold->retired_count = 0;
	pthread_mutex_unlock(&fold->lock);
	for (size_t i = 0; i < count; i++)
		(void)list_free(retired[i]);
	free(retired);
	free(pinned);
}

/* The base is new, the lists may be newer still: the next set lays them over it. Takes over `base`. */
static int publish(struct fold *fold, struct matchbase *base, struct err *err)
{
	struct gantry *gantry = fold->gantry;
	struct matching *matching;
	struct matchset *set;
	int result;

	pthread_mutex_lock(&gantry->change_lock);
	result = set_make(fold, base, gantry->lists, gantry->list_count, err, &set);
	(void)matchbase_free(base);
	if (result == 0)
		result = set_wrap(fold, set, err, &matching);
	if (result == 0) {
		(void)matching_release(gantry->matching);
		gantry->matching = matching;
		fold_note(fold, matching);
		result = gantry_publish(gantry, err);
	}
	pthread_mutex_unlock(&gantry->change_lock);
	return result;
}

static void outcome_keep(struct fold *fold, int result, const struct err *err, int64_t started_ns)
{
	char text[sizeof(err->text)];

	pthread_mutex_lock(&fold->lock);
	fold->folding = false;
	fold->failed += result != 0;
	if (result != 0)
		fold->why = *err;
	pthread_mutex_unlock(&fold->lock);
	if (result == 0) {
		base_made(fold, started_ns);
		return;
	}
	(void)snprintf(text, sizeof(text), "lists go on matching, slower: %s; tried again when they change", err->text);
	gantry_alarm_stand(fold->gantry, ALARM_FOLD, text);
}

static void fold_once(struct fold *fold)
{
	int64_t started_ns = clock_mono_ns();
	struct matchbase *like = NULL, *base;
	struct err err = {"no memory"};
	int result = snapshot(fold, &like);

	if (result == 0)
		result = base_make(fold, fold->pinned, fold->pinned_count, like, false, &err, &base);
	(void)matchbase_free(like);
	unpin(fold);
	if (result == 0)
		result = publish(fold, base, &err);
	if (result == -ECANCELED && atomic_load(&fold->stopping))
		return;
	outcome_keep(fold, result, &err, started_ns);
}

static void *attend(void *context)
{
	struct fold *fold = context;

	(void)prctl(PR_SET_NAME, "fold");
	(void)setpriority(PRIO_PROCESS, 0, FOLD_NICE); /* of this thread alone, as Linux has it */
	while (!atomic_load(&fold->stopping)) {
		pthread_mutex_lock(&fold->lock);
		while (!fold->due && !atomic_load(&fold->stopping))
			pthread_cond_wait(&fold->bell, &fold->lock);
		fold->folding = !atomic_load(&fold->stopping);
		pthread_mutex_unlock(&fold->lock);
		if (!atomic_load(&fold->stopping))
			fold_once(fold);
	}
	return NULL;
}

int fold_start(struct fold *fold, struct err *err)
{
	int result = pthread_create(&fold->thread, NULL, attend, fold);

	if (result != 0)
		return err_set(err, -result, "fold thread: %s", strerror(result));
	fold->running = true;
	return 0;
}

void fold_stop(struct fold *fold)
{
	if (fold == NULL || !fold->running)
		return;
	pthread_mutex_lock(&fold->lock);
	atomic_store(&fold->stopping, true);
	pthread_cond_signal(&fold->bell);
	pthread_mutex_unlock(&fold->lock);
	(void)pthread_join(fold->thread, NULL);
	fold->running = false;
}

struct fold *fold_free(struct fold *fold)
{
	if (fold == NULL)
		return NULL;
	fold_stop(fold);
	(void)matchbase_free(fold->base);
	pthread_cond_destroy(&fold->bell);
	pthread_mutex_destroy(&fold->lock);
	free(fold);
	return NULL;
}

json_t *fold_json(struct fold *fold)
{
	json_t *object;

	pthread_mutex_lock(&fold->lock);
	object =
		json_pack("{s:I,s:I,s:I,s:I,s:I,s:b,s:I,s:I,s:s}", "base_entries", (json_int_t)fold->stats.base_entries,
			  "delta_entries", (json_int_t)fold->stats.delta_entries, "delta_patterns",
			  (json_int_t)fold->stats.delta_patterns, "tombstones", (json_int_t)fold->stats.tombstones,
			  "database_bytes", (json_int_t)fold->stats.database_size, "folding", fold->folding, "folds",
			  (json_int_t)fold->folds, "failed", (json_int_t)fold->failed, "why", fold->why.text);
	pthread_mutex_unlock(&fold->lock);
	return object;
}
