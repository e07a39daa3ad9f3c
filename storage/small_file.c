#include "storage/small_file.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>

#include "storage/io.h"
#include "storage/layout.h"

static int path_make(char path[LAYOUT_PATH_SIZE], const char *directory, const char *name, const char *suffix)
{
	return snprintf(path, LAYOUT_PATH_SIZE, "%s/%s%s", directory, name, suffix) < LAYOUT_PATH_SIZE ? 0
												       : -ENAMETOOLONG;
}

int small_file_write(struct io *io, const char *directory, const char *name, const void *bytes, size_t size)
{
	char temporary[LAYOUT_PATH_SIZE];
	char path[LAYOUT_PATH_SIZE];
	struct io_file *file;
	int result = path_make(path, directory, name, "");

	if (result == 0)
		result = path_make(temporary, directory, name, ".tmp");
	if (result < 0)
		return result;
	(void)io->ops->unlink(io, temporary);
	result = io->ops->open(io, temporary, IO_WRITE | IO_CREATE, &file);
	if (result < 0)
		return result;
	result = file->ops->write_sync(file, 0, bytes, size);
	file->ops->close(file);
	if (result == 0)
		result = io->ops->rename(io, temporary, path);
	return result < 0 ? result : io->ops->dir_sync(io, directory);
}

int small_file_read(struct io *io, const char *directory, const char *name, void *ret_bytes, size_t capacity,
		    size_t *ret_size)
{
	char path[LAYOUT_PATH_SIZE];
	struct io_file *file;
	int64_t size;
	int result = path_make(path, directory, name, "");

	if (result == 0)
		result = io->ops->open(io, path, IO_READ, &file);
	if (result < 0)
		return result;
	size = file->ops->read(file, 0, ret_bytes, capacity);
	file->ops->close(file);
	if (size < 0)
		return (int)size;
	*ret_size = (size_t)size;
	return 0;
}
