/*
 * Selectors into the register, with the case's head one durable entry, under hold_mutex: a purge that copies held rows
 * has read them all, or is past it, and then the day is told to be gone.
 */
#include "storage/hold.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/bytes.h"
#include "appliance/base/glob.h"
#include "storage/hold_internal.h"
#include "storage/hold_reads.h"
#include "storage/purge.h"
#include "storage/store_internal.h"

static int selector_check(const struct hold_selector *selector, struct err *err)
{
	struct glob glob;

	if (selector->read_count > HOLD_READS_MAX || selector->camera_count > HOLD_CAMERAS_MAX)
		return err_set(err, -EINVAL, "at most %d reads and %d cameras in one hold", HOLD_READS_MAX,
			       HOLD_CAMERAS_MAX);
	if (selector->from_us >= selector->to_us)
		return err_set(err, -EINVAL, "the window is empty: from is not before to");
	if (selector->read_count > 0 && (selector->pattern != NULL || selector->camera_count > 0 ||
					 selector->from_us != INT64_MIN || selector->to_us != INT64_MAX))
		return err_set(err, -EINVAL, "reads are held one by one, or by VRM, window and cameras: not both");
	if (selector->read_count == 0 && selector->pattern == NULL && selector->camera_count == 0 &&
	    selector->from_us == INT64_MIN && selector->to_us == INT64_MAX)
		return err_set(err, -EINVAL, "say what is held: a VRM, a window, cameras or reads");
	if (selector->pattern != NULL && (strlen(selector->pattern) >= REG_HOLD_PATTERN_SIZE ||
					  glob_compile(selector->pattern, strlen(selector->pattern), &glob) < 0))
		return err_set(err, -EINVAL, "the VRM is no pattern");
	return 0;
}

static int hold_check(struct store *store, const struct reg_hold *hold, struct err *err)
{
	if (hold->reference[0] == '\0' || hold->reason[0] == '\0')
		return err_set(err, -EINVAL, "a hold needs the case's reference and a reason");
	if (hold->hold_class != REG_HOLD_CPIA && hold->hold_class != REG_HOLD_MOPI)
		return err_set(err, -EINVAL, "a hold's class is cpia or mopi");
	if (hold->review_day <= read_day(store_wall_us(store)))
		return err_set(err, -EINVAL, "the date of review has to lie in the future");
	return 0;
}

/* Days that have reads no more, or are about to: their purge is past «held rows committed». hold_mutex held. */
struct gone {
	struct store *store;
	const struct hold_selector *selector;
	struct hold_added *added;
};

static bool selector_touches(const struct hold_selector *selector, int32_t day)
{
	int64_t first_us = (int64_t)day * DAY_US;

	if (selector->read_count == 0)
		return selector->from_us < first_us + DAY_US && selector->to_us > first_us;
	for (size_t i = 0; i < selector->read_count; i++)
		if (read_day(selector->reads[i].capture_us) == day)
			return true;
	return false;
}

static void gone_add(struct gone *gone, int32_t day)
{
	if (!selector_touches(gone->selector, day))
		return;
	for (uint32_t i = 0; i < gone->added->gone_count && i < HOLD_GONE_MAX; i++)
		if (gone->added->gone[i] == day)
			return;
	if (gone->added->gone_count < HOLD_GONE_MAX)
		gone->added->gone[gone->added->gone_count] = day;
	gone->added->gone_count++;
}

static int gone_intent(void *context, const struct purge_certificate *intended, enum purge_step step)
{
	struct gone *gone = context;

	/* Destroyed days come by the keyring. */
	if (step >= PURGE_HELD && !keyring_day_destroyed(gone->store->keyring, intended->day))
		gone_add(gone, intended->day);
	return 0;
}

static int gone_is(void *context, const struct purge_certificate *intended, enum purge_step step)
{
	return intended->day == *(const int32_t *)context && step >= PURGE_HELD;
}

int hold_day_gone(struct store *store, int32_t day)
{
	return keyring_day_destroyed(store->keyring, day) ? 1 : purge_intents(store, gone_is, &day);
}

/* The days that a selector names outright; an open window names none. */
static void selector_span(const struct hold_selector *selector, int32_t *ret_first, int32_t *ret_last)
{
	int32_t first = INT32_MAX;
	int32_t last = INT32_MIN;

	for (size_t i = 0; i < selector->read_count; i++) {
		int32_t day = read_day(selector->reads[i].capture_us);

		first = day < first ? day : first;
		last = day > last ? day : last;
	}
	if (selector->read_count == 0) {
		first = selector->from_us < 0 ? 0 : read_day(selector->from_us);
		last = selector->to_us >= (int64_t)STORE_DAY_END * DAY_US ? STORE_DAY_END - 1
									  : read_day(selector->to_us - 1);
	}
	*ret_first = first < 0 ? 0 : first;
	*ret_last = last >= STORE_DAY_END ? STORE_DAY_END - 1 : last;
}

/* 0 or -ESTALE when nothing is left of the selector. */
static int gone_find(struct store *store, const struct hold_selector *selector, struct err *err,
		     struct hold_added *added)
{
	struct gone gone = {store, selector, added};
	uint32_t touched = 0;
	int32_t first;
	int32_t last;
	int result = purge_intents(store, gone_intent, &gone);

	if (result < 0)
		return err_set(err, result, "the purges that stand: %s", strerror(-result));
	selector_span(selector, &first, &last);
	for (int32_t day = first; day <= last; day++) {
		touched += selector_touches(selector, day);
		if (keyring_day_destroyed(store->keyring, day))
			gone_add(&gone, day);
	}
	if (touched > 0 && added->gone_count == touched)
		return err_set(err, -ESTALE,
			       "every day of this hold is purged, or its purge is past copying held "
			       "rows: nothing can be held any more");
	return 0;
}

struct records {
	struct reg_change *changes;
	uint8_t (*buffers)[REG_RECORD_SIZE_MAX];
	size_t count;
};

static void record_add(struct records *records, const struct reg_hold_selector *selector)
{
	uint8_t *buffer = records->buffers[records->count];

	records->changes[records->count++] =
		(struct reg_change){.kind = REG_HOLD_SELECTOR,
				    .a = selector->number,
				    .b = selector->index,
				    .value = buffer,
				    .value_size = reg_hold_selector_encode(selector, buffer)};
}

static size_t part_count(size_t count, size_t part)
{
	return (count + part - 1) / part;
}

/* A record holds so many cameras or reads: more of them make several records, any of which holds a row. */
static void selector_records(struct records *records, const struct hold_selector *selector, const struct reg_hold *hold,
			     uint64_t identity, uint32_t index)
{
	struct reg_hold_selector part = {.number = hold->number,
					 .first = index,
					 .who_uid = hold->who_uid,
					 .added_us = hold->created_us,
					 .from_us = selector->from_us,
					 .to_us = selector->to_us,
					 .identity = identity};
	size_t cameras = 0;
	size_t reads = 0;

	memcpy(part.reason, hold->reason, sizeof(part.reason));
	(void)snprintf(part.pattern, sizeof(part.pattern), "%s", selector->pattern != NULL ? selector->pattern : "");
	do {
		part.index = index++;
		part.camera_count = 0;
		part.read_count = 0;
		while (cameras < selector->camera_count && part.camera_count < REG_HOLD_CAMERAS)
			part.cameras[part.camera_count++] = selector->cameras[cameras++];
		while (reads < selector->read_count && part.read_count < REG_HOLD_READS)
			part.reads[part.read_count++] = selector->reads[reads++];
		record_add(records, &part);
	} while (cameras < selector->camera_count || reads < selector->read_count);
	bytes_wipe(&part, sizeof(part));
}

static int case_agrees(const struct reg_hold *known, const struct reg_hold *hold, struct err *err)
{
	if (known->released)
		return err_set(err, -EBUSY, "this case's hold is being released: wait until it is gone");
	if (known->hold_class != hold->hold_class)
		return err_set(err, -EINVAL, "this case is held under the other class");
	return 0;
}

/* The head that is put: the case's own but for its next review, or a new one. */
static int case_head(struct store *store, const struct reg_hold *hold, struct err *err, struct reg_hold *ret_head,
		     uint32_t *ret_index)
{
	struct reg_hold head;
	int result = hold_find(store, hold->reference, &head);

	if (result == -ENOENT) {
		/* Grows with every entry: no number is ever given again, nor its directory. */
		*ret_head = *hold;
		ret_head->number = (uint32_t)reg_sequence(store->reg) + 1;
		*ret_index = 0;
		return 0;
	}
	if (result == 0)
		result = case_agrees(&head, hold, err);
	if (result == 0)
		result = hold_selector_end(store, head.number, ret_index);
	if (result < 0)
		return result;
	*ret_head = head;
	ret_head->review_day = hold->review_day;
	return 0;
}

static int add_locked(struct store *store, struct reg_hold *hold, const struct hold_selector *selector,
		      struct records *records, struct err *err, struct hold_added *added)
{
	struct reg_hold head;
	uint64_t identity = 0;
	uint32_t index;
	int result = gone_find(store, selector, err, added);

	if (result == 0 && selector->read_count > 0)
		result = hold_identity(store, err, &identity);
	if (result == 0)
		result = hold_reads_check(store, selector, err);
	if (result == 0)
		result = case_head(store, hold, err, &head, &index);
	if (result < 0)
		return result;
	hold->number = head.number;
	records->changes[records->count] = hold_put(&head, records->buffers[records->count]);
	records->count++;
	selector_records(records, selector, hold, identity, index);
	added->number = hold->number;
	return reg_change(store->reg, records->changes, records->count, hold->who_uid, "hold added", err);
}

int hold_add(struct store *store, const struct reg_hold *hold, const struct hold_selector *selector, struct err *err,
	     struct hold_added *ret_added)
{
	size_t count = 2 + part_count(selector->camera_count, REG_HOLD_CAMERAS) +
		       part_count(selector->read_count, REG_HOLD_READS);
	struct records records = {0};
	struct hold_added added = {0};
	struct reg_hold put = *hold;
	int result = hold_ready(store, err);

	if (result == 0)
		result = hold_check(store, hold, err);
	if (result == 0)
		result = selector_check(selector, err);
	if (result < 0)
		return result;
	put.created_us = store_wall_us(store);
	put.released = false;
	put.released_uid = 0;
	records.changes = calloc(count, sizeof(*records.changes));
	records.buffers = calloc(count, sizeof(*records.buffers));
	if (records.changes == NULL || records.buffers == NULL) {
		result = err_set(err, -ENOMEM, "out of memory");
	} else {
		pthread_mutex_lock(&store->hold_mutex);
		result = add_locked(store, &put, selector, &records, err, &added);
		pthread_mutex_unlock(&store->hold_mutex);
		bytes_wipe(records.buffers, count * sizeof(*records.buffers));
	}
	free(records.changes);
	free(records.buffers);
	if (result == 0)
		*ret_added = added;
	return result;
}
