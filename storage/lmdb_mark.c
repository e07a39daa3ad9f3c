/*
 * The mark of an orderly close: a line of text, "gantry-lmdb 1 <size> <XXH3-128 of data.mdb>". It is there only while
 * the environment is closed: whoever opens it for writing removes it first.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "storage/lmdb_check.h"

#define PATH_SIZE 4200
#define MARK_NAME "clean"
#define MARK_TEXT_SIZE 96
#define READ_SIZE (1u << 20)

static int mark_path(const char *directory, const char *suffix, char path[PATH_SIZE])
{
	return snprintf(path, PATH_SIZE, "%s/" MARK_NAME "%s", directory, suffix) < PATH_SIZE ? 0 : -ENAMETOOLONG;
}

static int directory_sync(const char *directory)
{
	int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = fd < 0 || fsync(fd) < 0 ? -errno : 0;

	if (fd >= 0)
		(void)close(fd);
	return r;
}

/* The mark's text for the file as it is. */
static int mark_make(int fd, uint64_t size, char text[MARK_TEXT_SIZE])
{
	XXH3_state_t *state = XXH3_createState();
	uint8_t *buffer = malloc(READ_SIZE);
	XXH128_hash_t hash;
	ssize_t count = 0;
	int r = state != NULL && buffer != NULL ? 0 : -ENOMEM;

	if (r == 0)
		(void)XXH3_128bits_reset(state);
	for (uint64_t at = 0; r == 0 && at < size; at += (uint64_t)count) {
		count = pread(fd, buffer, READ_SIZE, (off_t)at);
		if (count <= 0)
			r = count < 0 ? -errno : -EBADMSG;
		else
			(void)XXH3_128bits_update(state, buffer, (size_t)count);
	}
	if (r == 0) {
		hash = XXH3_128bits_digest(state);
		(void)snprintf(text, MARK_TEXT_SIZE, "gantry-lmdb 1 %llu %016llx%016llx\n", (unsigned long long)size,
			       (unsigned long long)hash.high64, (unsigned long long)hash.low64);
	}
	free(buffer);
	(void)XXH3_freeState(state);
	return r;
}

int lmdb_mark_compare(const char *directory, int fd, uint64_t size, struct err *err)
{
	char path[PATH_SIZE];
	char text[MARK_TEXT_SIZE] = {0};
	char expected[MARK_TEXT_SIZE];
	FILE *file;
	int r = mark_path(directory, "", path);

	if (r < 0)
		return r;
	file = fopen(path, "re");
	if (file == NULL)
		return errno == ENOENT ? 0 : -errno;
	text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
	(void)fclose(file);
	if (fd < 0)
		return err_set(err, -EBADMSG, "missing, yet there was one: \"" MARK_NAME "\" beside it says so");
	r = mark_make(fd, size, expected);
	if (r < 0)
		return r;
	return strcmp(text, expected) == 0
		       ? 0
		       : err_set(err, -EBADMSG, "is not what was closed: \"" MARK_NAME "\" beside it says otherwise");
}

int lmdb_mark_remove(const char *directory)
{
	char path[PATH_SIZE];
	int r = mark_path(directory, "", path);

	if (r < 0)
		return r;
	if (unlink(path) < 0)
		return errno == ENOENT ? 0 : -errno;
	return directory_sync(directory);
}

static int text_write(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	size_t size = strlen(text);
	int r = fd < 0 ? -errno : 0;

	if (r == 0 && (write(fd, text, size) != (ssize_t)size || fsync(fd) < 0))
		r = errno != 0 ? -errno : -EIO;
	if (fd >= 0)
		(void)close(fd);
	return r;
}

int lmdb_mark_write(const char *directory)
{
	char data[PATH_SIZE], path[PATH_SIZE], fresh[PATH_SIZE];
	char text[MARK_TEXT_SIZE];
	struct stat status;
	int fd = snprintf(data, sizeof(data), "%s/data.mdb", directory) < PATH_SIZE ? open(data, O_RDONLY | O_CLOEXEC)
										    : -1;
	int r = fd < 0 || fstat(fd, &status) < 0 ? -errno : 0;

	if (r == 0)
		r = mark_make(fd, (uint64_t)status.st_size, text);
	if (r == 0)
		r = mark_path(directory, "", path);
	if (r == 0)
		r = mark_path(directory, ".tmp", fresh);
	if (r == 0)
		r = text_write(fresh, text);
	if (r == 0 && rename(fresh, path) < 0)
		r = -errno;
	if (r == 0)
		r = directory_sync(directory);
	if (fd >= 0)
		(void)close(fd);
	return r;
}
