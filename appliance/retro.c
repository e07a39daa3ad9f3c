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
#include "appliance/retro_book.h"
#include "appliance/retro_step.h"
#include "storage/register.h"
#include "storage/register_late.h"
#include "storage/store.h"

#define RETRO_NICE 19
#define RETRY_NS (INT64_C(10) * 1000000000)
#define IOPRIO_WHO_THREAD 1
#define IOPRIO_LOWEST (2 << 13 | 7)

struct retro {
	struct gantry *gantry;
	pthread_t thread;
	atomic_bool stopping;

	pthread_mutex_t lock; /* guards all below */
	pthread_cond_t bell;
	struct retro_book book;
	uint32_t running; /* number of the one in work; 0 none */
	struct err why;   /* the last attempt failed; empty: it did not */
};

static struct reg *register_of(const struct retro *retro)
{
	return store_register(retro->gantry->store, NULL);
}

static void show(struct retro *retro, const struct reg_retro *request)
{
	pthread_mutex_lock(&retro->lock);
	retro_book_renew(&retro->book, request);
	pthread_mutex_unlock(&retro->lock);
}

/* Makes room: the oldest that have ended go, of the register by and by. */
static void forget_old(struct retro *retro)
{
	struct err err = {""};
	uint32_t number;

	pthread_mutex_lock(&retro->lock);
	number = retro_book_forget(&retro->book);
	pthread_mutex_unlock(&retro->lock);
	if (number != 0 && retro_record_remove(register_of(retro), number, &err) < 0)
		log_info("%s", err.text); /* it is shown again after the next start */
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
	result = retro_record_put(register_of(retro), request, err);
	if (result < 0)
		return result;
	show(retro, request);
	forget_old(retro);
	log_info("search back %u: %llu late hits in %d day(s)%s%s", request->number, (unsigned long long)request->finds,
		 request->last_day - request->first_day + 1, request->why[0] != '\0' ? "; " : "", request->why);
	return 0;
}

static bool is_stopped(void *context, const struct reg_retro *request)
{
	struct retro *retro = context;
	bool cancelled;

	if (atomic_load(&retro->stopping))
		return true;
	pthread_mutex_lock(&retro->lock);
	cancelled = retro_book_cancelled(&retro->book, request->number);
	pthread_mutex_unlock(&retro->lock);
	return cancelled;
}

/*
 * How far the request in work has come, shown and, when told to, made durable. 1: it was cancelled meanwhile, and stays
 * so. < 0: not durable.
 */
static int note_progress(struct retro *retro, struct reg_retro *request, bool durable, struct err *err)
{
	int result;

	pthread_mutex_lock(&retro->lock);
	if (retro_book_cancelled(&retro->book, request->number))
		request->state = REG_RETRO_CANCELLED;
	result = durable ? retro_record_put(register_of(retro), request, err) : 0;
	if (result == 0)
		retro_book_renew(&retro->book, request);
	pthread_mutex_unlock(&retro->lock);
	return result < 0 || request->state == REG_RETRO_RUNNING ? result : 1;
}

/* One step of the request, durable behind it. 0 go on; 1 the thread ends or the request is over; < 0. */
static int run_step(struct retro *retro, struct reg_retro *request, bool memory, struct err *err)
{
	struct retro_step_order order = {
		.gantry = retro->gantry, .memory = memory, .stopped = is_stopped, .context = retro};
	const char *why = NULL;
	int result = retro_step_run(&order, request, &why, err);

	if (why != NULL)
		return end_request(retro, request, REG_RETRO_DONE, why, err) < 0 ? -EIO : 1;
	if (result != 0)
		return result;
	request->next_day -= !memory;
	return note_progress(retro, request, !memory, err);
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
	result = late_match_settle(retro->gantry, &retro->stopping, err);
	if (result == 0)
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
		if (retro_book_next(&retro->book, ret_request))
			return true;
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

int retro_start(struct gantry *gantry, struct retro **ret_retro, struct err *err)
{
	struct retro *retro = calloc(1, sizeof(*retro));
	struct reg *reg = store_register(gantry->store, NULL);
	pthread_condattr_t attributes;
	int result = retro != NULL ? 0 : -ENOMEM;

	if (result == 0 && reg != NULL)
		result = retro_book_load(&retro->book, reg);
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

static struct reg_retro record_of(struct retro *retro, const struct retro_order *order)
{
	const struct config *config = &retro->gantry->config;
	int64_t now_us = clock_wall_us();
	int64_t days = order->days < config->retention_days ? order->days : config->retention_days;

	return (struct reg_retro){
		.number = (uint32_t)reg_sequence(register_of(retro)) + 1,
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

	if (register_of(retro) == NULL)
		return err_set(err, -ENOKEY, "the register is incomplete: nothing is searched");
	pthread_mutex_lock(&retro->lock);
	if (retro_book_full(&retro->book)) {
		pthread_mutex_unlock(&retro->lock);
		return err_set(err, -EBUSY, "%d searches back wait already: see retros.show", RETRO_RUNNING_MAX);
	}
	request = record_of(retro, order);
	result = retro_record_put(register_of(retro), &request, err);
	if (result == 0) {
		retro_book_add(&retro->book, &request);
		*ret_number = request.number;
		pthread_cond_broadcast(&retro->bell);
	}
	pthread_mutex_unlock(&retro->lock);
	return result;
}

int retro_cancel(struct retro *retro, uint32_t number, struct err *err)
{
	int result;

	pthread_mutex_lock(&retro->lock);
	result = retro_book_cancel(&retro->book, register_of(retro), number, err);
	pthread_cond_broadcast(&retro->bell);
	pthread_mutex_unlock(&retro->lock);
	if (result == RETRO_UNKNOWN)
		(void)err_set(err, 0, "there is no search back of that number; see retros.show");
	else if (result == RETRO_ENDED)
		(void)err_set(err, 0, "it has ended already");
	return result;
}

json_t *retro_json(struct retro *retro)
{
	json_t *array;

	if (retro == NULL)
		return json_array();
	pthread_mutex_lock(&retro->lock);
	array = retro_book_json(&retro->book, retro->running, retro->why.text);
	pthread_mutex_unlock(&retro->lock);
	return array;
}
