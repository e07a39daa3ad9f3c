#include "tests/dpdk/wire.h"

#include <string.h>

const uint8_t wire_us_mac[6] = {0x02, 0x00, 0x5e, 0x00, 0x00, 0x01};
const uint8_t wire_peer_mac[6] = {0x02, 0x00, 0x5e, 0x00, 0x00, 0x77};
const uint8_t wire_us4[4] = {192, 0, 2, 1};
const uint8_t wire_peer4[4] = {192, 0, 2, 77};
const uint8_t wire_us6[16] = {0x20, 0x01, 0x0d, 0xb8, [13] = 1, [15] = 2};
const uint8_t wire_peer6[16] = {0x20, 0x01, 0x0d, 0xb8, [15] = 0x77};

static void put16(uint8_t *at, unsigned value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static unsigned get16(const uint8_t *at)
{
	return (unsigned)at[0] << 8 | at[1];
}

/* RFC 1071 the slow way, one byte pair after the other. */
static unsigned long sum_of(const uint8_t *bytes, size_t size, unsigned long sum)
{
	for (size_t i = 0; i < size; i++)
		sum += (i & 1) != 0 ? bytes[i] : (unsigned long)bytes[i] << 8;
	return sum;
}

static unsigned fold(unsigned long sum)
{
	while (sum >> 16 != 0)
		sum = (sum & 0xffff) + (sum >> 16);
	return (unsigned)sum;
}

static unsigned l4_sum(const uint8_t *ip, const uint8_t *l4, size_t size, unsigned protocol, int version)
{
	unsigned long sum = version == 4 ? sum_of(ip + 12, 8, 0) : sum_of(ip + 8, 32, 0);

	return fold(sum_of(l4, size, sum + protocol + size));
}

static size_t put_l2(struct wire *wire, const uint8_t *to, const uint8_t *from, unsigned vlan_count, unsigned type)
{
	size_t offset = 12;

	memset(wire, 0, sizeof(*wire));
	memcpy(wire->bytes, to, 6);
	memcpy(wire->bytes + 6, from, 6);
	for (unsigned i = 0; i < vlan_count; i++) {
		put16(wire->bytes + offset, i + 1 < vlan_count ? 0x88a8 : 0x8100);
		put16(wire->bytes + offset + 2, 0x6000 | (5 + i));
		offset += 4;
	}
	put16(wire->bytes + offset, type);
	return offset + 2;
}

static void put_ip(struct wire *wire, int version, const uint8_t *source, const uint8_t *destination, unsigned protocol,
		   size_t l4_size)
{
	uint8_t *ip = wire->bytes + wire->ip;

	if (version == 4) {
		ip[0] = 0x45;
		put16(ip + 2, (unsigned)(20 + l4_size));
		ip[6] = 0x40;
		ip[8] = 64;
		ip[9] = (uint8_t)protocol;
		memcpy(ip + 12, source, 4);
		memcpy(ip + 16, destination, 4);
		wire->l4 = wire->ip + 20;
	} else {
		ip[0] = 0x60;
		put16(ip + 4, (unsigned)l4_size);
		ip[6] = (uint8_t)protocol;
		ip[7] = protocol == 58 ? 255 : 64;
		memcpy(ip + 8, source, 16);
		memcpy(ip + 24, destination, 16);
		wire->l4 = wire->ip + 40;
	}
	wire->size = wire->l4 + l4_size;
}

static struct wire udp(int version, unsigned vlan_count, size_t size, int to_us)
{
	struct wire wire;
	const uint8_t *us = version == 4 ? wire_us4 : wire_us6;
	const uint8_t *peer = version == 4 ? wire_peer4 : wire_peer6;
	size_t ip = put_l2(&wire, to_us ? wire_us_mac : wire_peer_mac, to_us ? wire_peer_mac : wire_us_mac, vlan_count,
			   version == 4 ? 0x0800 : 0x86dd);
	uint8_t *l4;

	wire.ip = ip;
	put_ip(&wire, version, to_us ? peer : us, to_us ? us : peer, 17, 8 + size);
	l4 = wire.bytes + wire.l4;
	put16(l4, to_us ? WIRE_PEER_PORT : WIRE_US_PORT);
	put16(l4 + 2, to_us ? WIRE_US_PORT : WIRE_PEER_PORT);
	put16(l4 + 4, (unsigned)(8 + size));
	for (size_t i = 0; i < size; i++)
		l4[8 + i] = (uint8_t)(i + 1);
	wire_checksums_fit(&wire);
	return wire;
}

struct wire wire_udp(int version, unsigned vlan_count, size_t size)
{
	return udp(version, vlan_count, size, 1);
}

struct wire wire_udp_reply(int version, unsigned vlan_count, size_t size)
{
	return udp(version, vlan_count, size, 0);
}

struct wire wire_arp(uint16_t operation, const uint8_t *to, const uint8_t *sender_mac, const uint8_t *sender,
		     const uint8_t *target_mac, const uint8_t *target, unsigned vlan_count)
{
	struct wire wire;
	size_t ip = put_l2(&wire, to, sender_mac, vlan_count, 0x0806);
	uint8_t *arp = wire.bytes + ip;

	wire.ip = ip;
	put16(arp, 1);
	put16(arp + 2, 0x0800);
	arp[4] = 6;
	arp[5] = 4;
	put16(arp + 6, operation);
	memcpy(arp + 8, sender_mac, 6);
	memcpy(arp + 14, sender, 4);
	memcpy(arp + 18, target_mac, 6);
	memcpy(arp + 24, target, 4);
	wire.size = ip + 28;
	return wire;
}

static struct wire echo(int version, int reply, size_t size)
{
	struct wire wire;
	const uint8_t *us = version == 4 ? wire_us4 : wire_us6;
	const uint8_t *peer = version == 4 ? wire_peer4 : wire_peer6;
	size_t ip = put_l2(&wire, reply ? wire_peer_mac : wire_us_mac, reply ? wire_us_mac : wire_peer_mac, 0,
			   version == 4 ? 0x0800 : 0x86dd);
	uint8_t *icmp;

	wire.ip = ip;
	put_ip(&wire, version, reply ? us : peer, reply ? peer : us, version == 4 ? 1 : 58, 8 + size);
	if (version == 6)
		wire.bytes[ip + 7] = 64;
	icmp = wire.bytes + wire.l4;
	icmp[0] = (uint8_t)(version == 4 ? (reply ? 0 : 8) : (reply ? 129 : 128));
	put16(icmp + 4, 0xbeef);
	put16(icmp + 6, 3);
	for (size_t i = 0; i < size; i++)
		icmp[8 + i] = (uint8_t)(i * 7);
	wire_checksums_fit(&wire);
	return wire;
}

struct wire wire_echo4(int reply, size_t size)
{
	return echo(4, reply, size);
}

struct wire wire_echo6(int reply, size_t size)
{
	return echo(6, reply, size);
}

struct wire wire_nd(uint8_t type, uint8_t flags, const uint8_t *to, const uint8_t *from, const uint8_t *source,
		    const uint8_t *destination, const uint8_t *target, uint8_t option, const uint8_t *option_mac)
{
	struct wire wire;
	size_t ip = put_l2(&wire, to, from, 0, 0x86dd);
	uint8_t *icmp;

	wire.ip = ip;
	put_ip(&wire, 6, source, destination, 58, option != 0 ? 32 : 24);
	icmp = wire.bytes + wire.l4;
	icmp[0] = type;
	icmp[4] = flags;
	memcpy(icmp + 8, target, 16);
	if (option != 0) {
		icmp[24] = option;
		icmp[25] = 1;
		memcpy(icmp + 26, option_mac, 6);
	}
	wire_checksums_fit(&wire);
	return wire;
}

void wire_checksums_fit(struct wire *wire)
{
	uint8_t *ip = wire->bytes + wire->ip;
	uint8_t *l4 = wire->bytes + wire->l4;
	int version = ip[0] >> 4;
	unsigned protocol = version == 4 ? ip[9] : ip[6];
	size_t size = wire->size - wire->l4;
	unsigned sum;

	if (version == 4) {
		put16(ip + 10, 0);
		put16(ip + 10, fold(sum_of(ip, (size_t)(ip[0] & 15) * 4, 0)) ^ 0xffff);
	}
	if (protocol == 17 && size >= 8) {
		put16(l4 + 6, 0);
		sum = l4_sum(ip, l4, size, 17, version) ^ 0xffff;
		put16(l4 + 6, sum == 0 ? 0xffff : sum);
	} else if (protocol == 1 && size >= 4) {
		put16(l4 + 2, 0);
		put16(l4 + 2, fold(sum_of(l4, size, 0)) ^ 0xffff);
	} else if (protocol == 58 && size >= 4) {
		put16(l4 + 2, 0);
		put16(l4 + 2, l4_sum(ip, l4, size, 58, version) ^ 0xffff);
	}
}

int wire_checksums_right(const uint8_t *bytes, size_t size)
{
	size_t offset = 12;
	const uint8_t *ip;
	const uint8_t *l4;
	size_t l4_size;
	unsigned protocol;
	int version;

	while (get16(bytes + offset) == 0x8100 || get16(bytes + offset) == 0x88a8)
		offset += 4;
	if (get16(bytes + offset) == 0x0806)
		return 1;
	ip = bytes + offset + 2;
	version = ip[0] >> 4;
	if (version == 4 && fold(sum_of(ip, 20, 0)) != 0xffff)
		return 0;
	protocol = version == 4 ? ip[9] : ip[6];
	l4 = ip + (version == 4 ? 20 : 40);
	l4_size = version == 4 ? get16(ip + 2) - 20 : get16(ip + 4);
	if (l4 + l4_size != bytes + size)
		return 0;
	if (protocol == 1)
		return fold(sum_of(l4, l4_size, 0)) == 0xffff;
	if (protocol == 17 && get16(l4 + 6) == 0)
		return 0;
	return l4_sum(ip, l4, l4_size, protocol, version) == 0xffff;
}
