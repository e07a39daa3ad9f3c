#include "storage/lane_entry.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/bytes.h"

#define LANE_BYTES_VERSION 1
#define LANE_BYTES_HEADER 40
#define LANE_BYTES_RANGE 16

/* Number of the first range that ends at `sequence` or later. */
static size_t range_at(const struct lane_entry *entry, uint64_t sequence)
{
	size_t low = 0;
	size_t high = entry->range_count;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (entry->ranges[middle].last < sequence)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static void ranges_remove(struct lane_entry *entry, size_t first, size_t count)
{
	memmove(&entry->ranges[first], &entry->ranges[first + count],
		(entry->range_count - first - count) * sizeof(*entry->ranges));
	entry->range_count -= count;
}

static int ranges_insert(struct lane_entry *entry, size_t at, struct lane_range range)
{
	if (entry->range_count == entry->range_room) {
		size_t room = entry->range_room == 0 ? 8 : 2 * entry->range_room;
		struct lane_range *ranges = realloc(entry->ranges, room * sizeof(*ranges));

		if (ranges == NULL)
			return -ENOMEM;
		entry->ranges = ranges;
		entry->range_room = room;
	}
	memmove(&entry->ranges[at + 1], &entry->ranges[at], (entry->range_count - at) * sizeof(*entry->ranges));
	entry->ranges[at] = range;
	entry->range_count++;
	return 0;
}

/* Ranges that cumulative has reached become part of it. */
void lane_entry_advance(struct lane_entry *entry)
{
	size_t reached = 0;

	while (reached < entry->range_count && entry->ranges[reached].first <= entry->cumulative + 1) {
		if (entry->ranges[reached].last > entry->cumulative)
			entry->cumulative = entry->ranges[reached].last;
		reached++;
	}
	if (reached > 0)
		ranges_remove(entry, 0, reached);
}

/* Adds first … last, whatever of it is there already. */
int lane_entry_add(struct lane_entry *entry, uint64_t first, uint64_t last)
{
	struct lane_range range = {.first = first, .last = last};
	size_t at;
	size_t end;

	if (last <= entry->cumulative)
		return 0;
	if (first <= entry->cumulative + 1) {
		entry->cumulative = last;
		lane_entry_advance(entry);
		return 0;
	}
	at = range_at(entry, first - 1); /* one that ends just before grows */
	end = at;
	while (end < entry->range_count && entry->ranges[end].first <= last + 1)
		end++;
	if (at == end)
		return ranges_insert(entry, at, range);
	if (entry->ranges[at].first < range.first)
		range.first = entry->ranges[at].first;
	if (entry->ranges[end - 1].last > range.last)
		range.last = entry->ranges[end - 1].last;
	entry->ranges[at] = range;
	ranges_remove(entry, at + 1, end - at - 1);
	return 0;
}

/* The next stretch at or after *from, up to last, that the entry (NULL: knows nothing) lacks. */
bool lane_entry_gap(const struct lane_entry *entry, uint64_t *from, uint64_t last, struct lane_range *ret_gap)
{
	uint64_t at = *from;
	size_t i;

	if (entry != NULL && at <= entry->cumulative)
		at = entry->cumulative + 1;
	i = entry == NULL ? 0 : range_at(entry, at);
	if (entry != NULL && i < entry->range_count && entry->ranges[i].first <= at) {
		at = entry->ranges[i].last + 1;
		i++;
	}
	if (at > last) {
		*from = at;
		return false;
	}
	ret_gap->first = at;
	ret_gap->last = last;
	if (entry != NULL && i < entry->range_count && entry->ranges[i].first <= last)
		ret_gap->last = entry->ranges[i].first - 1;
	*from = ret_gap->last + 1;
	return true;
}

void lane_entry_state(const struct lane_entry *entry, struct lane_state *ret_state)
{
	*ret_state = (struct lane_state){
		.id = entry->id,
		.cumulative = entry->cumulative,
		.stored_total = entry->stored_total,
		.refused_total = entry->refused_total,
		.lost_total = entry->lost_total,
		.ranges = entry->ranges,
		.range_count = entry->range_count,
	};
}

size_t lane_entry_bytes_size(const struct lane_entry *entry)
{
	return LANE_BYTES_HEADER + entry->range_count * LANE_BYTES_RANGE;
}

void lane_entry_encode(const struct lane_entry *entry, uint8_t *bytes)
{
	memset(bytes, 0, LANE_BYTES_HEADER);
	le16_put(bytes, LANE_BYTES_VERSION);
	le32_put(bytes + 4, (uint32_t)entry->range_count);
	le64_put(bytes + 8, entry->cumulative);
	le64_put(bytes + 16, entry->stored_total);
	le64_put(bytes + 24, entry->refused_total);
	le64_put(bytes + 32, entry->lost_total);
	for (size_t i = 0; i < entry->range_count; i++) {
		le64_put(bytes + LANE_BYTES_HEADER + i * LANE_BYTES_RANGE, entry->ranges[i].first);
		le64_put(bytes + LANE_BYTES_HEADER + i * LANE_BYTES_RANGE + 8, entry->ranges[i].last);
	}
}

int lane_entry_decode(const uint8_t *bytes, size_t size, struct lane_entry *ret_entry)
{
	struct lane_entry entry = {0};
	uint64_t before;

	if (size < LANE_BYTES_HEADER || le16_get(bytes) != LANE_BYTES_VERSION)
		return -EBADMSG;
	entry.range_count = le32_get(bytes + 4);
	entry.cumulative = le64_get(bytes + 8);
	entry.stored_total = le64_get(bytes + 16);
	entry.refused_total = le64_get(bytes + 24);
	entry.lost_total = le64_get(bytes + 32);
	if (size - LANE_BYTES_HEADER != entry.range_count * LANE_BYTES_RANGE || entry.cumulative > INT64_MAX)
		return -EBADMSG;
	entry.range_room = entry.range_count;
	entry.ranges = calloc(entry.range_count + 1, sizeof(*entry.ranges));
	if (entry.ranges == NULL)
		return -ENOMEM;
	before = entry.cumulative;
	for (size_t i = 0; i < entry.range_count; i++) {
		struct lane_range *range = &entry.ranges[i];

		range->first = le64_get(bytes + LANE_BYTES_HEADER + i * LANE_BYTES_RANGE);
		range->last = le64_get(bytes + LANE_BYTES_HEADER + i * LANE_BYTES_RANGE + 8);
		if (range->first <= before + 1 || range->last < range->first || range->last > INT64_MAX) {
			free(entry.ranges);
			return -EBADMSG;
		}
		before = range->last;
	}
	*ret_entry = entry;
	return 0;
}
