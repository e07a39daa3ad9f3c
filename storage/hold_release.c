/*
 * «released» in the register → keys of the copies → files → audit → catalog rows → records out of the register; each
 * step idempotent, each durable before the next.
 */
#include "storage/hold.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storage/cases.h"
#include "storage/catalog.h"
#include "storage/hold_internal.h"
#include "storage/retention.h"
#include "storage/store_internal.h"

#define RECORDS_MAX 512 /* deleted by one entry */

static int mark_released(struct store *store, struct reg_hold *hold, uint32_t who_uid, const char *reason,
			 struct err *err)
{
	uint8_t buffer[REG_RECORD_SIZE_MAX];
	struct reg_change change;

	if (hold->released)
		return 0;
	hold->released = true;
	hold->released_uid = who_uid;
	change = hold_put(hold, buffer);
	return reg_change(store->reg, &change, 1, who_uid, reason, err);
}

struct gathering {
	struct reg_change *changes;
	size_t count;
};

static int gather_delete(void *context, const struct reg_record *record)
{
	struct gathering *gathering = context;
	void *grown = realloc(gathering->changes, (gathering->count + 1) * sizeof(*gathering->changes));

	if (grown == NULL)
		return -ENOMEM;
	gathering->changes = grown;
	gathering->changes[gathering->count++] =
		(struct reg_change){.kind = record->kind, .a = record->a, .b = record->b};
	return 0;
}

/* The head goes last, so that an interrupted release is found again; an entry takes so many changes. */
static int records_delete(struct store *store, uint32_t number, uint32_t who_uid, struct err *err)
{
	struct gathering gathering = {0};
	int result = reg_each(store->reg, REG_HOLD_SELECTOR, number, number, gather_delete, &gathering);

	if (result == 0)
		result = reg_each(store->reg, REG_HOLD, number, number, gather_delete, &gathering);
	for (size_t first = 0; result == 0 && first < gathering.count;) {
		size_t count = gathering.count - first;

		count = count < RECORDS_MAX ? count : RECORDS_MAX;
		result = reg_change(store->reg, gathering.changes + first, count, who_uid, "hold released", err);
		first += count;
	}
	free(gathering.changes);
	return result;
}

/* hold_mutex held. */
static int release_steps(struct store *store, const struct reg_hold *hold, hold_audit_fn *audit, void *audit_context,
			 struct err *err, struct hold_release *ret_release)
{
	struct hold_release release = {.number = hold->number, .who_uid = hold->released_uid};
	struct case_gone gone;
	int result;

	(void)snprintf(release.reference, sizeof(release.reference), "%s", hold->reference);
	result = case_destroy(store, hold->number, err, &gone);
	if (result < 0)
		return result;
	release.segments = gone.segments;
	release.reads = gone.rows;
	if (audit != NULL)
		result = audit(audit_context, &release);
	if (result < 0)
		return err_set(err, result, "release of case %u, audit entry: %s; it goes on by itself", hold->number,
			       strerror(-result));
	result = catalog_case_forget(store->catalog, hold->number);
	if (result < 0)
		return err_set(err, result, "release of case %u, catalog: %s; it goes on by itself", hold->number,
			       strerror(-result));
	result = records_delete(store, hold->number, hold->released_uid, err);
	if (result == 0)
		*ret_release = release;
	return result;
}

static int made_by(void *context, struct reg_hold_selector *selector)
{
	return selector->who_uid == *(const uint32_t *)context;
}

/* A copy within its time is destroyed on the word of two: nobody who added to the case releases it. hold_mutex held. */
static int release_check(struct store *store, const struct reg_hold *hold, uint32_t who_uid, struct err *err)
{
	struct catalog_segment *young = NULL;
	int32_t last = 0;
	size_t count = 0;
	int result;

	if (hold->released)
		return 0;
	result = hold_each_selector(store, hold->number, made_by, &who_uid);
	if (result == 0)
		return 0;
	if (result < 0)
		return err_set(err, result, "selectors of case %u: %s", hold->number, strerror(-result));
	result = catalog_case_segments(store->catalog, hold->number, retention_due_before(store), INT32_MAX, &young,
				       &count);
	if (result < 0)
		return err_set(err, result, "copies of case %u: %s", hold->number, strerror(-result));
	for (size_t i = 0; i < count; i++)
		last = young[i].day > last ? young[i].day : last;
	free(young);
	if (count == 0)
		return 0;
	return err_set(err, -EPERM,
		       "copies of %zu days are not over age, for another %d days: until then an account that has not "
		       "added to this hold has to release it",
		       count, last - retention_due_before(store) + 1);
}

int hold_release(struct store *store, const char *reference, uint32_t who_uid, const char *reason, hold_audit_fn *audit,
		 void *audit_context, struct err *err, struct hold_release *ret_release)
{
	struct reg_hold hold;
	int result = hold_ready(store, err);

	if (result < 0)
		return result;
	pthread_mutex_lock(&store->hold_mutex);
	result = hold_find(store, reference, &hold);
	if (result < 0)
		(void)err_set(err, result, "there is no hold of that case");
	else
		result = release_check(store, &hold, who_uid, err);
	if (result == 0)
		result = mark_released(store, &hold, who_uid, reason, err);
	if (result == 0)
		result = release_steps(store, &hold, audit, audit_context, err, ret_release);
	pthread_mutex_unlock(&store->hold_mutex);
	return result;
}

struct standing {
	struct reg_hold hold;
	uint32_t after;
};

static int standing_one(void *context, const struct reg_hold *hold)
{
	struct standing *standing = context;

	if (!hold->released || hold->number <= standing->after)
		return 0;
	standing->hold = *hold;
	return 1;
}

int hold_resume(struct store *store, hold_audit_fn *audit, void *audit_context, struct err *err)
{
	struct standing standing = {.after = 0};
	int first = hold_ready(store, err);
	int finished = 0;

	if (first < 0)
		return first;
	pthread_mutex_lock(&store->hold_mutex);
	for (;;) {
		struct hold_release release;
		struct err why = {""};
		int result = hold_each(store, standing_one, &standing);

		if (result == 0)
			break;
		if (result == 1) {
			standing.after = standing.hold.number;
			result = release_steps(store, &standing.hold, audit, audit_context, &why, &release);
			finished += result == 0;
		} else {
			first = err_set(err, result, "holds: %s", strerror(-result));
			break;
		}
		if (result < 0 && first == 0)
			first = err_set(err, result, "%s", why.text);
	}
	pthread_mutex_unlock(&store->hold_mutex);
	return first < 0 ? first : finished;
}
