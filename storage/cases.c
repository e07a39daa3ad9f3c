#include "storage/cases.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storage/segment_discard.h"
#include "storage/segment_format.h"
#include "storage/store_internal.h"
#include "storage/view.h"

const char *case_directory(const char *cases_directory, uint32_t number, char path[CASE_DIRECTORY_SIZE])
{
	(void)snprintf(path, CASE_DIRECTORY_SIZE, "%s/%08x", cases_directory, number);
	return path;
}

/* What must go of a case: files of one day or of all, but for one; their keys, and those that no file is sealed under.
 */
struct leaving {
	int32_t day;
	uint64_t id;
	bool stays;
};

struct leavings {
	uint32_t number;
	int32_t day; /* INT32_MIN: all */
	uint64_t but;
	bool unfinished; /* .tmp files */
	struct key_change *keys;
	size_t key_count;
	struct leaving *files; /* all there are */
	size_t file_count;
};

static int file_see(void *context, const char *name)
{
	struct leavings *leavings = context;
	struct leaving file = {.stays = false};
	void *grown;

	if (segment_name_parse(name, ".seg", &file.day, &file.id) != 0) {
		leavings->unfinished |= segment_name_parse(name, ".tmp", &file.day, &file.id) == 0;
		return 0;
	}
	file.stays = (leavings->day != INT32_MIN && file.day != leavings->day) || file.id == leavings->but;
	grown = realloc(leavings->files, (leavings->file_count + 1) * sizeof(file));
	if (grown == NULL)
		return -ENOMEM;
	leavings->files = grown;
	leavings->files[leavings->file_count++] = file;
	return 0;
}

static int key_see(void *context, struct key_id key)
{
	struct leavings *leavings = context;
	void *grown;

	if ((uint32_t)key.day != leavings->number)
		return 0;
	for (size_t i = 0; i < leavings->file_count; i++)
		if (leavings->files[i].stays && key.id == leavings->files[i].id)
			return 0;
	grown = realloc(leavings->keys, (leavings->key_count + 1) * sizeof(*leavings->keys));
	if (grown == NULL)
		return -ENOMEM;
	leavings->keys = grown;
	leavings->keys[leavings->key_count++] = (struct key_change){.id = key, .destroy = true};
	return 0;
}

static int unfinished_remove(void *context, const char *name)
{
	struct store *store = ((void **)context)[0];
	const char *directory = ((void **)context)[1];
	char path[CASE_DIRECTORY_SIZE + SEGMENT_NAME_SIZE];
	int32_t day;
	uint64_t id;

	if (segment_name_parse(name, ".tmp", &day, &id) != 0)
		return 0;
	(void)snprintf(path, sizeof(path), "%s/%s", directory, name);
	return store->io->ops->unlink(store->io, path);
}

/* Keys first, all in one change; then the files. */
static int leavings_remove(struct store *store, struct leavings *leavings)
{
	const struct io_ops *ops = store->io->ops;
	char directory[CASE_DIRECTORY_SIZE];
	void *tmp_context[2] = {store, directory};
	int result;

	(void)case_directory(store->cases_directory, leavings->number, directory);
	result = ops->list(store->io, directory, file_see, leavings);
	if (result == -ENOENT) /* nothing was ever copied; a key may stand all the same */
		result = 0;
	if (result == 0)
		result = keyring_each(store->keyring, KEY_CASE, key_see, leavings);
	if (result == 0 && leavings->key_count > 0)
		result = keyring_change(store->keyring, leavings->keys, leavings->key_count);
	for (size_t i = 0; result == 0 && i < leavings->file_count; i++) {
		if (leavings->files[i].stays)
			continue;
		views_forget_segment(store->views, leavings->files[i].day, leavings->files[i].id);
		result = segment_discard(store->io, directory, leavings->files[i].day, leavings->files[i].id);
	}
	if (result == 0 && leavings->unfinished)
		result = ops->list(store->io, directory, unfinished_remove, tmp_context);
	if (result == 0 && (leavings->file_count > 0 || leavings->unfinished))
		result = ops->dir_sync(store->io, directory);
	free(leavings->files);
	free(leavings->keys);
	return result;
}

int case_others_remove(struct store *store, uint32_t number, int32_t day, uint64_t but)
{
	struct leavings leavings = {.number = number, .day = day, .but = but};

	return leavings_remove(store, &leavings);
}

int case_destroy(struct store *store, uint32_t number, struct err *err, struct case_gone *ret_gone)
{
	struct leavings leavings = {.number = number, .day = INT32_MIN};
	struct catalog_segment *segments = NULL;
	struct case_gone gone = {0};
	size_t count = 0;
	int result = catalog_case_segments(store->catalog, number, INT32_MIN, INT32_MAX, &segments, &count);

	for (size_t i = 0; i < count; i++)
		gone.rows += segments[i].row_count;
	gone.segments = (uint32_t)count;
	free(segments);
	if (result == 0)
		result = leavings_remove(store, &leavings);
	if (result < 0)
		return err_set(err, result, "copies of case %u: %s", number, strerror(-result));
	*ret_gone = gone;
	return 0;
}
