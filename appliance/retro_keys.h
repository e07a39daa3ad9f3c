/*
 * Where in the order of VRM keys the reads may lie that entries of a list hit: few entries make ranges, in which pages
 * are looked up; many, or those that may hit anything, make none, and every page is read. One thread.
 */
#ifndef GANTRY_APPLIANCE_RETRO_KEYS_H
#define GANTRY_APPLIANCE_RETRO_KEYS_H

#include <stdbool.h>
#include <stddef.h>

#include "storage/key_range.h"

/* A range costs about two pages of each segment, which has some ten thousand on a nation's day. A choice, not measured.
 */
#define RETRO_RANGES_MAX 4096

struct list_entry;
struct list_info;

/* Zeroed = empty. */
struct retro_keys {
	struct key_range *ranges; /* once settled: ascending and apart; NULL: everything */
	size_t count;
	size_t room;
	bool everything;
};

/* What reads may have that hit the entry. Out of memory is «everything», which is right, only slower. */
void retro_keys_add(struct retro_keys *keys, const struct list_info *info, const struct list_entry *entry);
/* After the last one. */
void retro_keys_settle(struct retro_keys *keys);
void retro_keys_fini(struct retro_keys *keys); /* wipes */

#endif
