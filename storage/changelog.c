#include "storage/changelog.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "appliance/base/aead.h"
#include "appliance/base/bytes.h"
#include "appliance/base/digest.h"
#include "storage/changelog_internal.h"
#include "storage/io.h"

#define FRAME_MAGIC UINT64_C(0x31474f4c52544e47) /* "GNTRLOG1" */
#define FRAME_VERSION 1
#define SCAN_SIZE (1u << 20)

/* The frame's header; docs/disk-format.md has the table. */
enum {
	AT_MAGIC = 0,
	AT_VERSION = 8,
	AT_KIND = 10,
	AT_BODY_SIZE = 12,
	AT_SEQUENCE = 16,
	AT_SALT = 24,
	AT_PREVIOUS = 32,
	AT_TAG = 64,
	AT_CHECKSUM = 80,
	HEADER_SIZE = CHANGELOG_HEADER_SIZE,
	SALT_SIZE = 8,
};

struct scan {
	struct changelog *log;
	uint64_t size; /* of the file */
	struct err *err;
	int (*each)(void *context, const struct changelog_frame *frame);
	void *context;
};

static void frame_nonce(const uint8_t *header, uint8_t nonce[AEAD_NONCE_SIZE])
{
	memcpy(nonce, header + AT_SEQUENCE, 4);
	memcpy(nonce + 4, header + AT_SALT, SALT_SIZE);
}

static void frame_hash(const uint8_t *header, uint8_t digest[SHA256_SIZE])
{
	sha256(header, AT_CHECKSUM, digest);
}

static bool header_valid(const uint8_t *header)
{
	return le64_get(header + AT_MAGIC) == FRAME_MAGIC && le16_get(header + AT_VERSION) == FRAME_VERSION &&
	       le16_get(header + AT_KIND) < CHANGELOG_KIND_COUNT &&
	       le32_get(header + AT_BODY_SIZE) <= CHANGELOG_BODY_SIZE_MAX &&
	       XXH3_64bits(header, AT_CHECKSUM) == le64_get(header + AT_CHECKSUM);
}

static int read_whole(struct changelog *log, uint64_t offset, void *buffer, size_t size)
{
	int64_t count = log->file->ops->read(log->file, offset, buffer, size);

	if (count < 0)
		return (int)count;
	return (size_t)count == size ? 0 : -ENODATA;
}

/* May a frame of this kind and number stand at log->end? A base stands for two entries at least. */
static bool is_next(const struct changelog *log, enum changelog_kind kind, uint64_t sequence)
{
	if (kind == CHANGELOG_ENTRY)
		return log->phase != CHANGELOG_IN_BASE && sequence == log->sequence + 1;
	if (log->phase == CHANGELOG_BEGINS)
		return kind == CHANGELOG_BASE && sequence > 1;
	return log->phase == CHANGELOG_IN_BASE && sequence == log->sequence;
}

int changelog_frame_read(struct changelog *log, uint8_t header[HEADER_SIZE], uint8_t **ret_body, size_t *ret_size)
{
	uint8_t nonce[AEAD_NONCE_SIZE];
	uint8_t *body;
	size_t size;
	int result;

	result = read_whole(log, log->end, header, HEADER_SIZE);
	if (result < 0)
		return result;
	if (!header_valid(header) ||
	    !is_next(log, (enum changelog_kind)le16_get(header + AT_KIND), le64_get(header + AT_SEQUENCE)) ||
	    memcmp(header + AT_PREVIOUS, log->previous, SHA256_SIZE) != 0)
		return -EBADMSG;
	size = le32_get(header + AT_BODY_SIZE);
	body = malloc(size + 1);
	if (body == NULL)
		return -ENOMEM;
	result = read_whole(log, log->end + HEADER_SIZE, body, size);
	frame_nonce(header, nonce);
	if (result == 0)
		result = aead_open(&log->key, nonce, header, AT_TAG, body, size, body, header + AT_TAG);
	if (result < 0) {
		free(body);
		return result;
	}
	*ret_body = body;
	*ret_size = size;
	return 0;
}

/*
 * Is there anywhere behind `from` a header with a higher number than the bad frame's? Only a frame written after the
 * bad one was durable can have it. 1 yes, 0 no, else -errno.
 */
static int later_frame_exists(const struct scan *scan, uint64_t from)
{
	struct changelog *log = scan->log;
	uint8_t *window = malloc(SCAN_SIZE + HEADER_SIZE);
	int result = window != NULL ? 0 : -ENOMEM;

	for (uint64_t at = from; result == 0 && at + HEADER_SIZE <= scan->size; at += SCAN_SIZE) {
		int64_t count = log->file->ops->read(log->file, at, window, SCAN_SIZE + HEADER_SIZE);

		if (count < 0)
			result = (int)count;
		for (int64_t i = 0; result == 0 && i + HEADER_SIZE <= count; i++)
			if (le64_get(window + i) == FRAME_MAGIC && header_valid(window + i) &&
			    le64_get(window + i + AT_SEQUENCE) > log->sequence + 1)
				result = 1;
	}
	free(window);
	return result;
}

/* Old bytes behind the end would one day stand behind a shorter new frame: none may look like a frame. */
static int tail_wipe(struct changelog *log, uint64_t size)
{
	static const uint8_t zeros[65536];
	int result = 0;

	for (uint64_t at = log->end; result == 0 && at < size; at += sizeof(zeros))
		result = log->file->ops->write_sync(log->file, at, zeros,
						    size - at < sizeof(zeros) ? size - at : sizeof(zeros));
	return result;
}

/* 1: nothing but zeros from the end on, which is no torn frame but one already cut; 0 otherwise. */
static int tail_is_zero(struct changelog *log, uint64_t size)
{
	uint8_t block[4096];

	for (uint64_t at = log->end; at < size; at += sizeof(block)) {
		int64_t count = log->file->ops->read(log->file, at, block, sizeof(block));

		if (count < 0)
			return (int)count;
		for (int64_t i = 0; i < count; i++)
			if (block[i] != 0)
				return 0;
	}
	return 1;
}

static int tail_judge(const struct scan *scan, uint64_t sequence_min)
{
	struct changelog *log = scan->log;
	int result;

	if (log->phase == CHANGELOG_IN_BASE)
		return err_set(scan->err, -EBADMSG,
			       "%s: the state that it begins with is damaged at byte %llu; restore the file from a "
			       "backup",
			       log->path, (unsigned long long)log->end);
	if (log->sequence < sequence_min)
		return err_set(
			scan->err, -EBADMSG,
			"%s: entry %llu at byte %llu is missing or damaged, yet entries up to %llu were durable; "
			"restore the file from a backup",
			log->path, (unsigned long long)log->sequence + 1, (unsigned long long)log->end,
			(unsigned long long)sequence_min);
	result = later_frame_exists(scan, log->end);
	if (result > 0)
		return err_set(
			scan->err, -EBADMSG,
			"%s: entry %llu at byte %llu is damaged, later ones follow; restore the file from a backup",
			log->path, (unsigned long long)log->sequence + 1, (unsigned long long)log->end);
	if (result < 0)
		return err_set(scan->err, result, "%s: %s", log->path, strerror(-result));
	result = tail_is_zero(log, scan->size);
	if (result != 0)
		return result < 0 ? err_set(scan->err, result, "%s: %s", log->path, strerror(-result)) : 0;
	result = log->read_only ? 0 : tail_wipe(log, scan->size);
	if (result < 0)
		return err_set(scan->err, result, "%s: cutting a torn entry: %s", log->path, strerror(-result));
	log->tail_cut = true;
	return 0;
}

void changelog_frame_passed(struct changelog *log, const uint8_t *header, size_t body_size)
{
	enum changelog_kind kind = (enum changelog_kind)le16_get(header + AT_KIND);

	frame_hash(header, log->previous);
	log->sequence = le64_get(header + AT_SEQUENCE);
	log->end += HEADER_SIZE + body_size;
	log->phase = kind == CHANGELOG_BASE ? CHANGELOG_IN_BASE : CHANGELOG_IN_ENTRIES;
	if (kind == CHANGELOG_BASE_END)
		log->base_size = log->end;
}

static int frame_give(const struct scan *scan, const uint8_t *header, uint8_t *body, size_t size)
{
	struct changelog_frame frame = {.kind = (enum changelog_kind)le16_get(header + AT_KIND),
					.sequence = le64_get(header + AT_SEQUENCE),
					.body = body,
					.size = size};
	int result = scan->each(scan->context, &frame);

	bytes_wipe(body, size);
	free(body);
	return result < 0 ? err_prefix(scan->err, result, "%s: entry %llu", scan->log->path,
				       (unsigned long long)frame.sequence)
			  : result;
}

static int log_scan(const struct scan *scan, uint64_t sequence_min)
{
	struct changelog *log = scan->log;
	uint8_t header[HEADER_SIZE];
	uint8_t *body;
	size_t size;
	int result;

	while ((result = changelog_frame_read(log, header, &body, &size)) == 0) {
		result = frame_give(scan, header, body, size);
		if (result != 0)
			return result;
		changelog_frame_passed(log, header, size);
	}
	if (result != -EBADMSG && result != -ENODATA)
		return err_set(scan->err, result, "%s: %s", log->path, strerror(-result));
	return tail_judge(scan, sequence_min);
}

static int file_open(struct changelog *log, uint64_t sequence_min, struct err *err)
{
	const struct io_ops *ops = log->io->ops;
	int result = ops->open(log->io, log->path, log->read_only ? IO_READ : IO_WRITE, &log->file);

	if (result == -ENOENT && sequence_min > 0)
		return err_set(err, -EBADMSG,
			       "%s: missing, yet entries up to %llu were durable; restore it from a backup", log->path,
			       (unsigned long long)sequence_min);
	if (result == -ENOENT && !log->read_only)
		result = ops->open(log->io, log->path, IO_WRITE | IO_CREATE, &log->file);
	/* Also of one that was there: whoever wrote it anew may have been killed before its name was durable. */
	if (result == 0 && !log->read_only)
		result = ops->dir_sync(log->io, log->directory);
	if (result < 0)
		return err_set(err, result, "%s: %s", log->path, strerror(-result));
	return 0;
}

int changelog_open(const struct changelog_options *options, struct io *io, struct err *err,
		   int (*each)(void *context, const struct changelog_frame *frame), void *context,
		   struct changelog **ret_log)
{
	struct scan scan = {.err = err, .each = each, .context = context};
	struct changelog *log = aligned_alloc(64, (sizeof(*log) + 63) / 64 * 64);
	int result;

	if (log == NULL)
		return err_set(err, -ENOMEM, "change log: out of memory");
	memset(log, 0, sizeof(*log));
	log->io = io;
	log->read_only = options->read_only;
	aead_key_init(&log->key, options->key);
	snprintf(log->directory, sizeof(log->directory), "%s", options->directory);
	snprintf(log->path, sizeof(log->path), "%s/" CHANGELOG_NAME, log->directory);
	result = file_open(log, options->sequence_min, err);
	/* What a crash left in the page cache must be on disk before anybody relies on having read it. */
	if (result == 0) {
		result = log->read_only ? 0 : log->file->ops->sync(log->file);
		if (result == 0)
			result = log->file->ops->size(log->file, &scan.size);
		if (result < 0)
			(void)err_set(err, result, "%s: %s", log->path, strerror(-result));
	}
	scan.log = log;
	if (result == 0)
		result = log_scan(&scan, options->sequence_min);
	if (result != 0) {
		changelog_free(log);
		return result;
	}
	if (!log->read_only)
		changelog_remnant_remove(log);
	*ret_log = log;
	return 0;
}

struct changelog *changelog_free(struct changelog *log)
{
	if (log == NULL)
		return NULL;
	if (log->file != NULL)
		log->file->ops->close(log->file);
	aead_key_fini(&log->key);
	free(log);
	return NULL;
}

int changelog_frame_write(struct changelog *log, enum changelog_kind kind, const uint8_t *body, size_t size,
			  bool durable)
{
	const struct io_ops *ops = log->file->ops;
	uint8_t nonce[AEAD_NONCE_SIZE];
	uint8_t *frame;
	int result;

	if (size > CHANGELOG_BODY_SIZE_MAX)
		return -EFBIG;
	frame = malloc(HEADER_SIZE + size);
	if (frame == NULL)
		return -ENOMEM;
	memset(frame, 0, HEADER_SIZE);
	le64_put(frame + AT_MAGIC, FRAME_MAGIC);
	le16_put(frame + AT_VERSION, FRAME_VERSION);
	le16_put(frame + AT_KIND, (uint16_t)kind);
	le32_put(frame + AT_BODY_SIZE, (uint32_t)size);
	le64_put(frame + AT_SEQUENCE, log->sequence + (kind == CHANGELOG_ENTRY));
	random_bytes(frame + AT_SALT, SALT_SIZE);
	memcpy(frame + AT_PREVIOUS, log->previous, SHA256_SIZE);
	frame_nonce(frame, nonce);
	aead_seal(&log->key, nonce, frame, AT_TAG, body, size, frame + HEADER_SIZE, frame + AT_TAG);
	le64_put(frame + AT_CHECKSUM, XXH3_64bits(frame, AT_CHECKSUM));
	result = (durable ? ops->write_sync : ops->write)(log->file, log->end, frame, HEADER_SIZE + size);
	if (result == 0)
		changelog_frame_passed(log, frame, size);
	free(frame);
	return result;
}

int changelog_append(struct changelog *log, const uint8_t *body, size_t size, uint64_t *ret_sequence)
{
	int result = log->unsettled ? log->io->ops->dir_sync(log->io, log->directory) : 0;

	if (result < 0)
		return result;
	log->unsettled = false;
	result = changelog_frame_write(log, CHANGELOG_ENTRY, body, size, true);
	if (result == 0)
		*ret_sequence = log->sequence;
	return result;
}

uint64_t changelog_sequence(const struct changelog *log)
{
	return log->sequence;
}

uint64_t changelog_size(const struct changelog *log)
{
	return log->end;
}

uint64_t changelog_base_size(const struct changelog *log)
{
	return log->base_size;
}

bool changelog_tail_cut(const struct changelog *log)
{
	return log->tail_cut;
}
