/*
 * The worker's side of the memtable: rows, runs and hits behind what is there, published once they are durable. No
 * lock (recovery excepted), no allocation.
 *
 * Key invariant: rows_durable ≤ row_count ≤ CHUNK_ROWS, and nothing below a published count is ever written again.
 */
#include "storage/memtable.h"

#include <assert.h>
#include <string.h>

#include "storage/memtable_internal.h"

static bool chunk_has_room(const struct chunk *chunk, unsigned rows, unsigned runs, unsigned hits)
{
	return chunk != NULL && CHUNK_ROWS - chunk->row_count >= rows && CHUNK_RUNS - chunk->run_count >= runs &&
	       CHUNK_HITS - chunk->hit_count >= hits;
}

static void generation_extend(struct generation *generation, struct chunk *chunk)
{
	struct chunk *last = generation->last;

	generation->last = chunk;
	if (last == NULL) {
		atomic_store_explicit(&generation->first, chunk, memory_order_release);
		return;
	}
	chunk->first_row = last->first_row + last->row_count;
	atomic_store_explicit(&last->next, chunk, memory_order_release);
}

bool memtable_reserve(struct memtable *memtable, struct generation *generation, unsigned rows, unsigned runs,
		      unsigned hits)
{
	struct chunk *chunk;

	if (chunk_has_room(generation->last, rows, runs, hits))
		return true;
	if (rows > CHUNK_ROWS || runs > CHUNK_RUNS || hits > CHUNK_HITS)
		return false;
	chunk = ready_pop(&memtable->ready[generation->worker]);
	if (chunk == NULL)
		return false;
	generation_extend(generation, chunk);
	return true;
}

bool memtable_reserve_recovery(struct memtable *memtable, struct generation *generation, unsigned rows, unsigned runs,
			       unsigned hits)
{
	struct chunk *chunk;

	if (chunk_has_room(generation->last, rows, runs, hits))
		return true;
	if (rows > CHUNK_ROWS || runs > CHUNK_RUNS || hits > CHUNK_HITS)
		return false;
	memtable_lock(memtable);
	chunk = chunk_pool_pop(&memtable->pool);
	memtable_unlock(memtable);
	if (chunk == NULL)
		return memtable_reserve(memtable, generation, rows, runs, hits); /* what waits in the worker's ring */
	generation_extend(generation, chunk);
	return true;
}

/* The last run may grow when the new one is its continuation and nobody has seen its length yet. */
static bool run_continues(const struct chunk *chunk, const struct run *run)
{
	const struct run *last;

	if (chunk->run_count <= chunk->run_closed)
		return false;
	last = &chunk->runs[chunk->run_count - 1];
	return last->first + last->count == run->first && last->feed == run->feed && last->epoch == run->epoch &&
	       last->lane == run->lane && last->refusal == run->refusal && last->count + run->count <= UINT16_MAX;
}

static void run_add(struct chunk *chunk, const struct run *run)
{
	chunk->watermarks[chunk->run_count] = 0;
	chunk->runs[chunk->run_count++] = *run;
}

const struct read *memtable_append(struct generation *generation, const struct run *run, const struct read *reads,
				   const struct hit *hits, unsigned hit_count)
{
	struct chunk *chunk = generation->last;
	struct read *rows = &chunk->rows[chunk->row_count];

	if (run_continues(chunk, run))
		chunk->runs[chunk->run_count - 1].count += run->count;
	else
		run_add(chunk, run);
	if (run->refusal != REFUSAL_NONE)
		return NULL;
	memcpy(rows, reads, run->count * sizeof(*reads));
	for (unsigned i = 0; i < hit_count; i++) {
		struct hit *hit = &chunk->hits[chunk->hit_count++];

		*hit = hits[i];
		hit->row += chunk->first_row + chunk->row_count;
		if (chunk->hit_count > 1 && hit->number <= hit[-1].number)
			atomic_store_explicit(&chunk->hits_mixed, true, memory_order_relaxed);
	}
	chunk->row_count += run->count;
	assert(chunk->row_count <= CHUNK_ROWS);
	return rows;
}

void memtable_watermark(struct generation *generation, uint64_t watermark)
{
	struct chunk *chunk = generation->last;

	chunk->watermarks[chunk->run_count - 1] = watermark;
}

void memtable_mark_take(struct generation *generation, struct memtable_mark *ret_mark)
{
	struct chunk *chunk = generation->last;

	*ret_mark = (struct memtable_mark){.chunk = chunk};
	if (chunk == NULL)
		return;
	chunk->run_closed = chunk->run_count;
	ret_mark->rows = chunk->row_count;
	ret_mark->runs = chunk->run_count;
	ret_mark->hits = chunk->hit_count;
}

/* Returns how many rows became visible. Runs and hits first: who sees a row finds its hits. */
static uint32_t chunk_publish(struct chunk *chunk, uint32_t rows, uint32_t runs, uint32_t hits)
{
	uint32_t before = atomic_load_explicit(&chunk->rows_durable, memory_order_relaxed);

	assert(rows >= before);
	atomic_store_explicit(&chunk->hits_durable, hits, memory_order_release);
	atomic_store_explicit(&chunk->runs_durable, runs, memory_order_release);
	atomic_store_explicit(&chunk->rows_durable, rows, memory_order_release);
	return rows - before;
}

void memtable_publish(struct generation *generation, const struct memtable_mark *mark)
{
	struct chunk *chunk = generation->published;
	uint64_t rows = 0;

	if (mark->chunk == NULL)
		return;
	if (chunk == NULL)
		chunk = atomic_load_explicit(&generation->first, memory_order_relaxed);
	while (chunk != mark->chunk) {
		rows += chunk_publish(chunk, chunk->row_count, chunk->run_count, chunk->hit_count);
		chunk = atomic_load_explicit(&chunk->next, memory_order_relaxed);
		assert(chunk != NULL);
	}
	rows += chunk_publish(chunk, mark->rows, mark->runs, mark->hits);
	generation->published = chunk;
	rows += atomic_load_explicit(&generation->row_count_durable, memory_order_relaxed);
	atomic_store_explicit(&generation->row_count_durable, rows, memory_order_release);
}

size_t memtable_room(const struct memtable *memtable, unsigned worker, const struct generation *generation)
{
	size_t room = (size_t)ready_count(&memtable->ready[worker]) * CHUNK_ROWS;

	if (generation != NULL && generation->last != NULL)
		room += CHUNK_ROWS - generation->last->row_count;
	return room;
}
