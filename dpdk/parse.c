/*
 * From the outside in: Ethernet, VLAN tags, ARP or IP, then UDP or ICMP. Each layer is handed what the one outside it
 * has proved to be there, and never looks beyond. Offsets are those of the standards named in dpdk/frame.h.
 */
#include "dpdk/parse.h"

#include <string.h>

#include "appliance/base/bytes.h"
#include "dpdk/checksum.h"

#define ETHERTYPE_IPV4 0x0800
#define ETHERTYPE_ARP 0x0806
#define ETHERTYPE_VLAN 0x8100
#define ETHERTYPE_QINQ 0x88a8
#define ETHERTYPE_IPV6 0x86dd

#define ETHERNET_SIZE 14
#define VLAN_SIZE 4
#define ARP_SIZE 28
#define IP4_HEADER_SIZE 20

#define PROTOCOL_ICMP 1
#define PROTOCOL_UDP 17
#define PROTOCOL_ICMP6 58

#define ND_SIZE 24 /* solicitation and advertisement without options */
#define ND_HOP_LIMIT 255
#define ND_OPTION_SOURCE_MAC 1
#define ND_OPTION_TARGET_MAC 2

/* Who a frame was sent to, as far as Ethernet says. */
enum reach { REACH_US, REACH_BROADCAST, REACH_GROUP, REACH_OTHER };

static enum reach reach_of(const struct parse_rules *rules, const uint8_t *mac)
{
	static const uint8_t broadcast[PATH_MAC_SIZE] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

	if (memcmp(mac, rules->mac, PATH_MAC_SIZE) == 0)
		return REACH_US;
	if (memcmp(mac, broadcast, PATH_MAC_SIZE) == 0)
		return REACH_BROADCAST;
	return mac[0] == 0x33 && mac[1] == 0x33 ? REACH_GROUP : REACH_OTHER;
}

static bool ip4_ours(const struct parse_rules *rules, const uint8_t *address)
{
	for (unsigned i = 0; i < rules->local.ipv4_count; i++)
		if (memcmp(rules->local.ipv4[i], address, 4) == 0)
			return true;
	return false;
}

static bool ip6_ours(const struct parse_rules *rules, const uint8_t *address)
{
	for (unsigned i = 0; i < rules->local.ipv6_count; i++)
		if (memcmp(rules->local.ipv6[i], address, 16) == 0)
			return true;
	return false;
}

static bool ip4_answerable(const struct parse_rules *rules, const uint8_t *address)
{
	return address[0] != 0 && address[0] != 127 && address[0] < 224 && !ip4_ours(rules, address);
}

static bool ip6_unspecified(const uint8_t *address)
{
	static const uint8_t zeros[16];

	return memcmp(address, zeros, 16) == 0;
}

static bool ip6_answerable(const struct parse_rules *rules, const uint8_t *address)
{
	static const uint8_t loopback[16] = {[15] = 1};

	return address[0] != 0xff && !ip6_unspecified(address) && memcmp(address, loopback, 16) != 0 &&
	       !ip6_ours(rules, address);
}

/* ff02::1:ffXX:XXXX, the group in which an address is asked for (RFC 4291, 2.7.1). */
static bool ip6_solicited_group(const uint8_t *group, const uint8_t *address)
{
	static const uint8_t prefix[13] = {0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff};

	return memcmp(group, prefix, sizeof(prefix)) == 0 && memcmp(group + 13, address + 13, 3) == 0;
}

static enum frame_outcome parse_arp(const struct parse_rules *rules, const uint8_t *frame, const uint8_t *arp,
				    size_t size, enum reach reach)
{
	const uint8_t *sender_mac = arp + 8;
	const uint8_t *sender = arp + 14;
	const uint8_t *target = arp + 24;
	uint16_t operation;

	if (size < ARP_SIZE || be16_get(arp) != 1 || be16_get(arp + 2) != ETHERTYPE_IPV4 || arp[4] != 6 || arp[5] != 4)
		return FRAME_arp_malformed;
	operation = be16_get(arp + 6);
	if (operation != 1 && operation != 2)
		return FRAME_arp_malformed;
	if (reach != REACH_US && reach != REACH_BROADCAST)
		return FRAME_mac_other;
	if (memcmp(frame + PATH_MAC_SIZE, rules->mac, PATH_MAC_SIZE) == 0)
		return FRAME_arp_ignored; /* our own voice, come back */
	if (ip4_ours(rules, sender))
		return FRAME_address_conflict;
	if (operation == 2) {
		if (rules->asked_version == 4 && reach == REACH_US && memcmp(sender, rules->asked_address, 4) == 0 &&
		    (sender_mac[0] & 1) == 0)
			return FRAME_neighbour_heard;
		return FRAME_arp_ignored;
	}
	return ip4_ours(rules, target) ? FRAME_arp_answered : FRAME_arp_ignored;
}

/* RFC 4861, 4.6: type, length in units of 8 bytes, never 0. Says which of the types 1 and 2 are there. */
static bool nd_options(const uint8_t *options, size_t size, unsigned *ret_types)
{
	unsigned types = 0;

	while (size > 0) {
		size_t option_size;

		if (size < 2)
			return false;
		option_size = (size_t)options[1] * 8;
		if (option_size == 0 || option_size > size)
			return false;
		if (options[0] == ND_OPTION_SOURCE_MAC || options[0] == ND_OPTION_TARGET_MAC) {
			if (option_size != 8) /* a MAC of six bytes */
				return false;
			types |= 1u << options[0];
		}
		options += option_size;
		size -= option_size;
	}
	*ret_types = types;
	return true;
}

/* RFC 4861, 7.1.1 */
static enum frame_outcome parse_solicitation(const struct parse_rules *rules, const uint8_t *ip, const uint8_t *icmp,
					     size_t size)
{
	const uint8_t *source = ip + 8;
	const uint8_t *destination = ip + 24;
	const uint8_t *target = icmp + 8;
	unsigned types;

	if (ip[7] != ND_HOP_LIMIT || size < ND_SIZE || icmp[1] != 0 || target[0] == 0xff ||
	    !nd_options(icmp + ND_SIZE, size - ND_SIZE, &types))
		return FRAME_nd_malformed;
	if (ip6_unspecified(source)) {
		/* Somebody tries whether the address is free. */
		if (!ip6_solicited_group(destination, target) || (types & (1u << ND_OPTION_SOURCE_MAC)) != 0)
			return FRAME_nd_malformed;
	} else if (!ip6_answerable(rules, source)) {
		return ip6_ours(rules, source) ? FRAME_address_conflict : FRAME_nd_malformed;
	}
	if (!ip6_ours(rules, target))
		return FRAME_icmp_ignored;
	return FRAME_nd_answered;
}

/* RFC 4861, 7.1.2 */
static enum frame_outcome parse_advertisement(const struct parse_rules *rules, const uint8_t *frame, const uint8_t *ip,
					      const uint8_t *icmp, size_t size)
{
	const uint8_t *target = icmp + 8;
	bool solicited;
	unsigned types;

	if (ip[7] != ND_HOP_LIMIT || size < ND_SIZE || icmp[1] != 0 || target[0] == 0xff ||
	    !nd_options(icmp + ND_SIZE, size - ND_SIZE, &types))
		return FRAME_nd_malformed;
	solicited = (icmp[4] & 0x40) != 0;
	if (ip[24] == 0xff && solicited)
		return FRAME_nd_malformed;
	if (memcmp(frame + PATH_MAC_SIZE, rules->mac, PATH_MAC_SIZE) == 0)
		return FRAME_icmp_ignored;
	if (ip6_ours(rules, target))
		return FRAME_address_conflict;
	if (rules->asked_version == 6 && ip6_ours(rules, ip + 24) && memcmp(target, rules->asked_address, 16) == 0)
		return FRAME_neighbour_heard;
	return FRAME_icmp_ignored;
}

static enum frame_outcome parse_icmp6(const struct parse_rules *rules, const uint8_t *frame, const uint8_t *ip,
				      const uint8_t *icmp, size_t size, enum reach reach)
{
	bool unicast = ip[24] != 0xff;

	if (size < 8 || checksum_layer4(ip + 8, 32, PROTOCOL_ICMP6, icmp, size) != 0xffff)
		return FRAME_icmp_malformed;
	/* A group's frame carries only what groups are for. */
	if (unicast && reach != REACH_US)
		return FRAME_mac_other;
	switch (icmp[0]) {
	case 128:
		if (!unicast || icmp[1] != 0)
			return FRAME_icmp_ignored;
		return ip6_answerable(rules, ip + 8) ? FRAME_echo_answered : FRAME_ip_source;
	case 135:
		return parse_solicitation(rules, ip, icmp, size);
	case 136:
		return parse_advertisement(rules, frame, ip, icmp, size);
	default:
		return FRAME_icmp_ignored;
	}
}

static enum frame_outcome parse_icmp4(const uint8_t *ip, const uint8_t *icmp, size_t size)
{
	if (size < 8 || checksum_sum(icmp, size) != 0xffff)
		return FRAME_icmp_malformed;
	/* The header is answered in place, and an answer would have to turn a record of the route round. */
	if (icmp[0] != 8 || icmp[1] != 0 || (ip[0] & 0x0f) != 5)
		return FRAME_icmp_ignored;
	return FRAME_echo_answered;
}

static bool udp_checksum_wrong(const struct parse_rules *rules, const uint8_t *ip, const uint8_t *udp, size_t size,
			       unsigned checksums, bool six)
{
	if (be16_get(udp + 6) == 0)
		return six;
	if (rules->udp_checksum_partial || (checksums & PARSE_UDP_CHECKSUM_GOOD) != 0)
		return false;
	if ((checksums & PARSE_UDP_CHECKSUM_BAD) != 0)
		return true;
	return checksum_layer4(six ? ip + 8 : ip + 12, six ? 32 : 8, PROTOCOL_UDP, udp, size) != 0xffff;
}

static enum frame_outcome parse_udp(const struct parse_rules *rules, const uint8_t *ip, const uint8_t *udp, size_t size,
				    unsigned checksums, bool six)
{
	uint16_t port;

	if (size < PARSE_UDP_HEADER_SIZE || be16_get(udp + 4) != size)
		return FRAME_udp_length;
	if (udp_checksum_wrong(rules, ip, udp, size, checksums, six))
		return FRAME_udp_checksum;
	port = be16_get(udp + 2);
	if (port < rules->local.udp_port || port - rules->local.udp_port >= rules->local.udp_port_count)
		return FRAME_udp_port;
	return be16_get(udp) == 0 ? FRAME_udp_source_port : FRAME_datagram;
}

static enum frame_outcome parse_ip4(const struct parse_rules *rules, const uint8_t *ip, size_t size, enum reach reach,
				    unsigned checksums, struct parse_view *view)
{
	size_t header_size;
	size_t total_size;

	if (size < IP4_HEADER_SIZE || ip[0] >> 4 != 4)
		return FRAME_ipv4_header;
	header_size = (size_t)(ip[0] & 0x0f) * 4;
	if (header_size < IP4_HEADER_SIZE || header_size > size)
		return FRAME_ipv4_header;
	total_size = be16_get(ip + 2);
	if (total_size < header_size || total_size > size)
		return FRAME_ipv4_length;
	if ((checksums & PARSE_IP_CHECKSUM_GOOD) == 0 &&
	    ((checksums & PARSE_IP_CHECKSUM_BAD) != 0 || checksum_sum(ip, header_size) != 0xffff))
		return FRAME_ipv4_checksum;
	if ((be16_get(ip + 6) & 0x3fff) != 0)
		return FRAME_ipv4_fragment;
	if (!ip4_ours(rules, ip + 16))
		return FRAME_ip_destination;
	if (reach != REACH_US)
		return FRAME_mac_other;
	if (!ip4_answerable(rules, ip + 12))
		return FRAME_ip_source;
	view->ip_version = 4;
	view->protocol = ip[9];
	view->l4_offset = (uint16_t)(view->ip_offset + header_size);
	view->l4_size = (uint16_t)(total_size - header_size);
	if (ip[9] == PROTOCOL_UDP)
		return parse_udp(rules, ip, ip + header_size, view->l4_size, checksums, false);
	return ip[9] == PROTOCOL_ICMP ? parse_icmp4(ip, ip + header_size, view->l4_size) : FRAME_ip_protocol;
}

static bool ip6_extension(uint8_t next)
{
	switch (next) {
	case 0:   /* hop by hop */
	case 43:  /* routing */
	case 50:  /* ESP */
	case 51:  /* AH */
	case 60:  /* destination options */
	case 135: /* mobility */
	case 139: /* host identity */
	case 140: /* shim6 */
		return true;
	default:
		return false;
	}
}

/* To a group only neighbour discovery is for us, and only in the groups of our own addresses or of all nodes. */
static bool ip6_for_us(const struct parse_rules *rules, const uint8_t *ip)
{
	static const uint8_t all_nodes[16] = {0xff, 0x02, [15] = 1};
	const uint8_t *destination = ip + 24;

	if (destination[0] != 0xff)
		return ip6_ours(rules, destination);
	if (ip[6] != PROTOCOL_ICMP6)
		return false;
	for (unsigned i = 0; i < rules->local.ipv6_count; i++)
		if (ip6_solicited_group(destination, rules->local.ipv6[i]))
			return true;
	return rules->local.ipv6_count > 0 && memcmp(destination, all_nodes, 16) == 0;
}

static enum frame_outcome parse_ip6(const struct parse_rules *rules, const uint8_t *frame, const uint8_t *ip,
				    size_t size, enum reach reach, unsigned checksums, struct parse_view *view)
{
	size_t payload_size;

	if (size < PARSE_IP6_HEADER_SIZE || ip[0] >> 4 != 6)
		return FRAME_ipv6_header;
	payload_size = be16_get(ip + 4);
	if (payload_size > size - PARSE_IP6_HEADER_SIZE)
		return FRAME_ipv6_length;
	if (ip[6] == 44)
		return FRAME_ipv6_fragment;
	if (ip6_extension(ip[6]))
		return FRAME_ipv6_extension;
	if (!ip6_for_us(rules, ip))
		return FRAME_ip_destination;
	view->ip_version = 6;
	view->protocol = ip[6];
	view->l4_offset = (uint16_t)(view->ip_offset + PARSE_IP6_HEADER_SIZE);
	view->l4_size = (uint16_t)payload_size;
	if (ip[6] == PROTOCOL_ICMP6)
		return reach == REACH_BROADCAST
			       ? FRAME_mac_other
			       : parse_icmp6(rules, frame, ip, ip + PARSE_IP6_HEADER_SIZE, payload_size, reach);
	if (reach != REACH_US)
		return FRAME_mac_other;
	if (!ip6_answerable(rules, ip + 8))
		return FRAME_ip_source;
	if (ip[6] != PROTOCOL_UDP)
		return FRAME_ip_protocol;
	return parse_udp(rules, ip, ip + PARSE_IP6_HEADER_SIZE, payload_size, checksums, true);
}

static bool mac_answerable(const uint8_t *mac)
{
	return (mac[0] & 1) == 0 && (mac[0] | mac[1] | mac[2] | mac[3] | mac[4] | mac[5]) != 0;
}

enum frame_outcome parse_frame(const struct parse_rules *rules, const uint8_t *bytes, size_t size, unsigned checksums,
			       struct parse_view *view)
{
	size_t offset = ETHERNET_SIZE;
	enum reach reach;
	uint16_t type;

	if (size < ETHERNET_SIZE)
		return FRAME_ethernet_short;
	reach = reach_of(rules, bytes);
	if (reach == REACH_OTHER || !mac_answerable(bytes + PATH_MAC_SIZE))
		return FRAME_mac_other;
	view->vlan_count = 0;
	type = be16_get(bytes + 12);
	while (type == ETHERTYPE_VLAN || type == ETHERTYPE_QINQ) {
		if (view->vlan_count == PATH_VLANS_MAX)
			return FRAME_vlan_deep;
		if (size - offset < VLAN_SIZE)
			return FRAME_ethernet_short;
		view->vlan_tpid[view->vlan_count] = type;
		view->vlan_tci[view->vlan_count++] = be16_get(bytes + offset);
		type = be16_get(bytes + offset + 2);
		offset += VLAN_SIZE;
	}
	view->ip_offset = (uint16_t)offset;
	view->ip_version = 0;
	switch (type) {
	case ETHERTYPE_ARP:
		return parse_arp(rules, bytes, bytes + offset, size - offset, reach);
	case ETHERTYPE_IPV4:
		return parse_ip4(rules, bytes + offset, size - offset, reach, checksums, view);
	case ETHERTYPE_IPV6:
		return parse_ip6(rules, bytes, bytes + offset, size - offset, reach, checksums, view);
	default:
		return FRAME_ethertype_other;
	}
}

void parse_path(const struct parse_rules *rules, const uint8_t *bytes, const struct parse_view *view,
		struct path *ret_path)
{
	const uint8_t *ip = bytes + view->ip_offset;
	const uint8_t *udp = bytes + view->l4_offset;
	struct path *path = ret_path;

	memset(path, 0, sizeof(*path));
	memcpy(path->own_mac, rules->mac, PATH_MAC_SIZE);
	memcpy(path->peer_mac, bytes + PATH_MAC_SIZE, PATH_MAC_SIZE);
	path->ip_version = view->ip_version;
	path->vlan_count = view->vlan_count;
	for (unsigned i = 0; i < view->vlan_count; i++) {
		path->vlan_tci[i] = view->vlan_tci[i];
		path->vlan_tpid[i] = view->vlan_tpid[i];
	}
	if (view->ip_version == 4) {
		memcpy(path->peer_address, ip + 12, 4);
		memcpy(path->own_address, ip + 16, 4);
	} else {
		memcpy(path->peer_address, ip + 8, 16);
		memcpy(path->own_address, ip + 24, 16);
	}
	path->peer_port = be16_get(udp);
	path->own_port = be16_get(udp + 2);
	path_hash_set(path);
}
