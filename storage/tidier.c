/*
 * One thread, the nicest of all, that turns every few seconds, and at once again after it has done something. It holds
 * the tidy mutex for one duty at a time, and none while the register's log is written anew. While the memtable is more
 * than half full, or sealing fails, it pauses between two pages, so that the sealer has disk and cores to itself; for
 * PAUSE_MAX_NS of one rewriting at most, so that a machine that is always busy gets its days merged and its erasures
 * done all the same. A day whose merge failed is put off: for a sixth of what makes a day quiet, for 24 times that when
 * it is damaged.
 */
#include "storage/tidier.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define LOG_MODULE "tidier"
#include "appliance/base/clock.h"
#include "appliance/base/log.h"
#include "storage/marks.h"
#include "storage/marks_look.h"
#include "storage/late_hits.h"
#include "storage/marks_tidy.h"
#include "storage/merge.h"
#include "storage/register.h"
#include "storage/rewrite.h"
#include "storage/store_internal.h"

#define TIDIER_NICE 19
#define IOPRIO_WHO_THREAD 1
#define IOPRIO_LOWEST (2 << 13 | 7) /* best effort, last of it: idle might never get its turn */
#define TURN_NS INT64_C(5000000000)
#define PAUSE_NS INT64_C(20000000)
#define PAUSE_MAX_NS INT64_C(900000000000)
#define RENEW_AGAIN_NS INT64_C(600000000000) /* after one that failed */
#define LOOK_TURNS 16                        /* pages between two looks at the pressure */

static bool canceled(struct store *store)
{
	return atomic_load(&store->tidy_preempted) > 0 || atomic_load(&store->tidy_stop);
}

static bool pressed(struct store *store)
{
	struct memtable_info info;
	bool failing;

	pthread_mutex_lock(&store->status_mutex);
	failing = store->seal_why[0] != '\0';
	pthread_mutex_unlock(&store->status_mutex);
	memtable_info(store->memtable, &info);
	return failing || info.bytes_used > info.bytes_max / 2;
}

int tidier_pace(struct store *store)
{
	static const struct timespec pause = {.tv_nsec = PAUSE_NS};

	if (store->tidy_may_pause && ++store->tidy_turns % LOOK_TURNS == 0)
		while (!canceled(store) && store->tidy_paused_ns < PAUSE_MAX_NS && pressed(store)) {
			(void)nanosleep(&pause, NULL);
			store->tidy_paused_ns += PAUSE_NS;
		}
	return canceled(store) ? -ECANCELED : 0;
}

static bool put_off(const struct store *store, int32_t day)
{
	int64_t now_ns = clock_mono_ns();

	for (unsigned i = 0; i < TIDY_PUT_OFF_MAX; i++)
		if (store->put_off[i].until_ns > now_ns && store->put_off[i].day == day)
			return true;
	return false;
}

/* In the place of the one that is soonest over. */
static void put_off_note(struct store *store, int32_t day, int result)
{
	int64_t us = result == -EBADMSG ? store->options.merge_quiet_us * MERGE_LONG_QUIET
					: store->options.merge_quiet_us / 6;
	struct tidy_put_off *place = &store->put_off[0];

	for (unsigned i = 1; i < TIDY_PUT_OFF_MAX; i++)
		if (store->put_off[i].until_ns < place->until_ns)
			place = &store->put_off[i];
	*place = (struct tidy_put_off){.day = day, .until_ns = clock_mono_ns() + us * 1000};
}

/*
 * How long nothing was sealed into it. A clock that was set back must not make it wait for ever. A catalog that was
 * made anew does not know, of no day: then it is as long as this store is open, or each day that waits to be quiet, and
 * the one that is being filled, would be written anew at once.
 */
static int64_t quiet_us(struct store *store, int32_t number)
{
	struct catalog_day day;
	int64_t since;

	if (catalog_day(store->catalog, number, &day) < 0)
		return 0;
	if (day.sealed_us == 0)
		return (clock_mono_ns() - store->opened_ns) / 1000;
	since = clock_wall_us() - day.sealed_us;
	return since < 0 ? -since : since;
}

/* What is erased or amended does not outlive a merge, however it came into a segment. */
static int merge_one(struct store *store, const struct merge_plan *plan)
{
	struct mark_set *marks = marks_hold(store->marks);
	struct rewrite_rule rule = {.row = mark_rule, .context = (void *)mark_set_day(marks, plan->day)};
	struct rewrite_result done;
	struct err err;
	int result = rewrite_segments(store, plan->day, plan->parents, plan->parent_count,
				      rule.context != NULL ? &rule : NULL, &err, &done);

	mark_set_release(marks);
	if (result == 0)
		log_info("day %d: %zu segments merged into one of %llu reads, %llu equal and %llu marked ones left out",
			 plan->day, plan->parent_count, (unsigned long long)done.rows,
			 (unsigned long long)done.collapsed, (unsigned long long)done.dropped);
	if (result >= 0 || result == -ECANCELED)
		return result;
	log_warn("merging day %d: %s, trying again later", plan->day, err.text);
	put_off_note(store, plan->day, result);
	return result;
}

/* 0 when the day needs nothing or has to wait, TIDIER_MORE, or < 0. */
static int day_merge(struct store *store, const struct catalog_segment *segments, size_t count)
{
	int32_t day = segments[0].day;
	struct merge_plan plan;
	int result;

	if (count < 2 || !store_day_open(store, day) || put_off(store, day) ||
	    !merge_choose(segments, count, quiet_us(store, day), store->options.merge_quiet_us, &plan))
		return 0;
	result = merge_one(store, &plan);
	if (result == REWRITE_WAITS)
		return 0;
	return result == 0 ? TIDIER_MORE : result;
}

static int days_merge(struct store *store)
{
	struct catalog_segment *segments = NULL;
	size_t count = 0;
	int result = catalog_segments(store->catalog, INT32_MIN, INT32_MAX, &segments, &count);

	for (size_t i = 0, end; result == 0 && i < count; i = end) {
		for (end = i + 1; end < count && segments[end].day == segments[i].day; end++)
			;
		result = day_merge(store, &segments[i], end - i);
	}
	free(segments);
	return result;
}

/* What was erased is gone within the hour, however busy the machine is: this duty does not pause. */
static void removals(struct store *store)
{
	struct err err;

	if (marks_tidy(store, false, &err) < 0)
		log_debug("%s, trying again", err.text);
	if (late_hits_tidy(store->late, &err) < 0)
		log_info("%s, trying again", err.text);
	if (marks_look(store, false, &err) < 0)
		log_info("%s, trying again", err.text);
}

/* The register's change log, when it has grown to be written anew. */
static void register_tidy(struct store *store)
{
	int64_t now_ns = clock_mono_ns();
	struct err err = {""};
	int64_t again_ns;
	bool failed;

	pthread_mutex_lock(&store->status_mutex);
	again_ns = store->renew_again_ns;
	pthread_mutex_unlock(&store->status_mutex);
	if (store->reg == NULL || now_ns < again_ns)
		return;
	failed = reg_renew(store->reg, &err) < 0;
	pthread_mutex_lock(&store->status_mutex);
	(void)snprintf(store->register_why, sizeof(store->register_why), "%.180s", failed ? err.text : "");
	store->renew_again_ns = failed ? now_ns + RENEW_AGAIN_NS : 0;
	pthread_mutex_unlock(&store->status_mutex);
	if (failed)
		log_warn("%s, trying again in ten minutes", err.text);
}

static int duty(struct store *store, bool may_pause)
{
	int result;

	rewrite_lock(store);
	store->tidy_may_pause = may_pause;
	store->tidy_paused_ns = 0;
	result = days_merge(store);
	store->tidy_may_pause = false;
	rewrite_unlock(store);
	return result;
}

int tidier_round(struct store *store)
{
	removals(store);
	register_tidy(store);
	return duty(store, false);
}

static void tidier_sleep(struct store *store)
{
	int64_t until_ns = clock_mono_ns() + TURN_NS;
	struct timespec until = {.tv_sec = until_ns / 1000000000, .tv_nsec = until_ns % 1000000000};

	pthread_mutex_lock(&store->thread_mutex);
	while (!atomic_load(&store->tidy_stop))
		if (pthread_cond_timedwait(&store->tidier_bell, &store->thread_mutex, &until) == ETIMEDOUT)
			break;
	pthread_mutex_unlock(&store->thread_mutex);
}

static void *tidier_main(void *argument)
{
	struct store *store = argument;

	(void)setpriority(PRIO_PROCESS, (id_t)gettid(), TIDIER_NICE);
	(void)syscall(SYS_ioprio_set, IOPRIO_WHO_THREAD, 0, IOPRIO_LOWEST);
	while (!atomic_load(&store->tidy_stop)) {
		removals(store);
		register_tidy(store);
		if (pressed(store) || duty(store, true) != TIDIER_MORE)
			tidier_sleep(store);
	}
	return NULL;
}

int tidier_start(struct store *store, struct err *err)
{
	int result = pthread_create(&store->tidier, NULL, tidier_main, store);

	store->tidier_runs = result == 0;
	return result == 0 ? 0 : err_set(err, -result, "the tidier's thread: %s", strerror(result));
}

void tidier_stop(struct store *store)
{
	pthread_mutex_lock(&store->thread_mutex);
	atomic_store(&store->tidy_stop, true);
	pthread_cond_broadcast(&store->tidier_bell);
	pthread_mutex_unlock(&store->thread_mutex);
	if (store->tidier_runs)
		(void)pthread_join(store->tidier, NULL);
	store->tidier_runs = false;
}
