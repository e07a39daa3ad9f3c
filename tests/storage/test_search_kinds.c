/*
 * Every kind of question against a plain model: exact, partial, tolerant, strict, without a key, not read; cameras,
 * areas and cameras that move; and consecutive reads of one camera.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/clock.h"
#include "appliance/base/glob.h"
#include "appliance/base/area.h"
#include "storage/consecutive.h"
#include "storage/key_plan.h"
#include "tests/check.h"
#include "tests/storage/search_plates.h"
#include "tests/storage/search_world.h"

/* A plain matcher, apart from glob.c. */
static bool matches(const char *pattern, const char *text)
{
	if (*pattern == '\0' || *text == '\0')
		return *text == '\0' && pattern[strspn(pattern, "*")] == '\0';
	if (*pattern == '*')
		return matches(pattern + 1, text) || matches(pattern, text + 1);
	return (*pattern == '?' || *pattern == *text) && matches(pattern + 1, text + 1);
}

/* A question as a person has it, and as search takes it. */
struct question {
	char key[32]; /* pattern; empty: none */
	char folded[32];
	char text[32];
	struct glob globs[3];
	struct area area;
	uint32_t cameras[PLATE_CAMERAS];
	struct search_roamer roamers[PLATE_CAMERAS];
	struct search_query query;
};

static bool model_in_area(const struct question *question, const struct read *read)
{
	for (size_t i = 0; question->query.area != NULL && i < question->query.roamer_count; i++)
		if (question->roamers[i].camera == read->camera)
			return (read->flags & READ_FLAG_POSITION) != 0
				       ? area_contains(&question->area, (struct area_point){read->lat_e7, read->lon_e7})
				       : question->roamers[i].inside;
	return true;
}

static bool model_vrm(const struct question *question, const struct read *read)
{
	char key[17] = "", folded[17] = "", text[17] = "";

	memcpy(key, read->key, 16);
	memcpy(text, read->text, 16);
	plate_fold(read->key, (uint8_t *)folded);
	if (question->query.not_read)
		return read->kind == READ_KIND_NOT_READ;
	if (read->kind != READ_KIND_VRM)
		return question->key[0] == '\0' && question->folded[0] == '\0' && question->text[0] == '\0' &&
		       !question->query.keyless;
	return (question->key[0] == '\0' || matches(question->key, key)) &&
	       (question->folded[0] == '\0' || matches(question->folded, folded)) &&
	       (question->text[0] == '\0' || matches(question->text, text)) &&
	       (!question->query.keyless || key[0] == '\0');
}

static bool model_wants(const struct question *question, const struct read *read)
{
	const struct search_query *query = &question->query;
	bool listed = query->cameras == NULL;

	for (size_t i = 0; i < query->camera_count; i++)
		listed = listed || query->cameras[i] == read->camera;
	return listed && read->capture_us >= query->from_us && read->capture_us < query->to_us &&
	       model_vrm(question, read) && model_in_area(question, read);
}

static int compare_oldest(const void *a, const void *b)
{
	const struct read *x = a, *y = b;

	return x->capture_us != y->capture_us ? (x->capture_us < y->capture_us ? -1 : 1) : fixture_compare(x, y);
}

static int compare_newest(const void *a, const void *b)
{
	const struct read *x = a, *y = b;

	return x->capture_us != y->capture_us ? (x->capture_us > y->capture_us ? -1 : 1) : fixture_compare(x, y);
}

static size_t model_answer(const struct world *world, const struct question *question, struct read *ret_rows)
{
	size_t count = 0;

	for (size_t i = 0; i < world->count; i++)
		if (model_wants(question, &world->rows[i]))
			ret_rows[count++] = world->rows[i];
	qsort(ret_rows, count, sizeof(*ret_rows), question->query.oldest_first ? compare_oldest : compare_newest);
	return count;
}

static void fill(struct world *world, struct prng *prng, unsigned batches, unsigned sealed)
{
	struct read rows[600];

	for (unsigned batch = 0; batch < batches; batch++) {
		size_t count = 1 + prng_below(prng, 600);

		for (size_t i = 0; i < count; i++) {
			rows[i] = plate_read(prng, FIXTURE_DAY + (int32_t)prng_below(prng, DAYS));
			if (i > 0 && prng_chance(prng, 80)) {
				rows[i] = rows[prng_below(prng, i)];
				rows[i].epoch += (uint32_t)prng_below(prng, 2);
			}
		}
		model_add(world, rows, count);
		if (batch < sealed)
			put_segments(world, rows, count);
		else
			(void)put_memory(world, rows, count);
	}
	settle(world);
}

/* From a plate that is there, some characters turned into wildcards. */
static void random_pattern(struct prng *prng, const uint8_t plate[16], char pattern[32])
{
	unsigned size = 0;

	for (unsigned i = 0; i < 16 && plate[i] != 0; i++) {
		if (prng_chance(prng, 120))
			pattern[size++] = '*';
		pattern[size++] = prng_chance(prng, 200) ? '?' : (char)plate[i];
	}
	if (size > 2 && prng_chance(prng, 200)) {
		size = 1 + (unsigned)prng_below(prng, size);
		pattern[size++] = '*';
	}
	if (size == 0)
		pattern[size++] = '*';
	pattern[size] = '\0';
}

static void ask_for_vrm(struct question *question, struct prng *prng, const struct read *read)
{
	struct search_query *query = &question->query;

	switch (prng_below(prng, 6)) {
	case 0:
		query->not_read = true;
		return;
	case 1:
		query->keyless = true;
		return;
	case 2:
		random_pattern(prng, read->key, question->key);
		CHECK_INT(0, glob_compile(question->key, strlen(question->key), &question->globs[0]));
		query->key_glob = &question->globs[0];
		break;
	default:
		random_pattern(prng, read->key, question->folded);
		if (prng_chance(prng, 300))
			(void)snprintf(question->folded, sizeof(question->folded), "%.16s",
				       read->key[0] != 0 ? (const char *)read->key : "?");
		for (char *c = question->folded; *c != '\0'; c++)
			*c = (char)plate_fold_one((uint8_t)*c);
		CHECK_INT(0, glob_compile(question->folded, strlen(question->folded), &question->globs[1]));
		query->folded_glob = &question->globs[1];
		query->fold = &plate_misreads;
	}
	if (prng_chance(prng, 200)) {
		random_pattern(prng, read->text, question->text);
		CHECK_INT(0, glob_compile(question->text, strlen(question->text), &question->globs[2]));
		query->text_glob = &question->globs[2];
	}
}

static void ask_for_place(struct question *question, struct prng *prng)
{
	struct search_query *query = &question->query;
	struct err err = {""};
	struct area_point centre = {510000000 + (int32_t)prng_below(prng, 100) * 100000,
				    -5000000 + (int32_t)prng_below(prng, 100) * 100000};
	int32_t reach = 1 + (int32_t)prng_below(prng, 5000000);
	struct area_point corners[4] = {{centre.lat_e7 - reach, centre.lon_e7},
					{centre.lat_e7, centre.lon_e7 + reach},
					{centre.lat_e7 + reach, centre.lon_e7},
					{centre.lat_e7, centre.lon_e7 - reach}};

	query->cameras = question->cameras;
	for (uint32_t camera = 1; camera <= PLATE_CAMERAS; camera++)
		if (prng_chance(prng, 400))
			question->cameras[query->camera_count++] = camera;
	if (prng_chance(prng, 300))
		return;
	query->area = &question->area;
	query->roamers = question->roamers;
	for (size_t i = 0; i < query->camera_count; i++)
		if (question->cameras[i] >= 7)
			question->roamers[query->roamer_count++] = (struct search_roamer){
				.camera = question->cameras[i], .inside = question->cameras[i] % 2 == 0};
	if (prng_chance(prng, 500))
		CHECK_INT(0, area_circle(centre, (uint32_t)reach / 100 + 1, &err, &question->area));
	else
		CHECK_INT(0, area_polygon(corners, 4, &err, &question->area));
}

static void random_question(struct question *question, struct prng *prng, const struct world *world)
{
	struct search_query *query = &question->query;

	memset(question, 0, sizeof(*question));
	query->from_us = (int64_t)FIXTURE_DAY * DAY_US;
	query->to_us = (int64_t)(FIXTURE_DAY + DAYS + 1) * DAY_US;
	if (prng_chance(prng, 500)) {
		query->from_us += (int64_t)prng_below(prng, DAYS * DAY_US);
		query->to_us = query->from_us + 1 + (int64_t)prng_below(prng, (uint64_t)DAY_US);
	}
	if (prng_chance(prng, 850))
		ask_for_vrm(question, prng, &world->rows[prng_below(prng, world->count)]);
	if (prng_chance(prng, 500))
		ask_for_place(question, prng);
	query->oldest_first = prng_chance(prng, 500);
	query->limit = 1 + (uint32_t)prng_below(prng, prng_chance(prng, 500) ? 20 : 5000);
}

static void check_count(struct world *world, struct search_query query, size_t expected, struct search_result *result)
{
	struct err err = {""};

	query.count_only = true;
	query.cursor = (struct search_cursor){.set = false};
	CHECK_INT(0, search_run(world->views, &query, &err, NULL, NULL, result));
	CHECK_INT(expected, result->count);
}

static void check_answer(struct world *world, struct question *question, struct answer *answer, struct read *expected,
			 struct search_result *result)
{
	size_t count = model_answer(world, question, expected);
	struct search_query query = question->query;
	struct err err = {""};

	answer->count = 0;
	do {
		CHECK_INT(0, search_run(world->views, &query, &err, keep_row, answer, result));
		CHECK(!result->incomplete);
		query.cursor = result->cursor;
	} while (result->truncated && answer->count < ROWS_MAX - SEARCH_LIMIT_MAX);
	CHECK_INT(count, answer->count);
	CHECK_MEM(expected, answer->rows, count * sizeof(*expected));
	check_count(world, query, count, result);
}

/* A row keeps its public id whatever was asked. */
static void check_ids(const struct answer *all, const struct answer *some)
{
	size_t at = 0;

	for (size_t i = 0; i < some->count; i++) {
		for (at = 0; at < all->count; at++)
			if (memcmp(all->ids[at], some->ids[i], SEARCH_PUBLIC_ID_SIZE) == 0)
				break;
		CHECK(at < all->count);
		CHECK_MEM(&all->rows[at], &some->rows[i], sizeof(struct read));
	}
}

static void ask_all_kinds(unsigned sealed)
{
	struct prng prng = {check_seed() + sealed};
	struct search_result *result = calloc(1, sizeof(*result));
	struct question *question = calloc(1, sizeof(*question));
	struct read *expected = calloc(ROWS_MAX, sizeof(*expected));
	struct answer answer, all;
	struct world world;
	unsigned found = 0;

	world_init(&world);
	answer_init(&answer);
	answer_init(&all);
	fill(&world, &prng, 8, sealed);
	question->query = (struct search_query){.from_us = INT64_MIN, .to_us = INT64_MAX, .limit = SEARCH_LIMIT_MAX};
	check_answer(&world, question, &all, expected, result);
	for (unsigned i = 0; i < 160; i++) {
		random_question(question, &prng, &world);
		check_answer(&world, question, &answer, expected, result);
		found += answer.count > 0;
		if (i % 10 == 0)
			check_ids(&all, &answer);
	}
	CHECK(found > 60);
	answer_fini(&answer);
	answer_fini(&all);
	free(expected);
	free(question);
	free(result);
	world_fini(&world);
}

static void all_kinds_in_the_memtable(void)
{
	ask_all_kinds(0);
}

static void all_kinds_in_segments(void)
{
	ask_all_kinds(8);
}

static void all_kinds_in_both(void)
{
	ask_all_kinds(4);
}

static bool in_ranges(const struct key_plan *plan, const uint8_t key[16])
{
	for (unsigned i = 0; i < plan->range_count; i++)
		if (memcmp(key, plan->ranges[i].low, 16) >= 0 && memcmp(key, plan->ranges[i].high, 16) <= 0)
			return true;
	return false;
}

/* Ranges in order and apart; a key that matches lies in one and passes the filter; a range that is enough is enough. */
static void key_plans_lose_nothing(void)
{
	struct prng prng = {check_seed()};
	unsigned written_out = 0, full = 0;

	for (unsigned i = 0; i < 3000; i++) {
		struct read of = plate_read(&prng, FIXTURE_DAY);
		struct search_query query = {.fold = &plate_misreads};
		char pattern[32], folded_pattern[32];
		struct key_plan plan;
		struct glob glob;

		random_pattern(&prng, of.key, pattern);
		for (unsigned c = 0; c < sizeof(pattern); c++)
			folded_pattern[c] = (char)plate_fold_one((uint8_t)pattern[c]);
		CHECK_INT(0, glob_compile(folded_pattern, strlen(folded_pattern), &glob));
		query.folded_glob = &glob;
		key_plan_init(&plan, &query, UINT64_C(1) << prng_below(&prng, 40));
		CHECK(plan.keyed && plan.has_filter && plan.range_count <= KEY_PLAN_RANGES_MAX);
		for (unsigned r = 0; r < plan.range_count; r++) {
			CHECK(memcmp(plan.ranges[r].low, plan.ranges[r].high, 16) <= 0);
			CHECK(r == 0 || memcmp(plan.ranges[r - 1].high, plan.ranges[r].low, 16) < 0);
		}
		written_out += plan.range_count > 1;
		full += plan.range_only && glob.exact && glob.size_min >= 3;
		for (unsigned k = 0; k < 40; k++) {
			struct read read = plate_read(&prng, FIXTURE_DAY);
			char folded[17] = "";
			bool wanted, found;

			if (k % 2 == 0) /* a misreading of the plate itself */
				for (unsigned c = 0; c < 16 && of.key[c] != 0; c++)
					do
						read.key[c] = (uint8_t)plate_alphabet[prng_below(&prng, 34)];
					while (plate_fold_one(read.key[c]) != plate_fold_one(of.key[c]));
			plate_fold(read.key, (uint8_t *)folded);
			wanted = matches(folded_pattern, folded);
			found = in_ranges(&plan, read.key) && key_plan_matches(&plan, read.key);
			CHECK(wanted == found);
			CHECK(!wanted || glob_match(&plan.filter, read.key));
		}
	}
	CHECK(written_out > 500);
	CHECK(full > 20);
}

/* An exact plate with misreads costs a few pages for each plate it may have been, not the dictionary. */
static void a_tolerant_exact_search_reads_few_pages(void)
{
	struct prng prng = {check_seed()};
	struct search_query query = {.from_us = INT64_MIN, .to_us = INT64_MAX, .limit = 100, .fold = &plate_misreads};
	struct trial trial;
	struct glob glob;

	trial_init(&trial);
	for (size_t i = 0; i < ROWS_MAX; i++) {
		trial.rows[i] = fixture_read(&prng, FIXTURE_DAY);
		trial.rows[i].kind = READ_KIND_VRM;
		trial.rows[i].camera = (uint32_t)i; /* no two are the same */
		memset(trial.rows[i].key, 0, 16);
		for (unsigned c = 0; c < 7; c++)
			trial.rows[i].key[c] = (uint8_t)plate_alphabet[prng_below(&prng, 34)];
	}
	memcpy(trial.rows[5].key, "AB12CDE", 7);
	memcpy(trial.rows[6].key, "A8I2C0E", 7);
	trial.rows[6].key[2] = '1';
	memcpy(trial.rows[7].key, "AB1ZCQE", 7);
	put_segments(&trial.world, trial.rows, ROWS_MAX);
	CHECK_INT(0, glob_compile("A812C0E", 7, &glob));
	query.folded_glob = &glob;
	CHECK_INT(0, trial_search(&trial, &query));
	CHECK(trial.result->count >= 3 && trial.result->count < 10);
	CHECK(trial.result->pages_read <= 12);
	CHECK_INT(1, trial.result->segments);
	trial_fini(&trial);
}

/* The first and the last N of a camera, with the ids that a search gives. */
static void consecutive_reads_agree_with_the_model(void)
{
	struct prng prng = {check_seed()};
	struct search_result *result = calloc(1, sizeof(*result));
	struct question *question = calloc(1, sizeof(*question));
	struct read *expected = calloc(ROWS_MAX, sizeof(*expected));
	struct answer answer, all;
	struct world world;
	struct err err = {""};

	world_init(&world);
	answer_init(&answer);
	answer_init(&all);
	fill(&world, &prng, 8, 4);
	question->query = (struct search_query){.from_us = INT64_MIN, .to_us = INT64_MAX, .limit = SEARCH_LIMIT_MAX};
	check_answer(&world, question, &all, expected, result);
	for (unsigned i = 0; i < 150; i++) {
		struct search_query *query = &question->query;
		size_t count, first;

		memset(question, 0, sizeof(*question));
		question->cameras[0] = 1 + (uint32_t)prng_below(&prng, PLATE_CAMERAS + 1);
		*query = (struct search_query){.cameras = question->cameras, .camera_count = 1};
		query->from_us = (int64_t)FIXTURE_DAY * DAY_US + (int64_t)prng_below(&prng, DAY_US);
		query->to_us = query->from_us + (int64_t)prng_below(&prng, (DAYS + 1) * DAY_US);
		if (prng_chance(&prng, 100))
			query->to_us = INT64_MAX;
		if (prng_chance(&prng, 100))
			query->from_us = INT64_MIN;
		query->oldest_first = true; /* for the model: the order of the answer */
		query->limit = 1 + (uint32_t)prng_below(&prng, prng_chance(&prng, 500) ? 10 : 500);
		count = model_answer(&world, question, expected);
		query->oldest_first = prng_chance(&prng, 500);
		answer.count = 0;
		CHECK_INT(0, consecutive_run(world.views, query, &err, keep_row, &answer, result));
		CHECK(!result->incomplete);
		CHECK_INT(count < query->limit ? count : query->limit, answer.count);
		CHECK_INT(answer.count, result->count);
		CHECK(result->truncated == (answer.count == query->limit));
		first = query->oldest_first ? 0 : count - answer.count;
		for (size_t row = 0; row < answer.count; row++) /* twins at the cut may be either of them */
			CHECK_INT(expected[first + row].capture_us, answer.rows[row].capture_us);
		for (size_t row = 1; row < answer.count; row++)
			CHECK(compare_oldest(&answer.rows[row - 1], &answer.rows[row]) <= 0);
		check_ids(&all, &answer);
	}
	answer_fini(&answer);
	answer_fini(&all);
	free(expected);
	free(question);
	free(result);
	world_fini(&world);
}

/* A busy camera's few reads do not cost its days: one of three is looked into. */
static void consecutive_reads_cost_what_they_are(void)
{
	struct prng prng = {check_seed()};
	uint32_t camera = 3;
	struct search_query query = {
		.from_us = INT64_MIN, .to_us = INT64_MAX, .limit = 50, .cameras = &camera, .camera_count = 1};
	struct trial trial;

	trial_init(&trial);
	for (size_t i = 0; i < ROWS_MAX; i++) {
		trial.rows[i] = plate_read(&prng, FIXTURE_DAY);
		trial.rows[i].capture_us = (int64_t)FIXTURE_DAY * DAY_US + (int64_t)i * (DAYS * DAY_US / ROWS_MAX);
		trial.rows[i].camera = i % 4 == 0 ? 3 : 4;
	}
	put_segments(&trial.world, trial.rows, ROWS_MAX);
	query.from_us = (int64_t)FIXTURE_DAY * DAY_US;
	query.to_us = query.from_us + DAYS * DAY_US;
	CHECK_INT(0, consecutive_run(trial.world.views, &query, &trial.err, keep_row, &trial.answer, trial.result));
	CHECK_INT(50, trial.result->count);
	CHECK(trial.answer.rows[49].capture_us >= query.to_us - DAYS * DAY_US / ROWS_MAX * 5);
	CHECK(trial.result->rows_seen < ROWS_MAX * 3 / 4);
	CHECK(trial.result->segments <= 2); /* the same one, once a step */
	trial.answer.count = 0;
	query.rows_max = 10;
	CHECK_INT(0, consecutive_run(trial.world.views, &query, &trial.err, keep_row, &trial.answer, trial.result));
	CHECK_INT(SEARCH_ROWS_MAX, trial.result->stop);
	CHECK(trial.result->incomplete);
	query.limit = SEARCH_LIMIT_MAX + 1;
	CHECK_INT(-EINVAL,
		  consecutive_run(trial.world.views, &query, &trial.err, keep_row, &trial.answer, trial.result));
	query.limit = 5;
	query.camera_count = 0;
	CHECK_INT(-EINVAL,
		  consecutive_run(trial.world.views, &query, &trial.err, keep_row, &trial.answer, trial.result));
	trial_fini(&trial);
}

int main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{"all kinds in the memtable", all_kinds_in_the_memtable},
		{"all kinds in segments", all_kinds_in_segments},
		{"all kinds in both", all_kinds_in_both},
		{"key plans lose nothing", key_plans_lose_nothing},
		{"a tolerant exact search reads few pages", a_tolerant_exact_search_reads_few_pages},
		{"consecutive reads agree with the model", consecutive_reads_agree_with_the_model},
		{"consecutive reads cost what they are", consecutive_reads_cost_what_they_are},
		{NULL, NULL},
	};

	return check_main(argc, argv, "search kinds", tests);
}
