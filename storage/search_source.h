/*
 * Inside of search: what a query wants, and streams of wanted rows in store order, one per segment or memtable part of
 * a day. One thread.
 */
#ifndef GANTRY_STORAGE_SEARCH_SOURCE_H
#define GANTRY_STORAGE_SEARCH_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "storage/key_plan.h"
#include "storage/search.h"
#include "storage/search_best.h"
#include "storage/search_finder.h"
#include "storage/segment_read.h"
#include "storage/view.h"

struct search_ahead;

/* One running search. */
struct search {
	struct views *views;
	const struct search_query *query;
	struct search_result *result;
	struct mark_set *marks; /* taken before the view: what it calls done stands in the view's segments */
	struct view view;
	struct fetch *fetch; /* NULL until the first segment is opened */
	struct search_ahead *ahead;
	struct search_best best;
	int64_t from_us; /* the query's window, narrowed by the cursor and by what the best rows rule out */
	int64_t to_us;
	int64_t deadline_ns; /* 0: none */
	uint64_t checked;    /* rows seen at the last look at clock and caller */
	unsigned pages;      /* taken since the last look at what has come */
	uint32_t camera;     /* the last one asked about */
	bool camera_known;
	bool camera_wanted;
	struct key_plan keys;
	/* For the progress. */
	struct search_source *const *day_sources; /* of the day in work */
	size_t day_source_count;
	uint64_t reads;      /* of the view's segments */
	uint64_t reads_done; /* of the days before */
	uint64_t reads_told;
};

/* The key lies in one of the plan's ranges and matches the query's pattern. */
bool search_key_matches(const struct search *search, const uint8_t key[16]);

/* The query names the camera, or none. */
bool search_camera_listed(const struct search_query *query, uint32_t camera);

/* Window, camera, key. */
bool search_wants(struct search *search, const struct read *read);

/* The rest: kind, text, area. */
bool search_answers(const struct search *search, const struct read *read);

/* True when a budget is spent or the caller gave up: result->stop says which. Cheap enough for every row. */
bool search_must_stop(struct search *search);
/* The same with a look at the clock and at the caller: for who is about to wait. */
bool search_must_stop_now(struct search *search);

/* Tells the caller how far it is, when that is `least` more than was told last. */
void search_tell(struct search *search, uint64_t least);

/* Notes a part that could not be read. */
void search_fault(struct search *search, const struct err *err);

struct search_source {
	const struct read *row; /* current; NULL: at its end */
	/* memtable: pointers in store order */
	const struct read *const *rows;
	size_t row_count;
	size_t row_at;
	/* segment */
	struct segment *segment; /* NULL: memtable */
	bool woken;              /* something has come since search_source_go */
	bool by_spans;           /* of the rows in the stream's pages only those found are looked at */
	struct search_finder finder;
	struct search_spans spans;
	size_t fed;       /* spans whose pages the stream was asked for, from spans.first on */
	uint64_t fed_row; /* of the next one: rows before it are asked for */
	struct segment_stream *stream;
	struct key_range *rest;    /* where rows are looked for when the finder failed */
	struct segment_rows *page; /* NULL: none loaded yet */
	uint32_t passed;           /* rows before the page */
	uint32_t at;               /* in the page: rows at … end − 1 are to be looked at */
	uint32_t end;
};

/* Both leave the source before its first row. The segment is borrowed until fini. 0 or -ENOMEM; fini either way. */
void search_source_init_memory(struct search_source *source, const struct read *const *rows, size_t count);
int search_source_init_segment(struct search_source *source, struct search *search, struct segment *segment);
void search_source_fini(struct search_source *source, struct search *search);

/* Reads ahead: goes on with what has come, without waiting. 0 or -ENOMEM. */
int search_source_go(struct search_source *source, struct search *search);

/* To the next wanted row; source->row is NULL at the end or when the search must stop. 0 or -ENOMEM. */
int search_source_next(struct search_source *source, struct search *search);

#endif
