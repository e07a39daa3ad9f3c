/*
 * The reads of a search: on a simulated disk that gives them in any order and fails any one of them, with the search
 * cut off while they are in flight. Whatever happens, rows given are true ones, and what is missing was named.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/glob.h"
#include "storage/fetch.h"
#include "tests/check.h"
#include "tests/storage/search_world.h"
#include "tests/storage/sim_io.h"

#define ROWS 6000
#define KINDS 8

/* A world whose segments, several a day, lie on a simulated disk. */
struct bench {
	struct world world;
	struct io *real;
	struct io *sim;
	struct search_result *result;
	struct search_result *again;
	struct answer whole;
	struct answer part;
};

static void new_views(struct bench *bench)
{
	struct views_options options = {.io = bench->sim,
					.keyring = bench->world.fixture.keyring,
					.catalog = bench->world.catalog,
					.memtable = bench->world.memtable,
					.segments_directory = bench->world.fixture.segments};

	views_free(bench->world.views);
	CHECK_INT(0, views_new(&options, &bench->world.views));
}

static void bench_init(struct bench *bench, unsigned batches)
{
	struct prng prng = {check_seed()};
	struct read *rows = calloc(ROWS, sizeof(*rows));

	memset(bench, 0, sizeof(*bench));
	world_init(&bench->world);
	bench->real = bench->world.fixture.io;
	bench->sim = sim_new(check_seed());
	bench->world.fixture.io = bench->sim;
	CHECK_INT(0, bench->sim->ops->mkdir(bench->sim, bench->world.fixture.segments));
	new_views(bench);
	for (size_t i = 0; i < ROWS; i++) {
		rows[i] = fixture_read(&prng, FIXTURE_DAY + (int32_t)prng_below(&prng, DAYS));
		rows[i].capture_us += (int64_t)prng_below(&prng, 2000000000);
	}
	for (unsigned batch = 0; batch < batches; batch++)
		put_segments(&bench->world, rows + batch * (ROWS / batches), ROWS / batches);
	model_add(&bench->world, rows, ROWS / batches * batches);
	settle(&bench->world);
	bench->result = calloc(1, sizeof(*bench->result));
	bench->again = calloc(1, sizeof(*bench->again));
	answer_init(&bench->whole);
	answer_init(&bench->part);
	free(rows);
}

static void bench_fini(struct bench *bench)
{
	answer_fini(&bench->whole);
	answer_fini(&bench->part);
	free(bench->result);
	free(bench->again);
	bench->world.fixture.io = bench->real;
	world_fini(&bench->world);
	sim_free(bench->sim);
}

struct question {
	struct search_query query;
	struct glob glob;
	uint32_t cameras[2];
};

/* One of each way to find rows. */
static void question_of(unsigned kind, struct question *question)
{
	static const char *const patterns[KINDS] = {"AB", "A*", "?B", "*A", "*", NULL, NULL, NULL};
	struct search_query *query = &question->query;

	*query = (struct search_query){.from_us = (int64_t)FIXTURE_DAY * DAY_US,
				       .to_us = (int64_t)(FIXTURE_DAY + DAYS) * DAY_US,
				       .limit = SEARCH_LIMIT_MAX,
				       .oldest_first = kind % 2 == 1};
	if (patterns[kind] != NULL) {
		CHECK_INT(0, glob_compile(patterns[kind], strlen(patterns[kind]), &question->glob));
		query->key_glob = &question->glob;
	}
	query->not_read = kind == 5;
	if (kind == 6) {
		question->cameras[0] = 2;
		question->cameras[1] = 5;
		query->cameras = question->cameras;
		query->camera_count = 2;
	}
}

/* `part` gives rows of `whole` only, in its order. */
static void check_subset(const struct bench *bench)
{
	size_t next = 0;

	for (size_t i = 0; i < bench->part.count; i++) {
		while (next < bench->whole.count &&
		       memcmp(&bench->whole.rows[next], &bench->part.rows[i], sizeof(struct read)) != 0)
			next++;
		CHECK(next++ < bench->whole.count);
	}
}

static void ask(struct bench *bench, const struct search_query *query, struct answer *answer,
		struct search_result *result)
{
	struct err err = {""};

	answer->count = 0;
	CHECK_INT(0, search_run(bench->world.views, query, &err, keep_row, answer, result));
}

/* Its whole answer, to compare with. */
static void question_ask(struct bench *bench, unsigned kind, struct question *question)
{
	question_of(kind, question);
	ask(bench, &question->query, &bench->whole, bench->result);
}

/* Each read in turn fails, cold and then with the segments open, until one run has none left to fail. */
static void every_read_fails_once(void)
{
	static const int errors[] = {EIO, ENODEV};
	struct bench bench;
	unsigned runs = 0, faults = 0;

	bench_init(&bench, 2);
	for (unsigned kind = 0; kind < KINDS; kind++) {
		struct question question;

		question_ask(&bench, kind, &question);
		CHECK(!bench.result->incomplete && bench.whole.count > 0);
		for (uint64_t nth = 0, failed = 1; failed > 0; nth++, runs++) {
			new_views(&bench); /* opens every segment again */
			sim_fail(bench.sim, SIM_READ, nth, 1, errors[nth % 2]);
			ask(&bench, &question.query, &bench.part, bench.again);
			failed = bench.again->faults;
			faults += failed > 0;
			sim_fail(bench.sim, 0, 0, 0, 0);
			CHECK(bench.again->incomplete == (failed > 0));
			CHECK(failed == 0 || bench.again->fault[0].err.text[0] != '\0');
			check_subset(&bench);
			if (failed == 0)
				CHECK_INT(bench.whole.count, bench.part.count);
		}
	}
	check_note("%u runs, %u with a fault", runs, faults);
	CHECK(faults > KINDS * 6);
	bench_fini(&bench);
}

/* From some read on all fail: everything that could not be read is named, nothing hangs. */
static void the_disk_goes_away(void)
{
	struct bench bench;

	bench_init(&bench, 2);
	for (unsigned kind = 0; kind < KINDS; kind++) {
		struct question question;

		question_ask(&bench, kind, &question);
		for (uint64_t nth = 0; nth < 40; nth += 3) {
			new_views(&bench);
			sim_fail(bench.sim, SIM_READ, nth, UINT64_MAX, EIO);
			ask(&bench, &question.query, &bench.part, bench.again);
			CHECK(nth > 0 || (bench.again->faults > 0 && bench.part.count == 0));
			check_subset(&bench);
			sim_fail(bench.sim, 0, 0, 0, 0);
		}
	}
	bench_fini(&bench);
}

struct patience {
	unsigned left;
};

static bool loses_patience(void *context)
{
	struct patience *patience = context;

	return patience->left == 0 || --patience->left == 0;
}

/* Cut off at each moment at which it asks: reads in flight must not land in memory that is gone. */
static void it_is_cancelled_at_every_moment(void)
{
	struct bench bench;
	unsigned cut = 0;

	bench_init(&bench, 3);
	for (unsigned kind = 0; kind < KINDS; kind++) {
		struct patience patience;
		struct question question;

		question_ask(&bench, kind, &question);
		question.query.cancelled = loses_patience;
		question.query.context = &patience;
		for (unsigned moment = 1; moment < 200; moment++) {
			patience.left = moment;
			new_views(&bench);
			ask(&bench, &question.query, &bench.part, bench.again);
			check_subset(&bench);
			if (bench.again->stop == SEARCH_DONE)
				break;
			CHECK_INT(SEARCH_CANCELLED, bench.again->stop);
			CHECK(bench.again->incomplete);
			cut++;
		}
	}
	check_note("cut off %u times", cut);
	CHECK(cut > KINDS * 3);
	bench_fini(&bench);
}

/* The same with the limit: what was read ahead in vain is let go. */
static void it_ends_early(void)
{
	struct bench bench;

	bench_init(&bench, 3);
	for (unsigned kind = 0; kind < KINDS; kind++) {
		struct question question;

		question_ask(&bench, kind, &question);
		for (uint32_t limit = 1; limit < 40; limit += 7) {
			question.query.limit = limit;
			ask(&bench, &question.query, &bench.part, bench.again);
			CHECK_INT(limit < bench.whole.count ? limit : bench.whole.count, bench.part.count);
			CHECK_MEM(bench.whole.rows, bench.part.rows, bench.part.count * sizeof(struct read));
		}
	}
	bench_fini(&bench);
}

/* A fault in a day that the search never came to is none. */
static void faults_ahead_are_not_told_early(void)
{
	struct search_query query = {.from_us = INT64_MIN, .to_us = INT64_MAX, .limit = 5};
	char name[SEGMENT_NAME_SIZE], path[800];
	struct bench bench;
	struct view view;
	struct glob glob;

	bench_init(&bench, 1);
	CHECK_INT(0, glob_compile("?*", 2, &glob));
	query.key_glob = &glob;
	CHECK_INT(0, view_take(bench.world.views, FIXTURE_DAY, FIXTURE_DAY, &view));
	CHECK_INT(1, view.segment_count);
	(void)snprintf(path, sizeof(path), "%s/%s", bench.world.fixture.segments,
		       segment_name(FIXTURE_DAY, view.segments[0].id, ".seg", name));
	view_release(&view);
	for (unsigned kind = 0; kind < 2; kind++) {
		new_views(&bench);
		if (kind == 0)
			CHECK_INT(0, sim_deny(bench.sim, path, EACCES));
		else
			for (uint64_t at = SEGMENT_HEADER_SIZE; sim_rot(bench.sim, path, at, 1) == 0; at += 64)
				;
		query.oldest_first = false;
		ask(&bench, &query, &bench.part, bench.result);
		CHECK_INT(5, bench.part.count);
		CHECK(bench.result->truncated && !bench.result->incomplete);
		query.oldest_first = true;
		ask(&bench, &query, &bench.part, bench.result);
		CHECK(bench.result->incomplete);
		CHECK_INT(0, sim_deny(bench.sim, path, 0));
	}
	bench_fini(&bench);
}

/* Segments whose files became shorter after they were opened. */
static void files_cut_short(void)
{
	struct bench bench;
	struct question question;
	struct view view;

	bench_init(&bench, 1);
	question_ask(&bench, 7, &question);
	CHECK_INT(0, view_take(bench.world.views, FIXTURE_DAY, FIXTURE_DAY + DAYS, &view));
	for (uint64_t size = view.segments[0].file_size; size > 20000; size -= 7001) {
		char name[SEGMENT_NAME_SIZE], path[800];

		(void)snprintf(path, sizeof(path), "%s/%s", bench.world.fixture.segments,
			       segment_name(view.segments[0].day, view.segments[0].id, ".seg", name));
		CHECK_INT(0, sim_truncate(bench.sim, path, size - 7001));
		ask(&bench, &question.query, &bench.part, bench.again);
		check_subset(&bench);
	}
	CHECK(bench.again->incomplete);
	view_release(&view);
	bench_fini(&bench);
}

/* More in flight than the disk takes, large and small, urgent and dropped: each comes once with its bytes. */
static void the_queue_keeps_its_bounds(void)
{
	enum { READS = 300, SIZE = 2 << 20 };
	struct prng prng = {check_seed()};
	struct fetch_read *reads = calloc(READS, sizeof(*reads));
	uint8_t *bytes = malloc(SIZE);
	struct io *sim = sim_new(check_seed());
	struct io_file *file;
	struct fetch *fetch;
	bool signal = false;
	unsigned done = 0;

	for (size_t i = 0; i < SIZE; i++)
		bytes[i] = (uint8_t)prng_next(&prng);
	CHECK_INT(0, sim->ops->mkdir(sim, "/d"));
	CHECK_INT(0, sim_put(sim, "/d/f", bytes, SIZE - 1000));
	CHECK_INT(0, sim->ops->open(sim, "/d/f", IO_READ | IO_DIRECT, &file));
	CHECK_INT(0, fetch_new(sim, &fetch));
	for (unsigned i = 0; i < READS; i++) {
		uint32_t size = 1 + (uint32_t)prng_below(&prng, prng_chance(&prng, 500) ? 9000 : FETCH_SIZE_MAX);

		fetch_start(fetch, &reads[i], file, prng_below(&prng, SIZE - size), size, &signal);
		if (prng_chance(&prng, 200))
			fetch_urge(fetch, &reads[i]);
		if (prng_chance(&prng, 300))
			(void)fetch_poll(fetch);
		if (prng_chance(&prng, 200))
			fetch_release(fetch, &reads[prng_below(&prng, i + 1)]);
	}
	for (unsigned i = 0; i < READS; i++) {
		if (reads[i].state == FETCH_IDLE)
			continue;
		fetch_urge(fetch, &reads[i]);
		while (!fetch_done(&reads[i]))
			fetch_wait(fetch);
		if (reads[i].offset + reads[i].size > SIZE - 1000) {
			CHECK_INT(-EBADMSG, reads[i].result);
		} else {
			CHECK_INT(0, reads[i].result);
			CHECK_MEM(bytes + reads[i].offset, fetch_bytes(&reads[i]), reads[i].size);
		}
		fetch_release(fetch, &reads[i]);
		done++;
	}
	CHECK(signal && done > READS / 2);
	fetch_free(fetch);
	file->ops->close(file);
	sim_free(sim);
	free(bytes);
	free(reads);
}

int main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{"the queue keeps its bounds", the_queue_keeps_its_bounds},
		{"every read fails once", every_read_fails_once},
		{"the disk goes away", the_disk_goes_away},
		{"it is cancelled at every moment", it_is_cancelled_at_every_moment},
		{"it ends early", it_ends_early},
		{"faults ahead are not told early", faults_ahead_are_not_told_early},
		{"files cut short", files_cut_short},
		{NULL, NULL},
	};

	return check_main(argc, argv, "search reads", tests);
}
