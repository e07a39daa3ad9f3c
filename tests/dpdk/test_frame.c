/* Frames through a real port: two ends of a ring link, one with the code under test, the other one the test's own. */
#include "dpdk/frame.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include "appliance/base/prng.h"
#include "dpdk/answer.h"
#include "dpdk/port_private.h"
#include "dpdk/reply.h"
#include "tests/check.h"
#include "tests/dpdk/fixture.h"
#include "tests/dpdk/wire.h"

static const uint8_t broadcast[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
static const uint8_t nobody_mac[6];
static const uint8_t unspecified[16];
static const uint8_t all_nodes[16] = {0xff, 2, [15] = 1};
static const uint8_t all_nodes_mac[6] = {0x33, 0x33, 0, 0, 0, 1};
static const uint8_t solicited_group[16] = {0xff, 2, [11] = 1, [12] = 0xff, [13] = 1, [15] = 2};
static const uint8_t solicited_mac[6] = {0x33, 0x33, 0xff, 1, 0, 2};

/* Our end and the raw wire at the other. */
struct bench {
	struct fixture_end us;
	struct port *wire;
};

static struct bench bench_open(unsigned descriptor_count)
{
	struct bench bench;
	struct port_settings settings;

	fixture_eal();
	fixture_settings(&settings, "ring", "bench");
	settings.descriptor_count = descriptor_count;
	bench.us = fixture_open(&settings);
	CHECK_INT(0, port_open(&settings, &bench.wire, NULL));
	return bench;
}

/* Every buffer must have come home: a leak of one a burst would stop a port within the minute. */
static void bench_close(struct bench *bench)
{
	frame_release(bench->us.queue);
	(void)reply_flush(bench->us.queue);
	for (uint8_t rest[WIRE_MAX]; fixture_take(bench->wire, rest, sizeof(rest)) > 0;)
		;
	CHECK_INT(0, rte_mempool_in_use_count(bench->us.port->rx_pools[0]));
	CHECK_INT(0, rte_mempool_in_use_count(bench->us.port->tx_pools[0]));
	CHECK_INT(0, rte_mempool_in_use_count(bench->wire->rx_pools[0]));
	fixture_close(&bench->us);
	bench->wire = port_close(bench->wire);
}

static void expect_frame(const struct bench *bench, const struct wire *expected)
{
	uint8_t bytes[WIRE_MAX];
	size_t size = fixture_take(bench->wire, bytes, sizeof(bytes));

	CHECK_INT(expected->size, size);
	for (size_t i = 0; i < size; i++)
		if (bytes[i] != expected->bytes[i])
			check_note("byte %zu is %02x, expected %02x", i, bytes[i], expected->bytes[i]);
	CHECK_MEM(expected->bytes, bytes, size);
	CHECK(wire_checksums_right(bytes, size));
}

static void ask(const struct bench *bench, const struct wire *question)
{
	const struct frame_batch *batch;

	fixture_put(bench->wire, question->bytes, question->size);
	batch = frame_receive(bench->us.queue);
	CHECK_INT(1, batch->frame_count);
	CHECK_INT(0, batch->count);
	frame_release(bench->us.queue);
}

static void arp_is_answered(void)
{
	struct bench bench = bench_open(1024);

	for (unsigned vlans = 0; vlans <= 2; vlans++) {
		struct wire question = wire_arp(1, broadcast, wire_peer_mac, wire_peer4, nobody_mac, wire_us4, vlans);
		struct wire answer =
			wire_arp(2, wire_peer_mac, wire_us_mac, wire_us4, wire_peer_mac, wire_peer4, vlans);

		ask(&bench, &question);
		expect_frame(&bench, &answer);
		memset(question.bytes + question.size, 0xee, 18);
		question.size += 18; /* Ethernet's padding is not sent back */
		ask(&bench, &question);
		expect_frame(&bench, &answer);
	}
	CHECK_INT(6, fixture_counters(bench.us.queue).arp_answered);
	CHECK_INT(6, fixture_counters(bench.us.queue).tx_sent);
	bench_close(&bench);
}

static void neighbours_are_answered(void)
{
	struct bench bench = bench_open(1024);
	struct wire answer =
		wire_nd(136, 0x60, wire_peer_mac, wire_us_mac, wire_us6, wire_peer6, wire_us6, 2, wire_us_mac);
	struct wire question =
		wire_nd(135, 0, solicited_mac, wire_peer_mac, wire_peer6, solicited_group, wire_us6, 1, wire_peer_mac);

	ask(&bench, &question);
	expect_frame(&bench, &answer);
	question = wire_nd(135, 0, wire_us_mac, wire_peer_mac, wire_peer6, wire_us6, wire_us6, 0, NULL);
	ask(&bench, &question); /* shorter than its answer */
	expect_frame(&bench, &answer);
	question = wire_nd(135, 0, solicited_mac, wire_peer_mac, unspecified, solicited_group, wire_us6, 0, NULL);
	answer = wire_nd(136, 0x20, all_nodes_mac, wire_us_mac, wire_us6, all_nodes, wire_us6, 2, wire_us_mac);
	ask(&bench, &question); /* someone wants our address */
	expect_frame(&bench, &answer);
	CHECK_INT(3, fixture_counters(bench.us.queue).nd_answered);
	bench_close(&bench);
}

static void pings_are_answered(void)
{
	struct bench bench = bench_open(1024);

	for (size_t size = 0; size <= 1472; size += size < 4 ? 1 : 367) {
		struct wire question = wire_echo4(0, size);
		struct wire answer = wire_echo4(1, size);

		question.bytes[question.ip + 4] = 0x12; /* identification, time to live: not ours to repeat */
		question.bytes[question.ip + 6] = 0;
		question.bytes[question.ip + 8] = 3;
		wire_checksums_fit(&question);
		ask(&bench, &question);
		expect_frame(&bench, &answer);
		question = wire_echo6(0, size);
		answer = wire_echo6(1, size);
		question.size += 3;
		ask(&bench, &question);
		expect_frame(&bench, &answer);
	}
	bench_close(&bench);
}

static void answers_are_limited(void)
{
	struct bench bench = bench_open(1024);
	struct wire question = wire_echo4(0, 8);
	struct frame_counters counters;
	uint8_t bytes[WIRE_MAX];
	uint64_t before;

	for (unsigned i = 0; i < 4000; i++) {
		ask(&bench, &question);
		(void)fixture_take(bench.wire, bytes, sizeof(bytes));
	}
	counters = fixture_counters(bench.us.queue);
	CHECK_INT(4000, counters.echo_answered + counters.answer_limited);
	CHECK(counters.echo_answered >= ANSWERS_PER_SECOND);
	CHECK(counters.answer_limited > 0);
	CHECK_INT(counters.echo_answered, counters.tx_sent);
	before = counters.echo_answered;
	(void)usleep(1010000);
	ask(&bench, &question);
	CHECK_INT(before + 1, fixture_counters(bench.us.queue).echo_answered);
	bench_close(&bench);
}

static void datagrams_go_round(void)
{
	struct bench bench = bench_open(1024);

	for (int version = 4; version <= 6; version += 2)
		for (unsigned vlans = 0; vlans <= 2; vlans++)
			for (size_t size = 0; size <= REPLY_PAYLOAD_MAX; size += size < 3 ? 1 : 127) {
				struct wire in = wire_udp(version, vlans, size);
				struct wire out = wire_udp_reply(version, vlans, size);
				const struct frame_batch *batch;

				fixture_put(bench.wire, in.bytes, in.size);
				batch = frame_receive(bench.us.queue);
				CHECK_INT(1, batch->count);
				CHECK(batch->receipt_us > 0 && batch->receipt_ns > 0);
				CHECK_INT(size, batch->datagrams[0].size);
				CHECK_MEM(in.bytes + in.l4 + 8, batch->datagrams[0].payload, size);
				CHECK_INT(0, reply_send(bench.us.queue, &batch->datagrams[0].path,
							batch->datagrams[0].payload, size));
				frame_release(bench.us.queue);
				CHECK_INT(0, reply_flush(bench.us.queue));
				expect_frame(&bench, &out);
			}
	bench_close(&bench);
}

/* One sum in 65,536 comes out as zero, which must be sent as all ones. */
static void a_checksum_of_zero_is_not_sent(void)
{
	struct bench bench = bench_open(1024);
	struct path path;
	unsigned ones = 0;

	CHECK_INT(0, path_make(wire_us_mac, WIRE_US6_TEXT, WIRE_US_PORT, wire_peer_mac, WIRE_PEER6_TEXT, WIRE_PEER_PORT,
			       &path, NULL));
	for (unsigned value = 0; value < 65536; value++) {
		const uint8_t payload[2] = {(uint8_t)(value >> 8), (uint8_t)value};
		uint8_t bytes[WIRE_MAX];
		size_t size;

		CHECK_INT(0, reply_send(bench.us.queue, &path, payload, 2));
		CHECK_INT(0, reply_flush(bench.us.queue));
		size = fixture_take(bench.wire, bytes, sizeof(bytes));
		CHECK(size > 0 && wire_checksums_right(bytes, size));
		ones += bytes[60] == 0xff && bytes[61] == 0xff;
	}
	CHECK_INT(1, ones);
	bench_close(&bench);
}

static void begun_replies_may_be_abandoned(void)
{
	struct bench bench = bench_open(1024);
	struct path path;

	CHECK_INT(0, path_make(wire_us_mac, WIRE_US4_TEXT, WIRE_US_PORT, wire_peer_mac, WIRE_PEER4_TEXT, WIRE_PEER_PORT,
			       &path, NULL));
	CHECK(reply_begin(bench.us.queue, &path) != NULL);
	reply_abandon(bench.us.queue);
	reply_abandon(bench.us.queue);
	CHECK(reply_send(bench.us.queue, &path, "", REPLY_PAYLOAD_MAX + 1) < 0);
	CHECK(reply_begin(bench.us.queue, &path) != NULL); /* left to frame_queue_free */
	fixture_close(&bench.us);
	bench.wire = port_close(bench.wire);
}

static void a_full_device_gives_frames_up(void)
{
	struct bench bench = bench_open(64); /* a ring of 63 */
	struct path path;
	struct frame_counters counters;

	CHECK_INT(0, path_make(wire_us_mac, WIRE_US4_TEXT, WIRE_US_PORT, wire_peer_mac, WIRE_PEER4_TEXT, WIRE_PEER_PORT,
			       &path, NULL));
	for (unsigned i = 0; i < 200; i++)
		CHECK_INT(0, reply_send(bench.us.queue, &path, "full", 4));
	CHECK_INT(200 - 63, reply_flush(bench.us.queue));
	CHECK_INT(0, reply_flush(bench.us.queue));
	counters = fixture_counters(bench.us.queue);
	CHECK_INT(63, counters.tx_sent);
	CHECK_INT(200 - 63, counters.tx_unsent);
	bench_close(&bench);
}

static void an_empty_pool_is_counted(void)
{
	struct bench bench = bench_open(4096);
	struct path path;
	unsigned built = 0;

	CHECK_INT(0, path_make(wire_us_mac, WIRE_US4_TEXT, WIRE_US_PORT, wire_peer_mac, WIRE_PEER4_TEXT, WIRE_PEER_PORT,
			       &path, NULL));
	while (built < 4000 && reply_send(bench.us.queue, &path, "pool", 4) == 0)
		built++;
	CHECK_INT(FIXTURE_BUFFERS, built);
	CHECK_INT(1, fixture_counters(bench.us.queue).tx_no_buffer);
	answer_announce(bench.us.queue);
	CHECK_INT(3, fixture_counters(bench.us.queue).tx_no_buffer);
	CHECK(answer_ask(bench.us.queue, &path) < 0);
	bench_close(&bench);
}

static void we_announce_ourselves(void)
{
	struct bench bench = bench_open(1024);
	struct wire arp = wire_arp(1, broadcast, wire_us_mac, wire_us4, nobody_mac, wire_us4, 0);
	struct wire nd = wire_nd(136, 0x20, all_nodes_mac, wire_us_mac, wire_us6, all_nodes, wire_us6, 2, wire_us_mac);

	answer_announce(bench.us.queue);
	CHECK_INT(0, reply_flush(bench.us.queue));
	expect_frame(&bench, &arp);
	expect_frame(&bench, &nd);
	bench_close(&bench);
}

static void questions_are_heard(void)
{
	struct bench bench = bench_open(1024);
	struct path path;
	uint8_t mac[6];
	struct wire frame;

	CHECK_INT(0, path_make(wire_us_mac, WIRE_US4_TEXT, WIRE_US_PORT, NULL, WIRE_PEER4_TEXT, WIRE_PEER_PORT, &path,
			       NULL));
	CHECK_INT(0, answer_ask(bench.us.queue, &path));
	(void)reply_flush(bench.us.queue);
	frame = wire_arp(1, broadcast, wire_us_mac, wire_us4, nobody_mac, wire_peer4, 0);
	expect_frame(&bench, &frame);
	CHECK(!answer_heard(bench.us.queue, mac));
	frame = wire_arp(2, wire_us_mac, wire_peer_mac, wire_peer4, wire_us_mac, wire_us4, 0);
	ask(&bench, &frame);
	CHECK(answer_heard(bench.us.queue, mac));
	CHECK_MEM(wire_peer_mac, mac, 6);
	ask(&bench, &frame); /* said twice: the second is nobody's question */
	CHECK_INT(1, fixture_counters(bench.us.queue).arp_ignored);

	CHECK_INT(0, path_make(wire_us_mac, WIRE_US6_TEXT, WIRE_US_PORT, NULL, WIRE_PEER6_TEXT, WIRE_PEER_PORT, &path,
			       NULL));
	CHECK_INT(0, answer_ask(bench.us.queue, &path));
	CHECK(!answer_heard(bench.us.queue, mac));
	(void)reply_flush(bench.us.queue);
	frame = wire_nd(135, 0, (const uint8_t[6]){0x33, 0x33, 0xff, 0, 0, 0x77}, wire_us_mac, wire_us6,
			(const uint8_t[16]){0xff, 2, [11] = 1, [12] = 0xff, [15] = 0x77}, wire_peer6, 1, wire_us_mac);
	expect_frame(&bench, &frame);
	frame = wire_nd(136, 0x60, wire_us_mac, wire_peer_mac, wire_peer6, wire_us6, wire_peer6, 2, wire_peer_mac);
	ask(&bench, &frame);
	CHECK(answer_heard(bench.us.queue, mac));
	CHECK_INT(2, fixture_counters(bench.us.queue).neighbour_heard);
	bench_close(&bench);
}

static void split_and_stripped_frames(void)
{
	struct bench bench = bench_open(1024);
	struct wire wire = wire_udp(4, 0, 100);
	const struct frame_batch *batch;
	struct rte_mbuf *head = rte_pktmbuf_alloc(bench.wire->rx_pools[0]);
	struct rte_mbuf *tail = rte_pktmbuf_alloc(bench.wire->rx_pools[0]);

	memcpy(rte_pktmbuf_append(head, 60), wire.bytes, 60);
	memcpy(rte_pktmbuf_append(tail, (uint16_t)(wire.size - 60)), wire.bytes + 60, wire.size - 60);
	CHECK_INT(0, rte_pktmbuf_chain(head, tail));
	CHECK_INT(1, rte_eth_tx_burst(bench.wire->id, 0, &head, 1));
	CHECK_INT(0, frame_receive(bench.us.queue)->count);
	frame_release(bench.us.queue);
	CHECK_INT(1, fixture_counters(bench.us.queue).segmented);

	head = rte_pktmbuf_alloc(bench.wire->rx_pools[0]);
	memcpy(rte_pktmbuf_append(head, (uint16_t)wire.size), wire.bytes, wire.size);
	head->ol_flags |= RTE_MBUF_F_RX_VLAN | RTE_MBUF_F_RX_VLAN_STRIPPED;
	head->vlan_tci = 42;
	CHECK_INT(1, rte_eth_tx_burst(bench.wire->id, 0, &head, 1));
	batch = frame_receive(bench.us.queue);
	CHECK_INT(1, batch->count);
	CHECK_INT(1, batch->datagrams[0].path.vlan_count);
	CHECK_INT(42, batch->datagrams[0].path.vlan_tci[0]);
	bench_close(&bench);
}

/* Whatever comes: each frame in one counter, each answer well formed, every buffer home. */
static void random_traffic_adds_up(void)
{
	struct bench bench = bench_open(1024);
	struct prng prng = {check_seed()};
	uint64_t put = 0;
	uint64_t taken = 0;
	uint64_t datagrams = 0;
	uint64_t answers = 0;

	for (unsigned turn = 0; turn < 3000; turn++) {
		unsigned count = (unsigned)prng_below(&prng, 90);
		const struct frame_batch *batch;
		uint8_t bytes[WIRE_MAX];
		size_t size;

		for (unsigned i = 0; i < count; i++) {
			struct wire wire;

			switch (prng_below(&prng, 6)) {
			case 0:
				wire = wire_arp(1, broadcast, wire_peer_mac, wire_peer4, nobody_mac, wire_us4, 0);
				break;
			case 1:
				wire = wire_echo4(0, prng_below(&prng, 100));
				break;
			case 2:
				wire = wire_nd(135, 0, solicited_mac, wire_peer_mac, wire_peer6, solicited_group,
					       wire_us6, 1, wire_peer_mac);
				break;
			default:
				wire = wire_udp(prng_chance(&prng, 500) ? 4 : 6, (unsigned)prng_below(&prng, 3),
						prng_below(&prng, 200));
			}
			for (unsigned n = (unsigned)prng_below(&prng, 3); n > 0; n--)
				wire.bytes[prng_below(&prng, 80)] = (uint8_t)prng_next(&prng);
			if (prng_chance(&prng, 100))
				wire.size = 14 + prng_below(&prng, wire.size - 13);
			fixture_put(bench.wire, wire.bytes, wire.size);
			put++;
		}
		do {
			batch = frame_receive(bench.us.queue);
			CHECK(batch->count <= batch->frame_count && batch->frame_count <= FRAME_BURST);
			datagrams += batch->count;
			taken += batch->frame_count;
			count = batch->frame_count;
			frame_release(bench.us.queue);
		} while (count > 0);
		while ((size = fixture_take(bench.wire, bytes, sizeof(bytes))) > 0) {
			CHECK(wire_checksums_right(bytes, size));
			CHECK_MEM(wire_us_mac, bytes + 6, 6);
			answers++;
		}
	}
	CHECK_INT(put, taken);
	CHECK_INT(put, fixture_rx_total(bench.us.queue));
	CHECK_INT(datagrams, fixture_counters(bench.us.queue).datagram);
	CHECK_INT(answers, fixture_counters(bench.us.queue).tx_sent);
	CHECK(datagrams > 0 && answers > 0);
	bench_close(&bench);
}

int main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{"ARP is answered", arp_is_answered},
		{"neighbour solicitations are answered", neighbours_are_answered},
		{"pings are answered", pings_are_answered},
		{"answers are limited to so many a second", answers_are_limited},
		{"datagrams go round, byte for byte", datagrams_go_round},
		{"a UDP checksum of zero is not sent", a_checksum_of_zero_is_not_sent},
		{"begun replies may be abandoned", begun_replies_may_be_abandoned},
		{"a full device gives frames up", a_full_device_gives_frames_up},
		{"an empty pool is counted", an_empty_pool_is_counted},
		{"we announce ourselves", we_announce_ourselves},
		{"the answers to our questions are heard", questions_are_heard},
		{"frames in pieces, and with their tag taken off", split_and_stripped_frames},
		{"random traffic adds up", random_traffic_adds_up},
		{NULL, NULL}};
	int result = check_main(argc, argv, "dpdk/frame", tests);

	fixture_eal_stop();
	return result;
}
