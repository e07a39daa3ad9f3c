/*
 * Memory that runs out while lives of hits are loaded, changed and counted: each allocation of ours fails once. Nothing
 * may crash or leak; a call that fails has changed nothing, or, where the register says that its index must be mended,
 * all of it, which the next start finds.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#define LOG_MODULE "test"
#include "appliance/base/log.h"
#include "appliance/base/u64_map.h"
#include "storage/hit_lives.h"
#include "storage/hit_rates.h"
#include "storage/io.h"
#include "storage/keyring.h"
#include "storage/register.h"
#include "tests/check.h"
#include "tests/short_memory.h"

#define ORDERS 200 /* more than the first room */

struct bench {
	char paths[6][600]; /* register, db, lists, master, keyring a, b */
	struct io *io;
	struct keyring *keyring;
	struct reg *reg;
	struct hit_lives *lives;
};

static void bench_init(struct bench *bench)
{
	static const char *const names[] = {"register", "db", "lists", "master", "keyring.a", "keyring.b"};
	struct keyring_options options;
	struct err err;

	log_level_set(LOG_LEVEL_ERROR);
	for (size_t i = 0; i < 6; i++)
		snprintf(bench->paths[i], sizeof(bench->paths[i]), "%s/%s", check_memory_directory(), names[i]);
	options = (struct keyring_options){.master_path = bench->paths[3],
					   .copy_a_path = bench->paths[4],
					   .copy_b_path = bench->paths[5],
					   .create = true};
	CHECK_INT(0, io_real_new(&bench->io));
	CHECK_INT(0, keyring_open(&options, bench->io, &err, &bench->keyring));
}

static void bench_open(struct bench *bench)
{
	struct reg_options options = {.directory = bench->paths[0],
				      .db_directory = bench->paths[1],
				      .lists_directory = bench->paths[2],
				      .map_size = 16 << 20};
	struct err err;

	CHECK_INT(0, reg_open(&options, bench->io, bench->keyring, &err, &bench->reg));
}

static void bench_close(struct bench *bench)
{
	bench->lives = hit_lives_free(bench->lives);
	bench->reg = reg_free(bench->reg);
}

static void bench_fini(struct bench *bench)
{
	keyring_free(bench->keyring);
	io_real_free(bench->io);
}

static int act(struct bench *bench, unsigned turn, struct err *err)
{
	static struct hit_order orders[ORDERS];
	static struct hit_answer answers[ORDERS];

	for (unsigned i = 0; i < ORDERS; i++)
		orders[i] = (struct hit_order){.number = 1 + turn * ORDERS + i,
					       .day = 20000,
					       .state = REG_HIT_ACKNOWLEDGED,
					       .account = "anna"};
	return hit_lives_step(bench->lives, orders, ORDERS, err, answers);
}

static int load(struct bench *bench, struct err *err)
{
	int result = hit_lives_new(HIT_LIVES_MAX, &bench->lives);

	return result < 0 ? result : hit_lives_load(bench->lives, bench->reg, bench->keyring, err);
}

static void all_or_nothing(struct bench *bench, unsigned turn, bool answered)
{
	unsigned known = 0;

	for (unsigned i = 0; i < ORDERS; i++)
		known += hit_lives_known(bench->lives, 1 + turn * ORDERS + i);
	CHECK(known == ORDERS || (known == 0 && !answered));
}

static void test_lives(void)
{
	struct bench bench = {0};
	struct err err = {""};
	unsigned turn = 0;

	bench_init(&bench);
	do {
		int result;

		bench_open(&bench);
		memory_allowed = (int)turn;
		memory_failed = false;
		result = load(&bench, &err);
		if (result == 0)
			result = act(&bench, turn, &err);
		memory_allowed = -1;
		CHECK(memory_failed || result == 0);
		CHECK(result == 0 || result == -ENOMEM);
		bench_close(&bench);
		bench_open(&bench);
		CHECK_INT(0, load(&bench, &err));
		all_or_nothing(&bench, turn, result == 0);
		bench_close(&bench);
		turn++;
	} while (memory_failed && turn < 1000);
	CHECK(turn > 4);
	CHECK(!memory_failed);
	bench_fini(&bench);
}

static bool every(const void *context, const struct hit_life *life)
{
	return context == NULL && life != NULL;
}

static void test_rates(void)
{
	struct bench bench = {0};
	struct err err = {""};

	bench_init(&bench);
	bench_open(&bench);
	CHECK_INT(0, load(&bench, &err));
	CHECK_INT(0, act(&bench, 100000, &err));
	for (int turn = 0;; turn++) {
		struct hit_life *copy = NULL;
		struct hit_rate *rates = NULL;
		size_t count;
		int result;

		memory_allowed = turn;
		memory_failed = false;
		result = hit_lives_copy(bench.lives, every, NULL, &copy, &count);
		if (result == 0)
			result = hit_rates_of(copy, count, HIT_RATES_BOTH, 1, &rates, &count);
		memory_allowed = -1;
		CHECK_INT(memory_failed ? -ENOMEM : 0, result);
		free(copy);
		free(rates);
		if (!memory_failed)
			break;
	}
	bench_close(&bench);
	bench_fini(&bench);
}

static void test_map(void)
{
	struct u64_map map = {0};

	for (uint64_t key = 1; key <= 1000; key++) {
		uint32_t value;
		int result;

		memory_allowed = 0;
		memory_failed = false;
		result = u64_map_put(&map, key, (uint32_t)key);
		memory_allowed = -1;
		CHECK_INT(memory_failed ? -ENOMEM : 0, result);
		if (memory_failed)
			CHECK_INT(0, u64_map_put(&map, key, (uint32_t)key));
		for (uint64_t known = 1; known <= key; known++)
			CHECK(u64_map_get(&map, known, &value) && value == known);
	}
	u64_map_fini(&map);
}

int main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{"lives", test_lives}, {"rates", test_rates}, {"map", test_map}, {NULL, NULL}};

	return check_main(argc, argv, "hits short of memory", tests);
}
