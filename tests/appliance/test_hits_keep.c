/* Which hits stay, against a sort by rank. */
#include "appliance/hits_keep.h"

#include <stdlib.h>
#include <string.h>

#include "appliance/base/prng.h"
#include "appliance/base/read.h"
#include "tests/check.h"

#define HITS 600

static unsigned rank_of(const struct hit *hit)
{
	return (hit->flags & HIT_FLAG_REPEAT) != 0 ? hit->priority : 256u + hit->priority;
}

static int by_rank(const void *a, const void *b)
{
	const struct hit *left = a, *right = b;

	if (rank_of(left) != rank_of(right))
		return rank_of(left) > rank_of(right) ? -1 : 1;
	return left->entry < right->entry ? -1 : 1;
}

static int by_place(const void *a, const void *b)
{
	const struct hit *left = a, *right = b;

	return left->entry < right->entry ? -1 : 1;
}

static void test_random(void)
{
	struct prng prng = {check_seed()};

	for (unsigned round = 0; round < 4000; round++) {
		struct hit hits[HITS] = {0}, wanted[HITS];
		unsigned count = (unsigned)prng_below(&prng, HITS + 1);
		unsigned room = (unsigned)prng_below(&prng, HITS + 1);
		unsigned priorities = 1 + (unsigned)prng_below(&prng, 256);
		unsigned kept = count < room ? count : room;

		for (unsigned i = 0; i < count; i++) {
			hits[i].entry = i;
			hits[i].priority = (uint8_t)prng_below(&prng, priorities);
			hits[i].flags = prng_below(&prng, 4) == 0 ? HIT_FLAG_REPEAT : 0;
		}
		memcpy(wanted, hits, sizeof(hits));
		qsort(wanted, count, sizeof(wanted[0]), by_rank);
		qsort(wanted, kept, sizeof(wanted[0]), by_place);
		CHECK_INT(kept, hits_keep(hits, count, room));
		CHECK_MEM(wanted, hits, kept * sizeof(hits[0]));
	}
}

int main(int argc, char **argv)
{
	static const struct check_test tests[] = {{"against a sort", test_random}, {NULL, NULL}};

	return check_main(argc, argv, "which hits stay", tests);
}
