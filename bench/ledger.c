#include "bench/ledger.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "bench/ledger_format.h"
#include "bench/spool.h"

struct ledger {
	int fd;
};

/* Entries from `at` on that are whole; returns the offset after the last of them. */
static off_t whole_end(int fd, off_t size)
{
	off_t at = LEDGER_HEAD_SIZE;
	uint8_t bytes[LEDGER_ENTRY_SIZE];
	struct ledger_entry entry;

	while (at + LEDGER_ENTRY_SIZE <= size && pread(fd, bytes, sizeof(bytes), at) == (ssize_t)sizeof(bytes) &&
	       ledger_entry_decode(bytes, &entry) && at + (off_t)ledger_entry_size(&entry) <= size)
		at += (off_t)ledger_entry_size(&entry);
	return at;
}

static int prepare(int fd, const char *path, struct err *err)
{
	uint8_t head[LEDGER_HEAD_SIZE];
	struct stat stat;
	off_t end;

	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		return err_set(err, -EBUSY, "%s is being written by another gantry-load", path);
	if (fstat(fd, &stat) < 0)
		return err_set(err, -errno, "%s: %s", path, strerror(errno));
	if (stat.st_size < LEDGER_HEAD_SIZE) {
		ledger_head_encode(head);
		if (ftruncate(fd, 0) < 0 || pwrite(fd, head, sizeof(head), 0) != (ssize_t)sizeof(head))
			return err_set(err, -EIO, "%s: can not be written: %s", path, strerror(errno));
		end = LEDGER_HEAD_SIZE;
	} else {
		if (pread(fd, head, sizeof(head), 0) != (ssize_t)sizeof(head) || !ledger_head_valid(head))
			return err_set(err, -EINVAL, "%s is no ledger of this version: name another file", path);
		end = whole_end(fd, stat.st_size);
		if (ftruncate(fd, end) < 0)
			return err_set(err, -errno, "%s: %s", path, strerror(errno));
	}
	return lseek(fd, end, SEEK_SET) < 0 ? err_set(err, -errno, "%s: %s", path, strerror(errno)) : 0;
}

int ledger_open(const char *path, struct ledger **ret_ledger, struct err *err)
{
	struct ledger *ledger;
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	int r;

	if (fd < 0)
		return err_set(err, -errno, "%s: %s", path, strerror(errno));
	r = prepare(fd, path, err);
	ledger = r < 0 ? NULL : malloc(sizeof(*ledger));
	if (ledger == NULL) {
		close(fd);
		return r < 0 ? r : err_set(err, -ENOMEM, "no memory for the ledger");
	}
	ledger->fd = fd;
	*ret_ledger = ledger;
	return 0;
}

struct ledger *ledger_close(struct ledger *ledger)
{
	if (ledger == NULL)
		return NULL;
	close(ledger->fd);
	free(ledger);
	return NULL;
}

/* All of it, or an error: a half-written entry is cut off at the next opening. */
static int write_all(int fd, struct iovec *parts, int count)
{
	while (count > 0) {
		ssize_t written = writev(fd, parts, count);

		if (written < 0) {
			if (errno == EINTR)
				continue;
			return -errno;
		}
		while (count > 0 && (size_t)written >= parts->iov_len) {
			written -= (ssize_t)parts->iov_len;
			parts++;
			count--;
		}
		if (count > 0) {
			parts->iov_base = (uint8_t *)parts->iov_base + written;
			parts->iov_len -= (size_t)written;
		}
	}
	return 0;
}

int ledger_acknowledged(struct ledger *ledger, uint32_t feed, const struct spool *spool, enum feed_lane lane,
			uint64_t first, uint64_t end)
{
	struct ledger_entry entry = {LEDGER_ACKNOWLEDGED, (uint8_t)lane, 0, 0, first, feed, spool_epoch(spool)};

	while (first < end) {
		uint8_t head[LEDGER_ENTRY_SIZE];
		struct iovec parts[2];
		uint32_t contiguous;
		const uint8_t *records = spool_record(spool, lane, first, &contiguous);
		int r;

		entry.first = first;
		entry.count = end - first < contiguous ? (uint32_t)(end - first) : contiguous;
		ledger_entry_encode(&entry, head);
		parts[0] = (struct iovec){head, sizeof(head)};
		parts[1] = (struct iovec){(void *)(uintptr_t)records, (size_t)entry.count * SPOOL_RECORD_SIZE};
		r = write_all(ledger->fd, parts, 2);
		if (r < 0)
			return r;
		first += entry.count;
	}
	return 0;
}

int ledger_refused(struct ledger *ledger, uint32_t feed, uint32_t epoch, enum feed_lane lane, uint64_t first,
		   uint32_t count, uint8_t reason)
{
	struct ledger_entry entry = {LEDGER_REFUSED, (uint8_t)lane, reason, count, first, feed, epoch};
	uint8_t head[LEDGER_ENTRY_SIZE];
	struct iovec part = {head, sizeof(head)};

	ledger_entry_encode(&entry, head);
	return write_all(ledger->fd, &part, 1);
}
