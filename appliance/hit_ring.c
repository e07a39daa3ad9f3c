#include "appliance/hit_ring.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "appliance/base/bytes.h"
#include "appliance/base/clock.h"
#include "appliance/base/hit_positions.h"
#include "storage/hit_scan.h"

struct hit_ring {
	pthread_mutex_t lock; /* everything below but `entries` and `found` themselves */
	pthread_cond_t changed;
	size_t entries;
	struct hit_found *found; /* entry `at` stands at at % entries */
	uint64_t end;            /* one behind the newest */
	bool woken;              /* by hit_ring_wake, and not yet told to who waits */
	bool waiting;
	struct hit_positions overwritten;
	struct hit_positions newest;
};

int hit_ring_new(size_t entries, const struct hit_positions *behind, struct hit_ring **ret_ring)
{
	struct hit_ring *ring;
	pthread_condattr_t attributes;

	if (entries < HIT_RING_ENTRIES_MIN)
		return -EINVAL;
	ring = calloc(1, sizeof(*ring));
	if (ring == NULL)
		return -ENOMEM;
	ring->found = calloc(entries, sizeof(*ring->found));
	if (ring->found == NULL) {
		free(ring);
		return -ENOMEM;
	}
	ring->entries = entries;
	ring->overwritten = ring->newest = *behind;
	(void)pthread_mutex_init(&ring->lock, NULL);
	(void)pthread_condattr_init(&attributes);
	(void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&ring->changed, &attributes);
	(void)pthread_condattr_destroy(&attributes);
	*ret_ring = ring;
	return 0;
}

struct hit_ring *hit_ring_free(struct hit_ring *ring)
{
	if (ring == NULL)
		return NULL;
	bytes_wipe(ring->found, ring->entries * sizeof(*ring->found));
	free(ring->found);
	(void)pthread_cond_destroy(&ring->changed);
	(void)pthread_mutex_destroy(&ring->lock);
	free(ring);
	return NULL;
}

static uint64_t first_of(const struct hit_ring *ring)
{
	return ring->end > ring->entries ? ring->end - ring->entries : 0;
}

void hit_ring_put(struct hit_ring *ring, const struct hit_found *found, size_t count)
{
	bool wake;

	if (count == 0)
		return;
	(void)pthread_mutex_lock(&ring->lock);
	for (size_t i = 0; i < count; i++) {
		struct hit_found *place = &ring->found[ring->end % ring->entries];

		if (ring->end >= ring->entries)
			hit_positions_pass(&ring->overwritten, place->hit.number);
		*place = found[i];
		ring->end++;
		hit_positions_pass(&ring->newest, found[i].hit.number);
	}
	wake = ring->waiting;
	(void)pthread_mutex_unlock(&ring->lock);
	if (wake)
		(void)pthread_cond_signal(&ring->changed);
}

int hit_ring_get(struct hit_ring *ring, uint64_t at, size_t max, struct hit_found *ret_found, size_t *ret_count)
{
	size_t count;
	size_t place = at % ring->entries;
	size_t straight;

	(void)pthread_mutex_lock(&ring->lock);
	if (at < first_of(ring) || at > ring->end) {
		(void)pthread_mutex_unlock(&ring->lock);
		return HIT_RING_OVERTAKEN;
	}
	count = ring->end - at < max ? (size_t)(ring->end - at) : max;
	straight = ring->entries - place < count ? ring->entries - place : count;
	memcpy(ret_found, &ring->found[place], straight * sizeof(*ret_found));
	memcpy(ret_found + straight, ring->found, (count - straight) * sizeof(*ret_found));
	(void)pthread_mutex_unlock(&ring->lock);
	*ret_count = count;
	return 0;
}

bool hit_ring_join(struct hit_ring *ring, const struct hit_positions *seen, uint64_t *ret_at,
		   struct hit_positions *ret_overwritten)
{
	bool joined;

	(void)pthread_mutex_lock(&ring->lock);
	joined = hit_positions_reach(seen, &ring->overwritten);
	if (joined)
		*ret_at = hit_positions_reach(seen, &ring->newest) ? ring->end : first_of(ring);
	else
		*ret_overwritten = ring->overwritten;
	(void)pthread_mutex_unlock(&ring->lock);
	return joined;
}

void hit_ring_newest(struct hit_ring *ring, struct hit_positions *ret_newest)
{
	(void)pthread_mutex_lock(&ring->lock);
	*ret_newest = ring->newest;
	(void)pthread_mutex_unlock(&ring->lock);
}

void hit_ring_wait(struct hit_ring *ring, uint64_t at, int64_t timeout_ns)
{
	int64_t until_ns = clock_mono_ns() + timeout_ns;
	struct timespec until = {.tv_sec = until_ns / 1000000000, .tv_nsec = until_ns % 1000000000};
	int result = 0;

	(void)pthread_mutex_lock(&ring->lock);
	ring->waiting = true;
	while (ring->end <= at && !ring->woken && result == 0)
		result = pthread_cond_timedwait(&ring->changed, &ring->lock, &until);
	ring->waiting = ring->woken = false;
	(void)pthread_mutex_unlock(&ring->lock);
}

void hit_ring_wake(struct hit_ring *ring)
{
	(void)pthread_mutex_lock(&ring->lock);
	ring->woken = true;
	(void)pthread_mutex_unlock(&ring->lock);
	(void)pthread_cond_signal(&ring->changed);
}

void hit_ring_info(struct hit_ring *ring, struct hit_ring_info *ret_info)
{
	(void)pthread_mutex_lock(&ring->lock);
	ret_info->entries = ring->entries;
	ret_info->fill = (size_t)(ring->end - first_of(ring));
	ret_info->put = ring->end;
	ret_info->overwritten = first_of(ring);
	(void)pthread_mutex_unlock(&ring->lock);
}
