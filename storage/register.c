/*
 * A change's way: checked → entry in the change log, durable → index, one transaction → blobs that no list names any
 * more are removed. A crash after the second step is mended at open, by replaying what the index lacks.
 *
 * When the index fails after the log has the entry, log and index disagree and only a replay can mend that: further
 * changes are refused until the register is opened anew; readers go on with what the index holds.
 *
 * The mutex guards the log, the index's writer and blob removal. Readers use LMDB's own snapshots.
 */
#include "storage/register.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LOG_MODULE "register"
#include "appliance/base/bytes.h"
#include "appliance/base/clock.h"
#include "appliance/base/killpoint.h"
#include "appliance/base/log.h"
#include "storage/changelog.h"
#include "storage/register_db.h"
#include "storage/register_entry.h"
#include "storage/register_hit.h"
#include "storage/register_hold.h"
#include "storage/register_internal.h"
#include "storage/register_late.h"
#include "storage/register_subscription.h"

static int list_check(struct reg *reg, const struct reg_change *change, const struct reg_list *list)
{
	if (list->list != change->a || change->b != 0)
		return -EINVAL;
	return list->removed || reg_blobs_exists(&reg->blobs, list->now.blob) ? 0 : -ENOENT;
}

static int late_check(const struct reg_change *change)
{
	struct reg_late_hits hits;
	uint64_t last;

	if (change->a == REG_LATE_LAST)
		return change->b == 0 && reg_late_last_decode(change->value, change->value_size, &last) == 0 ? 0
													     : -EINVAL;
	if (reg_late_hits_decode(change->value, change->value_size, &hits) < 0)
		return -EINVAL;
	return (uint32_t)hits.day == change->a && hits.number == change->b ? 0 : -EINVAL;
}

/* A record must be one, and say what its key says. */
static int change_check(struct reg *reg, const struct reg_change *change)
{
	union {
		struct reg_feed feed;
		struct reg_camera camera;
		struct reg_binding binding;
		struct reg_list list;
		struct reg_mark mark;
		struct reg_hold hold;
		struct reg_hold_selector selector;
		struct reg_proposal proposal;
		struct reg_hit_life life;
		struct reg_retro retro;
		struct reg_unmatched unmatched;
		struct reg_receipt receipt;
	} record;
	int result = -EINVAL;

	if (change->kind < REG_FEED || change->kind >= REG_KIND_END)
		return -EINVAL;
	if (change->value == NULL)
		return 0;
	switch (change->kind) {
	case REG_FEED:
		if (reg_feed_decode(change->value, change->value_size, &record.feed) == 0)
			result = record.feed.feed == change->a && change->b == 0 ? 0 : -EINVAL;
		break;
	case REG_CAMERA:
		if (reg_camera_decode(change->value, change->value_size, &record.camera) == 0)
			result = record.camera.camera == change->a && change->b == 0 ? 0 : -EINVAL;
		break;
	case REG_BINDING:
		if (reg_binding_decode(change->value, change->value_size, &record.binding) == 0)
			result = record.binding.feed == change->a && record.binding.camera == change->b ? 0 : -EINVAL;
		break;
	case REG_LIST:
		if (reg_list_decode(change->value, change->value_size, &record.list) == 0)
			result = list_check(reg, change, &record.list);
		break;
	case REG_MARK:
		if (reg_mark_decode(change->value, change->value_size, &record.mark) == 0)
			result =
				(uint32_t)record.mark.day == change->a && record.mark.number == change->b ? 0 : -EINVAL;
		break;
	case REG_HOLD:
		if (reg_hold_decode(change->value, change->value_size, &record.hold) == 0)
			result = record.hold.number == change->a && change->b == 0 ? 0 : -EINVAL;
		break;
	case REG_HOLD_SELECTOR:
		if (reg_hold_selector_decode(change->value, change->value_size, &record.selector) == 0)
			result =
				record.selector.number == change->a && record.selector.index == change->b ? 0 : -EINVAL;
		break;
	case REG_PROPOSAL:
		if (reg_proposal_decode(change->value, change->value_size, &record.proposal) == 0)
			result = record.proposal.number == change->a && change->b == 0 ? 0 : -EINVAL;
		break;
	case REG_HIT_LIFE:
		if (reg_hit_life_decode(change->value, change->value_size, &record.life) == 0)
			result = (uint32_t)record.life.day == change->a && record.life.index == change->b ? 0 : -EINVAL;
		break;
	case REG_LATE_HIT:
		result = late_check(change);
		break;
	case REG_UNMATCHED:
		if (reg_unmatched_decode(change->value, change->value_size, &record.unmatched) == 0)
			result = record.unmatched.number == change->a && change->b == 0 ? 0 : -EINVAL;
		break;
	case REG_RETRO:
		if (reg_retro_decode(change->value, change->value_size, &record.retro) == 0)
			result = record.retro.number == change->a && change->b == 0 ? 0 : -EINVAL;
		break;
	case REG_SUBSCRIPTION:
		result = reg_subscription_check(change->a, change->b, change->value, change->value_size);
		break;
	case REG_RECEIPT:
		if (reg_receipt_decode(change->value, change->value_size, &record.receipt) == 0)
			result = reg_receipt_a(&record.receipt) == change->a && record.receipt.index == change->b
					 ? 0
					 : -EINVAL;
		break;
	case REG_KIND_END:
		break;
	}
	bytes_wipe(&record, sizeof(record));
	return result;
}

static int changes_check(struct reg *reg, const struct reg_change *changes, size_t count, const char *reason,
			 struct err *err)
{
	if (count == 0 || count > REG_CHANGES_MAX || strlen(reason) > REG_REASON_SIZE_MAX)
		return err_set(err, -EINVAL,
			       "a change to the register holds 1 to %d records and a reason of at most %d "
			       "bytes",
			       REG_CHANGES_MAX, REG_REASON_SIZE_MAX);
	for (size_t i = 0; i < count; i++) {
		int result = change_check(reg, &changes[i]);

		if (result == -ENOENT)
			return err_set(err, result, "list %u: its entries were not stored", changes[i].a);
		if (result < 0)
			return err_set(err, result, "record %zu of the change does not agree with its key", i);
	}
	return 0;
}

/* The blobs that the changed lists name now. *ret_names is malloc'd. */
static int blobs_named(struct reg *reg, const struct reg_change *changes, size_t count,
		       uint8_t (**ret_names)[REG_BLOB_NAME_SIZE], size_t *ret_count)
{
	uint8_t(*names)[REG_BLOB_NAME_SIZE] = calloc(count, 2 * sizeof(*names));
	uint8_t value[REG_RECORD_SIZE_MAX];
	struct reg_list list;
	size_t named = 0;
	size_t size;

	if (names == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++)
		if (changes[i].kind == REG_LIST &&
		    reg_db_get(reg->db, REG_LIST, changes[i].a, changes[i].b, value, &size) == 0 &&
		    reg_list_decode(value, size, &list) == 0) {
			if (!list.removed)
				memcpy(names[named++], list.now.blob, REG_BLOB_NAME_SIZE);
			if (list.has_previous)
				memcpy(names[named++], list.previous.blob, REG_BLOB_NAME_SIZE);
		}
	*ret_names = names;
	*ret_count = named;
	return 0;
}

static int entry_log(struct reg *reg, const struct reg_entry *entry, uint64_t *ret_sequence)
{
	uint8_t *body;
	size_t size;
	int result = reg_entry_encode(entry, &body, &size);

	if (result < 0)
		return result;
	result = changelog_append(reg->log, body, size, ret_sequence);
	bytes_wipe(body, size);
	free(body);
	return result;
}

static int entry_index(struct reg *reg, const struct reg_entry *entry, uint64_t sequence)
{
	int result = reg_db_begin(reg->db);

	if (result < 0)
		return result;
	result = reg_db_apply(reg->db, sequence, entry->changes, entry->count);
	if (result < 0) {
		reg_db_abort(reg->db);
		return result;
	}
	return reg_db_commit(reg->db);
}

static int change_locked(struct reg *reg, const struct reg_entry *entry, struct err *err)
{
	uint8_t(*names)[REG_BLOB_NAME_SIZE];
	uint64_t sequence;
	size_t named;
	int result;

	if (reg->index_behind)
		return err_set(err, -EIO, "the register's index failed and must be mended: restart the appliance");
	result = changes_check(reg, entry->changes, entry->count, entry->reason, err);
	if (result < 0)
		return result;
	result = blobs_named(reg, entry->changes, entry->count, &names, &named);
	if (result < 0)
		return err_set(err, result, "register: %s", strerror(-result));
	result = entry_log(reg, entry, &sequence);
	if (result < 0) {
		free(names);
		return err_set(err, result, "the register's change log: %s; nothing was changed", strerror(-result));
	}
	killpoint("register.logged");
	result = entry_index(reg, entry, sequence);
	for (size_t i = 0; result == 0 && i < named; i++)
		if (reg_blob_release(reg, names[i]) < 0)
			log_warn("entries of a replaced list could not be removed, trying again at the next start");
	free(names);
	if (result < 0) {
		reg->index_behind = true;
		return err_set(err, result,
			       "the register's index: %s; the change is logged and takes effect with a restart",
			       strerror(-result));
	}
	return 0;
}

int reg_change(struct reg *reg, const struct reg_change *changes, size_t count, uint32_t who_uid, const char *reason,
	       struct err *err)
{
	struct reg_entry entry = {.time_us = clock_wall_us(), .who_uid = who_uid, .count = count};
	int result;

	entry.changes = (struct reg_change *)(uintptr_t)changes; /* only read from here on */
	if (strlen(reason) > REG_REASON_SIZE_MAX)
		return err_set(err, -EINVAL, "the reason is longer than %d bytes", REG_REASON_SIZE_MAX);
	strcpy(entry.reason, reason);
	pthread_mutex_lock(&reg->mutex);
	result = change_locked(reg, &entry, err);
	pthread_mutex_unlock(&reg->mutex);
	return result;
}

int reg_get(struct reg *reg, enum reg_kind kind, uint32_t a, uint32_t b, void *ret_value, size_t *ret_size)
{
	return reg_db_get(reg->db, kind, a, b, ret_value, ret_size);
}

int reg_each(struct reg *reg, enum reg_kind kind, uint32_t a_first, uint32_t a_last,
	     int (*each)(void *context, const struct reg_record *record), void *context)
{
	return reg_db_each(reg->db, kind, a_first, a_last, each, context);
}

int reg_blob_put(struct reg *reg, const void *bytes, size_t size, uint8_t ret_name[REG_BLOB_NAME_SIZE])
{
	int result;

	pthread_mutex_lock(&reg->mutex);
	result = reg_blobs_put(&reg->blobs, bytes, size, ret_name);
	pthread_mutex_unlock(&reg->mutex);
	return result;
}

int reg_blob_drop(struct reg *reg, const uint8_t name[REG_BLOB_NAME_SIZE])
{
	int result;

	pthread_mutex_lock(&reg->mutex);
	result = reg_blob_release(reg, name);
	pthread_mutex_unlock(&reg->mutex);
	return result;
}

int reg_blob_get(struct reg *reg, const uint8_t name[REG_BLOB_NAME_SIZE], struct err *err, void **ret_bytes,
		 size_t *ret_size)
{
	return reg_blobs_get(&reg->blobs, name, err, ret_bytes, ret_size);
}

uint64_t reg_sequence(struct reg *reg)
{
	uint64_t sequence;

	pthread_mutex_lock(&reg->mutex);
	sequence = changelog_sequence(reg->log);
	pthread_mutex_unlock(&reg->mutex);
	return sequence;
}

void reg_info(struct reg *reg, struct reg_info *ret_info)
{
	pthread_mutex_lock(&reg->mutex);
	*ret_info = (struct reg_info){.sequence = changelog_sequence(reg->log),
				      .log_size = changelog_size(reg->log),
				      .log_base_size = changelog_base_size(reg->log),
				      .rebuilt = reg->rebuilt,
				      .tail_cut = changelog_tail_cut(reg->log)};
	pthread_mutex_unlock(&reg->mutex);
}
