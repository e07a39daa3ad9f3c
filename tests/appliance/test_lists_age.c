/* Lists over age (R25), by a clock of the test's own: warned of, deleted on time, never on a suspicious clock. */
#include "appliance/lists_age.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "appliance/base/read.h"
#include "storage/io.h"
#include "storage/keyring.h"
#include "storage/register.h"
#include "tests/check.h"

#define NOW_US (INT64_C(20000) * DAY_US)

struct world {
	char paths[6][640];
	struct io *io;
	struct keyring *keyring;
	struct reg *reg;
	struct err err;
	unsigned expired;
	uint8_t list_class; /* of those put */
	bool unsure;        /* and their revision */
	uint32_t failing;   /* the list that cannot be expired; 0 none */
};

static void world_init(struct world *world)
{
	static const char *const names[] = {"register", "db", "lists", "master", "keyring.a", "keyring.b"};
	static unsigned number;
	char root[512];

	memset(world, 0, sizeof(*world));
	(void)snprintf(root, sizeof(root), "%s/w%u", check_memory_directory(), number++);
	CHECK_INT(0, mkdir(root, 0700));
	for (size_t i = 0; i < 6; i++)
		(void)snprintf(world->paths[i], sizeof(world->paths[i]), "%s/%s", root, names[i]);
	CHECK_INT(0, io_real_new(&world->io));
	struct keyring_options keyring = {.master_path = world->paths[3],
					  .copy_a_path = world->paths[4],
					  .copy_b_path = world->paths[5],
					  .create = true};
	CHECK_INT(0, keyring_open(&keyring, world->io, &world->err, &world->keyring));
	struct reg_options options = {.directory = world->paths[0],
				      .db_directory = world->paths[1],
				      .lists_directory = world->paths[2],
				      .map_size = 16 << 20};
	CHECK_INT(0, reg_open(&options, world->io, world->keyring, &world->err, &world->reg));
}

static void world_fini(struct world *world)
{
	reg_free(world->reg);
	keyring_free(world->keyring);
	io_real_free(world->io);
}

static void put(struct world *world, uint32_t list, int64_t revised_us, bool removed)
{
	struct reg_list record = {.list = list,
				  .list_class = world->list_class,
				  .removed = removed,
				  .now = {.version = 1, .revised_us = revised_us, .revised_unsure = world->unsure}};
	uint8_t buffer[REG_RECORD_SIZE_MAX];
	struct reg_change change;

	(void)snprintf(record.name, sizeof(record.name), "list %u", list);
	if (!removed)
		CHECK_INT(0, reg_blob_put(world->reg, &list, sizeof(list), record.now.blob));
	change = reg_list_put(&record, buffer);
	CHECK_INT(0, reg_change(world->reg, &change, 1, 0, "test", &world->err));
}

static int expire(void *context, uint32_t list, struct err *err)
{
	struct world *world = context;

	if (list == world->failing)
		return err_set(err, -EIO, "the disk is gone");
	world->expired++;
	put(world, list, 0, true);
	return 0;
}

static int round_at(struct world *world, int64_t now_us, bool trusted)
{
	return lists_age_round(world->reg, now_us, trusted, expire, world, &world->err);
}

static const int64_t any_time[LIST_CLASS_COUNT];

static void ages(void)
{
	CHECK_INT(LISTS_FRESH, lists_age(NOW_US, NOW_US));
	CHECK_INT(LISTS_FRESH, lists_age(NOW_US + DAY_US, NOW_US));
	CHECK_INT(LISTS_FRESH, lists_age(NOW_US - 21 * DAY_US + 1, NOW_US));
	CHECK_INT(LISTS_WARNED, lists_age(NOW_US - 21 * DAY_US, NOW_US));
	CHECK_INT(LISTS_WARNED, lists_age(NOW_US - 28 * DAY_US + 1, NOW_US));
	CHECK_INT(LISTS_DUE, lists_age(NOW_US - 28 * DAY_US, NOW_US));
}

static void lists_go_on_time(void)
{
	struct world world;
	json_t *alarms = json_array();

	world_init(&world);
	put(&world, 1, NOW_US, false);
	put(&world, 2, NOW_US - 10 * DAY_US, false);
	put(&world, 3, NOW_US - 90 * DAY_US, true);
	CHECK_INT(0, round_at(&world, NOW_US, true));
	lists_age_alarms(world.reg, any_time, NOW_US, alarms);
	CHECK_INT(0, json_array_size(alarms));
	/* Day 21 of the second list. */
	lists_age_alarms(world.reg, any_time, NOW_US + 11 * DAY_US, alarms);
	CHECK_INT(1, json_array_size(alarms));
	CHECK(strstr(json_string_value(json_array_get(alarms, 0)), "\"list 2\"") != NULL);
	CHECK(strstr(json_string_value(json_array_get(alarms, 0)), "7 day") != NULL);
	CHECK_INT(0, round_at(&world, NOW_US + 18 * DAY_US - 1, true));
	/* A clock under suspicion deletes nothing, however late it says it is. */
	CHECK_INT(0, round_at(&world, NOW_US + 400 * DAY_US, false));
	CHECK_INT(0, world.expired);
	CHECK_INT(1, round_at(&world, NOW_US + 18 * DAY_US, true));
	CHECK_INT(1, world.expired);
	CHECK_INT(0, round_at(&world, NOW_US + 18 * DAY_US, true));
	json_array_clear(alarms);
	lists_age_alarms(world.reg, any_time, NOW_US + 18 * DAY_US, alarms);
	CHECK_INT(0, json_array_size(alarms));
	lists_age_alarms(world.reg, any_time, NOW_US + 30 * DAY_US, alarms);
	CHECK(strstr(json_string_value(json_array_get(alarms, 0)), "as soon as the clock is trusted") != NULL);
	json_decref(alarms);
	world_fini(&world);
}

/* R21: each class by its own cadence, a list that is near its end by that alone. */
static void a_class_has_its_cadence(void)
{
	const int64_t cadence[LIST_CLASS_COUNT] = {[LIST_CLASS_MMC] = 60, [LIST_CLASS_THIRD_PARTY] = 1500};
	struct reg_list list = {.list_class = LIST_CLASS_MMC, .now = {.revised_us = NOW_US}};
	json_t *alarms = json_array();
	struct world world;

	CHECK(!lists_late(&list, cadence, NOW_US + INT64_C(3600000000)));
	CHECK(lists_late(&list, cadence, NOW_US + INT64_C(3600000001)));
	CHECK(!lists_late(&list, cadence, NOW_US - DAY_US));
	list.list_class = LIST_CLASS_LOCAL;
	CHECK(!lists_late(&list, cadence, NOW_US + 27 * DAY_US));
	list.list_class = LIST_CLASS_COUNT; /* of a later version */
	CHECK(!lists_late(&list, cadence, NOW_US + 27 * DAY_US));
	world_init(&world);
	world.list_class = LIST_CLASS_THIRD_PARTY;
	put(&world, 1, NOW_US, false);
	put(&world, 2, NOW_US + DAY_US, false);
	put(&world, 3, NOW_US, true);
	lists_age_alarms(world.reg, cadence, NOW_US + DAY_US, alarms);
	CHECK_INT(0, json_array_size(alarms));
	lists_age_alarms(world.reg, cadence, NOW_US + 2 * DAY_US, alarms);
	CHECK_INT(1, json_array_size(alarms));
	CHECK(strstr(json_string_value(json_array_get(alarms, 0)), "\"list 1\" was last revised 2880 minutes ago") !=
	      NULL);
	CHECK(strstr(json_string_value(json_array_get(alarms, 0)), "third-party") != NULL);
	json_array_clear(alarms);
	lists_age_alarms(world.reg, cadence, NOW_US + 21 * DAY_US, alarms);
	CHECK_INT(2, json_array_size(alarms));
	CHECK(strstr(json_string_value(json_array_get(alarms, 0)), "deleted") != NULL);
	json_decref(alarms);
	world_fini(&world);
}

/* What a wrong clock has said of a list counts from the time that is known, and only then. */
static void a_wrong_clock_costs_no_list(void)
{
	const struct {
		int64_t revised_us;
		bool unsure;
		bool settled;
		int64_t then_us;
	} cases[] = {
		{NOW_US - 40 * DAY_US, true, true, NOW_US}, /* a board without battery */
		{NOW_US - 25 * DAY_US, true, true, NOW_US},
		{NOW_US - 2 * DAY_US, true, true, NOW_US - 2 * DAY_US}, /* not synchronised, and right */
		{NOW_US + 300 * DAY_US, true, true, NOW_US},
		{NOW_US + 1000000, true, true, NOW_US},
		{NOW_US + 300 * DAY_US, false, true, NOW_US},
		{NOW_US + 1000000, false, false, NOW_US + 1000000}, /* a small step back */
		{NOW_US - 25 * DAY_US, false, false, NOW_US - 25 * DAY_US},
		{NOW_US - 40 * DAY_US, false, false, NOW_US - 40 * DAY_US},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct reg_list_version version = {.revised_us = cases[i].revised_us,
							 .revised_unsure = cases[i].unsure};
		struct reg_list now = {.now = version}, before = {.has_previous = true, .previous = version};

		before.now.revised_us = NOW_US;
		CHECK_INT(cases[i].settled, lists_age_settle(&now, NOW_US));
		CHECK_INT(cases[i].then_us, now.now.revised_us);
		CHECK(!now.now.revised_unsure && !lists_age_settle(&now, NOW_US));
		CHECK_INT(cases[i].settled, lists_age_settle(&before, NOW_US));
		CHECK_INT(cases[i].then_us, before.previous.revised_us);
	}
}

/* The round goes to them as to those that are due, and not while the clock is still wrong. */
static void a_round_settles(void)
{
	json_t *alarms = json_array();
	struct world world;

	world_init(&world);
	world.unsure = true;
	put(&world, 1, NOW_US - 40 * DAY_US, false);
	world.unsure = false;
	put(&world, 2, NOW_US + 40 * DAY_US, false);
	put(&world, 3, NOW_US, false);
	CHECK_INT(0, round_at(&world, NOW_US, false));
	lists_age_alarms(world.reg, any_time, NOW_US, alarms);
	CHECK_INT(0, json_array_size(alarms));
	CHECK_INT(2, round_at(&world, NOW_US, true));
	json_decref(alarms);
	world_fini(&world);
}

static void a_failure_holds_up_no_other(void)
{
	struct world world;

	world_init(&world);
	for (uint32_t i = 1; i <= 20; i++)
		put(&world, i, NOW_US - 28 * DAY_US, false);
	world.failing = 5;
	CHECK_INT(-EIO, round_at(&world, NOW_US, true));
	CHECK(strstr(world.err.text, "list 5") != NULL);
	CHECK_INT(19, world.expired);
	world.failing = 0;
	CHECK_INT(1, round_at(&world, NOW_US, true));
	world_fini(&world);
}

int main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{"ages", ages},
		{"lists go on time", lists_go_on_time},
		{"a class has its cadence", a_class_has_its_cadence},
		{"a wrong clock costs no list", a_wrong_clock_costs_no_list},
		{"a round settles what a wrong clock has said", a_round_settles},
		{"a failure holds up no other", a_failure_holds_up_no_other},
		{NULL, NULL},
	};

	return check_main(argc, argv, "lists_age", tests);
}
