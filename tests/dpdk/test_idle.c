#include "dpdk/idle.h"

#include <stdlib.h>
#include <sys/resource.h>

#include "appliance/base/clock.h"
#include "tests/check.h"

struct hooks {
	unsigned before;
	unsigned after;
};

static void before_sleep(void *context)
{
	struct hooks *hooks = context;

	CHECK_INT(hooks->after, hooks->before);
	hooks->before++;
}

static void after_sleep(void *context)
{
	struct hooks *hooks = context;

	hooks->after++;
	CHECK_INT(hooks->after, hooks->before);
}

/* Turns until it sleeps for the n-th time; gives the length of that sleep. */
static int64_t nth_sleep(struct idle *idle, unsigned n)
{
	int64_t slept = 0;

	for (int64_t end = clock_mono_ns() + 5000000000; n > 0 && clock_mono_ns() < end;) {
		slept = idle_turn(idle, false, INT64_MAX);
		n -= slept > 0;
	}
	CHECK_INT(0, n);
	return slept;
}

static void sleeps_grow_and_end_with_work(void)
{
	struct idle_settings settings;
	struct hooks hooks = {0, 0};
	struct idle idle;
	int64_t shortest = INT64_MAX;
	uint64_t count;
	uint64_t ns;

	idle_settings_init(&settings);
	settings.before_sleep = before_sleep;
	settings.after_sleep = after_sleep;
	settings.context = &hooks;
	idle_init(&idle, &settings);
	idle_thread_prepare();
	for (unsigned i = 0; i < 64; i++)
		CHECK_INT(0, idle_turn(&idle, false, INT64_MAX));
	CHECK(nth_sleep(&idle, 1) >= 50000);
	CHECK(nth_sleep(&idle, 1) >= 100000);
	CHECK(nth_sleep(&idle, 1) >= 200000);
	CHECK(nth_sleep(&idle, 1) >= 250000);
	CHECK_INT(4, hooks.after);
	for (unsigned i = 0; i < 10; i++)
		CHECK(nth_sleep(&idle, 1) >= 250000);
	idle_totals(&idle, &count, &ns);
	CHECK_INT(14, count);
	CHECK(ns >= 14 * 200000);
	CHECK_INT(0, idle_turn(&idle, true, INT64_MAX));
	for (unsigned i = 0; i < 64; i++)
		CHECK_INT(0, idle_turn(&idle, false, INT64_MAX));
	CHECK_INT(14, hooks.after);
	CHECK(nth_sleep(&idle, 1) >= 50000);
	/* Work brings back the short sleep; another program may have had the core in one of these, hardly in all. */
	for (unsigned i = 0; i < 50; i++) {
		int64_t slept;

		(void)nth_sleep(&idle, 3);
		CHECK_INT(0, idle_turn(&idle, true, INT64_MAX));
		slept = nth_sleep(&idle, 1);
		shortest = slept < shortest ? slept : shortest;
	}
	CHECK(shortest < 190000);
}

static void a_deadline_bounds_a_sleep(void)
{
	struct idle_settings settings;
	struct idle idle;
	int64_t least = INT64_MAX;

	idle_settings_init(&settings);
	idle_init(&idle, &settings);
	idle_thread_prepare();
	(void)nth_sleep(&idle, 6);
	for (unsigned i = 0; i < 20; i++) {
		int64_t slept = idle_turn(&idle, false, 20000);

		CHECK(slept >= 20000);
		least = slept < least ? slept : least;
		CHECK_INT(0, idle_turn(&idle, false, 0));
		CHECK_INT(0, idle_turn(&idle, false, -5));
	}
	CHECK(least < 250000);
}

static void busy_never_sleeps(void)
{
	struct idle_settings settings;
	struct idle idle;
	int64_t end = clock_mono_ns() + 3000000;

	idle_settings_init(&settings);
	settings.busy = true;
	idle_init(&idle, &settings);
	while (clock_mono_ns() < end)
		CHECK_INT(0, idle_turn(&idle, false, INT64_MAX));
}

static void caps_are_kept_in_bounds(void)
{
	struct idle_settings settings;
	struct idle idle;

	idle_settings_init(&settings);
	settings.cap_us = 900000;
	settings.quiet_cap_us = 900000;
	idle_init(&idle, &settings);
	CHECK_INT(IDLE_QUIET_CAP_US, idle.settings.cap_us);
	CHECK_INT(IDLE_QUIET_CAP_US, idle.settings.quiet_cap_us);
	settings.cap_us = 0;
	settings.quiet_cap_us = 0;
	idle_init(&idle, &settings);
	CHECK_INT(50, idle.settings.cap_us);
	CHECK_INT(50, idle.settings.quiet_cap_us);
}

static double cpu_seconds(void)
{
	struct rusage usage;

	(void)getrusage(RUSAGE_THREAD, &usage);
	return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
	       (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

/* The budget: an idle appliance needs less than 5 % of a core for its ports. */
static void an_idle_worker_costs_little(void)
{
	struct idle_settings settings;
	struct idle idle;
	int64_t end;
	double before;

	idle_settings_init(&settings);
	idle_init(&idle, &settings);
	idle_thread_prepare();
	(void)nth_sleep(&idle, 4);
	for (end = clock_mono_ns() + 1100000000; clock_mono_ns() < end;)
		(void)idle_turn(&idle, false, INT64_MAX);
	CHECK(nth_sleep(&idle, 5) >= 1000000);
	before = cpu_seconds();
	for (end = clock_mono_ns() + 500000000; clock_mono_ns() < end;)
		(void)idle_turn(&idle, false, INT64_MAX);
	before = cpu_seconds() - before;
	if (before >= 0.025)
		check_note("%.1f %% of a core", before * 200);
	CHECK(before < 0.025);
}

int main(int argc, char **argv)
{
	static const struct check_test tests[] = {{"sleeps grow, and end with work", sleeps_grow_and_end_with_work},
						  {"a deadline bounds a sleep", a_deadline_bounds_a_sleep},
						  {"busy never sleeps", busy_never_sleeps},
						  {"caps are kept in bounds", caps_are_kept_in_bounds},
						  {"an idle worker costs little", an_idle_worker_costs_little},
						  {NULL, NULL}};

	return check_main(argc, argv, "dpdk/idle", tests);
}
