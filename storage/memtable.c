/*
 * Overview. One mapping is cut into chunks. A chunk is free (memtable->free), ready (in one worker's ring), or part of
 * a generation's chain. Keeper: free → ready. Worker: ready → chain. Last release of a retired generation: chain →
 * free.
 *
 * Synchronisation. `lock` (recursive) guards the free list, the live list, the references and the retired flag. A ready
 * ring has the keeper as its producer and its worker as its consumer. Chain and counts: see the header.
 *
 * Prefault. A thread of the memtable brings the pool's pages from its beginning while recovery goes on and the
 * appliance accepts its first reads: of gigabytes that takes a second or more, and nobody waits for it.
 *
 * Key invariant: rows_durable ≤ row_count ≤ CHUNK_ROWS, and nothing below a published count is ever written again.
 */
#include "storage/memtable.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "storage/memtable_sort.h"

#define CHUNK_ALIGN 4096
#define CHUNK_SIZE ((sizeof(struct chunk) + CHUNK_ALIGN - 1) / CHUNK_ALIGN * CHUNK_ALIGN)
#define READY_MAX 64 /* ring of ready chunks: a power of two */
#define CHUNKS_MIN 4 /* of one worker */
#define PREFAULT_STEP ((size_t)32 << 20)

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

struct ready_ring {
	_Alignas(64) _Atomic uint32_t head; /* keeper writes */
	_Alignas(64) _Atomic uint32_t tail; /* worker writes */
	struct chunk *chunks[READY_MAX];
};

struct memtable {
	pthread_mutex_t lock;
	uint8_t *pool;
	size_t pool_size;
	pthread_t prefault; /* brings the pool's pages, then ends */
	bool prefaulting;
	atomic_bool prefault_stop;
	_Atomic size_t prefaulted; /* bytes of the pool, from its beginning, whose pages are there; prefault writes */
	size_t chunk_count;
	struct chunk *free; /* chained by next */
	size_t free_count;
	struct generation *live;
	struct sort_space *sort; /* keeper's */
	unsigned workers;
	unsigned ready_target;
	struct ready_ring ready[];
};

static unsigned ready_count(const struct ready_ring *ring)
{
	return atomic_load_explicit(&ring->head, memory_order_acquire) -
	       atomic_load_explicit(&ring->tail, memory_order_acquire);
}

static struct chunk *ready_pop(struct ready_ring *ring)
{
	uint32_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
	struct chunk *chunk;

	if (tail == atomic_load_explicit(&ring->head, memory_order_acquire))
		return NULL;
	chunk = ring->chunks[tail % READY_MAX];
	atomic_store_explicit(&ring->tail, tail + 1, memory_order_release);
	return chunk;
}

static void ready_push(struct ready_ring *ring, struct chunk *chunk)
{
	uint32_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);

	ring->chunks[head % READY_MAX] = chunk;
	atomic_store_explicit(&ring->head, head + 1, memory_order_release);
}

static void chunk_reset(struct chunk *chunk)
{
	atomic_init(&chunk->next, NULL);
	atomic_init(&chunk->rows_durable, 0);
	atomic_init(&chunk->runs_durable, 0);
	atomic_init(&chunk->hits_durable, 0);
	atomic_init(&chunk->hits_mixed, false);
	chunk->row_count = 0;
	chunk->run_count = 0;
	chunk->hit_count = 0;
	chunk->first_row = 0;
	chunk->run_closed = 0;
	atomic_init(&chunk->order, NULL);
}

/* Lock held. */
static struct chunk *free_pop(struct memtable *memtable)
{
	struct chunk *chunk = memtable->free;

	if (chunk == NULL)
		return NULL;
	memtable->free = atomic_load_explicit(&chunk->next, memory_order_relaxed);
	memtable->free_count--;
	chunk_reset(chunk);
	return chunk;
}

/* Lock held. */
static void free_push(struct memtable *memtable, struct chunk *chunk)
{
	atomic_store_explicit(&chunk->next, memtable->free, memory_order_relaxed);
	memtable->free = chunk;
	memtable->free_count++;
}

/* From the beginning: recovery, which takes chunks from there on, finds their pages there too. */
static void *pool_prefault(void *argument)
{
	struct memtable *memtable = argument;

	for (size_t at = 0; at < memtable->pool_size && !atomic_load(&memtable->prefault_stop);) {
		size_t left = memtable->pool_size - at;
		size_t size = left < PREFAULT_STEP ? left : PREFAULT_STEP;

		/* Linux before 5.14 does not know it: then every page comes at its first use, as without prefault. */
		if (madvise(memtable->pool + at, size, MADV_POPULATE_WRITE) < 0)
			break;
		at += size;
		atomic_store_explicit(&memtable->prefaulted, at, memory_order_release);
	}
	atomic_store_explicit(&memtable->prefaulted, memtable->pool_size, memory_order_release);
	return NULL;
}

static int memtable_map(struct memtable *memtable, bool prefault)
{
	void *pool = mmap(NULL, memtable->pool_size, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | (prefault ? 0 : MAP_NORESERVE), -1, 0);

	if (pool == MAP_FAILED)
		return -ENOMEM;
	(void)madvise(pool, memtable->pool_size, MADV_DONTDUMP); /* VRMs stay out of core files */
	memtable->pool = pool;
	for (size_t i = memtable->chunk_count; i-- > 0;)
		free_push(memtable, (struct chunk *)(memtable->pool + i * CHUNK_SIZE));
	return 0;
}

static int memtable_lock_init(struct memtable *memtable)
{
	pthread_mutexattr_t attributes;
	int r = pthread_mutexattr_init(&attributes);

	if (r != 0)
		return -r;
	(void)pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_RECURSIVE);
	r = pthread_mutex_init(&memtable->lock, &attributes);
	(void)pthread_mutexattr_destroy(&attributes);
	return -r;
}

/* A quarter of the pool at most waits in rings, lest an idle worker hold what a busy one needs. */
static unsigned ready_target(size_t chunks, unsigned workers)
{
	size_t share = chunks / (4 * (size_t)workers);

	if (share < 1)
		return 1;
	return share < READY_MAX / 2 ? (unsigned)share : READY_MAX / 2;
}

int memtable_new(const struct memtable_options *options, struct memtable **ret_memtable)
{
	size_t rings = options->workers * sizeof(struct ready_ring);
	size_t size = (sizeof(struct memtable) + rings + 63) / 64 * 64;
	struct memtable *memtable;
	int r;

	if (options->workers == 0 || options->bytes_max / CHUNK_SIZE < (size_t)CHUNKS_MIN * options->workers)
		return -EINVAL;
	memtable = aligned_alloc(64, size);
	if (memtable == NULL)
		return -ENOMEM;
	memset(memtable, 0, size);
	memtable->workers = options->workers;
	memtable->chunk_count = options->bytes_max / CHUNK_SIZE;
	memtable->pool_size = memtable->chunk_count * CHUNK_SIZE;
	memtable->ready_target = ready_target(memtable->chunk_count, options->workers);
	r = memtable_lock_init(memtable);
	if (r < 0) {
		free(memtable);
		return r;
	}
	memtable->sort = sort_space_new();
	r = memtable->sort == NULL ? -ENOMEM : memtable_map(memtable, options->prefault);
	if (r < 0) {
		memtable_free(memtable);
		return r;
	}
	if (!options->prefault)
		atomic_store(&memtable->prefaulted, memtable->pool_size);
	else if (pthread_create(&memtable->prefault, NULL, pool_prefault, memtable) == 0)
		memtable->prefaulting = true;
	else
		(void)pool_prefault(memtable);
	(void)memtable_keep(memtable);
	*ret_memtable = memtable;
	return 0;
}

struct memtable *memtable_free(struct memtable *memtable)
{
	if (memtable == NULL)
		return NULL;
	atomic_store(&memtable->prefault_stop, true);
	if (memtable->prefaulting)
		(void)pthread_join(memtable->prefault, NULL);
	while (memtable->live != NULL) {
		struct generation *generation = memtable->live;

		memtable->live = generation->list_next;
		free(generation);
	}
	if (memtable->pool != NULL)
		(void)munmap(memtable->pool, memtable->pool_size);
	sort_space_free(memtable->sort);
	(void)pthread_mutex_destroy(&memtable->lock);
	free(memtable);
	return NULL;
}

void memtable_lock(struct memtable *memtable)
{
	(void)pthread_mutex_lock(&memtable->lock);
}

void memtable_unlock(struct memtable *memtable)
{
	(void)pthread_mutex_unlock(&memtable->lock);
}

/* A worker meets no missing page: the chunk waits for its own. Lock held. */
static bool free_is_prefaulted(const struct memtable *memtable)
{
	size_t prefaulted = atomic_load_explicit(&memtable->prefaulted, memory_order_acquire);

	return memtable->free != NULL &&
	       (size_t)((const uint8_t *)memtable->free - memtable->pool) + CHUNK_SIZE <= prefaulted;
}

static bool memtable_top_up(struct memtable *memtable)
{
	bool done = false;

	memtable_lock(memtable);
	for (unsigned i = 0; i < memtable->workers; i++) {
		struct ready_ring *ring = &memtable->ready[i];

		while (free_is_prefaulted(memtable) && ready_count(ring) < memtable->ready_target) {
			ready_push(ring, free_pop(memtable));
			done = true;
		}
	}
	memtable_unlock(memtable);
	return done;
}

/*
 * Gives every chunk that changes no more its order. A chunk that has a successor and is durable to its last row is
 * full; in a closed generation all chunks are final.
 */
static bool generation_sort(struct memtable *memtable, struct generation *generation)
{
	bool closed = atomic_load_explicit(&generation->state, memory_order_acquire) != GENERATION_OPEN;
	struct chunk *chunk = atomic_load_explicit(&generation->first, memory_order_acquire);
	bool done = false;

	while (chunk != NULL) {
		struct chunk *next = atomic_load_explicit(&chunk->next, memory_order_acquire);
		uint32_t rows = atomic_load_explicit(&chunk->rows_durable, memory_order_acquire);
		bool final = closed || (next != NULL && rows == chunk->row_count);

		if (final && rows > 0 && atomic_load_explicit(&chunk->order, memory_order_relaxed) == NULL) {
			memtable_sort(memtable->sort, chunk->rows, rows, chunk->order_space);
			atomic_store_explicit(&chunk->order, chunk->order_space, memory_order_release);
			done = true;
		}
		chunk = next;
	}
	return done;
}

bool memtable_keep(struct memtable *memtable)
{
	bool done = memtable_top_up(memtable);
	struct memtable_view view;

	if (memtable_view_take(memtable, &view) < 0)
		return done; /* no memory for a list of pointers: sorting waits, search goes on without an order */
	for (size_t i = 0; i < view.count; i++) {
		done = generation_sort(memtable, view.generations[i]) || done;
		done = memtable_top_up(memtable) || done; /* a worker must not starve behind a long sort */
	}
	memtable_view_release(memtable, &view);
	return done;
}

int memtable_open_generation(struct memtable *memtable, unsigned worker, uint64_t sequence, uint64_t journal_id,
			     struct generation **ret_generation)
{
	struct generation *generation = calloc(1, sizeof(*generation));

	if (generation == NULL)
		return -ENOMEM;
	assert(worker < memtable->workers);
	generation->journal_id = journal_id;
	generation->sequence = sequence;
	generation->worker = worker;
	generation->references = 1; /* the live list's own */
	atomic_init(&generation->state, GENERATION_OPEN);
	memtable_lock(memtable);
	generation->list_next = memtable->live;
	memtable->live = generation;
	memtable_unlock(memtable);
	*ret_generation = generation;
	return 0;
}

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
	chunk = free_pop(memtable);
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

static int generation_order(const void *a, const void *b)
{
	const struct generation *left = *(struct generation *const *)a;
	const struct generation *right = *(struct generation *const *)b;

	if (left->worker != right->worker)
		return left->worker < right->worker ? -1 : 1;
	return left->sequence < right->sequence ? -1 : left->sequence > right->sequence;
}

int memtable_view_take(struct memtable *memtable, struct memtable_view *ret_view)
{
	struct memtable_view view = {0};
	size_t count = 0;

	memtable_lock(memtable);
	for (struct generation *g = memtable->live; g != NULL; g = g->list_next)
		count++;
	view.generations = calloc(count + 1, sizeof(struct generation *));
	if (view.generations == NULL) {
		memtable_unlock(memtable);
		return -ENOMEM;
	}
	for (struct generation *g = memtable->live; g != NULL; g = g->list_next) {
		g->references++;
		view.generations[view.count++] = g;
	}
	memtable_unlock(memtable);
	qsort(view.generations, view.count, sizeof(struct generation *), generation_order);
	*ret_view = view;
	return 0;
}

/* Lock held. */
static void generation_release(struct memtable *memtable, struct generation *generation)
{
	struct chunk *chunk;

	assert(generation->references > 0);
	if (--generation->references > 0)
		return;
	chunk = atomic_load_explicit(&generation->first, memory_order_acquire);
	while (chunk != NULL) {
		struct chunk *next = atomic_load_explicit(&chunk->next, memory_order_acquire);

		free_push(memtable, chunk);
		chunk = next;
	}
	free(generation);
}

void memtable_view_release(struct memtable *memtable, struct memtable_view *view)
{
	memtable_lock(memtable);
	for (size_t i = 0; i < view->count; i++)
		generation_release(memtable, view->generations[i]);
	memtable_unlock(memtable);
	free(view->generations);
	*view = (struct memtable_view){0};
}

void memtable_retire(struct memtable *memtable, struct generation *generation)
{
	struct generation **at = &memtable->live;

	while (*at != NULL && *at != generation)
		at = &(*at)->list_next;
	assert(*at == generation);
	*at = generation->list_next;
	atomic_store_explicit(&generation->state, GENERATION_SEALED, memory_order_release);
	generation_release(memtable, generation);
}

void memtable_info(struct memtable *memtable, struct memtable_info *ret_info)
{
	struct memtable_info info = {.bytes_max = memtable->chunk_count * CHUNK_SIZE};

	memtable_lock(memtable);
	info.bytes_used = (memtable->chunk_count - memtable->free_count) * CHUNK_SIZE;
	for (unsigned i = 0; i < memtable->workers; i++)
		info.bytes_used -= ready_count(&memtable->ready[i]) * CHUNK_SIZE;
	for (struct generation *g = memtable->live; g != NULL; g = g->list_next) {
		info.rows += atomic_load_explicit(&g->row_count_durable, memory_order_acquire);
		info.generations++;
	}
	memtable_unlock(memtable);
	*ret_info = info;
}
