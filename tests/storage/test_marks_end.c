/* What ends with a day, with a key, and with another version. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/aead.h"
#include "appliance/base/bytes.h"
#include "storage/catalog.h"
#include "storage/keyring.h"
#include "storage/marks.h"
#include "storage/register.h"
#include "storage/register_records.h"
#include "tests/check.h"
#include "tests/storage/marks_world.h"
#include "tests/storage/store_rig.h"

/* ---- the day's end, and the register's records */

void marks_test_day_dies(void)
{
	struct world *world = world_half_sealed(check_seed(), "day");
	struct marks_info info;
	struct mark_set *set;

	world_act(world, 0, MARK_ERASED);
	world_act(world, 1, MARK_AMENDED);
	world_act(world, 3, MARK_RESTRICTED);
	world_act(world, 2, MARK_ERASED); /* of the other day */
	CHECK_INT(0, rig_purge(&world->rig, 0));
	marks_info(store_marks(world->rig.store), &info);
	CHECK_INT(1, info.erased);
	CHECK_INT(0, info.amended + info.restricted);
	set = marks_hold(store_marks(world->rig.store));
	CHECK(mark_set_day(set, world->rig.first_day) == NULL);
	CHECK(mark_set_day(set, world->rig.first_day + 1) != NULL);
	mark_set_release(set);
	for (unsigned i = 0; i < WORLD_THINGS; i++)
		world->things[i].sent = world->things[i].sent && i % 3 == 2;
	world_verify(world);
	CHECK_INT(0, rig_close(&world->rig, false));
	world_open(world);
	world_verify(world);
	world_free(world);
}

/* A purge that dies before it forgets the marks: they go at the next start. */
void marks_test_day_died_before(void)
{
	struct world *world = world_half_sealed(check_seed(), "died");
	struct marks_info info;

	world_act(world, 0, MARK_ERASED);
	world_act(world, 1, MARK_AMENDED);
	CHECK_INT(0, keyring_destroy_day(store_keyring(world->rig.store), world->rig.first_day));
	CHECK_INT(0, rig_close(&world->rig, false));
	world_open(world);
	marks_info(store_marks(world->rig.store), &info);
	CHECK_INT(0, info.erased + info.amended + info.pending);
	world_free(world);
}

/* Without the key of identities nobody can say what was erased: then nothing is searched, rather than too much. */
void marks_test_identity_lost(void)
{
	struct world *world = world_half_sealed(check_seed(), "identity");
	struct key_change destroy = {.id = WORLD_IDENTITY, .destroy = true};
	const char *why = NULL;

	world_act(world, 0, MARK_ERASED);
	CHECK_INT(0, keyring_change(store_keyring(world->rig.store), &destroy, 1));
	CHECK_INT(0, rig_close(&world->rig, false));
	CHECK_INT(0, rig_open(&world->rig));
	CHECK(store_register(world->rig.store, &why) == NULL && strstr(why, "keyring") != NULL);
	world_free(world);
}

static int mark_key_see(void *context, struct key_id id)
{
	struct key_id *keys = context;

	while (keys->kind != 0)
		keys++;
	*keys = id;
	return 0;
}

/* A pending mark whose own key is gone hides its read all the same, and is removed by a rewriting of the whole day. */
void marks_test_work_lost(void)
{
	struct world *world = world_half_sealed(check_seed(), "work");
	struct key_id keys[8] = {0};
	struct key_change destroy = {.destroy = true};

	world_seal(world);
	world_act(world, 0, MARK_ERASED);
	CHECK_INT(0, keyring_each(store_keyring(world->rig.store), KEY_MARK, mark_key_see, keys));
	CHECK(keys[0].kind == KEY_MARK && keys[0].day == world->rig.first_day && keys[1].kind == 0);
	destroy.id = keys[0];
	CHECK_INT(0, keyring_change(store_keyring(world->rig.store), &destroy, 1));
	CHECK_INT(0, rig_close(&world->rig, false));
	world_open(world);
	world_verify(world);
	world_tidy(world);
	world_verify(world);
	world_free(world);
}

/* The keys of sealed parts do not outlive the removal, and the old segment's key goes. */
void marks_test_keys_go(void)
{
	struct world *world = world_half_sealed(check_seed(), "keys");
	struct key_id keys[8] = {0};
	struct catalog_segment *before;
	struct catalog_segment *after;
	uint8_t key[KEY_SIZE];
	size_t before_count;
	size_t after_count;
	unsigned gone = 0;

	world_seal(world);
	CHECK_INT(0, catalog_segments(store_catalog(world->rig.store), INT32_MIN, INT32_MAX, &before, &before_count));
	world_act(world, 0, MARK_ERASED);
	world_act(world, 1, MARK_AMENDED);
	world_tidy(world);
	world_seal(world);
	CHECK_INT(0, keyring_each(store_keyring(world->rig.store), KEY_MARK, mark_key_see, keys));
	CHECK_INT(0, keys[0].kind);
	CHECK_INT(0, catalog_segments(store_catalog(world->rig.store), INT32_MIN, INT32_MAX, &after, &after_count));
	for (size_t i = 0; i < before_count; i++) {
		struct key_id id = {.id = before[i].id, .day = before[i].day, .kind = KEY_SEGMENT};
		bool stays = false;

		for (size_t j = 0; j < after_count; j++)
			stays = stays || after[j].id == before[i].id;
		gone += !stays;
		CHECK_INT(stays ? 0 : -ENOENT, keyring_get(store_keyring(world->rig.store), id, key));
	}
	/* Things 0 and 1 were sealed together; the segment sealed after them, and that of the other day, are not
	 * touched. */
	CHECK_INT(1, gone);
	CHECK_INT(before_count, after_count);
	free(before);
	free(after);
	world_free(world);
}

struct resealing {
	struct keyring *keyring;
	struct reg_mark record;
	unsigned count;
};

/* The pending mark's sealed part, its first byte that of another version. */
static int work_reseal(void *context, const struct reg_record *found)
{
	static const uint8_t nonce[AEAD_NONCE_SIZE];
	struct resealing *resealing = context;
	struct reg_mark *record = &resealing->record;
	uint8_t key_bytes[KEY_SIZE], bytes[REG_MARK_SEALED_MAX], aad[8];
	struct aead_key key;
	size_t size;

	CHECK_INT(0, reg_mark_decode(found->value, found->value_size, record));
	size = record->sealed_size - AEAD_TAG_SIZE;
	CHECK_INT(0, keyring_get(resealing->keyring,
				 (struct key_id){.id = record->key, .day = record->day, .kind = KEY_MARK}, key_bytes));
	le32_put(aad, (uint32_t)record->day);
	le32_put(aad + 4, record->number);
	aead_key_init(&key, key_bytes);
	CHECK_INT(0, aead_open(&key, nonce, aad, sizeof(aad), record->sealed, size, bytes, record->sealed + size));
	bytes[0]--;
	aead_seal(&key, nonce, aad, sizeof(aad), bytes, size, record->sealed, record->sealed + size);
	aead_key_fini(&key);
	resealing->count++;
	return 0;
}

/* What another version left pending is not taken for lost: nothing is searched, and its key stays for that version. */
void marks_test_work_of_another_version(void)
{
	struct world *world = world_half_sealed(check_seed(), "version");
	struct resealing resealing = {.keyring = store_keyring(world->rig.store)};
	struct reg *reg = store_register(world->rig.store, NULL);
	uint8_t buffer[REG_RECORD_SIZE_MAX];
	struct key_id keys[8] = {0};
	const char *why = NULL;
	struct reg_change change;
	struct err err;

	world_act(world, 1, MARK_AMENDED);
	CHECK_INT(0, reg_each(reg, REG_MARK, 0, UINT32_MAX, work_reseal, &resealing));
	CHECK_INT(1, resealing.count);
	change = reg_mark_put(&resealing.record, buffer);
	CHECK_INT(0, reg_change(reg, &change, 1, 0, "test", &err));
	CHECK_INT(0, rig_close(&world->rig, false));
	CHECK_INT(0, rig_open(&world->rig));
	CHECK(store_register(world->rig.store, &why) == NULL && strstr(why, "another version") != NULL);
	CHECK_INT(0, keyring_each(store_keyring(world->rig.store), KEY_MARK, mark_key_see, keys));
	CHECK(keys[0].kind == KEY_MARK && keys[1].kind == 0);
	world_free(world);
}
