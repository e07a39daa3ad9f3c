#include "storage/hit_follow.h"

#include <errno.h>
#include <stdlib.h>

#include "appliance/base/bytes.h"
#include "storage/hit_scan.h"
#include "storage/memtable.h"
#include "storage/memtable_follow.h"

#define AT_ONCE 256

struct hit_follower {
	struct memtable *memtable;
	hit_follow_fn *give;
	void *context;
	struct hit_found found[AT_ONCE]; /* to be given */
	size_t found_count;
};

int hit_follower_new(struct memtable *memtable, hit_follow_fn *give, void *context, struct hit_follower **ret_follower)
{
	struct hit_follower *follower = calloc(1, sizeof(*follower));

	if (follower == NULL)
		return -ENOMEM;
	follower->memtable = memtable;
	follower->give = give;
	follower->context = context;
	memtable_follow(memtable);
	*ret_follower = follower;
	return 0;
}

struct hit_follower *hit_follower_free(struct hit_follower *follower)
{
	if (follower == NULL)
		return NULL;
	memtable_unfollow(follower->memtable);
	bytes_wipe(follower->found, sizeof(follower->found));
	free(follower);
	return NULL;
}

static void give(struct hit_follower *follower)
{
	if (follower->found_count > 0)
		follower->give(follower->context, follower->found, follower->found_count);
	follower->found_count = 0;
}

/* A hit's row is in its own chunk: runs do not cross chunks, and their hits are appended with them. */
static void follow_chunk(struct hit_follower *follower, struct generation *generation, const struct chunk *chunk)
{
	uint32_t count = atomic_load_explicit(&chunk->hits_durable, memory_order_acquire);

	for (; generation->followed_hits < count; generation->followed_hits++) {
		const struct hit *hit = &chunk->hits[generation->followed_hits];

		if (follower->found_count == AT_ONCE)
			give(follower);
		follower->found[follower->found_count++] =
			(struct hit_found){.hit = *hit, .read = chunk->rows[hit->row - chunk->first_row]};
	}
}

/* To its durable end. What was appended and never became durable there has moved to a later generation. */
static void follow_generation(struct hit_follower *follower, struct generation *generation, bool final)
{
	struct chunk *chunk = generation->followed;

	if (chunk == NULL)
		chunk = atomic_load_explicit(&generation->first, memory_order_acquire);
	while (chunk != NULL) {
		struct chunk *next = atomic_load_explicit(&chunk->next, memory_order_acquire);
		/* Asked before the hits are counted: chunks become durable in their order, and hold a run at least. */
		bool full =
			next != NULL && (final || atomic_load_explicit(&next->runs_durable, memory_order_acquire) > 0);

		follow_chunk(follower, generation, chunk);
		generation->followed = chunk;
		if (!full)
			break;
		generation->followed_hits = 0;
		chunk = next;
	}
}

static void follow_worker(struct hit_follower *follower, unsigned worker)
{
	for (;;) {
		bool final;
		struct generation *generation = memtable_following(follower->memtable, worker, &final);

		if (generation == NULL)
			return;
		follow_generation(follower, generation, final);
		if (!final)
			return;
		memtable_pass(follower->memtable, worker);
	}
}

void hit_follow(struct hit_follower *follower)
{
	for (unsigned i = 0; i < memtable_workers(follower->memtable); i++)
		follow_worker(follower, i);
	give(follower);
}
