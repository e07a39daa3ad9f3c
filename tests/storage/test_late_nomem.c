/*
 * Memory that runs out: every allocation of a put, a scan, a tidying and a joining of late hits fails once. Nothing is
 * half put, and no part is taken for all.
 */
/* The files under test call those below in place of the allocator: see meson.build. */
#undef malloc
#undef calloc
#undef realloc
#undef array_grow

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/array.h"
#include "storage/late_hits.h"
#include "storage/late_join.h"
#include "tests/check.h"
#include "tests/storage/marks_world.h"

#define HITS 40

void *late_malloc(size_t size);
void *late_calloc(size_t count, size_t size);
void *late_realloc(void *old, size_t size);
void *late_array_grow(void *items, size_t count, size_t *room, size_t item_size);

static int allowed = -1; /* allocations until the one that fails; -1: none does */
static bool failed;

static bool fails_now(void)
{
	if (allowed < 0)
		return false;
	failed = failed || allowed == 0;
	return allowed-- == 0;
}

void *late_malloc(size_t size)
{
	return fails_now() ? NULL : malloc(size);
}

void *late_calloc(size_t count, size_t size)
{
	return fails_now() ? NULL : calloc(count, size);
}

void *late_realloc(void *old, size_t size)
{
	return fails_now() ? NULL : realloc(old, size);
}

void *late_array_grow(void *items, size_t count, size_t *room, size_t item_size)
{
	return fails_now() ? NULL : array_grow(items, count, room, item_size);
}

static void hits_make(struct world *world, struct late_hit hits[HITS])
{
	for (unsigned i = 0; i < HITS; i++) {
		uint8_t id[MARK_ID_SIZE];

		hits[i] = (struct late_hit){.generation = 1};
		CHECK(world_row(world, i, &hits[i].found.read, id));
		hits[i].found.hit = (struct hit){.list = 1, .version = 1, .entry = i, .kind = HIT_RETRO};
	}
}

static size_t hits_count(struct world *world)
{
	struct hit_found found[HITS];
	struct err err = {""};
	size_t count = 0;

	CHECK_INT(0, late_hits_scan(store_late_hits(world->rig.store), 0, UINT64_MAX, HITS, &err, found, &count));
	return count;
}

/* False: there is no nth allocation. */
static bool put_fails(struct world *world, int nth)
{
	struct late_hit hits[HITS];
	struct err err = {""};
	size_t before = hits_count(world);
	size_t put = 0;
	int result;

	hits_make(world, hits);
	failed = false;
	allowed = nth;
	result = late_hits_put(store_late_hits(world->rig.store), hits, HITS, 0, &err, &put);
	allowed = -1;
	CHECK_INT(before + (result == 0 ? put : 0), hits_count(world));
	CHECK_INT(0, late_hits_put(store_late_hits(world->rig.store), hits, HITS, 0, &err, &put));
	CHECK_INT(HITS, hits_count(world));
	return failed;
}

static void test_put(void)
{
	struct world *world;
	bool more = true;

	for (int nth = 0; more; nth++) {
		world = world_new(check_seed(), "put");
		for (unsigned i = 0; i < WORLD_THINGS; i++)
			world_send(world, i, 1);
		more = put_fails(world, nth);
		CHECK_INT(0, rig_close(&world->rig, false));
		world_open(world);
		CHECK_INT(HITS, hits_count(world));
		world_free(world);
	}
}

static void test_tidy(void)
{
	struct world *world = world_new(check_seed(), "tidy");
	struct late_hit hits[HITS];
	struct err err = {""};
	unsigned marked = 0;
	bool more = true;
	size_t put;

	for (unsigned i = 0; i < WORLD_THINGS; i++)
		world_send(world, i, 1);
	hits_make(world, hits);
	CHECK_INT(0, late_hits_put(store_late_hits(world->rig.store), hits, HITS, 0, &err, &put));
	world_act(world, marked++, MARK_ERASED);
	for (int nth = 0; more; nth++) {
		failed = false;
		allowed = nth;
		if (late_hits_tidy(store_late_hits(world->rig.store), &err) == 0 && failed && marked < HITS)
			world_act(world, marked++, MARK_ERASED);
		allowed = -1;
		more = failed;
		CHECK_INT(HITS - marked, hits_count(world));
	}
	world_free(world);
}

static bool is_camera(const void *camera, const struct read *read)
{
	return read->camera == *(const uint32_t *)camera;
}

static void test_join(void)
{
	struct world *world = world_new(check_seed(), "join");
	struct late_hit hits[HITS];
	struct err err = {""};
	bool more = true;
	size_t put;

	for (unsigned i = 0; i < WORLD_THINGS; i++)
		world_send(world, i, 1);
	hits_make(world, hits);
	CHECK_INT(0, late_hits_put(store_late_hits(world->rig.store), hits, HITS, 0, &err, &put));
	for (int nth = 0; more; nth++) {
		const struct read *first = &hits[0].found.read;
		struct late_join *join = NULL;
		size_t unreadable = 9;
		int result;

		failed = false;
		allowed = nth;
		result = late_join_new(store_late_hits(world->rig.store), read_day(first->capture_us), is_camera,
				       &first->camera, &err, &join, &unreadable);
		allowed = -1;
		more = failed;
		CHECK_INT(failed ? -ENOMEM : 0, result);
		CHECK((join == NULL) == failed && unreadable == (failed ? 9 : 0));
		if (failed)
			continue;
		CHECK_INT(0, late_join_next(join, first)->entry);
		CHECK(late_join_next(join, first) == NULL);
		(void)late_join_free(join);
	}
	world_free(world);
}

int main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{"a put that runs out of memory puts nothing", test_put},
		{"a tidying that runs out of memory loses nothing", test_tidy},
		{"a joining that runs out of memory says so", test_join},
		{NULL, NULL},
	};
	return check_main(argc, argv, "late hits without memory", tests);
}
