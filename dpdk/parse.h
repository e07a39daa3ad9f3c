/*
 * The check of one frame, over plain bytes: no mbuf, no state, no side effect. For the files of dpdk/ and its tests.
 *
 * Every byte read lies within [bytes, bytes + size). Any thread.
 */
#ifndef GANTRY_DPDK_PARSE_H
#define GANTRY_DPDK_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dpdk/frame.h"

#define PARSE_IP6_HEADER_SIZE 40
#define PARSE_UDP_HEADER_SIZE 8

/* What became of a frame: the index of its counter. */
enum frame_outcome {
#define FRAME_OUTCOME(name, help) FRAME_##name,
	FRAME_RX_COUNTERS(FRAME_OUTCOME) FRAME_TX_COUNTERS(FRAME_OUTCOME)
#undef FRAME_OUTCOME
};

/* What the device found out about checksums; zero: nothing. */
enum parse_checksums {
	PARSE_IP_CHECKSUM_GOOD = 1 << 0,
	PARSE_IP_CHECKSUM_BAD = 1 << 1,
	PARSE_UDP_CHECKSUM_GOOD = 1 << 2,
	PARSE_UDP_CHECKSUM_BAD = 1 << 3,
};

struct parse_rules {
	struct frame_local local;
	uint8_t mac[PATH_MAC_SIZE];
	bool udp_checksum_partial;
	/* The neighbour we asked for; asked_version 0: none. */
	uint8_t asked_version;
	uint8_t asked_address[PATH_ADDRESS_SIZE];
};

/* Where things lie, as far as the outcome says that they do. */
struct parse_view {
	uint16_t vlan_tci[PATH_VLANS_MAX];
	uint16_t vlan_tpid[PATH_VLANS_MAX];
	uint8_t vlan_count;
	uint8_t ip_version; /* 4, 6, or 0 for ARP */
	uint8_t protocol;
	uint16_t ip_offset; /* also of the ARP header */
	uint16_t l4_offset;
	uint16_t l4_size; /* by the IP header, padding of the frame not counted */
};

/*
 * FRAME_datagram, or FRAME_arp_answered, FRAME_nd_answered, FRAME_echo_answered for a request that is to be answered,
 * or FRAME_neighbour_heard for the answer to our question, or the reason why the frame goes no further.
 */
enum frame_outcome parse_frame(const struct parse_rules *rules, const uint8_t *bytes, size_t size, unsigned checksums,
			       struct parse_view *ret_view);

/* After FRAME_datagram only: the path back. */
void parse_path(const struct parse_rules *rules, const uint8_t *bytes, const struct parse_view *view,
		struct path *ret_path);

#endif
