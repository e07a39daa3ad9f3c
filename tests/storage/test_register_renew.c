/* The register's change log written anew: nothing of the register is lost by it, whatever fails, and the rest goes. */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOG_MODULE "test"
#include "appliance/base/log.h"
#include "appliance/base/prng.h"
#include "storage/io.h"
#include "storage/keyring.h"
#include "storage/register.h"
#include "tests/check.h"
#include "tests/short_memory.h"
#include "tests/storage/sim_io.h"

#define CAMERAS 300
#define LOG "/g/r/changes.log"
#define HEADER_SIZE 88
#define COPY_SIZE (1u << 20)

/* A register on a simulated disk, its index on a real one, and what it has to hold. */
struct world {
	struct prng prng;
	struct io *io;
	struct keyring *keyring;
	struct reg *reg;
	struct err err;
	char db[600];
	char root[560]; /* of what lies on the simulated disk, or on a real one */
	bool real;
	int64_t created[CAMERAS]; /* 0: there is none */
	int64_t turn;
	uint64_t sequence;
};

static const char *path_of(const struct world *world, const char *name, char path[700])
{
	(void)snprintf(path, 700, "%s/%s", world->root, name);
	return path;
}

static int world_open(struct world *world)
{
	char directory[700], lists[700];
	struct reg_options options = {.directory = path_of(world, "r", directory),
				      .db_directory = world->db,
				      .lists_directory = path_of(world, "l", lists),
				      .map_size = 16 << 20,
				      .log_size_min = 1};

	return reg_open(&options, world->io, world->keyring, &world->err, &world->reg);
}

static int world_attach(struct world *world)
{
	char master[700], copy_a[700], copy_b[700];
	struct keyring_options keys = {.master_path = path_of(world, "m", master),
				       .copy_a_path = path_of(world, "a", copy_a),
				       .copy_b_path = path_of(world, "b", copy_b),
				       .create = true};
	int result = keyring_open(&keys, world->io, &world->err, &world->keyring);

	return result < 0 ? result : world_open(world);
}

static struct world *world_begin(uint64_t seed, bool real)
{
	static unsigned number;
	struct world *world = calloc(1, sizeof(*world));

	CHECK(world != NULL);
	world->prng = (struct prng){seed};
	world->real = real;
	(void)snprintf(world->db, sizeof(world->db), "%s/n%u", check_memory_directory(), number++);
	CHECK_INT(0, mkdir(world->db, 0700));
	(void)snprintf(world->root, sizeof(world->root), "%s%s", real ? world->db : "", "/g");
	if (real)
		CHECK_INT(0, io_real_new(&world->io));
	else
		world->io = sim_new(seed);
	CHECK_INT(0, world->io->ops->mkdir(world->io, world->root));
	if (!real)
		CHECK_INT(0, world->io->ops->dir_sync(world->io, "/"));
	CHECK_INT(0, world_attach(world));
	return world;
}

static struct world *world_new(uint64_t seed)
{
	return world_begin(seed, false);
}

static void world_close(struct world *world)
{
	world->reg = reg_free(world->reg);
}

static void world_free(struct world *world)
{
	world_close(world);
	keyring_free(world->keyring);
	(void)(world->real ? io_real_free(world->io) : sim_free(world->io));
	free(world);
}

/* As if the power had gone; the index, which has its own disk, stays as far as it was. */
static void world_crash(struct world *world)
{
	world_close(world);
	world->keyring = keyring_free(world->keyring);
	sim_crash(world->io);
	sim_cut_at(world->io, 0);
}

static void index_path(const struct world *world, const char *name, char path[700])
{
	(void)snprintf(path, 700, "%s/%s", world->db, name);
}

static void index_remove(const struct world *world)
{
	static const char *const names[] = {"data.mdb", "lock.mdb", "clean"};
	char path[700];

	for (size_t i = 0; i < 3; i++) {
		index_path(world, names[i], path);
		(void)unlink(path);
	}
}

static void file_copy(const char *from, const char *to)
{
	char *bytes = malloc(COPY_SIZE);
	FILE *file = fopen(from, "rb");
	size_t size;

	CHECK(bytes != NULL && file != NULL);
	size = fread(bytes, 1, COPY_SIZE, file);
	CHECK(size < COPY_SIZE);
	CHECK_INT(0, fclose(file));
	file = fopen(to, "wb");
	CHECK(file != NULL);
	CHECK_INT(size, fwrite(bytes, 1, size, file));
	CHECK_INT(0, fclose(file));
	free(bytes);
}

/* One change of up to eight cameras. The model follows only when it was made. */
static int change(struct world *world)
{
	uint8_t buffers[8][REG_RECORD_SIZE_MAX];
	struct reg_change changes[8];
	size_t count = 1 + prng_below(&world->prng, 8);
	int result;

	world->turn++;
	for (size_t i = 0; i < count; i++) {
		struct reg_camera camera = {.camera = (uint32_t)prng_below(&world->prng, CAMERAS),
					    .created_us = world->turn};

		changes[i] = reg_camera_put(&camera, buffers[i]);
		if (prng_chance(&world->prng, 300))
			changes[i] = (struct reg_change){.kind = REG_CAMERA, .a = camera.camera};
	}
	result = reg_change(world->reg, changes, count, 5, "why", &world->err);
	if (result < 0)
		return result;
	world->sequence++;
	for (size_t i = 0; i < count; i++)
		world->created[changes[i].a] = changes[i].value != NULL ? world->turn : 0;
	return 0;
}

static void changes(struct world *world, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		CHECK_INT(0, change(world));
}

static int compare(void *context, const struct reg_record *record)
{
	int64_t *left = context;
	struct reg_camera camera;

	CHECK_INT(0, reg_camera_decode(record->value, record->value_size, &camera));
	CHECK_INT(left[camera.camera], camera.created_us);
	left[camera.camera] = 0;
	return 0;
}

static void check_content(struct world *world)
{
	int64_t left[CAMERAS];

	memcpy(left, world->created, sizeof(left));
	CHECK_INT(0, reg_each(world->reg, REG_CAMERA, 0, UINT32_MAX, compare, left));
	for (unsigned i = 0; i < CAMERAS; i++)
		CHECK_INT(0, left[i]);
	CHECK_INT(world->sequence, reg_sequence(world->reg));
}

static void open_again(struct world *world)
{
	int result = world->keyring == NULL ? world_attach(world) : world_open(world);

	if (result < 0)
		check_note("%s", world->err.text);
	CHECK_INT(0, result);
	check_content(world);
}

static uint64_t log_size(struct world *world)
{
	struct reg_info info;

	reg_info(world->reg, &info);
	return info.log_size;
}

/* A random history with renewals in it; the index now and then lost, or put back as it was long ago. */
static void test_against_model(void)
{
	struct world *world = world_new(check_seed());
	char index[700], old[700];
	unsigned renewed = 0;
	bool saved = false;

	index_path(world, "data.mdb", index);
	index_path(world, "old", old);
	for (unsigned round = 0; round < 400; round++) {
		unsigned way = prng_below(&world->prng, 20);
		struct reg_info info;
		int result;

		changes(world, 1 + prng_below(&world->prng, 20));
		result = prng_chance(&world->prng, 300) ? reg_renew(world->reg, &world->err) : 0;
		CHECK(result >= 0);
		renewed += result == REG_RENEWED;
		if (way > 4)
			continue;
		world_close(world);
		if (way == 0) {
			index_remove(world);
		} else if (way == 1) {
			file_copy(index, old);
			saved = true;
		} else if (way == 2 && saved) {
			index_remove(world);
			file_copy(old, index);
		} else if (way == 3) {
			world_crash(world);
		}
		open_again(world);
		reg_info(world->reg, &info);
		CHECK(way != 0 || info.rebuilt);
	}
	CHECK(renewed >= 10);
	world_free(world);
}

/* It is due again only when it has grown, and what was replaced or deleted is nowhere on the disk any more. */
static void test_old_goes(void)
{
	struct world *world = world_new(check_seed());
	uint64_t before, base;
	struct reg_info info;
	uint8_t *bytes;
	size_t size;

	changes(world, 500);
	before = log_size(world);
	bytes = sim_get(world->io, LOG, &size);
	CHECK(bytes != NULL && size >= HEADER_SIZE);
	CHECK(sim_medium_holds(world->io, bytes, HEADER_SIZE));
	CHECK_INT(REG_RENEWED, reg_renew(world->reg, &world->err));
	CHECK(!sim_medium_holds(world->io, bytes, HEADER_SIZE));
	free(bytes);
	reg_info(world->reg, &info);
	base = info.log_base_size;
	CHECK(base > 0 && base == info.log_size && base < before / 4);
	CHECK_INT(0, reg_renew(world->reg, &world->err));
	while (log_size(world) < 4 * base) {
		CHECK_INT(0, reg_renew(world->reg, &world->err));
		changes(world, 1);
	}
	CHECK_INT(REG_RENEWED, reg_renew(world->reg, &world->err));
	world_close(world);
	CHECK(sim_get(world->io, LOG ".tmp", &size) == NULL);
	open_again(world);
	reg_info(world->reg, &info);
	CHECK(!info.rebuilt && info.log_base_size > 0);
	world_free(world);
}

/* A register of nothing any more is one all the same: its numbers go on. */
static void test_empty(void)
{
	struct world *world = world_new(check_seed());

	CHECK_INT(0, reg_renew(world->reg, &world->err));
	changes(world, 1);
	CHECK_INT(0, reg_renew(world->reg, &world->err)); /* of one entry there is no base */
	for (uint32_t camera = 0; camera < CAMERAS; camera++) {
		struct reg_change drop = {.kind = REG_CAMERA, .a = camera};

		CHECK_INT(0, reg_change(world->reg, &drop, 1, 0, "", &world->err));
		world->created[camera] = 0;
		world->sequence++;
	}
	CHECK_INT(REG_RENEWED, reg_renew(world->reg, &world->err));
	for (unsigned life = 0; life < 2; life++) {
		world_close(world);
		index_remove(world);
		open_again(world);
		changes(world, 1);
	}
	world_free(world);
}

/* The power goes at every operation of a renewal, and of the change behind it. */
static void test_power_cuts(void)
{
	bool was_cut = true;

	for (uint64_t cut = 1; was_cut; cut++) {
		struct world *world = world_new(check_seed() + cut);
		struct world before;

		changes(world, 60);
		sim_cut_at(world->io, sim_ops(world->io) + cut);
		(void)reg_renew(world->reg, &world->err);
		(void)change(world);
		before = *world;
		was_cut = sim_is_cut(world->io);
		if (!was_cut)
			CHECK_INT(61, world->sequence);
		world_crash(world);
		/* A change that was refused may yet be found, whole: it changed at most eight cameras. */
		CHECK_INT(0, world_attach(world));
		CHECK(reg_sequence(world->reg) == before.sequence || reg_sequence(world->reg) == before.sequence + 1);
		if (reg_sequence(world->reg) == before.sequence)
			check_content(world);
		world_close(world);
		if (cut % 2 == 0)
			index_remove(world);
		CHECK_INT(0, world_open(world));
		CHECK(reg_sequence(world->reg) == before.sequence || reg_sequence(world->reg) == before.sequence + 1);
		if (reg_sequence(world->reg) == before.sequence) {
			check_content(world);
			(void)reg_renew(world->reg, &world->err);
			changes(world, 3);
			world_crash(world);
			open_again(world);
		}
		world_free(world);
	}
}

/*
 * The nth operation of a renewal fails, once or from there on; then the process ends, or the power goes. What was
 * answered is there.
 */
static void test_failing_disk(void)
{
	static const unsigned kinds[] = {SIM_ALL, SIM_READ, SIM_SYNC};
	bool failed = true;

	for (uint64_t nth = 1; failed; nth++) {
		failed = false;
		for (unsigned way = 0; way < 6; way++) {
			struct world *world = world_new(check_seed() + nth);
			bool ends;

			changes(world, 60);
			sim_fail(world->io, kinds[way / 2], nth, way % 2 == 0 ? 1 : UINT32_MAX, EIO);
			failed |= reg_renew(world->reg, &world->err) < 0;
			ends = prng_chance(&world->prng, 300);
			failed |= !ends && change(world) < 0;
			sim_fail(world->io, SIM_ALL, 1, 0, EIO);
			check_content(world);
			if (ends) { /* the process, not the power: nothing of the log's name need be durable */
				world_close(world);
				open_again(world);
			}
			changes(world, 2);
			if (prng_chance(&world->prng, 500))
				CHECK(reg_renew(world->reg, &world->err) >= 0);
			changes(world, 1);
			world_crash(world);
			if (prng_chance(&world->prng, 300))
				index_remove(world);
			open_again(world);
			world_free(world);
		}
	}
}

static void test_no_memory(void)
{
	struct world *world = world_begin(check_seed(), true);

	for (int allowed = 0;; allowed++) {
		int result;

		changes(world, 60);
		memory_failed = false;
		memory_allowed = allowed;
		result = reg_renew(world->reg, &world->err);
		memory_allowed = -1;
		check_content(world);
		if (!memory_failed) {
			CHECK(result >= 0);
			break;
		}
		CHECK_INT(-ENOMEM, result);
	}
	world_close(world);
	open_again(world);
	world_free(world);
}

/* A flipped bit in the base is refused, the index being there or not, and a base cut short is no shorter one. */
static void test_base_damaged(void)
{
	struct world *world = world_new(check_seed());
	struct reg_info info;
	uint8_t *bytes;
	size_t size;

	changes(world, 60);
	CHECK_INT(REG_RENEWED, reg_renew(world->reg, &world->err));
	changes(world, 2);
	reg_info(world->reg, &info);
	world_close(world);
	bytes = sim_get(world->io, LOG, &size);
	CHECK(bytes != NULL && info.log_size == size && info.log_base_size < size);
	for (unsigned round = 0; round < 200; round++) {
		size_t at = prng_below(&world->prng, info.log_base_size);
		uint8_t mask = (uint8_t)(1u << prng_below(&world->prng, 8));
		uint8_t *after;
		size_t after_size;

		if (round == 100)
			index_remove(world);
		CHECK_INT(0, sim_rot(world->io, LOG, at, mask));
		CHECK_INT(-EBADMSG, world_open(world));
		CHECK(strstr(world->err.text, "changes.log") != NULL);
		CHECK_INT(0, sim_rot(world->io, LOG, at, mask));
		after = sim_get(world->io, LOG, &after_size);
		CHECK(after_size == size && memcmp(after, bytes, size) == 0);
		free(after);
	}
	for (size_t cut = HEADER_SIZE; cut < info.log_base_size; cut += 13) {
		CHECK_INT(0, sim_put(world->io, LOG, bytes, cut));
		CHECK_INT(-EBADMSG, world_open(world));
	}
	CHECK_INT(0, sim_put(world->io, LOG, bytes, size));
	open_again(world);
	free(bytes);
	world_free(world);
}

/* What a renewal left that a power cut ended is removed by the next opening. */
static void test_remnant(void)
{
	struct world *world = world_new(check_seed());
	size_t size;

	changes(world, 60);
	world_close(world);
	CHECK_INT(0, sim_put(world->io, LOG ".tmp", "whatever", 8));
	open_again(world);
	CHECK(sim_get(world->io, LOG ".tmp", &size) == NULL);
	world_free(world);
}

struct writer {
	struct world *world;
	atomic_bool stop;
	unsigned failures;
};

static void *write_on(void *context)
{
	struct writer *writer = context;

	while (!atomic_load(&writer->stop))
		writer->failures += change(writer->world) < 0;
	return NULL;
}

/* Changes go on while the log is written anew again and again. */
static void test_threads(void)
{
	struct world *world = world_new(check_seed());
	struct writer writer = {.world = world};
	unsigned renewed = 0;
	pthread_t thread;

	CHECK_INT(0, pthread_create(&thread, NULL, write_on, &writer));
	for (unsigned i = 0; i < 1000000 && renewed < 30; i++) {
		int result = reg_renew(world->reg, &world->err);

		CHECK(result >= 0);
		renewed += result == REG_RENEWED;
		if (result == 0)
			(void)usleep(100);
	}
	atomic_store(&writer.stop, true);
	CHECK_INT(0, pthread_join(thread, NULL));
	CHECK_INT(30, renewed);
	CHECK_INT(0, writer.failures);
	check_content(world);
	world_crash(world);
	index_remove(world);
	open_again(world);
	world_free(world);
}

int main(int argc, char **argv)
{
	static const struct check_test tests[] = {{"a random history with renewals", test_against_model},
						  {"what was replaced goes", test_old_goes},
						  {"nothing is a register too", test_empty},
						  {"power cuts at every operation", test_power_cuts},
						  {"a disk that fails", test_failing_disk},
						  {"memory that runs out", test_no_memory},
						  {"a damaged base is refused", test_base_damaged},
						  {"a remnant is removed", test_remnant},
						  {"threads", test_threads},
						  {NULL, NULL}};

	log_level_set(LOG_LEVEL_ERROR);
	return check_main(argc, argv, "storage register renewed", tests);
}
