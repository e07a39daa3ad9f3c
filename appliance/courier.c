#include "appliance/courier.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#define LOG_MODULE "hits"
#include "appliance/base/bytes.h"
#include "appliance/base/clock.h"
#include "appliance/base/err.h"
#include "appliance/base/log.h"
#include "appliance/gantry.h"
#include "appliance/histogram.h"
#include "appliance/hit_cursor.h"
#include "appliance/hit_event.h"
#include "appliance/hit_judge.h"
#include "appliance/hit_screen.h"
#include "appliance/hits_inside.h"
#include "mgmt/call.h"
#include "storage/hit_scan.h"

#define BATCH 1024 /* entries looked at in a turn */
/* Of the ring: it is locked while they are copied, and who puts urgent hits into theirs may be kept waiting by it. */
#define LIVE_BATCH 256
/* A mass message waits until its client has taken nearly all before it, so that an urgent one is never far behind. */
#define MASS_WAITING_MAX ((size_t)64 << 10)
#define IDLE_NS INT64_C(50000000)
#define BLOCKED_NS INT64_C(2000000)
#define FLUSH_NS INT64_C(1000000000)
/* A store that cannot say is asked again so much later: each try may cost it a disk's time-out. */
#define RETRY_NS INT64_C(100000000)

/* Hits in a message: the urgent ones at once, the others many together. */
static const size_t message_hits_max[HIT_LANE_COUNT] = {[HIT_LANE_URGENT] = 16, [HIT_LANE_MASS] = 256};

enum step { STEP_IDLE, STEP_MORE, STEP_BLOCKED };

struct courier {
	struct hits *hits;
	pthread_t thread;
	atomic_bool stopping;
	bool catching;
	enum hit_lane lane; /* unless it catches up */
	struct hit_found *batch;
	size_t chosen[256]; /* of the batch, for the message */
	struct outstanding offered[256];
	size_t count; /* of both */
	struct {
		uint32_t number; /* of the subscription it is for */
		struct hit_judge judge;
	} judges[SUBSCRIPTIONS_MAX];
	struct histogram latency;
	/* Of the one that catches up. */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool woken;
	int64_t flush_due_ns;
	struct err fetch_failed; /* why, since each_second looked; empty: nothing */
	bool alarmed;
	struct hits_watch watch;
	size_t mass_next; /* subscription that has the next turn */
};

/* NULL: it cannot be said now. */
static const struct hit_judge *judge_of(struct courier *courier, const struct subscription *subscription)
{
	uint32_t number = subscription->record.number;
	struct hit_judge *judge = &courier->judges[number % SUBSCRIPTIONS_MAX].judge;

	if (courier->judges[number % SUBSCRIPTIONS_MAX].number != number)
		hit_judge_fini(judge);
	courier->judges[number % SUBSCRIPTIONS_MAX].number = number;
	return hit_judge_renew(judge, courier->hits->gantry, &subscription->record) == 0 ? judge : NULL;
}

static void choose(struct courier *courier, size_t index)
{
	const struct hit_found *found = &courier->batch[index];

	courier->chosen[courier->count] = index;
	courier->offered[courier->count++] =
		(struct outstanding){.number = found->hit.number,
				     .receipt_us = found->read.receipt_us,
				     .delivered_us = clock_wall_us(),
				     .camera_type = hit_event_camera_type(courier->hits->gantry, found)};
}

/*
 * Chooses of the batch from `first` on, in its order, what is new to the subscriber, of this lane, allowed and not
 * hidden meanwhile, until a message is full; `seen` goes on past all that was looked at. Returns how many that was, or
 * -EAGAIN when nobody can say what is allowed: lists that are not loaded yet must not make hits nobody's.
 */
static int gather(struct courier *courier, struct turn *turn, size_t first, size_t count)
{
	const struct hit_judge *judge = judge_of(courier, turn->subscription);
	struct hit_screen screen;
	size_t i;

	courier->count = 0;
	if (judge == NULL)
		return -EAGAIN;
	hit_screen_begin(courier->hits->gantry, &screen);
	for (i = first; i < count && courier->count < turn->room; i++) {
		const struct hit *hit = &courier->batch[i].hit;

		if (hit_positions_passed(&turn->seen, hit->number))
			continue;
		if (hits_lane_of(courier->hits, hit->priority) == turn->lane && hit_judge_allows(judge, hit) &&
		    !hit_screen_hides(&screen, &courier->batch[i]))
			choose(courier, i);
		hit_positions_pass(&turn->seen, hit->number);
	}
	hit_screen_end(&screen);
	return (int)(i - first);
}

static json_t *message_of(struct courier *courier, const struct turn *turn)
{
	const struct reg_subscription *record = &turn->subscription->record;
	char cursor[HIT_CURSOR_TEXT_SIZE];
	json_t *array = json_array();

	for (size_t i = 0; i < courier->count; i++)
		if (json_array_append_new(array, hit_event(courier->hits->gantry, record->kind,
							   &courier->batch[courier->chosen[i]])) < 0) {
			json_decref(array);
			return NULL;
		}
	(void)subscriptions_cursor(courier->hits->subscriptions, turn->subscription, turn->lane, &turn->seen, cursor);
	return json_pack("{s:s,s:s,s:s,s:o}", "subscription", record->name, "lane", hit_lane_name(turn->lane), "cursor",
			 cursor, "hits", array);
}

/* Sends what was chosen; the turn ends. */
static enum step send(struct courier *courier, struct turn *turn)
{
	struct call *call = ((struct connection *)turn->follower)->call;
	int64_t now_us;
	int result = -ENOMEM;
	json_t *message;

	if (courier->count == 0) {
		turn_end(turn, true);
		return STEP_MORE;
	}
	message = message_of(courier, turn);
	if (message != NULL && turn_offer(turn, courier->offered, courier->count))
		result = call_notify_try(call, "hits.hits", message);
	else
		json_decref(message);
	if (result == -ECANCELED)
		atomic_store(&turn->follower->gone, true);
	turn_end(turn, result == 0);
	if (result < 0)
		return STEP_BLOCKED;
	now_us = clock_wall_us();
	for (size_t i = 0; i < courier->count; i++)
		histogram_add(&courier->latency, now_us - courier->offered[i].receipt_us);
	return STEP_MORE;
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

static enum step step_live(struct courier *courier, struct subscription *subscription)
{
	struct hit_ring *ring = courier->hits->rings[courier->lane];
	struct turn turn;
	size_t count = 0;
	int taken = 0;

	if (!turn_begin(subscription, courier->lane, true, message_hits_max[courier->lane], &turn))
		return STEP_IDLE;
	if (!may_send(&turn))
		return STEP_BLOCKED;
	if (hit_ring_get(ring, turn.ring_at, LIVE_BATCH, courier->batch, &count) == HIT_RING_OVERTAKEN) {
		turn.live = false;
		turn_end(&turn, true);
		courier_wake(courier->hits->catcher);
		return STEP_IDLE;
	}
	if (count > 0)
		taken = gather(courier, &turn, 0, count);
	if (taken <= 0) {
		turn_end(&turn, false);
		return taken < 0 ? STEP_BLOCKED : STEP_IDLE;
	}
	turn.ring_at += (size_t)taken;
	return send(courier, &turn);
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
static void tell_waiting(struct courier *courier, const struct turn *turn, const struct err *why)
{
	struct connection *connection = (struct connection *)turn->follower;
	struct behind *behind = &connection->behind[turn->lane];
	const struct reg_subscription *record = &turn->subscription->record;

	if (!behind->failing)
		log_warn("subscription %u waits: the store was asked for its hits: %s", record->number, why->text);
	behind->failing = true;
	courier->fetch_failed = *why;
	if (!behind->told)
		behind->told = call_notify_try(connection->call, "hits.waiting",
					       json_pack("{s:s,s:s,s:s}", "subscription", record->name, "lane",
							 hit_lane_name(turn->lane), "why", why->text)) == 0;
}

/*
 * Asks the store for what comes next of one source, into the batch. *ret_upto: what is done with when all of the batch
 * is. -errno when the store cannot say, and -EAGAIN when it could not a moment ago.
 */
static int fetch(struct courier *courier, const struct turn *turn, const struct hit_positions *upto, size_t *ret_count,
		 uint64_t *ret_upto)
{
	struct behind *behind = &((struct connection *)turn->follower)->behind[turn->lane];
	struct err err = {""};
	unsigned index;
	int result;

	if (behind->retry_ns != 0 && clock_mono_ns() < behind->retry_ns)
		return -EAGAIN;
	index = source_of(behind, turn, upto);
	result = hit_scan(courier->hits->gantry->store, hit_source_at(index), turn->seen.at[index], upto->at[index],
			  BATCH, &err, courier->batch, ret_count);
	if (result < 0) {
		if (err.text[0] == '\0')
			(void)err_set(&err, result, "%s", strerror(-result));
		tell_waiting(courier, turn, &err);
		behind->failed_source = index;
		behind->retry_ns = clock_mono_ns() + RETRY_NS;
		return result;
	}
	if (index == behind->failed_source)
		behind->failing = behind->told = false;
	behind->retry_ns = 0;
	*ret_upto = *ret_count < BATCH ? upto->at[index] : courier->batch[BATCH - 1].hit.number;
	return 0;
}

/* One message of what is left of the batch; the turn ends. *used grows by what was looked at. */
static enum step send_some(struct courier *courier, struct turn *turn, size_t count, uint64_t upto, size_t *used)
{
	int taken = gather(courier, turn, *used, count);

	if (taken < 0) {
		turn_end(turn, false);
		return STEP_BLOCKED;
	}
	*used += (size_t)taken;
	if (*used == count)
		hit_positions_pass(&turn->seen, upto);
	return send(courier, turn);
}

/* The next turn with what is left of the batch; not for a new connection, which begins further back. */
static bool goes_on(const struct courier *courier, struct subscription *subscription, enum hit_lane lane, size_t used,
		    struct turn *turn)
{
	if (!turn_begin(subscription, lane, false, message_hits_max[lane], turn))
		return false;
	if (used > 0 && !hit_positions_passed(&turn->seen, courier->batch[used - 1].hit.number)) {
		turn_end(turn, false);
		return false;
	}
	return may_send(turn);
}

/* A look at the store costs more than a message: what it gave is sent, as far as the client takes it. */
static enum step step_behind(struct courier *courier, struct subscription *subscription, enum hit_lane lane)
{
	struct hits *hits = courier->hits;
	size_t count = 0, used = 0;
	struct hit_positions upto;
	uint64_t done_upto;
	struct turn turn;
	enum step step;

	if (!turn_begin(subscription, lane, false, message_hits_max[lane], &turn))
		return STEP_IDLE;
	if (hit_ring_join(hits->rings[lane], &turn.seen, &turn.ring_at, &upto)) {
		turn.live = true;
		turn_end(&turn, true);
		courier_wake(hits->lanes[lane]);
		return STEP_MORE;
	}
	if (!may_send(&turn))
		return STEP_BLOCKED;
	if (fetch(courier, &turn, &upto, &count, &done_upto) < 0) {
		turn_end(&turn, false);
		return STEP_BLOCKED;
	}
	do
		step = send_some(courier, &turn, count, done_upto, &used);
	while (step == STEP_MORE && used < count && goes_on(courier, subscription, lane, used, &turn));
	return step;
}

/* One turn for every subscription. */
static enum step round_of_lane(struct courier *courier)
{
	struct subscriptions *set = courier->hits->subscriptions;
	struct subscription *subscription;
	enum step all = STEP_IDLE;

	for (size_t i = 0; (subscription = subscriptions_take_at(set, i)) != NULL; i++) {
		enum step step = STEP_IDLE;

		if (subscription_sweep(subscription))
			step = step_live(courier, subscription);
		subscriptions_release(set, subscription);
		if (step == STEP_MORE || all == STEP_IDLE)
			all = step;
	}
	return all;
}

static void *bring(void *context)
{
	struct courier *courier = context;
	struct hit_ring *ring = courier->hits->rings[courier->lane];

	(void)prctl(PR_SET_NAME, courier->lane == HIT_LANE_URGENT ? "hits-urgent" : "hits-mass");
	while (!atomic_load(&courier->stopping)) {
		struct hit_ring_info info;
		enum step step;

		hit_ring_info(ring, &info);
		step = round_of_lane(courier);
		if (step != STEP_MORE)
			hit_ring_wait(ring, info.put, step == STEP_BLOCKED ? BLOCKED_NS : IDLE_NS);
	}
	return NULL;
}

/* All urgent lanes first, then the mass lane of one subscription, the next one each time. */
static enum step round_of_catcher(struct courier *courier)
{
	struct subscriptions *set = courier->hits->subscriptions;
	struct subscription *subscription;
	enum step all = STEP_IDLE;
	size_t count = 0;

	for (; (subscription = subscriptions_take_at(set, count)) != NULL; count++) {
		enum step step = step_behind(courier, subscription, HIT_LANE_URGENT);

		subscriptions_release(set, subscription);
		if (step == STEP_MORE || all == STEP_IDLE)
			all = step;
	}
	for (size_t i = 0; i < count && all != STEP_MORE; i++) {
		subscription = subscriptions_take_at(set, courier->mass_next++ % count);
		if (subscription == NULL)
			continue;
		enum step step = step_behind(courier, subscription, HIT_LANE_MASS);

		subscriptions_release(set, subscription);
		if (step == STEP_MORE || all == STEP_IDLE)
			all = step;
	}
	return all;
}

/* What could not be brought or noted: an alarm as long as it is so. */
static void alarm_hits(struct courier *courier, const struct err *flush)
{
	struct gantry *gantry = courier->hits->gantry;
	struct err text = *flush;

	if (courier->fetch_failed.text[0] != '\0')
		(void)err_set(&text, 0, "hits wait to be delivered: %s", courier->fetch_failed.text);
	courier->fetch_failed.text[0] = '\0';
	if (text.text[0] == '\0') {
		if (courier->alarmed)
			gantry_alarm_over(gantry, ALARM_HITS);
	} else if (courier->alarmed) {
		gantry_alarm_renew(gantry, ALARM_HITS, text.text);
	} else {
		gantry_alarm_stand(gantry, ALARM_HITS, text.text);
	}
	courier->alarmed = text.text[0] != '\0';
}

static void each_second(struct courier *courier)
{
	int64_t now_ns = clock_mono_ns();
	struct err err = {""};

	if (now_ns < courier->flush_due_ns)
		return;
	courier->flush_due_ns = now_ns + FLUSH_NS;
	hits_watch_lists(courier->hits, &courier->watch);
	if (subscriptions_flush(courier->hits->subscriptions, clock_wall_us(), false, &err) == 0)
		err.text[0] = '\0';
	alarm_hits(courier, &err);
}

static void wait_woken(struct courier *courier, int64_t timeout_ns)
{
	int64_t until_ns = clock_mono_ns() + timeout_ns;
	struct timespec until = {.tv_sec = until_ns / 1000000000, .tv_nsec = until_ns % 1000000000};
	int result = 0;

	(void)pthread_mutex_lock(&courier->lock);
	while (!courier->woken && result == 0)
		result = pthread_cond_timedwait(&courier->changed, &courier->lock, &until);
	courier->woken = false;
	(void)pthread_mutex_unlock(&courier->lock);
}

static void *catch_up(void *context)
{
	struct courier *courier = context;

	(void)prctl(PR_SET_NAME, "hits-catch-up");
	while (!atomic_load(&courier->stopping)) {
		enum step step = round_of_catcher(courier);

		each_second(courier);
		if (step != STEP_MORE)
			wait_woken(courier, step == STEP_BLOCKED ? BLOCKED_NS : IDLE_NS);
	}
	return NULL;
}

static struct courier *courier_free(struct courier *courier)
{
	for (size_t i = 0; i < SUBSCRIPTIONS_MAX; i++)
		hit_judge_fini(&courier->judges[i].judge);
	if (courier->batch != NULL)
		bytes_wipe(courier->batch, BATCH * sizeof(*courier->batch));
	free(courier->batch);
	(void)pthread_cond_destroy(&courier->changed);
	(void)pthread_mutex_destroy(&courier->lock);
	free(courier);
	return NULL;
}

static int start(struct courier *courier, void *(*run)(void *), struct err *err, struct courier **ret_courier)
{
	pthread_condattr_t attributes;
	int result;

	if (courier == NULL)
		return err_set(err, -ENOMEM, "out of memory");
	(void)pthread_mutex_init(&courier->lock, NULL);
	(void)pthread_condattr_init(&attributes);
	(void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&courier->changed, &attributes);
	(void)pthread_condattr_destroy(&attributes);
	courier->batch = calloc(BATCH, sizeof(*courier->batch));
	if (courier->batch == NULL) {
		courier_free(courier);
		return err_set(err, -ENOMEM, "out of memory");
	}
	result = pthread_create(&courier->thread, NULL, run, courier);
	if (result != 0) {
		courier_free(courier);
		return err_set(err, -result, "courier thread: %s", strerror(result));
	}
	*ret_courier = courier;
	return 0;
}

int courier_start_lane(struct hits *hits, enum hit_lane lane, struct err *err, struct courier **ret_courier)
{
	struct courier *courier = calloc(1, sizeof(*courier));

	if (courier != NULL) {
		courier->hits = hits;
		courier->lane = lane;
	}
	return start(courier, bring, err, ret_courier);
}

int courier_start_catcher(struct hits *hits, struct err *err, struct courier **ret_courier)
{
	struct courier *courier = calloc(1, sizeof(*courier));

	if (courier != NULL) {
		courier->hits = hits;
		courier->catching = true;
	}
	return start(courier, catch_up, err, ret_courier);
}

struct courier *courier_stop(struct courier *courier)
{
	if (courier == NULL)
		return NULL;
	atomic_store(&courier->stopping, true);
	courier_wake(courier);
	(void)pthread_join(courier->thread, NULL);
	return courier_free(courier);
}

void courier_wake(struct courier *courier)
{
	if (!courier->catching) {
		hit_ring_wake(courier->hits->rings[courier->lane]);
		return;
	}
	(void)pthread_mutex_lock(&courier->lock);
	courier->woken = true;
	(void)pthread_mutex_unlock(&courier->lock);
	(void)pthread_cond_signal(&courier->changed);
}

const struct histogram *courier_latency(const struct courier *courier)
{
	return &courier->latency;
}
