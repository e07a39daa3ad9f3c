/* What time a request may look at: retention by the clock, open searches, and the two together, against plain rules. */
#include <errno.h>
#include <string.h>

#include "appliance/base/glob.h"
#include "appliance/base/prng.h"
#include "appliance/base/read.h"
#include "appliance/read_window.h"
#include "tests/check.h"

#define NOW (INT64_C(20779) * DAY_US + 12345678)
static const struct read_window_rules rules = {
	.now_us = NOW, .age_us = NOW, .retention_days = 365, .future_s = 600, .open_days = 31};
static const int64_t oldest = NOW - 365 * DAY_US;
static const int64_t newest = NOW + 600 * INT64_C(1000000);

static void the_whole_retention(void)
{
	struct read_window_ask ask = {.has_from = false};
	struct read_window window;
	struct err err = {""};

	CHECK_INT(0, read_window_set(&rules, &ask, &err, &window));
	CHECK_INT(oldest, window.from_us);
	CHECK_INT(newest, window.to_us);
}

/* The last instant that is seen, and the one before it. */
static void the_edge_of_the_retention(void)
{
	struct read_window_ask ask = {.has_to = true, .to_us = oldest + 1};
	struct read_window window = {1, 2};
	struct err err = {""};

	CHECK_INT(0, read_window_set(&rules, &ask, &err, &window));
	CHECK_INT(oldest, window.from_us);
	CHECK_INT(oldest + 1, window.to_us);
	ask.to_us = oldest;
	window = (struct read_window){1, 2};
	CHECK_INT(-EPERM, read_window_set(&rules, &ask, &err, &window));
	CHECK(strstr(err.text, "R34") != NULL && strstr(err.text, "365 days") != NULL);
	CHECK_INT(1, window.from_us);
	ask.has_from = true;
	ask.from_us = INT64_MIN;
	CHECK_INT(-EPERM, read_window_set(&rules, &ask, &err, &window));
	ask.to_us = INT64_MAX;
	CHECK_INT(0, read_window_set(&rules, &ask, &err, &window));
	CHECK_INT(oldest, window.from_us);
	CHECK_INT(newest, window.to_us);
	ask.from_us = INT64_MAX - 1;
	CHECK_INT(0, read_window_set(&rules, &ask, &err, &window));
	CHECK_INT(window.from_us, window.to_us); /* the future holds nothing */
	ask.from_us = ask.to_us;
	CHECK_INT(-EINVAL, read_window_set(&rules, &ask, &err, &window));
}

/* What was over age stays so; and what is captured meanwhile, by the clock that was set back, is seen. */
static void a_clock_set_back_opens_nothing(void)
{
	static const int64_t steps[] = {1, 3600 * INT64_C(1000000), 40 * DAY_US, 364 * DAY_US, 2000 * DAY_US};

	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		struct read_window_rules back = rules;
		struct read_window_ask ask = {.has_to = true, .to_us = oldest};
		struct read_window window;
		struct err err = {""};

		back.now_us -= steps[i];
		CHECK_INT(-EPERM, read_window_set(&back, &ask, &err, &window));
		ask.has_to = false;
		CHECK_INT(0, read_window_set(&back, &ask, &err, &window));
		CHECK_INT(newest - steps[i], window.to_us);
		CHECK_INT(oldest < window.to_us ? oldest : window.to_us, window.from_us);
		ask.open = true;
		CHECK_INT(0, read_window_set(&back, &ask, &err, &window));
		CHECK(window.from_us >= oldest || window.from_us == window.to_us);
	}
}

static void open_searches_are_short(void)
{
	struct read_window_ask ask = {.open = true};
	struct read_window window;
	struct err err = {""};

	CHECK_INT(0, read_window_set(&rules, &ask, &err, &window));
	CHECK_INT(newest - 31 * DAY_US, window.from_us);
	ask.has_to = true;
	ask.to_us = NOW - 100 * DAY_US;
	CHECK_INT(0, read_window_set(&rules, &ask, &err, &window));
	CHECK_INT(ask.to_us - 31 * DAY_US, window.from_us);
	ask.to_us = oldest + DAY_US;
	CHECK_INT(0, read_window_set(&rules, &ask, &err, &window));
	CHECK_INT(oldest, window.from_us);
	ask.has_from = true;
	ask.to_us = NOW - 100 * DAY_US;
	ask.from_us = ask.to_us - 31 * DAY_US;
	CHECK_INT(0, read_window_set(&rules, &ask, &err, &window));
	ask.from_us--;
	CHECK_INT(-EPERM, read_window_set(&rules, &ask, &err, &window));
	CHECK(strstr(err.text, "31 days") != NULL);
	ask.open = false;
	CHECK_INT(0, read_window_set(&rules, &ask, &err, &window));
}

/* Whatever is asked: nothing before the retention, nothing outside the question, and all of the question inside it. */
static void no_question_reaches_further(void)
{
	struct prng prng = {check_seed()};

	for (unsigned i = 0; i < 200000; i++) {
		struct read_window_ask ask = {.has_from = prng_chance(&prng, 500),
					      .has_to = prng_chance(&prng, 500),
					      .from_us = NOW - (int64_t)prng_below(&prng, 800 * DAY_US) + 60 * DAY_US,
					      .to_us = NOW - (int64_t)prng_below(&prng, 800 * DAY_US) + 60 * DAY_US,
					      .open = prng_chance(&prng, 300)};
		struct read_window window;
		struct err err = {""};
		int status = read_window_set(&rules, &ask, &err, &window);
		int64_t instant = NOW - (int64_t)prng_below(&prng, 500 * DAY_US);
		bool inside;

		CHECK(status == 0 || err.text[0] != '\0');
		if (status != 0)
			continue;
		inside = instant >= window.from_us && instant < window.to_us;
		CHECK(window.from_us <= window.to_us && window.from_us >= oldest && window.to_us <= newest);
		CHECK(!inside || ((!ask.has_from || instant >= ask.from_us) && (!ask.has_to || instant < ask.to_us)));
		CHECK(!ask.open || window.to_us - window.from_us <= 31 * DAY_US);
		if (!ask.open && instant >= oldest && (!ask.has_from || instant >= ask.from_us) &&
		    (!ask.has_to || instant < ask.to_us))
			CHECK(inside);
	}
}

static void how_much_of_a_plate_is_enough(void)
{
	static const struct {
		const char *pattern;
		bool open;
	} cases[] = {{"*", true},   {"???????", true}, {"*A*", true},   {"A?", true},      {"A", false},
		     {"A1", false}, {"A1*", false},    {"?A?1", false}, {"AB12C?E", false}};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct glob glob;

		CHECK_INT(0, glob_compile(cases[i].pattern, strlen(cases[i].pattern), &glob));
		CHECK(read_window_pattern_open(&glob, 2) == cases[i].open);
		CHECK(!read_window_pattern_open(&glob, 0));
	}
}

int main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{"the whole retention", the_whole_retention},
		{"the edge of the retention", the_edge_of_the_retention},
		{"a clock set back opens nothing", a_clock_set_back_opens_nothing},
		{"open searches are short", open_searches_are_short},
		{"no question reaches further", no_question_reaches_further},
		{"how much of a plate is enough", how_much_of_a_plate_is_enough},
		{NULL, NULL},
	};

	return check_main(argc, argv, "read window", tests);
}
