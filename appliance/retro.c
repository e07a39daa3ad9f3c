/*
 * Life cycle: one thread, asleep until there is a request. `lock` guards what the verbs and the thread share, and is
 * held while a record that both may write goes to the register. A request is cancelled by its record
 * (REG_RETRO_CANCELLED without an end), so that no restart goes on with it, and then ended by the thread. What fails
 * (disk, register) is tried again after RETRY_NS and says so.
 */
#include "appliance/retro.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LOG_MODULE "retro"
#include "appliance/base/clock.h"
#include "appliance/base/log.h"
#include "appliance/gantry.h"
#include "appliance/late_match.h"
#include "appliance/lists.h"
#include "appliance/present.h"
#include "appliance/retro_keys.h"
#include "matcher/list.h"
#include "storage/register.h"
#include "storage/register_late.h"
#include "storage/store.h"

#define RETRO_NICE 19
#define RETRY_NS (INT64_C(10) * 1000000000)
#define KEPT_MAX 32 /* requests that have ended, for retros.show */
#define IOPRIO_WHO_THREAD 1
#define IOPRIO_LOWEST (2 << 13 | 7)

struct retro {
	struct gantry *gantry;
	pthread_t thread;
	atomic_bool stopping;

	pthread_mutex_t lock; /* guards all below */
	pthread_cond_t bell;
	struct reg_retro requests[RETRO_RUNNING_MAX + KEPT_MAX]; /* ascending by number */
	size_t count;
	uint32_t running; /* number of the one in work; 0 none */
	struct err why;   /* the last attempt failed; empty: it did not */
};

/* One step of a request: what is not sealed, or one day. */
struct step {
	struct retro *retro;
	struct reg_retro request;
	struct late_match match;
	struct retro_keys keys;
	uint32_t *since; /* by entry; 0: not asked for */
	uint32_t entry_count;
	uint32_t version; /* of the list that `since` is of */
	unsigned faults;
};

/* lock held. NULL: unknown. */
static struct reg_retro *find(struct retro *retro, uint32_t number)
{
	for (size_t i = 0; i < retro->count; i++)
		if (retro->requests[i].number == number)
			return &retro->requests[i];
	return NULL;
}

static bool is_cancelled(struct retro *retro, uint32_t number)
{
	struct reg_retro *request;
	bool cancelled;

	pthread_mutex_lock(&retro->lock);
	request = find(retro, number);
	cancelled = request == NULL || request->state == REG_RETRO_CANCELLED;
	pthread_mutex_unlock(&retro->lock);
	return cancelled;
}

static int record_put(struct retro *retro, const struct reg_retro *request, struct err *err)
{
	struct reg *reg = store_register(retro->gantry->store, NULL);
	uint8_t buffer[REG_RECORD_SIZE_MAX];
	struct reg_change change = {.kind = REG_RETRO, .a = request->number, .value = buffer};

	if (reg == NULL)
		return err_set(err, -ENOKEY, "the register is incomplete: nothing is searched");
	change.value_size = reg_retro_encode(request, buffer);
	return reg_change(reg, &change, 1, request->who_uid, "search back", err);
}

/* lock held. Makes room: the oldest that have ended go, of the register by and by. Its number, 0: none has to go. */
static uint32_t oldest_ended(const struct retro *retro)
{
	uint32_t ended = 0;
	uint32_t oldest = 0;

	for (size_t i = retro->count; i-- > 0;) {
		if (retro->requests[i].ended_us == 0)
			continue;
		ended++;
		oldest = retro->requests[i].number;
	}
	return ended > KEPT_MAX ? oldest : 0;
}

static void remove_at(struct retro *retro, size_t at)
{
	retro->count--;
	memmove(&retro->requests[at], &retro->requests[at + 1], (retro->count - at) * sizeof(retro->requests[0]));
}

static void forget_old(struct retro *retro)
{
	struct reg *reg = store_register(retro->gantry->store, NULL);
	struct reg_change change = {.kind = REG_RETRO};
	struct reg_retro *request;
	struct err err = {""};

	pthread_mutex_lock(&retro->lock);
	change.a = oldest_ended(retro);
	request = change.a != 0 ? find(retro, change.a) : NULL;
	if (request != NULL)
		remove_at(retro, (size_t)(request - retro->requests));
	pthread_mutex_unlock(&retro->lock);
	if (change.a != 0 && reg != NULL && reg_change(reg, &change, 1, 0, "ended long ago", &err) < 0)
		log_info("%s", err.text); /* it is shown again after the next start */
}

static void show(struct retro *retro, const struct reg_retro *request)
{
	struct reg_retro *shown;

	pthread_mutex_lock(&retro->lock);
	shown = find(retro, request->number);
	if (shown != NULL)
		*shown = *request;
	pthread_mutex_unlock(&retro->lock);
}

/*
 * How far the request in work has come, shown and, when told to, made durable. 1: it was cancelled meanwhile, and stays
 * so. < 0: not durable.
 */
static int note_progress(struct retro *retro, struct reg_retro *request, bool durable, struct err *err)
{
	struct reg_retro *shown;
	int result;

	pthread_mutex_lock(&retro->lock);
	shown = find(retro, request->number);
	if (shown != NULL)
		request->state = shown->state;
	result = durable ? record_put(retro, request, err) : 0;
	if (result == 0 && shown != NULL)
		*shown = *request;
	pthread_mutex_unlock(&retro->lock);
	return result < 0 || request->state == REG_RETRO_RUNNING ? result : 1;
}

/* Into the audit log what came of it: whose, which list, versions, days, finds. */
static void audit_end(struct retro *retro, const struct reg_retro *request)
{
	json_t *body = json_pack(
		"{s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:b,s:s}", "number", (json_int_t)request->number, "list",
		(json_int_t)request->list, "since_version", (json_int_t)request->since_version, "upto_version",
		(json_int_t)request->upto_version, "days", (json_int_t)(request->last_day - request->first_day + 1),
		"finds", (json_int_t)request->finds, "met", (json_int_t)request->met, "complete",
		(int)(request->state == REG_RETRO_DONE && request->why[0] == '\0'), "why", request->why);
	char *text = body != NULL ? json_dumps(body, JSON_COMPACT) : NULL;

	if (text != NULL)
		(void)gantry_note(retro->gantry, request->who_uid, "lists.retro.end", text);
	free(text);
	json_decref(body);
}

/* Audited before it is durable that it ended: a crash between tells it twice, never not at all. */
static int end_request(struct retro *retro, struct reg_retro *request, enum reg_retro_state state, const char *why,
		       struct err *err)
{
	int result;

	request->state = (uint8_t)state;
	request->ended_us = clock_wall_us();
	if (why != NULL)
		(void)snprintf(request->why, sizeof(request->why), "%s", why);
	audit_end(retro, request);
	result = record_put(retro, request, err);
	if (result < 0)
		return result;
	show(retro, request);
	forget_old(retro);
	log_info("search back %u: %llu late hits in %d day(s)%s%s", request->number, (unsigned long long)request->finds,
		 request->last_day - request->first_day + 1, request->why[0] != '\0' ? "; " : "", request->why);
	return 0;
}

/*
 * An entry is wanted that came with one of the versions asked for; and not for a read that was matched with it: one
 * that hit the list in a version in which the entry stood.
 */
static bool wants(void *context, const struct hit *hit, const struct hit *known, size_t known_count)
{
	const struct step *step = context;

	if (hit->list != step->request.list || hit->version != step->version || hit->entry >= step->entry_count ||
	    step->since[hit->entry] == 0)
		return false;
	for (size_t i = 0; i < known_count; i++)
		if (known[i].version >= step->since[hit->entry])
			return false;
	return true;
}

/* change_lock held. */
static int note_entries(struct step *step, const struct list *list)
{
	const struct reg_retro *request = &step->request;

	step->entry_count = list_count(list);
	step->version = list_info(list)->version;
	step->since = calloc((size_t)step->entry_count + 1, sizeof(*step->since));
	if (step->since == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; i < step->entry_count; i++) {
		struct list_entry entry;

		if ((list_entry_flags(list, i) & LIST_FLAG_REMOVED) != 0)
			continue;
		list_entry(list, i, &entry);
		if (entry.since >= request->since_version && entry.since <= request->upto_version) {
			/* Version 0 is none, and 1 the first. */
			step->since[i] = entry.since > 0 ? entry.since : 1;
			retro_keys_add(&step->keys, list_info(list), &entry);
		}
	}
	return 0;
}

/* 0; 1 with *ret_why: there is nothing to search any more; -EAGAIN no list is loaded now; -ENOMEM. */
static int step_begin(struct step *step, const char **ret_why)
{
	struct gantry *gantry = step->retro->gantry;
	const struct list *list;
	int result = 0;

	pthread_mutex_lock(&gantry->change_lock);
	list = lists_loaded(gantry, step->request.list);
	if (gantry->matching == NULL) {
		result = -EAGAIN;
	} else if (list == NULL || list_info(list)->generation != step->request.generation) {
		*ret_why = "the list was replaced or removed: ask again for the new one";
		result = 1;
	} else {
		result = note_entries(step, list);
		if (result == 0)
			result = late_match_init(&step->match, gantry);
	}
	pthread_mutex_unlock(&gantry->change_lock);
	if (result != 0)
		return result;
	retro_keys_settle(&step->keys);
	step->match.kind = HIT_RETRO;
	step->match.wants = wants;
	step->match.context = step;
	return 0;
}

static void step_end(struct step *step)
{
	late_match_fini(&step->match);
	retro_keys_fini(&step->keys);
	free(step->since);
	step->since = NULL;
}

static int on_burst(void *context, const struct sweep_burst *burst)
{
	struct step *step = context;

	if (atomic_load(&step->retro->stopping) || is_cancelled(step->retro, step->request.number))
		return 1;
	return late_match_burst(&step->match, burst);
}

static void on_fault(void *context, const char *text)
{
	struct step *step = context;

	step->faults++;
	store_damage_met(step->retro->gantry->store, text);
}

static uint64_t finds_left(const struct step *step)
{
	uint64_t max = (uint64_t)step->retro->gantry->config.retro_hits_max;

	return max > step->request.finds ? max - step->request.finds : 0;
}

/* 0; 1 cancelled or stopping, and nothing is put; < 0. */
static int step_search(struct step *step, bool memory, struct err *err)
{
	struct reg_retro *request = &step->request;
	struct sweep sweep = {.first_day = memory ? request->first_day : request->next_day,
			      .last_day = memory ? request->last_day : request->next_day,
			      .memory = memory,
			      .segments = !memory,
			      .receipt_to_us = INT64_MAX,
			      .list = request->list,
			      .ranges = step->keys.ranges,
			      .range_count = step->keys.count,
			      .burst = on_burst,
			      .fault = on_fault,
			      .context = step};
	uint64_t put = 0;
	int result;

	step->match.hits_max = finds_left(step);
	result = sweep_run(step->retro->gantry->views, &sweep, err);
	if (result != 0)
		return result;
	result = late_match_put(&step->match, request->who_uid, err, &put);
	if (result < 0)
		return result;
	request->finds += put;
	request->met += step->match.met;
	if (step->faults > 0)
		(void)snprintf(request->why, sizeof(request->why),
			       "parts of its days could not be read: see status and gantry-fsck");
	return 0;
}

/* One step of the request, durable behind it. 0 go on; 1 the thread ends or the request is over; < 0. */
static int run_step(struct retro *retro, struct reg_retro *request, bool memory, struct err *err)
{
	struct step step = {.retro = retro, .request = *request};
	const char *why = NULL;
	int result = step_begin(&step, &why);

	if (result == 0)
		result = step_search(&step, memory, err);
	else if (result == -EAGAIN)
		(void)err_set(err, result, "no list is loaded");
	else if (result < 0)
		(void)err_set(err, result, "%s", strerror(-result));
	if (result == 0) {
		*request = step.request;
		request->next_day -= !memory;
	}
	step_end(&step);
	if (why != NULL)
		return end_request(retro, request, REG_RETRO_DONE, why, err) < 0 ? -EIO : 1;
	return result == 0 ? note_progress(retro, request, !memory, err) : result;
}

static const char *end_text(const struct retro *retro, const struct reg_retro *request, char text[REG_TEXT_SIZE])
{
	if (request->finds < (uint64_t)retro->gantry->config.retro_hits_max)
		return NULL;
	(void)snprintf(text, REG_TEXT_SIZE, "lists.retro_hits_max reached: %llu hits were met in all",
		       (unsigned long long)request->met);
	return text;
}

/* 0; 1 the thread ends; < 0 with err: to be tried again. */
static int run_request(struct retro *retro, struct reg_retro *request, struct err *err)
{
	char text[REG_TEXT_SIZE];
	int result;

	if (request->state == REG_RETRO_CANCELLED)
		return end_request(retro, request, REG_RETRO_CANCELLED, "cancelled", err);
	if (!late_match_settle(retro->gantry, &retro->stopping))
		return 1;
	result = run_step(retro, request, true, err);
	while (result == 0 && request->next_day >= request->first_day)
		result = run_step(retro, request, false, err);
	if (result < 0 || request->ended_us != 0 || atomic_load(&retro->stopping))
		return result;
	if (result == 1)
		return end_request(retro, request, REG_RETRO_CANCELLED, "cancelled", err);
	return end_request(retro, request, REG_RETRO_DONE, end_text(retro, request, text), err);
}

/* lock held; waits for a request that has not ended. False: the thread is to end. */
static bool wait_request(struct retro *retro, struct reg_retro *ret_request)
{
	for (;;) {
		if (atomic_load(&retro->stopping))
			return false;
		for (size_t i = 0; i < retro->count; i++) {
			if (retro->requests[i].ended_us != 0)
				continue;
			*ret_request = retro->requests[i];
			return true;
		}
		pthread_cond_wait(&retro->bell, &retro->lock);
	}
}

static void wait_retry(struct retro *retro)
{
	int64_t until_ns = clock_mono_ns() + RETRY_NS;
	struct timespec until = {.tv_sec = until_ns / 1000000000, .tv_nsec = until_ns % 1000000000};

	while (!atomic_load(&retro->stopping) &&
	       pthread_cond_timedwait(&retro->bell, &retro->lock, &until) != ETIMEDOUT)
		;
}

static void *attend(void *context)
{
	struct retro *retro = context;
	struct reg_retro request;

	(void)prctl(PR_SET_NAME, "retro");
	(void)setpriority(PRIO_PROCESS, (id_t)gettid(), RETRO_NICE);
	(void)syscall(SYS_ioprio_set, IOPRIO_WHO_THREAD, 0, IOPRIO_LOWEST);
	pthread_mutex_lock(&retro->lock);
	while (wait_request(retro, &request)) {
		struct err err = {""};
		int result;

		retro->running = request.number;
		pthread_mutex_unlock(&retro->lock);
		result = run_request(retro, &request, &err);
		if (result < 0)
			log_warn("search back %u: %s; tried again", request.number, err.text);
		pthread_mutex_lock(&retro->lock);
		retro->running = 0;
		retro->why = err;
		if (result < 0)
			wait_retry(retro);
	}
	pthread_mutex_unlock(&retro->lock);
	return NULL;
}

static int load_request(void *context, const struct reg_record *record)
{
	struct retro *retro = context;

	if (retro->count == sizeof(retro->requests) / sizeof(retro->requests[0]))
		return 1;
	return reg_retro_decode(record->value, record->value_size, &retro->requests[retro->count++]);
}

int retro_start(struct gantry *gantry, struct retro **ret_retro, struct err *err)
{
	struct retro *retro = calloc(1, sizeof(*retro));
	struct reg *reg = store_register(gantry->store, NULL);
	pthread_condattr_t attributes;
	int result = retro != NULL ? 0 : -ENOMEM;

	if (result == 0 && reg != NULL)
		result = reg_each(reg, REG_RETRO, 0, UINT32_MAX, load_request, retro);
	if (result < 0) {
		free(retro);
		return err_set(err, result, "requests for a search back: %s", strerror(-result));
	}
	retro->gantry = gantry;
	pthread_mutex_init(&retro->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&retro->bell, &attributes);
	pthread_condattr_destroy(&attributes);
	result = pthread_create(&retro->thread, NULL, attend, retro);
	if (result != 0) {
		pthread_cond_destroy(&retro->bell);
		pthread_mutex_destroy(&retro->lock);
		free(retro);
		return err_set(err, -result, "search back: thread: %s", strerror(result));
	}
	*ret_retro = retro;
	return 0;
}

struct retro *retro_stop(struct retro *retro)
{
	if (retro == NULL)
		return NULL;
	atomic_store(&retro->stopping, true);
	pthread_mutex_lock(&retro->lock);
	pthread_cond_broadcast(&retro->bell);
	pthread_mutex_unlock(&retro->lock);
	pthread_join(retro->thread, NULL);
	pthread_cond_destroy(&retro->bell);
	pthread_mutex_destroy(&retro->lock);
	free(retro);
	return NULL;
}

static size_t running_count(const struct retro *retro)
{
	size_t count = 0;

	for (size_t i = 0; i < retro->count; i++)
		count += retro->requests[i].state == REG_RETRO_RUNNING;
	return count;
}

static struct reg_retro record_of(struct retro *retro, const struct retro_order *order)
{
	const struct config *config = &retro->gantry->config;
	int64_t now_us = clock_wall_us();
	int64_t days = order->days < config->retention_days ? order->days : config->retention_days;

	return (struct reg_retro){
		.number = (uint32_t)reg_sequence(store_register(retro->gantry->store, NULL)) + 1,
		.list = order->list,
		.generation = order->generation,
		.since_version = order->since_version,
		.upto_version = order->upto_version,
		.first_day = read_day(now_us - days * DAY_US),
		.last_day = read_day(now_us + config->future_s * 1000000),
		.next_day = read_day(now_us + config->future_s * 1000000),
		.who_uid = order->who_uid,
		.made_us = now_us,
	};
}

int retro_request(struct retro *retro, const struct retro_order *order, struct err *err, uint32_t *ret_number)
{
	struct reg_retro request;
	int result;

	if (store_register(retro->gantry->store, NULL) == NULL)
		return err_set(err, -ENOKEY, "the register is incomplete: nothing is searched");
	pthread_mutex_lock(&retro->lock);
	if (running_count(retro) >= RETRO_RUNNING_MAX ||
	    retro->count == sizeof(retro->requests) / sizeof(retro->requests[0])) {
		pthread_mutex_unlock(&retro->lock);
		return err_set(err, -EBUSY, "%d searches back wait already: see retros.show", RETRO_RUNNING_MAX);
	}
	request = record_of(retro, order);
	result = record_put(retro, &request, err);
	if (result == 0) {
		retro->requests[retro->count++] = request;
		*ret_number = request.number;
		pthread_cond_broadcast(&retro->bell);
	}
	pthread_mutex_unlock(&retro->lock);
	return result;
}

/* lock held: the thread looks at the same record. */
static int cancel(struct retro *retro, struct reg_retro *request, struct err *err)
{
	struct reg_retro cancelled = *request;
	int result;

	cancelled.state = REG_RETRO_CANCELLED;
	result = record_put(retro, &cancelled, err);
	if (result == 0)
		*request = cancelled;
	return result;
}

int retro_cancel(struct retro *retro, uint32_t number, struct err *err)
{
	struct reg_retro *request;
	int result = 0;

	pthread_mutex_lock(&retro->lock);
	request = find(retro, number);
	if (request == NULL)
		result = RETRO_UNKNOWN;
	else if (request->state != REG_RETRO_RUNNING)
		result = RETRO_ENDED;
	else
		result = cancel(retro, request, err);
	pthread_cond_broadcast(&retro->bell);
	pthread_mutex_unlock(&retro->lock);
	if (result == RETRO_UNKNOWN)
		(void)err_set(err, 0, "there is no search back of that number; see retros.show");
	else if (result == RETRO_ENDED)
		(void)err_set(err, 0, "it has ended already");
	return result;
}

static json_t *request_json(const struct retro *retro, const struct reg_retro *request)
{
	static const char *const states[REG_RETRO_STATE_COUNT] = {"waiting", "done", "cancelled"};
	char made[CLOCK_TEXT_SIZE], ended[CLOCK_TEXT_SIZE];
	bool running = request->number == retro->running && request->state == REG_RETRO_RUNNING;
	json_t *object = json_pack(
		"{s:I,s:I,s:I,s:I,s:s,s:I,s:I,s:I,s:I,s:s,s:I,s:s}", "number", (json_int_t)request->number, "list",
		(json_int_t)request->list, "since_version", (json_int_t)request->since_version, "upto_version",
		(json_int_t)request->upto_version, "state", running ? "running" : states[request->state], "days",
		(json_int_t)(request->last_day - request->first_day + 1), "days_done",
		(json_int_t)(request->last_day - request->next_day), "finds", (json_int_t)request->finds, "met",
		(json_int_t)request->met, "asked", clock_text_utc(request->made_us, made), "uid",
		(json_int_t)request->who_uid, "why", running ? retro->why.text : request->why);

	if (request->ended_us != 0)
		(void)json_object_set_new(object, "ended", json_string(clock_text_utc(request->ended_us, ended)));
	return object;
}

json_t *retro_json(struct retro *retro)
{
	json_t *array = json_array();

	if (retro == NULL)
		return array;
	pthread_mutex_lock(&retro->lock);
	for (size_t i = 0; i < retro->count; i++)
		(void)json_array_append_new(array, request_json(retro, &retro->requests[i]));
	pthread_mutex_unlock(&retro->lock);
	return array;
}
