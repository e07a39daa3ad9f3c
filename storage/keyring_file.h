/*
 * The bytes of a keyring copy (docs/disk-format.md): a header with the key-encrypting key wrapped by the master key,
 * the entries sealed under it, a checksum. Pure functions but for the randomness of a fresh KEK and its nonces.
 */
#ifndef GANTRY_STORAGE_KEYRING_FILE_H
#define GANTRY_STORAGE_KEYRING_FILE_H

#include "storage/keyring.h"

#define KEYRING_FILE_SIZE_MAX (64u << 20)

struct keyring_entry {
	struct key_id id;
	uint8_t key[KEY_SIZE];
};

struct keyring_content {
	uint64_t generation;
	struct keyring_entry *entries; /* in the order of keyring_entry_order */
	size_t entry_count;
	int32_t *days; /* destroyed, ascending */
	size_t day_count;
	int64_t master_made_us;
	int64_t escrow_made_us; /* of the key of kind KEY_ESCROW, when there is one */
	bool by_escrow;         /* decoded: it was the escrow key that opened it */
};

int keyring_id_order(const struct key_id *a, const struct key_id *b);

/* The entry of kind KEY_ESCROW, or NULL. */
const struct keyring_entry *keyring_content_escrow(const struct keyring_content *content);

/* Wipes and frees what it holds; the struct itself is the caller's. */
void keyring_content_fini(struct keyring_content *content);

size_t keyring_file_size(const struct keyring_content *content);
/* Under a KEK made for this one file, wrapped by the master key, and by the entry of kind KEY_ESCROW when there is one.
 */
void keyring_file_encode(const struct keyring_content *content, const uint8_t master[KEY_SIZE], void *ret_bytes);

/*
 * -EBADMSG: not a ring, damaged, or entries out of order; -EKEYREJECTED: whole, but wrapped by another master key;
 * -ENOTSUP: of another version; -ENOMEM. ret untouched. `master` may be the escrow key: by_escrow tells.
 */
int keyring_file_decode(const void *bytes, size_t size, const uint8_t master[KEY_SIZE],
			struct keyring_content *ret_content);

#endif
