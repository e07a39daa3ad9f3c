/* The frame check over plain bytes in buffers of their exact size, so that a sanitizer sees every byte too far. */
#include "dpdk/parse.h"

#include <stdlib.h>
#include <string.h>

#include "appliance/base/prng.h"
#include "tests/check.h"
#include "tests/dpdk/wire.h"

static const uint8_t broadcast[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
static const uint8_t nobody_mac[6];
static const uint8_t unspecified[16];
static const uint8_t solicited_group[16] = {0xff, 2, [11] = 1, [12] = 0xff, [13] = 1, [15] = 2};
static const uint8_t solicited_mac[6] = {0x33, 0x33, 0xff, 1, 0, 2};
static const uint8_t all_nodes[16] = {0xff, 2, [15] = 1};
static const uint8_t all_nodes_mac[6] = {0x33, 0x33, 0, 0, 0, 1};

static struct parse_rules rules(void)
{
	struct parse_rules made = {.udp_checksum_partial = false};

	frame_local_init(&made.local, WIRE_US_PORT);
	CHECK_INT(0, frame_local_add(&made.local, WIRE_US4_TEXT, NULL));
	CHECK_INT(0, frame_local_add(&made.local, WIRE_US6_TEXT, NULL));
	memcpy(made.mac, wire_us_mac, 6);
	return made;
}

static enum frame_outcome parse_known(const struct parse_rules *with, const uint8_t *bytes, size_t size,
				      unsigned checksums, struct parse_view *view)
{
	uint8_t *exact = malloc(size + (size == 0));
	enum frame_outcome outcome;

	CHECK(exact != NULL);
	memcpy(exact, bytes, size);
	outcome = parse_frame(with, exact, size, checksums, view);
	if (outcome == FRAME_datagram) {
		struct path path;

		parse_path(with, exact, view, &path);
		CHECK((size_t)view->l4_offset + view->l4_size <= size);
		CHECK(view->l4_size >= 8);
	}
	free(exact);
	return outcome;
}

static enum frame_outcome parse(const struct wire *wire)
{
	struct parse_rules with = rules();
	struct parse_view view;

	return parse_known(&with, wire->bytes, wire->size, 0, &view);
}

#define CHECK_OUTCOME(expected, outcome) CHECK_STR(#expected, frame_counter_table[outcome].name)

static void good_datagrams(void)
{
	for (int version = 4; version <= 6; version += 2)
		for (unsigned vlans = 0; vlans <= 2; vlans++)
			for (size_t size = 0; size <= 1400; size += size < 3 ? 1 : 233) {
				struct wire wire = wire_udp(version, vlans, size);
				struct parse_rules with = rules();
				struct parse_view view;
				struct path path;
				char text[PATH_TEXT_SIZE];

				CHECK_OUTCOME(datagram, parse_known(&with, wire.bytes, wire.size, 0, &view));
				CHECK_INT(wire.l4, view.l4_offset);
				CHECK_INT(size + 8, view.l4_size);
				parse_path(&with, wire.bytes, &view, &path);
				CHECK_INT(vlans, path.vlan_count);
				CHECK_INT(WIRE_US_PORT, path.own_port);
				CHECK_INT(WIRE_PEER_PORT, path.peer_port);
				CHECK_MEM(wire_peer_mac, path.peer_mac, 6);
				if (vlans == 2)
					CHECK_STR(version == 4 ? "192.0.2.77:40001 > 192.0.2.1:7171 vlan 5.6"
							       : "[2001:db8::77]:40001 > [2001:db8::1:2]:7171 vlan 5.6",
						  path_text(&path, text));
				/* Ethernet pads to 60 bytes; what is behind the IP packet says nothing. */
				wire.size += 9;
				CHECK_OUTCOME(datagram, parse_known(&with, wire.bytes, wire.size, 0, &view));
				CHECK_INT(size + 8, view.l4_size);
			}
}

/* One byte changed, checksums made to fit again where the fault is not a checksum, and the counter it must reach. */
struct fault {
	const char *expected;
	int version;
	unsigned vlan_count;
	enum { ETH, IP, L4 } from;
	unsigned offset;
	uint8_t value;
	bool refit;
};

static const struct fault faults[] = {
	{"mac_other", 4, 0, ETH, 0, 0x06, false},
	{"mac_other", 4, 0, ETH, 6, 0x03, false}, /* from a group */
	{"mac_other", 6, 1, ETH, 5, 0x02, false},
	{"ethertype_other", 4, 0, ETH, 13, 0x01, false},
	{"ethertype_other", 6, 2, ETH, 20, 0x87, false},
	{"ipv6_header", 4, 0, ETH, 12, 0x86, false}, /* 0x8600: see below */
	{"ipv4_header", 4, 0, IP, 0, 0x65, false},
	{"ipv4_header", 4, 1, IP, 0, 0x44, false},
	{"ipv4_header", 4, 0, IP, 0, 0x4f, false}, /* 60 bytes of header in a frame of 28 */
	{"ipv4_length", 4, 0, IP, 3, 19, true},
	{"ipv4_length", 4, 0, IP, 3, 29 + 4, true},
	{"ipv4_length", 4, 2, IP, 2, 0x40, true},
	{"ipv4_checksum", 4, 0, IP, 10, 0x99, false},
	{"ipv4_checksum", 4, 0, IP, 8, 63, false},
	{"ipv4_fragment", 4, 0, IP, 6, 0x20, true}, /* more to come */
	{"ipv4_fragment", 4, 0, IP, 7, 0x01, true}, /* not the first */
	{"ipv4_fragment", 4, 1, IP, 6, 0x10, true},
	{"ip_destination", 4, 0, IP, 19, 2, true},
	{"ip_destination", 6, 0, IP, 39, 3, true},
	{"ip_destination", 6, 0, IP, 24, 0xff, true}, /* a group, but UDP */
	{"ip_source", 4, 0, IP, 12, 0, true},
	{"ip_source", 4, 0, IP, 12, 127, true},
	{"ip_source", 4, 0, IP, 12, 224, true},
	{"ip_source", 4, 0, IP, 12, 255, true},
	{"ip_source", 4, 0, IP, 15, 1, true}, /* our own */
	{"ip_source", 6, 0, IP, 8, 0xff, true},
	{"ip_protocol", 4, 0, IP, 9, 6, true},
	{"ip_protocol", 6, 0, IP, 6, 6, false},
	{"ip_protocol", 6, 0, IP, 6, 59, false},
	{"ipv6_header", 6, 0, IP, 0, 0x40, false},
	{"ipv6_length", 6, 0, IP, 5, 13, false},
	{"ipv6_length", 6, 0, IP, 4, 1, false},
	{"ipv6_fragment", 6, 0, IP, 6, 44, false},
	{"ipv6_extension", 6, 0, IP, 6, 0, false},
	{"ipv6_extension", 6, 0, IP, 6, 43, false},
	{"ipv6_extension", 6, 2, IP, 6, 60, false},
	{"ipv6_extension", 6, 0, IP, 6, 51, false},
	{"ipv6_extension", 6, 0, IP, 6, 50, false},
	{"udp_length", 4, 0, L4, 5, 11, true},
	{"udp_length", 4, 0, L4, 5, 13, true},
	{"udp_length", 4, 0, L4, 5, 7, true},
	{"udp_length", 6, 0, L4, 5, 0, true}, /* jumbograms have a length of 0 (RFC 2675) */
	{"udp_length", 6, 1, L4, 4, 1, true},
	{"udp_checksum", 4, 0, L4, 8, 0x77, false},
	{"udp_checksum", 6, 0, L4, 11, 0x77, false},
	{"udp_checksum", 4, 2, L4, 6, 0x5a, false},
	{"udp_port", 4, 0, L4, 3, 0x02, true},
	{"udp_port", 6, 0, L4, 3, 0x04, true},
	{"udp_port", 4, 0, L4, 2, 0x00, true},
};

static void each_fault_has_its_counter(void)
{
	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
		const struct fault *fault = &faults[i];
		struct wire wire = wire_udp(fault->version, fault->vlan_count, 4);
		size_t base = fault->from == ETH ? 0 : fault->from == IP ? wire.ip : wire.l4;
		const char *outcome;

		CHECK(wire.bytes[base + fault->offset] != fault->value);
		wire.bytes[base + fault->offset] = fault->value;
		if (fault->from == ETH && fault->offset == 12)
			wire.bytes[13] = 0xdd; /* an IPv4 packet that says it is IPv6 */
		if (fault->refit)
			wire_checksums_fit(&wire);
		outcome = frame_counter_table[parse(&wire)].name;
		if (strcmp(outcome, fault->expected) != 0)
			check_note("row %zu", i);
		CHECK_STR(fault->expected, outcome);
	}
}

static void faults_of_more_than_a_byte(void)
{
	struct wire wire = wire_udp(4, 2, 4);

	memmove(wire.bytes + 16, wire.bytes + 12, wire.size - 12);
	wire.size += 4;
	CHECK_OUTCOME(vlan_deep, parse(&wire));
	wire = wire_udp(4, 0, 4);
	memcpy(wire.bytes, broadcast, 6);
	CHECK_OUTCOME(mac_other, parse(&wire));
	memset(wire.bytes + 6, 0, 6);
	CHECK_OUTCOME(mac_other, parse(&wire));
	wire = wire_udp(6, 0, 4);
	memcpy(wire.bytes, all_nodes_mac, 6);
	CHECK_OUTCOME(mac_other, parse(&wire));
	wire = wire_udp(6, 0, 4);
	memset(wire.bytes + wire.l4 + 6, 0, 2);
	CHECK_OUTCOME(udp_checksum, parse(&wire)); /* IPv6 has no other */
	wire = wire_udp(4, 0, 4);
	memset(wire.bytes + wire.l4 + 6, 0, 2);
	CHECK_OUTCOME(datagram, parse(&wire));
	memset(wire.bytes + wire.l4, 0, 2);
	CHECK_OUTCOME(udp_source_port, parse(&wire));
	wire = wire_udp(6, 0, 4);
	memcpy(wire.bytes + wire.ip + 8, unspecified, 16);
	wire_checksums_fit(&wire);
	CHECK_OUTCOME(ip_source, parse(&wire));
	wire.bytes[wire.ip + 23] = 1;
	wire_checksums_fit(&wire);
	CHECK_OUTCOME(ip_source, parse(&wire));
	memcpy(wire.bytes + wire.ip + 8, wire_us6, 16);
	wire_checksums_fit(&wire);
	CHECK_OUTCOME(ip_source, parse(&wire));
}

static void ip4_options_are_stepped_over(void)
{
	struct wire wire = wire_udp(4, 0, 30);
	struct wire ping = wire_echo4(0, 10);

	memmove(wire.bytes + wire.l4 + 8, wire.bytes + wire.l4, wire.size - wire.l4);
	memset(wire.bytes + wire.l4, 1, 8); /* no operation, eight times */
	wire.bytes[wire.ip] = 0x47;
	wire.bytes[wire.ip + 3] += 8;
	wire.l4 += 8;
	wire.size += 8;
	wire_checksums_fit(&wire);
	CHECK_OUTCOME(datagram, parse(&wire));
	memmove(ping.bytes + ping.l4 + 4, ping.bytes + ping.l4, ping.size - ping.l4);
	memset(ping.bytes + ping.l4, 1, 4);
	ping.bytes[ping.ip] = 0x46;
	ping.bytes[ping.ip + 3] += 4;
	ping.l4 += 4;
	ping.size += 4;
	wire_checksums_fit(&ping);
	CHECK_OUTCOME(icmp_ignored, parse(&ping));
}

static void what_the_device_knows_about_checksums(void)
{
	struct parse_rules with = rules();
	struct parse_view view;
	struct wire wire = wire_udp(4, 0, 20);

	CHECK_OUTCOME(udp_checksum, parse_known(&with, wire.bytes, wire.size, PARSE_UDP_CHECKSUM_BAD, &view));
	CHECK_OUTCOME(ipv4_checksum, parse_known(&with, wire.bytes, wire.size, PARSE_IP_CHECKSUM_BAD, &view));
	wire.bytes[wire.l4 + 6] ^= 1;
	wire.bytes[wire.ip + 10] ^= 1;
	CHECK_OUTCOME(datagram, parse_known(&with, wire.bytes, wire.size,
					    PARSE_UDP_CHECKSUM_GOOD | PARSE_IP_CHECKSUM_GOOD, &view));
	/* Senders of the same host: the UDP checksum may be partial, the header's may not. */
	with.udp_checksum_partial = true;
	CHECK_OUTCOME(ipv4_checksum, parse_known(&with, wire.bytes, wire.size, 0, &view));
	wire.bytes[wire.ip + 10] ^= 1;
	CHECK_OUTCOME(datagram, parse_known(&with, wire.bytes, wire.size, 0, &view));
	wire = wire_udp(6, 0, 20);
	memset(wire.bytes + wire.l4 + 6, 0, 2);
	CHECK_OUTCOME(udp_checksum, parse_known(&with, wire.bytes, wire.size, 0, &view));
}

static void port_ranges(void)
{
	struct parse_rules with = rules();
	struct parse_view view;
	struct wire wire = wire_udp(4, 0, 2);

	with.local.udp_port = WIRE_US_PORT - 2;
	with.local.udp_port_count = 2;
	CHECK_OUTCOME(udp_port, parse_known(&with, wire.bytes, wire.size, 0, &view));
	with.local.udp_port_count = 3;
	CHECK_OUTCOME(datagram, parse_known(&with, wire.bytes, wire.size, 0, &view));
	with.local.udp_port = WIRE_US_PORT + 1;
	CHECK_OUTCOME(udp_port, parse_known(&with, wire.bytes, wire.size, 0, &view));
}

static void arp_kinds(void)
{
	static const uint8_t other4[4] = {192, 0, 2, 3};
	struct parse_rules with = rules();
	struct parse_view view;
	struct wire wire = wire_arp(1, broadcast, wire_peer_mac, wire_peer4, nobody_mac, wire_us4, 0);
	static const struct {
		unsigned offset;
		uint8_t value;
	} wrong[] = {{1, 6}, {2, 9}, {4, 8}, {5, 16}, {7, 3}, {6, 1}, {7, 0}};

	CHECK_OUTCOME(arp_answered, parse(&wire));
	memcpy(wire.bytes, wire_us_mac, 6);
	CHECK_OUTCOME(arp_answered, parse(&wire));
	memcpy(wire.bytes, all_nodes_mac, 6);
	CHECK_OUTCOME(mac_other, parse(&wire));
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		wire = wire_arp(1, broadcast, wire_peer_mac, wire_peer4, nobody_mac, wire_us4, 1);
		wire.bytes[wire.ip + wrong[i].offset] = wrong[i].value;
		CHECK_OUTCOME(arp_malformed, parse(&wire));
	}
	wire = wire_arp(1, broadcast, wire_peer_mac, wire_peer4, nobody_mac, other4, 0);
	CHECK_OUTCOME(arp_ignored, parse(&wire));
	wire = wire_arp(1, broadcast, wire_peer_mac, wire_us4, nobody_mac, wire_us4, 0);
	CHECK_OUTCOME(address_conflict, parse(&wire));
	wire = wire_arp(1, broadcast, wire_us_mac, wire_us4, nobody_mac, wire_us4, 0);
	CHECK_OUTCOME(arp_ignored, parse(&wire)); /* our own announcement, looped back */
	/* An answer is heard only when it was asked for, by us, of that address. */
	wire = wire_arp(2, wire_us_mac, wire_peer_mac, wire_peer4, wire_us_mac, wire_us4, 0);
	CHECK_OUTCOME(arp_ignored, parse(&wire));
	with.asked_version = 4;
	memcpy(with.asked_address, wire_peer4, 4);
	CHECK_OUTCOME(neighbour_heard, parse_known(&with, wire.bytes, wire.size, 0, &view));
	with.asked_address[3]++;
	CHECK_OUTCOME(arp_ignored, parse_known(&with, wire.bytes, wire.size, 0, &view));
}

static struct wire solicitation(uint8_t option)
{
	return wire_nd(135, 0, solicited_mac, wire_peer_mac, wire_peer6, solicited_group, wire_us6, option,
		       wire_peer_mac);
}

static void solicitation_kinds(void)
{
	struct wire wire = solicitation(1);

	CHECK_OUTCOME(nd_answered, parse(&wire));
	wire = solicitation(0);
	CHECK_OUTCOME(nd_answered, parse(&wire));
	wire = wire_nd(135, 0, wire_us_mac, wire_peer_mac, wire_peer6, wire_us6, wire_us6, 0, NULL);
	CHECK_OUTCOME(nd_answered, parse(&wire)); /* is it still there? */
	wire = wire_nd(135, 0, solicited_mac, wire_peer_mac, unspecified, solicited_group, wire_us6, 0, NULL);
	CHECK_OUTCOME(nd_answered, parse(&wire));
	wire = wire_nd(135, 0, solicited_mac, wire_peer_mac, unspecified, solicited_group, wire_us6, 1, wire_peer_mac);
	CHECK_OUTCOME(nd_malformed, parse(&wire));
	wire = wire_nd(135, 0, wire_us_mac, wire_peer_mac, unspecified, wire_us6, wire_us6, 0, NULL);
	CHECK_OUTCOME(nd_malformed, parse(&wire));
	wire = wire_nd(135, 0, solicited_mac, wire_peer_mac, wire_us6, solicited_group, wire_us6, 0, NULL);
	CHECK_OUTCOME(address_conflict, parse(&wire));
	wire = wire_nd(135, 0, solicited_mac, wire_peer_mac, wire_peer6, solicited_group, wire_peer6, 0, NULL);
	CHECK_OUTCOME(icmp_ignored, parse(&wire));
	wire = solicitation(1);
	wire.bytes[wire.ip + 7] = 254; /* has passed a router */
	CHECK_OUTCOME(nd_malformed, parse(&wire));
	wire = solicitation(1);
	wire.bytes[wire.l4 + 2] ^= 1;
	CHECK_OUTCOME(icmp_malformed, parse(&wire));
	wire = solicitation(1);
	wire.bytes[wire.l4 + 1] = 1;
	wire_checksums_fit(&wire);
	CHECK_OUTCOME(nd_malformed, parse(&wire));
	for (unsigned length = 0; length < 256; length++) {
		wire = solicitation(1);
		wire.bytes[wire.l4 + 25] = (uint8_t)length;
		wire_checksums_fit(&wire);
		CHECK_INT(length == 1 ? FRAME_nd_answered : FRAME_nd_malformed, parse(&wire));
	}
	for (unsigned byte = 13; byte < 16; byte++) { /* another address's group */
		wire = solicitation(1);
		wire.bytes[wire.ip + 24 + byte] ^= 1;
		wire_checksums_fit(&wire);
		CHECK_OUTCOME(ip_destination, parse(&wire));
	}
	wire = wire_udp(6, 0, 4); /* to our group, but no neighbour message */
	memcpy(wire.bytes + wire.ip + 24, solicited_group, 16);
	wire_checksums_fit(&wire);
	CHECK_OUTCOME(ip_destination, parse(&wire));
	for (unsigned length = 0; length < 256; length++) {
		wire = solicitation(1);
		wire.bytes[wire.l4 + 24] = 14; /* a nonce (RFC 3971): not ours to read, but it must fit */
		wire.bytes[wire.l4 + 25] = (uint8_t)length;
		wire_checksums_fit(&wire);
		CHECK_INT(length == 1 ? FRAME_nd_answered : FRAME_nd_malformed, parse(&wire));
	}
	/* Without the room for a target. */
	wire = solicitation(0);
	wire.size -= 8;
	wire.bytes[wire.ip + 5] -= 8;
	wire_checksums_fit(&wire);
	CHECK_OUTCOME(nd_malformed, parse(&wire));
}

static void advertisement_kinds(void)
{
	struct parse_rules with = rules();
	struct parse_view view;
	struct wire wire =
		wire_nd(136, 0x60, wire_us_mac, wire_peer_mac, wire_peer6, wire_us6, wire_peer6, 2, wire_peer_mac);

	CHECK_OUTCOME(icmp_ignored, parse(&wire));
	with.asked_version = 6;
	memcpy(with.asked_address, wire_peer6, 16);
	CHECK_OUTCOME(neighbour_heard, parse_known(&with, wire.bytes, wire.size, 0, &view));
	wire = wire_nd(136, 0x60, all_nodes_mac, wire_peer_mac, wire_peer6, all_nodes, wire_peer6, 2, wire_peer_mac);
	CHECK_OUTCOME(nd_malformed, parse(&wire)); /* says solicited, but to all */
	wire = wire_nd(136, 0x20, all_nodes_mac, wire_peer_mac, wire_us6, all_nodes, wire_us6, 2, wire_peer_mac);
	CHECK_OUTCOME(address_conflict, parse(&wire));
	wire = wire_nd(136, 0x20, all_nodes_mac, wire_us_mac, wire_us6, all_nodes, wire_us6, 2, wire_us_mac);
	CHECK_OUTCOME(icmp_ignored, parse(&wire));
}

static void echo_kinds(void)
{
	struct wire wire = wire_echo4(0, 56);

	CHECK_OUTCOME(echo_answered, parse(&wire));
	wire.bytes[wire.l4 + 20] ^= 1;
	CHECK_OUTCOME(icmp_malformed, parse(&wire));
	wire = wire_echo4(1, 56);
	memcpy(wire.bytes, wire_us_mac, 6);
	memcpy(wire.bytes + 6, wire_peer_mac, 6);
	memcpy(wire.bytes + wire.ip + 12, wire_peer4, 4);
	memcpy(wire.bytes + wire.ip + 16, wire_us4, 4);
	wire_checksums_fit(&wire);
	CHECK_OUTCOME(icmp_ignored, parse(&wire));
	wire = wire_echo6(0, 56);
	CHECK_OUTCOME(echo_answered, parse(&wire));
	memcpy(wire.bytes, all_nodes_mac, 6);
	memcpy(wire.bytes + wire.ip + 24, all_nodes, 16);
	wire_checksums_fit(&wire);
	CHECK_OUTCOME(icmp_ignored, parse(&wire)); /* a ping to all: no multiplying of answers */
	wire = wire_echo6(0, 56);
	memcpy(wire.bytes + wire.ip + 8, all_nodes, 16);
	wire_checksums_fit(&wire);
	CHECK_OUTCOME(ip_source, parse(&wire));
	wire = wire_echo4(0, 0);
	wire.size--;
	wire.bytes[wire.ip + 3]--;
	wire_checksums_fit(&wire);
	CHECK_OUTCOME(icmp_malformed, parse(&wire));
}

static unsigned samples(struct wire out[16])
{
	unsigned count = 0;

	for (int version = 4; version <= 6; version += 2)
		for (unsigned vlans = 0; vlans <= 2; vlans++)
			out[count++] = wire_udp(version, vlans, 21);
	out[count++] = wire_arp(1, broadcast, wire_peer_mac, wire_peer4, nobody_mac, wire_us4, 0);
	out[count++] = wire_arp(1, broadcast, wire_peer_mac, wire_peer4, nobody_mac, wire_us4, 2);
	out[count++] = wire_echo4(0, 30);
	out[count++] = wire_echo6(0, 31);
	out[count++] = solicitation(0);
	out[count++] = solicitation(1);
	out[count++] =
		wire_nd(136, 0x60, wire_us_mac, wire_peer_mac, wire_peer6, wire_us6, wire_peer6, 2, wire_peer_mac);
	return count;
}

/* Cut anywhere, a good frame is refused for its length: never taken, never read beyond its end. */
static void cut_at_every_byte(void)
{
	struct wire wires[16];
	unsigned count = samples(wires);

	for (unsigned i = 0; i < count; i++)
		for (size_t size = 0; size < wires[i].size; size++) {
			struct wire cut = wires[i];
			enum frame_outcome outcome;

			cut.size = size;
			outcome = parse(&cut);
			if (size < 14)
				CHECK_OUTCOME(ethernet_short, outcome);
			CHECK(outcome == FRAME_ethernet_short || outcome == FRAME_arp_malformed ||
			      outcome == FRAME_ipv4_header || outcome == FRAME_ipv4_length ||
			      outcome == FRAME_ipv6_header || outcome == FRAME_ipv6_length);
		}
}

static void random_bytes_changed(void)
{
	struct prng prng = {check_seed()};
	struct wire wires[16];
	unsigned count = samples(wires);
	unsigned reached[FRAME_COUNTERS_COUNT] = {0};
	struct parse_rules with = rules();

	with.asked_version = 6;
	memcpy(with.asked_address, wire_peer6, 16);
	for (unsigned turn = 0; turn < 300000; turn++) {
		struct wire wire = wires[prng_below(&prng, count)];
		struct parse_view view;
		enum frame_outcome outcome;

		for (unsigned n = (unsigned)prng_below(&prng, 4); n > 0; n--)
			wire.bytes[prng_below(&prng, 70)] = (uint8_t)prng_next(&prng);
		if (prng_chance(&prng, 500) && wire.l4 > 0)
			wire_checksums_fit(&wire);
		if (prng_chance(&prng, 300))
			wire.size = prng_below(&prng, wire.size + 1);
		with.udp_checksum_partial = prng_chance(&prng, 300);
		outcome = parse_known(&with, wire.bytes, wire.size, (unsigned)prng_below(&prng, 16), &view);
		CHECK(outcome < FRAME_COUNTERS_COUNT && frame_counter_table[outcome].rx);
		reached[outcome]++;
	}
	/* A mutation that never gets past the first header would prove little. */
	CHECK(reached[FRAME_datagram] > 0 && reached[FRAME_udp_length] > 0 && reached[FRAME_nd_malformed] > 0);
}

static void addresses_and_macs(void)
{
	static const char *const bad_macs[] = {"",
					       "02:00:5e:00:00",
					       "02:00:5e:00:00:1",
					       "02-00-5e-00-00-01",
					       "03:00:5e:00:00:01",
					       "00:00:00:00:00:00",
					       "02:00:5e:00:00:01 ",
					       "2::0:5e:00:00:01x",
					       ":::::::::::::::::"};
	static const char *const bad_addresses[] = {"",          "192.0.2",         "0.0.0.0",   "127.0.0.1",
						    "224.0.0.1", "255.255.255.255", "::",        "::1",
						    "ff02::1",   "2001:db8::g",     " 192.0.2.1"};
	struct frame_local local;
	struct path path;
	struct err err;
	uint8_t mac[6];

	for (size_t i = 0; i < sizeof(bad_macs) / sizeof(bad_macs[0]); i++)
		CHECK(path_mac_parse(bad_macs[i], mac) < 0);
	CHECK_INT(0, path_mac_parse("02:00:5E:00:00:01", mac));
	CHECK_MEM(wire_us_mac, mac, 6);
	frame_local_init(&local, 1);
	for (size_t i = 0; i < sizeof(bad_addresses) / sizeof(bad_addresses[0]); i++)
		CHECK(frame_local_add(&local, bad_addresses[i], &err) < 0);
	CHECK_INT(0, local.ipv4_count + local.ipv6_count);
	for (unsigned i = 0; i < FRAME_ADDRESSES_MAX; i++)
		CHECK_INT(0, frame_local_add(&local, WIRE_US6_TEXT, NULL));
	CHECK(frame_local_add(&local, WIRE_US6_TEXT, NULL) < 0);
	CHECK(path_make(mac, WIRE_US4_TEXT, 1, NULL, WIRE_PEER6_TEXT, 2, &path, &err) < 0);
	CHECK(path_make(mac, WIRE_US4_TEXT, 0, NULL, WIRE_PEER4_TEXT, 2, &path, &err) < 0);
	CHECK(path_make(mac, "x", 1, NULL, WIRE_PEER4_TEXT, 2, &path, &err) < 0);
}

/* A client's path and the path of what it sends are the same flow, seen from the two ends. */
static void flows_are_told_apart(void)
{
	struct parse_rules with = rules();
	struct parse_view view;
	struct wire wire = wire_udp(4, 1, 5);
	struct path arrived;
	struct path made;
	struct path other;

	CHECK_OUTCOME(datagram, parse_known(&with, wire.bytes, wire.size, 0, &view));
	parse_path(&with, wire.bytes, &view, &arrived);
	CHECK_INT(0, path_make(wire_us_mac, WIRE_US4_TEXT, WIRE_US_PORT, wire_peer_mac, WIRE_PEER4_TEXT, WIRE_PEER_PORT,
			       &made, NULL));
	CHECK(path_same_flow(&arrived, &made));
	other = made;
	other.peer_port++;
	path_hash_set(&other);
	CHECK(!path_same_flow(&made, &other));
	other = made;
	other.peer_address[3]++;
	path_hash_set(&other);
	CHECK(!path_same_flow(&made, &other));
	CHECK(made.hash != other.hash);
}

int main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{"good datagrams are taken, with and without tags", good_datagrams},
		{"each fault has its counter", each_fault_has_its_counter},
		{"faults of more than a byte", faults_of_more_than_a_byte},
		{"IPv4 options are stepped over", ip4_options_are_stepped_over},
		{"what the device knows about checksums", what_the_device_knows_about_checksums},
		{"ranges of UDP ports", port_ranges},
		{"ARP", arp_kinds},
		{"neighbour solicitations", solicitation_kinds},
		{"neighbour advertisements", advertisement_kinds},
		{"echo requests", echo_kinds},
		{"a frame cut at every byte", cut_at_every_byte},
		{"random bytes changed", random_bytes_changed},
		{"addresses and MACs from settings", addresses_and_macs},
		{"flows are told apart", flows_are_told_apart},
		{NULL, NULL}};

	return check_main(argc, argv, "dpdk/parse", tests);
}
