/*
 * Inside of search: what a query wants, and streams of wanted rows in store order, one per segment or memtable part of
 * a day. One thread.
 */
#ifndef GANTRY_STORAGE_SEARCH_SOURCE_H
#define GANTRY_STORAGE_SEARCH_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "storage/search.h"
#include "storage/search_best.h"
#include "storage/segment_read.h"
#include "storage/view.h"

/* One running search. */
struct search {
	struct views *views;
	const struct search_query *query;
	struct search_result *result;
	struct mark_set *marks; /* taken before the view: what it calls done stands in the view's segments */
	struct view view;
	struct segment_scratch scratch;
	struct search_best best;
	int64_t from_us; /* the query's window, narrowed by the cursor and by what the best rows rule out */
	int64_t to_us;
	int64_t deadline_ns; /* 0: none */
	uint64_t checked;    /* rows seen at the last look at clock and caller */
	uint32_t camera;     /* the last one asked about */
	bool camera_known;
	bool camera_wanted;
	/* VRM keys outside key_low … key_high cannot match. */
	uint8_t key_low[16];
	uint8_t key_high[16];
	bool key_range_only; /* and all inside do */
};

/* Derives the key range from the query. */
void search_plan_keys(struct search *search);

/* The key lies in the query's range and matches its pattern. */
bool search_key_matches(const struct search *search, const uint8_t key[16]);

/* Everything but the text: kind, window, camera, key. */
bool search_wants(struct search *search, const struct read *read);

/* True when a budget is spent or the caller gave up: result->stop says which. Cheap enough for every row. */
bool search_must_stop(struct search *search);

/* Notes a part that could not be read. */
void search_fault(struct search *search, const struct err *err);

enum search_plan {
	SEARCH_PLAN_RANGE, /* rows from a page on, until key_high */
	SEARCH_PLAN_KEYS,  /* rows of the dictionary's keys that match */
	SEARCH_PLAN_LIST,  /* row pages, found by scene */
};

struct search_source {
	const struct read *row; /* current; NULL: at its end */
	/* memtable: pointers in store order */
	const struct read *const *rows;
	size_t row_count;
	size_t row_at;
	/* segment */
	struct segment *segment; /* NULL: memtable */
	enum search_plan plan;
	uint64_t next_row; /* of [next_row, end_row), what the plan gave last */
	uint64_t end_row;
	struct segment_rows *page; /* NULL: none loaded */
	uint64_t bad_page;         /* one more than the page that could not be read last; named once */
	struct segment_keys *keys;
	uint32_t key_page; /* the next one */
	uint32_t key_at;
	struct segment_page_list list;
	size_t list_at;
};

/* Both leave the source before its first row. The segment is borrowed until fini. 0 or -ENOMEM. */
void search_source_init_memory(struct search_source *source, const struct read *const *rows, size_t count);
int search_source_init_segment(struct search_source *source, struct search *search, struct segment *segment);
void search_source_fini(struct search_source *source, struct search *search);

/* To the next wanted row; source->row is NULL at the end or when the search must stop. 0 or -ENOMEM. */
int search_source_next(struct search_source *source, struct search *search);

#endif
