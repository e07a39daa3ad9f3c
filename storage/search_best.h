/* The best N rows so far in answer order: a heap with the worst on top. Inside of search; one thread. */
#ifndef GANTRY_STORAGE_SEARCH_BEST_H
#define GANTRY_STORAGE_SEARCH_BEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "appliance/base/read.h"

struct search_row {
	struct read read;
	uint32_t ordinal; /* among reads equal in the fields of the public id */
	uint32_t same;    /* among rows the same in every field */
};

/* Answer order: capture time either way, then store order. */
int search_row_compare(const struct search_row *a, const struct search_row *b, bool oldest_first);

struct search_best {
	struct search_row *rows;
	size_t count;
	size_t room;
	bool oldest_first;
};

int search_best_init(struct search_best *best, size_t room, bool oldest_first); /* -ENOMEM */
void search_best_fini(struct search_best *best);
void search_best_add(struct search_best *best, const struct search_row *row);
static inline bool search_best_full(const struct search_best *best)
{
	return best->count == best->room;
}
/* Puts the rows into answer order; nothing may be added afterwards. */
void search_best_sort(struct search_best *best);

#endif
