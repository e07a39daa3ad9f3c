#include "appliance/base/array.h"

#include <stdlib.h>

#define ROOM_MIN 16

void *array_grow(void *items, size_t count, size_t *room, size_t item_size)
{
	size_t more = *room * 2 + ROOM_MIN;
	void *grown;

	if (count < *room)
		return items;
	grown = reallocarray(items, more, item_size);
	if (grown != NULL)
		*room = more;
	return grown;
}
