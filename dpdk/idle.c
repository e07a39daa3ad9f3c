#include "dpdk/idle.h"

#include <stddef.h>
#include <sys/prctl.h>
#include <time.h>

#include <rte_pause.h>

#include "appliance/base/clock.h"

#define POLL_TURNS 64
#define PAUSE_NS 50000
#define NAP_FIRST_NS 50000
#define QUIET_NS INT64_C(1000000000)

void idle_settings_init(struct idle_settings *settings)
{
	*settings = (struct idle_settings){.cap_us = IDLE_CAP_US, .quiet_cap_us = IDLE_QUIET_CAP_US};
}

void idle_init(struct idle *idle, const struct idle_settings *settings)
{
	*idle = (struct idle){.settings = *settings, .nap_ns = NAP_FIRST_NS};
	if (idle->settings.quiet_cap_us > IDLE_QUIET_CAP_US)
		idle->settings.quiet_cap_us = IDLE_QUIET_CAP_US;
	if (idle->settings.quiet_cap_us < NAP_FIRST_NS / 1000)
		idle->settings.quiet_cap_us = NAP_FIRST_NS / 1000;
	if (idle->settings.cap_us > idle->settings.quiet_cap_us)
		idle->settings.cap_us = idle->settings.quiet_cap_us;
	if (idle->settings.cap_us < NAP_FIRST_NS / 1000)
		idle->settings.cap_us = NAP_FIRST_NS / 1000;
}

void idle_thread_prepare(void)
{
	(void)prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);
}

static int64_t nap(struct idle *idle, int64_t wanted_ns)
{
	struct timespec time = {.tv_sec = 0, .tv_nsec = wanted_ns};
	int64_t before_ns;
	int64_t slept_ns;

	if (idle->settings.before_sleep != NULL)
		idle->settings.before_sleep(idle->settings.context);
	before_ns = clock_mono_ns();
	(void)nanosleep(&time, NULL); /* a signal only shortens it */
	slept_ns = clock_mono_ns() - before_ns;
	if (idle->settings.after_sleep != NULL)
		idle->settings.after_sleep(idle->settings.context);
	__atomic_store_n(&idle->sleep_count, idle->sleep_count + 1, __ATOMIC_RELAXED);
	__atomic_store_n(&idle->slept_ns, idle->slept_ns + (uint64_t)slept_ns, __ATOMIC_RELAXED);
	return slept_ns;
}

int64_t idle_turn(struct idle *idle, bool worked, int64_t limit_ns)
{
	int64_t empty_ns;
	int64_t cap_ns;
	int64_t wanted_ns;

	if (worked || idle->settings.busy) {
		idle->empty_turns = 0;
		return 0;
	}
	if (idle->empty_turns < POLL_TURNS) {
		if (++idle->empty_turns == POLL_TURNS) {
			idle->empty_since_ns = clock_mono_ns();
			idle->nap_ns = NAP_FIRST_NS;
		}
		return 0;
	}
	empty_ns = clock_mono_ns() - idle->empty_since_ns;
	if (empty_ns < PAUSE_NS || limit_ns <= 0) {
		rte_pause();
		return 0;
	}
	cap_ns = (int64_t)(empty_ns < QUIET_NS ? idle->settings.cap_us : idle->settings.quiet_cap_us) * 1000;
	wanted_ns = idle->nap_ns < cap_ns ? idle->nap_ns : cap_ns;
	if (idle->nap_ns < cap_ns)
		idle->nap_ns *= 2;
	return nap(idle, wanted_ns < limit_ns ? wanted_ns : limit_ns);
}

void idle_totals(const struct idle *idle, uint64_t *ret_sleep_count, uint64_t *ret_slept_ns)
{
	*ret_sleep_count = __atomic_load_n(&idle->sleep_count, __ATOMIC_RELAXED);
	*ret_slept_ns = __atomic_load_n(&idle->slept_ns, __ATOMIC_RELAXED);
}
