/* Marks on single reads: the set alone, and random acts against the model. */
#include "storage/marks.h"

#include <stdio.h>

#include "appliance/base/clock.h"
#include "storage/io.h"
#include "storage/tidier.h"
#include "tests/check.h"
#include "tests/storage/marks_world.h"
#include "tests/storage/sim_io.h"
#include "tests/storage/store_rig.h"

static void step(struct world *world)
{
	unsigned index = (unsigned)prng_below(&world->prng, WORLD_THINGS);
	unsigned choice = (unsigned)prng_below(&world->prng, 20);

	switch (choice) {
	case 0:
		world_seal(world);
		break;
	case 1:
		world_tidy(world);
		break;
	case 2:
		CHECK(tidier_round(world->rig.store) >= 0);
		break;
	case 3:
		CHECK_INT(0, rig_close(&world->rig, prng_chance(&world->prng, 500)));
		if (prng_chance(&world->prng, 500))
			sim_crash(world->io);
		world_open(world);
		break;
	case 4:
		if (prng_chance(&world->prng, 250))
			world_new_epochs(world);
		break;
	case 5:
	case 6:
		world_act(world, index, MARK_ERASED);
		break;
	case 7:
	case 8:
		world_act(world, index, MARK_RESTRICTED);
		break;
	case 9:
		world_lift(world, index);
		break;
	case 10:
	case 11:
	case 12:
		world_act(world, index, MARK_AMENDED);
		break;
	default:
		world_send(world, index, 1 + (uint32_t)prng_below(&world->prng, RIG_FEEDS));
		break;
	}
	world_verify_vrm(world, index);
}

void marks_test_random(void)
{
	struct prng prng = {check_seed()};
	int64_t begun_ns = clock_mono_ns();

	for (unsigned round = 0; round < 12 && clock_mono_ns() - begun_ns < INT64_C(4000000000); round++) {
		char name[32];
		struct world *world;

		snprintf(name, sizeof(name), "random%u", round);
		world = world_new(prng_next(&prng), name);
		for (unsigned i = 0; i < 120; i++) {
			step(world);
			if (i % 4 == 0)
				world_verify(world);
			world_books_hold(world);
		}
		world_tidy(world);
		world_verify(world);
		CHECK_INT(0, rig_close(&world->rig, true));
		world_open(world);
		world_tidy(world);
		world_verify(world);
		world_free(world);
	}
}

/* ---- the set alone */

void marks_test_set(void)
{
	struct prng prng = {check_seed()};
	struct mark_keys keys;
	struct mark_brief briefs[300];
	struct read reads[600];
	struct mark_set *set;
	uint8_t identity[32] = {1, 2, 3};
	unsigned collisions = 0;

	mark_keys_derive(identity, &keys);
	for (unsigned i = 0; i < 600; i++) {
		reads[i] = (struct read){.camera = (uint32_t)prng_below(&prng, 5), .kind = READ_KIND_VRM};
		reads[i].capture_us = (int64_t)(i / 2 / 100 * 3 + 10) * DAY_US + (int64_t)prng_below(&prng, 1000);
		snprintf((char *)reads[i].text, READ_TEXT_SIZE, "V%u", i);
		snprintf((char *)reads[i].key, READ_TEXT_SIZE, "V%u", i);
	}
	for (unsigned i = 0; i < 300; i++) {
		briefs[i] = (struct mark_brief){.day = read_day(reads[2 * i].capture_us),
						.tag = mark_tag(&keys, &reads[2 * i]),
						.kind = (uint8_t)(1 + i % 3)};
		mark_hash(&keys, &reads[2 * i], briefs[i].hash);
		mark_public_id(&keys, &reads[2 * i], 0, briefs[i].public_id);
	}
	CHECK_INT(0, mark_set_new(&keys, briefs, 300, reads, 2, &set));
	CHECK(mark_set_day(set, 11) == NULL && mark_set_day(set, -5) == NULL && mark_set_day(NULL, 10) == NULL);
	for (unsigned i = 0; i < 600; i++) {
		const struct mark_day *day = mark_set_day(set, read_day(reads[i].capture_us));
		struct read copy = reads[i];

		CHECK_INT(i % 2 == 0 ? 1 + i / 2 % 3 : 0, mark_find(day, &reads[i]));
		CHECK_INT(i % 2 == 0 && i / 2 % 3 != 1, mark_id_taken(day, &reads[i], 0));
		CHECK(!mark_id_taken(day, &reads[i], 1));
		copy.feed = 9;
		copy.epoch = 8;
		copy.receipt_us = 7;
		copy.flags |= READ_FLAG_BACKLOG;
		CHECK_INT(mark_find(day, &reads[i]), mark_find(day, &copy));
		copy.confidence++;
		CHECK_INT(MARK_NONE, mark_find(day, &copy));
		collisions += mark_tag(&keys, &reads[i]) == mark_tag(&keys, &reads[(i + 1) % 600]);
	}
	CHECK(collisions < 3);
	mark_set_release(set);
}

int main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{"the set knows its reads and no other", marks_test_set},
		{"random acts against a model", marks_test_random},
		{"a power cut at every write", marks_test_crash_points},
		{"a failure of every write", marks_test_failures},
		{"a late removal is an alarm while it lasts", marks_test_late},
		{"marks die with their day", marks_test_day_dies},
		{"marks of a day whose purge was cut short", marks_test_day_died_before},
		{"the key of identities is lost", marks_test_identity_lost},
		{"the key of a pending mark is lost", marks_test_work_lost},
		{"keys go with what they sealed", marks_test_keys_go},
		{"pending marks of another version are refused", marks_test_work_of_another_version},
		{"searches meanwhile", marks_test_search_meanwhile},
		{"a damaged segment holds up no other", marks_test_damaged},
		{"what was sealed without the register goes with a merge", marks_test_merged_away},
		{"what was sealed without the register is looked through", marks_test_looked_through},
		{NULL, NULL},
	};

	return check_main(argc, argv, "marks", tests);
}
