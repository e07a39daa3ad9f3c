/* Keys and values of the catalog's databases, for catalog.c: pure functions. Keys are big-endian: byte order is order.
 */
#ifndef GANTRY_STORAGE_CATALOG_VALUE_H
#define GANTRY_STORAGE_CATALOG_VALUE_H

#include <stddef.h>
#include <stdint.h>

#include "appliance/base/bytes.h"
#include "storage/catalog.h"

#define CATALOG_SEGMENT_KEY_SIZE 12
#define CATALOG_LANE_KEY_SIZE 9
#define CATALOG_DAY_FIXED 64
#define CATALOG_DAY_SIZE_MAX (CATALOG_DAY_FIXED + CATALOG_NOTE_SIZE)
#define CATALOG_TOTALS_SIZE (8 * (5 + REFUSAL_COUNT))

/* Days before 1970 sort first: the sign bit is turned over. */
static inline void catalog_day_key(int32_t day, uint8_t key[4])
{
	be32_put(key, (uint32_t)day ^ UINT32_C(0x80000000));
}

static inline int32_t catalog_day_of(const uint8_t key[4])
{
	return (int32_t)(be32_get(key) ^ UINT32_C(0x80000000));
}

static inline void catalog_segment_key(int32_t day, uint64_t id, uint8_t key[CATALOG_SEGMENT_KEY_SIZE])
{
	catalog_day_key(day, key);
	be64_put(key + 4, id);
}

void catalog_lane_key(const struct catalog_lane *lane, uint8_t key[CATALOG_LANE_KEY_SIZE]);
/* bytes and size are the caller's. -EBADMSG. */
int catalog_lane_of(const void *key, size_t size, struct catalog_lane *ret_lane);

/* Returns the size. */
size_t catalog_day_encode(const struct catalog_day *day, uint8_t bytes[CATALOG_DAY_SIZE_MAX]);
int catalog_day_decode(int32_t number, const void *bytes, size_t size, struct catalog_day *ret_day);

void catalog_totals_encode(const struct catalog_totals *totals, uint8_t bytes[CATALOG_TOTALS_SIZE]);
int catalog_totals_decode(const void *bytes, size_t size, struct catalog_totals *ret_totals);

#endif
