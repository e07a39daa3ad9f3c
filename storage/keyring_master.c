#include "storage/keyring_master.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "appliance/base/bytes.h"
#include "appliance/base/digest.h"
#include "storage/io.h"
#include "storage/keyring_copy.h"

#define MASTER_TEXT_SIZE (2 * KEY_SIZE)

int keyring_master_read(const char *path, struct io *io, struct err *err, uint8_t ret_master[KEY_SIZE])
{
	char text[MASTER_TEXT_SIZE + 2] = {0};
	struct io_file *file;
	int64_t n;
	int r = io->ops->open(io, path, IO_READ | IO_PRIVATE, &file);

	if (r == -EPERM)
		return err_set(err, r, "%s: master key file is open to others; chmod 600 it", path);
	if (r < 0)
		return err_set(err, r, "%s: master key file: %s", path, strerror(-r));
	n = file->ops->read(file, 0, text, sizeof(text));
	file->ops->close(file);
	if (n < 0)
		return err_set(err, (int)n, "%s: master key file: %s", path, strerror((int)-n));
	if (n == MASTER_TEXT_SIZE + 1 && text[MASTER_TEXT_SIZE] == '\n')
		text[MASTER_TEXT_SIZE] = '\0';
	else if (n != MASTER_TEXT_SIZE)
		n = -1;
	r = n < 0 ? -EINVAL : hex_decode(text, ret_master, KEY_SIZE);
	bytes_wipe(text, sizeof(text));
	if (r < 0)
		return err_set(err, -EINVAL, "%s: master key file: not 64 hex digits and a newline", path);
	return 0;
}

static int master_write(struct io_file *file, const uint8_t master[KEY_SIZE])
{
	char text[MASTER_TEXT_SIZE + 1];
	int r;

	hex_encode(master, KEY_SIZE, text);
	text[MASTER_TEXT_SIZE] = '\n';
	r = file->ops->write(file, 0, text, sizeof(text));
	bytes_wipe(text, sizeof(text));
	return r < 0 ? r : file->ops->sync(file);
}

static bool master_exists(const char *path, struct io *io)
{
	struct io_file *file;
	int r = io->ops->open(io, path, IO_READ, &file);

	if (r == 0)
		file->ops->close(file);
	return r != -ENOENT;
}

int keyring_master_put(const char *path, struct io *io, const uint8_t master[KEY_SIZE])
{
	char directory[KEYRING_PATH_MAX];
	struct io_file *file;
	int r = keyring_directory(path, directory);

	if (r == 0)
		r = io->ops->open(io, path, IO_WRITE | IO_CREATE, &file);
	if (r < 0)
		return r;
	r = master_write(file, master);
	file->ops->close(file);
	return r < 0 ? r : io->ops->dir_sync(io, directory);
}

int keyring_master_make(const char *path, struct io *io, struct err *err)
{
	char directory[KEYRING_PATH_MAX];
	char fresh[KEYRING_PATH_MAX];
	uint8_t master[KEY_SIZE];
	int r;

	if (master_exists(path, io))
		return 0;
	r = keyring_directory_make(io, path);
	if (r == 0)
		r = keyring_directory(path, directory);
	if (r == 0 && snprintf(fresh, sizeof(fresh), "%s.tmp", path) >= (int)sizeof(fresh))
		r = -ENAMETOOLONG;
	if (r == 0) {
		(void)io->ops->unlink(io, fresh); /* of a first start that was cut short */
		random_bytes(master, sizeof(master));
		r = keyring_master_put(fresh, io, master);
		bytes_wipe(master, sizeof(master));
	}
	if (r == 0)
		r = io->ops->rename(io, fresh, path);
	if (r == 0)
		r = io->ops->dir_sync(io, directory);
	if (r < 0)
		return err_set(err, r, "%s: cannot make the master key file: %s", path, strerror(-r));
	return 0;
}
