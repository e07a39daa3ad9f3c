#include "appliance/subscription.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/clock.h"
#include "appliance/hit_latency.h"

#define QUEUE_ROOM_MIN 64

int subscription_new(const struct reg_subscription *record, size_t window, struct subscription **ret_subscription)
{
	struct subscription *subscription = calloc(1, sizeof(*subscription));

	if (subscription == NULL)
		return -ENOMEM;
	subscription->record = *record;
	subscription->window = window;
	subscription->references = 1;
	(void)pthread_mutex_init(&subscription->lock, NULL);
	*ret_subscription = subscription;
	return 0;
}

struct subscription *subscription_free(struct subscription *subscription)
{
	if (subscription == NULL)
		return NULL;
	for (unsigned i = 0; i < HIT_LANE_COUNT; i++)
		free(subscription->lanes[i].queue);
	(void)pthread_mutex_destroy(&subscription->lock);
	free(subscription);
	return NULL;
}

/* Lock held. Its owner ends it, when nobody uses it, without the lock: returned then. */
static struct follower *detach(struct subscription *subscription, enum follower_end why)
{
	struct follower *follower = subscription->follower;

	subscription->follower = NULL;
	if (follower == NULL)
		return NULL;
	follower->why = why;
	for (unsigned i = 0; i < HIT_LANE_COUNT; i++) {
		subscription_settle(&subscription->lanes[i]);
		subscription->lanes[i].live = false;
	}
	return follower->users == 0 ? follower : NULL;
}

static void finish(struct follower *follower)
{
	if (follower != NULL)
		follower->end(follower, follower->why);
}

/* What was not acknowledged is sent again. Keeps the queue's memory. */
static void rewind_lane(struct subscription_lane *lane)
{
	lane->sent = lane->acknowledged;
	lane->live = false;
	lane->first = lane->count = 0;
}

void subscription_follow(struct subscription *subscription, struct follower *follower)
{
	struct follower *former;

	(void)pthread_mutex_lock(&subscription->lock);
	former = detach(subscription, FOLLOWER_TAKEN_OVER);
	for (unsigned i = 0; i < HIT_LANE_COUNT; i++)
		rewind_lane(&subscription->lanes[i]);
	subscription->follower = follower;
	subscription->connected_us = clock_wall_us();
	(void)pthread_mutex_unlock(&subscription->lock);
	finish(former);
}

void subscription_end(struct subscription *subscription, enum follower_end why)
{
	struct follower *former;

	(void)pthread_mutex_lock(&subscription->lock);
	former = detach(subscription, why);
	(void)pthread_mutex_unlock(&subscription->lock);
	finish(former);
}

bool subscription_sweep(struct subscription *subscription)
{
	struct follower *former = NULL;
	bool connected;

	(void)pthread_mutex_lock(&subscription->lock);
	if (subscription->follower != NULL && atomic_load(&subscription->follower->gone))
		former = detach(subscription, FOLLOWER_GONE);
	connected = subscription->follower != NULL;
	(void)pthread_mutex_unlock(&subscription->lock);
	finish(former);
	return connected;
}

/* Room for `more` behind what is queued, the window permitting: how much there is. */
static size_t queue_room(struct subscription_lane *lane, size_t window, size_t more)
{
	size_t room = lane->room;
	struct outstanding *grown;

	if (lane->count >= window)
		return 0;
	if (more > window - lane->count)
		more = window - lane->count;
	if (lane->count + more <= lane->room)
		return more;
	while (room < lane->count + more)
		room = room == 0 ? QUEUE_ROOM_MIN : 2 * room;
	grown = calloc(room, sizeof(*grown));
	if (grown == NULL)
		return lane->room - lane->count; /* smaller steps; when there is none at all, later */
	for (size_t i = 0; i < lane->count; i++)
		grown[i] = lane->queue[(lane->first + i) % lane->room];
	free(lane->queue);
	lane->queue = grown;
	lane->room = room;
	lane->first = 0;
	return more;
}

bool turn_begin(struct subscription *subscription, enum hit_lane index, bool live, size_t hits_max,
		struct turn *ret_turn)
{
	struct subscription_lane *lane = &subscription->lanes[index];
	bool begun = false;

	(void)pthread_mutex_lock(&subscription->lock);
	if (subscription->follower != NULL && lane->live == live) {
		ret_turn->subscription = subscription;
		ret_turn->follower = subscription->follower;
		ret_turn->lane = index;
		ret_turn->live = live;
		ret_turn->from_store = !live;
		ret_turn->ring_at = lane->ring_at;
		ret_turn->seen = lane->sent;
		ret_turn->room = queue_room(lane, subscription->window, hits_max);
		ret_turn->offered = 0;
		subscription->follower->users++;
		begun = true;
	}
	(void)pthread_mutex_unlock(&subscription->lock);
	return begun;
}

bool turn_offer(struct turn *turn, const struct outstanding *hits, size_t count)
{
	struct subscription *subscription = turn->subscription;
	struct subscription_lane *lane = &subscription->lanes[turn->lane];
	bool current;

	(void)pthread_mutex_lock(&subscription->lock);
	current = subscription->follower == turn->follower;
	if (current) {
		turn->before = lane->sent;
		turn->offered = count;
		hit_positions_join(&lane->sent, &turn->seen);
		for (size_t i = 0; i < count; i++)
			lane->queue[(lane->first + lane->count++) % lane->room] = hits[i];
	}
	(void)pthread_mutex_unlock(&subscription->lock);
	return current;
}

/* Nothing of it was sent. What an older cursor has acknowledged meanwhile stays so. */
static void take_back(struct subscription_lane *lane, const struct turn *turn)
{
	lane->count -= turn->offered < lane->count ? turn->offered : lane->count;
	lane->sent = turn->before;
	hit_positions_join(&lane->sent, &lane->acknowledged);
}

/* Joined: what was acknowledged meanwhile, by a cursor of a former connection, may lie further on. */
static void take_over(struct subscription_lane *lane, const struct turn *turn)
{
	hit_positions_join(&lane->sent, &turn->seen);
	lane->live = turn->live;
	lane->ring_at = turn->ring_at;
	lane->delivered += turn->offered;
	lane->from_store += turn->from_store ? turn->offered : 0;
	turn->follower->delivered += turn->offered;
}

void turn_end(struct turn *turn, bool done)
{
	struct subscription *subscription = turn->subscription;
	struct follower *follower = turn->follower;
	struct follower *ended = NULL;

	(void)pthread_mutex_lock(&subscription->lock);
	if (subscription->follower == follower && done)
		take_over(&subscription->lanes[turn->lane], turn);
	else if (subscription->follower == follower && turn->offered > 0)
		take_back(&subscription->lanes[turn->lane], turn);
	if (--follower->users == 0 && follower->why != FOLLOWER_STAYS)
		ended = follower;
	(void)pthread_mutex_unlock(&subscription->lock);
	finish(ended);
}

/* Of one source: numbers came in order, so the range only grows. */
static void receipt_extend(struct open_receipt *receipt, uint64_t from, uint64_t to, uint32_t count,
			   int64_t delivered_us, int64_t now_us)
{
	if (receipt->to == 0)
		*receipt = (struct open_receipt){.from = from, .delivered_us = delivered_us, .begun_us = now_us};
	if (to > receipt->to)
		receipt->to = to;
	receipt->count += count;
	receipt->acknowledged_us = now_us;
	receipt->changed = true;
}

static void pop(struct subscription_lane *lane, int64_t now_us, struct hit_latency *latency)
{
	const struct outstanding *hit = &lane->queue[lane->first];
	unsigned index = hit_source_index(hit_source(hit->number));

	receipt_extend(&lane->receipts[index], hit->number, hit->number, 1, hit->delivered_us, now_us);
	if (latency != NULL)
		hit_latency_add(latency, clock_mono_ns() / 1000000000, hit->camera_type, now_us - hit->receipt_us);
	lane->first = (lane->first + 1) % lane->room;
	lane->count--;
}

/* A cursor of before a restart: that these were delivered is known, when is not. */
static void acknowledge_unsent(struct subscription_lane *lane, const struct hit_positions *before, int64_t now_us)
{
	for (unsigned i = 0; i < HIT_SOURCES; i++) {
		uint64_t number = lane->acknowledged.at[i];

		if (number > lane->sent.at[i] && number > before->at[i])
			receipt_extend(&lane->receipts[i], before->at[i] != 0 ? before->at[i] + 1 : number, number, 0,
				       0, now_us);
	}
}

size_t subscription_acknowledge(struct subscription *subscription, enum hit_lane index,
				const struct hit_positions *positions, int64_t now_us, struct hit_latency *latency)
{
	struct subscription_lane *lane = &subscription->lanes[index];
	struct hit_positions before;
	size_t count = 0;

	(void)pthread_mutex_lock(&subscription->lock);
	before = lane->acknowledged;
	if (!hit_positions_reach(&before, positions)) {
		hit_positions_join(&lane->acknowledged, positions);
		for (; lane->count > 0 && hit_positions_passed(&lane->acknowledged, lane->queue[lane->first].number);
		     count++)
			pop(lane, now_us, latency);
		acknowledge_unsent(lane, &before, now_us);
		hit_positions_join(&lane->sent, &lane->acknowledged);
		lane->acknowledged_count += count;
		lane->changed = true;
	}
	(void)pthread_mutex_unlock(&subscription->lock);
	return count;
}

void subscription_settle(struct subscription_lane *lane)
{
	if (lane->count > 0 || hit_positions_reach(&lane->acknowledged, &lane->sent))
		return;
	hit_positions_join(&lane->acknowledged, &lane->sent);
	lane->moved = true;
}
