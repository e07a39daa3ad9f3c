#include "storage/sealed_cache.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/aead.h"
#include "appliance/base/bytes.h"
#include "appliance/base/digest.h"
#include "storage/io.h"
#include "storage/keyring.h"
#include "storage/layout.h"
#include "storage/small_file.h"

#define CACHE_MAGIC UINT64_C(0x3148434352544e47) /* "GNTRCCH1" */
#define CACHE_SIZE_MAX (UINT64_C(1) << 31)
#define CACHE_SUFFIX ".cache"

enum { AT_MAGIC = 0, AT_SIZE = 8, AT_SALT = 16, AT_TAG = 48, HEADER_SIZE = 64 };
enum { SALT_SIZE = AT_TAG - AT_SALT };

/* A key of its own for each file that was ever written: so the nonce may stay zero. The name is part of it. */
static int cache_key(struct keyring *keyring, const char *name, const uint8_t salt[SALT_SIZE], struct aead_key *ret_key)
{
	const struct key_id id = {.id = 0, .day = KEY_DAY_NONE, .kind = KEY_REGISTER};
	uint8_t secret[KEY_SIZE], bytes[AEAD_KEY_SIZE];
	char info[128];
	int result = keyring_get(keyring, id, secret);

	if (result < 0)
		return result;
	(void)snprintf(info, sizeof(info), "gantry cache %s", name);
	hkdf_sha256(salt, SALT_SIZE, secret, sizeof(secret), info, strlen(info), bytes, sizeof(bytes));
	aead_key_init(ret_key, bytes);
	bytes_wipe(secret, sizeof(secret));
	bytes_wipe(bytes, sizeof(bytes));
	return 0;
}

/* What is about to be replaced; a cache that cannot be discarded is replaced all the same. */
static void discard(struct io *io, const char *directory, const char *file_name)
{
	char path[LAYOUT_PATH_SIZE];
	struct io_file *file;

	if (snprintf(path, sizeof(path), "%s/%s", directory, file_name) >= LAYOUT_PATH_SIZE ||
	    io->ops->open(io, path, IO_WRITE, &file) < 0)
		return;
	(void)io->ops->punch(file);
	io->ops->close(file);
}

int sealed_cache_put(struct io *io, struct keyring *keyring, const char *directory, const char *name, const void *bytes,
		     size_t size)
{
	static const uint8_t nonce[AEAD_NONCE_SIZE];
	char file_name[128];
	struct aead_key key;
	uint8_t *sealed;
	int result;

	if (size > CACHE_SIZE_MAX)
		return -EFBIG;
	sealed = malloc(HEADER_SIZE + size);
	if (sealed == NULL)
		return -ENOMEM;
	le64_put(sealed + AT_MAGIC, CACHE_MAGIC);
	le64_put(sealed + AT_SIZE, size);
	random_bytes(sealed + AT_SALT, SALT_SIZE);
	result = cache_key(keyring, name, sealed + AT_SALT, &key);
	if (result == 0) {
		aead_seal(&key, nonce, sealed, AT_TAG, bytes, size, sealed + HEADER_SIZE, sealed + AT_TAG);
		aead_key_fini(&key);
		(void)snprintf(file_name, sizeof(file_name), "%s" CACHE_SUFFIX, name);
		discard(io, directory, file_name);
		result = small_file_write(io, directory, file_name, sealed, HEADER_SIZE + size);
	}
	free(sealed);
	return result;
}

/* The file whole, with its head checked. */
static int cache_read(struct io *io, const char *directory, const char *name, uint8_t **ret_bytes, size_t *ret_size)
{
	char path[LAYOUT_PATH_SIZE];
	struct io_file *file;
	uint8_t *bytes = NULL;
	uint64_t size = 0;
	int result;

	if (snprintf(path, sizeof(path), "%s/%s" CACHE_SUFFIX, directory, name) >= LAYOUT_PATH_SIZE)
		return -ENAMETOOLONG;
	if ((result = io->ops->open(io, path, IO_READ, &file)) < 0)
		return result;
	result = io->ops->size(file, &size);
	if (result == 0 && (size < HEADER_SIZE || size > HEADER_SIZE + CACHE_SIZE_MAX))
		result = -EBADMSG;
	if (result == 0 && (bytes = malloc(size)) == NULL)
		result = -ENOMEM;
	if (result == 0) {
		int64_t count = io->ops->read(file, 0, bytes, size);

		result = count < 0 ? (int)count : (uint64_t)count == size ? 0 : -EBADMSG;
	}
	io->ops->close(file);
	if (result == 0 &&
	    (le64_get(bytes + AT_MAGIC) != CACHE_MAGIC || le64_get(bytes + AT_SIZE) != size - HEADER_SIZE))
		result = -EBADMSG;
	if (result < 0) {
		free(bytes);
		return result;
	}
	*ret_bytes = bytes;
	*ret_size = (size_t)size;
	return 0;
}

int sealed_cache_get(struct io *io, struct keyring *keyring, const char *directory, const char *name, void **ret_bytes,
		     size_t *ret_size)
{
	static const uint8_t nonce[AEAD_NONCE_SIZE];
	uint8_t *sealed, *bytes;
	struct aead_key key;
	size_t size;
	int result = cache_read(io, directory, name, &sealed, &size);

	if (result < 0)
		return result;
	bytes = malloc(size - HEADER_SIZE + 1);
	result = bytes == NULL ? -ENOMEM : cache_key(keyring, name, sealed + AT_SALT, &key);
	if (result == 0) {
		result = aead_open(&key, nonce, sealed, AT_TAG, sealed + HEADER_SIZE, size - HEADER_SIZE, bytes,
				   sealed + AT_TAG);
		aead_key_fini(&key);
	}
	free(sealed);
	if (result < 0) {
		free(bytes);
		return result;
	}
	*ret_bytes = bytes;
	*ret_size = size - HEADER_SIZE;
	return 0;
}
