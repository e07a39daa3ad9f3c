/*
 * The memtable's pool (memtable.h): one mapping cut into chunks, of which those that nobody uses are chained; and the
 * ring in which chunks stand ready for one worker.
 *
 * The memtable's lock guards the free list. A ring has one producer, the keeper, and one consumer, its worker: neither
 * locks. What workers ask per burst is inline.
 *
 * Prefault. A thread of the pool brings its pages from its beginning while recovery goes on and the appliance accepts
 * its first reads: of gigabytes that takes a second or more, and nobody waits for it.
 */
#ifndef GANTRY_STORAGE_MEMTABLE_POOL_H
#define GANTRY_STORAGE_MEMTABLE_POOL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "storage/memtable.h"

#define CHUNK_ALIGN 4096
#define CHUNK_SIZE ((sizeof(struct chunk) + CHUNK_ALIGN - 1) / CHUNK_ALIGN * CHUNK_ALIGN)
#define READY_MAX 64 /* ring of ready chunks: a power of two */

struct chunk_pool {
	uint8_t *bytes;
	size_t size;
	size_t chunk_count;
	struct chunk *free; /* chained by next */
	size_t free_count;
	pthread_t prefault; /* brings the pool's pages, then ends */
	bool prefaulting;
	atomic_bool prefault_stop;
	_Atomic size_t prefaulted; /* bytes, from the beginning, whose pages are there; prefault writes */
};

/* Zeroed before. So many bytes as whole chunks, all free. prefault: pages are brought from now on. -ENOMEM. */
int chunk_pool_init(struct chunk_pool *pool, size_t bytes_max, bool prefault);
/* Accepts a zeroed one. */
void chunk_pool_fini(struct chunk_pool *pool);

/* An empty chunk, or NULL: none is free. Lock held. */
struct chunk *chunk_pool_pop(struct chunk_pool *pool);
/* Lock held. */
void chunk_pool_push(struct chunk_pool *pool, struct chunk *chunk);
/* The pages of the next chunk are there: a worker meets no missing page, the chunk waits for its own. Lock held. */
bool chunk_pool_ready(const struct chunk_pool *pool);

/* Zeroed = empty. */
struct ready_ring {
	_Alignas(64) _Atomic uint32_t head; /* keeper writes */
	_Alignas(64) _Atomic uint32_t tail; /* worker writes */
	struct chunk *chunks[READY_MAX];
};

static inline unsigned ready_count(const struct ready_ring *ring)
{
	return atomic_load_explicit(&ring->head, memory_order_acquire) -
	       atomic_load_explicit(&ring->tail, memory_order_acquire);
}

/* Worker. NULL: empty. */
static inline struct chunk *ready_pop(struct ready_ring *ring)
{
	uint32_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
	struct chunk *chunk;

	if (tail == atomic_load_explicit(&ring->head, memory_order_acquire))
		return NULL;
	chunk = ring->chunks[tail % READY_MAX];
	atomic_store_explicit(&ring->tail, tail + 1, memory_order_release);
	return chunk;
}

/* Keeper; the ring is not full. */
static inline void ready_push(struct ready_ring *ring, struct chunk *chunk)
{
	uint32_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);

	ring->chunks[head % READY_MAX] = chunk;
	atomic_store_explicit(&ring->head, head + 1, memory_order_release);
}

#endif
