#include "bench/suite_room.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include <dirent.h>

#define MARK "gantry-bench"
#define TMPFS_MAGIC_NUMBER 0x01021994
#define WALK_FILES 16

static volatile sig_atomic_t stopped; /* seconds of CLOCK_MONOTONIC, 0 not yet */

/* Told again, whoever tells it does not want to wait for the cleaning up; but one telling often comes twice, to the
 * process and to its group. */
static void on_stop(int number)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	if (stopped != 0 && now.tv_sec > stopped + 1)
		_exit(128 + number);
	if (stopped == 0)
		stopped = now.tv_sec > 0 ? (sig_atomic_t)now.tv_sec : 1;
}

void suite_room_guard(void)
{
	const struct sigaction action = {.sa_handler = on_stop};

	(void)sigaction(SIGINT, &action, NULL);
	(void)sigaction(SIGTERM, &action, NULL);
}

bool suite_room_stopped(void)
{
	return stopped != 0;
}

static int failed(struct err *err, const char *path)
{
	return err_set(err, -errno, "%s: %s", path, strerror(errno));
}

int suite_room_check(const char *directory, uint64_t bytes, struct err *err)
{
	struct statvfs disk;
	uint64_t available;

	if (statvfs(directory, &disk) < 0)
		return failed(err, directory);
	available = (uint64_t)disk.f_bavail * disk.f_frsize;
	if (available >= bytes)
		return 0;
	return err_set(err, -ENOSPC,
		       "%s: needs %.1f GB, %.1f GB are free: make room, give another --data, or ask for fewer reads",
		       directory, (double)bytes / 1e9, (double)available / 1e9);
}

/* Whether the suite made it: 1 yes, 0 it is empty, < 0 foreign. */
static int mark_look(const char *path, struct err *err)
{
	DIR *directory = opendir(path);
	struct dirent *entry;
	bool marked = false;
	bool empty = true;

	if (directory == NULL)
		return failed(err, path);
	while ((entry = readdir(directory)) != NULL) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		empty = false;
		marked = marked || strcmp(entry->d_name, MARK) == 0;
	}
	closedir(directory);
	if (marked)
		return 1;
	return empty ? 0
		     : err_set(err, -ENOTEMPTY, "%s: not empty and not made by gantry-bench: give another --data",
			       path);
}

static int mark_put(const char *path, struct err *err)
{
	char mark[SUITE_PATH_SIZE + sizeof(MARK)];
	int fd;

	snprintf(mark, sizeof(mark), "%s/" MARK, path);
	fd = open(mark, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return failed(err, mark);
	close(fd);
	return 0;
}

static bool on_disk(const char *path)
{
	struct statfs system;

	return path != NULL && statfs(path, &system) == 0 && system.f_type != TMPFS_MAGIC_NUMBER;
}

static int fresh_make(struct suite_room *room, struct err *err)
{
	const char *parent = getenv("TMPDIR");
	char name[SUITE_PATH_SIZE];

	if (!on_disk(parent))
		parent = ".";
	if (snprintf(name, sizeof(name), "%s/gantry-bench-XXXXXX", parent) >= (int)sizeof(name))
		return err_set(err, -ENAMETOOLONG, "%s: path too long", parent);
	if (mkdtemp(name) == NULL)
		return failed(err, name);
	snprintf(room->path, sizeof(room->path), "%s", name);
	return 1;
}

/* 1 made, 0 was there. */
static int given_take(const char *data, struct suite_room *room, struct err *err)
{
	if (snprintf(room->path, sizeof(room->path), "%s", data) >= (int)sizeof(room->path))
		return err_set(err, -ENAMETOOLONG, "--data: path too long");
	if (mkdir(data, 0700) == 0)
		return 1;
	if (errno != EEXIST)
		return failed(err, data);
	return mark_look(data, err) < 0 ? -ENOTEMPTY : 0;
}

static int path_resolve(struct suite_room *room, struct err *err)
{
	char *whole = realpath(room->path, NULL);

	if (whole == NULL)
		return failed(err, room->path);
	/* Names below it have to fit too. */
	if (strlen(whole) + 128 > sizeof(room->path)) {
		free(whole);
		return err_set(err, -ENAMETOOLONG, "%s: path too long", room->path);
	}
	snprintf(room->path, sizeof(room->path), "%s", whole);
	free(whole);
	return 0;
}

int suite_room_take(const char *data, bool keep, uint64_t bytes, struct suite_room *ret_room, struct err *err)
{
	struct suite_room room = {.keep = keep};
	int made = data == NULL ? fresh_make(&room, err) : given_take(data, &room, err);
	int r;

	if (made < 0)
		return made;
	room.keep = keep || made == 0;
	r = path_resolve(&room, err);
	if (r == 0)
		r = suite_room_check(room.path, bytes, err);
	if (r == 0)
		r = mark_put(room.path, err);
	if (r == 0)
		*ret_room = room;
	else if (made == 1)
		(void)rmdir(room.path);
	return r;
}

static int remove_each(const char *path, const struct stat *status, int type, struct FTW *ftw)
{
	(void)status;
	(void)type;
	(void)ftw;
	return remove(path);
}

static int remove_tree(const char *path)
{
	if (nftw(path, remove_each, WALK_FILES, FTW_DEPTH | FTW_PHYS) == 0 || errno == ENOENT)
		return 0;
	return -errno;
}

int suite_room_remove(const struct suite_room *room, const char *name)
{
	char path[SUITE_PATH_SIZE + 64];

	snprintf(path, sizeof(path), "%s/%s", room->path, name);
	return remove_tree(path);
}

void suite_room_leave(struct suite_room *room)
{
	if (!room->keep && remove_tree(room->path) < 0)
		fprintf(stderr, "gantry-bench: %s could not be removed\n", room->path);
}

static int advise_each(const char *path, const struct stat *status, int type, struct FTW *ftw)
{
	int fd;

	(void)status;
	(void)ftw;
	if (type != FTW_F)
		return 0;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	/* Dirty pages stay: they have to be written first. */
	(void)fdatasync(fd);
	(void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	close(fd);
	return 0;
}

static bool drop_all(void)
{
	int fd = open("/proc/sys/vm/drop_caches", O_WRONLY | O_CLOEXEC);
	bool done;

	if (fd < 0)
		return false;
	sync();
	done = write(fd, "3\n", 2) == 2;
	close(fd);
	return done;
}

const char *suite_cache_empty(enum suite_cache how, const char *directory)
{
	if (how != SUITE_CACHE_ADVISE && drop_all())
		return "whole page cache dropped (/proc/sys/vm/drop_caches = 3)";
	if (how == SUITE_CACHE_DROP)
		return NULL;
	if (nftw(directory, advise_each, WALK_FILES, FTW_PHYS) != 0)
		return NULL;
	return "cached pages of every file dropped (posix_fadvise); inodes and directories stay cached";
}
