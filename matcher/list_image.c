/*
 * A list as bytes, little-endian:
 *
 *	offset	size
 *	0	8	magic "GANTRYVL"
 *	8	4	format, 1
 *	12	4	rows
 *	16	8	XXH3-64 of all bytes behind this field
 *	24	4	list id
 *	28	4	list version
 *	32	8	revised, µs
 *	40	1	class
 *	41	1	purpose
 *	42	1	priority
 *	43	5	zero
 *	48	64	name, zero padded
 *	112	64	owner, zero padded
 *	176	32	SHA-256 of the CSV text
 *	208		rows: expires µs (8), line (4), flags (1), then vrm, reason, action, make, model, colour,
 *			each as its size (2) and its bytes
 *
 * The checksum is against rot; against forgery it is sealed by whoever stores it.
 */
#include "matcher/list.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "appliance/base/bytes.h"
#include "appliance/base/err.h"
#include "matcher/list_build.h"

#define IMAGE_FORMAT 1
#define IMAGE_HEAD_SIZE 208
#define IMAGE_SUMMED_FROM 24
#define ROW_HEAD_SIZE 13
#define ROW_STRINGS (1 + LIST_TEXTS)

static const char image_magic[8] = {'G', 'A', 'N', 'T', 'R', 'Y', 'V', 'L'};

static void entry_strings(const struct list_entry *entry, const char *ret_strings[ROW_STRINGS])
{
	const char *strings[ROW_STRINGS] = {entry->text, entry->reason, entry->action,
					    entry->make, entry->model,  entry->colour};

	memcpy(ret_strings, strings, sizeof(strings));
}

static size_t row_size(const struct list_entry *entry)
{
	const char *strings[ROW_STRINGS];
	size_t size = ROW_HEAD_SIZE;

	entry_strings(entry, strings);
	for (int i = 0; i < ROW_STRINGS; i++)
		size += 2 + strlen(strings[i]);
	return size;
}

static uint8_t *row_write(const struct list_entry *entry, uint8_t *at)
{
	const char *strings[ROW_STRINGS];

	entry_strings(entry, strings);
	le64_put(at, (uint64_t)entry->expires_us);
	le32_put(at + 8, entry->line);
	at[12] = entry->flags & (LIST_FLAG_TOLERANT | LIST_FLAG_AS_RECEIVED);
	at += ROW_HEAD_SIZE;
	for (int i = 0; i < ROW_STRINGS; i++) {
		size_t size = strlen(strings[i]);

		le16_put(at, (uint16_t)size);
		memcpy(at + 2, strings[i], size);
		at += 2 + size;
	}
	return at;
}

static void head_write(const struct list *list, uint8_t *bytes)
{
	const struct list_info *info = &list->info;

	memcpy(bytes, image_magic, sizeof(image_magic));
	le32_put(bytes + 8, IMAGE_FORMAT);
	le32_put(bytes + 12, list->count);
	le32_put(bytes + 24, info->id);
	le32_put(bytes + 28, info->version);
	le64_put(bytes + 32, (uint64_t)info->revised_us);
	bytes[40] = (uint8_t)info->class;
	bytes[41] = (uint8_t)info->purpose;
	bytes[42] = info->priority;
	memcpy(bytes + 48, info->name, strlen(info->name));
	memcpy(bytes + 112, info->owner, strlen(info->owner));
	memcpy(bytes + 176, info->sha256, SHA256_SIZE);
}

int list_image(const struct list *list, void **ret_bytes, size_t *ret_size)
{
	struct list_entry entry;
	size_t size = IMAGE_HEAD_SIZE;
	uint8_t *bytes, *at;

	for (uint32_t i = 0; i < list->count; i++) {
		list_entry(list, i, &entry);
		size += row_size(&entry);
	}
	bytes = calloc(1, size);
	if (bytes == NULL)
		return -ENOMEM;
	head_write(list, bytes);
	at = bytes + IMAGE_HEAD_SIZE;
	for (uint32_t i = 0; i < list->count; i++) {
		list_entry(list, i, &entry);
		at = row_write(&entry, at);
	}
	le64_put(bytes + 16, XXH3_64bits(bytes + IMAGE_SUMMED_FROM, size - IMAGE_SUMMED_FROM));
	*ret_bytes = bytes;
	*ret_size = size;
	return 0;
}

static void head_read(const uint8_t *bytes, struct list_info *ret_info)
{
	struct list_info info = {
		.id = le32_get(bytes + 24),
		.version = le32_get(bytes + 28),
		.revised_us = (int64_t)le64_get(bytes + 32),
		.class = (enum list_class)bytes[40],
		.purpose = (enum list_purpose)bytes[41],
		.priority = bytes[42],
	};

	memcpy(info.name, bytes + 48, sizeof(info.name));
	memcpy(info.owner, bytes + 112, sizeof(info.owner));
	memcpy(info.sha256, bytes + 176, SHA256_SIZE);
	*ret_info = info;
}

/* The row's size, or -EBADMSG. Its strings stay in the image. */
static int64_t row_read(const uint8_t *bytes, size_t size, struct list_row *ret_row)
{
	size_t at = ROW_HEAD_SIZE;

	if (size < ROW_HEAD_SIZE)
		return -EBADMSG;
	ret_row->expires_us = (int64_t)le64_get(bytes);
	ret_row->line = le32_get(bytes + 8);
	ret_row->flags = bytes[12];
	if (ret_row->flags & ~(LIST_FLAG_TOLERANT | LIST_FLAG_AS_RECEIVED))
		return -EBADMSG;
	for (int i = 0; i < ROW_STRINGS; i++) {
		struct slice *string = i == 0 ? &ret_row->vrm : &ret_row->texts[i - 1];

		if (size - at < 2 || size - at - 2 < le16_get(bytes + at))
			return -EBADMSG;
		*string = (struct slice){bytes + at + 2, le16_get(bytes + at)};
		if (string->size > LIST_TEXT_SIZE_MAX || memchr(string->bytes, 0, string->size) != NULL)
			return -EBADMSG;
		at += 2 + string->size;
	}
	return (int64_t)at;
}

static int rows_read(struct list *list, const uint8_t *bytes, size_t size, uint32_t count)
{
	const char *reason;
	struct list_row row;

	for (uint32_t i = 0; i < count; i++) {
		int64_t used = row_read(bytes, size, &row);
		int status;

		if (used < 0)
			return (int)used;
		status = list_row_add(list, &row, &reason);
		if (status != 0)
			return status < 0 ? status : -EBADMSG;
		bytes += used;
		size -= (size_t)used;
	}
	return size == 0 ? 0 : -EBADMSG;
}

int list_parse(const void *bytes, size_t size, struct err *err, struct list **ret_list)
{
	const uint8_t *image = bytes;
	struct list_info info;
	struct list *list;
	int status;

	if (size < IMAGE_HEAD_SIZE || memcmp(image, image_magic, sizeof(image_magic)) != 0)
		return err_set(err, -EBADMSG, "not the image of a list");
	if (le32_get(image + 8) != IMAGE_FORMAT)
		return err_set(err, -EBADMSG, "a list of format %u; this version reads format %d", le32_get(image + 8),
			       IMAGE_FORMAT);
	if (le64_get(image + 16) != XXH3_64bits(image + IMAGE_SUMMED_FROM, size - IMAGE_SUMMED_FROM))
		return err_set(err, -EBADMSG, "the image of a list is damaged; load the list again");
	head_read(image, &info);
	status = list_new(&info, err, &list);
	if (status < 0)
		return status == -EINVAL ? -EBADMSG : status;
	status = rows_read(list, image + IMAGE_HEAD_SIZE, size - IMAGE_HEAD_SIZE, le32_get(image + 12));
	if (status < 0) {
		list_free(list);
		return err_set(err, status, "the image of list %u cannot be read; load the list again", info.id);
	}
	list_seal(list);
	*ret_list = list;
	return 0;
}
