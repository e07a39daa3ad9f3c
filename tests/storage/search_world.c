#include "tests/storage/search_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storage/segment_write.h"
#include "tests/check.h"

void world_init(struct world *world)
{
	struct memtable_options memory = {.bytes_max = (size_t)48 << 20, .workers = 1};
	struct catalog_options options = {.map_size = 64 << 20};
	struct views_options views = {.cache_segments = 3};
	struct err err = {""};
	char directory[600];

	memset(world, 0, sizeof(*world));
	fixture_init(&world->fixture);
	(void)snprintf(directory, sizeof(directory), "%s/catalog", world->fixture.directory);
	options.directory = directory;
	CHECK_INT(0, catalog_open(&options, &err, &world->catalog));
	CHECK_INT(0, memtable_new(&memory, &world->memtable));
	views.io = world->fixture.io;
	views.keyring = world->fixture.keyring;
	views.catalog = world->catalog;
	views.memtable = world->memtable;
	views.segments_directory = world->fixture.segments;
	CHECK_INT(0, views_new(&views, &world->views));
	world->rows = calloc(ROWS_MAX, sizeof(*world->rows));
	world->next_id = 1;
}

void world_fini(struct world *world)
{
	views_free(world->views);
	memtable_free(world->memtable);
	catalog_free(world->catalog);
	fixture_fini(&world->fixture);
	free(world->rows);
}

void model_add(struct world *world, const struct read *rows, size_t count)
{
	CHECK(world->count + count <= ROWS_MAX);
	memcpy(&world->rows[world->count], rows, count * sizeof(*rows));
	world->count += count;
}

void settle(struct world *world)
{
	world->count = fixture_collapse(world->rows, world->count);
}

struct generation *put_memory(struct world *world, const struct read *rows, size_t count)
{
	struct generation *generation;
	uint64_t id = world->next_id++;

	CHECK_INT(0, memtable_open_generation(world->memtable, 0, id, id, &generation));
	for (size_t i = 0; i < count; i++) {
		struct chunk *chunk;

		CHECK(memtable_reserve_recovery(world->memtable, generation, 1, 0, 0));
		chunk = generation->last;
		chunk->rows[chunk->row_count++] = rows[i];
		atomic_store_explicit(&chunk->rows_durable, chunk->row_count, memory_order_release);
	}
	while (memtable_keep(world->memtable))
		;
	return generation;
}

size_t write_days(struct world *world, const struct read *rows, size_t count, struct segment_summary *ret)
{
	size_t made = 0;

	for (int32_t day = FIXTURE_DAY; day < FIXTURE_DAY + DAYS; day++) {
		struct read *of_day = calloc(count + 1, sizeof(*of_day));
		size_t of_day_count = 0;

		for (size_t i = 0; i < count; i++)
			if (read_day(rows[i].capture_us) == day)
				of_day[of_day_count++] = rows[i];
		if (of_day_count > 0)
			CHECK_INT(0, fixture_write(&world->fixture, world->fixture.io, day, world->next_id++, of_day,
						   of_day_count, NULL, 0, &ret[made++]));
		free(of_day);
	}
	return made;
}

void put_segments(struct world *world, const struct read *rows, size_t count)
{
	struct segment_summary *summaries = calloc(DAYS, sizeof(*summaries));
	struct catalog_seal seal = {.journal_id = world->next_id++, .segments = summaries};

	seal.segment_count = write_days(world, rows, count, summaries);
	CHECK_INT(0, catalog_seal(world->catalog, &seal));
	free(summaries);
}

int keep_row(void *context, const struct read *read, const char public_id[SEARCH_PUBLIC_ID_SIZE])
{
	struct answer *answer = context;

	answer->rows[answer->count] = *read;
	memcpy(answer->ids[answer->count++], public_id, SEARCH_PUBLIC_ID_SIZE);
	return 0;
}

void answer_init(struct answer *answer)
{
	answer->rows = calloc(ROWS_MAX, sizeof(*answer->rows));
	answer->ids = calloc(ROWS_MAX, SEARCH_PUBLIC_ID_SIZE);
	answer->count = 0;
}

void answer_fini(struct answer *answer)
{
	free(answer->rows);
	free(answer->ids);
}

void trial_init(struct trial *trial)
{
	memset(trial, 0, sizeof(*trial));
	world_init(&trial->world);
	answer_init(&trial->answer);
	trial->rows = calloc(ROWS_MAX, sizeof(*trial->rows));
	trial->result = calloc(1, sizeof(*trial->result));
	CHECK(trial->rows != NULL && trial->result != NULL);
}

void trial_fini(struct trial *trial)
{
	answer_fini(&trial->answer);
	free(trial->rows);
	free(trial->result);
	world_fini(&trial->world);
}

int trial_search(struct trial *trial, const struct search_query *query)
{
	return search_run(trial->world.views, query, &trial->err, query->count_only ? NULL : keep_row, &trial->answer,
			  trial->result);
}
