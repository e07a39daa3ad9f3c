/*
 * Search against a plain model: the same random reads are laid out in memtable, segments, or both, and every layout has
 * to give what filtering one flat array gives.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "appliance/base/bytes.h"
#include "appliance/base/glob.h"
#include "storage/catalog.h"
#include "storage/memtable.h"
#include "storage/search.h"
#include "storage/segment_write.h"
#include "storage/view.h"
#include "tests/check.h"
#include "tests/storage/search_world.h"

static bool odd_cameras_only(void *context, uint32_t camera)
{
	(void)context;
	return camera % 2 == 1;
}

static bool model_wants(const struct search_query *query, const struct read *read)
{
	bool listed = query->cameras == NULL;

	if (read->capture_us < query->from_us || read->capture_us >= query->to_us)
		return false;
	for (size_t i = 0; i < query->camera_count; i++)
		listed = listed || query->cameras[i] == read->camera;
	if (!listed || (query->camera_allowed != NULL && !query->camera_allowed(NULL, read->camera)))
		return false;
	if (query->not_read)
		return read->kind == READ_KIND_NOT_READ;
	if (query->key_glob != NULL && (read->kind != READ_KIND_VRM || !glob_match(query->key_glob, read->key)))
		return false;
	return query->text_glob == NULL || (read->kind == READ_KIND_VRM && glob_match(query->text_glob, read->text));
}

static bool oldest_first;

static int compare_answer(const void *a, const void *b)
{
	const struct read *x = a;
	const struct read *y = b;

	if (x->capture_us != y->capture_us)
		return (x->capture_us < y->capture_us) == oldest_first ? -1 : 1;
	return fixture_compare(x, y);
}

static size_t model_answer(const struct world *world, const struct search_query *query, struct read *ret_rows)
{
	size_t count = 0;

	for (size_t i = 0; i < world->count; i++)
		if (model_wants(query, &world->rows[i]))
			ret_rows[count++] = world->rows[i];
	oldest_first = query->oldest_first;
	qsort(ret_rows, count, sizeof(*ret_rows), compare_answer);
	return count;
}

static const uint8_t cursor_key[32] = {1, 2, 3};

/* All pages of the answer, and the count, against the model. */
static void check_query(struct world *world, struct search_query *query, struct answer *answer, struct read *expected,
			struct search_result *result)
{
	size_t count = model_answer(world, query, expected);
	unsigned pages = 0;
	struct err err = {""};

	answer->count = 0;
	query->cursor = (struct search_cursor){.set = false};
	do {
		char text[SEARCH_CURSOR_TEXT_SIZE];
		size_t was = answer->count;

		CHECK_INT(0, search_run(world->views, query, &err, keep_row, answer, result));
		CHECK(!result->incomplete);
		CHECK_INT(answer->count - was, result->count);
		CHECK(result->count <= query->limit);
		CHECK(!result->truncated || result->count == query->limit);
		search_cursor_seal(cursor_key, 7, &result->cursor, text);
		CHECK_INT(0, search_cursor_open(cursor_key, 7, text, &query->cursor));
	} while (result->truncated && ++pages < ROWS_MAX);
	CHECK_INT(count, answer->count);
	CHECK_MEM(expected, answer->rows, count * sizeof(*expected));
	query->cursor = (struct search_cursor){.set = false};
	query->count_only = true;
	CHECK_INT(0, search_run(world->views, query, &err, NULL, NULL, result));
	CHECK_INT(count, result->count);
	query->count_only = false;
}

static const char *random_pattern(struct prng *prng, char pattern[32])
{
	static const char characters[] = "ABIO??*1";
	unsigned size = 1 + (unsigned)prng_below(prng, 6);

	for (unsigned i = 0; i < size; i++)
		pattern[i] = characters[prng_below(prng, 8)];
	if (prng_chance(prng, 300)) /* exact or a prefix is what people ask most */
		for (unsigned i = 0; i < size; i++)
			pattern[i] = "ABIO"[prng_below(prng, 4)];
	if (prng_chance(prng, 200))
		pattern[size++] = '*';
	pattern[size] = '\0';
	return pattern;
}

static void random_query(struct prng *prng, struct search_query *query, struct glob globs[2], uint32_t cameras[8])
{
	char pattern[32];

	*query = (struct search_query){.from_us = (int64_t)FIXTURE_DAY * DAY_US,
				       .to_us = (int64_t)(FIXTURE_DAY + DAYS) * DAY_US};
	if (prng_chance(prng, 600)) {
		query->from_us += (int64_t)prng_below(prng, DAYS * DAY_US);
		query->to_us = query->from_us + 1 +
			       (int64_t)prng_below(prng, (uint64_t)(prng_chance(prng, 500) ? DAY_US : DAY_US / 20));
	} else if (prng_chance(prng, 100)) {
		query->from_us = INT64_MIN;
		query->to_us = INT64_MAX;
	}
	if (prng_chance(prng, 700)) {
		random_pattern(prng, pattern);
		CHECK_INT(0, glob_compile(pattern, strlen(pattern), &globs[0]));
		query->key_glob = &globs[0];
	} else if (prng_chance(prng, 200)) {
		query->not_read = true;
	}
	if (!query->not_read && prng_chance(prng, 200)) {
		random_pattern(prng, pattern);
		CHECK_INT(0, glob_compile(pattern, strlen(pattern), &globs[1]));
		query->text_glob = &globs[1];
	}
	if (prng_chance(prng, 400)) {
		query->cameras = cameras;
		for (uint32_t camera = 1; camera <= 6; camera++)
			if (prng_chance(prng, 400))
				cameras[query->camera_count++] = camera;
	}
	if (prng_chance(prng, 200))
		query->camera_allowed = odd_cameras_only;
	query->oldest_first = prng_chance(prng, 500);
	query->limit = 1 + (uint32_t)prng_below(prng, prng_chance(prng, 500) ? 20 : 2000);
}

/* limit_min: large worlds are not paged through in small steps, each of which is a whole search. */
static void ask_much(struct world *world, struct prng *prng, unsigned queries, uint32_t limit_min)
{
	struct search_result *result = calloc(1, sizeof(*result));
	struct read *expected = calloc(ROWS_MAX, sizeof(*expected));
	struct answer answer;

	answer_init(&answer);
	for (unsigned i = 0; i < queries; i++) {
		struct search_query query;
		uint32_t cameras[8];
		struct glob globs[2];

		random_query(prng, &query, globs, cameras);
		query.limit += limit_min;
		check_query(world, &query, &answer, expected, result);
	}
	answer_fini(&answer);
	free(expected);
	free(result);
}

/* share: how many of ten batches go into segments. */
static void check_layout(unsigned share)
{
	struct prng prng = {check_seed() + share};
	struct read rows[400];
	struct world world;

	world_init(&world);
	for (unsigned batch = 0; batch < 10; batch++) {
		size_t count = 1 + prng_below(&prng, 400);

		for (size_t i = 0; i < count; i++) {
			rows[i] = fixture_read(&prng, FIXTURE_DAY + (int32_t)prng_below(&prng, DAYS));
			if (i > 0 && prng_chance(&prng, 100)) { /* a copy by another way, or a twin by the same */
				rows[i] = rows[prng_below(&prng, i)];
				rows[i].epoch += (uint32_t)prng_below(&prng, 2);
			}
		}
		model_add(&world, rows, count);
		if (batch < share)
			put_segments(&world, rows, count);
		else
			(void)put_memory(&world, rows, count);
	}
	settle(&world);
	ask_much(&world, &prng, 150, 0);
	world_fini(&world);
}

static void memtable_alone(void)
{
	check_layout(0);
}

static void segments_alone(void)
{
	check_layout(10);
}

static void both_together(void)
{
	check_layout(5);
}

/* Chunks so full that they have an order, and segments of many pages. */
static void large_parts(void)
{
	struct prng prng = {check_seed()};
	struct read *rows = calloc(ROWS_MAX, sizeof(*rows));
	struct world world;

	world_init(&world);
	for (size_t i = 0; i < ROWS_MAX; i++)
		rows[i] = fixture_read(&prng, FIXTURE_DAY + (int32_t)prng_below(&prng, DAYS));
	for (size_t i = 0; i < ROWS_MAX; i++) /* spread, or nearly all of them would be copies of each other */
		rows[i].capture_us += (int64_t)prng_below(&prng, 2000000000);
	model_add(&world, rows, ROWS_MAX);
	(void)put_memory(&world, rows, 34000);
	put_segments(&world, rows + 34000, ROWS_MAX - 34000);
	settle(&world);
	ask_much(&world, &prng, 12, 5000);
	world_fini(&world);
	free(rows);
}

static void list_all(struct world *world, struct answer *answer)
{
	struct search_query query = {.from_us = INT64_MIN, .to_us = INT64_MAX, .limit = SEARCH_LIMIT_MAX};
	struct search_result *result = calloc(1, sizeof(*result));
	struct err err = {""};

	answer->count = 0;
	CHECK_INT(0, search_run(world->views, &query, &err, keep_row, answer, result));
	CHECK(!result->truncated && !result->incomplete);
	free(result);
}

/* The whole answer, public ids included, before sealing, while a view is held over it, and after. */
static void sealing_changes_no_answer(void)
{
	struct prng prng = {check_seed()};
	struct segment_summary *summaries = calloc(DAYS, sizeof(*summaries));
	struct catalog_seal seal = {.journal_id = 4711, .segments = summaries};
	struct answer first, second;
	struct generation *generation;
	struct read rows[600];
	struct world world;
	struct view view;

	world_init(&world);
	answer_init(&first);
	answer_init(&second);
	for (size_t i = 0; i < 600; i++)
		rows[i] = fixture_read(&prng, FIXTURE_DAY + (int32_t)prng_below(&prng, DAYS));
	generation = put_memory(&world, rows, 600);
	list_all(&world, &first);
	CHECK(first.count > 100);
	CHECK_INT(0, view_take(world.views, FIXTURE_DAY, FIXTURE_DAY + DAYS, &view));
	seal.segment_count = write_days(&world, rows, 600, summaries);
	memtable_lock(world.memtable);
	CHECK_INT(0, catalog_seal(world.catalog, &seal));
	memtable_retire(world.memtable, generation);
	memtable_unlock(world.memtable);
	CHECK_INT(0, view.segment_count);
	CHECK_INT(1, view.memory.count);
	view_release(&view);
	list_all(&world, &second);
	CHECK_INT(first.count, second.count);
	CHECK_MEM(first.rows, second.rows, first.count * sizeof(*first.rows));
	CHECK_MEM(first.ids, second.ids, first.count * SEARCH_PUBLIC_ID_SIZE);
	for (size_t i = 0; i < first.count; i++)
		for (size_t j = 0; j < i; j++)
			CHECK(memcmp(first.ids[i], first.ids[j], SEARCH_PUBLIC_ID_SIZE) != 0);
	answer_fini(&first);
	answer_fini(&second);
	free(summaries);
	world_fini(&world);
}

/* Rot in one byte: every row given is a true one, the loss is named, and whatever else there was is there. */
static void rot_is_named_and_never_answered(void)
{
	struct prng prng = {check_seed()};
	struct search_result *result = calloc(1, sizeof(*result));
	struct search_query query = {.from_us = INT64_MIN, .to_us = INT64_MAX, .limit = SEARCH_LIMIT_MAX};
	struct read *rows = calloc(3000, sizeof(*rows));
	struct segment_summary summary;
	struct catalog_seal seal = {.journal_id = 1, .segments = &summary, .segment_count = 1};
	struct answer whole, part;
	struct world world;
	char path[700], name[SEGMENT_NAME_SIZE];
	struct err err = {""};
	struct glob glob;
	int fd;

	world_init(&world);
	answer_init(&whole);
	answer_init(&part);
	for (size_t i = 0; i < 3000; i++) {
		rows[i] = fixture_read(&prng, FIXTURE_DAY);
		rows[i].capture_us += (int64_t)prng_below(&prng, 2000000000);
	}
	CHECK_INT(0, fixture_write(&world.fixture, world.fixture.io, FIXTURE_DAY, 8, rows, 3000, NULL, 0, &summary));
	CHECK_INT(0, catalog_seal(world.catalog, &seal));
	list_all(&world, &whole);
	(void)snprintf(path, sizeof(path), "%s/%s", world.fixture.segments, segment_name(FIXTURE_DAY, 8, ".seg", name));
	fd = open(path, O_RDWR);
	CHECK(fd >= 0);
	CHECK_INT(0, glob_compile("?B*", 3, &glob));
	for (unsigned round = 0; round < 60; round++) {
		off_t at = SEGMENT_HEADER_SIZE + (off_t)prng_below(&prng, summary.top_offset - SEGMENT_HEADER_SIZE);
		size_t next = 0;
		uint8_t byte, bad;

		CHECK_INT(1, pread(fd, &byte, 1, at));
		bad = byte ^ 0x10;
		CHECK_INT(1, pwrite(fd, &bad, 1, at));
		query.key_glob = round % 2 == 0 ? NULL : &glob;
		part.count = 0;
		CHECK_INT(0, search_run(world.views, &query, &err, keep_row, &part, result));
		CHECK(result->incomplete == (result->faults > 0));
		CHECK(result->faults == 0 || strstr(result->fault[0].err.text, "page") != NULL);
		for (size_t i = 0; i < part.count; i++) { /* a subset, in order */
			while (next < whole.count && memcmp(&whole.rows[next], &part.rows[i], sizeof(struct read)) != 0)
				next++;
			CHECK(next < whole.count);
		}
		if (round % 2 == 0 && result->faults == 0)
			CHECK_INT(whole.count, part.count);
		CHECK_INT(1, pwrite(fd, &byte, 1, at));
	}
	close(fd);
	CHECK_INT(0, unlink(path));
	views_forget_day(world.views, FIXTURE_DAY); /* drops the open handle */
	query.key_glob = NULL;
	CHECK_INT(0, search_run(world.views, &query, &err, keep_row, &part, result));
	CHECK(result->incomplete);
	CHECK_INT(1, result->faults);
	CHECK_INT(0, catalog_purge_intend(world.catalog, FIXTURE_DAY, 1, "x", 1));
	CHECK_INT(0, search_run(world.views, &query, &err, keep_row, &part, result));
	CHECK(!result->incomplete); /* purged is not lost */
	CHECK_INT(0, result->count);
	answer_fini(&whole);
	answer_fini(&part);
	free(rows);
	free(result);
	world_fini(&world);
}

struct searcher {
	struct world *world;
	const struct answer *expected;
	atomic_bool *stop;
	unsigned searches;
	unsigned wrong;
};

static void *search_on(void *context)
{
	struct searcher *searcher = context;
	struct search_query query = {.from_us = INT64_MIN, .to_us = INT64_MAX, .limit = SEARCH_LIMIT_MAX};
	struct search_result *result = calloc(1, sizeof(*result));
	struct answer answer;

	answer_init(&answer);
	do {
		answer.count = 0;
		if (search_run(searcher->world->views, &query, NULL, keep_row, &answer, result) != 0 ||
		    result->incomplete || answer.count != searcher->expected->count ||
		    memcmp(answer.rows, searcher->expected->rows, answer.count * sizeof(*answer.rows)) != 0)
			searcher->wrong++;
		searcher->searches++;
	} while (!atomic_load(searcher->stop));
	answer_fini(&answer);
	free(result);
	return NULL;
}

/* Searchers ask all the time while generation after generation is sealed: every answer is the one answer. */
static void searchers_do_not_notice_the_sealer(void)
{
	enum { BATCHES = 12, ROWS = 200, SEARCHERS = 2 };
	struct prng prng = {check_seed()};
	struct segment_summary *summaries = calloc(DAYS, sizeof(*summaries));
	struct generation *generations[BATCHES];
	static struct read rows[BATCHES][ROWS];
	struct searcher searchers[SEARCHERS];
	pthread_t threads[SEARCHERS];
	atomic_bool stop = false;
	struct answer expected;
	struct world world;

	world_init(&world);
	answer_init(&expected);
	for (unsigned b = 0; b < BATCHES; b++) {
		for (unsigned i = 0; i < ROWS; i++)
			rows[b][i] = fixture_read(&prng, FIXTURE_DAY + (int32_t)prng_below(&prng, DAYS));
		generations[b] = put_memory(&world, rows[b], ROWS);
	}
	list_all(&world, &expected);
	for (unsigned t = 0; t < SEARCHERS; t++) {
		searchers[t] = (struct searcher){.world = &world, .expected = &expected, .stop = &stop};
		CHECK_INT(0, pthread_create(&threads[t], NULL, search_on, &searchers[t]));
	}
	for (unsigned b = 0; b < BATCHES; b++) {
		struct catalog_seal seal = {.journal_id = 9000 + b, .segments = summaries};

		seal.segment_count = write_days(&world, rows[b], ROWS, summaries);
		memtable_lock(world.memtable);
		CHECK_INT(0, catalog_seal(world.catalog, &seal));
		memtable_retire(world.memtable, generations[b]);
		memtable_unlock(world.memtable);
	}
	atomic_store(&stop, true);
	for (unsigned t = 0; t < SEARCHERS; t++) {
		CHECK_INT(0, pthread_join(threads[t], NULL));
		CHECK_INT(0, searchers[t].wrong);
		CHECK(searchers[t].searches > 0);
	}
	answer_fini(&expected);
	free(summaries);
	world_fini(&world);
}

/* A search that comes while the sealer commits waits for it, and sees the rows on one side or the other. */
static void a_view_waits_for_the_sealer(void)
{
	struct prng prng = {check_seed()};
	struct segment_summary *summaries = calloc(DAYS, sizeof(*summaries));
	struct catalog_seal seal = {.journal_id = 9000, .segments = summaries};
	struct generation *generation;
	struct searcher searcher;
	struct read rows[100];
	struct answer expected;
	struct world world;
	atomic_bool stop = true; /* one search */
	pthread_t thread;

	world_init(&world);
	answer_init(&expected);
	for (unsigned i = 0; i < 100; i++)
		rows[i] = fixture_read(&prng, FIXTURE_DAY);
	generation = put_memory(&world, rows, 100);
	list_all(&world, &expected);
	seal.segment_count = write_days(&world, rows, 100, summaries);
	searcher = (struct searcher){.world = &world, .expected = &expected, .stop = &stop};
	memtable_lock(world.memtable);
	CHECK_INT(0, pthread_create(&thread, NULL, search_on, &searcher));
	usleep(50000);
	CHECK_INT(0, catalog_seal(world.catalog, &seal));
	memtable_retire(world.memtable, generation);
	memtable_unlock(world.memtable);
	CHECK_INT(0, pthread_join(thread, NULL));
	CHECK_INT(1, searcher.searches);
	CHECK_INT(0, searcher.wrong);
	answer_fini(&expected);
	free(summaries);
	world_fini(&world);
}

/* A generation's rows by day, with their hits: what the sealer gives to segment_write. */
static void batches_hold_every_row_and_hit(void)
{
	enum { COUNT = 3000 };
	struct prng prng = {check_seed()};
	struct segment_batches batches;
	struct generation *generation;
	struct read *rows = calloc(COUNT, sizeof(*rows));
	unsigned taken = 0, hits = 0;
	struct world world;

	world_init(&world);
	for (unsigned i = 0; i < COUNT; i++) {
		rows[i] = fixture_read(&prng, FIXTURE_DAY - (int32_t)prng_below(&prng, 9));
		rows[i].receipt_us = i; /* says which one it is */
	}
	generation = put_memory(&world, rows, COUNT);
	CHECK(memtable_reserve_recovery(world.memtable, generation, 0, 0, COUNT / 10));
	for (unsigned i = 0; i < COUNT; i += 10) {
		struct chunk *chunk = generation->last;

		chunk->hits[chunk->hit_count++] = (struct hit){.row = i, .entry = i};
		atomic_store_explicit(&chunk->hits_durable, chunk->hit_count, memory_order_release);
	}
	CHECK_INT(0, segment_batches_init(&batches, generation, NULL));
	for (size_t d = 0; d < batches.day_count; d++) {
		const struct segment_batch *batch = &batches.days[d];

		CHECK(d == 0 || batches.days[d - 1].day < batch->day);
		for (size_t i = 0; i < batch->row_count; i++, taken++) {
			CHECK_INT(batch->day, read_day(batch->rows[i]->capture_us));
			CHECK_MEM(&rows[batch->rows[i]->receipt_us], batch->rows[i], sizeof(struct read));
		}
		for (size_t i = 0; i < batch->hit_count; i++, hits++)
			CHECK_INT(batch->hits[i].entry, batch->rows[batch->hits[i].row]->receipt_us);
	}
	CHECK_INT(COUNT, taken);
	CHECK_INT(COUNT / 10, hits);
	segment_batches_fini(&batches);
	free(rows);
	world_fini(&world);
}

static void cursors_from_outside_are_checked(void)
{
	struct search_cursor cursor = {.set = true, .ordinal = 3};
	struct prng prng = {check_seed()};
	struct search_cursor back;
	char text[SEARCH_CURSOR_TEXT_SIZE];
	size_t size;

	cursor.last = fixture_wild_read(&prng, FIXTURE_DAY);
	memset(cursor.last.zero, 0, 3);
	search_cursor_seal(cursor_key, 7, &cursor, text);
	CHECK_INT(0, search_cursor_open(cursor_key, 7, text, &back));
	CHECK_MEM(&cursor.last, &back.last, sizeof(back.last));
	CHECK_INT(3, back.ordinal);
	size = strlen(text);
	for (size_t i = 0; i < size; i++) {
		char was = text[i];

		text[i] = was == '0' ? '1' : '0';
		CHECK_INT(-EINVAL, search_cursor_open(cursor_key, 7, text, &back));
		text[i] = was;
	}
	for (size_t cut = 1; cut < size; cut++) {
		text[size - cut] = '\0';
		CHECK_INT(-EINVAL, search_cursor_open(cursor_key, 7, text, &back));
	}
	CHECK_INT(-EINVAL, search_cursor_open(cursor_key, 7, "zz", &back));
	CHECK_INT(0, search_cursor_open(cursor_key, 7, "", &back));
	CHECK(!back.set);
}

/* It is handed to a client, kept in scripts, and given back: nothing of the row is in it for them. */
static void cursors_tell_nothing_and_fit_one_question(void)
{
	struct search_cursor cursor = {.set = true, .last = {.key = "AB12CDE", .text = "AB12 CDE", .camera = 9}};
	const uint8_t other_key[32] = {9};
	struct search_cursor back;
	char text[SEARCH_CURSOR_TEXT_SIZE], again[SEARCH_CURSOR_TEXT_SIZE], plain[2 * 7 + 1];

	search_cursor_seal(cursor_key, 7, &cursor, text);
	search_cursor_seal(cursor_key, 7, &cursor, again);
	hex_encode("AB12CDE", 7, plain);
	CHECK(strstr(text, plain) == NULL);
	CHECK(strcmp(text, again) != 0);
	CHECK_INT(-ESTALE, search_cursor_open(cursor_key, 8, text, &back));
	CHECK_INT(-EINVAL, search_cursor_open(other_key, 7, text, &back));
}

static bool always(void *context)
{
	(void)context;
	return true;
}

static void budgets_stop_and_say_so(void)
{
	struct prng prng = {check_seed()};
	struct search_result *result = calloc(1, sizeof(*result));
	struct search_query query = {.from_us = INT64_MIN, .to_us = INT64_MAX, .count_only = true, .rows_max = 2000};
	struct read *rows = calloc(20000, sizeof(*rows));
	struct world world;
	struct err err = {""};

	world_init(&world);
	for (size_t i = 0; i < 20000; i++)
		rows[i] = fixture_read(&prng, FIXTURE_DAY);
	put_segments(&world, rows, 20000);
	CHECK_INT(0, search_run(world.views, &query, &err, NULL, NULL, result));
	CHECK_INT(SEARCH_ROWS_MAX, result->stop);
	CHECK(result->incomplete && result->rows_seen < 4000);
	query.rows_max = 0;
	query.bytes_max = 30000;
	CHECK_INT(0, search_run(world.views, &query, &err, NULL, NULL, result));
	CHECK_INT(SEARCH_BYTES_MAX, result->stop);
	query.bytes_max = 0;
	query.cancelled = always;
	CHECK_INT(0, search_run(world.views, &query, &err, NULL, NULL, result));
	CHECK_INT(SEARCH_CANCELLED, result->stop);
	query.cancelled = NULL;
	query.count_only = false;
	CHECK_INT(-EINVAL, search_run(world.views, &query, &err, NULL, NULL, result));
	query.limit = SEARCH_LIMIT_MAX + 1;
	CHECK_INT(-EINVAL, search_run(world.views, &query, &err, NULL, NULL, result));
	free(rows);
	free(result);
	world_fini(&world);
}

static void an_exact_search_reads_few_pages(void)
{
	struct prng prng = {check_seed()};
	struct search_query query = {.from_us = INT64_MIN, .to_us = INT64_MAX, .limit = 10};
	struct trial trial;
	struct glob glob;

	trial_init(&trial);
	for (size_t i = 0; i < 30000; i++) {
		trial.rows[i] = fixture_read(&prng, FIXTURE_DAY);
		trial.rows[i].kind = READ_KIND_VRM;
		memset(trial.rows[i].key, 0, 16);
		(void)snprintf((char *)trial.rows[i].key, 16, "K%06u", (unsigned)(i * 7919 % 30011));
		trial.rows[i].receipt_us = trial.rows[i].capture_us + (int64_t)i; /* no two are the same */
		trial.rows[i].camera = (uint32_t)i;
		if (i % 10 == 3)
			memcpy(trial.rows[i].key, "K015000", 8); /* over several pages */
		if (i % 10 == 4) {
			memset(trial.rows[i].key, 0, 16);
			memset(trial.rows[i].text, 0, 16);
			trial.rows[i].kind = READ_KIND_NOT_READ;
		}
	}
	put_segments(&trial.world, trial.rows, 30000);
	CHECK_INT(0, glob_compile("K007919", 7, &glob));
	query.key_glob = &glob;
	CHECK_INT(0, trial_search(&trial, &query));
	CHECK_INT(1, trial.result->count);
	CHECK(trial.result->pages_read <= 3);
	CHECK_INT(0, glob_compile("K015000", 7, &glob));
	query.count_only = true;
	CHECK_INT(0, trial_search(&trial, &query));
	CHECK_INT(3000, trial.result->count);
	CHECK_INT(0, glob_compile("K01500?", 7, &glob));
	CHECK_INT(0, trial_search(&trial, &query));
	CHECK(trial.result->count >= 3000 && trial.result->count < 3010);
	query.key_glob = NULL;
	query.not_read = true;
	CHECK_INT(0, trial_search(&trial, &query));
	CHECK_INT(3000, trial.result->count);
	CHECK(trial.result->pages_read <= 9);
	trial_fini(&trial);
}

int main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{"the memtable alone answers like the model", memtable_alone},
		{"segments alone answer like the model", segments_alone},
		{"memtable and segments together answer like the model", both_together},
		{"large parts answer like the model", large_parts},
		{"sealing changes no answer and no public id", sealing_changes_no_answer},
		{"searchers do not notice the sealer", searchers_do_not_notice_the_sealer},
		{"a view waits for the sealer", a_view_waits_for_the_sealer},
		{"batches hold every row and hit", batches_hold_every_row_and_hit},
		{"cursors from outside are checked", cursors_from_outside_are_checked},
		{"cursors tell nothing and fit one question", cursors_tell_nothing_and_fit_one_question},
		{"rot is named and never answered", rot_is_named_and_never_answered},
		{"budgets stop a search and say so", budgets_stop_and_say_so},
		{"an exact search reads few pages", an_exact_search_reads_few_pages},
		{NULL, NULL},
	};

	return check_main(argc, argv, "search", tests);
}
