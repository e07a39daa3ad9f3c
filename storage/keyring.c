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
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/bytes.h"
#include "appliance/base/digest.h"
#include "storage/io.h"
#include "storage/keyring_copy.h"
#include "storage/keyring_file.h"
#include "storage/keyring_master.h"

struct keyring {
	pthread_mutex_t lock;
	struct io *io;
	char path_a[KEYRING_PATH_MAX];
	char path_b[KEYRING_PATH_MAX];
	uint8_t master[KEY_SIZE];
	struct keyring_content content;
	uint64_t generation_last; /* last one tried */
	bool unsettled; /* the last try failed: a copy may be ahead of us, even «no change» must be written */
	size_t file_size;
	bool copy_mended;
};

/* ---- open */

/* What the files said, so that the one error told is the most useful one. */
struct ring_search {
	bool found;
	bool rejected;
	bool damaged;
	bool later_version;
	int failed; /* -errno of a read that failed */
};

/* Looks at one file; keeps the newest content in keyring->content. Returns its generation, 0 when it does not open. */
static uint64_t ring_try(struct keyring *keyring, const char *path, const char *suffix, struct ring_search *search)
{
	struct keyring_content content;
	uint64_t generation;
	int r = keyring_copy_read(keyring->io, path, suffix, keyring->master, &content);

	if (r < 0) {
		search->rejected |= r == -EKEYREJECTED;
		search->damaged |= r == -EBADMSG;
		search->later_version |= r == -ENOTSUP;
		if (r != -EKEYREJECTED && r != -EBADMSG && r != -ENOENT && r != -ENOTSUP)
			search->failed = r;
		return 0;
	}
	generation = content.generation;
	if (search->found && generation <= keyring->content.generation) {
		keyring_content_fini(&content);
		return generation;
	}
	keyring_content_fini(&keyring->content);
	keyring->content = content;
	search->found = true;
	return generation;
}

static int ring_write(struct keyring *keyring, struct keyring_content *content, bool copy_a, bool copy_b)
{
	size_t size = keyring_file_size(content);
	uint8_t *bytes;
	int r = 0;

	if (size > KEYRING_FILE_SIZE_MAX)
		return -EFBIG;
	bytes = malloc(size);
	if (bytes == NULL)
		return -ENOMEM;
	keyring_file_encode(content, keyring->master, bytes);
	if (copy_a)
		r = keyring_copy_replace(keyring->io, keyring->path_a, bytes, size);
	if (r == 0 && copy_b)
		r = keyring_copy_replace(keyring->io, keyring->path_b, bytes, size);
	free(bytes);
	if (r == 0)
		keyring->file_size = size;
	return r;
}

static int ring_create(struct keyring *keyring, struct err *err)
{
	int r = keyring_directory_make(keyring->io, keyring->path_a);

	if (r == 0)
		r = keyring_directory_make(keyring->io, keyring->path_b);
	if (r == 0) {
		keyring->content.generation = 1;
		r = ring_write(keyring, &keyring->content, true, true);
	}
	if (r < 0)
		return err_set(err, r, "%s, %s: cannot make the keyring: %s", keyring->path_a, keyring->path_b,
			       strerror(-r));
	return 0;
}

static int ring_search_failed(const struct keyring *keyring, const struct ring_search *search, struct err *err)
{
	const char *a = keyring->path_a;
	const char *b = keyring->path_b;

	if (search->failed != 0)
		return err_set(err, search->failed, "%s, %s: cannot read the keyring: %s", a, b,
			       strerror(-search->failed));
	if (search->rejected)
		return err_set(err, -EKEYREJECTED,
			       "%s, %s: the master key does not open this keyring; give the one it was made with", a,
			       b);
	if (search->later_version)
		return err_set(err, -ENOTSUP, "%s, %s: keyring written by a later version of Gantry", a, b);
	if (search->damaged)
		return err_set(err, -EBADMSG, "%s, %s: keyring damaged in both copies; restore one from backup", a, b);
	return err_set(err, -ENOENT, "%s, %s: there is no keyring", a, b);
}

static int ring_load(struct keyring *keyring, bool create, struct err *err)
{
	struct ring_search search = {0};
	uint64_t a = ring_try(keyring, keyring->path_a, "", &search);
	uint64_t b = ring_try(keyring, keyring->path_b, "", &search);
	int r;

	if (!search.found) {
		/*
		 * A crash inside a replacement while the other copy was missing: the content lies beside its place.
		 * What lies there and does not open is no damage: a crash inside the very first write leaves such a
		 * piece.
		 */
		struct ring_search beside = {0};

		(void)ring_try(keyring, keyring->path_a, ".tmp", &beside);
		(void)ring_try(keyring, keyring->path_b, ".tmp", &beside);
		(void)ring_try(keyring, keyring->path_a, ".old", &beside);
		(void)ring_try(keyring, keyring->path_b, ".old", &beside);
		search.found = beside.found;
		search.rejected |= beside.rejected;
	}
	if (!search.found) {
		r = ring_search_failed(keyring, &search, NULL);
		return create && r == -ENOENT ? ring_create(keyring, err) : ring_search_failed(keyring, &search, err);
	}
	keyring->file_size = keyring_file_size(&keyring->content);
	if (a != keyring->content.generation || b != keyring->content.generation) {
		r = ring_write(keyring, &keyring->content, a != keyring->content.generation,
			       b != keyring->content.generation);
		if (r < 0)
			return err_set(err, r, "%s, %s: cannot mend a copy of the keyring: %s", keyring->path_a,
				       keyring->path_b, strerror(-r));
		keyring->copy_mended = true;
	}
	r = keyring_copy_sweep(keyring->io, keyring->path_a);
	if (r == 0)
		r = keyring_copy_sweep(keyring->io, keyring->path_b);
	if (r < 0)
		return err_set(err, r, "%s: cannot remove the former keyring: %s", keyring->path_a, strerror(-r));
	return 0;
}

static int keyring_new(const struct keyring_options *options, struct io *io, struct keyring **ret_keyring)
{
	struct keyring *keyring;

	if (strlen(options->copy_a_path) >= KEYRING_PATH_MAX || strlen(options->copy_b_path) >= KEYRING_PATH_MAX)
		return -ENAMETOOLONG;
	keyring = calloc(1, sizeof(*keyring));
	if (keyring == NULL)
		return -ENOMEM;
	keyring->io = io;
	strcpy(keyring->path_a, options->copy_a_path);
	strcpy(keyring->path_b, options->copy_b_path);
	(void)pthread_mutex_init(&keyring->lock, NULL);
	*ret_keyring = keyring;
	return 0;
}

int keyring_open(const struct keyring_options *options, struct io *io, struct err *err, struct keyring **ret_keyring)
{
	struct keyring *keyring;
	int r = keyring_new(options, io, &keyring);

	if (r < 0)
		return err_set(err, r, "keyring: %s", strerror(-r));
	if (options->create)
		r = keyring_master_make(options->master_path, io, err);
	if (r == 0)
		r = keyring_master_read(options->master_path, io, err, keyring->master);
	if (r == 0)
		r = ring_load(keyring, options->create, err);
	if (r < 0) {
		keyring_free(keyring);
		return r;
	}
	keyring->generation_last = keyring->content.generation;
	*ret_keyring = keyring;
	return 0;
}

struct keyring *keyring_free(struct keyring *keyring)
{
	if (keyring == NULL)
		return NULL;
	keyring_content_fini(&keyring->content);
	bytes_wipe(keyring->master, sizeof(keyring->master));
	(void)pthread_mutex_destroy(&keyring->lock);
	free(keyring);
	return NULL;
}

/* ---- use */

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

/* A copy with room for `entries` more keys and `days` more marks. */
static int content_copy(const struct keyring_content *from, size_t entries, size_t days,
			struct keyring_content *ret_copy)
{
	struct keyring_content copy = {.generation = from->generation};

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

/* Keeps the order: the new key goes where it belongs. */
static int content_make(struct keyring_content *content, struct key_id id)
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
	random_bytes(content->entries[low].key, KEY_SIZE);
	content->entry_count++;
	return 0;
}

/* Returns true when there was one. */
static bool content_destroy(struct keyring_content *content, struct key_id id)
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

/* Lock held. Takes the content, whatever comes of it. */
static int ring_commit(struct keyring *keyring, struct keyring_content *content)
{
	int r;

	content->generation = ++keyring->generation_last;
	r = ring_write(keyring, content, true, true);
	keyring->unsettled = r < 0;
	if (r < 0) {
		keyring_content_fini(content);
		return r == -ENOMEM || r == -EFBIG || r == -ENOSPC ? r : -EIO;
	}
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
			changed = content_destroy(content, changes[i].id) || changed;
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
	r = content_copy(&keyring->content, count, 0, &content);
	if (r == 0) {
		r = content_apply(&content, changes, count, &changed);
		if (r == 0 && (changed || keyring->unsettled))
			r = ring_commit(keyring, &content);
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

static bool day_drop_keys(struct keyring_content *content, int32_t day)
{
	size_t kept = 0;
	size_t before = content->entry_count;

	for (size_t i = 0; i < before; i++) {
		const struct keyring_entry *entry = &content->entries[i];

		if ((entry->id.kind != KEY_SEGMENT && entry->id.kind != KEY_MARK) || entry->id.day != day)
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
	r = content_copy(&keyring->content, 0, 1, &content);
	if (r == 0) {
		marked = day_is_marked(&content, day);
		dropped = day_drop_keys(&content, day);
		if (!marked)
			day_mark(&content, day);
		if (dropped || !marked || keyring->unsettled)
			r = ring_commit(keyring, &content);
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
	(void)pthread_mutex_lock(&keyring->lock);
	*ret_info = (struct keyring_info){
		.generation = keyring->content.generation,
		.key_count = keyring->content.entry_count,
		.file_size = keyring->file_size,
		.copy_mended = keyring->copy_mended,
	};
	(void)pthread_mutex_unlock(&keyring->lock);
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
