/* Arrays that grow by one item at a time: their owner keeps pointer, count and room. */
#ifndef GANTRY_BASE_ARRAY_H
#define GANTRY_BASE_ARRAY_H

#include <stddef.h>

/*
 * Room for one item more than `count`: the array, moved if it had to grow, with *room as it is now; or NULL when memory
 * is short, then array and *room stay as they were. `items` NULL with room 0 is an empty one. Its owner frees it.
 */
void *array_grow(void *items, size_t count, size_t *room, size_t item_size);

#endif
