#include "storage/register_blob.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/aead.h"
#include "appliance/base/bytes.h"
#include "appliance/base/digest.h"
#include "storage/io.h"

#define BLOB_MAGIC UINT64_C(0x31424c4252544e47) /* "GNTRBLB1" */
#define BLOB_VERSION 1
#define BLOB_SIZE_MAX (UINT64_C(1) << 31)
#define PATH_SIZE 4096
#define NAME_TEXT_SIZE (2 * REG_BLOB_NAME_SIZE + 1)

enum { AT_MAGIC = 0, AT_VERSION = 8, AT_SIZE = 16, AT_TAG = 24, HEADER_SIZE = 40 };

static void blob_path(const struct reg_blobs *blobs, const uint8_t *name, const char *suffix, char path[PATH_SIZE])
{
	char text[NAME_TEXT_SIZE];

	snprintf(path, PATH_SIZE, "%s/%s.%s", blobs->directory, hex_encode(name, REG_BLOB_NAME_SIZE, text), suffix);
}

/* A key of its own for each content: so the nonce may stay zero. */
static void blob_key(const struct reg_blobs *blobs, const uint8_t *name, struct aead_key *ret_key)
{
	uint8_t bytes[AEAD_KEY_SIZE];

	hkdf_sha256(name, REG_BLOB_NAME_SIZE, blobs->key, sizeof(blobs->key), "gantry blob", 11, bytes, sizeof(bytes));
	aead_key_init(ret_key, bytes);
	bytes_wipe(bytes, sizeof(bytes));
}

struct names {
	char (*texts)[NAME_TEXT_SIZE + 8];
	size_t count;
	size_t capacity;
};

static int name_collect(void *context, const char *name)
{
	struct names *names = context;

	if (strlen(name) >= sizeof(names->texts[0]))
		return 0;
	if (names->count == names->capacity) {
		size_t capacity = names->capacity * 2 + 16;
		void *texts = realloc(names->texts, capacity * sizeof(names->texts[0]));

		if (texts == NULL)
			return -ENOMEM;
		names->texts = texts;
		names->capacity = capacity;
	}
	strcpy(names->texts[names->count++], name);
	return 0;
}

static bool name_ends(const char *name, const char *suffix)
{
	size_t size = strlen(name);

	return size == NAME_TEXT_SIZE - 1 + strlen(suffix) && strcmp(name + NAME_TEXT_SIZE - 1, suffix) == 0;
}

static int unfinished_remove(struct reg_blobs *blobs)
{
	const struct io_ops *ops = blobs->io->ops;
	struct names names = {0};
	char path[PATH_SIZE];
	int result = ops->list(blobs->io, blobs->directory, name_collect, &names);

	for (size_t i = 0; result == 0 && i < names.count; i++) {
		if (!name_ends(names.texts[i], ".tmp"))
			continue;
		snprintf(path, sizeof(path), "%s/%s", blobs->directory, names.texts[i]);
		result = ops->unlink(blobs->io, path);
	}
	free(names.texts);
	return result;
}

int reg_blobs_init(struct reg_blobs *blobs, const char *directory, const uint8_t key[32], struct io *io)
{
	int result;

	if (strlen(directory) >= sizeof(blobs->directory))
		return -ENAMETOOLONG;
	blobs->io = io;
	strcpy(blobs->directory, directory);
	memcpy(blobs->key, key, sizeof(blobs->key));
	result = io->ops->mkdir(io, directory);
	return result == 0 ? unfinished_remove(blobs) : result;
}

void reg_blobs_fini(struct reg_blobs *blobs)
{
	bytes_wipe(blobs->key, sizeof(blobs->key));
}

static int file_write(struct reg_blobs *blobs, const char *path, const uint8_t *bytes, size_t size)
{
	const struct io_ops *ops = blobs->io->ops;
	struct io_file *file;
	int result = ops->open(blobs->io, path, IO_WRITE | IO_CREATE, &file);

	if (result < 0)
		return result;
	result = ops->write_sync(file, 0, bytes, size);
	ops->close(file);
	return result;
}

int reg_blobs_put(struct reg_blobs *blobs, const void *bytes, size_t size, uint8_t ret_name[REG_BLOB_NAME_SIZE])
{
	const struct io_ops *ops = blobs->io->ops;
	static const uint8_t nonce[AEAD_NONCE_SIZE];
	uint8_t name[REG_BLOB_NAME_SIZE];
	struct aead_key key;
	char temporary[PATH_SIZE];
	char path[PATH_SIZE];
	uint8_t *sealed;
	int result;

	if (size > BLOB_SIZE_MAX)
		return -EFBIG;
	hmac_sha256(blobs->key, sizeof(blobs->key), bytes, size, name);
	sealed = malloc(HEADER_SIZE + size);
	if (sealed == NULL)
		return -ENOMEM;
	memset(sealed, 0, HEADER_SIZE);
	le64_put(sealed + AT_MAGIC, BLOB_MAGIC);
	le16_put(sealed + AT_VERSION, BLOB_VERSION);
	le64_put(sealed + AT_SIZE, size);
	blob_key(blobs, name, &key);
	aead_seal(&key, nonce, sealed, AT_TAG, bytes, size, sealed + HEADER_SIZE, sealed + AT_TAG);
	aead_key_fini(&key);
	/* Written even when the name is taken: what stands there may be damaged, and is now mended. */
	blob_path(blobs, name, "tmp", temporary);
	blob_path(blobs, name, "blob", path);
	(void)ops->unlink(blobs->io, temporary);
	result = file_write(blobs, temporary, sealed, HEADER_SIZE + size);
	free(sealed);
	if (result == 0)
		result = ops->rename(blobs->io, temporary, path);
	if (result == 0)
		result = ops->dir_sync(blobs->io, blobs->directory);
	if (result < 0) {
		(void)ops->unlink(blobs->io, temporary);
		return result;
	}
	memcpy(ret_name, name, sizeof(name));
	return 0;
}

/* The file whole; -EBADMSG when its length is not what its header says. */
static int file_read(struct reg_blobs *blobs, const char *path, uint8_t **ret_bytes, uint64_t *ret_size)
{
	const struct io_ops *ops = blobs->io->ops;
	struct io_file *file;
	uint8_t *bytes = NULL;
	uint64_t size = 0;
	int result = ops->open(blobs->io, path, IO_READ, &file);

	if (result < 0)
		return result;
	result = ops->size(file, &size);
	if (result == 0 && (size < HEADER_SIZE || size > HEADER_SIZE + BLOB_SIZE_MAX))
		result = -EBADMSG;
	if (result == 0 && (bytes = malloc(size)) == NULL)
		result = -ENOMEM;
	if (result == 0) {
		int64_t count = ops->read(file, 0, bytes, size);

		result = count < 0 ? (int)count : (uint64_t)count == size ? 0 : -EBADMSG;
	}
	ops->close(file);
	if (result == 0 && (le64_get(bytes + AT_MAGIC) != BLOB_MAGIC || le16_get(bytes + AT_VERSION) != BLOB_VERSION ||
			    le64_get(bytes + AT_SIZE) != size - HEADER_SIZE))
		result = -EBADMSG;
	if (result < 0) {
		free(bytes);
		return result;
	}
	*ret_bytes = bytes;
	*ret_size = size;
	return 0;
}

int reg_blobs_get(struct reg_blobs *blobs, const uint8_t name[REG_BLOB_NAME_SIZE], struct err *err, void **ret_bytes,
		  size_t *ret_size)
{
	static const uint8_t nonce[AEAD_NONCE_SIZE];
	struct aead_key key;
	char path[PATH_SIZE];
	uint8_t *bytes;
	uint64_t size;
	int result;

	blob_path(blobs, name, "blob", path);
	result = file_read(blobs, path, &bytes, &size);
	if (result == 0) {
		uint8_t tag[AEAD_TAG_SIZE];
		uint8_t header[AT_TAG];

		memcpy(header, bytes, AT_TAG);
		memcpy(tag, bytes + AT_TAG, sizeof(tag));
		memmove(bytes, bytes + HEADER_SIZE, size - HEADER_SIZE);
		blob_key(blobs, name, &key);
		result = aead_open(&key, nonce, header, AT_TAG, bytes, size - HEADER_SIZE, bytes, tag);
		aead_key_fini(&key);
		if (result < 0)
			free(bytes);
	}
	if (result == -ENOENT)
		return err_set(err, result, "%s: missing; load the list again", path);
	if (result == -EBADMSG)
		return err_set(err, result, "%s: damaged; load the list again", path);
	if (result < 0)
		return err_set(err, result, "%s: %s", path, strerror(-result));
	*ret_bytes = bytes;
	*ret_size = size - HEADER_SIZE;
	return 0;
}

bool reg_blobs_exists(struct reg_blobs *blobs, const uint8_t name[REG_BLOB_NAME_SIZE])
{
	struct io_file *file;
	char path[PATH_SIZE];

	blob_path(blobs, name, "blob", path);
	if (blobs->io->ops->open(blobs->io, path, IO_READ, &file) < 0)
		return false;
	file->ops->close(file);
	return true;
}

int reg_blobs_remove(struct reg_blobs *blobs, const uint8_t name[REG_BLOB_NAME_SIZE])
{
	const struct io_ops *ops = blobs->io->ops;
	struct io_file *file;
	char path[PATH_SIZE];
	int result;

	blob_path(blobs, name, "blob", path);
	result = ops->open(blobs->io, path, IO_WRITE, &file);
	if (result == -ENOENT)
		return 0;
	if (result == 0) {
		(void)ops->punch(file);
		ops->close(file);
	}
	return ops->unlink(blobs->io, path);
}

int reg_blobs_each(struct reg_blobs *blobs, int (*each)(void *context, const uint8_t name[REG_BLOB_NAME_SIZE]),
		   void *context)
{
	struct names names = {0};
	int result = blobs->io->ops->list(blobs->io, blobs->directory, name_collect, &names);

	for (size_t i = 0; result == 0 && i < names.count; i++) {
		uint8_t name[REG_BLOB_NAME_SIZE];

		if (!name_ends(names.texts[i], ".blob"))
			continue;
		names.texts[i][NAME_TEXT_SIZE - 1] = '\0';
		if (hex_decode(names.texts[i], name, sizeof(name)) == 0)
			result = each(context, name);
	}
	free(names.texts);
	return result;
}
