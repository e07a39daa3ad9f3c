#include "storage/keyring_copy.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/bytes.h"
#include "storage/io.h"
#include "storage/keyring_file.h"

#define SHRED_BLOCK 65536

static int copy_path(const char *path, const char *suffix, char ret_path[KEYRING_PATH_MAX])
{
	int n = snprintf(ret_path, KEYRING_PATH_MAX, "%s%s", path, suffix);

	return n < 0 || n >= KEYRING_PATH_MAX ? -ENAMETOOLONG : 0;
}

int keyring_directory(const char *path, char ret_directory[KEYRING_PATH_MAX])
{
	const char *slash = strrchr(path, '/');
	size_t size = slash == NULL ? 0 : (size_t)(slash - path);

	if (slash == NULL)
		return copy_path(".", "", ret_directory);
	if (size == 0)
		return copy_path("/", "", ret_directory);
	if (size >= KEYRING_PATH_MAX)
		return -ENAMETOOLONG;
	memcpy(ret_directory, path, size);
	ret_directory[size] = '\0';
	return 0;
}

int keyring_directory_make(struct io *io, const char *path)
{
	char directory[KEYRING_PATH_MAX];
	char above[KEYRING_PATH_MAX];
	int r = keyring_directory(path, directory);

	if (r == 0)
		r = keyring_directory(directory, above);
	if (r == 0)
		r = io->ops->mkdir(io, directory);
	return r < 0 ? r : io->ops->dir_sync(io, above);
}

static int copy_load(struct io_file *file, const uint8_t *master, struct keyring_content *ret_content)
{
	uint64_t size;
	int64_t n;
	void *bytes;
	int r = file->ops->size(file, &size);

	if (r < 0)
		return r;
	if (size > KEYRING_FILE_SIZE_MAX)
		return -EBADMSG;
	bytes = malloc(size + 1);
	if (bytes == NULL)
		return -ENOMEM;
	n = file->ops->read(file, 0, bytes, size);
	r = n < 0 ? (int)n : keyring_file_decode(bytes, (size_t)n, master, ret_content);
	free(bytes);
	return r;
}

int keyring_copy_read(struct io *io, const char *path, const char *suffix, const uint8_t *master,
		      struct keyring_content *ret_content)
{
	char full[KEYRING_PATH_MAX];
	struct io_file *file;
	int r = copy_path(path, suffix, full);

	if (r < 0)
		return r;
	r = io->ops->open(io, full, IO_READ, &file);
	if (r < 0)
		return r;
	r = copy_load(file, master, ret_content);
	file->ops->close(file);
	return r;
}

static int shred_content(struct io_file *file)
{
	static const uint8_t zeros[SHRED_BLOCK];
	uint64_t size;
	int r = file->ops->size(file, &size);

	for (uint64_t at = 0; r == 0 && at < size; at += SHRED_BLOCK)
		r = file->ops->write(file, at, zeros, size - at < SHRED_BLOCK ? size - at : SHRED_BLOCK);
	if (r == 0)
		r = file->ops->sync(file);
	if (r == 0)
		(void)file->ops->punch(file); /* not every file system can; the content is overwritten already */
	return r;
}

int keyring_shred(struct io *io, const char *path)
{
	struct io_file *file;
	int r = io->ops->open(io, path, IO_WRITE, &file);

	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return r;
	r = shred_content(file);
	file->ops->close(file);
	return r < 0 ? r : io->ops->unlink(io, path);
}

static int copy_shred(struct io *io, const char *path, const char *suffix)
{
	char full[KEYRING_PATH_MAX];
	int r = copy_path(path, suffix, full);

	return r < 0 ? r : keyring_shred(io, full);
}

static int copy_write_new(struct io *io, const char *path, const void *bytes, size_t size)
{
	struct io_file *file;
	int r = io->ops->open(io, path, IO_WRITE | IO_CREATE, &file);

	if (r < 0)
		return r;
	r = file->ops->write(file, 0, bytes, size);
	if (r == 0)
		r = file->ops->sync(file);
	file->ops->close(file);
	return r;
}

int keyring_copy_sweep(struct io *io, const char *path)
{
	int r = copy_shred(io, path, ".tmp");

	return r < 0 ? r : copy_shred(io, path, ".old");
}

int keyring_copy_replace(struct io *io, const char *path, const void *bytes, size_t size)
{
	char directory[KEYRING_PATH_MAX];
	char fresh[KEYRING_PATH_MAX];
	char old[KEYRING_PATH_MAX];
	int r = keyring_directory(path, directory);

	if (r == 0)
		r = copy_path(path, ".tmp", fresh);
	if (r == 0)
		r = copy_path(path, ".old", old);
	if (r == 0)
		r = copy_shred(io, path, ".tmp");
	if (r == 0)
		r = copy_write_new(io, fresh, bytes, size);
	if (r == 0)
		r = copy_shred(io, path, ".old");
	if (r == 0)
		r = io->ops->rename(io, path, old);
	if (r == -ENOENT)
		r = 0; /* the copy's first time, or it was lost */
	if (r == 0)
		r = io->ops->rename(io, fresh, path);
	if (r == 0)
		r = io->ops->dir_sync(io, directory);
	return r < 0 ? r : copy_shred(io, path, ".old");
}
