/*
 * Frames in: a burst from one rx queue, each frame checked byte by byte, the datagrams for us handed on.
 *
 * One frame_queue per queue of a port, owned by one worker; every call but frame_counters_read is that worker's. The
 * batch is borrowed: its payloads lie in the device's buffers until frame_release, so copy out and release at once (a
 * held buffer is one the device can not fill).
 *
 * What a frame must be (all lengths against the bytes really there): Ethernet with at most two VLAN tags; to our MAC
 * (or broadcast/multicast where ARP and neighbour solicitation allow it); IPv4 (RFC 791, any IHL, header checksum
 * right, no fragment) or IPv6 (RFC 8200, no extension header, no fragment); to one of our addresses from one that can
 * be answered; UDP (RFC 768) filling the IP packet exactly, to our port. UDP checksum: zero means none over IPv4; over
 * IPv6 zero is refused (RFC 8200, 8.1). On vhost, virtio and af_packet ports a wrong UDP checksum is let pass, because
 * kernel senders on the same host leave it partial (CHECKSUM_PARTIAL): the AEAD tag is the integrity check.
 * ARP, neighbour solicitation and echo requests are answered on the spot (dpdk/answer.h). Fragments are never put
 * together: a feed's datagrams are never fragmented, and a reassembly table is memory in a stranger's hands.
 */
#ifndef GANTRY_DPDK_FRAME_H
#define GANTRY_DPDK_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "appliance/base/err.h"
#include "dpdk/path.h"

#define FRAME_BURST 64
#define FRAME_ADDRESSES_MAX 8

/*
 * X(name, help). Every frame received ends in exactly one of these: their sum is the number of frames.
 */
#define FRAME_RX_COUNTERS(X)                                                                                           \
	X(datagram, "handed on: a UDP datagram for our address and port")                                              \
	X(arp_answered, "ARP request for our address, answered")                                                       \
	X(nd_answered, "neighbour solicitation for our address, answered")                                             \
	X(echo_answered, "ping, answered")                                                                             \
	X(answer_limited, "request left unanswered: over the limit per second")                                        \
	X(neighbour_heard, "answer to our own question for a neighbour's MAC")                                         \
	X(arp_ignored, "ARP that is not a request for our address")                                                    \
	X(arp_malformed, "ARP with a wrong type, length or operation")                                                 \
	X(address_conflict, "another station says our address is its own")                                             \
	X(nd_malformed, "neighbour discovery that breaks RFC 4861")                                                    \
	X(icmp_ignored, "ICMP that needs no answer")                                                                   \
	X(icmp_malformed, "ICMP too short or with a wrong checksum")                                                   \
	X(segmented, "frame in several buffers (larger than 2 KiB)")                                                   \
	X(ethernet_short, "shorter than its Ethernet header and VLAN tags")                                            \
	X(mac_other, "to another station's MAC, or from a group MAC")                                                  \
	X(vlan_deep, "more than two VLAN tags")                                                                        \
	X(ethertype_other, "neither ARP, IPv4 nor IPv6")                                                               \
	X(ipv4_header, "IPv4 header short, or wrong version or header length")                                         \
	X(ipv4_length, "IPv4 total length beyond the frame or below its header")                                       \
	X(ipv4_checksum, "IPv4 header checksum wrong")                                                                 \
	X(ipv4_fragment, "IPv4 fragment")                                                                              \
	X(ipv6_header, "IPv6 header short or wrong version")                                                           \
	X(ipv6_length, "IPv6 payload length beyond the frame")                                                         \
	X(ipv6_extension, "IPv6 extension header")                                                                     \
	X(ipv6_fragment, "IPv6 fragment")                                                                              \
	X(ip_destination, "to an address that is not ours")                                                            \
	X(ip_source, "from an address that can not be answered")                                                       \
	X(ip_protocol, "neither UDP nor ICMP")                                                                         \
	X(udp_length, "UDP length does not fill the IP packet exactly")                                                \
	X(udp_checksum, "UDP checksum wrong, or missing over IPv6")                                                    \
	X(udp_port, "to a UDP port that is not ours")                                                                  \
	X(udp_source_port, "from UDP port 0, which can not be answered")

/* Frames we built ourselves. Each frame queued for sending ends in tx_sent or tx_unsent. */
#define FRAME_TX_COUNTERS(X)                                                                                           \
	X(tx_sent, "given to the device: datagrams, answers and announcements")                                        \
	X(tx_unsent, "freed because the device's queue stayed full")                                                   \
	X(tx_no_buffer, "not built: no transmit buffer free")

#define FRAME_COUNTER_FIELD(name, help) uint64_t name;
struct frame_counters {
	FRAME_RX_COUNTERS(FRAME_COUNTER_FIELD)
	FRAME_TX_COUNTERS(FRAME_COUNTER_FIELD)
};
#undef FRAME_COUNTER_FIELD

/* The same as data, in the order of struct frame_counters: its n-th uint64_t is the n-th entry's value. */
struct frame_counter_info {
	const char *name;
	const char *help;
	bool rx;
};
#define FRAME_COUNTERS_COUNT (sizeof(struct frame_counters) / sizeof(uint64_t))
extern const struct frame_counter_info frame_counter_table[FRAME_COUNTERS_COUNT];

/* Who we are on a port. Filled by the control thread, copied by frame_queue_new. */
struct frame_local {
	uint8_t ipv4[FRAME_ADDRESSES_MAX][4];
	uint8_t ipv6[FRAME_ADDRESSES_MAX][16];
	unsigned ipv4_count;
	unsigned ipv6_count;
	uint16_t udp_port;       /* the first of ours */
	uint16_t udp_port_count; /* 1 on the appliance; a load generator may own a range */
};

void frame_local_init(struct frame_local *local, uint16_t udp_port);
/* -EINVAL when the text is no unicast address, -ENOSPC beyond FRAME_ADDRESSES_MAX; local unchanged. */
int frame_local_add(struct frame_local *local, const char *address, struct err *err);

struct port;
struct frame_queue;

/*
 * Control thread. The port outlives the queue; -EINVAL when it has no such queue or local has no address, -EBUSY when
 * that queue is taken, -ENOMEM.
 */
int frame_queue_new(struct port *port, unsigned index, const struct frame_local *local, struct frame_queue **ret_queue,
		    struct err *err);
/* Control thread, after the worker has stopped: frees what is still queued. NULL allowed; returns NULL. */
struct frame_queue *frame_queue_free(struct frame_queue *queue);

struct datagram {
	const uint8_t *payload; /* not terminated; size may be 0 */
	uint32_t size;
	struct path path;
};

struct frame_batch {
	int64_t receipt_us;   /* wall clock, taken once for the burst; 0 when no frame came */
	int64_t receipt_ns;   /* monotonic, likewise */
	unsigned frame_count; /* taken from the device: 0 means it was idle */
	unsigned count;       /* of datagrams */
	struct datagram datagrams[FRAME_BURST];
};

/*
 * Takes at most FRAME_BURST frames, answers and counts what is not a datagram. The batch belongs to the queue and
 * lives until frame_release, which must come before the next frame_receive (also after an empty batch).
 */
const struct frame_batch *frame_receive(struct frame_queue *queue);
void frame_release(struct frame_queue *queue);

/* Any thread: values are each up to date to within a store, not a snapshot of one instant. */
void frame_counters_read(const struct frame_queue *queue, struct frame_counters *ret_counters);

#endif
