/*
 * A hash table from non-zero 64-bit keys to 32-bit values, filled once by a control thread and then only looked into,
 * by workers too. At most half full, so that a look ends after a step or two.
 */
#ifndef GANTRY_APPLIANCE_SLOT_TABLE_H
#define GANTRY_APPLIANCE_SLOT_TABLE_H

#include <stddef.h>
#include <stdint.h>

struct slot_table {
	uint64_t *keys; /* 0 empty */
	uint32_t *values;
	uint64_t mask;
	size_t count;
};

/* Room for `count` keys. -ENOMEM; slot_table_fini is right then too. */
int slot_table_init(struct slot_table *table, size_t count);
void slot_table_fini(struct slot_table *table);

/* key != 0; replaces the value of a key that is there. No more keys than there is room for. */
void slot_put(struct slot_table *table, uint64_t key, uint32_t value);

static inline uint64_t slot_hash(uint64_t key)
{
	key *= UINT64_C(0x9e3779b97f4a7c15);
	return key ^ (key >> 29);
}

/* 0 when absent, else the value + 1. Any thread. */
static inline uint32_t slot_find(const struct slot_table *table, uint64_t key)
{
	for (uint64_t at = slot_hash(key) & table->mask;; at = (at + 1) & table->mask) {
		if (table->keys[at] == key)
			return table->values[at] + 1;
		if (table->keys[at] == 0)
			return 0;
	}
}

#endif
