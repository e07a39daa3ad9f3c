/*
 * Segment files against the catalog, so that exactly one generation of every read remains.
 *
 * A file that the catalog does not know goes: it was never committed, and its journal or its parents still hold its
 * reads; or another took its place, and the crash came before it was removed. A catalog that was lost is made anew
 * first (catalog_rebuild.h). A file that cannot be opened stays: somebody may mend the disk.
 */
#include "storage/recovery.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOG_MODULE "recovery"
#include "appliance/base/array.h"
#include "appliance/base/log.h"
#include "storage/catalog_rebuild.h"
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

static int file_collect(void *context, const char *name)
{
	struct segment_files *files = context;
	struct segment_file file = {0};
	void *grown;

	file.unfinished = segment_name_parse(name, ".tmp", &file.day, &file.id) == 0;
	if (!file.unfinished && segment_name_parse(name, ".seg", &file.day, &file.id) != 0)
		return 0; /* not ours: left alone */
	grown = array_grow(files->files, files->count, &files->capacity, sizeof(file));
	if (grown == NULL)
		return -ENOMEM;
	files->files = grown;
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

/*
 * Unknown to the catalog: its reads are elsewhere. Yet what has its key and cannot be read is left: had a lost catalog
 * known it, nobody could tell, and the disk may be mended.
 */
static int file_judge(struct store *store, const struct segment_file *file)
{
	char name[SEGMENT_NAME_SIZE];
	struct segment *segment;
	struct err err = {""};
	int result;

	if (file->unfinished || keyring_day_destroyed(store->keyring, file->day))
		return file_remove(store, file);
	result =
		segment_open(store->io, store->keyring, store->segments_directory, file->day, file->id, &err, &segment);
	if (result == -ENOMEM)
		return result;
	if (result < 0 && result != -ENOKEY) {
		store_damage(store, "%s is left where it is, not served: %s",
			     segment_name(file->day, file->id, ".seg", name), err.text);
		return 0;
	}
	if (result == 0)
		segment_free(segment);
	return file_remove(store, file);
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

static void rebuild_damage(void *context, const char *text)
{
	store_damage(context, "%s", text);
}

/* A new catalog beside segments, or beside lanes, was lost: it is made anew. In a new directory there is neither. */
static int catalog_recover(struct store *store, struct err *err)
{
	struct catalog_rebuild rebuild = {.io = store->io,
					  .keyring = store->keyring,
					  .catalog = store->catalog,
					  .directory = store->directory,
					  .segments_directory = store->segments_directory,
					  .damage = rebuild_damage,
					  .context = store};
	struct catalog_rebuild_result rebuilt;
	int result;

	if (!catalog_is_new(store->catalog))
		return 0;
	result = catalog_rebuild(&rebuild, err, &rebuilt);
	if (result < 0)
		return result;
	store->catalog_lost = rebuilt.segments > 0 && !rebuilt.lanes_known;
	if (rebuilt.segments > 0 || rebuilt.lanes_known)
		store_damage(store, "the catalog was lost: %zu segments adopted, %s", rebuilt.segments,
			     rebuilt.lanes_known ? "lanes taken from their copy" : "lanes begin anew");
	return 0;
}

static void missing_tell(struct store *store, const struct catalog_segment *known)
{
	if (store_day_open(store, known->day))
		store_damage(store, "a segment of day %d is missing: %llu reads are lost", known->day,
			     (unsigned long long)known->row_count);
}

static int reconcile(struct store *store, const struct segment_files *files, const struct catalog_segment *known,
		     size_t known_count)
{
	size_t at = 0;
	int result = 0;

	for (size_t i = 0; result == 0 && i < files->count; i++) {
		const struct segment_file *file = &files->files[i];

		for (; at < known_count && order(known[at].day, known[at].id, file->day, file->id) < 0; at++)
			missing_tell(store, &known[at]);
		if (at < known_count && order(known[at].day, known[at].id, file->day, file->id) == 0 &&
		    !file->unfinished) {
			at++;
			continue;
		}
		result = file_judge(store, file);
	}
	for (; result == 0 && at < known_count; at++)
		missing_tell(store, &known[at]);
	return result;
}

int recovery_segments(struct store *store, struct err *err)
{
	struct segment_files files = {0};
	struct catalog_segment *known = NULL;
	size_t known_count = 0;
	int result = catalog_recover(store, err);

	if (result < 0)
		return result;
	result = store->io->ops->list(store->io, store->segments_directory, file_collect, &files);
	if (result == 0)
		result = catalog_segments(store->catalog, INT32_MIN, INT32_MAX, &known, &known_count);
	if (result == 0) {
		if (files.count > 0)
			qsort(files.files, files.count, sizeof(*files.files), file_order);
		result = reconcile(store, &files, known, known_count);
	}
	free(files.files);
	free(known);
	return result < 0 ? err_set(err, result, "%s: %s", store->segments_directory, strerror(-result)) : 0;
}
