#include "appliance/base/radix.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define DIGITS 8
#define VALUES 256
#define PACED 4096 /* a part that takes long enough to be asked about */
#define SMALL 48   /* below it insertion beats another round of counting */

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

struct comparing {
	int (*compare)(const void *context, uint32_t a, uint32_t b);
	const void *context;
};

static int items_compare(const void *a, const void *b, void *context)
{
	const struct comparing *comparing = context;

	return comparing->compare(comparing->context, ((const struct radix_item *)a)->index,
				  ((const struct radix_item *)b)->index);
}

int radix_sort_compared(struct radix_item *items, size_t count,
			int (*compare)(const void *context, uint32_t a, uint32_t b), const void *context)
{
	struct comparing comparing = {compare, context};
	struct radix_item *spare = malloc((count + 1) * sizeof(*spare));

	if (spare == NULL)
		return -ENOMEM;
	radix_sort(items, spare, count);
	free(spare);
	for (size_t begin = 0, end; begin < count; begin = end) {
		for (end = begin + 1; end < count && items[end].key == items[begin].key; end++)
			;
		if (end - begin > 1)
			qsort_r(&items[begin], end - begin, sizeof(*items), items_compare, &comparing);
	}
	return 0;
}

static void insertion_sort(uint64_t *values, size_t count)
{
	for (size_t i = 1; i < count; i++) {
		uint64_t value = values[i];
		size_t j = i;

		for (; j > 0 && values[j - 1] > value; j--)
			values[j] = values[j - 1];
		values[j] = value;
	}
}

/* Deals the values out to their buckets in place, by the byte at `shift`; ends[] gets where each bucket ends. */
static void deal(uint64_t *values, size_t count, unsigned shift, size_t ends[VALUES])
{
	size_t at[VALUES] = {0};
	size_t sum = 0;

	for (size_t i = 0; i < count; i++)
		at[(values[i] >> shift) & 0xff]++;
	for (unsigned v = 0; v < VALUES; v++) {
		size_t bucket = at[v];

		at[v] = sum;
		sum += bucket;
		ends[v] = sum;
	}
	for (unsigned v = 0; v < VALUES; v++) {
		while (at[v] < ends[v]) {
			uint64_t value = values[at[v]];
			unsigned home = (value >> shift) & 0xff;

			while (home != v) {
				uint64_t other = values[at[home]];

				values[at[home]++] = value;
				value = other;
				home = (value >> shift) & 0xff;
			}
			values[at[v]++] = value;
		}
	}
}

static uint64_t differing_bits(const uint64_t *values, size_t count)
{
	uint64_t bits = 0;

	for (size_t i = 1; i < count; i++)
		bits |= values[i] ^ values[0];
	return bits;
}

void radix_sort_in_place(uint64_t *values, size_t count)
{
	(void)radix_sort_in_place_paced(values, count, NULL, NULL);
}

int radix_sort_in_place_paced(uint64_t *values, size_t count, int (*pace)(void *context), void *context)
{
	int result = pace != NULL && count > PACED ? pace(context) : 0;
	size_t ends[VALUES];
	uint64_t bits;
	unsigned top;
	size_t start = 0;

	if (result != 0)
		return result;
	if (count <= SMALL) {
		insertion_sort(values, count);
		return 0;
	}
	bits = differing_bits(values, count);
	if (bits == 0)
		return 0;
	/* The eight bits from the highest that differs on: buckets are then as even as the values are. */
	top = 64 - (unsigned)__builtin_clzll(bits);
	deal(values, count, top > 8 ? top - 8 : 0, ends);
	if (top <= 8)
		return 0;
	for (unsigned v = 0; result == 0 && v < VALUES; v++) {
		result = radix_sort_in_place_paced(&values[start], ends[v] - start, pace, context);
		start = ends[v];
	}
	return result;
}
