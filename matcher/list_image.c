/*
 * A list as bytes, little-endian:
 *
 *	offset	size
 *	0	8	magic "GANTRYVL"
 *	8	4	format, 3
 *	12	4	slots
 *	16	8	XXH3-64 of all bytes behind this field
 *	24	4	list id
 *	28	4	list version
 *	32	8	revised, µs
 *	40	4	generation
 *	44	4	size of the head
 *	48	32	digest of what the list says (list_build.h)
 *	80	4	version with which the generation began; not in format 2, which is read: with its own version
 *	84		the head (list_head.c), then the slots: expires µs (8), line (4), since version (4), flags (1),
 *			then vrm, reason, action, make, model, colour, each as its size (2) and its bytes
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

#define IMAGE_FORMAT 3
#define IMAGE_FIXED_SIZE 84
#define IMAGE_FORMAT_BEFORE 2
#define IMAGE_FIXED_SIZE_BEFORE 80
#define IMAGE_SUMMED_FROM 24
#define ROW_HEAD_SIZE 17
#define ROW_FLAGS (LIST_ROW_FLAGS | LIST_FLAG_REMOVED)
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

static uint8_t *row_write(const struct list *list, uint32_t index, uint8_t *at)
{
	struct list_entry entry;
	const char *strings[ROW_STRINGS];

	list_entry(list, index, &entry);
	entry_strings(&entry, strings);
	le64_put(at, (uint64_t)entry.expires_us);
	le32_put(at + 8, entry.line);
	le32_put(at + 12, entry.since);
	at[16] = list->slots[index].flags & ROW_FLAGS;
	at += ROW_HEAD_SIZE;
	for (int i = 0; i < ROW_STRINGS; i++) {
		size_t size = strlen(strings[i]);

		le16_put(at, (uint16_t)size);
		memcpy(at + 2, strings[i], size);
		at += 2 + size;
	}
	return at;
}

static void fixed_write(const struct list *list, size_t head_size, uint8_t *bytes)
{
	const struct list_info *info = &list->info;

	memcpy(bytes, image_magic, sizeof(image_magic));
	le32_put(bytes + 8, IMAGE_FORMAT);
	le32_put(bytes + 12, list->count);
	le32_put(bytes + 24, info->id);
	le32_put(bytes + 28, info->version);
	le64_put(bytes + 32, (uint64_t)info->revised_us);
	le32_put(bytes + 40, info->generation);
	le32_put(bytes + 44, (uint32_t)head_size);
	memcpy(bytes + 48, info->sha256, SHA256_SIZE);
	le32_put(bytes + 80, info->generation_since);
}

int list_image(const struct list *list, void **ret_bytes, size_t *ret_size)
{
	uint8_t head[LIST_HEAD_SIZE_MAX];
	size_t head_size = list_head_encode(&list->info, head);
	struct list_entry entry;
	size_t size = IMAGE_FIXED_SIZE + head_size;
	uint8_t *bytes, *at;

	for (uint32_t i = 0; i < list->count; i++) {
		list_entry(list, i, &entry);
		size += row_size(&entry);
	}
	bytes = calloc(1, size);
	if (bytes == NULL)
		return -ENOMEM;
	fixed_write(list, head_size, bytes);
	memcpy(bytes + IMAGE_FIXED_SIZE, head, head_size);
	at = bytes + IMAGE_FIXED_SIZE + head_size;
	for (uint32_t i = 0; i < list->count; i++)
		at = row_write(list, i, at);
	le64_put(bytes + 16, XXH3_64bits(bytes + IMAGE_SUMMED_FROM, size - IMAGE_SUMMED_FROM));
	*ret_bytes = bytes;
	*ret_size = size;
	return 0;
}

/* The whole head, behind `fixed` bytes; `size` is what stands behind them. */
static int info_read(const uint8_t *bytes, size_t fixed, size_t size, struct list_info *ret_info)
{
	struct list_info info = {
		.id = le32_get(bytes + 24),
		.version = le32_get(bytes + 28),
		.revised_us = (int64_t)le64_get(bytes + 32),
		.generation = le32_get(bytes + 40),
	};
	int status =
		le32_get(bytes + 44) > size ? -EBADMSG : list_head_decode(bytes + fixed, le32_get(bytes + 44), &info);

	info.generation_since = fixed == IMAGE_FIXED_SIZE ? le32_get(bytes + 80) : info.version;
	if (info.generation_since > info.version)
		status = -EBADMSG;
	if (status == 0)
		*ret_info = info;
	return status;
}

/* The row's size, or -EBADMSG. Its strings stay in the image. */
static int64_t row_read(const uint8_t *bytes, size_t size, struct list_row *ret_row)
{
	size_t at = ROW_HEAD_SIZE;

	if (size < ROW_HEAD_SIZE)
		return -EBADMSG;
	ret_row->expires_us = (int64_t)le64_get(bytes);
	ret_row->line = le32_get(bytes + 8);
	ret_row->since = le32_get(bytes + 12);
	ret_row->flags = bytes[16];
	if (ret_row->flags & ~ROW_FLAGS)
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
		bool removed = (row.flags & LIST_FLAG_REMOVED) != 0;
		int status;

		if (used < 0)
			return (int)used;
		row.flags &= LIST_ROW_FLAGS;
		status = list_row_add(list, &row, &reason);
		if (status != 0)
			return status < 0 ? status : -EBADMSG;
		if (removed)
			list_slot_remove(list, i);
		bytes += used;
		size -= (size_t)used;
	}
	return size == 0 ? 0 : -EBADMSG;
}

/* What stands before the head; 0: of a format that is not read. */
static size_t fixed_size(uint32_t format)
{
	return format == IMAGE_FORMAT ? IMAGE_FIXED_SIZE : format == IMAGE_FORMAT_BEFORE ? IMAGE_FIXED_SIZE_BEFORE : 0;
}

int list_parse(const void *bytes, size_t size, struct err *err, struct list **ret_list)
{
	const uint8_t *image = bytes;
	struct list_info info;
	struct list *list;
	size_t fixed, head_size;
	int status;

	if (size < IMAGE_FIXED_SIZE || memcmp(image, image_magic, sizeof(image_magic)) != 0)
		return err_set(err, -EBADMSG, "not the image of a list");
	fixed = fixed_size(le32_get(image + 8));
	if (fixed == 0)
		return err_set(err, -EBADMSG, "a list of format %u; this version reads format %d", le32_get(image + 8),
			       IMAGE_FORMAT);
	if (le64_get(image + 16) != XXH3_64bits(image + IMAGE_SUMMED_FROM, size - IMAGE_SUMMED_FROM))
		return err_set(err, -EBADMSG, "the image of a list is damaged; load the list again");
	if (info_read(image, fixed, size - fixed, &info) < 0)
		return err_set(err, -EBADMSG, "the head of list %u cannot be read; load the list again",
			       le32_get(image + 24));
	status = list_new(&info, err, &list);
	if (status < 0)
		return status == -EINVAL ? -EBADMSG : status;
	head_size = fixed + le32_get(image + 44);
	status = rows_read(list, image + head_size, size - head_size, le32_get(image + 12));
	if (status < 0) {
		list_free(list);
		return err_set(err, status, "the image of list %u cannot be read; load the list again", info.id);
	}
	list->info.generation_since = info.generation_since;
	/* As it was taken: another VRM key would give another one for the same content. */
	memcpy(list->info.sha256, image + 48, SHA256_SIZE);
	list_trim(list);
	*ret_list = list;
	return 0;
}
