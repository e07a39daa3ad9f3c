/* Lives of hits against a plain model: random steps of several accounts, crashes, failed writes, purged days. */
#include "storage/hit_lives.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOG_MODULE "test"
#include "appliance/base/clock.h"
#include "appliance/base/log.h"
#include "appliance/base/prng.h"
#include "appliance/base/read.h"
#include "storage/hit_rates.h"
#include "storage/io.h"
#include "storage/keyring.h"
#include "storage/purge.h"
#include "storage/register.h"
#include "tests/check.h"
#include "tests/storage/sim_io.h"
#include "tests/storage/store_rig.h"

#define HITS 60
#define ACCOUNTS 3

struct model {
	uint8_t state;
	uint8_t disposition;
	uint32_t who[3]; /* of each step */
	char assessment[REG_HIT_TEXT_SIZE];
	char ending[REG_HIT_TEXT_SIZE];
};

struct world {
	struct rig rig;
	struct io *io;
	struct prng prng;
	struct model hits[HITS];
};

static void world_open(struct world *world)
{
	CHECK_INT(0, rig_open(&world->rig));
	CHECK(store_register(world->rig.store, &(const char *){NULL}) != NULL);
}

static struct world *world_new(uint64_t seed, const char *name)
{
	struct world *world = calloc(1, sizeof(*world));
	char db[600];

	CHECK(world != NULL);
	log_level_set(LOG_LEVEL_ERROR);
	snprintf(db, sizeof(db), "%s/%s", check_memory_directory(), name);
	world->io = sim_new(seed);
	world->prng.state = seed;
	rig_init(&world->rig, world->io, "/data", db, seed);
	world_open(world);
	return world;
}

static void world_free(struct world *world)
{
	if (world->rig.store != NULL)
		(void)rig_close(&world->rig, false);
	sim_free(world->io);
	free(world);
}

static struct hit_lives *lives_of(struct world *world)
{
	return store_hit_lives(world->rig.store);
}

static uint64_t number_of(unsigned index)
{
	return hit_number(index % 4 == 3 ? HIT_SOURCE_LATE : index % 4, UINT64_C(1700000000000000) + index);
}

static int32_t day_of(const struct world *world, unsigned index)
{
	return world->rig.first_day + (int32_t)(index % RIG_DAYS);
}

static struct hit_order order_of(struct world *world, unsigned index, uint8_t state, uint32_t uid)
{
	static const char *const texts[] = {NULL, "seen at the scene", "image shows another colour"};
	static const char *const names[] = {"anna", "ben", "cleo"};

	return (struct hit_order){.number = number_of(index),
				  .day = day_of(world, index),
				  .list = 1 + index % 5,
				  .camera = 1000 + index % 7,
				  .camera_type = index % 6 < 5 ? (uint8_t)(index % 6) : REG_HIT_CAMERA_UNKNOWN,
				  .priority = (uint8_t)index,
				  .state = state,
				  .disposition =
					  state == REG_HIT_ASSESSED ? (uint8_t)(1 + prng_below(&world->prng, 4)) : 0,
				  .uid = uid,
				  .account = names[uid],
				  .organisation = uid == 0 ? NULL : "Northshire Police",
				  .text = state == REG_HIT_ACKNOWLEDGED ? NULL : texts[prng_below(&world->prng, 3)]};
}

static unsigned rank(uint8_t state)
{
	return state > 3 ? 3 : state;
}

static bool text_is(const char *kept, const char *text)
{
	return strcmp(kept, text != NULL ? text : "") == 0;
}

/* What has to be said of an order, and, when it is done, what comes of it: written apart from what is tested. */
static int model_step(struct model *model, const struct hit_order *order)
{
	unsigned step = rank(order->state);
	bool same = order->state == REG_HIT_ACKNOWLEDGED ||
		    (order->state == REG_HIT_ASSESSED
			     ? model->disposition == order->disposition && text_is(model->assessment, order->text)
			     : model->state == order->state && text_is(model->ending, order->text));

	if (rank(model->state) + 1 < step)
		return HIT_LIVES_EARLY;
	if (rank(model->state) >= step) {
		if (model->who[step - 1] != order->uid)
			return HIT_LIVES_TAKEN;
		if (same)
			return HIT_LIVES_SAME;
		if (!(step == 2 && model->state == REG_HIT_ASSESSED))
			return HIT_LIVES_FIXED;
	}
	model->state = order->state;
	model->who[step - 1] = order->uid;
	if (step == 2) {
		model->disposition = order->disposition;
		snprintf(model->assessment, sizeof(model->assessment), "%s", order->text != NULL ? order->text : "");
	} else if (step == 3) {
		snprintf(model->ending, sizeof(model->ending), "%s", order->text != NULL ? order->text : "");
	}
	return 0;
}

static bool life_is(struct world *world, unsigned index, const struct model *model)
{
	struct reg_hit_life life;
	int result = hit_lives_get(lives_of(world), number_of(index), &life);

	if (model->state == 0)
		return result == -ENOENT && !hit_lives_known(lives_of(world), number_of(index));
	return result == 0 && hit_lives_known(lives_of(world), number_of(index)) && life.number == number_of(index) &&
	       life.day == day_of(world, index) && life.list == 1 + index % 5 && life.camera == 1000 + index % 7 &&
	       life.priority == index && life.state == model->state && life.disposition == model->disposition &&
	       life.acknowledged.uid == model->who[0] && life.acknowledged.time_us > 0 &&
	       strcmp(life.acknowledged.organisation, model->who[0] == 0 ? "" : "Northshire Police") == 0 &&
	       (model->state < REG_HIT_ASSESSED || life.assessed.uid == model->who[1]) &&
	       (model->state < REG_HIT_RESPONDED || life.ended.uid == model->who[2]) &&
	       strcmp(life.assessment, model->assessment) == 0 && strcmp(life.ending, model->ending) == 0;
}

static bool any(const void *context, const struct hit_life *life)
{
	return context == NULL && life->number != 0;
}

static void verify(struct world *world)
{
	struct hit_lives_info info;
	struct hit_life *all;
	uint64_t states[3] = {0};
	size_t count;

	for (unsigned i = 0; i < HITS; i++) {
		if (!life_is(world, i, &world->hits[i]))
			check_note("hit %u is not as the model has it (state %u)", i, world->hits[i].state);
		CHECK(life_is(world, i, &world->hits[i]));
		if (world->hits[i].state > 0)
			states[rank(world->hits[i].state) - 1]++;
	}
	hit_lives_info(lives_of(world), &info);
	CHECK_INT(states[0], info.acknowledged);
	CHECK_INT(states[1], info.assessed);
	CHECK_INT(states[2], info.ended);
	CHECK_INT(0, hit_lives_copy(lives_of(world), any, NULL, &all, &count));
	CHECK_INT(states[0] + states[1] + states[2], count);
	free(all);
}

/* Some orders, the same hit perhaps twice; the answers are the model's. */
static void act(struct world *world, struct hit_order *orders, size_t count)
{
	struct hit_answer answers[16];
	struct err err = {""};

	CHECK_INT(0, hit_lives_step(lives_of(world), orders, count, &err, answers));
	for (size_t i = 0; i < count; i++) {
		unsigned index = (unsigned)((orders[i].number & HIT_COUNT_MASK) - UINT64_C(1700000000000000));
		uint32_t before = world->hits[index].who[rank(orders[i].state) - 1];

		CHECK_INT(model_step(&world->hits[index], &orders[i]), answers[i].outcome);
		CHECK_INT(world->hits[index].state, answers[i].state);
		if (answers[i].outcome == HIT_LIVES_TAKEN || answers[i].outcome == HIT_LIVES_SAME)
			CHECK_INT(before, answers[i].before.uid);
	}
}

static size_t random_orders(struct world *world, struct hit_order orders[16])
{
	size_t count = 1 + (size_t)prng_below(&world->prng, 16);

	for (size_t i = 0; i < count; i++)
		orders[i] = order_of(world, (unsigned)prng_below(&world->prng, HITS),
				     (uint8_t)(1 + prng_below(&world->prng, 4)),
				     (uint32_t)prng_below(&world->prng, ACCOUNTS));
	return count;
}

static void test_random(void)
{
	struct world *world = world_new(check_seed(), "random");
	struct hit_order orders[16];

	for (unsigned round = 0; round < 120; round++) {
		size_t count = random_orders(world, orders);

		act(world, orders, count);
		if (prng_chance(&world->prng, 100)) {
			CHECK_INT(0, rig_close(&world->rig, false));
			if (prng_chance(&world->prng, 500))
				sim_crash(world->io);
			world_open(world);
		}
		if (round % 10 == 0)
			verify(world);
	}
	verify(world);
	world_free(world);
}

static void day_dies(struct world *world, int32_t day)
{
	for (unsigned i = 0; i < HITS; i++)
		if (day_of(world, i) == day)
			world->hits[i] = (struct model){0};
}

/* Not even a read of the day needs to be there: what stands of it goes. */
static void test_day_purged(void)
{
	struct world *world = world_new(check_seed(), "purged");
	struct hit_lives *lives;
	struct hit_order orders[16];
	struct hit_answer answer;
	struct purge_day *days;
	struct err err = {""};
	size_t count;

	for (unsigned i = 0; i < 20; i++) {
		count = random_orders(world, orders);
		act(world, orders, count);
	}
	orders[0] = order_of(world, 0, REG_HIT_ACKNOWLEDGED, 0);
	(void)hit_lives_step(lives_of(world), orders, 1, &err, &answer);
	CHECK(hit_lives_of_day(lives_of(world), world->rig.first_day));
	CHECK_INT(0, purge_plan(world->rig.store, world->rig.first_day + 1, &days, &count));
	CHECK_INT(1, count);
	CHECK_INT(world->rig.first_day, days[0].day);
	free(days);
	CHECK_INT(0, rig_purge(&world->rig, 0));
	lives = lives_of(world);
	CHECK(!hit_lives_of_day(lives, world->rig.first_day));
	day_dies(world, world->rig.first_day);
	verify(world);
	CHECK_INT(0, hit_lives_step(lives, orders, 1, &err, &answer));
	CHECK_INT(HIT_LIVES_PURGED, answer.outcome);
	CHECK_INT(0, hit_lives_forget_day(lives, world->rig.first_day, &err));
	CHECK_INT(0, rig_close(&world->rig, false));
	world_open(world);
	verify(world);
	/* The next day's purge dies behind its keys: its lives go at the next start. */
	orders[0] = order_of(world, 1, REG_HIT_ACKNOWLEDGED, 0);
	(void)hit_lives_step(lives_of(world), orders, 1, &err, &answer);
	CHECK_INT(0, keyring_destroy_day(store_keyring(world->rig.store), world->rig.first_day + 1));
	CHECK_INT(0, hit_lives_step(lives_of(world), orders, 1, &err, &answer));
	CHECK_INT(HIT_LIVES_PURGED, answer.outcome);
	CHECK_INT(0, rig_close(&world->rig, false));
	world_open(world);
	day_dies(world, world->rig.first_day + 1);
	verify(world);
	world_free(world);
}

/* Orders of one call that are all done, for a crash to fall into. */
static size_t fresh_orders(struct world *world, struct hit_order orders[16])
{
	for (unsigned i = 0; i < 16; i++)
		orders[i] = order_of(world, i, REG_HIT_ACKNOWLEDGED, i % ACCOUNTS);
	return 16;
}

/* All of a call or nothing of it, and what was answered for ever. */
static void crash_settle(struct world *world, const struct model before[HITS], const struct model after[HITS],
			 bool answered)
{
	bool is_after = life_is(world, 0, &after[0]);

	CHECK(is_after || !answered);
	memcpy(world->hits, is_after ? after : before, sizeof(world->hits));
	verify(world);
}

static void test_crash(void)
{
	unsigned crashes = 0;
	bool reached = true;

	for (uint64_t nth = 1; reached; nth++) {
		struct model before[HITS], after[HITS];
		struct hit_order orders[16];
		struct hit_answer answers[16];
		struct world *world;
		struct err err;
		char name[32];
		size_t count;
		bool answered;

		snprintf(name, sizeof(name), "crash%llu", (unsigned long long)nth);
		world = world_new(check_seed() + nth, name);
		count = fresh_orders(world, orders);
		memcpy(before, world->hits, sizeof(before));
		memcpy(after, world->hits, sizeof(after));
		for (size_t i = 0; i < count; i++)
			CHECK_INT(0, model_step(&after[i], &orders[i]));
		sim_cut_at(world->io, sim_ops(world->io) + nth);
		answered = hit_lives_step(lives_of(world), orders, count, &err, answers) == 0;
		reached = sim_is_cut(world->io);
		(void)rig_close(&world->rig, false);
		sim_crash(world->io);
		sim_cut_at(world->io, 0);
		world_open(world);
		crash_settle(world, before, after, answered);
		crashes += reached;
		world_free(world);
	}
	CHECK(crashes >= 1);
}

/* The disk refuses the entry: nothing has changed, and the same call does it afterwards. */
static void test_failures(void)
{
	static const int errors[] = {EIO, ENOSPC};
	bool reached = true;

	for (uint64_t nth = 1; reached; nth++) {
		struct world *world;
		struct hit_order orders[16];
		struct hit_answer answers[16];
		struct err err;
		char name[32];
		uint64_t ops;
		size_t count;
		int result;

		snprintf(name, sizeof(name), "fail%llu", (unsigned long long)nth);
		world = world_new(check_seed() ^ nth, name);
		count = fresh_orders(world, orders);
		ops = sim_ops(world->io);
		sim_fail(world->io, SIM_ALL, nth, 1, errors[nth % 2]);
		result = hit_lives_step(lives_of(world), orders, count, &err, answers);
		reached = sim_ops(world->io) - ops >= nth;
		sim_fail(world->io, SIM_ALL, 0, 0, EIO);
		CHECK(reached == (result < 0));
		if (result == 0)
			for (size_t i = 0; i < count; i++)
				(void)model_step(&world->hits[i], &orders[i]);
		verify(world);
		act(world, orders, count);
		verify(world);
		world_free(world);
	}
}

/* A number that has a life is given to no other hit, although the clock and every hit that is left lie before it. */
static void test_number_taken(void)
{
	struct world *world = world_new(check_seed(), "taken");
	uint64_t number = hit_number(0, (uint64_t)clock_wall_us() + UINT64_C(1000000000000));
	struct hit_order order = order_of(world, 0, REG_HIT_ACKNOWLEDGED, 0);
	struct hit_answer answer;
	struct err err;

	order.number = number;
	CHECK_INT(0, hit_lives_step(lives_of(world), &order, 1, &err, &answer));
	CHECK(hit_lives_highest(lives_of(world), 0) == number);
	CHECK_INT(0, hit_lives_highest(lives_of(world), 1));
	CHECK_INT(0, rig_close(&world->rig, false));
	world_open(world);
	for (unsigned i = 0; i < 60; i++)
		(void)rig_send(&world->rig);
	rig_settle(&world->rig, 1000);
	CHECK(world->rig.hit_highest[0] > number);
	world_free(world);
}

/* Two accounts race for the same hits while others look. */
struct racing {
	struct hit_lives *lives;
	int32_t first_day;
	uint32_t uid;
	unsigned won;
	bool failed;
};

static void *race_steps(void *context)
{
	struct racing *racing = context;

	for (unsigned i = 0; i < HITS; i++) {
		struct hit_order order = {.number = number_of(i),
					  .day = racing->first_day + (int32_t)(i % RIG_DAYS),
					  .state = REG_HIT_ACKNOWLEDGED,
					  .uid = racing->uid,
					  .account = "racer"};
		struct hit_answer answer;
		struct err err;

		racing->failed |= hit_lives_step(racing->lives, &order, 1, &err, &answer) != 0 ||
				  (answer.outcome != 0 && answer.outcome != HIT_LIVES_TAKEN);
		racing->won += answer.outcome == 0;
	}
	return NULL;
}

static void *race_looks(void *context)
{
	struct racing *racing = context;

	for (unsigned i = 0; i < 20 * HITS; i++) {
		struct hit_lives_info info;
		struct reg_hit_life life;
		struct hit_life *all;
		size_t count;
		int result = hit_lives_get(racing->lives, number_of(i % HITS), &life);

		racing->failed |= result != -ENOENT && (result != 0 || life.number != number_of(i % HITS));
		(void)hit_lives_known(racing->lives, number_of(i % HITS));
		(void)hit_lives_of_day(racing->lives, racing->first_day);
		hit_lives_info(racing->lives, &info);
		racing->failed |=
			hit_lives_copy(racing->lives, any, NULL, &all, &count) != 0 || count < info.acknowledged;
		free(all);
	}
	return NULL;
}

static void test_race(void)
{
	struct world *world = world_new(check_seed(), "race");
	struct racing racing[4];
	pthread_t threads[4];
	struct hit_lives_info info;
	struct err err;

	for (unsigned i = 0; i < 4; i++) {
		racing[i] = (struct racing){.lives = lives_of(world), .first_day = world->rig.first_day, .uid = i};
		CHECK_INT(0, pthread_create(&threads[i], NULL, i < 2 ? race_steps : race_looks, &racing[i]));
	}
	for (unsigned i = 0; i < 4; i++)
		CHECK_INT(0, pthread_join(threads[i], NULL));
	for (unsigned i = 0; i < 4; i++)
		CHECK(!racing[i].failed);
	CHECK_INT(HITS, racing[0].won + racing[1].won);
	hit_lives_info(lives_of(world), &info);
	CHECK_INT(HITS, info.acknowledged);
	CHECK_INT(0, hit_lives_forget_day(lives_of(world), world->rig.first_day, &err));
	hit_lives_info(lives_of(world), &info);
	CHECK_INT(HITS - HITS / RIG_DAYS, info.acknowledged);
	world_free(world);
}

static void test_bounds(void)
{
	struct world *world = world_new(check_seed(), "bounds");
	struct reg *reg = store_register(world->rig.store, NULL);
	struct hit_order orders[4];
	struct hit_answer answers[4];
	struct hit_lives *lives;
	struct err err = {""};
	char text[300];

	CHECK_INT(0, hit_lives_new(2, &lives));
	orders[0] = order_of(world, 0, REG_HIT_ACKNOWLEDGED, 0);
	CHECK_INT(-EIO, hit_lives_step(lives, orders, 1, &err, answers)); /* not loaded */
	CHECK_INT(0, hit_lives_load(lives, reg, store_keyring(world->rig.store), &err));
	for (unsigned i = 0; i < 4; i++)
		orders[i] = order_of(world, i, REG_HIT_ACKNOWLEDGED, 0);
	orders[3].number = orders[1].number;
	CHECK_INT(0, hit_lives_step(lives, orders, 4, &err, answers));
	CHECK_INT(0, answers[0].outcome + answers[1].outcome);
	CHECK_INT(HIT_LIVES_FULL, answers[2].outcome);
	CHECK_INT(HIT_LIVES_SAME, answers[3].outcome);
	CHECK_INT(-EINVAL, hit_lives_step(lives, orders, 0, &err, answers));
	CHECK_INT(-EINVAL, hit_lives_step(lives, orders, HIT_LIVES_ORDERS_MAX + 1, &err, answers));
	memset(text, 'x', sizeof(text));
	text[REG_HIT_TEXT_SIZE] = '\0';
	orders[0] = order_of(world, 0, REG_HIT_ASSESSED, 0);
	orders[0].text = text;
	CHECK_INT(-EINVAL, hit_lives_step(lives, orders, 1, &err, answers));
	text[REG_HIT_TEXT_SIZE - 1] = '\0';
	CHECK_INT(0, hit_lives_step(lives, orders, 1, &err, answers));
	CHECK_INT(0, answers[0].outcome);
	orders[0].disposition = REG_HIT_UNJUDGED;
	CHECK_INT(-EINVAL, hit_lives_step(lives, orders, 1, &err, answers));
	hit_lives_free(lives);
	world_free(world);
}

static struct reg_hit_life random_life(struct prng *prng)
{
	struct reg_hit_life life = {
		.day = (int32_t)prng_below(prng, 30000),
		.index = (uint32_t)prng_next(prng),
		.number = 1 + prng_below(prng, UINT64_MAX - 1),
		.list = (uint32_t)prng_next(prng),
		.camera = (uint32_t)prng_next(prng),
		.camera_type = (uint8_t)prng_below(prng, 5),
		.priority = (uint8_t)prng_below(prng, 101),
		.state = (uint8_t)(1 + prng_below(prng, 4)),
		.acknowledged = {.uid = 7, .time_us = 1, .account = "anna", .organisation = "North"}};

	if (life.state >= REG_HIT_ASSESSED) {
		life.disposition = (uint8_t)(1 + prng_below(prng, 4));
		life.assessed = (struct reg_hit_step){.uid = 8, .time_us = 2, .account = "ben"};
		memset(life.assessment, 'a', prng_below(prng, REG_HIT_TEXT_SIZE));
	}
	if (life.state >= REG_HIT_RESPONDED) {
		life.ended = (struct reg_hit_step){.uid = 9, .time_us = 3, .account = "cleo"};
		memset(life.ending, 'e', prng_below(prng, REG_HIT_TEXT_SIZE));
	}
	return life;
}

/* Back as it went; shorter, longer or changed it is refused, or is another life that encodes to just these bytes. */
static void test_record(void)
{
	struct prng prng = {.state = check_seed()};
	uint8_t bytes[REG_RECORD_SIZE_MAX + 1];
	uint8_t again[REG_RECORD_SIZE_MAX];

	for (unsigned round = 0; round < 3000; round++) {
		struct reg_hit_life life = random_life(&prng);
		struct reg_hit_life back;
		size_t size = reg_hit_life_encode(&life, bytes);
		size_t cut = (size_t)prng_below(&prng, size);

		CHECK_INT(0, reg_hit_life_decode(bytes, size, &back));
		CHECK_MEM(&life, &back, sizeof(life));
		CHECK_INT(-EBADMSG, reg_hit_life_decode(bytes, cut, &back));
		bytes[size] = 0;
		CHECK_INT(-EBADMSG, reg_hit_life_decode(bytes, size + 1, &back));
		for (unsigned flips = 1 + (unsigned)prng_below(&prng, 4); flips > 0; flips--)
			bytes[prng_below(&prng, size)] = (uint8_t)prng_next(&prng);
		if (reg_hit_life_decode(bytes, size, &back) == 0) {
			CHECK_INT(size, reg_hit_life_encode(&back, again));
			CHECK_MEM(bytes, again, size);
		}
		for (size_t i = 0; i < cut; i++)
			bytes[i] = (uint8_t)prng_next(&prng);
		bytes[0] = 1;
		(void)reg_hit_life_decode(bytes, cut, &back);
	}
}

static bool near(double wanted, double is)
{
	return is > wanted - 5e-5 && is < wanted + 5e-5;
}

/* Roots of (p − share)² = z² p (1 − p) / n, which define the interval, worked out apart. */
static void test_interval(void)
{
	static const struct {
		uint64_t count, total;
		double low, high;
	} rows[] = {{0, 0, 0, 1},
		    {0, 10, 0, 0.2775},
		    {10, 10, 0.7225, 1},
		    {5, 10, 0.2366, 0.7634},
		    {1, 100, 0.0018, 0.0545},
		    {20, 400, 0.0326, 0.0760}};
	double low, high;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		hit_rate_interval(rows[i].count, rows[i].total, &low, &high);
		CHECK(near(rows[i].low, low));
		CHECK(near(rows[i].high, high));
	}
}

static bool in_group(const struct hit_life *life, const struct hit_rate *rate, enum hit_rates_by by)
{
	return life->state >= REG_HIT_ASSESSED && (by == HIT_RATES_LIST || life->camera == rate->camera) &&
	       (by == HIT_RATES_CAMERA || life->list == rate->list);
}

static void rate_verify(const struct hit_life *lives, size_t count, const struct hit_rate *rate, enum hit_rates_by by)
{
	uint64_t counts[REG_HIT_DISPOSITION_END] = {0};
	uint64_t assessed = 0;

	for (size_t i = 0; i < count; i++)
		if (in_group(&lives[i], rate, by)) {
			assessed++;
			counts[lives[i].disposition]++;
		}
	CHECK_INT(assessed, rate->assessed);
	CHECK_MEM(counts, rate->counts, sizeof(counts));
	CHECK(near((double)counts[REG_HIT_MISREAD] / (double)assessed, rate->misread));
	CHECK(rate->low <= rate->misread && rate->misread <= rate->high);
}

static void test_rates(void)
{
	struct prng prng = {.state = check_seed()};
	struct hit_life lives[400];

	for (unsigned round = 0; round < 60; round++) {
		enum hit_rates_by by = round % 3;
		size_t count = (size_t)prng_below(&prng, 401);
		struct hit_rate *rates;
		uint64_t min = 1 + prng_below(&prng, 6);
		uint64_t sum = 0, assessed = 0;
		size_t found;

		for (size_t i = 0; i < count; i++) {
			lives[i] = (struct hit_life){.number = i + 1,
						     .camera = (uint32_t)prng_below(&prng, 8),
						     .list = (uint32_t)prng_below(&prng, 5),
						     .state = (uint8_t)(1 + prng_below(&prng, 4))};
			if (lives[i].state >= REG_HIT_ASSESSED)
				lives[i].disposition = (uint8_t)(1 + prng_below(&prng, 4));
			assessed += lives[i].state >= REG_HIT_ASSESSED;
		}
		CHECK_INT(0, hit_rates_of(lives, count, by, min, &rates, &found));
		for (size_t i = 0; i < found; i++) {
			rate_verify(lives, count, &rates[i], by);
			CHECK(rates[i].assessed >= min);
			CHECK(i == 0 || rates[i - 1].misread >= rates[i].misread);
		}
		free(rates);
		CHECK_INT(0, hit_rates_of(lives, count, by, 0, &rates, &found));
		for (size_t i = 0; i < found; i++)
			sum += rates[i].assessed;
		CHECK_INT(assessed, sum);
		free(rates);
	}
}

int main(int argc, char **argv)
{
	static const struct check_test tests[] = {{"record there and back, and fuzzed", test_record},
						  {"steps against a model", test_random},
						  {"a purged day's lives go", test_day_purged},
						  {"the power goes at every write", test_crash},
						  {"writes fail", test_failures},
						  {"a number with a life is not given again", test_number_taken},
						  {"accounts race", test_race},
						  {"bounds", test_bounds},
						  {"interval", test_interval},
						  {"rates against a model", test_rates},
						  {NULL, NULL}};

	return check_main(argc, argv, "lives of hits", tests);
}
