/* The ring when the power goes or the disk fails, and what is left on the medium of a key that was destroyed. */
#include <errno.h>
#include <stdlib.h>

#include "appliance/base/bytes.h"
#include "appliance/base/prng.h"
#include "storage/io.h"
#include "storage/keyring.h"
#include "storage/keyring_file.h"
#include "tests/check.h"
#include "tests/storage/keyring_rig.h"
#include "tests/storage/sim_io.h"

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
			life->made[key] = ring_make(keyring, ring_segment(key, 3)) == 0;
		} else if (!life->doomed[key]) {
			life->doomed[key] = true;
			life->destroyed[key] = ring_destroy(keyring, ring_segment(key, 3)) == 0;
		}
	}
}

static void life_check(const struct ring_life *life, struct keyring *keyring)
{
	for (unsigned key = 0; key < 40; key++) {
		bool there = ring_holds(keyring, ring_segment(key, 3));

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
			CHECK_INT(life.made[key] && !life.destroyed[key], ring_holds(keyring, ring_segment(key, 3)));
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
	char *text = (char *)sim_get(io, RING_MASTER, &size);

	CHECK(text != NULL);
	text[2 * KEY_SIZE] = '\0';
	CHECK_INT(0, hex_decode(text, hunt->master, KEY_SIZE));
	free(text);
}

static void test_destroyed_key_is_nowhere(void)
{
	struct io *io = sim_new(check_seed());
	struct keyring *keyring = ring_made(io);
	struct hunt hunt = {.prey = ring_segment(3, 8)};
	uint8_t key[KEY_SIZE];

	hunt_start(io, &hunt);
	for (uint64_t i = 0; i < 12; i++)
		CHECK_INT(0, ring_make(keyring, ring_segment(i, 8)));
	CHECK_INT(0, keyring_get(keyring, hunt.prey, key));
	CHECK(!sim_medium_holds(io, key, KEY_SIZE)); /* never in clear */
	CHECK_INT(0, sim_medium_each(io, hunt_ring, &hunt));
	CHECK(hunt.found >= 2);
	CHECK_INT(0, ring_destroy(keyring, hunt.prey));
	hunt.found = 0;
	hunt.rings = 0;
	CHECK_INT(0, sim_medium_each(io, hunt_ring, &hunt));
	CHECK(hunt.rings >= 2);
	CHECK_INT(0, hunt.found);
	hunt.prey = ring_segment(4, 8);
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
		struct hunt hunt = {.prey = ring_segment(3, 8)};
		int r;

		hunt_start(io, &hunt);
		CHECK_INT(0, ring_make(keyring, ring_segment(3, 8)));
		CHECK_INT(0, ring_make(keyring, ring_segment(4, 8)));
		sim_cut_at(io, sim_ops(io) + cut);
		(void)ring_destroy(keyring, hunt.prey);
		keyring_free(keyring);
		sim_crash(io);
		keyring = ring_open(io, false, &r);
		CHECK_INT(0, r);
		if (!ring_holds(keyring, hunt.prey)) {
			CHECK_INT(0, sim_medium_each(io, hunt_ring, &hunt));
			CHECK_INT(0, hunt.found);
		}
		keyring_free(keyring);
		sim_free(io);
	}
}

int main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{"a crash at every operation leaves one valid ring", test_crash_at_every_operation},
		{"a failure at every operation", test_failures_at_every_operation},
		{"a destroyed key is nowhere on the medium", test_destroyed_key_is_nowhere},
		{"an interrupted destruction is finished at the next start", test_interrupted_destruction_is_finished},
		{NULL, NULL},
	};

	return check_main(argc, argv, "keyring crashes", tests);
}
