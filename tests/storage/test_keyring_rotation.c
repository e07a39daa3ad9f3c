/* Master keys that are replaced, and the escrow that opens without them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/bytes.h"
#include "storage/io.h"
#include "storage/keyring.h"
#include "storage/keyring_file.h"
#include "tests/check.h"
#include "tests/storage/keyring_rig.h"
#include "tests/storage/sim_io.h"

static void master_get(struct io *io, uint8_t ret_master[KEY_SIZE])
{
	size_t size;
	char *text = (char *)sim_get(io, RING_MASTER, &size);

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

	CHECK_INT(0, ring_make(keyring, ring_segment(1, 5)));
	former = sim_get(io, RING_COPY_A, &size);
	CHECK_INT(0, keyring_destroy_day(keyring, 5));
	keyring_free(keyring);
	CHECK_INT(0, sim_put(io, RING_COPY_A, former, size));
	keyring = ring_open(io, false, &r);
	CHECK_INT(0, r);
	CHECK(!ring_holds(keyring, ring_segment(1, 5)));
	CHECK(keyring_day_destroyed(keyring, 5));
	CHECK_INT(0, keyring_rotate_master(keyring, &err));
	keyring_free(keyring);
	master_get(io, master);
	CHECK_INT(-EKEYREJECTED, keyring_file_decode(former, size, master, &content));
	CHECK_INT(0, sim_put(io, RING_COPY_A, former, size));
	CHECK_INT(0, sim_put(io, RING_COPY_B, former, size));
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

	CHECK_INT(0, ring_make(keyring, ring_segment(1, 5)));
	CHECK_INT(0, keyring_get(keyring, ring_segment(1, 5), key));
	master_get(io, before);
	CHECK_INT(0, keyring_rotate_master(keyring, &err));
	master_get(io, after);
	CHECK(memcmp(before, after, KEY_SIZE) != 0);
	CHECK(!sim_medium_holds(io, hex_encode(before, KEY_SIZE, text), 2 * KEY_SIZE));
	CHECK_INT(0, ring_make(keyring, ring_segment(2, 5)));
	keyring_info(keyring, &info);
	CHECK(info.master_made_us > 0);
	CHECK_INT(2, info.kinds[KEY_SEGMENT]);
	keyring_copies(keyring, copies);
	CHECK_INT(KEYRING_COPY_CURRENT, copies[0].state);
	CHECK_INT(KEYRING_COPY_CURRENT, copies[1].state);
	CHECK_INT(0, sim_rot(io, RING_COPY_B, 70, 1));
	keyring_copies(keyring, copies);
	CHECK_INT(KEYRING_COPY_DAMAGED, copies[1].state);
	CHECK_STR(RING_COPY_B, copies[1].path);
	keyring_free(keyring);
	keyring = ring_open(io, false, &r);
	CHECK_INT(0, r);
	CHECK_INT(0, keyring_get(keyring, ring_segment(1, 5), again));
	CHECK_MEM(key, again, KEY_SIZE);
	CHECK(ring_holds(keyring, ring_segment(2, 5)));
	keyring_free(keyring);
	sim_free(io);
}

/* Whatever an earlier try left: a rotation works, and the key of segment 1 is there. Frees both. */
static void check_rotates_again(struct io *io, struct keyring *keyring)
{
	struct err err = {""};
	int r;

	CHECK_INT(0, keyring_rotate_master(keyring, &err));
	keyring_free(keyring);
	keyring = ring_open(io, false, &r);
	CHECK_INT(0, r);
	CHECK(ring_holds(keyring, ring_segment(1, 5)));
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

	CHECK_INT(0, ring_make(keyring, ring_segment(1, 5)));
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
		CHECK_INT(0, ring_make(keyring, ring_segment(2, 5))); /* whatever stands, changes go on */
	}
	keyring_free(keyring);
	if (!fail)
		sim_crash(io);
	keyring = ring_open(io, false, &r);
	CHECK_INT(0, r);
	CHECK(ring_holds(keyring, ring_segment(1, 5)));
	CHECK(!fail || ring_holds(keyring, ring_segment(2, 5)));
	leftover = sim_get(io, RING_MASTER ".new", &size);
	CHECK(leftover == NULL);
	leftover = sim_get(io, RING_MASTER ".old", &size);
	CHECK(leftover == NULL);
	master_get(io, after);
	if (memcmp(before, after, KEY_SIZE) != 0) /* it took hold: then the old one is nowhere */
		CHECK(!sim_medium_holds(io, hex_encode(before, KEY_SIZE, text), 2 * KEY_SIZE));
	check_rotates_again(io, keyring);
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

		CHECK_INT(0, ring_make(keyring, ring_segment(1, 5)));
		sim_fail(io, SIM_ALL, nth, 1, ENOSPC);
		(void)keyring_rotate_master(keyring, &err);
		sim_fail(io, SIM_ALL, 1, 0, 0);
		check_rotates_again(io, keyring);
		if (nth > 60)
			break;
	}
}

#define ESCROW_FILE "/k/escrow"

#define MASTER_NEW "/k/master2"

static struct keyring *ring_open_with(struct io *io, const char *master, bool escrow, bool read_only, int *ret_result)
{
	struct keyring_options options = {.master_path = master,
					  .copy_a_path = RING_COPY_A,
					  .copy_b_path = RING_COPY_B,
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
	CHECK_INT(0, ring_make(keyring, ring_segment(1, 5)));
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
	CHECK(ring_holds(keyring, ring_segment(1, 5)));
	CHECK_INT(-EROFS, ring_make(keyring, ring_segment(2, 5)));
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
	CHECK(ring_holds(keyring, ring_segment(1, 5)));
	CHECK(keyring_day_destroyed(keyring, 9));
	keyring_info(keyring, &info);
	CHECK_INT(0, info.escrow_made_us); /* it has been seen: it opens nothing any more */
	CHECK_INT(0, ring_make(keyring, ring_segment(3, 5)));
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

		CHECK_INT(0, ring_make(keyring, ring_segment(1, 5)));
		sim_cut_at(io, sim_ops(io) + nth);
		done = keyring_rewrap(keyring, MASTER_NEW, &err) == 0;
		keyring_free(keyring);
		sim_crash(io);
		keyring = ring_open_with(io, RING_MASTER, false, true, &old);
		CHECK(keyring == NULL || ring_holds(keyring, ring_segment(1, 5)));
		keyring_free(keyring);
		keyring = ring_open_with(io, MASTER_NEW, false, true, &new);
		CHECK(keyring == NULL || ring_holds(keyring, ring_segment(1, 5)));
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

	CHECK_INT(0, ring_make(keyring, ring_segment(1, 5)));
	keyring_free(keyring);
	CHECK_INT(0, sim_rot(io, RING_COPY_A, 70, 1));
	ops = sim_ops(io);
	keyring = ring_open_with(io, RING_MASTER, false, true, &r);
	CHECK_INT(0, r);
	CHECK(ring_holds(keyring, ring_segment(1, 5)));
	CHECK_INT(-EROFS, ring_make(keyring, ring_segment(2, 5)));
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
		{"a former ring is no way back", test_a_former_ring_is_no_way_back},
		{"the master key is rotated", test_rotation},
		{"a cut or failure at every operation of a rotation", test_rotation_crashes},
		{"a failed rotation is repeated", test_failed_rotation_is_repeated},
		{"the escrow key opens after every change", test_escrow_opens_after_every_change},
		{"a cut at every operation of a rewrap", test_rewrap_crashes},
		{"reading only changes nothing", test_reading_only_changes_nothing},
		{NULL, NULL},
	};

	return check_main(argc, argv, "keyring rotation", tests);
}
