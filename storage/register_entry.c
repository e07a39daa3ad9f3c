#include "storage/register_entry.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "storage/changelog.h"
#include "storage/cursor.h"

#define ENTRY_VERSION 1
#define CHANGE_SIZE_MIN 10 /* op, kind, a, b */

enum { OP_PUT = 1, OP_DELETE = 2 };

static size_t entry_size(const struct reg_entry *entry)
{
	size_t size = 1 + 8 + 4 + 2 + strlen(entry->reason) + 4;

	for (size_t i = 0; i < entry->count; i++)
		size += CHANGE_SIZE_MIN + (entry->changes[i].value != NULL ? 4 + entry->changes[i].value_size : 0);
	return size;
}

static void change_put(struct cursor *cursor, const struct reg_change *change)
{
	cursor_put_u8(cursor, change->value != NULL ? OP_PUT : OP_DELETE);
	cursor_put_u8(cursor, (uint8_t)change->kind);
	cursor_put_u32(cursor, change->a);
	cursor_put_u32(cursor, change->b);
	if (change->value == NULL)
		return;
	cursor_put_u32(cursor, (uint32_t)change->value_size);
	cursor_put_bytes(cursor, change->value, change->value_size);
}

int reg_entry_encode(const struct reg_entry *entry, uint8_t **ret_body, size_t *ret_size)
{
	size_t size = entry_size(entry);
	struct cursor cursor;
	uint8_t *body;

	if (entry->count > REG_CHANGES_MAX || size > CHANGELOG_BODY_SIZE_MAX)
		return -EFBIG;
	body = malloc(size);
	if (body == NULL)
		return -ENOMEM;
	cursor = cursor_over(body, size);
	cursor_put_u8(&cursor, ENTRY_VERSION);
	cursor_put_u64(&cursor, (uint64_t)entry->time_us);
	cursor_put_u32(&cursor, entry->who_uid);
	cursor_put_text(&cursor, entry->reason);
	cursor_put_u32(&cursor, (uint32_t)entry->count);
	for (size_t i = 0; i < entry->count; i++)
		change_put(&cursor, &entry->changes[i]);
	*ret_body = body;
	*ret_size = size;
	return 0;
}

static void change_get(struct cursor *cursor, struct reg_change *change)
{
	uint8_t op = cursor_get_u8(cursor);

	*change = (struct reg_change){.kind = (enum reg_kind)cursor_get_u8(cursor)};
	change->a = cursor_get_u32(cursor);
	change->b = cursor_get_u32(cursor);
	if ((op != OP_PUT && op != OP_DELETE) || change->kind < REG_FEED || change->kind >= REG_KIND_END)
		cursor->bad = true;
	if (op != OP_PUT)
		return;
	change->value_size = cursor_get_u32(cursor);
	if (change->value_size > REG_RECORD_SIZE_MAX)
		cursor->bad = true;
	change->value = cursor_take(cursor, change->value_size);
}

int reg_entry_decode(const uint8_t *body, size_t size, struct reg_entry *ret_entry)
{
	struct cursor cursor = cursor_over(body, size);
	struct reg_entry entry = {0};

	if (cursor_get_u8(&cursor) != ENTRY_VERSION)
		return -EBADMSG;
	entry.time_us = (int64_t)cursor_get_u64(&cursor);
	entry.who_uid = cursor_get_u32(&cursor);
	cursor_get_text(&cursor, entry.reason, sizeof(entry.reason));
	entry.count = cursor_get_u32(&cursor);
	if (cursor.bad || entry.count > REG_CHANGES_MAX)
		return -EBADMSG;
	entry.changes = calloc(entry.count + 1, sizeof(*entry.changes));
	if (entry.changes == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < entry.count && !cursor.bad; i++)
		change_get(&cursor, &entry.changes[i]);
	if (!cursor_done(&cursor)) {
		free(entry.changes);
		return -EBADMSG;
	}
	*ret_entry = entry;
	return 0;
}
