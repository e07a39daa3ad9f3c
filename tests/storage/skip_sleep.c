/*
 * A monotonic clock of the test's own: linked with -Wl,--wrap, it moves on by what is slept, which takes no time, and
 * by a hair at each look. For programs in which nothing else runs meanwhile (store_options.threads_off), so that
 * waiting could change nothing: they do not spend seconds in pauses of one millisecond, and a time-out comes after as
 * many turns on a busy machine as on an idle one, so that a seed replays.
 */
#include <stdint.h>
#include <time.h>

#define SECOND_NS INT64_C(1000000000)
#define LOOK_NS 100

int __real_clock_gettime(clockid_t clock, struct timespec *ret_time);
int __wrap_clock_gettime(clockid_t clock, struct timespec *ret_time);
int __wrap_nanosleep(const struct timespec *time, struct timespec *ret_left);

static int64_t now_ns = 1000 * SECOND_NS;

int __wrap_clock_gettime(clockid_t clock, struct timespec *ret_time)
{
	if (clock != CLOCK_MONOTONIC)
		return __real_clock_gettime(clock, ret_time);
	now_ns += LOOK_NS;
	*ret_time = (struct timespec){.tv_sec = now_ns / SECOND_NS, .tv_nsec = now_ns % SECOND_NS};
	return 0;
}

int __wrap_nanosleep(const struct timespec *time, struct timespec *ret_left)
{
	(void)ret_left;
	now_ns += time->tv_sec * SECOND_NS + time->tv_nsec;
	return 0;
}
