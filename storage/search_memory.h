/* Inside of search: the memtable's part of a view, gathered once, in store order within each day. One thread. */
#ifndef GANTRY_STORAGE_SEARCH_MEMORY_H
#define GANTRY_STORAGE_SEARCH_MEMORY_H

#include <stddef.h>
#include <stdint.h>

struct read;
struct search;

struct search_memory_day {
	int32_t day;
	size_t first; /* in rows */
	size_t count;
};

struct search_memory {
	const struct read **rows; /* wanted ones; point into the view's chunks */
	size_t count;
	size_t room;
	struct search_memory_day *days; /* ascending */
	size_t day_count;
};

/* 0, or -ENOMEM; fini either way. */
int search_memory_init(struct search_memory *memory, struct search *search);
void search_memory_fini(struct search_memory *memory);

#endif
