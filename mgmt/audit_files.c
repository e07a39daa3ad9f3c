/* What the audit log leaves on the disk beside its leaves: the checkpoint, replaced whole; and the state it stands for.
 */
#include "mgmt/audit_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int real_write(void *ctx, int fd, const void *bytes, size_t size, uint64_t offset)
{
	(void)ctx;
	while (size > 0) {
		ssize_t wrote = pwrite(fd, bytes, size, (off_t)offset);

		if (wrote < 0 && errno == EINTR)
			continue;
		if (wrote <= 0)
			return wrote < 0 ? -errno : -EIO;
		bytes = (const uint8_t *)bytes + wrote;
		size -= (size_t)wrote;
		offset += (uint64_t)wrote;
	}
	return 0;
}

static int real_sync(void *ctx, int fd)
{
	(void)ctx;
	return fsync(fd) < 0 ? -errno : 0;
}

static int real_rename(void *ctx, const char *from, const char *to)
{
	(void)ctx;
	return rename(from, to) < 0 ? -errno : 0;
}

static int real_truncate(void *ctx, int fd, uint64_t size)
{
	(void)ctx;
	return ftruncate(fd, (off_t)size) < 0 ? -errno : 0;
}

const struct audit_files audit_real_files = {NULL, real_write, real_sync, real_rename, real_truncate};

static void path_of(const struct audit *audit, const char *name, char *to)
{
	(void)snprintf(to, PATH_SIZE, "%s/%s", audit->directory, name);
}

static int write_file(const struct audit_files *files, int fd, const char *text)
{
	int r = files->write(files->ctx, fd, text, strlen(text), 0);

	return r == 0 ? files->sync(files->ctx, fd) : r;
}

/* ret_unknown: the file may or may not stand in the directory after a power cut. */
static int write_checkpoint(struct audit *audit, const char *text, bool *ret_unknown)
{
	const struct audit_files *files = &audit->files;
	char from[PATH_SIZE];
	char to[PATH_SIZE];
	int fd = openat(audit->directory_fd, CHECKPOINT_NEW_NAME, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW,
			0600);
	int r;

	if (fd < 0)
		return -errno;
	path_of(audit, CHECKPOINT_NEW_NAME, from);
	path_of(audit, CHECKPOINT_NAME, to);
	r = write_file(files, fd, text);
	(void)close(fd);
	if (r == 0)
		r = files->rename(files->ctx, from, to);
	if (r < 0) {
		(void)unlinkat(audit->directory_fd, CHECKPOINT_NEW_NAME, 0);
		return r;
	}
	r = files->sync(files->ctx, audit->directory_fd);
	*ret_unknown = r < 0;
	return r;
}

int audit_mark(struct audit *audit, uint64_t index, uint64_t offset)
{
	uint64_t *marks;

	if (index % MARK_EVERY != 0)
		return 0;
	marks = realloc(audit->marks, (index / MARK_EVERY + 1) * sizeof(*marks));
	if (marks == NULL)
		return -ENOMEM;
	marks[index / MARK_EVERY] = offset;
	audit->marks = marks;
	return 0;
}

void audit_set_head(struct audit *audit, const struct merkle *tree, uint64_t file_size, const char *text)
{
	audit->tree = *tree;
	audit->file_size = file_size;
	audit->head.size = tree->size;
	merkle_root(tree, audit->head.root);
	(void)snprintf(audit->head.checkpoint, sizeof(audit->head.checkpoint), "%s", text);
}

int audit_sign(struct audit *audit, const struct merkle *tree, char *ret_text, bool *ret_unknown)
{
	merkle_hash root;

	merkle_root(tree, root);
	checkpoint_sign(&audit->signer, tree->size, root, ret_text);
	return write_checkpoint(audit, ret_text, ret_unknown);
}
