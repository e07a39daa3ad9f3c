#include "mgmt/audit_attach.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "appliance/base/bytes.h"
#include "appliance/base/clock.h"
#include "appliance/base/err.h"
#include "mgmt/audit_private.h"
#include "mgmt/leaf.h"

#define HEAD_SIZE 40
#define NONCE_OFFSET 24
#define NAME_ROOM (2 * SHA256_SIZE + sizeof(".attached"))

static const char magic[8] = {'G', 'N', 'T', 'R', 'A', 'T', 'T', '1'};

static void name_of(const uint8_t digest[SHA256_SIZE], const char *suffix, char name[NAME_ROOM])
{
	(void)hex_encode(digest, SHA256_SIZE, name);
	strcat(name, suffix);
}

static int month_key(struct audit *audit, int32_t month, bool create, struct aead_key *ret_key)
{
	uint8_t bytes[AUDIT_KEY_SIZE];
	int r;

	(void)pthread_mutex_lock(&audit->lock);
	r = audit->keys.month_key(audit->keys.ctx, month, create, bytes);
	(void)pthread_mutex_unlock(&audit->lock);
	if (r == 0)
		aead_key_init(ret_key, bytes);
	bytes_wipe(bytes, sizeof(bytes));
	return r;
}

static int seal(struct audit *audit, const void *text, size_t size, uint8_t *file)
{
	int32_t month = leaf_month(clock_wall_us());
	struct aead_key key;
	int r = month_key(audit, month, true, &key);

	if (r < 0)
		return r;
	memset(file, 0, HEAD_SIZE);
	memcpy(file, magic, sizeof(magic));
	le32_put(file + 8, (uint32_t)month);
	le64_put(file + 16, size);
	random_bytes(file + NONCE_OFFSET, AEAD_NONCE_SIZE);
	aead_seal(&key, file + NONCE_OFFSET, file, HEAD_SIZE, text, size, file + HEAD_SIZE, file + HEAD_SIZE + size);
	aead_key_fini(&key);
	return 0;
}

static int file_put(struct audit *audit, const uint8_t digest[SHA256_SIZE], const uint8_t *file, size_t size)
{
	const struct audit_files *files = &audit->files;
	char from[PATH_SIZE + NAME_ROOM], to[PATH_SIZE + NAME_ROOM], name[NAME_ROOM], name_new[NAME_ROOM];
	int fd, r;

	name_of(digest, ".attached", name);
	name_of(digest, ".new", name_new);
	(void)snprintf(from, sizeof(from), "%s/%s", audit->directory, name_new);
	(void)snprintf(to, sizeof(to), "%s/%s", audit->directory, name);
	fd = openat(audit->directory_fd, name_new, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	r = files->write(files->ctx, fd, file, size, 0);
	if (r == 0)
		r = files->sync(files->ctx, fd);
	(void)close(fd);
	if (r == 0)
		r = files->rename(files->ctx, from, to);
	if (r == 0)
		r = files->sync(files->ctx, audit->directory_fd);
	if (r < 0) {
		(void)unlinkat(audit->directory_fd, name_new, 0);
		(void)unlinkat(audit->directory_fd, name, 0);
	}
	return r;
}

int audit_attach(struct audit *audit, const void *text, size_t size, struct err *err, uint8_t ret_name[SHA256_SIZE])
{
	size_t file_size = HEAD_SIZE + size + AEAD_TAG_SIZE;
	uint8_t digest[SHA256_SIZE];
	uint8_t *file;
	int r;

	if (size > AUDIT_ATTACHMENT_MAX)
		return err_set(err, -E2BIG, "audit log: %zu bytes are too many for an attachment", size);
	file = malloc(file_size);
	r = file != NULL ? seal(audit, text, size, file) : -ENOMEM;
	if (r == 0) {
		sha256(file, file_size, digest);
		r = file_put(audit, digest, file, file_size);
	}
	free(file);
	if (r < 0)
		return err_set(err, r, "audit log: an attachment cannot be written: %s", strerror(-r));
	memcpy(ret_name, digest, sizeof(digest));
	return 0;
}

/* The whole file, or -errno; -EBADMSG for a size that none has. */
static int file_get(struct audit *audit, const uint8_t digest[SHA256_SIZE], uint8_t **ret_file, size_t *ret_size)
{
	char name[NAME_ROOM];
	struct stat stat;
	uint8_t *file = NULL;
	size_t got = 0;
	int fd, r = 0;

	name_of(digest, ".attached", name);
	fd = openat(audit->directory_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &stat) < 0)
		r = -errno;
	else if (stat.st_size < HEAD_SIZE + AEAD_TAG_SIZE ||
		 (size_t)stat.st_size > AUDIT_ATTACHMENT_MAX + HEAD_SIZE + AEAD_TAG_SIZE)
		r = -EBADMSG;
	else if ((file = malloc((size_t)stat.st_size)) == NULL)
		r = -ENOMEM;
	while (r == 0 && got < (size_t)stat.st_size) {
		ssize_t count = read(fd, file + got, (size_t)stat.st_size - got);

		if (count <= 0)
			r = count < 0 && errno == EINTR ? 0 : count < 0 ? -errno : -EBADMSG;
		else
			got += (size_t)count;
	}
	(void)close(fd);
	if (r < 0) {
		free(file);
		return r;
	}
	*ret_file = file;
	*ret_size = got;
	return 0;
}

static int unseal(struct audit *audit, const uint8_t digest[SHA256_SIZE], const uint8_t *file, size_t size,
		  char **ret_text)
{
	size_t text_size = size - HEAD_SIZE - AEAD_TAG_SIZE;
	uint8_t found[SHA256_SIZE];
	struct aead_key key;
	char *text;
	int r;

	sha256(file, size, found);
	if (memcmp(found, digest, sizeof(found)) != 0 || memcmp(file, magic, sizeof(magic)) != 0 ||
	    le64_get(file + 16) != text_size)
		return -EBADMSG;
	r = month_key(audit, (int32_t)le32_get(file + 8), false, &key);
	if (r < 0)
		return r == -ENOENT ? -ENOKEY : r;
	text = malloc(text_size + 1);
	r = text != NULL ? aead_open(&key, file + NONCE_OFFSET, file, HEAD_SIZE, file + HEAD_SIZE, text_size, text,
				     file + HEAD_SIZE + text_size)
			 : -ENOMEM;
	aead_key_fini(&key);
	if (r < 0) {
		free(text);
		return r;
	}
	text[text_size] = '\0';
	*ret_text = text;
	return 0;
}

int audit_attachment(struct audit *audit, const uint8_t name[SHA256_SIZE], struct err *err, char **ret_text,
		     size_t *ret_size)
{
	uint8_t *file = NULL;
	size_t size = 0;
	int r = file_get(audit, name, &file, &size);

	if (r == 0)
		r = unseal(audit, name, file, size, ret_text);
	free(file);
	if (r < 0)
		return err_set(err, r, "%s",
			       r == -ENOENT    ? "no attachment of that name; see audit.show"
			       : r == -ENOKEY  ? "its month's key is destroyed: the attachment cannot be read any more"
			       : r == -EBADMSG ? "the attachment is damaged; its name in the log proves what it was"
					       : strerror(-r));
	*ret_size = size - HEAD_SIZE - AEAD_TAG_SIZE;
	return 0;
}
