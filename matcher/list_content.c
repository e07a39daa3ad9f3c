/* What lists say: are two entries one, in which order do they come, the digest of them all. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/bytes.h"
#include "appliance/base/radix.h"
#include "matcher/list_build.h"

#define DIGEST_LABEL "gantry list 1"
#define SAME_FLAGS (LIST_FLAG_TOLERANT | LIST_FLAG_AS_RECEIVED | LIST_FLAG_WILDCARD)

static const char *slot_strings(const struct list *list, uint32_t index)
{
	return list->pool + list->slots[index].offset;
}

static const char *string_next(const char *string)
{
	return string + strlen(string) + 1;
}

int list_entry_compare(const struct list *a, uint32_t index_a, const struct list *b, uint32_t index_b)
{
	const char *left = slot_strings(a, index_a), *right = slot_strings(b, index_b);
	uint8_t flags_left = a->slots[index_a].flags & SAME_FLAGS, flags_right = b->slots[index_b].flags & SAME_FLAGS;
	int order = strcmp(left, right);

	if (order == 0)
		order = (int)flags_left - (int)flags_right;
	if (order == 0 && (flags_left & LIST_FLAG_AS_RECEIVED) != 0)
		order = strcmp(string_next(left), string_next(right));
	return order;
}

bool list_entry_is_same(const struct list *a, uint32_t index_a, const struct list *b, uint32_t index_b)
{
	return list_entry_compare(a, index_a, b, index_b) == 0;
}

bool list_entry_is_equal(const struct list *a, uint32_t index_a, const struct list *b, uint32_t index_b)
{
	const struct list_slot *left = &a->slots[index_a], *right = &b->slots[index_b];
	const char *one = string_next(slot_strings(a, index_a)), *other = string_next(slot_strings(b, index_b));

	if (left->expires_us != right->expires_us || ((left->flags ^ right->flags) & LIST_FLAG_EXACT) != 0 ||
	    list_entry_compare(a, index_a, b, index_b) != 0)
		return false;
	for (int i = 0; i < LIST_TEXTS; i++) {
		one = string_next(one);
		other = string_next(other);
		if (strcmp(one, other) != 0)
			return false;
	}
	return true;
}

/* The living slots from `from` on, by their first bytes. NULL: no memory. */
static struct radix_item *places_of(const struct list *list, uint32_t from, uint32_t *ret_count)
{
	struct radix_item *places = malloc((list->count - from + (size_t)1) * sizeof(*places));
	uint32_t count = 0;

	for (uint32_t i = from; places != NULL && i < list->count; i++) {
		uint8_t first[8] = {0};
		const char *pattern = slot_strings(list, i);

		if ((list->slots[i].flags & LIST_FLAG_REMOVED) != 0)
			continue;
		memcpy(first, pattern, strnlen(pattern, sizeof(first)));
		places[count++] = (struct radix_item){be64_get(first), i};
	}
	*ret_count = count;
	return places;
}

static int slots_compare(const void *list, uint32_t a, uint32_t b)
{
	return list_entry_compare(list, a, list, b);
}

/* Fills `order` with the living slots as far as they lie in order; returns the slot at which they do not. */
static uint32_t ordered_until(const struct list *list, uint32_t *order, uint32_t *ret_count)
{
	uint32_t count = 0;
	uint32_t i;

	for (i = 0; i < list->count; i++) {
		if ((list->slots[i].flags & LIST_FLAG_REMOVED) != 0)
			continue;
		if (count > 0 && list_entry_compare(list, order[count - 1], list, i) >= 0)
			break;
		order[count++] = i;
	}
	*ret_count = count;
	return i;
}

/* The sorted rest goes into its places among the first `count`, from the end, where there is room. */
static void merge_rest(const struct list *list, uint32_t *order, uint32_t count, const struct radix_item *rest,
		       uint32_t rest_count)
{
	while (rest_count > 0) {
		uint32_t index = rest[rest_count - 1].index;
		bool before = count > 0 && list_entry_compare(list, order[count - 1], list, index) > 0;

		order[count + rest_count - 1] = before ? order[count - 1] : index;
		if (before)
			count--;
		else
			rest_count--;
	}
}

/* A large list lies in order, but for what was added since it was loaded: that alone is sorted. */
int list_sorted(const struct list *list, uint32_t **ret_order)
{
	uint32_t *order = malloc((list_living(list) + (size_t)1) * sizeof(*order));
	struct radix_item *rest = NULL;
	uint32_t count, rest_count, from;

	if (order == NULL)
		return -ENOMEM;
	from = ordered_until(list, order, &count);
	rest = places_of(list, from, &rest_count);
	if (rest == NULL || radix_sort_compared(rest, rest_count, slots_compare, list) < 0) {
		free(order);
		free(rest);
		return -ENOMEM;
	}
	merge_rest(list, order, count, rest, rest_count);
	free(rest);
	*ret_order = order;
	return 0;
}

/* Flags, expiry, pattern, the text where it counts, the other texts; each text with its zero. */
static uint8_t *content_put(const struct list *list, uint32_t index, uint8_t *at)
{
	const struct list_slot *slot = &list->slots[index];
	const char *string = slot_strings(list, index);

	*at = slot->flags & (SAME_FLAGS | LIST_FLAG_EXACT);
	le64_put(at + 1, (uint64_t)slot->expires_us);
	at += 9;
	for (int i = 0; i < 2 + LIST_TEXTS; i++) {
		bool counts = i != 1 || (slot->flags & LIST_FLAG_AS_RECEIVED) != 0;
		size_t size = counts ? strlen(string) : 0;

		memcpy(at, string, size);
		at[size] = '\0';
		at += size + 1;
		string = string_next(string);
	}
	return at;
}

static int digest_take(struct list *list)
{
	uint8_t head[LIST_HEAD_SIZE_MAX];
	uint32_t count = list_living(list);
	uint32_t *order;
	size_t room = list->pool_size + (size_t)count * 9 + 1;
	uint8_t *bytes = malloc(room);
	uint8_t *at = bytes;
	int status = bytes != NULL ? list_sorted(list, &order) : -ENOMEM;

	if (status == 0) {
		for (uint32_t i = 0; i < count; i++) {
			list_prefetch(list, order, count, i);
			at = content_put(list, order[i], at);
		}
		const struct slice parts[] = {{DIGEST_LABEL, sizeof(DIGEST_LABEL)},
					      {head, list_head_encode(&list->info, head)},
					      {bytes, (size_t)(at - bytes)}};
		sha256_parts(parts, 3, list->info.sha256);
		bytes_wipe(bytes, (size_t)(at - bytes));
		free(order);
	}
	free(bytes);
	return status;
}

int list_seal(struct list *list)
{
	int status = digest_take(list);

	if (status == 0)
		list_trim(list);
	return status;
}
