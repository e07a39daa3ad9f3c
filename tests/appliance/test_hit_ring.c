/* The ring of new hits: a reader that is overtaken and goes on from the store misses nothing and gets nothing twice. */
#include "appliance/hit_ring.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/hit_positions.h"
#include "appliance/base/prng.h"
#include "storage/hit_scan.h"
#include "tests/check.h"

#define HITS 20000
#define BATCH 64

/* Every hit there ever was, in the order of publication: what the store would find again. */
struct world {
	struct hit_found all[HITS];
	size_t count;
	uint64_t counts[HIT_SOURCES];
};

static struct hit_found *world_add(struct world *world, struct prng *prng)
{
	unsigned index = prng_chance(prng, 100) ? HIT_WORKER_SOURCES : (unsigned)prng_below(prng, 3);
	struct hit_found *found = &world->all[world->count];

	memset(found, 0, sizeof(*found));
	world->counts[index] += 1 + prng_below(prng, 3);
	found->hit.number = hit_number(hit_source_at(index), world->counts[index]);
	found->hit.entry = (uint32_t)world->count++;
	return found;
}

struct reader {
	struct hit_positions seen;
	bool live;
	uint64_t at;
	uint8_t got[HITS];
	unsigned fetched;
};

static void take(struct reader *reader, const struct hit_found *found)
{
	if (hit_positions_passed(&reader->seen, found->hit.number))
		return;
	reader->got[found->hit.entry]++;
	hit_positions_pass(&reader->seen, found->hit.number);
}

/* As the store gives them: what lies between, by source. */
static void fetch(const struct world *world, struct reader *reader, const struct hit_positions *upto)
{
	for (size_t i = 0; i < world->count; i++)
		if (hit_positions_passed(upto, world->all[i].hit.number)) {
			reader->fetched += !hit_positions_passed(&reader->seen, world->all[i].hit.number);
			take(reader, &world->all[i]);
		}
	hit_positions_join(&reader->seen, upto);
}

static void step(const struct world *world, struct hit_ring *ring, struct reader *reader)
{
	struct hit_found batch[BATCH];
	struct hit_positions upto;
	size_t count = 0;

	if (!reader->live) {
		reader->live = hit_ring_join(ring, &reader->seen, &reader->at, &upto);
		if (!reader->live)
			fetch(world, reader, &upto);
		return;
	}
	if (hit_ring_get(ring, reader->at, BATCH, batch, &count) == HIT_RING_OVERTAKEN) {
		reader->live = false;
		return;
	}
	for (size_t i = 0; i < count; i++)
		take(reader, &batch[i]);
	reader->at += count;
}

static void nothing_is_missed_or_doubled(void)
{
	struct prng prng = {check_seed()};
	struct world *world = calloc(1, sizeof(*world));
	struct reader *reader = calloc(1, sizeof(*reader));
	struct hit_positions behind = {{0}};
	struct hit_ring_info info;
	struct hit_ring *ring;
	size_t before;

	for (unsigned i = 0; i < 100; i++)
		hit_positions_pass(&behind, world_add(world, &prng)->hit.number);
	before = world->count;
	CHECK_INT(-EINVAL, hit_ring_new(HIT_RING_ENTRIES_MIN - 1, &behind, &ring));
	CHECK_INT(0, hit_ring_new(300, &behind, &ring));
	while (world->count < HITS - BATCH) {
		size_t first = world->count;

		for (uint64_t i = prng_below(&prng, BATCH); i > 0; i--)
			(void)world_add(world, &prng);
		hit_ring_put(ring, &world->all[first], world->count - first);
		for (uint64_t i = prng_below(&prng, prng_chance(&prng, 20) ? 1 : 4); i > 0; i--)
			step(world, ring, reader);
		if (prng_chance(&prng, 10)) /* asleep, and overtaken */
			reader->live = false;
	}
	for (unsigned i = 0; i < HITS; i++)
		step(world, ring, reader);
	for (size_t i = 0; i < world->count; i++)
		CHECK_INT(1, reader->got[i]);
	CHECK(reader->fetched >= before);
	hit_ring_info(ring, &info);
	CHECK_INT(world->count - before, info.put);
	CHECK_INT(info.entries, info.fill);
	CHECK_INT(info.put - info.entries, info.overwritten);
	CHECK(hit_ring_free(ring) == NULL);
	free(reader);
	free(world);
}

struct writing {
	struct hit_ring *ring;
	atomic_bool ended;
};

static void *put_all(void *context)
{
	struct writing *run = context;
	struct hit_found batch[16] = {0};

	for (uint64_t count = 0; count < 200000; count += 16) {
		for (unsigned i = 0; i < 16; i++)
			batch[i].hit.number = hit_number(1, count + i + 1);
		hit_ring_put(run->ring, batch, 16);
	}
	atomic_store(&run->ended, true);
	hit_ring_wake(run->ring);
	return NULL;
}

/* Entries come whole and in order, whoever is faster. */
static void readers_beside_a_writer(void)
{
	const struct hit_positions behind = {{0}};
	struct hit_found batch[BATCH];
	struct writing run = {.ended = false};
	uint64_t at = 0, last = 0;
	pthread_t thread;

	CHECK_INT(0, hit_ring_new(1024, &behind, &run.ring));
	CHECK_INT(0, pthread_create(&thread, NULL, put_all, &run));
	for (;;) {
		bool ended = atomic_load(&run.ended);
		struct hit_positions seen = {{0}}, upto;
		size_t count = 0;

		seen.at[1] = last;
		if (hit_ring_get(run.ring, at, BATCH, batch, &count) == HIT_RING_OVERTAKEN) {
			if (!hit_ring_join(run.ring, &seen, &at, &upto)) {
				CHECK(upto.at[1] > last);
				last = upto.at[1];
			}
			continue;
		}
		for (size_t i = 0; i < count; i++) {
			CHECK(batch[i].hit.number <= last || batch[i].hit.number == last + 1 || last == 0);
			if (batch[i].hit.number > last)
				last = batch[i].hit.number;
		}
		at += count;
		if (ended && count == 0)
			break;
		if (count == 0)
			hit_ring_wait(run.ring, at, 10000000);
	}
	CHECK_INT(0, pthread_join(thread, NULL));
	CHECK_INT(200000, last & HIT_COUNT_MASK);
	hit_ring_free(run.ring);
}

int main(int argc, char **argv)
{
	static const struct check_test tests[] = {{"nothing is missed or doubled", nothing_is_missed_or_doubled},
						  {"readers beside a writer", readers_beside_a_writer},
						  {NULL, NULL}};

	return check_main(argc, argv, "hit_ring", tests);
}
