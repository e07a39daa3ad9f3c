/*
 * Radix sort on the first eight bytes of the key, which hold nearly every plate whole; what is still equal after it is
 * settled by comparing rows. About 1 ms for a chunk.
 */
#include "storage/memtable_sort.h"

#include <stdlib.h>
#include <string.h>

#include "appliance/base/bytes.h"
#include "appliance/base/read.h"
#include "storage/memtable.h"

struct sort_item {
	uint64_t prefix;
	uint32_t row;
};

struct sort_space {
	struct sort_item a[CHUNK_ROWS];
	struct sort_item b[CHUNK_ROWS];
	uint32_t counts[8][256];
};

struct sort_space *sort_space_new(void)
{
	return malloc(sizeof(struct sort_space));
}

void sort_space_free(struct sort_space *space)
{
	free(space);
}

static void sort_count(struct sort_space *space, const struct read *rows, uint32_t count)
{
	memset(space->counts, 0, sizeof(space->counts));
	for (uint32_t i = 0; i < count; i++) {
		uint64_t prefix = be64_get(rows[i].key);

		space->a[i] = (struct sort_item){.prefix = prefix, .row = i};
		for (unsigned byte = 0; byte < 8; byte++)
			space->counts[byte][(prefix >> (8 * byte)) & 0xff]++;
	}
}

/* One stable pass; false when every item has the same byte there and nothing moved. */
static bool sort_pass(struct sort_space *space, const struct sort_item *from, struct sort_item *to, uint32_t count,
		      unsigned byte)
{
	uint32_t *counts = space->counts[byte];
	unsigned shift = 8 * byte;
	uint32_t sum = 0;

	if (counts[(from[0].prefix >> shift) & 0xff] == count)
		return false;
	for (unsigned i = 0; i < 256; i++) {
		uint32_t here = counts[i];

		counts[i] = sum;
		sum += here;
	}
	for (uint32_t i = 0; i < count; i++)
		to[counts[(from[i].prefix >> shift) & 0xff]++] = from[i];
	return true;
}

static int sort_compare(const void *a, const void *b, void *context)
{
	const struct read *rows = context;
	uint32_t i = ((const struct sort_item *)a)->row;
	uint32_t j = ((const struct sort_item *)b)->row;
	int order = memcmp(rows[i].key, rows[j].key, READ_TEXT_SIZE);

	if (order != 0)
		return order;
	if (rows[i].capture_us != rows[j].capture_us)
		return rows[i].capture_us < rows[j].capture_us ? -1 : 1;
	return i < j ? -1 : 1;
}

/* Groups of equal prefixes: mostly one vehicle's few sightings. */
static void sort_groups(struct sort_item *items, uint32_t count, const struct read *rows)
{
	uint32_t first = 0;

	for (uint32_t i = 1; i <= count; i++) {
		if (i < count && items[i].prefix == items[first].prefix)
			continue;
		if (i - first > 1)
			qsort_r(&items[first], i - first, sizeof(*items), sort_compare, (void *)rows);
		first = i;
	}
}

void memtable_sort(struct sort_space *space, const struct read *rows, uint32_t count, uint16_t *ret_order)
{
	struct sort_item *from = space->a;
	struct sort_item *to = space->b;

	if (count == 0)
		return;
	sort_count(space, rows, count);
	for (unsigned byte = 0; byte < 8; byte++) {
		if (sort_pass(space, from, to, count, byte)) {
			struct sort_item *swap = from;

			from = to;
			to = swap;
		}
	}
	sort_groups(from, count, rows);
	for (uint32_t i = 0; i < count; i++)
		ret_order[i] = (uint16_t)from[i].row;
}
