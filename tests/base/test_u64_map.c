/* The map against an array, and the text of a hit's number. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/hit_name.h"
#include "appliance/base/prng.h"
#include "appliance/base/read.h"
#include "appliance/base/u64_map.h"
#include "tests/check.h"

#define KEYS 2000

static void test_map_random(void)
{
	struct prng prng;
	struct u64_map map = {0};
	uint64_t keys[KEYS];
	uint32_t values[KEYS];
	bool held[KEYS] = {false};
	size_t count = 0;

	prng.state = check_seed();
	for (unsigned i = 0; i < KEYS; i++)
		keys[i] = hit_number(i % 3, UINT64_C(1700000000000000) + i / 3 * (1 + (i % 2) * 4096));
	for (unsigned step = 0; step < 200000; step++) {
		unsigned at = (unsigned)prng_below(&prng, KEYS);
		uint32_t value = 77;

		CHECK_INT(held[at], u64_map_get(&map, keys[at], &value));
		CHECK_INT(held[at] ? values[at] : 77, value);
		if (prng_below(&prng, 1 + step / 50000) == 0) {
			values[at] = step;
			CHECK_INT(0, u64_map_put(&map, keys[at], step));
			count += !held[at];
			held[at] = true;
		} else {
			u64_map_remove(&map, keys[at]);
			count -= held[at];
			held[at] = false;
		}
		CHECK_INT(count, map.count);
	}
	u64_map_clear(&map);
	CHECK_INT(0, map.count);
	for (unsigned i = 0; i < KEYS; i++)
		CHECK(!u64_map_get(&map, keys[i], &values[i]));
	u64_map_fini(&map);
	CHECK(!u64_map_get(&map, 1, &values[0]));
	u64_map_remove(&map, 1);
}

static void test_reserved(void)
{
	struct u64_map map = {0};
	const void *slots;

	CHECK_INT(0, u64_map_reserve(&map, 1000));
	slots = map.slots;
	for (uint64_t key = 1; key <= 1000; key++)
		CHECK_INT(0, u64_map_put(&map, key, (uint32_t)key));
	CHECK(map.slots == slots);
	u64_map_fini(&map);
}

static void test_names(void)
{
	static const char *const wrong[] = {"",
					    "-",
					    "0-",
					    "0-0",
					    "1",
					    "1-2-3",
					    " 1-2",
					    "1- 2",
					    "01-2",
					    "1-02",
					    "256-1",
					    "-1-2",
					    "1--2",
					    "1-0x12",
					    "1-2 ",
					    "+1-2",
					    "1-+2",
					    "a-b",
					    "1-72057594037927936",
					    "1-99999999999999999999999999999"};
	struct prng prng;
	char name[HIT_NAME_SIZE];
	uint64_t number = 7;

	prng.state = check_seed();
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		CHECK_INT(-EINVAL, hit_name_parse(wrong[i], &number));
		CHECK_INT(7, number);
	}
	CHECK_STR("255-72057594037927935", hit_name(UINT64_MAX, name));
	for (unsigned i = 0; i < 10000; i++) {
		uint64_t wanted = prng_next(&prng) >> prng_below(&prng, 60);

		if (wanted == 0)
			continue;
		CHECK_INT(0, hit_name_parse(hit_name(wanted, name), &number));
		CHECK(number == wanted);
	}
}

int main(int argc, char **argv)
{
	static const struct check_test tests[] = {{"map against a model", test_map_random},
						  {"reserved room is enough", test_reserved},
						  {"names of hits", test_names},
						  {NULL, NULL}};

	return check_main(argc, argv, "numbers", tests);
}
