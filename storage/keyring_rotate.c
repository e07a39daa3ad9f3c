/*
 * Rotating the master key, step by step; what a crash behind each leaves, and what the next start makes of it:
 *
 *   "<master>.new" durable          the old key opens both copies; the new one is removed
 *   copy a wrapped under it         each copy opens with its own key, a is newer; b is wrapped anew, the steps go on
 *   copy b                          the new key opens both; the steps go on
 *   <master> → "<master>.old"       no <master>; "<master>.new" opens; the steps go on
 *   "<master>.new" → <master>       done but for the old file
 *   the old file overwritten, discarded, unlinked
 */
#include "storage/keyring.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "appliance/base/bytes.h"
#include "appliance/base/clock.h"
#include "appliance/base/digest.h"
#include "appliance/base/killpoint.h"
#include "storage/io.h"
#include "storage/keyring_master.h"
#include "storage/keyring_private.h"

struct master_paths {
	char fresh[KEYRING_PATH_MAX + 8];
	char old[KEYRING_PATH_MAX + 8];
	char directory[KEYRING_PATH_MAX];
};

static int paths_make(const struct keyring *keyring, struct master_paths *paths)
{
	(void)snprintf(paths->fresh, sizeof(paths->fresh), "%s" KEYRING_MASTER_NEW, keyring->master_path);
	(void)snprintf(paths->old, sizeof(paths->old), "%s" KEYRING_MASTER_OLD, keyring->master_path);
	return keyring_directory(keyring->master_path, paths->directory);
}

static bool file_holds(const struct keyring *keyring, const char *path, const uint8_t master[KEY_SIZE])
{
	uint8_t found[KEY_SIZE];
	bool same = keyring_master_read(path, keyring->io, NULL, found) == 0 && memcmp(found, master, KEY_SIZE) == 0;

	bytes_wipe(found, sizeof(found));
	return same;
}

static bool file_exists(const struct keyring *keyring, const char *path)
{
	struct io_file *file;
	int r = keyring->io->ops->open(keyring->io, path, IO_READ, &file);

	if (r == 0)
		file->ops->close(file);
	return r != -ENOENT;
}

int keyring_master_settle(struct keyring *keyring)
{
	const struct io_ops *ops = keyring->io->ops;
	struct master_paths paths;
	int r = paths_make(keyring, &paths);

	if (r < 0 || (!file_exists(keyring, paths.fresh) && !file_exists(keyring, paths.old)))
		return r;
	if (!file_holds(keyring, keyring->master_path, keyring->master)) {
		if (!file_holds(keyring, paths.fresh, keyring->master))
			return -EKEYREJECTED;
		/* The old file gives way only now: .old is free for it, whatever an earlier rotation left there. */
		r = file_exists(keyring, keyring->master_path) ? keyring_shred(keyring->io, paths.old) : 0;
		if (r == 0)
			r = ops->rename(keyring->io, keyring->master_path, paths.old);
		if (r == 0 || r == -ENOENT)
			r = ops->rename(keyring->io, paths.fresh, keyring->master_path);
		if (r == 0)
			r = ops->dir_sync(keyring->io, paths.directory);
		killpoint("rotate.renamed");
	} else {
		r = keyring_shred(keyring->io, paths.fresh);
	}
	if (r == 0)
		r = keyring_shred(keyring->io, paths.old);
	return r < 0 ? r : ops->dir_sync(keyring->io, paths.directory);
}

/* Under a lock. The ring as it is, wrapped under another key. */
static int ring_wrap(struct keyring *keyring, const uint8_t master[KEY_SIZE])
{
	struct keyring_content content;
	int r = keyring_content_copy(&keyring->content, 0, 0, &content);

	if (r < 0)
		return r;
	content.master_made_us = clock_wall_us();
	return keyring_commit(keyring, &content, master);
}

static int rotate(struct keyring *keyring, const uint8_t master[KEY_SIZE], struct err *err)
{
	const char *path = keyring->master_path;
	struct master_paths paths;
	int r = paths_make(keyring, &paths);

	/* What a failed attempt left: both copies under our key again, then its new key may go. */
	if (r == 0 && keyring->unsettled)
		r = ring_wrap(keyring, keyring->master);
	if (r == 0)
		r = keyring_master_settle(keyring);
	if (r == 0)
		r = keyring_master_put(paths.fresh, keyring->io, master);
	if (r < 0)
		return err_set(
			err, r,
			"%s: the new master key cannot be written beside it: %s; the old one stands (where it is "
			"a credential: stop, gantry-fsck DIR --master-key OLD --new-master NEW, start with NEW)",
			path, strerror(-r));
	killpoint("rotate.made");
	r = ring_wrap(keyring, master);
	if (r < 0)
		return err_set(err, r, "the keyring cannot be wrapped anew: %s; the old master key stands, call again",
			       strerror(-r));
	killpoint("rotate.wrapped");
	r = keyring_master_settle(keyring);
	if (r < 0)
		return err_set(err, r,
			       "%s" KEYRING_MASTER_NEW
			       ": the new master key stands there and cannot take the old one's "
			       "place: %s; the next start, or another call, finishes it",
			       path, strerror(-r));
	return 0;
}

int keyring_rotate_master(struct keyring *keyring, struct err *err)
{
	uint8_t master[KEY_SIZE];
	int r;

	random_bytes(master, sizeof(master));
	(void)pthread_mutex_lock(&keyring->lock);
	r = keyring->read_only || keyring->content.by_escrow ? err_set(err, -EROFS, "the keyring is open for reading")
							     : rotate(keyring, master, err);
	(void)pthread_mutex_unlock(&keyring->lock);
	bytes_wipe(master, sizeof(master));
	return r;
}

int keyring_rewrap(struct keyring *keyring, const char *path, struct err *err)
{
	uint8_t master[KEY_SIZE];
	int r = keyring->read_only ? err_set(err, -EROFS, "the keyring is open for reading") : 0;

	if (r == 0)
		r = keyring_master_make(path, keyring->io, err);
	if (r == 0)
		r = keyring_master_read(path, keyring->io, err, master);
	if (r < 0)
		return r;
	(void)pthread_mutex_lock(&keyring->lock);
	if (memcmp(master, keyring->master, KEY_SIZE) == 0) {
		r = err_set(err, -EINVAL, "%s: holds the key that opened the keyring, not a new one", path);
	} else {
		const struct keyring_entry *escrow = keyring_content_escrow(&keyring->content);

		if (keyring->content.by_escrow && escrow != NULL) {
			(void)keyring_content_destroy(&keyring->content, escrow->id);
			keyring->content.escrow_made_us = 0;
		}
		keyring->content.by_escrow = false;
		r = ring_wrap(keyring, master);
		if (r < 0)
			r = err_set(err, r, "the keyring cannot be wrapped anew: %s; repeat the call", strerror(-r));
	}
	(void)pthread_mutex_unlock(&keyring->lock);
	bytes_wipe(master, sizeof(master));
	return r;
}

int keyring_escrow_set(struct keyring *keyring, const uint8_t key[KEY_SIZE], uint64_t id, int64_t now_us)
{
	const struct key_id entry = {.id = id, .day = KEY_DAY_NONE, .kind = KEY_ESCROW};
	const struct keyring_entry *former;
	struct keyring_content content;
	int r;

	(void)pthread_mutex_lock(&keyring->lock);
	r = keyring_content_copy(&keyring->content, 1, 0, &content);
	if (r == 0) {
		former = keyring_content_escrow(&content);
		if (former != NULL)
			(void)keyring_content_destroy(&content, former->id);
		content.escrow_made_us = now_us;
		(void)keyring_content_add(&content, entry, key);
		r = keyring_commit(keyring, &content, keyring->master);
	}
	(void)pthread_mutex_unlock(&keyring->lock);
	return r;
}

const char *keyring_copy_state_name(enum keyring_copy_state state)
{
	static const char *const names[] = {"current", "older", "missing", "damaged", "another master", "unreadable"};

	return names[state];
}

static struct keyring_copy copy_look(const struct keyring *keyring, const char *path)
{
	struct keyring_copy copy = {.path = path, .state = KEYRING_COPY_UNREADABLE};
	struct keyring_content content;
	int r = keyring_copy_read(keyring->io, path, "", keyring->master, &content);

	if (r == 0) {
		copy.generation = content.generation;
		copy.state =
			content.generation == keyring->content.generation ? KEYRING_COPY_CURRENT : KEYRING_COPY_OLDER;
		keyring_content_fini(&content);
	} else if (r == -ENOENT) {
		copy.state = KEYRING_COPY_MISSING;
	} else if (r == -EBADMSG || r == -ENOTSUP) {
		copy.state = KEYRING_COPY_DAMAGED;
	} else if (r == -EKEYREJECTED) {
		copy.state = KEYRING_COPY_FOREIGN;
	}
	return copy;
}

void keyring_copies(struct keyring *keyring, struct keyring_copy ret_copies[2])
{
	(void)pthread_mutex_lock(&keyring->lock);
	ret_copies[0] = copy_look(keyring, keyring->path_a);
	ret_copies[1] = copy_look(keyring, keyring->path_b);
	(void)pthread_mutex_unlock(&keyring->lock);
}
