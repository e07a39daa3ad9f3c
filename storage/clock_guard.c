/*
 * At each look the wall clock is compared with where it should be: the last look's wall time plus what the monotonic
 * clock has passed since; at the start, the last trusted time of the file. The anchor moves with every look, so that
 * slewing never adds up to a jump; while there is suspicion the file keeps the last time that was trusted, so that a
 * restart does not take a wrong clock for the right one.
 */
#include "storage/clock_guard.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define LOG_MODULE "clock"
#include "appliance/base/bytes.h"
#include "appliance/base/log.h"
#include "storage/layout.h"
#include "storage/small_file.h"

#define FILE_MAGIC UINT64_C(0x314b4c43524e4147) /* "GANRCLK1" */
#define FILE_VERSION 1
#define FILE_SIZE 40
#define SAVE_INTERVAL_NS (INT64_C(60) * 1000000000)

struct clock_guard {
	struct clock_guard_options options;
	struct clock_source clock;
	char directory[LAYOUT_PATH_SIZE];
	_Atomic int64_t floor_us; /* the latest trusted time; written under the mutex */
	pthread_mutex_t mutex;    /* guards all below */
	enum clock_trust trust;
	int64_t trusted_us; /* the last time under trust; 0 none */
	int64_t wall_us;    /* of the last look */
	int64_t mono_ns;
	int64_t well_ns; /* since when all has been well, while under suspicion; INT64_MIN: it is not */
	int64_t saved_ns;
	int64_t jump_us; /* the last one */
	bool saved;
};

static int file_read(struct io *io, const char *directory, enum clock_trust *ret_trust, int64_t *ret_us)
{
	uint8_t bytes[FILE_SIZE + 1];
	size_t size;
	int result = small_file_read(io, directory, LAYOUT_CLOCK, bytes, sizeof(bytes), &size);

	if (result < 0)
		return result;
	if (size != FILE_SIZE || le64_get(bytes) != FILE_MAGIC || le32_get(bytes + 8) != FILE_VERSION ||
	    le32_get(bytes + 12) >= CLOCK_TRUST_COUNT ||
	    le64_get(bytes + FILE_SIZE - 8) != XXH3_64bits(bytes, FILE_SIZE - 8))
		return -EBADMSG;
	*ret_trust = (enum clock_trust)le32_get(bytes + 12);
	*ret_us = (int64_t)le64_get(bytes + 16);
	return 0;
}

int clock_guard_check(struct io *io, const char *directory)
{
	enum clock_trust trust;
	int64_t us;

	return file_read(io, directory, &trust, &us);
}

static void file_write(struct clock_guard *guard)
{
	uint8_t bytes[FILE_SIZE] = {0};
	int result;

	le64_put(bytes, FILE_MAGIC);
	le32_put(bytes + 8, FILE_VERSION);
	le32_put(bytes + 12, guard->trust);
	le64_put(bytes + 16, (uint64_t)guard->trusted_us);
	le64_put(bytes + FILE_SIZE - 8, XXH3_64bits(bytes, FILE_SIZE - 8));
	result = small_file_write(guard->options.io, guard->directory, LAYOUT_CLOCK, bytes, sizeof(bytes));
	if (result < 0 && guard->saved)
		log_warn("%s/" LAYOUT_CLOCK ": %s; after a restart the clock may be under suspicion", guard->directory,
			 strerror(-result));
	guard->saved = result == 0;
	guard->saved_ns = guard->mono_ns;
}

static bool far_apart(const struct clock_guard *guard, int64_t a_us, int64_t b_us)
{
	int64_t distance_us = a_us > b_us ? a_us - b_us : b_us - a_us;

	return distance_us > guard->options.jump_us;
}

static void suspect(struct clock_guard *guard, enum clock_trust why)
{
	/* What tells more stays: an unsynchronised clock that has jumped has jumped. */
	if (guard->trust == CLOCK_TRUSTED || why == CLOCK_JUMPED)
		guard->trust = why;
	guard->well_ns = INT64_MIN;
}

/* What the wall clock shows now against what was expected. */
static void judge(struct clock_guard *guard, int64_t wall_us, int64_t mono_ns)
{
	int64_t expected_us = guard->wall_us + (mono_ns - guard->mono_ns) / 1000;

	if (far_apart(guard, wall_us, expected_us)) {
		guard->jump_us = wall_us - expected_us;
		suspect(guard, CLOCK_JUMPED);
	} else if (!guard->options.always && !guard->clock.synchronised(guard->clock.context)) {
		suspect(guard, CLOCK_UNSYNCHRONISED);
	} else if (guard->trust != CLOCK_TRUSTED) {
		if (guard->well_ns == INT64_MIN || mono_ns - guard->mono_ns > CLOCK_GUARD_LOOK_MAX_NS)
			guard->well_ns = mono_ns;
		else if (mono_ns - guard->well_ns >= CLOCK_GUARD_RECOVERY_NS)
			guard->trust = CLOCK_TRUSTED;
	}
}

/* Steps too small for suspicion do not add up to a way back; what is right after suspicion is right. */
static void floor_move(struct clock_guard *guard, bool regained)
{
	if (regained || guard->trusted_us > atomic_load_explicit(&guard->floor_us, memory_order_relaxed))
		atomic_store_explicit(&guard->floor_us, guard->trusted_us, memory_order_relaxed);
}

static void look_locked(struct clock_guard *guard)
{
	enum clock_trust before = guard->trust;
	int64_t mono_ns = guard->clock.mono_ns(guard->clock.context);
	int64_t wall_us = guard->clock.wall_us(guard->clock.context);

	judge(guard, wall_us, mono_ns);
	guard->wall_us = wall_us;
	guard->mono_ns = mono_ns;
	if (guard->trust == CLOCK_TRUSTED)
		guard->trusted_us = wall_us;
	floor_move(guard, guard->trust == CLOCK_TRUSTED && before != CLOCK_TRUSTED);
	if (guard->trust != before || !guard->saved || mono_ns - guard->saved_ns >= SAVE_INTERVAL_NS)
		file_write(guard);
}

static void begin(struct clock_guard *guard)
{
	enum clock_trust trust = CLOCK_TRUSTED;
	int64_t last_us = 0;
	int result = file_read(guard->options.io, guard->directory, &trust, &last_us);

	guard->well_ns = INT64_MIN;
	guard->mono_ns = guard->clock.mono_ns(guard->clock.context);
	guard->wall_us = guard->clock.wall_us(guard->clock.context);
	guard->trusted_us = result == 0 ? last_us : 0;
	floor_move(guard, true);
	if (result < 0 && !(result == -ENOENT && guard->options.fresh) && !guard->options.always)
		suspect(guard, CLOCK_UNKNOWN);
	if (result == 0 && trust != CLOCK_TRUSTED && (trust == CLOCK_JUMPED || !guard->options.always))
		suspect(guard, trust);
	if (result == 0 && last_us != 0 && far_apart(guard, guard->wall_us, last_us)) {
		guard->jump_us = guard->wall_us - last_us;
		suspect(guard, CLOCK_JUMPED);
	}
	look_locked(guard);
}

int clock_guard_new(const struct clock_guard_options *options, struct clock_guard **ret_guard)
{
	struct clock_guard *guard;

	if (strlen(options->directory) >= LAYOUT_PATH_SIZE)
		return -ENAMETOOLONG;
	guard = calloc(1, sizeof(*guard));
	if (guard == NULL)
		return -ENOMEM;
	guard->options = *options;
	guard->clock = options->clock != NULL ? *options->clock : clock_source_real;
	strcpy(guard->directory, options->directory);
	(void)pthread_mutex_init(&guard->mutex, NULL);
	begin(guard);
	*ret_guard = guard;
	return 0;
}

struct clock_guard *clock_guard_free(struct clock_guard *guard)
{
	if (guard == NULL)
		return NULL;
	look_locked(guard);
	file_write(guard);
	(void)pthread_mutex_destroy(&guard->mutex);
	free(guard);
	return NULL;
}

static void explain(const struct clock_guard *guard, struct clock_guard_state *state)
{
	static const char *const whys[CLOCK_TRUST_COUNT] = {"", "the kernel does not call it synchronised",
							    "it has moved by", "the last time seen is not known"};
	char moved[48] = "";

	if (guard->trust == CLOCK_TRUSTED)
		return;
	if (guard->trust == CLOCK_JUMPED && guard->jump_us != 0)
		(void)snprintf(moved, sizeof(moved), " %+lld s", (long long)(guard->jump_us / 1000000));
	else if (guard->trust == CLOCK_JUMPED)
		(void)snprintf(moved, sizeof(moved), " more than is allowed, before the last restart");
	(void)snprintf(state->why, sizeof(state->why),
		       "the clock is under suspicion, nothing is purged: %s%s; trusted again after %lld synchronised "
		       "seconds",
		       whys[guard->trust], moved, (long long)state->remaining_s);
}

void clock_guard_look(struct clock_guard *guard, struct clock_guard_state *ret_state)
{
	struct clock_guard_state state = {0};

	pthread_mutex_lock(&guard->mutex);
	look_locked(guard);
	state.trust = guard->trust;
	state.now_us = guard->wall_us;
	state.last_us = guard->trusted_us;
	state.saved = guard->saved;
	if (guard->trust != CLOCK_TRUSTED)
		state.remaining_s = CLOCK_GUARD_RECOVERY_NS / 1000000000 -
				    (guard->well_ns == INT64_MIN ? 0 : (guard->mono_ns - guard->well_ns) / 1000000000);
	explain(guard, &state);
	pthread_mutex_unlock(&guard->mutex);
	*ret_state = state;
}

int64_t clock_guard_age_us(const struct clock_guard *guard, int64_t wall_us)
{
	int64_t floor_us = atomic_load_explicit(&guard->floor_us, memory_order_relaxed);

	return wall_us > floor_us ? wall_us : floor_us;
}
