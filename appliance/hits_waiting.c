/* Hits that subscribers should have acknowledged by now: what the shares of R20 cannot show, for nobody answered. */
#include "appliance/hits_inside.h"

#include <stdlib.h>

#include "appliance/base/bytes.h"
#include "appliance/base/read.h"
#include "appliance/hit_judge.h"
#include "storage/hit_scan.h"

#define LOOK_MAX 65536 /* newest hits of the ring that are looked at */
#define BATCH 256      /* hits copied at a time, under the ring's lock */

struct late_one {
	struct hit_positions acknowledged;
	struct hit_judge judge;
};

struct looking {
	struct late_one *late; /* SUBSCRIPTIONS_MAX of room */
	size_t late_count;
	struct hit_found *batch;
	int64_t before_us;
	uint64_t waiting;
};

/* Most have acknowledged everything there is: only the others are looked at. */
static void find_late(struct hits *hits, struct looking *looking)
{
	struct subscription *subscription;
	struct hit_positions newest;

	hit_ring_newest(hits->rings[HIT_LANE_URGENT], &newest);
	for (size_t i = 0; looking->late_count < SUBSCRIPTIONS_MAX &&
			   (subscription = subscriptions_take_at(hits->subscriptions, i)) != NULL;
	     i++) {
		struct late_one *one = &looking->late[looking->late_count];

		(void)pthread_mutex_lock(&subscription->lock);
		one->acknowledged = subscription->lanes[HIT_LANE_URGENT].acknowledged;
		(void)pthread_mutex_unlock(&subscription->lock);
		if (!hit_positions_reach(&one->acknowledged, &newest) &&
		    hit_judge_renew(&one->judge, hits->gantry, &subscription->record) == 0)
			looking->late_count++;
		subscriptions_release(hits->subscriptions, subscription);
	}
}

/* One that was found late was not due within 2 s of its read. */
static void count_hit(struct looking *looking, const struct hit_found *found)
{
	if (found->read.receipt_us > looking->before_us || hit_source(found->hit.number) == HIT_SOURCE_LATE)
		return;
	for (size_t i = 0; i < looking->late_count; i++)
		looking->waiting += !hit_positions_passed(&looking->late[i].acknowledged, found->hit.number) &&
				    hit_judge_allows(&looking->late[i].judge, &found->hit);
}

/* Until its end as it is now; what is overwritten under way is passed over. */
static void read_ring(struct hit_ring *ring, struct looking *looking)
{
	struct hit_ring_info info;
	size_t count;

	hit_ring_info(ring, &info);
	for (uint64_t at = info.put - (info.fill < LOOK_MAX ? info.fill : LOOK_MAX); at < info.put; at += count) {
		count = BATCH;
		if (hit_ring_get(ring, at, BATCH, looking->batch, &count) != 0)
			continue;
		for (size_t i = 0; i < count; i++)
			count_hit(looking, &looking->batch[i]);
	}
}

int64_t hits_waiting(struct hits *hits, int64_t now_us)
{
	struct looking looking = {.late = calloc(SUBSCRIPTIONS_MAX, sizeof(*looking.late)),
				  .batch = calloc(BATCH, sizeof(*looking.batch)),
				  .before_us = now_us - HIT_LATENCY_GOAL_US};
	bool enough = looking.late != NULL && looking.batch != NULL;

	if (enough)
		find_late(hits, &looking);
	if (looking.late_count > 0)
		read_ring(hits->rings[HIT_LANE_URGENT], &looking);
	for (size_t i = 0; i < looking.late_count; i++)
		hit_judge_fini(&looking.late[i].judge);
	if (looking.batch != NULL)
		bytes_wipe(looking.batch, BATCH * sizeof(*looking.batch));
	free(looking.batch);
	free(looking.late);
	return enough ? (int64_t)looking.waiting : -1;
}
