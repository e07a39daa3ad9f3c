/* Subscriptions: what is acknowledged never comes again, what is not always does, over takeovers and restarts. */
#include "appliance/subscriptions.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "appliance/base/clock.h"
#include "appliance/base/err.h"
#include "appliance/base/prng.h"
#include "appliance/hit_cursor.h"
#include "appliance/hit_latency.h"
#include "appliance/subscription.h"
#include "storage/clock_guard.h"
#include "storage/io.h"
#include "storage/keyring.h"
#include "storage/register.h"
#include "tests/check.h"
#include "tests/storage/fake_clock.h"

struct world {
	char paths[6][512];
	struct io *io;
	struct keyring *keyring;
	struct reg *reg;
	struct subscriptions *set;
	struct clock_guard *guard; /* may be NULL */
	int64_t receipts_us;
	struct err err;
};

static void world_open(struct world *world, uint8_t urgent_priority)
{
	struct reg_options options = {world->paths[0], world->paths[1], world->paths[2], 16u << 20};
	struct subscriptions_options set = {.urgent_priority = urgent_priority,
					    .window = 100,
					    .receipts_us = world->receipts_us,
					    .guard = world->guard};

	CHECK_INT(0, reg_open(&options, world->io, world->keyring, &world->err, &world->reg));
	set.reg = world->reg;
	CHECK_INT(0, subscriptions_new(&set, &world->err, &world->set));
}

static void world_init(struct world *world)
{
	static const char *const names[] = {"register", "db", "lists", "master", "keyring.a", "keyring.b"};
	static unsigned number;
	struct keyring_options keyring;
	char root[256];

	memset(world, 0, sizeof(*world));
	world->receipts_us = 1000000;
	(void)snprintf(root, sizeof(root), "%s/s%u", check_directory(), number++);
	CHECK_INT(0, mkdir(root, 0700));
	for (size_t i = 0; i < 6; i++)
		(void)snprintf(world->paths[i], sizeof(world->paths[i]), "%s/%s", root, names[i]);
	keyring = (struct keyring_options){.master_path = world->paths[3],
					   .copy_a_path = world->paths[4],
					   .copy_b_path = world->paths[5],
					   .create = true};
	CHECK_INT(0, io_real_new(&world->io));
	CHECK_INT(0, keyring_open(&keyring, world->io, &world->err, &world->keyring));
	world_open(world, 50);
}

static void world_close(struct world *world)
{
	world->set = subscriptions_free(world->set);
	world->reg = reg_free(world->reg);
}

static void world_fini(struct world *world)
{
	world_close(world);
	keyring_free(world->keyring);
	io_real_free(world->io);
}

static uint32_t add(struct world *world, const char *name, uint64_t now)
{
	struct reg_subscription wanted = {.uid = 7};
	struct hit_positions from = {{now}};
	uint32_t number = 0;

	(void)snprintf(wanted.name, sizeof(wanted.name), "%s", name);
	(void)snprintf(wanted.organisation, sizeof(wanted.organisation), "Northshire");
	CHECK_INT(0, subscriptions_add(world->set, &wanted, &from, 7, &world->err, &number));
	return number;
}

struct client {
	struct follower follower;
	enum follower_end ended;
	unsigned ends;
};

static void on_end(struct follower *follower, enum follower_end why)
{
	struct client *client = (struct client *)follower;

	client->ended = why;
	client->ends++;
}

static void connect_to(struct subscription *subscription, struct client *client)
{
	*client = (struct client){.follower = {.end = on_end}};
	subscription_follow(subscription, &client->follower);
}

/* Sends the next hits up to `upto` of source 0 in one message; the cursor of it. Returns how many. */
static size_t send(struct world *world, struct subscription *subscription, enum hit_lane lane, uint64_t upto,
		   size_t max, bool fails, char cursor[HIT_CURSOR_TEXT_SIZE])
{
	struct outstanding hits[100];
	struct turn turn;
	size_t count = 0;

	CHECK(turn_begin(subscription, lane, false, max, &turn));
	for (uint64_t number = turn.seen.at[0] + 1; number <= upto && count < turn.room; number++) {
		hits[count++] = (struct outstanding){.number = number, .receipt_us = 1, .delivered_us = 2};
		hit_positions_pass(&turn.seen, number);
	}
	CHECK(turn_offer(&turn, hits, count));
	(void)subscriptions_cursor(world->set, subscription, lane, &turn.seen, cursor);
	turn_end(&turn, !fails);
	return fails ? 0 : count;
}

static uint64_t begins_at(struct subscription *subscription, enum hit_lane lane)
{
	struct client client;
	struct turn turn;
	uint64_t at;

	connect_to(subscription, &client);
	CHECK(turn_begin(subscription, lane, false, 1, &turn));
	at = turn.seen.at[0];
	turn_end(&turn, false);
	subscription_end(subscription, FOLLOWER_GONE);
	CHECK_INT(1, client.ends);
	CHECK_INT(FOLLOWER_GONE, client.ended);
	return at;
}

/* A random history against one number a lane: the last that was acknowledged. */
static void against_a_model(void)
{
	struct prng prng = {check_seed()};
	uint64_t durable[HIT_LANE_COUNT] = {1000, 1000}, acknowledged[HIT_LANE_COUNT] = {1000, 1000};
	uint64_t newest = 1000, sent[HIT_LANE_COUNT] = {1000, 1000};
	struct subscription *subscription;
	struct client clients[2];
	struct world world;
	unsigned now = 0;

	world_init(&world);
	(void)add(&world, "room", 1000);
	subscription = subscriptions_take(world.set, "room");
	connect_to(subscription, &clients[now]);
	for (unsigned round = 0; round < 600; round++) {
		enum hit_lane lane = (enum hit_lane)prng_below(&prng, HIT_LANE_COUNT);
		char cursor[HIT_CURSOR_TEXT_SIZE];
		size_t count, got;

		newest += prng_below(&prng, 20);
		switch (prng_below(&prng, 12)) {
		case 0: /* another takes over: from the acknowledged on */
			connect_to(subscription, &clients[1 - now]);
			CHECK_INT(1, clients[now].ends);
			CHECK_INT(FOLLOWER_TAKEN_OVER, clients[now].ended);
			now = 1 - now;
			memcpy(sent, acknowledged, sizeof(sent));
			break;
		case 1: /* durable from here on; some receipts' span is over */
			CHECK_INT(0,
				  subscriptions_flush(world.set, clock_wall_us() + (int64_t)prng_below(&prng, 2000000),
						      false, &world.err));
			memcpy(durable, acknowledged, sizeof(durable));
			break;
		case 2: /* the end of everything */
			subscription_end(subscription, FOLLOWER_GONE);
			subscriptions_release(world.set, subscription);
			world_close(&world);
			world_open(&world, 50);
			memcpy(durable, acknowledged, sizeof(durable)); /* a clean end writes them */
			subscription = subscriptions_take(world.set, "room");
			CHECK_INT(durable[lane], begins_at(subscription, lane));
			connect_to(subscription, &clients[now]);
			memcpy(sent, acknowledged, sizeof(sent));
			break;
		case 3: /* the socket takes nothing */
			CHECK_INT(0, send(&world, subscription, lane, newest, 10, true, cursor));
			break;
		default:
			count = sent[lane] - acknowledged[lane];
			got = send(&world, subscription, lane, newest, 30, false, cursor);
			CHECK(got <= 30 && count + got <= 100);
			sent[lane] += got;
			if (!prng_chance(&prng, 400))
				break;
			CHECK_INT(0, subscriptions_acknowledge(world.set, subscription, cursor, NULL, &got));
			CHECK_INT(sent[lane] - acknowledged[lane], got);
			acknowledged[lane] = sent[lane];
			CHECK_INT(0, subscriptions_acknowledge(world.set, subscription, cursor, NULL, &got));
			CHECK_INT(0, got);
		}
	}
	subscription_end(subscription, FOLLOWER_GONE);
	for (unsigned lane = 0; lane < HIT_LANE_COUNT; lane++)
		CHECK_INT(acknowledged[lane], begins_at(subscription, lane));
	subscriptions_release(world.set, subscription);
	world_fini(&world);
}

/* A cursor of a former life is good; one made up, changed, or of another subscription is not. */
static void cursors(void)
{
	struct prng prng = {check_seed()};
	struct subscription *room, *other;
	char cursor[HIT_CURSOR_TEXT_SIZE], bad[HIT_CURSOR_TEXT_SIZE + 8];
	struct client client;
	struct world world;
	size_t count;

	world_init(&world);
	(void)add(&world, "room", 0);
	(void)add(&world, "other", 0);
	room = subscriptions_take(world.set, "room");
	connect_to(room, &client);
	CHECK_INT(10, send(&world, room, HIT_LANE_URGENT, 10, 30, false, cursor));
	subscription_end(room, FOLLOWER_GONE);
	subscriptions_release(world.set, room);
	world_close(&world);
	world_open(&world, 50);
	room = subscriptions_take(world.set, "room");
	other = subscriptions_take(world.set, "other");
	CHECK_INT(-EBADMSG, subscriptions_acknowledge(world.set, other, cursor, NULL, &count));
	for (unsigned round = 0; round < 20000; round++) {
		size_t size = strlen(cursor);

		memcpy(bad, cursor, size + 1);
		if (prng_chance(&prng, 500))
			bad[prng_below(&prng, size)] = "0123456789abcdefzZ \n"[prng_below(&prng, 20)];
		else if (prng_chance(&prng, 500))
			bad[prng_below(&prng, size)] = '\0';
		else
			for (size_t i = 0; i < size; i++)
				bad[i] = "0123456789abcdef"[prng_below(&prng, 16)];
		if (strcmp(bad, cursor) != 0)
			CHECK_INT(-EBADMSG, subscriptions_acknowledge(world.set, room, bad, NULL, &count));
	}
	CHECK_INT(0, begins_at(room, HIT_LANE_URGENT));
	CHECK_INT(0, subscriptions_acknowledge(world.set, room, cursor, NULL, &count));
	CHECK_INT(10, begins_at(room, HIT_LANE_URGENT));
	CHECK_INT(0, begins_at(room, HIT_LANE_MASS));
	subscriptions_release(world.set, room);
	subscriptions_release(world.set, other);
	world_fini(&world);
}

static int receipt_see(void *context, const struct subscription_receipt *receipt)
{
	struct subscription_receipt *seen = context;

	CHECK_STR("room", receipt->subscription);
	CHECK_STR("Northshire", receipt->organisation);
	*seen = *receipt;
	return 1;
}

/* Each hit that was acknowledged has one, before and after it is written, and a restart; the old ones go. */
static void receipts(void)
{
	struct subscription_receipt seen;
	struct subscription *room;
	char cursor[HIT_CURSOR_TEXT_SIZE];
	struct client client;
	struct world world;
	size_t count;

	world_init(&world);
	(void)add(&world, "room", 0);
	room = subscriptions_take(world.set, "room");
	connect_to(room, &client);
	for (unsigned i = 1; i <= 20; i++) {
		CHECK_INT(10, send(&world, room, HIT_LANE_URGENT, 10ull * i, 30, false, cursor));
		CHECK_INT(0, subscriptions_acknowledge(world.set, room, cursor, NULL, &count));
		CHECK_INT(0, subscriptions_flush(world.set, INT64_C(4000000000000000), false, &world.err));
	}
	subscription_end(room, FOLLOWER_GONE);
	for (unsigned life = 0; life < 2; life++) {
		for (uint64_t number = 1; number <= 200; number++) {
			CHECK_INT(1, subscriptions_receipts(world.set, number, receipt_see, &seen));
			CHECK_INT(7, seen.uid);
			CHECK_INT(2, seen.delivered_us);
			CHECK_INT(HIT_LANE_URGENT, seen.lane);
		}
		CHECK_INT(0, subscriptions_receipts(world.set, 201, receipt_see, &seen));
		subscriptions_release(world.set, room);
		world_close(&world);
		world_open(&world, 50);
		room = subscriptions_take(world.set, "room");
	}
	/* Removed: its receipts are known until they are too old, then all of it is gone. */
	subscriptions_release(world.set, room);
	CHECK_INT(0, subscriptions_remove(world.set, "room", 7, &world.err));
	CHECK_INT(-ENOENT, subscriptions_remove(world.set, "room", 7, &world.err));
	CHECK(subscriptions_take(world.set, "room") == NULL);
	for (unsigned i = 0; i < 3; i++)
		CHECK_INT(0, subscriptions_flush(world.set, INT64_C(5000000000000000) + i * INT64_C(61000000), false,
						 &world.err));
	CHECK_INT(0, subscriptions_receipts(world.set, 5, receipt_see, &seen));
	world_close(&world);
	world_open(&world, 50);
	CHECK_INT(1, add(&world, "again", 0)); /* nothing of the first is left, its number may come again */
	world_fini(&world);
}

/* Where the boundary moved, the lane that had come less far decides. */
static void another_boundary(void)
{
	struct subscription *room;
	char cursor[HIT_CURSOR_TEXT_SIZE];
	struct client client;
	struct world world;
	uint64_t urgent, mass;
	size_t count;

	world_init(&world);
	(void)add(&world, "room", 5);
	room = subscriptions_take(world.set, "room");
	connect_to(room, &client);
	CHECK_INT(30, send(&world, room, HIT_LANE_MASS, 35, 30, false, cursor));
	CHECK_INT(0, subscriptions_acknowledge(world.set, room, cursor, NULL, &count));
	subscription_end(room, FOLLOWER_GONE);
	subscriptions_release(world.set, room);
	world_close(&world);
	world_open(&world, 80);
	room = subscriptions_take(world.set, "room");
	CHECK_INT(5, begins_at(room, HIT_LANE_MASS));
	CHECK_INT(5, begins_at(room, HIT_LANE_URGENT));
	/* Of one lane alone it is written that it was levelled; the other is as it was before, and has come further. */
	subscriptions_release(world.set, room);
	world_close(&world);
	world_open(&world, 50);
	room = subscriptions_take(world.set, "room");
	for (unsigned lane = 0; lane < HIT_LANE_COUNT; lane++) {
		connect_to(room, &client);
		CHECK_INT(lane == HIT_LANE_URGENT ? 60 : 10,
			  send(&world, room, lane, 100, lane == HIT_LANE_URGENT ? 60 : 10, false, cursor));
		CHECK_INT(0, subscriptions_acknowledge(world.set, room, cursor, NULL, &count));
		subscription_end(room, FOLLOWER_GONE);
	}
	urgent = begins_at(room, HIT_LANE_URGENT);
	mass = begins_at(room, HIT_LANE_MASS);
	CHECK(urgent > mass);
	subscriptions_release(world.set, room);
	world_close(&world);
	for (unsigned i = 0; i < 2; i++) {
		world_open(&world, 80);
		room = subscriptions_take(world.set, "room");
		CHECK_INT(mass + i, begins_at(room, HIT_LANE_URGENT));
		connect_to(room, &client);
		CHECK_INT(1, send(&world, room, HIT_LANE_MASS, mass + 1 + i, 1, false, cursor));
		CHECK_INT(0, subscriptions_acknowledge(world.set, room, cursor, NULL, &count));
		subscription_end(room, FOLLOWER_GONE);
		subscriptions_release(world.set, room);
		world_close(&world);
	}
	world_open(&world, 80);
	world_fini(&world);
}

struct meeting {
	struct world world;
	struct subscription *room;
	atomic_bool ended;
	_Atomic uint64_t newest;
};

static void *take_over_again(void *context)
{
	struct meeting *meeting = context;
	static struct client clients[50];

	for (unsigned i = 0; i < 50; i++) {
		connect_to(meeting->room, &clients[i]);
		(void)subscriptions_flush(meeting->world.set, clock_wall_us() + (int64_t)i * 100000, false,
					  &meeting->world.err);
		(void)subscription_sweep(meeting->room);
	}
	atomic_store(&meeting->ended, true);
	return NULL;
}

static void *send_again(void *context)
{
	struct meeting *meeting = context;
	struct turn turn;

	while (!atomic_load(&meeting->ended)) {
		struct outstanding hit = {.receipt_us = 1, .delivered_us = 2};
		struct hit_positions positions;

		if (!turn_begin(meeting->room, HIT_LANE_URGENT, false, 1, &turn))
			continue;
		hit.number = turn.seen.at[0] + 1;
		hit_positions_pass(&turn.seen, hit.number);
		positions = turn.seen;
		if (turn.room == 0 || !turn_offer(&turn, &hit, 1)) {
			turn_end(&turn, false);
			continue;
		}
		turn_end(&turn, true);
		(void)subscription_acknowledge(meeting->room, HIT_LANE_URGENT, &positions, 3, NULL);
	}
	return NULL;
}

/* A clock that jumps a year ahead drops no receipt, one that is trusted again drops what is too old. */
static void receipts_under_suspicion(void)
{
	static const int64_t year_us = 365 * DAY_US;
	struct fake_clock now = {.wall_us = clock_wall_us(), .mono_ns = 1, .synchronised = true};
	struct clock_source clock = fake_clock_source(&now);
	struct clock_guard_options options = {.clock = &clock, .jump_us = 60000000, .fresh = true};
	struct subscription_receipt seen;
	struct subscription *room;
	char cursor[HIT_CURSOR_TEXT_SIZE];
	struct clock_guard *guard;
	struct client client;
	struct world world;
	size_t count;

	world_init(&world);
	options.io = world.io;
	options.directory = check_directory();
	CHECK_INT(0, clock_guard_new(&options, &guard));
	world_close(&world);
	world.guard = guard;
	world.receipts_us = 30 * DAY_US;
	world_open(&world, 50);
	(void)add(&world, "room", 0);
	room = subscriptions_take(world.set, "room");
	connect_to(room, &client);
	for (unsigned i = 1; i <= 3; i++) {
		CHECK_INT(10, send(&world, room, HIT_LANE_URGENT, 10ull * i, 30, false, cursor));
		CHECK_INT(0, subscriptions_acknowledge(world.set, room, cursor, NULL, &count));
		CHECK_INT(0, subscriptions_flush(world.set, now.wall_us, false, &world.err));
		now.wall_us += i == 1 ? year_us : i == 2 ? -year_us : 0;
		for (unsigned round = 0; round < 30; round++) {
			now.wall_us += 30 * INT64_C(1000000);
			now.mono_ns += 30 * INT64_C(1000000000);
			now.synchronised = i > 1;
			CHECK_INT(0, subscriptions_flush(world.set, now.wall_us, false, &world.err));
		}
		for (uint64_t number = 1; number <= 10u * i; number++)
			CHECK_INT(1, subscriptions_receipts(world.set, number, receipt_see, &seen));
	}
	now.wall_us += 31 * DAY_US;
	now.mono_ns += 31 * DAY_US * 1000;
	CHECK_INT(0, subscriptions_flush(world.set, now.wall_us, false, &world.err));
	CHECK_INT(0, subscriptions_receipts(world.set, 5, receipt_see, &seen));
	subscriptions_release(world.set, room);
	world_close(&world);
	(void)clock_guard_free(guard);
	world_fini(&world);
}

/* For ThreadSanitizer: couriers, acknowledgements, takeovers and flushes at once; each follower ends once. */
static void threads_meet(void)
{
	struct meeting *meeting = calloc(1, sizeof(*meeting));
	pthread_t threads[3];

	world_init(&meeting->world);
	(void)add(&meeting->world, "room", 0);
	meeting->room = subscriptions_take(meeting->world.set, "room");
	CHECK_INT(0, pthread_create(&threads[0], NULL, send_again, meeting));
	CHECK_INT(0, pthread_create(&threads[1], NULL, take_over_again, meeting));
	CHECK_INT(0, pthread_join(threads[1], NULL));
	CHECK_INT(0, pthread_join(threads[0], NULL));
	subscription_end(meeting->room, FOLLOWER_GONE);
	subscriptions_release(meeting->world.set, meeting->room);
	world_fini(&meeting->world);
	free(meeting);
}

int main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{"against a model", against_a_model},
		{"cursors", cursors},
		{"receipts", receipts},
		{"receipts under a clock that is not trusted", receipts_under_suspicion},
		{"another boundary", another_boundary},
		{"threads meet", threads_meet},
		{NULL, NULL}};

	return check_main(argc, argv, "subscriptions", tests);
}
