#include "storage/memtable_pool.h"

#include <errno.h>
#include <sys/mman.h>

#define PREFAULT_STEP ((size_t)32 << 20)

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

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

struct chunk *chunk_pool_pop(struct chunk_pool *pool)
{
	struct chunk *chunk = pool->free;

	if (chunk == NULL)
		return NULL;
	pool->free = atomic_load_explicit(&chunk->next, memory_order_relaxed);
	pool->free_count--;
	chunk_reset(chunk);
	return chunk;
}

void chunk_pool_push(struct chunk_pool *pool, struct chunk *chunk)
{
	atomic_store_explicit(&chunk->next, pool->free, memory_order_relaxed);
	pool->free = chunk;
	pool->free_count++;
}

bool chunk_pool_ready(const struct chunk_pool *pool)
{
	size_t prefaulted = atomic_load_explicit(&pool->prefaulted, memory_order_acquire);

	return pool->free != NULL && (size_t)((const uint8_t *)pool->free - pool->bytes) + CHUNK_SIZE <= prefaulted;
}

/* From the beginning: recovery, which takes chunks from there on, finds their pages there too. */
static void *pool_prefault(void *argument)
{
	struct chunk_pool *pool = argument;

	for (size_t at = 0; at < pool->size && !atomic_load(&pool->prefault_stop);) {
		size_t left = pool->size - at;
		size_t size = left < PREFAULT_STEP ? left : PREFAULT_STEP;

		/* Linux before 5.14 does not know it: then every page comes at its first use, as without prefault. */
		if (madvise(pool->bytes + at, size, MADV_POPULATE_WRITE) < 0)
			break;
		at += size;
		atomic_store_explicit(&pool->prefaulted, at, memory_order_release);
	}
	atomic_store_explicit(&pool->prefaulted, pool->size, memory_order_release);
	return NULL;
}

int chunk_pool_init(struct chunk_pool *pool, size_t bytes_max, bool prefault)
{
	size_t size = bytes_max / CHUNK_SIZE * CHUNK_SIZE;
	void *bytes = mmap(NULL, size, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | (prefault ? 0 : MAP_NORESERVE), -1, 0);

	if (bytes == MAP_FAILED)
		return -ENOMEM;
	(void)madvise(bytes, size, MADV_DONTDUMP); /* VRMs stay out of core files */
	pool->bytes = bytes;
	pool->size = size;
	pool->chunk_count = size / CHUNK_SIZE;
	for (size_t i = pool->chunk_count; i-- > 0;)
		chunk_pool_push(pool, (struct chunk *)(pool->bytes + i * CHUNK_SIZE));
	if (!prefault)
		atomic_store(&pool->prefaulted, size);
	else if (pthread_create(&pool->prefault, NULL, pool_prefault, pool) == 0)
		pool->prefaulting = true;
	else
		(void)pool_prefault(pool);
	return 0;
}

void chunk_pool_fini(struct chunk_pool *pool)
{
	atomic_store(&pool->prefault_stop, true);
	if (pool->prefaulting)
		(void)pthread_join(pool->prefault, NULL);
	if (pool->bytes != NULL)
		(void)munmap(pool->bytes, pool->size);
}
