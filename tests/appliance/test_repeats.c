/*
 * Cells and repeats, on several threads and in tables far too small: a first hit is never silenced, a torn cell is
 * never believed. To be run under ThreadSanitizer too.
 */
#include "appliance/repeats.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/prng.h"
#include "appliance/base/read.h"
#include "matcher/list.h"
#include "tests/check.h"

#define THREADS 4
#define NOW_US INT64_C(1795000000000000)
#define SECOND_US INT64_C(1000000)

static struct read read_at(uint32_t vehicle, uint32_t camera, int64_t time_us)
{
	struct read read = {.camera = camera, .capture_us = time_us, .receipt_us = time_us};

	memcpy(read.key, &vehicle, sizeof(vehicle));
	return read;
}

#define ENTRY 3

static struct hit_rule rule_of(uint32_t list, uint16_t minutes)
{
	return (struct hit_rule){.list = list, .suppress_minutes = minutes, .suppress_scope = LIST_SCOPE_CAMERA};
}

static struct repeat repeat_at(const struct cells *cells, const struct hit_rule *rule, const struct read *read)
{
	return repeat_of(cells, rule, ENTRY, (struct hit_spot){(int32_t)read->camera, 0}, read);
}

/* True: told. */
static bool tell(struct cells *cells, const struct hit_rule *rule, const struct read *read)
{
	struct repeat repeat = repeat_at(cells, rule, read);

	if (repeat_told(cells, &repeat))
		return false;
	(void)repeat_note(cells, &repeat);
	return true;
}

static void repeats_run_from_the_one_that_was_told(void)
{
	const struct hit_rule rule = rule_of(7, 10), other = rule_of(8, 10);
	struct hit_rule replaced = rule;
	struct repeat repeat;
	struct cells *cells;

	CHECK_INT(0, cells_new(1 << 16, &cells));
	for (int64_t s = 0; s < 3000; s += 50) { /* every 50 s: told each ten minutes */
		struct read read = read_at(1, 2, NOW_US + s * SECOND_US);

		CHECK_INT(s % 600 == 0, tell(cells, &rule, &read));
	}
	struct read read = read_at(1, 3, NOW_US + 2990 * SECOND_US);
	CHECK(tell(cells, &rule, &read)); /* another camera */
	read.camera = 2;
	CHECK(!tell(cells, &rule, &read));
	CHECK(tell(cells, &other, &read)); /* another list */
	repeat = repeat_of(cells, &rule, ENTRY + 1, (struct hit_spot){2, 0}, &read);
	CHECK(!repeat_told(cells, &repeat)); /* another entry of it */
	replaced.generation++;
	CHECK(tell(cells, &replaced, &read)); /* the list replaced whole */
	read.key[8] = 1;
	CHECK(tell(cells, &rule, &read)); /* another vehicle */
	(void)cells_free(cells);
}

/* What is noted by asking alone is nothing: a hit that was pushed back is not told. */
static void asking_notes_nothing(void)
{
	const struct hit_rule rule = rule_of(7, 10);
	const struct read read = read_at(1, 2, NOW_US);
	struct cells *cells;
	struct repeat repeat;

	CHECK_INT(0, cells_new(1 << 16, &cells));
	repeat = repeat_at(cells, &rule, &read);
	CHECK(!repeat_told(cells, &repeat));
	CHECK(!repeat_told(cells, &repeat));
	CHECK(!repeat_note(cells, &repeat));
	CHECK(repeat_told(cells, &repeat));
	(void)cells_free(cells);
}

static void late_reads_and_live_ones_do_not_silence_each_other(void)
{
	const struct hit_rule rule = rule_of(7, 30);
	struct read live = read_at(1, 2, NOW_US);
	struct read late = read_at(1, 2, NOW_US - 3600 * SECOND_US);
	struct cells *cells;

	CHECK_INT(0, cells_new(1 << 16, &cells));
	late.receipt_us = NOW_US;
	CHECK(tell(cells, &rule, &late));
	CHECK(tell(cells, &rule, &live));
	/* Later and earlier than the late one that was told: repeats; half an hour away: not. */
	late.capture_us += 1000 * SECOND_US;
	CHECK(!tell(cells, &rule, &late));
	late.capture_us -= 2000 * SECOND_US;
	CHECK(!tell(cells, &rule, &late));
	late.capture_us -= 800 * SECOND_US;
	CHECK(tell(cells, &rule, &late));
	/* Not late yet: its receipt counts. */
	live.capture_us -= REPEATS_LATE_US - 1;
	CHECK(!tell(cells, &rule, &live));
	(void)cells_free(cells);
}

/* ---- many threads: no first is silenced */

#define VEHICLES 3000
#define STEPS 60000

struct storm {
	struct cells *cells;
	_Atomic int64_t *told_us; /* by vehicle: receipt of one that was told, written before it is noted */
	struct prng prng;
	uint64_t told;
	uint64_t silenced;
	uint64_t wrong;
};

/*
 * Whatever is silenced was told within the minutes before it. Every thread says so to the others before it notes, and
 * keeps all that it told, not only the last: `told` of a vehicle are minutes, a bit each.
 */
static void *storm_run(void *context)
{
	struct storm *storm = context;
	const struct hit_rule rule = rule_of(7, 1);

	for (unsigned step = 0; step < STEPS; step++) {
		uint32_t vehicle = (uint32_t)prng_below(&storm->prng, VEHICLES);
		int64_t second = (int64_t)(step / 100) + (int64_t)prng_below(&storm->prng, 3);
		struct read read = read_at(vehicle, 2, NOW_US + second * SECOND_US);
		struct repeat repeat = repeat_at(storm->cells, &rule, &read);
		_Atomic int64_t *told = &storm->told_us[(size_t)vehicle * 1024];

		if (!repeat_told(storm->cells, &repeat)) {
			atomic_store(&told[second], 1);
			(void)repeat_note(storm->cells, &repeat);
			storm->told++;
			continue;
		}
		bool right = false;
		for (int64_t at = second - 59; at < second + 60 && !right; at++)
			right = at >= 0 && at < 1024 && atomic_load(&told[at]) != 0;
		storm->wrong += !right;
		storm->silenced++;
	}
	return NULL;
}

static void storm_in(size_t table_size, bool expect_some)
{
	struct storm storms[THREADS];
	pthread_t threads[THREADS];
	struct cells *cells;
	_Atomic int64_t *told = calloc((size_t)VEHICLES * 1024, sizeof(*told));
	uint64_t silenced = 0;

	CHECK(told != NULL);
	CHECK_INT(0, cells_new(table_size, &cells));
	for (unsigned i = 0; i < THREADS; i++) {
		storms[i] = (struct storm){.cells = cells, .told_us = told, .prng = {check_seed() + i}};
		CHECK_INT(0, pthread_create(&threads[i], NULL, storm_run, &storms[i]));
	}
	for (unsigned i = 0; i < THREADS; i++) {
		CHECK_INT(0, pthread_join(threads[i], NULL));
		CHECK_INT(0, storms[i].wrong);
		silenced += storms[i].silenced;
	}
	CHECK(!expect_some || silenced > STEPS / 2);
	(void)cells_free(cells);
	free(told);
}

static void no_first_is_lost_in_a_storm(void)
{
	storm_in(1 << 20, true);
}

static void no_first_is_lost_in_a_tiny_table(void)
{
	storm_in(CELLS_SET_SIZE, false);
	storm_in(4 * CELLS_SET_SIZE, false);
}

/* ---- torn cells */

#define TORN_STEPS 300000
#define TORN_KEYS 64

struct tearing {
	struct cells *cells;
	struct prng prng;
	uint64_t found;
	uint64_t wrong;
};

/* A value says whose it is: one under another key would be a torn cell that was believed. */
static void *tear(void *context)
{
	struct tearing *tearing = context;

	for (unsigned step = 0; step < TORN_STEPS; step++) {
		uint32_t name = 1 + (uint32_t)prng_below(&tearing->prng, TORN_KEYS);
		struct cell_key key = cells_key(tearing->cells, &name, sizeof(name));
		uint64_t value = cells_get(tearing->cells, key);

		tearing->found += value != 0;
		tearing->wrong += value != 0 && (uint32_t)value != name;
		if (prng_chance(&tearing->prng, 20))
			cells_remove(tearing->cells, key);
		else
			(void)cells_put(tearing->cells, key, prng_below(&tearing->prng, 1 << 20) << 32 | name, 0);
	}
	return NULL;
}

static void torn_cells_are_nobodys(void)
{
	struct tearing tearings[THREADS];
	pthread_t threads[THREADS];
	struct cells *cells;
	uint64_t found = 0;

	CHECK_INT(0, cells_new(1, &cells));
	CHECK_INT(CELLS_SET_SIZE, cells_size(cells));
	for (unsigned i = 0; i < THREADS; i++) {
		tearings[i] = (struct tearing){.cells = cells, .prng = {check_seed() ^ i}};
		CHECK_INT(0, pthread_create(&threads[i], NULL, tear, &tearings[i]));
	}
	for (unsigned i = 0; i < THREADS; i++) {
		CHECK_INT(0, pthread_join(threads[i], NULL));
		CHECK_INT(0, tearings[i].wrong);
		found += tearings[i].found;
	}
	CHECK(found > 0);
	(void)cells_free(cells);
}

/* Against a list of all that was put: what is there is right, and of a full set the lowest goes. */
static void a_full_set_gives_up_its_lowest(void)
{
	struct cells *cells;
	uint64_t evicted = 0;

	CHECK_INT(0, cells_new(CELLS_SET_SIZE, &cells));
	for (uint32_t name = 1; name <= 100; name++) {
		evicted += cells_put(cells, cells_key(cells, &name, sizeof(name)), (uint64_t)name << 32,
				     UINT64_C(50) << 32);
		for (uint32_t old = 1; old <= name; old++)
			CHECK_INT(old + CELLS_WAYS > name ? (long long)old << 32 : 0,
				  cells_get(cells, cells_key(cells, &old, sizeof(old))));
	}
	CHECK_INT(100 - CELLS_WAYS - 50 + 1, evicted);
	(void)cells_free(cells);
}

int main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{"repeats run from the one that was told", repeats_run_from_the_one_that_was_told},
		{"asking notes nothing", asking_notes_nothing},
		{"late reads and live ones do not silence each other",
		 late_reads_and_live_ones_do_not_silence_each_other},
		{"no first is lost in a storm", no_first_is_lost_in_a_storm},
		{"no first is lost in a tiny table", no_first_is_lost_in_a_tiny_table},
		{"torn cells are nobody's", torn_cells_are_nobodys},
		{"a full set gives up its lowest", a_full_set_gives_up_its_lowest},
		{NULL, NULL},
	};

	return check_main(argc, argv, "repeats", tests);
}
