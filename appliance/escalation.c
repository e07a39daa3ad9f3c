/*
 * Life cycle: escalation_start ▸ rounds, the first of which gathers what the last life of the process left ▸
 * escalation_stop, nothing is told any more ▸ escalation_free. `stopping` is under `lock`, all else belongs to the
 * thread but for the watch.
 *
 * A hit is acknowledged in the order: its life is durable ▸ it is let go here. Gathering adds a hit and then asks for
 * its life again, so that one acknowledged meanwhile does not stay.
 */
#include "appliance/escalation.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

#define LOG_MODULE "escalation"
#include "appliance/base/bytes.h"
#include "appliance/base/clock.h"
#include "appliance/base/log.h"
#include "appliance/gantry.h"
#include "storage/hit_lives.h"
#include "storage/hit_scan.h"
#include "storage/keyring.h"
#include "storage/store.h"

#define WATCHED_MAX 65536
#define TELL_AT_ONCE 256
#define GATHER_US (INT64_C(24) * 3600 * 1000000)
/* 4 MiB. Each scan goes through all hits of every segment concerned: let there be few. */
#define GATHER_AT_ONCE 32768
#define LOOK_NS INT64_C(1000000000)
#define CHECK_NS (INT64_C(60) * 1000000000)

struct escalation {
	struct gantry *gantry;
	escalation_tell_fn *tell;
	struct hit_watch *watch;
	pthread_t thread;
	bool gather_due;
	bool standing; /* the alarm */
	int64_t check_due_ns;

	pthread_mutex_t lock;
	pthread_cond_t bell;
	bool stopping;
};

static bool is_stopping(struct escalation *escalation)
{
	bool stopping;

	pthread_mutex_lock(&escalation->lock);
	stopping = escalation->stopping;
	pthread_mutex_unlock(&escalation->lock);
	return stopping;
}

static bool is_watched(const struct escalation *escalation, const struct hit *hit)
{
	return hit->priority >= escalation->gantry->config.escalate_priority && (hit->flags & HIT_FLAG_REPEAT) == 0;
}

/* The wall clock says how long it waits once, now; from then on the monotonic one does, whatever the other is set to.
 */
static struct watched_hit watched(const struct hit *hit, const struct read *read, int64_t published_us, int64_t now_us)
{
	return (struct watched_hit){.number = hit->number,
				    .published_us = published_us,
				    .since_ns = clock_mono_ns() - (now_us - published_us) * 1000,
				    .day = read_day(read->capture_us),
				    .list = hit->list,
				    .camera = read->camera,
				    .priority = hit->priority};
}

void escalation_take(struct escalation *escalation, const struct hit *hit, const struct read *read)
{
	int64_t now_us = clock_wall_us();
	struct watched_hit taken;

	if (escalation == NULL || !is_watched(escalation, hit))
		return;
	taken = watched(hit, read, now_us, now_us);
	(void)hit_watch_add(escalation->watch, &taken); /* a full table counts it */
}

void escalation_over(struct escalation *escalation, uint64_t number)
{
	if (escalation != NULL)
		(void)hit_watch_remove(escalation->watch, number);
}

struct hit_watch *escalation_watch(struct escalation *escalation)
{
	return escalation != NULL ? escalation->watch : NULL;
}

/* ---- gathering what was published before */

/* Not before its read came, nor before its source began to count, in µs. */
static int64_t published_us(const struct hit_found *found, int64_t now_us)
{
	int64_t began_us = (int64_t)(found->hit.number & HIT_COUNT_MASK);
	int64_t us = found->read.receipt_us;

	if (hit_source(found->hit.number) == HIT_SOURCE_LATE && began_us > us)
		us = began_us;
	return us < now_us ? us : now_us;
}

static void gather_one(struct escalation *escalation, const struct hit_found *found, int64_t since_us)
{
	struct hit_lives *lives = store_hit_lives(escalation->gantry->store);
	int64_t now_us = clock_wall_us();
	struct watched_hit hit = watched(&found->hit, &found->read, published_us(found, now_us), now_us);

	if (!is_watched(escalation, &found->hit) || hit.published_us < since_us || hit_lives_known(lives, hit.number))
		return;
	(void)hit_watch_add(escalation->watch, &hit);
	if (hit_lives_known(lives, hit.number))
		(void)hit_watch_remove(escalation->watch, hit.number);
}

/*
 * Numbers of a source grow as its hits are published, but how fast is not known: steps back from now, each four times
 * as long as the last, until one lands on a hit that is old enough. -errno with err.
 */
static int gather_begin(struct escalation *escalation, unsigned source, int64_t since_us, struct err *err,
			uint64_t *ret_after)
{
	uint64_t now = (uint64_t)clock_wall_us();
	struct hit_found found;
	size_t count = 0;

	for (uint64_t back = UINT64_C(1) << 26; back < now; back *= 4) {
		int result = hit_scan(escalation->gantry->store, source, hit_number(source, now - back),
				      hit_number(source, HIT_COUNT_MASK), 1, err, &found, &count);

		if (result < 0)
			return result;
		if (count > 0 && published_us(&found, (int64_t)now) < since_us) {
			*ret_after = hit_number(source, now - back);
			bytes_wipe(&found, sizeof(found));
			return 0;
		}
	}
	bytes_wipe(&found, sizeof(found));
	*ret_after = hit_number(source, 0);
	return 0;
}

static int gather_source(struct escalation *escalation, unsigned source, struct hit_found *found, struct err *err)
{
	int64_t since_us = clock_wall_us() - GATHER_US;
	size_t count = GATHER_AT_ONCE;
	uint64_t after;
	int result = gather_begin(escalation, source, since_us, err, &after);

	while (result == 0 && count == GATHER_AT_ONCE && !is_stopping(escalation)) {
		result = hit_scan(escalation->gantry->store, source, after, hit_number(source, HIT_COUNT_MASK),
				  GATHER_AT_ONCE, err, found, &count);
		for (size_t i = 0; result == 0 && i < count; i++)
			gather_one(escalation, &found[i], since_us);
		if (result == 0 && count > 0)
			after = found[count - 1].hit.number;
	}
	return result;
}

/* False: to be tried again. */
static bool gather(struct escalation *escalation)
{
	struct hit_found *found = calloc(GATHER_AT_ONCE, sizeof(*found));
	struct err err = {""};
	int result = found == NULL ? err_set(&err, -ENOMEM, "out of memory") : 0;
	int64_t began_ns = clock_mono_ns();
	struct hit_watch_info info;

	hit_watch_caught_up(escalation->watch);
	for (unsigned source = 0; result == 0 && source < WORKERS_MAX; source++)
		result = gather_source(escalation, source, found, &err);
	if (result == 0)
		result = gather_source(escalation, HIT_SOURCE_LATE, found, &err);
	if (found != NULL)
		bytes_wipe(found, GATHER_AT_ONCE * sizeof(*found));
	free(found);
	hit_watch_info(escalation->watch, &info);
	if (result == 0 && info.open > 0)
		log_info("%zu hits wait to be acknowledged, gathered in %lld ms", info.open,
			 (long long)((clock_mono_ns() - began_ns) / 1000000));
	if (result < 0)
		log_warn("hits that nobody has acknowledged could not be gathered, trying again: %s", err.text);
	return result == 0;
}

/* ---- rounds */

static void tell_escalated(struct escalation *escalation)
{
	int64_t before_ns = clock_mono_ns() - escalation->gantry->config.escalate_s * 1000000000;
	struct watched_hit hits[TELL_AT_ONCE];
	size_t count;

	if (!gantry_lists_loaded(escalation->gantry))
		return; /* nobody could be told: who may have them is not known */
	do {
		count = hit_watch_escalate(escalation->watch, before_ns, TELL_AT_ONCE, hits);
		for (size_t i = 0; i < count; i++)
			escalation->tell(escalation->gantry, &hits[i]);
	} while (count == TELL_AT_ONCE && !is_stopping(escalation));
}

static void alarm_text(const struct escalation *escalation, const struct hit_watch_info *info, char *text, size_t size)
{
	const struct config *config = &escalation->gantry->config;
	int64_t age_s = (clock_mono_ns() - info->oldest_ns) / 1000000000;
	int used = 0;

	if (info->escalated > 0)
		used = snprintf(text, size,
				"%zu hit(s) of priority %lld or more are not acknowledged, the oldest for %lld s; see "
				"hits.open",
				info->escalated, (long long)config->escalate_priority, (long long)age_s);
	if (info->passed_over > 0)
		(void)snprintf(text + used, size - (size_t)used, "%s%llu more could not be watched: acknowledge some",
			       used > 0 ? "; " : "", (unsigned long long)info->passed_over);
}

/* It is logged when it begins; then its figures are kept true quietly. */
static void tell_operator(struct escalation *escalation)
{
	struct gantry *gantry = escalation->gantry;
	struct hit_watch_info info;
	char text[192] = "";

	hit_watch_info(escalation->watch, &info);
	alarm_text(escalation, &info, text, sizeof(text));
	if (text[0] == '\0' && escalation->standing)
		gantry_alarm_over(gantry, ALARM_HITS_WAIT);
	else if (text[0] != '\0' && escalation->standing)
		gantry_alarm_renew(gantry, ALARM_HITS_WAIT, text);
	else if (text[0] != '\0')
		gantry_alarm_stand(gantry, ALARM_HITS_WAIT, text);
	escalation->standing = text[0] != '\0';
}

static bool day_gone(void *context, int32_t day)
{
	return keyring_day_destroyed(context, day);
}

/*
 * Nobody can acknowledge what is gone: with its day, or, erased or amended, by itself. Of the latter only the one that
 * the alarm is about is looked for: such a look may read a whole day's hits.
 */
static void drop_gone(struct escalation *escalation)
{
	struct store *store = escalation->gantry->store;
	struct hit_watch_info info;
	struct hit_found found;
	struct err err = {""};

	if (clock_mono_ns() < escalation->check_due_ns)
		return;
	escalation->check_due_ns = clock_mono_ns() + CHECK_NS;
	hit_watch_sweep(escalation->watch, day_gone, store_keyring(store));
	hit_watch_info(escalation->watch, &info);
	if (info.oldest != 0 && hit_find(store, info.oldest, &err, &found) == -ENOENT)
		(void)hit_watch_remove(escalation->watch, info.oldest);
	bytes_wipe(&found, sizeof(found));
}

static void run_round(struct escalation *escalation)
{
	struct hit_watch_info info;

	if (store_register(escalation->gantry->store, NULL) == NULL)
		return; /* no life can be kept, so none can be asked for */
	hit_watch_info(escalation->watch, &info);
	if (escalation->gather_due || (info.passed_over > 0 && info.open < WATCHED_MAX / 2))
		escalation->gather_due = !gather(escalation);
	drop_gone(escalation);
	tell_escalated(escalation);
	tell_operator(escalation);
}

/* True when the thread is to end. */
static bool wait_look(struct escalation *escalation)
{
	int64_t until_ns = clock_mono_ns() + LOOK_NS;
	struct timespec until = {.tv_sec = until_ns / 1000000000, .tv_nsec = until_ns % 1000000000};
	bool stopping;

	pthread_mutex_lock(&escalation->lock);
	while (!escalation->stopping &&
	       pthread_cond_timedwait(&escalation->bell, &escalation->lock, &until) != ETIMEDOUT)
		continue;
	stopping = escalation->stopping;
	pthread_mutex_unlock(&escalation->lock);
	return stopping;
}

static void *attend(void *context)
{
	(void)prctl(PR_SET_NAME, "escalation");
	do
		run_round(context);
	while (!wait_look(context));
	return NULL;
}

struct escalation *escalation_free(struct escalation *escalation)
{
	if (escalation == NULL)
		return NULL;
	pthread_cond_destroy(&escalation->bell);
	pthread_mutex_destroy(&escalation->lock);
	hit_watch_free(escalation->watch);
	free(escalation);
	return NULL;
}

int escalation_start(struct gantry *gantry, escalation_tell_fn *tell, struct escalation **ret_escalation,
		     struct err *err)
{
	struct escalation *escalation = calloc(1, sizeof(*escalation));
	pthread_condattr_t attributes;
	int result;

	if (escalation == NULL || hit_watch_new(WATCHED_MAX, &escalation->watch) < 0) {
		free(escalation);
		return err_set(err, -ENOMEM, "out of memory");
	}
	escalation->gantry = gantry;
	escalation->tell = tell;
	escalation->gather_due = true;
	pthread_mutex_init(&escalation->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&escalation->bell, &attributes);
	pthread_condattr_destroy(&attributes);
	result = pthread_create(&escalation->thread, NULL, attend, escalation);
	if (result != 0) {
		(void)escalation_free(escalation);
		return err_set(err, -result, "escalation thread: %s", strerror(result));
	}
	*ret_escalation = escalation;
	return 0;
}

void escalation_stop(struct escalation *escalation)
{
	if (escalation == NULL)
		return;
	pthread_mutex_lock(&escalation->lock);
	escalation->stopping = true;
	pthread_cond_signal(&escalation->bell);
	pthread_mutex_unlock(&escalation->lock);
	pthread_join(escalation->thread, NULL);
}

void escalation_status(struct escalation *escalation, json_t *object)
{
	struct hit_watch_info info = {0};

	if (escalation != NULL)
		hit_watch_info(escalation->watch, &info);
	(void)json_object_set_new(object, "unacknowledged", json_integer((json_int_t)info.open));
	(void)json_object_set_new(object, "escalated", json_integer((json_int_t)info.escalated));
	(void)json_object_set_new(object, "escalated_total", json_integer((json_int_t)info.escalated_total));
	(void)json_object_set_new(object, "unwatched", json_integer((json_int_t)info.passed_over));
}
