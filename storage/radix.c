#include "storage/radix.h"

#include <string.h>

#define DIGITS 8
#define VALUES 256

static void histogram(const struct radix_item *items, size_t count, size_t counts[DIGITS][VALUES])
{
	memset(counts, 0, sizeof(size_t) * DIGITS * VALUES);
	for (size_t i = 0; i < count; i++)
		for (unsigned d = 0; d < DIGITS; d++)
			counts[d][(items[i].key >> (8 * d)) & 0xff]++;
}

static void scatter(const struct radix_item *from, struct radix_item *to, size_t count, unsigned digit,
		    const size_t counts[VALUES])
{
	size_t at[VALUES];
	size_t sum = 0;

	for (unsigned v = 0; v < VALUES; v++) {
		at[v] = sum;
		sum += counts[v];
	}
	for (size_t i = 0; i < count; i++)
		to[at[(from[i].key >> (8 * digit)) & 0xff]++] = from[i];
}

void radix_sort(struct radix_item *items, struct radix_item *spare, size_t count)
{
	size_t counts[DIGITS][VALUES];
	struct radix_item *from = items;
	struct radix_item *to = spare;

	if (count < 2)
		return;
	histogram(items, count, counts);
	for (unsigned d = 0; d < DIGITS; d++) {
		struct radix_item *swap = from;

		if (counts[d][(items[0].key >> (8 * d)) & 0xff] == count)
			continue;
		scatter(from, to, count, d, counts[d]);
		from = to;
		to = swap;
	}
	if (from != items)
		memcpy(items, from, count * sizeof(*items));
}
