/* Marks beside searches, damaged segments and a register that was incomplete for a while. */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "appliance/base/clock.h"
#include "storage/catalog.h"
#include "storage/io.h"
#include "storage/marks.h"
#include "storage/marks_look.h"
#include "storage/marks_tidy.h"
#include "storage/tidier.h"
#include "tests/check.h"
#include "tests/storage/marks_world.h"
#include "tests/storage/sim_io.h"
#include "tests/storage/store_rig.h"

/* ---- searching while marks come and segments go */

struct searching {
	struct world *world;
	atomic_bool stop;
	atomic_uint wrong;
	atomic_uint rounds;
};

/* What nobody touches is found once, always; what is being amended once, under one VRM or the other. */
static void *search_on(void *argument)
{
	struct searching *searching = argument;
	const struct world *world = searching->world;

	while (!atomic_load(&searching->stop)) {
		struct found *found = world_look(searching->world, NULL, false);
		unsigned still = 0;
		unsigned moving = 0;

		for (size_t i = 0; i < found->count; i++) {
			still += world_same_sighting(&found->reads[i], &world->things[WORLD_THINGS - 1].original);
			moving += found->reads[i].capture_us == world->things[1].original.capture_us &&
				  found->reads[i].confidence == world->things[1].original.confidence;
		}
		if (still != 1 || moving != 1)
			atomic_fetch_add(&searching->wrong, 1);
		atomic_fetch_add(&searching->rounds, 1);
		free(found);
	}
	return NULL;
}

void marks_test_search_meanwhile(void)
{
	struct world *world = world_half_sealed(check_seed(), "meanwhile");
	struct searching searching = {.world = world};
	int64_t begun_ns = clock_mono_ns();
	pthread_t thread;

	world_seal(world);
	CHECK_INT(0, pthread_create(&thread, NULL, search_on, &searching));
	for (unsigned i = 0; i < 100 && clock_mono_ns() - begun_ns < INT64_C(2000000000); i++) {
		struct act act;
		struct err err;

		CHECK(world_act_init(world, 1, MARK_AMENDED, &act));
		CHECK_INT(0, marks_make(store_marks(world->rig.store), &act.order, &err));
		world_act_note(world, 1, &act);
		world_tidy(world);
	}
	atomic_store(&searching.stop, true);
	CHECK_INT(0, pthread_join(thread, NULL));
	CHECK_INT(0, atomic_load(&searching.wrong));
	CHECK(atomic_load(&searching.rounds) > 3);
	world_free(world);
}

/* ---- damage */

struct sealed {
	char path[256];
	uint64_t size;
};

/* The two segments of the first day, by age, of a world whose even half was sealed first. */
static struct world *two_segments(const char *name, struct sealed ret_sealed[2])
{
	struct world *world = world_new(check_seed(), name);
	struct catalog_segment *segments;
	uint64_t first = 0;
	size_t count;

	for (unsigned half = 0; half < 2; half++) {
		char segment[SEGMENT_NAME_SIZE];

		for (unsigned i = half; i < WORLD_THINGS; i += 2)
			world_send(world, i, 1);
		world_seal(world);
		CHECK_INT(0, catalog_segments(store_catalog(world->rig.store), world->rig.first_day,
					      world->rig.first_day, &segments, &count));
		CHECK_INT(half + 1, count);
		for (size_t i = 0; i < count; i++)
			if (segments[i].id != first) {
				(void)snprintf(ret_sealed[half].path, sizeof(ret_sealed[half].path),
					       WORLD_DIRECTORY "/segments/%s",
					       segment_name(world->rig.first_day, segments[i].id, ".seg", segment));
				ret_sealed[half].size = segments[i].file_size;
			}
		first = segments[0].id;
		free(segments);
	}
	return world;
}

static uint64_t damages(struct world *world)
{
	struct store_status *status = malloc(sizeof(*status));
	uint64_t count;

	CHECK(status != NULL);
	CHECK_INT(0, store_status(world->rig.store, status));
	count = status->damage_count;
	free(status);
	return count;
}

/*
 * Reads of both segments are erased or amended, one segment cannot be read: the other one's go, the rest is told once
 * and put off, and no round after the first touches the disk.
 */
static void one_is_damaged(const char *name, int (*hurt)(struct io *io, const struct sealed *sealed), unsigned told)
{
	struct sealed sealed[2];
	struct world *world = two_segments(name, sealed);
	struct marks_info info;
	struct err err;
	uint64_t damage_count;
	uint64_t ops;

	world_act(world, 0, MARK_ERASED);
	world_act(world, 1, MARK_ERASED);
	world_act(world, 3, MARK_AMENDED);
	world_act(world, 7, MARK_ERASED);
	CHECK_INT(0, hurt(world->io, &sealed[0]));
	damage_count = damages(world);
	for (unsigned i = 0; i < 40; i++)
		if (marks_tidy(world->rig.store, false, &err) == -EAGAIN)
			CHECK_INT(0, store_seal_all(world->rig.store, 0));
	world_verify_removed_but(world, 1);
	marks_info(store_marks(world->rig.store), &info);
	CHECK_INT(4, info.pending); /* each may lie in the page that cannot be read, too */
	CHECK_INT(damage_count + told, damages(world));
	ops = sim_ops(world->io);
	for (unsigned i = 0; i < 10; i++)
		CHECK_INT(0, marks_tidy(world->rig.store, false, &err));
	CHECK_INT(ops, sim_ops(world->io));
	world_free(world);
}

static int rot_rows(struct io *io, const struct sealed *sealed)
{
	return sim_rot(io, sealed->path, SEGMENT_HEADER_SIZE + 4, 1);
}

static int block_bad(struct io *io, const struct sealed *sealed)
{
	return sim_bad_block(io, sealed->path, SEGMENT_HEADER_SIZE + 4);
}

void marks_test_damaged(void)
{
	one_is_damaged("damaged", rot_rows, 1);
	one_is_damaged("bad", block_bad, 0);
}

/* ---- a register that was incomplete for a while */

/* Thing 0 is erased and removed, then sent again and sealed while nobody can know that. Thing 1's day is the same. */
static struct world *incomplete_world(const char *name)
{
	struct world *world = world_half_sealed(check_seed(), name);

	world_act(world, 0, MARK_ERASED);
	world_act(world, 1, MARK_AMENDED);
	world_tidy(world);
	CHECK_INT(0, rig_close(&world->rig, true));
	CHECK_INT(0, sim_deny(world->io, WORLD_CHANGES, EACCES));
	world_open(world);
	CHECK(store_register(world->rig.store, NULL) == NULL);
	world_send(world, 0, 2);
	world_send(world, 1, 3);
	CHECK_INT(0, rig_close(&world->rig, true));
	CHECK_INT(0, sim_deny(world->io, WORLD_CHANGES, 0));
	world_open(world);
	CHECK(store_register(world->rig.store, NULL) != NULL);
	world_verify(world);
	return world;
}

/* Neither anything pending nor a merge: the day itself remembers. */
void marks_test_looked_through(void)
{
	struct world *world = incomplete_world("looked");
	struct catalog_day day;
	struct err err;

	CHECK_INT(0, catalog_day(store_catalog(world->rig.store), world->rig.first_day, &day));
	CHECK(day.unjudged);
	for (unsigned i = 0; i < 40 && marks_look(world->rig.store, true, &err) == -EAGAIN; i++)
		CHECK_INT(0, store_seal_all(world->rig.store, 0));
	world_verify_removed(world);
	world_verify(world);
	world_books_hold(world);
	CHECK_INT(0, catalog_day(store_catalog(world->rig.store), world->rig.first_day, &day));
	CHECK(!day.unjudged);
	world_free(world);
}

void marks_test_merged_away(void)
{
	struct world *world = incomplete_world("merged");

	CHECK(tidier_round(world->rig.store) >= 0);
	world_verify_removed(world);
	world_verify(world);
	world_books_hold(world);
	world_free(world);
}
