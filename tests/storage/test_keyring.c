#include "storage/keyring.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/bytes.h"
#include "appliance/base/prng.h"
#include "storage/io.h"
#include "storage/keyring_file.h"
#include "tests/check.h"
#include "tests/storage/sim_io.h"

#define MASTER "/k/master"
#define COPY_A "/d/keyring"
#define COPY_B "/e/keyring"

static struct keyring *ring_open(struct io *io, bool create, int *ret_result)
{
	struct keyring_options options = {
		.master_path = MASTER, .copy_a_path = COPY_A, .copy_b_path = COPY_B, .create = create};
	struct keyring *keyring = NULL;
	struct err err = {{0}};

	*ret_result = keyring_open(&options, io, &err, &keyring);
	CHECK((*ret_result == 0) == (keyring != NULL));
	CHECK((*ret_result == 0) == (err.text[0] == '\0'));
	return keyring;
}

static struct keyring *ring_made(struct io *io)
{
	int r;
	struct keyring *keyring = ring_open(io, true, &r);

	CHECK_INT(0, r);
	return keyring;
}

static struct key_id segment(uint64_t id, int32_t day)
{
	return (struct key_id){.id = id, .day = day, .kind = KEY_SEGMENT};
}

static int make(struct keyring *keyring, struct key_id id)
{
	struct key_change change = {.id = id};

	return keyring_change(keyring, &change, 1);
}

static int destroy(struct keyring *keyring, struct key_id id)
{
	struct key_change change = {.id = id, .destroy = true};

	return keyring_change(keyring, &change, 1);
}

static bool holds(struct keyring *keyring, struct key_id id)
{
	uint8_t key[KEY_SIZE];

	return keyring_get(keyring, id, key) == 0;
}

static void test_keys_stay(void)
{
	struct io *io = sim_new(check_seed());
	struct keyring *keyring = ring_made(io);
	uint8_t before[KEY_SIZE];
	uint8_t after[KEY_SIZE];
	uint8_t other[KEY_SIZE];
	struct keyring_info info;
	int r;

	CHECK_INT(0, make(keyring, segment(1, 100)));
	CHECK_INT(0, make(keyring, segment(2, 100)));
	CHECK_INT(-EEXIST, make(keyring, segment(1, 100)));
	CHECK_INT(0, make(keyring, segment(1, 101)));
	CHECK_INT(0, keyring_get(keyring, segment(1, 100), before));
	CHECK_INT(0, keyring_get(keyring, segment(2, 100), other));
	CHECK(memcmp(before, other, KEY_SIZE) != 0);
	CHECK_INT(-ENOENT, keyring_get(keyring, segment(3, 100), other));
	keyring_free(keyring);
	keyring = ring_open(io, false, &r);
	CHECK_INT(0, r);
	CHECK_INT(0, keyring_get(keyring, segment(1, 100), after));
	CHECK_MEM(before, after, KEY_SIZE);
	keyring_info(keyring, &info);
	CHECK_INT(3, info.key_count);
	CHECK(!info.copy_mended);
	CHECK_INT(0, destroy(keyring, segment(1, 100)));
	CHECK_INT(0, destroy(keyring, segment(1, 100)));
	CHECK(!holds(keyring, segment(1, 100)));
	CHECK(holds(keyring, segment(1, 101)));
	keyring_free(keyring);
	sim_free(io);
}

static void test_changes_are_all_or_none(void)
{
	struct io *io = sim_new(check_seed());
	struct keyring *keyring = ring_made(io);
	struct key_change changes[] = {
		{.id = segment(5, 1)}, {.id = segment(6, 1)}, {.id = segment(5, 1)}, {.id = segment(7, 1)}};

	CHECK_INT(-EEXIST, keyring_change(keyring, changes, 4));
	CHECK(!holds(keyring, segment(5, 1)));
	CHECK(!holds(keyring, segment(6, 1)));
	CHECK_INT(0, keyring_change(keyring, changes, 2));
	CHECK(holds(keyring, segment(5, 1)));
	changes[0].destroy = true;
	changes[2] = (struct key_change){.id = segment(8, 1)};
	changes[1] = (struct key_change){.id = segment(9, 1)};
	CHECK_INT(0, keyring_change(keyring, changes, 4));
	CHECK(!holds(keyring, segment(5, 1)));
	CHECK(holds(keyring, segment(9, 1)));
	CHECK(holds(keyring, segment(7, 1)));
	keyring_free(keyring);
	sim_free(io);
}

static void test_days(void)
{
	struct io *io = sim_new(check_seed());
	struct keyring *keyring = ring_made(io);
	struct keyring_info info;
	uint64_t generation;
	int r;

	for (uint64_t i = 0; i < 30; i++)
		CHECK_INT(0, make(keyring, segment(i, -1 + (int32_t)(i % 3))));
	CHECK_INT(0, keyring_destroy_day(keyring, -1));
	CHECK(keyring_day_destroyed(keyring, -1));
	CHECK(!keyring_day_destroyed(keyring, 0));
	keyring_info(keyring, &info);
	CHECK_INT(20, info.key_count);
	generation = info.generation;
	CHECK_INT(0, keyring_destroy_day(keyring, -1));
	keyring_info(keyring, &info);
	CHECK_INT(generation, info.generation);
	CHECK_INT(0, keyring_destroy_day(keyring, -700)); /* no keys, marked all the same */
	CHECK_INT(0, keyring_destroy_day(keyring, 1));
	keyring_free(keyring);
	keyring = ring_open(io, false, &r);
	CHECK_INT(0, r);
	CHECK(keyring_day_destroyed(keyring, -700));
	CHECK(keyring_day_destroyed(keyring, -1));
	CHECK(keyring_day_destroyed(keyring, 1));
	CHECK(!keyring_day_destroyed(keyring, 0));
	CHECK(holds(keyring, segment(1, 0)));
	CHECK(!holds(keyring, segment(2, 1)));
	keyring_free(keyring);
	sim_free(io);
}

/* ---- refusals */

static void test_refusals(void)
{
	struct io *io = sim_new(check_seed());
	struct keyring *keyring;
	char wrong[2 * KEY_SIZE + 2];
	int r;

	(void)ring_open(io, false, &r);
	CHECK_INT(-ENOENT, r);
	keyring_free(ring_made(io));
	memset(wrong, 'a', sizeof(wrong));
	wrong[2 * KEY_SIZE] = '\n';
	CHECK_INT(0, sim_put(io, MASTER, wrong, 2 * KEY_SIZE + 1));
	(void)ring_open(io, true, &r);
	CHECK_INT(-EKEYREJECTED, r);
	CHECK_INT(0, sim_put(io, MASTER, wrong, 2 * KEY_SIZE - 1));
	(void)ring_open(io, true, &r);
	CHECK_INT(-EINVAL, r);
	wrong[7] = 'x';
	CHECK_INT(0, sim_put(io, MASTER, wrong, 2 * KEY_SIZE + 1));
	(void)ring_open(io, true, &r);
	CHECK_INT(-EINVAL, r);
	CHECK_INT(0, sim_expose(io, MASTER));
	(void)ring_open(io, true, &r);
	CHECK_INT(-EPERM, r);
	sim_free(io);

	io = sim_new(check_seed());
	keyring = ring_made(io);
	keyring_free(keyring);
	CHECK_INT(0, io->ops->unlink(io, COPY_A));
	CHECK_INT(0, io->ops->unlink(io, COPY_B));
	(void)ring_open(io, false, &r);
	CHECK_INT(-ENOENT, r);
	sim_free(io);
}

/* ---- damage */

static void damage_case(const uint8_t *good, size_t size, size_t offset, uint8_t mask)
{
	struct io *io = sim_new(1);
	uint8_t *bad = malloc(size);
	struct keyring_content content;
	static const uint8_t zeros[KEY_SIZE];

	CHECK(bad != NULL);
	memcpy(bad, good, size);
	bad[offset] ^= mask;
	CHECK_INT(-EBADMSG, keyring_file_decode(bad, size, zeros, &content));
	free(bad);
	sim_free(io);
}

static void test_any_flipped_bit_or_cut_is_refused(void)
{
	static const uint8_t zeros[KEY_SIZE];
	struct keyring_entry entries[3] = {{.id = segment(1, 5)}, {.id = segment(2, 4)}, {.id = segment(2, 9)}};
	int32_t days[] = {-3, 12};
	struct keyring_content content = {
		.generation = 9, .entries = entries, .entry_count = 3, .days = days, .day_count = 2};
	struct keyring_content again;
	size_t size = keyring_file_size(&content);
	uint8_t *file = malloc(size + 1);

	CHECK(file != NULL);
	keyring_file_encode(&content, zeros, file);
	CHECK_INT(0, keyring_file_decode(file, size, zeros, &again));
	CHECK_INT(3, again.entry_count);
	CHECK_INT(2, again.day_count);
	CHECK_INT(9, again.generation);
	CHECK_INT(12, again.days[1]);
	keyring_content_fini(&again);
	for (size_t offset = 0; offset < size; offset++)
		for (unsigned bit = 0; bit < 8; bit++)
			damage_case(file, size, offset, (uint8_t)(1 << bit));
	for (size_t cut = 0; cut < size; cut++)
		CHECK_INT(-EBADMSG, keyring_file_decode(file, cut, zeros, &again));
	file[size] = 0;
	CHECK_INT(-EBADMSG, keyring_file_decode(file, size + 1, zeros, &again));
	free(file);
}

static void test_one_damaged_copy_is_mended(void)
{
	struct prng prng = {.state = check_seed()};

	for (unsigned round = 0; round < 200; round++) {
		struct io *io = sim_new(check_seed() + round);
		struct keyring *keyring = ring_made(io);
		const char *victim = round % 2 ? COPY_A : COPY_B;
		struct keyring_info info;
		uint8_t *bytes;
		size_t size;
		int r;

		CHECK_INT(0, make(keyring, segment(1, 1)));
		CHECK_INT(0, make(keyring, segment(2, 1)));
		keyring_free(keyring);
		bytes = sim_get(io, victim, &size);
		CHECK(bytes != NULL);
		free(bytes);
		if (round % 3 == 0)
			CHECK_INT(0, io->ops->unlink(io, victim));
		else if (round % 3 == 1)
			CHECK_INT(0, sim_truncate(io, victim, prng_below(&prng, size)));
		else
			CHECK_INT(0, sim_rot(io, victim, prng_below(&prng, size), 1 << prng_below(&prng, 8)));
		keyring = ring_open(io, false, &r);
		CHECK_INT(0, r);
		CHECK(holds(keyring, segment(2, 1)));
		keyring_info(keyring, &info);
		CHECK(info.copy_mended);
		keyring_free(keyring);
		/* Now the other one may go. */
		CHECK_INT(0, io->ops->unlink(io, round % 2 ? COPY_B : COPY_A));
		keyring = ring_open(io, false, &r);
		CHECK_INT(0, r);
		CHECK(holds(keyring, segment(2, 1)));
		keyring_free(keyring);
		CHECK_INT(0, sim_rot(io, COPY_A, 50, 1));
		CHECK_INT(0, sim_rot(io, COPY_B, 130, 1));
		(void)ring_open(io, true, &r);
		CHECK_INT(-EBADMSG, r);
		sim_free(io);
	}
}

/* ---- crashes */

struct ring_life {
	struct io *io;
	bool made[40];      /* the call that made it said 0 */
	bool asked[40];     /* there was such a call */
	bool destroyed[40]; /* the call that destroyed it said 0 */
	bool doomed[40];    /* there was such a call */
};

static void life_live(struct ring_life *life, struct keyring *keyring, struct prng *prng)
{
	for (unsigned i = 0; i < 6; i++) {
		unsigned key = (unsigned)prng_below(prng, 40);

		if (!life->asked[key]) {
			life->asked[key] = true;
			life->made[key] = make(keyring, segment(key, 3)) == 0;
		} else if (!life->doomed[key]) {
			life->doomed[key] = true;
			life->destroyed[key] = destroy(keyring, segment(key, 3)) == 0;
		}
	}
}

static void life_check(const struct ring_life *life, struct keyring *keyring)
{
	for (unsigned key = 0; key < 40; key++) {
		bool there = holds(keyring, segment(key, 3));

		if (life->made[key] && !life->doomed[key])
			CHECK(there);
		if (!life->asked[key] || life->destroyed[key])
			CHECK(!there);
	}
}

static bool ring_crash_at(uint64_t seed, uint64_t cut)
{
	struct ring_life life = {.io = sim_new(seed)};
	struct prng prng = {.state = seed};
	bool reached = false;
	struct keyring *keyring;
	int r;

	for (unsigned i = 0; i < 3; i++) {
		sim_cut_at(life.io, sim_ops(life.io) + (i == 0 ? cut : 1 + cut * 11 % 97));
		keyring = ring_open(life.io, true, &r);
		if (r == 0) {
			life_check(&life, keyring);
			life_live(&life, keyring, &prng);
		} else {
			CHECK(sim_is_cut(life.io));
		}
		if (i == 0)
			reached = sim_is_cut(life.io);
		keyring_free(keyring);
		sim_crash(life.io);
	}
	keyring = ring_open(life.io, true, &r);
	CHECK_INT(0, r);
	life_check(&life, keyring);
	keyring_free(keyring);
	sim_free(life.io);
	return reached;
}

static void test_crash_at_every_operation(void)
{
	unsigned points = 0;

	for (unsigned round = 0; round < 20; round++)
		for (uint64_t cut = 1; ring_crash_at(check_seed() + round, cut); cut++)
			points++;
	CHECK(points > 500);
}

static void test_failures_at_every_operation(void)
{
	for (uint64_t nth = 1; nth < 80; nth++) {
		struct ring_life life = {.io = sim_new(check_seed() + nth)};
		struct prng prng = {.state = check_seed() + nth};
		struct keyring *keyring = ring_made(life.io);
		int r;

		sim_fail(life.io, SIM_ALL, nth, 1 + nth % 3, nth % 2 ? EIO : ENOSPC);
		life_live(&life, keyring, &prng);
		sim_fail(life.io, 0, 0, 0, 0);
		/* In memory a failed call changed nothing. */
		for (unsigned key = 0; key < 40; key++)
			CHECK_INT(life.made[key] && !life.destroyed[key], holds(keyring, segment(key, 3)));
		life_live(&life, keyring, &prng);
		life_check(&life, keyring);
		keyring_free(keyring);
		sim_crash(life.io);
		keyring = ring_open(life.io, false, &r);
		CHECK_INT(0, r);
		life_check(&life, keyring);
		keyring_free(keyring);
		sim_free(life.io);
	}
}

/* ---- destruction */

struct hunt {
	uint8_t master[KEY_SIZE];
	struct key_id prey;
	unsigned rings;
	unsigned found;
};

/* Looks at every content the medium still has as somebody with the master key would. */
static int hunt_ring(void *context, const uint8_t *bytes, size_t room)
{
	struct hunt *hunt = context;
	struct keyring_content content;
	size_t size;

	if (room < 128)
		return 0;
	size = le16_get(bytes + 10) + (size_t)le32_get(bytes + 24) * 48 + (size_t)le32_get(bytes + 28) * 4 + 16 + 8;
	if (size > room || keyring_file_decode(bytes, size, hunt->master, &content) < 0)
		return 0;
	hunt->rings++;
	for (size_t i = 0; i < content.entry_count; i++)
		hunt->found += keyring_id_order(&content.entries[i].id, &hunt->prey) == 0;
	keyring_content_fini(&content);
	return 0;
}

static void hunt_start(struct io *io, struct hunt *hunt)
{
	size_t size;
	char *text = (char *)sim_get(io, MASTER, &size);

	CHECK(text != NULL);
	text[2 * KEY_SIZE] = '\0';
	CHECK_INT(0, hex_decode(text, hunt->master, KEY_SIZE));
	free(text);
}

static void test_destroyed_key_is_nowhere(void)
{
	struct io *io = sim_new(check_seed());
	struct keyring *keyring = ring_made(io);
	struct hunt hunt = {.prey = segment(3, 8)};
	uint8_t key[KEY_SIZE];

	hunt_start(io, &hunt);
	for (uint64_t i = 0; i < 12; i++)
		CHECK_INT(0, make(keyring, segment(i, 8)));
	CHECK_INT(0, keyring_get(keyring, hunt.prey, key));
	CHECK(!sim_medium_holds(io, key, KEY_SIZE)); /* never in clear */
	CHECK_INT(0, sim_medium_each(io, hunt_ring, &hunt));
	CHECK(hunt.found >= 2);
	CHECK_INT(0, destroy(keyring, hunt.prey));
	hunt.found = 0;
	hunt.rings = 0;
	CHECK_INT(0, sim_medium_each(io, hunt_ring, &hunt));
	CHECK(hunt.rings >= 2);
	CHECK_INT(0, hunt.found);
	hunt.prey = segment(4, 8);
	CHECK_INT(0, keyring_destroy_day(keyring, 8));
	CHECK_INT(0, sim_medium_each(io, hunt_ring, &hunt));
	CHECK_INT(0, hunt.found);
	keyring_free(keyring);
	sim_free(io);
}

/* The call was cut short: once the ring has been opened again, either the key is whole or no trace of it is left. */
static void test_interrupted_destruction_is_finished(void)
{
	for (uint64_t cut = 1; cut < 60; cut++) {
		struct io *io = sim_new(check_seed() + cut);
		struct keyring *keyring = ring_made(io);
		struct hunt hunt = {.prey = segment(3, 8)};
		int r;

		hunt_start(io, &hunt);
		CHECK_INT(0, make(keyring, segment(3, 8)));
		CHECK_INT(0, make(keyring, segment(4, 8)));
		sim_cut_at(io, sim_ops(io) + cut);
		(void)destroy(keyring, hunt.prey);
		keyring_free(keyring);
		sim_crash(io);
		keyring = ring_open(io, false, &r);
		CHECK_INT(0, r);
		if (!holds(keyring, hunt.prey)) {
			CHECK_INT(0, sim_medium_each(io, hunt_ring, &hunt));
			CHECK_INT(0, hunt.found);
		}
		keyring_free(keyring);
		sim_free(io);
	}
}

static int each_count(void *context, struct key_id id)
{
	(void)id;
	++*(unsigned *)context;
	return 0;
}

static void test_ten_thousand_keys(void)
{
	struct io *io = sim_new(check_seed());
	struct keyring *keyring = ring_made(io);
	struct key_change *changes = calloc(10000, sizeof(*changes));
	struct keyring_info info;
	unsigned count = 0;

	CHECK(changes != NULL);
	for (uint64_t i = 0; i < 10000; i++)
		changes[i].id = segment(i * UINT64_C(0x9e3779b97f4a7c15), (int32_t)(i % 365));
	CHECK_INT(0, keyring_change(keyring, changes, 10000));
	for (unsigned i = 0; i < 50; i++)
		CHECK_INT(0, make(keyring, (struct key_id){.id = i, .day = KEY_DAY_NONE, .kind = KEY_JOURNAL}));
	for (size_t i = 0; i < 10000; i++)
		CHECK(holds(keyring, changes[i].id));
	keyring_info(keyring, &info);
	CHECK_INT(10050, info.key_count);
	CHECK_INT(0, keyring_each(keyring, KEY_JOURNAL, each_count, &count));
	CHECK_INT(50, count);
	free(changes);
	keyring_free(keyring);
	sim_free(io);
}

/* ---- rotation and escrow */

static void master_get(struct io *io, uint8_t ret_master[KEY_SIZE])
{
	size_t size;
	char *text = (char *)sim_get(io, MASTER, &size);

	CHECK(text != NULL && size == 2 * KEY_SIZE + 1);
	text[2 * KEY_SIZE] = '\0';
	CHECK_INT(0, hex_decode(text, ret_master, KEY_SIZE));
	free(text);
}

/* A former ring that somebody kept: the newer copy wins over it; alone it opens with its own master key, no later one.
 */
static void test_a_former_ring_is_no_way_back(void)
{
	struct io *io = sim_new(check_seed());
	struct keyring *keyring = ring_made(io);
	struct keyring_content content;
	struct err err = {""};
	uint8_t master[KEY_SIZE];
	uint8_t *former;
	size_t size;
	int r;

	CHECK_INT(0, make(keyring, segment(1, 5)));
	former = sim_get(io, COPY_A, &size);
	CHECK_INT(0, keyring_destroy_day(keyring, 5));
	keyring_free(keyring);
	CHECK_INT(0, sim_put(io, COPY_A, former, size));
	keyring = ring_open(io, false, &r);
	CHECK_INT(0, r);
	CHECK(!holds(keyring, segment(1, 5)));
	CHECK(keyring_day_destroyed(keyring, 5));
	CHECK_INT(0, keyring_rotate_master(keyring, &err));
	keyring_free(keyring);
	master_get(io, master);
	CHECK_INT(-EKEYREJECTED, keyring_file_decode(former, size, master, &content));
	CHECK_INT(0, sim_put(io, COPY_A, former, size));
	CHECK_INT(0, sim_put(io, COPY_B, former, size));
	(void)ring_open(io, false, &r);
	CHECK_INT(-EKEYREJECTED, r);
	free(former);
	sim_free(io);
}

static void test_rotation(void)
{
	struct io *io = sim_new(check_seed());
	struct keyring *keyring = ring_made(io);
	struct keyring_copy copies[2];
	struct keyring_info info;
	struct err err = {""};
	uint8_t before[KEY_SIZE], after[KEY_SIZE], key[KEY_SIZE], again[KEY_SIZE];
	char text[2 * KEY_SIZE + 1];
	int r;

	CHECK_INT(0, make(keyring, segment(1, 5)));
	CHECK_INT(0, keyring_get(keyring, segment(1, 5), key));
	master_get(io, before);
	CHECK_INT(0, keyring_rotate_master(keyring, &err));
	master_get(io, after);
	CHECK(memcmp(before, after, KEY_SIZE) != 0);
	CHECK(!sim_medium_holds(io, hex_encode(before, KEY_SIZE, text), 2 * KEY_SIZE));
	CHECK_INT(0, make(keyring, segment(2, 5)));
	keyring_info(keyring, &info);
	CHECK(info.master_made_us > 0);
	CHECK_INT(2, info.kinds[KEY_SEGMENT]);
	keyring_copies(keyring, copies);
	CHECK_INT(KEYRING_COPY_CURRENT, copies[0].state);
	CHECK_INT(KEYRING_COPY_CURRENT, copies[1].state);
	CHECK_INT(0, sim_rot(io, COPY_B, 70, 1));
	keyring_copies(keyring, copies);
	CHECK_INT(KEYRING_COPY_DAMAGED, copies[1].state);
	CHECK_STR(COPY_B, copies[1].path);
	keyring_free(keyring);
	keyring = ring_open(io, false, &r);
	CHECK_INT(0, r);
	CHECK_INT(0, keyring_get(keyring, segment(1, 5), again));
	CHECK_MEM(key, again, KEY_SIZE);
	CHECK(holds(keyring, segment(2, 5)));
	keyring_free(keyring);
	sim_free(io);
}

/* Cut at every operation of a rotation: what is left opens, with every key, and the next rotation works. */
static bool rotation_crash_at(uint64_t seed, uint64_t nth, bool fail)
{
	struct io *io = sim_new(seed);
	struct keyring *keyring = ring_made(io);
	struct err err = {""};
	char text[2 * KEY_SIZE + 1];
	uint8_t before[KEY_SIZE], after[KEY_SIZE];
	bool reached;
	size_t size;
	uint8_t *leftover;
	int r;

	CHECK_INT(0, make(keyring, segment(1, 5)));
	master_get(io, before);
	if (fail)
		sim_fail(io, SIM_ALL, nth, 1, EIO);
	else
		sim_cut_at(io, sim_ops(io) + nth);
	r = keyring_rotate_master(keyring, &err);
	reached = r < 0;
	CHECK(r == 0 || err.text[0] != '\0');
	if (fail) {
		sim_fail(io, SIM_ALL, 1, 0, 0);
		CHECK_INT(0, make(keyring, segment(2, 5))); /* whatever stands, changes go on */
	}
	keyring_free(keyring);
	if (!fail)
		sim_crash(io);
	keyring = ring_open(io, false, &r);
	CHECK_INT(0, r);
	CHECK(holds(keyring, segment(1, 5)));
	CHECK(!fail || holds(keyring, segment(2, 5)));
	leftover = sim_get(io, MASTER ".new", &size);
	CHECK(leftover == NULL);
	leftover = sim_get(io, MASTER ".old", &size);
	CHECK(leftover == NULL);
	master_get(io, after);
	if (memcmp(before, after, KEY_SIZE) != 0) /* it took hold: then the old one is nowhere */
		CHECK(!sim_medium_holds(io, hex_encode(before, KEY_SIZE, text), 2 * KEY_SIZE));
	CHECK_INT(0, keyring_rotate_master(keyring, &err));
	keyring_free(keyring);
	keyring = ring_open(io, false, &r);
	CHECK_INT(0, r);
	CHECK(holds(keyring, segment(1, 5)));
	keyring_free(keyring);
	sim_free(io);
	return reached;
}

static void test_rotation_crashes(void)
{
	unsigned points[2] = {0, 0};

	for (unsigned fail = 0; fail < 2; fail++)
		for (uint64_t round = 0; round < 8; round++) {
			uint64_t nth = 1;

			while (rotation_crash_at(check_seed() + 1000 * round, nth, fail != 0))
				nth++;
			points[fail] += (unsigned)nth - 1;
		}
	CHECK(points[0] > 8 * 20);
	printf("\n    %u cuts, %u failures ", points[0], points[1]);
}

static void test_failed_rotation_is_repeated(void)
{
	for (uint64_t nth = 1;; nth++) {
		struct io *io = sim_new(check_seed());
		struct keyring *keyring = ring_made(io);
		struct err err = {""};
		int r;

		CHECK_INT(0, make(keyring, segment(1, 5)));
		sim_fail(io, SIM_ALL, nth, 1, ENOSPC);
		r = keyring_rotate_master(keyring, &err);
		sim_fail(io, SIM_ALL, 1, 0, 0);
		CHECK_INT(0, keyring_rotate_master(keyring, &err));
		keyring_free(keyring);
		keyring = ring_open(io, false, &r);
		CHECK_INT(0, r);
		CHECK(holds(keyring, segment(1, 5)));
		keyring_free(keyring);
		sim_free(io);
		if (nth > 60)
			break;
	}
}

#define ESCROW_FILE "/k/escrow"
#define MASTER_NEW "/k/master2"

static struct keyring *ring_open_with(struct io *io, const char *master, bool escrow, bool read_only, int *ret_result)
{
	struct keyring_options options = {.master_path = master,
					  .copy_a_path = COPY_A,
					  .copy_b_path = COPY_B,
					  .escrow = escrow,
					  .read_only = read_only};
	struct keyring *keyring = NULL;
	struct err err = {""};

	*ret_result = keyring_open(&options, io, &err, &keyring);
	return keyring;
}

static void escrow_put(struct io *io, const uint8_t key[KEY_SIZE])
{
	char text[2 * KEY_SIZE + 2];

	(void)hex_encode(key, KEY_SIZE, text);
	text[2 * KEY_SIZE] = '\n';
	CHECK_INT(0, sim_put(io, ESCROW_FILE, text, 2 * KEY_SIZE + 1));
}

static void test_escrow_opens_after_every_change(void)
{
	static const uint8_t first[KEY_SIZE] = {1, 2, 3}, second[KEY_SIZE] = {4, 5, 6};
	struct io *io = sim_new(check_seed());
	struct keyring *keyring = ring_made(io);
	struct keyring_info info;
	struct err err = {""};
	int r;

	CHECK_INT(0, keyring_escrow_set(keyring, first, 77, 1000));
	CHECK_INT(0, make(keyring, segment(1, 5)));
	CHECK_INT(0, keyring_rotate_master(keyring, &err));
	CHECK_INT(0, keyring_destroy_day(keyring, 9));
	keyring_info(keyring, &info);
	CHECK_INT(77, info.escrow_id);
	CHECK_INT(1000, info.escrow_made_us);
	keyring_free(keyring);
	escrow_put(io, first);
	(void)ring_open_with(io, ESCROW_FILE, false, false, &r);
	CHECK_INT(-EKEYREJECTED, r); /* not as a master key */
	keyring = ring_open_with(io, ESCROW_FILE, true, false, &r);
	CHECK_INT(0, r);
	CHECK(holds(keyring, segment(1, 5)));
	CHECK_INT(-EROFS, make(keyring, segment(2, 5)));
	CHECK_INT(-EROFS, keyring_rotate_master(keyring, &err));
	keyring_free(keyring);

	/* A second export takes the first one's power. */
	keyring = ring_open(io, false, &r);
	CHECK_INT(0, r);
	CHECK_INT(0, keyring_escrow_set(keyring, second, 78, 2000));
	keyring_free(keyring);
	(void)ring_open_with(io, ESCROW_FILE, true, false, &r);
	CHECK_INT(-EKEYREJECTED, r);

	/* The master key is lost: a new one is made with the second. */
	escrow_put(io, second);
	keyring = ring_open_with(io, ESCROW_FILE, true, false, &r);
	CHECK_INT(0, r);
	CHECK_INT(0, keyring_rewrap(keyring, MASTER_NEW, &err));
	keyring_free(keyring);
	keyring = ring_open_with(io, MASTER_NEW, false, false, &r);
	CHECK_INT(0, r);
	CHECK(holds(keyring, segment(1, 5)));
	CHECK(keyring_day_destroyed(keyring, 9));
	keyring_info(keyring, &info);
	CHECK_INT(0, info.escrow_made_us); /* it has been seen: it opens nothing any more */
	CHECK_INT(0, make(keyring, segment(3, 5)));
	keyring_free(keyring);
	(void)ring_open_with(io, ESCROW_FILE, true, false, &r);
	CHECK_INT(-EKEYREJECTED, r);
	(void)ring_open(io, false, &r);
	CHECK_INT(-EKEYREJECTED, r);
	sim_free(io);
}

/* Offline with another file: cut anywhere, the old key or the new one opens. */
static void test_rewrap_crashes(void)
{
	for (uint64_t nth = 1;; nth++) {
		struct io *io = sim_new(check_seed() + nth);
		struct keyring *keyring = ring_made(io);
		struct err err = {""};
		bool done;
		int old, new;

		CHECK_INT(0, make(keyring, segment(1, 5)));
		sim_cut_at(io, sim_ops(io) + nth);
		done = keyring_rewrap(keyring, MASTER_NEW, &err) == 0;
		keyring_free(keyring);
		sim_crash(io);
		keyring = ring_open_with(io, MASTER, false, true, &old);
		CHECK(keyring == NULL || holds(keyring, segment(1, 5)));
		keyring_free(keyring);
		keyring = ring_open_with(io, MASTER_NEW, false, true, &new);
		CHECK(keyring == NULL || holds(keyring, segment(1, 5)));
		keyring_free(keyring);
		CHECK(old == 0 || new == 0);
		CHECK(!done || new == 0);
		sim_free(io);
		if (done)
			break;
	}
}

static void test_reading_only_changes_nothing(void)
{
	struct io *io = sim_new(check_seed());
	struct keyring_copy copies[2];
	struct keyring *keyring = ring_made(io);
	uint64_t ops;
	int r;

	CHECK_INT(0, make(keyring, segment(1, 5)));
	keyring_free(keyring);
	CHECK_INT(0, sim_rot(io, COPY_A, 70, 1));
	ops = sim_ops(io);
	keyring = ring_open_with(io, MASTER, false, true, &r);
	CHECK_INT(0, r);
	CHECK(holds(keyring, segment(1, 5)));
	CHECK_INT(-EROFS, make(keyring, segment(2, 5)));
	keyring_copies(keyring, copies);
	CHECK_INT(KEYRING_COPY_DAMAGED, copies[0].state);
	CHECK_INT(KEYRING_COPY_CURRENT, copies[1].state);
	CHECK_INT(ops, sim_ops(io));
	keyring_free(keyring);
	sim_free(io);
}

int main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{"keys stay over a restart", test_keys_stay},
		{"changes are made all or none", test_changes_are_all_or_none},
		{"a day is destroyed and marked", test_days},
		{"missing rings, wrong and open master keys are refused", test_refusals},
		{"any flipped bit or cut is refused", test_any_flipped_bit_or_cut_is_refused},
		{"one damaged copy is mended, two are refused", test_one_damaged_copy_is_mended},
		{"a crash at every operation leaves one valid ring", test_crash_at_every_operation},
		{"a failure at every operation", test_failures_at_every_operation},
		{"a destroyed key is nowhere on the medium", test_destroyed_key_is_nowhere},
		{"an interrupted destruction is finished at the next start", test_interrupted_destruction_is_finished},
		{"ten thousand keys", test_ten_thousand_keys},
		{"a former ring is no way back", test_a_former_ring_is_no_way_back},
		{"the master key is rotated", test_rotation},
		{"a cut or failure at every operation of a rotation", test_rotation_crashes},
		{"a failed rotation is repeated", test_failed_rotation_is_repeated},
		{"the escrow key opens after every change", test_escrow_opens_after_every_change},
		{"a cut at every operation of a rewrap", test_rewrap_crashes},
		{"reading only changes nothing", test_reading_only_changes_nothing},
		{NULL, NULL},
	};

	return check_main(argc, argv, "keyring", tests);
}
