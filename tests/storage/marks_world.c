#include "tests/storage/marks_world.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "appliance/base/bytes.h"
#include "appliance/base/glob.h"
#include "appliance/base/log.h"
#include "storage/io.h"
#include "storage/journal.h"
#include "storage/keyring.h"
#include "storage/lane.h"
#include "storage/marks.h"
#include "storage/marks_tidy.h"
#include "storage/search.h"
#include "storage/segment_read.h"
#include "storage/view.h"
#include "tests/check.h"
#include "tests/storage/sim_io.h"
#include "tests/storage/store_rig.h"

static void text_put(uint8_t text[READ_TEXT_SIZE], const char *from)
{
	memset(text, 0, READ_TEXT_SIZE);
	memcpy(text, from, strlen(from));
}

static void things_make(struct world *world)
{
	for (unsigned i = 0; i < WORLD_THINGS; i++) {
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

void world_open(struct world *world)
{
	struct key_change make = {.id = WORLD_IDENTITY};
	uint8_t key[KEY_SIZE];
	int result = rig_open(&world->rig);

	if (result < 0)
		check_note("open: %s", world->rig.err.text);
	CHECK_INT(0, result);
	if (keyring_get(store_keyring(world->rig.store), WORLD_IDENTITY, key) == -ENOENT)
		CHECK_INT(0, keyring_change(store_keyring(world->rig.store), &make, 1));
}

struct world *world_new(uint64_t seed, const char *name)
{
	struct world *world = calloc(1, sizeof(*world));
	char db[600];

	CHECK(world != NULL);
	log_level_set(LOG_LEVEL_ERROR);
	snprintf(db, sizeof(db), "%s/%s", check_memory_directory(), name);
	world->io = sim_new(seed);
	world->prng.state = seed;
	rig_init(&world->rig, world->io, WORLD_DIRECTORY, db, seed);
	for (unsigned feed = 0; feed <= RIG_FEEDS; feed++) {
		world->next[feed] = 1;
		world->epochs[feed] = 1;
	}
	things_make(world);
	world_open(world);
	return world;
}

void world_free(struct world *world)
{
	if (world->rig.store != NULL)
		(void)rig_close(&world->rig, false);
	sim_free(world->io);
	free(world);
}

void world_send(struct world *world, unsigned index, uint32_t feed)
{
	struct lane_window *window;
	struct read read = world->things[index].original;
	struct hit hit = {.list = WORLD_LIST, .version = 2, .entry = index, .kind = HIT_EXACT, .priority = 9};
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
			   &hit, index % 2) != 0)
		return;
	world->next[feed]++;
	rig_settle(&world->rig, 50);
	world->things[index].sent = true;
}

void world_new_epochs(struct world *world)
{
	for (unsigned feed = 1; feed <= RIG_FEEDS; feed++) {
		world->epochs[feed]++;
		world->next[feed] = 1;
	}
}

static int found_row(void *context, const struct read *read, const char public_id[SEARCH_PUBLIC_ID_SIZE])
{
	struct found *found = context;

	CHECK(found->count < 8 * WORLD_THINGS);
	found->reads[found->count] = *read;
	memcpy(found->ids[found->count++], public_id, SEARCH_PUBLIC_ID_SIZE);
	return 0;
}

struct found *world_look(struct world *world, const char *pattern, bool restricted)
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

bool world_same_sighting(const struct read *row, const struct read *wanted)
{
	struct read copy = *row;

	copy.feed = wanted->feed;
	copy.epoch = wanted->epoch;
	copy.receipt_us = wanted->receipt_us;
	return memcmp(&copy, wanted, sizeof(copy)) == 0;
}

/* The thing that a row shows; WORLD_THINGS none. */
static unsigned thing_of(const struct world *world, const struct read *row)
{
	for (unsigned i = 0; i < WORLD_THINGS; i++)
		if (world->things[i].sent && !world->things[i].erased &&
		    world_same_sighting(row, &world->things[i].now))
			return i;
	return WORLD_THINGS;
}

static void verify_answer(struct world *world, bool restricted)
{
	struct found *found = world_look(world, NULL, restricted);
	unsigned seen[WORLD_THINGS + 1] = {0};

	for (size_t i = 0; i < found->count; i++)
		seen[thing_of(world, &found->reads[i])]++;
	if (seen[WORLD_THINGS] > 0)
		check_note("%u rows that must not be there", seen[WORLD_THINGS]);
	CHECK_INT(0, seen[WORLD_THINGS]);
	for (unsigned i = 0; i < WORLD_THINGS; i++) {
		const struct thing *thing = &world->things[i];
		bool shown = thing->sent && !thing->erased && (restricted || !thing->restricted);

		if (seen[i] != shown)
			check_note("thing %u (%.16s) is found %u times", i, thing->now.text, seen[i]);
		CHECK_INT(shown, seen[i]);
	}
	free(found);
}

void world_verify(struct world *world)
{
	verify_answer(world, false);
	verify_answer(world, true);
}

void world_verify_vrm(struct world *world, unsigned index)
{
	const struct thing *thing = &world->things[index];
	char pattern[READ_TEXT_SIZE + 1] = {0};
	struct found *found;
	unsigned count = 0;

	memcpy(pattern, thing->now.key, READ_TEXT_SIZE);
	found = world_look(world, pattern, false);
	for (size_t i = 0; i < found->count; i++)
		count += world_same_sighting(&found->reads[i], &thing->now);
	CHECK_INT(thing->sent && !thing->erased && !thing->restricted, count);
	free(found);
}

void world_verify_removed_but(struct world *world, unsigned unreadable)
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

void world_verify_removed(struct world *world)
{
	world_verify_removed_but(world, 0);
}

bool world_row(struct world *world, unsigned index, struct read *ret_read, uint8_t ret_id[MARK_ID_SIZE])
{
	struct found *found = world_look(world, NULL, true);
	bool there = false;

	for (size_t i = 0; i < found->count && !there; i++) {
		if (!world_same_sighting(&found->reads[i], &world->things[index].now))
			continue;
		*ret_read = found->reads[i];
		CHECK_INT(0, hex_decode(found->ids[i], ret_id, MARK_ID_SIZE));
		there = true;
	}
	free(found);
	return there;
}

bool world_act_init(struct world *world, unsigned index, enum mark_kind kind, struct act *act)
{
	char text[READ_TEXT_SIZE];

	*act = (struct act){.order = {.kind = kind}};
	if (!world_row(world, index, &act->read, act->order.public_id))
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
	}
	return true;
}

void world_act_note(struct world *world, unsigned index, const struct act *act)
{
	struct thing *thing = &world->things[index];

	if (act->order.kind == MARK_ERASED)
		thing->erased = true;
	else if (act->order.kind == MARK_RESTRICTED)
		thing->restricted = true;
	else
		marks_correct(&thing->now, act->text, act->text, &thing->now);
}

void world_act(struct world *world, unsigned index, enum mark_kind kind)
{
	struct thing *thing = &world->things[index];
	struct act act;
	struct err err;
	int result;

	if (!thing->sent || thing->erased || !world_act_init(world, index, kind, &act))
		return;
	result = marks_make(store_marks(world->rig.store), &act.order, &err);
	if (result < 0)
		check_note("mark: %s", err.text);
	if (thing->restricted && kind != MARK_ERASED) {
		CHECK_INT(kind == MARK_AMENDED ? MARKS_RESTRICTED : MARKS_ALREADY, result);
		return;
	}
	CHECK_INT(0, result);
	world_act_note(world, index, &act);
	CHECK(marks_made(store_marks(world->rig.store), read_day(act.read.capture_us), act.order.public_id, kind));
	/* Nobody takes the id over. */
	if (kind != MARK_RESTRICTED) {
		struct found *found = world_look(world, NULL, true);

		for (size_t i = 0; i < found->count; i++) {
			uint8_t id[MARK_ID_SIZE];

			CHECK_INT(0, hex_decode(found->ids[i], id, sizeof(id)));
			CHECK(memcmp(id, act.order.public_id, sizeof(id)) != 0);
		}
		free(found);
	}
}

void world_lift(struct world *world, unsigned index)
{
	struct thing *thing = &world->things[index];
	uint8_t id[MARK_ID_SIZE];
	struct read read;
	struct err err;

	if (!thing->sent || thing->erased || !world_row(world, index, &read, id))
		return;
	CHECK_INT(thing->restricted ? 0 : MARKS_ALREADY, marks_lift(store_marks(world->rig.store), &read, 0, &err));
	thing->restricted = false;
}

void world_seal(struct world *world)
{
	CHECK_INT(0, store_seal_all(world->rig.store, INT64_C(5000000000)));
}

void world_tidy(struct world *world)
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
	world_verify_removed(world);
}

void world_books_hold(struct world *world)
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

struct world *world_half_sealed(uint64_t seed, const char *name)
{
	struct world *world = world_new(seed, name);

	for (unsigned i = 0; i < WORLD_THINGS; i++) {
		world_send(world, i, 1);
		if (i == WORLD_THINGS / 2)
			world_seal(world);
	}
	return world;
}
