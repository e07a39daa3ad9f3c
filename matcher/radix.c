#include "matcher/radix.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct rule {
	radix_compare_fn *compare;
	const void *context;
};

static int places_compare(const void *a, const void *b, void *context)
{
	const struct rule *rule = context;

	return rule->compare(rule->context, ((const struct radix_place *)a)->index,
			     ((const struct radix_place *)b)->index);
}

/* One pass; false when the byte is the same in all, and nothing was moved. */
static bool pass(const struct radix_place *from, uint32_t count, unsigned shift, struct radix_place *to)
{
	uint32_t starts[256] = {0};
	uint32_t sum = 0;

	for (uint32_t i = 0; i < count; i++)
		starts[from[i].first >> shift & 255]++;
	if (starts[from[0].first >> shift & 255] == count)
		return false;
	for (unsigned byte = 0; byte < 256; byte++) {
		uint32_t here = starts[byte];

		starts[byte] = sum;
		sum += here;
	}
	for (uint32_t i = 0; i < count; i++)
		to[starts[from[i].first >> shift & 255]++] = from[i];
	return true;
}

int radix_sort(struct radix_place *places, uint32_t count, radix_compare_fn *compare, const void *context)
{
	struct rule rule = {compare, context};
	struct radix_place *from = places;
	struct radix_place *spare;
	struct radix_place *to;

	if (count < 2)
		return 0;
	to = spare = malloc(count * sizeof(*spare));
	if (spare == NULL)
		return -ENOMEM;
	for (unsigned shift = 0; shift < 64; shift += 8) {
		struct radix_place *sorted = to;

		if (!pass(from, count, shift, to))
			continue;
		to = from;
		from = sorted;
	}
	if (from != places)
		memcpy(places, from, count * sizeof(*places));
	free(spare);
	for (uint32_t begin = 0, end; begin < count; begin = end) {
		for (end = begin + 1; end < count && places[end].first == places[begin].first; end++)
			;
		if (end - begin > 1)
			qsort_r(&places[begin], end - begin, sizeof(*places), places_compare, &rule);
	}
	return 0;
}
