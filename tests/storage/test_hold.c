/* Holds against purges: what is held, refused and shown, and what comes too late. */
#include "storage/hold.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "appliance/base/clock.h"
#include "appliance/base/prng.h"
#include "storage/catalog.h"
#include "storage/purge.h"
#include "storage/segment_read.h"
#include "storage/store_internal.h"
#include "storage/view.h"
#include "tests/check.h"
#include "tests/storage/hold_world.h"

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
	world_fill(60);
	one = world_hold("CASE/1", "1L?S1*");
	world_ask(expected, 0, 0, NULL, NULL);
	CHECK(expected->count > 80);
	for (unsigned i = 0; i < 40; i++)
		reads[i] = world_name(&expected->rows[2 * i]);
	CHECK_INT(0, world_try_hold("CASE/2", &selector, &added));
	two = added.number;
	/* A VRM by a camera in a window of one day: and the other days go whole. */
	corner.cameras = &camera;
	corner.from_us = (int64_t)world.rig->first_day * DAY_US;
	corner.to_us = corner.from_us + DAY_US;
	CHECK_INT(0, world_try_hold("CASE/3", &corner, &added));
	three = added.number;
	CHECK(one != two && two != three);

	world_ask(expected, 0, 0, "1L?S1*", NULL);
	world_ask(more, 0, 0, "2L*", &camera);
	CHECK(expected->count > 0);
	CHECK_INT(0, world_case_rows(one, 0)); /* while the day lives it holds the rows */
	CHECK_INT(0, rig_purge(world.rig, 0));
	CHECK_INT(0, rig_purge(world.rig, 1));
	world_ask(found, 0, 0, NULL, NULL);
	CHECK_INT(0, found->count); /* without the case: nothing */
	world_ask(found, one, 0, NULL, NULL);
	CHECK(ids_same(expected, found));
	world_ask(found, two, 0, NULL, NULL);
	CHECK_INT(40, found->count);
	world_ask(found, three, 0, NULL, NULL);
	CHECK(ids_same(more, found));
	CHECK_INT(0, world_case_rows(three, 1));
	CHECK_INT(0, world_case_rows(two, 1));
	CHECK_INT(more->count > 0, world_case_keys(three));
	CHECK_INT(2, world_case_keys(one));
	CHECK_INT(2, world_case_files(one));
	world_ask(found, 0, 2, "1L?S1*", NULL); /* still an ordinary read of an ordinary day */
	CHECK(found->count > 0);
	CHECK_INT(0, world_case_rows(one, 2));
	/* A restart changes nothing. */
	world_reopen();
	world_ask(found, one, 0, NULL, NULL);
	CHECK(ids_same(expected, found));
	world_ask(found, two, 0, NULL, NULL);
	CHECK_INT(40, found->count);
	/* The release takes what is over, and nothing else. */
	CHECK_INT(-EPERM, hold_release(world.rig->store, "CASE/1", WORLD_HOLDER, "trial over", NULL, NULL,
				       &world.rig->err, &release));
	CHECK_INT(2, world_case_keys(one));
	CHECK_INT(0, hold_release(world.rig->store, "CASE/1", 8, "trial over", NULL, NULL, &world.rig->err, &release));
	CHECK_INT(one, release.number);
	CHECK_INT(2, release.segments);
	CHECK(release.reads >= expected->count);
	CHECK_INT(0, world_case_keys(one));
	CHECK_INT(0, world_case_files(one));
	CHECK_INT(0, world_case_rows(one, 0));
	CHECK_INT(40, world_case_rows(two, 0));
	world_ask(found, 0, 2, "1L?S1*", NULL);
	CHECK(found->count > 0);
	CHECK_INT(-ENOENT, hold_release(world.rig->store, "CASE/1", WORLD_HOLDER, "again", NULL, NULL, &world.rig->err,
					&release));
	CHECK_INT(0, rig_purge(world.rig, 2));
	CHECK_INT(0, world_case_rows(one, 2));
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
	struct catalog_segment *segments;
	struct segment_scratch scratch = {0};
	struct segment *segment;
	uint32_t number;
	size_t count;

	world_begin(check_seed());
	world_send_reads(reads, 2, 1234567, hits, 2);
	number = world_hold("HITS", "ZZ*");
	CHECK_INT(0, rig_purge(world.rig, 0));
	CHECK_INT(0, catalog_case_segments(world.rig->store->catalog, number, INT32_MIN, INT32_MAX, &segments, &count));
	CHECK_INT(1, count);
	CHECK_INT(1, segments[0].row_count);
	CHECK_INT(0, view_segment_get(world.rig->store->views, &segments[0], &world.rig->err, &segment));
	CHECK_INT(0, segment_each_hit(segment, &scratch, &world.rig->err, hit_see, found));
	CHECK_INT(1, found[0].list);
	CHECK_INT(6, found[1].list);
	CHECK_INT(3, found[1].entry);
	CHECK_INT(0, found[1].row);
	segment_scratch_fini(&scratch);
	view_segment_put(world.rig->store->views, segment);
	free(segments);
	world_end();
}

static void what_is_refused_and_shown(void)
{
	struct world_plan plan;
	static const struct hold_selector bad[] = {
		{.from_us = INT64_MIN, .to_us = INT64_MAX}, /* everything */
		{.pattern = "", .from_us = INT64_MIN, .to_us = INT64_MAX},
		{.pattern = "A", .from_us = 5, .to_us = 5},
	};
	struct hold_selector good = {.pattern = "?L*", .from_us = INT64_MIN, .to_us = INT64_MAX};
	struct ids *expected = ids_new();
	struct hold_added added;
	struct reg_hold hold = {.hold_class = REG_HOLD_MOPI, .reference = "A", .reason = "r"};
	int32_t today = read_day(clock_wall_us());
	unsigned overdue;

	world_begin(check_seed());
	world_fill(12);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		CHECK_INT(-EINVAL, world_try_hold("X", &bad[i], &added));
	hold.review_day = today;
	CHECK_INT(-EINVAL, hold_add(world.rig->store, &hold, &good, &world.rig->err, &added));
	hold.review_day = today + 1;
	CHECK_INT(0, hold_add(world.rig->store, &hold, &good, &world.rig->err, &added));
	hold.hold_class = REG_HOLD_CPIA;
	CHECK_INT(-EINVAL, hold_add(world.rig->store, &hold, &good, &world.rig->err, &added)); /* another class */
	CHECK_INT(0, hold_overdue(world.rig->store, today, &overdue));
	CHECK_INT(0, overdue);
	CHECK_INT(0, hold_overdue(world.rig->store, today + 1, &overdue));
	CHECK_INT(1, overdue);
	CHECK_INT(0, hold_renew(world.rig->store, "A", today + 50, 7, "reviewed", &world.rig->err));
	CHECK_INT(-EINVAL, hold_renew(world.rig->store, "A", today, 7, "reviewed", &world.rig->err));
	CHECK_INT(-ENOENT, hold_renew(world.rig->store, "B", today + 50, 7, "reviewed", &world.rig->err));
	CHECK_INT(0, hold_overdue(world.rig->store, today + 1, &overdue));
	CHECK_INT(0, overdue);
	/* The plan says what stays. */
	world_ask(expected, 0, 0, "?L*", NULL);
	plan = world_plan();
	CHECK_INT(1, plan.cases);
	CHECK_INT(expected->count, plan.reads);
	free(expected);
	world_end();
}

/* Which selectors there are of whom: records of each maker, and those that follow an amendment. */
struct makers {
	unsigned records[16];
	unsigned added; /* each once, however many records it takes */
	unsigned follows;
};

static int maker_see(void *context, struct reg_hold_selector *selector)
{
	struct makers *makers = context;
	char reason[REG_HOLD_REASON_SIZE];

	CHECK(selector->who_uid < 16);
	(void)snprintf(reason, sizeof(reason), "the reason of %u", selector->who_uid);
	CHECK_STR(reason, selector->reason);
	CHECK(clock_wall_us() - selector->added_us < INT64_C(3600000000));
	makers->records[selector->who_uid]++;
	makers->added += selector->first == selector->index;
	makers->follows += selector->follows;
	return 0;
}

static struct makers makers_of(uint32_t number)
{
	struct makers makers = {.added = 0};

	CHECK_INT(0, hold_each_selector(world.rig->store, number, maker_see, &makers));
	return makers;
}

#define MANY_READS 30 /* more than two records take */

/* Of three who added to a case none releases it while a copy is young, nor is it laid to whoever amended a read. */
static void every_selector_has_its_maker(void)
{
	struct ids *all = ids_new();
	struct hold_selector open = {.from_us = INT64_MIN, .to_us = INT64_MAX};
	struct hold_selector by_id = open;
	struct hold_selector by_camera = open;
	struct reg_hold_read reads[MANY_READS];
	uint32_t cameras[REG_HOLD_CAMERAS + 1];
	struct hold_release release;
	struct hold_added added;
	struct reg_hold hold;
	struct makers makers;
	uint32_t number = world_with_hold("CASE", "1L?S*");

	world_ask(all, 0, 0, NULL, NULL);
	CHECK(all->count > MANY_READS);
	for (unsigned i = 0; i < MANY_READS; i++)
		reads[i] = world_name(&all->rows[i]);
	by_id.reads = reads;
	by_id.read_count = MANY_READS;
	CHECK_INT(0, world_try_hold_as(8, "CASE", &by_id, &added));
	for (uint32_t i = 0; i <= REG_HOLD_CAMERAS; i++)
		cameras[i] = 1000000 + i;
	by_camera.cameras = cameras;
	by_camera.camera_count = REG_HOLD_CAMERAS + 1;
	CHECK_INT(0, world_try_hold_as(9, "CASE", &by_camera, &added));
	CHECK_INT(number, added.number);
	world_ask(all, 0, 0, "1L?S*", NULL);
	world_mark(MARK_AMENDED, all, all->count - 1, "OUTOFIT");
	world_reopen();
	makers = makers_of(number);
	CHECK_INT(2, makers.records[WORLD_HOLDER]);
	CHECK_INT(3, makers.records[8]);
	CHECK_INT(2, makers.records[9]);
	CHECK_INT(0, makers.records[WORLD_MARKER]);
	CHECK_INT(4, makers.added);
	CHECK_INT(1, makers.follows);
	CHECK_INT(0, hold_find(world.rig->store, "CASE", &hold));
	CHECK_INT(WORLD_HOLDER, hold.who_uid);
	CHECK_STR("the reason of 7", hold.reason);
	CHECK_INT(0, rig_purge(world.rig, 0));
	for (uint32_t who = WORLD_HOLDER; who <= 9; who++)
		CHECK_INT(-EPERM,
			  hold_release(world.rig->store, "CASE", who, "over", NULL, NULL, &world.rig->err, &release));
	CHECK_INT(0,
		  hold_release(world.rig->store, "CASE", WORLD_MARKER, "over", NULL, NULL, &world.rig->err, &release));
	CHECK_INT(0, makers_of(number).added);
	free(all);
	world_end();
}

static int release_refuse(void *context, const struct hold_release *release)
{
	(void)context;
	(void)release;
	return -EIO;
}

static int release_see(void *context, const struct hold_release *release)
{
	*(uint32_t *)context = release->who_uid;
	return 0;
}

/* The certificate of a release that was interrupted names who released, not who held. */
static void a_resumed_release_has_its_author(void)
{
	struct hold_release release;
	uint32_t who = 0;

	(void)world_with_hold("CASE", "1L?S*");
	CHECK_INT(0, rig_purge(world.rig, 0));
	CHECK_INT(-EIO,
		  hold_release(world.rig->store, "CASE", 9, "over", release_refuse, NULL, &world.rig->err, &release));
	world_reopen();
	CHECK_INT(1, hold_resume(world.rig->store, release_see, &who, &world.rig->err));
	CHECK_INT(9, who);
	world_end();
}

static void check_refused(struct reg_hold_read *reads, size_t count, const char *text)
{
	struct hold_selector selector = {.from_us = INT64_MIN, .to_us = INT64_MAX, .reads = reads, .read_count = count};
	struct hold_added added;
	struct reg_hold hold;

	CHECK_INT(-ENOENT, world_try_hold("ID", &selector, &added));
	if (strstr(world.rig->err.text, text) == NULL)
		check_note("%s", world.rig->err.text);
	CHECK(strstr(world.rig->err.text, text) != NULL);
	CHECK_INT(-ENOENT, hold_find(world.rig->store, "ID", &hold));
}

/* An id that no living read has holds nothing, so it is refused by name: amended, erased, or never given. */
static void ids_of_nobody_are_refused(void)
{
	struct hold_selector selector = {.from_us = INT64_MIN, .to_us = INT64_MAX, .read_count = 3};
	struct ids *all = ids_new();
	struct reg_hold_read reads[20];
	struct hold_added added;

	world_begin(check_seed());
	world_fill(20);
	world_ask(all, 0, 0, NULL, NULL);
	CHECK(all->count > 20);
	for (unsigned i = 0; i < 20; i++)
		reads[i] = world_name(&all->rows[i]);
	world_mark(MARK_AMENDED, all, 1, "CORRECTED");
	world_mark(MARK_ERASED, all, 2, NULL);
	world_mark(MARK_RESTRICTED, all, 0, NULL);
	check_refused(reads, 2, "read 2 of 2");
	check_refused(reads, 2, "has been amended: name the read that stands in its place");
	check_refused(reads, 20, "nor are these there: 3");
	check_refused(&reads[2], 1, "has been erased");
	reads[3].public_id[5] ^= 1;
	check_refused(&reads[3], 1, "is none that is here");
	for (unsigned i = 4; i < 20; i++)
		reads[i].capture_us++;
	check_refused(reads, 20, "nor are these there: 3, 4, 5, 6, 7, 8, 9, 10 and more");
	/* What stands there now is held, a restricted read too; and of a day that is gone nobody can say. */
	world_ask(all, 0, 0, "CORRECTED", NULL);
	reads[1] = world_name(&all->rows[0]);
	world_ask(all, 0, 1, NULL, NULL);
	reads[2] = world_name(&all->rows[0]);
	CHECK_INT(0, rig_purge(world.rig, 1));
	selector.reads = reads;
	CHECK_INT(0, world_try_hold("ID", &selector, &added));
	CHECK_INT(1, added.gone_count);
	CHECK_INT(0, rig_purge(world.rig, 0));
	world.restricted = true;
	CHECK_INT(2, world_copied(added.number, NULL));
	CHECK_INT(1, world_copied(added.number, "CORRECTED"));
	CHECK_INT(-ESTALE, world_try_hold("LATE", &selector, &added));
	free(all);
	world_end();
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
	world_fill(20);
	CHECK_INT(-EIO, purge_run(world.rig->store, world.rig->first_day, "rule", 1, &refusing, &world.rig->err,
				  &certificate));
	selector.from_us = (int64_t)world.rig->first_day * DAY_US;
	selector.to_us = selector.from_us + DAY_US;
	CHECK_INT(-ESTALE, world_try_hold("LATE", &selector, &added));
	CHECK(world.rig->err.text[0] != '\0');
	selector.to_us += DAY_US;
	CHECK_INT(0, world_try_hold("LATE", &selector, &added));
	CHECK_INT(1, added.gone_count);
	CHECK_INT(world.rig->first_day, added.gone[0]);
	selector.from_us = INT64_MIN;
	selector.to_us = INT64_MAX;
	CHECK_INT(0, world_try_hold("OPEN", &selector, &added));
	CHECK_INT(1, added.gone_count);
	CHECK_INT(0, rig_purge(world.rig, 0));
	CHECK_INT(0, world_case_rows(added.number, 0));
	CHECK_INT(0, world_try_hold("AFTER", &selector, &added));
	CHECK_INT(1, added.gone_count);
	CHECK_INT(0, rig_purge(world.rig, 1));
	CHECK(world_case_rows(added.number, 1) > 0);
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
	struct hold_selector selector = {.pattern = "1L*", .from_us = (int64_t)world.rig->first_day * DAY_US};

	selector.to_us = selector.from_us + DAY_US;
	usleep(racer->wait_us);
	racer->result = world_try_hold("RACE", &selector, &racer->added);
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
		world_fill_little(true);
		world_ask(expected, 0, 0, "1L*", NULL);
		(void)world_hold("OTHER", "2L*");
		CHECK_INT(0, pthread_create(&thread, NULL, race, &racer));
		CHECK_INT(0, rig_purge(world.rig, 0));
		CHECK_INT(0, pthread_join(thread, NULL));
		if (racer.result == 0) {
			world_ask(found, racer.added.number, 0, NULL, NULL);
			CHECK(ids_same(expected, found));
			held++;
		} else {
			CHECK_INT(-ESTALE, racer.result);
			CHECK_INT(-ENOENT, hold_find(world.rig->store, "RACE", &hold));
			late++;
		}
		free(expected);
		free(found);
		world_end();
	}
	check_note("held %u, too late %u", held, late);
}

int main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{"held rows outlive their day", held_rows_outlive_their_day},
		{"hits stay with held reads", hits_stay_with_held_reads},
		{"what is refused and shown", what_is_refused_and_shown},
		{"every selector has its maker", every_selector_has_its_maker},
		{"ids of nobody are refused", ids_of_nobody_are_refused},
		{"a resumed release has its author", a_resumed_release_has_its_author},
		{"too late for a day", too_late_for_a_day},
		{"holds race purges", holds_race_purges},
		{NULL, NULL},
	};

	return world_main(argc, argv, "holds", tests);
}
