/* Rewriting under rules: batches of reads and hits against a plain model, and copies for cases. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/log.h"
#include "storage/io.h"
#include "storage/rewrite.h"
#include "storage/sealer.h"
#include "storage/segment_read.h"
#include "storage/segment_write.h"
#include "storage/store_internal.h"
#include "storage/view.h"
#include "tests/check.h"
#include "tests/storage/rewrite_rig.h"
#include "tests/storage/rig_check.h"
#include "tests/storage/segment_fixture.h"
#include "tests/storage/sim_io.h"
#include "tests/storage/store_rig.h"

#define MODEL_MAX 6000

struct model_hit {
	struct read row; /* of the sender's fields only */
	uint32_t list;
	uint32_t entry;
};

struct model {
	struct rig *rig;
	struct prng prng;
	int32_t day;
	struct read rows[MODEL_MAX]; /* all that were put in and not dropped */
	size_t count;
	struct model_hit hits[MODEL_MAX];
	size_t hit_count;
	uint64_t put; /* rows ever */
	uint64_t next_id;
	uint64_t last_hit; /* count of its number */
};

static struct read sender_only(const struct read *row)
{
	struct read bare = *row;

	bare.feed = bare.epoch = 0;
	bare.receipt_us = 0;
	bare.flags &= READ_FLAGS_SENDER;
	return bare;
}

static void model_put(struct model *model, const struct read *rows, size_t count, const struct hit *hits,
		      size_t hit_count)
{
	struct rig *rig = model->rig;
	const struct read *pointers[512];
	uint64_t lineage = model->next_id + 500000;
	struct segment_input input = {.id = model->next_id++,
				      .day = model->day,
				      .key_version = 1,
				      .lineage_kind = SEGMENT_FROM_JOURNALS,
				      .lineage = &lineage,
				      .lineage_count = 1,
				      .rows = pointers,
				      .row_count = count,
				      .hits = hits,
				      .hit_count = hit_count};
	struct key_change make = {.id = {.id = input.id, .day = model->day, .kind = KEY_SEGMENT}};
	struct segment_summary *summary = malloc(sizeof(*summary));
	struct catalog_seal seal = {.journal_id = lineage, .segments = summary, .segment_count = 1};

	for (size_t i = 0; i < count; i++)
		pointers[i] = &rows[i];
	CHECK_INT(0, keyring_change(store_keyring(rig->store), &make, 1));
	CHECK_INT(0, segment_write(rig->io, store_keyring(rig->store), RIG_DIRECTORY "/segments", &input, &rig->err,
				   summary));
	CHECK_INT(0, catalog_seal(store_catalog(rig->store), &seal));
	CHECK(model->count + count <= MODEL_MAX && model->hit_count + hit_count <= MODEL_MAX);
	memcpy(&model->rows[model->count], rows, count * sizeof(*rows));
	model->count += count;
	for (size_t i = 0; i < hit_count; i++)
		model->hits[model->hit_count++] = (struct model_hit){
			.row = sender_only(&rows[hits[i].row]), .list = hits[i].list, .entry = hits[i].entry};
	model->put += count;
	free(summary);
}

static size_t random_batch(struct model *model, struct read *rows, size_t max, struct hit *hits, size_t *ret_hits)
{
	size_t count = 1 + prng_below(&model->prng, max);

	*ret_hits = 0;
	for (size_t i = 0; i < count; i++) {
		rows[i] = fixture_read(&model->prng, model->day);
		if (model->count > 0 && prng_chance(&model->prng, 300)) { /* a copy of one in another segment */
			rows[i] = model->rows[prng_below(&model->prng, model->count)];
			rows[i].epoch += (uint32_t)prng_below(&model->prng, 2);
		}
		if (rows[i].kind == READ_KIND_VRM && prng_chance(&model->prng, 100))
			hits[(*ret_hits)++] = (struct hit){.row = (uint32_t)i,
							   .list = 1 + (uint32_t)prng_below(&model->prng, 2),
							   .entry = (uint32_t)prng_below(&model->prng, 3),
							   .number = hit_number(1, ++model->last_hit)};
	}
	return count;
}

static int by_model_hit(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct model_hit));
}

static size_t hits_settle(struct model_hit *hits, size_t count)
{
	size_t kept = 0;

	qsort(hits, count, sizeof(*hits), by_model_hit);
	for (size_t i = 0; i < count; i++)
		if (kept == 0 || by_model_hit(&hits[kept - 1], &hits[i]) != 0)
			hits[kept++] = hits[i];
	return kept;
}

struct found {
	struct read *rows;
	size_t count;
	size_t first; /* of the segment in hand */
	struct model_hit *hits;
	size_t hit_count;
};

static int hit_found(void *context, const struct hit *hit)
{
	struct found *found = context;

	found->hits[found->hit_count++] = (struct model_hit){
		.row = sender_only(&found->rows[found->first + hit->row]), .list = hit->list, .entry = hit->entry};
	return 0;
}

static void segment_collect(struct rig *rig, const struct catalog_segment *which, struct found *found)
{
	struct segment_scratch scratch = {0};
	struct segment_rows *page = malloc(sizeof(*page));
	struct segment *segment;

	CHECK(page != NULL);
	CHECK_INT(0, view_segment_get(store_views(rig->store), which, &rig->err, &segment));
	found->first = found->count;
	for (uint32_t p = 0; p < segment_summary(segment)->sections[SEGMENT_ROWS].page_count; p++) {
		CHECK_INT(0, segment_read_rows(segment, &scratch, p, &rig->err, page));
		memcpy(&found->rows[found->count], page->rows, page->count * sizeof(struct read));
		found->count += page->count;
	}
	CHECK_INT(0, segment_each_hit(segment, &scratch, &rig->err, hit_found, found));
	segment_scratch_fini(&scratch);
	view_segment_put(store_views(rig->store), segment);
	free(page);
}

/* What the segments hold is what the model says, once equal reads are collapsed in both. */
static void check_model(struct model *model)
{
	struct found found = {.rows = calloc(MODEL_MAX, sizeof(struct read)),
			      .hits = calloc(MODEL_MAX, sizeof(struct model_hit))};
	struct read *rows = malloc(sizeof(model->rows));
	size_t count;
	struct view view;

	CHECK(found.rows != NULL && found.hits != NULL && rows != NULL);
	memcpy(rows, model->rows, sizeof(model->rows));
	count = fixture_collapse(rows, model->count);
	CHECK_INT(0, view_take(store_views(model->rig->store), INT32_MIN, INT32_MAX, &view));
	for (size_t i = 0; i < view.segment_count; i++)
		segment_collect(model->rig, &view.segments[i], &found);
	if (view.segment_count == 1)
		CHECK_INT(count, found.count); /* nothing is left to collapse */
	view_release(&view);
	found.count = fixture_collapse(found.rows, found.count);
	CHECK_INT(count, found.count);
	CHECK_MEM(rows, found.rows, count * sizeof(*rows));
	model->hit_count = hits_settle(model->hits, model->hit_count);
	found.hit_count = hits_settle(found.hits, found.hit_count);
	CHECK_INT(model->hit_count, found.hit_count);
	CHECK_MEM(model->hits, found.hits, found.hit_count * sizeof(*found.hits));
	rig_check_books(model->rig, model->put);
	free(found.rows);
	free(found.hits);
	free(rows);
}

/* As an erasure does: by the sender's fields alone. */
static int drop_one_in(void *context, const struct read *row)
{
	struct read bare = sender_only(row);
	uint64_t hash = 1469598103934665603u;

	for (size_t i = 0; i < sizeof(bare); i++)
		hash = (hash ^ ((const uint8_t *)&bare)[i]) * 1099511628211u;
	return *(const unsigned *)context == 1 || hash >> 20 % 40 % *(const unsigned *)context == 0;
}

static int drop_never(void *context, const struct read *row)
{
	(void)context;
	(void)row;
	return 0;
}

static int stop_at_once(void *context, const struct read *row)
{
	(void)context;
	(void)row;
	return -EOVERFLOW;
}

static void model_drop(struct model *model, unsigned *share)
{
	size_t kept = 0;

	for (size_t i = 0; i < model->count; i++)
		if (!drop_one_in(share, &model->rows[i]))
			model->rows[kept++] = model->rows[i];
	model->count = kept;
	kept = 0;
	for (size_t i = 0; i < model->hit_count; i++)
		if (!drop_one_in(share, &model->hits[i].row))
			model->hits[kept++] = model->hits[i];
	model->hit_count = kept;
}

static size_t all_segments(struct rig *rig, uint64_t ids[64])
{
	struct catalog_segment *segments;
	size_t count;

	CHECK_INT(0, catalog_segments(store_catalog(rig->store), INT32_MIN, INT32_MAX, &segments, &count));
	CHECK(count <= 64);
	for (size_t i = 0; i < count; i++)
		ids[i] = segments[i].id;
	free(segments);
	return count;
}

static int rewrite(struct model *model, const uint64_t *ids, size_t count, const struct rewrite_rule *rule,
		   struct rewrite_result *result)
{
	int r;

	rewrite_lock(model->rig->store);
	r = rewrite_segments(model->rig->store, model->day, ids, count, rule, &model->rig->err, result);
	rewrite_unlock(model->rig->store);
	return r;
}

static struct model *model_new(uint64_t seed)
{
	struct model *model = calloc(1, sizeof(*model));

	CHECK(model != NULL);
	model->prng.state = seed;
	model->rig = rig_new(sim_new(seed), seed);
	model->day = model->rig->first_day;
	model->next_id = 1;
	rig_check_open(model->rig, "open");
	return model;
}

static void model_free(struct model *model)
{
	rig_done(model->rig, model->rig->io);
	free(model);
}

static void model_batches(struct model *model, unsigned batches)
{
	for (unsigned b = 0; b < batches; b++) {
		struct read rows[200];
		struct hit hits[200];
		size_t hit_count;
		size_t count = random_batch(model, rows, 200, hits, &hit_count);

		model_put(model, rows, count, hits, hit_count);
	}
}

/* Merges of random subsets, drops and additions, reopened in between. */
static void random_rewrites_follow_the_model(void)
{
	for (unsigned world = 0; world < 8; world++) {
		struct model *model = model_new(check_seed() + world);

		for (unsigned step = 0; step < 12; step++) {
			unsigned share = 2 + (unsigned)prng_below(&model->prng, 20);
			struct rewrite_rule rule = {.row = prng_chance(&model->prng, 400) ? drop_one_in : drop_never,
						    .context = &share};
			struct rewrite_result done = {0};
			struct hit hits[40];
			struct read extra[40];
			size_t hit_count = 0;
			uint64_t ids[64];
			size_t count;

			model_batches(model, 1 + (unsigned)prng_below(&model->prng, 4));
			count = all_segments(model->rig, ids);
			/* A rule that drops has to see all rows, or the model's copies elsewhere stay. */
			if (rule.row == drop_never)
				count = 1 + prng_below(&model->prng, count);
			else
				model_drop(model, &share);
			if (prng_chance(&model->prng, 400)) {
				rule.extra_count = random_batch(model, extra, 40, hits, &hit_count);
				rule.extra = extra;
			}
			CHECK_INT(0, rewrite(model, ids, count,
					     prng_chance(&model->prng, 500) || rule.row == drop_one_in ||
							     rule.extra_count > 0
						     ? &rule
						     : NULL,
					     &done));
			memcpy(&model->rows[model->count], extra, rule.extra_count * sizeof(*extra));
			model->count += rule.extra_count;
			check_model(model);
			if (prng_chance(&model->prng, 300)) {
				CHECK_INT(0, rig_close(model->rig, false));
				rig_check_open(model->rig, "open");
				check_model(model);
				rig_check(model->rig, rig_verify_tidy(model->rig), "reopened");
			}
		}
		model_free(model);
	}
}

static void rules_and_refusals(void)
{
	struct model *model = model_new(check_seed());
	struct rig *rig = model->rig;
	unsigned all = 1;
	struct rewrite_rule drop_all = {.row = drop_one_in, .context = &all};
	struct rewrite_rule stop = {.row = stop_at_once};
	struct rewrite_result done = {0};
	struct catalog_totals totals;
	struct catalog_day day;
	uint64_t ids[64], nobody[] = {12345};
	size_t count;

	model_batches(model, 3);
	count = all_segments(rig, ids);
	CHECK_INT(3, count);
	CHECK_INT(-EINVAL, rewrite(model, ids, 0, NULL, &done));
	CHECK_INT(-ENOENT, rewrite(model, nobody, 1, NULL, &done));
	CHECK_INT(-EOVERFLOW, rewrite(model, ids, count, &stop, &done));
	CHECK_INT(0, sealer_debts_pay(rig->store));
	check_model(model);
	rig_check(rig, rig_verify_tidy(rig), "refused");
	/* A purge that waits stops it. */
	atomic_store(&rig->store->tidy_preempted, 1);
	CHECK_INT(-ECANCELED, rewrite(model, ids, count, NULL, &done));
	atomic_store(&rig->store->tidy_preempted, 0);
	CHECK_INT(0, sealer_debts_pay(rig->store));
	check_model(model);
	/* One parent alone, under a new key. */
	CHECK_INT(0, rewrite(model, ids, 1, NULL, &done));
	CHECK(done.child != 0 && done.child != ids[0]);
	CHECK_INT(0, done.dropped);
	check_model(model);
	/* Everything goes: no child, no file, no key, no day, and all of it in the books. */
	count = all_segments(rig, ids);
	CHECK_INT(0, rewrite(model, ids, count, &drop_all, &done));
	CHECK_INT(0, done.child);
	CHECK_INT(0, rig_segments(rig));
	CHECK_INT(-ENOENT, catalog_day(store_catalog(rig->store), model->day, &day));
	CHECK_INT(0, catalog_totals(store_catalog(rig->store), &totals));
	CHECK_INT(0, totals.stored);
	CHECK_INT(done.dropped, totals.erased);
	CHECK_INT(model->put, totals.collapsed + totals.erased);
	rig_check(rig, rig_verify_tidy(rig), "all dropped");
	CHECK_INT(0, rig_close(rig, false));
	rig_check_open(rig, "open");
	rig_check(rig, rig_verify_tidy(rig), "all dropped");
	/* A day that is being purged is not rewritten any more. */
	model->count = model->hit_count = 0;
	model_batches(model, 2);
	count = all_segments(rig, ids);
	store_day_close(rig->store, model->day);
	CHECK_INT(-ESTALE, rewrite(model, ids, count, NULL, &done));
	model_free(model);
}

/* A copy for a case: the rows that the rule keeps, elsewhere, under another key; the day stays as it is. */
static void copies_leave_the_day_alone(void)
{
	struct model *model = model_new(check_seed());
	struct rig *rig = model->rig;
	unsigned share = 3, all = 1;
	struct rewrite_rule rule = {.row = drop_one_in, .context = &share};
	struct key_change make = {.id = {.id = 777, .day = model->day, .kind = KEY_SEGMENT}};
	struct rewrite_target target = {.directory = RIG_DIRECTORY "/case", .key = make.id, .segment_id = 777};
	struct segment_summary *summary = malloc(sizeof(*summary));
	struct found found = {.rows = calloc(MODEL_MAX, sizeof(struct read)),
			      .hits = calloc(MODEL_MAX, sizeof(struct model_hit))};
	struct segment_scratch scratch = {0};
	struct segment_rows *page = malloc(sizeof(*page));
	struct catalog_segment *segments;
	char path[700], name[SEGMENT_NAME_SIZE];
	struct segment *segment;
	size_t count;

	CHECK(summary != NULL && page != NULL && found.rows != NULL && found.hits != NULL);
	CHECK_INT(0, rig->io->ops->mkdir(rig->io, target.directory));
	CHECK_INT(REWRITE_NOTHING, rewrite_copy(rig->store, model->day, &rule, &target, &rig->err, summary));
	model_batches(model, 4);
	CHECK(rewrite_copy(rig->store, model->day, &rule, &target, &rig->err, summary) < 0); /* no key */
	CHECK_INT(0, keyring_change(store_keyring(rig->store), &make, 1));
	store_day_close(rig->store, model->day);
	CHECK_INT(0, rewrite_copy(rig->store, model->day, &rule, &target, &rig->err, summary));
	CHECK_INT(4, summary->lineage_count);
	check_model(model);
	CHECK_INT(0, segment_open(rig->io, store_keyring(rig->store), target.directory, model->day, 777, &rig->err,
				  &segment));
	for (uint32_t p = 0; p < summary->sections[SEGMENT_ROWS].page_count; p++) {
		CHECK_INT(0, segment_read_rows(segment, &scratch, p, &rig->err, page));
		memcpy(&found.rows[found.count], page->rows, page->count * sizeof(struct read));
		found.count += page->count;
	}
	CHECK_INT(0, segment_each_hit(segment, &scratch, &rig->err, hit_found, &found));
	model_drop(model, &share);
	model->count = fixture_collapse(model->rows, model->count);
	CHECK_INT(model->count, found.count);
	CHECK_MEM(model->rows, found.rows, found.count * sizeof(struct read));
	model->hit_count = hits_settle(model->hits, model->hit_count);
	CHECK_INT(model->hit_count, hits_settle(found.hits, found.hit_count));
	segment_free(segment);
	/* Nothing kept, nothing written; a page that cannot be read is told, the rest is copied. */
	rule.context = &all;
	target.segment_id = 778;
	CHECK_INT(REWRITE_NOTHING, rewrite_copy(rig->store, model->day, &rule, &target, &rig->err, summary));
	CHECK_INT(0, catalog_segments(store_catalog(rig->store), model->day, model->day, &segments, &count));
	snprintf(path, sizeof(path), RIG_DIRECTORY "/segments/%s",
		 segment_name(segments[1].day, segments[1].id, ".seg", name));
	CHECK_INT(0, sim_rot(rig->io, path, 4096 + 10, 1));
	CHECK_INT(0, rewrite_copy(rig->store, model->day, NULL, &target, &rig->err, summary));
	CHECK_INT(1, rig->store->damage_count);
	CHECK(summary->row_count > 0);
	free(segments);
	segment_scratch_fini(&scratch);
	free(page);
	free(found.rows);
	free(found.hits);
	free(summary);
	model_free(model);
}

int main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{"random rewrites follow the model", random_rewrites_follow_the_model},
		{"rules and refusals", rules_and_refusals},
		{"copies leave the day alone", copies_leave_the_day_alone},
		{NULL, NULL},
	};

	log_level_set(getenv("GANTRY_TEST_LOG") != NULL ? LOG_LEVEL_DEBUG : LOG_LEVEL_ERROR);
	return check_main(argc, argv, "storage rewrite model", tests);
}
