/*
 * Memory that runs out while hits are scanned, found or searched for: every allocation fails once. Nothing may leak
 * (the sanitizer's build sees that) or be answered with anything but -ENOMEM, and the next call gives all again.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/log.h"
#include "storage/hit_search.h"
#include "storage/io.h"
#include "tests/check.h"
#include "tests/short_memory.h"
#include "tests/storage/rig_check.h"
#include "tests/storage/rig_hits.h"
#include "tests/storage/store_rig.h"
#include "tests/storage/store_world.h"

#define PAGE 64

struct trial {
	struct io *io;
	struct rig *rig;
	struct hit_found found[PAGE];
	size_t count;
	uint64_t number; /* of one that is sealed */
	struct search_result result;
};

static int scan(struct trial *trial)
{
	return hit_scan(trial->rig->store, 0, 0, UINT64_MAX, PAGE, &trial->rig->err, trial->found, &trial->count);
}

static int find(struct trial *trial)
{
	trial->count = 1;
	return hit_find(trial->rig->store, trial->number, &trial->rig->err, trial->found);
}

static int row_count(void *context, const struct hit_found *found)
{
	(void)found;
	++*(size_t *)context;
	return 0;
}

static int search(struct trial *trial)
{
	const struct hit_query query = {.reads = {.to_us = INT64_MAX / 2, .limit = PAGE}};
	struct hit_search_cursor cursor;

	trial->count = 0;
	return hit_search_run(trial->rig->store, &query, &trial->rig->err, row_count, &trial->count, &trial->result,
			      &cursor);
}

/* The store is opened anew for each turn: its caches would spare the allocations that matter. */
static void sweep(struct trial *trial, int (*step)(struct trial *trial), size_t wanted)
{
	int turn = 0;

	do {
		int result;

		CHECK_INT(0, rig_close(trial->rig, false));
		rig_check_open(trial->rig, "open");
		memory_failed = false;
		memory_allowed = turn++;
		result = step(trial);
		memory_allowed = -1;
		CHECK_INT(memory_failed ? -ENOMEM : 0, result);
		CHECK_INT(0, step(trial));
		CHECK_INT(wanted, trial->count);
	} while (memory_failed);
	CHECK(turn > 5);
}

static void test_every_allocation(void)
{
	struct trial *trial = calloc(1, sizeof(*trial));
	char directory[500], db_directory[600];

	CHECK(trial != NULL);
	/* A real disk: the simulated one does not run out of memory. */
	CHECK_INT(0, io_real_new_plain(&trial->io));
	trial->rig = calloc(1, sizeof(*trial->rig));
	CHECK(trial->rig != NULL);
	(void)snprintf(directory, sizeof(directory), "%s/data", check_memory_directory());
	rig_db_directory(db_directory);
	rig_init(trial->rig, trial->io, directory, db_directory, check_seed());
	rig_check_open(trial->rig, "open");
	rig_send_some(trial->rig, 60);
	rig_settle(trial->rig, 1000);
	CHECK_INT(0, store_seal_all(trial->rig->store, INT64_C(5000000000)));
	rig_send_some(trial->rig, 20);
	rig_settle(trial->rig, 1000);
	CHECK_INT(0, scan(trial));
	CHECK_INT(PAGE, trial->count);
	trial->number = trial->found[3].hit.number;
	sweep(trial, scan, PAGE);
	sweep(trial, find, 1);
	sweep(trial, search, PAGE);
	CHECK_INT(0, rig_close(trial->rig, false));
	free(trial->rig);
	io_real_free(trial->io);
	free(trial);
}

int main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{"every allocation fails once", test_every_allocation},
		{NULL, NULL},
	};

	log_level_set(LOG_LEVEL_ERROR);
	return check_main(argc, argv, "hit_nomem", tests);
}
