/*
 * What a search back waits for before its sweep: reads that are taken but not durable. The clock is the test's own and
 * moves by what is slept.
 */
#include "appliance/late_match.h"

#include <errno.h>
#include <time.h>

#include "appliance/counters.h"
#include "appliance/gantry.h"
#include "appliance/worker.h"
#include "tests/check.h"

#define SECOND_NS INT64_C(1000000000)

static struct worker_counters counters[2];
static int64_t now_ns = SECOND_NS;
static int64_t durable_at_ns; /* all of the second worker's reads; 0 never */
static int64_t stop_at_ns;    /* 0 never */
static atomic_bool stopping;

struct worker_counters *__wrap_worker_counters(struct worker *worker);
struct worker_counters *__wrap_worker_counters(struct worker *worker)
{
	return (struct worker_counters *)worker;
}

int __wrap_clock_gettime(clockid_t clock, struct timespec *ret_time);
int __wrap_clock_gettime(clockid_t clock, struct timespec *ret_time)
{
	(void)clock;
	*ret_time = (struct timespec){.tv_sec = now_ns / SECOND_NS, .tv_nsec = now_ns % SECOND_NS};
	return 0;
}

int __wrap_nanosleep(const struct timespec *time, struct timespec *ret_left);
int __wrap_nanosleep(const struct timespec *time, struct timespec *ret_left)
{
	(void)ret_left;
	now_ns += time->tv_sec * SECOND_NS + time->tv_nsec;
	if (durable_at_ns != 0 && now_ns >= durable_at_ns)
		atomic_store(&counters[1].durable_reads, atomic_load(&counters[1].taken));
	if (stop_at_ns != 0 && now_ns >= stop_at_ns)
		atomic_store(&stopping, true);
	return 0;
}

/* The second worker has three reads on their way; how long it took, in whole seconds. */
static int settle(int64_t durable_s, int64_t stop_s, struct err *err, int64_t *ret_s)
{
	struct gantry gantry = {.workers = {(struct worker *)&counters[0], (struct worker *)&counters[1]},
				.worker_count = 2};
	int64_t begun_ns = now_ns;
	int result;

	atomic_store(&counters[0].taken, 7);
	atomic_store(&counters[0].durable_reads, 7);
	atomic_store(&counters[1].taken, 12);
	atomic_store(&counters[1].durable_reads, 9);
	atomic_store(&stopping, false);
	durable_at_ns = durable_s != 0 ? now_ns + durable_s * SECOND_NS : 0;
	stop_at_ns = stop_s != 0 ? now_ns + stop_s * SECOND_NS : 0;
	result = late_match_settle(&gantry, &stopping, err);
	*ret_s = (now_ns - begun_ns) / SECOND_NS;
	return result;
}

static void test_durable(void)
{
	struct err err = {""};
	int64_t took_s;

	CHECK_INT(0, settle(3, 0, &err, &took_s));
	CHECK_INT(3, took_s);
	CHECK_INT(12, atomic_load(&counters[1].durable_reads));
}

/* A disk that writes nothing: whoever would sweep now misses them, and does not. */
static void test_stuck(void)
{
	struct err err = {""};
	int64_t took_s;

	CHECK_INT(-EAGAIN, settle(0, 0, &err, &took_s));
	CHECK_INT(30, took_s);
	CHECK_STR("worker 1 has taken reads that are not durable yet", err.text);
	CHECK_INT(-EAGAIN, settle(31, 0, &err, &took_s));
	CHECK_INT(0, settle(29, 0, &err, &took_s));
}

static void test_stopping(void)
{
	struct err err = {""};
	int64_t took_s;

	CHECK_INT(1, settle(0, 5, &err, &took_s));
	CHECK_INT(5, took_s);
}

int main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{"reads that become durable are waited for", test_durable},
		{"reads that do not are told, and tried again", test_stuck},
		{"a stop is not waited out", test_stopping},
		{NULL, NULL},
	};
	return check_main(argc, argv, "late settle", tests);
}
