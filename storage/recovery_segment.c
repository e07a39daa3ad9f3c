/*
 * Segment files against the catalog, so that exactly one generation of every read remains.
 *
 * A file that the catalog does not know was never committed: its journal still holds its reads, the file goes. Only
 * when the catalog itself was lost do files count as witnesses: one whose journal still has its key goes all the same
 * (the journal is sealed anew), the others are adopted by their lineage, one for each (day, lineage).
 */
#include "storage/recovery.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define LOG_MODULE "recovery"
#include "appliance/base/bytes.h"
#include "appliance/base/log.h"
#include "storage/segment_read.h"
#include "storage/store_internal.h"

struct segment_file {
	int32_t day;
	uint64_t id;
	bool unfinished;
};

struct segment_files {
	struct segment_file *files;
	size_t count;
	size_t capacity;
};

struct adopted {
	uint64_t *lineages;
	size_t count;
	size_t capacity;
};

static int grow(void **items, size_t *capacity, size_t count, size_t size)
{
	void *grown;

	if (count < *capacity)
		return 0;
	grown = realloc(*items, (*capacity * 2 + 64) * size);
	if (grown == NULL)
		return -ENOMEM;
	*items = grown;
	*capacity = *capacity * 2 + 64;
	return 0;
}

static int file_collect(void *context, const char *name)
{
	struct segment_files *files = context;
	struct segment_file file = {0};

	file.unfinished = segment_name_parse(name, ".tmp", &file.day, &file.id) == 0;
	if (!file.unfinished && segment_name_parse(name, ".seg", &file.day, &file.id) != 0)
		return 0; /* not ours: left alone */
	if (grow((void **)&files->files, &files->capacity, files->count, sizeof(file)) < 0)
		return -ENOMEM;
	files->files[files->count++] = file;
	return 0;
}

static int file_remove(struct store *store, const struct segment_file *file)
{
	const struct io_ops *ops = store->io->ops;
	char path[LAYOUT_PATH_SIZE + SEGMENT_NAME_SIZE];
	char name[SEGMENT_NAME_SIZE];

	snprintf(path, sizeof(path), "%s/%s", store->segments_directory,
		 segment_name(file->day, file->id, file->unfinished ? ".tmp" : ".seg", name));
	log_info("%s: not committed, removing it", path);
	return ops->unlink(store->io, path);
}

/* Both ascending by (day, id). */
static int order(int32_t day_a, uint64_t id_a, int32_t day_b, uint64_t id_b)
{
	if (day_a != day_b)
		return day_a < day_b ? -1 : 1;
	return id_a < id_b ? -1 : id_a > id_b;
}

static int file_order(const void *a, const void *b)
{
	const struct segment_file *left = a;
	const struct segment_file *right = b;

	return order(left->day, left->id, right->day, right->id);
}

static bool journal_has_key(struct store *store, uint64_t id)
{
	uint8_t key[KEY_SIZE];
	int result =
		keyring_get(store->keyring, (struct key_id){.id = id, .day = KEY_DAY_NONE, .kind = KEY_JOURNAL}, key);

	bytes_wipe(key, sizeof(key));
	return result == 0;
}

/* Is it the only witness of its reads? Its journals are gone, and no other segment of the same origin is adopted. */
static bool adoptable(struct store *store, struct adopted *adopted, const struct segment_summary *summary)
{
	uint64_t hash = XXH3_64bits_withSeed(summary->lineage, summary->lineage_count * sizeof(summary->lineage[0]),
					     (uint64_t)(uint32_t)summary->day);

	if (summary->lineage_kind == SEGMENT_FROM_JOURNALS)
		for (uint32_t i = 0; i < summary->lineage_count; i++)
			if (journal_has_key(store, summary->lineage[i]))
				return false;
	for (size_t i = 0; i < adopted->count; i++)
		if (adopted->lineages[i] == hash)
			return false;
	if (grow((void **)&adopted->lineages, &adopted->capacity, adopted->count, sizeof(hash)) == 0)
		adopted->lineages[adopted->count++] = hash;
	return true;
}

static int file_adopt(struct store *store, struct adopted *adopted, const struct segment_file *file)
{
	struct segment *segment;
	struct err err;
	int result =
		segment_open(store->io, store->keyring, store->segments_directory, file->day, file->id, &err, &segment);

	if (result == -ENOKEY)
		return file_remove(store, file);
	if (result < 0) {
		store_damage(store, "segment of day %d left out: %s", file->day, err.text);
		return 0;
	}
	if (adoptable(store, adopted, segment_summary(segment))) {
		result = catalog_adopt(store->catalog, segment_summary(segment));
		segment_free(segment);
		return result == -EEXIST ? 0 : result;
	}
	segment_free(segment);
	return file_remove(store, file);
}

/* The catalog knows nothing although there are segments: it was lost. */
static int catalog_is_empty(struct store *store, bool *ret_empty)
{
	struct catalog_info info;
	struct catalog_totals totals;
	int result = catalog_info(store->catalog, &info);

	if (result == 0)
		result = catalog_totals(store->catalog, &totals);
	if (result == 0)
		*ret_empty = info.segments == 0 && totals.stored == 0;
	return result;
}

static int reconcile(struct store *store, const struct segment_files *files, const struct catalog_segment *known,
		     size_t known_count, bool lost)
{
	struct adopted adopted = {0};
	size_t at = 0;
	int result = 0;

	for (size_t i = 0; result == 0 && i < files->count; i++) {
		const struct segment_file *file = &files->files[i];

		for (; at < known_count && order(known[at].day, known[at].id, file->day, file->id) < 0; at++)
			if (store_day_open(store, known[at].day))
				store_damage(store, "a segment of day %d is missing: %llu reads are lost",
					     known[at].day, (unsigned long long)known[at].row_count);
		if (at < known_count && order(known[at].day, known[at].id, file->day, file->id) == 0 &&
		    !file->unfinished) {
			at++;
			continue;
		}
		if (lost && !file->unfinished && !keyring_day_destroyed(store->keyring, file->day))
			result = file_adopt(store, &adopted, file);
		else
			result = file_remove(store, file);
	}
	for (; result == 0 && at < known_count; at++)
		if (store_day_open(store, known[at].day))
			store_damage(store, "a segment of day %d is missing: %llu reads are lost", known[at].day,
				     (unsigned long long)known[at].row_count);
	store->catalog_lost = adopted.count > 0;
	if (adopted.count > 0)
		store_damage(store, "the catalog was lost: %zu segments adopted, lanes begin anew", adopted.count);
	free(adopted.lineages);
	return result;
}

int recovery_segments(struct store *store, struct err *err)
{
	struct segment_files files = {0};
	struct catalog_segment *known = NULL;
	size_t known_count = 0;
	bool lost = false;
	int result = store->io->ops->list(store->io, store->segments_directory, file_collect, &files);

	if (result == 0)
		result = catalog_is_empty(store, &lost);
	if (result == 0)
		result = catalog_segments(store->catalog, INT32_MIN, INT32_MAX, &known, &known_count);
	if (result == 0) {
		if (files.count > 0)
			qsort(files.files, files.count, sizeof(*files.files), file_order);
		result = reconcile(store, &files, known, known_count, lost);
	}
	free(files.files);
	free(known);
	return result < 0 ? err_set(err, result, "%s: %s", store->segments_directory, strerror(-result)) : 0;
}
