/* Keys that are made, kept, destroyed; rings that are refused, damaged, mended. */
#include "storage/keyring.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/prng.h"
#include "storage/io.h"
#include "storage/keyring_file.h"
#include "tests/check.h"
#include "tests/storage/keyring_rig.h"
#include "tests/storage/sim_io.h"

static void test_keys_stay(void)
{
	struct io *io = sim_new(check_seed());
	struct keyring *keyring = ring_made(io);
	uint8_t before[KEY_SIZE];
	uint8_t after[KEY_SIZE];
	uint8_t other[KEY_SIZE];
	struct keyring_info info;
	int r;

	CHECK_INT(0, ring_make(keyring, ring_segment(1, 100)));
	CHECK_INT(0, ring_make(keyring, ring_segment(2, 100)));
	CHECK_INT(-EEXIST, ring_make(keyring, ring_segment(1, 100)));
	CHECK_INT(0, ring_make(keyring, ring_segment(1, 101)));
	CHECK_INT(0, keyring_get(keyring, ring_segment(1, 100), before));
	CHECK_INT(0, keyring_get(keyring, ring_segment(2, 100), other));
	CHECK(memcmp(before, other, KEY_SIZE) != 0);
	CHECK_INT(-ENOENT, keyring_get(keyring, ring_segment(3, 100), other));
	keyring_free(keyring);
	keyring = ring_open(io, false, &r);
	CHECK_INT(0, r);
	CHECK_INT(0, keyring_get(keyring, ring_segment(1, 100), after));
	CHECK_MEM(before, after, KEY_SIZE);
	keyring_info(keyring, &info);
	CHECK_INT(3, info.key_count);
	CHECK(!info.copy_mended);
	CHECK_INT(0, ring_destroy(keyring, ring_segment(1, 100)));
	CHECK_INT(0, ring_destroy(keyring, ring_segment(1, 100)));
	CHECK(!ring_holds(keyring, ring_segment(1, 100)));
	CHECK(ring_holds(keyring, ring_segment(1, 101)));
	keyring_free(keyring);
	sim_free(io);
}

static void test_changes_are_all_or_none(void)
{
	struct io *io = sim_new(check_seed());
	struct keyring *keyring = ring_made(io);
	struct key_change changes[] = {{.id = ring_segment(5, 1)},
				       {.id = ring_segment(6, 1)},
				       {.id = ring_segment(5, 1)},
				       {.id = ring_segment(7, 1)}};

	CHECK_INT(-EEXIST, keyring_change(keyring, changes, 4));
	CHECK(!ring_holds(keyring, ring_segment(5, 1)));
	CHECK(!ring_holds(keyring, ring_segment(6, 1)));
	CHECK_INT(0, keyring_change(keyring, changes, 2));
	CHECK(ring_holds(keyring, ring_segment(5, 1)));
	changes[0].destroy = true;
	changes[2] = (struct key_change){.id = ring_segment(8, 1)};
	changes[1] = (struct key_change){.id = ring_segment(9, 1)};
	CHECK_INT(0, keyring_change(keyring, changes, 4));
	CHECK(!ring_holds(keyring, ring_segment(5, 1)));
	CHECK(ring_holds(keyring, ring_segment(9, 1)));
	CHECK(ring_holds(keyring, ring_segment(7, 1)));
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
		CHECK_INT(0, ring_make(keyring, ring_segment(i, -1 + (int32_t)(i % 3))));
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
	CHECK(ring_holds(keyring, ring_segment(1, 0)));
	CHECK(!ring_holds(keyring, ring_segment(2, 1)));
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
	CHECK_INT(0, sim_put(io, RING_MASTER, wrong, 2 * KEY_SIZE + 1));
	(void)ring_open(io, true, &r);
	CHECK_INT(-EKEYREJECTED, r);
	CHECK_INT(0, sim_put(io, RING_MASTER, wrong, 2 * KEY_SIZE - 1));
	(void)ring_open(io, true, &r);
	CHECK_INT(-EINVAL, r);
	wrong[7] = 'x';
	CHECK_INT(0, sim_put(io, RING_MASTER, wrong, 2 * KEY_SIZE + 1));
	(void)ring_open(io, true, &r);
	CHECK_INT(-EINVAL, r);
	CHECK_INT(0, sim_expose(io, RING_MASTER));
	(void)ring_open(io, true, &r);
	CHECK_INT(-EPERM, r);
	sim_free(io);

	io = sim_new(check_seed());
	keyring = ring_made(io);
	keyring_free(keyring);
	CHECK_INT(0, io->ops->unlink(io, RING_COPY_A));
	CHECK_INT(0, io->ops->unlink(io, RING_COPY_B));
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
	struct keyring_entry entries[3] = {
		{.id = ring_segment(1, 5)}, {.id = ring_segment(2, 4)}, {.id = ring_segment(2, 9)}};
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
		const char *victim = round % 2 ? RING_COPY_A : RING_COPY_B;
		struct keyring_info info;
		uint8_t *bytes;
		size_t size;
		int r;

		CHECK_INT(0, ring_make(keyring, ring_segment(1, 1)));
		CHECK_INT(0, ring_make(keyring, ring_segment(2, 1)));
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
		CHECK(ring_holds(keyring, ring_segment(2, 1)));
		keyring_info(keyring, &info);
		CHECK(info.copy_mended);
		keyring_free(keyring);
		/* Now the other one may go. */
		CHECK_INT(0, io->ops->unlink(io, round % 2 ? RING_COPY_B : RING_COPY_A));
		keyring = ring_open(io, false, &r);
		CHECK_INT(0, r);
		CHECK(ring_holds(keyring, ring_segment(2, 1)));
		keyring_free(keyring);
		CHECK_INT(0, sim_rot(io, RING_COPY_A, 50, 1));
		CHECK_INT(0, sim_rot(io, RING_COPY_B, 130, 1));
		(void)ring_open(io, true, &r);
		CHECK_INT(-EBADMSG, r);
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
		changes[i].id = ring_segment(i * UINT64_C(0x9e3779b97f4a7c15), (int32_t)(i % 365));
	CHECK_INT(0, keyring_change(keyring, changes, 10000));
	for (unsigned i = 0; i < 50; i++)
		CHECK_INT(0, ring_make(keyring, (struct key_id){.id = i, .day = KEY_DAY_NONE, .kind = KEY_JOURNAL}));
	for (size_t i = 0; i < 10000; i++)
		CHECK(ring_holds(keyring, changes[i].id));
	keyring_info(keyring, &info);
	CHECK_INT(10050, info.key_count);
	CHECK_INT(0, keyring_each(keyring, KEY_JOURNAL, each_count, &count));
	CHECK_INT(50, count);
	free(changes);
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
		{"ten thousand keys", test_ten_thousand_keys},
		{NULL, NULL},
	};

	return check_main(argc, argv, "keyring", tests);
}
