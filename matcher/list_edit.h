/*
 * A list's next version made of the one before: entries added or removed, the head changed, another's content taken
 * over; and what two versions differ in. Control threads; a list that was handed out is never touched.
 *
 * Within a generation slots keep their numbers. An edit after which the removed would outnumber the living begins a new
 * one, without them: the result's generation is then one more than `info` said.
 */
#ifndef GANTRY_MATCHER_LIST_EDIT_H
#define GANTRY_MATCHER_LIST_EDIT_H

#include <stddef.h>
#include <stdint.h>

#include "matcher/list.h"

struct err;

enum list_change { LIST_ADDED, LIST_REMOVED };
/* One entry that came or went; borrowed. < 0 ends the walk and is returned. */
typedef int list_change_fn(void *context, enum list_change change, const struct list_entry *entry);

/*
 * `old` with the rows of a CSV text added (as list_load_csv reads it), under the head `info`, whose generation is that
 * of `old`. A row that repeats a living entry in all is a duplicate; one that says something else of the same reads
 * takes its place. `tell` hears of each; it may be NULL.
 */
int list_add(const struct list *old, const struct list_info *info, const char *text, size_t size,
	     const struct list_options *options, list_change_fn *tell, void *context, struct list_result *ret_result,
	     struct err *err, struct list **ret_list);

/*
 * `old` without the entries that the rows name by their vrm or pattern, whatever else they say; the other columns are
 * not looked at. A row that names none is a bad row. ret_result->loaded counts rows, not entries.
 */
int list_drop(const struct list *old, const struct list_info *info, const char *text, size_t size,
	      const struct list_options *options, list_change_fn *tell, void *context, struct list_result *ret_result,
	      struct err *err, struct list **ret_list);

/* The entries of `old` under another head. In the generation of `old` slots stay; in another the removed go. */
int list_restate(const struct list *old, const struct list_info *info, struct err *err, struct list **ret_list);

/*
 * What was removed and what added between two lists (old may be NULL: all is added), in the order of their patterns. An
 * entry that says something else now is both. Entries that stayed keep their `since`, those that came get the version
 * of `fresh`, so it must not have been handed out; once this is made, it is not touched any more. Both lists must
 * outlive it. -ENOMEM.
 */
struct list_changes;
int list_changes_new(const struct list *old, struct list *fresh, struct list_changes **ret_changes);
struct list_changes *list_changes_free(struct list_changes *changes); /* accepts NULL */

uint32_t list_changes_count(const struct list_changes *changes);

/* Of each; what `tell` returned when that is < 0, else 0. */
int list_changes_tell(const struct list_changes *changes, list_change_fn *tell, void *context);

/* All of it at once: ret_counts [LIST_ADDED], [LIST_REMOVED]; `tell` may be NULL. -ENOMEM, or what `tell` returned. */
int list_difference(const struct list *old, struct list *fresh, list_change_fn *tell, void *context,
		    uint32_t ret_counts[2]);

/*
 * The entries that a VRM meets, living and removed apart: exact, by pattern, by misread (classes only). Calls `tell`
 * with its index; at most `count_max` times. Returns how many were told.
 */
uint32_t list_meet(const struct list *list, const uint8_t key[16], const uint8_t text[16], uint32_t count_max,
		   void (*tell)(void *context, uint32_t index, bool exact), void *context);

#endif
