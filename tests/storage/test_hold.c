/* Holds against purges: on the simulated disk, cut and failing at every operation, raced by threads. */
#include "storage/hold.h"

#include <errno.h>
#include <pthread.h>
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
#include "storage/cases_edit.h"
#include "storage/catalog.h"
#include "storage/hold_follow.h"
#include "storage/io.h"
#include "storage/journal.h"
#include "storage/keyring.h"
#include "storage/marks.h"
#include "storage/purge.h"
#include "storage/purge_file.h"
#include "storage/search.h"
#include "storage/segment_read.h"
#include "storage/store_internal.h"
#include "storage/view.h"
#include "tests/check.h"
#include "tests/storage/sim_io.h"
#include "tests/storage/store_rig.h"

#define SIM_DIRECTORY "/gantry"
#define ROWS_MAX 4096

/* Under a sanitizer, which takes its time, every third operation; which third, the seed says. */
#ifdef __SANITIZE_ADDRESS__
#define STRIDE 3
#else
#define STRIDE 1
#endif

/* Public ids of an answer, sorted: what was found, to be compared with what should be. */
struct ids {
	char id[ROWS_MAX][SEARCH_PUBLIC_ID_SIZE];
	struct read rows[ROWS_MAX];
	size_t count;
};

static struct rig *rig;
static struct io *io;
static struct search_result result;
static bool restricted; /* ask for these too */

static int id_take(void *context, const struct read *read, const char public_id[SEARCH_PUBLIC_ID_SIZE])
{
	struct ids *ids = context;

	CHECK(ids->count < ROWS_MAX);
	ids->rows[ids->count] = *read;
	memcpy(ids->id[ids->count++], public_id, SEARCH_PUBLIC_ID_SIZE);
	return 0;
}

static int id_order(const void *a, const void *b)
{
	return strcmp(a, b);
}

/* Rows of one day that match; of a case's copies when `number` is not 0. */
static void ask(struct ids *ids, uint32_t number, unsigned day, const char *pattern, const uint32_t *camera)
{
	struct search_query query = {.case_number = number,
				     .from_us = (int64_t)(rig->first_day + (int32_t)day) * DAY_US,
				     .cameras = camera,
				     .camera_count = camera != NULL,
				     .restricted = restricted,
				     .limit = SEARCH_LIMIT_MAX};
	struct glob glob;

	query.to_us = query.from_us + DAY_US;
	if (pattern != NULL) {
		CHECK_INT(0, glob_compile(pattern, strlen(pattern), &glob));
		query.key_glob = &glob;
	}
	ids->count = 0;
	CHECK_INT(0, search_run(rig->store->views, &query, &rig->err, id_take, ids, &result));
	CHECK(!result.incomplete);
	qsort(ids->id, ids->count, sizeof(ids->id[0]), id_order);
}

static bool same(const struct ids *a, const struct ids *b)
{
	return a->count == b->count && memcmp(a->id, b->id, a->count * sizeof(a->id[0])) == 0;
}

static struct ids *ids_new(void)
{
	struct ids *ids = calloc(1, sizeof(*ids));

	CHECK(ids != NULL);
	return ids;
}

static void open_store(void)
{
	struct key_change identity = {.id = {.day = KEY_DAY_NONE, .kind = KEY_IDENTITY}};
	int opened = rig_open(rig);

	if (opened != 0)
		check_note("%s", rig->err.text);
	CHECK_INT(0, opened);
	opened = keyring_change(store_keyring(rig->store), &identity, 1);
	CHECK(opened == 0 || opened == -EEXIST);
}

static void world_begin(uint64_t seed)
{
	static unsigned number;
	char path[600];

	io = sim_new(seed);
	rig = malloc(sizeof(*rig));
	CHECK(rig != NULL);
	(void)snprintf(path, sizeof(path), "%s/db%u", check_directory(), number++);
	rig_init(rig, io, SIM_DIRECTORY, path, check_seed()); /* the same reads, on another disk */
	open_store();
}

static void world_end(void)
{
	if (rig->store != NULL)
		(void)rig_close(rig, false);
	sim_free(io);
	free(rig);
	rig = NULL;
}

static void send_some(unsigned runs)
{
	for (unsigned i = 0; i < runs; i++) {
		(void)rig_send(rig);
		if (i % 4 == 3)
			rig_settle(rig, 2);
	}
	rig_settle(rig, 1000);
}

/* Two sealed segments a day and unsealed rows beside them. */
static void fill(unsigned runs)
{
	for (int i = 0; i < 2; i++) {
		send_some(runs);
		CHECK_INT(0, store_seal_all(rig->store, INT64_C(5000000000)));
	}
	send_some(runs / 2);
}

/* For sweeps: as little as shows the fault. Rows that are not sealed yet make the purge's own sealing part of it. */
static void fill_little(bool unsealed)
{
	send_some(16);
	CHECK_INT(0, store_seal_all(rig->store, INT64_C(5000000000)));
	if (unsealed)
		send_some(8);
}

static int try_hold(const char *reference, const struct hold_selector *selector, struct hold_added *added)
{
	struct reg_hold hold = {.hold_class = REG_HOLD_CPIA, .who_uid = 7, .reason = "the reason of the test"};

	hold.review_day = read_day(clock_wall_us()) + 100;
	(void)snprintf(hold.reference, sizeof(hold.reference), "%s", reference);
	return hold_add(rig->store, &hold, selector, &rig->err, added);
}

static uint32_t hold_pattern(const char *reference, const char *pattern)
{
	struct hold_selector selector = {.pattern = pattern, .from_us = INT64_MIN, .to_us = INT64_MAX};
	struct hold_added added;

	CHECK_INT(0, try_hold(reference, &selector, &added));
	CHECK_INT(0, added.gone_count);
	return added.number;
}

static int count_key(void *context, struct key_id id)
{
	struct key_id *wanted = context;

	wanted->id += wanted->day == id.day;
	return 0;
}

static unsigned case_keys(uint32_t number)
{
	struct key_id count = {.day = (int32_t)number};

	CHECK_INT(0, keyring_each(store_keyring(rig->store), KEY_CASE, count_key, &count));
	return (unsigned)count.id;
}

static int count_name(void *context, const char *name)
{
	(void)name;
	++*(unsigned *)context;
	return 0;
}

static unsigned case_files(uint32_t number)
{
	char directory[CASE_DIRECTORY_SIZE];
	unsigned count = 0;
	int listed = io->ops->list(io, case_directory(SIM_DIRECTORY "/cases", number, directory), count_name, &count);

	CHECK(listed == 0 || listed == -ENOENT);
	return count;
}

static uint64_t case_rows(uint32_t number, unsigned day)
{
	struct ids *ids = ids_new();
	uint64_t count;

	ask(ids, number, day, NULL, NULL);
	count = ids->count;
	free(ids);
	return count;
}

static void held_rows_outlive_their_day(void)
{
	struct ids *expected = ids_new();
	struct ids *more = ids_new();
	struct ids *found = ids_new();
	struct reg_hold_read reads[40];
	struct hold_selector selector = {.from_us = INT64_MIN, .to_us = INT64_MAX, .reads = reads, .read_count = 40};
	struct hold_selector corner = {.pattern = "2L*", .camera_count = 1};
	struct hold_release release;
	struct hold_added added;
	uint32_t camera = 17;
	uint32_t one, two, three;

	world_begin(check_seed());
	fill(60);
	one = hold_pattern("CASE/1", "1L?S1*");
	ask(expected, 0, 0, NULL, NULL);
	CHECK(expected->count > 80);
	for (unsigned i = 0; i < 40; i++) {
		const struct read *row = &expected->rows[2 * i];
		struct search_query query = {.from_us = row->capture_us,
					     .to_us = row->capture_us + 1,
					     .cameras = &row->camera,
					     .camera_count = 1,
					     .limit = 1};

		more->count = 0;
		CHECK_INT(0, search_run(rig->store->views, &query, &rig->err, id_take, more, &result));
		reads[i] = (struct reg_hold_read){.camera = row->camera, .capture_us = row->capture_us};
		CHECK_INT(0, hex_decode(more->id[0], reads[i].public_id, sizeof(reads[i].public_id)));
	}
	CHECK_INT(0, try_hold("CASE/2", &selector, &added));
	two = added.number;
	/* A VRM by a camera in a window of one day: and the other days go whole. */
	corner.cameras = &camera;
	corner.from_us = (int64_t)rig->first_day * DAY_US;
	corner.to_us = corner.from_us + DAY_US;
	CHECK_INT(0, try_hold("CASE/3", &corner, &added));
	three = added.number;
	CHECK(one != two && two != three);

	ask(expected, 0, 0, "1L?S1*", NULL);
	ask(more, 0, 0, "2L*", &camera);
	CHECK(expected->count > 0);
	CHECK_INT(0, case_rows(one, 0)); /* while the day lives it holds the rows */
	CHECK_INT(0, rig_purge(rig, 0));
	CHECK_INT(0, rig_purge(rig, 1));
	ask(found, 0, 0, NULL, NULL);
	CHECK_INT(0, found->count); /* without the case: nothing */
	ask(found, one, 0, NULL, NULL);
	CHECK(same(expected, found));
	ask(found, two, 0, NULL, NULL);
	CHECK_INT(40, found->count);
	ask(found, three, 0, NULL, NULL);
	CHECK(same(more, found));
	CHECK_INT(0, case_rows(three, 1));
	CHECK_INT(0, case_rows(two, 1));
	CHECK_INT(more->count > 0, case_keys(three));
	CHECK_INT(2, case_keys(one));
	CHECK_INT(2, case_files(one));
	ask(found, 0, 2, "1L?S1*", NULL); /* still an ordinary read of an ordinary day */
	CHECK(found->count > 0);
	CHECK_INT(0, case_rows(one, 2));
	/* A restart changes nothing. */
	CHECK_INT(0, rig_close(rig, true));
	open_store();
	ask(found, one, 0, NULL, NULL);
	CHECK(same(expected, found));
	ask(found, two, 0, NULL, NULL);
	CHECK_INT(40, found->count);
	/* The release takes what is over, and nothing else. */
	CHECK_INT(-EPERM, hold_release(rig->store, "CASE/1", 7, "trial over", NULL, NULL, &rig->err, &release));
	CHECK_INT(2, case_keys(one));
	CHECK_INT(0, hold_release(rig->store, "CASE/1", 8, "trial over", NULL, NULL, &rig->err, &release));
	CHECK_INT(one, release.number);
	CHECK_INT(2, release.segments);
	CHECK(release.reads >= expected->count);
	CHECK_INT(0, case_keys(one));
	CHECK_INT(0, case_files(one));
	CHECK_INT(0, case_rows(one, 0));
	CHECK_INT(40, case_rows(two, 0));
	ask(found, 0, 2, "1L?S1*", NULL);
	CHECK(found->count > 0);
	CHECK_INT(-ENOENT, hold_release(rig->store, "CASE/1", 7, "again", NULL, NULL, &rig->err, &release));
	CHECK_INT(0, rig_purge(rig, 2));
	CHECK_INT(0, case_rows(one, 2));
	free(expected);
	free(more);
	free(found);
	world_end();
}

static int hit_see(void *context, const struct hit *hit)
{
	struct hit *hits = context;

	CHECK(hits[0].list < 3);
	hits[++hits[0].list] = *hit;
	return 0;
}

/* A held read keeps the alarms that it raised. */
static void hits_stay_with_held_reads(void)
{
	struct hit hits[] = {{.row = 0, .list = 5, .version = 2, .entry = 11}, {.row = 1, .list = 6, .entry = 3}};
	struct hit found[5] = {{.list = 0}};
	struct read reads[2] = {{.camera = 3, .feed = 1, .epoch = 1, .key = "AB12CDE", .text = "AB12 CDE"},
				{.camera = 3, .feed = 1, .epoch = 1, .key = "ZZ99ZZZ", .text = "ZZ99 ZZZ"}};
	struct run run = {.first = 1, .feed = 1, .epoch = 1, .count = 2};
	struct catalog_segment *segments;
	struct segment_scratch scratch = {0};
	struct lane_window *window;
	struct segment *segment;
	uint32_t number;
	size_t count;

	world_begin(check_seed());
	reads[0].capture_us = reads[1].capture_us = (int64_t)rig->first_day * DAY_US + 1234567;
	reads[0].receipt_us = reads[1].receipt_us = reads[0].capture_us + 5;
	CHECK_INT(0, store_lane(rig->store, 1, 1, 0, &window));
	CHECK_INT(0, journal_append(store_journal(rig->store, 1), window, &run, reads, hits, 2));
	rig_settle(rig, 1000);
	number = hold_pattern("HITS", "ZZ*");
	CHECK_INT(0, rig_purge(rig, 0));
	CHECK_INT(0, catalog_case_segments(rig->store->catalog, number, INT32_MIN, INT32_MAX, &segments, &count));
	CHECK_INT(1, count);
	CHECK_INT(1, segments[0].row_count);
	CHECK_INT(0, view_segment_get(rig->store->views, &segments[0], &rig->err, &segment));
	CHECK_INT(0, segment_each_hit(segment, &scratch, &rig->err, hit_see, found));
	CHECK_INT(1, found[0].list);
	CHECK_INT(6, found[1].list);
	CHECK_INT(3, found[1].entry);
	CHECK_INT(0, found[1].row);
	segment_scratch_fini(&scratch);
	view_segment_put(rig->store->views, segment);
	free(segments);
	world_end();
}

static void lose_catalog(void)
{
	char path[700];

	(void)snprintf(path, sizeof(path), "%s/catalog/data.mdb", rig->db_directory);
	CHECK_INT(0, unlink(path));
}

static void mark(enum mark_kind kind, const struct ids *from, size_t at, const char *vrm)
{
	static const struct hit no_hits[1];
	struct mark_order order = {.kind = kind, .read = &from->rows[at], .hits = no_hits, .who_uid = 7};
	uint8_t text[READ_TEXT_SIZE] = {0};
	struct ids *one = ids_new();
	struct search_query query = {.from_us = from->rows[at].capture_us,
				     .to_us = from->rows[at].capture_us + 1,
				     .cameras = &from->rows[at].camera,
				     .camera_count = 1,
				     .limit = 1};

	CHECK_INT(0, search_run(rig->store->views, &query, &rig->err, id_take, one, &result));
	CHECK_INT(0, hex_decode(one->id[0], order.public_id, sizeof(order.public_id)));
	if (vrm != NULL)
		memcpy(text, vrm, strlen(vrm));
	order.text = order.key = vrm != NULL ? text : NULL;
	if (kind == MARK_AMENDED) {
		struct reg_hold *holds = NULL;
		struct read corrected;
		size_t count;

		marks_correct(order.read, text, text, &corrected);
		CHECK_INT(0, hold_follow(rig->store, order.read, order.public_id, &corrected, 7, &rig->err, &holds,
					 &count));
		free(holds);
	}
	CHECK_INT(0, marks_make(rig->store->marks, &order, &rig->err));
	free(one);
}

/* Rows of a VRM that starts so, in a case's copies of the first day. */
static uint64_t copied(uint32_t number, const char *pattern)
{
	struct ids *ids = ids_new();
	uint64_t count;

	ask(ids, number, 0, pattern, NULL);
	count = ids->count;
	free(ids);
	return count;
}

/* What was erased is not held; what was corrected is held as corrected, by its new VRM or by its old id. */
static void marked_reads(void)
{
	struct hold_selector selector = {.from_us = INT64_MIN, .to_us = INT64_MAX, .read_count = 1};
	struct ids *all = ids_new();
	struct ids *one = ids_new();
	struct reg_hold_read held;
	struct hold_added added;
	uint64_t before;
	uint32_t number;

	world_begin(check_seed());
	fill(20);
	number = hold_pattern("VRM", "1L?S*");
	before = copied(0, "1L?S*");
	ask(all, 0, 0, "1L?S*", NULL);
	mark(MARK_ERASED, all, 0, NULL);
	mark(MARK_AMENDED, all, 1, "OUTOFIT"); /* held by criteria that it meets no more */
	ask(all, 0, 0, "OUTOFIT", NULL);
	mark(MARK_AMENDED, all, 0, "FURTHER");
	ask(all, 0, 0, "2L?S*", NULL);
	CHECK(all->count > 3);
	mark(MARK_AMENDED, all, 1, "1L9S9");
	/* Held by its id, then amended to something that no pattern holds. */
	{
		struct search_query query = {.from_us = all->rows[2].capture_us,
					     .to_us = all->rows[2].capture_us + 1,
					     .cameras = &all->rows[2].camera,
					     .camera_count = 1,
					     .limit = 1};

		CHECK_INT(0, search_run(rig->store->views, &query, &rig->err, id_take, one, &result));
	}
	held = (struct reg_hold_read){.camera = all->rows[2].camera, .capture_us = all->rows[2].capture_us};
	CHECK_INT(0, hex_decode(one->id[0], held.public_id, sizeof(held.public_id)));
	selector.reads = &held;
	CHECK_INT(0, try_hold("ID", &selector, &added));
	mark(MARK_AMENDED, all, 2, "CORRECTED");
	CHECK_INT(0, rig_purge(rig, 0));
	CHECK_INT(before - 1, copied(number, "1L?S*")); /* one erased, one amended into it, one out of it */
	CHECK_INT(1, copied(number, "FURTHER"));
	CHECK_INT(1, copied(number, "1L9S9"));
	CHECK_INT(1, copied(added.number, NULL));
	CHECK_INT(1, copied(added.number, "CORRECTED"));
	free(all);
	free(one);
	world_end();
}

static int plan_see(void *context, const struct reg_hold *hold, uint64_t reads)
{
	struct {
		uint64_t reads;
		unsigned cases;
	} *seen = context;

	CHECK(hold->reference[0] != '\0');
	seen->reads += reads;
	seen->cases++;
	return 0;
}

/* The restriction outlives the mark, which dies with the day. */
static void restricted_reads_stay_so(void)
{
	struct {
		uint64_t reads;
		unsigned cases;
	} seen = {0, 0};
	struct ids *all = ids_new();
	uint64_t before;
	uint32_t number;

	world_begin(check_seed());
	fill(20);
	number = hold_pattern("VRM", "1L?S*");
	ask(all, 0, 0, "1L?S*", NULL);
	before = all->count;
	mark(MARK_RESTRICTED, all, 0, NULL);
	mark(MARK_RESTRICTED, all, all->count - 1, NULL);
	CHECK_INT(0, hold_plan(rig->store, rig->first_day, plan_see, &seen));
	CHECK_INT(before, seen.reads);
	CHECK_INT(before - 2, copied(0, "1L?S*"));
	CHECK_INT(0, rig_purge(rig, 0));
	CHECK_INT(before - 2, copied(number, NULL));
	restricted = true;
	CHECK_INT(before, copied(number, NULL));
	restricted = false;
	free(all);
	world_end();
}

static void edit(uint32_t number, enum case_edit_kind kind, const struct read *read, const struct read *corrected)
{
	struct case_edit edit = {.kind = kind, .read = read, .corrected = corrected};
	int done = case_edit(rig->store, number, &edit, &rig->err);

	if (done < 0)
		check_note("%s", rig->err.text);
	CHECK_INT(0, done);
}

/* What only a case has is erased, restricted and amended in its copy, which lies under a new key then. */
static void copies_are_edited(void)
{
	static const uint8_t text[READ_TEXT_SIZE] = "ZZ99ZZZ";
	struct case_edit unknown = {.kind = CASE_EDIT_ERASE};
	struct ids *all = ids_new();
	struct read corrected;
	uint64_t before;
	uint32_t number;

	world_begin(check_seed());
	fill(20);
	number = hold_pattern("VRM", "1L?S*");
	ask(all, 0, 0, "1L?S*", NULL);
	before = all->count;
	CHECK(before > 4);
	unknown.read = &all->rows[0];
	CHECK_INT(1, case_edit(rig->store, number, &unknown, &rig->err)); /* the day lives */
	CHECK_INT(0, rig_purge(rig, 0));
	edit(number, CASE_EDIT_ERASE, &all->rows[0], NULL);
	CHECK_INT(1, case_edit(rig->store, number, &unknown, &rig->err));
	CHECK_INT(before - 1, copied(number, NULL));
	edit(number, CASE_EDIT_RESTRICT, &all->rows[1], NULL);
	CHECK_INT(before - 2, copied(number, NULL));
	marks_correct(&all->rows[2], text, text, &corrected);
	edit(number, CASE_EDIT_AMEND, &all->rows[2], &corrected);
	CHECK_INT(before - 2, copied(number, NULL));
	CHECK_INT(1, copied(number, "ZZ99ZZZ"));
	CHECK_INT(1, case_keys(number));
	CHECK_INT(1, case_files(number));
	CHECK_INT(0, rig_close(rig, true));
	open_store();
	CHECK_INT(before - 2, copied(number, NULL));
	ask(all, number, 0, NULL, NULL);
	restricted = true;
	ask(all, number, 0, NULL, NULL);
	CHECK_INT(before - 1, all->count);
	restricted = false;
	for (size_t i = 0; i < all->count; i++)
		if ((all->rows[i].flags & READ_FLAG_RESTRICTED) != 0)
			edit(number, CASE_EDIT_LIFT, &all->rows[i], NULL);
	CHECK_INT(before - 1, copied(number, NULL));
	for (size_t i = 0; i < all->count; i++) {
		all->rows[i].flags &= (uint16_t)~READ_FLAG_RESTRICTED;
		edit(number, CASE_EDIT_ERASE, &all->rows[i], NULL);
	}
	CHECK_INT(0, case_keys(number));
	CHECK_INT(0, case_files(number));
	free(all);
	world_end();
}

/* One generation is left of an edit that is cut or fails anywhere, the catalog lost or not; asked again, it is done. */
static bool edit_with_fault(uint64_t nth, bool cut, bool lose)
{
	struct case_edit erase = {.kind = CASE_EDIT_ERASE};
	struct ids *all = ids_new();
	uint64_t before, left, ops;
	uint32_t number;
	bool reached;
	int done;

	world_begin(check_seed() + nth);
	fill_little(false);
	/* Of every lane: a little filling may leave one without a read on that day. */
	number = hold_pattern("VRM", "?L*");
	ask(all, 0, 0, "?L*", NULL);
	before = all->count;
	CHECK(before > 1);
	erase.read = &all->rows[0];
	CHECK_INT(0, rig_purge(rig, 0));
	ops = sim_ops(io);
	if (cut)
		sim_cut_at(io, ops + nth);
	else
		sim_fail(io, SIM_ALL, nth, 1, EIO);
	done = case_edit(rig->store, number, &erase, &rig->err);
	reached = sim_ops(io) - ops >= nth;
	sim_fail(io, SIM_ALL, 0, 0, 0);
	(void)rig_close(rig, false);
	if (cut)
		sim_crash(io);
	sim_cut_at(io, 0);
	if (lose)
		lose_catalog();
	open_store();
	left = copied(number, NULL);
	CHECK(left == before - 1 || (left == before && done != 0));
	CHECK_INT(1, case_keys(number));
	CHECK_INT(1, case_files(number));
	done = case_edit(rig->store, number, &erase, &rig->err);
	CHECK_INT(left == before ? 0 : 1, done);
	CHECK_INT(before - 1, copied(number, NULL));
	free(all);
	world_end();
	return reached;
}

static void an_edit_cut_or_failing_anywhere(void)
{
	for (int way = 0; way < 4; way++) {
		uint64_t nth = 1 + check_seed() % STRIDE;

		while (edit_with_fault(nth, way & 1, way & 2))
			nth += STRIDE;
		CHECK(nth > 8);
	}
}

/* The one read of a day is amended before it is ever sealed: no segment takes it, and the day goes all the same. */
static void a_day_of_one_corrected_read(void)
{
	struct read read = {.camera = 3, .feed = 1, .epoch = 1, .key = "AB12CDE", .text = "AB12 CDE"};
	struct run run = {.first = 1, .feed = 1, .epoch = 1, .count = 1};
	struct ids *all = ids_new();
	struct lane_window *window;
	struct purge_day *days;
	uint32_t number;
	size_t count;

	world_begin(check_seed());
	read.capture_us = (int64_t)rig->first_day * DAY_US + 1234567;
	read.receipt_us = read.capture_us + 5;
	CHECK_INT(0, store_lane(rig->store, 1, 1, 0, &window));
	CHECK_INT(0, journal_append(store_journal(rig->store, 1), window, &run, &read, NULL, 0));
	rig_settle(rig, 1000);
	number = hold_pattern("ONE", "ZZ*");
	ask(all, 0, 0, NULL, NULL);
	mark(MARK_AMENDED, all, 0, "ZZ99ZZZ");
	CHECK_INT(0, store_seal_all(rig->store, INT64_C(5000000000)));
	CHECK_INT(0, purge_plan(rig->store, rig->first_day + 1, &days, &count));
	CHECK_INT(1, count);
	free(days);
	CHECK_INT(0, rig_purge(rig, 0));
	CHECK_INT(1, copied(number, "ZZ99ZZZ"));
	CHECK_INT(0, copied(0, NULL));
	CHECK_INT(0, purge_plan(rig->store, rig->first_day + 1, &days, &count));
	CHECK_INT(0, count);
	free(days);
	free(all);
	world_end();
}

static void finish_purge(void)
{
	struct purge_hooks hooks = {.context = NULL};
	struct purge_day *days;
	size_t count;
	int resumed = purge_resume(rig->store, &hooks, &rig->err);

	if (resumed < 0)
		check_note("%s", rig->err.text);
	CHECK(resumed >= 0);
	CHECK_INT(0, purge_resume(rig->store, &hooks, &rig->err));
	if (!keyring_day_destroyed(store_keyring(rig->store), rig->first_day))
		CHECK_INT(0, rig_purge(rig, 0));
	CHECK_INT(0, purge_plan(rig->store, rig->first_day + 1, &days, &count));
	CHECK_INT(0, count);
	free(days);
}

/* Held present exactly once, everything else gone, nothing left lying about. */
static void check_held(const struct ids *expected, uint32_t number, uint32_t empty)
{
	struct ids *found = ids_new();

	ask(found, number, 0, NULL, NULL);
	CHECK(same(expected, found));
	ask(found, 0, 0, NULL, NULL);
	CHECK_INT(0, found->count);
	CHECK_INT(1, case_keys(number));
	CHECK_INT(1, case_files(number));
	CHECK_INT(0, case_keys(empty));
	CHECK_INT(0, case_files(empty));
	free(found);
}

enum fault { FAULT_CUT, FAULT_EIO, FAULT_CATALOG_LOST };

/* True while the fault still lies within the purge. */
static bool purge_with_fault(uint64_t nth, enum fault fault)
{
	struct ids *expected = ids_new();
	uint32_t number;
	uint32_t empty;
	uint64_t ops;
	bool reached;

	world_begin(check_seed() + nth);
	fill_little(fault == FAULT_CUT);
	number = hold_pattern("SWEEP", "?L1S*");
	empty = hold_pattern("EMPTY", "NOBODY");
	ask(expected, 0, 0, "?L1S*", NULL);
	CHECK(expected->count > 0);
	ops = sim_ops(io);
	if (fault == FAULT_EIO)
		sim_fail(io, SIM_ALL, nth, 1, EIO);
	else
		sim_cut_at(io, ops + nth);
	(void)rig_purge(rig, 0);
	reached = sim_ops(io) - ops >= nth;
	sim_fail(io, SIM_ALL, 0, 0, 0);
	if (fault != FAULT_EIO) {
		(void)rig_close(rig, false);
		sim_crash(io);
		sim_cut_at(io, 0);
		if (fault == FAULT_CATALOG_LOST)
			lose_catalog();
		open_store();
	}
	finish_purge();
	check_held(expected, number, empty);
	CHECK_INT(0, rig_close(rig, true));
	open_store();
	check_held(expected, number, empty);
	free(expected);
	world_end();
	return reached;
}

static void cut_at_every_operation(void)
{
	uint64_t nth = 1 + check_seed() % STRIDE;

	while (purge_with_fault(nth, FAULT_CUT))
		nth += STRIDE;
	CHECK(nth > 40);
}

static void every_operation_fails(void)
{
	uint64_t nth = 1 + check_seed() % STRIDE;

	while (purge_with_fault(nth, FAULT_EIO))
		nth += STRIDE;
	CHECK(nth > 40);
}

static void cut_and_the_catalog_lost(void)
{
	uint64_t nth = 1 + check_seed() % 3;

	while (purge_with_fault(nth, FAULT_CATALOG_LOST))
		nth += 3;
	CHECK(nth > 40);
}

static bool release_with_fault(uint64_t nth, bool cut)
{
	struct hold_release release;
	uint32_t number, other;
	uint64_t ops;
	bool reached;

	world_begin(check_seed() + nth);
	fill_little(false);
	number = hold_pattern("GOES", "?L1S*");
	other = hold_pattern("STAYS", "?L*");
	CHECK_INT(0, rig_purge(rig, 0));
	CHECK_INT(0, rig_purge(rig, 1));
	ops = sim_ops(io);
	if (cut)
		sim_cut_at(io, ops + nth);
	else
		sim_fail(io, SIM_ALL, nth, 1, EIO);
	(void)hold_release(rig->store, "GOES", 8, "over", NULL, NULL, &rig->err, &release);
	reached = sim_ops(io) - ops >= nth;
	sim_fail(io, SIM_ALL, 0, 0, 0);
	/* A change whose write failed is refused until a restart mends the log. */
	(void)rig_close(rig, false);
	if (cut)
		sim_crash(io);
	sim_cut_at(io, 0);
	open_store();
	CHECK(hold_resume(rig->store, NULL, NULL, &rig->err) >= 0);
	(void)hold_release(rig->store, "GOES", 8, "over", NULL, NULL, &rig->err, &release);
	CHECK_INT(0, case_keys(number));
	CHECK_INT(0, case_files(number));
	CHECK_INT(0, case_rows(number, 0));
	CHECK_INT(2, case_keys(other));
	CHECK(case_rows(other, 0) > 0);
	CHECK_INT(0, hold_resume(rig->store, NULL, NULL, &rig->err));
	world_end();
	return reached;
}

static void release_cut_or_failing_anywhere(void)
{
	for (int cut = 0; cut < 2; cut++) {
		uint64_t nth = 1 + check_seed() % STRIDE;

		while (release_with_fault(nth, cut))
			nth += STRIDE;
		CHECK(nth > 8);
	}
}

static int refuse(void *context, const struct purge_certificate *intended)
{
	(void)context;
	(void)intended;
	return -EIO;
}

/* A purge that stands behind «held rows committed»: its day takes no hold any more, others do. */
static void too_late_for_a_day(void)
{
	struct purge_hooks refusing = {.audit_intent = refuse};
	struct hold_selector selector = {.pattern = "1L*"};
	struct purge_certificate certificate;
	struct hold_added added;

	world_begin(check_seed());
	fill(20);
	CHECK_INT(-EIO, purge_run(rig->store, rig->first_day, "rule", 1, &refusing, &rig->err, &certificate));
	selector.from_us = (int64_t)rig->first_day * DAY_US;
	selector.to_us = selector.from_us + DAY_US;
	CHECK_INT(-ESTALE, try_hold("LATE", &selector, &added));
	CHECK(rig->err.text[0] != '\0');
	selector.to_us += DAY_US;
	CHECK_INT(0, try_hold("LATE", &selector, &added));
	CHECK_INT(1, added.gone_count);
	CHECK_INT(rig->first_day, added.gone[0]);
	selector.from_us = INT64_MIN;
	selector.to_us = INT64_MAX;
	CHECK_INT(0, try_hold("OPEN", &selector, &added));
	CHECK_INT(1, added.gone_count);
	CHECK_INT(0, rig_purge(rig, 0));
	CHECK_INT(0, case_rows(added.number, 0));
	CHECK_INT(0, try_hold("AFTER", &selector, &added));
	CHECK_INT(1, added.gone_count);
	CHECK_INT(0, rig_purge(rig, 1));
	CHECK(case_rows(added.number, 1) > 0);
	world_end();
}

/* An attempt that failed before the end of the step has promised nothing: a later hold of the same case counts. */
static void provisional_copies_are_made_anew(void)
{
	struct ids *found = ids_new();
	unsigned counted = 0;
	bool reached = true;

	for (uint64_t nth = 1; reached; nth++) {
		uint32_t number;
		uint64_t ops;

		world_begin(check_seed() + nth);
		fill_little(false);
		number = hold_pattern("TWICE", "?L0S*");
		ops = sim_ops(io);
		sim_fail(io, SIM_ALL, nth, 1, EIO);
		(void)rig_purge(rig, 0);
		sim_fail(io, SIM_ALL, 0, 0, 0);
		reached = sim_ops(io) - ops >= nth;
		if (case_files(number) > 0 && !keyring_day_destroyed(store_keyring(rig->store), rig->first_day)) {
			struct hold_selector selector = {.pattern = "?L1S*", .from_us = INT64_MIN, .to_us = INT64_MAX};
			struct hold_added added;

			CHECK_INT(0, try_hold("TWICE", &selector, &added));
			CHECK_INT(number, added.number);
			CHECK(rig_purge(rig, 0) == 0);
			ask(found, number, 0, "?L0*", NULL);
			CHECK(found->count > 0);
			if (added.gone_count == 0) {
				ask(found, number, 0, "?L1*", NULL);
				CHECK(found->count > 0);
				counted++;
			}
			CHECK_INT(1, case_files(number));
			CHECK_INT(1, case_keys(number));
		}
		world_end();
	}
	CHECK(counted > 0);
	free(found);
}

struct late_mark {
	const struct ids *from;
	size_t erased;  /* index; from->count none */
	size_t amended; /* likewise, to a VRM that the case holds */
	unsigned calls;
	int result;
};

static int mark_late(void *context, const struct purge_certificate *intended)
{
	struct late_mark *late = context;

	(void)intended;
	if (late->calls++ == 0) {
		mark(MARK_ERASED, late->from, late->erased, NULL);
		mark(MARK_AMENDED, late->from, late->amended, "1L9S9");
	}
	return late->result;
}

/* Reads erased and amended behind «held rows committed»: the case shows them no more, nor do its copies have them. */
static void marked_behind_the_copying(bool stopped)
{
	struct late_mark late = {.erased = 0, .amended = 1, .result = stopped ? -EIO : 0};
	struct purge_hooks hooks = {.audit_intent = mark_late, .context = &late};
	struct purge_certificate certificate;
	struct ids *all = ids_new();
	uint32_t number;
	uint64_t before;

	world_begin(check_seed());
	fill(20);
	number = hold_pattern("VRM", "1L?S*");
	ask(all, 0, 0, "1L?S*", NULL);
	before = all->count;
	CHECK(before > 3);
	late.from = all;
	CHECK_INT(late.result, purge_run(rig->store, rig->first_day, "rule", 1, &hooks, &rig->err, &certificate));
	if (stopped) {
		/* The copies are older than the marks. */
		CHECK_INT(before - 2, copied(number, NULL));
		CHECK_INT(0, copied(number, "1L9S9"));
		CHECK_INT(0, rig_close(rig, true));
		open_store();
		CHECK_INT(before - 2, copied(number, NULL));
		CHECK_INT(0, rig_purge(rig, 0));
	} else {
		CHECK_INT(2, late.calls); /* what was audited is no more true: again */
		CHECK(certificate.held_reads >= before - 1);
	}
	CHECK_INT(before - 1, copied(number, NULL));
	CHECK_INT(1, copied(number, "1L9S9"));
	CHECK_INT(1, case_files(number));
	CHECK_INT(1, case_keys(number));
	free(all);
	world_end();
}

static void marked_while_a_purge_stands(void)
{
	marked_behind_the_copying(true);
}

static void marked_while_a_purge_runs(void)
{
	marked_behind_the_copying(false);
}

/* The keys are gone: there is nothing to mark any more. */
static void too_late_for_a_mark(void)
{
	static const struct hit no_hits[1];
	struct ids *all = ids_new();
	struct mark_order order = {.kind = MARK_ERASED, .hits = no_hits, .who_uid = 7};
	struct key_id keys = {.day = 0};

	world_begin(check_seed());
	fill(20);
	ask(all, 0, 0, NULL, NULL);
	order.read = &all->rows[0];
	CHECK_INT(0, rig_purge(rig, 0));
	CHECK_INT(-ESTALE, marks_make(rig->store->marks, &order, &rig->err));
	keys.day = rig->first_day;
	CHECK_INT(0, keyring_each(store_keyring(rig->store), KEY_MARK, count_key, &keys));
	CHECK_INT(0, keys.id);
	free(all);
	world_end();
}

struct racer {
	struct hold_added added;
	int result;
	unsigned wait_us;
};

static void *race(void *context)
{
	struct racer *racer = context;
	struct hold_selector selector = {.pattern = "1L*", .from_us = (int64_t)rig->first_day * DAY_US};

	selector.to_us = selector.from_us + DAY_US;
	usleep(racer->wait_us);
	racer->result = try_hold("RACE", &selector, &racer->added);
	return NULL;
}

/* Either the hold came before the copying, and its reads are there; or it was told that it came too late. */
static void holds_race_purges(void)
{
	struct prng prng = {check_seed()};
	unsigned held = 0;
	unsigned late = 0;

	for (int round = 0; round < 30; round++) {
		struct racer racer = {.wait_us = (unsigned)prng_below(&prng, 4000)};
		struct ids *expected = ids_new();
		struct ids *found = ids_new();
		struct reg_hold hold;
		pthread_t thread;

		world_begin(prng_next(&prng));
		fill_little(true);
		ask(expected, 0, 0, "1L*", NULL);
		(void)hold_pattern("OTHER", "2L*");
		CHECK_INT(0, pthread_create(&thread, NULL, race, &racer));
		CHECK_INT(0, rig_purge(rig, 0));
		CHECK_INT(0, pthread_join(thread, NULL));
		if (racer.result == 0) {
			ask(found, racer.added.number, 0, NULL, NULL);
			CHECK(same(expected, found));
			held++;
		} else {
			CHECK_INT(-ESTALE, racer.result);
			CHECK_INT(-ENOENT, hold_find(rig->store, "RACE", &hold));
			late++;
		}
		free(expected);
		free(found);
		world_end();
	}
	check_note("held %u, too late %u", held, late);
}

static void the_catalog_is_lost(void)
{
	struct ids *expected = ids_new();
	struct ids *found = ids_new();
	uint32_t number;

	world_begin(check_seed());
	fill(20);
	number = hold_pattern("KEPT", "?L0S*");
	ask(expected, 0, 0, "?L0S*", NULL);
	CHECK_INT(0, rig_purge(rig, 0));
	CHECK_INT(0, rig_purge(rig, 1));
	CHECK_INT(0, rig_close(rig, true));
	lose_catalog();
	open_store();
	ask(found, number, 0, NULL, NULL);
	CHECK(same(expected, found));
	CHECK(case_rows(number, 1) > 0);
	ask(found, 0, 0, NULL, NULL);
	CHECK_INT(0, found->count);
	/* The file itself is lost: said, and the rest is served. */
	CHECK_INT(0, rig_close(rig, true));
	{
		char path[CASE_DIRECTORY_SIZE + 64];
		char name[SEGMENT_NAME_SIZE];
		struct catalog_segment *segments;
		size_t count;

		open_store();
		CHECK_INT(0, catalog_case_segments(rig->store->catalog, number, rig->first_day, rig->first_day,
						   &segments, &count));
		CHECK_INT(1, count);
		(void)snprintf(path, sizeof(path), SIM_DIRECTORY "/cases/%08x/%s", number,
			       segment_name(rig->first_day, segments[0].id, ".seg", name));
		free(segments);
		CHECK_INT(0, rig_close(rig, true));
		CHECK_INT(0, io->ops->unlink(io, path));
	}
	open_store();
	CHECK(rig->store->damage_count > 0);
	CHECK(case_rows(number, 1) > 0);
	free(expected);
	free(found);
	world_end();
}

/* What of a held day cannot be read is told, and the rest is copied: no day outlives its time for damage. */
static void damage_of_a_held_day_is_told(void)
{
	struct ids *expected = ids_new();
	struct ids *found = ids_new();
	struct catalog_segment *segments;
	char path[256];
	char name[SEGMENT_NAME_SIZE];
	uint64_t damage;
	uint32_t number;
	size_t count;

	world_begin(check_seed());
	fill(20);
	number = hold_pattern("CASE", "?L*");
	ask(expected, 0, 0, "?L*", NULL);
	CHECK_INT(0, catalog_segments(rig->store->catalog, rig->first_day, rig->first_day, &segments, &count));
	CHECK(count > 1);
	(void)snprintf(path, sizeof(path), SIM_DIRECTORY "/segments/%s",
		       segment_name(rig->first_day, segments[0].id, ".seg", name));
	CHECK_INT(0, sim_rot(io, path, SEGMENT_HEADER_SIZE + 4, 1));
	damage = rig->store->damage_count;
	CHECK_INT(0, rig_purge(rig, 0));
	CHECK(rig->store->damage_count > damage);
	ask(found, number, 0, NULL, NULL);
	CHECK(found->count > 0);
	CHECK(found->count >= expected->count - segments[0].row_count);
	CHECK(found->count < expected->count);
	free(segments);
	free(expected);
	free(found);
	world_end();
}

static void what_is_refused_and_shown(void)
{
	struct {
		uint64_t reads;
		unsigned cases;
	} seen = {0, 0};
	static const struct hold_selector bad[] = {
		{.from_us = INT64_MIN, .to_us = INT64_MAX}, /* everything */
		{.pattern = "", .from_us = INT64_MIN, .to_us = INT64_MAX},
		{.pattern = "A", .from_us = 5, .to_us = 5},
	};
	struct hold_selector good = {.pattern = "1L*", .from_us = INT64_MIN, .to_us = INT64_MAX};
	struct ids *expected = ids_new();
	struct hold_added added;
	struct reg_hold hold = {.hold_class = REG_HOLD_MOPI, .reference = "A", .reason = "r"};
	int32_t today = read_day(clock_wall_us());
	unsigned overdue;

	world_begin(check_seed());
	fill(12);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		CHECK_INT(-EINVAL, try_hold("X", &bad[i], &added));
	hold.review_day = today;
	CHECK_INT(-EINVAL, hold_add(rig->store, &hold, &good, &rig->err, &added));
	hold.review_day = today + 1;
	CHECK_INT(0, hold_add(rig->store, &hold, &good, &rig->err, &added));
	hold.hold_class = REG_HOLD_CPIA;
	CHECK_INT(-EINVAL, hold_add(rig->store, &hold, &good, &rig->err, &added)); /* another class */
	CHECK_INT(0, hold_overdue(rig->store, today, &overdue));
	CHECK_INT(0, overdue);
	CHECK_INT(0, hold_overdue(rig->store, today + 1, &overdue));
	CHECK_INT(1, overdue);
	CHECK_INT(0, hold_renew(rig->store, "A", today + 50, 7, "reviewed", &rig->err));
	CHECK_INT(-EINVAL, hold_renew(rig->store, "A", today, 7, "reviewed", &rig->err));
	CHECK_INT(-ENOENT, hold_renew(rig->store, "B", today + 50, 7, "reviewed", &rig->err));
	CHECK_INT(0, hold_overdue(rig->store, today + 1, &overdue));
	CHECK_INT(0, overdue);
	/* The plan says what stays. */
	ask(expected, 0, 0, "1L*", NULL);
	CHECK_INT(0, hold_plan(rig->store, rig->first_day, plan_see, &seen));
	CHECK_INT(1, seen.cases);
	CHECK_INT(expected->count, seen.reads);
	free(expected);
	world_end();
}

/* The path of a sealed segment of the first day. */
static const char *segment_path(const struct catalog_segment *segment)
{
	static char path[256];
	char name[SEGMENT_NAME_SIZE];

	(void)snprintf(path, sizeof(path), SIM_DIRECTORY "/segments/%s",
		       segment_name(rig->first_day, segment->id, ".seg", name));
	return path;
}

/* The catalog is lost, and no segment of the day opens to be found again: it goes on its day all the same. */
static void a_day_that_does_not_open(void)
{
	struct catalog_segment *segments;
	struct key_id keys = {.day = 0};
	struct purge_day *days;
	size_t count;
	size_t planned;

	world_begin(check_seed());
	fill(20);
	CHECK_INT(0, store_seal_all(rig->store, INT64_C(5000000000)));
	CHECK_INT(0, catalog_segments(rig->store->catalog, rig->first_day, rig->first_day, &segments, &count));
	CHECK_INT(0, rig_close(rig, true));
	for (size_t i = 0; i < count; i++)
		CHECK_INT(0, sim_rot(io, segment_path(&segments[i]), 20, 1));
	free(segments);
	lose_catalog();
	open_store();
	CHECK_INT(0, purge_plan(rig->store, rig->first_day + 1, &days, &planned));
	CHECK_INT(1, planned);
	CHECK_INT(rig->first_day, days[0].day);
	free(days);
	CHECK_INT(0, rig_purge(rig, 0));
	keys.day = rig->first_day;
	CHECK_INT(0, keyring_each(store_keyring(rig->store), KEY_SEGMENT, count_key, &keys));
	CHECK_INT(0, keys.id);
	CHECK_INT(0, purge_plan(rig->store, rig->first_day + 1, &days, &planned));
	CHECK_INT(0, planned);
	free(days);
	CHECK_INT(PURGE_NOTHING, rig_purge(rig, 0));
	world_end();
}

/* A sector that the disk does not give any more holds up no day either. */
static void a_bad_sector_of_a_held_day(void)
{
	struct ids *expected = ids_new();
	struct catalog_segment *segments;
	uint64_t damage;
	uint32_t number;
	size_t count;

	world_begin(check_seed());
	fill(20);
	number = hold_pattern("CASE", "?L*");
	CHECK_INT(0, store_seal_all(rig->store, INT64_C(5000000000)));
	ask(expected, 0, 0, "?L*", NULL);
	CHECK_INT(0, catalog_segments(rig->store->catalog, rig->first_day, rig->first_day, &segments, &count));
	CHECK(count > 1);
	CHECK_INT(0, sim_bad_block(io, segment_path(&segments[0]), SEGMENT_HEADER_SIZE + 4));
	damage = rig->store->damage_count;
	CHECK_INT(0, rig_purge(rig, 0));
	CHECK(rig->store->damage_count > damage);
	CHECK(copied(number, NULL) > 0);
	CHECK(copied(number, NULL) >= expected->count - segments[0].row_count);
	CHECK(copied(number, NULL) <= expected->count);
	free(segments);
	free(expected);
	world_end();
}

/* Half of the day was sealed under another version of the VRM keys. */
static void a_held_day_of_two_key_versions(void)
{
	struct ids *expected = ids_new();
	struct ids *found = ids_new();
	uint64_t damage;
	uint32_t number;

	world_begin(check_seed());
	send_some(20);
	CHECK_INT(0, rig_close(rig, true));
	rig->options.key_version++;
	open_store();
	send_some(20);
	number = hold_pattern("CASE", "?L1*");
	ask(expected, 0, 0, "?L1*", NULL);
	damage = rig->store->damage_count;
	CHECK_INT(0, rig_purge(rig, 0));
	CHECK(rig->store->damage_count > damage);
	ask(found, number, 0, NULL, NULL);
	CHECK(same(expected, found));
	free(expected);
	free(found);
	world_end();
}

static void removal_fails(void *context, int32_t day, enum purge_step step)
{
	(void)context;
	(void)day;
	if (step == PURGE_KEYS_DESTROYED)
		sim_fail(io, SIM_PUNCH | SIM_NAME, 1, 1000, EIO);
}

static int intent_find(void *context, const char *name)
{
	if (strstr(name, PURGE_FILE_INTENT) != NULL)
		(void)snprintf(context, 256, SIM_DIRECTORY "/purge/%s", name);
	return 0;
}

/* What becomes of the only intent that stands. */
static void intent_hurt(bool lost)
{
	char path[256] = "";

	CHECK_INT(0, io->ops->list(io, SIM_DIRECTORY "/purge", intent_find, path));
	CHECK(path[0] != '\0');
	if (lost)
		CHECK_INT(0, io->ops->unlink(io, path));
	else
		CHECK_INT(0, sim_rot(io, path, 40, 1));
}

/* The keys are gone and the intent does not tell any more: the copies are all there is, and they stay. */
static void the_intent_is_gone_behind_the_keys(bool lost)
{
	struct purge_hooks hooks = {.progress = removal_fails};
	struct purge_certificate certificate;
	struct ids *expected = ids_new();
	struct purge_day *days;
	uint32_t number, empty;
	size_t count;

	world_begin(check_seed());
	fill(20);
	number = hold_pattern("VRM", "1L?S*");
	empty = hold_pattern("EMPTY", "NOBODY");
	ask(expected, 0, 0, "1L?S*", NULL);
	CHECK(purge_run(rig->store, rig->first_day, "rule", 1, &hooks, &rig->err, &certificate) < 0);
	sim_fail(io, SIM_ALL, 0, 0, 0);
	CHECK_INT(0, rig_close(rig, true));
	intent_hurt(lost);
	open_store();
	CHECK_INT(0, purge_plan(rig->store, rig->first_day + 1, &days, &count));
	CHECK_INT(1, count);
	free(days);
	hooks.progress = NULL;
	CHECK_INT(0, purge_run(rig->store, rig->first_day, "rule", 1, &hooks, &rig->err, &certificate));
	CHECK_INT(1, certificate.held_cases);
	CHECK(certificate.held_reads >= expected->count);
	CHECK(certificate.reads > certificate.held_reads);
	check_held(expected, number, empty);
	CHECK_INT(0, purge_plan(rig->store, rig->first_day + 1, &days, &count));
	CHECK_INT(0, count);
	free(days);
	CHECK_INT(0, rig_close(rig, true));
	open_store();
	check_held(expected, number, empty);
	free(expected);
	world_end();
}

static void intent_rots_behind_the_keys(void)
{
	the_intent_is_gone_behind_the_keys(false);
}

static void intent_lost_behind_the_keys(void)
{
	the_intent_is_gone_behind_the_keys(true);
}

int main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{"held rows outlive their day", held_rows_outlive_their_day},
		{"hits stay with held reads", hits_stay_with_held_reads},
		{"marked reads", marked_reads},
		{"restricted reads stay so", restricted_reads_stay_so},
		{"copies are edited", copies_are_edited},
		{"an edit cut or failing anywhere", an_edit_cut_or_failing_anywhere},
		{"a day of one corrected read", a_day_of_one_corrected_read},
		{"what is refused and shown", what_is_refused_and_shown},
		{"too late for a day", too_late_for_a_day},
		{"provisional copies are made anew", provisional_copies_are_made_anew},
		{"marked while a purge stands", marked_while_a_purge_stands},
		{"marked while a purge runs", marked_while_a_purge_runs},
		{"too late for a mark", too_late_for_a_mark},
		{"holds race purges", holds_race_purges},
		{"cut at every operation of a purge", cut_at_every_operation},
		{"every operation of a purge fails", every_operation_fails},
		{"cut, and the catalog lost", cut_and_the_catalog_lost},
		{"a release cut or failing anywhere", release_cut_or_failing_anywhere},
		{"the catalog is lost", the_catalog_is_lost},
		{"damage of a held day is told", damage_of_a_held_day_is_told},
		{"a bad sector of a held day", a_bad_sector_of_a_held_day},
		{"a held day of two key versions", a_held_day_of_two_key_versions},
		{"a day that does not open", a_day_that_does_not_open},
		{"an intent rots behind the keys' end", intent_rots_behind_the_keys},
		{"an intent is lost behind the keys' end", intent_lost_behind_the_keys},
		{NULL, NULL},
	};

	log_level_set(getenv("GANTRY_TEST_LOG") != NULL ? LOG_LEVEL_DEBUG : LOG_LEVEL_ERROR);
	/* LMDB's flushes are not what is tested here, and there are thousands. */
	if (access("/dev/shm", W_OK) == 0)
		(void)setenv("TMPDIR", "/dev/shm", 0);
	return check_main(argc, argv, "holds", tests);
}
