/* What ends with a day, with a key, and with what was corrected. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "storage/catalog.h"
#include "storage/keyring.h"
#include "storage/marks.h"
#include "storage/segment_read.h"
#include "storage/view.h"
#include "tests/check.h"
#include "tests/storage/marks_world.h"
#include "tests/storage/store_rig.h"

/* ---- the day's end, and the register's records */

void marks_test_day_dies(void)
{
	struct world *world = world_half_sealed(check_seed(), "day");
	struct marks_info info;
	struct mark_set *set;

	world_act(world, 0, MARK_ERASED);
	world_act(world, 1, MARK_AMENDED);
	world_act(world, 3, MARK_RESTRICTED);
	world_act(world, 2, MARK_ERASED); /* of the other day */
	CHECK_INT(0, rig_purge(&world->rig, 0));
	marks_info(store_marks(world->rig.store), &info);
	CHECK_INT(1, info.erased);
	CHECK_INT(0, info.amended + info.restricted);
	set = marks_hold(store_marks(world->rig.store));
	CHECK(mark_set_day(set, world->rig.first_day) == NULL);
	CHECK(mark_set_day(set, world->rig.first_day + 1) != NULL);
	mark_set_release(set);
	for (unsigned i = 0; i < WORLD_THINGS; i++)
		world->things[i].sent = world->things[i].sent && i % 3 == 2;
	world_verify(world);
	CHECK_INT(0, rig_close(&world->rig, false));
	world_open(world);
	world_verify(world);
	world_free(world);
}

/* A purge that dies before it forgets the marks: they go at the next start. */
void marks_test_day_died_before(void)
{
	struct world *world = world_half_sealed(check_seed(), "died");
	struct marks_info info;

	world_act(world, 0, MARK_ERASED);
	world_act(world, 1, MARK_AMENDED);
	CHECK_INT(0, keyring_destroy_day(store_keyring(world->rig.store), world->rig.first_day));
	CHECK_INT(0, rig_close(&world->rig, false));
	world_open(world);
	marks_info(store_marks(world->rig.store), &info);
	CHECK_INT(0, info.erased + info.amended + info.pending);
	world_free(world);
}

/* Without the key of identities nobody can say what was erased: then nothing is searched, rather than too much. */
void marks_test_identity_lost(void)
{
	struct world *world = world_half_sealed(check_seed(), "identity");
	struct key_change destroy = {.id = WORLD_IDENTITY, .destroy = true};
	const char *why = NULL;

	world_act(world, 0, MARK_ERASED);
	CHECK_INT(0, keyring_change(store_keyring(world->rig.store), &destroy, 1));
	CHECK_INT(0, rig_close(&world->rig, false));
	CHECK_INT(0, rig_open(&world->rig));
	CHECK(store_register(world->rig.store, &why) == NULL && strstr(why, "keyring") != NULL);
	world_free(world);
}

static int mark_key_destroy(void *context, struct key_id id)
{
	struct key_id *keys = context;

	while (keys->kind != 0)
		keys++;
	*keys = id;
	return 0;
}

/* A pending mark whose own key is gone hides its read all the same, and is removed by a rewriting of the whole day. */
void marks_test_work_lost(void)
{
	struct world *world = world_half_sealed(check_seed(), "work");
	struct key_id keys[8] = {0};
	struct key_change destroy = {.destroy = true};

	world_seal(world);
	world_act(world, 0, MARK_ERASED);
	CHECK_INT(0, keyring_each(store_keyring(world->rig.store), KEY_MARK, mark_key_destroy, keys));
	CHECK(keys[0].kind == KEY_MARK && keys[0].day == world->rig.first_day && keys[1].kind == 0);
	destroy.id = keys[0];
	CHECK_INT(0, keyring_change(store_keyring(world->rig.store), &destroy, 1));
	CHECK_INT(0, rig_close(&world->rig, false));
	world_open(world);
	world_verify(world);
	world_tidy(world);
	world_verify(world);
	world_free(world);
}

/* The keys of sealed parts do not outlive the removal, and the old segment's key goes. */
void marks_test_keys_go(void)
{
	struct world *world = world_half_sealed(check_seed(), "keys");
	struct key_id keys[8] = {0};
	struct catalog_segment *before;
	struct catalog_segment *after;
	uint8_t key[KEY_SIZE];
	size_t before_count;
	size_t after_count;
	unsigned gone = 0;

	world_seal(world);
	CHECK_INT(0, catalog_segments(store_catalog(world->rig.store), INT32_MIN, INT32_MAX, &before, &before_count));
	world_act(world, 0, MARK_ERASED);
	world_act(world, 1, MARK_AMENDED);
	world_tidy(world);
	world_seal(world);
	CHECK_INT(0, keyring_each(store_keyring(world->rig.store), KEY_MARK, mark_key_destroy, keys));
	CHECK_INT(0, keys[0].kind);
	CHECK_INT(0, catalog_segments(store_catalog(world->rig.store), INT32_MIN, INT32_MAX, &after, &after_count));
	for (size_t i = 0; i < before_count; i++) {
		struct key_id id = {.id = before[i].id, .day = before[i].day, .kind = KEY_SEGMENT};
		bool stays = false;

		for (size_t j = 0; j < after_count; j++)
			stays = stays || after[j].id == before[i].id;
		gone += !stays;
		CHECK_INT(stays ? 0 : -ENOENT, keyring_get(store_keyring(world->rig.store), id, key));
	}
	/* Things 0 and 1 were sealed together; the segment sealed after them, and that of the other day, are not
	 * touched. */
	CHECK_INT(1, gone);
	CHECK_INT(before_count, after_count);
	free(before);
	free(after);
	world_free(world);
}

struct hits_seen {
	unsigned count;
	uint32_t row;
};

static int hit_seen(void *context, const struct hit *hit)
{
	struct hits_seen *seen = context;

	CHECK_INT(1, hit->list);
	CHECK_INT(9, hit->priority);
	seen->row = hit->row;
	seen->count++;
	return 0;
}

/* The corrected read's hits come into the segment with it. */
void marks_test_hits_kept(void)
{
	struct world *world = world_half_sealed(check_seed(), "hits");
	struct segment_scratch scratch = {0};
	struct segment_rows *rows = malloc(sizeof(*rows));
	unsigned count = 0;
	struct view view;
	struct err err;

	world_seal(world);
	world_act(world, 1, MARK_AMENDED);
	world_tidy(world);
	CHECK_INT(0, view_take(store_views(world->rig.store), INT32_MIN, INT32_MAX, &view));
	for (size_t i = 0; i < view.segment_count; i++) {
		struct hits_seen seen = {0};
		struct segment *segment;

		CHECK_INT(0, view_segment_get(store_views(world->rig.store), &view.segments[i], &err, &segment));
		CHECK_INT(0, segment_each_hit(segment, &scratch, &err, hit_seen, &seen));
		if (seen.count > 0) {
			CHECK_INT(0, segment_read_rows(segment, &scratch, seen.row / SEGMENT_PAGE_ROWS, &err, rows));
			CHECK(world_same_sighting(&rows->rows[seen.row % SEGMENT_PAGE_ROWS], &world->things[1].now));
		}
		count += seen.count;
		view_segment_put(store_views(world->rig.store), segment);
	}
	CHECK_INT(1, count);
	view_release(&view);
	segment_scratch_fini(&scratch);
	free(rows);
	world_free(world);
}
