#include "appliance/attendant.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

#include "appliance/base/clock.h"
#include "appliance/counters.h"
#include "appliance/gantry.h"
#include "appliance/hits.h"
#include "appliance/lanes.h"
#include "storage/hit_follow.h"
#include "storage/store.h"

#define WAKE_NS 1000000

struct attendant {
	struct gantry *gantry;
	pthread_t thread;
	atomic_bool stopping;
	struct hit_follower *hits;

	/* The last second, for status. */
	int64_t rate_ns;
	uint64_t rate_reads;
	uint64_t rate_slept_ns[WORKERS_MAX];
	_Atomic uint64_t reads_per_s;
	_Atomic unsigned busy_permille[WORKERS_MAX];
};

static int lane_of_store(void *context, uint32_t feed, uint32_t epoch, uint8_t lane, struct lane_window **ret_window)
{
	return store_lane(context, feed, epoch, lane, ret_window);
}

static void open_lanes(struct gantry *gantry)
{
	for (unsigned i = 0; i < gantry->worker_count; i++)
		lanes_answer(worker_lane_requests(gantry->workers[i]), worker_lane_grants(gantry->workers[i]),
			     lane_of_store, gantry->store);
}

static void publish(void *context, const struct hit_found *found, size_t count)
{
	gantry_hits_publish(context, found, count);
}

static void take_rates(struct attendant *attendant)
{
	const struct gantry *gantry = attendant->gantry;
	int64_t now_ns = clock_mono_ns();
	int64_t passed_ns = now_ns - attendant->rate_ns;
	uint64_t reads = 0;

	if (passed_ns < INT64_C(1000000000))
		return;
	for (unsigned i = 0; i < gantry->worker_count; i++) {
		int64_t running_ns;
		uint64_t slept_ns;
		uint32_t credit;
		uint64_t slept;

		reads += counter_get(&worker_counters(gantry->workers[i])->durable_reads);
		worker_load(gantry->workers[i], &running_ns, &slept_ns, &credit);
		slept = slept_ns - attendant->rate_slept_ns[i];
		attendant->rate_slept_ns[i] = slept_ns;
		atomic_store(&attendant->busy_permille[i],
			     slept < (uint64_t)passed_ns ? (unsigned)(1000 - 1000 * slept / (uint64_t)passed_ns) : 0);
	}
	if (attendant->rate_ns != 0)
		atomic_store(&attendant->reads_per_s,
			     (reads - attendant->rate_reads) * 1000000000 / (uint64_t)passed_ns);
	attendant->rate_reads = reads;
	attendant->rate_ns = now_ns;
}

static void *attend(void *context)
{
	struct attendant *attendant = context;
	struct timespec nap = {.tv_nsec = WAKE_NS};

	(void)prctl(PR_SET_NAME, "attendant");
	(void)prctl(PR_SET_TIMERSLACK, 50000);
	while (!atomic_load(&attendant->stopping)) {
		open_lanes(attendant->gantry);
		hit_follow(attendant->hits);
		take_rates(attendant);
		(void)nanosleep(&nap, NULL);
	}
	hit_follow(attendant->hits);
	return NULL;
}

int attendant_start(struct gantry *gantry, struct attendant **ret_attendant, struct err *err)
{
	struct attendant *attendant = calloc(1, sizeof(*attendant));
	int result;

	if (attendant == NULL)
		return err_set(err, -ENOMEM, "out of memory");
	attendant->gantry = gantry;
	/* What was recovered is behind the rings: subscribers that lack some of it are served from the store. */
	if (hit_follower_new(store_memtable(gantry->store), publish, gantry, &attendant->hits) < 0) {
		free(attendant);
		return err_set(err, -ENOMEM, "out of memory");
	}
	result = pthread_create(&attendant->thread, NULL, attend, attendant);
	if (result != 0) {
		hit_follower_free(attendant->hits);
		free(attendant);
		return err_set(err, -result, "attendant thread: %s", strerror(result));
	}
	*ret_attendant = attendant;
	return 0;
}

struct attendant *attendant_stop(struct attendant *attendant)
{
	if (attendant == NULL)
		return NULL;
	atomic_store(&attendant->stopping, true);
	pthread_join(attendant->thread, NULL);
	hit_follower_free(attendant->hits);
	free(attendant);
	return NULL;
}

void attendant_info(struct attendant *attendant, struct attendant_info *ret_info)
{
	memset(ret_info, 0, sizeof(*ret_info));
	if (attendant == NULL)
		return;
	ret_info->reads_per_s = atomic_load(&attendant->reads_per_s);
	for (unsigned i = 0; i < WORKERS_MAX; i++)
		ret_info->busy_permille[i] = atomic_load(&attendant->busy_permille[i]);
}
