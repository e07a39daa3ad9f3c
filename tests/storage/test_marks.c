/*
 * Marks on single reads: a world of a few dozen reads that are sent, sent again by other ways, erased, restricted and
 * amended, sealed, merged, rewritten, crashed and reopened, held against a plain model after every step.
 */
#include "storage/marks.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LOG_MODULE "test"
#include "appliance/base/bytes.h"
#include "appliance/base/clock.h"
#include "appliance/base/glob.h"
#include "appliance/base/log.h"
#include "storage/catalog.h"
#include "storage/io.h"
#include "storage/journal.h"
#include "storage/keyring.h"
#include "storage/lane.h"
#include "storage/marks_internal.h"
#include "storage/marks_look.h"
#include "storage/marks_tidy.h"
#include "storage/memtable.h"
#include "storage/register.h"
#include "storage/row.h"
#include "storage/search.h"
#include "storage/segment_read.h"
#include "storage/tidier.h"
#include "storage/view.h"
#include "tests/check.h"
#include "tests/storage/sim_io.h"
#include "tests/storage/store_rig.h"

#define THINGS 48
#define SIM_DIRECTORY "/data"
#define CHANGES SIM_DIRECTORY "/register/changes.log"
#define IDENTITY ((struct key_id){.day = KEY_DAY_NONE, .kind = KEY_IDENTITY})

/* What the model knows of one sighting. */
struct thing {
	struct read original;
	struct read now;                 /* as it has to be found, but for feed, epoch and receipt */
	uint32_t sent_in[RIG_FEEDS + 1]; /* epoch: a feed that sends it twice in one epoch has seen it twice */
	bool sent;
	bool erased;
	bool restricted;
};

struct world {
	struct rig rig;
	struct io *io;
	struct prng prng;
	uint64_t next[RIG_FEEDS + 1]; /* sequence, of the epoch of now */
	uint32_t epochs[RIG_FEEDS + 1];
	struct thing things[THINGS];
	unsigned made; /* to number VRMs */
};

static void text_put(uint8_t text[READ_TEXT_SIZE], const char *from)
{
	memset(text, 0, READ_TEXT_SIZE);
	memcpy(text, from, strlen(from));
}

static void things_make(struct world *world)
{
	for (unsigned i = 0; i < THINGS; i++) {
		struct read *read = &world->things[i].original;
		char text[READ_TEXT_SIZE];

		*read = (struct read){.camera = 7 + i % 4 / 2, .kind = READ_KIND_VRM, .confidence = (uint8_t)(50 + i)};
		/* Two of three lie in one day; of each four, two share all that a public id is made of. */
		read->capture_us = (int64_t)(world->rig.first_day + (i % 3 == 2)) * DAY_US + 1000 * (int64_t)(i / 4);
		snprintf(text, sizeof(text), "P%u", i / 2);
		text_put(read->text, text);
		text_put(read->key, text);
		world->things[i].now = *read;
	}
}

static void world_open(struct world *world)
{
	struct key_change make = {.id = IDENTITY};
	uint8_t key[KEY_SIZE];
	int result = rig_open(&world->rig);

	if (result < 0)
		check_note("open: %s", world->rig.err.text);
	CHECK_INT(0, result);
	if (keyring_get(store_keyring(world->rig.store), IDENTITY, key) == -ENOENT)
		CHECK_INT(0, keyring_change(store_keyring(world->rig.store), &make, 1));
}

static struct world *world_new(uint64_t seed, const char *name)
{
	struct world *world = calloc(1, sizeof(*world));
	char db[600];

	CHECK(world != NULL);
	log_level_set(LOG_LEVEL_ERROR);
	snprintf(db, sizeof(db), "%s/%s", check_directory(), name);
	world->io = sim_new(seed);
	world->prng.state = seed;
	rig_init(&world->rig, world->io, SIM_DIRECTORY, db, seed);
	for (unsigned feed = 0; feed <= RIG_FEEDS; feed++) {
		world->next[feed] = 1;
		world->epochs[feed] = 1;
	}
	things_make(world);
	world_open(world);
	return world;
}

static void world_free(struct world *world)
{
	if (world->rig.store != NULL)
		(void)rig_close(&world->rig, false);
	sim_free(world->io);
	free(world);
}

/* The original, as any feed may send it, now or again. */
static void send_by(struct world *world, unsigned index, uint32_t feed)
{
	struct lane_window *window;
	struct read read = world->things[index].original;
	struct run run = {.first = world->next[feed], .feed = feed, .epoch = world->epochs[feed], .count = 1};

	if (world->things[index].sent_in[feed] == run.epoch && !world->things[index].erased &&
	    (world->things[index].now.flags & READ_FLAG_AMENDED) == 0)
		return;
	world->things[index].sent_in[feed] = run.epoch;
	CHECK_INT(0, store_lane(world->rig.store, feed, run.epoch, 0, &window));
	read.feed = feed;
	read.epoch = run.epoch;
	read.receipt_us = read.capture_us + 5000000 + (int64_t)run.first;
	if (journal_append(store_journal(world->rig.store, feed % world->rig.options.workers), window, &run, &read,
			   NULL, 0) != 0)
		return;
	world->next[feed]++;
	rig_settle(&world->rig, 50);
	world->things[index].sent = true;
}

static void new_epochs(struct world *world)
{
	for (unsigned feed = 1; feed <= RIG_FEEDS; feed++) {
		world->epochs[feed]++;
		world->next[feed] = 1;
	}
}

/* ---- what is found */

struct found {
	struct read reads[8 * THINGS];
	char ids[8 * THINGS][SEARCH_PUBLIC_ID_SIZE];
	size_t count;
};

static int found_row(void *context, const struct read *read, const char public_id[SEARCH_PUBLIC_ID_SIZE])
{
	struct found *found = context;

	CHECK(found->count < 8 * THINGS);
	found->reads[found->count] = *read;
	memcpy(found->ids[found->count++], public_id, SEARCH_PUBLIC_ID_SIZE);
	return 0;
}

static struct found *look(struct world *world, const char *pattern, bool restricted)
{
	struct found *found = calloc(1, sizeof(*found));
	struct search_result *result = calloc(1, sizeof(*result));
	struct search_query query = {
		.from_us = 0, .to_us = INT64_MAX / 2, .restricted = restricted, .limit = SEARCH_LIMIT_MAX};
	struct glob glob;
	struct err err;

	CHECK(found != NULL && result != NULL);
	if (pattern != NULL) {
		CHECK_INT(0, glob_compile(pattern, strlen(pattern), &glob));
		query.key_glob = &glob;
	}
	CHECK_INT(0, search_run(store_views(world->rig.store), &query, &err, found_row, found, result));
	CHECK(!result->incomplete);
	query.count_only = true;
	CHECK_INT(0, search_run(store_views(world->rig.store), &query, &err, NULL, NULL, result));
	CHECK_INT(found->count, result->count);
	free(result);
	return found;
}

static bool same_sighting(const struct read *row, const struct read *wanted)
{
	struct read copy = *row;

	copy.feed = wanted->feed;
	copy.epoch = wanted->epoch;
	copy.receipt_us = wanted->receipt_us;
	return memcmp(&copy, wanted, sizeof(copy)) == 0;
}

/* The thing that a row shows; THINGS none. */
static unsigned thing_of(const struct world *world, const struct read *row)
{
	for (unsigned i = 0; i < THINGS; i++)
		if (world->things[i].sent && !world->things[i].erased && same_sighting(row, &world->things[i].now))
			return i;
	return THINGS;
}

static void verify_answer(struct world *world, bool restricted)
{
	struct found *found = look(world, NULL, restricted);
	unsigned seen[THINGS + 1] = {0};

	for (size_t i = 0; i < found->count; i++)
		seen[thing_of(world, &found->reads[i])]++;
	if (seen[THINGS] > 0)
		check_note("%u rows that must not be there", seen[THINGS]);
	CHECK_INT(0, seen[THINGS]);
	for (unsigned i = 0; i < THINGS; i++) {
		const struct thing *thing = &world->things[i];
		bool shown = thing->sent && !thing->erased && (restricted || !thing->restricted);

		if (seen[i] != shown)
			check_note("thing %u (%.16s) is found %u times", i, thing->now.text, seen[i]);
		CHECK_INT(shown, seen[i]);
	}
	free(found);
}

static void verify(struct world *world)
{
	verify_answer(world, false);
	verify_answer(world, true);
}

/* By its VRM alone: what stands in the dictionary, the memtable's index and beside them. */
static void verify_vrm(struct world *world, unsigned index)
{
	const struct thing *thing = &world->things[index];
	char pattern[READ_TEXT_SIZE + 1] = {0};
	struct found *found;
	unsigned count = 0;

	memcpy(pattern, thing->now.key, READ_TEXT_SIZE);
	found = look(world, pattern, false);
	for (size_t i = 0; i < found->count; i++)
		count += same_sighting(&found->reads[i], &thing->now);
	CHECK_INT(thing->sent && !thing->erased && !thing->restricted, count);
	free(found);
}

/* No row of a segment is one that a mark drops; so many pages cannot be read. */
static void verify_removed_but(struct world *world, unsigned unreadable)
{
	struct views *views = store_views(world->rig.store);
	struct mark_set *set = marks_hold(store_marks(world->rig.store));
	struct segment_rows *rows = malloc(sizeof(*rows));
	struct segment_scratch scratch = {0};
	struct view view;
	struct err err;
	unsigned failed = 0;

	CHECK_INT(0, view_take(views, INT32_MIN, INT32_MAX, &view));
	for (size_t i = 0; i < view.segment_count; i++) {
		struct segment *segment;
		uint32_t pages;

		CHECK_INT(0, view_segment_get(views, &view.segments[i], &err, &segment));
		pages = segment_summary(segment)->sections[SEGMENT_ROWS].page_count;
		for (uint32_t page = 0; page < pages; page++) {
			if (segment_read_rows(segment, &scratch, page, &err, rows) < 0) {
				failed++;
				continue;
			}
			for (uint32_t r = 0; r < rows->count; r++)
				CHECK(!mark_drops(mark_find(mark_set_day(set, view.segments[i].day), &rows->rows[r])));
		}
		view_segment_put(views, segment);
	}
	view_release(&view);
	segment_scratch_fini(&scratch);
	mark_set_release(set);
	free(rows);
	CHECK_INT(unreadable, failed);
}

static void verify_removed(struct world *world)
{
	verify_removed_but(world, 0);
}

/* ---- acts */

/* The row of a thing, with its id; restricted ones too. False: it is not there. */
static bool row_of(struct world *world, unsigned index, struct read *ret_read, uint8_t ret_id[MARK_ID_SIZE])
{
	struct found *found = look(world, NULL, true);
	bool there = false;

	for (size_t i = 0; i < found->count && !there; i++) {
		if (!same_sighting(&found->reads[i], &world->things[index].now))
			continue;
		*ret_read = found->reads[i];
		CHECK_INT(0, hex_decode(found->ids[i], ret_id, MARK_ID_SIZE));
		there = true;
	}
	free(found);
	return there;
}

struct act {
	struct mark_order order;
	struct read read;
	uint8_t text[READ_TEXT_SIZE];
	struct hit hits[2];
};

static bool act_init(struct world *world, unsigned index, enum mark_kind kind, struct act *act)
{
	char text[READ_TEXT_SIZE];

	*act = (struct act){.order = {.kind = kind}};
	if (!row_of(world, index, &act->read, act->order.public_id))
		return false;
	act->order.read = &act->read;
	if (kind == MARK_AMENDED) {
		/* Half of the time back and forth between two VRMs, so that former ones come again. */
		if (prng_chance(&world->prng, 500))
			snprintf(text, sizeof(text), "A%u", index % 5);
		else if (prng_chance(&world->prng, 500))
			snprintf(text, sizeof(text), "%.12s", (const char *)world->things[index].original.text);
		else
			snprintf(text, sizeof(text), "N%u", world->made++);
		text_put(act->text, text);
		act->order.text = act->text;
		act->order.key = act->text;
		act->hits[0] = (struct hit){.list = 1, .version = 2, .entry = 3, .kind = HIT_EXACT, .priority = 9};
		act->order.hits = act->hits;
		act->order.hit_count = 1;
	}
	return true;
}

static void act_note(struct world *world, unsigned index, const struct act *act)
{
	struct thing *thing = &world->things[index];

	if (act->order.kind == MARK_ERASED)
		thing->erased = true;
	else if (act->order.kind == MARK_RESTRICTED)
		thing->restricted = true;
	else
		marks_correct(&thing->now, act->text, act->text, &thing->now);
}

static void act_do(struct world *world, unsigned index, enum mark_kind kind)
{
	struct thing *thing = &world->things[index];
	struct act act;
	struct err err;
	int result;

	if (!thing->sent || thing->erased || !act_init(world, index, kind, &act))
		return;
	result = marks_make(store_marks(world->rig.store), &act.order, &err);
	if (result < 0)
		check_note("mark: %s", err.text);
	if (thing->restricted && kind != MARK_ERASED) {
		CHECK_INT(kind == MARK_AMENDED ? MARKS_RESTRICTED : MARKS_ALREADY, result);
		return;
	}
	CHECK_INT(0, result);
	act_note(world, index, &act);
	CHECK(marks_made(store_marks(world->rig.store), read_day(act.read.capture_us), act.order.public_id, kind));
	/* Nobody takes the id over. */
	if (kind != MARK_RESTRICTED) {
		struct found *found = look(world, NULL, true);

		for (size_t i = 0; i < found->count; i++) {
			uint8_t id[MARK_ID_SIZE];

			CHECK_INT(0, hex_decode(found->ids[i], id, sizeof(id)));
			CHECK(memcmp(id, act.order.public_id, sizeof(id)) != 0);
		}
		free(found);
	}
}

static void lift_do(struct world *world, unsigned index)
{
	struct thing *thing = &world->things[index];
	uint8_t id[MARK_ID_SIZE];
	struct read read;
	struct err err;

	if (!thing->sent || thing->erased || !row_of(world, index, &read, id))
		return;
	CHECK_INT(thing->restricted ? 0 : MARKS_ALREADY, marks_lift(store_marks(world->rig.store), &read, 0, &err));
	thing->restricted = false;
}

static void seal(struct world *world)
{
	CHECK_INT(0, store_seal_all(world->rig.store, INT64_C(5000000000)));
}

/* Rounds until nothing is pending but what waits for a first segment. */
static void tidy(struct world *world)
{
	struct marks_info info;
	struct err err = {""};

	for (unsigned i = 0; i < 2000; i++) {
		int result = marks_tidy(world->rig.store, true, &err);

		if (result < 0 && result != -EAGAIN)
			check_note("tidy: %s", err.text);
		CHECK(result >= 0 || result == -EAGAIN);
		marks_info(store_marks(world->rig.store), &info);
		if (info.pending == 0)
			break;
		CHECK_INT(0, store_seal_all(world->rig.store, 0)); /* pays debts */
		usleep(i < 8 ? 0 : 1000);                          /* a search may still read */
	}
	if (info.pending > 0)
		check_note("still pending: %s", err.text);
	CHECK_INT(0, info.pending);
	verify_removed(world);
}

static void books_hold(struct world *world)
{
	struct store_status *status = malloc(sizeof(*status));
	uint64_t sent = 0;

	CHECK(status != NULL);
	for (unsigned feed = 1; feed <= RIG_FEEDS; feed++)
		sent += world->next[feed] - 1;
	CHECK_INT(0, store_status(world->rig.store, status));
	if (world->epochs[1] == 1)
		CHECK_INT(sent, status->stored_total + status->collapsed_total + status->erased_total);
	free(status);
}

static void step(struct world *world)
{
	unsigned index = (unsigned)prng_below(&world->prng, THINGS);
	unsigned choice = (unsigned)prng_below(&world->prng, 20);

	switch (choice) {
	case 0:
		seal(world);
		break;
	case 1:
		tidy(world);
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
			new_epochs(world);
		break;
	case 5:
	case 6:
		act_do(world, index, MARK_ERASED);
		break;
	case 7:
	case 8:
		act_do(world, index, MARK_RESTRICTED);
		break;
	case 9:
		lift_do(world, index);
		break;
	case 10:
	case 11:
	case 12:
		act_do(world, index, MARK_AMENDED);
		break;
	default:
		send_by(world, index, 1 + (uint32_t)prng_below(&world->prng, RIG_FEEDS));
		break;
	}
	verify_vrm(world, index);
}

static void test_random(void)
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
				verify(world);
			books_hold(world);
		}
		tidy(world);
		verify(world);
		CHECK_INT(0, rig_close(&world->rig, true));
		world_open(world);
		tidy(world);
		verify(world);
		world_free(world);
	}
}

/* ---- crashes */

/* Sends some, seals half of them; thing 0 is to be erased, thing 1 amended. */
static struct world *crash_world(uint64_t seed, const char *name)
{
	struct world *world = world_new(seed, name);

	for (unsigned i = 0; i < THINGS; i++) {
		send_by(world, i, 1);
		if (i == THINGS / 2)
			seal(world);
	}
	return world;
}

/* What the process that dies does; the model learns of what returned. */
static void crash_acts(struct world *world, struct act acts[2], bool done[2])
{
	struct err err;

	for (unsigned i = 0; i < 2; i++) {
		done[i] = marks_make(store_marks(world->rig.store), &acts[i].order, &err) == 0;
		if (done[i])
			act_note(world, i, &acts[i]);
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

		if (!done[i] && !row_of(world, i, &row, id))
			act_note(world, i, &acts[i]);
	}
	verify(world);
	tidy(world);
	verify(world);
	for (unsigned i = 0; i < 4; i++)
		send_by(world, i, 2);
	verify(world);
	seal(world);
	verify(world);
	verify_removed(world);
}

static void test_crash_points(void)
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
		world = crash_world(check_seed() + nth, name);
		CHECK(act_init(world, 0, MARK_ERASED, &acts[0]) && act_init(world, 1, MARK_AMENDED, &acts[1]));
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
static void test_failures(void)
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
		world = crash_world(check_seed() ^ nth, name);
		CHECK(act_init(world, 0, MARK_ERASED, &acts[0]) && act_init(world, 1, MARK_AMENDED, &acts[1]));
		ops = sim_ops(world->io);
		sim_fail(world->io, SIM_ALL, nth, 1, errors[nth % 2]);
		crash_acts(world, acts, done);
		reached = sim_ops(world->io) - ops >= nth;
		sim_fail(world->io, SIM_ALL, 0, 0, EIO);
		verify(world);
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
static void test_late(void)
{
	struct world *world = crash_world(check_seed(), "late");
	struct store *store = world->rig.store;
	struct io_space space;
	struct err err;

	CHECK_INT(0, store_seal_all(store, INT64_C(5000000000)));
	act_do(world, 0, MARK_ERASED);
	act_do(world, 2, MARK_ERASED);
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
	tidy(world);
	CHECK_INT(0, late_told(world));
	verify_removed(world);
	world_free(world);
}

/* ---- the day's end, and the register's records */

static void test_day_dies(void)
{
	struct world *world = crash_world(check_seed(), "day");
	struct marks_info info;
	struct mark_set *set;

	act_do(world, 0, MARK_ERASED);
	act_do(world, 1, MARK_AMENDED);
	act_do(world, 3, MARK_RESTRICTED);
	act_do(world, 2, MARK_ERASED); /* of the other day */
	CHECK_INT(0, rig_purge(&world->rig, 0));
	marks_info(store_marks(world->rig.store), &info);
	CHECK_INT(1, info.erased);
	CHECK_INT(0, info.amended + info.restricted);
	set = marks_hold(store_marks(world->rig.store));
	CHECK(mark_set_day(set, world->rig.first_day) == NULL);
	CHECK(mark_set_day(set, world->rig.first_day + 1) != NULL);
	mark_set_release(set);
	for (unsigned i = 0; i < THINGS; i++)
		world->things[i].sent = world->things[i].sent && i % 3 == 2;
	verify(world);
	CHECK_INT(0, rig_close(&world->rig, false));
	world_open(world);
	verify(world);
	world_free(world);
}

/* A purge that dies before it forgets the marks: they go at the next start. */
static void test_day_died_before(void)
{
	struct world *world = crash_world(check_seed(), "died");
	struct marks_info info;

	act_do(world, 0, MARK_ERASED);
	act_do(world, 1, MARK_AMENDED);
	CHECK_INT(0, keyring_destroy_day(store_keyring(world->rig.store), world->rig.first_day));
	CHECK_INT(0, rig_close(&world->rig, false));
	world_open(world);
	marks_info(store_marks(world->rig.store), &info);
	CHECK_INT(0, info.erased + info.amended + info.pending);
	world_free(world);
}

/* Without the key of identities nobody can say what was erased: then nothing is searched, rather than too much. */
static void test_identity_lost(void)
{
	struct world *world = crash_world(check_seed(), "identity");
	struct key_change destroy = {.id = IDENTITY, .destroy = true};
	const char *why = NULL;

	act_do(world, 0, MARK_ERASED);
	CHECK_INT(0, keyring_change(store_keyring(world->rig.store), &destroy, 1));
	CHECK_INT(0, rig_close(&world->rig, false));
	CHECK_INT(0, rig_open(&world->rig));
	CHECK(store_register(world->rig.store, &why) == NULL && strstr(why, "keyring") != NULL);
	world_free(world);
}

static int mark_key_destroy(void *context, struct key_id id)
{
	struct key_id *keys = context;

	while (keys->kind != 0)
		keys++;
	*keys = id;
	return 0;
}

/* A pending mark whose own key is gone hides its read all the same, and is removed by a rewriting of the whole day. */
static void test_work_lost(void)
{
	struct world *world = crash_world(check_seed(), "work");
	struct key_id keys[8] = {0};
	struct key_change destroy = {.destroy = true};

	seal(world);
	act_do(world, 0, MARK_ERASED);
	CHECK_INT(0, keyring_each(store_keyring(world->rig.store), KEY_MARK, mark_key_destroy, keys));
	CHECK(keys[0].kind == KEY_MARK && keys[0].day == world->rig.first_day && keys[1].kind == 0);
	destroy.id = keys[0];
	CHECK_INT(0, keyring_change(store_keyring(world->rig.store), &destroy, 1));
	CHECK_INT(0, rig_close(&world->rig, false));
	world_open(world);
	verify(world);
	tidy(world);
	verify(world);
	world_free(world);
}

/* The keys of sealed parts do not outlive the removal, and the old segment's key goes. */
static void test_keys_go(void)
{
	struct world *world = crash_world(check_seed(), "keys");
	struct key_id keys[8] = {0};
	struct catalog_segment *before;
	struct catalog_segment *after;
	uint8_t key[KEY_SIZE];
	size_t before_count;
	size_t after_count;
	unsigned gone = 0;

	seal(world);
	CHECK_INT(0, catalog_segments(store_catalog(world->rig.store), INT32_MIN, INT32_MAX, &before, &before_count));
	act_do(world, 0, MARK_ERASED);
	act_do(world, 1, MARK_AMENDED);
	tidy(world);
	seal(world);
	CHECK_INT(0, keyring_each(store_keyring(world->rig.store), KEY_MARK, mark_key_destroy, keys));
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

struct hits_seen {
	unsigned count;
	uint32_t row;
};

static int hit_seen(void *context, const struct hit *hit)
{
	struct hits_seen *seen = context;

	CHECK_INT(1, hit->list);
	CHECK_INT(9, hit->priority);
	seen->row = hit->row;
	seen->count++;
	return 0;
}

/* The corrected read's hits come into the segment with it. */
static void test_hits_kept(void)
{
	struct world *world = crash_world(check_seed(), "hits");
	struct segment_scratch scratch = {0};
	struct segment_rows *rows = malloc(sizeof(*rows));
	unsigned count = 0;
	struct view view;
	struct err err;

	seal(world);
	act_do(world, 1, MARK_AMENDED);
	tidy(world);
	CHECK_INT(0, view_take(store_views(world->rig.store), INT32_MIN, INT32_MAX, &view));
	for (size_t i = 0; i < view.segment_count; i++) {
		struct hits_seen seen = {0};
		struct segment *segment;

		CHECK_INT(0, view_segment_get(store_views(world->rig.store), &view.segments[i], &err, &segment));
		CHECK_INT(0, segment_each_hit(segment, &scratch, &err, hit_seen, &seen));
		if (seen.count > 0) {
			CHECK_INT(0, segment_read_rows(segment, &scratch, seen.row / SEGMENT_PAGE_ROWS, &err, rows));
			CHECK(same_sighting(&rows->rows[seen.row % SEGMENT_PAGE_ROWS], &world->things[1].now));
		}
		count += seen.count;
		view_segment_put(store_views(world->rig.store), segment);
	}
	CHECK_INT(1, count);
	view_release(&view);
	segment_scratch_fini(&scratch);
	free(rows);
	world_free(world);
}

/* ---- searching while marks come and segments go */

struct searching {
	struct world *world;
	atomic_bool stop;
	atomic_uint wrong;
	atomic_uint rounds;
};

/* What nobody touches is found once, always; what is being amended once, under one VRM or the other. */
static void *search_on(void *argument)
{
	struct searching *searching = argument;
	const struct world *world = searching->world;

	while (!atomic_load(&searching->stop)) {
		struct found *found = look(searching->world, NULL, false);
		unsigned still = 0;
		unsigned moving = 0;

		for (size_t i = 0; i < found->count; i++) {
			still += same_sighting(&found->reads[i], &world->things[THINGS - 1].original);
			moving += found->reads[i].capture_us == world->things[1].original.capture_us &&
				  found->reads[i].confidence == world->things[1].original.confidence;
		}
		if (still != 1 || moving != 1)
			atomic_fetch_add(&searching->wrong, 1);
		atomic_fetch_add(&searching->rounds, 1);
		free(found);
	}
	return NULL;
}

static void test_search_meanwhile(void)
{
	struct world *world = crash_world(check_seed(), "meanwhile");
	struct searching searching = {.world = world};
	int64_t begun_ns = clock_mono_ns();
	pthread_t thread;

	seal(world);
	CHECK_INT(0, pthread_create(&thread, NULL, search_on, &searching));
	for (unsigned i = 0; i < 100 && clock_mono_ns() - begun_ns < INT64_C(2000000000); i++) {
		struct act act;
		struct err err;

		CHECK(act_init(world, 1, MARK_AMENDED, &act));
		CHECK_INT(0, marks_make(store_marks(world->rig.store), &act.order, &err));
		act_note(world, 1, &act);
		tidy(world);
	}
	atomic_store(&searching.stop, true);
	CHECK_INT(0, pthread_join(thread, NULL));
	CHECK_INT(0, atomic_load(&searching.wrong));
	CHECK(atomic_load(&searching.rounds) > 3);
	world_free(world);
}

/* ---- damage */

struct sealed {
	char path[256];
	uint64_t size;
};

/* The two segments of the first day, by age, of a world whose even half was sealed first. */
static struct world *two_segments(const char *name, struct sealed ret_sealed[2])
{
	struct world *world = world_new(check_seed(), name);
	struct catalog_segment *segments;
	uint64_t first = 0;
	size_t count;

	for (unsigned half = 0; half < 2; half++) {
		char segment[SEGMENT_NAME_SIZE];

		for (unsigned i = half; i < THINGS; i += 2)
			send_by(world, i, 1);
		seal(world);
		CHECK_INT(0, catalog_segments(store_catalog(world->rig.store), world->rig.first_day,
					      world->rig.first_day, &segments, &count));
		CHECK_INT(half + 1, count);
		for (size_t i = 0; i < count; i++)
			if (segments[i].id != first) {
				(void)snprintf(ret_sealed[half].path, sizeof(ret_sealed[half].path),
					       SIM_DIRECTORY "/segments/%s",
					       segment_name(world->rig.first_day, segments[i].id, ".seg", segment));
				ret_sealed[half].size = segments[i].file_size;
			}
		first = segments[0].id;
		free(segments);
	}
	return world;
}

static uint64_t damages(struct world *world)
{
	struct store_status *status = malloc(sizeof(*status));
	uint64_t count;

	CHECK(status != NULL);
	CHECK_INT(0, store_status(world->rig.store, status));
	count = status->damage_count;
	free(status);
	return count;
}

/*
 * Reads of both segments are erased or amended, one segment cannot be read: the other one's go, the rest is told once
 * and put off, and no round after the first touches the disk.
 */
static void one_is_damaged(const char *name, int (*hurt)(struct io *io, const struct sealed *sealed), unsigned told)
{
	struct sealed sealed[2];
	struct world *world = two_segments(name, sealed);
	struct marks_info info;
	struct err err;
	uint64_t damage_count;
	uint64_t ops;

	act_do(world, 0, MARK_ERASED);
	act_do(world, 1, MARK_ERASED);
	act_do(world, 3, MARK_AMENDED);
	act_do(world, 7, MARK_ERASED);
	CHECK_INT(0, hurt(world->io, &sealed[0]));
	damage_count = damages(world);
	for (unsigned i = 0; i < 40; i++)
		if (marks_tidy(world->rig.store, false, &err) == -EAGAIN)
			CHECK_INT(0, store_seal_all(world->rig.store, 0));
	verify_removed_but(world, 1);
	marks_info(store_marks(world->rig.store), &info);
	CHECK_INT(4, info.pending); /* each may lie in the page that cannot be read, too */
	CHECK_INT(damage_count + told, damages(world));
	ops = sim_ops(world->io);
	for (unsigned i = 0; i < 10; i++)
		CHECK_INT(0, marks_tidy(world->rig.store, false, &err));
	CHECK_INT(ops, sim_ops(world->io));
	world_free(world);
}

static int rot_rows(struct io *io, const struct sealed *sealed)
{
	return sim_rot(io, sealed->path, SEGMENT_HEADER_SIZE + 4, 1);
}

static int block_bad(struct io *io, const struct sealed *sealed)
{
	return sim_bad_block(io, sealed->path, SEGMENT_HEADER_SIZE + 4);
}

static void test_damaged(void)
{
	one_is_damaged("damaged", rot_rows, 1);
	one_is_damaged("bad", block_bad, 0);
}

/* ---- a register that was incomplete for a while */

/* Thing 0 is erased and removed, then sent again and sealed while nobody can know that. Thing 1's day is the same. */
static struct world *incomplete_world(const char *name)
{
	struct world *world = crash_world(check_seed(), name);

	act_do(world, 0, MARK_ERASED);
	act_do(world, 1, MARK_AMENDED);
	tidy(world);
	CHECK_INT(0, rig_close(&world->rig, true));
	CHECK_INT(0, sim_deny(world->io, CHANGES, EACCES));
	world_open(world);
	CHECK(store_register(world->rig.store, NULL) == NULL);
	send_by(world, 0, 2);
	send_by(world, 1, 3);
	CHECK_INT(0, rig_close(&world->rig, true));
	CHECK_INT(0, sim_deny(world->io, CHANGES, 0));
	world_open(world);
	CHECK(store_register(world->rig.store, NULL) != NULL);
	verify(world);
	return world;
}

/* Neither anything pending nor a merge: the day itself remembers. */
static void test_looked_through(void)
{
	struct world *world = incomplete_world("looked");
	struct catalog_day day;
	struct err err;

	CHECK_INT(0, catalog_day(store_catalog(world->rig.store), world->rig.first_day, &day));
	CHECK(day.unjudged);
	for (unsigned i = 0; i < 40 && marks_look(world->rig.store, true, &err) == -EAGAIN; i++)
		CHECK_INT(0, store_seal_all(world->rig.store, 0));
	verify_removed(world);
	verify(world);
	books_hold(world);
	CHECK_INT(0, catalog_day(store_catalog(world->rig.store), world->rig.first_day, &day));
	CHECK(!day.unjudged);
	world_free(world);
}

static void test_merged_away(void)
{
	struct world *world = incomplete_world("merged");

	CHECK(tidier_round(world->rig.store) >= 0);
	verify_removed(world);
	verify(world);
	books_hold(world);
	world_free(world);
}

/* ---- the set alone */

static void test_set(void)
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
		{"the set knows its reads and no other", test_set},
		{"random acts against a model", test_random},
		{"a power cut at every write", test_crash_points},
		{"a failure of every write", test_failures},
		{"a late removal is an alarm while it lasts", test_late},
		{"marks die with their day", test_day_dies},
		{"marks of a day whose purge was cut short", test_day_died_before},
		{"the key of identities is lost", test_identity_lost},
		{"the key of a pending mark is lost", test_work_lost},
		{"keys go with what they sealed", test_keys_go},
		{"hits of a corrected read", test_hits_kept},
		{"searches meanwhile", test_search_meanwhile},
		{"a damaged segment holds up no other", test_damaged},
		{"what was sealed without the register goes with a merge", test_merged_away},
		{"what was sealed without the register is looked through", test_looked_through},
		{NULL, NULL},
	};

	return check_main(argc, argv, "marks", tests);
}
