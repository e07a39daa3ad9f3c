/* A day's rows into a segment elsewhere: for a case, before the day goes. */
#include "storage/rewrite.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/bytes.h"
#include "storage/rewrite_private.h"
#include "storage/store_internal.h"

static void copy_damage(void *context, const char *text)
{
	struct rewrite *rewrite = context;

	store_damage(rewrite->store, "left out of a copy: %s", text);
}

static int day_ids(struct store *store, int32_t day, uint64_t **ret_ids, size_t *ret_count)
{
	struct catalog_segment *segments = NULL;
	uint64_t *ids;
	size_t count = 0;
	int result = catalog_segments(store->catalog, day, day, &segments, &count);

	if (result < 0)
		return result;
	ids = calloc(count + 1, sizeof(*ids));
	for (size_t i = 0; ids != NULL && i < count; i++)
		ids[i] = segments[i].id;
	free(segments);
	if (ids == NULL)
		return -ENOMEM;
	*ret_ids = ids;
	*ret_count = count;
	return 0;
}

/*
 * What of the day there is. Nothing of one segment may stop the day's purge: what the catalog cannot say of it is told,
 * and it is left out; rows that were sealed under another version of the VRM keys are copied as they are, and told.
 */
static int copy_load(struct rewrite *rewrite, int32_t day, const uint64_t *ids, size_t count)
{
	struct store *store = rewrite->store;

	rewrite->segments = calloc(count + 1, sizeof(*rewrite->segments));
	if (rewrite->segments == NULL)
		return err_set(rewrite->err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < count; i++) {
		struct segment_summary *summary = &rewrite->segments[rewrite->count];
		int result = catalog_segment(store->catalog, day, ids[i], summary);

		if (result == -ENOMEM)
			return err_set(rewrite->err, result, "out of memory");
		if (result < 0) {
			store_damage(store, "left out of a copy: segment %016llx of day %d: %s",
				     (unsigned long long)ids[i], day, strerror(-result));
			continue;
		}
		rewrite->count++;
		if (summary->key_version != rewrite->segments[0].key_version)
			store_damage(store, "copied as it is: segment %016llx of day %d has VRM keys of version %u",
				     (unsigned long long)ids[i], day, summary->key_version);
	}
	return rewrite->count > 0 ? 0 : REWRITE_NOTHING;
}

static int copy_write(struct rewrite *rewrite, const struct rewrite_rule *rule, const struct rewrite_target *target,
		      struct segment_summary *ret_summary)
{
	uint8_t key[KEY_SIZE];
	int result = keyring_get(rewrite->store->keyring, target->key, key);

	if (result < 0)
		return err_set(rewrite->err, result, "the copy's key is not in the keyring");
	/* Neither paced nor held to the reserves: they are there for the purge that this is part of. */
	rewrite_stream_prepare(rewrite, rule);
	rewrite->stream.damage = copy_damage;
	result = rewrite_child(rewrite, target->directory, key, target->segment_id, ret_summary);
	bytes_wipe(key, sizeof(key));
	return result;
}

int rewrite_copy(struct store *store, int32_t day, const struct rewrite_rule *rule, const struct rewrite_target *target,
		 struct err *err, struct segment_summary *ret_summary)
{
	struct rewrite rewrite = {.store = store, .err = err};
	uint64_t *ids = NULL;
	size_t count = 0;
	int result = day_ids(store, day, &ids, &count);

	if (result < 0)
		result = err_set(err, result, "segments of day %d: %s", day, strerror(-result));
	else if (count == 0)
		result = REWRITE_NOTHING;
	if (result == 0)
		result = rewrite_plan(&rewrite, day, ids, count < SEGMENT_LINEAGE_MAX ? count : SEGMENT_LINEAGE_MAX);
	if (result == 0)
		result = copy_load(&rewrite, day, ids, count);
	if (result == 0)
		result = copy_write(&rewrite, rule, target, ret_summary);
	free(ids);
	rewrite_free(&rewrite);
	return result;
}
