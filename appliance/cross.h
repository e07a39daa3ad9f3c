/*
 * Datagrams that arrived on another worker's queue than their feed's owner's: a NAT, a failover, a port without RSS.
 *
 * For every ordered pair of workers there is a pool of slots that go round between two SPSC rings, `filled` and
 * `empty`: bounded, no allocation, no lock. When a pair has no empty slot the datagram is dropped and counted; the
 * sender, who got no ACK, sends it again.
 */
#ifndef GANTRY_APPLIANCE_CROSS_H
#define GANTRY_APPLIANCE_CROSS_H

#include <stdbool.h>
#include <stdint.h>

#include "dpdk/feed/wire.h"
#include "dpdk/path.h"

#define CROSS_SLOTS 511

struct crossing;

struct cross_slot {
	struct path path;
	int64_t receipt_us;
	uint32_t size;
	uint8_t payload[FEED_DATAGRAM_SIZE_MAX];
};

/* Control thread, after EAL's start. -ENOMEM. */
int crossing_new(unsigned workers, struct crossing **ret_crossing);
struct crossing *crossing_free(struct crossing *crossing);

/* Worker `from`. False: dropped, `to` is behind. */
bool crossing_send(struct crossing *crossing, unsigned from, unsigned to, const struct path *path, int64_t receipt_us,
		   const uint8_t *payload, uint32_t size);

/* Worker `to`: at most `max` slots from all others, in ret_slots; given back by crossing_return in the same turn. */
unsigned crossing_receive(struct crossing *crossing, unsigned to, struct cross_slot **ret_slots, unsigned max);
void crossing_return(struct crossing *crossing, unsigned to, struct cross_slot *const *slots, unsigned count);

#endif
