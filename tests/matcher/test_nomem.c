/*
 * Memory that runs out: every allocation of the matcher, and of Hyperscan's where it lets us, fails once. Nothing may
 * leak (the sanitizer's build sees that), be left half made, or be answered with anything but -ENOMEM.
 */
#include <errno.h>
#include <hs.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/err.h"
#include "appliance/base/read.h"
#include "matcher/list_edit.h"
#include "matcher/matchset.h"
#include "matcher/vrm.h"
#include "tests/check.h"
#include "tests/short_memory.h"

static const char list_text[] = "vrm,tolerant,as-received\nAB12CDE,,\nAB1?CDE,,\nAB34CDE,1,\nXY-1,,1\n";
static const struct list_info info = {.id = 1, .version = 1, .name = "short of memory"};
static struct err err;

static int load(struct list **ret_list)
{
	return list_load_csv(&info, list_text, strlen(list_text), NULL, NULL, &err, ret_list);
}

/* Runs `step` with the 1st, 2nd, … allocation failing until it needs no more of them. Gives back how many there were.
 */
static int sweep(int (*step)(void))
{
	for (int turn = 0; turn < 1000; turn++) {
		int status;

		memory_allowed = turn;
		memory_failed = false;
		status = step();
		memory_allowed = -1;
		if (!memory_failed) {
			CHECK_INT(0, status);
			return turn;
		}
		/* Giving spare memory back may fail without harm: then the step succeeds. */
		CHECK(status == 0 || status == -ENOMEM);
	}
	CHECK(false);
	return 0;
}

static int step_load(void)
{
	struct list *list = NULL;
	int status = load(&list);

	CHECK((status == 0) == (list != NULL));
	list_free(list);
	return status;
}

static struct list *whole;

static int step_image(void)
{
	struct list *again = NULL;
	void *bytes = NULL;
	size_t size;
	int status = list_image(whole, &bytes, &size);

	CHECK((status == 0) == (bytes != NULL));
	if (status == 0)
		status = list_parse(bytes, size, &err, &again);
	CHECK((status == 0) == (again != NULL));
	free(bytes);
	list_free(again);
	return status;
}

static int step_edit(void)
{
	struct list_info next = *list_info(whole);
	struct list *added = NULL, *dropped = NULL, *restated = NULL;
	uint32_t counts[2];
	int status;

	next.version++;
	status = list_add(whole, &next, "vrm\nAB56CDE\n", sizeof("vrm\nAB56CDE\n") - 1, NULL, NULL, NULL, NULL, &err,
			  &added);
	CHECK((status == 0) == (added != NULL));
	if (status == 0)
		status = list_difference(whole, added, NULL, NULL, counts);
	if (status == 0)
		status = list_drop(added, &next, "vrm\nAB12CDE\nAB34CDE\nXY1\n",
				   sizeof("vrm\nAB12CDE\nAB34CDE\nXY1\n") - 1, NULL, NULL, NULL, NULL, &err, &dropped);
	CHECK((dropped == NULL) || status == 0);
	next.generation++;
	if (status == 0)
		status = list_restate(dropped, &next, &err, &restated);
	CHECK_INT(4, list_living(whole));
	list_free(added);
	list_free(dropped);
	list_free(restated);
	return status;
}

/* What survives has to work. */
static void match_one(const struct matchset *set, struct match_scratch *scratch)
{
	struct read read = {.text = "AB12CDE"};
	struct match_cursor cursor = {0};
	struct hit hits[8];
	size_t count;

	CHECK_INT(0, vrm_key(read.text, read.key));
	CHECK_INT(0, match_burst(set, scratch, &read, 1, &cursor, hits, 8, &count));
	CHECK_INT(2, count);
}

static int step_match_in(const struct matchbase_options *options)
{
	const struct list *lists[] = {whole};
	struct match_scratch *scratch = NULL;
	struct matchbase *base = NULL;
	struct matchset *set = NULL;
	int status = options == NULL ? 0 : matchbase_new(lists, 1, options, &err, &base);

	CHECK((base != NULL) == (status == 0 && options != NULL));
	if (status == 0)
		status = matchset_new(lists, 1, base, NULL, &err, &set);
	matchbase_free(base);

	CHECK((status == 0) == (set != NULL));
	if (status == 0) {
		status = match_scratch_new(set, &scratch);
		CHECK((status == 0) == (scratch != NULL));
	}
	if (status == 0)
		match_one(set, scratch);
	match_scratch_free(scratch);
	matchset_free(set);
	return status;
}

static int step_match_delta(void)
{
	return step_match_in(NULL);
}

static int step_match_literals(void)
{
	static const struct matchbase_options options = {.limits = {.mass_entries_min = 1000}};

	return step_match_in(&options);
}

static int step_match_mass(void)
{
	static const struct matchbase_options options;

	return step_match_in(&options);
}

static void lists_without_memory(void)
{
	CHECK(sweep(step_load) >= 3);
	CHECK_INT(0, load(&whole));
	CHECK(sweep(step_image) >= 3);
	CHECK(sweep(step_edit) >= 20);
	whole = list_free(whole);
}

static void sets_without_memory(void)
{
	CHECK_INT(HS_SUCCESS, hs_set_allocator(malloc, free));
	CHECK_INT(0, load(&whole));
	CHECK(sweep(step_match_delta) >= 20);
	CHECK(sweep(step_match_literals) >= 20);
	CHECK(sweep(step_match_mass) >= 20);
	whole = list_free(whole);
	CHECK_INT(HS_SUCCESS, hs_set_allocator(NULL, NULL));
}

int main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{"lists, without memory at any point", lists_without_memory},
		{"match sets, without memory at any point", sets_without_memory},
		{NULL, NULL},
	};

	return check_main(argc, argv, "nomem", tests);
}
