/* Vehicles that drive: no faster than they can, seen by a camera in reach, and clones far from whose plate they bear.
 */
#include "bench/journeys.h"

#include <errno.h>
#include <stdlib.h>

#include "appliance/base/prng.h"
#include "appliance/base/read.h"
#include "tests/check.h"

#define CAMERAS 3000
#define VEHICLES 2000
#define CLONES 50
#define NOW_US INT64_C(1795000000000000)

static void make(uint32_t clones, struct cameras *cameras, struct journeys *journeys)
{
	CHECK_INT(0, cameras_init(cameras, CAMERAS, check_seed()));
	CHECK_INT(0, journeys_init(journeys, cameras, VEHICLES, clones, check_seed()));
}

static void nobody_drives_too_fast(void)
{
	struct prng prng = {check_seed()};
	struct cameras cameras;
	struct journeys journeys;
	uint32_t seen = 0;

	make(CLONES, &cameras, &journeys);
	for (uint32_t vehicle = 0; vehicle < VEHICLES; vehicle++) {
		int64_t at_us = NOW_US + (int64_t)prng_below(&prng, (uint64_t)DAY_US);
		int64_t before_us = at_us;
		uint32_t last = JOURNEYS_NOWHERE;

		for (unsigned step = 0; step < 40; step++) {
			uint32_t camera = journeys_camera(&journeys, vehicle, at_us);

			if (camera != JOURNEYS_NOWHERE && last != JOURNEYS_NOWHERE) {
				/* Either camera stands up to its reach beside the way; 100 km/h, and the Earth is no
				 * plane. */
				double metres = journeys_metres(&cameras.table[last], &cameras.table[camera]);

				CHECK(metres < 2 * JOURNEYS_REACH_M + 30.0 * (double)(at_us - before_us) / 1e6);
				seen++;
			}
			if (camera != JOURNEYS_NOWHERE) {
				last = camera;
				before_us = at_us;
			}
			/* On another day it is at the same place at the same time. */
			CHECK_INT(camera, journeys_camera(&journeys, vehicle, at_us + DAY_US));
			at_us += 1 + (int64_t)prng_below(&prng, 600000000);
		}
	}
	CHECK(seen > VEHICLES * 5);
	journeys_fini(&journeys);
	cameras_fini(&cameras);
}

static void clones_are_far_from_whose_plate_they_bear(void)
{
	struct cameras cameras;
	struct journeys journeys;
	uint32_t clones = 0;

	make(CLONES, &cameras, &journeys);
	for (uint32_t vehicle = 0; vehicle < VEHICLES; vehicle++)
		clones += journeys_plate(&journeys, vehicle) != vehicle;
	CHECK_INT(CLONES, clones);
	for (uint32_t i = 0; i < CLONES; i++) {
		uint32_t clone = journeys_clone(&journeys, i);

		CHECK_INT(clone + 1, journeys_plate(&journeys, clone));
		CHECK(journeys_metres(&cameras.table[journeys_home(&journeys, clone)],
				      &cameras.table[journeys_home(&journeys, clone + 1)]) >= JOURNEYS_APART_M);
	}
	journeys_fini(&journeys);
	cameras_fini(&cameras);
}

static void too_many_clones_are_refused(void)
{
	struct cameras cameras;
	struct journeys journeys;

	CHECK_INT(0, cameras_init(&cameras, CAMERAS, check_seed()));
	CHECK_INT(-EINVAL, journeys_init(&journeys, &cameras, VEHICLES, VEHICLES / 4 + 1, check_seed()));
	journeys_fini(&journeys);
	cameras_fini(&cameras);
}

int main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{"nobody drives too fast", nobody_drives_too_fast},
		{"clones are far from whose plate they bear", clones_are_far_from_whose_plate_they_bear},
		{"too many clones are refused", too_many_clones_are_refused},
		{NULL, NULL},
	};

	return check_main(argc, argv, "journeys", tests);
}
