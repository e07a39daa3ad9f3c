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
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOG_MODULE "register"
#include "appliance/base/bytes.h"
#include "appliance/base/clock.h"
#include "appliance/base/digest.h"
#include "appliance/base/killpoint.h"
#include "appliance/base/log.h"
#include "storage/changelog.h"
#include "storage/io.h"
#include "storage/keyring.h"
#include "storage/register_blob.h"
#include "storage/register_db.h"
#include "storage/register_entry.h"

#define MAP_SIZE_DEFAULT ((size_t)1 << 30)
#define REPLAY_BATCH 512 /* entries in one LMDB transaction while replaying */

struct reg {
	struct io *io;
	struct changelog *log;
	struct reg_db *db;
	struct reg_blobs blobs;
	pthread_mutex_t mutex;
	bool index_behind; /* log has what the index could not take */
	bool rebuilt;
	uint64_t applied; /* replaying: what the index has; later: unused */
	unsigned batch;
};

struct reg_keys {
	uint8_t log[KEY_SIZE];
	uint8_t db[KEY_SIZE];
	uint8_t blobs[KEY_SIZE];
};

static void keys_derive(const uint8_t key[KEY_SIZE], struct reg_keys *keys)
{
	hkdf_sha256(NULL, 0, key, KEY_SIZE, "gantry register log", 19, keys->log, KEY_SIZE);
	hkdf_sha256(NULL, 0, key, KEY_SIZE, "gantry register index", 21, keys->db, KEY_SIZE);
	hkdf_sha256(NULL, 0, key, KEY_SIZE, "gantry register blobs", 21, keys->blobs, KEY_SIZE);
}

/* The log's size, or -ENOENT. */
static int log_size(const struct reg_options *options, struct io *io, uint64_t *ret_size)
{
	char path[4096];
	struct io_file *file;
	int result;

	if ((size_t)snprintf(path, sizeof(path), "%s/changes.log", options->directory) >= sizeof(path))
		return -ENAMETOOLONG;
	result = io->ops->open(io, path, IO_READ, &file);
	if (result < 0)
		return result;
	result = file->ops->size(file, ret_size);
	file->ops->close(file);
	return result;
}

/* The empty log first, then its key: so a key without a log says that there was one. */
static int log_begin(const struct reg_options *options, struct io *io, bool exists)
{
	char path[4096];
	struct io_file *file;
	int result;

	if (!exists) {
		snprintf(path, sizeof(path), "%s/changes.log", options->directory);
		result = io->ops->open(io, path, IO_WRITE | IO_CREATE, &file);
		if (result < 0)
			return result;
		result = file->ops->sync(file);
		file->ops->close(file);
		if (result < 0)
			return result;
	}
	return io->ops->dir_sync(io, options->directory);
}

/* The register's key; made on the first start. */
static int keys_get(const struct reg_options *options, struct io *io, struct keyring *keyring, struct err *err,
		    struct reg_keys *keys)
{
	struct key_change make = {.id = {.id = 0, .day = KEY_DAY_NONE, .kind = KEY_REGISTER}};
	uint8_t key[KEY_SIZE];
	uint64_t size = 0;
	int log = log_size(options, io, &size);
	int result = keyring_get(keyring, make.id, key);

	if (log < 0 && log != -ENOENT)
		return err_set(err, log, "%s/changes.log: %s", options->directory, strerror(-log));
	if (result == 0 && log == -ENOENT)
		return err_set(err, -EBADMSG,
			       "%s/changes.log: missing, yet there was a register; restore it from a backup",
			       options->directory);
	if (result == -ENOENT && size > 0)
		return err_set(err, -ENOKEY,
			       "%s: there is a register but the keyring has no key for it; restore the keyring",
			       options->directory);
	if (result == -ENOENT) {
		result = log_begin(options, io, log == 0);
		if (result == 0)
			result = keyring_change(keyring, &make, 1);
		if (result == 0)
			result = keyring_get(keyring, make.id, key);
	}
	if (result < 0)
		return err_set(err, result, "the register's key: %s", strerror(-result));
	keys_derive(key, keys);
	bytes_wipe(key, sizeof(key));
	return 0;
}

/* The index, begun anew when it is damaged. */
static int db_open(struct reg *reg, const struct reg_options *options, const uint8_t *key, struct err *err)
{
	size_t map_size = options->map_size != 0 ? options->map_size : MAP_SIZE_DEFAULT;
	int result = reg_db_open(options->db_directory, map_size, key, &reg->db, &reg->applied);

	if (result == -EBADMSG) {
		log_warn("%s: the register's index is damaged, making it anew from the change log",
			 options->db_directory);
		result = reg_db_wipe(options->db_directory);
		if (result == 0)
			result = reg_db_open(options->db_directory, map_size, key, &reg->db, &reg->applied);
	}
	if (result < 0)
		return err_set(err, result, "%s: %s", options->db_directory, strerror(-result));
	return 0;
}

/* One entry of the log at open: into the index, when it lacks it. */
static int entry_replay(void *context, uint64_t sequence, const uint8_t *body, size_t size)
{
	struct reg *reg = context;
	struct reg_entry entry;
	int result;

	if (sequence <= reg->applied)
		return 0;
	result = reg_entry_decode(body, size, &entry);
	if (result == 0 && reg->batch == 0) {
		result = reg_db_begin(reg->db);
		if (result < 0)
			free(entry.changes);
	}
	if (result < 0)
		return result;
	result = reg_db_apply(reg->db, sequence, entry.changes, entry.count);
	free(entry.changes);
	if (result == 0 && ++reg->batch == REPLAY_BATCH) {
		reg->batch = 0;
		result = reg_db_commit(reg->db);
	}
	return result;
}

static int log_open(struct reg *reg, const struct reg_options *options, const uint8_t *key, struct io *io,
		    struct err *err)
{
	struct changelog_options log_options = {
		.directory = options->directory, .key = key, .sequence_min = reg->applied};
	int result = changelog_open(&log_options, io, err, entry_replay, reg, &reg->log);

	if (result < 0) {
		reg_db_abort(reg->db);
		return result;
	}
	if (reg->batch > 0)
		result = reg_db_commit(reg->db);
	reg->batch = 0;
	if (result < 0)
		return err_set(err, result, "%s: %s", options->db_directory, strerror(-result));
	reg->rebuilt = reg->applied == 0 && changelog_sequence(reg->log) > 0;
	if (reg->rebuilt)
		log_warn("the register's index was made anew from %llu entries of the change log",
			 (unsigned long long)changelog_sequence(reg->log));
	if (changelog_tail_cut(reg->log))
		log_warn("a torn last entry of the register's change log was cut: nobody had been told of it");
	return 0;
}

struct blob_use {
	const uint8_t *name;
	bool used;
};

static int list_uses_blob(void *context, const struct reg_record *record)
{
	struct blob_use *use = context;
	struct reg_list list;

	if (reg_list_decode(record->value, record->value_size, &list) == 0 && !list.removed &&
	    memcmp(list.blob, use->name, REG_BLOB_NAME_SIZE) == 0)
		use->used = true;
	return 0;
}

static int blob_release(void *context, const uint8_t name[REG_BLOB_NAME_SIZE])
{
	struct reg *reg = context;
	struct blob_use use = {.name = name};
	int result = reg_db_each(reg->db, REG_LIST, 0, UINT32_MAX, list_uses_blob, &use);

	return result < 0 || use.used ? result : reg_blobs_remove(&reg->blobs, name);
}

static int list_warns_missing(void *context, const struct reg_record *record)
{
	struct reg *reg = context;
	struct reg_list list;

	if (reg_list_decode(record->value, record->value_size, &list) == 0 && !list.removed &&
	    !reg_blobs_exists(&reg->blobs, list.blob))
		log_error("list %u version %u: its entries are missing, load it again", list.list, list.version);
	return 0;
}

/* What a crash left between a blob and the entry that would have named it, or the change that let go of it. */
static int blobs_tidy(struct reg *reg)
{
	int result = reg_blobs_each(&reg->blobs, blob_release, reg);

	return result < 0 ? result : reg_db_each(reg->db, REG_LIST, 0, UINT32_MAX, list_warns_missing, reg);
}

static int directories_make(const struct reg_options *options, struct io *io, struct err *err)
{
	const char *const paths[] = {options->directory, options->lists_directory, options->db_directory};

	/* The index's directory is on a real disk even when io is not: reg_db_open says when it is missing. */
	for (size_t i = 0; i < 3; i++) {
		int result = io->ops->mkdir(io, paths[i]);

		if (result < 0)
			return err_set(err, result, "%s: %s", paths[i], strerror(-result));
	}
	return 0;
}

int reg_open(const struct reg_options *options, struct io *io, struct keyring *keyring, struct err *err,
	     struct reg **ret_reg)
{
	struct reg_keys keys = {0};
	struct reg *reg = calloc(1, sizeof(*reg));
	int result;

	if (reg == NULL)
		return err_set(err, -ENOMEM, "register: out of memory");
	reg->io = io;
	pthread_mutex_init(&reg->mutex, NULL);
	result = directories_make(options, io, err);
	if (result == 0)
		result = keys_get(options, io, keyring, err, &keys);
	if (result == 0)
		result = db_open(reg, options, keys.db, err);
	if (result == 0)
		result = log_open(reg, options, keys.log, io, err);
	if (result == 0) {
		result = reg_blobs_init(&reg->blobs, options->lists_directory, keys.blobs, io);
		if (result == 0)
			result = blobs_tidy(reg);
		if (result < 0)
			(void)err_set(err, result, "%s: %s", options->lists_directory, strerror(-result));
	}
	bytes_wipe(&keys, sizeof(keys));
	if (result < 0) {
		reg_free(reg);
		return result;
	}
	*ret_reg = reg;
	return 0;
}

struct reg *reg_free(struct reg *reg)
{
	if (reg == NULL)
		return NULL;
	reg->log = changelog_free(reg->log);
	reg->db = reg_db_free(reg->db);
	reg_blobs_fini(&reg->blobs);
	pthread_mutex_destroy(&reg->mutex);
	free(reg);
	return NULL;
}

static int list_check(struct reg *reg, const struct reg_change *change, const struct reg_list *list)
{
	if (list->list != change->a || change->b != 0)
		return -EINVAL;
	return list->removed || reg_blobs_exists(&reg->blobs, list->blob) ? 0 : -ENOENT;
}

/* A record must be one, and say what its key says. */
static int change_check(struct reg *reg, const struct reg_change *change)
{
	union {
		struct reg_feed feed;
		struct reg_camera camera;
		struct reg_binding binding;
		struct reg_list list;
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
	uint8_t(*names)[REG_BLOB_NAME_SIZE] = calloc(count, sizeof(*names));
	uint8_t value[REG_RECORD_SIZE_MAX];
	struct reg_list list;
	size_t named = 0;
	size_t size;

	if (names == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++)
		if (changes[i].kind == REG_LIST &&
		    reg_db_get(reg->db, REG_LIST, changes[i].a, changes[i].b, value, &size) == 0 &&
		    reg_list_decode(value, size, &list) == 0 && !list.removed)
			memcpy(names[named++], list.blob, REG_BLOB_NAME_SIZE);
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
		if (blob_release(reg, names[i]) < 0)
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

int reg_feed_get(struct reg *reg, uint32_t feed, struct reg_feed *ret_feed)
{
	uint8_t value[REG_RECORD_SIZE_MAX];
	size_t size;
	int result = reg_db_get(reg->db, REG_FEED, feed, 0, value, &size);

	if (result == 0)
		result = reg_feed_decode(value, size, ret_feed);
	bytes_wipe(value, sizeof(value));
	return result;
}

int reg_camera_get(struct reg *reg, uint32_t camera, struct reg_camera *ret_camera)
{
	uint8_t value[REG_RECORD_SIZE_MAX];
	size_t size;
	int result = reg_db_get(reg->db, REG_CAMERA, camera, 0, value, &size);

	return result == 0 ? reg_camera_decode(value, size, ret_camera) : result;
}

int reg_list_get(struct reg *reg, uint32_t list, struct reg_list *ret_list)
{
	uint8_t value[REG_RECORD_SIZE_MAX];
	size_t size;
	int result = reg_db_get(reg->db, REG_LIST, list, 0, value, &size);

	return result == 0 ? reg_list_decode(value, size, ret_list) : result;
}

struct reg_change reg_feed_put(const struct reg_feed *feed, uint8_t buffer[REG_RECORD_SIZE_MAX])
{
	return (struct reg_change){
		.kind = REG_FEED, .a = feed->feed, .value = buffer, .value_size = reg_feed_encode(feed, buffer)};
}

struct reg_change reg_camera_put(const struct reg_camera *camera, uint8_t buffer[REG_RECORD_SIZE_MAX])
{
	return (struct reg_change){.kind = REG_CAMERA,
				   .a = camera->camera,
				   .value = buffer,
				   .value_size = reg_camera_encode(camera, buffer)};
}

struct reg_change reg_binding_put(const struct reg_binding *binding, uint8_t buffer[REG_RECORD_SIZE_MAX])
{
	return (struct reg_change){.kind = REG_BINDING,
				   .a = binding->feed,
				   .b = binding->camera,
				   .value = buffer,
				   .value_size = reg_binding_encode(binding, buffer)};
}

struct reg_change reg_list_put(const struct reg_list *list, uint8_t buffer[REG_RECORD_SIZE_MAX])
{
	return (struct reg_change){
		.kind = REG_LIST, .a = list->list, .value = buffer, .value_size = reg_list_encode(list, buffer)};
}

int reg_blob_put(struct reg *reg, const void *bytes, size_t size, uint8_t ret_name[REG_BLOB_NAME_SIZE])
{
	int result;

	pthread_mutex_lock(&reg->mutex);
	result = reg_blobs_put(&reg->blobs, bytes, size, ret_name);
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
				      .rebuilt = reg->rebuilt,
				      .tail_cut = changelog_tail_cut(reg->log)};
	pthread_mutex_unlock(&reg->mutex);
}
