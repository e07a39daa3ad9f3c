/*
 * Opening the register: its key, the index, then the whole log, from which the index takes what it lacks; last the
 * blobs that a crash left without a list. Single-threaded: nobody else has it yet.
 */
#include "storage/register.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOG_MODULE "register"
#include "appliance/base/bytes.h"
#include "appliance/base/digest.h"
#include "appliance/base/log.h"
#include "storage/changelog.h"
#include "storage/io.h"
#include "storage/keyring.h"
#include "storage/register_db.h"
#include "storage/register_entry.h"
#include "storage/register_internal.h"

#define MAP_SIZE_DEFAULT ((size_t)1 << 30)
#define LOG_SIZE_MIN_DEFAULT (UINT64_C(64) << 20)
#define REPLAY_BATCH 512 /* frames in one LMDB transaction while replaying */

void reg_keys_derive(const uint8_t key[KEY_SIZE], struct reg_keys *ret_keys)
{
	hkdf_sha256(NULL, 0, key, KEY_SIZE, "gantry register log", 19, ret_keys->log, KEY_SIZE);
	hkdf_sha256(NULL, 0, key, KEY_SIZE, "gantry register index", 21, ret_keys->db, KEY_SIZE);
	hkdf_sha256(NULL, 0, key, KEY_SIZE, "gantry register blobs", 21, ret_keys->blobs, KEY_SIZE);
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
	reg_keys_derive(key, keys);
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

/* A frame's changes into the writer's transaction, which is begun when there is none. */
static int frame_apply(struct reg *reg, const struct changelog_frame *frame)
{
	struct reg_entry entry = {0};
	int result = reg->batch == 0 ? reg_db_begin(reg->db) : 0;

	if (result == 0 && frame->kind == CHANGELOG_BASE_END)
		return reg_db_base_end(reg->db, frame->sequence);
	if (result == 0)
		result = reg_entry_decode(frame->body, frame->size, &entry);
	if (result < 0)
		return result;
	if (frame->kind == CHANGELOG_ENTRY) {
		result = reg_db_apply(reg->db, frame->sequence, entry.changes, entry.count);
	} else {
		if (!reg->rebuilt)
			result = reg_db_clear(reg->db);
		if (result == 0)
			result = reg_db_base_put(reg->db, frame->sequence, reg->base_done, entry.changes, entry.count);
		reg->rebuilt = true;
		reg->base_done += entry.count;
	}
	free(entry.changes);
	return result;
}

/*
 * One frame of the log at open: into the index, when it lacks it. An index from before the base cannot know what was
 * deleted up to there: it is begun anew with the base.
 */
static int frame_replay(void *context, const struct changelog_frame *frame)
{
	struct reg *reg = context;
	int result;

	if (frame->sequence <= reg->applied)
		return 0;
	result = frame_apply(reg, frame);
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
	int result = changelog_open(&log_options, io, err, frame_replay, reg, &reg->log);

	if (result < 0) {
		reg_db_abort(reg->db);
		return result;
	}
	if (reg->batch > 0)
		result = reg_db_commit(reg->db);
	reg->batch = 0;
	if (result < 0)
		return err_set(err, result, "%s: %s", options->db_directory, strerror(-result));
	reg->rebuilt = reg->rebuilt || (reg->applied == 0 && changelog_sequence(reg->log) > 0);
	if (reg->rebuilt)
		log_warn("the register's index was made anew from the change log, up to entry %llu",
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

	if (reg_list_decode(record->value, record->value_size, &list) == 0 &&
	    ((!list.removed && memcmp(list.now.blob, use->name, REG_BLOB_NAME_SIZE) == 0) ||
	     (list.has_previous && memcmp(list.previous.blob, use->name, REG_BLOB_NAME_SIZE) == 0)))
		use->used = true;
	return 0;
}

int reg_blob_release(void *context, const uint8_t name[REG_BLOB_NAME_SIZE])
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
	    !reg_blobs_exists(&reg->blobs, list.now.blob))
		log_error("list %u version %u: its entries are missing, load it again", list.list, list.now.version);
	return 0;
}

/* What a crash left between a blob and the entry that would have named it, or the change that let go of it. */
static int blobs_tidy(struct reg *reg)
{
	int result = reg_blobs_each(&reg->blobs, reg_blob_release, reg);

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
	reg->log_size_min = options->log_size_min != 0 ? options->log_size_min : LOG_SIZE_MIN_DEFAULT;
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
