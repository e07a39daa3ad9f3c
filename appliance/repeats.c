#include "appliance/repeats.h"

#include <assert.h>
#include <string.h>

#include "appliance/base/read.h"

#define SECOND_US INT64_C(1000000)
#define TIME_SHIFT 32

/* What is hashed: no padding. */
struct identity {
	uint8_t key[READ_TEXT_SIZE];
	uint32_t list;
	uint32_t generation;
	uint32_t entry;
	uint16_t scope;
	uint16_t late;
	struct hit_spot spot;
};
static_assert(sizeof(struct identity) == READ_TEXT_SIZE + 24, "every byte of it is hashed");

struct repeat repeat_of(const struct cells *cells, const struct hit_rule *rule, uint32_t entry, struct hit_spot spot,
			const struct read *read)
{
	bool late = read->receipt_us - read->capture_us >= REPEATS_LATE_US;
	int64_t time_us = late ? read->capture_us : read->receipt_us;
	struct identity identity = {.list = rule->list,
				    .generation = rule->generation,
				    .entry = entry,
				    .scope = rule->suppress_scope,
				    .late = late,
				    .spot = spot};
	struct cell_key key;

	memcpy(identity.key, read->key, sizeof(identity.key));
	key = cells_key(cells, &identity, sizeof(identity));
	cells_prefetch(cells, key);
	return (struct repeat){
		.key = key,
		.time_s = time_us > 0 ? (uint32_t)(time_us / SECOND_US) : 0,
		.window_s = (uint32_t)rule->suppress_minutes * 60,
	};
}

bool repeat_told(const struct cells *cells, const struct repeat *repeat)
{
	uint64_t value = cells_get(cells, repeat->key);
	int64_t since = (int64_t)repeat->time_s - (int64_t)(value >> TIME_SHIFT);

	return value != 0 && since < repeat->window_s && -since < repeat->window_s;
}

bool repeat_note(struct cells *cells, const struct repeat *repeat)
{
	uint64_t from = repeat->time_s > repeat->window_s ? repeat->time_s - repeat->window_s : 0;

	return cells_put(cells, repeat->key, (uint64_t)repeat->time_s << TIME_SHIFT | 1, from << TIME_SHIFT);
}
