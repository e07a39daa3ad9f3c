/*
 * The order matters: days that are closed, so that nothing of them is missed or revived → segments, so that the catalog
 * is right → lanes as of the sealed journals → the journals of every worker, each identity once → what the journals say
 * was durable and none of them holds is lost: said, and closed over → keys that nothing is sealed under any more go.
 */
#include "storage/recovery.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOG_MODULE "recovery"
#include "appliance/base/array.h"
#include "appliance/base/log.h"
#include "storage/purge_file.h"
#include "storage/sealer.h"
#include "storage/store_internal.h"

struct files {
	struct journal_file_name *names;
	size_t count;
	size_t capacity;
};

static int day_of_catalog(void *context, const struct catalog_day *day)
{
	if (day->state != CATALOG_DAY_OPEN)
		store_day_close(context, day->day);
	return 0;
}

static int day_of_intent(void *context, const char *name)
{
	uint64_t number;
	int32_t day;

	if (purge_file_name_parse(name, PURGE_FILE_INTENT, &day, &number))
		store_day_close(context, day);
	return 0;
}

static int days_close(struct store *store)
{
	int result;

	for (int32_t day = 0; day < STORE_DAY_END; day++)
		if (keyring_day_destroyed(store->keyring, day))
			store_day_close(store, day);
	result = catalog_each_day(store->catalog, day_of_catalog, store);
	return result < 0 ? result : store->io->ops->list(store->io, store->purge_directory, day_of_intent, store);
}

static int lane_load(void *context, const struct catalog_lane *lane)
{
	struct store *store = context;
	struct lane_id id = {.feed = lane->feed, .epoch = lane->epoch, .lane = lane->lane};
	int result = lane_map_load(store->lanes, &id, lane->bytes, lane->size);

	if (result == 0)
		result = lane_map_load(store->sealed_lanes, &id, lane->bytes, lane->size);
	if (result != -EBADMSG)
		return result;
	store_damage(store, "feed %u epoch %u lane %u: its state in the catalog is damaged, it begins anew", id.feed,
		     id.epoch, id.lane);
	return 0;
}

static int file_collect(void *context, const char *name)
{
	struct files *files = context;
	struct journal_file_name parsed;
	void *grown;

	if (!journal_file_name_parse(name, &parsed))
		return 0;
	grown = array_grow(files->names, files->count, &files->capacity, sizeof(*files->names));
	if (grown == NULL)
		return -ENOMEM;
	files->names = grown;
	files->names[files->count++] = parsed;
	return 0;
}

static int file_order(const void *a, const void *b)
{
	const struct journal_file_name *left = a;
	const struct journal_file_name *right = b;

	if (left->worker != right->worker)
		return left->worker < right->worker ? -1 : 1;
	return left->sequence < right->sequence ? -1 : left->sequence > right->sequence;
}

/* Without an id there is no key to destroy: the file just goes. */
static int file_gone(struct store *store, const struct journal_file_name *file, uint64_t id)
{
	if (id != 0)
		return sealer_journal_owed(store, id, file);
	return journal_file_destroy(store->io, store->journal_directory, file);
}

static int journals_recover(struct store *store, const struct files *files, struct recovery_marks *marks,
			    struct err *err)
{
	for (size_t i = 0; i < files->count; i++) {
		uint64_t id;
		int result = recovery_journal(store, &files->names[i], marks, err, &id);

		if (result < 0)
			return result;
		switch (result) {
		case 0:
			result = sealer_journal_recovered(store, id, &files->names[i]);
			break;
		default:
			result = file_gone(store, &files->names[i], id);
			break;
		}
		if (result < 0)
			return err_set(err, result, "journals: %s", strerror(-result));
	}
	return 0;
}

struct loss {
	struct store *store;
	int result;
};

/* Durable once and nowhere any more. The sealed lanes learn of exactly this range, lest the next start wait for it. */
static void range_lost(void *context, const struct lane_id *id, const struct lane_range *range)
{
	struct loss *loss = context;

	/* Without the catalog's lanes nobody can tell the lost from the sealed: then only the gap is closed. */
	if (!loss->store->catalog_lost)
		store_damage(loss->store,
			     "feed %u epoch %u lane %u: sequences %llu to %llu are lost: acknowledged, or given up by "
			     "the sender",
			     id->feed, id->epoch, id->lane, (unsigned long long)range->first,
			     (unsigned long long)range->last);
	if (loss->result == 0)
		loss->result = lane_map_lose(loss->store->sealed_lanes, id, range);
}

static int marks_judge(struct store *store, const struct recovery_marks *marks)
{
	struct loss loss = {.store = store};

	for (size_t i = 0; loss.result == 0 && i < marks->count; i++) {
		int result = lane_map_watermark(store->lanes, &marks->marks[i].id, marks->marks[i].watermark,
						range_lost, &loss);

		if (result < 0)
			return result;
	}
	return loss.result;
}

struct orphans {
	struct store *store;
	struct key_id *keys;
	size_t count;
	size_t capacity;
};

static int orphan_add(struct orphans *orphans, struct key_id key)
{
	void *grown = array_grow(orphans->keys, orphans->count, &orphans->capacity, sizeof(*orphans->keys));

	if (grown == NULL)
		return -ENOMEM;
	orphans->keys = grown;
	orphans->keys[orphans->count++] = key;
	return 0;
}

static int journal_key_judge(void *context, struct key_id key)
{
	struct orphans *orphans = context;
	const struct store *store = orphans->store;

	for (size_t i = 0; i < store->recovered_count; i++)
		if (store->recovered[i].journal_id == key.id)
			return 0;
	for (size_t i = 0; i < store->debt_count; i++)
		if (store->debts[i].key.kind == KEY_JOURNAL && store->debts[i].key.id == key.id)
			return 0;
	return orphan_add(orphans, key);
}

/* A file that could not be adopted keeps its key: somebody may mend the disk. */
static int segment_key_judge(void *context, struct key_id key)
{
	struct orphans *orphans = context;
	struct store *store = orphans->store;
	char path[LAYOUT_PATH_SIZE + SEGMENT_NAME_SIZE];
	char name[SEGMENT_NAME_SIZE];
	struct io_file *file;
	struct segment_summary summary;
	int result = catalog_segment(store->catalog, key.day, key.id, &summary);

	if (result != -ENOENT)
		return result;
	snprintf(path, sizeof(path), "%s/%s", store->segments_directory, segment_name(key.day, key.id, ".seg", name));
	result = store->io->ops->open(store->io, path, IO_READ, &file);
	if (result == 0)
		file->ops->close(file);
	return result == -ENOENT ? orphan_add(orphans, key) : 0;
}

/* Every journal has been read by now, so a journal key that none of them owns is nobody's. */
static int keys_sweep(struct store *store)
{
	struct orphans orphans = {.store = store};
	int result = keyring_each(store->keyring, KEY_JOURNAL, journal_key_judge, &orphans);

	if (result == 0)
		result = keyring_each(store->keyring, KEY_SEGMENT, segment_key_judge, &orphans);
	for (size_t i = 0; result == 0 && i < orphans.count; i++)
		result = sealer_key_owed(store, orphans.keys[i]);
	if (orphans.count > 0)
		log_info("%zu keys that nothing is sealed under any more are destroyed", orphans.count);
	free(orphans.keys);
	return result < 0 ? result : sealer_debts_pay(store);
}

static int journals_all(struct store *store, struct err *err, uint64_t *ret_sequence_min)
{
	struct files files = {0};
	struct recovery_marks marks = {0};
	uint64_t sequence_min = 1;
	int result = store->io->ops->list(store->io, store->journal_directory, file_collect, &files);

	if (result < 0)
		(void)err_set(err, result, "%s: %s", store->journal_directory, strerror(-result));
	if (result == 0 && files.count > 0)
		qsort(files.names, files.count, sizeof(*files.names), file_order);
	for (size_t i = 0; i < files.count; i++)
		if (files.names[i].sequence >= sequence_min)
			sequence_min = files.names[i].sequence + 1;
	if (result == 0)
		result = journals_recover(store, &files, &marks, err);
	if (result == 0) {
		result = marks_judge(store, &marks);
		if (result == 0)
			result = keys_sweep(store);
		if (result < 0)
			(void)err_set(err, result, "recovery: %s", strerror(-result));
	}
	free(files.names);
	free(marks.marks);
	if (result == 0)
		*ret_sequence_min = sequence_min;
	return result;
}

int recovery_run(struct store *store, struct err *err, uint64_t *ret_sequence_min)
{
	int result = days_close(store);

	if (result < 0)
		return err_set(err, result, "days: %s", strerror(-result));
	result = recovery_segments(store, err);
	if (result < 0)
		return result;
	result = catalog_each_lane(store->catalog, lane_load, store);
	if (result < 0)
		return err_set(err, result, "lanes: %s", strerror(-result));
	result = journals_all(store, err, ret_sequence_min);
	if (result == 0 && store->recovery_reads > 0)
		log_info("%llu unsealed reads recovered from %zu journals", (unsigned long long)store->recovery_reads,
			 store->recovered_count);
	return result;
}
