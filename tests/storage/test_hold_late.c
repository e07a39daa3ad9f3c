/*
 * Late hits of held reads: the case's copy has them, whenever they were found before the day's keys went. Held against
 * what a search for hits shows before the purge, and against a plain list of what was put.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/bytes.h"
#include "appliance/base/prng.h"
#include "storage/cases.h"
#include "storage/hit_search.h"
#include "storage/late_hits.h"
#include "storage/late_internal.h"
#include "storage/marks.h"
#include "storage/purge.h"
#include "storage/row.h"
#include "storage/segment_read.h"
#include "storage/store_internal.h"
#include "tests/check.h"
#include "tests/storage/hold_world.h"

#define FINDS_MAX 8192

/* A hit and its read, without what differs from copy to copy of the read. */
struct find {
	struct read read;
	struct hit hit;
};

struct finds {
	size_t count;
	struct find all[FINDS_MAX];
};

static struct finds *finds_new(void)
{
	struct finds *finds = calloc(1, sizeof(*finds));

	CHECK(finds != NULL);
	return finds;
}

static void find_add(struct finds *finds, const struct hit *hit, const struct read *read)
{
	struct find *find = &finds->all[finds->count++];

	CHECK(finds->count <= FINDS_MAX);
	*find = (struct find){.read = *read, .hit = *hit};
	find->hit.row = 0;
	find->read.feed = find->read.epoch = 0;
	find->read.receipt_us = 0;
	find->read.flags &= READ_FLAGS_SENDER | READ_FLAG_AMENDED;
}

static int find_of_search(void *context, const struct hit_found *found)
{
	find_add(context, &found->hit, &found->read);
	return 0;
}

#define COMPARE(field)                                                                                                 \
	if (x->hit.field != y->hit.field)                                                                              \
	return x->hit.field < y->hit.field ? -1 : 1

/* 0: they say the same of one read. */
static int compare_finds(const struct find *x, const struct find *y)
{
	int order = memcmp(&x->read, &y->read, sizeof(x->read));

	if (order != 0)
		return order;
	COMPARE(list);
	COMPARE(version);
	COMPARE(entry);
	COMPARE(kind);
	COMPARE(priority);
	return 0;
}

static int compare(const void *a, const void *b)
{
	const struct find *x = a;
	const struct find *y = b;
	int order = compare_finds(x, y);

	if (order != 0)
		return order;
	COMPARE(flags);
	COMPARE(number);
	return 0;
}
#undef COMPARE

/* The same find is kept once: the first of those that are no repeats (docs/architecture.md). */
static void finds_settle(struct finds *finds)
{
	size_t kept = 0;

	qsort(finds->all, finds->count, sizeof(finds->all[0]), compare);
	for (size_t i = 0; i < finds->count; i++)
		if (kept == 0 || compare_finds(&finds->all[kept - 1], &finds->all[i]) != 0)
			finds->all[kept++] = finds->all[i];
	finds->count = kept;
}

/* What a search for hits of the first day shows of the pattern's reads. */
static struct finds *finds_of_day(const char *pattern)
{
	static struct hit_query query;
	struct hit_search_cursor cursor;
	struct finds *finds = finds_new();
	struct search_result answer;
	struct glob glob;

	query = (struct hit_query){.reads = {.from_us = (int64_t)world.rig->first_day * DAY_US,
					     .restricted = true,
					     .limit = SEARCH_LIMIT_MAX,
					     .key_glob = &glob}};
	query.reads.to_us = query.reads.from_us + DAY_US;
	CHECK_INT(0, glob_compile(pattern, strlen(pattern), &glob));
	CHECK_INT(0,
		  hit_search_run(world.rig->store, &query, &world.rig->err, find_of_search, finds, &answer, &cursor));
	CHECK(!answer.truncated && !answer.incomplete);
	finds_settle(finds);
	return finds;
}

struct collecting {
	struct finds *finds;
	struct read *rows;
};

static int collect_hit(void *context, const struct hit *hit)
{
	struct collecting *collecting = context;

	find_add(collecting->finds, hit, &collecting->rows[hit->row]);
	return 0;
}

static void fault(void *context, const char *text, uint64_t rows_lost)
{
	(void)context;
	(void)rows_lost;
	check_note("the copy is damaged: %s", text);
	CHECK(false);
}

static void segment_collect(struct segment *segment, struct finds *finds)
{
	struct segment_scratch scratch = {0};
	struct segment_rows *page = malloc(sizeof(*page));
	struct collecting collecting = {.finds = finds, .rows = calloc(IDS_MAX, sizeof(struct read))};
	struct segment_check_hooks hooks = {.damage = fault};
	size_t count = 0;

	CHECK(page != NULL && collecting.rows != NULL);
	CHECK_INT(0, segment_check(segment, &hooks));
	for (uint32_t i = 0; i < segment_summary(segment)->sections[SEGMENT_ROWS].page_count; i++) {
		CHECK_INT(0, segment_read_rows(segment, &scratch, i, &world.rig->err, page));
		CHECK(count + page->count <= IDS_MAX);
		memcpy(&collecting.rows[count], page->rows, page->count * sizeof(struct read));
		count += page->count;
	}
	CHECK_INT(0, segment_each_hit(segment, &scratch, &world.rig->err, collect_hit, &collecting));
	segment_scratch_fini(&scratch);
	free(collecting.rows);
	free(page);
}

/* The hits of the case's copy of the first day. */
static struct finds *finds_of_copy(uint32_t number)
{
	struct store *store = world.rig->store;
	struct finds *finds = finds_new();
	struct catalog_segment *copies;
	char directory[CASE_DIRECTORY_SIZE];
	size_t count;

	CHECK_INT(0, catalog_case_segments(store->catalog, number, world.rig->first_day, world.rig->first_day, &copies,
					   &count));
	CHECK_INT(1, count);
	for (size_t i = 0; i < count; i++) {
		struct key_id key = case_key(number, copies[i].id);
		struct segment *segment;

		CHECK_INT(0, segment_open_keyed(world.io, store->keyring,
						case_directory(store->cases_directory, number, directory), &key,
						world.rig->first_day, &world.rig->err, &segment));
		segment_collect(segment, finds);
		segment_free(segment);
	}
	free(copies);
	qsort(finds->all, finds->count, sizeof(finds->all[0]), compare);
	return finds;
}

static void check_same(const struct finds *expected, const struct finds *found)
{
	CHECK_INT(expected->count, found->count);
	CHECK_MEM(expected->all, found->all, expected->count * sizeof(expected->all[0]));
}

/* With its number. */
static void put(const struct read *read, uint32_t list, uint32_t entry)
{
	struct late_hit late = {.found = {.hit = {.list = list,
						  .version = 3,
						  .entry = entry,
						  .kind = HIT_RETRO,
						  .priority = 70,
						  .flags = HIT_FLAG_LATE},
					  .read = *read},
				.generation = 1 + entry % 2};
	size_t put;

	CHECK_INT(0, late_hits_put(world.rig->store->late, &late, 1, 0, &world.rig->err, &put));
}

static size_t late_of(const struct finds *finds)
{
	size_t count = 0;

	for (size_t i = 0; i < finds->count; i++)
		count += hit_source(finds->all[i].hit.number) == HIT_SOURCE_LATE;
	return count;
}

static void put_some(struct prng *prng, const struct ids *rows, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		put(&rows->rows[prng_below(prng, rows->count)], 1 + (uint32_t)prng_below(prng, 3),
		    (uint32_t)prng_below(prng, 4));
}

/* Marks a few of the rows; what is amended gets hits as the correction is asked for: before the mark. */
static void mark_some(struct prng *prng, struct ids *rows)
{
	static const uint8_t text[READ_TEXT_SIZE] = "1L9S9";
	struct read corrected;

	world_mark(MARK_ERASED, rows, 0, NULL);
	world_mark(MARK_RESTRICTED, rows, 1, NULL);
	marks_correct(&rows->rows[2], text, text, &corrected);
	put(&corrected, 7, 1);
	put(&corrected, 7, 2);
	world_mark(MARK_AMENDED, rows, 2, "1L9S9");
	world_mark(MARK_AMENDED, rows, 3, "OUTOFIT");
	if (prng_chance(prng, 500))
		CHECK_INT(0, late_hits_tidy(world.rig->store->late, &world.rig->err));
}

/* Sealed and unsealed reads, some of them marked: the copy has the hits that a search showed, no other. */
static void copies_have_what_was_shown(void)
{
	struct prng prng = {.state = check_seed()};

	for (unsigned round = 0; round < 6; round++) {
		struct ids *held = ids_new();
		struct ids *all = ids_new();
		struct finds *expected, *found;
		uint32_t number = world_with_hold("VRM", "1L?S*");

		world_ask(all, 0, 0, NULL, NULL);
		world_ask(held, 0, 0, "1L?S*", NULL);
		CHECK(held->count > 4);
		put_some(&prng, all, 150);
		put_some(&prng, held, 100);
		if (round % 2 == 1)
			mark_some(&prng, held);
		expected = finds_of_day("1L?S*");
		CHECK(late_of(expected) > 20 && late_of(expected) < expected->count);
		if (round > 2)
			world_reopen();
		CHECK_INT(0, rig_purge(world.rig, 0));
		found = finds_of_copy(number);
		check_same(expected, found);
		free(expected);
		free(found);
		free(held);
		free(all);
		world_end();
	}
}

/* Of twins that came by one feed each is a read of its own, of one that came by two feeds one is left: one hit each. */
static void copies_of_a_read_have_its_hits_once(void)
{
	struct read reads[3] = {{.camera = 3, .feed = 1, .epoch = 1, .key = "AB12CDE", .text = "AB12 CDE"}};
	struct ids *all = ids_new();
	struct finds *expected, *found;
	uint32_t number;

	reads[1] = reads[2] = reads[0];
	world_begin(check_seed());
	world_send_reads(reads, 2, 1234567, NULL, 0);
	CHECK_INT(0, store_seal_all(world.rig->store, INT64_C(5000000000)));
	reads[2].feed = 2;
	world_send_reads(&reads[2], 1, 1234567, NULL, 0);
	put(&reads[2], 5, 1); /* of the copy that collapses */
	put(&reads[0], 5, 2);
	put(&reads[1], 5, 2); /* known */
	number = world_hold("TWINS", "AB*");
	world_ask(all, 0, 0, "AB*", NULL);
	CHECK_INT(2, all->count);
	expected = finds_of_day("AB*");
	CHECK_INT(2, expected->count);
	CHECK_INT(0, rig_purge(world.rig, 0));
	CHECK_INT(2, world_copied(number, NULL));
	found = finds_of_copy(number);
	check_same(expected, found);
	free(expected);
	free(found);
	free(all);
	world_end();
}

/* A day of one read, corrected before it was sealed: the copy is made of the correction alone, and has its hits. */
static void a_corrected_read_in_no_segment(void)
{
	static const uint8_t text[READ_TEXT_SIZE] = "ZZ99ZZZ";
	struct read read = {.camera = 3, .feed = 1, .epoch = 1, .key = "AB12CDE", .text = "AB12 CDE"};
	struct ids *all = ids_new();
	struct finds *expected, *found;
	struct read corrected;
	uint32_t number;

	world_begin(check_seed());
	world_send_reads(&read, 1, 1234567, NULL, 0);
	number = world_hold("ONE", "ZZ*");
	world_ask(all, 0, 0, NULL, NULL);
	put(&all->rows[0], 1, 1);
	marks_correct(&all->rows[0], text, text, &corrected);
	put(&corrected, 1, 2);
	world_mark(MARK_AMENDED, all, 0, "ZZ99ZZZ");
	expected = finds_of_day("*");
	CHECK_INT(1, expected->count);
	CHECK_INT(2, expected->all[0].hit.entry);
	CHECK_INT(0, store_seal_all(world.rig->store, INT64_C(5000000000)));
	CHECK_INT(0, rig_purge(world.rig, 0));
	found = finds_of_copy(number);
	check_same(expected, found);
	free(expected);
	free(found);
	free(all);
	world_end();
}

/* A case that names one read has the hits of that read. */
static void a_named_read(void)
{
	struct hold_selector selector = {.from_us = INT64_MIN, .to_us = INT64_MAX, .read_count = 1};
	struct ids *all = ids_new();
	struct reg_hold_read name;
	struct hold_added added;
	struct finds *found;

	world_begin(check_seed());
	world_fill(20);
	world_ask(all, 0, 0, NULL, NULL);
	for (size_t i = 0; i < all->count; i++)
		put(&all->rows[i], 9, (uint32_t)i);
	name = world_name(&all->rows[1]);
	selector.reads = &name;
	CHECK_INT(0, world_try_hold("ID", &selector, &added));
	CHECK_INT(0, rig_purge(world.rig, 0));
	found = finds_of_copy(added.number);
	CHECK_INT(1, late_of(found));
	for (size_t i = 0; i < found->count; i++)
		CHECK(hit_source(found->all[i].hit.number) != HIT_SOURCE_LATE || found->all[i].hit.entry == 1);
	free(found);
	free(all);
	world_end();
}

struct late_find {
	const struct read *read;
	unsigned calls;
	int result;
};

static int find_late(void *context, const struct purge_certificate *intended)
{
	struct late_find *late = context;

	(void)intended;
	if (late->calls++ == 0)
		put(late->read, 8, 1);
	return late->result;
}

/* Found behind «held rows committed», by a purge that goes on or stops there: the copies are made anew. */
static void found_behind_the_copying(bool stopped)
{
	struct late_find late = {.result = stopped ? -EIO : 0};
	struct purge_hooks hooks = {.audit_intent = find_late, .context = &late};
	struct purge_certificate certificate;
	struct ids *all = ids_new();
	struct finds *found;
	uint32_t number = world_with_hold("VRM", "1L?S*");

	world_ask(all, 0, 0, "1L?S*", NULL);
	CHECK(all->count > 0);
	late.read = &all->rows[0];
	CHECK_INT(late.result,
		  purge_run(world.rig->store, world.rig->first_day, "rule", 1, &hooks, &world.rig->err, &certificate));
	if (stopped) {
		world_reopen();
		CHECK_INT(0, rig_purge(world.rig, 0));
	} else {
		CHECK_INT(2, late.calls);
		CHECK_INT(all->count, certificate.held_reads);
	}
	found = finds_of_copy(number);
	CHECK_INT(1, late_of(found));
	CHECK_INT(1, world_case_files(number));
	CHECK_INT(1, world_case_keys(number));
	CHECK_INT(0, world_day_keys(KEY_LATE));
	free(found);
	free(all);
	world_end();
}

static void found_while_a_purge_stands(void)
{
	found_behind_the_copying(true);
}

static void found_while_a_purge_runs(void)
{
	found_behind_the_copying(false);
}

/* Late hits that could not be loaded are not left out of a copy: the day waits for a restart that can. */
static void the_day_waits_for_unloaded_hits(void)
{
	struct reg *reg;
	struct finds *found;
	struct ids *all = ids_new();
	uint32_t number = world_with_hold("VRM", "1L?S*");

	world_ask(all, 0, 0, "1L?S*", NULL);
	put(&all->rows[0], 1, 1);
	reg = world.rig->store->late->reg;
	world.rig->store->late->reg = NULL;
	CHECK_INT(-ENOKEY, rig_purge(world.rig, 0));
	CHECK(strstr(world.rig->err.text, "late hits") != NULL);
	world.rig->store->late->reg = reg;
	CHECK_INT(0, rig_purge(world.rig, 0));
	found = finds_of_copy(number);
	CHECK_INT(1, late_of(found));
	free(found);
	free(all);
	world_end();
}

/* A purge cut or failing anywhere: the copy has the hit in the end. */
static bool purge_with_fault(uint64_t nth, int cut)
{
	struct ids *all = ids_new();
	struct world_fault fault;
	struct finds *found;
	uint32_t number;
	bool met;
	int done;

	world_begin(check_seed() + nth);
	world_fill_little(false);
	number = world_hold("VRM", "?L*");
	world_ask(all, 0, 0, "?L*", NULL);
	CHECK(all->count > 0);
	put(&all->rows[0], 1, 1);
	fault = world_fault_set(nth, cut);
	(void)rig_purge(world.rig, 0);
	met = world_fault_clear(&fault);
	world_crash(cut);
	world_open();
	done = rig_purge(world.rig, 0);
	CHECK(done == 0 || done == PURGE_NOTHING);
	found = finds_of_copy(number);
	CHECK_INT(1, late_of(found));
	CHECK_INT(0, world_day_keys(KEY_LATE));
	free(found);
	free(all);
	world_end();
	return met;
}

static void a_purge_cut_or_failing_anywhere(void)
{
	for (int cut = 0; cut < 2; cut++)
		world_sweep(purge_with_fault, cut, 2 * WORLD_STRIDE, 8);
}

int main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{"copies have what was shown", copies_have_what_was_shown},
		{"copies of a read have its hits once", copies_of_a_read_have_its_hits_once},
		{"a corrected read in no segment", a_corrected_read_in_no_segment},
		{"a named read", a_named_read},
		{"found while a purge stands", found_while_a_purge_stands},
		{"found while a purge runs", found_while_a_purge_runs},
		{"the day waits for hits that are not loaded", the_day_waits_for_unloaded_hits},
		{"a purge cut or failing anywhere", a_purge_cut_or_failing_anywhere},
		{NULL, NULL},
	};

	return world_main(argc, argv, "late hits of held reads", tests);
}
