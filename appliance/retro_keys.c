#include "appliance/retro_keys.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/array.h"
#include "appliance/base/bytes.h"
#include "matcher/list.h"
#include "matcher/vrm_variants.h"

#define VARIANTS_MAX 64

static void forget(struct retro_keys *keys)
{
	if (keys->ranges != NULL)
		bytes_wipe(keys->ranges, keys->room * sizeof(*keys->ranges));
	free(keys->ranges);
	keys->ranges = NULL;
	keys->count = keys->room = 0;
}

static void add_all(struct retro_keys *keys)
{
	forget(keys);
	keys->everything = true;
}

static void add_range(struct retro_keys *keys, const struct key_range *range)
{
	struct key_range *ranges;

	if (keys->everything)
		return;
	ranges = keys->count < RETRO_RANGES_MAX ? array_grow(keys->ranges, keys->count, &keys->room, sizeof(*ranges))
						: NULL;
	if (ranges == NULL) {
		add_all(keys);
		return;
	}
	keys->ranges = ranges;
	ranges[keys->count++] = *range;
}

static void add_key(struct retro_keys *keys, const uint8_t key[READ_TEXT_SIZE])
{
	struct key_range range;

	memcpy(range.low, key, sizeof(range.low));
	memcpy(range.high, key, sizeof(range.high));
	add_range(keys, &range);
}

static void add_prefix(struct retro_keys *keys, const char *pattern)
{
	struct key_range range = {.high = {[0 ... 15] = 0xff}};
	size_t size = strcspn(pattern, "?*");

	if (size == 0) {
		add_all(keys);
		return;
	}
	if (size > sizeof(range.low))
		size = sizeof(range.low);
	memcpy(range.low, pattern, size);
	memcpy(range.high, pattern, size);
	add_range(keys, &range);
}

static void add_alike(struct retro_keys *keys, const uint8_t key[READ_TEXT_SIZE])
{
	uint8_t variants[VARIANTS_MAX][READ_TEXT_SIZE];
	size_t count;

	if (vrm_variants_alike(key, VARIANTS_MAX, variants, &count) > VARIANTS_MAX) {
		add_all(keys);
		return;
	}
	for (size_t i = 0; i < count; i++)
		add_key(keys, variants[i]);
}

void retro_keys_add(struct retro_keys *keys, const struct list_info *info, const struct list_entry *entry)
{
	uint8_t key[READ_TEXT_SIZE] = {0};

	if (keys->everything)
		return;
	if ((entry->flags & LIST_FLAG_WILDCARD) != 0) {
		add_prefix(keys, entry->pattern);
		return;
	}
	memcpy(key, entry->pattern, strnlen(entry->pattern, sizeof(key)));
	switch (list_tolerance_of(info, entry->flags)) {
	case LIST_TOLERANCE_OFF:
		add_key(keys, key);
		break;
	case LIST_TOLERANCE_CLASSES:
		add_alike(keys, key);
		break;
	default: /* any character may be another, the first one too */
		add_all(keys);
	}
}

static int range_compare(const void *a, const void *b)
{
	return memcmp(((const struct key_range *)a)->low, ((const struct key_range *)b)->low, 16);
}

void retro_keys_settle(struct retro_keys *keys)
{
	size_t kept = 0;

	if (keys->everything || keys->count == 0)
		return;
	qsort(keys->ranges, keys->count, sizeof(*keys->ranges), range_compare);
	for (size_t i = 1; i < keys->count; i++) {
		struct key_range *last = &keys->ranges[kept];

		if (memcmp(keys->ranges[i].low, last->high, 16) > 0)
			keys->ranges[++kept] = keys->ranges[i];
		else if (memcmp(keys->ranges[i].high, last->high, 16) > 0)
			memcpy(last->high, keys->ranges[i].high, 16);
	}
	keys->count = kept + 1;
}

void retro_keys_fini(struct retro_keys *keys)
{
	forget(keys);
	*keys = (struct retro_keys){0};
}
