/* Holds and marks: reads erased, restricted and amended before, while and after their day goes. */
#include "storage/hold.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "storage/cases_edit.h"
#include "storage/marks.h"
#include "storage/purge.h"
#include "storage/store_internal.h"
#include "tests/check.h"
#include "tests/storage/hold_world.h"

/* What was erased is not held; what was corrected is held as corrected, by its new VRM or by its old id. */
static void marked_reads(void)
{
	struct hold_selector selector = {.from_us = INT64_MIN, .to_us = INT64_MAX, .read_count = 1};
	struct ids *all = ids_new();
	struct reg_hold_read held;
	struct hold_added added;
	uint64_t before;
	uint32_t number;

	number = world_with_hold("VRM", "1L?S*");
	before = world_copied(0, "1L?S*");
	world_ask(all, 0, 0, "1L?S*", NULL);
	world_mark(MARK_ERASED, all, 0, NULL);
	world_mark(MARK_AMENDED, all, 1, "OUTOFIT"); /* held by criteria that it meets no more */
	world_ask(all, 0, 0, "OUTOFIT", NULL);
	world_mark(MARK_AMENDED, all, 0, "FURTHER");
	world_ask(all, 0, 0, "2L?S*", NULL);
	CHECK(all->count > 3);
	world_mark(MARK_AMENDED, all, 1, "1L9S9");
	/* Held by its id, then amended to something that no pattern holds. */
	held = world_name(&all->rows[2]);
	selector.reads = &held;
	CHECK_INT(0, world_try_hold("ID", &selector, &added));
	world_mark(MARK_AMENDED, all, 2, "CORRECTED");
	CHECK_INT(0, rig_purge(world.rig, 0));
	CHECK_INT(before - 1, world_copied(number, "1L?S*")); /* one erased, one amended into it, one out of it */
	CHECK_INT(1, world_copied(number, "FURTHER"));
	CHECK_INT(1, world_copied(number, "1L9S9"));
	CHECK_INT(1, world_copied(added.number, NULL));
	CHECK_INT(1, world_copied(added.number, "CORRECTED"));
	free(all);
	world_end();
}

/* The restriction outlives the mark, which dies with the day. */
static void restricted_reads_stay_so(void)
{
	struct ids *all = ids_new();
	uint64_t before;
	uint32_t number;

	number = world_with_hold("VRM", "1L?S*");
	world_ask(all, 0, 0, "1L?S*", NULL);
	before = all->count;
	world_mark(MARK_RESTRICTED, all, 0, NULL);
	world_mark(MARK_RESTRICTED, all, all->count - 1, NULL);
	CHECK_INT(before, world_plan().reads);
	CHECK_INT(before - 2, world_copied(0, "1L?S*"));
	CHECK_INT(0, rig_purge(world.rig, 0));
	CHECK_INT(before - 2, world_copied(number, NULL));
	world.restricted = true;
	CHECK_INT(before, world_copied(number, NULL));
	world.restricted = false;
	free(all);
	world_end();
}

#define TWINS 3

/*
 * Reads of one vehicle by one camera in one µs, which nothing tells apart but their place. One is amended into it,
 * before or behind the others: each is held by the id that a search shows, and by no other.
 */
static void an_amended_read_among_twins(void)
{
	for (unsigned round = 0; round < 2 * (TWINS + 1); round++) {
		bool first = round % 2 == 0;
		struct read reads[TWINS + 1];
		struct hold_selector selector = {.from_us = INT64_MIN, .to_us = INT64_MAX, .read_count = 1};
		struct ids *all = ids_new();
		struct ids *one = ids_new();
		struct reg_hold_read held;
		struct hold_added added;

		for (unsigned i = 0; i <= TWINS; i++)
			reads[i] = (struct read){.camera = 3,
						 .feed = 1,
						 .epoch = 1,
						 .confidence = (uint8_t)(10 + i),
						 .key = "AB12CDE",
						 .text = "AB12CDE"};
		memcpy(reads[TWINS].key, "XX99XXX", 7);
		memcpy(reads[TWINS].text, "XX99XXX", 7);
		reads[TWINS].confidence = first ? 5 : 50;
		world_begin(check_seed());
		world_send_reads(reads, TWINS + 1, 1234567, NULL, 0);
		world_ask(one, 0, 0, "XX99XXX", NULL);
		if (round / 2 == TWINS) { /* held before, and followed */
			held = world_name(&one->rows[0]);
			selector.reads = &held;
			CHECK_INT(0, world_try_hold("ID", &selector, &added));
		}
		world_mark(MARK_AMENDED, one, 0, "AB12CDE");
		world_ask(all, 0, 0, "AB12CDE", NULL);
		CHECK_INT(TWINS + 1, all->count);
		CHECK_INT(first ? 5 : 10, all->rows[0].confidence);
		if (round / 2 < TWINS) {
			held = world_name(&all->rows[round / 2 + first]);
			selector.reads = &held;
			CHECK_INT(0, world_try_hold("ID", &selector, &added));
		}
		CHECK_INT(1, world_plan().reads);
		CHECK_INT(0, rig_purge(world.rig, 0));
		world_ask(one, added.number, 0, NULL, NULL);
		CHECK_INT(1, one->count);
		CHECK_INT(round / 2 < TWINS ? (int)(10 + round / 2) : first ? 5 : 50, one->rows[0].confidence);
		free(all);
		free(one);
		world_end();
	}
}

static void edit(uint32_t number, enum case_edit_kind kind, const struct read *read, const struct read *corrected)
{
	struct case_edit edit = {.kind = kind, .read = read, .corrected = corrected};
	int done = case_edit(world.rig->store, number, &edit, &world.rig->err);

	if (done < 0)
		check_note("%s", world.rig->err.text);
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

	number = world_with_hold("VRM", "1L?S*");
	world_ask(all, 0, 0, "1L?S*", NULL);
	before = all->count;
	CHECK(before > 4);
	unknown.read = &all->rows[0];
	CHECK_INT(1, case_edit(world.rig->store, number, &unknown, &world.rig->err)); /* the day lives */
	CHECK_INT(0, rig_purge(world.rig, 0));
	edit(number, CASE_EDIT_ERASE, &all->rows[0], NULL);
	CHECK_INT(1, case_edit(world.rig->store, number, &unknown, &world.rig->err));
	CHECK_INT(before - 1, world_copied(number, NULL));
	edit(number, CASE_EDIT_RESTRICT, &all->rows[1], NULL);
	CHECK_INT(before - 2, world_copied(number, NULL));
	marks_correct(&all->rows[2], text, text, &corrected);
	edit(number, CASE_EDIT_AMEND, &all->rows[2], &corrected);
	CHECK_INT(before - 2, world_copied(number, NULL));
	CHECK_INT(1, world_copied(number, "ZZ99ZZZ"));
	CHECK_INT(1, world_case_keys(number));
	CHECK_INT(1, world_case_files(number));
	world_reopen();
	CHECK_INT(before - 2, world_copied(number, NULL));
	world_ask(all, number, 0, NULL, NULL);
	world.restricted = true;
	world_ask(all, number, 0, NULL, NULL);
	CHECK_INT(before - 1, all->count);
	world.restricted = false;
	for (size_t i = 0; i < all->count; i++)
		if ((all->rows[i].flags & READ_FLAG_RESTRICTED) != 0)
			edit(number, CASE_EDIT_LIFT, &all->rows[i], NULL);
	CHECK_INT(before - 1, world_copied(number, NULL));
	for (size_t i = 0; i < all->count; i++) {
		all->rows[i].flags &= (uint16_t)~READ_FLAG_RESTRICTED;
		edit(number, CASE_EDIT_ERASE, &all->rows[i], NULL);
	}
	CHECK_INT(0, world_case_keys(number));
	CHECK_INT(0, world_case_files(number));
	free(all);
	world_end();
}

enum { EDIT_CUT = 1, EDIT_CATALOG_LOST = 2 };

/* One generation is left of an edit that is cut or fails anywhere, the catalog lost or not; asked again, it is done. */
static bool edit_with_fault(uint64_t nth, int way)
{
	struct case_edit erase = {.kind = CASE_EDIT_ERASE};
	struct ids *all = ids_new();
	struct world_fault fault;
	uint64_t before, left;
	uint32_t number;
	bool met;
	int done;

	world_begin(check_seed() + nth);
	world_fill_little(false);
	/* Of every lane: a little filling may leave one without a read on that day. */
	number = world_hold("VRM", "?L*");
	world_ask(all, 0, 0, "?L*", NULL);
	before = all->count;
	CHECK(before > 1);
	erase.read = &all->rows[0];
	CHECK_INT(0, rig_purge(world.rig, 0));
	fault = world_fault_set(nth, way & EDIT_CUT);
	done = case_edit(world.rig->store, number, &erase, &world.rig->err);
	met = world_fault_clear(&fault);
	world_crash(way & EDIT_CUT);
	if (way & EDIT_CATALOG_LOST)
		world_lose_catalog();
	world_open();
	left = world_copied(number, NULL);
	CHECK(left == before - 1 || (left == before && done != 0));
	CHECK_INT(1, world_case_keys(number));
	CHECK_INT(1, world_case_files(number));
	done = case_edit(world.rig->store, number, &erase, &world.rig->err);
	CHECK_INT(left == before ? 0 : 1, done);
	CHECK_INT(before - 1, world_copied(number, NULL));
	free(all);
	world_end();
	return met;
}

static void an_edit_cut_or_failing_anywhere(void)
{
	for (int way = 0; way <= (EDIT_CUT | EDIT_CATALOG_LOST); way++)
		world_sweep(edit_with_fault, way, WORLD_STRIDE, 8);
}

/* The one read of a day is amended before it is ever sealed: no segment takes it, and the day goes all the same. */
static void a_day_of_one_corrected_read(void)
{
	struct read read = {.camera = 3, .feed = 1, .epoch = 1, .key = "AB12CDE", .text = "AB12 CDE"};
	struct ids *all = ids_new();
	uint32_t number;

	world_begin(check_seed());
	world_send_reads(&read, 1, 1234567, NULL, 0);
	number = world_hold("ONE", "ZZ*");
	world_ask(all, 0, 0, NULL, NULL);
	world_mark(MARK_AMENDED, all, 0, "ZZ99ZZZ");
	CHECK_INT(0, store_seal_all(world.rig->store, INT64_C(5000000000)));
	CHECK_INT(1, world_planned());
	CHECK_INT(0, rig_purge(world.rig, 0));
	CHECK_INT(1, world_copied(number, "ZZ99ZZZ"));
	CHECK_INT(0, world_copied(0, NULL));
	CHECK_INT(0, world_planned());
	free(all);
	world_end();
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
		world_mark(MARK_ERASED, late->from, late->erased, NULL);
		world_mark(MARK_AMENDED, late->from, late->amended, "1L9S9");
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

	number = world_with_hold("VRM", "1L?S*");
	world_ask(all, 0, 0, "1L?S*", NULL);
	before = all->count;
	CHECK(before > 3);
	late.from = all;
	CHECK_INT(late.result,
		  purge_run(world.rig->store, world.rig->first_day, "rule", 1, &hooks, &world.rig->err, &certificate));
	if (stopped) {
		/* The copies are older than the marks. */
		CHECK_INT(before - 2, world_copied(number, NULL));
		CHECK_INT(0, world_copied(number, "1L9S9"));
		world_reopen();
		CHECK_INT(before - 2, world_copied(number, NULL));
		CHECK_INT(0, rig_purge(world.rig, 0));
	} else {
		CHECK_INT(2, late.calls); /* what was audited is no more true: again */
		CHECK(certificate.held_reads >= before - 1);
	}
	CHECK_INT(before - 1, world_copied(number, NULL));
	CHECK_INT(1, world_copied(number, "1L9S9"));
	CHECK_INT(1, world_case_files(number));
	CHECK_INT(1, world_case_keys(number));
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
	struct ids *all = ids_new();
	struct mark_order order = {.kind = MARK_ERASED, .who_uid = WORLD_HOLDER};

	world_begin(check_seed());
	world_fill(20);
	world_ask(all, 0, 0, NULL, NULL);
	order.read = &all->rows[0];
	CHECK_INT(0, rig_purge(world.rig, 0));
	CHECK_INT(-ESTALE, marks_make(world.rig->store->marks, &order, &world.rig->err));
	CHECK_INT(0, world_day_keys(KEY_MARK));
	free(all);
	world_end();
}

int main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{"marked reads", marked_reads},
		{"an amended read among twins", an_amended_read_among_twins},
		{"restricted reads stay so", restricted_reads_stay_so},
		{"copies are edited", copies_are_edited},
		{"an edit cut or failing anywhere", an_edit_cut_or_failing_anywhere},
		{"a day of one corrected read", a_day_of_one_corrected_read},
		{"marked while a purge stands", marked_while_a_purge_stands},
		{"marked while a purge runs", marked_while_a_purge_runs},
		{"too late for a mark", too_late_for_a_mark},
		{NULL, NULL},
	};

	return world_main(argc, argv, "holds and marks", tests);
}
