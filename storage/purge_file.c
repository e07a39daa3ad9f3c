#include "storage/purge_file.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <xxhash.h>

#include "storage/cursor.h"
#include "storage/io.h"
#include "storage/small_file.h"

#define PATH_SIZE 4096
#define NAME_SIZE 64
#define FILE_MAGIC UINT64_C(0x31525550524e4147) /* "GANRPUR1" */
#define FILE_VERSION 2
#define FILE_SIZE_MAX 512

static const char *file_name(int32_t day, uint64_t number, const char *suffix, char name[NAME_SIZE])
{
	snprintf(name, NAME_SIZE, "d%" PRId32 "-%" PRIu64 "%s", day, number, suffix);
	return name;
}

bool purge_file_name_parse(const char *name, const char *suffix, int32_t *ret_day, uint64_t *ret_number)
{
	char again[NAME_SIZE];
	uint64_t number;
	int32_t day;

	if (sscanf(name, "d%" SCNd32 "-%" SCNu64, &day, &number) != 2 ||
	    strcmp(file_name(day, number, suffix, again), name) != 0)
		return false;
	*ret_day = day;
	*ret_number = number;
	return true;
}

static size_t record_encode(const struct purge_record *record, uint8_t bytes[FILE_SIZE_MAX])
{
	const struct purge_certificate *certificate = &record->certificate;
	struct cursor cursor = cursor_over(bytes, FILE_SIZE_MAX);

	cursor_put_u64(&cursor, FILE_MAGIC);
	cursor_put_u16(&cursor, FILE_VERSION);
	cursor_put_u16(&cursor, (uint16_t)record->step);
	cursor_put_u32(&cursor, (uint32_t)certificate->day);
	cursor_put_u64(&cursor, certificate->number);
	cursor_put_u32(&cursor, certificate->who_uid);
	cursor_put_u32(&cursor, certificate->proposer_uid);
	cursor_put_u32(&cursor, certificate->proposal);
	cursor_put_u32(&cursor, certificate->segments);
	cursor_put_u64(&cursor, certificate->reads);
	cursor_put_u64(&cursor, certificate->bytes);
	cursor_put_u32(&cursor, certificate->held_cases);
	cursor_put_u64(&cursor, certificate->held_reads);
	cursor_put_u64(&cursor, (uint64_t)certificate->intended_us);
	cursor_put_u64(&cursor, (uint64_t)certificate->destroyed_us);
	cursor_put_u64(&cursor, (uint64_t)certificate->finished_us);
	cursor_put_text(&cursor, certificate->authority);
	cursor_put_u64(&cursor, XXH3_64bits(bytes, (size_t)(cursor.at - bytes)));
	return (size_t)(cursor.at - bytes);
}

static int record_decode(const uint8_t *bytes, size_t size, struct purge_record *ret_record)
{
	struct purge_record record = {0};
	struct purge_certificate *certificate = &record.certificate;
	struct cursor cursor = cursor_over(bytes, size);
	uint16_t step;

	if (cursor_get_u64(&cursor) != FILE_MAGIC || cursor_get_u16(&cursor) != FILE_VERSION)
		return -EBADMSG;
	step = cursor_get_u16(&cursor);
	certificate->day = (int32_t)cursor_get_u32(&cursor);
	certificate->number = cursor_get_u64(&cursor);
	certificate->who_uid = cursor_get_u32(&cursor);
	certificate->proposer_uid = cursor_get_u32(&cursor);
	certificate->proposal = cursor_get_u32(&cursor);
	certificate->segments = cursor_get_u32(&cursor);
	certificate->reads = cursor_get_u64(&cursor);
	certificate->bytes = cursor_get_u64(&cursor);
	certificate->held_cases = cursor_get_u32(&cursor);
	certificate->held_reads = cursor_get_u64(&cursor);
	certificate->intended_us = (int64_t)cursor_get_u64(&cursor);
	certificate->destroyed_us = (int64_t)cursor_get_u64(&cursor);
	certificate->finished_us = (int64_t)cursor_get_u64(&cursor);
	cursor_get_text(&cursor, certificate->authority, sizeof(certificate->authority));
	if (cursor.bad || cursor_get_u64(&cursor) != XXH3_64bits(bytes, size - sizeof(uint64_t)) ||
	    !cursor_done(&cursor) || step > PURGE_CERTIFIED)
		return -EBADMSG;
	record.step = (enum purge_step)step;
	*ret_record = record;
	return 0;
}

int purge_file_write(struct io *io, const char *directory, const char *suffix, const struct purge_record *record)
{
	const struct purge_certificate *certificate = &record->certificate;
	uint8_t bytes[FILE_SIZE_MAX];
	size_t size = record_encode(record, bytes);
	char name[NAME_SIZE];

	return small_file_write(io, directory, file_name(certificate->day, certificate->number, suffix, name), bytes,
				size);
}

int purge_file_read(struct io *io, const char *directory, const char *suffix, int32_t day, uint64_t number,
		    struct err *err, struct purge_record *ret_record)
{
	struct purge_record record;
	uint8_t bytes[FILE_SIZE_MAX];
	char name[NAME_SIZE];
	size_t size;
	int result = small_file_read(io, directory, file_name(day, number, suffix, name), bytes, sizeof(bytes), &size);

	if (result < 0)
		return err_set(err, result, "%s/%s: %s", directory, name, strerror(-result));
	result = size < sizeof(uint64_t) ? -EBADMSG : record_decode(bytes, size, &record);
	if (result == 0 && (record.certificate.day != day || record.certificate.number != number))
		result = -EBADMSG;
	if (result < 0)
		return err_set(err, result, "%s/%s: damaged; its day stays closed, purge it anew", directory, name);
	*ret_record = record;
	return 0;
}

int purge_file_remove(struct io *io, const char *directory, const char *suffix, int32_t day, uint64_t number)
{
	char path[PATH_SIZE];
	char name[NAME_SIZE];
	int result;

	if ((size_t)snprintf(path, sizeof(path), "%s/%s", directory, file_name(day, number, suffix, name)) >=
	    sizeof(path))
		return -ENAMETOOLONG;
	result = io->ops->unlink(io, path);
	if (result == -ENOENT)
		return 0;
	return result < 0 ? result : io->ops->dir_sync(io, directory);
}
