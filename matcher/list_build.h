/*
 * How a list comes to be, row by row; shared by list_load.c and list_image.c. One thread owns a list until it is
 * handed out, then it never changes.
 *
 * A row's strings lie one behind the other in the pool, each zero terminated: pattern, text, reason, action, make,
 * model, colour. Lists run to millions of rows, so there is no pointer per string.
 */
#ifndef GANTRY_MATCHER_LIST_BUILD_H
#define GANTRY_MATCHER_LIST_BUILD_H

#include <stddef.h>
#include <stdint.h>

#include "matcher/list.h"

#define LIST_TEXTS 5 /* reason, action, make, model, colour */

struct list_slot {
	int64_t expires_us;
	uint32_t offset; /* into the pool */
	uint32_t line;
	uint8_t flags;
};

struct list {
	struct list_info info;
	struct list_slot *slots;
	char *pool;
	size_t pool_size;
	size_t pool_room;
	uint32_t count;
	uint32_t room;
	uint32_t *seen; /* rows by hash of their pattern, while loading; NULL afterwards */
	uint32_t seen_room;
};

/* A row as its source has it, not yet checked. Borrowed strings with their sizes, zero terminated or not. */
struct list_row {
	struct slice vrm;
	struct slice texts[LIST_TEXTS];
	int64_t expires_us;
	uint32_t line;
	uint8_t flags; /* LIST_FLAG_TOLERANT, LIST_FLAG_AS_RECEIVED */
};

enum list_row_outcome { LIST_ROW_BAD = 1, LIST_ROW_DUPLICATE = 2 };

/* An empty list with that head, checked. -EINVAL with err, -ENOMEM. */
int list_new(const struct list_info *info, struct err *err, struct list **ret_list);

/* LIST_ROW_BAD sets ret_reason to a static text; the list is then as before. -ENOMEM, -E2BIG: over 4 GiB of text. */
int list_row_add(struct list *list, const struct list_row *row, const char **ret_reason);

/* The same, but a row that says what an earlier one did is an outcome. Use one or the other for all rows of a list. */
int list_row_add_once(struct list *list, const struct list_row *row, const char **ret_reason);

/* No row comes any more: gives spare memory back. */
void list_seal(struct list *list);

#endif
