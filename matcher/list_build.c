#include "matcher/list_build.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "appliance/base/bytes.h"
#include "appliance/base/err.h"
#include "appliance/base/glob.h"
#include "matcher/vrm.h"

int list_new(const struct list_info *info, struct err *err, struct list **ret_list)
{
	struct list *list;
	int status = list_head_check(info, err);

	if (status < 0)
		return status;
	list = calloc(1, sizeof(*list));
	if (list == NULL)
		return err_set(err, -ENOMEM, "no memory for a list");
	list->info = *info;
	list->info.generation_since = info->version;
	if (list->info.marking[0] == '\0')
		strcpy(list->info.marking, LIST_MARKING_DEFAULT);
	*ret_list = list;
	return 0;
}

/* What a row's VRM is compared by: a key, or a pattern over keys. */
struct row_pattern {
	char bytes[GLOB_PATTERN_SIZE_MAX + 1];
	uint8_t size;
	uint8_t wildcards;
};

/* The key of a VRM without wildcards that is no longer than a read's; as vrm_pattern_key has it, and much faster. */
static bool plain_key(const struct slice *vrm, uint8_t ret_key[READ_TEXT_SIZE])
{
	uint8_t text[READ_TEXT_SIZE] = {0};

	if (vrm->size > sizeof(text))
		return false;
	memcpy(text, vrm->bytes, vrm->size);
	return memchr(text, '?', sizeof(text)) == NULL && memchr(text, '*', sizeof(text)) == NULL &&
	       vrm_key(text, ret_key) == 0;
}

static int row_pattern(const struct slice *vrm, struct row_pattern *ret_pattern)
{
	uint8_t key[READ_TEXT_SIZE];
	struct glob glob;

	if (plain_key(vrm, key)) {
		memcpy(ret_pattern->bytes, key, sizeof(key));
		ret_pattern->size = (uint8_t)vrm_key_size(key);
		ret_pattern->wildcards = 0;
		return 0;
	}
	if (vrm_pattern_key(vrm->bytes, vrm->size, NULL, &glob) < 0)
		return -EINVAL;
	memcpy(ret_pattern->bytes, glob.pattern, glob.pattern_size);
	ret_pattern->size = glob.pattern_size;
	ret_pattern->wildcards = glob.wildcards;
	return 0;
}

/* The rules of an entry, beyond those of a pattern. NULL, or why not. */
static const char *row_rules(const struct row_pattern *pattern, const struct list_row *row)
{
	uint8_t odd = row->flags & (LIST_FLAG_TOLERANT | LIST_FLAG_AS_RECEIVED);
	unsigned fixed = pattern->size - pattern->wildcards;

	if (pattern->wildcards > 0 && fixed < LIST_FIXED_MIN)
		return "a pattern needs two letters or digits at least: it would alarm on everything";
	if (pattern->wildcards > LIST_WILDCARDS_MAX)
		return "a pattern has at most 8 wildcards";
	if ((row->flags & LIST_FLAG_EXACT) != 0 && odd == LIST_FLAG_TOLERANT)
		return "an entry cannot be tolerant and exact at once";
	if (pattern->wildcards > 0 && odd != 0)
		return "a pattern can be neither tolerant nor as-received";
	if (odd == (LIST_FLAG_TOLERANT | LIST_FLAG_AS_RECEIVED))
		return "an entry cannot be tolerant and as-received at once";
	if (odd == LIST_FLAG_AS_RECEIVED && row->vrm.size > READ_TEXT_SIZE)
		return "an as-received VRM has at most 16 bytes";
	return NULL;
}

static const char *row_check(const struct list_row *row, struct row_pattern *ret_pattern)
{
	if (row->vrm.size > LIST_PATTERN_SIZE)
		return "a VRM has at most 64 bytes";
	if (row_pattern(&row->vrm, ret_pattern) < 0)
		return "a VRM needs a letter or digit, and at most 16 of them";
	return row_rules(ret_pattern, row);
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

static int row_append(struct list *list, const struct list_row *row, const struct row_pattern *pattern)
{
	size_t size = (size_t)pattern->size + 1 + row->vrm.size + 1;
	uint8_t flags = row->flags | (pattern->wildcards > 0 ? LIST_FLAG_WILDCARD : 0);
	int status;

	for (size_t i = 0; i < LIST_TEXTS; i++)
		size += row->texts[i].size + 1;
	status = slots_grow(list);
	if (status == 0)
		status = pool_grow(list, size);
	if (status < 0)
		return status;
	/* These are never met by misread: to say so again is nothing. */
	if ((flags & (LIST_FLAG_WILDCARD | LIST_FLAG_AS_RECEIVED)) != 0)
		flags &= (uint8_t)~LIST_FLAG_EXACT;
	list->slots[list->count++] = (struct list_slot){
		.expires_us = row->expires_us,
		.offset = (uint32_t)list->pool_size,
		.line = row->line,
		.since = row->since,
		.flags = flags,
	};
	pool_put(list, pattern->bytes, pattern->size);
	pool_put(list, row->vrm.bytes, row->vrm.size);
	for (size_t i = 0; i < LIST_TEXTS; i++)
		pool_put(list, row->texts[i].bytes, row->texts[i].size);
	return 0;
}

int list_row_add(struct list *list, const struct list_row *row, const char **ret_reason)
{
	struct row_pattern pattern;
	const char *reason = row_check(row, &pattern);

	if (reason != NULL) {
		*ret_reason = reason;
		return LIST_ROW_BAD;
	}
	return row_append(list, row, &pattern);
}

static uint32_t pattern_tag(const char *pattern)
{
	return (uint32_t)XXH3_64bits(pattern, strlen(pattern));
}

void list_row_hint(const struct list *list, const struct slice *vrm)
{
	char key[READ_TEXT_SIZE + 1] = {0};

	if (list->seen != NULL && plain_key(vrm, (uint8_t *)key))
		__builtin_prefetch(&list->seen[pattern_tag(key) & (list->seen_room - 1)], 1);
}

static const char *slot_pattern(const struct list *list, uint32_t index)
{
	return list->pool + list->slots[index].offset;
}

/* Where the entry is, or would go, in a table that always has a free place. */
static struct list_seen *seen_place(const struct list *list, uint32_t index)
{
	uint32_t tag = pattern_tag(slot_pattern(list, index));
	uint32_t mask = list->seen_room - 1;

	for (uint32_t at = tag & mask;; at = (at + 1) & mask) {
		struct list_seen *place = &list->seen[at];

		if (place->place == 0) {
			place->tag = tag;
			return place;
		}
		if (place->tag == tag && (list->slots[place->place - 1].flags & LIST_FLAG_REMOVED) == 0 &&
		    list_entry_is_same(list, place->place - 1, list, index))
			return place;
	}
}

static int seen_new(struct list *list, uint32_t room)
{
	struct list_seen *seen = calloc(room, sizeof(*seen));

	if (seen == NULL)
		return -ENOMEM;
	list->seen = seen;
	list->seen_room = room;
	return 0;
}

/* By the tags alone: what they stand for lies all over memory. */
static int seen_grow(struct list *list)
{
	struct list_seen *old = list->seen;
	uint32_t old_room = list->seen_room;
	int status;

	if (list->count < old_room / 2)
		return 0;
	status = seen_new(list, old_room > 0 ? old_room * 2 : 128);
	if (status < 0)
		return status;
	for (uint32_t i = 0; i < old_room; i++) {
		uint32_t at = old[i].tag & (list->seen_room - 1);

		if (old[i].place == 0)
			continue;
		while (list->seen[at].place != 0)
			at = (at + 1) & (list->seen_room - 1);
		list->seen[at] = old[i];
	}
	free(old);
	return 0;
}

int list_index(struct list *list)
{
	uint32_t room = 128;
	int status;

	while (room / 2 <= list->count)
		room *= 2;
	free(list->seen);
	status = seen_new(list, room);
	if (status < 0)
		list->seen = NULL;
	for (uint32_t i = 0; status == 0 && i < list->count; i++)
		if ((list->slots[i].flags & LIST_FLAG_REMOVED) == 0)
			seen_place(list, i)->place = i + 1;
	return status;
}

uint32_t list_find(const struct list *list, const char *pattern, const struct list_seen **at)
{
	uint32_t tag = pattern_tag(pattern);
	const struct list_seen *place = *at != NULL ? *at + 1 : &list->seen[tag & (list->seen_room - 1)];

	for (;; place++) {
		if (place == list->seen + list->seen_room)
			place = list->seen;
		if (place->place == 0)
			return UINT32_MAX;
		*at = place;
		if (place->tag == tag && (list->slots[place->place - 1].flags & LIST_FLAG_REMOVED) == 0 &&
		    strcmp(slot_pattern(list, place->place - 1), pattern) == 0)
			return place->place - 1;
	}
}

int list_seen_add(struct list *list, uint32_t index)
{
	int status = seen_grow(list);

	if (status == 0)
		seen_place(list, index)->place = index + 1;
	return status;
}

int list_row_add_once(struct list *list, const struct list_row *row, const char **ret_reason)
{
	size_t pool_size = list->pool_size;
	struct list_seen *place;
	int status = seen_grow(list);

	if (status == 0)
		status = list_row_add(list, row, ret_reason);
	if (status != 0)
		return status;
	place = seen_place(list, list->count - 1);
	if (place->place != 0) {
		list->count--;
		list->pool_size = pool_size;
		return LIST_ROW_DUPLICATE;
	}
	place->place = list->count;
	return 0;
}

void list_slot_remove(struct list *list, uint32_t index)
{
	if ((list->slots[index].flags & LIST_FLAG_REMOVED) != 0)
		return;
	list->slots[index].flags |= LIST_FLAG_REMOVED;
	list->removed++;
}

/* Rows lie in the pool in the order of their slots: one ends where the next begins. */
static size_t slot_size(const struct list *list, uint32_t index)
{
	size_t end = index + 1 < list->count ? list->slots[index + 1].offset : list->pool_size;

	return end - list->slots[index].offset;
}

static int slot_copy(struct list *list, const struct list *from, uint32_t index)
{
	size_t size = slot_size(from, index);
	int status = slots_grow(list);

	if (status == 0)
		status = pool_grow(list, size);
	if (status < 0)
		return status;
	list->slots[list->count] = from->slots[index];
	list->slots[list->count++].offset = (uint32_t)list->pool_size;
	memcpy(list->pool + list->pool_size, from->pool + from->slots[index].offset, size);
	list->pool_size += size;
	list->removed += (from->slots[index].flags & LIST_FLAG_REMOVED) != 0;
	return 0;
}

int list_copy(const struct list *list, const struct list_info *info, bool compact, struct err *err,
	      struct list **ret_list)
{
	struct list *copy;
	int status = list_new(info, err, &copy);

	if (status < 0)
		return status;
	if (info->generation == list->info.generation)
		copy->info.generation_since = list->info.generation_since;
	for (uint32_t i = 0; i < list->count && status == 0; i++)
		if (!compact || (list->slots[i].flags & LIST_FLAG_REMOVED) == 0)
			status = slot_copy(copy, list, i);
	if (status < 0) {
		list_free(copy);
		return err_set(err, status, "no memory for a list of %u entries", list->count);
	}
	*ret_list = copy;
	return 0;
}

int list_arrange(struct list *list)
{
	struct list copy = {.info = list->info, .seen = list->seen, .seen_room = list->seen_room};
	uint32_t *order;
	int status;

	assert(list->removed == 0);
	status = list_sorted(list, &order);
	if (status < 0)
		return status;
	for (uint32_t i = 0; i < list->count && status == 0; i++) {
		list_prefetch(list, order, list->count, i);
		status = slot_copy(&copy, list, order[i]);
	}
	if (status == 0) {
		struct list old = *list;

		*list = copy;
		copy = old;
	}
	if (copy.pool != NULL)
		bytes_wipe(copy.pool, copy.pool_room);
	free(copy.pool);
	free(copy.slots);
	free(order);
	return status;
}

/* A realloc that shrinks may fail; then the room stays. */
void list_trim(struct list *list)
{
	void *smaller;

	free(list->seen);
	list->seen = NULL;
	if (list->count == 0)
		return;
	smaller = realloc(list->slots, list->count * sizeof(*list->slots));
	if (smaller != NULL) {
		list->slots = smaller;
		list->room = list->count;
	}
	smaller = realloc(list->pool, list->pool_size);
	if (smaller != NULL) {
		list->pool = smaller;
		list->pool_room = list->pool_size;
	}
}
