/*
 * The follower beside two workers, a keeper that opens, closes and retires generations behind its back, and views that
 * come and go. The workers do with the memtable what the journal does, failures included: what they appended and could
 * not make durable they append again in the next generation. Each numbers its hits; they must come 1, 2, 3 …
 */
#include "storage/hit_follow.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "appliance/base/prng.h"
#include "storage/hit_scan.h"
#include "storage/memtable.h"
#include "tests/check.h"

#define WORKERS 2
#define RUN 32
#define PENDING_MAX 16 /* runs appended and not yet durable */
#define HITS 200000    /* of each worker, at least */

struct hand_over {
	_Atomic(struct generation *) next;
	_Atomic(struct generation *) left; /* by its worker: to be closed and retired */
	uint64_t sequence;                 /* keeper's */
};

struct world {
	struct memtable *memtable;
	struct hand_over hand_overs[WORKERS];
	_Atomic uint64_t durable[WORKERS]; /* hits */
	_Atomic bool done[WORKERS];
	_Atomic bool stop;
	uint64_t given[WORKERS]; /* follower's */
	unsigned wrong;
};

struct writer {
	struct world *world;
	struct prng prng;
	struct generation *generation;
	unsigned worker;
	uint64_t sequence;
	uint64_t durable; /* the last hit that is */
	struct run pending[PENDING_MAX];
	unsigned hits[PENDING_MAX]; /* of each */
	unsigned pending_count;
};

/* One run; its hits are numbered behind those before it. False: no room now. */
static bool run_append(struct writer *writer, const struct run *run, unsigned hit_count, uint64_t number)
{
	struct read reads[RUN];
	struct hit hits[RUN];

	memset(reads, 0, sizeof(reads));
	memset(hits, 0, sizeof(hits));
	for (unsigned i = 0; i < run->count; i++)
		reads[i].camera = (uint32_t)(run->first + i);
	for (unsigned i = 0; i < hit_count; i++) {
		hits[i].row = i;
		hits[i].entry = (uint32_t)(run->first + i);
		hits[i].number = hit_number(writer->worker, number + i);
	}
	if (!memtable_reserve(writer->world->memtable, writer->generation, run->count, 1, hit_count))
		return false;
	(void)memtable_append(writer->generation, run, reads, hits, hit_count);
	return true;
}

static uint64_t pending_hits(const struct writer *writer, unsigned runs)
{
	uint64_t hits = 0;

	for (unsigned i = 0; i < runs; i++)
		hits += writer->hits[i];
	return hits;
}

/* The write was well. */
static void commit(struct writer *writer)
{
	struct memtable_mark mark;

	memtable_mark_take(writer->generation, &mark);
	memtable_publish(writer->generation, &mark);
	writer->durable += pending_hits(writer, writer->pending_count);
	writer->pending_count = 0;
	atomic_store(&writer->world->durable[writer->worker], writer->durable);
}

/* Leaves the generation, and takes the next with what has not become durable. */
static void roll(struct writer *writer)
{
	struct hand_over *hand_over = &writer->world->hand_overs[writer->worker];
	struct generation *next;

	while (atomic_load(&hand_over->left) != NULL)
		(void)sched_yield();
	atomic_store(&hand_over->left, writer->generation);
	while ((next = atomic_exchange(&hand_over->next, NULL)) == NULL)
		(void)sched_yield();
	writer->generation = next;
	for (unsigned i = 0; i < writer->pending_count; i++)
		while (!run_append(writer, &writer->pending[i], writer->hits[i],
				   writer->durable + pending_hits(writer, i) + 1))
			(void)sched_yield();
}

static void *write_main(void *context)
{
	struct writer *writer = context;

	while ((writer->generation = atomic_exchange(&writer->world->hand_overs[writer->worker].next, NULL)) == NULL)
		(void)sched_yield();
	while (writer->durable < HITS) {
		struct run run = {.first = writer->sequence, .count = (uint16_t)(1 + prng_below(&writer->prng, RUN))};
		unsigned hits = (unsigned)prng_below(&writer->prng, run.count + 1u);

		if (writer->pending_count < PENDING_MAX &&
		    run_append(writer, &run, hits, writer->durable + pending_hits(writer, writer->pending_count) + 1)) {
			writer->pending[writer->pending_count] = run;
			writer->hits[writer->pending_count++] = hits;
			writer->sequence += run.count + 1;
		} else {
			(void)sched_yield();
		}
		if (writer->pending_count == PENDING_MAX || prng_chance(&writer->prng, 6))
			commit(writer);
		if (prng_chance(&writer->prng, writer->durable % 40000 < 20000 ? 60 : 1)) /* one chunk, several */
			roll(writer); /* with what is pending: a write that failed */
	}
	commit(writer);
	atomic_store(&writer->world->done[writer->worker], true);
	return NULL;
}

/* Opens what is missing, closes and retires what was left. */
static void *keep_main(void *context)
{
	struct world *world = context;

	while (!atomic_load(&world->stop)) {
		for (unsigned i = 0; i < WORKERS; i++) {
			struct hand_over *hand_over = &world->hand_overs[i];
			struct generation *left = atomic_exchange(&hand_over->left, NULL);
			struct generation *next;

			if (left != NULL) {
				atomic_store_explicit(&left->state, GENERATION_CLOSED, memory_order_release);
				memtable_lock(world->memtable);
				memtable_retire(world->memtable, left);
				memtable_unlock(world->memtable);
			}
			if (atomic_load(&hand_over->next) != NULL)
				continue;
			CHECK_INT(0, memtable_open_generation(world->memtable, i, ++hand_over->sequence, 1, &next));
			atomic_store(&hand_over->next, next);
		}
		(void)memtable_keep(world->memtable); /* takes views */
		(void)sched_yield();
	}
	return NULL;
}

static void on_given(void *context, const struct hit_found *found, size_t count)
{
	struct world *world = context;

	for (size_t i = 0; i < count; i++) {
		unsigned worker = hit_source(found[i].hit.number);

		if (worker >= WORKERS || found[i].hit.number != hit_number(worker, world->given[worker] + 1) ||
		    found[i].read.camera != found[i].hit.entry)
			world->wrong++;
		else
			world->given[worker]++;
	}
}

static void follow_main(struct world *world, struct hit_follower *follower)
{
	struct prng prng = {.state = check_seed() ^ 0xf0};

	while (!atomic_load(&world->done[0]) || !atomic_load(&world->done[1])) {
		uint64_t durable[WORKERS];

		for (unsigned i = 0; i < WORKERS; i++)
			durable[i] = atomic_load(&world->durable[i]);
		hit_follow(follower);
		for (unsigned i = 0; i < WORKERS; i++)
			world->wrong += world->given[i] < durable[i]; /* left behind */
		if (prng_chance(&prng, 20))
			(void)nanosleep(&(struct timespec){.tv_nsec = (long)prng_below(&prng, 3000000)}, NULL);
	}
	hit_follow(follower);
}

static void test_threads(void)
{
	struct memtable_options options = {.bytes_max = 24 * (sizeof(struct chunk) + 4096), .workers = WORKERS};
	struct world world = {0};
	struct writer writers[WORKERS];
	struct hit_follower *follower;
	pthread_t threads[WORKERS];
	pthread_t keeper;

	CHECK_INT(0, memtable_new(&options, &world.memtable));
	CHECK_INT(0, hit_follower_new(world.memtable, on_given, &world, &follower));
	CHECK_INT(0, pthread_create(&keeper, NULL, keep_main, &world));
	for (unsigned i = 0; i < WORKERS; i++) {
		writers[i] = (struct writer){.world = &world, .worker = i, .sequence = 1};
		writers[i].prng.state = check_seed() + i;
		CHECK_INT(0, pthread_create(&threads[i], NULL, write_main, &writers[i]));
	}
	follow_main(&world, follower);
	for (unsigned i = 0; i < WORKERS; i++)
		CHECK_INT(0, pthread_join(threads[i], NULL));
	atomic_store(&world.stop, true);
	CHECK_INT(0, pthread_join(keeper, NULL));
	CHECK_INT(0, world.wrong);
	for (unsigned i = 0; i < WORKERS; i++)
		CHECK_INT(writers[i].durable, world.given[i]);
	follower = hit_follower_free(follower);
	memtable_free(world.memtable);
}

int main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{"every worker's hits come once and in order", test_threads},
		{NULL, NULL},
	};

	return check_main(argc, argv, "following of hits beside its threads", tests);
}
