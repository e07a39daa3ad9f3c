/*
 * Sleep that takes no time: linked with -Wl,--wrap, nanosleep returns at once and puts the monotonic clock forward by
 * as much as was asked for. For programs in which nothing else runs meanwhile (store_options.threads_off), so that
 * waiting could change nothing: they see the same clock, and do not spend a second in a thousand pauses of one
 * millisecond.
 */
#include <stdatomic.h>
#include <stdint.h>
#include <time.h>

#define SECOND_NS INT64_C(1000000000)

int __real_clock_gettime(clockid_t clock, struct timespec *ret_time);
int __wrap_clock_gettime(clockid_t clock, struct timespec *ret_time);
int __wrap_nanosleep(const struct timespec *time, struct timespec *ret_left);

static _Atomic int64_t skipped_ns;

int __wrap_clock_gettime(clockid_t clock, struct timespec *ret_time)
{
	int result = __real_clock_gettime(clock, ret_time);
	int64_t ns;

	if (result == 0 && clock == CLOCK_MONOTONIC) {
		ns = ret_time->tv_nsec + skipped_ns;
		ret_time->tv_sec += ns / SECOND_NS;
		ret_time->tv_nsec = ns % SECOND_NS;
	}
	return result;
}

int __wrap_nanosleep(const struct timespec *time, struct timespec *ret_left)
{
	(void)ret_left;
	skipped_ns += time->tv_sec * SECOND_NS + time->tv_nsec;
	return 0;
}
