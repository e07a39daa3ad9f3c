/* Searches for hits held against a plain list of all of them: in the journals, sealed, merged, purged, marked. */
#include "storage/hit_search.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/log.h"
#include "storage/catalog.h"
#include "storage/keyring.h"
#include "storage/marks.h"
#include "storage/tidier.h"
#include "tests/check.h"
#include "tests/storage/rig_check.h"
#include "tests/storage/rig_hits.h"
#include "tests/storage/sim_io.h"
#include "tests/storage/store_rig.h"
#include "tests/storage/store_world.h"

#define ANSWER_MAX (RIG_FEEDS * FEED_LANE_COUNT * RIG_SEQUENCES * RIG_HITS)

struct answer {
	struct hit_found *rows;
	size_t count;
};

struct trial {
	struct rig *rig;
	struct io *io;
	struct prng prng;
	bool restricted[RIG_FEEDS][FEED_LANE_COUNT][RIG_SEQUENCES];
	struct answer wanted;
	struct answer given;
	struct hit_query query;
	struct glob glob;
	uint32_t cameras[50];
	struct search_result result;
};

static int row_keep(void *context, const struct hit_found *found)
{
	struct answer *answer = context;

	CHECK(answer->count < ANSWER_MAX);
	answer->rows[answer->count++] = *found;
	return 0;
}

static bool oldest_first;

static int in_order(const void *a, const void *b)
{
	const struct hit_found *x = a;
	const struct hit_found *y = b;

	if (x->read.capture_us != y->read.capture_us)
		return (x->read.capture_us < y->read.capture_us) == oldest_first ? -1 : 1;
	return x->hit.number < y->hit.number ? -1 : x->hit.number > y->hit.number;
}

/* What the query asks, said again in the plainest way. */
static bool is_wanted(const struct trial *trial, const struct hit *hit, const struct read *read)
{
	const struct hit_query *query = &trial->query;
	bool listed = query->list_count == 0;
	bool camera = query->reads.cameras == NULL;

	for (size_t i = 0; i < query->list_count; i++)
		listed = listed || query->lists[i] == hit->list;
	for (size_t i = 0; i < query->reads.camera_count; i++)
		camera = camera || query->reads.cameras[i] == read->camera;
	return listed && camera && hit->priority >= query->priority_min &&
	       (query->kinds == 0 || (query->kinds & 1u << hit->kind) != 0) &&
	       read->capture_us >= query->reads.from_us && read->capture_us < query->reads.to_us &&
	       (query->reads.key_glob == NULL || glob_match(query->reads.key_glob, read->key));
}

static void want(struct trial *trial, uint32_t feed, unsigned lane, uint64_t sequence)
{
	struct rig *rig = trial->rig;
	struct hit hits[RIG_HITS];
	unsigned count = rig_hits(feed, lane, sequence, 0, hits);
	struct read read;

	if (rig->found[feed - 1][lane][sequence] == 0 ||
	    (rig->marked[feed - 1][lane][sequence] &&
	     !(trial->query.reads.restricted && trial->restricted[feed - 1][lane][sequence])))
		return;
	rig_read(rig, feed, lane, sequence, &read);
	for (unsigned i = 0; i < count; i++) {
		hits[i].number = rig->hits[feed - 1][lane][sequence][i];
		if (is_wanted(trial, &hits[i], &read))
			(void)row_keep(&trial->wanted, &(struct hit_found){hits[i], read});
	}
}

static void ask_random(struct trial *trial)
{
	static const char *const patterns[] = {"1L0S*", "2L1S4?", "*S77", "?L?S1*", "3L0S12", "ZZ*"};
	struct prng *prng = &trial->prng;
	struct hit_query *query = &trial->query;
	int64_t begin = (int64_t)trial->rig->first_day * DAY_US;
	const char *pattern = patterns[prng_below(prng, sizeof(patterns) / sizeof(patterns[0]))];

	memset(query, 0, sizeof(*query));
	query->reads.from_us = begin + (int64_t)prng_below(prng, RIG_DAYS * DAY_US);
	query->reads.to_us = query->reads.from_us + 1 + (int64_t)prng_below(prng, 2 * DAY_US);
	if (prng_chance(prng, 300)) {
		query->reads.from_us = begin;
		query->reads.to_us = begin + RIG_DAYS * DAY_US;
	}
	query->reads.oldest_first = prng_chance(prng, 500);
	query->reads.restricted = prng_chance(prng, 300);
	query->reads.limit = 1 + (uint32_t)prng_below(prng, prng_chance(prng, 500) ? 20 : 2000);
	for (uint32_t list = 1; prng_chance(prng, 300) && list <= 3; list++)
		query->lists[query->list_count++] = list;
	query->kinds = prng_chance(prng, 300) ? 1 + (unsigned)prng_below(prng, 7) : 0;
	query->priority_min = prng_chance(prng, 300) ? (uint8_t)prng_below(prng, 101) : 0;
	if (prng_chance(prng, 400)) {
		CHECK_INT(0, glob_compile(pattern, strlen(pattern), &trial->glob));
		query->reads.key_glob = &trial->glob;
	}
	if (prng_chance(prng, 300)) {
		for (uint32_t camera = 1; camera <= 50; camera++)
			if (prng_chance(prng, 200))
				trial->cameras[query->reads.camera_count++] = camera;
		query->reads.cameras = trial->cameras;
	}
}

/* All pages of the answer; the way from one to the next goes through the cursor's text. */
static void search_all(struct trial *trial)
{
	char text[HIT_SEARCH_CURSOR_TEXT_SIZE];
	struct hit_search_cursor cursor;

	trial->given.count = 0;
	do {
		size_t before = trial->given.count;

		CHECK_INT(0, hit_search_run(trial->rig->store, &trial->query, &trial->rig->err, row_keep, &trial->given,
					    &trial->result, &cursor));
		CHECK(!trial->result.incomplete);
		CHECK_INT(trial->result.count, trial->given.count - before);
		CHECK(trial->result.count <= trial->query.reads.limit);
		if (!trial->result.truncated)
			break;
		CHECK_INT(trial->query.reads.limit, trial->result.count);
		hit_search_cursor_write(7, &cursor, text);
		CHECK_INT(-ESTALE, hit_search_cursor_read(8, text, &trial->query.cursor));
		CHECK_INT(0, hit_search_cursor_read(7, text, &trial->query.cursor));
	} while (true);
}

static void compare_once(struct trial *trial)
{
	struct rig *rig = trial->rig;

	ask_random(trial);
	trial->wanted.count = 0;
	for (uint32_t feed = 1; feed <= RIG_FEEDS; feed++)
		for (unsigned lane = 0; lane < FEED_LANE_COUNT; lane++)
			for (uint64_t sequence = 1; sequence < rig->next[feed - 1][lane]; sequence++)
				want(trial, feed, lane, sequence);
	oldest_first = trial->query.reads.oldest_first;
	qsort(trial->wanted.rows, trial->wanted.count, sizeof(*trial->wanted.rows), in_order);
	search_all(trial);
	CHECK_INT(trial->wanted.count, trial->given.count);
	for (size_t i = 0; i < trial->wanted.count; i++) {
		trial->wanted.rows[i].read.receipt_us = trial->given.rows[i].read.receipt_us;
		CHECK_MEM(&trial->wanted.rows[i].hit, &trial->given.rows[i].hit, sizeof(struct hit));
		CHECK_MEM(&trial->wanted.rows[i].read, &trial->given.rows[i].read, sizeof(struct read));
	}
	trial->query.reads.count_only = true;
	trial->query.cursor.set = false;
	CHECK_INT(0, hit_search_run(rig->store, &trial->query, &rig->err, NULL, NULL, &trial->result, NULL));
	CHECK_INT(trial->wanted.count, trial->result.count);
}

static void compare_some(struct trial *trial)
{
	rig_check(trial->rig, rig_verify(trial->rig), "reads");
	rig_check(trial->rig, rig_verify_hits(trial->rig), "hits");
	for (unsigned i = 0; i < 40; i++)
		compare_once(trial);
}

static void trial_init(struct trial *trial)
{
	struct key_change identity = {.id = {.id = 0, .day = KEY_DAY_NONE, .kind = KEY_IDENTITY}};

	memset(trial, 0, sizeof(*trial));
	trial->io = sim_new(check_seed());
	trial->rig = rig_new(trial->io, check_seed());
	trial->prng.state = check_seed();
	trial->wanted.rows = calloc(ANSWER_MAX, sizeof(struct hit_found));
	trial->given.rows = calloc(ANSWER_MAX, sizeof(struct hit_found));
	CHECK(trial->wanted.rows != NULL && trial->given.rows != NULL);
	rig_check_open(trial->rig, "open");
	CHECK_INT(0, keyring_change(store_keyring(trial->rig->store), &identity, 1));
	CHECK_INT(0, rig_close(trial->rig, true));
	rig_check_open(trial->rig, "open"); /* with the key that marks are made with */
}

static void trial_fini(struct trial *trial)
{
	rig_done(trial->rig, trial->io);
	free(trial->wanted.rows);
	free(trial->given.rows);
}

/* Erases and restricts some reads that are there. */
static void mark_some(struct trial *trial)
{
	struct rig *rig = trial->rig;

	for (unsigned i = 0; i < 60; i++) {
		uint32_t feed = 1 + (uint32_t)prng_below(&trial->prng, RIG_FEEDS);
		unsigned lane = (unsigned)prng_below(&trial->prng, FEED_LANE_COUNT);
		uint64_t sequence = prng_below(&trial->prng, rig->next[feed - 1][lane]);
		bool restrict_it = prng_chance(&trial->prng, 500);
		struct mark_order order = {.kind = restrict_it ? MARK_RESTRICTED : MARK_ERASED};
		struct read read;

		if (rig->fates[feed - 1][lane][sequence] != RIG_ACKED || rig->marked[feed - 1][lane][sequence])
			continue;
		rig_read(rig, feed, lane, sequence, &read);
		order.read = &read;
		memcpy(order.public_id, &(uint64_t){prng_next(&trial->prng)}, 8);
		CHECK_INT(0, marks_make(store_marks(rig->store), &order, &rig->err));
		rig->marked[feed - 1][lane][sequence] = true;
		trial->restricted[feed - 1][lane][sequence] = restrict_it;
	}
}

static void test_random(void)
{
	struct trial *trial = malloc(sizeof(*trial));

	CHECK(trial != NULL);
	trial_init(trial);
	for (unsigned round = 0; round < 4; round++) {
		rig_send_some(trial->rig, 60);
		rig_settle(trial->rig, 1000);
		compare_some(trial);
		if (round > 0)
			mark_some(trial);
		compare_some(trial);
		CHECK_INT(0, store_seal_all(trial->rig->store, INT64_C(5000000000)));
		compare_some(trial);
		while (tidier_round(trial->rig->store) == TIDIER_MORE)
			continue;
		compare_some(trial);
	}
	rig_send_some(trial->rig, 20);
	rig_settle(trial->rig, 1000);
	CHECK_INT(0, rig_purge(trial->rig, 1));
	compare_some(trial);
	trial_fini(trial);
	free(trial);
}

static bool give_up(void *context)
{
	return ++*(unsigned *)context > 1;
}

static void test_budgets(void)
{
	struct trial *trial = malloc(sizeof(*trial));
	struct hit_search_cursor cursor;
	struct hit_query *query;
	unsigned asked = 0;

	CHECK(trial != NULL);
	trial_init(trial);
	rig_send_some(trial->rig, 200);
	rig_settle(trial->rig, 1000);
	CHECK_INT(0, store_seal_all(trial->rig->store, INT64_C(5000000000)));
	query = &trial->query;
	*query = (struct hit_query){.reads = {.to_us = INT64_MAX / 2, .limit = 10000, .rows_max = 100}};
	CHECK_INT(0, hit_search_run(trial->rig->store, query, &trial->rig->err, row_keep, &trial->given, &trial->result,
				    &cursor));
	CHECK_INT(SEARCH_ROWS_MAX, trial->result.stop);
	CHECK(trial->result.incomplete);
	query->reads.rows_max = 0;
	query->reads.bytes_max = 1000;
	CHECK_INT(0, hit_search_run(trial->rig->store, query, &trial->rig->err, row_keep, &trial->given, &trial->result,
				    &cursor));
	CHECK_INT(SEARCH_BYTES_MAX, trial->result.stop);
	query->reads.bytes_max = 0;
	query->reads.cancelled = give_up;
	query->reads.context = &asked;
	CHECK_INT(0, hit_search_run(trial->rig->store, query, &trial->rig->err, row_keep, &trial->given, &trial->result,
				    &cursor));
	CHECK_INT(SEARCH_CANCELLED, trial->result.stop);
	query->reads.cancelled = NULL;
	query->reads.limit = 0;
	CHECK_INT(-EINVAL, hit_search_run(trial->rig->store, query, &trial->rig->err, row_keep, &trial->given,
					  &trial->result, &cursor));
	query->reads.limit = SEARCH_LIMIT_MAX + 1;
	CHECK_INT(-EINVAL, hit_search_run(trial->rig->store, query, &trial->rig->err, row_keep, &trial->given,
					  &trial->result, &cursor));
	trial_fini(trial);
	free(trial);
}

/* A row page that rotted: its hits are left out, the answer says so. */
static void test_damage(void)
{
	struct trial *trial = malloc(sizeof(*trial));
	struct catalog_segment *segments;
	struct hit_search_cursor cursor;
	char path[700], name[SEGMENT_NAME_SIZE];
	size_t count;

	CHECK(trial != NULL);
	trial_init(trial);
	rig_send_some(trial->rig, 100);
	rig_settle(trial->rig, 1000);
	CHECK_INT(0, store_seal_all(trial->rig->store, INT64_C(5000000000)));
	CHECK_INT(0, catalog_segments(store_catalog(trial->rig->store), INT32_MIN, INT32_MAX, &segments, &count));
	snprintf(path, sizeof(path), RIG_DIRECTORY "/segments/%s",
		 segment_name(segments[0].day, segments[0].id, ".seg", name));
	free(segments);
	CHECK_INT(0, sim_rot(trial->io, path, SEGMENT_HEADER_SIZE + 100, 4));
	trial->query = (struct hit_query){.reads = {.to_us = INT64_MAX / 2, .limit = 10000}};
	CHECK_INT(0, hit_search_run(trial->rig->store, &trial->query, &trial->rig->err, row_keep, &trial->given,
				    &trial->result, &cursor));
	CHECK(trial->result.incomplete);
	CHECK_INT(1, trial->result.faults);
	CHECK(strstr(trial->result.fault[0].err.text, name) != NULL);
	CHECK(trial->result.count > 0);
	trial_fini(trial);
	free(trial);
}

static void test_cursor_texts(void)
{
	struct prng prng = {check_seed()};
	char text[HIT_SEARCH_CURSOR_TEXT_SIZE];
	struct hit_search_cursor cursor, back;

	for (unsigned i = 0; i < 20000; i++) {
		cursor = (struct hit_search_cursor){
			.capture_us = (int64_t)prng_next(&prng), .number = prng_next(&prng), .set = true};
		hit_search_cursor_write(i, &cursor, text);
		CHECK_INT(0, hit_search_cursor_read(i, text, &back));
		CHECK(back.capture_us == cursor.capture_us && back.number == cursor.number);
		/* Any other text is refused, or is another place. */
		text[prng_below(&prng, strlen(text))] = (char)(1 + prng_below(&prng, 255));
		if (prng_chance(&prng, 300))
			text[prng_below(&prng, strlen(text) + 1)] = '\0';
		(void)hit_search_cursor_read(i, text, &back);
	}
	CHECK_INT(-EINVAL, hit_search_cursor_read(1, "", &back));
	CHECK_INT(-EINVAL, hit_search_cursor_read(1, "0x1", &back));
}

int main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{"random questions, against a plain list", test_random},
		{"budgets and cancelling end it", test_budgets},
		{"what cannot be read is named", test_damage},
		{"cursors come back, or are refused", test_cursor_texts},
		{NULL, NULL},
	};

	log_level_set(getenv("GANTRY_TEST_LOG") != NULL ? LOG_LEVEL_DEBUG : LOG_LEVEL_ERROR);
	return check_main(argc, argv, "hit_search", tests);
}
