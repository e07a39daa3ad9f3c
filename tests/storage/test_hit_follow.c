/*
 * The follower of hits beside a journal on the simulated disk: reads are appended at random, writes and names fail,
 * files are left, closed and sealed, all of it while the follower sleeps. The reference is what the journal said: after
 * each round the follower has given exactly that, in its order.
 */
#include "storage/hit_follow.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "storage/hit_scan.h"
#include "storage/memtable.h"
#include "tests/check.h"
#include "tests/short_memory.h"
#include "tests/storage/journal_rig.h"
#include "tests/storage/sim_io.h"

#define HITS_MAX 65536
#define LIVES 60

struct expected {
	uint64_t number;
	uint32_t entry;
	struct read read;
};

struct world {
	struct rig *rig;
	struct hit_follower *follower;
	struct expected *told; /* by the journal */
	size_t told_count;
	size_t given;   /* by the follower */
	unsigned wrong; /* of them */
};

static void on_told(void *context, const struct hit *hit, const struct read *read)
{
	struct world *world = context;

	CHECK(world->told_count < HITS_MAX);
	world->told[world->told_count++] = (struct expected){.number = hit->number, .entry = hit->entry, .read = *read};
}

static void on_given(void *context, const struct hit_found *found, size_t count)
{
	struct world *world = context;

	for (size_t i = 0; i < count; i++, world->given++) {
		const struct expected *expected = &world->told[world->given];

		if (world->given >= world->told_count || found[i].hit.number != expected->number ||
		    found[i].hit.entry != expected->entry ||
		    memcmp(&found[i].read, &expected->read, sizeof(expected->read)) != 0)
			world->wrong++;
	}
}

static void world_open(struct world *world, uint64_t seed)
{
	struct found found;

	*world = (struct world){.rig = rig_new(seed), .told = calloc(HITS_MAX, sizeof(*world->told))};
	CHECK(world->told != NULL);
	world->rig->hit_told = on_told;
	world->rig->hit_context = world;
	CHECK_INT(0, rig_boot(world->rig, &found));
	CHECK_INT(0, hit_follower_new(world->rig->memtable, on_given, world, &world->follower));
}

static void world_close(struct world *world)
{
	world->follower = hit_follower_free(world->follower);
	rig_free(world->rig);
	free(world->told);
}

/* One round, in which no memory is to be had: nothing is left behind, nothing comes twice, none before its time. */
static void round_check(struct world *world)
{
	memory_allowed = 0;
	hit_follow(world->follower);
	memory_allowed = -1;
	CHECK(!memory_failed);
	CHECK_INT(world->told_count, world->given);
	CHECK_INT(0, world->wrong);
}

static void something_fails(struct world *world)
{
	static const unsigned kinds[] = {SIM_SUBMIT, SIM_SUBMIT, SIM_SUBMIT, SIM_NAME, SIM_SYNC, SIM_CREATE};
	struct prng *prng = &world->rig->prng;

	sim_fail(world->rig->io, kinds[prng_below(prng, 6)], 1 + prng_below(prng, 12), prng_below(prng, 4), EIO);
}

static void test_model(void)
{
	uint64_t hits = 0;

	for (unsigned life = 0; life < LIVES; life++) {
		struct world world;

		world_open(&world, check_seed() + life);
		for (unsigned i = 0; i < 250; i++) {
			if (prng_chance(&world.rig->prng, 80))
				something_fails(&world);
			if (prng_chance(&world.rig->prng, 100))
				journal_roll(world.rig->journal);
			/* Now and then the follower does not come to its turn for several files. */
			(void)rig_live(world.rig, (unsigned)prng_below(&world.rig->prng, i % 10 == 0 ? 400 : 12), NULL);
			round_check(&world);
		}
		sim_fail(world.rig->io, 0, 0, 0, 0);
		CHECK(rig_settle(world.rig));
		round_check(&world);
		CHECK_INT(0, rig_unacked(world.rig));
		CHECK(!world.rig->told_wrong);
		hits += world.told_count;
		world_close(&world);
	}
	CHECK(hits > LIVES * 300);
}

static void append_some(struct world *world, unsigned runs)
{
	for (unsigned i = 0; i < runs; i++) {
		(void)rig_append(world->rig, i % RIG_LANES, 1);
		rig_poll(world->rig);
	}
}

/* Polls and prepares files; nothing that was left is sealed. */
static void settle_unsealed(struct world *world)
{
	int64_t due;

	for (unsigned i = 0; i < 400; i++) {
		rig_poll(world->rig);
		rig_keep(world->rig);
		if (journal_idle(world->rig->journal, &due))
			return;
	}
	CHECK(!"the journal never settled");
}

/* Nobody seals: hits that moved to the next file are given from there, and those that come after them. */
static void test_failed_write_stops_nothing(void)
{
	for (unsigned nth = 1; nth <= 8; nth++) {
		struct world world;

		world_open(&world, check_seed() + nth);
		append_some(&world, 6);
		settle_unsealed(&world);
		round_check(&world);
		sim_fail(world.rig->io, SIM_SUBMIT, nth, 1, EIO);
		append_some(&world, 30);
		settle_unsealed(&world);
		round_check(&world);
		append_some(&world, 30);
		settle_unsealed(&world);
		round_check(&world);
		CHECK(world.given > 20);
		world_close(&world);
	}
}

/* The keeper is busy, so that the file before the last has no name yet: what is durable behind it is given. */
static void test_no_wait_for_the_keeper(void)
{
	struct world world;
	size_t before;

	world_open(&world, check_seed());
	world.rig->options.roll_age_ns = INT64_MAX;
	append_some(&world, 10);
	settle_unsealed(&world);
	round_check(&world);
	before = world.given;
	journal_roll(world.rig->journal);
	append_some(&world, 40);
	CHECK(world.told_count > before);
	round_check(&world);
	world_close(&world);
}

/*
 * Nothing is followed while files are filled, closed and sealed: memory does not grow beyond the pool, appending is
 * pushed back, and when the follower wakes it gives everything.
 */
static void test_stall_is_bounded(void)
{
	struct world world;
	struct memtable_info info;
	unsigned full = 0;
	size_t before;

	world_open(&world, check_seed());
	for (unsigned i = 0; i < 4000 && full < 200; i++) {
		full = rig_append(world.rig, i % RIG_LANES, 1) == JOURNAL_FULL ? full + 1 : 0;
		if (i % 4 == 0)
			journal_roll(world.rig->journal);
		rig_poll(world.rig);
		rig_keep(world.rig);
		rig_seal(world.rig);
	}
	CHECK_INT(200, full); /* in a row, whatever is sealed */
	memtable_info(world.rig->memtable, &info);
	CHECK(info.generations <= 3);
	CHECK(info.bytes_used <= info.bytes_max);
	CHECK_INT(0, world.given);
	before = world.told_count;
	CHECK(before > 0);
	round_check(&world);
	rig_keep(world.rig);
	append_some(&world, 40);
	CHECK(rig_settle(world.rig));
	CHECK(world.told_count > before);
	round_check(&world);
	world_close(&world);
}

static void count_given(void *context, const struct hit_found *found, size_t count)
{
	(void)found;
	*(size_t *)context += count;
}

static void fill_chunk(struct memtable *memtable, struct generation *generation)
{
	static struct read reads[CHUNK_ROWS];
	struct run run = {.first = 1, .count = CHUNK_ROWS};
	struct hit hit = {.row = CHUNK_ROWS - 1};

	CHECK(memtable_reserve(memtable, generation, CHUNK_ROWS, 1, 1));
	(void)memtable_append(generation, &run, reads, &hit, 1);
}

/* A chunk that is full and has a successor is not left before what is in it is durable. */
static void test_chunk_after_chunk(void)
{
	struct memtable_options options = {.bytes_max = 8 * (sizeof(struct chunk) + 4096), .workers = 1};
	struct memtable *memtable;
	struct generation *generation;
	struct hit_follower *follower;
	struct memtable_mark first;
	struct memtable_mark second;
	size_t given = 0;

	CHECK_INT(0, memtable_new(&options, &memtable));
	CHECK_INT(0, hit_follower_new(memtable, count_given, &given, &follower));
	CHECK_INT(0, memtable_open_generation(memtable, 0, 1, 1, &generation));
	fill_chunk(memtable, generation);
	memtable_mark_take(generation, &first);
	while (memtable_keep(memtable))
		continue;
	fill_chunk(memtable, generation);
	memtable_mark_take(generation, &second);
	hit_follow(follower);
	CHECK_INT(0, given);
	memtable_publish(generation, &first);
	hit_follow(follower);
	hit_follow(follower);
	CHECK_INT(1, given);
	memtable_publish(generation, &second);
	hit_follow(follower);
	hit_follow(follower);
	CHECK_INT(2, given);
	hit_follower_free(follower);
	memtable_free(memtable);
}

/* What had been closed before the follower came is not given; what is open is, from its beginning. */
static void test_begins_with_what_is_open(void)
{
	struct world world;
	size_t recovered;

	world_open(&world, check_seed());
	world.follower = hit_follower_free(world.follower);
	append_some(&world, 20);
	journal_roll(world.rig->journal);
	settle_unsealed(&world);
	recovered = world.told_count;
	CHECK(recovered > 0);
	CHECK_INT(0, hit_follower_new(world.rig->memtable, on_given, &world, &world.follower));
	world.given = recovered;
	append_some(&world, 20);
	settle_unsealed(&world);
	round_check(&world);
	CHECK(world.given > recovered);
	world_close(&world);
}

static void test_no_memory_at_the_start(void)
{
	struct world world;
	struct hit_follower *none = NULL;

	world_open(&world, check_seed());
	world.follower = hit_follower_free(world.follower);
	memory_allowed = 0;
	CHECK_INT(-ENOMEM, hit_follower_new(world.rig->memtable, on_given, &world, &none));
	memory_allowed = -1;
	memory_failed = false;
	CHECK(none == NULL);
	world_close(&world);
}

int main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{"every durable hit is given once, in order, after each round", test_model},
		{"a failed write stops no hits, sealed or not", test_failed_write_stops_nothing},
		{"hits do not wait for the former file's name", test_no_wait_for_the_keeper},
		{"a follower that stalls costs no more than the pool", test_stall_is_bounded},
		{"a chunk is left when all of it is durable", test_chunk_after_chunk},
		{"what was closed before is not given", test_begins_with_what_is_open},
		{"without memory there is no follower", test_no_memory_at_the_start},
		{NULL, NULL},
	};

	return check_main(argc, argv, "following of hits", tests);
}
