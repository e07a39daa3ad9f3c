/*
 * Frames for the tests, put together byte by byte from the standards and with a checksum of its own: what the code
 * under test builds or accepts is compared with these, never with itself.
 */
#ifndef GANTRY_TESTS_DPDK_WIRE_H
#define GANTRY_TESTS_DPDK_WIRE_H

#include <stddef.h>
#include <stdint.h>

#define WIRE_MAX 2048

struct wire {
	uint8_t bytes[WIRE_MAX];
	size_t size;
	size_t ip; /* offset of the IP or ARP header */
	size_t l4;
};

/* The two stations of every test. */
extern const uint8_t wire_us_mac[6];
extern const uint8_t wire_peer_mac[6];
extern const uint8_t wire_us4[4];
extern const uint8_t wire_peer4[4];
extern const uint8_t wire_us6[16];
extern const uint8_t wire_peer6[16];
#define WIRE_US4_TEXT "192.0.2.1"
#define WIRE_PEER4_TEXT "192.0.2.77"
#define WIRE_US6_TEXT "2001:db8::1:2"
#define WIRE_PEER6_TEXT "2001:db8::77"
#define WIRE_US_PORT 7171
#define WIRE_PEER_PORT 40001

/* From the peer to us, `vlan_count` tags 5, 6, …; payload of `size` bytes counting up from 1. */
struct wire wire_udp(int version, unsigned vlan_count, size_t size);
/* From us to the peer: what a reply must be, byte for byte. */
struct wire wire_udp_reply(int version, unsigned vlan_count, size_t size);

struct wire wire_arp(uint16_t operation, const uint8_t *to, const uint8_t *sender_mac, const uint8_t *sender,
		     const uint8_t *target_mac, const uint8_t *target, unsigned vlan_count);
struct wire wire_echo4(int reply, size_t size);
struct wire wire_echo6(int reply, size_t size);

/* A neighbour message; option 0: none, 1 source MAC, 2 target MAC. */
struct wire wire_nd(uint8_t type, uint8_t flags, const uint8_t *to, const uint8_t *from, const uint8_t *source,
		    const uint8_t *destination, const uint8_t *target, uint8_t option, const uint8_t *option_mac);

/* Puts right what a test has bent: lengths stay, checksums of the IPv4 header, UDP, ICMP or ICMPv6 are made to fit. */
void wire_checksums_fit(struct wire *wire);

/* The whole checks of a receiver, on a frame that we sent: 1 when each checksum in it is right. */
int wire_checksums_right(const uint8_t *bytes, size_t size);

#endif
