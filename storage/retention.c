#include "storage/retention.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storage/clock_guard.h"
#include "storage/purge_proposal.h"
#include "storage/store_internal.h"

int32_t retention_due_before(struct store *store)
{
	/* A read of day D is kept on the retention_days days after D, and goes on the next. */
	return read_day(store_wall_us(store)) - store->options.retention_days;
}

const char *retention_authority(const struct store *store, char text[PURGE_TEXT_SIZE])
{
	(void)snprintf(text, PURGE_TEXT_SIZE,
		       "retention rule: NASPLE 9.5.1, deleted on day %d after capture (reads.retention = %d days)",
		       (int)store->options.retention_days + 1, (int)store->options.retention_days);
	return text;
}

static void note(struct retention_result *result, int error, const struct err *err, int *first)
{
	if (*first == 0) {
		*first = error;
		result->why = *err;
	}
}

/* True: the day wants room for what cases hold of it, which other days may make (not when it is the last try). */
static bool purge_day(struct store *store, int32_t day, uint32_t who_uid, const struct retention_hooks *hooks,
		      bool last, struct retention_result *round, int *first)
{
	struct purge_certificate certificate;
	char authority[PURGE_TEXT_SIZE];
	struct err err = {""};
	int result = purge_run(store, day, retention_authority(store, authority), who_uid, &hooks->purge, &err,
			       &certificate);

	if (result == 0 || result == PURGE_NOTHING) {
		round->purged += result == 0;
		if (result == 0 && hooks->purged != NULL)
			hooks->purged(hooks->purge.context, &certificate);
		return false;
	}
	if (result == -ENOSPC && !last)
		return true;
	round->failed++;
	if (result == PURGE_BUSY)
		result = err_set(&err, -EAGAIN, "purge of day %d: a worker does not answer", day);
	else if (result == PURGE_SUSPENDED)
		round->suspended = true;
	note(round, result < 0 ? result : -EAGAIN, &err, first);
	return false;
}

/* Oldest first, but those that find no room come again behind the others. The clock is looked at before each. */
static void purge_due(struct store *store, uint32_t who_uid, const struct retention_hooks *hooks,
		      struct retention_result *round, int *first)
{
	struct purge_day *days = NULL;
	struct err err = {""};
	size_t count = 0;
	size_t waiting = 0;
	int result = purge_plan(store, retention_due_before(store), &days, &count);

	if (result < 0) {
		(void)err_set(&err, result, "what is due: %s", strerror(-result));
		note(round, result, &err, first);
		return;
	}
	round->due = (unsigned)count;
	for (size_t i = 0; i < count && !round->suspended; i++)
		if (purge_day(store, days[i].day, who_uid, hooks, false, round, first))
			days[waiting++] = days[i];
	for (size_t i = 0; i < waiting && !round->suspended; i++)
		(void)purge_day(store, days[i].day, who_uid, hooks, true, round, first);
	free(days);
}

static void resume_all(struct store *store, const struct retention_hooks *hooks, struct retention_result *round,
		       int *first)
{
	struct err err = {""};
	int result = purge_resume(store, &hooks->purge, &err);

	if (result > 0)
		round->resumed = (unsigned)result;
	else if (result < 0 && !round->suspended)
		note(round, result, &err, first);
	result = hold_resume(store, hooks->release, hooks->purge.context, &err);
	if (result < 0)
		note(round, result, &err, first);
}

int retention_round(struct store *store, uint32_t who_uid, const struct retention_hooks *hooks,
		    struct retention_result *ret_result)
{
	struct retention_result round = {.began_us = store_wall_us(store)};
	struct clock_guard_state clock;
	int first = 0;
	int expired;

	clock_guard_look(store->guard, &clock);
	round.suspended = clock.trust != CLOCK_TRUSTED;
	resume_all(store, hooks, &round, &first);
	if (!round.suspended)
		purge_due(store, who_uid, hooks, &round, &first);
	if (round.suspended && first == 0)
		(void)err_set(&round.why, 0, "%s", clock.why);
	if (store->reg != NULL) {
		expired = purge_proposals_expire(store);
		round.expired = expired > 0 ? (unsigned)expired : 0;
		(void)hold_overdue(store, read_day(store_wall_us(store)), &round.overdue);
	}
	*ret_result = round;
	return round.suspended ? 0 : first;
}
