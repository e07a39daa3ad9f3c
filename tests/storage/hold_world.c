#include "tests/storage/hold_world.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LOG_MODULE "test"
#include "appliance/base/bytes.h"
#include "appliance/base/clock.h"
#include "appliance/base/glob.h"
#include "appliance/base/log.h"
#include "storage/cases.h"
#include "storage/hold_follow.h"
#include "storage/io.h"
#include "storage/journal.h"
#include "storage/marks.h"
#include "storage/purge.h"
#include "storage/row.h"
#include "storage/store_internal.h"

struct world world;
static struct search_result result;

int world_main(int argc, char **argv, const char *suite, const struct check_test *tests)
{
	log_level_set(getenv("GANTRY_TEST_LOG") != NULL ? LOG_LEVEL_DEBUG : LOG_LEVEL_ERROR);
	/* LMDB's flushes are not what is tested here, and there are thousands. */
	if (access("/dev/shm", W_OK) == 0)
		(void)setenv("TMPDIR", "/dev/shm", 0);
	return check_main(argc, argv, suite, tests);
}

/* ---- what was found */

struct ids *ids_new(void)
{
	struct ids *ids = calloc(1, sizeof(*ids));

	CHECK(ids != NULL);
	return ids;
}

bool ids_same(const struct ids *a, const struct ids *b)
{
	return a->count == b->count && memcmp(a->id, b->id, a->count * sizeof(a->id[0])) == 0;
}

static int id_take(void *context, const struct read *read, const char public_id[SEARCH_PUBLIC_ID_SIZE])
{
	struct ids *ids = context;

	CHECK(ids->count < IDS_MAX);
	ids->rows[ids->count] = *read;
	memcpy(ids->id[ids->count++], public_id, SEARCH_PUBLIC_ID_SIZE);
	return 0;
}

static int id_order(const void *a, const void *b)
{
	return strcmp(a, b);
}

static void search(struct ids *ids, const struct search_query *query)
{
	ids->count = 0;
	CHECK_INT(0, search_run(world.rig->store->views, query, &world.rig->err, id_take, ids, &result));
	CHECK(!result.incomplete);
}

void world_ask(struct ids *ids, uint32_t number, unsigned day, const char *pattern, const uint32_t *camera)
{
	struct search_query query = {.case_number = number,
				     .from_us = (int64_t)(world.rig->first_day + (int32_t)day) * DAY_US,
				     .cameras = camera,
				     .camera_count = camera != NULL,
				     .restricted = world.restricted,
				     .limit = SEARCH_LIMIT_MAX};
	struct glob glob;

	query.to_us = query.from_us + DAY_US;
	if (pattern != NULL) {
		CHECK_INT(0, glob_compile(pattern, strlen(pattern), &glob));
		query.key_glob = &glob;
	}
	search(ids, &query);
	qsort(ids->id, ids->count, sizeof(ids->id[0]), id_order);
}

static uint64_t count_rows(uint32_t number, unsigned day, const char *pattern)
{
	struct ids *ids = ids_new();
	uint64_t count;

	world_ask(ids, number, day, pattern, NULL);
	count = ids->count;
	free(ids);
	return count;
}

uint64_t world_copied(uint32_t number, const char *pattern)
{
	return count_rows(number, 0, pattern);
}

uint64_t world_case_rows(uint32_t number, unsigned day)
{
	return count_rows(number, day, NULL);
}

struct reg_hold_read world_name(const struct read *read)
{
	struct reg_hold_read name = {.camera = read->camera, .capture_us = read->capture_us};
	struct search_query query = {.from_us = read->capture_us,
				     .to_us = read->capture_us + 1,
				     .cameras = &read->camera,
				     .camera_count = 1,
				     .restricted = true,
				     .limit = SEARCH_LIMIT_MAX};
	struct ids *ids = ids_new();
	size_t at = 0;

	search(ids, &query);
	while (at < ids->count && row_compare(&ids->rows[at], read) != 0)
		at++;
	CHECK(at < ids->count);
	CHECK_INT(0, hex_decode(ids->id[at], name.public_id, sizeof(name.public_id)));
	free(ids);
	return name;
}

void world_check_held(const struct ids *expected, uint32_t number, uint32_t empty)
{
	struct ids *found = ids_new();

	world_ask(found, number, 0, NULL, NULL);
	CHECK(ids_same(expected, found));
	world_ask(found, 0, 0, NULL, NULL);
	CHECK_INT(0, found->count);
	CHECK_INT(1, world_case_keys(number));
	CHECK_INT(1, world_case_files(number));
	CHECK_INT(0, world_case_keys(empty));
	CHECK_INT(0, world_case_files(empty));
	free(found);
}

/* ---- the store */

void world_open(void)
{
	struct key_change identity = {.id = {.day = KEY_DAY_NONE, .kind = KEY_IDENTITY}};
	int opened = rig_open(world.rig);

	if (opened != 0)
		check_note("%s", world.rig->err.text);
	CHECK_INT(0, opened);
	opened = keyring_change(store_keyring(world.rig->store), &identity, 1);
	CHECK(opened == 0 || opened == -EEXIST);
}

void world_reopen(void)
{
	CHECK_INT(0, rig_close(world.rig, true));
	world_open();
}

void world_begin(uint64_t seed)
{
	static unsigned number;
	char path[600];

	world.restricted = false;
	world.io = sim_new(seed);
	world.rig = malloc(sizeof(*world.rig));
	CHECK(world.rig != NULL);
	(void)snprintf(path, sizeof(path), "%s/db%u", check_directory(), number++);
	rig_init(world.rig, world.io, WORLD_DIRECTORY, path, check_seed()); /* the same reads, on another disk */
	world_open();
}

void world_end(void)
{
	if (world.rig->store != NULL)
		(void)rig_close(world.rig, false);
	sim_free(world.io);
	free(world.rig);
	world.rig = NULL;
}

void world_lose_catalog(void)
{
	char path[700];

	(void)snprintf(path, sizeof(path), "%s/catalog/data.mdb", world.rig->db_directory);
	CHECK_INT(0, unlink(path));
}

void world_send(unsigned runs)
{
	for (unsigned i = 0; i < runs; i++) {
		(void)rig_send(world.rig);
		if (i % 4 == 3)
			rig_settle(world.rig, 2);
	}
	rig_settle(world.rig, 1000);
}

static void seal_all(void)
{
	CHECK_INT(0, store_seal_all(world.rig->store, INT64_C(5000000000)));
}

void world_fill(unsigned runs)
{
	for (int i = 0; i < 2; i++) {
		world_send(runs);
		seal_all();
	}
	world_send(runs / 2);
}

void world_fill_little(bool unsealed)
{
	world_send(16);
	seal_all();
	if (unsealed)
		world_send(8);
}

void world_send_reads(struct read *reads, size_t count, int64_t since_us, const struct hit *hits, size_t hit_count)
{
	struct run run = {.first = 1, .feed = reads[0].feed, .epoch = reads[0].epoch, .count = (uint16_t)count};
	struct lane_window *window;

	for (size_t i = 0; i < count; i++) {
		reads[i].capture_us = (int64_t)world.rig->first_day * DAY_US + since_us;
		reads[i].receipt_us = reads[i].capture_us + 5;
	}
	CHECK_INT(0, store_lane(world.rig->store, run.feed, run.epoch, 0, &window));
	CHECK_INT(0, journal_append(store_journal(world.rig->store, 1), window, &run, reads, hits, hit_count));
	rig_settle(world.rig, 1000);
}

/* ---- holds and marks */

int world_try_hold_as(uint32_t who_uid, const char *reference, const struct hold_selector *selector,
		      struct hold_added *added)
{
	struct reg_hold hold = {.hold_class = REG_HOLD_CPIA, .who_uid = who_uid};

	(void)snprintf(hold.reason, sizeof(hold.reason), "the reason of %u", who_uid);
	hold.review_day = read_day(clock_wall_us()) + 100;
	(void)snprintf(hold.reference, sizeof(hold.reference), "%s", reference);
	return hold_add(world.rig->store, &hold, selector, &world.rig->err, added);
}

int world_try_hold(const char *reference, const struct hold_selector *selector, struct hold_added *added)
{
	return world_try_hold_as(WORLD_HOLDER, reference, selector, added);
}

uint32_t world_hold(const char *reference, const char *pattern)
{
	struct hold_selector selector = {.pattern = pattern, .from_us = INT64_MIN, .to_us = INT64_MAX};
	struct hold_added added;

	CHECK_INT(0, world_try_hold(reference, &selector, &added));
	CHECK_INT(0, added.gone_count);
	return added.number;
}

uint32_t world_with_hold(const char *reference, const char *pattern)
{
	world_begin(check_seed());
	world_fill(20);
	return world_hold(reference, pattern);
}

void world_mark(enum mark_kind kind, const struct ids *from, size_t at, const char *vrm)
{
	struct mark_order order = {.kind = kind, .read = &from->rows[at], .who_uid = WORLD_MARKER};
	struct reg_hold_read name = world_name(order.read);
	uint8_t text[READ_TEXT_SIZE] = {0};

	memcpy(order.public_id, name.public_id, sizeof(order.public_id));
	if (vrm != NULL)
		memcpy(text, vrm, strlen(vrm));
	order.text = order.key = vrm != NULL ? text : NULL;
	if (kind == MARK_AMENDED) {
		struct reg_hold *holds = NULL;
		struct read corrected;
		size_t count;

		marks_correct(order.read, text, text, &corrected);
		CHECK_INT(0, hold_follow(world.rig->store, order.read, order.public_id, &corrected, WORLD_MARKER,
					 &world.rig->err, &holds, &count));
		free(holds);
	}
	CHECK_INT(0, marks_make(world.rig->store->marks, &order, &world.rig->err));
}

static int plan_see(void *context, const struct reg_hold *hold, uint64_t reads)
{
	struct world_plan *plan = context;

	CHECK(hold->reference[0] != '\0');
	plan->reads += reads;
	plan->cases++;
	return 0;
}

struct world_plan world_plan(void)
{
	struct world_plan plan = {0, 0};

	CHECK_INT(0, hold_plan(world.rig->store, world.rig->first_day, plan_see, &plan));
	return plan;
}

size_t world_planned(void)
{
	struct purge_day *days;
	size_t count;

	CHECK_INT(0, purge_plan(world.rig->store, world.rig->first_day + 1, &days, &count));
	CHECK(count <= 1);
	CHECK(count == 0 || days[0].day == world.rig->first_day);
	free(days);
	return count;
}

/* ---- keys and files */

static int count_key(void *context, struct key_id id)
{
	struct key_id *wanted = context;

	wanted->id += wanted->day == id.day;
	return 0;
}

static unsigned count_keys(enum key_kind kind, int32_t day)
{
	struct key_id count = {.day = day};

	CHECK_INT(0, keyring_each(store_keyring(world.rig->store), kind, count_key, &count));
	return (unsigned)count.id;
}

unsigned world_case_keys(uint32_t number)
{
	return count_keys(KEY_CASE, (int32_t)number);
}

unsigned world_day_keys(enum key_kind kind)
{
	return count_keys(kind, world.rig->first_day);
}

static int count_name(void *context, const char *name)
{
	(void)name;
	++*(unsigned *)context;
	return 0;
}

unsigned world_case_files(uint32_t number)
{
	char directory[CASE_DIRECTORY_SIZE];
	unsigned count = 0;
	int listed = world.io->ops->list(world.io, case_directory(WORLD_DIRECTORY "/cases", number, directory),
					 count_name, &count);

	CHECK(listed == 0 || listed == -ENOENT);
	return count;
}

size_t world_segments(struct catalog_segment **ret_segments)
{
	size_t count;

	CHECK_INT(0, catalog_segments(world.rig->store->catalog, world.rig->first_day, world.rig->first_day,
				      ret_segments, &count));
	return count;
}

const char *world_segment_path(const struct catalog_segment *segment)
{
	static char path[256];
	char name[SEGMENT_NAME_SIZE];

	(void)snprintf(path, sizeof(path), WORLD_DIRECTORY "/segments/%s",
		       segment_name(world.rig->first_day, segment->id, ".seg", name));
	return path;
}

/* ---- faults */

struct world_fault world_fault_set(uint64_t nth, bool cut)
{
	struct world_fault fault = {.ops = sim_ops(world.io), .nth = nth, .cut = cut};

	if (cut)
		sim_cut_at(world.io, fault.ops + nth);
	else
		sim_fail(world.io, SIM_ALL, nth, 1, EIO);
	return fault;
}

bool world_fault_clear(const struct world_fault *fault)
{
	bool met = sim_ops(world.io) - fault->ops >= fault->nth;

	sim_fail(world.io, SIM_ALL, 0, 0, 0);
	return met;
}

void world_crash(bool cut)
{
	(void)rig_close(world.rig, false);
	if (cut)
		sim_crash(world.io);
	sim_cut_at(world.io, 0);
}

void world_sweep(bool (*run)(uint64_t nth, int way), int way, unsigned stride, uint64_t least)
{
	uint64_t nth = 1 + check_seed() % stride;

	while (run(nth, way))
		nth += stride;
	CHECK(nth > least);
}
