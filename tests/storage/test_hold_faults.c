/* Holds against purges that are cut, fail, or meet damage: on the simulated disk, at every operation. */
#include "storage/hold.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storage/cases.h"
#include "storage/catalog.h"
#include "storage/hold_follow.h"
#include "storage/io.h"
#include "storage/purge.h"
#include "storage/purge_file.h"
#include "storage/segment_format.h"
#include "storage/store_internal.h"
#include "tests/check.h"
#include "tests/storage/hold_world.h"

static void finish_purge(void)
{
	struct purge_hooks hooks = {.context = NULL};
	int resumed = purge_resume(world.rig->store, &hooks, &world.rig->err);

	if (resumed < 0)
		check_note("%s", world.rig->err.text);
	CHECK(resumed >= 0);
	CHECK_INT(0, purge_resume(world.rig->store, &hooks, &world.rig->err));
	if (!keyring_day_destroyed(store_keyring(world.rig->store), world.rig->first_day))
		CHECK_INT(0, rig_purge(world.rig, 0));
	CHECK_INT(0, world_planned());
}

enum fault { FAULT_CUT, FAULT_EIO, FAULT_CATALOG_LOST };

/* True while the fault still lies within the purge. */
static bool purge_with_fault(uint64_t nth, int way)
{
	struct ids *expected = ids_new();
	struct world_fault fault;
	uint32_t number;
	uint32_t empty;
	bool met;

	world_begin(check_seed() + nth);
	world_fill_little(way == FAULT_CUT);
	number = world_hold("SWEEP", "?L1S*");
	empty = world_hold("EMPTY", "NOBODY");
	world_ask(expected, 0, 0, "?L1S*", NULL);
	CHECK(expected->count > 0);
	fault = world_fault_set(nth, way != FAULT_EIO);
	(void)rig_purge(world.rig, 0);
	met = world_fault_clear(&fault);
	if (way != FAULT_EIO) {
		world_crash(true);
		if (way == FAULT_CATALOG_LOST)
			world_lose_catalog();
		world_open();
	}
	finish_purge();
	world_check_held(expected, number, empty);
	world_reopen();
	world_check_held(expected, number, empty);
	free(expected);
	world_end();
	return met;
}

static void cut_at_every_operation(void)
{
	world_sweep(purge_with_fault, FAULT_CUT, WORLD_STRIDE, 40);
}

static void every_operation_fails(void)
{
	world_sweep(purge_with_fault, FAULT_EIO, WORLD_STRIDE, 40);
}

static void cut_and_the_catalog_lost(void)
{
	world_sweep(purge_with_fault, FAULT_CATALOG_LOST, 3, 40);
}

static bool release_with_fault(uint64_t nth, int cut)
{
	struct hold_release release;
	struct world_fault fault;
	uint32_t number, other;
	bool met;

	world_begin(check_seed() + nth);
	world_fill_little(false);
	number = world_hold("GOES", "?L1S*");
	other = world_hold("STAYS", "?L*");
	CHECK_INT(0, rig_purge(world.rig, 0));
	CHECK_INT(0, rig_purge(world.rig, 1));
	fault = world_fault_set(nth, cut);
	(void)hold_release(world.rig->store, "GOES", 8, "over", NULL, NULL, &world.rig->err, &release);
	met = world_fault_clear(&fault);
	/* A change whose write failed is refused until a restart mends the log. */
	world_crash(cut);
	world_open();
	CHECK(hold_resume(world.rig->store, NULL, NULL, &world.rig->err) >= 0);
	(void)hold_release(world.rig->store, "GOES", 8, "over", NULL, NULL, &world.rig->err, &release);
	CHECK_INT(0, world_case_keys(number));
	CHECK_INT(0, world_case_files(number));
	CHECK_INT(0, world_case_rows(number, 0));
	CHECK_INT(2, world_case_keys(other));
	CHECK(world_case_rows(other, 0) > 0);
	CHECK_INT(0, hold_resume(world.rig->store, NULL, NULL, &world.rig->err));
	world_end();
	return met;
}

static void release_cut_or_failing_anywhere(void)
{
	for (int cut = 0; cut < 2; cut++)
		world_sweep(release_with_fault, cut, WORLD_STRIDE, 8);
}

/* An attempt that failed before the end of the step has promised nothing: a later hold of the same case counts. */
static void provisional_copies_are_made_anew(void)
{
	struct ids *found = ids_new();
	unsigned counted = 0;
	bool met = true;

	for (uint64_t nth = 1; met; nth++) {
		struct world_fault fault;
		uint32_t number;

		world_begin(check_seed() + nth);
		world_fill_little(false);
		number = world_hold("TWICE", "?L0S*");
		fault = world_fault_set(nth, false);
		(void)rig_purge(world.rig, 0);
		met = world_fault_clear(&fault);
		if (world_case_files(number) > 0 &&
		    !keyring_day_destroyed(store_keyring(world.rig->store), world.rig->first_day)) {
			struct hold_selector selector = {.pattern = "?L1S*", .from_us = INT64_MIN, .to_us = INT64_MAX};
			struct hold_added added;

			CHECK_INT(0, world_try_hold("TWICE", &selector, &added));
			CHECK_INT(number, added.number);
			CHECK(rig_purge(world.rig, 0) == 0);
			world_ask(found, number, 0, "?L0*", NULL);
			CHECK(found->count > 0);
			if (added.gone_count == 0) {
				world_ask(found, number, 0, "?L1*", NULL);
				CHECK(found->count > 0);
				counted++;
			}
			CHECK_INT(1, world_case_files(number));
			CHECK_INT(1, world_case_keys(number));
		}
		world_end();
	}
	CHECK(counted > 0);
	free(found);
}

static void the_catalog_is_lost(void)
{
	struct ids *expected = ids_new();
	struct ids *found = ids_new();
	uint32_t number = world_with_hold("KEPT", "?L0S*");
	char path[CASE_DIRECTORY_SIZE + 64];
	char name[SEGMENT_NAME_SIZE];
	struct catalog_segment *segments;
	size_t count;

	world_ask(expected, 0, 0, "?L0S*", NULL);
	CHECK_INT(0, rig_purge(world.rig, 0));
	CHECK_INT(0, rig_purge(world.rig, 1));
	CHECK_INT(0, rig_close(world.rig, true));
	world_lose_catalog();
	world_open();
	world_ask(found, number, 0, NULL, NULL);
	CHECK(ids_same(expected, found));
	CHECK(world_case_rows(number, 1) > 0);
	world_ask(found, 0, 0, NULL, NULL);
	CHECK_INT(0, found->count);
	/* The file itself is lost: said, and the rest is served. */
	CHECK_INT(0, catalog_case_segments(world.rig->store->catalog, number, world.rig->first_day,
					   world.rig->first_day, &segments, &count));
	CHECK_INT(1, count);
	(void)snprintf(path, sizeof(path), WORLD_DIRECTORY "/cases/%08x/%s", number,
		       segment_name(world.rig->first_day, segments[0].id, ".seg", name));
	free(segments);
	CHECK_INT(0, rig_close(world.rig, true));
	CHECK_INT(0, world.io->ops->unlink(world.io, path));
	world_open();
	CHECK(world.rig->store->damage_count > 0);
	CHECK(world_case_rows(number, 1) > 0);
	free(expected);
	free(found);
	world_end();
}

/* One segment of a held day is hurt: the day goes, that is told, and the case has what could be read. */
static void a_held_day_is_hurt(int (*hurt)(const char *path), uint64_t *ret_expected, uint64_t *ret_found)
{
	struct ids *expected = ids_new();
	uint32_t number = world_with_hold("CASE", "?L*");
	struct catalog_segment *segments;
	uint64_t damage;

	CHECK_INT(0, store_seal_all(world.rig->store, INT64_C(5000000000)));
	world_ask(expected, 0, 0, "?L*", NULL);
	CHECK(world_segments(&segments) > 1);
	CHECK_INT(0, hurt(world_segment_path(&segments[0])));
	damage = world.rig->store->damage_count;
	CHECK_INT(0, rig_purge(world.rig, 0));
	CHECK(world.rig->store->damage_count > damage);
	*ret_expected = expected->count;
	*ret_found = world_copied(number, NULL);
	CHECK(*ret_found > 0);
	CHECK(*ret_found >= *ret_expected - segments[0].row_count);
	free(segments);
	free(expected);
	world_end();
}

static int rot(const char *path)
{
	return sim_rot(world.io, path, SEGMENT_HEADER_SIZE + 4, 1);
}

static int go_bad(const char *path)
{
	return sim_bad_block(world.io, path, SEGMENT_HEADER_SIZE + 4);
}

/* What of a held day cannot be read is told, and the rest is copied: no day outlives its time for damage. */
static void damage_of_a_held_day_is_told(void)
{
	uint64_t expected, found;

	a_held_day_is_hurt(rot, &expected, &found);
	CHECK(found < expected);
}

/* A sector that the disk does not give any more holds up no day either. */
static void a_bad_sector_of_a_held_day(void)
{
	uint64_t expected, found;

	a_held_day_is_hurt(go_bad, &expected, &found);
	CHECK(found <= expected);
}

/* Half of the day was sealed under another version of the VRM keys. */
static void a_held_day_of_two_key_versions(void)
{
	struct ids *expected = ids_new();
	struct ids *found = ids_new();
	uint64_t damage;
	uint32_t number;

	world_begin(check_seed());
	world_send(20);
	CHECK_INT(0, rig_close(world.rig, true));
	world.rig->options.key_version++;
	world_open();
	world_send(20);
	number = world_hold("CASE", "?L1*");
	world_ask(expected, 0, 0, "?L1*", NULL);
	damage = world.rig->store->damage_count;
	CHECK_INT(0, rig_purge(world.rig, 0));
	CHECK(world.rig->store->damage_count > damage);
	world_ask(found, number, 0, NULL, NULL);
	CHECK(ids_same(expected, found));
	free(expected);
	free(found);
	world_end();
}

/* The catalog is lost, and no segment of the day opens to be found again: it goes on its day all the same. */
static void a_day_that_does_not_open(void)
{
	struct catalog_segment *segments;
	size_t count;

	world_begin(check_seed());
	world_fill(20);
	CHECK_INT(0, store_seal_all(world.rig->store, INT64_C(5000000000)));
	count = world_segments(&segments);
	CHECK_INT(0, rig_close(world.rig, true));
	for (size_t i = 0; i < count; i++)
		CHECK_INT(0, sim_rot(world.io, world_segment_path(&segments[i]), 20, 1));
	free(segments);
	world_lose_catalog();
	world_open();
	CHECK_INT(1, world_planned());
	CHECK_INT(0, rig_purge(world.rig, 0));
	CHECK_INT(0, world_day_keys(KEY_SEGMENT));
	CHECK_INT(0, world_planned());
	CHECK_INT(PURGE_NOTHING, rig_purge(world.rig, 0));
	world_end();
}

static void check_hindered(const char *text)
{
	struct err err = {""};

	CHECK_INT(-ENOKEY, rig_purge(world.rig, 0));
	if (strstr(world.rig->err.text, text) == NULL)
		check_note("%s", world.rig->err.text);
	CHECK(strstr(world.rig->err.text, text) != NULL);
	CHECK_INT(-ENOKEY, hold_hindered(world.rig->store, world.rig->first_day, &err));
	CHECK(strstr(err.text, text) != NULL);
	CHECK_INT(0, hold_hindered(world.rig->store, world.rig->first_day + 1, &err));
	CHECK(world_copied(0, NULL) > 0);
}

/* Which reads an id meant is lost with its key: the day waits, and says for what, until they are named anew. */
static void the_key_of_ids_is_lost(void)
{
	struct key_change destroy = {.id = {.day = KEY_DAY_NONE, .kind = KEY_IDENTITY}, .destroy = true};
	struct hold_selector by_id = {.from_us = INT64_MIN, .to_us = INT64_MAX, .read_count = 3};
	struct hold_selector by_place = {.camera_count = 1};
	struct ids *all = ids_new();
	struct reg_hold *holds = NULL;
	struct reg_hold_read reads[3];
	struct reg_hold_read name;
	struct hold_added added;
	size_t count = 0;

	world_begin(check_seed());
	world_fill(20);
	world_ask(all, 0, 0, "1L*", NULL);
	CHECK(all->count > 5);
	for (unsigned i = 0; i < 3; i++)
		reads[i] = world_name(&all->rows[2 * i]);
	by_id.reads = reads;
	CHECK_INT(0, world_try_hold("ID", &by_id, &added));
	CHECK_INT(0, hold_hindered(world.rig->store, world.rig->first_day, &world.rig->err));
	CHECK_INT(0, keyring_change(store_keyring(world.rig->store), &destroy, 1));
	CHECK_INT(-ENOKEY, world_try_hold("ID", &by_id, &added));
	CHECK_INT(-ENOKEY, hold_hindered(world.rig->store, world.rig->first_day, &world.rig->err));
	/* With the next key made, ids are given again: other ones. */
	world_reopen();
	check_hindered("case ID holds 3 of its reads by ids of a key");
	CHECK_INT(-ENOENT, world_try_hold("ID", &by_id, &added));
	name = world_name(&all->rows[0]);
	CHECK_INT(0, hold_follow(world.rig->store, &all->rows[0], name.public_id, NULL, WORLD_MARKER, &world.rig->err,
				 &holds, &count));
	CHECK_INT(1, count); /* told by its camera and time */
	free(holds);
	by_id.reads = &name;
	by_id.read_count = 1;
	CHECK_INT(0, world_try_hold("ID", &by_id, &added));
	check_hindered("case ID holds 2 of its reads");
	world_mark(MARK_AMENDED, all, 2, "CORRECTED"); /* its hold follows, by an id of today's key */
	check_hindered("case ID holds 1 of its reads");
	by_place.cameras = &reads[2].camera;
	by_place.from_us = reads[2].capture_us;
	by_place.to_us = reads[2].capture_us + 1;
	CHECK_INT(0, world_try_hold("ID", &by_place, &added));
	CHECK_INT(0, rig_purge(world.rig, 0));
	CHECK_INT(3, world_copied(added.number, NULL));
	CHECK_INT(1, world_copied(added.number, "CORRECTED"));
	CHECK_INT(0, world_copied(0, NULL));
	free(all);
	world_end();
}

static void removal_fails(void *context, int32_t day, enum purge_step step)
{
	(void)context;
	(void)day;
	if (step == PURGE_KEYS_DESTROYED)
		sim_fail(world.io, SIM_PUNCH | SIM_NAME, 1, 1000, EIO);
}

static int intent_find(void *context, const char *name)
{
	if (strstr(name, PURGE_FILE_INTENT) != NULL)
		(void)snprintf(context, 256, WORLD_DIRECTORY "/purge/%s", name);
	return 0;
}

/* What becomes of the only intent that stands. */
static void intent_hurt(bool lost)
{
	char path[256] = "";

	CHECK_INT(0, world.io->ops->list(world.io, WORLD_DIRECTORY "/purge", intent_find, path));
	CHECK(path[0] != '\0');
	if (lost)
		CHECK_INT(0, world.io->ops->unlink(world.io, path));
	else
		CHECK_INT(0, sim_rot(world.io, path, 40, 1));
}

/* The keys are gone and the intent does not tell any more: the copies are all there is, and they stay. */
static void the_intent_is_gone_behind_the_keys(bool lost)
{
	struct purge_hooks hooks = {.progress = removal_fails};
	struct purge_certificate certificate;
	struct ids *expected = ids_new();
	uint32_t number, empty;

	number = world_with_hold("VRM", "1L?S*");
	empty = world_hold("EMPTY", "NOBODY");
	world_ask(expected, 0, 0, "1L?S*", NULL);
	CHECK(purge_run(world.rig->store, world.rig->first_day, "rule", 1, &hooks, &world.rig->err, &certificate) < 0);
	sim_fail(world.io, SIM_ALL, 0, 0, 0);
	CHECK_INT(0, rig_close(world.rig, true));
	intent_hurt(lost);
	world_open();
	CHECK_INT(1, world_planned());
	hooks.progress = NULL;
	CHECK_INT(0,
		  purge_run(world.rig->store, world.rig->first_day, "rule", 1, &hooks, &world.rig->err, &certificate));
	CHECK_INT(1, certificate.held_cases);
	CHECK(certificate.held_reads >= expected->count);
	CHECK(certificate.reads > certificate.held_reads);
	world_check_held(expected, number, empty);
	CHECK_INT(0, world_planned());
	world_reopen();
	world_check_held(expected, number, empty);
	free(expected);
	world_end();
}

static void intent_rots_behind_the_keys(void)
{
	the_intent_is_gone_behind_the_keys(false);
}

static void intent_lost_behind_the_keys(void)
{
	the_intent_is_gone_behind_the_keys(true);
}

int main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{"provisional copies are made anew", provisional_copies_are_made_anew},
		{"cut at every operation of a purge", cut_at_every_operation},
		{"every operation of a purge fails", every_operation_fails},
		{"cut, and the catalog lost", cut_and_the_catalog_lost},
		{"a release cut or failing anywhere", release_cut_or_failing_anywhere},
		{"the catalog is lost", the_catalog_is_lost},
		{"damage of a held day is told", damage_of_a_held_day_is_told},
		{"a bad sector of a held day", a_bad_sector_of_a_held_day},
		{"a held day of two key versions", a_held_day_of_two_key_versions},
		{"a day that does not open", a_day_that_does_not_open},
		{"the key of ids is lost", the_key_of_ids_is_lost},
		{"an intent rots behind the keys' end", intent_rots_behind_the_keys},
		{"an intent is lost behind the keys' end", intent_lost_behind_the_keys},
		{NULL, NULL},
	};

	return world_main(argc, argv, "holds and faults", tests);
}
