/*
 * The 48-byte read record of a DATA datagram and `struct read`, which is what the rest of the appliance knows.
 * Pure functions, no state, any thread. Worker code: a burst of records costs a few ns each.
 */
#ifndef GANTRY_FEED_RECORD_H
#define GANTRY_FEED_RECORD_H

#include <stddef.h>
#include <stdint.h>

#include "appliance/base/read.h"
#include "dpdk/feed/wire.h"

/*
 * Decodes `count` (at most FEED_RECORDS_MAX) records into ret_reads[0..count). Bit i of the answer is set when record i
 * is malformed (REFUSAL_MALFORMED): then ret_reads[i] holds zeros. Fills what the wire carries; key, receipt_us, feed
 * and epoch are zero and the caller's to fill, as are the appliance's own flags.
 *
 * Malformed: camera 0; capture_us outside 0..FEED_TIME_US_MAX; kind, direction, flags, images or country outside
 * their values; confidence 101..254; a position without its flag, or outside ±90° / ±180°; reserved bytes not zero;
 * text that is not UTF-8, not zero padded, holds a control character; a VRM without any letter or digit; a not-read
 * with text.
 */
uint32_t feed_records_decode(const uint8_t *records, size_t count, struct read *ret_reads);

/* The wire fields of the read; the appliance's own flags are left out. Does not check. */
void feed_record_encode(const struct read *read, uint8_t ret_record[FEED_RECORD_SIZE]);

#endif
