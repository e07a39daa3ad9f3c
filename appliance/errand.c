#include "appliance/errand.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define LOG_MODULE "hits"
#include "appliance/base/bytes.h"
#include "appliance/base/clock.h"
#include "appliance/base/log.h"
#include "appliance/gantry.h"
#include "appliance/hit_cursor.h"
#include "appliance/hit_event.h"
#include "appliance/hit_screen.h"
#include "mgmt/call.h"
#include "storage/hit_scan.h"

/* A mass message waits until its client has taken nearly all before it, so that an urgent one is never far behind. */
#define MASS_WAITING_MAX ((size_t)64 << 10)
/* A store that cannot say is asked again so much later: each try may cost it a disk's time-out. */
#define RETRY_NS INT64_C(100000000)

/* Hits in a message: the urgent ones at once, the others many together. */
static const size_t message_hits_max[HIT_LANE_COUNT] = {[HIT_LANE_URGENT] = 16, [HIT_LANE_MASS] = ERRAND_HITS_MAX};

int errand_init(struct errand *errand, struct hits *hits, size_t room)
{
	memset(errand, 0, sizeof(*errand));
	errand->hits = hits;
	errand->room = room;
	errand->batch = calloc(room, sizeof(*errand->batch));
	return errand->batch != NULL ? 0 : -ENOMEM;
}

void errand_fini(struct errand *errand)
{
	for (size_t i = 0; i < SUBSCRIPTIONS_MAX; i++)
		hit_judge_fini(&errand->judges[i].judge);
	if (errand->batch != NULL)
		bytes_wipe(errand->batch, errand->room * sizeof(*errand->batch));
	free(errand->batch);
}

/* NULL: it cannot be said now. */
static const struct hit_judge *judge_of(struct errand *errand, const struct subscription *subscription)
{
	uint32_t number = subscription->record.number;
	struct hit_judge *judge = &errand->judges[number % SUBSCRIPTIONS_MAX].judge;

	if (errand->judges[number % SUBSCRIPTIONS_MAX].number != number)
		hit_judge_fini(judge);
	errand->judges[number % SUBSCRIPTIONS_MAX].number = number;
	return hit_judge_renew(judge, errand->hits->gantry, &subscription->record) == 0 ? judge : NULL;
}

static void choose(struct errand *errand, size_t index)
{
	const struct hit_found *found = &errand->batch[index];

	errand->chosen[errand->count] = index;
	errand->offered[errand->count++] =
		(struct outstanding){.number = found->hit.number,
				     .receipt_us = found->read.receipt_us,
				     .delivered_us = clock_wall_us(),
				     .camera_type = hit_event_camera_type(errand->hits->gantry, found)};
}

/*
 * Chooses of the batch from `first` on, in its order, what is new to the subscriber, of this lane, allowed and not
 * hidden meanwhile, until a message is full; `seen` goes on past all that was looked at. Returns how many that was, or
 * -EAGAIN when nobody can say what is allowed: lists that are not loaded yet must not make hits nobody's.
 */
static int gather(struct errand *errand, struct turn *turn, size_t first, size_t count)
{
	const struct hit_judge *judge = judge_of(errand, turn->subscription);
	struct hit_screen screen;
	size_t i;

	errand->count = 0;
	if (judge == NULL)
		return -EAGAIN;
	hit_screen_begin(errand->hits->gantry, &screen);
	for (i = first; i < count && errand->count < turn->room; i++) {
		const struct hit *hit = &errand->batch[i].hit;

		if (hit_positions_passed(&turn->seen, hit->number))
			continue;
		if (hits_lane_of(errand->hits, hit->priority) == turn->lane && hit_judge_allows(judge, hit) &&
		    !hit_screen_hides(&screen, &errand->batch[i]))
			choose(errand, i);
		hit_positions_pass(&turn->seen, hit->number);
	}
	hit_screen_end(&screen);
	return (int)(i - first);
}

static json_t *message_of(struct errand *errand, const struct turn *turn)
{
	const struct reg_subscription *record = &turn->subscription->record;
	char cursor[HIT_CURSOR_TEXT_SIZE];
	json_t *array = json_array();

	for (size_t i = 0; i < errand->count; i++)
		if (json_array_append_new(array, hit_event(errand->hits->gantry, record->kind,
							   &errand->batch[errand->chosen[i]])) < 0) {
			json_decref(array);
			return NULL;
		}
	(void)subscriptions_cursor(errand->hits->subscriptions, turn->subscription, turn->lane, &turn->seen, cursor);
	return json_pack("{s:s,s:s,s:s,s:o}", "subscription", record->name, "lane", hit_lane_name(turn->lane), "cursor",
			 cursor, "hits", array);
}

/* Sends what was chosen; the turn ends. */
static enum errand_step send(struct errand *errand, struct turn *turn)
{
	struct call *call = ((struct connection *)turn->follower)->call;
	int64_t now_us;
	int result = -ENOMEM;
	json_t *message;

	if (errand->count == 0) {
		turn_end(turn, true);
		return ERRAND_MORE;
	}
	message = message_of(errand, turn);
	if (message != NULL && turn_offer(turn, errand->offered, errand->count))
		result = call_notify_try(call, "hits.hits", message, (unsigned)errand->count);
	else
		json_decref(message);
	if (result == -ECANCELED)
		atomic_store(&turn->follower->gone, true);
	turn_end(turn, result == 0);
	if (result < 0)
		return ERRAND_BLOCKED;
	now_us = clock_wall_us();
	for (size_t i = 0; i < errand->count; i++)
		histogram_add(&errand->latency, now_us - errand->offered[i].receipt_us);
	return ERRAND_MORE;
}

/* May this turn send anything? One that may not is over. */
static bool may_send(struct turn *turn)
{
	const struct call *call = ((struct connection *)turn->follower)->call;

	if (turn->room > 0 && (turn->lane == HIT_LANE_URGENT || call_waiting(call) <= MASS_WAITING_MAX))
		return true;
	turn_end(turn, false);
	return false;
}

enum errand_step errand_live(struct errand *errand, struct subscription *subscription, enum hit_lane lane)
{
	struct hit_ring *ring = errand->hits->rings[lane];
	struct turn turn;
	size_t count = 0;
	int taken = 0;

	if (!turn_begin(subscription, lane, true, message_hits_max[lane], &turn))
		return ERRAND_IDLE;
	if (!may_send(&turn))
		return ERRAND_BLOCKED;
	if (hit_ring_get(ring, turn.ring_at, errand->room, errand->batch, &count) == HIT_RING_OVERTAKEN) {
		turn.live = false;
		turn_end(&turn, true);
		courier_wake(errand->hits->catcher);
		return ERRAND_IDLE;
	}
	if (count > 0)
		taken = gather(errand, &turn, 0, count);
	if (taken <= 0) {
		turn_end(&turn, false);
		return taken < 0 ? ERRAND_BLOCKED : ERRAND_IDLE;
	}
	turn.ring_at += (size_t)taken;
	return send(errand, &turn);
}

/*
 * A source of which the store has to be asked; there is one. Each in its turn, for itself: where one fails again and
 * again, the others go on.
 */
static unsigned source_of(struct behind *behind, const struct turn *turn, const struct hit_positions *upto)
{
	unsigned index;

	do
		index = behind->source_next++ % HIT_SOURCES;
	while (turn->seen.at[index] >= upto->at[index]);
	return index;
}

/* The log and the client, once, that its hits wait; the alarm with the next look at the clock. */
static void tell_waiting(struct errand *errand, const struct turn *turn, const struct err *why)
{
	struct connection *connection = (struct connection *)turn->follower;
	struct behind *behind = &connection->behind[turn->lane];
	const struct reg_subscription *record = &turn->subscription->record;

	if (!behind->failing)
		log_warn("subscription %u waits: the store was asked for its hits: %s", record->number, why->text);
	behind->failing = true;
	errand->fetch_failed = *why;
	if (!behind->told)
		behind->told = call_notify_try(connection->call, "hits.waiting",
					       json_pack("{s:s,s:s,s:s}", "subscription", record->name, "lane",
							 hit_lane_name(turn->lane), "why", why->text),
					       0) == 0;
}

void errand_forget(struct errand *errand)
{
	if (errand->found_upto != 0)
		bytes_wipe(errand->batch, errand->found_count * sizeof(*errand->batch));
	errand->found_upto = 0;
	errand->found_count = 0;
}

/* How much of what was found the turn has behind it; false: what comes next for it was not asked for. */
static bool found_before(const struct errand *errand, const struct turn *turn, size_t *ret_used)
{
	uint64_t seen = turn->seen.at[errand->found_source];
	size_t low = 0, high = errand->found_count;

	if (errand->found_upto == 0 || seen < errand->found_after || seen >= errand->found_upto)
		return false;
	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (errand->batch[middle].hit.number <= seen)
			low = middle + 1;
		else
			high = middle;
	}
	*ret_used = low;
	return true;
}

/*
 * Sees to it that what comes next of one source is found. -errno when the store cannot say, and -EAGAIN when it could
 * not a moment ago.
 */
static int fetch(struct errand *errand, const struct turn *turn, const struct hit_positions *upto, size_t *ret_used)
{
	struct behind *behind = &((struct connection *)turn->follower)->behind[turn->lane];
	struct err err = {""};
	size_t count = 0;
	unsigned index;
	int result;

	if (found_before(errand, turn, ret_used))
		return 0;
	errand_forget(errand);
	if (behind->retry_ns != 0 && clock_mono_ns() < behind->retry_ns)
		return -EAGAIN;
	index = source_of(behind, turn, upto);
	result = hit_scan(errand->hits->gantry->store, hit_source_at(index), turn->seen.at[index], upto->at[index],
			  errand->room, &err, errand->batch, &count);
	if (result < 0) {
		if (err.text[0] == '\0')
			(void)err_set(&err, result, "%s", strerror(-result));
		tell_waiting(errand, turn, &err);
		behind->failed_source = index;
		behind->retry_ns = clock_mono_ns() + RETRY_NS;
		return result;
	}
	if (index == behind->failed_source)
		behind->failing = behind->told = false;
	behind->retry_ns = 0;
	errand->found_source = index;
	errand->found_after = turn->seen.at[index];
	errand->found_upto = count < errand->room ? upto->at[index] : errand->batch[count - 1].hit.number;
	errand->found_count = count;
	*ret_used = 0;
	return 0;
}

/* One message of what is left of the batch; the turn ends. *used grows by what was looked at. */
static enum errand_step send_some(struct errand *errand, struct turn *turn, size_t *used)
{
	int taken = gather(errand, turn, *used, errand->found_count);

	if (taken < 0) {
		turn_end(turn, false);
		return ERRAND_BLOCKED;
	}
	*used += (size_t)taken;
	if (*used == errand->found_count)
		hit_positions_pass(&turn->seen, errand->found_upto);
	return send(errand, turn);
}

/* The next turn with what is left of the batch; not for a new connection, which begins further back. */
static bool goes_on(const struct errand *errand, struct subscription *subscription, enum hit_lane lane, size_t used,
		    struct turn *turn)
{
	if (!turn_begin(subscription, lane, false, message_hits_max[lane], turn))
		return false;
	if (used > 0 && !hit_positions_passed(&turn->seen, errand->batch[used - 1].hit.number)) {
		turn_end(turn, false);
		return false;
	}
	return may_send(turn);
}

/* A look at the store costs more than a message: what it gave is sent, as far as the client takes it. */
enum errand_step errand_behind(struct errand *errand, struct subscription *subscription, enum hit_lane lane)
{
	struct hits *hits = errand->hits;
	struct hit_positions upto;
	enum errand_step step;
	struct turn turn;
	size_t used;

	if (!turn_begin(subscription, lane, false, message_hits_max[lane], &turn))
		return ERRAND_IDLE;
	if (hit_ring_join(hits->rings[lane], &turn.seen, &turn.ring_at, &upto)) {
		turn.live = true;
		turn_end(&turn, true);
		courier_wake(hits->lanes[lane]);
		return ERRAND_MORE;
	}
	if (!may_send(&turn))
		return ERRAND_BLOCKED;
	if (fetch(errand, &turn, &upto, &used) < 0) {
		turn_end(&turn, false);
		return ERRAND_BLOCKED;
	}
	do
		step = send_some(errand, &turn, &used);
	while (step == ERRAND_MORE && used < errand->found_count && goes_on(errand, subscription, lane, used, &turn));
	return step;
}
