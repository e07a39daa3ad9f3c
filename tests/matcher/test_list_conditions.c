/* The conditions of a list's head: what is written is what holds. */
#include "matcher/list_conditions.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "appliance/base/err.h"
#include "appliance/base/prng.h"
#include "tests/check.h"

static struct err err;

static unsigned at(unsigned day, unsigned hour, unsigned minute)
{
	return day * LIST_DAY_MINUTES + hour * 60 + minute;
}

static struct list_conditions in_hours(const char *text)
{
	struct list_conditions conditions = {.window_count = 1};

	CHECK_INT(0, list_window_parse(text, &err, &conditions.windows[0]));
	CHECK_INT(0, list_conditions_check(&conditions, &err));
	return conditions;
}

static bool holds(const char *hours, unsigned minute)
{
	struct list_conditions conditions = in_hours(hours);

	return list_conditions_hold(&conditions, minute, 0, 0);
}

static void hours_hold(void)
{
	CHECK(holds("mon-fri 08:00-18:00", at(0, 8, 0)));
	CHECK(!holds("mon-fri 08:00-18:00", at(0, 7, 59)));
	CHECK(!holds("mon-fri 08:00-18:00", at(4, 18, 0)));
	CHECK(!holds("mon-fri 08:00-18:00", at(5, 12, 0)));
	CHECK(holds("fri-mon 08:00-18:00", at(6, 12, 0)));
	CHECK(holds("fri-mon 08:00-18:00", at(0, 12, 0)));
	CHECK(!holds("fri-mon 08:00-18:00", at(1, 12, 0)));
	CHECK(holds("00:00-24:00", at(3, 23, 59)));
	/* Over midnight: of the day on which it began, from Sunday into Monday too. */
	CHECK(holds("sun 22:00-06:00", at(6, 23, 0)));
	CHECK(holds("sun 22:00-06:00", at(0, 5, 59)));
	CHECK(!holds("sun 22:00-06:00", at(0, 6, 0)));
	CHECK(!holds("sun 22:00-06:00", at(6, 5, 0)));
}

static void bad_hours_are_refused(void)
{
	static const char *const bad[] = {"",
					  "mon",
					  "mon 8:00-9:00",
					  "mon 08:00",
					  "mon 08:00-08:00",
					  "24:00-06:00",
					  "08:00-24:01",
					  "08:60-09:00",
					  "mon- 08:00-09:00",
					  "mon,08:00-09:00",
					  "xyz 08:00-09:00",
					  "08:00-09:00 ",
					  "mon  08:00-09:00",
					  "mon08:00-09:00"};
	struct list_window window = {.days = 42};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (list_window_parse(bad[i], &err, &window) != -EINVAL)
			check_note("\"%s\" was taken", bad[i]);
		CHECK_INT(-EINVAL, list_window_parse(bad[i], &err, &window));
	}
	CHECK_INT(42, window.days);
}

static void any_bytes_are_safe_as_hours(void)
{
	static const char likely[] = "montuewedfrisatsun,- 0123456789:";
	struct prng prng = {check_seed()};
	unsigned taken = 0;

	for (int turn = 0; turn < 300000; turn++) {
		char text[40] = "mon-fri 08:00-18:00", again[LIST_WINDOW_TEXT_SIZE];
		struct list_window window, back;

		for (uint64_t i = prng_below(&prng, 4); i > 0; i--)
			text[prng_below(&prng, 20)] = prng_chance(&prng, 900)
							      ? likely[prng_below(&prng, sizeof(likely))]
							      : (char)prng_next(&prng);
		if (list_window_parse(text, &err, &window) != 0)
			continue;
		taken++;
		CHECK_INT(0, list_window_parse(list_window_text(&window, again), &err, &back));
		CHECK_INT(window.days, back.days);
		CHECK_INT(window.from_minute, back.from_minute);
		CHECK_INT(window.to_minute, back.to_minute);
	}
	CHECK(taken > 1000);
}

static void directions_and_types_hold(void)
{
	struct list_conditions conditions = {0};

	CHECK(list_conditions_hold(&conditions, 0, 2, 200));
	conditions.directions = 1 << 1;
	CHECK(list_conditions_hold(&conditions, 0, 1, 0));
	CHECK(!list_conditions_hold(&conditions, 0, 2, 0));
	CHECK(!list_conditions_hold(&conditions, 0, 9, 0));
	conditions.camera_types = 1 << 4 | 1;
	CHECK(list_conditions_hold(&conditions, 0, 1, 4));
	CHECK(!list_conditions_hold(&conditions, 0, 1, 1));
	CHECK(!list_conditions_hold(&conditions, 0, 1, 8));
	conditions.directions = 1 << 3;
	CHECK_INT(-EINVAL, list_conditions_check(&conditions, &err));
}

static void areas_are_kept_as_written(void)
{
	struct list_conditions conditions = {0};
	char text[LIST_AREAS_SIZE] = "";

	for (int i = 0; i < LIST_AREAS_MAX; i++) {
		memset(text, 'a' + i, 100);
		CHECK_INT(0, list_area_add(&conditions, text, &err));
	}
	CHECK_INT(-E2BIG, list_area_add(&conditions, text, &err));
	CHECK_INT('c', list_area_text(&conditions, 2)[99]);
	CHECK_INT(0, list_conditions_check(&conditions, &err));
	memset(&conditions, 0, sizeof(conditions));
	memset(text, 'x', sizeof(text) - 1);
	CHECK_INT(0, list_area_add(&conditions, text, &err));
	CHECK_INT(-E2BIG, list_area_add(&conditions, "y", &err));
	CHECK_INT(1, conditions.area_count);
	conditions.areas[LIST_AREAS_SIZE - 1] = 'x';
	CHECK_INT(-EINVAL, list_conditions_check(&conditions, &err));
}

int main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{"hours hold", hours_hold},
		{"bad hours are refused", bad_hours_are_refused},
		{"any bytes are safe as hours", any_bytes_are_safe_as_hours},
		{"directions and types hold", directions_and_types_hold},
		{"areas are kept as written", areas_are_kept_as_written},
		{NULL, NULL},
	};

	return check_main(argc, argv, "list_conditions", tests);
}
