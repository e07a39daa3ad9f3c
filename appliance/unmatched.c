/* Life cycle: one thread that looks every second whether lists are there, works the windows off, and ends. */
#include "appliance/unmatched.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#define LOG_MODULE "unmatched"
#include "appliance/base/clock.h"
#include "appliance/base/log.h"
#include "appliance/counters.h"
#include "appliance/gantry.h"
#include "appliance/late_match.h"
#include "storage/catalog.h"
#include "storage/register.h"
#include "storage/register_late.h"
#include "storage/store.h"

#define WINDOWS_MAX 64
#define LOOK_NS 100000000
#define TELL_NS (INT64_C(60) * 1000000000)
#define SLACK_US INT64_C(3600000000) /* a clock may have been set meanwhile: the flag says which reads */
#define HITS_AT_ONCE 32768
#define HITS_MAX UINT64_C(1000000) /* of one window; beyond it they are counted, and it is said */
#define DAYS_MAX 1024

struct unmatched {
	struct gantry *gantry;
	pthread_t thread;
	atomic_bool stopping;
	int64_t told_ns;
};

struct windows {
	struct reg_unmatched all[WINDOWS_MAX];
	size_t count;
};

static int window_take(void *context, const struct reg_record *record)
{
	struct windows *windows = context;

	if (windows->count == WINDOWS_MAX)
		return 0; /* they have their turn when those before are done */
	return reg_unmatched_decode(record->value, record->value_size, &windows->all[windows->count++]);
}

static int windows_read(struct reg *reg, struct windows *ret_windows, struct err *err)
{
	int result;

	ret_windows->count = 0;
	result = reg_each(reg, REG_UNMATCHED, 0, UINT32_MAX, window_take, ret_windows);
	return result < 0 ? err_set(err, result, "windows of unmatched reads: %s", strerror(-result)) : 0;
}

static int window_write(struct reg *reg, const struct reg_unmatched *window, struct err *err)
{
	uint8_t buffer[REG_RECORD_SIZE_MAX];
	struct reg_change change = {.kind = REG_UNMATCHED, .a = window->number, .value = buffer};

	change.value_size = reg_unmatched_encode(window, buffer);
	return reg_change(reg, &change, 1, (uint32_t)getuid(), "reads are accepted unmatched", err);
}

static bool any_open(const struct windows *windows)
{
	for (size_t i = 0; i < windows->count; i++)
		if (windows->all[i].to_us == 0)
			return true;
	return false;
}

int unmatched_note(struct gantry *gantry, struct err *err)
{
	struct reg *reg = store_register(gantry->store, NULL);
	struct reg_unmatched window = {.from_us = clock_wall_us()};
	struct windows windows;
	int result;

	/* Without a register no feed is known, and no read is accepted. */
	if (reg == NULL || gantry_lists_complete(gantry))
		return 0;
	result = windows_read(reg, &windows, err);
	if (result < 0 || any_open(&windows))
		return result;
	window.number = (uint32_t)reg_sequence(reg) + 1;
	return window_write(reg, &window, err);
}

static uint64_t reads_unmatched(const struct gantry *gantry)
{
	uint64_t reads = 0;

	for (unsigned i = 0; i < gantry->worker_count; i++)
		reads += counter_get(&worker_counters(gantry->workers[i])->unmatched);
	return reads;
}

/* Now and then: each time is a line of the log. */
static void tell(struct unmatched *unmatched, const char *what)
{
	int64_t now_ns = clock_mono_ns();
	char text[192];

	if (unmatched->told_ns != 0 && now_ns - unmatched->told_ns < TELL_NS)
		return;
	unmatched->told_ns = now_ns;
	(void)snprintf(text, sizeof(text), "%s; accepted unmatched since the start: %" PRIu64 " reads", what,
		       reads_unmatched(unmatched->gantry));
	gantry_alarm_stand(unmatched->gantry, ALARM_UNMATCHED, text);
}

/* One window being worked off. */
struct working {
	struct unmatched *unmatched;
	struct late_match match;
	uint64_t put;
	uint64_t reads;
	unsigned faults;
	struct err *err;
};

/* What was matched with the lists that were there has its hits of them. */
static bool wants(void *context, const struct hit *hit, const struct hit *known, size_t known_count)
{
	(void)context;
	for (size_t i = 0; i < known_count; i++)
		if (known[i].list == hit->list)
			return false;
	return true;
}

static int on_burst(void *context, const struct sweep_burst *burst)
{
	struct working *working = context;
	uint64_t put = 0;
	int result;

	if (atomic_load(&working->unmatched->stopping))
		return 1;
	working->reads += burst->count;
	result = late_match_burst(&working->match, burst);
	if (result < 0)
		return err_set(working->err, result, "%s", strerror(-result));
	if (working->match.count < HITS_AT_ONCE)
		return 0;
	result = late_match_put(&working->match, (uint32_t)getuid(), working->err, &put);
	working->put += put;
	working->match.hits_max = working->put < HITS_MAX ? (size_t)(HITS_MAX - working->put) : 0;
	return result;
}

static void on_fault(void *context, const char *text)
{
	struct working *working = context;

	working->faults++;
	store_damage_met(working->unmatched->gantry->store, text);
}

/* Days into which something was sealed since then, or nobody knows when. */
struct days {
	int64_t since_us;
	int32_t all[DAYS_MAX];
	size_t count;
};

static int day_take(void *context, const struct catalog_day *day)
{
	struct days *days = context;

	if (day->state == CATALOG_DAY_OPEN && (day->sealed_us == 0 || day->sealed_us >= days->since_us) &&
	    days->count < DAYS_MAX)
		days->all[days->count++] = day->day;
	return 0;
}

static int sweep_window(struct working *working, const struct reg_unmatched *window)
{
	struct gantry *gantry = working->unmatched->gantry;
	struct days days = {.since_us = window->from_us - SLACK_US};
	struct sweep sweep = {.first_day = 0,
			      .last_day = INT32_MAX,
			      .memory = true,
			      .flags = READ_FLAG_UNMATCHED,
			      .receipt_from_us = window->from_us - SLACK_US,
			      .receipt_to_us = window->to_us + SLACK_US,
			      .burst = on_burst,
			      .fault = on_fault,
			      .context = working};
	int result = sweep_run(gantry->views, &sweep, working->err);

	/* Behind the memtable: what was sealed meanwhile is met once more, not missed. */
	if (result == 0 && (result = catalog_each_day(store_catalog(gantry->store), day_take, &days)) < 0)
		(void)err_set(working->err, result, "the catalog's days: %s", strerror(-result));
	sweep.memory = false;
	sweep.segments = true;
	for (size_t i = 0; result == 0 && i < days.count; i++) {
		sweep.first_day = sweep.last_day = days.all[i];
		result = sweep_run(gantry->views, &sweep, working->err);
	}
	return result;
}

static void audit(const struct working *working, const struct reg_unmatched *window)
{
	char from[CLOCK_TEXT_SIZE], to[CLOCK_TEXT_SIZE];
	char body[384];

	(void)snprintf(body, sizeof(body),
		       "{\"from\":\"%s\",\"to\":\"%s\",\"reads\":%" PRIu64 ",\"hits\":%" PRIu64 ",\"met\":%" PRIu64
		       ",\"complete\":%s}",
		       clock_text_utc(window->from_us, from), clock_text_utc(window->to_us, to), working->reads,
		       working->put, working->match.met,
		       working->faults == 0 && working->match.met <= HITS_MAX ? "true" : "false");
	(void)gantry_note(working->unmatched->gantry, (uint32_t)getuid(), "lists.unmatched.end", body);
	log_info("%" PRIu64 " reads that were accepted unmatched are matched: %" PRIu64 " late hits%s", working->reads,
		 working->put,
		 working->match.met > HITS_MAX ? "; there were more hits than are kept, see the audit log" : "");
}

/* 0; 1 the thread ends; < 0 with err: to be tried again. */
static int window_work(struct unmatched *unmatched, struct reg *reg, const struct reg_unmatched *window,
		       struct err *err)
{
	struct reg_change drop = {.kind = REG_UNMATCHED, .a = window->number};
	struct gantry *gantry = unmatched->gantry;
	struct working working = {.unmatched = unmatched, .err = err};
	uint64_t put = 0;
	int result;

	pthread_mutex_lock(&gantry->change_lock);
	result = late_match_init(&working.match, gantry);
	pthread_mutex_unlock(&gantry->change_lock);
	if (result < 0)
		return err_set(err, result, "no list is loaded, or no memory is left");
	working.match.hits_max = HITS_MAX;
	working.match.wants = wants;
	result = sweep_window(&working, window);
	if (result == 0)
		result = late_match_put(&working.match, (uint32_t)getuid(), err, &put);
	working.put += put;
	if (result == 0) {
		audit(&working, window);
		result = reg_change(reg, &drop, 1, (uint32_t)getuid(), "they are matched", err);
	}
	late_match_fini(&working.match);
	return result;
}

static bool lists_complete_now(struct gantry *gantry)
{
	bool loaded;

	pthread_mutex_lock(&gantry->change_lock);
	loaded = gantry_lists_complete(gantry);
	pthread_mutex_unlock(&gantry->change_lock);
	return loaded;
}

/* Closes what is open; all reads that have the flag are durable behind it. 1 the thread ends; < 0 with err. */
static int windows_close(struct unmatched *unmatched, struct reg *reg, struct windows *windows, struct err *err)
{
	int result = late_match_settle(unmatched->gantry, &unmatched->stopping, err);

	for (size_t i = 0; result == 0 && i < windows->count; i++) {
		if (windows->all[i].to_us != 0)
			continue;
		windows->all[i].to_us = clock_wall_us();
		result = window_write(reg, &windows->all[i], err);
	}
	return result;
}

/* 0 nothing is left; 1 not yet; < 0 with err. */
static int look(struct unmatched *unmatched, struct err *err)
{
	struct reg *reg = store_register(unmatched->gantry->store, NULL);
	struct windows windows;
	int result;

	if (!lists_complete_now(unmatched->gantry)) {
		tell(unmatched, "not all lists are loaded: see status and load again what is missing");
		return 1;
	}
	result = windows_read(reg, &windows, err);
	if (result == 0 && windows.count > 0)
		tell(unmatched, "lists are loaded again, reads that were accepted before are being matched");
	if (result == 0)
		result = windows_close(unmatched, reg, &windows, err);
	for (size_t i = 0; result == 0 && i < windows.count; i++)
		result = window_work(unmatched, reg, &windows.all[i], err);
	return result == 0 && windows.count == WINDOWS_MAX ? 1 : result;
}

static void *attend(void *context)
{
	static const struct timespec nap = {.tv_nsec = LOOK_NS};
	struct unmatched *unmatched = context;
	int64_t retry_ns = 0;
	int result = 1;

	(void)prctl(PR_SET_NAME, "unmatched");
	while (result != 0 && !atomic_load(&unmatched->stopping)) {
		struct err err = {""};

		if (clock_mono_ns() >= retry_ns)
			result = look(unmatched, &err);
		if (result < 0) {
			log_warn("reads that were accepted unmatched: %s; tried again", err.text);
			retry_ns = clock_mono_ns() + TELL_NS / 6;
			result = 1;
		}
		if (result != 0)
			(void)nanosleep(&nap, NULL);
	}
	if (result == 0)
		gantry_alarm_over(unmatched->gantry, ALARM_UNMATCHED);
	return NULL;
}

int unmatched_start(struct gantry *gantry, struct unmatched **ret_unmatched, struct err *err)
{
	struct reg *reg = store_register(gantry->store, NULL);
	struct unmatched *unmatched;
	struct windows windows;
	int result = reg != NULL ? windows_read(reg, &windows, err) : 0;

	if (reg == NULL || result < 0 || windows.count == 0)
		return result;
	unmatched = calloc(1, sizeof(*unmatched));
	if (unmatched == NULL)
		return err_set(err, -ENOMEM, "out of memory");
	unmatched->gantry = gantry;
	result = pthread_create(&unmatched->thread, NULL, attend, unmatched);
	if (result != 0) {
		free(unmatched);
		return err_set(err, -result, "unmatched reads: thread: %s", strerror(result));
	}
	*ret_unmatched = unmatched;
	return 0;
}

struct unmatched *unmatched_stop(struct unmatched *unmatched)
{
	if (unmatched == NULL)
		return NULL;
	atomic_store(&unmatched->stopping, true);
	pthread_join(unmatched->thread, NULL);
	free(unmatched);
	return NULL;
}
