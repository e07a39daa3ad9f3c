/* A sweep against a search of everything: the same reads, whatever is sealed, marked or asked for. */
#include <stdlib.h>
#include <string.h>

#include "storage/marks.h"
#include "storage/search.h"
#include "storage/store.h"
#include "storage/sweep.h"
#include "tests/check.h"
#include "tests/storage/marks_world.h"

#define MET_MAX 1024

struct met {
	struct read reads[MET_MAX];
	size_t count;
	size_t hits;
	const struct world *world;
	uint32_t list;
	int stop_at; /* bursts; -1: never */
};

static int on_burst(void *context, const struct sweep_burst *burst)
{
	struct met *met = context;

	CHECK(burst->count > 0 && burst->count <= SWEEP_BURST);
	if (met->stop_at >= 0 && met->stop_at-- == 0)
		return 7;
	for (size_t i = 0; i < burst->count; i++) {
		CHECK(met->count < MET_MAX);
		met->reads[met->count++] = burst->reads[i];
	}
	for (size_t i = 0; i < burst->hit_count; i++) {
		CHECK(burst->hits[i].row < burst->count && burst->hits[i].list == met->list);
		CHECK(i == 0 || burst->hits[i - 1].row <= burst->hits[i].row);
		CHECK(world_same_sighting(&burst->reads[burst->hits[i].row],
					  &met->world->things[burst->hits[i].entry].original));
	}
	met->hits += burst->hit_count;
	return 0;
}

static void on_fault(void *context, const char *text)
{
	(void)context;
	check_note("fault: %s", text);
	CHECK(false);
}

static struct sweep sweep_of(struct met *met)
{
	return (struct sweep){.last_day = INT32_MAX,
			      .memory = true,
			      .segments = true,
			      .receipt_to_us = INT64_MAX,
			      .list = met->list,
			      .burst = on_burst,
			      .fault = on_fault,
			      .context = met};
}

static bool in_range(const struct key_range *range, const struct read *read)
{
	return memcmp(read->key, range->low, 16) >= 0 && memcmp(read->key, range->high, 16) <= 0;
}

static size_t met_of(const struct met *met, const struct read *wanted)
{
	size_t count = 0;

	for (size_t i = 0; i < met->count; i++)
		count += world_same_sighting(&met->reads[i], wanted);
	return count;
}

/* What a search shows is met, and nothing else; copies that are not collapsed yet more than once. */
static void verify(struct world *world, const struct key_range *range, int32_t day)
{
	struct found *found = world_look(world, NULL, false);
	struct met *met = calloc(1, sizeof(*met));
	struct sweep sweep;
	struct err err = {""};
	size_t wanted = 0;

	CHECK(met != NULL);
	met->list = WORLD_LIST;
	met->stop_at = -1;
	met->world = world;
	sweep = sweep_of(met);
	sweep.ranges = range;
	sweep.range_count = range != NULL;
	if (day != 0)
		sweep.first_day = sweep.last_day = day;
	CHECK_INT(0, sweep_run(store_views(world->rig.store), &sweep, &err));
	CHECK_INT(met->count, sweep.reads);
	for (size_t i = 0; i < found->count; i++) {
		bool is_wanted = (range == NULL || in_range(range, &found->reads[i])) &&
				 (day == 0 || read_day(found->reads[i].capture_us) == day);

		CHECK((met_of(met, &found->reads[i]) > 0) == is_wanted);
		wanted += is_wanted;
	}
	CHECK(met->count >= wanted);
	for (size_t i = 0; i < met->count; i++) {
		bool known = false;

		for (size_t j = 0; j < found->count; j++)
			known = known || world_same_sighting(&met->reads[i], &found->reads[j]);
		CHECK(known);
	}
	free(met);
	free(found);
}

static void step(struct world *world, unsigned thing)
{
	switch (prng_below(&world->prng, 10)) {
	case 0:
		world_act(world, thing, MARK_ERASED);
		break;
	case 1:
		world_act(world, thing, MARK_AMENDED);
		break;
	case 2:
		world_act(world, thing, MARK_RESTRICTED);
		break;
	case 3:
		world_seal(world);
		break;
	case 4:
		world_tidy(world);
		break;
	default:
		world_send(world, thing, 1 + (uint32_t)prng_below(&world->prng, RIG_FEEDS));
	}
}

static void test_random(void)
{
	struct world *world = world_new(check_seed(), "sweep");

	for (unsigned i = 0; i < 300; i++) {
		struct key_range range = {.high = {[0 ... 15] = 0xff}};

		step(world, (unsigned)prng_below(&world->prng, WORLD_THINGS));
		range.low[0] = range.high[0] = 'P';
		range.low[1] = range.high[1] = (uint8_t)('0' + prng_below(&world->prng, 10));
		verify(world, NULL, 0);
		verify(world, &range, 0);
		verify(world, NULL, world->rig.first_day + (int32_t)prng_below(&world->prng, 2));
	}
	world_free(world);
}

/* The hits of a read come with it; a burst may end the sweep; flags and receipt choose. */
static void test_rules(void)
{
	struct world *world = world_half_sealed(check_seed(), "rules");
	struct met *met = calloc(1, sizeof(*met));
	struct sweep sweep;
	struct err err = {""};

	CHECK(met != NULL);
	world_seal(world);
	met->list = WORLD_LIST;
	met->stop_at = -1;
	met->world = world;
	sweep = sweep_of(met);
	CHECK_INT(0, sweep_run(store_views(world->rig.store), &sweep, &err));
	CHECK(met->hits > 0 && sweep.pages > 0);
	memset(met, 0, sizeof(*met));
	met->list = WORLD_LIST;
	sweep = sweep_of(met);
	CHECK_INT(7, sweep_run(store_views(world->rig.store), &sweep, &err));
	memset(met, 0, sizeof(*met));
	met->stop_at = -1;
	met->list = 99;
	sweep = sweep_of(met);
	sweep.flags = READ_FLAG_UNMATCHED;
	CHECK_INT(0, sweep_run(store_views(world->rig.store), &sweep, &err));
	CHECK_INT(0, sweep.reads);
	sweep = sweep_of(met);
	sweep.receipt_from_us = INT64_MAX - 1;
	CHECK_INT(0, sweep_run(store_views(world->rig.store), &sweep, &err));
	CHECK_INT(0, sweep.reads);
	free(met);
	world_free(world);
}

int main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{"a sweep meets what a search finds", test_random},
		{"hits, flags, receipt and an early end", test_rules},
		{NULL, NULL},
	};
	return check_main(argc, argv, "sweep", tests);
}
