#include "matcher/list_build.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "appliance/base/err.h"
#include "appliance/base/glob.h"
#include "matcher/csv.h"
#include "matcher/vrm.h"

static bool name_is_clean(const char name[LIST_NAME_SIZE])
{
	size_t size = strnlen(name, LIST_NAME_SIZE);

	return size < LIST_NAME_SIZE && csv_text_is_clean(name, size);
}

static int info_check(const struct list_info *info, struct err *err)
{
	if (info->name[0] == '\0' || !name_is_clean(info->name))
		return err_set(err, -EINVAL, "a list's name has 1 to %d bytes of printable text", LIST_NAME_SIZE - 1);
	if (!name_is_clean(info->owner))
		return err_set(err, -EINVAL, "a list's owner has at most %d bytes of printable text",
			       LIST_NAME_SIZE - 1);
	if (info->class < 0 || info->class >= LIST_CLASS_COUNT)
		return err_set(err, -EINVAL, "list class %d is not known", (int)info->class);
	if (info->purpose < 0 || info->purpose >= LIST_PURPOSE_COUNT)
		return err_set(err, -EINVAL, "list purpose %d is not known", (int)info->purpose);
	if (info->priority > LIST_PRIORITY_MAX)
		return err_set(err, -EINVAL, "list priority %d is over %d", info->priority, LIST_PRIORITY_MAX);
	return 0;
}

int list_new(const struct list_info *info, struct err *err, struct list **ret_list)
{
	struct list *list;
	int status = info_check(info, err);

	if (status < 0)
		return status;
	list = calloc(1, sizeof(*list));
	if (list == NULL)
		return err_set(err, -ENOMEM, "no memory for a list");
	list->info = *info;
	*ret_list = list;
	return 0;
}

/* The rules of an entry, beyond those of a pattern. NULL, or why not. */
static const char *row_rules(const struct glob *glob, const struct list_row *row)
{
	uint8_t odd = row->flags & (LIST_FLAG_TOLERANT | LIST_FLAG_AS_RECEIVED);
	unsigned fixed = glob->pattern_size - glob->wildcards;

	if (glob->wildcards > 0 && fixed < LIST_FIXED_MIN)
		return "a pattern needs two letters or digits at least: it would alarm on everything";
	if (glob->wildcards > LIST_WILDCARDS_MAX)
		return "a pattern has at most 8 wildcards";
	if (glob->wildcards > 0 && odd != 0)
		return "a pattern can be neither tolerant nor as-received";
	if (odd == (LIST_FLAG_TOLERANT | LIST_FLAG_AS_RECEIVED))
		return "an entry cannot be tolerant and as-received at once";
	if (odd == LIST_FLAG_AS_RECEIVED && row->vrm.size > READ_TEXT_SIZE)
		return "an as-received VRM has at most 16 bytes";
	return NULL;
}

static const char *row_check(const struct list_row *row, struct glob *ret_glob)
{
	if (row->vrm.size > LIST_PATTERN_SIZE)
		return "a VRM has at most 64 bytes";
	if (vrm_pattern_key(row->vrm.bytes, row->vrm.size, NULL, ret_glob) < 0)
		return "a VRM needs a letter or digit, and at most 16 of them";
	return row_rules(ret_glob, row);
}

/* Room for `more` further bytes, doubling. -E2BIG when offsets would no longer fit 32 bits. */
static int pool_grow(struct list *list, size_t more)
{
	size_t need = list->pool_size + more;
	size_t room = list->pool_room > 0 ? list->pool_room : 4096;
	char *pool;

	if (need > UINT32_MAX)
		return -E2BIG;
	while (room < need)
		room *= 2;
	if (room == list->pool_room)
		return 0;
	pool = realloc(list->pool, room);
	if (pool == NULL)
		return -ENOMEM;
	list->pool = pool;
	list->pool_room = room;
	return 0;
}

static int slots_grow(struct list *list)
{
	uint32_t room = list->room > 0 ? list->room * 2 : 64;
	struct list_slot *slots;

	if (list->count < list->room)
		return 0;
	if (list->room > UINT32_MAX / 4)
		return -E2BIG;
	slots = realloc(list->slots, room * sizeof(*slots));
	if (slots == NULL)
		return -ENOMEM;
	list->slots = slots;
	list->room = room;
	return 0;
}

static void pool_put(struct list *list, const void *bytes, size_t size)
{
	if (size > 0)
		memcpy(list->pool + list->pool_size, bytes, size);
	list->pool[list->pool_size + size] = '\0';
	list->pool_size += size + 1;
}

static int row_append(struct list *list, const struct list_row *row, const struct glob *glob)
{
	size_t size = (size_t)glob->pattern_size + 1 + row->vrm.size + 1;
	int status;

	for (size_t i = 0; i < LIST_TEXTS; i++)
		size += row->texts[i].size + 1;
	status = slots_grow(list);
	if (status == 0)
		status = pool_grow(list, size);
	if (status < 0)
		return status;
	list->slots[list->count++] = (struct list_slot){
		.expires_us = row->expires_us,
		.offset = (uint32_t)list->pool_size,
		.line = row->line,
		.flags = row->flags | (glob->wildcards > 0 ? LIST_FLAG_WILDCARD : 0),
	};
	pool_put(list, glob->pattern, glob->pattern_size);
	pool_put(list, row->vrm.bytes, row->vrm.size);
	for (size_t i = 0; i < LIST_TEXTS; i++)
		pool_put(list, row->texts[i].bytes, row->texts[i].size);
	return 0;
}

int list_row_add(struct list *list, const struct list_row *row, const char **ret_reason)
{
	struct glob glob;
	const char *reason = row_check(row, &glob);

	if (reason != NULL) {
		*ret_reason = reason;
		return LIST_ROW_BAD;
	}
	return row_append(list, row, &glob);
}

/* Where the pattern is, or would go, in a table that always has a free place. */
static uint32_t *seen_place(struct list *list, uint32_t *seen, uint32_t room, uint32_t index)
{
	const struct list_slot *slot = &list->slots[index];
	const char *pattern = list->pool + slot->offset;
	const char *text = pattern + strlen(pattern) + 1;
	uint32_t at = (uint32_t)XXH3_64bits(pattern, strlen(pattern)) & (room - 1);

	for (; seen[at] != 0; at = (at + 1) & (room - 1)) {
		const struct list_slot *other = &list->slots[seen[at] - 1];
		const char *other_pattern = list->pool + other->offset;
		const char *other_text = other_pattern + strlen(other_pattern) + 1;

		if (other->flags == slot->flags && strcmp(other_pattern, pattern) == 0 &&
		    ((slot->flags & LIST_FLAG_AS_RECEIVED) == 0 || strcmp(other_text, text) == 0))
			break;
	}
	return &seen[at];
}

static int seen_grow(struct list *list)
{
	uint32_t room = list->seen_room > 0 ? list->seen_room * 2 : 128;
	uint32_t *seen;

	if (list->count < list->seen_room / 2)
		return 0;
	seen = calloc(room, sizeof(*seen));
	if (seen == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; i < list->count; i++)
		*seen_place(list, seen, room, i) = i + 1;
	free(list->seen);
	list->seen = seen;
	list->seen_room = room;
	return 0;
}

int list_row_add_once(struct list *list, const struct list_row *row, const char **ret_reason)
{
	size_t pool_size = list->pool_size;
	uint32_t *place;
	int status = seen_grow(list);

	if (status == 0)
		status = list_row_add(list, row, ret_reason);
	if (status != 0)
		return status;
	place = seen_place(list, list->seen, list->seen_room, list->count - 1);
	if (*place != 0) {
		list->count--;
		list->pool_size = pool_size;
		return LIST_ROW_DUPLICATE;
	}
	*place = list->count;
	return 0;
}

/* A realloc that shrinks may fail; then the room stays. */
void list_seal(struct list *list)
{
	void *smaller;

	free(list->seen);
	list->seen = NULL;
	if (list->count == 0)
		return;
	smaller = realloc(list->slots, list->count * sizeof(*list->slots));
	if (smaller != NULL)
		list->slots = smaller;
	smaller = realloc(list->pool, list->pool_size);
	if (smaller != NULL) {
		list->pool = smaller;
		list->pool_room = list->pool_size;
	}
}
