#include "appliance/slot_table.h"

#include <errno.h>
#include <stdlib.h>

int slot_table_init(struct slot_table *table, size_t count)
{
	uint64_t size = 16;

	while (size < 2 * (uint64_t)count)
		size *= 2;
	table->count = 0;
	table->mask = size - 1;
	table->keys = calloc(size, sizeof(uint64_t));
	table->values = calloc(size, sizeof(uint32_t));
	return table->keys != NULL && table->values != NULL ? 0 : -ENOMEM;
}

void slot_table_fini(struct slot_table *table)
{
	free(table->keys);
	free(table->values);
}

void slot_put(struct slot_table *table, uint64_t key, uint32_t value)
{
	uint64_t at = slot_hash(key) & table->mask;

	while (table->keys[at] != 0 && table->keys[at] != key)
		at = (at + 1) & table->mask;
	table->count += table->keys[at] == 0;
	table->keys[at] = key;
	table->values[at] = value;
}
