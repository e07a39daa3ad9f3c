#include "appliance/hits_keep.h"

#include "appliance/base/read.h"

#define RANKS (2 * (UINT8_MAX + 1))

static unsigned rank_of(const struct hit *hit)
{
	return hit->priority + ((hit->flags & HIT_FLAG_REPEAT) == 0 ? UINT8_MAX + 1 : 0);
}

unsigned hits_keep(struct hit *hits, unsigned count, unsigned room)
{
	unsigned of_rank[RANKS] = {0};
	unsigned rank = RANKS;
	unsigned kept = 0;

	if (count <= room)
		return count;
	for (unsigned i = 0; i < count; i++)
		of_rank[rank_of(&hits[i])]++;
	/* All above the rank have room; of those that have it as many as then is left. */
	for (unsigned left = room; rank > 0 && of_rank[rank - 1] <= left; rank--)
		left -= of_rank[rank - 1];
	for (unsigned above = rank; above < RANKS; above++)
		room -= of_rank[above];
	for (unsigned i = 0; i < count; i++) {
		unsigned own = rank_of(&hits[i]);

		if (own < rank && (own + 1 < rank || room == 0))
			continue;
		room -= own < rank;
		hits[kept++] = hits[i];
	}
	return kept;
}
