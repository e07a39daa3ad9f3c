/* Who begins a purge, with what number, and what stands of one; its steps are in purge_steps.c. */
#include "storage/purge.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "storage/clock_guard.h"
#include "storage/purge_internal.h"
#include "storage/rewrite.h"
#include "storage/store_internal.h"

struct intents {
	int32_t day;    /* wanted; INT32_MIN any */
	uint64_t after; /* wanted: higher numbers only */
	int32_t found_day;
	uint64_t found_number;
	uint64_t highest; /* of intents and certificates */
	bool found;
};

static int intent_see(void *context, const char *name)
{
	struct intents *intents = context;
	uint64_t number;
	int32_t day;
	bool intent = purge_file_name_parse(name, PURGE_FILE_INTENT, &day, &number);

	if (!intent && !purge_file_name_parse(name, PURGE_FILE_CERTIFICATE, &day, &number))
		return 0;
	if (number > intents->highest)
		intents->highest = number;
	if (!intent || number <= intents->after || (intents->day != INT32_MIN && day != intents->day))
		return 0;
	if (!intents->found || number < intents->found_number) {
		intents->found_day = day;
		intents->found_number = number;
	}
	intents->found = true;
	return 0;
}

/* The first intent behind `after` that stands for the day, and the highest number given so far. */
static int intents_look(struct store *store, int32_t day, uint64_t after, struct intents *ret_intents)
{
	*ret_intents = (struct intents){.day = day, .after = after};
	return store->io->ops->list(store->io, store->purge_directory, intent_see, ret_intents);
}

static uint64_t rows_of_day(const struct generation *generation, int32_t day)
{
	const struct chunk *chunk = atomic_load_explicit(&generation->first, memory_order_acquire);
	uint64_t count = 0;

	for (; chunk != NULL; chunk = atomic_load_explicit(&chunk->next, memory_order_acquire)) {
		uint32_t rows = atomic_load_explicit(&chunk->rows_durable, memory_order_acquire);

		for (uint32_t i = 0; i < rows; i++)
			count += read_day(chunk->rows[i].capture_us) == day;
	}
	return count;
}

/* The reads of a day that are not sealed yet. */
static int memtable_rows(struct store *store, int32_t day, uint64_t *ret_count)
{
	struct memtable_view view;
	uint64_t count = 0;
	int result = memtable_view_take(store->memtable, &view);

	if (result < 0)
		return result;
	for (size_t i = 0; i < view.count; i++)
		count += rows_of_day(view.generations[i], day);
	memtable_view_release(store->memtable, &view);
	*ret_count = count;
	return 0;
}

/* 1 the day holds something, 0 nothing, -errno. */
static int day_holds(struct store *store, int32_t day)
{
	struct catalog_day found;
	uint64_t count;
	int result = catalog_day(store->catalog, day, &found);

	if (result == 0 && found.state != CATALOG_DAY_PURGED && found.segments > 0)
		return 1;
	if (result < 0 && result != -ENOENT)
		return result;
	if (purge_day_marked(store, day))
		return 1;
	result = purge_day_keyed(store, day);
	if (result != 0)
		return result;
	result = memtable_rows(store, day, &count);
	return result < 0 ? result : count > 0;
}

/* An order for a day with an intent goes on with that intent, whoever began it. */
static int purge_begin(struct purge *purge, const struct purge_order *order)
{
	struct store *store = purge->store;
	int32_t day = order->day;
	struct intents intents;
	int result = intents_look(store, day, 0, &intents);

	if (result == 0 && intents.found) {
		result = purge_file_read(store->io, store->purge_directory, PURGE_FILE_INTENT, day,
					 intents.found_number, purge->err, &purge->record);
		if (result != -EBADMSG)
			return result;
		/* That there was one is known by its name; the rest is begun anew. */
		purge->damaged_number = intents.found_number;
		result = 1;
	} else if (result == 0) {
		result = day_holds(store, day);
	}
	if (result < 0)
		return err_set(purge->err, result, "purge of day %d: %s", day, strerror(-result));
	if (result == 0)
		return PURGE_NOTHING;
	purge->record.certificate = (struct purge_certificate){.number = intents.highest + 1,
							       .day = day,
							       .who_uid = order->who_uid,
							       .proposer_uid = order->proposer_uid,
							       .proposal = order->proposal,
							       .intended_us = store_wall_us(store)};
	snprintf(purge->record.certificate.authority, PURGE_TEXT_SIZE, "%s", order->authority);
	return 0;
}

static int register_complete(struct store *store, struct err *err)
{
	if (store->reg == NULL)
		return err_set(err, -ENOKEY, "the register is incomplete, nothing is purged: %s", store->reg_why.text);
	return 0;
}

static int purge_check(struct store *store, const struct purge_order *order, struct err *err)
{
	int result = register_complete(store, err);

	if (result < 0)
		return result;
	if (order->authority[0] == '\0' || strlen(order->authority) >= PURGE_TEXT_SIZE)
		return err_set(err, -EINVAL, "a purge needs an authority of 1 to %d bytes", PURGE_TEXT_SIZE - 1);
	if (order->day >= read_day(store_wall_us(store)))
		return err_set(err, -EINVAL, "day %d is not over yet (UTC)", order->day);
	return 0;
}

static bool clock_suspect(struct store *store, struct err *err)
{
	struct clock_guard_state state;

	clock_guard_look(store->guard, &state);
	if (state.trust != CLOCK_TRUSTED)
		(void)err_set(err, 0, "%s", state.why);
	return state.trust != CLOCK_TRUSTED;
}

/* One purge at a time, and no merge or rewrite beside it. */
static void purge_lock(struct store *store)
{
	pthread_mutex_lock(&store->purge_mutex);
	rewrite_preempt(store);
}

static void purge_unlock(struct store *store)
{
	rewrite_unlock(store);
	pthread_mutex_unlock(&store->purge_mutex);
}

/* One that stands half done lasts, whoever began it; one that never began is its caller's to know. */
static void purge_judge(struct store *store, int32_t day, int result, const struct err *err)
{
	struct intents intents;

	if (result == 0)
		store_alarm_over(store, STANDING_PURGE, day);
	else if (intents_look(store, day, 0, &intents) == 0 && intents.found)
		store_alarm_stand(store, STANDING_PURGE, day, "%s", err->text);
}

static int purge_go(struct purge *purge)
{
	int32_t day = purge->record.certificate.day;
	int result = purge_steps(purge);

	if (result == PURGE_BUSY)
		(void)err_set(purge->err, -EAGAIN, "purge of day %d: a worker does not answer", day);
	purge_judge(purge->store, day, result, purge->err);
	return result;
}

int purge_order_run(struct store *store, const struct purge_order *order, const struct purge_hooks *hooks,
		    struct err *err, struct purge_certificate *ret_certificate)
{
	struct purge purge = {.store = store, .hooks = hooks, .err = err};
	int result;

	if (clock_suspect(store, err))
		return PURGE_SUSPENDED;
	result = purge_check(store, order, err);
	if (result < 0)
		return result;
	purge_lock(store);
	result = purge_begin(&purge, order);
	if (result == 0)
		result = purge_go(&purge);
	purge_unlock(store);
	if (result == 0)
		*ret_certificate = purge.record.certificate;
	return result;
}

int purge_run(struct store *store, int32_t day, const char *authority, uint32_t who_uid,
	      const struct purge_hooks *hooks, struct err *err, struct purge_certificate *ret_certificate)
{
	struct purge_order order = {.day = day, .authority = authority, .who_uid = who_uid};

	return purge_order_run(store, &order, hooks, err, ret_certificate);
}

static int intent_resume(struct store *store, const struct purge_hooks *hooks, const struct intents *intents,
			 bool suspect, struct err *err)
{
	struct purge purge = {.store = store, .hooks = hooks, .err = err};
	int result = purge_file_read(store->io, store->purge_directory, PURGE_FILE_INTENT, intents->found_day,
				     intents->found_number, err, &purge.record);

	if (result < 0) {
		purge_judge(store, intents->found_day, result, err);
		return result;
	}
	/* What is destroyed is destroyed: only its traces are left to be cleared, whatever the clock says. */
	if (suspect && purge.record.step < PURGE_KEYS_DESTROYED)
		return PURGE_SUSPENDED;
	return purge_go(&purge);
}

/* One after the other, whatever becomes of those before: a day whose intent is damaged holds up no other day. */
int purge_resume(struct store *store, const struct purge_hooks *hooks, struct err *err)
{
	struct intents intents = {0};
	struct err suspicion = {""};
	bool suspect;
	int finished = 0;
	int first = register_complete(store, err);

	if (first < 0)
		return first;
	suspect = clock_suspect(store, &suspicion);
	purge_lock(store);
	for (;;) {
		struct err why;
		int result = intents_look(store, INT32_MIN, intents.found_number, &intents);

		if (result < 0 && first == 0)
			first = err_set(err, result, "%s: %s", store->purge_directory, strerror(-result));
		if (result < 0 || !intents.found)
			break;
		result = intent_resume(store, hooks, &intents, suspect, &why);
		finished += result == 0;
		if (result == 0)
			continue;
		if (result == PURGE_SUSPENDED) {
			if (first == 0)
				first = err_set(err, -EAGAIN, "%s", suspicion.text);
			continue;
		}
		if (result == PURGE_BUSY)
			result = -EAGAIN;
		if (first == 0)
			first = err_set(err, result, "%s", why.text);
		if (result == -EAGAIN)
			break; /* the next would wait for the same worker */
	}
	purge_unlock(store);
	return first < 0 ? first : finished;
}
