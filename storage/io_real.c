/* The real side of the seam: plain POSIX calls; the queues are in io_uring.c, io_helper.c and io_reader.c. */
#include "storage/io.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>

#include "storage/io_real.h"

struct io_real {
	struct io io;
};

static const struct io_ops io_real_uring_ops;
static const struct io_ops io_real_plain_ops;

static struct io_real_file *real_file(struct io_file *file)
{
	return (struct io_real_file *)file;
}

static int real_fd_open(const char *path, int flags, bool *direct)
{
	int wish = O_CLOEXEC | (flags & IO_WRITE ? O_RDWR | O_NOFOLLOW : O_RDONLY);
	int fd;

	if (flags & IO_CREATE)
		wish |= O_CREAT | O_EXCL;
	*direct = flags & IO_DIRECT;
	fd = open(path, wish | (*direct ? O_DIRECT : 0), 0600);
	if (fd < 0 && errno == EINVAL && *direct) {
		/* No O_DIRECT here (tmpfs, overlays). The failed open may have made the file already. */
		*direct = false;
		if (flags & IO_CREATE)
			wish &= ~O_EXCL;
		fd = open(path, wish, 0600);
	}
	return fd < 0 ? -errno : fd;
}

static int real_private_check(int fd)
{
	struct stat stat;

	if (fstat(fd, &stat) < 0)
		return -errno;
	return stat.st_mode & 077 ? -EPERM : 0;
}

static int real_open(struct io *io, const char *path, int flags, struct io_file **ret_file)
{
	struct io_real_file *file;
	bool direct;
	int fd = real_fd_open(path, flags, &direct);
	int r = fd;

	if (fd < 0)
		return r;
	if (flags & IO_PRIVATE) {
		r = real_private_check(fd);
		if (r < 0)
			goto close_fd;
	}
	file = malloc(sizeof(*file));
	r = -ENOMEM;
	if (file == NULL)
		goto close_fd;
	*file = (struct io_real_file){.file.ops = io->ops, .fd = fd, .direct = direct};
	*ret_file = &file->file;
	return 0;

close_fd:
	(void)close(fd);
	return r;
}

static void real_close(struct io_file *file)
{
	if (file == NULL)
		return;
	(void)close(real_file(file)->fd); /* what mattered has been synced */
	free(file);
}

static int real_size(struct io_file *file, uint64_t *ret_size)
{
	struct stat stat;

	if (fstat(real_file(file)->fd, &stat) < 0)
		return -errno;
	*ret_size = (uint64_t)stat.st_size;
	return 0;
}

static int real_preallocate(struct io_file *file, uint64_t size)
{
	int fd = real_file(file)->fd;

	while (fallocate(fd, 0, 0, (off_t)size) < 0) {
		if (errno == EOPNOTSUPP)
			return -posix_fallocate(fd, 0, (off_t)size); /* writes a byte into each block */
		if (errno != EINTR)
			return -errno;
	}
	return fsync(fd) < 0 ? -errno : 0; /* the size too, so that no commit has to journal it */
}

static int64_t real_read(struct io_file *file, uint64_t offset, void *buffer, size_t size)
{
	size_t done = 0;

	while (done < size) {
		ssize_t n = pread(real_file(file)->fd, (char *)buffer + done, size - done, (off_t)(offset + done));

		if (n == 0)
			break;
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0)
			done += (size_t)n;
	}
	return (int64_t)done;
}

/* A short write is carried on with: what it leaves out was never tried, so no failed range is written twice. */
static int real_write_all(int fd, uint64_t offset, const void *buffer, size_t size, int flags)
{
	size_t done = 0;

	while (done < size) {
		struct iovec part = {.iov_base = (char *)buffer + done, .iov_len = size - done};
		ssize_t n = pwritev2(fd, &part, 1, (off_t)(offset + done), flags);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n == 0)
			return -EIO;
		if (n > 0)
			done += (size_t)n;
	}
	return 0;
}

int io_real_write_durable(int fd, uint64_t offset, const void *buffer, size_t size)
{
	int r = real_write_all(fd, offset, buffer, size, RWF_DSYNC);

	if (r != -EOPNOTSUPP)
		return r;
	r = real_write_all(fd, offset, buffer, size, 0);
	if (r < 0)
		return r;
	return fdatasync(fd) < 0 ? -errno : 0;
}

static int real_write_sync(struct io_file *file, uint64_t offset, const void *buffer, size_t size)
{
	return io_real_write_durable(real_file(file)->fd, offset, buffer, size);
}

static int real_write(struct io_file *file, uint64_t offset, const void *buffer, size_t size)
{
	return real_write_all(real_file(file)->fd, offset, buffer, size, 0);
}

static int real_sync(struct io_file *file)
{
	return fsync(real_file(file)->fd) < 0 ? -errno : 0;
}

static int real_punch(struct io_file *file)
{
	struct stat stat;

	if (fstat(real_file(file)->fd, &stat) < 0)
		return -errno;
	if (stat.st_size == 0)
		return 0;
	if (fallocate(real_file(file)->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, stat.st_size) < 0)
		return -errno;
	return 0;
}

static int real_rename(struct io *io, const char *from, const char *to)
{
	(void)io;
	return rename(from, to) < 0 ? -errno : 0;
}

static int real_unlink(struct io *io, const char *path)
{
	(void)io;
	return unlink(path) < 0 ? -errno : 0;
}

static int real_mkdir(struct io *io, const char *path)
{
	(void)io;
	return mkdir(path, 0700) < 0 && errno != EEXIST ? -errno : 0;
}

static int real_dir_sync(struct io *io, const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r;

	(void)io;
	if (fd < 0)
		return -errno;
	r = fsync(fd) < 0 ? -errno : 0;
	(void)close(fd);
	return r;
}

static bool real_is_file(DIR *dir, const struct dirent *entry)
{
	struct stat stat;

	if (entry->d_type != DT_UNKNOWN)
		return entry->d_type == DT_REG;
	return fstatat(dirfd(dir), entry->d_name, &stat, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(stat.st_mode);
}

static int real_list(struct io *io, const char *path, int (*each)(void *context, const char *name), void *context)
{
	DIR *dir = opendir(path);
	struct dirent *entry;
	int r = 0;

	(void)io;
	if (dir == NULL)
		return -errno;
	while (r == 0) {
		errno = 0;
		entry = readdir(dir);
		if (entry == NULL) {
			r = -errno;
			break;
		}
		if (real_is_file(dir, entry))
			r = each(context, entry->d_name);
	}
	(void)closedir(dir);
	return r;
}

static int real_space(struct io *io, const char *path, struct io_space *ret_space)
{
	struct statvfs stat;

	(void)io;
	if (statvfs(path, &stat) < 0)
		return -errno;
	ret_space->total_bytes = (uint64_t)stat.f_blocks * stat.f_frsize;
	ret_space->free_bytes = (uint64_t)stat.f_bavail * stat.f_frsize;
	return 0;
}

static bool real_direct(struct io_file *file)
{
	return real_file(file)->direct;
}

static int plain_queue_new(struct io *io, unsigned depth, void *buffers, size_t buffers_size,
			   struct io_queue **ret_queue)
{
	(void)io;
	(void)buffers;
	(void)buffers_size;
	return io_helper_queue_new(&io_real_plain_ops, depth, ret_queue);
}

static int uring_queue_new(struct io *io, unsigned depth, void *buffers, size_t buffers_size,
			   struct io_queue **ret_queue)
{
	int r = io_ring_queue_new(&io_real_uring_ops, depth, buffers, buffers_size, ret_queue);

	return r == 0 ? 0 : plain_queue_new(io, depth, buffers, buffers_size, ret_queue);
}

static int plain_reader_new(struct io *io, unsigned depth, struct io_reader **ret_reader)
{
	(void)io;
	return io_plain_reader_new(&io_real_plain_ops, depth, ret_reader);
}

/* A reader has the table of its own kind, so a ring that cannot be had is made up for. */
static int uring_reader_new(struct io *io, unsigned depth, struct io_reader **ret_reader)
{
	int r = io_ring_reader_new(&io_real_uring_ops, depth, ret_reader);

	return r == 0 ? 0 : plain_reader_new(io, depth, ret_reader);
}

#define REAL_OPS                                                                                                       \
	.open = real_open, .close = real_close, .size = real_size, .preallocate = real_preallocate, .read = real_read, \
	.write_sync = real_write_sync, .write = real_write, .sync = real_sync, .punch = real_punch,                    \
	.rename = real_rename, .unlink = real_unlink, .mkdir = real_mkdir, .dir_sync = real_dir_sync,                  \
	.list = real_list, .space = real_space, .direct = real_direct

static const struct io_ops io_real_uring_ops = {
	REAL_OPS,
	.queue_new = uring_queue_new,
	.queue_free = io_ring_queue_free,
	.submit = io_ring_queue_submit,
	.reap = io_ring_queue_reap,
	.reader_new = uring_reader_new,
	.reader_free = io_ring_reader_free,
	.reader_submit = io_ring_reader_submit,
	.reader_reap = io_ring_reader_reap,
	.name = "io_uring",
};

static const struct io_ops io_real_plain_ops = {
	REAL_OPS,
	.queue_new = plain_queue_new,
	.queue_free = io_helper_queue_free,
	.submit = io_helper_queue_submit,
	.reap = io_helper_queue_reap,
	.reader_new = plain_reader_new,
	.reader_free = io_plain_reader_free,
	.reader_submit = io_plain_reader_submit,
	.reader_reap = io_plain_reader_reap,
	.name = "pwritev2",
};

static int real_new(const struct io_ops *ops, struct io **ret_io)
{
	struct io_real *real = calloc(1, sizeof(*real));

	if (real == NULL)
		return -ENOMEM;
	real->io.ops = ops;
	*ret_io = &real->io;
	return 0;
}

int io_real_new(struct io **ret_io)
{
	return real_new(io_ring_probe() == 0 ? &io_real_uring_ops : &io_real_plain_ops, ret_io);
}

int io_real_new_plain(struct io **ret_io)
{
	return real_new(&io_real_plain_ops, ret_io);
}

struct io *io_real_free(struct io *io)
{
	free(io);
	return NULL;
}
