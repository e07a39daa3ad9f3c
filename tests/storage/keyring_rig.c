#include "tests/storage/keyring_rig.h"

#include "storage/io.h"
#include "storage/keyring.h"
#include "tests/check.h"
#include "tests/storage/sim_io.h"

struct keyring *ring_open(struct io *io, bool create, int *ret_result)
{
	struct keyring_options options = {
		.master_path = RING_MASTER, .copy_a_path = RING_COPY_A, .copy_b_path = RING_COPY_B, .create = create};
	struct keyring *keyring = NULL;
	struct err err = {{0}};

	*ret_result = keyring_open(&options, io, &err, &keyring);
	CHECK((*ret_result == 0) == (keyring != NULL));
	CHECK((*ret_result == 0) == (err.text[0] == '\0'));
	return keyring;
}

struct keyring *ring_made(struct io *io)
{
	int r;
	struct keyring *keyring = ring_open(io, true, &r);

	CHECK_INT(0, r);
	return keyring;
}

struct key_id ring_segment(uint64_t id, int32_t day)
{
	return (struct key_id){.id = id, .day = day, .kind = KEY_SEGMENT};
}

int ring_make(struct keyring *keyring, struct key_id id)
{
	struct key_change change = {.id = id};

	return keyring_change(keyring, &change, 1);
}

int ring_destroy(struct keyring *keyring, struct key_id id)
{
	struct key_change change = {.id = id, .destroy = true};

	return keyring_change(keyring, &change, 1);
}

bool ring_holds(struct keyring *keyring, struct key_id id)
{
	uint8_t key[KEY_SIZE];

	return keyring_get(keyring, id, key) == 0;
}
