/* The order of a chunk's rows by (VRM key, capture time), as row numbers. Control plane, one thread a sort_space. */
#ifndef GANTRY_STORAGE_MEMTABLE_SORT_H
#define GANTRY_STORAGE_MEMTABLE_SORT_H

#include <stdint.h>

struct read;
struct sort_space;

struct sort_space *sort_space_new(void); /* NULL: no memory */
void sort_space_free(struct sort_space *space);

/* count ≤ CHUNK_ROWS. Equal rows keep their order. */
void memtable_sort(struct sort_space *space, const struct read *rows, uint32_t count, uint16_t *ret_order);

#endif
