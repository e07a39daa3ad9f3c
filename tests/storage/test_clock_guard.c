/* The clock guard over weeks of a clock that lies, in milliseconds. */
#include "storage/clock_guard.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LOG_MODULE "test"
#include "appliance/base/log.h"
#include "appliance/base/prng.h"
#include "storage/layout.h"
#include "tests/check.h"
#include "tests/storage/fake_clock.h"
#include "tests/storage/sim_io.h"

#define DIRECTORY "/d"
#define CLOCK_PATH DIRECTORY "/" LAYOUT_CLOCK
#define SECOND INT64_C(1000000)
#define HOUR (3600 * SECOND)

static struct fake_clock now;
static struct clock_source source;
static struct io *io;
static struct clock_guard *guard;
static struct clock_guard_state state;

static void world_begin(void)
{
	io = sim_new(check_seed());
	CHECK_INT(0, io->ops->mkdir(io, DIRECTORY));
	source = fake_clock_source(&now);
	now.wall_us = INT64_C(1795000000) * SECOND;
	now.mono_ns = INT64_C(5000000000);
	now.synchronised = true;
}

static void world_end(void)
{
	guard = clock_guard_free(guard);
	io = sim_free(io);
}

static void guard_open(bool fresh, bool always)
{
	struct clock_guard_options options = {
		.io = io, .directory = DIRECTORY, .clock = &source, .jump_us = HOUR, .fresh = fresh, .always = always};

	CHECK_INT(0, clock_guard_new(&options, &guard));
	clock_guard_look(guard, &state);
}

/* The machine stops for so long; the monotonic clock begins anew. */
static void machine_off(int64_t us)
{
	guard = clock_guard_free(guard);
	now.wall_us += us;
	now.mono_ns = INT64_C(1000000000);
}

static void pass(int64_t seconds)
{
	for (int64_t i = 0; i < seconds; i++) {
		now.wall_us += SECOND;
		now.mono_ns += 1000 * SECOND;
		clock_guard_look(guard, &state);
	}
}

/* Trusted after exactly ten minutes that are all well. */
static void recovers(void)
{
	CHECK(state.trust != CLOCK_TRUSTED);
	CHECK(state.why[0] != '\0');
	pass(1); /* all is well from here on, or from the start */
	CHECK(state.remaining_s == 600 || state.remaining_s == 599);
	pass(state.remaining_s - 1);
	CHECK(state.trust != CLOCK_TRUSTED);
	CHECK_INT(1, state.remaining_s);
	pass(1);
	CHECK_INT(CLOCK_TRUSTED, state.trust);
	CHECK_INT(0, state.remaining_s);
	CHECK_STR("", state.why);
}

static void a_good_clock_is_trusted(void)
{
	world_begin();
	guard_open(true, false);
	CHECK_INT(CLOCK_TRUSTED, state.trust);
	pass(10000);
	CHECK_INT(CLOCK_TRUSTED, state.trust);
	CHECK(state.saved);
	machine_off(1800 * SECOND); /* a restart */
	guard_open(false, false);
	CHECK_INT(CLOCK_TRUSTED, state.trust);
	world_end();
}

static void jumps_both_ways(void)
{
	static const int64_t jumps[] = {366 * 24 * HOUR, HOUR + SECOND, -HOUR - SECOND, -366 * 24 * HOUR};

	for (size_t i = 0; i < sizeof(jumps) / sizeof(jumps[0]); i++) {
		world_begin();
		guard_open(true, false);
		pass(100);
		now.wall_us += jumps[i];
		clock_guard_look(guard, &state);
		CHECK_INT(CLOCK_JUMPED, state.trust);
		recovers();
		world_end();
	}
	/* Slewing, and what an hour allows, is no jump; nor do small steps add up. */
	world_begin();
	guard_open(true, false);
	for (int i = 0; i < 20; i++) {
		now.wall_us += HOUR - SECOND;
		pass(1);
		CHECK_INT(CLOCK_TRUSTED, state.trust);
	}
	world_end();
}

static void a_jump_begins_the_minutes_anew(void)
{
	world_begin();
	guard_open(true, false);
	now.wall_us += 2 * HOUR;
	pass(590);
	now.wall_us -= 2 * HOUR; /* back again: still a clock that nobody should believe */
	pass(1);
	recovers();
	world_end();
}

static void unsynchronised(void)
{
	world_begin();
	guard_open(true, false);
	now.synchronised = false;
	pass(1);
	CHECK_INT(CLOCK_UNSYNCHRONISED, state.trust);
	pass(10000);
	CHECK_INT(CLOCK_UNSYNCHRONISED, state.trust);
	CHECK_INT(600, state.remaining_s);
	now.synchronised = true;
	pass(300);
	now.synchronised = false; /* one bad second of the ten minutes */
	pass(1);
	now.synchronised = true;
	recovers();
	/* Where there is no time source only jumps count. */
	guard = clock_guard_free(guard);
	now.synchronised = false;
	guard_open(false, true);
	CHECK_INT(CLOCK_TRUSTED, state.trust);
	now.wall_us += 2 * HOUR;
	clock_guard_look(guard, &state);
	CHECK_INT(CLOCK_JUMPED, state.trust);
	recovers();
	world_end();
}

/* Minutes that nobody looked at are no minutes of a good clock. */
static void looks_far_apart_prove_nothing(void)
{
	world_begin();
	guard_open(true, false);
	now.wall_us += 2 * HOUR;
	pass(2);
	for (int i = 0; i < 20; i++) {
		now.wall_us += 100 * SECOND;
		now.mono_ns += 100 * 1000 * SECOND;
		clock_guard_look(guard, &state);
		CHECK_INT(CLOCK_JUMPED, state.trust);
	}
	pass(600);
	CHECK_INT(CLOCK_TRUSTED, state.trust);
	world_end();
}

static void off_for_long(void)
{
	static const int64_t away[] = {3 * 24 * HOUR, -3 * 24 * HOUR, 400 * 24 * HOUR};

	for (size_t i = 0; i < sizeof(away) / sizeof(away[0]); i++) {
		world_begin();
		guard_open(true, false);
		pass(100);
		machine_off(away[i]);
		guard_open(false, false);
		CHECK_INT(CLOCK_JUMPED, state.trust);
		recovers();
		world_end();
	}
}

/* Switching it off and on does not make a wrong clock a right one. */
static void suspicion_outlives_a_restart(void)
{
	world_begin();
	guard_open(true, false);
	pass(100);
	now.wall_us += 400 * 24 * HOUR;
	pass(300);
	for (int i = 0; i < 5; i++) {
		machine_off(10 * SECOND);
		guard_open(false, false);
		CHECK_INT(CLOCK_JUMPED, state.trust);
		pass(500);
		CHECK_INT(CLOCK_JUMPED, state.trust);
	}
	/* A power cut too. */
	sim_crash(io);
	machine_off(0);
	guard_open(false, false);
	recovers();
	now.synchronised = false;
	pass(1);
	machine_off(SECOND);
	now.synchronised = true;
	guard_open(false, false);
	CHECK_INT(CLOCK_UNSYNCHRONISED, state.trust);
	recovers();
	world_end();
}

static void the_file_is_lost_or_damaged(void)
{
	world_begin();
	guard_open(true, false);
	pass(10);
	machine_off(SECOND);
	CHECK_INT(0, io->ops->unlink(io, CLOCK_PATH));
	guard_open(false, false);
	CHECK_INT(CLOCK_UNKNOWN, state.trust);
	recovers();
	for (unsigned offset = 0; offset < 40; offset++) {
		machine_off(SECOND);
		CHECK_INT(0, sim_rot(io, CLOCK_PATH, offset, 0x40));
		guard_open(false, false);
		CHECK_INT(CLOCK_UNKNOWN, state.trust);
		recovers();
	}
	machine_off(SECOND);
	CHECK_INT(0, sim_truncate(io, CLOCK_PATH, 39));
	guard_open(false, false);
	CHECK_INT(CLOCK_UNKNOWN, state.trust);
	recovers();
	world_end();
}

/* The last time seen is never older than a minute and a half, whatever the moment of the power cut. */
static void kept_every_minute(void)
{
	struct prng prng = {check_seed()};

	for (int round = 0; round < 50; round++) {
		int64_t lived = 1 + (int64_t)prng_below(&prng, 500);
		int64_t cut_us;

		world_begin();
		guard_open(true, false);
		pass(lived);
		cut_us = now.wall_us;
		sim_cut_at(io, sim_ops(io) + 1);
		guard = clock_guard_free(guard);
		sim_crash(io);
		now.wall_us += HOUR - 90 * SECOND;
		now.mono_ns = 1;
		guard_open(false, false);
		CHECK_INT(CLOCK_TRUSTED, state.trust);
		guard = clock_guard_free(guard);
		now.wall_us = cut_us + 3 * HOUR;
		guard_open(false, false);
		CHECK_INT(CLOCK_JUMPED, state.trust);
		world_end();
	}
}

/* A disk that does not take the file is no reason to distrust the clock, and the file is written when it can be. */
static void the_disk_fails(void)
{
	world_begin();
	guard_open(true, false);
	sim_fail(io, SIM_WRITE | SIM_CREATE | SIM_NAME, 1, 100000, ENOSPC);
	pass(200);
	CHECK_INT(CLOCK_TRUSTED, state.trust);
	CHECK(!state.saved);
	sim_fail(io, SIM_ALL, 1, 0, 0);
	pass(1);
	CHECK(state.saved);
	world_end();
}

static int64_t age(void)
{
	return clock_guard_age_us(guard, now.wall_us);
}

/* No step back makes a read younger, small ones in a row neither, until the guard trusts the earlier clock again. */
static void age_knows_no_way_back(void)
{
	int64_t latest_us;

	world_begin();
	guard_open(true, false);
	pass(1000);
	latest_us = now.wall_us;
	CHECK_INT(latest_us, age());
	for (unsigned i = 0; i < 100; i++) {
		now.wall_us -= HOUR / 2;
		pass(1);
		CHECK_INT(CLOCK_TRUSTED, state.trust);
		CHECK_INT(latest_us, age());
	}
	now.wall_us = latest_us - 300 * 24 * HOUR;
	CHECK_INT(latest_us, age()); /* before anyone has looked */
	pass(1);
	CHECK_INT(CLOCK_JUMPED, state.trust);
	CHECK_INT(latest_us, age());
	world_end();
}

static void age_outlives_a_restart(void)
{
	int64_t latest_us;

	world_begin();
	guard_open(true, false);
	pass(100);
	latest_us = now.wall_us;
	machine_off(-40 * 24 * HOUR);
	guard_open(false, false);
	CHECK_INT(CLOCK_JUMPED, state.trust);
	CHECK_INT(latest_us, age());
	recovers();
	CHECK_INT(now.wall_us, age()); /* the earlier clock is right, says the kernel for ten minutes */
	now.wall_us += 5 * SECOND;
	CHECK_INT(now.wall_us, age());
	world_end();
}

int main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{"a good clock is trusted", a_good_clock_is_trusted},
		{"jumps both ways", jumps_both_ways},
		{"a jump begins the minutes anew", a_jump_begins_the_minutes_anew},
		{"unsynchronised", unsynchronised},
		{"looks far apart prove nothing", looks_far_apart_prove_nothing},
		{"off for long", off_for_long},
		{"suspicion outlives a restart", suspicion_outlives_a_restart},
		{"the file is lost or damaged", the_file_is_lost_or_damaged},
		{"kept every minute", kept_every_minute},
		{"the disk fails", the_disk_fails},
		{"age knows no way back", age_knows_no_way_back},
		{"age outlives a restart", age_outlives_a_restart},
		{NULL, NULL},
	};

	log_level_set(getenv("GANTRY_TEST_LOG") != NULL ? LOG_LEVEL_DEBUG : LOG_LEVEL_ERROR);
	return check_main(argc, argv, "clock guard", tests);
}
