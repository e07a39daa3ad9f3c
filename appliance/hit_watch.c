#include "appliance/hit_watch.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "appliance/base/u64_map.h"

struct hit_watch {
	pthread_mutex_t lock;
	struct watched_hit *hits; /* [0, count), in no order */
	size_t count;
	size_t max;
	struct u64_map places; /* by number: index in `hits` */
	uint64_t passed_over;
	uint64_t escalated_total;
};

int hit_watch_new(size_t max, struct hit_watch **ret_watch)
{
	struct hit_watch *watch = calloc(1, sizeof(*watch));

	if (watch == NULL)
		return -ENOMEM;
	watch->max = max;
	watch->hits = calloc(max, sizeof(*watch->hits));
	if (watch->hits == NULL || u64_map_reserve(&watch->places, max) < 0) {
		free(watch->hits);
		free(watch);
		return -ENOMEM;
	}
	(void)pthread_mutex_init(&watch->lock, NULL);
	*ret_watch = watch;
	return 0;
}

struct hit_watch *hit_watch_free(struct hit_watch *watch)
{
	if (watch == NULL)
		return NULL;
	(void)pthread_mutex_destroy(&watch->lock);
	u64_map_fini(&watch->places);
	free(watch->hits);
	free(watch);
	return NULL;
}

static int add_locked(struct hit_watch *watch, const struct watched_hit *hit)
{
	uint32_t place;

	if (u64_map_get(&watch->places, hit->number, &place))
		return HIT_WATCH_KNOWN;
	if (watch->count == watch->max) {
		watch->passed_over++;
		return HIT_WATCH_FULL;
	}
	(void)u64_map_put(&watch->places, hit->number, (uint32_t)watch->count); /* there is room for `max` */
	watch->hits[watch->count++] = *hit;
	return 0;
}

int hit_watch_add(struct hit_watch *watch, const struct watched_hit *hit)
{
	int result;

	(void)pthread_mutex_lock(&watch->lock);
	result = add_locked(watch, hit);
	(void)pthread_mutex_unlock(&watch->lock);
	return result;
}

/* The last one takes its place. */
static void remove_at(struct hit_watch *watch, uint32_t place)
{
	u64_map_remove(&watch->places, watch->hits[place].number);
	watch->count--;
	if (place == watch->count)
		return;
	watch->hits[place] = watch->hits[watch->count];
	(void)u64_map_put(&watch->places, watch->hits[place].number, place);
}

bool hit_watch_remove(struct hit_watch *watch, uint64_t number)
{
	uint32_t place;
	bool found;

	(void)pthread_mutex_lock(&watch->lock);
	found = u64_map_get(&watch->places, number, &place);
	if (found)
		remove_at(watch, place);
	(void)pthread_mutex_unlock(&watch->lock);
	return found;
}

size_t hit_watch_escalate(struct hit_watch *watch, int64_t before_ns, size_t max, struct watched_hit *ret_hits)
{
	size_t count = 0;

	(void)pthread_mutex_lock(&watch->lock);
	for (size_t i = 0; i < watch->count && count < max; i++) {
		struct watched_hit *hit = &watch->hits[i];

		if (hit->escalated || hit->since_ns > before_ns)
			continue;
		hit->escalated = true;
		ret_hits[count++] = *hit;
	}
	watch->escalated_total += count;
	(void)pthread_mutex_unlock(&watch->lock);
	return count;
}

static int by_publication(const void *a, const void *b)
{
	const struct watched_hit *left = a, *right = b;

	if (left->published_us != right->published_us)
		return left->published_us < right->published_us ? -1 : 1;
	return left->number < right->number ? -1 : left->number > right->number;
}

int hit_watch_copy(struct hit_watch *watch, uint8_t priority_min, struct watched_hit **ret_hits, size_t *ret_count)
{
	struct watched_hit *copy = malloc((watch->max + 1) * sizeof(*copy));
	size_t count = 0;

	if (copy == NULL)
		return -ENOMEM;
	(void)pthread_mutex_lock(&watch->lock);
	for (size_t i = 0; i < watch->count; i++)
		if (watch->hits[i].priority >= priority_min)
			copy[count++] = watch->hits[i];
	(void)pthread_mutex_unlock(&watch->lock);
	qsort(copy, count, sizeof(*copy), by_publication);
	*ret_hits = copy;
	*ret_count = count;
	return 0;
}

void hit_watch_sweep(struct hit_watch *watch, bool (*gone)(void *context, int32_t day), void *context)
{
	(void)pthread_mutex_lock(&watch->lock);
	for (size_t i = watch->count; i-- > 0;)
		if (gone(context, watch->hits[i].day))
			remove_at(watch, (uint32_t)i);
	(void)pthread_mutex_unlock(&watch->lock);
}

void hit_watch_caught_up(struct hit_watch *watch)
{
	(void)pthread_mutex_lock(&watch->lock);
	watch->passed_over = 0;
	(void)pthread_mutex_unlock(&watch->lock);
}

void hit_watch_info(struct hit_watch *watch, struct hit_watch_info *ret_info)
{
	struct hit_watch_info info = {0};

	(void)pthread_mutex_lock(&watch->lock);
	info.open = watch->count;
	info.passed_over = watch->passed_over;
	info.escalated_total = watch->escalated_total;
	for (size_t i = 0; i < watch->count; i++) {
		const struct watched_hit *hit = &watch->hits[i];

		if (!hit->escalated)
			continue;
		if (info.escalated++ == 0 || hit->since_ns < info.oldest_ns) {
			info.oldest_ns = hit->since_ns;
			info.oldest = hit->number;
		}
	}
	(void)pthread_mutex_unlock(&watch->lock);
	*ret_info = info;
}
