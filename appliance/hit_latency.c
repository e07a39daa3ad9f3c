#include "appliance/hit_latency.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/histogram.h"

static const struct {
	int64_t seconds; /* of a bucket */
	unsigned count;
} spans[] = {[HIT_LATENCY_HOUR] = {60, 60}, [HIT_LATENCY_DAY] = {3600, 24}};

#define SPANS (sizeof(spans) / sizeof(spans[0]))
#define BUCKETS_MAX 60

struct bucket {
	int64_t turn; /* which minute or hour since the clock's zero, plus one; 0 empty */
	struct histogram histogram;
};

struct hit_latency {
	pthread_mutex_t lock;
	struct bucket buckets[HIT_LATENCY_TYPES][SPANS][BUCKETS_MAX];
};

int hit_latency_new(struct hit_latency **ret_latency)
{
	struct hit_latency *latency = calloc(1, sizeof(*latency));

	if (latency == NULL)
		return -ENOMEM;
	(void)pthread_mutex_init(&latency->lock, NULL);
	*ret_latency = latency;
	return 0;
}

struct hit_latency *hit_latency_free(struct hit_latency *latency)
{
	if (latency == NULL)
		return NULL;
	(void)pthread_mutex_destroy(&latency->lock);
	free(latency);
	return NULL;
}

static unsigned type_of(unsigned camera_type)
{
	return camera_type < HIT_LATENCY_TYPES ? camera_type : HIT_LATENCY_TYPE_UNKNOWN;
}

void hit_latency_add(struct hit_latency *latency, int64_t now_s, unsigned camera_type, int64_t us)
{
	(void)pthread_mutex_lock(&latency->lock);
	for (size_t i = 0; i < SPANS; i++) {
		int64_t turn = now_s / spans[i].seconds + 1;
		struct bucket *bucket = &latency->buckets[type_of(camera_type)][i][turn % spans[i].count];

		if (bucket->turn != turn) {
			memset(&bucket->histogram, 0, sizeof(bucket->histogram));
			bucket->turn = turn;
		}
		histogram_add(&bucket->histogram, us);
	}
	(void)pthread_mutex_unlock(&latency->lock);
}

void hit_latency_share(struct hit_latency *latency, int64_t now_s, unsigned camera_type, enum hit_latency_span span,
		       struct hit_latency_share *ret_share)
{
	struct histogram sum = {.count = 0};
	int64_t turn = now_s / spans[span].seconds + 1;

	(void)pthread_mutex_lock(&latency->lock);
	for (unsigned i = 0; i < spans[span].count; i++) {
		const struct bucket *bucket = &latency->buckets[type_of(camera_type)][span][i];

		if (bucket->turn > turn - (int64_t)spans[span].count && bucket->turn <= turn)
			histogram_merge(&sum, &bucket->histogram);
	}
	(void)pthread_mutex_unlock(&latency->lock);
	ret_share->count = sum.count;
	ret_share->within = histogram_within(&sum, HIT_LATENCY_GOAL_US);
	ret_share->p50_us = histogram_quantile(&sum, 500);
	ret_share->p99_us = histogram_quantile(&sum, 990);
}
