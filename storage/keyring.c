/*
 * Overview. The whole ring is in memory, sorted; a change makes a new content, writes it to copy a, then to copy b,
 * then takes its place. Every write has its own key-encrypting key, and every former file is overwritten, so that a
 * destroyed key is nowhere once the change that destroyed it has returned.
 *
 * Copy b is touched only when copy a holds the new generation whole: at any moment one of the files (or, in the middle
 * of a replacement, what lies beside it) opens. A failed change uses up its generation number, for one copy may bear
 * it.
 *
 * Synchronisation: one mutex around everything, the writes included.
 */
#include "storage/keyring.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/bytes.h"
#include "appliance/base/digest.h"
#include "storage/keyring_private.h"

static int entry_order(const void *a, const void *b)
{
	return keyring_id_order(&((const struct keyring_entry *)a)->id, &((const struct keyring_entry *)b)->id);
}

static struct keyring_entry *entry_find(const struct keyring_content *content, struct key_id id)
{
	struct keyring_entry wanted = {.id = id};

	if (content->entry_count == 0)
		return NULL;
	return bsearch(&wanted, content->entries, content->entry_count, sizeof(wanted), entry_order);
}

int keyring_get(struct keyring *keyring, struct key_id id, uint8_t ret_key[KEY_SIZE])
{
	const struct keyring_entry *entry;

	(void)pthread_mutex_lock(&keyring->lock);
	entry = entry_find(&keyring->content, id);
	if (entry != NULL)
		memcpy(ret_key, entry->key, KEY_SIZE);
	(void)pthread_mutex_unlock(&keyring->lock);
	return entry != NULL ? 0 : -ENOENT;
}

int keyring_content_copy(const struct keyring_content *from, size_t entries, size_t days,
			 struct keyring_content *ret_copy)
{
	struct keyring_content copy = {.generation = from->generation,
				       .master_made_us = from->master_made_us,
				       .escrow_made_us = from->escrow_made_us};

	copy.entries = calloc(from->entry_count + entries + 1, sizeof(*copy.entries));
	copy.days = calloc(from->day_count + days + 1, sizeof(*copy.days));
	if (copy.entries == NULL || copy.days == NULL) {
		keyring_content_fini(&copy);
		return -ENOMEM;
	}
	if (from->entry_count > 0)
		memcpy(copy.entries, from->entries, from->entry_count * sizeof(*copy.entries));
	if (from->day_count > 0)
		memcpy(copy.days, from->days, from->day_count * sizeof(*copy.days));
	copy.entry_count = from->entry_count;
	copy.day_count = from->day_count;
	*ret_copy = copy;
	return 0;
}

int keyring_content_add(struct keyring_content *content, struct key_id id, const uint8_t key[KEY_SIZE])
{
	size_t low = 0;
	size_t high = content->entry_count;

	while (low < high) {
		size_t middle = (low + high) / 2;
		int order = keyring_id_order(&content->entries[middle].id, &id);

		if (order == 0)
			return -EEXIST;
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	memmove(&content->entries[low + 1], &content->entries[low],
		(content->entry_count - low) * sizeof(*content->entries));
	content->entries[low].id = id;
	memcpy(content->entries[low].key, key, KEY_SIZE);
	content->entry_count++;
	return 0;
}

static int content_make(struct keyring_content *content, struct key_id id)
{
	uint8_t key[KEY_SIZE];
	int r;

	random_bytes(key, sizeof(key));
	r = keyring_content_add(content, id, key);
	bytes_wipe(key, sizeof(key));
	return r;
}

bool keyring_content_destroy(struct keyring_content *content, struct key_id id)
{
	struct keyring_entry *entry = entry_find(content, id);
	size_t after;

	if (entry == NULL)
		return false;
	after = content->entry_count - (size_t)(entry - content->entries) - 1;
	memmove(entry, entry + 1, after * sizeof(*entry));
	content->entry_count--;
	bytes_wipe(&content->entries[content->entry_count], sizeof(*entry));
	return true;
}

int keyring_commit(struct keyring *keyring, struct keyring_content *content, const uint8_t master[KEY_SIZE])
{
	int r = keyring->read_only || keyring->content.by_escrow ? -EROFS : 0;

	if (r < 0) {
		keyring_content_fini(content);
		return r;
	}
	content->generation = ++keyring->generation_last;
	r = keyring_write(keyring, content, master, true, true);
	keyring->unsettled = r < 0;
	if (r < 0) {
		keyring_content_fini(content);
		return r == -ENOMEM || r == -EFBIG || r == -ENOSPC ? r : -EIO;
	}
	keyring->file_size = keyring_file_size(content);
	memmove(keyring->master, master, KEY_SIZE);
	keyring_content_fini(&keyring->content);
	keyring->content = *content;
	return 0;
}

static int content_apply(struct keyring_content *content, const struct key_change *changes, size_t count,
			 bool *ret_changed)
{
	bool changed = false;

	for (size_t i = 0; i < count; i++) {
		if (changes[i].destroy) {
			changed = keyring_content_destroy(content, changes[i].id) || changed;
		} else {
			int r = content_make(content, changes[i].id);

			if (r < 0)
				return r;
			changed = true;
		}
	}
	*ret_changed = changed;
	return 0;
}

int keyring_change(struct keyring *keyring, const struct key_change *changes, size_t count)
{
	struct keyring_content content;
	bool changed = false;
	int r;

	(void)pthread_mutex_lock(&keyring->lock);
	r = keyring_content_copy(&keyring->content, count, 0, &content);
	if (r == 0) {
		r = content_apply(&content, changes, count, &changed);
		if (r == 0 && (changed || keyring->unsettled))
			r = keyring_commit(keyring, &content, keyring->master);
		else
			keyring_content_fini(&content);
	}
	(void)pthread_mutex_unlock(&keyring->lock);
	return r;
}

static bool day_is_marked(const struct keyring_content *content, int32_t day)
{
	for (size_t i = 0; i < content->day_count; i++)
		if (content->days[i] == day)
			return true;
	return false;
}

static void day_mark(struct keyring_content *content, int32_t day)
{
	size_t at = content->day_count;

	while (at > 0 && content->days[at - 1] > day) {
		content->days[at] = content->days[at - 1];
		at--;
	}
	content->days[at] = day;
	content->day_count++;
}

/* Dies with its day; days of other kinds are something else. */
static bool key_of_day(const struct key_id *id, int32_t day)
{
	return (id->kind == KEY_SEGMENT || id->kind == KEY_MARK || id->kind == KEY_LATE) && id->day == day;
}

static bool day_drop_keys(struct keyring_content *content, int32_t day)
{
	size_t kept = 0;
	size_t before = content->entry_count;

	for (size_t i = 0; i < before; i++) {
		const struct keyring_entry *entry = &content->entries[i];

		if (!key_of_day(&entry->id, day))
			content->entries[kept++] = *entry;
	}
	bytes_wipe(&content->entries[kept], (before - kept) * sizeof(*content->entries));
	content->entry_count = kept;
	return kept < before;
}

int keyring_destroy_day(struct keyring *keyring, int32_t day)
{
	struct keyring_content content;
	bool dropped;
	bool marked;
	int r;

	(void)pthread_mutex_lock(&keyring->lock);
	r = keyring_content_copy(&keyring->content, 0, 1, &content);
	if (r == 0) {
		marked = day_is_marked(&content, day);
		dropped = day_drop_keys(&content, day);
		if (!marked)
			day_mark(&content, day);
		if (dropped || !marked || keyring->unsettled)
			r = keyring_commit(keyring, &content, keyring->master);
		else
			keyring_content_fini(&content);
	}
	(void)pthread_mutex_unlock(&keyring->lock);
	return r;
}

bool keyring_day_destroyed(struct keyring *keyring, int32_t day)
{
	bool destroyed;

	(void)pthread_mutex_lock(&keyring->lock);
	destroyed = day_is_marked(&keyring->content, day);
	(void)pthread_mutex_unlock(&keyring->lock);
	return destroyed;
}

void keyring_info(struct keyring *keyring, struct keyring_info *ret_info)
{
	const struct keyring_content *content = &keyring->content;
	const struct keyring_entry *escrow;
	struct keyring_info info = {0};

	(void)pthread_mutex_lock(&keyring->lock);
	info.generation = content->generation;
	info.key_count = content->entry_count;
	for (size_t i = 0; i < content->entry_count; i++)
		if (content->entries[i].id.kind < KEY_KIND_END)
			info.kinds[content->entries[i].id.kind]++;
	info.days_destroyed = content->day_count;
	info.file_size = keyring->file_size;
	info.copy_mended = keyring->copy_mended;
	info.by_escrow = content->by_escrow;
	info.master_made_us = content->master_made_us;
	escrow = keyring_content_escrow(content);
	if (escrow != NULL) {
		info.escrow_made_us = content->escrow_made_us;
		info.escrow_id = escrow->id.id;
	}
	(void)pthread_mutex_unlock(&keyring->lock);
	*ret_info = info;
}

int keyring_each(struct keyring *keyring, enum key_kind kind, int (*each)(void *context, struct key_id id),
		 void *context)
{
	int r = 0;

	(void)pthread_mutex_lock(&keyring->lock);
	for (size_t i = 0; i < keyring->content.entry_count && r == 0; i++)
		if (keyring->content.entries[i].id.kind == kind)
			r = each(context, keyring->content.entries[i].id);
	(void)pthread_mutex_unlock(&keyring->lock);
	return r;
}
