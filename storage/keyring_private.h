/* The inside of a keyring, for keyring.c, keyring_open.c and keyring_rotate.c alone. */
#ifndef GANTRY_STORAGE_KEYRING_PRIVATE_H
#define GANTRY_STORAGE_KEYRING_PRIVATE_H

#include <pthread.h>

#include "storage/keyring.h"
#include "storage/keyring_copy.h"
#include "storage/keyring_file.h"

struct keyring {
	pthread_mutex_t lock; /* of all below */
	struct io *io;
	char path_a[KEYRING_PATH_MAX];
	char path_b[KEYRING_PATH_MAX];
	char master_path[KEYRING_PATH_MAX];
	uint8_t master[KEY_SIZE]; /* the escrow key when opened by it */
	struct keyring_content content;
	uint64_t generation_last; /* last one tried */
	bool unsettled; /* the last try failed: a copy may be ahead of us, even «no change» must be written */
	bool read_only;
	size_t file_size;
	bool copy_mended;
};

/* keyring_open.c: writes the content as it is, under `master`. */
int keyring_write(struct keyring *keyring, const struct keyring_content *content, const uint8_t master[KEY_SIZE],
		  bool copy_a, bool copy_b);

/*
 * keyring_rotate.c: makes the master key's files say that `keyring->master` is the one: finishes the renames of a
 * rotation, or removes the new key that nothing was wrapped under.
 */
int keyring_master_settle(struct keyring *keyring);

/* keyring.c, lock held. A copy with room for `entries` more keys and `days` more marks. */
int keyring_content_copy(const struct keyring_content *from, size_t entries, size_t days,
			 struct keyring_content *ret_copy);
/*
 * A new generation under `master`, which becomes the ring's own on success. Takes the content, whatever comes of it.
 */
int keyring_commit(struct keyring *keyring, struct keyring_content *content, const uint8_t master[KEY_SIZE]);
/* True when there was one. */
bool keyring_content_destroy(struct keyring_content *content, struct key_id id);
/* Keeps the order; -EEXIST. There must be room. */
int keyring_content_add(struct keyring_content *content, struct key_id id, const uint8_t key[KEY_SIZE]);

#endif
