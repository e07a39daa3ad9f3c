/* A day of acknowledgements, in fast motion: the register's log stays within its bound, and nothing is forgotten. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOG_MODULE "test"
#include "appliance/base/clock.h"
#include "appliance/base/log.h"
#include "appliance/hit_cursor.h"
#include "appliance/subscription.h"
#include "appliance/subscriptions.h"
#include "storage/io.h"
#include "storage/keyring.h"
#include "storage/register.h"
#include "tests/check.h"

#define SUBSCRIBERS 10
#define SOURCES 2
#define FLUSHES 7200
#define FLUSH_US INT64_C(12000000) /* a day in all */
#define RECEIPTS_US (60 * FLUSH_US)
#define TIDIER_TURN 5 /* flushes */
#define LOG_SIZE_MIN (UINT64_C(1) << 20)

struct world {
	char paths[6][400]; /* register, db, lists, master, keyring a, b */
	struct io *io;
	struct keyring *keyring;
	struct reg *reg;
	struct subscriptions *set;
	struct err err;
	uint64_t newest[SUBSCRIBERS]; /* count of every source's newest hit that it was told */
};

static void world_open(struct world *world)
{
	struct reg_options options = {world->paths[0], world->paths[1], world->paths[2], 64u << 20, LOG_SIZE_MIN};
	struct subscriptions_options set = {.urgent_priority = 50, .window = 100, .receipts_us = RECEIPTS_US};

	CHECK_INT(0, reg_open(&options, world->io, world->keyring, &world->err, &world->reg));
	set.reg = world->reg;
	CHECK_INT(0, subscriptions_new(&set, &world->err, &world->set));
}

static void world_close(struct world *world)
{
	world->set = subscriptions_free(world->set);
	world->reg = reg_free(world->reg);
}

static void world_init(struct world *world)
{
	static const char *const names[] = {"register", "db", "lists", "master", "keyring.a", "keyring.b"};
	struct keyring_options keyring;

	for (size_t i = 0; i < 6; i++)
		(void)snprintf(world->paths[i], sizeof(world->paths[i]), "%s/%s", check_memory_directory(), names[i]);
	keyring = (struct keyring_options){.master_path = world->paths[3],
					   .copy_a_path = world->paths[4],
					   .copy_b_path = world->paths[5],
					   .create = true};
	CHECK_INT(0, io_real_new(&world->io));
	CHECK_INT(0, keyring_open(&keyring, world->io, &world->err, &world->keyring));
	world_open(world);
}

static const char *name_of(unsigned subscriber, char name[16])
{
	(void)snprintf(name, 16, "room%u", subscriber);
	return name;
}

static void on_end(struct follower *follower, enum follower_end why)
{
	(void)follower;
	(void)why;
}

/* Both lanes of one subscriber are sent the newest hit of every source, and acknowledge. */
static void deliver(struct world *world, struct subscription *subscription, uint64_t newest)
{
	for (enum hit_lane lane = 0; lane < HIT_LANE_COUNT; lane++) {
		struct outstanding hits[SOURCES];
		char cursor[HIT_CURSOR_TEXT_SIZE];
		struct turn turn;
		size_t count;

		CHECK(turn_begin(subscription, lane, false, SOURCES, &turn));
		CHECK(turn.room >= SOURCES);
		for (unsigned source = 0; source < SOURCES; source++) {
			hits[source] = (struct outstanding){
				.number = hit_number(source, newest), .receipt_us = 1, .delivered_us = 2};
			hit_positions_pass(&turn.seen, hits[source].number);
		}
		CHECK(turn_offer(&turn, hits, SOURCES));
		(void)subscriptions_cursor(world->set, subscription, lane, &turn.seen, cursor);
		turn_end(&turn, true);
		CHECK_INT(0, subscriptions_acknowledge(world->set, subscription, cursor, NULL, &count));
		CHECK_INT(SOURCES, count);
	}
}

/* All that was acknowledged is known. */
static void check_positions(struct world *world)
{
	for (unsigned i = 0; i < SUBSCRIBERS; i++) {
		char name[16];
		struct subscription *subscription = subscriptions_take(world->set, name_of(i, name));

		CHECK(subscription != NULL);
		for (unsigned lane = 0; lane < HIT_LANE_COUNT; lane++)
			for (unsigned source = 0; source < SOURCES; source++)
				CHECK_INT(hit_number(source, world->newest[i]),
					  subscription->lanes[lane].acknowledged.at[source]);
		subscriptions_release(world->set, subscription);
	}
}

static void day_of_acknowledgements(void)
{
	struct subscription *subscriptions[SUBSCRIBERS];
	struct follower followers[SUBSCRIBERS];
	static struct world world;
	int64_t begun_us = clock_wall_us();
	uint64_t largest = 0;
	unsigned renewals = 0;

	world_init(&world);
	for (unsigned i = 0; i < SUBSCRIBERS; i++) {
		struct reg_subscription wanted = {.uid = 7, .organisation = "Northshire"};
		struct hit_positions from = {{0}};
		uint32_t number;

		(void)name_of(i, wanted.name);
		CHECK_INT(0, subscriptions_add(world.set, &wanted, &from, 7, &world.err, &number));
		subscriptions[i] = subscriptions_take(world.set, wanted.name);
		followers[i] = (struct follower){.end = on_end};
		subscription_follow(subscriptions[i], &followers[i]);
	}
	for (unsigned flush = 1; flush <= FLUSHES; flush++) {
		struct reg_info info;

		/* A receipt ends when its subscriber pauses. */
		for (unsigned i = 0; i < SUBSCRIBERS; i++)
			if ((flush + i) % 3 != 0)
				deliver(&world, subscriptions[i], world.newest[i] = flush);
		CHECK_INT(0, subscriptions_flush(world.set, begun_us + flush * FLUSH_US, false, &world.err));
		if (flush % TIDIER_TURN == 0) {
			int result = reg_renew(world.reg, &world.err);

			CHECK(result >= 0);
			renewals += result == REG_RENEWED;
		}
		reg_info(world.reg, &info);
		if (info.log_size > largest)
			largest = info.log_size;
	}
	for (unsigned i = 0; i < SUBSCRIBERS; i++) {
		subscription_end(subscriptions[i], FOLLOWER_GONE);
		subscriptions_release(world.set, subscriptions[i]);
	}
	check_note("%u renewals, %llu bytes at most", renewals, (unsigned long long)largest);
	CHECK(renewals > 10);
	CHECK(largest < LOG_SIZE_MIN * 5 / 4);
	world_close(&world);
	world_open(&world);
	check_positions(&world);
	world_close(&world);
	keyring_free(world.keyring);
	io_real_free(world.io);
}

int main(int argc, char **argv)
{
	static const struct check_test tests[] = {{"a day of acknowledgements", day_of_acknowledgements}, {NULL, NULL}};

	log_level_set(LOG_LEVEL_WARN);
	return check_main(argc, argv, "subscriptions and the log", tests);
}
