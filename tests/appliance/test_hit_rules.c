/* Conditions of lists, against an evaluation that looks at everything anew; local time, against libc. */
#include "appliance/hit_rules.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "appliance/base/prng.h"
#include "appliance/base/read.h"
#include "matcher/list.h"
#include "tests/check.h"

#define CAMERAS 40
#define LISTS 12
#define ROUNDS 30
#define READS 400
#define NOW_S INT64_C(1795000000) /* November 2026 */
#define HOUR_US INT64_C(3600000000)

static struct err err;

static int64_t utc(const char *text)
{
	struct tm tm = {0};

	CHECK(strptime(text, "%Y-%m-%d %H:%M:%S", &tm) != NULL);
	return (int64_t)timegm(&tm) * 1000000;
}

static unsigned at(unsigned day, unsigned hour, unsigned minute)
{
	return (day * 24 + hour) * 60 + minute;
}

static void summer_time_comes_and_goes(void)
{
	struct zone zone;

	CHECK_INT(0, zone_load("Europe/London", NOW_S, &err, &zone));
	/* Sunday 2027-03-28, 01:00 UTC: clocks go from 01:00 to 02:00. */
	CHECK_INT(at(6, 0, 59), zone_minute_of_week(&zone, utc("2027-03-28 00:59:59") + 999999));
	CHECK_INT(at(6, 2, 0), zone_minute_of_week(&zone, utc("2027-03-28 01:00:00")));
	/* Sunday 2026-10-25, 01:00 UTC: from 02:00 back to 01:00, so that an hour comes twice. */
	CHECK_INT(at(6, 1, 59), zone_minute_of_week(&zone, utc("2026-10-25 00:59:59")));
	CHECK_INT(at(6, 1, 0), zone_minute_of_week(&zone, utc("2026-10-25 01:00:00")));
	/* From Sunday night into Monday, in summer: the week begins an hour before UTC's. */
	CHECK_INT(at(0, 0, 0), zone_minute_of_week(&zone, utc("2026-07-05 23:00:00")));
	CHECK_INT(at(6, 23, 59), zone_minute_of_week(&zone, utc("2026-07-05 22:59:00")));
}

/* Any moment of two years back and forty ahead, in zones with and without summer time, also with half hours. */
static void zones_agree_with_libc(void)
{
	static const char *const names[] = {"Europe/London", "UTC", "Asia/Kolkata", "Australia/Lord_Howe",
					    "America/New_York"};
	struct prng prng = {check_seed()};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct zone zone;

		CHECK_INT(0, zone_load(names[i], NOW_S, &err, &zone));
		(void)setenv("TZ", names[i], 1);
		tzset();
		for (int j = 0; j < 20000; j++) {
			time_t moment = (time_t)(NOW_S - 2 * 365 * 86400 +
						 (int64_t)prng_below(&prng, INT64_C(42) * 365 * 86400));
			struct tm tm;

			CHECK(localtime_r(&moment, &tm) != NULL);
			CHECK_INT(at((unsigned)(tm.tm_wday + 6) % 7, (unsigned)tm.tm_hour, (unsigned)tm.tm_min),
				  zone_minute_of_week(&zone, (int64_t)moment * 1000000));
		}
		(void)unsetenv("TZ");
		tzset();
	}
}

static void unknown_zones_are_refused(void)
{
	static const char *const bad[] = {
		"", "Europe/Londinium", "../../etc/passwd", "/etc/localtime", ":UTC", "tzdata.zi", "Europe"};
	struct zone zone = {.count = 77};

	(void)setenv("TZ", "Asia/Tokyo", 1);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		CHECK(zone_load(bad[i], NOW_S, &err, &zone) < 0);
		CHECK_INT(77, zone.count);
	}
	CHECK_INT(0, zone_load("Europe/London", NOW_S, &err, &zone));
	CHECK_STR("Asia/Tokyo", getenv("TZ"));
	(void)unsetenv("TZ");
	tzset();
}

/* ---- conditions */

struct world {
	struct prng prng;
	struct places places;
	struct list *lists[LISTS];
	size_t list_count;
	struct zone zone;
};

static struct area_point somewhere(struct prng *prng)
{
	return (struct area_point){515000000 + (int32_t)prng_below(prng, 4000000) - 2000000,
				   (int32_t)prng_below(prng, 6000000) - 3000000};
}

static void make_places(struct world *world, unsigned count)
{
	CHECK_INT(0, places_init(&world->places, count));
	for (unsigned i = 0; i < count; i++)
		places_add(&world->places, 100 + i * 3, somewhere(&world->prng), (uint8_t)prng_below(&world->prng, 5),
			   0);
}

static void area_make(struct prng *prng, char *text, size_t size)
{
	struct area_point points[3] = {somewhere(prng), somewhere(prng), somewhere(prng)};

	if (prng_chance(prng, 500))
		(void)snprintf(text, size, "circle %.7f,%.7f,%u", points[0].lat_e7 / 1e7, points[0].lon_e7 / 1e7,
			       1000 + (unsigned)prng_below(prng, 12000));
	else
		(void)snprintf(text, size, "polygon %.7f,%.7f %.7f,%.7f %.7f,%.7f", points[0].lat_e7 / 1e7,
			       points[0].lon_e7 / 1e7, points[1].lat_e7 / 1e7, points[1].lon_e7 / 1e7,
			       points[2].lat_e7 / 1e7, points[2].lon_e7 / 1e7);
}

static struct list *list_make(struct prng *prng, uint32_t id)
{
	struct list_info info = {.id = id, .version = 1, .priority = 50};
	struct list_options options = {0};
	struct list *list;
	char text[128];

	(void)snprintf(info.name, sizeof(info.name), "list %u", id);
	info.suppress_scope = (enum list_scope)prng_below(prng, LIST_SCOPE_COUNT);
	info.suppress_minutes = 30;
	if (prng_chance(prng, 400))
		info.conditions.directions = (uint8_t)(1 + prng_below(prng, 7));
	if (prng_chance(prng, 400))
		info.conditions.camera_types = (uint8_t)(1 + prng_below(prng, 31));
	for (uint64_t i = prng_chance(prng, 500) ? prng_below(prng, 4) : 0; i > 0; i--) {
		struct list_window *window = &info.conditions.windows[info.conditions.window_count++];

		*window = (struct list_window){.days = (uint8_t)(1 + prng_below(prng, 127)),
					       .from_minute = (uint16_t)prng_below(prng, 720),
					       .to_minute = (uint16_t)(720 + prng_below(prng, 721))};
		if (prng_chance(prng, 300)) /* over midnight */
			*window = (struct list_window){window->days, window->to_minute % 1440, window->from_minute};
	}
	for (uint64_t i = prng_chance(prng, 500) ? prng_below(prng, 4) : 0; i > 0; i--) {
		area_make(prng, text, sizeof(text));
		CHECK_INT(0, list_area_add(&info.conditions, text, &err));
	}
	CHECK_INT(0, list_load_csv(&info, "vrm\nAB12CDE\n", 12, &options, NULL, &err, &list));
	return list;
}

static struct read read_make(struct world *world)
{
	struct prng *prng = &world->prng;
	struct read read = {
		.capture_us = NOW_S * 1000000 + (int64_t)prng_below(prng, 400 * 24) * HOUR_US - 200 * 24 * HOUR_US,
		.camera = 100 + 3 * (uint32_t)prng_below(prng, world->places.count + 1), /* one is unknown */
		.direction = (uint8_t)prng_below(prng, 3)};

	if (prng_chance(prng, 300)) {
		struct area_point point = somewhere(prng);

		read.flags |= READ_FLAG_POSITION;
		read.lat_e7 = point.lat_e7;
		read.lon_e7 = point.lon_e7;
	}
	return read;
}

/* By libc's local time, parsing areas anew, minute by minute: no table, no shortcut. */
static bool plain_admits(const struct world *world, const struct list_info *info, const struct read *read)
{
	const struct list_conditions *conditions = &info->conditions;
	const struct place *place = NULL;
	time_t moment = (time_t)(read->capture_us / 1000000);
	struct area_point point = {read->lat_e7, read->lon_e7};
	bool known = (read->flags & READ_FLAG_POSITION) != 0;
	bool in_hours = conditions->window_count == 0, in_area = conditions->area_count == 0;
	struct tm tm;

	for (size_t i = 0; i < world->places.count; i++)
		if (world->places.table[i].camera == read->camera)
			place = &world->places.table[i];
	if (conditions->directions != 0 && (conditions->directions >> read->direction & 1) == 0)
		return false;
	if (conditions->camera_types != 0 && (place == NULL || (conditions->camera_types >> place->type & 1) == 0))
		return false;
	if (!known && place != NULL) {
		known = true;
		point = place->point;
	}
	for (unsigned i = 0; known && i < conditions->area_count; i++) {
		struct area area;

		CHECK_INT(0, area_parse(list_area_text(conditions, i), &err, &area));
		in_area = in_area || area_contains(&area, point);
	}
	CHECK(localtime_r(&moment, &tm) != NULL);
	for (unsigned i = 0; i < conditions->window_count; i++) {
		const struct list_window *window = &conditions->windows[i];
		unsigned now = at((unsigned)(tm.tm_wday + 6) % 7, (unsigned)tm.tm_hour, (unsigned)tm.tm_min);

		for (unsigned day = 0; day < 7; day++) {
			unsigned size = (window->to_minute + 1440u - window->from_minute) % 1440;
			unsigned after = (now + 7 * 1440 - at(day, 0, window->from_minute)) % (7 * 1440);

			if ((window->days >> day & 1) != 0 && after < (size == 0 ? 1440 : size))
				in_hours = true;
		}
	}
	return in_hours && in_area;
}

static struct hit_rules *rules_make(struct world *world, const struct hit_rules *old)
{
	const struct hit_rules_options options = {
		.places = &world->places, .zone = &world->zone, .old = old, .clone_minutes = 60};
	struct hit_rules *rules;

	CHECK_INT(0, hit_rules_new((const struct list *const *)world->lists, world->list_count, &options, &rules));
	return rules;
}

static uint64_t compare(struct world *world, const struct hit_rules *rules)
{
	uint64_t admitted = 0;

	for (unsigned i = 0; i < READS; i++) {
		struct read read = read_make(world);

		for (size_t j = 0; j < world->list_count; j++) {
			bool admits = hit_gate_admits(rules, &world->places, list_info(world->lists[j])->id, &read);

			CHECK_INT(plain_admits(world, list_info(world->lists[j]), &read), admits);
			admitted += admits;
		}
		CHECK(hit_gate_admits(rules, &world->places, 0, &read));
		CHECK(hit_gate_admits(rules, &world->places, 9999, &read));
	}
	return admitted;
}

/* Rules made over and over of lists and cameras that change now and then: what is shared must still be right. */
static void conditions_are_those_of_a_plain_evaluation(void)
{
	struct world world = {.prng = {check_seed()}};
	struct hit_rules *rules = NULL;
	uint64_t admitted = 0;

	CHECK_INT(0, zone_load("Europe/London", NOW_S, &err, &world.zone));
	(void)setenv("TZ", "Europe/London", 1);
	tzset();
	make_places(&world, CAMERAS);
	for (; world.list_count < LISTS; world.list_count++)
		world.lists[world.list_count] = list_make(&world.prng, 1 + (uint32_t)world.list_count * 7);
	for (unsigned round = 0; round < ROUNDS; round++) {
		struct hit_rules *fresh;
		size_t changed = (size_t)prng_below(&world.prng, LISTS);

		if (prng_chance(&world.prng, 300)) {
			places_fini(&world.places);
			make_places(&world, CAMERAS / 2 + (unsigned)prng_below(&world.prng, CAMERAS));
		}
		(void)list_free(world.lists[changed]);
		world.lists[changed] = list_make(&world.prng, 1 + (uint32_t)changed * 7);
		fresh = rules_make(&world, rules);
		(void)hit_rules_free(rules);
		rules = fresh;
		admitted += compare(&world, rules);
	}
	CHECK(admitted > 1000); /* or nothing was compared */
	CHECK(admitted < (uint64_t)ROUNDS * READS * LISTS - 1000);
	(void)hit_rules_free(rules);
	for (size_t i = 0; i < LISTS; i++)
		(void)list_free(world.lists[i]);
	places_fini(&world.places);
	(void)unsetenv("TZ");
	tzset();
}

static struct hit_spot spot(enum list_scope scope, struct hit_ground *ground, const struct places *places,
			    uint32_t camera)
{
	const struct hit_rule rule = {.list = 3, .suppress_scope = (uint8_t)scope, .ground = ground};
	const struct read read = {.camera = camera};

	return hit_rule_spot(&rule, places, places_find(places, camera), &read);
}

static bool same(struct hit_spot a, struct hit_spot b)
{
	return a.a == b.a && a.b == b.b;
}

static void spots_are_cameras_areas_and_anywhere(void)
{
	struct list_info info = {.id = 3, .version = 1, .name = "roads", .suppress_scope = LIST_SCOPE_AREA};
	struct world world = {.list_count = 1};
	struct list_options options = {0};
	struct hit_rules *rules;
	struct hit_ground *ground;

	zone_utc(&world.zone);
	CHECK_INT(0, places_init(&world.places, 4));
	places_add(&world.places, 1, (struct area_point){515000000, -10}, 0, 0);
	places_add(&world.places, 2, (struct area_point){515000100, -20}, 0, 0);
	places_add(&world.places, 3, (struct area_point){515000100, 20}, 0, 0); /* over the meridian: another tile */
	places_add(&world.places, 4, (struct area_point){535000000, -10}, 0, 0);
	CHECK(same(spot(LIST_SCOPE_CAMERA, NULL, &world.places, 1), spot(LIST_SCOPE_CAMERA, NULL, &world.places, 1)));
	CHECK(!same(spot(LIST_SCOPE_CAMERA, NULL, &world.places, 1), spot(LIST_SCOPE_CAMERA, NULL, &world.places, 2)));
	CHECK(same(spot(LIST_SCOPE_ANYWHERE, NULL, &world.places, 1),
		   spot(LIST_SCOPE_ANYWHERE, NULL, &world.places, 4)));
	CHECK(same(spot(LIST_SCOPE_AREA, NULL, &world.places, 1), spot(LIST_SCOPE_AREA, NULL, &world.places, 2)));
	CHECK(!same(spot(LIST_SCOPE_AREA, NULL, &world.places, 2), spot(LIST_SCOPE_AREA, NULL, &world.places, 3)));
	CHECK(!same(spot(LIST_SCOPE_AREA, NULL, &world.places, 1), spot(LIST_SCOPE_AREA, NULL, &world.places, 4)));
	CHECK(!same(spot(LIST_SCOPE_AREA, NULL, &world.places, 77), spot(LIST_SCOPE_AREA, NULL, &world.places, 78)));
	/* The list's own areas, where it has some. */
	CHECK_INT(0, list_area_add(&info.conditions, "circle 51.5,0,20000", &err));
	CHECK_INT(0, list_area_add(&info.conditions, "circle 53.5,0,20000", &err));
	CHECK_INT(0, list_load_csv(&info, "vrm\nAB12CDE\n", 12, &options, NULL, &err, &world.lists[0]));
	rules = rules_make(&world, NULL);
	ground = rules->rules[1].ground;
	CHECK(ground != NULL);
	CHECK(same(spot(LIST_SCOPE_AREA, ground, &world.places, 2), spot(LIST_SCOPE_AREA, ground, &world.places, 3)));
	CHECK(!same(spot(LIST_SCOPE_AREA, ground, &world.places, 1), spot(LIST_SCOPE_AREA, ground, &world.places, 4)));
	(void)hit_rules_free(rules);
	(void)list_free(world.lists[0]);
	places_fini(&world.places);
}

int main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{"summer time comes and goes", summer_time_comes_and_goes},
		{"zones agree with libc", zones_agree_with_libc},
		{"unknown zones are refused", unknown_zones_are_refused},
		{"conditions are those of a plain evaluation", conditions_are_those_of_a_plain_evaluation},
		{"spots are cameras, areas and anywhere", spots_are_cameras_areas_and_anywhere},
		{NULL, NULL},
	};

	return check_main(argc, argv, "rules of hits", tests);
}
