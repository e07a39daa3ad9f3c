/*
 * Overview. The memtable's life, its generations and the views of them; the chunks that they are made of are
 * memtable_pool.h's, what workers do is in memtable_append.c.
 *
 * Synchronisation. See memtable_internal.h for the lock. Chain and counts: see the header.
 */
#include "storage/memtable.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "storage/memtable_follow.h"
#include "storage/memtable_internal.h"
#include "storage/memtable_sort.h"

#define CHUNKS_MIN 4 /* of one worker */

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
	memtable->ready_target = ready_target(options->bytes_max / CHUNK_SIZE, options->workers);
	r = memtable_lock_init(memtable);
	if (r < 0) {
		free(memtable);
		return r;
	}
	(void)pthread_mutex_init(&memtable->follow_lock, NULL);
	memtable->following = calloc(options->workers, sizeof(*memtable->following));
	memtable->sort = sort_space_new();
	r = memtable->following == NULL || memtable->sort == NULL
		    ? -ENOMEM
		    : chunk_pool_init(&memtable->pool, options->bytes_max, options->prefault);
	if (r < 0) {
		memtable_free(memtable);
		return r;
	}
	(void)memtable_keep(memtable);
	*ret_memtable = memtable;
	return 0;
}

struct memtable *memtable_free(struct memtable *memtable)
{
	if (memtable == NULL)
		return NULL;
	memtable_unfollow(memtable);
	while (memtable->live != NULL) {
		struct generation *generation = memtable->live;

		memtable->live = generation->list_next;
		free(generation);
	}
	chunk_pool_fini(&memtable->pool);
	sort_space_free(memtable->sort);
	free(memtable->following);
	(void)pthread_mutex_destroy(&memtable->follow_lock);
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

static bool memtable_top_up(struct memtable *memtable)
{
	bool done = false;

	memtable_lock(memtable);
	memtable_follow_keep(memtable);
	for (unsigned i = 0; i < memtable->workers; i++) {
		struct ready_ring *ring = &memtable->ready[i];

		while (chunk_pool_ready(&memtable->pool) && ready_count(ring) < memtable->ready_target) {
			ready_push(ring, chunk_pool_pop(&memtable->pool));
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
	memtable_follow_opened(memtable, generation);
	memtable_unlock(memtable);
	*ret_generation = generation;
	return 0;
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

void memtable_let_go(struct memtable *memtable, struct generation *generation)
{
	struct chunk *chunk;

	assert(generation->references > 0);
	if (--generation->references > 0)
		return;
	chunk = atomic_load_explicit(&generation->first, memory_order_acquire);
	while (chunk != NULL) {
		struct chunk *next = atomic_load_explicit(&chunk->next, memory_order_acquire);

		chunk_pool_push(&memtable->pool, chunk);
		chunk = next;
	}
	free(generation);
}

void memtable_view_release(struct memtable *memtable, struct memtable_view *view)
{
	memtable_lock(memtable);
	for (size_t i = 0; i < view->count; i++)
		memtable_let_go(memtable, view->generations[i]);
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
	memtable_let_go(memtable, generation);
}

void memtable_info(struct memtable *memtable, struct memtable_info *ret_info)
{
	struct memtable_info info = {.bytes_max = memtable->pool.chunk_count * CHUNK_SIZE};

	memtable_lock(memtable);
	info.bytes_used = (memtable->pool.chunk_count - memtable->pool.free_count) * CHUNK_SIZE;
	for (unsigned i = 0; i < memtable->workers; i++)
		info.bytes_used -= ready_count(&memtable->ready[i]) * CHUNK_SIZE;
	for (struct generation *g = memtable->live; g != NULL; g = g->list_next) {
		info.rows += atomic_load_explicit(&g->row_count_durable, memory_order_acquire);
		info.generations++;
	}
	memtable_unlock(memtable);
	*ret_info = info;
}
