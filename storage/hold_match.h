/*
 * Which rows of a day a case holds: its selectors of that day, compiled. One thread; rows come in store order.
 */
#ifndef GANTRY_STORAGE_HOLD_MATCH_H
#define GANTRY_STORAGE_HOLD_MATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "appliance/base/err.h"
#include "appliance/base/read.h"
#include "storage/register_hold.h"

struct hold_match;
struct mark_day;
struct store;

/* `marks`: the day's, borrowed; NULL none. 0; -ENOENT no selector of the case touches the day; the register's error;
 * -ENOMEM; -EBADMSG a pattern that is none. */
int hold_match_new(struct store *store, uint32_t number, int32_t day, const struct mark_day *marks,
		   struct hold_match **ret_match);
struct hold_match *hold_match_free(struct hold_match *match); /* wipes */

/*
 * Corrected reads of the day that lie in no segment yet, or may just have come into one; in any order, copied. A search
 * counts them among the rows, and so does hold_matches: once, before the first row. -ENOMEM.
 */
int hold_match_corrected(struct hold_match *match, const struct read *reads, size_t count);

/*
 * -ENOKEY with err: the case names reads of the day by ids of a key that is lost (hold.h, hold_hindered), and neither a
 * selector for all that a camera read at that time nor an id of today's key stands for them. What it matches is not
 * all.
 */
int hold_match_whole(const struct hold_match *match, struct store *store, struct err *err);

/* Does the case name single reads of the day? Only then do ids matter. */
bool hold_match_by_id(const struct hold_match *match);

/* May the case hold that read? Whatever its id, in any order; false is certain. */
bool hold_match_may(const struct hold_match *match, const struct read *read);

/*
 * Rows in store order, copies of equal reads too, but none that the marks drop: a public id counts those before it, as
 * search does (search.c, take_row). What is amended
 * is held by its new id (hold_follow.h).
 */
bool hold_matches(struct hold_match *match, const struct read *row);
/*
 * Of one read whose public id is known; NULL: by what it is alone. Where the key of a named read is lost, its camera
 * and time tell. *ret_index: of a selector that holds it.
 */
bool hold_matches_read(const struct hold_match *match, const struct read *row,
		       const uint8_t public_id[REG_PUBLIC_ID_SIZE], uint32_t *ret_index);

#endif
