#include "appliance/courier.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#include "appliance/base/clock.h"
#include "appliance/base/err.h"
#include "appliance/errand.h"
#include "appliance/gantry.h"
#include "appliance/hits_inside.h"

#define IDLE_NS INT64_C(50000000)
#define BLOCKED_NS INT64_C(2000000)
#define FLUSH_NS INT64_C(1000000000)

struct courier {
	struct hits *hits;
	pthread_t thread;
	atomic_bool stopping;
	bool catching;
	enum hit_lane lane; /* unless it catches up */
	struct errand errand;
	/* Of the one that catches up. */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool woken;
	int64_t flush_due_ns;
	bool alarmed;
	struct hits_watch watch;
	size_t mass_next; /* subscription that has the next turn */
};

/* One turn for every subscription. */
static enum errand_step round_of_lane(struct courier *courier)
{
	struct subscriptions *set = courier->hits->subscriptions;
	struct subscription *subscription;
	enum errand_step all = ERRAND_IDLE;

	for (size_t i = 0; (subscription = subscriptions_take_at(set, i)) != NULL; i++) {
		enum errand_step step = ERRAND_IDLE;

		if (subscription_sweep(subscription))
			step = errand_live(&courier->errand, subscription, courier->lane);
		subscriptions_release(set, subscription);
		if (step == ERRAND_MORE || all == ERRAND_IDLE)
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
		enum errand_step step;

		hit_ring_info(ring, &info);
		step = round_of_lane(courier);
		if (step != ERRAND_MORE)
			hit_ring_wait(ring, info.put, step == ERRAND_BLOCKED ? BLOCKED_NS : IDLE_NS);
	}
	return NULL;
}

/* All urgent lanes first, then the mass lane of one subscription, the next one each time. */
static enum errand_step round_of_catcher(struct courier *courier)
{
	struct subscriptions *set = courier->hits->subscriptions;
	struct subscription *subscription;
	enum errand_step all = ERRAND_IDLE;
	size_t count = 0;

	for (; (subscription = subscriptions_take_at(set, count)) != NULL; count++) {
		enum errand_step step = errand_behind(&courier->errand, subscription, HIT_LANE_URGENT);

		subscriptions_release(set, subscription);
		if (step == ERRAND_MORE || all == ERRAND_IDLE)
			all = step;
	}
	for (size_t i = 0; i < count && all != ERRAND_MORE; i++) {
		subscription = subscriptions_take_at(set, courier->mass_next++ % count);
		if (subscription == NULL)
			continue;
		enum errand_step step = errand_behind(&courier->errand, subscription, HIT_LANE_MASS);

		subscriptions_release(set, subscription);
		if (step == ERRAND_MORE || all == ERRAND_IDLE)
			all = step;
	}
	return all;
}

/* What could not be brought or noted: an alarm as long as it is so. */
static void alarm_hits(struct courier *courier, const struct err *flush)
{
	struct gantry *gantry = courier->hits->gantry;
	struct err text = *flush;

	if (courier->errand.fetch_failed.text[0] != '\0')
		(void)err_set(&text, 0, "hits wait to be delivered: %s", courier->errand.fetch_failed.text);
	courier->errand.fetch_failed.text[0] = '\0';
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
		enum errand_step step = round_of_catcher(courier);

		each_second(courier);
		if (step == ERRAND_IDLE)
			errand_forget(&courier->errand);
		if (step != ERRAND_MORE)
			wait_woken(courier, step == ERRAND_BLOCKED ? BLOCKED_NS : IDLE_NS);
	}
	return NULL;
}

static struct courier *courier_free(struct courier *courier)
{
	errand_fini(&courier->errand);
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
	if (errand_init(&courier->errand, courier->hits, courier->catching ? ERRAND_ROOM_BEHIND : ERRAND_ROOM_LIVE) <
	    0) {
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
	return &courier->errand.latency;
}
