/*
 * The way from one page of an answer to the next: a cursor that says nothing to whoever holds it, and that fits the
 * question it was given for and no other. Handler threads.
 */
#ifndef GANTRY_APPLIANCE_READ_CURSOR_H
#define GANTRY_APPLIANCE_READ_CURSOR_H

#include <stdint.h>

#include "storage/search.h"

struct call;
struct gantry;
struct read_query;

/*
 * What reads.search is asked, as a digest: all that decides which rows there are and in what order, as it was given
 * (a window that ends now moves from page to page). `more` names, up to a NULL, parameters that decide it too; NULL:
 * none. Grounds, limit and budgets may differ. 0 or -ENOMEM.
 */
int read_cursor_question(const struct call *call, const struct read_query *query, const char *const *more,
			 uint64_t *ret_question);

/* The call's cursor, if it has one. 0; -EINVAL with the call failed and its reason said; else the keyring's error. */
int read_cursor_take(struct call *call, struct gantry *gantry, struct read_query *query);

int read_cursor_give(struct gantry *gantry, uint64_t question, const struct search_cursor *cursor,
		     char ret_text[SEARCH_CURSOR_TEXT_SIZE]);

#endif
