#include "storage/memtable.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "appliance/base/prng.h"
#include "storage/memtable_sort.h"
#include "tests/check.h"

#define CHUNK_BYTES ((sizeof(struct chunk) + 4095) / 4096 * 4096)

static struct memtable *table_new(unsigned chunks, unsigned workers)
{
	struct memtable_options options = {.bytes_max = chunks * CHUNK_BYTES, .workers = workers};
	struct memtable *memtable;

	CHECK_INT(0, memtable_new(&options, &memtable));
	return memtable;
}

static struct generation *generation_new(struct memtable *memtable, unsigned worker, uint64_t sequence)
{
	struct generation *generation;

	CHECK_INT(0, memtable_open_generation(memtable, worker, sequence, 77 + sequence, &generation));
	return generation;
}

static void rows_make(struct prng *prng, struct read *reads, unsigned count)
{
	memset(reads, 0, count * sizeof(*reads));
	for (unsigned i = 0; i < count; i++) {
		unsigned size = (unsigned)prng_below(prng, 12);

		for (unsigned j = 0; j < size; j++)
			reads[i].key[j] = (uint8_t)('A' + prng_below(prng, j < 8 ? 3 : 2));
		reads[i].capture_us = (int64_t)prng_below(prng, 50) - 25;
		reads[i].camera = (uint32_t)prng_next(prng);
	}
}

static int row_order(const struct read *a, const struct read *b)
{
	int order = memcmp(a->key, b->key, READ_TEXT_SIZE);

	return order != 0 ? order : (a->capture_us > b->capture_us) - (a->capture_us < b->capture_us);
}

static void order_check(const struct read *rows, uint32_t count, const uint16_t *order)
{
	uint8_t *seen = calloc(CHUNK_ROWS, 1);

	CHECK(seen != NULL);
	for (uint32_t i = 0; i < count; i++) {
		CHECK(order[i] < count);
		CHECK(!seen[order[i]]);
		seen[order[i]] = 1;
		if (i == 0)
			continue;
		CHECK(row_order(&rows[order[i - 1]], &rows[order[i]]) <= 0);
		if (row_order(&rows[order[i - 1]], &rows[order[i]]) == 0)
			CHECK(order[i - 1] < order[i]);
	}
	free(seen);
}

static void test_sort(void)
{
	struct prng prng = {.state = check_seed()};
	struct sort_space *space = sort_space_new();
	struct read *rows = calloc(CHUNK_ROWS, sizeof(*rows));
	uint16_t *order = calloc(CHUNK_ROWS, sizeof(*order));

	CHECK(space != NULL && rows != NULL && order != NULL);
	for (unsigned round = 0; round < 200; round++) {
		uint32_t count = (uint32_t)prng_below(&prng, round < 190 ? 300 : CHUNK_ROWS + 1);

		rows_make(&prng, rows, count);
		memtable_sort(space, rows, count, order);
		order_check(rows, count, order);
	}
	memset(rows, 0, CHUNK_ROWS * sizeof(*rows)); /* nothing but not-read records */
	memtable_sort(space, rows, CHUNK_ROWS, order);
	order_check(rows, CHUNK_ROWS, order);
	sort_space_free(space);
	free(rows);
	free(order);
}

static uint64_t visible(struct memtable *memtable, uint64_t *ret_hits)
{
	struct memtable_view view;
	uint64_t rows = 0;

	*ret_hits = 0;
	CHECK_INT(0, memtable_view_take(memtable, &view));
	for (size_t i = 0; i < view.count; i++) {
		struct chunk *chunk = atomic_load(&view.generations[i]->first);

		for (; chunk != NULL; chunk = atomic_load(&chunk->next)) {
			rows += atomic_load(&chunk->rows_durable);
			*ret_hits += atomic_load(&chunk->hits_durable);
		}
	}
	memtable_view_release(memtable, &view);
	return rows;
}

/* Appends random runs over several chunks; what a reader sees is what was published, in order, with its hits. */
static void test_append_and_publish(void)
{
	struct prng prng = {.state = check_seed()};
	struct memtable *memtable = table_new(16, 1);
	struct generation *generation = generation_new(memtable, 0, 1);
	struct memtable_mark marks[4];
	uint64_t totals[4];
	uint64_t hit_totals[4];
	uint64_t sequence = 1;
	uint64_t rows = 0;
	uint64_t hits = 0;
	unsigned ahead = 0;

	while (rows < 3 * CHUNK_ROWS) {
		struct run run = {.first = sequence, .count = (uint16_t)(1 + prng_below(&prng, 32))};
		struct read reads[32];
		struct hit hit = {.row = (uint32_t)prng_below(&prng, run.count), .entry = 5};
		const struct read *kept;
		uint64_t seen_hits;

		rows_make(&prng, reads, run.count);
		while (!memtable_reserve(memtable, generation, run.count, 1, 1))
			CHECK(memtable_keep(memtable));
		kept = memtable_append(generation, &run, reads, &hit, 1);
		CHECK_MEM(reads, kept, run.count * sizeof(*reads));
		CHECK_INT(generation->last->first_row + (uint32_t)(kept - generation->last->rows) + hit.row,
			  generation->last->hits[generation->last->hit_count - 1].row);
		sequence += run.count + prng_below(&prng, 2);
		rows += run.count;
		hits++;
		if (!prng_chance(&prng, 50))
			continue;
		memtable_mark_take(generation, &marks[ahead]);
		totals[ahead] = rows;
		hit_totals[ahead++] = hits;
		if (ahead < 4)
			continue;
		for (unsigned i = 0; i < ahead; i++) {
			memtable_publish(generation, &marks[i]);
			CHECK_INT(totals[i], visible(memtable, &seen_hits));
			CHECK_INT(hit_totals[i], seen_hits);
			CHECK_INT(totals[i], atomic_load(&generation->row_count_durable));
		}
		ahead = 0;
	}
	memtable_free(memtable);
}

static void test_runs_merge_until_marked(void)
{
	struct memtable *memtable = table_new(4, 1);
	struct generation *generation = generation_new(memtable, 0, 1);
	struct run run = {.first = 1, .count = 1, .feed = 3};
	struct memtable_mark mark;
	struct read read = {.camera = 1};

	CHECK(memtable_reserve(memtable, generation, 20, 20, 0));
	for (unsigned i = 0; i < 5; i++, run.first++)
		(void)memtable_append(generation, &run, &read, NULL, 0);
	CHECK_INT(1, generation->last->run_count);
	CHECK_INT(5, generation->last->runs[0].count);
	run.lane = 1;
	(void)memtable_append(generation, &run, &read, NULL, 0);
	run.first++;
	CHECK_INT(2, generation->last->run_count);
	memtable_mark_take(generation, &mark);
	(void)memtable_append(generation, &run, &read, NULL, 0); /* follows, but somebody may have seen the last one */
	run.first++;
	CHECK_INT(3, generation->last->run_count);
	run.refusal = REFUSAL_TOO_OLD;
	CHECK(memtable_append(generation, &run, NULL, NULL, 0) == NULL);
	CHECK_INT(4, generation->last->run_count);
	CHECK_INT(7, generation->last->row_count);
	run.refusal = REFUSAL_NONE;
	run.first += 2; /* a gap */
	(void)memtable_append(generation, &run, &read, NULL, 0);
	CHECK_INT(5, generation->last->run_count);
	memtable_free(memtable);
}

static unsigned exhaust(struct memtable *memtable, struct generation *generation)
{
	unsigned taken = 0;

	for (;;) {
		struct run run = {.first = 1, .count = 1};
		struct read read = {.camera = 1};

		if (!memtable_reserve(memtable, generation, CHUNK_ROWS, 1, 0)) {
			if (!memtable_keep(memtable) && !memtable_reserve(memtable, generation, CHUNK_ROWS, 1, 0))
				return taken;
			continue;
		}
		(void)memtable_append(generation, &run, &read, NULL, 0);
		taken++;
	}
}

static void test_exhausted_and_retired(void)
{
	struct memtable *memtable = table_new(8, 1);
	struct generation *generation = generation_new(memtable, 0, 1);
	struct generation *second = generation_new(memtable, 0, 2);
	struct memtable_view view;
	struct memtable_info info;

	CHECK_INT(8, exhaust(memtable, generation));
	CHECK_INT(0, memtable_room(memtable, 0, NULL));
	CHECK(!memtable_reserve(memtable, second, 1, 1, 0));
	CHECK(!memtable_reserve_recovery(memtable, second, 1, 1, 0));
	memtable_info(memtable, &info);
	CHECK_INT(info.bytes_max, info.bytes_used);
	CHECK_INT(2, info.generations);
	CHECK_INT(0, memtable_view_take(memtable, &view));
	CHECK_INT(2, view.count);
	CHECK_INT(1, view.generations[0]->sequence);
	memtable_lock(memtable);
	memtable_retire(memtable, generation);
	memtable_unlock(memtable);
	(void)memtable_keep(memtable);
	CHECK(!memtable_reserve(memtable, second, 1, 1, 0)); /* the view still holds it */
	CHECK(atomic_load(&view.generations[0]->first) != NULL);
	memtable_view_release(memtable, &view);
	(void)memtable_keep(memtable);
	CHECK(memtable_room(memtable, 0, NULL) > 0);
	CHECK(memtable_reserve(memtable, second, 1, 1, 0));
	memtable_info(memtable, &info);
	CHECK_INT(1, info.generations);
	CHECK(memtable_reserve_recovery(memtable, second, CHUNK_ROWS, 1, 0));
	memtable_free(memtable);
}

static void test_full_chunks_are_sorted(void)
{
	struct prng prng = {.state = check_seed()};
	struct memtable *memtable = table_new(8, 1);
	struct generation *generation = generation_new(memtable, 0, 1);
	struct memtable_mark mark;
	struct chunk *first;
	struct read *reads = calloc(CHUNK_ROWS, sizeof(*reads));
	struct run run = {.first = 1, .count = CHUNK_ROWS};

	CHECK(reads != NULL);
	rows_make(&prng, reads, CHUNK_ROWS);
	CHECK(memtable_reserve(memtable, generation, CHUNK_ROWS, 1, 0));
	(void)memtable_append(generation, &run, reads, NULL, 0);
	memtable_mark_take(generation, &mark);
	first = generation->last;
	CHECK(memtable_reserve(memtable, generation, 100, 1, 0));
	run.count = 100;
	(void)memtable_append(generation, &run, reads, NULL, 0);
	(void)memtable_keep(memtable);
	CHECK(atomic_load(&first->order) == NULL); /* full, not durable */
	memtable_publish(generation, &mark);
	(void)memtable_keep(memtable);
	CHECK(atomic_load(&first->order) != NULL);
	order_check(first->rows, CHUNK_ROWS, atomic_load(&first->order));
	memtable_mark_take(generation, &mark);
	memtable_publish(generation, &mark);
	(void)memtable_keep(memtable);
	CHECK(atomic_load(&generation->last->order) == NULL); /* may still grow */
	atomic_store(&generation->state, GENERATION_CLOSED);
	(void)memtable_keep(memtable);
	CHECK(atomic_load(&generation->last->order) != NULL);
	order_check(generation->last->rows, 100, atomic_load(&generation->last->order));
	free(reads);
	memtable_free(memtable);
}

static void test_workers_share_the_pool(void)
{
	struct memtable_options options = {.bytes_max = 7 * CHUNK_BYTES, .workers = 2};
	struct memtable *memtable;
	struct generation *a;
	struct generation *b;

	CHECK_INT(-EINVAL, memtable_new(&options, &memtable));
	memtable = table_new(8, 2);
	a = generation_new(memtable, 1, 9);
	b = generation_new(memtable, 0, 10);
	CHECK_INT(7, exhaust(memtable, a)); /* one waits for the other worker */
	CHECK(memtable_reserve(memtable, b, 1, 1, 0));
	memtable_free(memtable);
}

/* Pages come behind our back: until they are all there a worker is pushed back, afterwards it gets every chunk. */
static void test_prefault_gives_every_chunk(void)
{
	struct memtable_options options = {.bytes_max = 24 * CHUNK_BYTES, .workers = 1, .prefault = true};
	const struct timespec pause = {.tv_nsec = 1000000};
	struct memtable *memtable;
	struct generation *generation;
	unsigned taken = 0;

	CHECK_INT(0, memtable_new(&options, &memtable));
	generation = generation_new(memtable, 0, 1);
	for (unsigned tries = 0; taken < 24 && tries < 30000; tries++) {
		if (memtable_reserve(memtable, generation, CHUNK_ROWS, 1, 0)) {
			generation->last->row_count = CHUNK_ROWS;
			taken++;
		} else if (!memtable_keep(memtable)) {
			(void)nanosleep(&pause, NULL);
		}
	}
	CHECK_INT(24, taken);
	CHECK(!memtable_reserve(memtable, generation, CHUNK_ROWS, 1, 0));
	memtable_free(memtable);
	/* Nobody waits for it to end. */
	options.bytes_max = 512 * CHUNK_BYTES;
	CHECK_INT(0, memtable_new(&options, &memtable));
	memtable_free(memtable);
}

int main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{"rows are sorted by key and time", test_sort},
		{"readers see what is published", test_append_and_publish},
		{"runs merge until they are marked", test_runs_merge_until_marked},
		{"an exhausted pool pushes back, a retired generation gives back", test_exhausted_and_retired},
		{"full chunks are sorted", test_full_chunks_are_sorted},
		{"workers share the pool", test_workers_share_the_pool},
		{"chunks whose pages come later are given later, all of them", test_prefault_gives_every_chunk},
		{NULL, NULL},
	};

	return check_main(argc, argv, "memtable", tests);
}
