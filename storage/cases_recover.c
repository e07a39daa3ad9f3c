/*
 * Cases are found by their keys, and by the register where it is complete. A copy that the catalog does not know was
 * being made when the process died: while its purge is not past PURGE_HELD the day's own segments hold the rows, and
 * the resumed purge makes it anew. Behind that step the catalog must have been lost, and the file is its witness.
 */
#include "storage/cases.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOG_MODULE "recovery"
#include "appliance/base/array.h"
#include "appliance/base/log.h"
#include "storage/hold.h"
#include "storage/segment_read.h"
#include "storage/store_internal.h"

struct keys {
	struct key_id *ids;
	size_t count;
	size_t capacity;
};

static int key_collect(void *context, struct key_id key)
{
	struct keys *keys = context;
	void *grown = array_grow(keys->ids, keys->count, &keys->capacity, sizeof(*keys->ids));

	if (grown == NULL)
		return -ENOMEM;
	keys->ids = grown;
	keys->ids[keys->count++] = key;
	return 0;
}

/* By case, then by segment. */
static int key_order(const void *a, const void *b)
{
	const struct key_id *left = a;
	const struct key_id *right = b;

	if (left->day != right->day)
		return left->day < right->day ? -1 : 1;
	return left->id < right->id ? -1 : left->id > right->id;
}

struct visit {
	struct store *store;
	const char *directory;
	uint32_t number;
	const struct key_id *keys; /* of this case, ascending */
	size_t key_count;
	bool *found; /* for each key: there is a file */
	uint64_t adopted;
};

/* 1: `copy` was made of the one with that id (cases_edit.c). */
static int made_of(const struct segment *copy, uint64_t id)
{
	const struct segment_summary *summary = segment_summary(copy);

	for (uint32_t i = 0; i < summary->lineage_count; i++)
		if (summary->lineage[i] == id)
			return 1;
	return 0;
}

/* The file goes; its key is then one without file, and goes with those. */
static int copy_drop(struct visit *visit, int32_t day, uint64_t id)
{
	struct store *store = visit->store;
	struct key_id wanted = {.id = id, .day = (int32_t)visit->number};
	const struct key_id *key = bsearch(&wanted, visit->keys, visit->key_count, sizeof(wanted), key_order);
	char path[CASE_DIRECTORY_SIZE + SEGMENT_NAME_SIZE];
	char name[SEGMENT_NAME_SIZE];
	int result;

	if (key != NULL)
		visit->found[key - visit->keys] = false;
	(void)snprintf(path, sizeof(path), "%s/%s", visit->directory, segment_name(day, id, ".seg", name));
	result = store->io->ops->unlink(store->io, path);
	return result == -ENOENT ? 0 : result;
}

/*
 * A second copy of the day: an edit of the first, or the first itself, was not at its end when the process died. The
 * edited one is whole, or it would have no such name: it stays.
 */
static int copy_choose(struct visit *visit, int32_t day, const struct segment *copy, uint64_t known)
{
	int result;

	if (made_of(copy, known) == 0)
		return copy_drop(visit, day, segment_summary(copy)->id);
	result = catalog_case_put(visit->store->catalog, visit->number, day, segment_summary(copy));
	return result < 0 ? result : copy_drop(visit, day, known);
}

static int known_copy(struct visit *visit, int32_t day, uint64_t *ret_id)
{
	struct catalog_segment *segments = NULL;
	size_t count = 0;
	int result = catalog_case_segments(visit->store->catalog, visit->number, day, day, &segments, &count);

	*ret_id = count > 0 ? segments[0].id : 0;
	free(segments);
	return result;
}

static int copy_adopt(struct visit *visit, int32_t day, const struct key_id *key)
{
	struct store *store = visit->store;
	struct segment_summary *summary = malloc(sizeof(*summary));
	struct segment *segment = NULL;
	struct err err = {""};
	uint64_t known = 0;
	int result = summary == NULL ? -ENOMEM
				     : catalog_case_segment(store->catalog, (uint32_t)key->day, day, key->id, summary);

	free(summary);
	if (result != -ENOENT)
		return result;
	result = hold_day_gone(store, day); /* from then on the copy is the only one */
	if (result != 1)
		return result;
	result = known_copy(visit, day, &known);
	if (result < 0)
		return result;
	result = segment_open_keyed(store->io, store->keyring, visit->directory, key, day, &err, &segment);
	if (result == -ENOENT && known != 0) /* dropped since the directory was read: the edited copy came before it */
		return copy_drop(visit, day, key->id);
	if (result < 0) {
		store_damage(store, "held reads of day %d left out: %s", day, err.text);
		return result == -ENOMEM ? result : 0;
	}
	if (known != 0) {
		result = copy_choose(visit, day, segment, known);
	} else {
		result = catalog_case_put(store->catalog, (uint32_t)key->day, day, segment_summary(segment));
		visit->adopted += result == 0;
	}
	segment_free(segment);
	return result;
}

static int file_visit(void *context, const char *name)
{
	struct visit *visit = context;
	char path[CASE_DIRECTORY_SIZE + SEGMENT_NAME_SIZE];
	struct key_id wanted = {.day = (int32_t)visit->number};
	const struct key_id *key = NULL;
	int32_t day;

	if (segment_name_parse(name, ".seg", &day, &wanted.id) == 0)
		key = visit->key_count == 0
			      ? NULL
			      : bsearch(&wanted, visit->keys, visit->key_count, sizeof(wanted), key_order);
	else if (segment_name_parse(name, ".tmp", &day, &wanted.id) != 0)
		return 0; /* not ours: left alone */
	if (key != NULL) {
		visit->found[key - visit->keys] = true;
		return copy_adopt(visit, day, key);
	}
	/* Unfinished, or its key was destroyed before it could go. */
	(void)snprintf(path, sizeof(path), "%s/%s", visit->directory, name);
	return visit->store->io->ops->unlink(visit->store->io, path);
}

/* Rows of the catalog without a file, and keys without one. */
static int absent_judge(struct visit *visit, struct keys *orphans)
{
	struct store *store = visit->store;
	struct catalog_segment *segments = NULL;
	size_t count = 0;
	int result = catalog_case_segments(store->catalog, visit->number, INT32_MIN, INT32_MAX, &segments, &count);

	for (size_t k = 0; result == 0 && k < visit->key_count; k++) {
		size_t i = 0;

		if (visit->found[k])
			continue;
		while (i < count && segments[i].id != visit->keys[k].id)
			i++;
		if (i == count)
			result = key_collect(orphans, visit->keys[k]);
		else
			store_damage(store, "held reads of day %d are missing: %llu of case %u are lost",
				     segments[i].day, (unsigned long long)segments[i].row_count,
				     segments[i].case_number);
	}
	free(segments);
	return result;
}

static int case_visit(struct store *store, uint32_t number, const struct key_id *keys, size_t count,
		      struct keys *orphans)
{
	char directory[CASE_DIRECTORY_SIZE];
	struct visit visit = {
		.store = store, .number = number, .keys = keys, .key_count = count, .directory = directory};
	int result;

	(void)case_directory(store->cases_directory, number, directory);
	visit.found = calloc(count + 1, sizeof(*visit.found));
	if (visit.found == NULL)
		return -ENOMEM;
	result = store->io->ops->list(store->io, directory, file_visit, &visit);
	if (result == 0 || result == -ENOENT)
		result = absent_judge(&visit, orphans);
	if (visit.adopted > 0)
		log_warn("%llu copies of held reads adopted: the catalog did not know them",
			 (unsigned long long)visit.adopted);
	free(visit.found);
	return result;
}

static int orphans_destroy(struct store *store, const struct keys *orphans)
{
	struct key_change *changes = calloc(orphans->count, sizeof(*changes));
	int result;

	if (changes == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < orphans->count; i++)
		changes[i] = (struct key_change){.id = orphans->ids[i], .destroy = true};
	result = keyring_change(store->keyring, changes, orphans->count);
	free(changes);
	return result;
}

struct cases {
	struct store *store;
	const struct keys *keys;
	struct keys *orphans;
};

/* A case without any key: what lies in its directory is under none. */
static int keyless_visit(void *context, const struct reg_hold *hold)
{
	const struct cases *cases = context;

	for (size_t i = 0; i < cases->keys->count; i++)
		if ((uint32_t)cases->keys->ids[i].day == hold->number)
			return 0;
	return case_visit(cases->store, hold->number, NULL, 0, cases->orphans);
}

int cases_recover(struct store *store, struct err *err)
{
	struct keys orphans = {0};
	struct keys keys = {0};
	struct cases cases = {store, &keys, &orphans};
	size_t first = 0;
	int result = keyring_each(store->keyring, KEY_CASE, key_collect, &keys);

	if (keys.count > 0)
		qsort(keys.ids, keys.count, sizeof(*keys.ids), key_order);
	while (result == 0 && first < keys.count) {
		size_t count = 1;

		while (first + count < keys.count && keys.ids[first + count].day == keys.ids[first].day)
			count++;
		result = case_visit(store, (uint32_t)keys.ids[first].day, &keys.ids[first], count, &orphans);
		first += count;
	}
	if (result == 0 && store->reg != NULL)
		result = hold_each(store, keyless_visit, &cases);
	if (result == 0 && orphans.count > 0)
		result = orphans_destroy(store, &orphans);
	free(orphans.ids);
	free(keys.ids);
	return result < 0 ? err_set(err, result, "%s: %s", store->cases_directory, strerror(-result)) : 0;
}
