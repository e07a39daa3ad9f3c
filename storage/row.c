#include "storage/row.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/bytes.h"
#include "appliance/base/radix.h"

#define SMALL_GROUP 24 /* below it insertion beats everything */
#define PREFETCH 12

#define COMPARE(field)                                                                                                 \
	do {                                                                                                           \
		if (a->field != b->field)                                                                              \
			return a->field < b->field ? -1 : 1;                                                           \
	} while (0)

/* What follows the camera's lane in store order, of the sender's fields. */
static int compare_sender(const struct read *a, const struct read *b)
{
	int a_flags = a->flags & READ_FLAGS_SENDER;
	int b_flags = b->flags & READ_FLAGS_SENDER;
	int order = memcmp(a->text, b->text, READ_TEXT_SIZE);

	if (order != 0)
		return order;
	COMPARE(lat_e7);
	COMPARE(lon_e7);
	COMPARE(country);
	if (a_flags != b_flags)
		return a_flags - b_flags;
	COMPARE(kind);
	COMPARE(confidence);
	COMPARE(direction);
	COMPARE(images);
	return 0;
}

static int compare_arrival(const struct read *a, const struct read *b)
{
	COMPARE(feed);
	COMPARE(epoch);
	COMPARE(receipt_us);
	COMPARE(flags);
	return memcmp(a->zero, b->zero, sizeof(a->zero));
}

int row_compare(const struct read *a, const struct read *b)
{
	int order = memcmp(a->key, b->key, READ_TEXT_SIZE);

	if (order != 0)
		return order;
	COMPARE(capture_us);
	COMPARE(camera);
	COMPARE(road_lane);
	order = compare_sender(a, b);
	return order != 0 ? order : compare_arrival(a, b);
}

bool row_equal(const struct read *a, const struct read *b)
{
	return a->capture_us == b->capture_us && a->camera == b->camera && a->kind == READ_KIND_VRM &&
	       a->road_lane == b->road_lane && memcmp(a->key, b->key, READ_TEXT_SIZE) == 0 && compare_sender(a, b) == 0;
}

static int compare_items(const void *a, const void *b, void *context)
{
	const struct read *const *rows = context;

	return row_compare(rows[((const struct radix_item *)a)->index], rows[((const struct radix_item *)b)->index]);
}

static void sort_small(struct radix_item *items, size_t count, const struct read *const *rows)
{
	for (size_t i = 1; i < count; i++) {
		struct radix_item item = items[i];
		size_t j = i;

		for (; j > 0 && row_compare(rows[item.index], rows[items[j - 1].index]) < 0; j--)
			items[j] = items[j - 1];
		items[j] = item;
	}
}

static void sort_by_compare(struct radix_item *items, size_t count, const struct read *const *rows)
{
	if (count <= SMALL_GROUP)
		sort_small(items, count, rows);
	else
		qsort_r(items, count, sizeof(*items), compare_items, (void *)rows);
}

/* Calls sort_by_compare on every run of equal keys. */
static void sort_ties(struct radix_item *items, size_t count, const struct read *const *rows)
{
	for (size_t i = 0, end; i < count; i = end) {
		for (end = i + 1; end < count && items[end].key == items[i].key; end++)
			;
		if (end - i > 1)
			sort_by_compare(&items[i], end - i, rows);
	}
}

/*
 * A big group of equal prefixes is in practice one VRM key (above all that of the not-read records): then time decides,
 * and time is radix sorted as well.
 */
static void sort_big(struct radix_item *items, struct radix_item *spare, size_t count, const struct read *const *rows)
{
	const struct read *first = rows[items[0].index];

	for (size_t i = 0; i < count; i++) {
		if (memcmp(rows[items[i].index]->key, first->key, READ_TEXT_SIZE) != 0) {
			sort_by_compare(items, count, rows);
			return;
		}
	}
	for (size_t i = 0; i < count; i++)
		items[i].key = (uint64_t)rows[items[i].index]->capture_us ^ (UINT64_C(1) << 63);
	radix_sort(items, spare, count);
	sort_ties(items, count, rows);
}

static void sort_groups(struct radix_item *items, struct radix_item *spare, size_t count,
			const struct read *const *rows)
{
	for (size_t i = 0, end; i < count; i = end) {
		uint64_t prefix = items[i].key;

		for (end = i + 1; end < count && items[end].key == prefix; end++)
			;
		if (end + 2 * PREFETCH < count) {
			__builtin_prefetch(&rows[items[end + 2 * PREFETCH].index]);
			__builtin_prefetch(rows[items[end + PREFETCH].index]);
		}
		if (end - i > SMALL_GROUP)
			sort_big(&items[i], &spare[i], end - i, rows);
		else if (end - i > 1)
			sort_small(&items[i], end - i, rows);
	}
}

int row_order(const struct read *const *rows, size_t count, uint32_t *ret_order)
{
	struct radix_item *items;

	if (count > UINT32_MAX)
		return -E2BIG;
	items = malloc((2 * count + 1) * sizeof(*items));
	if (items == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		if (i + PREFETCH < count)
			__builtin_prefetch(rows[i + PREFETCH]);
		items[i].key = be64_get(rows[i]->key);
		items[i].index = (uint32_t)i;
	}
	radix_sort(items, items + count, count);
	sort_groups(items, items + count, count, rows);
	for (size_t i = 0; i < count; i++)
		ret_order[i] = items[i].index;
	free(items);
	return 0;
}

int row_sort(const struct read **rows, size_t count)
{
	uint32_t *order = malloc((count + 1) * sizeof(*order));
	const struct read **copy = malloc((count + 1) * sizeof(const struct read *));
	int r = -ENOMEM;

	if (order != NULL && copy != NULL)
		r = row_order(rows, count, order);
	if (r == 0) {
		memcpy(copy, rows, count * sizeof(const struct read *));
		for (size_t i = 0; i < count; i++)
			rows[i] = copy[order[i]];
	}
	free(copy);
	free(order);
	return r;
}
