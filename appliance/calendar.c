/*
 * Life cycle: one thread, awake once a second. A round that failed is repeated after a minute, others after five. The
 * last round's outcome is under `lock`, for status; the thread alone writes it.
 */
#include "appliance/calendar.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#define LOG_MODULE "calendar"
#include "appliance/base/clock.h"
#include "appliance/base/log.h"
#include "appliance/gantry.h"
#include "appliance/handlers.h"
#include "appliance/lists_age.h"
#include "appliance/present.h"
#include "storage/clock_guard.h"
#include "storage/retention.h"
#include "storage/store.h"

#define LOOK_NS (INT64_C(1) * 1000000000)
#define ROUND_NS (INT64_C(300) * 1000000000)
#define RETRY_NS (INT64_C(60) * 1000000000)
#define CLOCK_EVERY_NS (INT64_C(599) * 1000000000) /* ten minutes at most (R5), looked at every second */

struct calendar {
	struct gantry *gantry;
	pthread_t thread;
	int64_t clock_due_ns; /* thread's own, on the monotonic clock */

	pthread_mutex_t lock; /* guards all below */
	pthread_cond_t bell;
	bool stopping;
	struct clock_guard_state clock;
	struct retention_result last;
	int last_error;
	uint64_t purged_total; /* since the start */
};

/* The clock's state into the audit log, every ten minutes at most (R5). */
static void audit_clock(struct calendar *calendar)
{
	int64_t now_ns = clock_mono_ns();
	struct clock_state state;
	char body[128];

	if (now_ns < calendar->clock_due_ns)
		return;
	calendar->clock_due_ns = now_ns + CLOCK_EVERY_NS;
	clock_state_get(&state);
	(void)snprintf(body, sizeof(body), "{\"synchronised\":%s,\"offset_us\":%lld,\"error_max_us\":%lld}",
		       state.synchronised ? "true" : "false", (long long)state.offset_us,
		       (long long)state.error_max_us);
	(void)gantry_note(calendar->gantry, 0, "clock.state", body);
}

static void on_purged(void *context, const struct purge_certificate *certificate)
{
	char day[PRESENT_DAY_SIZE];

	(void)context;
	log_info("%s is purged by the retention rule: %llu reads in %u segments, %llu kept for %u case(s)",
		 present_day(certificate->day, day), (unsigned long long)certificate->reads, certificate->segments,
		 (unsigned long long)certificate->held_reads, certificate->held_cases);
}

/* Suspicion, and its end, are told once and leave their entry in the audit log (R5). */
static void look(struct calendar *calendar)
{
	struct gantry *gantry = calendar->gantry;
	struct clock_guard_state state;
	enum clock_trust before;
	char body[320];

	clock_guard_look(store_clock_guard(gantry->store), &state);
	pthread_mutex_lock(&calendar->lock);
	before = calendar->clock.trust;
	calendar->clock = state;
	pthread_mutex_unlock(&calendar->lock);
	if (state.trust == before)
		return;
	if (state.trust == CLOCK_TRUSTED)
		log_info("the clock is trusted again");
	else
		log_warn("%s", state.why);
	(void)snprintf(body, sizeof(body), "{\"trusted\":%s,\"why\":\"%s\"}",
		       state.trust == CLOCK_TRUSTED ? "true" : "false", state.why);
	(void)gantry_note(gantry, (uint32_t)getuid(), "clock.trust", body);
}

static bool keep_round(struct calendar *calendar, const struct retention_result *round, int error)
{
	bool fresh;

	pthread_mutex_lock(&calendar->lock);
	fresh = error < 0 && strcmp(round->why.text, calendar->last.why.text) != 0;
	calendar->last = *round;
	calendar->last_error = error;
	calendar->purged_total += round->purged + round->resumed;
	pthread_mutex_unlock(&calendar->lock);
	return fresh;
}

/* Lists over age (R25). False: to be tried again soon. */
static bool expire_lists(struct calendar *calendar)
{
	struct gantry *gantry = calendar->gantry;
	struct reg *reg = store_register(gantry->store, NULL);
	struct clock_guard_state clock;
	struct err err = {""};
	int result;

	if (reg == NULL)
		return true;
	clock_guard_look(store_clock_guard(gantry->store), &clock);
	result = lists_age_round(reg, clock.now_us, clock.trust == CLOCK_TRUSTED, lists_expire, gantry, &err);
	if (result < 0)
		gantry_alarm_stand(gantry, ALARM_LISTS_AGE, err.text);
	else
		gantry_alarm_over(gantry, ALARM_LISTS_AGE);
	return result >= 0;
}

/* False: to be tried again soon. */
static bool run_round(struct calendar *calendar)
{
	struct gantry *gantry = calendar->gantry;
	struct retention_hooks hooks = {.release = hold_audit, .purged = on_purged};
	struct retention_result round;
	bool lists_done = expire_lists(calendar);
	int result;

	purge_hooks_of(gantry, &hooks.purge);
	result = retention_round(gantry->store, (uint32_t)getuid(), &hooks, &round);
	if (keep_round(calendar, &round, result))
		log_warn("%s", round.why.text);
	return result == 0 && !round.suspended && lists_done;
}

/* True when the thread is to end. */
static bool wait_look(struct calendar *calendar)
{
	int64_t until_ns = clock_mono_ns() + LOOK_NS;
	struct timespec until = {.tv_sec = until_ns / 1000000000, .tv_nsec = until_ns % 1000000000};
	bool stopping;

	pthread_mutex_lock(&calendar->lock);
	while (!calendar->stopping && pthread_cond_timedwait(&calendar->bell, &calendar->lock, &until) != ETIMEDOUT)
		continue;
	stopping = calendar->stopping;
	pthread_mutex_unlock(&calendar->lock);
	return stopping;
}

static void *attend(void *context)
{
	struct calendar *calendar = context;
	bool suspect = false;
	int64_t due_ns = 0;

	(void)prctl(PR_SET_NAME, "calendar");
	do {
		look(calendar);
		audit_clock(calendar);
		/* When trust comes back, what waited for it goes at once. */
		if (suspect && calendar->clock.trust == CLOCK_TRUSTED)
			due_ns = 0;
		suspect = calendar->clock.trust != CLOCK_TRUSTED;
		if (clock_mono_ns() >= due_ns)
			due_ns = (run_round(calendar) ? ROUND_NS : RETRY_NS) + clock_mono_ns();
	} while (!wait_look(calendar));
	return NULL;
}

int calendar_start(struct gantry *gantry, struct calendar **ret_calendar, struct err *err)
{
	struct calendar *calendar = calloc(1, sizeof(*calendar));
	pthread_condattr_t attributes;
	int result;

	if (calendar == NULL)
		return err_set(err, -ENOMEM, "out of memory");
	calendar->gantry = gantry;
	pthread_mutex_init(&calendar->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&calendar->bell, &attributes);
	pthread_condattr_destroy(&attributes);
	result = pthread_create(&calendar->thread, NULL, attend, calendar);
	if (result != 0) {
		pthread_cond_destroy(&calendar->bell);
		pthread_mutex_destroy(&calendar->lock);
		free(calendar);
		return err_set(err, -result, "calendar thread: %s", strerror(result));
	}
	*ret_calendar = calendar;
	return 0;
}

struct calendar *calendar_stop(struct calendar *calendar)
{
	if (calendar == NULL)
		return NULL;
	pthread_mutex_lock(&calendar->lock);
	calendar->stopping = true;
	pthread_cond_signal(&calendar->bell);
	pthread_mutex_unlock(&calendar->lock);
	pthread_join(calendar->thread, NULL);
	pthread_cond_destroy(&calendar->bell);
	pthread_mutex_destroy(&calendar->lock);
	free(calendar);
	return NULL;
}

static const char *state_name(const struct calendar *calendar)
{
	if (calendar->clock.trust != CLOCK_TRUSTED)
		return "suspended";
	return calendar->last_error < 0 ? "failing" : "running";
}

static const char *why_text(const struct calendar *calendar)
{
	return calendar->clock.trust != CLOCK_TRUSTED ? calendar->clock.why : calendar->last.why.text;
}

json_t *calendar_json(struct calendar *calendar)
{
	char last[CLOCK_TEXT_SIZE];
	json_t *object;

	if (calendar == NULL)
		return json_pack("{s:s}", "state", "starting");
	pthread_mutex_lock(&calendar->lock);
	object = json_pack("{s:s,s:s,s:I,s:I,s:I,s:I,s:I,s:b,s:I}", "state", state_name(calendar), "why",
			   why_text(calendar), "due", (json_int_t)calendar->last.due, "purged",
			   (json_int_t)calendar->last.purged, "failed", (json_int_t)calendar->last.failed,
			   "purged_total", (json_int_t)calendar->purged_total, "overdue_reviews",
			   (json_int_t)calendar->last.overdue, "clock_trusted", calendar->clock.trust == CLOCK_TRUSTED,
			   "clock_trusted_in_s", (json_int_t)calendar->clock.remaining_s);
	if (calendar->last.began_us != 0)
		(void)json_object_set_new(object, "last", json_string(clock_text_utc(calendar->last.began_us, last)));
	pthread_mutex_unlock(&calendar->lock);
	return object;
}

void calendar_alarms(struct calendar *calendar, json_t *array)
{
	if (calendar == NULL)
		return;
	pthread_mutex_lock(&calendar->lock);
	if (calendar->clock.trust != CLOCK_TRUSTED)
		(void)json_array_append_new(array, json_string(calendar->clock.why));
	else if (calendar->last_error < 0)
		(void)json_array_append_new(array, json_sprintf("the retention rule fails and is tried again: %s",
								calendar->last.why.text));
	if (calendar->last.overdue > 0)
		(void)json_array_append_new(
			array, json_sprintf("%u hold(s) are due for review; see holds.review", calendar->last.overdue));
	pthread_mutex_unlock(&calendar->lock);
}
