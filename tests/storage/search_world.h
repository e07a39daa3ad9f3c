/*
 * What the tests of search share: a keyring, catalog, memtable and views in a fresh directory, rows put into any of
 * them, and beside them the plain model: all rows ever put in. One thread.
 */
#ifndef GANTRY_TESTS_STORAGE_SEARCH_WORLD_H
#define GANTRY_TESTS_STORAGE_SEARCH_WORLD_H

#include <stddef.h>
#include <stdint.h>

#include "storage/catalog.h"
#include "storage/memtable.h"
#include "storage/search.h"
#include "storage/view.h"
#include "tests/storage/segment_fixture.h"

#define ROWS_MAX 40000
#define DAYS 3 /* FIXTURE_DAY … */

struct world {
	struct fixture fixture;
	struct catalog *catalog;
	struct memtable *memtable;
	struct views *views;
	uint64_t next_id;
	/* The model: all rows ever put in, collapsed and in store order once `settle` ran. */
	struct read *rows;
	size_t count;
};

void world_init(struct world *world);
void world_fini(struct world *world);

/* Rows into the model; once all are there, settle collapses it and puts it into store order. */
void model_add(struct world *world, const struct read *rows, size_t count);
void settle(struct world *world);

struct generation *put_memory(struct world *world, const struct read *rows, size_t count);
/* One segment for each day among the rows; returns how many, their summaries in ret. */
size_t write_days(struct world *world, const struct read *rows, size_t count, struct segment_summary *ret);
void put_segments(struct world *world, const struct read *rows, size_t count);

struct answer {
	struct read *rows;
	char (*ids)[SEARCH_PUBLIC_ID_SIZE];
	size_t count;
};

/* ROWS_MAX rows of room. keep_row is a search_row_fn on it. */
void answer_init(struct answer *answer);
void answer_fini(struct answer *answer);
int keep_row(void *context, const struct read *read, const char public_id[SEARCH_PUBLIC_ID_SIZE]);

/* A world with room for rows to be put in, and for one search after the other. */
struct trial {
	struct world world;
	struct read *rows; /* ROWS_MAX */
	struct answer answer;
	struct search_result *result;
	struct err err;
};

void trial_init(struct trial *trial);
void trial_fini(struct trial *trial);
/* Its rows go into `answer`, behind those that are there. What search_run says. */
int trial_search(struct trial *trial, const struct search_query *query);

#endif
