/* Escalation under a wall clock that jumps: a hit waits by the monotonic one. Both clocks are the test's own. */
#include "appliance/escalation.h"

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

#include "appliance/gantry.h"
#include "storage/hit_lives.h"
#include "storage/hit_scan.h"
#include "storage/store.h"
#include "tests/check.h"

#define SECOND_US INT64_C(1000000)
#define WALL_US (INT64_C(20000) * DAY_US)
#define WAITS_S 120

static _Atomic int64_t wall_us; /* of now */
static _Atomic int64_t mono_us; /* beyond what it is */
static struct hit_found stored; /* what the last life left; number 0: nothing */
static atomic_uint told, alarms;
static _Atomic uint64_t told_last;

int __real_clock_gettime(clockid_t clock, struct timespec *ret_time);
int __wrap_clock_gettime(clockid_t clock, struct timespec *ret_time);
int __wrap_clock_gettime(clockid_t clock, struct timespec *ret_time)
{
	int64_t us = atomic_load(&wall_us);

	if (clock == CLOCK_MONOTONIC) {
		(void)__real_clock_gettime(clock, ret_time);
		ret_time->tv_sec += atomic_load(&mono_us) / SECOND_US;
		return 0;
	}
	*ret_time = (struct timespec){.tv_sec = us / SECOND_US, .tv_nsec = us % SECOND_US * 1000};
	return 0;
}

/* A round every 20 ms, whatever the clock says. */
int __real_pthread_cond_timedwait(pthread_cond_t *bell, pthread_mutex_t *lock, const struct timespec *until);
int __wrap_pthread_cond_timedwait(pthread_cond_t *bell, pthread_mutex_t *lock, const struct timespec *until);
int __wrap_pthread_cond_timedwait(pthread_cond_t *bell, pthread_mutex_t *lock, const struct timespec *until)
{
	struct timespec soon;

	(void)until;
	(void)__real_clock_gettime(CLOCK_MONOTONIC, &soon);
	soon.tv_nsec += 20000000;
	soon.tv_sec += soon.tv_nsec / 1000000000;
	soon.tv_nsec %= 1000000000;
	return __real_pthread_cond_timedwait(bell, lock, &soon);
}

struct reg *__wrap_store_register(struct store *store, const char **ret_why);
struct reg *__wrap_store_register(struct store *store, const char **ret_why)
{
	(void)ret_why;
	return (struct reg *)store;
}

bool __wrap_hit_lives_known(struct hit_lives *lives, uint64_t number);
bool __wrap_hit_lives_known(struct hit_lives *lives, uint64_t number)
{
	(void)lives;
	(void)number;
	return false;
}

struct hit_lives *__wrap_store_hit_lives(struct store *store);
struct hit_lives *__wrap_store_hit_lives(struct store *store)
{
	return (struct hit_lives *)store;
}

struct keyring *__wrap_store_keyring(struct store *store);
struct keyring *__wrap_store_keyring(struct store *store)
{
	return (struct keyring *)store;
}

bool __wrap_keyring_day_destroyed(struct keyring *keyring, int32_t day);
bool __wrap_keyring_day_destroyed(struct keyring *keyring, int32_t day)
{
	(void)keyring;
	(void)day;
	return false;
}

int __wrap_hit_scan(struct store *store, unsigned source, uint64_t after, uint64_t upto, size_t max, struct err *err,
		    struct hit_found *ret_found, size_t *ret_count);
int __wrap_hit_scan(struct store *store, unsigned source, uint64_t after, uint64_t upto, size_t max, struct err *err,
		    struct hit_found *ret_found, size_t *ret_count)
{
	(void)store;
	(void)err;
	*ret_count = stored.hit.number > after && stored.hit.number <= upto &&
		     hit_source(stored.hit.number) == source && max > 0;
	if (*ret_count > 0)
		*ret_found = stored;
	return 0;
}

int __wrap_hit_find(struct store *store, uint64_t number, struct err *err, struct hit_found *ret_found);
int __wrap_hit_find(struct store *store, uint64_t number, struct err *err, struct hit_found *ret_found)
{
	(void)store;
	(void)number;
	(void)err;
	*ret_found = stored;
	return 0;
}

void __wrap_gantry_alarm_stand(struct gantry *gantry, enum gantry_alarm alarm, const char *text);
void __wrap_gantry_alarm_stand(struct gantry *gantry, enum gantry_alarm alarm, const char *text)
{
	(void)gantry;
	(void)alarm;
	(void)text;
	atomic_fetch_add(&alarms, 1);
}

void __wrap_gantry_alarm_renew(struct gantry *gantry, enum gantry_alarm alarm, const char *text);
void __wrap_gantry_alarm_renew(struct gantry *gantry, enum gantry_alarm alarm, const char *text)
{
	(void)gantry;
	(void)alarm;
	(void)text;
}

static void tell(struct gantry *gantry, const struct watched_hit *hit)
{
	(void)gantry;
	atomic_store(&told_last, hit->number);
	atomic_fetch_add(&told, 1);
}

struct world {
	struct gantry gantry;
	struct escalation *escalation;
	struct err err;
};

static void world_init(struct world *world)
{
	*world = (struct world){.gantry = {.config = {.escalate_priority = 80, .escalate_s = WAITS_S},
					   .lists_generation = 1,
					   .store = (struct store *)world}};
	atomic_store(&told, 0);
	CHECK_INT(0, escalation_start(&world->gantry, tell, &world->escalation, &world->err));
}

static void world_fini(struct world *world)
{
	escalation_stop(world->escalation);
	(void)escalation_free(world->escalation);
}

static void time_pass(int64_t seconds)
{
	atomic_fetch_add(&mono_us, seconds * SECOND_US);
	atomic_fetch_add(&wall_us, seconds * SECOND_US);
}

/* After several rounds, or one that told. */
static unsigned told_now(void)
{
	for (unsigned i = 0; i < 30 && atomic_load(&told) == 0; i++)
		(void)usleep(10000);
	return atomic_load(&told);
}

static void publish(struct world *world, uint64_t number)
{
	struct hit hit = {.number = hit_number(0, number), .priority = 90};
	struct read read = {.capture_us = WALL_US};

	escalation_take(world->escalation, &hit, &read);
}

/* Six hours ahead when the hit comes, right again after it. */
static void test_ahead(void)
{
	struct world world;

	atomic_store(&wall_us, WALL_US + 6 * INT64_C(3600) * SECOND_US);
	world_init(&world);
	publish(&world, 1);
	atomic_store(&wall_us, WALL_US);
	time_pass(WAITS_S + 1);
	CHECK_INT(1, told_now());
	world_fini(&world);
}

/* Right when it comes, set ahead after it: nobody is late yet. */
static void test_set_ahead(void)
{
	struct world world;

	atomic_store(&wall_us, WALL_US);
	world_init(&world);
	publish(&world, 1);
	atomic_store(&wall_us, WALL_US + 6 * INT64_C(3600) * SECOND_US);
	time_pass(WAITS_S / 2);
	CHECK_INT(0, told_now());
	time_pass(WAITS_S / 2 + 1);
	CHECK_INT(1, told_now());
	world_fini(&world);
}

static void lists_set(struct world *world, uint64_t generation)
{
	(void)pthread_mutex_lock(&world->gantry.lists_lock);
	world->gantry.lists_generation = generation;
	(void)pthread_mutex_unlock(&world->gantry.lists_lock);
}

/* Who may have it is not known before lists are loaded: it is told then. */
static void test_no_lists(void)
{
	struct world world;

	atomic_store(&wall_us, WALL_US);
	world_init(&world);
	lists_set(&world, 0);
	publish(&world, 1);
	time_pass(WAITS_S + 1);
	CHECK_INT(0, told_now());
	lists_set(&world, 1);
	CHECK_INT(1, told_now());
	world_fini(&world);
}

/* What the last life of the process left has waited as long as its read lies there, and goes on by the other clock. */
static void test_gathered(void)
{
	struct world world;

	atomic_store(&wall_us, WALL_US);
	stored.hit = (struct hit){.number = hit_number(0, (uint64_t)WALL_US - 50 * SECOND_US), .priority = 90};
	stored.read.receipt_us = WALL_US - 50 * SECOND_US;
	world_init(&world);
	CHECK_INT(0, told_now());
	atomic_store(&wall_us, WALL_US - 6 * INT64_C(3600) * SECOND_US);
	time_pass(WAITS_S - 50 + 1);
	CHECK_INT(1, told_now());
	CHECK(atomic_load(&told_last) == stored.hit.number);
	CHECK(atomic_load(&alarms) > 0);
	world_fini(&world);
	stored.hit.number = 0;
}

int main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{"published while the clock was ahead", test_ahead},
		{"the clock is set ahead after it", test_set_ahead},
		{"no list is loaded yet", test_no_lists},
		{"gathered after a start, the clock set back", test_gathered},
		{NULL, NULL},
	};
	return check_main(argc, argv, "escalation", tests);
}
