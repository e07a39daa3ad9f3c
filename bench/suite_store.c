#include "bench/suite_store.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/clock.h"
#include "appliance/base/digest.h"
#include "bench/suite_append.h"
#include "matcher/vrm.h"
#include "storage/catalog.h"
#include "storage/io.h"
#include "storage/journal.h"
#include "storage/keyring.h"
#include "storage/layout.h"
#include "storage/rewrite.h"
#include "storage/segment_write.h"
#include "storage/store.h"
#include "storage/view.h"

#define MAP_SIZE ((size_t)4 << 30)

/* Public ids are made under it; the appliance makes it when it first starts. */
static int identity_make(struct keyring *keyring)
{
	const struct key_change make = {.id = {.day = KEY_DAY_NONE, .kind = KEY_IDENTITY}};
	int r = keyring_change(keyring, &make, 1);

	return r == -EEXIST ? 0 : r;
}

int suite_store_open(struct suite_store *store, const char *room, struct err *err)
{
	struct journal_hooks journal = {.durable = suite_append_durable};
	struct store_hooks hooks = {.journal = &journal};
	char directory[512];
	char master[512];
	/* No read passes its journal: as small as may be. */
	struct store_options options = {.directory = directory,
					.master_path = master,
					.workers = 1,
					.key_version = VRM_KEY_VERSION,
					.memtable_bytes_max = (size_t)32 << 20,
					.journal_file_size = 1 << 20,
					.journal_slab_size = 64 << 10,
					.journal_slab_count = 4,
					.journal_commit_interval_ns = 1000000,
					.journal_roll_age_ns = INT64_C(3600000000000),
					.lane_size = 4096,
					.reserve_bytes = 1 << 20,
					.catalog_map_size = MAP_SIZE,
					.threads_off = true};
	int r;

	memset(store, 0, sizeof(*store));
	snprintf(directory, sizeof(directory), "%s/" SUITE_STORE_DIRECTORY, room);
	snprintf(master, sizeof(master), "%s/" SUITE_STORE_MASTER, room);
	snprintf(store->segments, sizeof(store->segments), "%s/" SUITE_STORE_DIRECTORY "/" LAYOUT_SEGMENTS, room);
	r = io_real_new(&store->io);
	if (r < 0)
		return err_set(err, r, "I/O: %s", strerror(-r));
	r = store_open(&options, &hooks, store->io, err, &store->store);
	if (r == 0) {
		r = identity_make(store_keyring(store->store));
		if (r < 0)
			(void)err_set(err, r, "keyring: %s", strerror(-r));
	}
	if (r < 0)
		suite_store_close(store);
	return r;
}

void suite_store_close(struct suite_store *store)
{
	if (store->store != NULL)
		(void)store_close(store->store, false);
	store->store = NULL;
	store->io = io_real_free(store->io);
}

int suite_store_keys(struct suite_store *store, const int32_t *days, size_t count, uint64_t *ret_ids, struct err *err)
{
	struct key_change *makes = calloc(count, sizeof(*makes));
	int r;

	if (makes == NULL)
		return err_set(err, -ENOMEM, "no memory for %zu keys", count);
	random_bytes(ret_ids, count * sizeof(*ret_ids));
	for (size_t i = 0; i < count; i++)
		makes[i].id = (struct key_id){.id = ret_ids[i], .day = days[i], .kind = KEY_SEGMENT};
	r = keyring_change(store_keyring(store->store), makes, count);
	free(makes);
	return r < 0 ? err_set(err, r, "keyring: %s", strerror(-r)) : 0;
}

static int segment_commit(struct suite_store *store, uint64_t journal_id, const struct segment_summary *summary,
			  struct err *err)
{
	const struct catalog_seal seal = {.journal_id = journal_id, .segments = summary, .segment_count = 1};
	struct catalog *catalog = store_catalog(store->store);
	int r = catalog_seal(catalog, &seal);

	if (r == 0)
		r = catalog_journal_forget(catalog, journal_id);
	return r < 0 ? err_set(err, r, "catalog: %s", strerror(-r)) : 0;
}

int suite_store_seal(struct suite_store *store, int32_t day, uint64_t id, const struct read *rows, size_t count,
		     struct err *err, struct segment_summary *ret_summary, double *seconds)
{
	const struct read **pointers = malloc(count * sizeof(const struct read *));
	uint64_t journal_id;
	struct segment_input input = {.id = id,
				      .day = day,
				      .key_version = VRM_KEY_VERSION,
				      .lineage_kind = SEGMENT_FROM_JOURNALS,
				      .lineage = &journal_id,
				      .lineage_count = 1,
				      .row_count = count};
	int64_t start_ns;
	int r;

	if (pointers == NULL)
		return err_set(err, -ENOMEM, "no memory to sort %zu reads", count);
	random_bytes(&journal_id, sizeof(journal_id));
	for (size_t i = 0; i < count; i++)
		pointers[i] = &rows[i];
	input.rows = pointers;
	start_ns = clock_mono_ns();
	r = segment_write(store->io, store_keyring(store->store), store->segments, &input, err, ret_summary);
	*seconds += (double)(clock_mono_ns() - start_ns) / 1e9;
	free(pointers);
	return r < 0 ? r : segment_commit(store, journal_id, ret_summary, err);
}

int suite_store_merge(struct suite_store *store, int32_t day, const uint64_t *ids, size_t count, struct err *err,
		      double *ret_seconds)
{
	uint64_t *parents = calloc(count + 1, sizeof(*parents));
	struct rewrite_result result;
	int64_t start_ns = clock_mono_ns();
	size_t parent_count = 0;
	int r = 0;

	if (parents == NULL)
		return err_set(err, -ENOMEM, "no memory");
	for (size_t i = 0; i < count; i++)
		if (ids[i] != 0)
			parents[parent_count++] = ids[i];
	if (parent_count > 1) {
		rewrite_lock(store->store);
		r = rewrite_segments(store->store, day, parents, parent_count, NULL, err, &result);
		rewrite_unlock(store->store);
	}
	free(parents);
	if (r == REWRITE_WAITS)
		return err_set(err, -EBUSY, "the day's segments cannot be merged yet");
	*ret_seconds = (double)(clock_mono_ns() - start_ns) / 1e9;
	return r;
}

static int keyring_take(struct suite_reader *reader, const char *room, struct err *err)
{
	char master[512];
	char copies[2][512];
	struct keyring_options options = {.master_path = master, .copy_a_path = copies[0], .copy_b_path = copies[1]};

	snprintf(master, sizeof(master), "%s/" SUITE_STORE_MASTER, room);
	snprintf(copies[0], sizeof(copies[0]), "%s/" SUITE_STORE_DIRECTORY "/" LAYOUT_KEYRING_A, room);
	snprintf(copies[1], sizeof(copies[1]), "%s/" SUITE_STORE_DIRECTORY "/" LAYOUT_KEYRING_B, room);
	return keyring_open(&options, reader->io, err, &reader->keyring);
}

int suite_reader_open(struct suite_reader *reader, const char *room, struct err *err)
{
	char directory[512];
	struct catalog_options catalog = {.directory = directory, .map_size = MAP_SIZE};
	struct views_options views = {.segments_directory = directory};
	int r;

	memset(reader, 0, sizeof(*reader));
	r = io_real_new(&reader->io);
	if (r < 0)
		return err_set(err, r, "I/O: %s", strerror(-r));
	r = keyring_take(reader, room, err);
	if (r == 0) {
		snprintf(directory, sizeof(directory), "%s/" SUITE_STORE_DIRECTORY "/" LAYOUT_CATALOG, room);
		r = catalog_open(&catalog, err, &reader->catalog);
	}
	if (r == 0) {
		snprintf(directory, sizeof(directory), "%s/" SUITE_STORE_DIRECTORY "/" LAYOUT_SEGMENTS, room);
		views.io = reader->io;
		views.keyring = reader->keyring;
		views.catalog = reader->catalog;
		r = views_new(&views, &reader->views);
	}
	if (r < 0)
		suite_reader_close(reader);
	return r;
}

void suite_reader_close(struct suite_reader *reader)
{
	views_free(reader->views);
	catalog_free(reader->catalog);
	keyring_free(reader->keyring);
	io_real_free(reader->io);
	memset(reader, 0, sizeof(*reader));
}
