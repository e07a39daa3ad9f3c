/*
 * One lane of the lane map: a cumulative sequence and the ranges beyond it in one sorted array, which stays empty while
 * reads come in order and is never longer than a window can be torn. Of lane_map.c alone.
 */
#ifndef GANTRY_STORAGE_LANE_ENTRY_H
#define GANTRY_STORAGE_LANE_ENTRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "storage/lane_map.h"

struct lane_entry {
	struct lane_id id;
	uint64_t cumulative;
	uint64_t stored_total;
	uint64_t refused_total;
	uint64_t lost_total;
	struct lane_range *ranges;
	size_t range_count;
	size_t range_room;
	bool dirty;
};

/* Adds first … last, whatever of it is there already. 0, -ENOMEM. */
int lane_entry_add(struct lane_entry *entry, uint64_t first, uint64_t last);
/* Ranges that cumulative has reached become part of it. */
void lane_entry_advance(struct lane_entry *entry);
/* The next stretch at or after *from, up to last, that the entry (NULL: knows nothing) lacks; *from moves behind it. */
bool lane_entry_gap(const struct lane_entry *entry, uint64_t *from, uint64_t last, struct lane_range *ret_gap);
void lane_entry_state(const struct lane_entry *entry, struct lane_state *ret_state);

/* As bytes for the catalog (docs/disk-format.md). Decoding gives no id; -EBADMSG, -ENOMEM. */
size_t lane_entry_bytes_size(const struct lane_entry *entry);
void lane_entry_encode(const struct lane_entry *entry, uint8_t *bytes);
int lane_entry_decode(const uint8_t *bytes, size_t size, struct lane_entry *ret_entry);

#endif
