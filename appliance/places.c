#include "appliance/places.h"

#include <errno.h>
#include <stdlib.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

int places_init(struct places *places, size_t count)
{
	if (count > PLACES_MAX)
		return -ENOMEM;
	places->count = 0;
	places->digest = 0;
	places->table = calloc(count + 1, sizeof(*places->table));
	if (places->table == NULL)
		return -ENOMEM;
	return slot_table_init(&places->by_camera, count);
}

int places_copy(const struct places *places, struct places *ret_copy)
{
	int result = places_init(ret_copy, places->count);

	for (size_t i = 0; result == 0 && i < places->count; i++)
		places_add(ret_copy, places->table[i].camera, places->table[i].point, places->table[i].type, 0);
	return result;
}

void places_fini(struct places *places)
{
	free(places->table);
	slot_table_fini(&places->by_camera);
}

void places_add(struct places *places, uint32_t camera, struct area_point point, uint8_t type, int suspended)
{
	const uint32_t said[] = {camera, (uint32_t)point.lat_e7, (uint32_t)point.lon_e7};
	struct place *place = &places->table[places->count];
	double metres[3];

	area_in_space(point, metres);
	*place = (struct place){.point = point, .camera = camera, .type = type};
	for (unsigned i = 0; i < 3; i++)
		place->metres[i] = (float)metres[i];
	slot_put(&places->by_camera, (uint64_t)camera + 1, (uint32_t)places->count << 1 | (suspended != 0));
	places->count++;
	places->digest = XXH3_64bits_withSeed(said, sizeof(said), places->digest);
}
