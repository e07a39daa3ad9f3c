/*
 * Opening: both copies are read with every master key that a rotation may have left (the file's own, and "<file>.new"),
 * the newest that opens counts, and what is older, damaged or under the other key is written anew.
 */
#include "storage/keyring.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/bytes.h"
#include "appliance/base/clock.h"
#include "storage/io.h"
#include "storage/keyring_master.h"
#include "storage/keyring_private.h"

#define MASTERS_MAX 2

/* Keys to try. */
struct masters {
	uint8_t keys[MASTERS_MAX][KEY_SIZE];
	unsigned count;
};

/* What the files said, so that the one error told is the most useful one. */
struct ring_search {
	const struct masters *masters;
	bool escrow; /* the escrow key will do */
	bool found;
	bool escrow_refused;
	bool rejected;
	bool damaged;
	bool other_version;
	int failed; /* -errno of a read that failed */
};

/* The file under whichever key opens it. */
static int ring_read(const struct keyring *keyring, const char *path, const char *suffix, struct ring_search *search,
		     struct keyring_content *ret_content, const uint8_t **ret_master)
{
	int r = -EKEYREJECTED;

	for (unsigned i = 0; i < search->masters->count && r == -EKEYREJECTED; i++) {
		*ret_master = search->masters->keys[i];
		r = keyring_copy_read(keyring->io, path, suffix, *ret_master, ret_content);
	}
	if (r == 0 && ret_content->by_escrow && !search->escrow) {
		keyring_content_fini(ret_content);
		search->escrow_refused = true;
		return -EKEYREJECTED;
	}
	return r;
}

/* Looks at one file; keeps the newest content in keyring->content. Returns its generation, 0 when it does not open. */
static uint64_t ring_try(struct keyring *keyring, const char *path, const char *suffix, struct ring_search *search)
{
	struct keyring_content content;
	const uint8_t *master;
	uint64_t generation;
	int r = ring_read(keyring, path, suffix, search, &content, &master);

	if (r < 0) {
		search->rejected |= r == -EKEYREJECTED;
		search->damaged |= r == -EBADMSG;
		search->other_version |= r == -ENOTSUP;
		if (r != -EKEYREJECTED && r != -EBADMSG && r != -ENOENT && r != -ENOTSUP)
			search->failed = r;
		return 0;
	}
	generation = content.generation;
	if (search->found && generation <= keyring->content.generation) {
		keyring_content_fini(&content);
		return generation;
	}
	keyring_content_fini(&keyring->content);
	keyring->content = content;
	memcpy(keyring->master, master, KEY_SIZE);
	search->found = true;
	return generation;
}

int keyring_write(struct keyring *keyring, const struct keyring_content *content, const uint8_t master[KEY_SIZE],
		  bool copy_a, bool copy_b)
{
	size_t size = keyring_file_size(content);
	uint8_t *bytes;
	int r = 0;

	if (size > KEYRING_FILE_SIZE_MAX)
		return -EFBIG;
	bytes = malloc(size);
	if (bytes == NULL)
		return -ENOMEM;
	keyring_file_encode(content, master, bytes);
	if (copy_a)
		r = keyring_copy_replace(keyring->io, keyring->path_a, bytes, size);
	if (r == 0 && copy_b)
		r = keyring_copy_replace(keyring->io, keyring->path_b, bytes, size);
	free(bytes);
	return r;
}

static int ring_create(struct keyring *keyring, struct err *err)
{
	int r = keyring_directory_make(keyring->io, keyring->path_a);

	if (r == 0)
		r = keyring_directory_make(keyring->io, keyring->path_b);
	if (r == 0) {
		keyring->content.generation = 1;
		keyring->content.master_made_us = clock_wall_us();
		r = keyring_write(keyring, &keyring->content, keyring->master, true, true);
	}
	if (r < 0)
		return err_set(err, r, "%s, %s: cannot make the keyring: %s", keyring->path_a, keyring->path_b,
			       strerror(-r));
	return 0;
}

static int ring_search_failed(const struct keyring *keyring, const struct ring_search *search, struct err *err)
{
	const char *a = keyring->path_a;
	const char *b = keyring->path_b;

	if (search->failed != 0)
		return err_set(err, search->failed, "%s, %s: cannot read the keyring: %s", a, b,
			       strerror(-search->failed));
	if (search->escrow_refused)
		return err_set(err, -EKEYREJECTED,
			       "%s, %s: this is the escrow key, not the master key; make a new master key with "
			       "gantry-fsck DIR --master-key FILE --new-master FILE",
			       a, b);
	if (search->rejected)
		return err_set(err, -EKEYREJECTED,
			       "%s, %s: the master key does not open this keyring; give the one it was made with", a,
			       b);
	if (search->other_version)
		return err_set(err, -ENOTSUP, "%s, %s: keyring written by another version of Gantry", a, b);
	if (search->damaged)
		return err_set(err, -EBADMSG, "%s, %s: keyring damaged in both copies; restore one from backup", a, b);
	return err_set(err, -ENOENT, "%s, %s: there is no keyring", a, b);
}

/* What is older, damaged, missing or under a former master key is written anew; leftovers go. */
static int ring_mend(struct keyring *keyring, uint64_t a, uint64_t b, struct err *err)
{
	uint64_t current = keyring->content.generation;
	int r;

	if (a != current || b != current) {
		r = keyring_write(keyring, &keyring->content, keyring->master, a != current, b != current);
		if (r < 0)
			return err_set(err, r, "%s, %s: cannot mend a copy of the keyring: %s", keyring->path_a,
				       keyring->path_b, strerror(-r));
		keyring->copy_mended = true;
	}
	r = keyring_copy_sweep(keyring->io, keyring->path_a);
	if (r == 0)
		r = keyring_copy_sweep(keyring->io, keyring->path_b);
	if (r < 0)
		return err_set(err, r, "%s: cannot remove the former keyring: %s", keyring->path_a, strerror(-r));
	r = keyring_master_settle(keyring);
	if (r < 0)
		return err_set(err, r, "%s: cannot finish the rotation of the master key: %s", keyring->master_path,
			       strerror(-r));
	return 0;
}

static int ring_load(struct keyring *keyring, const struct keyring_options *options, const struct masters *masters,
		     struct err *err)
{
	struct ring_search search = {.masters = masters, .escrow = options->escrow};
	uint64_t a = ring_try(keyring, keyring->path_a, "", &search);
	uint64_t b = ring_try(keyring, keyring->path_b, "", &search);
	int r;

	if (!search.found) {
		/*
		 * A crash inside a replacement while the other copy was missing: the content lies beside its place.
		 * What lies there and does not open is no damage: a crash inside the very first write leaves such a
		 * piece.
		 */
		struct ring_search beside = search;

		(void)ring_try(keyring, keyring->path_a, ".tmp", &beside);
		(void)ring_try(keyring, keyring->path_b, ".tmp", &beside);
		(void)ring_try(keyring, keyring->path_a, ".old", &beside);
		(void)ring_try(keyring, keyring->path_b, ".old", &beside);
		search.found = beside.found;
		search.rejected |= beside.rejected;
		search.escrow_refused |= beside.escrow_refused;
	}
	if (!search.found) {
		r = ring_search_failed(keyring, &search, NULL);
		if (!options->create || options->read_only || r != -ENOENT)
			return ring_search_failed(keyring, &search, err);
		memcpy(keyring->master, masters->keys[0], KEY_SIZE);
		return ring_create(keyring, err);
	}
	keyring->file_size = keyring_file_size(&keyring->content);
	if (options->read_only || keyring->content.by_escrow)
		return 0;
	return ring_mend(keyring, a, b, err);
}

static int keyring_new(const struct keyring_options *options, struct io *io, struct keyring **ret_keyring)
{
	struct keyring *keyring;

	if (strlen(options->copy_a_path) >= KEYRING_PATH_MAX || strlen(options->copy_b_path) >= KEYRING_PATH_MAX ||
	    strlen(options->master_path) >= KEYRING_PATH_MAX)
		return -ENAMETOOLONG;
	keyring = calloc(1, sizeof(*keyring));
	if (keyring == NULL)
		return -ENOMEM;
	keyring->io = io;
	strcpy(keyring->path_a, options->copy_a_path);
	strcpy(keyring->path_b, options->copy_b_path);
	strcpy(keyring->master_path, options->master_path);
	keyring->read_only = options->read_only;
	(void)pthread_mutex_init(&keyring->lock, NULL);
	*ret_keyring = keyring;
	return 0;
}

/* The file's key and the one that a rotation was about to put in its place. Told: what is wrong with the file's own. */
static int masters_read(const struct keyring_options *options, struct io *io, struct err *err, struct masters *masters)
{
	char fresh[KEYRING_PATH_MAX + 8];
	int r;

	(void)snprintf(fresh, sizeof(fresh), "%s" KEYRING_MASTER_NEW, options->master_path);
	if (keyring_master_read(fresh, io, NULL, masters->keys[1]) == 0)
		masters->count = 1;
	if (options->create && !options->read_only && masters->count == 0) {
		r = keyring_master_make(options->master_path, io, err);
		if (r < 0)
			return r;
	}
	r = keyring_master_read(options->master_path, io, masters->count > 0 ? NULL : err, masters->keys[0]);
	if (r == 0)
		masters->count++;
	else if (masters->count > 0)
		memcpy(masters->keys[0], masters->keys[1], KEY_SIZE);
	return masters->count > 0 ? 0 : r;
}

int keyring_open(const struct keyring_options *options, struct io *io, struct err *err, struct keyring **ret_keyring)
{
	struct masters masters = {.count = 0};
	struct keyring *keyring;
	int r = keyring_new(options, io, &keyring);

	if (r < 0)
		return err_set(err, r, "keyring: %s", strerror(-r));
	r = masters_read(options, io, err, &masters);
	if (r == 0)
		r = ring_load(keyring, options, &masters, err);
	bytes_wipe(&masters, sizeof(masters));
	if (r < 0) {
		keyring_free(keyring);
		return r;
	}
	keyring->generation_last = keyring->content.generation;
	*ret_keyring = keyring;
	return 0;
}

struct keyring *keyring_free(struct keyring *keyring)
{
	if (keyring == NULL)
		return NULL;
	keyring_content_fini(&keyring->content);
	bytes_wipe(keyring->master, sizeof(keyring->master));
	(void)pthread_mutex_destroy(&keyring->lock);
	free(keyring);
	return NULL;
}
