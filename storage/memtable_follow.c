#include "storage/memtable_follow.h"

#include <assert.h>
#include <stddef.h>

#include "storage/memtable_internal.h"

/* Both locks held. */
static void hand_over(struct memtable *memtable, struct generation *generation)
{
	struct generation **at = &memtable->following[generation->worker];

	while (*at != NULL && (*at)->sequence < generation->sequence)
		at = &(*at)->follow_next;
	generation->follow_next = *at;
	generation->references++;
	*at = generation;
}

void memtable_follow(struct memtable *memtable)
{
	memtable_lock(memtable);
	(void)pthread_mutex_lock(&memtable->follow_lock);
	assert(!memtable->followed);
	memtable->followed = true;
	for (struct generation *g = memtable->live; g != NULL; g = g->list_next)
		if (atomic_load_explicit(&g->state, memory_order_acquire) == GENERATION_OPEN)
			hand_over(memtable, g);
	(void)pthread_mutex_unlock(&memtable->follow_lock);
	memtable_unlock(memtable);
}

void memtable_follow_opened(struct memtable *memtable, struct generation *generation)
{
	(void)pthread_mutex_lock(&memtable->follow_lock);
	if (memtable->followed)
		hand_over(memtable, generation);
	(void)pthread_mutex_unlock(&memtable->follow_lock);
}

unsigned memtable_workers(const struct memtable *memtable)
{
	return memtable->workers;
}

/* Follow lock held. */
static bool is_final(const struct generation *generation)
{
	const struct generation *later = generation->follow_next;

	if (atomic_load_explicit(&generation->state, memory_order_acquire) != GENERATION_OPEN)
		return true;
	while (later != NULL && atomic_load_explicit(&later->row_count_durable, memory_order_acquire) == 0)
		later = later->follow_next;
	return later != NULL;
}

struct generation *memtable_following(struct memtable *memtable, unsigned worker, bool *ret_final)
{
	struct generation *generation;

	(void)pthread_mutex_lock(&memtable->follow_lock);
	generation = memtable->following[worker];
	*ret_final = generation != NULL && is_final(generation);
	(void)pthread_mutex_unlock(&memtable->follow_lock);
	return generation;
}

/* Follow lock held. */
static void pass(struct memtable *memtable, unsigned worker)
{
	struct generation *generation = memtable->following[worker];

	memtable->following[worker] = generation->follow_next;
	generation->follow_next = memtable->passed;
	memtable->passed = generation;
}

void memtable_pass(struct memtable *memtable, unsigned worker)
{
	(void)pthread_mutex_lock(&memtable->follow_lock);
	pass(memtable, worker);
	(void)pthread_mutex_unlock(&memtable->follow_lock);
}

void memtable_follow_keep(struct memtable *memtable)
{
	struct generation *passed;

	(void)pthread_mutex_lock(&memtable->follow_lock);
	passed = memtable->passed;
	memtable->passed = NULL;
	(void)pthread_mutex_unlock(&memtable->follow_lock);
	while (passed != NULL) {
		struct generation *next = passed->follow_next;

		memtable_let_go(memtable, passed);
		passed = next;
	}
}

void memtable_unfollow(struct memtable *memtable)
{
	memtable_lock(memtable);
	(void)pthread_mutex_lock(&memtable->follow_lock);
	for (unsigned i = 0; memtable->followed && i < memtable->workers; i++)
		while (memtable->following[i] != NULL)
			pass(memtable, i);
	memtable->followed = false;
	(void)pthread_mutex_unlock(&memtable->follow_lock);
	memtable_follow_keep(memtable);
	memtable_unlock(memtable);
}
