/*
 * Lives of a store: from a seed, reads come in, journals roll, days are sealed and purged, the power goes
 * at any operation of the disk, files are lost, the directory is opened again; and after each crash everything is held
 * against a plain model of what was promised.
 *
 * A life is one directory and one seed: seed + its number. `--seed S` therefore begins with the life of seed S, and a
 * failure names the seed of its own life. GANTRY_CRASHES sets how many crash points there are in all.
 */
#include "storage/store.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "appliance/base/clock.h"
#include "appliance/base/log.h"
#include "storage/hold.h"
#include "storage/io.h"
#include "storage/keyring.h"
#include "storage/marks.h"
#include "storage/purge.h"
#include "storage/search.h"
#include "storage/store_internal.h"
#include "storage/tidier.h"
#include "tests/check.h"
#include "tests/storage/rig_check.h"
#include "tests/storage/rig_hits.h"
#include "tests/storage/sim_io.h"
#include "tests/storage/store_rig.h"

#ifdef __SANITIZE_ADDRESS__
#define CRASHES 500
#else
#define CRASHES 10000
#endif
#define CRASHES_A_LIFE 40
#define STEPS_A_CRASH 60 /* at most, should the power not go meanwhile */
#define CUT_WITHIN 90    /* operations from the moment the store is open */
#define CUT_WITHIN_FAR 500

/* What was made of a read by the law of single reads. */
enum fate { FATE_PLAIN = 0, FATE_ERASED, FATE_RESTRICTED, FATE_AMENDED, FATE_UNSURE = 0x80 };

/* A case that holds all reads of one feed's live lane. */
#define CASE "R v. Nobody"
#define CASE_FEED 1
#define CASE_PATTERN "1L0*"
enum hold { HOLD_NONE, HOLD_UNSURE, HOLD_STANDS, HOLD_RELEASED };

struct life {
	uint64_t seed;
	struct prng prng;
	struct io *io;
	struct rig rig;
	char db_directory[600];
	unsigned crashes;
	uint8_t fates[RIG_FEEDS][FEED_LANE_COUNT][RIG_SEQUENCES]; /* enum fate; FATE_UNSURE: that one, or plain */
	enum hold hold;
	uint32_t case_number;
	uint8_t visible[RIG_FEEDS][FEED_LANE_COUNT][RIG_SEQUENCES]; /* 1 as sent, 2 corrected */
};

struct tally {
	unsigned crashes;
	unsigned lives;
	uint64_t reads;
	uint64_t operations;
	unsigned recovery_cuts;
	unsigned purges;
	unsigned losses;
	unsigned faults;
	unsigned marks;
	unsigned tidied;
	unsigned holds;
	unsigned releases;
	uint64_t held; /* found by their case, all checks together */
};

/* Whose failure it is, and how to see it again. */
static const char *life_name(const struct life *life)
{
	static char name[160];

	(void)snprintf(name, sizeof(name), "life of seed %llu, crash %u (--seed %llu replays it)",
		       (unsigned long long)life->seed, life->crashes, (unsigned long long)life->seed);
	return name;
}

static void life_wrong(const struct life *life, const char *what)
{
	check_note("%s: %s", life_name(life), what);
}

static void life_check(struct life *life, bool well)
{
	rig_check(&life->rig, well, life_name(life));
}

static void life_open(struct life *life)
{
	rig_check_open(&life->rig, life_name(life));
}

static void step_send(struct life *life)
{
	for (unsigned i = 1 + (unsigned)prng_below(&life->prng, 6); i > 0; i--)
		(void)rig_send(&life->rig);
	rig_settle(&life->rig, 3);
}

static void step_purge(struct life *life, struct tally *tally)
{
	unsigned day = (unsigned)prng_below(&life->prng, RIG_DAYS);

	tally->purges += rig_purge(&life->rig, day) == 0;
}

/* A read that was acknowledged and not marked yet, of a day that stays; false when none is soon found. */
static bool candidate(struct life *life, struct rig_identity *ret_id)
{
	for (unsigned i = 0; i < 40; i++) {
		uint32_t feed = (uint32_t)prng_below(&life->prng, RIG_FEEDS);
		unsigned lane = (unsigned)prng_below(&life->prng, FEED_LANE_COUNT);
		uint64_t sequence = prng_below(&life->prng, life->rig.next[feed][lane]);

		*ret_id = (struct rig_identity){.feed = feed + 1, .lane = lane, .sequence = sequence};
		if (life->rig.fates[feed][lane][sequence] == RIG_ACKED &&
		    life->fates[feed][lane][sequence] == FATE_PLAIN &&
		    !life->rig.purge_begun[rig_day_of(feed + 1, lane, sequence)])
			return true;
	}
	return false;
}

/* Marks a read. A call that fails may yet have been heard: the next search tells. */
static void step_mark(struct life *life, struct tally *tally)
{
	static const enum mark_kind kinds[] = {MARK_ERASED, MARK_RESTRICTED, MARK_AMENDED};
	static const enum fate fates[] = {FATE_ERASED, FATE_RESTRICTED, FATE_AMENDED};
	unsigned which = (unsigned)prng_below(&life->prng, 3);
	struct mark_order order = {.kind = kinds[which]};
	struct rig_identity id;
	struct read corrected;
	struct read read;
	uint8_t *fate;

	if (!candidate(life, &id))
		return;
	rig_read(&life->rig, id.feed, id.lane, id.sequence, &read);
	corrected = read;
	rig_amend(&corrected);
	order.read = &read;
	for (unsigned i = 0; i < sizeof(order.public_id); i++)
		order.public_id[i] = (uint8_t)prng_next(&life->prng);
	if (order.kind == MARK_AMENDED) {
		order.text = corrected.text;
		order.key = corrected.key;
	}
	fate = &life->fates[id.feed - 1][id.lane][id.sequence];
	*fate = fates[which];
	life->rig.marked[id.feed - 1][id.lane][id.sequence] = true;
	if (marks_make(store_marks(life->rig.store), &order, &life->rig.err) != 0)
		*fate |= FATE_UNSURE;
	tally->marks++;
}

static void step_tidy(struct life *life, struct tally *tally)
{
	for (unsigned i = 0; i < 8; i++) {
		int result = tidier_round(life->rig.store);

		tally->tidied += result == TIDIER_MORE;
		if (result != TIDIER_MORE)
			return;
	}
}

static bool any_purge(const struct life *life)
{
	for (unsigned day = 0; day < RIG_DAYS; day++)
		if (life->rig.purge_begun[day])
			return true;
	return false;
}

/* Before the first purge, so that what it must keep is known. */
static void step_hold(struct life *life, struct tally *tally)
{
	struct reg_hold hold = {.hold_class = REG_HOLD_CPIA, .reference = CASE, .reason = "trial"};
	struct hold_selector selector = {.pattern = CASE_PATTERN, .from_us = INT64_MIN, .to_us = INT64_MAX};
	struct hold_added added;

	if (life->hold != HOLD_NONE || any_purge(life))
		return;
	hold.review_day = read_day(clock_wall_us()) + 100;
	life->hold = HOLD_UNSURE;
	if (hold_add(life->rig.store, &hold, &selector, &life->rig.err, &added) == 0) {
		life->hold = HOLD_STANDS;
		life->case_number = added.number;
	}
	tally->holds++;
}

static void step_release(struct life *life, struct tally *tally)
{
	struct hold_release release;

	if (life->hold != HOLD_STANDS || !any_purge(life))
		return;
	/* Once it is said, nothing of it may be found, however far it came. */
	if (hold_release(life->rig.store, CASE, 2, "over", NULL, NULL, &life->rig.err, &release) == 0)
		life->hold = HOLD_RELEASED;
	else
		life->hold = HOLD_UNSURE;
	tally->releases++;
}

static int row_seen(void *context, const struct read *row, const char public_id[SEARCH_PUBLIC_ID_SIZE])
{
	struct life *life = context;
	struct rig_identity id;
	uint8_t *visible;

	(void)public_id;
	if (!rig_identify(row, &id)) {
		life_wrong(life, "a search found what nobody sent");
		return -EBADMSG;
	}
	visible = &life->visible[id.feed - 1][id.lane][id.sequence];
	if (*visible != 0) {
		life_wrong(life, "a search found a read twice");
		return -EBADMSG;
	}
	*visible = id.amended ? 2 : 1;
	return 0;
}

/* Everything that a search finds; of a case when its number is not 0. */
static void search_all(struct life *life, uint32_t case_number)
{
	struct search_query query = {.from_us = INT64_MIN / 2,
				     .to_us = INT64_MAX / 2,
				     .limit = SEARCH_LIMIT_MAX,
				     .case_number = case_number,
				     .oldest_first = true};
	struct search_result *result = calloc(1, sizeof(*result));

	CHECK(result != NULL);
	memset(life->visible, 0, sizeof(life->visible));
	do {
		int r = search_run(store_views(life->rig.store), &query, &life->rig.err, row_seen, life, result);

		if (r < 0)
			life_wrong(life, life->rig.err.text);
		CHECK_INT(0, r);
		CHECK_INT(0, result->faults);
		query.cursor = result->cursor;
	} while (result->truncated);
	free(result);
}

static bool fate_agrees(uint8_t fate, uint8_t visible)
{
	return visible == (fate == FATE_PLAIN ? 1 : fate == FATE_AMENDED ? 2 : 0);
}

/* A fate that was unsure is what it is seen to be, from now on. */
static void identity_check(struct life *life, uint32_t feed, unsigned lane, uint64_t sequence)
{
	uint8_t *fate = &life->fates[feed][lane][sequence];
	uint8_t visible = life->visible[feed][lane][sequence];
	unsigned day = rig_day_of(feed + 1, lane, sequence);

	if (life->rig.purged[day]) {
		if (visible != 0)
			life_wrong(life, "a search found a purged read");
		CHECK(visible == 0);
		return;
	}
	if (life->rig.purge_begun[day] || life->rig.fates[feed][lane][sequence] != RIG_ACKED)
		return;
	if (*fate & FATE_UNSURE)
		*fate = visible == 1 ? FATE_PLAIN : *fate & ~FATE_UNSURE;
	if (!fate_agrees(*fate, visible))
		check_note("%s: feed %u lane %u sequence %llu has fate %u and is seen as %u", life_name(life), feed + 1,
			   lane, (unsigned long long)sequence, *fate, visible);
	CHECK(fate_agrees(*fate, visible));
	life->rig.marked[feed][lane][sequence] = *fate != FATE_PLAIN;
}

/* What became of the case, as the appliance learns it at its start: a release goes on. */
static void hold_settle(struct life *life)
{
	struct reg_hold hold;
	int result;

	CHECK(hold_resume(life->rig.store, NULL, NULL, &life->rig.err) >= 0);
	if (life->hold == HOLD_NONE)
		return;
	result = hold_find(life->rig.store, CASE, &hold);
	CHECK(result == 0 || result == -ENOENT);
	if (life->hold == HOLD_UNSURE)
		life->hold = result == 0 ? HOLD_STANDS : life->case_number == 0 ? HOLD_NONE : HOLD_RELEASED;
	if (life->hold == HOLD_STANDS && result == 0)
		life->case_number = hold.number;
	if ((life->hold == HOLD_STANDS) != (result == 0))
		life_wrong(life, result == 0 ? "a released hold stands" : "a hold is gone");
	CHECK((life->hold == HOLD_STANDS) == (result == 0));
}

/* The case has each read of its feed's purged days once; released, nothing. */
static void hold_check(struct life *life, struct tally *tally)
{
	hold_settle(life);
	if (life->case_number == 0)
		return;
	search_all(life, life->case_number);
	for (uint32_t feed = 0; feed < RIG_FEEDS; feed++)
		for (unsigned lane = 0; lane < FEED_LANE_COUNT; lane++)
			for (uint64_t sequence = 1; sequence < life->rig.next[feed][lane]; sequence++) {
				unsigned day = rig_day_of(feed + 1, lane, sequence);
				bool found = life->visible[feed][lane][sequence] != 0;
				bool mine =
					life->hold == HOLD_STANDS && feed + 1 == CASE_FEED && lane == FEED_LANE_LIVE;

				if (found && (!mine || !life->rig.purge_begun[day]))
					life_wrong(life, "a case has what is not its own");
				CHECK(!found || (mine && life->rig.purge_begun[day]));
				if (mine && life->rig.purged[day] && !found &&
				    life->rig.fates[feed][lane][sequence] == RIG_ACKED &&
				    life->fates[feed][lane][sequence] == FATE_PLAIN) {
					life_wrong(life, "a held read is lost");
					CHECK(false);
				}
				tally->held += found;
			}
}

static void answers_check(struct life *life, struct tally *tally)
{
	hold_check(life, tally);
	search_all(life, 0);
	for (uint32_t feed = 0; feed < RIG_FEEDS; feed++)
		for (unsigned lane = 0; lane < FEED_LANE_COUNT; lane++)
			for (uint64_t sequence = 1; sequence < life->rig.next[feed][lane]; sequence++)
				identity_check(life, feed, lane, sequence);
}

/* For a while the disk fails some of what is asked of it, or has no room. */
static void step_fault(struct life *life, struct tally *tally)
{
	static const unsigned kinds[] = {SIM_WRITE, SIM_SYNC, SIM_NAME, SIM_SUBMIT, SIM_CREATE | SIM_PREALLOCATE,
					 SIM_ALL};

	sim_fail(life->io, kinds[prng_below(&life->prng, sizeof(kinds) / sizeof(kinds[0]))], prng_below(&life->prng, 8),
		 1 + prng_below(&life->prng, 3), prng_chance(&life->prng, 500) ? EIO : ENOSPC);
	tally->faults++;
}

/* One thing that an appliance does. Whatever fails, life goes on. */
static void step(struct life *life, struct tally *tally)
{
	uint64_t which = prng_below(&life->prng, 100);

	if (which < 59)
		step_send(life);
	else if (which < 61)
		step_hold(life, tally);
	else if (which < 62)
		step_release(life, tally);
	else if (which < 70)
		step_mark(life, tally);
	else if (which < 75)
		step_tidy(life, tally);
	else if (which < 80)
		rig_settle(&life->rig, 5);
	else if (which < 90)
		(void)store_seal_all(life->rig.store, INT64_C(20000000));
	else if (which < 94)
		(void)rig_resend(&life->rig);
	else if (which < 98)
		step_purge(life, tally);
	else if (which < 99)
		step_fault(life, tally);
	else
		(void)store_keep(life->rig.store);
}

/* What a data directory can lose without losing a read (docs/disk-format.md). */
static void lose(struct life *life, struct tally *tally)
{
	char path[700];

	switch (prng_below(&life->prng, 3)) {
	case 0:
		(void)life->io->ops->unlink(life->io,
					    prng_chance(&life->prng, 500) ? "/gantry/keyring.a" : "/gantry/keyring.b");
		(void)life->io->ops->dir_sync(life->io, "/gantry");
		break;
	case 1:
		snprintf(path, sizeof(path), "%s/register/db/data.mdb", life->db_directory);
		(void)unlink(path);
		break;
	default:
		return;
	}
	tally->losses++;
}

/* Most cuts come soon, so that there are many; some let a whole purge or merge go by. */
static uint64_t cut_within(struct life *life)
{
	return prng_chance(&life->prng, 150) ? CUT_WITHIN_FAR : CUT_WITHIN;
}

static void life_crash(struct life *life, struct tally *tally)
{
	struct rig *rig = &life->rig;

	sim_cut_at(life->io, sim_ops(life->io) + 1 + prng_below(&life->prng, cut_within(life)));
	for (unsigned i = 0; i < STEPS_A_CRASH && !sim_is_cut(life->io); i++)
		step(life, tally);
	(void)rig_close(rig, false);
	sim_crash(life->io);
	life->crashes++;
	tally->crashes++;
	/* A third of the recoveries are cut as well. */
	if (prng_chance(&life->prng, 330)) {
		sim_cut_at(life->io, sim_ops(life->io) + 1 + prng_below(&life->prng, 40));
		if (rig_open(rig) == 0)
			(void)rig_close(rig, prng_chance(&life->prng, 500));
		sim_crash(life->io);
		tally->crashes++;
		tally->recovery_cuts++;
	}
	sim_cut_at(life->io, 0);
	sim_fail(life->io, SIM_ALL, 0, 0, EIO);
	life_open(life);
	if (prng_chance(&life->prng, 100)) { /* a file more than a crash takes: when both copies are whole again */
		(void)rig_close(rig, false);
		lose(life, tally);
		life_open(life);
	}
	life_check(life, rig_verify(rig));
	answers_check(life, tally);
	life_check(life, rig_verify_hits(rig));
}

/* A day whose purge stands half done is finished, as the appliance does at its start. */
static void life_resume(struct life *life)
{
	struct rig *rig = &life->rig;

	for (unsigned day = 0; day < RIG_DAYS; day++) {
		if (!rig->purge_begun[day] || rig->purged[day] || !prng_chance(&life->prng, 500))
			continue;
		if (!store_day_open(rig->store, rig->first_day + (int32_t)day) && rig_purge(rig, day) >= 0)
			rig->purged[day] = true;
	}
}

static void life_end(struct life *life, struct tally *tally)
{
	struct rig *rig = &life->rig;

	(void)rig_resend(rig);
	rig_settle(rig, 1000);
	life_check(life, rig_verify(rig));
	for (unsigned day = 0; day < RIG_DAYS; day++)
		if (rig->purge_begun[day])
			(void)rig_purge(rig, day);
	CHECK_INT(0, rig_close(rig, true));
	life_open(life);
	step_tidy(life, tally);
	life_check(life, rig_verify(rig));
	answers_check(life, tally);
	life_check(life, rig_verify_hits(rig));
	life_check(life, rig_verify_tidy(rig));
	CHECK_INT(0, rig_close(rig, false));
}

static bool life_over(const struct life *life)
{
	unsigned purged = 0;

	for (unsigned day = 0; day < RIG_DAYS; day++)
		purged += life->rig.purge_begun[day];
	return purged == RIG_DAYS || life->crashes >= CRASHES_A_LIFE;
}

static void live(uint64_t seed, struct tally *tally)
{
	struct key_change identity = {.id = {.id = 0, .day = KEY_DAY_NONE, .kind = KEY_IDENTITY}};
	struct life *life = calloc(1, sizeof(*life));

	CHECK(life != NULL);
	life->seed = seed;
	life->prng.state = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
	life->io = sim_new(seed);
	/* LMDB is not simulated: it lies where syncing costs nothing. */
	snprintf(life->db_directory, sizeof(life->db_directory), "%s", check_memory_directory());
	rig_init(&life->rig, life->io, "/gantry", life->db_directory, seed);
	life_open(life);
	CHECK_INT(0, keyring_change(store_keyring(life->rig.store), &identity, 1));
	CHECK_INT(0, rig_close(&life->rig, true));
	life_open(life); /* with the key that marks are made with */
	while (!life_over(life)) {
		life_crash(life, tally);
		life_resume(life);
	}
	life_end(life, tally);
	tally->lives++;
	tally->reads += life->rig.acked;
	tally->operations += sim_ops(life->io);
	sim_free(life->io);
	free(life);
}

static void test_lives(void)
{
	const char *wish = getenv("GANTRY_CRASHES");
	unsigned crashes = wish != NULL ? (unsigned)strtoul(wish, NULL, 10) : CRASHES;
	struct tally tally = {0};

	while (tally.crashes < crashes)
		live(check_seed() + tally.lives, &tally);
	printf("\n    %u power cuts (%u of them in recovery) in %u lives: %llu reads, %llu operations, %u purges, %u "
	       "marks, "
	       "%u merges and removals, %u holds, %u releases, %llu held reads found, %u disk faults, %u files lost ",
	       tally.crashes, tally.recovery_cuts, tally.lives, (unsigned long long)tally.reads,
	       (unsigned long long)tally.operations, tally.purges, tally.marks, tally.tidied, tally.holds,
	       tally.releases, (unsigned long long)tally.held, tally.faults, tally.losses);
}

int main(int argc, char **argv)
{
	static const struct check_test tests[] = {{"nothing promised is broken by any crash", test_lives},
						  {NULL, NULL}};

	log_level_set(LOG_LEVEL_ERROR);
	return check_main(argc, argv, "storage lives", tests);
}
