/*
 * How a list comes to be, row by row; shared by list_load.c, list_edit.c and list_image.c. One thread owns a list until
 * it is handed out, then it never changes.
 *
 * A row's strings lie one behind the other in the pool, each zero terminated: pattern, text, reason, action, make,
 * model, colour; rows in the order of their slots, without a gap. Lists run to millions of rows, so there is no pointer
 * per string.
 */
#ifndef GANTRY_MATCHER_LIST_BUILD_H
#define GANTRY_MATCHER_LIST_BUILD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "matcher/list.h"

#define LIST_TEXTS 5 /* reason, action, make, model, colour */

struct list_slot {
	int64_t expires_us;
	uint32_t offset; /* into the pool */
	uint32_t line;
	uint32_t since;
	uint8_t flags; /* without what the list's tolerance adds */
};

/* A place of the table by which a loader finds rows that repeat: `tag` is the pattern's hash, 0 in `place` is none. */
struct list_seen {
	uint32_t tag;
	uint32_t place; /* slot + 1 */
};

struct list {
	struct list_info info;
	struct list_slot *slots;
	char *pool;
	size_t pool_size;
	size_t pool_room;
	uint32_t count;
	uint32_t room;
	uint32_t removed;       /* slots with LIST_FLAG_REMOVED */
	struct list_seen *seen; /* living rows by hash of their pattern, while loading; NULL afterwards */
	uint32_t seen_room;
};

/* A row as its source has it, not yet checked. Borrowed strings with their sizes, zero terminated or not. */
struct list_row {
	struct slice vrm;
	struct slice texts[LIST_TEXTS];
	int64_t expires_us;
	uint32_t line;
	uint32_t since;
	uint8_t flags; /* LIST_ROW_FLAGS */
};
#define LIST_ROW_FLAGS (LIST_FLAG_TOLERANT | LIST_FLAG_AS_RECEIVED | LIST_FLAG_EXACT)

enum list_row_outcome { LIST_ROW_BAD = 1, LIST_ROW_DUPLICATE = 2 };

/* -EINVAL with err: not the head of a list. */
int list_head_check(const struct list_info *info, struct err *err);

/* An empty list with that head, checked, whose generation begins with it. -EINVAL with err, -ENOMEM. */
int list_new(const struct list_info *info, struct err *err, struct list **ret_list);

/* LIST_ROW_BAD sets ret_reason to a static text; the list is then as before. -ENOMEM, -E2BIG: over 4 GiB of text. */
int list_row_add(struct list *list, const struct list_row *row, const char **ret_reason);

/* The same, but a row that says what an earlier living one did is an outcome. Use one or the other for all rows of a
 * list. */
int list_row_add_once(struct list *list, const struct list_row *row, const char **ret_reason);

/* Such a row comes soon, perhaps: where list_row_add_once will look for it is asked of memory. */
void list_row_hint(const struct list *list, const struct slice *vrm);

/* Makes `seen` over the living slots, for list_row_add_once and the two below. -ENOMEM. */
int list_index(struct list *list);

/* Takes the last slot, new and living, into `seen`. -ENOMEM. */
int list_seen_add(struct list *list, uint32_t index);

/* With `seen`: the living slots with that very pattern, one after the other. *at begins as NULL. UINT32_MAX: no more.
 */
uint32_t list_find(const struct list *list, const char *pattern, const struct list_seen **at);

/*
 * For who walks slots in the order of list_sorted, which lie all over memory: asks for those that `order` has next.
 */
#define LIST_AHEAD 16
static inline void list_prefetch(const struct list *list, const uint32_t *order, uint32_t count, uint32_t at)
{
	if (at + 2 * LIST_AHEAD < count)
		__builtin_prefetch(&list->slots[order[at + 2 * LIST_AHEAD]]);
	if (at + LIST_AHEAD < count) {
		const char *strings = list->pool + list->slots[order[at + LIST_AHEAD]].offset;

		__builtin_prefetch(strings);
		__builtin_prefetch(strings + 48); /* many a row ends in the next line */
	}
}

/*
 * Puts the slots of a list without removed ones into the order of list_sorted, so that every later walk in it is a walk
 * straight through memory. `seen` is of no use afterwards. -ENOMEM: the list is as before.
 */
int list_arrange(struct list *list);

/* The slot stays; `seen` forgets it only when it is made anew. */
void list_slot_remove(struct list *list, uint32_t index);

/* By pattern, by what the row says of tolerance, by the text where it counts: < 0, 0, > 0. */
int list_entry_compare(const struct list *a, uint32_t index_a, const struct list *b, uint32_t index_b);
/* Do two entries stand for the same reads: is that 0? */
bool list_entry_is_same(const struct list *a, uint32_t index_a, const struct list *b, uint32_t index_b);
/* The same, and every text and the expiry too. */
bool list_entry_is_equal(const struct list *a, uint32_t index_a, const struct list *b, uint32_t index_b);

/* A list with another head and the same slots, or without those removed when `compact`: then that head has another
 * generation. Errors of list_new. */
int list_copy(const struct list *list, const struct list_info *info, bool compact, struct err *err,
	      struct list **ret_list);

/* The living slots in the order of what they say, the same for equal lists. malloc'd; -ENOMEM. */
int list_sorted(const struct list *list, uint32_t **ret_order);

/* No row comes any more: gives spare memory back. */
void list_trim(struct list *list);

/*
 * The same, and takes the digest of what the list says: header and living
 * entries in canonical form, whatever the order of the rows, without id, version, generation, date and line numbers.
 * -ENOMEM: the list is as it was.
 */
int list_seal(struct list *list);

/* The head without id, version, generation, date and digest, as bytes; returns how many. */
#define LIST_HEAD_SIZE_MAX 8192
size_t list_head_encode(const struct list_info *info, uint8_t bytes[LIST_HEAD_SIZE_MAX]);
/* -EBADMSG for bytes that it has not made; the other fields of ret_info stay. */
int list_head_decode(const uint8_t *bytes, size_t size, struct list_info *ret_info);

#endif
