/* Marks when the power goes, a write fails or the disk is full. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "appliance/base/clock.h"
#include "storage/io.h"
#include "storage/marks.h"
#include "storage/marks_internal.h"
#include "storage/marks_tidy.h"
#include "tests/check.h"
#include "tests/storage/marks_world.h"
#include "tests/storage/sim_io.h"
#include "tests/storage/store_rig.h"

/* What the process that dies does; the model learns of what returned. */
static void crash_acts(struct world *world, struct act acts[2], bool done[2])
{
	struct err err;

	for (unsigned i = 0; i < 2; i++) {
		done[i] = marks_make(store_marks(world->rig.store), &acts[i].order, &err) == 0;
		if (done[i])
			world_act_note(world, i, &acts[i]);
	}
	(void)marks_tidy(world->rig.store, true, &err);
	(void)marks_tidy(world->rig.store, true, &err);
}

/* A mark that was not answered may be there or not, but not in between. */
static void crash_settle(struct world *world, struct act acts[2], const bool done[2])
{
	for (unsigned i = 0; i < 2; i++) {
		struct read row;
		uint8_t id[MARK_ID_SIZE];

		if (!done[i] && !world_row(world, i, &row, id))
			world_act_note(world, i, &acts[i]);
	}
	world_verify(world);
	world_tidy(world);
	world_verify(world);
	for (unsigned i = 0; i < 4; i++)
		world_send(world, i, 2);
	world_verify(world);
	world_seal(world);
	world_verify(world);
	world_verify_removed(world);
}

void marks_test_crash_points(void)
{
	int64_t begun_ns = clock_mono_ns();
	unsigned crashes = 0;
	bool reached = true;

	for (uint64_t nth = 1; reached; nth++) {
		struct world *world;
		struct act acts[2];
		bool done[2];
		char name[32];

		snprintf(name, sizeof(name), "crash%llu", (unsigned long long)nth);
		world = world_half_sealed(check_seed() + nth, name);
		CHECK(world_act_init(world, 0, MARK_ERASED, &acts[0]) &&
		      world_act_init(world, 1, MARK_AMENDED, &acts[1]));
		sim_cut_at(world->io, sim_ops(world->io) + nth);
		crash_acts(world, acts, done);
		reached = sim_is_cut(world->io);
		(void)rig_close(&world->rig, false);
		sim_crash(world->io);
		sim_cut_at(world->io, 0);
		world_open(world);
		crash_settle(world, acts, done);
		crashes += reached;
		world_free(world);
		/* The first 30 one by one; then, when the machine is slow, in strides. */
		if (nth > 30 && clock_mono_ns() - begun_ns > INT64_C(4000000000))
			nth += 6;
	}
	printf("\n    %u crashes ", crashes);
	CHECK(crashes > 30);
}

/* A write that fails: the verb says so and nothing has changed, or it is in force. */
void marks_test_failures(void)
{
	static const int errors[] = {EIO, ENOSPC};
	int64_t begun_ns = clock_mono_ns();
	bool reached = true;

	for (uint64_t nth = 1; reached; nth += clock_mono_ns() - begun_ns > INT64_C(1500000000) ? 7 : 1) {
		struct world *world;
		struct act acts[2];
		bool done[2];
		char name[32];
		uint64_t ops;

		snprintf(name, sizeof(name), "fail%llu", (unsigned long long)nth);
		world = world_half_sealed(check_seed() ^ nth, name);
		CHECK(world_act_init(world, 0, MARK_ERASED, &acts[0]) &&
		      world_act_init(world, 1, MARK_AMENDED, &acts[1]));
		ops = sim_ops(world->io);
		sim_fail(world->io, SIM_ALL, nth, 1, errors[nth % 2]);
		crash_acts(world, acts, done);
		reached = sim_ops(world->io) - ops >= nth;
		sim_fail(world->io, SIM_ALL, 0, 0, EIO);
		world_verify(world);
		crash_settle(world, acts, done);
		world_free(world);
	}
}

static void late_count(void *context, const char *text)
{
	*(unsigned *)context +=
		strstr(text, "not physically removed within the hour") != NULL && strstr(text, "KiB free") != NULL;
}

static unsigned late_told(struct world *world)
{
	unsigned count = 0;

	store_alarms_each(world->rig.store, late_count, &count);
	return count;
}

/* A removal that finds no room for more than an hour is an alarm, with the reason, until it is done. */
void marks_test_late(void)
{
	struct world *world = world_half_sealed(check_seed(), "late");
	struct store *store = world->rig.store;
	struct io_space space;
	struct err err;

	CHECK_INT(0, store_seal_all(store, INT64_C(5000000000)));
	world_act(world, 0, MARK_ERASED);
	world_act(world, 2, MARK_ERASED);
	sim_capacity(world->io, UINT64_C(1) << 40);
	CHECK_INT(0, world->io->ops->space(world->io, world->rig.directory, &space));
	sim_capacity(world->io, space.total_bytes - space.free_bytes + (64 << 10));
	CHECK_INT(-ENOSPC, marks_tidy(store, true, &err));
	CHECK_INT(0, late_told(world)); /* it is not late yet */
	for (size_t i = 0; i < store_marks(store)->count; i++)
		store_marks(store)->all[i].made_us -= MARKS_LATE_US + 1;
	for (unsigned i = 0; i < 3; i++) {
		CHECK_INT(-ENOSPC, marks_tidy(store, true, &err));
		CHECK_INT(1, late_told(world));
	}
	sim_capacity(world->io, 0);
	world_tidy(world);
	CHECK_INT(0, late_told(world));
	world_verify_removed(world);
	world_free(world);
}
